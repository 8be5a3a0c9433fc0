// A system call that does not exist, from a function with a name.
#define _GNU_SOURCE
#include <unistd.h>
__attribute__((noinline)) long ask(long nr) { return syscall(nr, 1, 2, 3) + getppid() * 0; }
int main(void) { return getpid() > 0 && ask(9999) == -1 ? 0 : 1; }
