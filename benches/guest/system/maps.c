/* Memory is mapped, touched, protected and unmapped, beside others that stay. argv[1]: hundreds of rounds. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { PAGE = 4096, KEPT = 64, PAGES = 16 };

int main(int argc, char **argv) {
    long n = (argc > 1 ? atol(argv[1]) : 1) * 100, sum = 0;
    char *kept[KEPT];
    for (int i = 0; i < KEPT; i++) {
        kept[i] = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        mprotect(kept[i], PAGE, PROT_READ);
    }
    for (long i = 0; i < n; i++) {
        char *at = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED) return 1;
        at[0] = (char)i;
        at[(PAGES - 1) * PAGE] = 1;
        mprotect(at + 4 * PAGE, 4 * PAGE, PROT_NONE);
        mprotect(at + 4 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE);
        at[5 * PAGE] = 2;
        madvise(at, PAGE, MADV_DONTNEED);
        sum += at[0] + at[5 * PAGE] + at[(PAGES - 1) * PAGE];
        munmap(at + 8 * PAGE, 4 * PAGE);
        munmap(at, PAGES * PAGE);
        char *k = kept[i % KEPT];
        mprotect(k, PAGE, PROT_READ | PROT_WRITE);
        k[0]++;
        mprotect(k, PAGE, PROT_READ);
    }
    for (int i = 0; i < KEPT; i++) sum += kept[i][0];
    printf("maps %ld\n", sum);
    return 0;
}
