# needs: strace gcc libc6-dev perl
cd "$(mktemp -d)"
strace -o o -e trace=openat,execve,write sh -c 'echo hello'
grep -E '^write|^\+\+\+' o
# Children: each by its own lines, in the order of their starts.
strace -ff -qq -o f -e trace=execve,exit_group -e signal=none sh -c 'ls -d /bin/..; true'
for f in $(ls f.* | sort -t. -k2n); do sed 's/0x[0-9a-f]*/PTR/; s/[0-9]* vars/N vars/' $f; done
strace -c -o c true
awk '$NF == "execve" { print $4, $NF }' c
# A sleeping process goes on sleeping for what is left of its time.
sleep 20 &
sleep 2
strace -qq -e trace=restart_syscall,exit_group -p $! 2>&1 | sed 's/interrupted [a-z_]*/interrupted X/'
strace -e inject=getppid:retval=4711 -e trace=getppid -qq perl -e 'print getppid(), "\n"' 2>/dev/null
strace -e inject=openat:error=EACCES:when=3+ -e trace=openat -qq cat /etc/hostname 2>&1 | tail -1
strace -e trace=none -qq sh -c 'kill -USR1 $$' 2>&1 | sed 's/si_pid=[0-9]*/si_pid=P/; s/si_uid=[0-9]*/si_uid=U/'
strace --seccomp-bpf -f -qq -e signal=none -e trace=mkdirat sh -c 'mkdir d1 && mkdir d2' 2>&1 | sed 's/^\[pid *[0-9]*\] //'
cat > t.c <<'C'
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static void *work(void *a) { for (int i = 0; i < 100; i++) getppid(); return a; }
int main(void) {
    pthread_t t[4];
    for (int i = 0; i < 4; i++) pthread_create(t + i, 0, work, 0);
    for (int i = 0; i < 4; i++) pthread_join(t[i], 0);
    return 5;
}
C
gcc -pthread -o t t.c
strace -f -qq -e trace=getppid -o n ./t
echo $? $(grep -c ' = [0-9]' n)
# A whole compiler, with its children.
strace -f -c -o all gcc -O2 -o t2 t.c -pthread && ./t2
echo $?
