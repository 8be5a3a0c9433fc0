# needs: stress-ng
# All of these at once, for JIB_SOAK_SECONDS (300): each checks what it does, and none's memory may grow.
T=${JIB_SOAK_SECONDS:-300}
rm -rf /tmp/soak && mkdir -p /tmp/soak/nobody && chown nobody /tmp/soak/nobody && cd /tmp/soak
# `exec` and `spawn` refuse to be run by user 0. No `userfaultfd`: without rights there is none, natively either. No
# `sigfpe`: it never gets one on arm64, where nothing traps (under QEMU neither).
U="exec spawn"
set -- pthread clone fork vfork vforkmany daemon zombie wait kill sigq sigrt sigpending sigsuspend sigfd \
    sigsegv sigtrap sigabrt sigchld sigio sigpipe signest switch futex mutex sem sem-sysv pipe pipeherd sock sockpair \
    sockfd sockmany udp mmap mmapaddr mmapfixed mmapfork mmaphuge mmapmany mremap munmap mprotect madvise mincore brk \
    malloc stack vm vm-rw vm-segv remap shm shm-sysv msg mq poll epoll eventfd timer timerfd itimer alarm nanosleep \
    context bad-altstack tee splice vm-splice membarrier io-uring aio aiol funccall cacheline hrtimers \
    schedpolicy yield sysbadaddr pidfd ptrace seccomp landlock procfs getrandom clock funcret vecmath regs str memcpy \
    zlib tsearch hdd flock fifo dup rmap access
O=
for s; do O="$O --$s 1"; done
# What `malloc` and `shm` have by chance is kept small, so that growth of ours would show beside it.
S="--malloc-bytes 4k --malloc-max 2048 --vm-bytes 32m --mmap-bytes 32m --mremap-bytes 8m --hdd-bytes 8m --mmaphuge-mmaps 64 --shm-bytes 1m --shm-objs 4"
stress-ng --verify --metrics-brief --timeout ${T}s $S $O > log 2>&1 &
P=$!
su nobody -s /bin/sh -c "cd nobody && exec stress-ng --verify --metrics-brief --timeout ${T}s $(printf -- '--%s 1 ' $U)" > nobody.log 2>&1 &
N=$!
: > sizes
while kill -0 $P 2> /dev/null; do
    grep -s -E '^(Name:.stress-ng|RssAnon:)' /proc/[0-9]*/status >> sizes
    echo round >> sizes
    sleep $((T / 25 + 1))
done
wait $P
code=$?
wait $N
codes="$code $?"
# `pipe` calls it a failure, natively too, when the second alarm comes before it is done with the first.
grep -h -E ' (fail|error): | unsuccessful | skipped|skipping' log nobody.log | grep -v 'pipe: termination write failed, errno=4 '
set -- "$@" $U
[ "$codes" = "0 0" ] && echo "$# stressors, no failure"
# Of those that live from the second quarter on: the least of the last quarter against the most of the second. Not of
# `vforkmany`, all of whose children wait for each other's ends: the longer, the more stacks. `vfork` has its name, but
# `spawn` does the same.
awk '
    $1 == "round" { n++; next }
    /stress-ng-vfork/ { next }
    { split($1, path, "/") }
    $1 ~ /:Name:$/ { name[path[3]] = $2; next }
    { if (path[3] in name) { who[NR] = path[3] " " name[path[3]]; size[NR] = $2; round[NR] = n } ; delete name[path[3]] }
    END {
        for (i in who) {
            w = who[i]
            if (round[i] >= n / 4 && round[i] < n / 2 && size[i] > early[w]) early[w] = size[i]
            if (round[i] >= n * 3 / 4 && (!(w in late) || size[i] < late[w])) late[w] = size[i]
        }
        for (w in late) if (w in early) { seen++; if (late[w] > early[w] + 4096) print w ": grew from", early[w], "to", late[w], "kB" }
        print (seen > 30 ? "memory looked at" : "memory not looked at: " seen)
    }' sizes
