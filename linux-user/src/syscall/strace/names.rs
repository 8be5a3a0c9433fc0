//! Names of the values that system calls take: single ones, sets of bits, and both in one word.
//!
//! The numbers are the host's, which AArch64 shares but for four flags of `open` (Linux,
//! `arch/arm64/include/uapi/asm/fcntl.h`).

use std::fmt::Write;

/// How a word is read: a field that has one of some values, and bits beside it.
pub(super) struct Names {
    field: u64,
    values: &'static [(u64, &'static str)],
    bits: &'static [(u64, &'static str)],
}

impl Names {
    /// Writes the word: names joined by `|`, what has none in hexadecimal. A field that is 0 and has no name for that
    /// is left out.
    pub(super) fn write(&self, line: &mut String, word: u64) {
        let before = line.len();
        let mut part = |text: std::fmt::Arguments<'_>| {
            if line.len() > before {
                line.push('|');
            }
            // Writing to a string cannot fail.
            _ = line.write_fmt(text);
        };
        let value = word & self.field;
        match self.values.iter().find(|(v, _)| *v == value) {
            Some((_, name)) => part(format_args!("{name}")),
            None if value == 0 => {}
            None if self.field == NUMBER => part(format_args!("{}", value as i32)),
            None => part(format_args!("{value:#x}")),
        }
        let mut rest = word & !self.field;
        for (bit, name) in self.bits {
            if rest & bit == *bit {
                part(format_args!("{name}"));
                rest &= !bit;
            }
        }
        if rest != 0 {
            part(format_args!("{rest:#x}"));
        }
        if line.len() == before {
            line.push('0');
        }
    }
}

macro_rules! named {
    ($($name:ident)*) => { &[$((libc::$name as u64, stringify!($name))),*] };
}

/// The field of a word that is a number: one without a name is shown in decimal.
const NUMBER: u64 = 0xffff_ffff;

/// One of these values.
const fn one(values: &'static [(u64, &'static str)]) -> Names {
    Names { field: NUMBER, values, bits: &[] }
}

/// Any of these bits.
const fn any(bits: &'static [(u64, &'static str)]) -> Names {
    Names { field: 0, values: &[], bits }
}

/// Those that differ come first, and `O_TMPFILE`, which contains `O_DIRECTORY`, before all.
const OPEN: &[(u64, &str)] = &[
    (0o20_040_000, "O_TMPFILE"),
    (0o40000, "O_DIRECTORY"),
    (0o100000, "O_NOFOLLOW"),
    (0o200000, "O_DIRECT"),
    (0o400000, "O_LARGEFILE"),
    (libc::O_CREAT as u64, "O_CREAT"),
    (libc::O_EXCL as u64, "O_EXCL"),
    (libc::O_NOCTTY as u64, "O_NOCTTY"),
    (libc::O_TRUNC as u64, "O_TRUNC"),
    (libc::O_APPEND as u64, "O_APPEND"),
    (libc::O_NONBLOCK as u64, "O_NONBLOCK"),
    (libc::O_SYNC as u64, "O_SYNC"),
    (libc::O_DSYNC as u64, "O_DSYNC"),
    (libc::O_NOATIME as u64, "O_NOATIME"),
    (libc::O_CLOEXEC as u64, "O_CLOEXEC"),
    (libc::O_PATH as u64, "O_PATH"),
];

const CLONE: &[(u64, &str)] = named!(CLONE_VM CLONE_FS CLONE_FILES CLONE_SIGHAND CLONE_PIDFD CLONE_PTRACE CLONE_VFORK
    CLONE_PARENT CLONE_THREAD CLONE_NEWNS CLONE_SYSVSEM CLONE_SETTLS CLONE_PARENT_SETTID CLONE_CHILD_CLEARTID
    CLONE_DETACHED CLONE_UNTRACED CLONE_CHILD_SETTID CLONE_NEWCGROUP CLONE_NEWUTS CLONE_NEWIPC CLONE_NEWUSER
    CLONE_NEWPID CLONE_NEWNET CLONE_IO);

const SIGNALS: &[(u64, &str)] = named!(SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1
    SIGSEGV SIGUSR2 SIGPIPE SIGALRM SIGTERM SIGSTKFLT SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGXCPU
    SIGXFSZ SIGVTALRM SIGPROF SIGWINCH SIGIO SIGPWR SIGSYS);

