// What a debugger is tried on: a function to stop in, variables to watch, threads, a signal, an end.
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

volatile long counter;
volatile long watched[2];
static volatile int got;
static __thread int own = 11;

static void on_signal(int signal) { got = signal; }

static int add(int a, int b) {
    int sum = a + b;
    counter += sum;
    return sum;
}

static void *worker(void *p) {
    long n = (long)p;
    own += n;
    add(own, 0);
    return p;
}

static void *spin(void *p) {
    for (;;)
        counter++;
    return p;
}

int main(int argc, char **argv) {
    pthread_t threads[3];
    int nothing = 0;
    // As daemons do.
    syscall(SYS_close_range, 3, ~0u, 0);
    signal(SIGUSR1, on_signal);
    int five = add(2, 3);
    watched[0] = five;
    nothing += watched[0];
    watched[1] = nothing;
    for (long i = 0; i < 2; i++)
        pthread_create(&threads[i], 0, worker, (void *)(i + 1));
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], 0);
    raise(SIGUSR1);
    printf("counter %ld, signal %d\n", counter, got);
    fflush(stdout);
    if (argc > 1) {
        pthread_create(&threads[2], 0, spin, 0);
        pause();
    }
    if (getenv("CRASH"))
        *(volatile int *)0 = 1;
    return 3;
}
