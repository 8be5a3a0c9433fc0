/* Sorting: quick, heap, shell, the C library's with a comparison function. argv[1]: elements. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed = 88172645463325252ull;
static uint64_t next(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static void quick(int32_t *v, long lo, long hi) {
    while (lo < hi) {
        int32_t pivot = v[(lo + hi) / 2];
        long i = lo, j = hi;
        while (i <= j) {
            while (v[i] < pivot) i++;
            while (v[j] > pivot) j--;
            if (i <= j) {
                int32_t t = v[i];
                v[i++] = v[j];
                v[j--] = t;
            }
        }
        quick(v, lo, j);
        lo = i;
    }
}

static void heap(int32_t *v, long n) {
    for (long start = n / 2 - 1, end = n - 1; end > 0;) {
        if (start >= 0) {
            start--;
        } else {
            int32_t t = v[0];
            v[0] = v[end];
            v[end--] = t;
        }
        for (long root = start + 1 > 0 ? start + 1 : 0, child; (child = 2 * root + 1) <= end; root = child) {
            if (child < end && v[child] < v[child + 1]) child++;
            if (v[root] >= v[child]) break;
            int32_t t = v[root];
            v[root] = v[child];
            v[child] = t;
        }
    }
}

static void shell(int32_t *v, long n) {
    for (long gap = n / 2; gap; gap /= 2)
        for (long i = gap; i < n; i++) {
            int32_t t = v[i];
            long j = i;
            for (; j >= gap && v[j - gap] > t; j -= gap) v[j] = v[j - gap];
            v[j] = t;
        }
}

static int compare(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static void check(const char *name, const int32_t *v, long n) {
    uint32_t sum = 0;
    int sorted = 1;
    for (long i = 0; i < n; i++) {
        sum = sum * 31 + (uint32_t)v[i];
        if (i && v[i - 1] > v[i]) sorted = 0;
    }
    printf("%s: %s %08x\n", name, sorted ? "sorted" : "WRONG", sum);
}

int main(int argc, char **argv) {
    long n = argc > 1 ? atol(argv[1]) : 3000;
    int32_t *data = malloc(n * sizeof *data), *v = malloc(n * sizeof *v);
    for (long i = 0; i < n; i++) data[i] = (int32_t)next();
    memcpy(v, data, n * sizeof *v), quick(v, 0, n - 1), check("quick", v, n);
    memcpy(v, data, n * sizeof *v), heap(v, n), check("heap", v, n);
    memcpy(v, data, n * sizeof *v), shell(v, n), check("shell", v, n);
    memcpy(v, data, n * sizeof *v), qsort(v, n, sizeof *v, compare), check("qsort", v, n);
    free(data);
    free(v);
    return 0;
}
