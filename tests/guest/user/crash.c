// Dies of a signal, with a thread asleep and one at work. Usage: crash segv|abort; vfork: only a child does that has
// this program's memory.
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

volatile double approximately = 2.5;
const char *volatile message = "what was in memory";
static sem_t started;

static void *sleeper(void *arg) {
    sem_post(&started);
    pause();
    return arg;
}

__attribute__((noinline)) static void spin_here(void) {
    register uint64_t counter __asm__("x20") = 0;
    sem_post(&started);
    for (;;) {
        counter++;
        __asm__ volatile("" : "+r"(counter));
    }
}

static void *worker(void *arg) {
    spin_here();
    return arg;
}

__attribute__((noinline)) static void crash_here(int *where) {
    register uint64_t mark __asm__("x21") = 0x1122334455667788;
    register double value __asm__("d8") = 1.5;
    __asm__ volatile("" : : "r"(mark), "w"(value));
    *where = 7;
    __asm__ volatile("" : : "r"(mark), "w"(value));
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "vfork") == 0) {
        int status;
        pid_t pid = vfork();
        if (pid == 0) *(volatile int *)0x1238 = 1;
        waitpid(pid, &status, 0);
        printf("alive, the child died of %d\n", WTERMSIG(status));
        return 0;
    }
    pthread_t a, b;
    sem_init(&started, 0, 0);
    pthread_create(&a, 0, sleeper, 0);
    pthread_create(&b, 0, worker, 0);
    sem_wait(&started);
    sem_wait(&started);
    char *big = malloc(8 << 20);
    memset(big + (4 << 20), 'x', 4096);
    if (argc > 1 && strcmp(argv[1], "abort") == 0) abort();
    crash_here((int *)0x1230);
}
