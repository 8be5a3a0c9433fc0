// Events of ptrace: children, threads, programs, attaching, job control, filters.
#include "common.h"
#include <dirent.h>
#include <poll.h>
#include <sys/select.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/time.h>
#include <time.h>

static char *self;

static void tell(const char *what, long result) { int e = errno; printf("%s: %ld %s\n", what, result, result ? strerror(e) : ""); }

static unsigned long message(pid_t pid) {
    unsigned long v = 0;
    P(PTRACE_GETEVENTMSG, pid, 0, &v);
    return v;
}

static int code_of(pid_t pid) {
    siginfo_t si = {0};
    P(PTRACE_GETSIGINFO, pid, 0, &si);
    return si.si_code;
}

// Runs a traced child and those that it makes to their ends; tells what each does, in its own order.
struct log { pid_t pid; char text[1200]; };
static void follow(pid_t first) {
    static struct log logs[20];
    int n = 1, alive = 1;
    logs[0].pid = first;
    logs[0].text[0] = 0;
    P(PTRACE_CONT, first, 0, 0);
    while (alive) {
        int status;
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0) { perror("wait"); break; }
        int i = 0;
        while (i < n && logs[i].pid != pid) i++;
        if (i == n) { logs[n].pid = pid; logs[n].text[0] = 0; n++; alive++; }
        char *t = logs[i].text + strlen(logs[i].text);
        strcat(t, text(status));
        if (WIFSTOPPED(status) && status >> 16) {
            unsigned long m = message(pid);
            t += strlen(t);
            int event = status >> 16;
            if (event == PTRACE_EVENT_EXIT) sprintf(t, " status %#lx", m);
            else if (event == PTRACE_EVENT_EXEC) sprintf(t, " former itself %d", m == (unsigned long)pid);
            else if (event != PTRACE_EVENT_STOP) sprintf(t, " child %d", m > 1);
            if (event != PTRACE_EVENT_STOP) sprintf(t + strlen(t), " code %#x", code_of(pid));
        }
        strcat(t, "\n");
        if (!WIFSTOPPED(status)) { alive--; continue; }
        int s = WSTOPSIG(status);
        P(PTRACE_CONT, pid, 0, status >> 16 || s == SIGTRAP || s == SIGSTOP ? 0 : s);
    }
    // Children by the order of their makers' events would depend on timing: by text.
    for (int i = 1; i < n; i++)
        for (int j = i + 1; j < n; j++)
            if (strcmp(logs[i].text, logs[j].text) > 0) { struct log l = logs[i]; logs[i] = logs[j]; logs[j] = l; }
    for (int i = 0; i < n; i++) printf("%d:\n%s", i, logs[i].text);
}

