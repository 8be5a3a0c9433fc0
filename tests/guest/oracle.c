/*
 * Runs single AArch64 instructions from given states and tells what they did.
 *
 * Each case arrives on stdin as a `struct in` and leaves on stdout as a `struct out` and the changed
 * bytes of memory; with an argument each result is written at once, else by 64. A signal frame is both the way in and the way out: the handler of the last case's
 * trap writes the next case's registers into its own frame and returns. So every register, FPCR and
 * FPSR are set and read whole, and a case may ruin any of them, the stack pointer included.
 *
 * Memory: one page, visible again and again over a window of 2 MiB, so that no immediate offset leaves it
 * and yet only 4 KiB must be filled and compared. In the middle of the window sits the code page: the
 * case's words, then BRK everywhere. Outside the window nothing is mapped.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096ull
#define WINDOW 0x1000000000ull
#define WINDOW_LEN 0x200000ull
#define CODE (WINDOW + WINDOW_LEN / 2)
#define BRK 0xd4200000u
#define MAX_WORDS 8
/* Tells a result from what a dying qemu prints between them. */
#define MAGIC 0x2162696au

struct in {
    uint8_t v[32][16];
    uint64_t x[31], sp, mem_seed, tpidr;
    uint32_t pstate, fpcr, fpsr, nwords;
    uint32_t words[MAX_WORDS];
};

struct out {
    uint8_t v[32][16];
    uint64_t x[31], sp, pc, fault_addr, tpidr;
    uint32_t sig, code, pstate, fpcr, fpsr, mem_lo, mem_len, magic;
};

static uint64_t host_tpidr, filled_with;
static uint8_t initial[PAGE];
static uint8_t *const memory = (uint8_t *)WINDOW;
static char inbuf[64 * sizeof(struct in)], outbuf[64 * (sizeof(struct out) + PAGE)];
static size_t in_at, in_len, out_len;
static int first = 1, every = 0;

static void die(const char *why) {
    (void)!write(2, why, strlen(why));
    _exit(3);
}

static void flush(void) {
    for (size_t at = 0; at < out_len;) {
        ssize_t n = write(1, outbuf + at, out_len - at);
        if (n <= 0) die("oracle: cannot write\n");
        at += n;
    }
    out_len = 0;
}

static void put(const void *p, size_t n) {
    memcpy(outbuf + out_len, p, n);
    out_len += n;
}

/* The next case, or NULL when there are no more. */
static const struct in *next(void) {
    if (in_at == in_len) {
        flush();
        in_at = in_len = 0;
        do {
            ssize_t n = read(0, inbuf + in_len, sizeof inbuf - in_len);
            if (n < 0) die("oracle: cannot read\n");
            if (n == 0) break;
            in_len += n;
        } while (in_len % sizeof(struct in));
        if (in_len == 0) return NULL;
    }
    const struct in *c = (const struct in *)(inbuf + in_at);
    in_at += sizeof *c;
    return c;
}

/* Same generator as `case::fill` on the other side. */
static void fill(uint64_t seed) {
    if (seed != filled_with) {
        uint64_t s = seed | 1;
        for (size_t i = 0; i < PAGE; i += 8) {
            s ^= s << 13;
            s ^= s >> 7;
            s ^= s << 17;
            memcpy(initial + i, &s, 8);
        }
        filled_with = seed;
    }
    memcpy(memory, initial, PAGE);
}

static void install(const struct in *c) {
    uint32_t *code = (uint32_t *)CODE;
    for (size_t i = 0; i < PAGE / 4; i++) code[i] = i < c->nwords ? c->words[i] : BRK;
    __builtin___clear_cache((char *)CODE, (char *)CODE + PAGE);
    fill(c->mem_seed);
}

static struct fpsimd_context *fpsimd(ucontext_t *u) {
    struct _aarch64_ctx *c = (void *)u->uc_mcontext.__reserved;
    while (c->magic != FPSIMD_MAGIC) {
        if (c->magic == 0) die("oracle: no FP state in the signal frame\n");
        c = (void *)((char *)c + c->size);
    }
    return (void *)c;
}

