/* Bandwidth: STREAM's four kernels on doubles, and the library's memcpy. argv[1]: rounds. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 1 << 17 };
static double a[N], b[N], c[N];

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 2;
    for (int i = 0; i < N; i++) a[i] = 1 + i % 7, b[i] = 2, c[i] = 0;
    for (int r = 0; r < rounds; r++) {
        for (int i = 0; i < N; i++) c[i] = a[i];
        for (int i = 0; i < N; i++) b[i] = 0.4 * c[i];
        for (int i = 0; i < N; i++) c[i] = a[i] + b[i];
        for (int i = 0; i < N; i++) a[i] = b[i] + 0.5 * c[i];
        memcpy(b, c, sizeof b);
        memmove((char *)c + 24, c, sizeof c - 24);
    }
    double sum = 0;
    for (int i = 0; i < N; i++) sum += a[i] + b[i] + c[i];
    printf("memory %.10g\n", sum);
    return 0;
}
