// Hostile system calls: random numbers with random, broken and huge arguments, in child processes that may do to
// themselves what they like. Usage: syscalls SEED CHILDREN CALLS [VERBOSE]
//
// Each child makes CALLS calls, or as many as it survives; a child that blocks is killed after a second. What ends it
// natively (a fault of its own code, whose pages a call may have taken away) is no failure. The parent reports a child
// that spent its time computing although it was to make calls, or that does not die.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t state;

static uint64_t next(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state * 0x2545f4914f6cdd1dull;
}

static uint64_t below(uint64_t n) { return next() % n; }

// Calls that would end the child or hit others: what is left is asked for again and again.
static const int excluded[] = {
    93, 94,              // exit, exit_group
    129, 130, 131,       // kill, tkill, tgkill: of any process
    138, 240, 424,       // rt_sigqueueinfo, rt_tgsigqueueinfo, pidfd_send_signal
    139,                 // rt_sigreturn: a jump to anywhere
    142, 104, 294,       // reboot, kexec_load, kexec_file_load
    161, 162,            // sethostname, setdomainname
    112, 170, 171, 266,  // the clocks
    105, 106, 273,       // modules
    224, 225, 89, 58,    // swapon, swapoff, acct, vhangup
    39, 40, 41, 51,      // umount2, mount, pivot_root, chroot
    81, 267,             // sync, syncfs: as slow as the machine's disks
    116,                 // syslog
    118, 119, 122, 274,  // scheduling, which could starve everybody
    140, 261,            // setpriority, prlimit64: of any process
    154, 157,            // setpgid, setsid
    117,                 // ptrace: of any process
    220, 435,            // clone, clone3: grandchildren that nobody would end
    280, 282,            // bpf, userfaultfd: a child stopped by its own faults
};

static int allowed(int nr) {
    for (unsigned i = 0; i < sizeof excluded / sizeof *excluded; i++)
        if (excluded[i] == nr) return 0;
    return 1;
}

static char *page, *pages, *edge, *readonly, *none;
static char *paths[] = {"a", ".", "/", "/proc/self/maps", "/proc/self/exe", "/proc/self/status", "b/c", "",
                        "/proc/self/mem", "/proc/self/fd/0", "/nonexistent/x", "/dev/null", "/dev/zero",
                        "/proc/self/task/1/stat", "/proc/1/maps", "/proc/self/../1/status"};

// Memory that calls may be given: with numbers, pointers and nonsense in it.
static void fill(char *at, int bytes) {
    uint64_t *w = (uint64_t *)at;
    for (int i = 0; i < bytes / 8; i++) {
        switch (below(6)) {
        case 0: w[i] = next(); break;
        case 1: w[i] = below(64); break;
        case 2: w[i] = (uint64_t)page + below(4096); break;
        case 3: w[i] = (uint64_t)paths[below(sizeof paths / sizeof *paths)]; break;
        case 4: w[i] = (uint64_t)edge - below(64); break;
        default: w[i] = 0;
        }
    }
}

static uint64_t argument(void) {
    switch (below(20)) {
    case 0: return 0;
    case 1: return -1;
    case 2: return below(10);
    case 3: return below(4096);
    case 4: return 1ull << below(64);
    case 5: return -(1ull << below(64));
    case 6: return next();
    case 7: return (uint64_t)page + below(4096);
    case 8: return (uint64_t)pages + 4096 * below(16);
    case 9: return (uint64_t)edge - below(256);
    case 10: return (uint64_t)readonly + below(4096);
    case 11: return (uint64_t)none + below(4096);
    case 12: return (uint64_t)paths[below(sizeof paths / sizeof *paths)];
    case 13: return (uint64_t)page | next() << 56;
    case 14: return 0xffff000000000000ull | next();
    case 15: return 0x7ffffffff000ull + below(8192);
    case 16: return (uint64_t)-100;
    case 17: return below(3) + 3;
    case 18: return (uint32_t)next();
    default: return 1ull << below(32) | 1ull << below(32);
    }
}

static void child(uint64_t seed, int calls, int verbose) {
    state = seed | 1;
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    // What it writes is nobody's business; standard error is where a translator that breaks would say so.
    int nowhere = open("/dev/null", O_RDWR);
    dup2(nowhere, 0);
    dup2(nowhere, 1);
    // So that what is asked for in earnest cannot fill the machine.
    struct rlimit files = {64, 64}, size = {1 << 20, 1 << 20}, processes = {64, 64};
    setrlimit(RLIMIT_NOFILE, &files);
    setrlimit(RLIMIT_FSIZE, &size);
    setrlimit(RLIMIT_NPROC, &processes);
    page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pages = mmap(0, 65536, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    edge = (char *)mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) + 4096;
    mprotect(edge, 4096, PROT_NONE);
    readonly = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    none = mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < calls; i++) {
        if (i % 16 == 0) fill(page, 4096);
        int nr = below(20) ? (int)below(463) : (int)next();
        if (!allowed(nr)) continue;
        uint64_t a[6];
        for (int k = 0; k < 6; k++) a[k] = argument();
        if (nr == 215 && a[0] < 1 << 16) continue;
        if (verbose)
            dprintf(2, "%d: %d(%#lx, %#lx, %#lx, %#lx, %#lx, %#lx)\n", i, nr, a[0], a[1], a[2], a[3], a[4], a[5]);
        long r = syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
        if (verbose) dprintf(2, "%d: = %ld\n", i, r == -1 ? -(long)errno : r);
    }
    _exit(0);
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    uint64_t seed = strtoull(argv[1], 0, 0);
    int children = atoi(argv[2]), calls = atoi(argv[3]), bad = 0, killed = 0, ended = 0, done = 0;
    for (int i = 0; i < children; i++) {
        uint64_t own = (seed + i) * 0x9e3779b97f4a7c15ull;
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) child(own, calls, argc > 4);
        double start = seconds();
        int status = 0, sent = 0;
        struct rusage usage;
        for (;;) {
            pid_t r = wait4(pid, &status, WNOHANG, &usage);
            if (r == pid) break;
            double waited = seconds() - start;
            if (waited > 1 && !sent) {
                kill(pid, SIGKILL);
                sent = 1;
                killed++;
            }
            if (waited > 20) {
                printf("child %d (seed %#lx) does not die\n", i, own);
                bad++;
                break;
            }
            usleep(sent ? 10000 : 500);
        }
        double cpu = usage.ru_utime.tv_sec + usage.ru_utime.tv_usec / 1e6;
        if (sent && cpu > 0.8) {
            printf("child %d (seed %#lx) computes for ever\n", i, own);
            bad++;
        }
        if (WIFSIGNALED(status) && !sent) ended++;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) done++;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 70) {
            printf("child %d (seed %#lx): exit status 70\n", i, own);
            bad++;
        }
    }
    printf("%d children: %d done, %d ended by a signal, %d blocked; %d bad\n", children, done, ended, killed, bad);
    return bad != 0;
}