static void report(int sig, siginfo_t *info, ucontext_t *u, uint64_t tpidr) {
    static struct out o;
    struct fpsimd_context *f = fpsimd(u);
    memcpy(o.v, f->vregs, sizeof o.v);
    memcpy(o.x, u->uc_mcontext.regs, sizeof o.x);
    o.sp = u->uc_mcontext.sp;
    o.pc = u->uc_mcontext.pc;
    o.fault_addr = (uint64_t)info->si_addr;
    o.tpidr = tpidr;
    o.magic = MAGIC;
    o.sig = sig;
    o.code = info->si_code;
    o.pstate = u->uc_mcontext.pstate;
    o.fpcr = f->fpcr;
    o.fpsr = f->fpsr;
    size_t lo = 0, hi = PAGE;
    if (memcmp(memory, initial, PAGE) == 0) hi = 0;
    while (lo < hi && memory[lo] == initial[lo]) lo++;
    while (lo < hi && memory[hi - 1] == initial[hi - 1]) hi--;
    o.mem_lo = lo;
    o.mem_len = hi > lo ? hi - lo : 0;
    put(&o, sizeof o);
    put(memory + lo, o.mem_len);
    if (every || out_len > sizeof outbuf - sizeof o - PAGE) flush();
}

static void handler(int sig, siginfo_t *info, void *ctx) {
    uint64_t tpidr;
    __asm__ volatile("mrs %0, tpidr_el0\n\tmsr tpidr_el0, %1" : "=&r"(tpidr) : "r"(host_tpidr));
    ucontext_t *u = ctx;
    if (!first) report(sig, info, u, tpidr);
    first = 0;
    const struct in *c = next();
    if (c == NULL) {
        flush();
        _exit(0);
    }
    install(c);
    struct fpsimd_context *f = fpsimd(u);
    memcpy(f->vregs, c->v, sizeof c->v);
    f->fpcr = c->fpcr;
    f->fpsr = c->fpsr;
    memcpy(u->uc_mcontext.regs, c->x, sizeof c->x);
    u->uc_mcontext.sp = c->sp;
    u->uc_mcontext.pc = CODE;
    u->uc_mcontext.pstate = c->pstate;
    __asm__ volatile("clrex\n\tmsr tpidr_el0, %0" : : "r"(c->tpidr));
}

static void map_window(void) {
    int fd = memfd_create("window", 0);
    if (fd < 0 || ftruncate(fd, PAGE) != 0) die("oracle: no memfd\n");
    for (uint64_t at = WINDOW; at < WINDOW + WINDOW_LEN; at += PAGE) {
        int code = at == CODE;
        int prot = PROT_READ | PROT_WRITE | (code ? PROT_EXEC : 0);
        int flags = MAP_FIXED | (code ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED);
        if (mmap((void *)at, PAGE, prot, flags, code ? -1 : fd, 0) == MAP_FAILED) die("oracle: cannot map\n");
    }
}

int main(int argc, char **argv) {
    (void)argv;
    every = argc > 1;
    /* qemu aborts on some unallocated words: without leaving a core. */
    setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
    __asm__ volatile("mrs %0, tpidr_el0" : "=r"(host_tpidr));
    map_window();
    filled_with = ~0ull;
    static char stack[1 << 16];
    stack_t alt = { .ss_sp = stack, .ss_size = sizeof stack };
    if (sigaltstack(&alt, NULL) != 0) die("oracle: no alternate stack\n");
    struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    sigfillset(&sa.sa_mask);
    static const int signals[] = { SIGILL, SIGTRAP, SIGBUS, SIGSEGV, SIGFPE };
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) sigaction(signals[i], &sa, NULL);
    __asm__ volatile("brk #0" : : : "memory");
    return 3;
}
