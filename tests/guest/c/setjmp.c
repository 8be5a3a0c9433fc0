/* Leaving by longjmp: through frames, out of qsort, in a loop, with callee-saved registers restored. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

static jmp_buf env;

__attribute__((noinline)) static void deep(int n, double x) {
    volatile char frame[64];
    frame[n & 63] = (char)n;
    if (n != 0) deep(n - 1, x + 0.5);
    if (n == 0) longjmp(env, (int)x);
    frame[0]++;
}

static int compare(const void *a, const void *b) {
    if (*(const int *)a == 42) longjmp(env, 77);
    return *(const int *)a - *(const int *)b;
}

int main(void) {
    volatile int tries = 0;
    for (volatile int i = 1; i < 6; i++) {
        double kept = i * 1.25;
        long saved = i * 1000003l;
        int r = setjmp(env);
        if (r == 0) deep(i * 10, i);
        tries++;
        printf("%d: came back with %d, kept %g, saved %ld\n", tries, r, (double)tries * 1.25, (long)tries * 1000003l);
        (void)kept, (void)saved;
    }
    int v[] = { 5, 42, 3, 9 };
    if (setjmp(env) == 0) {
        qsort(v, 4, sizeof *v, compare);
        puts("not left");
    } else {
        puts("left qsort");
    }
    return 0;
}
