/* System call filters: numbers and architecture are AArch64's; they hold for threads, children and new programs. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define NR BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define ON(number, answer) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, answer)
#define ELSE(answer) BPF_STMT(BPF_RET | BPF_K, answer)

static int install(struct sock_filter *code, int n, int flags) {
    struct sock_fprog program = { n, code };
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

static void on_sys(int signal, siginfo_t *info, void *context) {
    ucontext_t *c = context;
    printf("trapped %d: code %d, datum %d, number %d, arch %x, at the call %d\n", signal, info->si_code,
           info->si_errno, info->si_syscall, info->si_arch, (unsigned long)info->si_call_addr == c->uc_mcontext.pc);
    c->uc_mcontext.regs[0] = 77;
}

static int waiting = 1;
static void *other(void *arg) {
    while (__atomic_load_n(&waiting, __ATOMIC_ACQUIRE)) usleep(1000);
    long r = syscall(SYS_getpriority, 0, 0);
    printf("in a thread: %ld %s\n", r, r < 0 ? strerror(errno) : "");
    return NULL;
}

static void *until(void *go) {
    while (!__atomic_load_n((int *)go, __ATOMIC_ACQUIRE)) usleep(1000);
    return NULL;
}

static void *killed(void *arg) {
    struct sock_filter kill[] = { NR, ON(SYS_getpid, SECCOMP_RET_KILL_THREAD), ELSE(SECCOMP_RET_ALLOW) };
    install(kill, 4, 0);
    syscall(SYS_getpid);
    syscall(SYS_exit_group, 1);
    return NULL;
}

static void died(const char *what, pid_t pid) {
    int s;
    waitpid(pid, &s, 0);
    if (WIFSIGNALED(s)) printf("%s: signal %d\n", what, WTERMSIG(s));
    else printf("%s: exit %d\n", what, WEXITSTATUS(s));
    fflush(stdout);
}

int main(int argc, char **argv) {
    pid_t pid;
    if (argc > 1) {
        long r = syscall(SYS_getppid);
        printf("after exec: %ld %s, mode %d\n", r, strerror(errno), prctl(PR_GET_SECCOMP));
        return 0;
    }
    struct sock_filter first[] = { NR, ON(SYS_getppid, SECCOMP_RET_ERRNO | ENOTNAM), ELSE(SECCOMP_RET_ALLOW) };
    struct sock_filter arch[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_AARCH64, 1, 0), ELSE(SECCOMP_RET_KILL_PROCESS),
        NR, ON(SYS_getpgid, SECCOMP_RET_TRAP | 5), ON(SYS_getpriority, SECCOMP_RET_ERRNO | EPERM),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_setpriority, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        ON(99, SECCOMP_RET_ERRNO | EDOM), ELSE(SECCOMP_RET_ALLOW) };
    struct sock_filter bad[] = { NR };

    printf("mode %d\n", prctl(PR_GET_SECCOMP));
    fflush(stdout);
    /* Strict mode, in children: what is allowed, and what is not. */
    if ((pid = fork()) == 0) {
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
        write(1, "still writing\n", 14);
        syscall(SYS_exit, 3);
    }
    died("strict", pid);
    if ((pid = fork()) == 0) {
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
        syscall(SYS_getpid);
        syscall(SYS_exit, 3);
    }
    died("strict, broken", pid);
    /* The only thread of a child takes the child with it, however many its parent has; one of two does not. */
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    pthread_t idle;
    int go = 0;
    pthread_create(&idle, NULL, until, &go);
    if ((pid = fork()) == 0) killed(NULL);
    died("kill the thread", pid);
    if ((pid = fork()) == 0) {
        pthread_t one;
        pthread_create(&one, NULL, killed, NULL);
        pthread_join(one, NULL);
        syscall(SYS_exit_group, 4);
    }
    died("kill one of two", pid);
    __atomic_store_n(&go, 1, __ATOMIC_RELEASE);
    pthread_join(idle, NULL);

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    printf("no return: %d %s\n", install(bad, 1, 0), strerror(errno));
    printf("unknown flag: %d %s\n", install(first, 4, 1 << 30), strerror(errno));
    printf("bad address: %d %s\n", install((void *)8, 4, 0), strerror(errno));
    unsigned action = SECCOMP_RET_TRAP, never = 0x12340000;
    printf("actions: %ld", syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action));
    printf(" %ld %s\n", syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &never), strerror(errno));

    pthread_t thread;
    pthread_create(&thread, NULL, other, NULL);
    printf("first: %d\n", install(first, 4, 0));
    printf("getppid: %ld %s\n", syscall(SYS_getppid), strerror(errno));
    printf("second, for all: %d, mode %d\n", install(arch, sizeof arch / sizeof *arch, SECCOMP_FILTER_FLAG_TSYNC),
           prctl(PR_GET_SECCOMP));
    fflush(stdout);
    __atomic_store_n(&waiting, 0, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    struct sigaction sa = { .sa_sigaction = on_sys, .sa_flags = SA_SIGINFO };
    sigaction(SIGSYS, &sa, NULL);
    printf("trap: %ld\n", syscall(SYS_getpgid, 0));
    printf("by argument: %ld %s\n", syscall(SYS_setpriority, 0, 99, 0), strerror(errno));
    printf("others pass: %d\n", getpid() > 0);
    fflush(stdout);
    if ((pid = fork()) == 0) {
        struct sock_filter kill[] = { NR, ON(SYS_getpid, SECCOMP_RET_KILL_PROCESS), ELSE(SECCOMP_RET_ALLOW) };
        install(kill, 4, 0);
        syscall(SYS_getpid);
        _exit(1);
    }
    died("kill", pid);
    if ((pid = fork()) == 0) {
        execl("/proc/self/exe", "again", "x", NULL);
        _exit(1);
    }
    died("exec", pid);
    return 0;
}
