// Requests of ptrace on a child: stops, registers, memory, signals, system calls.
#include "common.h"

static void tell(const char *what, long result) { int e = errno; printf("%s: %ld %s\n", what, result, result ? strerror(e) : ""); }

static volatile int handled;
static void handler(int s) { handled = s; }
static void on(int s) { struct sigaction a = {.sa_handler = handler}; sigaction(s, &a, 0); }

static void make_calls(void) { syscall(SYS_getppid); syscall(SYS_close, 12345); _exit(3); }

static void calls(void) {
    pid_t pid = traced(make_calls);
    printf("options %ld, bad %ld\n", P(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD), P(PTRACE_SETOPTIONS, pid, 0, 0x8000000));
    for (;;) {
        P(PTRACE_SYSCALL, pid, 0, 0);
        int status;
        waitpid(pid, &status, 0);
        if (!WIFSTOPPED(status)) { printf("end: %s\n", text(status)); return; }
        struct ptrace_syscall_info info = {0};
        long n = P(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
        siginfo_t si;
        P(PTRACE_GETSIGINFO, pid, 0, &si);
        if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
            const char *name = info.entry.nr == SYS_getppid ? "getppid" : info.entry.nr == SYS_close ? "close" : info.entry.nr == SYS_exit_group ? "exit_group" : "other";
            if (strcmp(name, "other")) printf("%s: entry %s of %s(%d) code %#x\n", text(status), n == 80 ? "info" : "?", name, info.entry.nr == SYS_getppid ? 0 : (int)info.entry.args[0], si.si_code);
        } else if (info.op == PTRACE_SYSCALL_INFO_EXIT) {
            struct regs r = get(pid);
            printf("%s: exit error %d same %d %s\n", text(status), info.exit.is_error, (long)RESULT(r) == info.exit.rval, info.exit.rval == getpid() ? "parent" : strerror(-info.exit.rval));
        }
    }
}

