// Register sets that only AArch64 has: breakpoint and watchpoint registers, the thread pointer, the system call.
#include "common.h"

static volatile long watched[4];
static volatile char *bytes = (volatile char *)watched;
__attribute__((noinline)) static void target(void) { __asm__ volatile("nop"); }

static void work(void) {
    for (int i = 0; i < 20000; i++) target();
    raise(SIGUSR1);
    target();
    watched[0] = 1;
    bytes[13] = 2;
    watched[2] = watched[1];
    _exit(watched[0] == 1 && bytes[13] == 2 ? 3 : 4);
}

struct debug { uint32_t info, pad; struct { uint64_t addr; uint32_t ctrl, pad; } r[16]; };

static int arm(pid_t pid, int set, int i, uint64_t addr, uint32_t ctrl) {
    struct debug d = {0};
    d.r[i].addr = addr;
    d.r[i].ctrl = ctrl;
    struct iovec v = {&d, 8 + 16 * (i + 1)};
    return P(PTRACE_SETREGSET, pid, set, &v);
}

static void where(pid_t pid, const char *what) {
    siginfo_t si;
    P(PTRACE_GETSIGINFO, pid, 0, &si);
    uint64_t at = (uint64_t)si.si_addr;
    if (at - (uint64_t)watched < sizeof watched) printf("%s: code %d at watched+%d\n", what, si.si_code, (int)(at - (uint64_t)watched));
    else printf("%s: code %d at target %d, pc there %d\n", what, si.si_code, at == (uint64_t)target, PC(get(pid)) == (uint64_t)target);
}

// Steps over an access that a watchpoint forbids.
static void step_over(pid_t pid) {
    arm(pid, NT_ARM_HW_WATCH, 0, 0, 0);
    P(PTRACE_SINGLESTEP, pid, 0, 0);
    wait_for(pid, "step");
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    pid_t pid = traced(work);
    struct debug d;
    struct iovec v = {&d, sizeof d};
    printf("breaks %ld", P(PTRACE_GETREGSET, pid, NT_ARM_HW_BREAK, &v));
    printf(" arch %#x n %d size %zu\n", d.info >> 8, d.info & 0xff, v.iov_len);
    v.iov_len = sizeof d;
    printf("watches %ld", P(PTRACE_GETREGSET, pid, NT_ARM_HW_WATCH, &v));
    printf(" arch %#x n %d size %zu\n", d.info >> 8, d.info & 0xff, v.iov_len);
    P(PTRACE_CONT, pid, 0, 0);
    wait_for(pid, "ready");

    printf("break %d\n", arm(pid, NT_ARM_HW_BREAK, 1, (uint64_t)target, 0xf << 5 | 2 << 1 | 1));
    P(PTRACE_CONT, pid, 0, 0);
    wait_for(pid, "break");
    where(pid, "break");
    arm(pid, NT_ARM_HW_BREAK, 1, 0, 0);

    // Writes to the first word, accesses to one byte of the second, reads of the second.
    printf("watch %d\n", arm(pid, NT_ARM_HW_WATCH, 0, (uint64_t)watched, 0xff << 5 | 2 << 3 | 2 << 1 | 1));
    P(PTRACE_CONT, pid, 0, 0);
    wait_for(pid, "write");
    where(pid, "write");
    long now = -1;
    P(PTRACE_PEEKDATA, pid, watched, &now);
    printf("not written yet %ld\n", now);
    step_over(pid);
    P(PTRACE_PEEKDATA, pid, watched, &now);
    printf("written %ld\n", now);
    arm(pid, NT_ARM_HW_WATCH, 0, (uint64_t)(watched + 1), 1 << (5 + 5) | 3 << 3 | 2 << 1 | 1);
    P(PTRACE_CONT, pid, 0, 0);
    wait_for(pid, "byte");
    where(pid, "byte");
    step_over(pid);
    arm(pid, NT_ARM_HW_WATCH, 0, (uint64_t)(watched + 1), 0xff << 5 | 1 << 3 | 2 << 1 | 1);
    P(PTRACE_CONT, pid, 0, 0);
    wait_for(pid, "read");
    where(pid, "read");
    arm(pid, NT_ARM_HW_WATCH, 0, 0, 0);

    uint64_t tls = 0, other;
    struct iovec t = {&tls, 8};
    printf("tls %ld", P(PTRACE_GETREGSET, pid, NT_ARM_TLS, &t));
    __asm__("mrs %0, tpidr_el0" : "=r"(other));
    printf(" same as ours %d\n", tls == other);
    int nr = 0;
    struct iovec s = {&nr, 4};
    printf("call %ld", P(PTRACE_GETREGSET, pid, NT_ARM_SYSTEM_CALL, &s));
    printf(" %d\n", nr);
    P(PTRACE_CONT, pid, 0, 0);
    wait_for(pid, "end");
}
