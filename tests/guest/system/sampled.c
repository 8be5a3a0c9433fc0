// A program sees nothing of being sampled: no signal of its timers arrives, no call is interrupted, and the signal that
// they use is the program's as ever.
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t last, count;

static void handler(int signal) {
    last = signal;
    count++;
}

// Uses the processor for some milliseconds, so that timers run out.
static void spin(int ms) {
    struct timespec t;
    volatile unsigned sum = 0;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    long long end = t.tv_sec * 1000000000ll + t.tv_nsec + ms * 1000000ll;
    do {
        for (int i = 0; i < 1000; i++) sum += i;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    } while (t.tv_sec * 1000000000ll + t.tv_nsec < end);
}

int main(void) {
    struct sigaction action = {.sa_handler = handler};
    for (int s = 1; s <= 64; s++) {
        if (s != SIGKILL && s != SIGSTOP && s != SIGSEGV && s != SIGBUS) sigaction(s, &action, NULL);
    }
    int interrupted = 0;
    for (int i = 0; i < 40; i++) {
        spin(5);
        struct timespec nap = {0, 100000};
        interrupted += poll(NULL, 0, 1) != 0;
        interrupted += nanosleep(&nap, NULL) != 0;
    }
    printf("signals %d, interrupted calls %d\n", (int)count, interrupted);

    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMAX);
    sigprocmask(SIG_BLOCK, &set, &old);
    printf("blocked before: %d\n", sigismember(&old, SIGRTMAX));
    spin(20);
    sigpending(&set);
    printf("pending: %d\n", sigismember(&set, SIGRTMAX));
    kill(getpid(), SIGRTMAX);
    spin(20);
    sigpending(&set);
    printf("sent: pending %d, handled %d\n", sigismember(&set, SIGRTMAX), (int)count);
    sigprocmask(SIG_SETMASK, &old, NULL);
    printf("let in: handled %d, the last one %d\n", (int)count, (int)last);
    raise(SIGRTMAX);
    printf("raised: handled %d\n", (int)count);

    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMAX};
    timer_t timer;
    struct itimerspec once = {.it_value = {0, 1000000}};
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    timer_settime(timer, 0, &once, NULL);
    while (count < 3) usleep(1000);
    printf("its own timer: handled %d\n", (int)count);
    signal(SIGRTMAX, SIG_IGN);
    raise(SIGRTMAX);
    spin(20);
    signal(SIGRTMAX, SIG_DFL);
    puts("dies of it");
    fflush(stdout);
    raise(SIGRTMAX);
    puts("still alive");
    return 1;
}
