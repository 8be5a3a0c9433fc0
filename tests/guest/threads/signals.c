/* Signals between threads: pthread_kill, masks, sigwait, timers with and without SA_RESTART, many at once. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static atomic_int got, ticks, stop;
static pthread_t worker_id;
static atomic_int right_thread;

static void on_usr1(int sig, siginfo_t *info, void *ctx) {
    (void)ctx;
    if (sig == SIGUSR1 && info->si_pid == getpid()) got++;
    if (pthread_equal(pthread_self(), worker_id)) right_thread++;
}
static void on_alarm(int sig) { (void)sig, ticks++; }

static void *worker(void *arg) {
    (void)arg;
    volatile double x = 1;
    unsigned long n = 0;
    while (!stop) {
        /* FP and integer state must survive every interruption. */
        double before = x;
        for (int i = 0; i < 100; i++) x = x * 1.000001, n += (unsigned long)i;
        for (int i = 0; i < 100; i++) x = x / 1.000001;
        if (x > before * 1.0001 || x < before * 0.9999) return (void *)1;
        x = 1;
    }
    return (void *)(n % 4950 != 0 ? 2L : 0L);
}

static void *waiter(void *arg) {
    sigset_t *set = arg;
    int sig = 0;
    sigwait(set, &sig);
    return (void *)(long)sig;
}

static void timers(int flags) {
    struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = flags };
    sigaction(SIGALRM, &sa, NULL);
    int pipes[2];
    if (pipe(pipes) != 0) return;
    struct itimerval soon = { { 0, 0 }, { 0, 20000 } };
    int before = ticks;
    if (flags & SA_RESTART) {
        /* The read is restarted after the tick; a byte from a child ends it. */
        if (fork() == 0) {
            usleep(200000);
            (void)!write(pipes[1], "x", 1);
            _exit(0);
        }
    }
    setitimer(ITIMER_REAL, &soon, NULL);
    char c;
    ssize_t n = read(pipes[0], &c, 1);
    printf("read gave %zd%s after %d tick\n", n, n < 0 && errno == EINTR ? " EINTR" : "", ticks - before);
    struct timespec t = { 0, 300000000 }, rest;
    setitimer(ITIMER_REAL, &soon, NULL);
    int r = nanosleep(&t, &rest);
    printf("nanosleep %d %s, rest %s\n", r, r ? strerror(errno) : "", r && rest.tv_nsec > 100000000 ? "left" : "none");
    close(pipes[0]);
    close(pipes[1]);
}

int main(void) {
    struct sigaction sa = { .sa_sigaction = on_usr1, .sa_flags = SA_SIGINFO | SA_RESTART };
    sigaction(SIGUSR1, &sa, NULL);
    pthread_create(&worker_id, NULL, worker, NULL);
    for (int i = 0; i < 500; i++) {
        int before = got;
        if (pthread_kill(worker_id, SIGUSR1) != 0) puts("kill failed");
        while (got == before) sched_yield();
    }
    stop = 1;
    void *r;
    pthread_join(worker_id, &r);
    printf("handled %d, on the right thread %d, state errors %ld\n", got, right_thread, (long)r);

    sigset_t set, old, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, &old);
    pthread_t w;
    pthread_create(&w, NULL, waiter, &set);
    kill(getpid(), SIGUSR2);
    pthread_join(w, &r);
    printf("sigwait %d\n", (int)(long)r == SIGUSR2);
    raise(SIGUSR2);
    sigpending(&pending);
    printf("pending %d\n", sigismember(&pending, SIGUSR2));
    struct timespec zero = { 0, 0 };
    printf("taken %d, again %d\n", sigtimedwait(&set, NULL, &zero) == SIGUSR2, sigtimedwait(&set, NULL, &zero));

    timers(SA_RESTART);
    timers(0);
    struct sigaction tick = { .sa_handler = on_alarm };
    sigaction(SIGVTALRM, &tick, NULL);
    struct itimerval often = { { 0, 2000 }, { 0, 2000 } }, off = { { 0, 0 }, { 0, 0 } };
    int before = ticks;
    setitimer(ITIMER_VIRTUAL, &often, NULL);
    volatile unsigned long spin = 0;
    while (ticks - before < 20) spin++;
    setitimer(ITIMER_VIRTUAL, &off, NULL);
    puts("twenty virtual ticks");
    return 0;
}
