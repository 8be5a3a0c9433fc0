/* Code that changes: written in place, flipped between writable and executable, mapped twice, moved, unmapped. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef int (*function)(int);
enum { PAGE = 65536 };

/* mov w0, #value; ret  -- or  add w0, w0, #value; ret */
static void emit(uint32_t *at, int add, unsigned value) {
    at[0] = add ? 0x11000000u | (value & 0xfff) << 10 : 0x52800000u | (value & 0xffff) << 5;
    at[1] = 0xd65f03c0u;
}
static void flush(void *at) { __builtin___clear_cache(at, (char *)at + 8); }

static int in_place(void) {
    uint32_t *code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int bad = 0;
    for (unsigned i = 0; i < 2000; i++) {
        emit(code + i % 16 * 8, i & 1, i);
        flush(code + i % 16 * 8);
        int r = ((function)(code + i % 16 * 8))(1000);
        bad += r != (i & 1 ? 1000 + (int)(i & 0xfff) : (int)i);
    }
    return bad;
}

static int flipped(void) {
    uint32_t *code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int bad = 0;
    for (unsigned i = 0; i < 300; i++) {
        mprotect(code, PAGE, PROT_READ | PROT_WRITE);
        emit(code, 0, i);
        mprotect(code, PAGE, PROT_READ | PROT_EXEC);
        flush(code);
        for (int k = 0; k < 100; k++) bad += ((function)code)(0) != (int)i;
    }
    return bad;
}

static int mapped_twice(void) {
    int fd = memfd_create("code", 0);
    if (fd < 0 || ftruncate(fd, PAGE) != 0) return -1;
    uint32_t *w = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    uint32_t *x = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    int bad = 0;
    for (unsigned i = 0; i < 300; i++) {
        emit(w + 32, 0, i * 7);
        flush(x + 32);
        for (int k = 0; k < 100; k++) bad += ((function)(x + 32))(0) != (int)(i * 7);
    }
    return bad;
}

static int replaced(void) {
    int bad = 0;
    char *at = mmap(NULL, 32 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    for (unsigned i = 0; i < 100; i++) {
        void *again = mmap(at, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        if (again != at) return -1;
        emit((uint32_t *)at, 0, i + 5);
        flush(at);
        for (int k = 0; k < 80; k++) bad += ((function)at)(0) != (int)(i + 5);
    }
    char *moved = mremap(at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at + 16 * PAGE);
    if (moved == MAP_FAILED) return -2;
    bad += ((function)moved)(0) != 104;
    return bad;
}

/* A function that is patched while it is being called in a loop: the branch inside changes its target. */
static int self_patching(void) {
    uint32_t *code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    emit(code + 64, 0, 11);
    emit(code + 128, 0, 22);
    int bad = 0;
    for (int i = 0; i < 1000; i++) {
        code[0] = 0x14000000u | (i & 1 ? 128 : 64);
        flush(code);
        bad += ((function)code)(0) != (i & 1 ? 22 : 11);
    }
    return bad;
}

static atomic_int generation;
static uint32_t *volatile published;
static void *runner(void *arg) {
    (void)arg;
    long bad = 0;
    for (int seen = 0; seen < 200;) {
        int g = generation;
        if (g == seen) continue;
        seen = g;
        __asm__ volatile("isb" ::: "memory");
        int r = ((function)published)(0);
        bad += r < seen;
    }
    return (void *)bad;
}
static long other_thread(void) {
    uint32_t *code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_t t;
    published = code;
    emit(code, 0, 0);
    flush(code);
    pthread_create(&t, NULL, runner, NULL);
    for (int i = 1; i <= 200; i++) {
        emit(code + i * 2, 0, (unsigned)i);
        flush(code + i * 2);
        published = code + i * 2;
        generation = i;
        usleep(200);
    }
    void *r;
    pthread_join(t, &r);
    return (long)r;
}

int main(void) {
    printf("in place: %d wrong\n", in_place());
    printf("flipped: %d wrong\n", flipped());
    printf("mapped twice: %d wrong\n", mapped_twice());
    printf("replaced: %d wrong\n", replaced());
    printf("self-patching: %d wrong\n", self_patching());
    printf("other thread: %ld wrong\n", other_thread());
    return 0;
}
