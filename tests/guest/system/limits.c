// All mappings that a process can have, taken in three ways: each ends with ENOMEM, and life goes on at the limit, code
// that has not run before included.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 1 << 17 };

static char *reserve(int prot) {
    char *area = mmap(NULL, (size_t)PAGES * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED) perror("mmap");
    return area;
}

static int compare(const void *a, const void *b) {
    return *(const int *)a - *(const int *)b;
}

// Code of the program and of the library that has not run yet: it is translated at the limit.
static void work(int round) {
    static int numbers[4000];
    for (int i = 0; i < 4000; i++) numbers[i] = (int)((i * 2654435761u) >> 8) % 1000;
    if (round == 0) qsort(numbers, 4000, sizeof numbers[0], compare);
    char text[200];
    snprintf(text, sizeof text, "%d %.3f %s", numbers[round], 1.0 / (round + 3), round ? strerror(EDOM) : "sorted");
    puts(text);
    if (round == 1) printf("%ld %d\n", strtol("123abc", NULL, 16), strcasecmp("Arm", "ARM"));
}

int main(void) {
    setbuf(stdout, NULL);
    for (int round = 0; round < 3; round++) {
        char *area = reserve(PROT_READ);
        int failed = 0, at = 0;
        for (int i = 0; i < PAGES && !failed; i += 2, at = i) {
            char *page = area + (size_t)i * PAGE;
            if (round == 0) failed = mprotect(page, PAGE, PROT_NONE) != 0;
            if (round == 1) failed = munmap(page + PAGE, PAGE) != 0;
            if (round == 2) failed = madvise(page, PAGE, MADV_DONTFORK) != 0;
        }
        printf("round %d: %s after %s\n", round, failed ? strerror(errno) : "no end", at > 30000 ? "many" : "few");
        // Some more attempts, which take what is left.
        for (int i = 0; i < 2000; i++) {
            void *more = mmap(NULL, PAGE, i % 2 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            (void)more;
            if (i == 0) work(round);
        }
        munmap(area, (size_t)PAGES * PAGE);
        char *again = reserve(PROT_READ | PROT_WRITE);
        again[0] = 1;
        printf("and again: %d\n", again[0]);
        munmap(again, (size_t)PAGES * PAGE);
    }
}
