/* Clocks by the C library, which asks the vDSO, between readings by system call: never out of order. */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long long ns(struct timespec t) { return t.tv_sec * 1000000000LL + t.tv_nsec; }

int main(void) {
    const char *names[] = { "real", "monotonic" };
    printf("vdso %d\n", getauxval(AT_SYSINFO_EHDR) != 0);
    for (int clock = 0; clock < 2; clock++) {
        int wrong = 0;
        for (int i = 0; i < 5000; i++) {
            struct timespec before, here, after;
            syscall(SYS_clock_gettime, clock, &before);
            clock_gettime(clock, &here);
            clock_gettime(clock, &here);
            syscall(SYS_clock_gettime, clock, &after);
            wrong += ns(here) < ns(before) || ns(here) > ns(after);
        }
        printf("%s: %d out of order\n", names[clock], wrong);
    }
    struct timeval day;
    struct timespec real, resolution;
    gettimeofday(&day, NULL);
    clock_gettime(CLOCK_REALTIME, &real);
    long long difference = ns(real) - (day.tv_sec * 1000000000LL + day.tv_usec * 1000LL);
    printf("time of day: %d\n", difference >= 0 && difference < 1000000000);
    printf("resolution: %d %ld\n", clock_getres(CLOCK_MONOTONIC, &resolution), resolution.tv_nsec);
    printf("no clock: %d\n", clock_gettime(77, &real));
    printf("process time: %d\n", clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &real));
    return 0;
}
