/* Programs that no path leads to any more: deleted, anonymous, in another root; descriptors of nobody's business. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char *const none[] = { NULL };

static void ended(const char *what, pid_t pid) {
    int s;
    waitpid(pid, &s, 0);
    printf("%s: %s %d\n", what, WIFEXITED(s) ? "exit" : "signal", WIFEXITED(s) ? WEXITSTATUS(s) : WTERMSIG(s));
    fflush(stdout);
}

static int copy_of_self(int to) {
    char b[65536];
    int from = open("/proc/self/exe", O_RDONLY);
    for (ssize_t n; (n = read(from, b, sizeof b)) > 0;)
        if (write(to, b, n) != n) return -1;
    return close(from);
}

static int lowest(void) {
    int fd = open("/dev/null", O_RDONLY);
    close(fd);
    return fd;
}

/* How many from 3 on seem open, by any call that can tell. */
static int seen(void) {
    int n = 0;
    for (int fd = 3; fd < 4096; fd++) {
        struct stat s;
        struct statx x;
        int copy = dup(fd), high = fcntl(fd, F_DUPFD, 2000);
        n += copy >= 0 || high >= 0 || fcntl(fd, F_GETFD) >= 0 || syscall(SYS_fstat, fd, &s) == 0 ||
             fstatat(fd, "", &s, AT_EMPTY_PATH) == 0 || statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &x) == 0;
        if (copy >= 0) close(copy);
        if (high >= 0) close(high);
    }
    return n;
}

int main(int argc, char **argv) {
    pid_t pid;
    char path[64];
    if (argc > 1) {
        printf("%s runs, lowest descriptor %d\n", argv[1], lowest());
        return 5;
    }
    printf("lowest descriptor %d\n", lowest());
    fflush(stdout);

    /* Every descriptor may be closed: we go on, and can start programs. */
    if ((pid = fork()) == 0) {
        syscall(SYS_close_range, 3, ~0u, 0);
        for (int fd = 3; fd < 4096; fd++) close(fd);
        printf("%d left\n", seen());
        fflush(stdout);
        char *args[] = { "me", "after closing", NULL };
        execve("/proc/self/exe", args, none);
        _exit(errno);
    }
    ended("closed", pid);

    /* With few descriptors allowed, ours are the highest. */
    if ((pid = fork()) == 0) {
        struct rlimit few = { 24, 24 };
        setrlimit(RLIMIT_NOFILE, &few);
        char *args[] = { "me", "with a low limit", NULL };
        execve("/proc/self/exe", args, none);
        _exit(errno);
    }
    ended("limited", pid);

    int fd = memfd_create("program", MFD_CLOEXEC);
    if (copy_of_self(fd)) return 1;
    if ((pid = fork()) == 0) {
        char *args[] = { "me", "anonymous", NULL };
        fexecve(fd, args, none);
        _exit(errno);
    }
    ended("memory file", pid);

    strcpy(path, "/tmp/jib-reach-XXXXXX");
    int copy = mkstemp(path);
    if (copy_of_self(copy) || fchmod(copy, 0755)) return 1;
    close(copy);
    int held = open(path, O_PATH);
    unlink(path);
    if ((pid = fork()) == 0) {
        char *args[] = { "me", "deleted", NULL };
        syscall(SYS_execveat, held, "", args, none, AT_EMPTY_PATH);
        _exit(errno);
    }
    ended("deleted", pid);
    close(held);

    /* In a root without anything but the program. */
    char dir[] = "/tmp/jib-root-XXXXXX";
    if (!mkdtemp(dir)) return 1;
    snprintf(path, sizeof path, "%s/program", dir);
    copy = open(path, O_CREAT | O_WRONLY, 0755);
    if (copy_of_self(copy)) return 1;
    close(copy);
    if ((pid = fork()) == 0) {
        if (unshare(CLONE_NEWUSER) || chroot(dir) || chdir("/")) _exit(100 + errno);
        char *args[] = { "me", "in a root", NULL };
        execve("/program", args, none);
        _exit(errno);
    }
    ended("chroot", pid);
    if ((pid = fork()) == 0) {
        if (chdir(dir)) _exit(1);
        char *args[] = { "me", "relative", NULL };
        execve("program", args, none);
        _exit(errno);
    }
    ended("relative", pid);
    chmod(path, 0644);
    /* Not root's either: nobody may execute it. */
    if ((pid = fork()) == 0) {
        execve(path, none, none);
        _exit(errno);
    }
    ended("no right", pid);
    unlink(path);
    if ((pid = fork()) == 0) {
        execve(path, none, none);
        _exit(errno);
    }
    ended("absent", pid);
    rmdir(dir);

    /* A program of the host's runs natively. */
    char seen[256] = "";
    int p[2];
    if (pipe(p)) return 1;
    if ((pid = fork()) == 0) {
        dup2(p[1], 1);
        execl("/bin/readlink", "readlink", "/proc/self/exe", NULL);
        _exit(errno);
    }
    waitpid(pid, NULL, 0);
    ssize_t n = read(p[0], seen, sizeof seen - 1);
    printf("natively: %s", n > 0 && !strstr(seen, "jib") ? "an x86-64 program\n" : seen);
    char line[256] = "";
    FILE *f = fopen("/proc/self/cmdline", "r");
    size_t got = fread(line, 1, sizeof line, f);
    printf("cmdline: %d\n", got == strlen(argv[0]) + 1 && !memcmp(line, argv[0], got));
    return 0;
}
