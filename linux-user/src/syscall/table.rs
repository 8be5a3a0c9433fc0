//! The AArch64 system call table of Linux 6.12, one row per call.
//!
//! `args` says how the call log shows the arguments: `d` number, `n` number of 64 bits, `D` directory
//! descriptor, `s` string, `x` flags, `o` mode, `p` address, `w` bytes whose number is the next argument,
//! `r` bytes whose number is the result; `T` time, `Q` set of signals, `V` list of strings, `E` environment,
//! `a` socket address whose length is the next argument, `2` two descriptors, `3` arguments of `clone3`,
//! each behind a pointer and read after the call, so not where it writes something else there; the other
//! letters are values with names ([`strace::decode`](super::strace)).

use libc::*;

use super::Action::{self, Call, Leave, Missing, Optional, Pass, Path};
use super::{exec, file, ids, memory, path, seccomp, signal, system, task, tasks, uring, wait};
use crate::ptrace;

/// One system call.
pub(crate) struct Row {
    /// AArch64 number.
    pub nr: u16,
    /// Name.
    pub name: &'static str,
    /// Arguments, for the log.
    pub args: &'static str,
    /// What to do.
    pub action: Action,
}

const LIMIT: usize = 512;
const NONE: u16 = u16::MAX;

/// Row index by number.
static INDEX: [u16; LIMIT] = {
    let mut index = [NONE; LIMIT];
    let mut i = 0;
    while i < ROWS.len() {
        index[ROWS[i].nr as usize] = i as u16;
        i += 1;
    }
    index
};

/// The row of an AArch64 system call number.
pub(crate) fn find(nr: u32) -> Option<&'static Row> {
    let index = *INDEX.get(nr as usize)?;
    ROWS.get(index as usize)
}

macro_rules! rows {
    ($($nr:literal $name:ident $args:literal $action:expr;)*) => {
        const ROWS: &[Row] = &[$(Row { nr: $nr, name: stringify!($name), args: $args, action: $action }),*];
    };
}

