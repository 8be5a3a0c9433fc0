/* C11 atomics of every size by four threads at once, a lock-free stack and queue, message passing. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 4, ROUNDS = 20000 };
static atomic_uchar a8;
static atomic_ushort a16;
static atomic_uint a32, xor32, max32;
static atomic_ulong a64;
static _Alignas(16) unsigned __int128 a128;
static atomic_flag spin = ATOMIC_FLAG_INIT;
static long guarded;

static void *hammer(void *arg) {
    unsigned id = (unsigned)(long)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        atomic_fetch_add(&a8, 3);
        atomic_fetch_sub(&a16, 5);
        atomic_fetch_add_explicit(&a32, 7, memory_order_relaxed);
        atomic_fetch_xor(&xor32, i * 2654435761u + id);
        unsigned seen = atomic_load(&max32), want = i ^ id * 1000;
        while (seen < want && !atomic_compare_exchange_weak(&max32, &seen, want)) {}
        unsigned long old = atomic_load(&a64);
        while (!atomic_compare_exchange_strong(&a64, &old, old * 3 + 1 - old * 2)) {}
        while (atomic_flag_test_and_set_explicit(&spin, memory_order_acquire)) {}
        guarded++;
        atomic_flag_clear_explicit(&spin, memory_order_release);
        unsigned __int128 o = a128, n;
        do n = o + (((unsigned __int128)1 << 64) | 2);
        while (!__atomic_compare_exchange_n(&a128, &o, n, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    }
    return NULL;
}

/* A bounded queue of many producers and consumers, each cell with its own sequence number. */
enum { CELLS = 64 };
static struct { atomic_ulong sequence; unsigned long value; } cells[CELLS];
static atomic_ulong put_at, get_at, sum, taken;

static void *queue(void *arg) {
    unsigned long id = (unsigned long)arg;
    for (unsigned long i = 0; i < ROUNDS;) {
        if (id & 1) {
            unsigned long at = atomic_load_explicit(&put_at, memory_order_relaxed);
            unsigned long seq = atomic_load_explicit(&cells[at % CELLS].sequence, memory_order_acquire);
            if (seq == at && atomic_compare_exchange_weak(&put_at, &at, at + 1)) {
                cells[at % CELLS].value = ++i * id;
                atomic_store_explicit(&cells[at % CELLS].sequence, at + 1, memory_order_release);
            }
        } else {
            unsigned long at = atomic_load_explicit(&get_at, memory_order_relaxed);
            unsigned long seq = atomic_load_explicit(&cells[at % CELLS].sequence, memory_order_acquire);
            if (seq == at + 1 && atomic_compare_exchange_weak(&get_at, &at, at + 1)) {
                atomic_fetch_add(&sum, cells[at % CELLS].value);
                atomic_store_explicit(&cells[at % CELLS].sequence, at + CELLS, memory_order_release);
                atomic_fetch_add(&taken, 1), i++;
            }
        }
    }
    return NULL;
}

/* A turn of a wait for another thread. Where there are more threads than processors, spinning on
   costs the other one its time slice: after a while, let it run. */
static void spin_turn(unsigned *turns) {
    if (++*turns % 1000 == 0) sched_yield();
}

static int data[2];
static atomic_int ready[2];
static void *message(void *arg) {
    long id = (long)arg & 1, bad = 0;
    unsigned turns = 0;
    if ((long)arg > 1) return NULL;
    for (int i = 1; i <= ROUNDS; i++) {
        if (id == 0) {
            data[0] = i;
            atomic_store_explicit(&ready[0], i, memory_order_release);
            while (atomic_load_explicit(&ready[1], memory_order_acquire) != i) spin_turn(&turns);
            bad += data[1] != i;
        } else {
            while (atomic_load_explicit(&ready[0], memory_order_acquire) != i) spin_turn(&turns);
            bad += data[0] != i;
            data[1] = i;
            atomic_store_explicit(&ready[1], i, memory_order_release);
        }
    }
    return (void *)bad;
}

/* Store buffering: with sequential consistency not both may miss the other's store. */
static atomic_int flag[2], round_of[2];
static int missed[2][2000];
static void *dekker(void *arg) {
    long id = (long)arg;
    unsigned turns = 0;
    if (id > 1) return NULL;
    for (int i = 0; i < 2000; i++) {
        atomic_store(&round_of[id], i + 1);
        while (atomic_load(&round_of[!id]) < i + 1) spin_turn(&turns);
        atomic_store(&flag[id], i + 1);
        missed[id][i] = atomic_load(&flag[!id]) != i + 1;
    }
    return NULL;
}

static long all(void *(*f)(void *)) {
    pthread_t t[THREADS];
    long bad = 0;
    for (long i = 0; i < THREADS; i++) pthread_create(&t[i], NULL, f, (void *)i);
    for (int i = 0; i < THREADS; i++) {
        void *r;
        pthread_join(t[i], &r);
        bad += (long)r;
    }
    return bad;
}

int main(void) {
    all(hammer);
    printf("%u %u %u %u %u %lu %ld %lu %lu\n", a8, a16, a32, xor32, max32, a64, guarded, (unsigned long)(a128 >> 64),
           (unsigned long)a128);
    for (unsigned long i = 0; i < CELLS; i++) atomic_init(&cells[i].sequence, i);
    all(queue);
    printf("queue took %lu, sum %lu\n", taken, sum);
    printf("messages wrong %ld\n", all(message));
    all(dekker);
    int both = 0;
    for (int i = 0; i < 2000; i++) both += missed[0][i] && missed[1][i];
    printf("both missed %d\n", both);
    return 0;
}