static void make_child(void) { pid_t p = fork(); if (!p) _exit(2); int s; waitpid(p, &s, 0); _exit(WEXITSTATUS(s) + 1); }
static void make_vfork(void) {
    pid_t p = vfork();
    if (!p) { execl(self, self, "exit", "6", NULL); _exit(1); }
    int s;
    waitpid(p, &s, 0);
    _exit(WEXITSTATUS(s) + 1);
}
static int count_tasks(void) {
    DIR *d = opendir("/proc/self/task");
    int n = 0;
    for (struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.';
    closedir(d);
    return n;
}
static void *run_thread(void *a) { return a; }
static void make_threads(void) {
    pthread_t t[3];
    for (int i = 0; i < 3; i++) { pthread_create(t + i, 0, run_thread, 0); pthread_join(t[i], 0); }
    // A thread that has been joined may not have ended yet.
    while (count_tasks() != 1) usleep(1000);
    exit(12);
}
static void become(void) { execl(self, self, "exit", "17", NULL); _exit(1); }
static void be_killed(void) { raise(SIGTERM); _exit(1); }

static void events(void) {
    void (*what[])(void) = {make_child, make_vfork, make_threads, become, be_killed};
    for (int i = 0; i < 5; i++) {
        for (int all = 0; all < 2; all++) {
            pid_t pid = traced(what[i]);
            P(PTRACE_SETOPTIONS, pid, 0, all ? ALL : 0);
            printf("events %d, options %d\n", i, all);
            follow(pid);
        }
    }
}

static void execute_at_once(void) {
    pid_t pid = fork();
    if (!pid) { P(PTRACE_TRACEME, 0, 0, 0); execl(self, self, "exit", "8", NULL); _exit(1); }
    wait_for(pid, "executed");
    printf("code %d\n", code_of(pid));
    P(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD);
    P(PTRACE_SYSCALL, pid, 0, 0);
    wait_for(pid, "a call");
    struct ptrace_syscall_info info;
    P(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
    printf("op %d\n", info.op);
    P(PTRACE_CONT, pid, 0, 0);
    wait_for(pid, "end");
}

static pid_t spinning(void) {
    static volatile unsigned long n;
    int ready[2];
    if (pipe(ready)) exit(1);
    pid_t pid = fork();
    if (!pid) { write(ready[1], "x", 1); for (;;) n++; }
    char c;
    read(ready[0], &c, 1);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

static void until_asleep(pid_t pid) {
    char path[40], state[200];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    for (;;) {
        FILE *f = fopen(path, "r");
        fgets(state, sizeof state, f);
        fclose(f);
        if (strrchr(state, ')')[2] == 'S') return;
        usleep(1000);
    }
}

// A child that reads from a pipe, whose other end is `*fd`; it exits with what it reads.
static pid_t reading(int *fd, int millis) {
    int data[2], ready[2];
    if (pipe(data) || pipe(ready)) exit(1);
    pid_t pid = fork();
    if (!pid) {
        char c = 0;
        write(ready[1], "x", 1);
        if (millis) {
            struct timespec t = {millis / 1000, millis % 1000 * 1000000L};
            _exit(nanosleep(&t, 0) ? 100 + errno : 55);
        }
        _exit(read(data[0], &c, 1) == 1 ? c : 100 + errno);
    }
    char c;
    read(ready[0], &c, 1);
    *fd = data[1];
    until_asleep(pid);
    return pid;
}

static void attach(void) {
    pid_t pid = spinning();
    tell("attach", P(PTRACE_ATTACH, pid, 0, 0));
    wait_for(pid, "attached");
    struct regs r = get(pid);
    printf("has a pc %d\n", PC(r) != 0);
    P(PTRACE_SINGLESTEP, pid, 0, 0);
    wait_for(pid, "step");
    P(PTRACE_CONT, pid, 0, 0);
    kill(pid, SIGUSR1);
    wait_for(pid, "signal");
    tell("detach", P(PTRACE_DETACH, pid, 0, 0));
    tell("detached", P(PTRACE_CONT, pid, 0, 0));
    tell("once more", P(PTRACE_ATTACH, pid, 0, 0));
    wait_for(pid, "attached");
    P(PTRACE_DETACH, pid, 0, SIGKILL);
    wait_for(pid, "killed");

    int fd;
    pid = reading(&fd, 0);
    P(PTRACE_ATTACH, pid, 0, 0);
    wait_for(pid, "reader");
    r = get(pid);
    put(pid, r);
    P(PTRACE_CONT, pid, 0, 0);
    kill(pid, SIGCHLD);
    wait_for(pid, "reader");
    P(PTRACE_CONT, pid, 0, SIGCHLD);
    write(fd, "*", 1);
    wait_for(pid, "reader");

    pid = reading(&fd, 300);
    P(PTRACE_ATTACH, pid, 0, 0);
    wait_for(pid, "sleeper");
    P(PTRACE_DETACH, pid, 0, 0);
    wait_for(pid, "sleeper");
}

static void seize(void) {
    pid_t pid = spinning();
    tell("seize", P(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK));
    tell("running", P(PTRACE_CONT, pid, 0, 0));
    tell("interrupt", P(PTRACE_INTERRUPT, pid, 0, 0));
    wait_for(pid, "interrupted");
    printf("code %#x\n", code_of(pid));
    struct regs r = get(pid);
    printf("has a pc %d\n", PC(r) != 0);
    P(PTRACE_CONT, pid, 0, 0);
    kill(pid, SIGSTOP);
    wait_for(pid, "signal");
    P(PTRACE_CONT, pid, 0, SIGSTOP);
    wait_for(pid, "group");
    tell("listen", P(PTRACE_LISTEN, pid, 0, 0));
    kill(pid, SIGCONT);
    wait_for(pid, "awake");
    P(PTRACE_CONT, pid, 0, 0);
    wait_for(pid, "continued");
    P(PTRACE_CONT, pid, 0, SIGCONT);
    kill(pid, SIGKILL);
    wait_for(pid, "killed");

    int fd;
    pid = reading(&fd, 0);
    P(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD);
    P(PTRACE_INTERRUPT, pid, 0, 0);
    wait_for(pid, "reader");
    struct ptrace_syscall_info info;
    P(PTRACE_SYSCALL, pid, 0, 0);
    wait_for(pid, "made again");
    P(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
    printf("op %d read %d\n", info.op, info.entry.nr == SYS_read);
    write(fd, "+", 1);
    P(PTRACE_SYSCALL, pid, 0, 0);
    wait_for(pid, "read");
    P(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
    printf("op %d result %lld\n", info.op, (long long)info.exit.rval);
    P(PTRACE_CONT, pid, 0, 0);
    wait_for(pid, "reader");

    pid = reading(&fd, 300);
    P(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD);
    P(PTRACE_INTERRUPT, pid, 0, 0);
    wait_for(pid, "sleeper");
    P(PTRACE_SYSCALL, pid, 0, 0);
    wait_for(pid, "made again");
    P(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
    printf("op %d restart %d\n", info.op, info.entry.nr == SYS_restart_syscall);
    P(PTRACE_CONT, pid, 0, 0);
    wait_for(pid, "sleeper");
}

// A call from outside into a program that waits in a system call.
static volatile int called_with;
static void called(int n) { called_with = n; kill(getpid(), SIGUSR2); for (;;) pause(); }
static void call_into(void) {
    int fd;
    pid_t pid = reading(&fd, 0);
    P(PTRACE_ATTACH, pid, 0, 0);
    wait_for(pid, "caller");
    struct regs old = get(pid), r = old;
    PC(r) = (uint64_t)called;
    ARG0(r) = 33;
#ifndef __aarch64__
    r.sp = (r.sp & ~15ull) - 8 - 128;
    r.orig_ax = -1;
#endif
    put(pid, r);
    P(PTRACE_CONT, pid, 0, 0);
    wait_for(pid, "in it");
    long v = 0;
    P(PTRACE_PEEKDATA, pid, &called_with, &v);
    printf("argument %d\n", (int)v);
    put(pid, old);
    P(PTRACE_CONT, pid, 0, 0);
    write(fd, "&", 1);
    wait_for(pid, "caller");
}

// What ends a call that a handled signal interrupts, and what the program sees of it.
static volatile int got;
static void note(int s) { got = s; }
static int which;
static void be_interrupted(void) {
    struct sigaction a = {.sa_handler = note, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &a, 0);
    sigset_t none;
    sigemptyset(&none);
    struct timespec t = {20, 0};
    errno = 0;
    int r = which == 0 ? nanosleep(&t, 0) : which == 1 ? ppoll(0, 0, &t, 0) : which == 2 ? sigsuspend(&none) : pselect(0, 0, 0, 0, &t, 0);
    _exit(r == -1 && errno == EINTR && got == SIGALRM ? 5 : 6);
}
static void interrupted(void) {
    for (which = 0; which < 4; which++) {
        pid_t pid = traced(be_interrupted);
        P(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD);
        int status;
        long last = 0;
        for (;;) {
            P(PTRACE_SYSCALL, pid, 0, 0);
            waitpid(pid, &status, 0);
            if (!WIFSTOPPED(status) || WSTOPSIG(status) == SIGALRM) break;
            struct ptrace_syscall_info info;
            P(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
            uint64_t nr = info.entry.nr;
            if (info.op == PTRACE_SYSCALL_INFO_ENTRY && (nr == SYS_clock_nanosleep || nr == SYS_ppoll || nr == SYS_rt_sigsuspend || nr == SYS_pselect6)) {
                P(PTRACE_SYSCALL, pid, 0, 0);
                until_asleep(pid);
                kill(pid, SIGALRM);
                waitpid(pid, &status, 0);
                if (!WIFSTOPPED(status) || WSTOPSIG(status) == SIGALRM) break;
                P(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
            }
            if (info.op == PTRACE_SYSCALL_INFO_EXIT) last = info.exit.rval;
        }
        printf("interrupted %d: %s after %ld\n", which, text(status), last);
        P(PTRACE_CONT, pid, 0, SIGALRM);
        wait_for(pid, "interrupted");
    }
}

static void stop_itself(void) { raise(SIGTSTP); _exit(3); }
static void group_stop(void) {
    pid_t pid = traced(stop_itself);
    P(PTRACE_CONT, pid, 0, 0);
    wait_for(pid, "signal");
    P(PTRACE_CONT, pid, 0, SIGTSTP);
    wait_for(pid, "group");
    siginfo_t si;
    tell("information", P(PTRACE_GETSIGINFO, pid, 0, &si));
    struct regs r = get(pid);
    printf("has a pc %d\n", PC(r) != 0);
    P(PTRACE_CONT, pid, 0, 0);
    wait_for(pid, "end");
}

static void filtered(void) {
    struct sock_filter f[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE | 42),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog p = {4, f};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p);
    long a = syscall(SYS_getppid), b = syscall(SYS_getppid);
    _exit(a == 4711 && b == getpid() ? 13 : 14);
}

static void filters(void) {
    pid_t pid = traced(filtered);
    P(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD);
    P(PTRACE_CONT, pid, 0, 0);
    wait_for(pid, "filter");
    struct ptrace_syscall_info info;
    long n = P(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
    printf("message %lu size %d op %d datum %u getppid %d\n", message(pid), n >= 84, info.op, info.seccomp.ret_data, info.seccomp.nr == SYS_getppid);
    set_call(pid, -1);
    struct regs r = get(pid);
    RESULT(r) = 4711;
    put(pid, r);
    P(PTRACE_CONT, pid, 0, 0);
    wait_for(pid, "filter");
    set_call(pid, SYS_getpid);
    P(PTRACE_CONT, pid, 0, 0);
    wait_for(pid, "filters");
}

static void without_tracer(void) {
    // Its tracer dies: the child lives on, or dies with it.
    for (int kill_it = 0; kill_it < 2; kill_it++) {
        int fds[2];
        if (pipe(fds)) exit(1);
        fflush(stdout);
        pid_t tracer = fork();
        if (!tracer) {
            pid_t pid = traced(pause == NULL ? 0 : (void (*)(void))pause);
            P(PTRACE_SETOPTIONS, pid, 0, kill_it ? PTRACE_O_EXITKILL : 0);
            P(PTRACE_SYSCALL, pid, 0, 0);
            wait_for(pid, "a call");
            write(fds[1], &pid, sizeof pid);
            _exit(0);
        }
        pid_t pid;
        read(fds[0], &pid, sizeof pid);
        int status;
        waitpid(tracer, &status, 0);
        usleep(50000);
        printf("orphan lives %d\n", kill(pid, 0) == 0);
        if (!kill_it) kill(pid, SIGKILL);
    }
}

// A program that no translator runs, if this one is translated.
static void become_true(void) { execl("/bin/true", "true", NULL); _exit(1); }
static void other_programs(void) {
    for (int way = 0; way < 2; way++) {
        pid_t pid = traced(become_true);
        P(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC);
        P(PTRACE_CONT, pid, 0, 0);
        wait_for(pid, "executed");
        int status, calls = 0;
        do {
            P(way ? PTRACE_SYSCALL : PTRACE_CONT, pid, 0, 0);
            waitpid(pid, &status, 0);
            calls += WIFSTOPPED(status) && WSTOPSIG(status) == (SIGTRAP | 0x80);
        } while (WIFSTOPPED(status));
        printf("true: %s, calls %d\n", text(status), calls > 5);
    }
}

static void *linger(void *a) { for (;;) pause(); return a; }
static void many_threads(void) {
    int ready[2];
    if (pipe(ready)) exit(1);
    pid_t pid = fork();
    if (!pid) {
        pthread_t t;
        for (int i = 0; i < 5; i++) pthread_create(&t, 0, linger, 0);
        write(ready[1], "x", 1);
        linger(0);
    }
    char c, path[60];
    read(ready[0], &c, 1);
    int n = 0, stopped = 0;
    pid_t all[20];
    for (int pass = 0; pass < 1; pass++) {
        snprintf(path, sizeof path, "ls /proc/%d/task", pid);
        FILE *f = popen(path, "r");
        while (n < 20 && fscanf(f, "%d", all + n) == 1) n++;
        pclose(f);
    }
    for (int i = 0; i < n; i++) {
        int status;
        P(PTRACE_ATTACH, all[i], 0, 0);
        if (waitpid(all[i], &status, __WALL) == all[i] && WIFSTOPPED(status)) stopped++;
    }
    printf("threads %d stopped %d\n", n, stopped);
    for (int i = 0; i < n; i++) P(PTRACE_DETACH, all[i], 0, 0);
    kill(pid, SIGKILL);
    wait_for(pid, "threads");
}

// The end of a process is told together with that of its last thread, also to one that only asks.
static volatile int sleepers;
static void *sleeps(void *a) { __sync_fetch_and_add(&sleepers, 1); for (;;) pause(); return a; }
static void with_sleepers(void) {
    pthread_t t;
    volatile unsigned long sum = 0;
    for (int i = 0; i < 6; i++) pthread_create(&t, 0, sleeps, 0);
    while (sleepers < 6) usleep(1000);
    // Hot code: a translator has something to do.
    for (unsigned long i = 0; i < 3000000; i++) sum += i * i;
    _exit(7);
}
static int dead(pid_t pid) {
    char path[40], line[200] = "", *end;
    sprintf(path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY);
    if (fd >= 0) { read(fd, line, sizeof line - 1); close(fd); }
    return (end = strrchr(line, ')')) && end[2] == 'Z';
}
static void last_told(void) {
    int late = 0, wrong = 0, status;
    while (waitpid(-1, &status, __WALL) > 0) {}
    for (int round = 0; round < 12; round++) {
        fflush(stdout);
        pid_t pid = fork();
        if (!pid) { P(PTRACE_TRACEME, 0, 0, 0); raise(SIGSTOP); with_sleepers(); }
        int made = 0, gone = 0;
        waitpid(pid, &status, __WALL);
        P(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACECLONE);
        P(PTRACE_CONT, pid, 0, 0);
        for (int stops = 0; stops < 12; stops++) {
            pid_t who = waitpid(-1, &status, __WALL);
            made += status >> 16 == PTRACE_EVENT_CLONE;
            P(PTRACE_CONT, who, 0, 0);
        }
        while (!dead(pid)) {
            siginfo_t info = {0};
            waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WNOWAIT | WNOHANG | __WALL);
            wrong += info.si_code == CLD_TRAPPED;
            usleep(1000);
        }
        while (gone < 6) {
            pid_t who = waitpid(-1, &status, __WALL | WNOHANG);
            if (who < 0 || who == pid) break;
            if (who) gone++; else usleep(100);
        }
        pid_t who = waitpid(-1, &status, __WALL | WNOHANG);
        if (!who) { late++; who = waitpid(-1, &status, __WALL); }
        wrong += made != 6 || gone != 6 || who != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 7;
    }
    printf("last told: %d late, %d wrong\n", late, wrong);
}

int main(int argc, char **argv) {
    if (argc > 2) return atoi(argv[2]);
    self = argv[0];
    setvbuf(stdout, 0, _IOLBF, 0);
    events();
    execute_at_once();
    attach();
    seize();
    call_into();
    interrupted();
    group_stop();
    filters();
    without_tracer();
    many_threads();
    other_programs();
    last_told();
}
