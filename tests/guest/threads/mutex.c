/* Mutexes, condition variables, barriers, read-write locks, semaphores, thread-local storage, keys, once. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 4, ROUNDS = 5000 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER, not_full = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static sem_t sem;
static _Thread_local long mine = 7;
static long counter, queue[8], head, tail, consumed, shared, once_runs, destroyed;

static void *count(void *arg) {
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&lock);
        counter += (long)arg;
        pthread_mutex_unlock(&lock);
        mine += (long)arg;
    }
    return (void *)mine;
}

static void *produce(void *arg) {
    for (long i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&lock);
        while (tail - head == 8) pthread_cond_wait(&not_full, &lock);
        queue[tail++ & 7] = i + (long)arg;
        pthread_cond_signal(&not_empty);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static void *consume(void *arg) {
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&lock);
        while (tail == head) pthread_cond_wait(&not_empty, &lock);
        consumed += queue[head++ & 7];
        pthread_cond_signal(&not_full);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static void *meet(void *arg) {
    static long slots[THREADS];
    long id = (long)arg, bad = 0;
    for (int i = 0; i < 200; i++) {
        slots[id] = i;
        pthread_barrier_wait(&barrier);
        for (int k = 0; k < THREADS; k++) bad += slots[k] != i;
        pthread_barrier_wait(&barrier);
    }
    return (void *)bad;
}

static void *read_write(void *arg) {
    long bad = 0;
    for (int i = 0; i < 2000; i++)
        if (i % 10 == (long)arg) {
            pthread_rwlock_wrlock(&rw);
            shared++, shared++;
            pthread_rwlock_unlock(&rw);
        } else {
            pthread_rwlock_rdlock(&rw);
            bad += shared & 1;
            pthread_rwlock_unlock(&rw);
        }
    return (void *)bad;
}

static void run_once(void) { once_runs++; }
static void destroy(void *p) { __atomic_fetch_add(&destroyed, *(long *)p, __ATOMIC_SEQ_CST), free(p); }
static void *keys(void *arg) {
    pthread_once(&once, run_once);
    long *p = malloc(sizeof *p);
    *p = (long)arg + 1;
    pthread_setspecific(key, p);
    sem_wait(&sem);
    errno = (int)(long)arg + 100;
    sem_post(&sem);
    return (void *)(errno == (int)(long)arg + 100 && pthread_getspecific(key) == p ? 0L : 1L);
}

static long all(void *(*f)(void *)) {
    pthread_t t[THREADS];
    long sum = 0;
    for (long i = 0; i < THREADS; i++) pthread_create(&t[i], NULL, f, (void *)i);
    for (int i = 0; i < THREADS; i++) {
        void *r;
        pthread_join(t[i], &r);
        sum += (long)r;
    }
    return sum;
}

int main(void) {
    long locals = all(count);
    printf("counter %ld, thread locals %ld\n", counter, locals);
    pthread_t p[2], c[2];
    for (long i = 0; i < 2; i++) pthread_create(&p[i], NULL, produce, (void *)i), pthread_create(&c[i], NULL, consume, NULL);
    for (int i = 0; i < 2; i++) pthread_join(p[i], NULL), pthread_join(c[i], NULL);
    printf("consumed %ld\n", consumed);
    pthread_barrier_init(&barrier, NULL, THREADS);
    printf("barrier errors %ld\n", all(meet));
    long bad = all(read_write);
    printf("read-write errors %ld, total %ld\n", bad, shared);
    pthread_key_create(&key, destroy);
    sem_init(&sem, 0, 1);
    bad = all(keys);
    printf("key errors %ld, once %ld, destroyed %ld\n", bad, once_runs, destroyed);
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_t checked;
    pthread_mutex_init(&checked, &attr);
    pthread_mutex_lock(&checked);
    printf("deadlock noticed %d\n", pthread_mutex_lock(&checked) == EDEADLK);
    return 0;
}
