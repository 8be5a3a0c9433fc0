// A supervisor of system calls (seccomp_unotify(2)): a parent answers for its child, also after an execve of that.
#include "common.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

static int listener;

static int install(void) {
    struct sock_filter f[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_setpriority, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
    };
    struct sock_fprog p = {5, f};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &p);
}

static void send_fd(int s, int fd) {
    char c[CMSG_SPACE(sizeof fd)] = {0}, x = 'x';
    struct iovec v = {&x, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = c, .msg_controllen = sizeof c};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(h), &fd, sizeof fd);
    sendmsg(s, &m, 0);
}

static int receive_fd(int s) {
    char c[CMSG_SPACE(sizeof(int))], x;
    int fd;
    struct iovec v = {&x, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = c, .msg_controllen = sizeof c};
    recvmsg(s, &m, 0);
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
    return fd;
}

static struct seccomp_notif n;
static void answer(const char *what, long val, int error, int flags) {
    memset(&n, 0, sizeof n);
    struct pollfd p = {listener, POLLIN};
    poll(&p, 1, -1);
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &n)) { perror("receive"); return; }
    const char *name = n.data.nr == SYS_getppid ? "getppid" : n.data.nr == SYS_setpriority ? "setpriority" : "?";
    printf("%s: %s, own architecture %d, argument %lld, valid %d\n", what, name,
#if defined(__aarch64__)
        n.data.arch == 0xc00000b7,
#else
        n.data.arch == 0xc000003e,
#endif
        n.data.nr == SYS_setpriority ? (long long)n.data.args[1] : 0, !ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &n.id));
    struct seccomp_notif_resp r = {.id = n.id, .val = val, .error = error, .flags = flags};
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &r)) printf("refused: %s\n", strerror(errno));
}

static void tell(const char *what, long r) { printf("%s: %ld %s\n", what, r, r < 0 ? strerror(errno) : ""); }

static int again(void) {
    tell("program", syscall(SYS_getppid));
    errno = 0;
    tell("program", syscall(SYS_setpriority, 0, 7, 0));
    return 0;
}

int main(int argc, char **argv) {
    setvbuf(stdout, 0, _IONBF, 0);
    if (argc > 1) return again();
    struct seccomp_notif_sizes z = {0};
    long sizes = syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &z);
    printf("sizes %ld %d %d %d\n", sizes, z.seccomp_notif, z.seccomp_notif_resp, z.seccomp_data);
    unsigned action = SECCOMP_RET_USER_NOTIF;
    printf("available %ld\n", syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action));
    int pair[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    pid_t parent = getpid(), pid = fork();
    if (!pid) {
        int fd = install();
        printf("listener %d\n", fd > 2);
        tell("second", install());
        send_fd(pair[1], fd);
        close(fd);
        tell("value", syscall(SYS_getppid));
        tell("error", syscall(SYS_getppid));
        printf("continued: %d\n", syscall(SYS_getppid) == parent);
        tell("not continued", syscall(SYS_getppid));
        tell("argument", syscall(SYS_setpriority, 0, -123456789012345, 0));
        execl(argv[0], argv[0], "again", NULL);
        _exit(1);
    }
    listener = receive_fd(pair[0]);
    struct stat own, other;
    answer("value", 4711, 0, 0);
    answer("error", 0, -EXDEV, 0);
    answer("continued", 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
    answer("not continued", 5, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
    struct seccomp_notif_resp r = {.id = n.id, .error = -ENOSYS};
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &r);
    answer("argument", 3, 0, 0);
    answer("program", 12, 0, 0);
    // Without a supervisor there is no such call.
    struct pollfd p = {listener, POLLIN};
    poll(&p, 1, -1);
    close(listener);
    int s;
    waitpid(pid, &s, 0);
    printf("end: %s\n", text(s));
}
