/* The set as a checksum and a small picture: double compare and multiply. argv[1]: size. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static int depth(double cr, double ci) {
    double zr = 0, zi = 0;
    int n = 0;
    for (; n < 200 && zr * zr + zi * zi <= 4; n++) {
        double t = zr * zr - zi * zi + cr;
        zi = 2 * zr * zi + ci;
        zr = t;
    }
    return n;
}

int main(int argc, char **argv) {
    int size = argc > 1 ? atoi(argv[1]) : 48;
    uint32_t sum = 0;
    for (int y = 0; y < size; y++) {
        for (int x = 0; x < size; x++) {
            int n = depth(3.0 * x / size - 2.2, 2.4 * y / size - 1.2);
            sum = sum * 31 + (uint32_t)n;
            if (size <= 64) putchar(" .:-=+*#%@"[n * 9 / 200]);
        }
        if (size <= 64) putchar('\n');
    }
    printf("%08x\n", sum);
    return 0;
}
