# needs: gdb gcc libc6-dev
cd "$(mktemp -d)"
cat > g.c <<'C'
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int counter = 0;
__attribute__((noinline)) int add(int n) {
    counter += n;
    return counter * 2;
}
static void *work(void *a) {
    add((int)(long)a);
    return a;
}
static void handler(int s) {
    counter += 100;
}
int main(int argc, char **argv) {
    signal(SIGUSR1, handler);
    for (int i = 1; i < 4; i++) add(i);
    pthread_t t;
    pthread_create(&t, 0, work, (void *)10L);
    pthread_join(t, 0);
    raise(SIGUSR1);
    if (argc > 1) sleep(60);
    printf("counter %d\n", counter);
    return 7;
}
C
gcc -g -O0 -pthread -o g g.c
cat > g.gdb <<'C'
set debuginfod enabled off
set width 0
set print thread-events off
break add
run
bt
info registers x0 pc
print n
finish
watch counter
continue
continue
delete
tbreak work
continue
info threads
tbreak handler
handle SIGUSR1 nostop noprint pass
continue
bt 1
up
stepi
next
print add(1000)
set var counter = 5
catch syscall exit_group
continue
continue
C
clean() { grep -v -e '^\[Thread debugging' -e '^Using host' -e warning | sed -e 's/process [0-9]*/process P/; s/LWP [0-9]*/LWP L/; s/0x[0-9a-f][0-9a-f]*/PTR/g; s/argv=PTR/argv=A/; s/  */ /g' | grep -v '^ 1 Thread'; }
gdb -q -batch -x g.gdb ./g 2>&1 | clean
# A running process: attached, called into, and let go.
./g wait &
sleep 2
gdb -q -batch -ex 'set debuginfod enabled off' -p $! -ex 'print counter' -ex 'print add(1)' -ex detach 2>&1 | clean | tail -3
kill $!
wait $!
echo $?
# Its children, and the programs that these become.
cat > v.c <<'C'
#include <sys/wait.h>
#include <unistd.h>
int main(void) {
    int s;
    if (!fork()) execl("/bin/true", "true", (char *)0);
    wait(&s);
    sleep(1);
    return 2;
}
C
gcc -g -O0 -o v v.c
gdb -q -batch -ex 'set debuginfod enabled off' -ex 'set detach-on-fork off' -ex 'set schedule-multiple on' -ex 'catch fork' -ex 'catch exec' -ex run -ex continue -ex continue ./v 2>&1 | clean | grep -v ' in '
# A crash, looked at where it happened.
printf 'int main(void) { int *p = (int *)16; *p = 1; return 0; }\n' > c.c
gcc -g -O0 -o c c.c
gdb -q -batch -ex 'set debuginfod enabled off' -ex run -ex 'print $_siginfo.si_signo' -ex 'print $_siginfo._sifields._sigfault.si_addr' -ex continue ./c 2>&1 | clean
