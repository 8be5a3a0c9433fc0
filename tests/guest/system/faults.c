/* Synchronous signals: address and program counter exact, registers intact, several ways out. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

static sigjmp_buf env;
static volatile sig_atomic_t signal_seen, code_seen;
static uintptr_t address_seen, pc_seen, sp_seen;
static uint64_t x_seen[31];
static int skip;

static void handler(int sig, siginfo_t *info, void *ctx) {
    ucontext_t *u = ctx;
    signal_seen = sig;
    code_seen = info->si_code;
    address_seen = (uintptr_t)info->si_addr;
    pc_seen = u->uc_mcontext.pc;
    memcpy(x_seen, u->uc_mcontext.regs, sizeof x_seen);
    sp_seen = (uintptr_t)&sig;
    if (skip) {
        u->uc_mcontext.pc += 4;
        u->uc_mcontext.regs[0] = 0x5eed;
        return;
    }
    siglongjmp(env, 1);
}

static void expect(const char *what, int sig, uintptr_t address) {
    printf("%s: %s", what, signal_seen == sig ? strsignal(sig) : "WRONG SIGNAL");
    if (address) printf(", address %s, code %d", address_seen == address ? "exact" : "WRONG", code_seen);
    putchar('\n');
    signal_seen = 0;
}

/* Each access is one instruction with a label, so that the pc can be checked. */
extern char load_at[], store_at[], pair_at[], vector_at[], undefined_at[], trap_at[], atomic_at[];
__asm__(".text\n.globl load_at, store_at, pair_at, vector_at, undefined_at, trap_at, atomic_at\n"
        ".globl do_load\ndo_load: mov x9, #0x1234\nload_at: ldr x0, [x0, #8]\nret\n"
        ".globl do_store\ndo_store: add x1, x1, #1\nstore_at: str x1, [x0], #16\nmov x9, x0\nret\n"
        ".globl do_pair\ndo_pair: pair_at: ldp x2, x3, [x0, #-16]!\nret\n"
        ".globl do_vector\ndo_vector: vector_at: st1 {v0.16b, v1.16b}, [x0], #32\nret\n"
        ".globl do_undefined\ndo_undefined: nop\nundefined_at: udf #7\nret\n"
        ".globl do_trap\ndo_trap: trap_at: brk #42\nret\n"
        ".globl do_atomic\ndo_atomic: mov w1, #1\natomic_at: .inst 0xb8e10002\nret\n" /* ldaddal w1, w2, [x0] */);
long do_load(void *), do_store(void *, long), do_pair(void *), do_vector(void *), do_undefined(void), do_trap(void), do_atomic(void *);

static void pc(const char *label) { printf("  pc %s\n", pc_seen == (uintptr_t)label ? "exact" : "WRONG"); }

static char overflow_stack(int depth) {
    volatile char frame[4096];
    frame[0] = (char)depth;
    if (depth >= 0) frame[1] = overflow_stack(depth + 1);
    return (char)(frame[0] + frame[1]);
}

int main(void) {
    static char alternate[65536];
    stack_t ss = { .ss_sp = alternate, .ss_size = sizeof alternate };
    sigaltstack(&ss, NULL);
    struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    int signals[] = { SIGSEGV, SIGILL, SIGTRAP, SIGBUS, SIGFPE };
    for (int i = 0; i < 5; i++) sigaction(signals[i], &sa, NULL);
    char *map = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *hole = map + 4096;
    mprotect(hole, 4096, PROT_NONE);

    if (!sigsetjmp(env, 1)) do_load(hole);
    expect("load from a hole", SIGSEGV, (uintptr_t)hole + 8), pc(load_at);
    printf("  x9 %s\n", x_seen[9] == 0x1234 && x_seen[0] == (uintptr_t)hole ? "kept" : "WRONG");
    if (!sigsetjmp(env, 1)) do_store(hole + 16, 41);
    expect("store with write-back", SIGSEGV, (uintptr_t)hole + 16), pc(store_at);
    printf("  base %s\n", x_seen[0] == (uintptr_t)hole + 16 && x_seen[1] == 42 ? "kept" : "WRONG");
    if (!sigsetjmp(env, 1)) do_pair(hole + 32);
    expect("pair", SIGSEGV, (uintptr_t)hole + 16), pc(pair_at);
    if (!sigsetjmp(env, 1)) do_vector(hole - 16);
    expect("vectors over the edge", SIGSEGV, (uintptr_t)hole), pc(vector_at);
    if (!sigsetjmp(env, 1)) do_atomic(hole + 64);
    expect("atomic", SIGSEGV, (uintptr_t)hole + 64), pc(atomic_at);
    if (!sigsetjmp(env, 1)) do_load(NULL);
    expect("null", SIGSEGV, 8);
    if (!sigsetjmp(env, 1)) ((void (*)(void))hole)();
    expect("jump into a hole", SIGSEGV, (uintptr_t)hole), pc(hole);
    if (!sigsetjmp(env, 1)) ((void (*)(void))map)();
    expect("jump into data", SIGSEGV, (uintptr_t)map);
    mprotect(map, 4096, PROT_READ);
    if (!sigsetjmp(env, 1)) do_store(map, 1);
    expect("store to read-only", SIGSEGV, (uintptr_t)map);
    if (!sigsetjmp(env, 1)) do_undefined();
    expect("undefined", SIGILL, (uintptr_t)undefined_at), pc(undefined_at);
    if (!sigsetjmp(env, 1)) do_trap();
    expect("breakpoint", SIGTRAP, (uintptr_t)trap_at), pc(trap_at);

    char name[] = "/tmp/jib-faults-XXXXXX";
    int fd = mkstemp(name);
    unlink(name);
    char *file = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    if (!sigsetjmp(env, 1)) do_load(file);
    expect("beyond the end of a file", SIGBUS, (uintptr_t)file + 8);

    skip = 1;
    printf("skipped: %lx\n", do_load(hole));
    long sum = 0;
    for (int i = 0; i < 1000; i++) sum += do_load(hole + i);
    printf("a thousand faults: %lx\n", sum);
    skip = 0;

    if (!sigsetjmp(env, 1)) overflow_stack(0);
    expect("stack overflow", SIGSEGV, 0);
    printf("  on the alternate stack: %d\n", sp_seen > (uintptr_t)alternate && sp_seen < (uintptr_t)alternate + sizeof alternate);

    volatile int zero = 0;
    volatile unsigned uzero = 0;
    printf("division by zero: %d %u\n", 7 / zero, 7 / uzero);
    sa.sa_flags = SA_SIGINFO | SA_RESETHAND | SA_NODEFER;
    sigaction(SIGUSR1, &sa, NULL);
    if (!sigsetjmp(env, 1)) raise(SIGUSR1);
    struct sigaction now;
    sigaction(SIGUSR1, NULL, &now);
    printf("reset: %d\n", now.sa_handler == SIG_DFL);
    return 0;
}
