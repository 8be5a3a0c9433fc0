// Births: of each thread and process that a traced one makes, a tracer sees exactly one first stop and one end, and of
// its maker exactly one event; of anybody else, nothing. Many of them, with code that is hot meanwhile.
#include "common.h"

static volatile int born, over;

static void be_hot(void) {
    volatile unsigned long sum = 0;
    for (unsigned long i = 0; i < 120000; i++) sum += i * i;
}
static void *sleeps(void *a) {
    __sync_fetch_and_add(&born, 1);
    for (;;) pause();
}
static void *ends(void *a) {
    __sync_fetch_and_add(&born, 1);
    return 0;
}
static void threads(void *(*what)(void *)) {
    pthread_t t;
    for (int i = 0; i < 6; i++) pthread_create(&t, 0, what, 0);
    while (born < 6) usleep(1000);
    be_hot();
    _exit(7);
}
static void sleeping_threads(void) { threads(sleeps); }
static void short_threads(void) { threads(ends); }
static void *makes(void *a) {
    pthread_t t;
    pthread_create(&t, 0, ends, 0);
    pthread_join(t, 0);
    be_hot();
    return 0;
}
// Several makers at once.
static void makers(void) {
    pthread_t t[3];
    for (int i = 0; i < 3; i++) pthread_create(t + i, 0, makes, 0);
    for (int i = 0; i < 3; i++) pthread_join(t[i], 0);
    _exit(7);
}
static void processes(void) {
    be_hot();
    for (int i = 0; i < 3; i++) {
        pid_t p = fork();
        if (!p) { be_hot(); _exit(3); }
        waitpid(p, 0, 0);
        p = vfork();
        if (!p) _exit(4);
        waitpid(p, 0, 0);
    }
    _exit(7);
}
// Signals keep coming while threads are made, each when the last one has been handled.
static volatile int signals;
static void count(int s) { __sync_fetch_and_add(&signals, 1); }
static void *bothers(void *a) {
    while (!over) {
        int before = signals;
        kill(getpid(), SIGUSR1);
        do usleep(500); while (signals == before && !over);
    }
    return 0;
}
static void bothered(void) {
    struct sigaction sa = {.sa_handler = count, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &sa, 0);
    pthread_t b, t;
    pthread_create(&b, 0, bothers, 0);
    while (!signals) usleep(100);
    for (int i = 0; i < 5; i++) { pthread_create(&t, 0, ends, 0); pthread_join(t, 0); be_hot(); }
    over = 1;
    pthread_join(b, 0);
    _exit(7);
}

static struct known { pid_t pid; int stops, announced, ends; } known[64];
static int n;
static struct known *of(pid_t pid) {
    for (int i = 0; i < n; i++) if (known[i].pid == pid) return known + i;
    known[n] = (struct known){pid};
    return known + n++;
}

// Waits for whatever comes next, in one of several ways.
static pid_t next(int way, int *status) {
    siginfo_t info = {0};
    switch (way) {
    case 0: return waitpid(-1, status, __WALL);
    case 1:
        if (waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WNOWAIT | __WALL)) return -1;
        return waitpid(info.si_pid, status, __WALL);
    default:
        for (;;) {
            pid_t pid = waitpid(-1, status, __WALL | WNOHANG);
            if (pid) return pid;
            usleep(100);
        }
    }
}

// How many things happened that should not have, or not.
static int follow(void (*what)(void), int seize, int children, int way, char *text) {
    long options = PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK;
    int status, wrong = 0, go[2], wanted = seize ? PTRACE_EVENT_STOP << 8 | SIGTRAP : SIGSTOP;
    n = 0;
    *text = 0;
    if (pipe(go)) exit(1);
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) {
        char c;
        if (!seize) { P(PTRACE_TRACEME, 0, 0, 0); raise(SIGSTOP); }
        else read(go[0], &c, 1);
        what();
    }
    if (seize) {
        P(PTRACE_SEIZE, pid, 0, options);
        write(go[1], "x", 1);
    } else {
        waitpid(pid, &status, __WALL);
        P(PTRACE_SETOPTIONS, pid, 0, options);
        P(PTRACE_CONT, pid, 0, 0);
    }
    close(go[0]);
    close(go[1]);
    of(pid);
    for (;;) {
        pid_t who = next(way, &status);
        if (who < 0) { wrong += 100; break; }
        struct known *k = of(who);
        if (strlen(text) < 3000) sprintf(text + strlen(text), "  %d %x\n", who - pid, status);
        if (!WIFSTOPPED(status)) {
            k->ends++;
            if (who == pid) { wrong += !WIFEXITED(status) || WEXITSTATUS(status) != 7; break; }
            continue;
        }
        int signal = 0, event = status >> 16;
        if (event && event != PTRACE_EVENT_STOP) {
            unsigned long child = 0;
            P(PTRACE_GETEVENTMSG, who, 0, &child);
            of(child)->announced++;
        } else if (status >> 8 == wanted) k->stops++;
        else if (WSTOPSIG(status) == SIGUSR1 || WSTOPSIG(status) == SIGCHLD) signal = WSTOPSIG(status);
        else wrong++;
        P(PTRACE_CONT, who, 0, signal);
    }
    wrong += n != 1 + children;
    for (int i = 1; i < n; i++) wrong += known[i].stops != 1 || known[i].announced != 1 || known[i].ends != 1;
    wrong += known[0].stops != 0 || known[0].announced != 0;
    return wrong;
}

int main(void) {
    struct { const char *name; void (*what)(void); int children; } kinds[] = {
        {"threads that sleep", sleeping_threads, 6},
        {"threads that end", short_threads, 6},
        {"threads of threads", makers, 6},
        {"processes", processes, 6},
        {"amid signals", bothered, 6},
    };
    static char text[4000];
    for (int kind = 0; kind < 5; kind++)
        for (int seize = 0; seize < 2; seize++)
            for (int way = 0; way < 3; way++) {
                int wrong = 0;
                for (int round = 0; round < 4; round++) {
                    int w = follow(kinds[kind].what, seize, kinds[kind].children, way, text);
                    if (w) fprintf(stderr, "%s, round %d: %d\n%s", kinds[kind].name, round, w, text);
                    wrong += w;
                }
                printf("%s, %s, way %d: %d wrong\n", kinds[kind].name, seize ? "seized" : "asked to", way, wrong);
            }
}