rows! {
    0 io_setup "dp" Pass(SYS_io_setup);
    1 io_destroy "p" Pass(SYS_io_destroy);
    2 io_submit "pdp" Pass(SYS_io_submit);
    3 io_cancel "ppp" Pass(SYS_io_cancel);
    4 io_getevents "pddpp" Pass(SYS_io_getevents);
    5 setxattr "sspdx" Path(SYS_setxattr, 0);
    6 lsetxattr "sspdx" Path(SYS_lsetxattr, 0);
    7 fsetxattr "dspdx" Pass(SYS_fsetxattr);
    8 getxattr "sspd" Path(SYS_getxattr, 0);
    9 lgetxattr "sspd" Path(SYS_lgetxattr, 0);
    10 fgetxattr "dspd" Pass(SYS_fgetxattr);
    11 listxattr "spd" Path(SYS_listxattr, 0);
    12 llistxattr "spd" Path(SYS_llistxattr, 0);
    13 flistxattr "dpd" Pass(SYS_flistxattr);
    14 removexattr "ss" Path(SYS_removexattr, 0);
    15 lremovexattr "ss" Path(SYS_lremovexattr, 0);
    16 fremovexattr "ds" Pass(SYS_fremovexattr);
    17 getcwd "rd" Pass(SYS_getcwd);
    18 lookup_dcookie "ppd" Missing;
    19 eventfd2 "dx" Pass(SYS_eventfd2);
    20 epoll_create1 "x" Pass(SYS_epoll_create1);
    21 epoll_ctl "dedp" Call(wait::epoll_ctl);
    22 epoll_pwait "dpddQd" Call(wait::epoll_pwait);
    23 dup "d" Call(file::dup);
    24 dup3 "ddf" Call(file::dup3);
    25 fcntl "dNx" Call(file::fcntl);
    26 inotify_init1 "x" Pass(SYS_inotify_init1);
    27 inotify_add_watch "dsx" Path(SYS_inotify_add_watch, 1);
    28 inotify_rm_watch "dd" Pass(SYS_inotify_rm_watch);
    29 ioctl "dIp" Call(seccomp::ioctl);
    30 ioprio_set "ddd" Pass(SYS_ioprio_set);
    31 ioprio_get "dd" Pass(SYS_ioprio_get);
    32 flock "dd" Pass(SYS_flock);
    33 mknodat "Dsox" Pass(SYS_mknodat);
    34 mkdirat "Dso" Pass(SYS_mkdirat);
    35 unlinkat "DsU" Pass(SYS_unlinkat);
    36 symlinkat "sDs" Pass(SYS_symlinkat);
    37 linkat "DsDsA" Path(SYS_linkat, 1);
    38 renameat "DsDs" Pass(SYS_renameat);
    39 umount2 "sx" Pass(SYS_umount2);
    40 mount "sssBp" Pass(SYS_mount);
    41 pivot_root "ss" Pass(SYS_pivot_root);
    42 nfsservctl "" Missing;
    43 statfs "sp" Path(SYS_statfs, 0);
    44 fstatfs "dp" Pass(SYS_fstatfs);
    45 truncate "sn" Path(SYS_truncate, 0);
    46 ftruncate "dn" Pass(SYS_ftruncate);
    47 fallocate "dxdd" Pass(SYS_fallocate);
    48 faccessat "Dsm" Path(SYS_faccessat, 1);
    49 chdir "s" Path(SYS_chdir, 0);
    50 fchdir "d" Pass(SYS_fchdir);
    51 chroot "s" Pass(SYS_chroot);
    52 fchmod "do" Pass(SYS_fchmod);
    53 fchmodat "Dso" Path(SYS_fchmodat, 1);
    54 fchownat "DsddA" Call(ids::fchownat);
    55 fchown "ddd" Call(ids::fchown);
    56 openat "DsOo" Call(path::openat);
    57 close "d" Call(file::close);
    58 vhangup "" Pass(SYS_vhangup);
    59 pipe2 "2f" Call(file::pipe2);
    60 quotactl "xsdp" Pass(SYS_quotactl);
    61 getdents64 "dpd" Call(tasks::getdents64);
    62 lseek "dnq" Pass(SYS_lseek);
    63 read "drd" Call(file::read);
    64 write "dwd" Call(ptrace::write);
    65 readv "dpd" Pass(SYS_readv);
    66 writev "dpd" Call(ptrace::writev);
    67 pread64 "drdn" Call(file::pread64);
    68 pwrite64 "dwdn" Call(ptrace::pwrite64);
    69 preadv "dpdd" Pass(SYS_preadv);
    70 pwritev "dpdd" Call(ptrace::pwritev);
    71 sendfile "ddpd" Pass(SYS_sendfile);
    72 pselect6 "dppppp" Call(wait::pselect6);
    73 ppoll "pdpQd" Call(wait::ppoll);
    74 signalfd4 "dpdx" Pass(SYS_signalfd4);
    75 vmsplice "dpdx" Pass(SYS_vmsplice);
    76 splice "dpdpdx" Pass(SYS_splice);
    77 tee "dddx" Pass(SYS_tee);
    78 readlinkat "Dsrd" Call(path::readlinkat);
    79 newfstatat "DspA" Call(file::newfstatat);
    80 fstat "dp" Call(file::fstat);
    81 sync "" Pass(SYS_sync);
    82 fsync "d" Pass(SYS_fsync);
    83 fdatasync "d" Pass(SYS_fdatasync);
    84 sync_file_range "dddx" Pass(SYS_sync_file_range);
    85 timerfd_create "Kx" Pass(SYS_timerfd_create);
    86 timerfd_settime "dxpp" Pass(SYS_timerfd_settime);
    87 timerfd_gettime "dp" Pass(SYS_timerfd_gettime);
    88 utimensat "DspA" Path(SYS_utimensat, 1);
    89 acct "s" Pass(SYS_acct);
    90 capget "pp" Pass(SYS_capget);
    91 capset "pp" Pass(SYS_capset);
    92 personality "x" Pass(SYS_personality);
    93 exit "d" Leave(task::exit);
    94 exit_group "d" Leave(task::exit_group);
    95 waitid "idpWp" Call(ptrace::waitid);
    96 set_tid_address "p" Call(task::set_tid_address);
    97 unshare "u" Call(task::unshare);
    98 futex "pFdppd" Pass(SYS_futex);
    99 set_robust_list "pd" Pass(SYS_set_robust_list);
    100 get_robust_list "dpp" Pass(SYS_get_robust_list);
    101 nanosleep "Tp" Pass(SYS_nanosleep);
    102 getitimer "dp" Pass(SYS_getitimer);
    103 setitimer "dpp" Pass(SYS_setitimer);
    104 kexec_load "pdpx" Pass(SYS_kexec_load);
    105 init_module "pds" Pass(SYS_init_module);
    106 delete_module "sx" Pass(SYS_delete_module);
    107 timer_create "Kpp" Pass(SYS_timer_create);
    108 timer_gettime "dp" Pass(SYS_timer_gettime);
    109 timer_getoverrun "d" Pass(SYS_timer_getoverrun);
    110 timer_settime "dxpp" Pass(SYS_timer_settime);
    111 timer_delete "d" Pass(SYS_timer_delete);
    112 clock_settime "KT" Call(system::clock_settime);
    113 clock_gettime "Kp" Call(system::clock_gettime);
    114 clock_getres "Kp" Pass(SYS_clock_getres);
    115 clock_nanosleep "KbTp" Pass(SYS_clock_nanosleep);
    116 syslog "dpd" Pass(SYS_syslog);
    117 ptrace "ddpp" Call(ptrace::ptrace);
    118 sched_setparam "dp" Pass(SYS_sched_setparam);
    119 sched_setscheduler "ddp" Pass(SYS_sched_setscheduler);
    120 sched_getscheduler "d" Pass(SYS_sched_getscheduler);
    121 sched_getparam "dp" Pass(SYS_sched_getparam);
    122 sched_setaffinity "ddp" Pass(SYS_sched_setaffinity);
    123 sched_getaffinity "ddp" Pass(SYS_sched_getaffinity);
    124 sched_yield "" Pass(SYS_sched_yield);
    125 sched_get_priority_max "d" Pass(SYS_sched_get_priority_max);
    126 sched_get_priority_min "d" Pass(SYS_sched_get_priority_min);
    127 sched_rr_get_interval "dp" Pass(SYS_sched_rr_get_interval);
    128 restart_syscall "" Call(signal::restart_syscall);
    129 kill "dS" Pass(SYS_kill);
    130 tkill "dS" Pass(SYS_tkill);
    131 tgkill "ddS" Pass(SYS_tgkill);
    132 sigaltstack "pp" Call(signal::sigaltstack);
    133 rt_sigsuspend "Qd" Call(wait::rt_sigsuspend);
    134 rt_sigaction "Sppd" Call(signal::rt_sigaction);
    135 rt_sigprocmask "hQpd" Call(signal::rt_sigprocmask);
    136 rt_sigpending "pd" Call(signal::rt_sigpending);
    137 rt_sigtimedwait "QpTd" Pass(SYS_rt_sigtimedwait);
    138 rt_sigqueueinfo "dSp" Pass(SYS_rt_sigqueueinfo);
    139 rt_sigreturn "" Leave(signal::rt_sigreturn);
    140 setpriority "ddd" Pass(SYS_setpriority);
    141 getpriority "dd" Pass(SYS_getpriority);
    142 reboot "xxxp" Pass(SYS_reboot);
    143 setregid "dd" Call(ids::setregid);
    144 setgid "d" Call(ids::setgid);
    145 setreuid "dd" Call(ids::setreuid);
    146 setuid "d" Call(ids::setuid);
    147 setresuid "ddd" Call(ids::setresuid);
    148 getresuid "ppp" Call(ids::getresuid);
    149 setresgid "ddd" Call(ids::setresgid);
    150 getresgid "ppp" Call(ids::getresgid);
    151 setfsuid "d" Call(ids::setfsuid);
    152 setfsgid "d" Call(ids::setfsgid);
    153 times "p" Pass(SYS_times);
    154 setpgid "dd" Pass(SYS_setpgid);
    155 getpgid "d" Pass(SYS_getpgid);
    156 getsid "d" Pass(SYS_getsid);
    157 setsid "" Pass(SYS_setsid);
    158 getgroups "dp" Call(ids::getgroups);
    159 setgroups "dp" Call(ids::setgroups);
    160 uname "p" Call(system::uname);
    161 sethostname "sd" Pass(SYS_sethostname);
    162 setdomainname "sd" Pass(SYS_setdomainname);
    163 getrlimit "lp" Call(system::getrlimit);
    164 setrlimit "lp" Call(system::setrlimit);
    165 getrusage "Jp" Pass(SYS_getrusage);
    166 umask "o" Pass(SYS_umask);
    167 prctl "Pxxxx" Call(system::prctl);
    168 getcpu "ppp" Pass(SYS_getcpu);
    169 gettimeofday "pp" Call(system::gettimeofday);
    170 settimeofday "pp" Call(system::settimeofday);
    171 adjtimex "p" Call(system::adjtimex);
    172 getpid "" Pass(SYS_getpid);
    173 getppid "" Pass(SYS_getppid);
    174 getuid "" Call(ids::getuid);
    175 geteuid "" Call(ids::geteuid);
    176 getgid "" Call(ids::getgid);
    177 getegid "" Call(ids::getegid);
    178 gettid "" Pass(SYS_gettid);
    179 sysinfo "p" Pass(SYS_sysinfo);
    180 mq_open "sxop" Call(file::mq_open);
    181 mq_unlink "s" Pass(SYS_mq_unlink);
    182 mq_timedsend "dwdpp" Pass(SYS_mq_timedsend);
    183 mq_timedreceive "dpdpp" Pass(SYS_mq_timedreceive);
    184 mq_notify "dp" Pass(SYS_mq_notify);
    185 mq_getsetattr "dpp" Pass(SYS_mq_getsetattr);
    186 msgget "dx" Pass(SYS_msgget);
    187 msgctl "ddp" Pass(SYS_msgctl);
    188 msgrcv "dpddx" Pass(SYS_msgrcv);
    189 msgsnd "dpdx" Pass(SYS_msgsnd);
    190 semget "ddx" Pass(SYS_semget);
    191 semctl "dddp" Call(system::semctl);
    192 semtimedop "dpdp" Pass(SYS_semtimedop);
    193 semop "dpd" Pass(SYS_semop);
    194 shmget "ddx" Pass(SYS_shmget);
    195 shmctl "ddp" Pass(SYS_shmctl);
    196 shmat "dpx" Call(memory::shmat);
    197 shmdt "p" Call(memory::shmdt);
    198 socket "ktd" Pass(SYS_socket);
    199 socketpair "ktd2" Pass(SYS_socketpair);
    200 bind "dad" Pass(SYS_bind);
    201 listen "dd" Pass(SYS_listen);
    202 accept "dpp" Pass(SYS_accept);
    203 connect "dad" Pass(SYS_connect);
    204 getsockname "dpp" Pass(SYS_getsockname);
    205 getpeername "dpp" Pass(SYS_getpeername);
    206 sendto "dwdyad" Pass(SYS_sendto);
    207 recvfrom "drdypp" Pass(SYS_recvfrom);
    208 setsockopt "dLdpd" Pass(SYS_setsockopt);
    209 getsockopt "dLdpp" Pass(SYS_getsockopt);
    210 shutdown "dH" Pass(SYS_shutdown);
    211 sendmsg "dpy" Pass(SYS_sendmsg);
    212 recvmsg "dpy" Pass(SYS_recvmsg);
    213 readahead "ddd" Pass(SYS_readahead);
    214 brk "p" Call(memory::brk);
    215 munmap "px" Call(memory::munmap);
    216 mremap "pxxzp" Call(memory::mremap);
    217 add_key "sspdd" Pass(SYS_add_key);
    218 request_key "sssd" Pass(SYS_request_key);
    219 keyctl "dpppp" Pass(SYS_keyctl);
    220 clone "Cpppp" Call(task::clone);
    221 execve "sVE" Call(exec::execve);
    222 mmap "pxRMdx" Call(memory::mmap);
    223 fadvise64 "dddd" Pass(SYS_fadvise64);
    224 swapon "sx" Pass(SYS_swapon);
    225 swapoff "s" Pass(SYS_swapoff);
    226 mprotect "pxR" Call(memory::mprotect);
    227 msync "pxY" Call(memory::msync);
    228 mlock "px" Call(memory::mlock);
    229 munlock "px" Call(memory::munlock);
    230 mlockall "x" Pass(SYS_mlockall);
    231 munlockall "" Pass(SYS_munlockall);
    232 mincore "pxp" Call(memory::mincore);
    233 madvise "pxv" Call(memory::madvise);
    234 remap_file_pages "pxxxx" Call(memory::remap_file_pages);
    235 mbind "pxdpdx" Pass(SYS_mbind);
    236 get_mempolicy "ppdpx" Pass(SYS_get_mempolicy);
    237 set_mempolicy "dpd" Pass(SYS_set_mempolicy);
    238 migrate_pages "ddpp" Pass(SYS_migrate_pages);
    239 move_pages "ddpppx" Pass(SYS_move_pages);
    240 rt_tgsigqueueinfo "ddSp" Pass(SYS_rt_tgsigqueueinfo);
    241 perf_event_open "pdddx" Pass(SYS_perf_event_open);
    242 accept4 "dppx" Pass(SYS_accept4);
    243 recvmmsg "dpdyp" Pass(SYS_recvmmsg);
    260 wait4 "dpWp" Call(ptrace::wait4);
    261 prlimit64 "dlpp" Call(system::prlimit64);
    262 fanotify_init "xx" Call(file::fanotify_init);
    263 fanotify_mark "dxxDs" Pass(SYS_fanotify_mark);
    264 name_to_handle_at "Dsppx" Pass(SYS_name_to_handle_at);
    265 open_by_handle_at "dpx" Call(file::open_by_handle_at);
    266 clock_adjtime "dp" Call(system::clock_adjtime);
    267 syncfs "d" Pass(SYS_syncfs);
    268 setns "du" Call(task::setns);
    269 sendmmsg "dpdy" Pass(SYS_sendmmsg);
    270 process_vm_readv "dpdpdx" Pass(SYS_process_vm_readv);
    271 process_vm_writev "dpdpdx" Call(ptrace::process_vm_writev);
    272 kcmp "ddddd" Pass(SYS_kcmp);
    273 finit_module "dsx" Pass(SYS_finit_module);
    274 sched_setattr "dpx" Pass(SYS_sched_setattr);
    275 sched_getattr "dpdx" Pass(SYS_sched_getattr);
    276 renameat2 "DsDsx" Pass(SYS_renameat2);
    277 seccomp "dxp" Call(seccomp::seccomp);
    278 getrandom "pdg" Pass(SYS_getrandom);
    279 memfd_create "sx" Pass(SYS_memfd_create);
    280 bpf "dpd" Pass(SYS_bpf);
    281 execveat "DsVEA" Call(exec::execveat);
    282 userfaultfd "x" Pass(SYS_userfaultfd);
    283 membarrier "dx" Pass(SYS_membarrier);
    284 mlock2 "pxx" Call(memory::mlock2);
    285 copy_file_range "dpdpdx" Pass(SYS_copy_file_range);
    286 preadv2 "dpdddx" Pass(SYS_preadv2);
    287 pwritev2 "dpdddx" Call(ptrace::pwritev2);
    288 pkey_mprotect "pxRd" Call(memory::pkey_mprotect);
    289 pkey_alloc "xx" Call(memory::pkey_alloc);
    290 pkey_free "d" Call(memory::pkey_free);
    291 statx "DsAxp" Call(ids::statx);
    292 io_pgetevents "pddppp" Call(wait::io_pgetevents);
    // A critical section must be aborted when its thread is preempted, up to the very store that commits it. The kernel
    // compares the host's program counter, which is never inside one; and we learn of a preemption when we next leave
    // translated code, which may be after the store. A number of its own for each thread would make sections safe, but
    // programs have room for as many as there are processors. Registering without keeping the promise would corrupt
    // what such programs share; the C library does without, and asks `getcpu`.
    293 rseq "pdxx" Optional;
    294 kexec_file_load "dddsx" Pass(SYS_kexec_file_load);
    424 pidfd_send_signal "ddpx" Pass(424);
    425 io_uring_setup "dp" Call(uring::setup);
    426 io_uring_enter "dddxpd" Call(uring::enter);
    427 io_uring_register "ddpd" Call(uring::register);
    428 open_tree "Dsx" Pass(428);
    429 move_mount "DsDsx" Pass(429);
    430 fsopen "sx" Pass(430);
    431 fsconfig "ddspd" Pass(431);
    432 fsmount "dxx" Pass(432);
    433 fspick "Dsx" Pass(433);
    434 pidfd_open "dx" Pass(434);
    435 clone3 "3d" Call(task::clone3);
    436 close_range "ddx" Call(file::close_range);
    437 openat2 "Dspd" Call(path::openat2);
    438 pidfd_getfd "ddx" Pass(438);
    439 faccessat2 "DsmA" Path(439, 1);
    440 process_madvise "dpddx" Pass(440);
    441 epoll_pwait2 "dpdppd" Call(wait::epoll_pwait2);
    442 mount_setattr "Dsxpd" Pass(442);
    443 quotactl_fd "dxdp" Pass(443);
    444 landlock_create_ruleset "pdx" Pass(444);
    445 landlock_add_rule "ddpx" Pass(445);
    446 landlock_restrict_self "dx" Pass(446);
    447 memfd_secret "x" Pass(447);
    448 process_mrelease "dx" Pass(448);
    449 futex_waitv "pdxpd" Pass(449);
    450 set_mempolicy_home_node "pxdx" Pass(450);
    451 cachestat "dppx" Pass(451);
    452 fchmodat2 "DsoA" Path(452, 1);
    453 map_shadow_stack "pxx" Missing;
    454 futex_wake "pxdx" Pass(454);
    455 futex_wait "pxxxpd" Pass(455);
    456 futex_requeue "pxdd" Pass(456);
    457 statmount "ppdx" Pass(457);
    458 listmount "ppdx" Pass(458);
    459 lsm_get_self_attr "dppx" Pass(459);
    460 lsm_set_self_attr "dpdx" Pass(460);
    461 lsm_list_modules "ppx" Pass(461);
    462 mseal "pxx" Pass(462);
}

#[cfg(test)]
mod tests {
    use super::*;
    use syscalls::{aarch64, x86_64};

    /// Names that differ between the tables.
    fn table_name(name: &str) -> &str {
        match name {
            "newfstatat" => "fstatat",
            other => other,
        }
    }

    #[test]
    fn numbers_and_names_agree_with_the_kernel_tables() {
        for row in ROWS {
            let theirs = aarch64::Sysno::new(row.nr as usize).map(|n| n.name());
            if theirs.is_some() {
                assert_eq!(theirs, Some(table_name(row.name)), "row {}", row.nr);
            }
            if let Pass(host) | Path(host, _) = row.action {
                let theirs = x86_64::Sysno::new(host as usize).map(|n| n.name());
                assert_eq!(theirs, Some(row.name), "host number of {}", row.name);
            }
        }
        assert!(ROWS.len() > 300);
    }

    #[test]
    fn every_call_of_the_kernel_has_a_row() {
        for nr in 0..=462usize {
            if let Some(n) = aarch64::Sysno::new(nr)
                && !(244..=259).contains(&nr)
                && !(403..=423).contains(&nr)
            {
                assert!(find(nr as u32).is_some(), "{nr} {}", n.name());
            }
        }
    }
}