/// Signals.
pub(super) const SIGNAL: Names = one(SIGNALS);
/// `openat`'s flags.
pub(super) const OPEN_FLAGS: Names = Names { field: 3, values: named!(O_RDONLY O_WRONLY O_RDWR), bits: OPEN };
/// Flags of new descriptors.
pub(super) const NEW_FD: Names = any(OPEN);
/// Protection of memory.
pub(super) const PROT: Names = any(&[
    (libc::PROT_READ as u64, "PROT_READ"),
    (libc::PROT_WRITE as u64, "PROT_WRITE"),
    (libc::PROT_EXEC as u64, "PROT_EXEC"),
    // arm64 alone: asm/mman.h.
    (0x10, "PROT_BTI"),
    (0x20, "PROT_MTE"),
    (libc::PROT_GROWSDOWN as u64, "PROT_GROWSDOWN"),
    (libc::PROT_GROWSUP as u64, "PROT_GROWSUP"),
]);
/// `mmap`'s flags.
pub(super) const MAP: Names = Names {
    field: 3,
    values: named!(MAP_SHARED MAP_PRIVATE MAP_SHARED_VALIDATE),
    bits: named!(MAP_FIXED_NOREPLACE MAP_FIXED MAP_ANONYMOUS MAP_GROWSDOWN MAP_DENYWRITE MAP_EXECUTABLE MAP_LOCKED
        MAP_NORESERVE MAP_POPULATE MAP_NONBLOCK MAP_STACK MAP_HUGETLB MAP_SYNC),
};
/// `mremap`'s flags.
pub(super) const MREMAP: Names = any(named!(MREMAP_MAYMOVE MREMAP_FIXED MREMAP_DONTUNMAP));
/// `msync`'s flags.
pub(super) const MSYNC: Names = any(named!(MS_ASYNC MS_INVALIDATE MS_SYNC));
/// `madvise`'s advice.
pub(super) const ADVICE: Names = one(named!(MADV_NORMAL MADV_RANDOM MADV_SEQUENTIAL MADV_WILLNEED MADV_DONTNEED
    MADV_FREE MADV_REMOVE MADV_DONTFORK MADV_DOFORK MADV_MERGEABLE MADV_UNMERGEABLE MADV_HUGEPAGE MADV_NOHUGEPAGE
    MADV_DONTDUMP MADV_DODUMP MADV_WIPEONFORK MADV_KEEPONFORK MADV_COLD MADV_PAGEOUT MADV_POPULATE_READ
    MADV_POPULATE_WRITE MADV_DONTNEED_LOCKED MADV_COLLAPSE));
/// `clone`'s flags, with the signal at its end.
pub(super) const CLONE_FLAGS: Names = Names { field: 0xff, values: SIGNALS, bits: CLONE };
/// The same of `clone3`, `unshare` and `setns`.
pub(super) const NAMESPACES: Names = any(CLONE);
/// `futex`'s operation.
pub(super) const FUTEX: Names = Names {
    field: 0x7f,
    values: named!(FUTEX_WAIT FUTEX_WAKE FUTEX_FD FUTEX_REQUEUE FUTEX_CMP_REQUEUE FUTEX_WAKE_OP FUTEX_LOCK_PI
        FUTEX_UNLOCK_PI FUTEX_TRYLOCK_PI FUTEX_WAIT_BITSET FUTEX_WAKE_BITSET FUTEX_WAIT_REQUEUE_PI
        FUTEX_CMP_REQUEUE_PI FUTEX_LOCK_PI2),
    bits: named!(FUTEX_PRIVATE_FLAG FUTEX_CLOCK_REALTIME),
};
/// Flags of calls that begin with a directory.
pub(super) const AT: Names = any(named!(AT_SYMLINK_NOFOLLOW AT_EACCESS AT_SYMLINK_FOLLOW AT_NO_AUTOMOUNT AT_EMPTY_PATH
    AT_STATX_FORCE_SYNC AT_STATX_DONT_SYNC AT_RECURSIVE));
/// `unlinkat`'s flags.
pub(super) const UNLINK: Names = any(named!(AT_REMOVEDIR));
/// What `faccessat` asks for.
pub(super) const ACCESS: Names = any(named!(R_OK W_OK X_OK));
/// Clocks.
pub(super) const CLOCK: Names = one(named!(CLOCK_REALTIME CLOCK_MONOTONIC CLOCK_PROCESS_CPUTIME_ID
    CLOCK_THREAD_CPUTIME_ID CLOCK_MONOTONIC_RAW CLOCK_REALTIME_COARSE CLOCK_MONOTONIC_COARSE CLOCK_BOOTTIME
    CLOCK_REALTIME_ALARM CLOCK_BOOTTIME_ALARM CLOCK_TAI));
