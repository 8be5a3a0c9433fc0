/* Calls and returns: Fibonacci, Ackermann, Takeuchi, queens, mutual recursion. argv[1]: size. */
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static unsigned fib(unsigned n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

__attribute__((noinline)) static unsigned ackermann(unsigned m, unsigned n) {
    if (m == 0) return n + 1;
    return n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1));
}

__attribute__((noinline)) static int tak(int x, int y, int z) {
    return y < x ? tak(tak(x - 1, y, z), tak(y - 1, z, x), tak(z - 1, x, y)) : z;
}

__attribute__((noinline)) static int queens(unsigned all, unsigned columns, unsigned left, unsigned right) {
    if (columns == all) return 1;
    int n = 0;
    for (unsigned free = all & ~(columns | left | right); free; free &= free - 1) {
        unsigned bit = free & -free;
        n += queens(all, columns | bit, (left | bit) << 1, (right | bit) >> 1);
    }
    return n;
}

static int odd(unsigned n);
__attribute__((noinline)) static int even(unsigned n) { return n == 0 ? 1 : odd(n - 1); }
__attribute__((noinline)) static int odd(unsigned n) { return n == 0 ? 0 : even(n - 1); }

int main(int argc, char **argv) {
    unsigned size = argc > 1 ? (unsigned)atoi(argv[1]) : 20;
    printf("fib %u = %u\n", size, fib(size));
    printf("ackermann 2,%u = %u\n", size, ackermann(2, size));
    printf("tak = %d\n", tak(12, 8, 4));
    printf("queens 8 = %d\n", queens(0xff, 0, 0, 0));
    printf("even 10001 = %d\n", even(10001));
    return 0;
}
