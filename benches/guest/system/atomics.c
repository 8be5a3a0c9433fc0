/* Atomic operations that nobody else disturbs, of two sizes. argv[1]: thousands of rounds. */
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static _Atomic uint64_t count, set, last;
static _Atomic uint32_t lock, small;

int main(int argc, char **argv) {
    uint64_t rounds = (argc > 1 ? strtoull(argv[1], NULL, 10) : 100) * 1000, sum = 0;
    for (uint64_t i = 0; i < rounds; i++) {
        /* A lock, as most people write it. */
        uint32_t free = 0;
        while (!atomic_compare_exchange_weak_explicit(&lock, &free, 1, memory_order_acquire, memory_order_relaxed))
            free = 0;
        sum += atomic_fetch_add(&count, i);
        atomic_store_explicit(&lock, 0, memory_order_release);
        sum ^= atomic_exchange(&last, i);
        atomic_fetch_add_explicit(&small, 1, memory_order_relaxed);
        uint64_t seen = atomic_load_explicit(&set, memory_order_acquire);
        while (!atomic_compare_exchange_strong(&set, &seen, (seen ^ i) * 3)) {
        }
    }
    printf("atomics %llu %llu %u %llu\n", (unsigned long long)sum, (unsigned long long)count, (unsigned)small,
           (unsigned long long)set);
    return 0;
}