static void changed_calls(void) {
    pid_t pid = traced(make_calls);
    P(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD);
    for (;;) {
        P(PTRACE_SYSCALL, pid, 0, 0);
        int status;
        waitpid(pid, &status, 0);
        if (!WIFSTOPPED(status)) { printf("changed: %s\n", text(status)); return; }
        struct ptrace_syscall_info info = {0};
        P(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
        if (info.op != PTRACE_SYSCALL_INFO_ENTRY) continue;
        struct regs r = get(pid);
        if (info.entry.nr == SYS_exit_group) { ARG0(r) = 44; put(pid, r); }
        if (info.entry.nr == SYS_getppid) {
            // No call at all, with a result of our own.
            set_call(pid, -1);
            P(PTRACE_SYSCALL, pid, 0, 0);
            waitpid(pid, &status, 0);
            r = get(pid);
            RESULT(r) = 4711;
            put(pid, r);
            printf("skipped: %s\n", text(status));
        }
        if (info.entry.nr == SYS_close) {
            set_call(pid, SYS_getpid);
            P(PTRACE_SYSCALL, pid, 0, 0);
            waitpid(pid, &status, 0);
            printf("replaced: %d\n", (pid_t)RESULT(get(pid)) == pid);
        }
    }
}

static void get_signals(void) {
    on(SIGUSR1);
    on(SIGUSR2);
    raise(SIGUSR1);
    int first = handled;
    handled = 0;
    raise(SIGUSR1);
    int second = handled;
    raise(SIGUSR1);
    _exit(first == SIGUSR1 && second == 0 && handled == SIGUSR2 ? 5 : 6);
}

static void signals(void) {
    pid_t pid = traced(get_signals);
    siginfo_t si;
    P(PTRACE_CONT, pid, 0, 0);
    wait_for(pid, "signal");
    P(PTRACE_GETSIGINFO, pid, 0, &si);
    printf("from itself %d code %d signo %d\n", si.si_pid == pid, si.si_code, si.si_signo);
    P(PTRACE_CONT, pid, 0, SIGUSR1);
    wait_for(pid, "to suppress");
    P(PTRACE_CONT, pid, 0, 0);
    wait_for(pid, "to replace");
    P(PTRACE_CONT, pid, 0, SIGUSR2);
    wait_for(pid, "signals");
}

static siginfo_t seen;
static void informed(int s, siginfo_t *si, void *u) { (void)s; (void)u; seen = *si; }
static void get_information(void) {
    struct sigaction a = {.sa_sigaction = informed, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &a, 0);
    raise(SIGUSR1);
    _exit(seen.si_code == SI_QUEUE && seen.si_int == 77 ? 5 : 6);
}

static void information(void) {
    pid_t pid = traced(get_information);
    P(PTRACE_CONT, pid, 0, 0);
    wait_for(pid, "signal");
    siginfo_t si;
    P(PTRACE_GETSIGINFO, pid, 0, &si);
    si.si_code = SI_QUEUE;
    si.si_int = 77;
    printf("set %ld\n", P(PTRACE_SETSIGINFO, pid, 0, &si));
    P(PTRACE_CONT, pid, 0, SIGUSR1);
    wait_for(pid, "information");
}

static void be_ignorant(void) {
    signal(SIGUSR1, SIG_IGN);
    sigset_t s;
    sigemptyset(&s);
    sigaddset(&s, SIGUSR2);
    sigprocmask(SIG_BLOCK, &s, 0);
    raise(SIGUSR2);
    raise(SIGUSR1);
    raise(SIGCHLD);
    _exit(9);
}

static void ignored(void) {
    pid_t pid = traced(be_ignorant);
    P(PTRACE_CONT, pid, 0, 0);
    wait_for(pid, "ignored");
    uint64_t mask = 0;
    printf("mask %ld", P(PTRACE_GETSIGMASK, pid, 8, &mask));
    printf(" %#llx\n", (unsigned long long)mask);
    struct ptrace_peeksiginfo_args args = {.nr = 4};
    siginfo_t queue[4];
    args.flags = 0;
    long own = P(PTRACE_PEEKSIGINFO, pid, &args, queue);
    printf("queued %ld: %d\n", own, own > 0 ? queue[0].si_signo : 0);
    P(PTRACE_CONT, pid, 0, SIGUSR1);
    wait_for(pid, "by default ignored");
    mask = 0;
    printf("unblock %ld\n", P(PTRACE_SETSIGMASK, pid, 8, &mask));
    P(PTRACE_CONT, pid, 0, SIGCHLD);
    wait_for(pid, "unblocked");
    P(PTRACE_CONT, pid, 0, SIGUSR2);
    wait_for(pid, "end");
}

static volatile long word = 0x1122334455667788;
static void look_at_word(void) { raise(SIGUSR1); _exit(word == 99 ? 7 : 8); }

static void memory(void) {
    pid_t pid = traced(look_at_word);
    long v = 0;
    long r = P(PTRACE_PEEKDATA, pid, &word, &v);
    printf("peek %ld %#lx\n", r, v);
    tell("peek nothing", P(PTRACE_PEEKDATA, pid, 8, &v));
    printf("poke %ld\n", P(PTRACE_POKEDATA, pid, &word, 5));
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/mem", pid);
    int fd = open(path, O_RDWR);
    pread(fd, &v, 8, (off_t)&word);
    printf("mem %ld\n", v);
    v = 98;
    pwrite(fd, &v, 8, (off_t)&word);
    close(fd);
    v = 99;
    long old = 0;
    struct iovec l = {&old, 8}, a = {(void *)&word, 8}, n = {&v, 8};
    printf("vm %zd", process_vm_readv(pid, &l, 1, &a, 1, 0));
    printf(" %ld %zd\n", old, process_vm_writev(pid, &n, 1, &a, 1, 0));
    P(PTRACE_CONT, pid, 0, 0);
    wait_for(pid, "signal");
    P(PTRACE_CONT, pid, 0, 0);
    wait_for(pid, "memory");
}

__attribute__((noinline)) int target(int n) { __asm__ volatile("nop"); return n + 1; }
static void call_target(void) {
    int n = 0;
    // Often enough to be translated before the breakpoint is there.
    for (int i = 0; i < 20000; i++) n = target(n);
    raise(SIGUSR1);
    n = target(n);
    raise(SIGUSR1);
    n = target(n);
    _exit(n == 20002 ? 21 : 22);
}

static void write_code(pid_t pid, int way, uint64_t v) {
    struct iovec l = {&v, 8}, r = {(void *)target, 8};
    char path[40];
    int fd;
    switch (way) {
    case 0: P(PTRACE_POKETEXT, pid, target, v); break;
    default:
        snprintf(path, sizeof path, way == 1 ? "/proc/%d/mem" : "/proc/%1$d/task/%1$d/mem", pid);
        fd = open(path, O_RDWR);
        if (way == 1) pwrite(fd, &v, 8, (off_t)target);
        else { lseek(fd, (off_t)target, SEEK_SET); writev(fd, &l, 1); }
        close(fd);
    }
    (void)r;
}

static void breakpoints(void) {
    for (int way = 0; way < 3; way++) {
        pid_t pid = traced(call_target);
        P(PTRACE_CONT, pid, 0, 0);
        wait_for(pid, "translated");
        uint64_t code;
        P(PTRACE_PEEKTEXT, pid, target, &code);
        write_code(pid, way, (code & ~BREAK_MASK) | BREAK);
        P(PTRACE_CONT, pid, 0, 0);
        wait_for(pid, "breakpoint");
        siginfo_t si;
        P(PTRACE_GETSIGINFO, pid, 0, &si);
        struct regs r = get(pid);
        printf("at %ld, trap %d\n", (long)(PC(r) - (uint64_t)target - AFTER_BREAK), si.si_signo == SIGTRAP);
        write_code(pid, way, code);
        PC(r) = (uint64_t)target;
        put(pid, r);
        P(PTRACE_SINGLESTEP, pid, 0, 0);
        wait_for(pid, "step");
        P(PTRACE_GETSIGINFO, pid, 0, &si);
        r = get(pid);
        printf("moved %d code %d\n", PC(r) > (uint64_t)target && PC(r) < (uint64_t)target + 16, si.si_code == TRAP_TRACE);
        P(PTRACE_CONT, pid, 0, 0);
        wait_for(pid, "no more");
        P(PTRACE_CONT, pid, 0, 0);
        wait_for(pid, "breakpoints");
    }
}

static void step_along(void) {
    on(SIGUSR1);
    raise(SIGUSR1);
    syscall(SYS_getppid);
    _exit(4);
}

static void steps(void) {
    pid_t pid = traced(step_along);
    int status = 0, stops = 0, signals = 0, handler_entries = 0;
    P(PTRACE_SINGLESTEP, pid, 0, 0);
    while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status) && stops < 100000) {
        int s = WSTOPSIG(status);
        stops++;
        if (s == SIGUSR1) signals++;
        struct regs r = get(pid);
        if (PC(r) == (uint64_t)handler) handler_entries++;
        P(PTRACE_SINGLESTEP, pid, 0, s == SIGTRAP ? 0 : s);
    }
    printf("steps: %s, many %d, signals %d, entered %d\n", text(status), stops > 20, signals, handler_entries);
}

