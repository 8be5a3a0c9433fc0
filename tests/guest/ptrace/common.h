// What a tracer sees, written so that the text is the same on every architecture.
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ptrace.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

// glibc's <sys/ptrace.h> and the kernel's header do not get on.
static long ptrace(long request, pid_t pid, void *addr, void *data) { return syscall(SYS_ptrace, request, pid, addr, data); }
#define P(request, pid, addr, data) ptrace(request, pid, (void *)(uintptr_t)(addr), (void *)(uintptr_t)(data))

#if defined(__aarch64__)
struct regs { uint64_t x[31], sp, pc, pstate; };
#define PC(r) (r).pc
#define RESULT(r) (r).x[0]
#define ARG0(r) (r).x[0]
#define BREAK 0xd4200000u
#define BREAK_MASK 0xffffffffull
#define AFTER_BREAK 0
#else
struct regs { uint64_t r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss, rest[6]; };
#define PC(r) (r).ip
#define RESULT(r) (r).ax
#define ARG0(r) (r).di
#define BREAK 0xccu
#define BREAK_MASK 0xffull
#define AFTER_BREAK 1
#endif

static inline struct regs get(pid_t pid) {
    struct regs r = {0};
    struct iovec v = {&r, sizeof r};
    if (P(PTRACE_GETREGSET, pid, NT_PRSTATUS, &v)) perror("GETREGSET");
    return r;
}

static inline void put(pid_t pid, struct regs r) {
    struct iovec v = {&r, sizeof r};
    if (P(PTRACE_SETREGSET, pid, NT_PRSTATUS, &v)) perror("SETREGSET");
}

// Changes the number of the call that a thread is about to make.
static inline void set_call(pid_t pid, int nr) {
#if defined(__aarch64__)
    struct iovec v = {&nr, sizeof nr};
    if (P(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &v)) perror("SYSTEM_CALL");
#else
    struct regs r = get(pid);
    r.orig_ax = (uint64_t)(int64_t)nr;
    put(pid, r);
#endif
}

// A status as text; `who` is the child's name.
static inline const char *text(int status) {
    static char b[80];
    if (WIFEXITED(status)) snprintf(b, sizeof b, "exited %d", WEXITSTATUS(status));
    else if (WIFSIGNALED(status)) snprintf(b, sizeof b, "killed by %d", WTERMSIG(status));
    else if (WIFSTOPPED(status)) snprintf(b, sizeof b, "stopped %d%s event %d", WSTOPSIG(status) & 0x7f, WSTOPSIG(status) & 0x80 ? "+" : "", status >> 16);
    else snprintf(b, sizeof b, "continued");
    return b;
}

// Waits for `pid` and tells what happened.
static inline int wait_for(pid_t pid, const char *what) {
    int status;
    if (waitpid(pid, &status, __WALL) != pid) { printf("%s: %s\n", what, strerror(errno)); return -1; }
    printf("%s: %s\n", what, text(status));
    return status;
}

#define ALL (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEVFORKDONE | PTRACE_O_TRACEEXIT)

// A child that asks to be traced, stops, and then runs `f`; it waits stopped.
static inline pid_t traced(void (*f)(void)) {
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) {
        P(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        f();
        _exit(0);
    }
    wait_for(pid, "first");
    return pid;
}
