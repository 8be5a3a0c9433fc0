/* io_uring by its system calls: requests whose fields differ between architectures, order, refilled slots. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct io_uring_params p;
static char *ring;
static struct io_uring_sqe *requests;
static int fd;

static unsigned *at(unsigned offset) { return (unsigned *)(ring + offset); }

static struct io_uring_sqe *next(int opcode) {
    unsigned tail = *at(p.sq_off.tail), slot = tail & *at(p.sq_off.ring_mask);
    struct io_uring_sqe *s = &requests[slot];
    memset(s, 0, sizeof *s);
    s->opcode = opcode;
    at(p.sq_off.array)[slot] = slot;
    __atomic_store_n(at(p.sq_off.tail), tail + 1, __ATOMIC_RELEASE);
    return s;
}

static int result(void) {
    unsigned head = *at(p.cq_off.head);
    if (head == __atomic_load_n(at(p.cq_off.tail), __ATOMIC_ACQUIRE)) return -1000;
    struct io_uring_cqe *c = (struct io_uring_cqe *)(ring + p.cq_off.cqes) + (head & *at(p.cq_off.ring_mask));
    int r = c->res;
    __atomic_store_n(at(p.cq_off.head), head + 1, __ATOMIC_RELEASE);
    return r;
}

static int submit(int n) { return syscall(SYS_io_uring_enter, fd, n, n, IORING_ENTER_GETEVENTS, NULL, 8); }

int main(void) {
    char dir[] = "/tmp/jib-uring-XXXXXX", path[64], link[64], text[16] = "";
    if (!mkdtemp(dir)) return 1;
    snprintf(path, sizeof path, "%s/file", dir);
    snprintf(link, sizeof link, "%s/link", dir);
    int file = open(path, O_CREAT | O_RDWR, 0600);
    if (write(file, "contents", 8) != 8 || symlink("file", link)) return 1;

    fd = syscall(SYS_io_uring_setup, 4, &p);
    if (fd < 0) return puts(strerror(errno)), 1;
    size_t size = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
    ring = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING);
    requests = mmap(NULL, p.sq_entries * sizeof *requests, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQES);
    printf("one mapping: %d\n", !!(p.features & IORING_FEAT_SINGLE_MMAP));

    next(IORING_OP_NOP);
    int taken = submit(1), first = result(), none = result();
    printf("nothing: %d, %d, %d\n", taken, first, none);

    /* O_DIRECTORY and O_NOFOLLOW are other bits on x86-64. */
    struct io_uring_sqe *s = next(IORING_OP_OPENAT);
    s->fd = AT_FDCWD, s->addr = (unsigned long)path, s->open_flags = O_RDONLY | O_DIRECTORY;
    unsigned flags = s->open_flags;
    printf("submitted %d\n", submit(1));
    printf("a file as a folder: %s, flags kept: %d\n", strerror(-result()), s->open_flags == flags);
    s = next(IORING_OP_OPENAT);
    s->fd = AT_FDCWD, s->addr = (unsigned long)link, s->open_flags = O_RDONLY | O_NOFOLLOW;
    submit(1);
    printf("a link: %s\n", strerror(-result()));
    s = next(IORING_OP_OPENAT);
    s->fd = AT_FDCWD, s->addr = (unsigned long)dir, s->open_flags = O_RDONLY | O_DIRECTORY;
    submit(1);
    int folder = result();
    printf("a folder: %d\n", folder > 0);
    struct open_how how = { .flags = O_RDONLY | O_NOFOLLOW };
    s = next(IORING_OP_OPENAT2);
    s->fd = folder, s->addr = (unsigned long)"link", s->len = sizeof how, s->addr2 = (unsigned long)&how;
    submit(1);
    printf("a link, by openat2: %s, pointer kept: %d\n", strerror(-result()), s->addr2 == (unsigned long)&how);

    s = next(IORING_OP_READ);
    s->fd = file, s->addr = (unsigned long)text, s->len = 8;
    submit(1);
    printf("read %d: %s\n", result(), text);

    /* Two at once, one of them rewritten; more than there are slots in all. */
    int wrong = 0;
    for (int i = 0; i < 100; i++) {
        next(IORING_OP_NOP);
        s = next(IORING_OP_OPENAT);
        s->fd = AT_FDCWD, s->addr = (unsigned long)path, s->open_flags = O_RDONLY | O_DIRECTORY;
        int n = submit(2), a = result(), b = result();
        wrong += n != 2 || (a ^ b) != -ENOTDIR;
    }
    printf("wrong: %d\n", wrong);

    /* What stops at its first wrong request does not wait for the others: here it would wait forever. */
    s = next(IORING_OP_OPENAT);
    s->fd = AT_FDCWD, s->addr = (unsigned long)path, s->open_flags = O_RDONLY | O_DIRECTORY;
    next(200);
    next(IORING_OP_NOP);
    int some = syscall(SYS_io_uring_enter, fd, 3, 3, IORING_ENTER_GETEVENTS, NULL, 8);
    int rest = syscall(SYS_io_uring_enter, fd, 1, 3, IORING_ENTER_GETEVENTS, NULL, 8);
    int sum = result() + result() + result();
    printf("stopped after %d, then %d: %d\n", some, rest, sum == -ENOTDIR - EINVAL);

    /* What moves the rings, or is newer than all this, is not there. */
    struct io_uring_params more = { .sq_entries = 8, .cq_entries = 16 }, newer = { .flags = 1u << 30 };
    int moved = syscall(SYS_io_uring_register, fd, 33, &more, 1);
    printf("moved: %d %s", moved, strerror(errno));
    int flagged = syscall(SYS_io_uring_setup, 4, &newer);
    printf(", newer: %d %s", flagged, strerror(errno));
    int by_index = syscall(SYS_io_uring_enter, fd, 0, 0, 1 << 6, NULL, 0);
    printf(", by region: %d %s\n", by_index, strerror(errno));
    struct { struct open_how known; unsigned long new; } longer = { how, 0 };
    s = next(IORING_OP_OPENAT2);
    s->fd = folder, s->addr = (unsigned long)"link", s->len = sizeof longer, s->addr2 = (unsigned long)&longer;
    submit(1);
    printf("a newer openat2: %s\n", strerror(-result()));

    int epoll = epoll_create1(0), pipes[2];
    if (pipe(pipes)) return 1;
    struct epoll_event event = { EPOLLIN, { .u64 = 0x123456789abcdef0 } }, out = { 0 };
    s = next(IORING_OP_EPOLL_CTL);
    s->fd = epoll, s->len = EPOLL_CTL_ADD, s->off = pipes[0], s->addr = (unsigned long)&event;
    submit(1);
    int added = result();
    if (write(pipes[1], "x", 1) != 1) return 1;
    int n = epoll_wait(epoll, &out, 1, 1000);
    printf("epoll: %d, %d, %llx\n", added, n, (unsigned long long)out.data.u64);

    struct io_uring_params polled = { .flags = IORING_SETUP_SQPOLL };
    int second = syscall(SYS_io_uring_setup, 4, &polled);
    int closed = close(fd), late = syscall(SYS_io_uring_enter, fd, 1, 0, 0, NULL, 8);
    printf("closed: %d %d\n", closed, late);
    if (second >= 0) close(second);
    unlink(path), unlink(link), rmdir(dir);
    return 0;
}
