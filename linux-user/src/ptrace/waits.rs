//! The calls that wait for children and traced threads: what the guest is told of those that stop and end.
//!
//! When the last thread of a traced process is gone, the kernel tells of the process's end at once. A process of jib's
//! may then still have threads that the guest knows nothing of, on their way out. So a tracer that only asks, and would
//! hear that there is nothing, waits that moment: GDB takes a process without threads and without an end for lost.

use std::time::{Duration, Instant};

use super::remote;
use super::stops::{Seen, Tracee, seen};
use crate::host::try_call;
use crate::process::Process;
use crate::signal::SigInfo;
use crate::syscall::{Answer, Args, copy_out};
use crate::thread::Thread;

/// How long a process without threads may take to end. Another that lasts has threads that nobody traces.
const LAST_MOMENT: Duration = Duration::from_millis(500);
/// Between two looks.
const LOOK: Duration = Duration::from_micros(200);

/// The thread `pid` is no more. Is that none of the guest's business?
fn gone(process: &Process, pid: i32) -> bool {
    process.tracees.lock().remove(&pid).is_some_and(|t| t.is_ours())
}

/// Takes what there is to tell of a thread, so that it is not found again.
fn reap(pid: i32) {
    let how = (libc::__WALL | libc::WNOHANG) as u32 as u64;
    _ = try_call(libc::SYS_wait4, &[pid as u64, 0, how, 0]);
}

/// Is a traced process about to end that is `whom` (any, if not positive), with all the threads gone that the guest
/// knows of?
fn one_ends(process: &Process, whom: i32) -> bool {
    if !process.tracees.any() {
        return false;
    }
    let map = process.tracees.lock();
    let alone = |pid: i32, t: &Tracee| t.process == pid && map.values().filter(|o| o.process == pid).count() == 1;
    let meant = |pid: i32| whom <= 0 || whom == pid;
    map.iter().any(|(&pid, t)| meant(pid) && !t.lingers && alone(pid, t) && remote::is_dead(pid))
}

/// What is dead and has not ended in time does not do so soon.
fn give_up(process: &Process) {
    let mut map = process.tracees.lock();
    map.iter_mut().filter(|(pid, _)| remote::is_dead(**pid)).for_each(|(_, t)| t.lingers = true);
}

/// Asks for `whom` by `ask`, which gives 0 if there is nothing to tell, until there is, or nothing about to end.
fn asked(process: &Process, whom: i32, mut ask: impl FnMut() -> i64) -> i64 {
    let mut result = ask();
    let end = Instant::now() + LAST_MOMENT;
    while result == 0 && one_ends(process, whom) {
        if Instant::now() > end {
            give_up(process);
        }
        std::thread::sleep(LOOK);
        result = ask();
    }
    result
}

pub(crate) fn wait4(t: &mut Thread, a: &Args) -> Answer {
    loop {
        let mut status = 0i32;
        let args = [a[0], &raw mut status as u64, a[2], a[3], 0, 0];
        let result = asked(&t.process, a[0] as i32, || t.pass(libc::SYS_wait4, args));
        if result <= 0 {
            return Ok(result);
        }
        if libc::WIFSTOPPED(status) {
            match seen(&t.process, result as i32, status) {
                Seen::Stopped(told) => status = told,
                Seen::Nothing | Seen::Held => continue,
            }
        } else if !libc::WIFCONTINUED(status) && gone(&t.process, result as i32) {
            continue;
        }
        if a[1] != 0 {
            copy_out(a[1], &status.to_le_bytes())?;
        }
        return Ok(result);
    }
}

pub(crate) fn waitid(t: &mut Thread, a: &Args) -> Answer {
    loop {
        let mut info = SigInfo([0; 128]);
        let args = [a[0], a[1], info.0.as_mut_ptr() as u64, a[3], a[4], 0];
        let mut failed = 0;
        let whom = if a[0] == u64::from(libc::P_PID) { a[1] as i32 } else { -1 };
        asked(&t.process, whom, || {
            failed = t.pass(libc::SYS_waitid, args);
            if failed != 0 { failed } else { info.sender().into() }
        });
        if failed < 0 {
            return Ok(failed);
        }
        let (pid, keeps) = (info.sender(), a[3] as i32 & libc::WNOWAIT != 0);
        if matches!(info.code(), libc::CLD_TRAPPED | libc::CLD_STOPPED) {
            match seen(&t.process, pid, info.child_status() << 8 | 0x7f) {
                Seen::Stopped(told) => info.set_child_status(told >> 8),
                Seen::Held if keeps => {
                    reap(pid);
                    continue;
                }
                Seen::Nothing | Seen::Held => continue,
            }
        } else if pid != 0 && info.code() != libc::CLD_CONTINUED {
            if keeps && t.process.tracees.lock().get(&pid).is_some_and(Tracee::is_ours) {
                reap(pid);
                gone(&t.process, pid);
                continue;
            }
            if !keeps && gone(&t.process, pid) {
                continue;
            }
        }
        if a[2] != 0 {
            // The kernel writes these fields and nothing between them.
            copy_out(a[2], &info.0[..12])?;
            copy_out(a[2].wrapping_add(16), &info.0[16..28])?;
        }
        return Ok(0);
    }
}
