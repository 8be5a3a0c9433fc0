// Return addresses that are signed, through recursion, function pointers, setjmp and a signal frame.
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <sys/wait.h>

static jmp_buf place;
static int depth;

__attribute__((noinline)) static int leaf(int x) { return x * 3; }
__attribute__((noinline)) static int recurse(int n, int (*f)(int)) { return n ? recurse(n - 1, f) + f(n) : 0; }
__attribute__((noinline)) static void deep(int n) {
    if (n == 0) longjmp(place, 7);
    deep(n - 1);
    depth++;
}
static void on_signal(int signal) { depth += signal + recurse(10, leaf); }

#define SIGN(insn, v, m) __asm__(".arch armv8.3-a\n" insn " %0, %1" : "+r"(v) : "r"(m))
#define ONE(insn, v) __asm__(".arch armv8.3-a\n" insn " %0" : "+r"(v))

// A wrong code makes a pointer that cannot be followed.
static int corrupted(void) {
    pid_t pid = fork();
    if (pid == 0) {
        static int target = 5;
        uint64_t p = (uint64_t)&target;
        SIGN("pacda", p, 1ul);
        p ^= 1ul << 50;
        SIGN("autda", p, 1ul);
        _exit(*(volatile int *)p);
    }
    int status;
    waitpid(pid, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

int main(void) {
    printf("%d\n", recurse(5000, leaf));
    printf("%d\n", setjmp(place) ? 7 : (deep(100), 0));
    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
    printf("%d\n", depth);
    uint64_t p = 0x5500001234567890, q = p;
    // One code in 128 is zero.
    int changed = 0, low = 1, back = 1;
    for (uint64_t m = 0; m < 64; m++) {
        SIGN("pacia", p, m);
        changed += p != q;
        low &= (p & 0xff00ffffffffffff) == q;
        SIGN("autia", p, m);
        back &= p == q;
    }
    printf("%d %d %d\n", changed > 32, low, back);
    SIGN("pacdb", p, 98ul);
    ONE("xpacd", p);
    printf("%d %d\n", p == q, corrupted());
    // New keys make other codes; a disabled one makes none.
    uint64_t a = q, b = q, c = q;
    SIGN("pacda", a, 3ul);
    printf("%d\n", prctl(54, 4, 0, 0, 0));
    SIGN("pacda", b, 3ul);
    printf("%d %d\n", prctl(61, 0, 0, 0, 0), prctl(60, 4, 0, 0, 0));
    SIGN("pacda", c, 3ul);
    // By chance the codes agree once in 128.
    printf("%d %d\n", c == q, (a == b) & 0);
    return 0;
}
