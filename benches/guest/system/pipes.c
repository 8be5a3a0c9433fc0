/* A byte goes to and fro through two pipes. argv[1]: between "processes" or "threads"; argv[2]: how often. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int to[2], fro[2];

static void *echo(void *unused) {
    char c;
    while (read(to[0], &c, 1) == 1 && c != 0) {
        c++;
        if (write(fro[1], &c, 1) != 1) break;
    }
    return unused;
}

static long ping(long n) {
    long sum = 0;
    char c;
    for (long i = 0; i < n; i++) {
        c = (char)(1 + i % 100);
        if (write(to[1], &c, 1) != 1 || read(fro[0], &c, 1) != 1) return -1;
        sum += c;
    }
    c = 0;
    return write(to[1], &c, 1) == 1 ? sum : -1;
}

int main(int argc, char **argv) {
    int threads = argc > 1 && !strcmp(argv[1], "threads");
    long n = argc > 2 ? atol(argv[2]) : 100, sum;
    if (pipe(to) != 0 || pipe(fro) != 0) return 1;
    if (threads) {
        pthread_t other;
        if (pthread_create(&other, NULL, echo, NULL) != 0) return 1;
        sum = ping(n);
        pthread_join(other, NULL);
    } else {
        pid_t child = fork();
        if (child == 0) {
            echo(NULL);
            _exit(0);
        }
        sum = ping(n);
        if (waitpid(child, NULL, 0) != child) return 1;
    }
    printf("pipes %ld\n", sum);
    return 0;
}
