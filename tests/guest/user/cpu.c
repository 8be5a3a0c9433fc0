// What a program finds out about its processor: capabilities, ID registers, what is in /proc/cpuinfo, and whether
// instructions of some features exist.
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>

static sigjmp_buf before;
static void on_ill(int signal) { siglongjmp(before, signal); }

#define ID(reg)                                                \
    ({                                                         \
        unsigned long v;                                       \
        __asm__ volatile("mrs %0, " reg : "=r"(v));            \
        v;                                                     \
    })

// The word is executed with X0 and X1 pointing to memory.
#define TRY(name, word)                                                                              \
    do {                                                                                             \
        static unsigned long memory[8];                                                              \
        if (sigsetjmp(before, 1))                                                                    \
            printf("%s no\n", name);                                                                 \
        else {                                                                                       \
            register void *a __asm__("x0") = memory;                                                 \
            register void *b __asm__("x1") = memory + 4;                                             \
            __asm__ volatile(".inst " word : "+r"(a), "+r"(b) : : "memory", "x2", "x3", "x4", "v0"); \
            printf("%s yes\n", name);                                                                \
        }                                                                                            \
    } while (0)

int main(void) {
    char line[4096];
    struct sigaction action = {.sa_handler = on_ill};
    sigaction(SIGILL, &action, 0);
    printf("hwcap %lx %lx\n", getauxval(AT_HWCAP), getauxval(AT_HWCAP2));
    printf("isar0 %lx\nisar1 %lx\npfr0 %lx\n", ID("S3_0_C0_C6_0"), ID("S3_0_C0_C6_1"), ID("S3_0_C0_C4_0"));
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "Features", 8) == 0) {
            fputs(strchr(line, ':') + 2, stdout);
            break;
        }
    TRY("atomics", "0xf8220003");  // ldadd x2, x3, [x0]
    TRY("lrcpc", "0xf8bfc002");    // ldapr x2, [x0]
    TRY("asimddp", "0x4e809400");  // sdot v0.4s, v0.16b, v0.16b
    TRY("fphp", "0x1ee02800");     // fadd h0, h0, h0
    TRY("flagm", "0xd500401f");    // cfinv
    TRY("cssc", "0xdac01c42");     // cnt x2, x2
    TRY("paca", "0xdac123e2");     // paciza x2
    TRY("crc32", "0x9ac34c42");    // crc32x w2, w2, x3
    return 0;
}