/// Whether a time is a point or a span.
pub(super) const TIMER: Names = any(named!(TIMER_ABSTIME));
/// What waiting is for.
pub(super) const WAIT: Names = any(named!(WNOHANG WUNTRACED WEXITED WCONTINUED WNOWAIT __WNOTHREAD __WALL __WCLONE));
/// Whom `waitid` waits for.
pub(super) const ID_TYPE: Names = one(named!(P_ALL P_PID P_PGID P_PIDFD));
/// Families of sockets.
pub(super) const FAMILY: Names = one(named!(AF_UNSPEC AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET AF_ALG AF_VSOCK));
/// Types of sockets.
pub(super) const SOCKET: Names = Names {
    field: 0xf,
    values: named!(SOCK_STREAM SOCK_DGRAM SOCK_RAW SOCK_RDM SOCK_SEQPACKET),
    bits: named!(SOCK_CLOEXEC SOCK_NONBLOCK),
};
/// Levels of socket options.
pub(super) const LEVEL: Names = one(named!(SOL_IP SOL_SOCKET SOL_TCP SOL_UDP SOL_IPV6 SOL_NETLINK));
/// Flags of messages.
pub(super) const MESSAGE: Names = any(named!(MSG_OOB MSG_PEEK MSG_DONTROUTE MSG_CTRUNC MSG_TRUNC MSG_DONTWAIT MSG_EOR
    MSG_WAITALL MSG_CONFIRM MSG_ERRQUEUE MSG_NOSIGNAL MSG_MORE MSG_WAITFORONE MSG_CMSG_CLOEXEC));
/// Halves of a connection.
pub(super) const SHUT: Names = one(named!(SHUT_RD SHUT_WR SHUT_RDWR));
/// `fcntl`'s command.
pub(super) const FCNTL: Names = one(named!(F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_GETLK F_SETLK F_SETLKW F_SETOWN
    F_GETOWN F_OFD_GETLK F_OFD_SETLK F_OFD_SETLKW F_SETLEASE F_GETLEASE F_NOTIFY F_DUPFD_CLOEXEC
    F_SETPIPE_SZ F_GETPIPE_SZ F_ADD_SEALS F_GET_SEALS));
/// `ioctl`'s commonest requests.
pub(super) const IOCTL: Names = Names {
    field: u64::MAX,
    values: named!(TCGETS TCSETS TCSETSW TCSETSF TCSBRK TCXONC TCFLSH TIOCEXCL TIOCNXCL TIOCSCTTY TIOCGPGRP TIOCSPGRP
        TIOCOUTQ TIOCGWINSZ TIOCSWINSZ FIONREAD FIONBIO TIOCNOTTY TIOCGSID TIOCGPTN TIOCSPTLCK FIOCLEX FIONCLEX FIOASYNC
        FICLONE),
    bits: &[],
};
/// What `rt_sigprocmask` does.
pub(super) const HOW: Names = one(named!(SIG_BLOCK SIG_UNBLOCK SIG_SETMASK));
/// Limits.
pub(super) const LIMIT: Names = one(named!(RLIMIT_CPU RLIMIT_FSIZE RLIMIT_DATA RLIMIT_STACK RLIMIT_CORE RLIMIT_RSS
    RLIMIT_NPROC RLIMIT_NOFILE RLIMIT_MEMLOCK RLIMIT_AS RLIMIT_LOCKS RLIMIT_SIGPENDING RLIMIT_MSGQUEUE RLIMIT_NICE
    RLIMIT_RTPRIO RLIMIT_RTTIME));