static void fault(void) { *(volatile int *)16 = 1; }
static void faults(void) {
    pid_t pid = traced(fault);
    P(PTRACE_CONT, pid, 0, 0);
    wait_for(pid, "fault");
    siginfo_t si;
    P(PTRACE_GETSIGINFO, pid, 0, &si);
    printf("code %d at %p\n", si.si_code, si.si_addr);
    P(PTRACE_CONT, pid, 0, SIGSEGV);
    wait_for(pid, "faults");
}

static void errors(void) {
    tell("nobody", P(PTRACE_CONT, 1 << 22, 0, 0));
    pid_t pid = traced(make_calls);
    tell("bad signal", P(PTRACE_CONT, pid, 0, 99));
    tell("not seized", P(PTRACE_INTERRUPT, pid, 0, 0));
    tell("twice", P(PTRACE_ATTACH, pid, 0, 0));
    uint64_t one = 0;
    struct iovec v = {&one, 8};
    tell("bad set", P(PTRACE_GETREGSET, pid, 0x7777, &v));
    P(PTRACE_GETREGSET, pid, NT_PRSTATUS, &v);
    printf("short set: %zu\n", v.iov_len);
    printf("kill: %ld\n", P(PTRACE_KILL, pid, 0, 0));
    wait_for(pid, "errors");
}

static void vectors(void) {
    pid_t pid = traced(make_calls);
    unsigned char a[1024], b[1024];
    struct iovec v = {a, sizeof a}, w = {b, sizeof b};
    printf("vectors %ld", P(PTRACE_GETREGSET, pid, NT_PRFPREG, &v));
    w.iov_len = v.iov_len;
    memcpy(b, a, v.iov_len);
    memset(b + 160, 0x5a, 32);
    printf(" %ld", P(PTRACE_SETREGSET, pid, NT_PRFPREG, &w));
    printf(" %ld", P(PTRACE_GETREGSET, pid, NT_PRFPREG, &v));
    printf(" same %d\n", !memcmp(a, b, v.iov_len));
    kill(pid, SIGKILL);
    wait_for(pid, "vectors");
}

static void waited(void) {
    pid_t pid = traced(make_calls);
    P(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD);
    P(PTRACE_SYSCALL, pid, 0, 0);
    siginfo_t si = {0};
    for (int i = 0; i < 2; i++) {
        int r = waitid(P_PID, pid, &si, WSTOPPED | WEXITED | (i ? 0 : WNOWAIT));
        printf("waitid %d: %d code %d status %#x\n", r, si.si_pid == pid, si.si_code, si.si_status);
    }
    int status;
    printf("again %d\n", waitpid(pid, &status, WNOHANG));
    P(PTRACE_DETACH, pid, 0, 0);
    wait_for(pid, "detached");
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    calls();
    changed_calls();
    signals();
    information();
    ignored();
    memory();
    breakpoints();
    steps();
    faults();
    errors();
    vectors();
    waited();
}
