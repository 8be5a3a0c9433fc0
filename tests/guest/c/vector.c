/* Vector arithmetic in GCC's own notation: the same source for both machines. argv[1]: rounds. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef int32_t v4i __attribute__((vector_size(16)));
typedef float v4f __attribute__((vector_size(16)));
typedef uint8_t v16b __attribute__((vector_size(16)));
enum { N = 1024 };
static v4f fa[N], fb[N];
static v4i ia[N], ib[N];
static v16b ba[N], bb[N];

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 20;
    for (int i = 0; i < N; i++)
        for (int k = 0; k < 16; k++) {
            fa[i][k & 3] = (float)(i + k), fb[i][k & 3] = 1.0f / (float)(i + k + 1);
            ia[i][k & 3] = i * k, ib[i][k & 3] = i - k;
            ba[i][k] = (uint8_t)(i + k), bb[i][k] = (uint8_t)(i * k);
        }
    for (int r = 0; r < rounds; r++)
        for (int i = 0; i < N; i++) {
            fa[i] = fa[i] * fb[i] + fb[(i + r) % N];
            ia[i] = (ia[i] * ib[i]) ^ (ib[i] >> 3) ^ (ia[(i + r) % N] > ib[i]);
            ba[i] = (ba[i] + bb[i]) ^ (bb[(i + r) % N] & ba[i]);
        }
    double f = 0;
    uint32_t h = 0;
    for (int i = 0; i < N; i++)
        for (int k = 0; k < 16; k++) f += fa[i][k & 3], h = h * 31 + (uint32_t)ia[i][k & 3] + ba[i][k];
    printf("vector %d rounds: %.6g %08x\n", rounds, f, h);
    return 0;
}
