/* Children and grandchildren that have code of their own to run, hot and new, while their parents go on with theirs: all
   must come to the same results, whoever shares translations with whom. Threads come and go on both sides. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 1 << 16, ROUNDS = 3000 };
typedef uint64_t (*function)(uint64_t);
static uint32_t *code;

/* Function `n` of those made by process `who`: (x + n) * (who + 3). */
static function make(unsigned n, unsigned who) {
    uint32_t *at = code + n * 16;
    at[0] = 0x91000000u | n << 10;          /* add x0, x0, #n */
    at[1] = 0xd2800001u | (who + 3) << 5;   /* mov x1, #(who + 3) */
    at[2] = 0x9b017c00u;                    /* mul x0, x0, x1 */
    at[3] = 0xd65f03c0u;                    /* ret */
    __builtin___clear_cache((char *)at, (char *)(at + 4));
    return (function)at;
}

static uint64_t run(unsigned who) {
    uint64_t x = 1, wanted = 1;
    for (unsigned n = 0; n < 200; n++) {
        function f = make(n, who);
        for (unsigned i = 0; i < ROUNDS / 20; i++) {
            x = f(x);
            wanted = (wanted + n) * (who + 3);
        }
    }
    return x ^ wanted;
}

static void *in_thread(void *arg) {
    unsigned sum = 0;
    for (unsigned i = 0; i < ROUNDS; i++) sum += i * (unsigned)(uintptr_t)arg;
    return (void *)(uintptr_t)sum;
}

static int threads(void) {
    int bad = 0;
    for (unsigned i = 0; i < 20; i++) {
        pthread_t t[12];
        for (uintptr_t k = 0; k < 12; k++)
            if (pthread_create(t + k, NULL, in_thread, (void *)k) != 0) return 1;
        for (uintptr_t k = 0; k < 12; k++) {
            void *sum;
            pthread_join(t[k], &sum);
            bad += (unsigned)(uintptr_t)sum != (unsigned)k * (ROUNDS * (ROUNDS - 1) / 2);
        }
    }
    return bad;
}

static int family(unsigned depth, unsigned who) {
    pid_t children[3] = {0};
    int bad = run(who) != 0;
    for (unsigned i = 0; depth > 0 && i < 3; i++) {
        children[i] = fork();
        if (children[i] == 0) _exit(family(depth - 1, who * 4 + i + 1) != 0);
        /* The parent's own code changes while the child runs the old. */
        bad += run(who + 100 + i) != 0;
    }
    bad += threads();
    for (unsigned i = 0; depth > 0 && i < 3; i++) {
        int status;
        bad += waitpid(children[i], &status, 0) != children[i] || status != 0;
    }
    return bad;
}

int main(void) {
    code = mmap(NULL, SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("threads %d\n", threads());
    printf("family %d\n", family(2, 0));
    return 0;
}
