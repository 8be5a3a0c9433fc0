/* argv[1]: "mutex" is four threads that want the same one, "spawn" makes threads and joins them; argv[2]: how often. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 4 };
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long total, rounds;

static void *contend(void *own) {
    unsigned seed = (unsigned)(size_t)own;
    for (long i = 0; i < rounds; i++) {
        pthread_mutex_lock(&mutex);
        total++;
        pthread_mutex_unlock(&mutex);
        for (int k = 0; k < 20; k++) seed = seed * 1103515245 + 12345;
    }
    return (void *)(size_t)(seed & 1);
}

static void *one(void *n) { return (void *)((size_t)n + 1); }

int main(int argc, char **argv) {
    int spawn = argc > 1 && !strcmp(argv[1], "spawn");
    rounds = argc > 2 ? atol(argv[2]) : 100;
    pthread_t t[THREADS];
    for (long i = 0; spawn && i < rounds; i++) {
        void *n = NULL;
        if (pthread_create(t, NULL, one, (void *)i) != 0 || pthread_join(*t, &n) != 0) return 1;
        total += (long)(size_t)n;
    }
    for (size_t i = 0; !spawn && i < THREADS; i++)
        if (pthread_create(t + i, NULL, contend, (void *)i) != 0) return 1;
    for (size_t i = 0; !spawn && i < THREADS; i++) pthread_join(t[i], NULL);
    printf("threads %ld\n", total);
    return 0;
}
