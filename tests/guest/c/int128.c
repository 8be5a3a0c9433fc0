/* 128-bit integers, overflow checks, bit tricks, division of all widths. */
#include <limits.h>
#include <stdint.h>
#include <stdio.h>

typedef unsigned __int128 u128;
typedef __int128 i128;

static void show(const char *name, u128 v) {
    printf("%s %016llx%016llx\n", name, (unsigned long long)(v >> 64), (unsigned long long)v);
}

int main(void) {
    volatile uint64_t a = 0xfedcba9876543210ull, b = 0x0123456789abcdefull;
    u128 x = (u128)a * b, y = (u128)b << 61 | a;
    show("mul", x);
    show("add", x + y);
    show("sub", y - x);
    show("div", x / (y >> 70));
    show("mod", x % (y >> 13));
    show("smul", (u128)((i128)(int64_t)a * (int64_t)b));
    show("sdiv", (u128)(-(i128)x / 12345));
    show("shr", (u128)((i128)(x << 3) >> 77));
    u128 f = 1;
    for (unsigned i = 2; i <= 34; i++) f *= i;
    show("34!", f);
    volatile int32_t n[] = { INT_MIN, -7, -1, 0, 1, 7, INT_MAX };
    for (unsigned i = 0; i < 7; i++)
        for (unsigned j = 0; j < 7; j++) {
            int r, o = __builtin_add_overflow(n[i], n[j], &r), m, p = __builtin_mul_overflow(n[i], n[j], &m);
            long q = n[j] ? (long)n[i] / n[j] : 0, s = n[j] ? (long)n[i] % n[j] : 0;
            printf("%d%d %x %x %ld %ld;", o, p, (unsigned)r, (unsigned)m, q, s);
        }
    printf("\n%d %d %d %d %d\n", __builtin_clzll(b), __builtin_ctzll(a), __builtin_popcountll(a), __builtin_parityll(b), __builtin_ffs(0x40));
    printf("%llx %x %llx\n", (unsigned long long)__builtin_bswap64(a), __builtin_bswap32((uint32_t)b), (unsigned long long)(a >> 13 | a << 51));
    struct { unsigned a : 5, b : 11, c : 16; int d : 7; } bits = { 21, 1999, 54321, -33 };
    bits.a += 13, bits.b ^= 0x555, bits.d -= 40;
    printf("%u %u %u %d\n", bits.a, bits.b, bits.c, bits.d);
    return 0;
}