/// Whose usage `getrusage` tells.
pub(super) const WHO: Names = one(named!(RUSAGE_SELF RUSAGE_THREAD RUSAGE_CHILDREN));
/// From where `lseek` counts.
pub(super) const WHENCE: Names = one(named!(SEEK_SET SEEK_CUR SEEK_END SEEK_DATA SEEK_HOLE));
/// `epoll_ctl`'s operation.
pub(super) const EPOLL: Names = one(named!(EPOLL_CTL_ADD EPOLL_CTL_DEL EPOLL_CTL_MOD));
/// `prctl`'s option.
pub(super) const PRCTL: Names = one(named!(PR_SET_PDEATHSIG PR_GET_PDEATHSIG PR_GET_DUMPABLE PR_SET_DUMPABLE
    PR_SET_KEEPCAPS PR_GET_KEEPCAPS PR_SET_NAME PR_GET_NAME PR_GET_SECCOMP PR_SET_SECCOMP PR_CAPBSET_READ
    PR_CAPBSET_DROP PR_SET_TIMERSLACK PR_GET_TIMERSLACK PR_SET_CHILD_SUBREAPER PR_GET_CHILD_SUBREAPER
    PR_SET_NO_NEW_PRIVS PR_GET_NO_NEW_PRIVS PR_GET_TID_ADDRESS PR_SET_THP_DISABLE PR_CAP_AMBIENT PR_SET_VMA
    PR_SET_MM PR_SET_PTRACER));
/// `getrandom`'s flags.
pub(super) const RANDOM: Names = any(named!(GRND_NONBLOCK GRND_RANDOM));
/// `mount`'s flags.
pub(super) const MOUNT: Names = any(named!(MS_RDONLY MS_NOSUID MS_NODEV MS_NOEXEC MS_SYNCHRONOUS MS_REMOUNT
    MS_MANDLOCK MS_DIRSYNC MS_NOATIME MS_NODIRATIME MS_BIND MS_MOVE MS_REC MS_SILENT MS_PRIVATE MS_SLAVE MS_SHARED
    MS_RELATIME MS_STRICTATIME MS_LAZYTIME));
/// Names of `si_code`, by signal: Linux, `asm-generic/siginfo.h`.
pub(super) fn signal_code(signal: i32, code: i32) -> Option<&'static str> {
    Some(match (signal, code) {
        (libc::SIGSEGV, 1) => "SEGV_MAPERR",
        (libc::SIGSEGV, 2) => "SEGV_ACCERR",
        (libc::SIGBUS, 1) => "BUS_ADRALN",
        (libc::SIGBUS, 2) => "BUS_ADRERR",
        (libc::SIGILL, 1) => "ILL_ILLOPC",
        (libc::SIGTRAP, 1) => "TRAP_BRKPT",
        (libc::SIGCHLD, 1) => "CLD_EXITED",
        (libc::SIGCHLD, 2) => "CLD_KILLED",
        (libc::SIGCHLD, 3) => "CLD_DUMPED",
        (_, 0) => "SI_USER",
        (_, libc::SI_TKILL) => "SI_TKILL",
        (_, libc::SI_QUEUE) => "SI_QUEUE",
        (_, libc::SI_TIMER) => "SI_TIMER",
        (_, 0x80) => "SI_KERNEL",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(names: &Names, word: u64) -> String {
        let mut line = String::new();
        names.write(&mut line, word);
        line
    }

    #[test]
    fn words_are_read_as_fields_and_bits() {
        assert_eq!(text(&OPEN_FLAGS, 0), "O_RDONLY");
        assert_eq!(text(&OPEN_FLAGS, 0o2_240_101), "O_WRONLY|O_DIRECTORY|O_DIRECT|O_CREAT|O_CLOEXEC");
        assert_eq!(text(&OPEN_FLAGS, 0o20_040_002), "O_RDWR|O_TMPFILE");
        assert_eq!(text(&OPEN_FLAGS, 3 | 0x4000_0000), "0x3|0x40000000");
        assert_eq!(text(&PROT, 0), "0");
        assert_eq!(text(&PROT, 0x15), "PROT_READ|PROT_EXEC|PROT_BTI");
        assert_eq!(text(&MAP, 0x32), "MAP_PRIVATE|MAP_FIXED|MAP_ANONYMOUS");
        assert_eq!(text(&CLONE_FLAGS, 0x4111), "SIGCHLD|CLONE_VM|CLONE_VFORK");
        assert_eq!(text(&CLONE_FLAGS, 0x100), "CLONE_VM");
        assert_eq!(text(&FUTEX, 0x189), "FUTEX_WAIT_BITSET|FUTEX_PRIVATE_FLAG|FUTEX_CLOCK_REALTIME");
        assert_eq!(text(&SIGNAL, 11), "SIGSEGV");
        assert_eq!(text(&SIGNAL, 40), "40");
        assert_eq!(text(&SIGNAL, 0), "0");
        assert_eq!(text(&IOCTL, 0x5413), "TIOCGWINSZ");
        assert_eq!(text(&IOCTL, 0xdead), "0xdead");
        assert_eq!(text(&LIMIT, 99), "99");
    }
}
