/* What one sets and asks of threads and memory is one's own, not the translator's, which has both in the same process. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The word that is cleared when the thread ends can be asked for, taken away and given back. */
static void *word(void *a) {
    int *at = 0;
    long told = prctl(PR_GET_TID_ADDRESS, &at, 0, 0, 0), id = gettid();
    printf("%s: asked %ld, holds the id %d", (char *)a, told, at && *at == id);
    long none = syscall(SYS_set_tid_address, 0);
    int *zero = at;
    prctl(PR_GET_TID_ADDRESS, &zero, 0, 0, 0);
    long back = syscall(SYS_set_tid_address, at);
    printf(", none %d, then %d, back %d\n", none == id, zero == 0, back == id);
    return a;
}

/* All memory up to the stack is asked about, a window at a time: no more is there than /proc/self/maps says. */
static int listed(uintptr_t from, uintptr_t to) {
    static char text[1 << 20];
    FILE *f = fopen("/proc/self/maps", "r");
    unsigned long a, b;
    int found = 0;
    while (fgets(text, sizeof text, f))
        if (sscanf(text, "%lx-%lx", &a, &b) == 2 && a < to && b > from) found = 1;
    fclose(f);
    return found;
}
static void memory(void) {
    enum { PAGE = 4096, STEP = 4096 };
    int local, wrong = 0, holes = 0;
    unsigned char vec[1];
    /* Around the youngest mapping, where whoever maps next does so, too. */
    char *m = mmap(0, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (long i = -3000; i < 60000; i++) {
        char *at = m + i * STEP;
        int there = mincore(at, PAGE, vec) == 0;
        if (there ? 0 : errno != ENOMEM) wrong++;
        holes += !there;
        if (there && !listed((uintptr_t)at, (uintptr_t)at + PAGE)) wrong++;
        if (!there && (msync(at, PAGE, MS_ASYNC) == 0 || mlock(at, PAGE) == 0 || munlock(at, PAGE) == 0)) wrong++;
    }
    printf("memory: %d wrong, holes %d\n", wrong, holes > 1000);
    munmap(m, PAGE);
    printf("one's own: %d", mincore((void *)((uintptr_t)&local & -PAGE), PAGE, vec));
    printf(" %d %d\n", mincore((char *)1, PAGE, vec) < 0 && errno == EINVAL, msync((void *)((uintptr_t)&local & -PAGE), PAGE, MS_ASYNC));
}

/* A child that shares descriptors, and nothing else: neither sees any that it has not opened, or loses one. */
static volatile unsigned sum;
static unsigned hot(unsigned n) {
    for (unsigned i = 0; i < n; i++) sum = sum * 31 + i;
    return sum & 63;
}
static void files(void) {
    int lost = 0, wrong = 0, s;
    unsigned want = (sum = 1, hot(20000));
    for (int round = 0; round < 200; round++) {
        long pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
        if (pid == 0) syscall(SYS_exit_group, (sum = 1, hot(20000)));
        int fds[12];
        for (int i = 0; i < 12; i++) fds[i] = open("/dev/null", O_RDONLY);
        waitpid(pid, &s, 0);
        if (!WIFEXITED(s) || WEXITSTATUS(s) != want) wrong++;
        for (int i = 0; i < 12; i++) lost += fds[i] < 0 || close(fds[i]) != 0;
    }
    printf("files: %d lost, %d wrong\n", lost, wrong);
}

/* Other pages of a file, in the same place. */
static void pages(void) {
    int fd = memfd_create("f", 0);
    for (int i = 0; i < 4; i++) pwrite(fd, &(char){'a' + i}, 1, 4096 * i);
    ftruncate(fd, 4 * 4096);
    char *m = mmap(0, 4 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int r = remap_file_pages(m, 4096, 0, 3, 0) || remap_file_pages(m + 2 * 4096, 2 * 4096, 0, 0, 0);
    printf("pages: %d %c%c%c%c", r, m[0], m[4096], m[2 * 4096], m[3 * 4096]);
    printf(", private %d", remap_file_pages(p, 4096, 0, 0, 0) < 0 ? errno : 0);
    munmap(p, 4096);
    printf(", none %d\n", remap_file_pages(p, 4096, 0, 0, 0) < 0 ? errno : 0);
    munmap(m, 4 * 4096);
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    pthread_t t;
    void *result = 0;
    word("main");
    pthread_create(&t, 0, word, "thread");
    pthread_join(t, &result);
    printf("joined %s\n", (char *)result);
    memory();
    files();
    pages();
    return 0;
}
