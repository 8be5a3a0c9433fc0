/* Processes: fork, pipes, exec of itself, wait statuses, vfork and posix_spawn, environment, /proc/self. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void status(const char *what, int s) {
    if (WIFEXITED(s)) printf("%s: exit %d\n", what, WEXITSTATUS(s));
    else printf("%s: signal %d\n", what, WTERMSIG(s));
    fflush(stdout);
}

int main(int argc, char **argv) {
    if (argc > 1) {
        printf("child %s %s, FROM_PARENT=%s\n", argv[0], argv[1], getenv("FROM_PARENT"));
        return 17;
    }
    int s, p[2];
    pid_t pid;
    if ((pid = fork()) == 0) _exit(42);
    waitpid(pid, &s, 0), status("fork", s);
    if ((pid = fork()) == 0) raise(SIGKILL);
    waitpid(pid, &s, 0), status("kill", s);
    if ((pid = fork()) == 0) abort();
    waitpid(pid, &s, 0), status("abort", s);
    if ((pid = fork()) == 0) kill(getpid(), SIGSEGV);
    waitpid(pid, &s, 0), status("own signal", s);
    if ((pid = fork()) == 0) __builtin_trap();
    waitpid(pid, &s, 0), status("trap", s);

    if (pipe(p) != 0) return 1;
    if ((pid = fork()) == 0) {
        dup2(p[1], 1);
        puts("through the pipe");
        exit(0);
    }
    close(p[1]);
    char line[64] = "";
    FILE *f = fdopen(p[0], "r");
    if (fgets(line, sizeof line, f)) printf("read: %s", line);
    waitpid(pid, &s, 0);
    fflush(stdout);

    setenv("FROM_PARENT", "yes", 1);
    if ((pid = fork()) == 0) {
        execl("/proc/self/exe", "renamed", "by exec", (char *)NULL);
        _exit(99);
    }
    waitpid(pid, &s, 0), status("exec", s);
    char *args[] = { "spawned", "by posix_spawn", NULL };
    if (posix_spawn(&pid, "/proc/self/exe", NULL, NULL, args, environ) == 0) waitpid(pid, &s, 0), status("spawn", s);
    printf("spawn of nothing: %d\n", posix_spawn(&pid, "/nonexistent", NULL, NULL, args, environ) == ENOENT);
    volatile int shared = 0;
    if ((pid = vfork()) == 0) {
        shared = 5;
        _exit(3);
    }
    waitpid(pid, &s, 0);
    printf("vfork: exit %d, shared %d\n", WEXITSTATUS(s), shared);

    char comm[32] = "", exe[256] = "";
    int fd = open("/proc/self/comm", O_RDONLY);
    if (read(fd, comm, sizeof comm - 1) > 0) comm[strcspn(comm, "\n")] = 0;
    close(fd);
    printf("comm is the program's: %d\n", strncmp(comm, strrchr(argv[0], '/') + 1, 15) == 0);
    if (readlink("/proc/self/exe", exe, sizeof exe - 1) > 0)
        printf("exe is the program's: %d\n", strstr(exe, strrchr(argv[0], '/')) != NULL);
    int *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if ((pid = fork()) == 0) {
        __atomic_store_n(m, 77, __ATOMIC_SEQ_CST);
        _exit(0);
    }
    waitpid(pid, &s, 0);
    printf("shared memory: %d\n", *m);
    FILE *sh = popen("exit 5", "r");
    printf("shell: exit %d\n", WEXITSTATUS(pclose(sh)));
    return 9;
}
