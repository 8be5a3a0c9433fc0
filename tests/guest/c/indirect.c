/* Indirect branches: function pointers, computed goto, objects with methods. argv[1]: rounds. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef uint32_t (*op)(uint32_t, uint32_t);
#define OP(name, expr) \
    __attribute__((noinline)) static uint32_t name(uint32_t a, uint32_t b) { return expr; }
OP(add, a + b)
OP(sub, a - b * 3)
OP(mul, a * (b | 1))
OP(rot, a << (b & 31) | a >> (-b & 31))
OP(mix, a ^ (b >> 3))
OP(max, a > b ? a : b + 1)
OP(neg, ~a + b)
OP(inc, a + 1 + 0 * b)
static op const ops[] = { add, sub, mul, rot, mix, max, neg, inc };

/* A byte-code machine with threaded dispatch. */
static uint32_t machine(const uint8_t *code, uint32_t n) {
    static const void *const labels[] = { &&push, &&sum, &&dup, &&xor_, &&jnz, &&halt };
    uint32_t stack[16] = { 0 }, *sp = stack, total = 0;
    const uint8_t *pc = code;
    *++sp = n;
#define NEXT goto *labels[*pc++]
    NEXT;
push: *++sp = *pc++; NEXT;
sum: sp--; *sp += sp[1]; NEXT;
dup: sp[1] = *sp; sp++; NEXT;
xor_: sp--; *sp = (*sp << 1 | *sp >> 31) ^ sp[1]; total += *sp; NEXT;
jnz: if (--n) pc = code + *pc; else pc++; NEXT;
halt: return total;
#undef NEXT
}

struct shape {
    double (*area)(const struct shape *);
    double a, b;
};
static double square(const struct shape *s) { return s->a * s->a; }
static double rectangle(const struct shape *s) { return s->a * s->b; }
static double triangle(const struct shape *s) { return s->a * s->b / 2; }

int main(int argc, char **argv) {
    uint32_t rounds = argc > 1 ? (uint32_t)atoi(argv[1]) : 2000, v = 12345;
    for (uint32_t i = 0; i < rounds * 10; i++) v = ops[(v >> 7 ^ i) & 7](v, i);
    printf("pointers %08x\n", v);
    static const uint8_t code[] = { 0, 7, 1, 2, 3, 0, 99, 3, 4, 0, 5 };
    printf("machine %08x\n", machine(code, rounds));
    static const struct shape shapes[] = { { square, 3, 0 }, { rectangle, 2, 5 }, { triangle, 4, 7 } };
    double sum = 0;
    for (uint32_t i = 0; i < rounds; i++) sum += shapes[i % 3].area(&shapes[i % 3]);
    printf("shapes %.1f\n", sum);
    return 0;
}
