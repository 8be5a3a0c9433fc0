/* SHA-256 in plain C, of a message made up here. argv[1]: KiB. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t k[64], h[8];

/* The constants are the first bits of roots of primes: computed exactly by integer search. */
static uint32_t root_bits(unsigned p, int cube) {
    __uint128_t target = (__uint128_t)p << (cube ? 96 : 64);
    uint64_t r = 0;
    for (int bit = 36; bit >= 0; bit--) {
        uint64_t t = r | 1ull << bit;
        __uint128_t power = cube ? (__uint128_t)t * t * t : (__uint128_t)t * t;
        if (power <= target) r = t;
    }
    return (uint32_t)r;
}

static void constants(void) {
    for (unsigned p = 2, n = 0; n < 64; p++) {
        int prime = 1;
        for (unsigned d = 2; d * d <= p; d++) prime &= p % d != 0;
        if (!prime) continue;
        if (n < 8) h[n] = root_bits(p, 0);
        k[n++] = root_bits(p, 1);
    }
}

#define ROR(x, n) ((x) >> (n) | (x) << (32 - (n)))
static void block(const uint8_t *p) {
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++) w[i] = (uint32_t)p[4 * i] << 24 | p[4 * i + 1] << 16 | p[4 * i + 2] << 8 | p[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (ROR(a, 7) ^ ROR(a, 18) ^ a >> 3) + w[i - 7] + (ROR(b, 17) ^ ROR(b, 19) ^ b >> 10);
    }
    memcpy(s, h, sizeof s);
    for (int i = 0; i < 64; i++) {
        uint32_t e = s[4], a = s[0];
        uint32_t t1 = s[7] + (ROR(e, 6) ^ ROR(e, 11) ^ ROR(e, 25)) + ((e & s[5]) ^ (~e & s[6])) + k[i] + w[i];
        uint32_t t2 = (ROR(a, 2) ^ ROR(a, 13) ^ ROR(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += t1;
        s[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++) h[i] += s[i];
}

int main(int argc, char **argv) {
    size_t len = (argc > 1 ? (size_t)atol(argv[1]) : 16) * 1024;
    uint8_t *m = malloc(len + 128);
    for (size_t i = 0; i < len; i++) m[i] = (uint8_t)(i * 131 ^ i >> 8);
    size_t end = len / 64 * 64 + 64;
    memset(m + len, 0, end - len);
    m[len] = 0x80;
    for (int i = 0; i < 8; i++) m[end - 1 - i] = (uint8_t)((uint64_t)len * 8 >> (8 * i));
    constants();
    for (size_t i = 0; i < end; i += 64) block(m + i);
    for (int i = 0; i < 8; i++) printf("%08x", h[i]);
    putchar('\n');
    free(m);
    return 0;
}
