/* Faults that the program handles: a page that is made accessible where it is touched (a collector's barrier), and a
   poll that is stopped by taking its page away (a safepoint). argv[1]: hundreds of rounds. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { PAGE = 4096, PAGES = 32 };
static char *heap, *poll;
static volatile long barriers, stops;

static void on_fault(int s, siginfo_t *info, void *context) {
    char *at = info->si_addr;
    (void)s, (void)context;
    if (at >= heap && at < heap + PAGES * PAGE) {
        mprotect((char *)((uintptr_t)at & ~(uintptr_t)(PAGE - 1)), PAGE, PROT_READ | PROT_WRITE);
        barriers++;
    } else if (at == poll) {
        mprotect(poll, PAGE, PROT_READ);
        stops++;
    } else {
        abort();
    }
}

__attribute__((noinline)) static long work(long n) {
    long sum = 0;
    for (long i = 0; i < n; i++) {
        sum += i ^ sum << 1;
        (void)*(volatile char *)poll;
    }
    return sum;
}

int main(int argc, char **argv) {
    long n = (argc > 1 ? atol(argv[1]) : 1) * 100, sum = 0;
    struct sigaction act = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGSEGV, &act, NULL);
    heap = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    poll = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (long i = 0; i < n; i++) {
        if (i % PAGES == 0) mprotect(heap, PAGES * PAGE, PROT_READ);
        heap[i * 5 % PAGES * PAGE + i % PAGE]++;
        if (i % 4 == 0) mprotect(poll, PAGE, PROT_NONE);
        sum += work(100);
    }
    for (long i = 0; i < PAGES * PAGE; i++) sum += heap[i];
    printf("faults %ld %ld %ld\n", sum, barriers, stops);
    return 0;
}
