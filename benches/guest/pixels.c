/* Pictures: plain C that compilers turn into vector code. argv[1]: frames. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { N = 1 << 14 };
static uint8_t a[N], b[N], out[N];
static int16_t filtered[N];

static void blend(const uint8_t *restrict x, const uint8_t *restrict y, uint8_t *restrict to, int alpha) {
    for (int i = 0; i < N; i++) to[i] = (uint8_t)((x[i] * alpha + y[i] * (256 - alpha) + 128) >> 8);
}

static void brighten(uint8_t *restrict x, int by) {
    for (int i = 0; i < N; i++) {
        int v = x[i] + by;
        x[i] = (uint8_t)(v > 255 ? 255 : v);
    }
}

static uint32_t difference(const uint8_t *restrict x, const uint8_t *restrict y) {
    uint32_t sum = 0;
    for (int i = 0; i < N; i++) sum += (uint32_t)abs(x[i] - y[i]);
    return sum;
}

static void filter(const uint8_t *restrict x, int16_t *restrict to) {
    for (int i = 2; i < N - 2; i++) to[i] = (int16_t)(x[i - 2] - 5 * x[i - 1] + 20 * x[i] - 5 * x[i + 1] + x[i + 2]);
}

static int32_t energy(const int16_t *restrict x) {
    int32_t sum = 0;
    for (int i = 0; i < N; i++) sum += x[i] * x[i] >> 8;
    return sum;
}

int main(int argc, char **argv) {
    int frames = argc > 1 ? atoi(argv[1]) : 20;
    uint32_t h = 0;
    for (int i = 0; i < N; i++) a[i] = (uint8_t)(i * 7), b[i] = (uint8_t)(i >> 3);
    for (int f = 0; f < frames; f++) {
        blend(a, b, out, f & 255);
        brighten(out, f & 31);
        filter(out, filtered);
        h = h * 31 + difference(out, a) + (uint32_t)energy(filtered);
        a[f % N] ^= (uint8_t)h;
    }
    printf("pixels %d frames: %08x\n", frames, h);
    return 0;
}
