/* Signals to oneself, on the stack and on another one, masks, and a timer's. argv[1]: thousands of rounds. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

static volatile long heard, elsewhere, ticks;
static char stack[1 << 16];

static void on_usr1(int s) { heard += s == SIGUSR1; }
static void on_usr2(int s, siginfo_t *info, void *context) {
    char here;
    (void)context;
    elsewhere += s == SIGUSR2 && info->si_pid == getpid() && &here >= stack && &here < stack + sizeof stack;
}
static void on_alarm(int s) { ticks += s == SIGALRM; }

int main(int argc, char **argv) {
    long n = (argc > 1 ? atol(argv[1]) : 1) * 1000;
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction usr1 = {.sa_handler = on_usr1}, alarms = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct sigaction usr2 = {.sa_sigaction = on_usr2, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaltstack(&alternate, NULL);
    sigaction(SIGUSR1, &usr1, NULL);
    sigaction(SIGUSR2, &usr2, NULL);
    sigaction(SIGALRM, &alarms, NULL);
    struct itimerval every = {{0, 1000}, {0, 1000}}, off = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &every, NULL);
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pid_t self = getpid();
    for (long i = 0; i < n; i++) {
        kill(self, SIGUSR1);
        raise(SIGUSR2);
        sigprocmask(SIG_BLOCK, &set, &old);
        kill(self, SIGUSR1);
        sigprocmask(SIG_SETMASK, &old, NULL);
    }
    while (ticks == 0) pause();
    setitimer(ITIMER_REAL, &off, NULL);
    printf("signals %ld %ld\n", heard, elsewhere);
    return 0;
}
