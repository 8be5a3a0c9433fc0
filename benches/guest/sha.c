/* SHA-256's instructions, on blocks of counters with made-up constants. argv[1]: thousands of blocks. */
#include <arm_neon.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    long blocks = (argc > 1 ? atol(argv[1]) : 10) * 1000;
    uint32_t k[64];
    for (uint32_t i = 0; i < 64; i++) k[i] = (i + 1) * 0x9e3779b9u;
    uint32x4_t a = vld1q_u32(k), e = vld1q_u32(k + 4);
    for (long n = 0; n < blocks; n++) {
        uint32x4_t w[4], a0 = a, e0 = e;
        for (uint32_t i = 0; i < 4; i++) w[i] = vdupq_n_u32((uint32_t)n * 4 + i);
        for (int i = 0; i < 16; i++) {
            uint32x4_t x = vaddq_u32(w[i & 3], vld1q_u32(k + 4 * i)), before = a;
            a = vsha256hq_u32(a, e, x);
            e = vsha256h2q_u32(e, before, x);
            w[i & 3] = vsha256su1q_u32(vsha256su0q_u32(w[i & 3], w[(i + 1) & 3]), w[(i + 2) & 3], w[(i + 3) & 3]);
        }
        a = vaddq_u32(a, a0);
        e = vaddq_u32(e, e0);
    }
    printf("sha %ld blocks: %08x%08x\n", blocks, vgetq_lane_u32(a, 0), vgetq_lane_u32(e, 3));
    return 0;
}
