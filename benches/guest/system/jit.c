/* Code that is written while the program runs, as by just-in-time compilers: a call is patched to lead elsewhere,
   functions are written anew, and are called some hundred times in between. They count their calls in words that lie
   (argv[1]) "beside" the code, on its page, or "apart". argv[2]: rounds. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { SIZE = 1 << 18, FUNCTIONS = 64, ROOM = 512, CALLS = 200, BESIDE = ROOM / 2, APART = 1 << 17 };
typedef uint64_t (*function)(uint64_t);
static unsigned char *code;
static unsigned counter = APART;

/* Function `n`: x * multiplier + n, and counts its calls. */
#if defined(__aarch64__)
static void put(unsigned char **at, uint32_t word) {
    memcpy(*at, &word, 4);
    *at += 4;
}
static void write_function(unsigned char *at, unsigned multiplier, unsigned n) {
    unsigned char *p = at;
    put(&p, 0x10000002u | counter / 4 << 5);                 /* adr x2, at + counter */
    put(&p, 0xf9400043u);                                    /* ldr x3, [x2] */
    put(&p, 0x91000463u);                                    /* add x3, x3, #1 */
    put(&p, 0xf9000043u);                                    /* str x3, [x2] */
    put(&p, 0xd2800001u | (multiplier & 0xffff) << 5);       /* mov x1, #multiplier */
    put(&p, 0x9b017c00u);                                    /* mul x0, x0, x1 */
    put(&p, 0x91000000u | (n & 0xfff) << 10);                /* add x0, x0, #n */
    put(&p, 0xd65f03c0u);                                    /* ret */
    __builtin___clear_cache((char *)at, (char *)p);
}
static void write_jump(unsigned char *at, unsigned char *to) {
    unsigned char *p = at;
    put(&p, 0x14000000u | ((uint32_t)((to - at) / 4) & 0x3ffffff));
    __builtin___clear_cache((char *)at, (char *)p);
}
#elif defined(__x86_64__)
static void write_function(unsigned char *at, unsigned multiplier, unsigned n) {
    int32_t far = (int32_t)counter - 7;
    unsigned char text[] = {0x48, 0xff, 0x05, 0, 0, 0, 0,    /* inc qword [rip + far] */
                            0x48, 0x69, 0xc7, 0, 0, 0, 0,    /* imul rax, rdi, multiplier */
                            0x48, 0x05, 0, 0, 0, 0,          /* add rax, n */
                            0xc3};
    memcpy(text + 3, &far, 4);
    memcpy(text + 10, &multiplier, 4);
    memcpy(text + 16, &n, 4);
    memcpy(at, text, sizeof text);
    __builtin___clear_cache((char *)at, (char *)at + sizeof text);
}
static void write_jump(unsigned char *at, unsigned char *to) {
    int32_t far = (int32_t)(to - at) - 5;
    at[0] = 0xe9;
    memcpy(at + 1, &far, 4);
    __builtin___clear_cache((char *)at, (char *)at + 5);
}
#endif

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "beside")) counter = BESIDE;
    unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 10;
    code = mmap(NULL, SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code == MAP_FAILED) return 1;
    unsigned char *entry = code + FUNCTIONS * ROOM;
    for (unsigned n = 0; n < FUNCTIONS; n++) write_function(code + n * ROOM, n + 3, n);
    uint64_t x = 1, calls = 0;
    for (unsigned r = 0; r < rounds; r++) {
        /* A function is compiled anew, and the call is made to lead to another one. */
        write_function(code + r % FUNCTIONS * ROOM, r % 1000 + 3, r % 4000);
        write_jump(entry, code + r * 7 % FUNCTIONS * ROOM);
        for (unsigned i = 0; i < CALLS; i++) {
            x = ((function)entry)(x);
            x ^= ((function)(code + i % FUNCTIONS * ROOM))(i);
        }
    }
    for (unsigned n = 0; n < FUNCTIONS; n++) {
        uint64_t own;
        memcpy(&own, code + n * ROOM + counter, 8);
        calls += own;
    }
    printf("jit %016llx %llu\n", (unsigned long long)x, (unsigned long long)calls);
    return 0;
}
