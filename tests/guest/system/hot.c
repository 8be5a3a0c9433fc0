// Most of its time goes to hot(), which middle() calls; cool() gets some. With two arguments it first runs the program that
// the second names in a child, then becomes it.
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((noinline)) unsigned hot(unsigned x, int n) {
    for (int i = 0; i < n; i++) x = x * 1664525 + 1013904223;
    return x;
}

__attribute__((noinline)) unsigned cool(unsigned x, int n) {
    for (int i = 0; i < n; i++) x = (x >> 1) ^ (x & 1 ? 0xedb88320u : 0);
    return x;
}

__attribute__((noinline)) unsigned middle(unsigned x) {
    x = hot(x, 500000);
    return cool(x, 30000) + 1;
}

int main(int argc, char **argv) {
    if (argc > 2) {
        if (fork() == 0) {
            execl(argv[2], argv[2], "1", NULL);
            _exit(1);
        }
        wait(NULL);
        execl(argv[2], argv[2], "40", NULL);
        return 1;
    }
    unsigned x = 1;
    for (int i = 0, n = atoi(argv[1]) * 10; i < n; i++) x = middle(x);
    printf("%u\n", x);
    return 0;
}
