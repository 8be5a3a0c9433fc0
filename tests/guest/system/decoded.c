/* Calls whose arguments the log of system calls decodes. Prints nothing: the log is looked at. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void handler(int signal) { (void)signal; }

int main(void) {
    int fd = open("/dev/null", O_WRONLY | O_DIRECTORY | O_CLOEXEC);
    fd = open("/proc/self/comm", O_RDONLY | O_NOFOLLOW);
    char name[16];
    if (read(fd, name, sizeof name) <= 0) return 1;
    lseek(fd, -3, SEEK_END);
    fcntl(fd, F_DUPFD_CLOEXEC, 100);
    close(fd);
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(page, 4096, PROT_NONE);
    signal(SIGUSR1, handler);
    raise(SIGUSR1);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int pair[2];
    if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) != 0) return 1;
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(0), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    bind(s, (struct sockaddr *)&to, sizeof to);
    int u = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un there = {.sun_family = AF_UNIX, .sun_path = "/nowhere/at all"};
    connect(u, (struct sockaddr *)&there, sizeof there);
    struct timespec rest = {0, 2000000};
    syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &rest, NULL);
    char *const words[] = {"no such", "program", NULL}, *const environment[] = {"A=1", "B=2", NULL};
    execve("/nowhere/no such", words, environment);
    pid_t child = fork();
    if (child == 0) {
        *(volatile int *)16 = 1;
    }
    waitid(P_PID, (id_t)child, &(siginfo_t){0}, WEXITED);
    syscall(400, 1, 2, 3);
    return 0;
}
