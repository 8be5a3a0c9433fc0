/* NZCV in the frame of a fault, where the code overwrites the flags before anything reads them. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

static sigjmp_buf env;
static volatile uint64_t pstate;

static void handler(int sig, siginfo_t *info, void *ctx) {
    (void)sig, (void)info;
    pstate = ((ucontext_t *)ctx)->uc_mcontext.pstate;
    siglongjmp(env, 1);
}

/* Each takes memory that ends at a page without access, and a count; x2 and x3 are odd numbers to compute with. */
#define SHAPE(name, body) \
    void name(void *at, long n, long x2, long x3); \
    __asm__(".text\n.globl " #name "\n" #name ":\n" body "ret\n")

/* A loop that walks off the end: the flags are those of the iteration before. */
SHAPE(count_down, "1: ldr x4, [x0], #8\nsubs x1, x1, #1\nb.ne 1b\n");
SHAPE(store_up, "mov x1, #0\n1: str x1, [x0]\nadd x0, x0, #8\nadd x1, x1, #1\ncmp x1, #3, lsl #12\nb.ne 1b\n");
SHAPE(to_an_end, "add x5, x0, #1, lsl #12\nadd x5, x5, #8\n1: ldrb w4, [x0], #1\nstrb w4, [x0]\ncmp x0, x5\nb.ne 1b\n");
SHAPE(narrow, "1: ldr w4, [x0], #4\nsubs w1, w1, #5\nb.ne 1b\n");
SHAPE(added, "1: str w2, [x0], #4\nadds x2, x2, x3\nb.ne 1b\n");
SHAPE(tested, "1: ldr x4, [x0], #8\nsub x1, x1, #1\ntst x1, x1\nb.ne 1b\n");
SHAPE(anded, "1: ldr x4, [x0], #8\nsub x1, x1, #1\nands x4, x1, x1\nb.ne 1b\n");
SHAPE(chosen, "1: ldr x4, [x0], #8\nsub x1, x1, #1\ncmp x1, x2\nccmp x3, #7, #9, lo\nb.al 1b\n");
SHAPE(chosen_other, "1: ldr x4, [x0], #8\nsub x1, x1, #1\ncmp x1, x2\nccmp x3, #7, #9, hi\nb.al 1b\n");
SHAPE(carried, "1: ldr x4, [x0], #8\nsub x1, x1, #1\ncmp x1, #4\nadcs x4, x2, x3\nb.al 1b\n");
SHAPE(floats, "scvtf d0, x2\nscvtf d1, x3\n1: ldr x4, [x0], #8\nfadd d0, d0, d1\nfcmp d0, d1\nb.ne 1b\n");
SHAPE(floats_zero, "scvtf s0, x2\n1: ldr q4, [x0], #16\nfneg s0, s0\nfcmp s0, #0.0\nb.ne 1b\n");
/* Flags from before a block with several ends, operands gone by the time of the fault. */
SHAPE(overwritten, "1: cmp x1, x2\nmov x1, x3\nmov x2, #0\nstr x3, [x0], #8\nstr x3, [x0], #8\nadds x1, x1, #1\nb 1b\n");
SHAPE(joined, "1: sub x1, x1, #1\ntbz x1, #0, 2f\ncmp x1, #9\nb 3f\n2: cmn x1, #1\nnop\n3: add x2, x2, x1\nstr x2, [x0], #8\nldr "
              "x4, [x0]\nadd x3, x3, #1\nsubs x4, x4, #1\nb 1b\n");
SHAPE(two_loops, "1: cmp x1, x3\nmov x5, #3\n2: str x5, [x0], #8\nsub x5, x5, #1\ncbnz x5, 2b\nsub x1, x1, #1\nmov x3, x1\nb 1b\n");

static void check(const char *name, void (*run)(void *, long, long, long), long n, int times) {
    long page = sysconf(_SC_PAGESIZE), size = 64 * page;
    char *memory = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory + size, page, PROT_NONE)) return;
    unsigned first = 0, same = 1;
    for (volatile int i = 0; i < times; i++) {
        if (!sigsetjmp(env, 1)) {
            run(memory + size - page, n, 12345, -77);
            printf("%s came back\n", name);
            return;
        }
        unsigned nzcv = pstate >> 28;
        if (i == 0) first = nzcv;
        same &= nzcv == first;
    }
    printf("%-13s %c%c%c%c%s\n", name, first & 8 ? 'N' : 'n', first & 4 ? 'Z' : 'z', first & 2 ? 'C' : 'c', first & 1 ? 'V' : 'v',
           same ? "" : " at first, then others");
    munmap(memory, size + page);
}

int main(void) {
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };
    sigaction(SIGSEGV, &action, NULL);
    enum { TIMES = 60 };
#define CHECK(f) check(#f, f, 1 << 20, TIMES)
    CHECK(count_down);
    CHECK(store_up);
    CHECK(to_an_end);
    CHECK(narrow);
    CHECK(added);
    CHECK(tested);
    CHECK(anded);
    CHECK(chosen);
    CHECK(chosen_other);
    CHECK(carried);
    CHECK(floats);
    CHECK(floats_zero);
    CHECK(overwritten);
    CHECK(joined);
    CHECK(two_loops);
    return 0;
}
