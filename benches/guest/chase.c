/* Latency of loads: a walk along a random ring, a hash table, a byte histogram. argv[1]: thousands of steps. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { RING = 1 << 12, TABLE = 1 << 14 };
static uint32_t ring[RING], histogram[256];
static struct { uint64_t key, value; } table[TABLE];

static uint64_t seed = 88172645463325252ull;
static uint64_t next(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static void make_ring(void) {
    for (uint32_t i = 0; i < RING; i++) ring[i] = i;
    /* Sattolo: one cycle through all. */
    for (uint32_t i = RING - 1; i > 0; i--) {
        uint32_t j = (uint32_t)(next() % i), t = ring[i];
        ring[i] = ring[j];
        ring[j] = t;
    }
}

static uint64_t count(uint64_t key) {
    uint32_t at = (uint32_t)(key * 0x9e3779b97f4a7c15ull >> 50);
    while (table[at].key != 0 && table[at].key != key) at = (at + 1) % TABLE;
    table[at].key = key;
    return ++table[at].value;
}

int main(int argc, char **argv) {
    uint64_t steps = (argc > 1 ? strtoull(argv[1], NULL, 10) : 100) * 1000, sum = 0;
    make_ring();
    uint32_t at = 0;
    for (uint64_t i = 0; i < steps; i++) {
        at = ring[at];
        sum += count(1 + (at ^ i) % 8000);
        histogram[(uint8_t)(sum >> 3)]++;
    }
    for (int i = 0; i < 256; i++) sum = sum * 31 + histogram[i];
    printf("chase %u %016llx\n", at, (unsigned long long)sum);
    return 0;
}
