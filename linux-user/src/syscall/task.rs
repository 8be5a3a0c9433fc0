//! Calls that make and end threads and processes.

use super::{Answer, Args};
use crate::ExitStatus;
use crate::host::{ERESTARTNOINTR, Errno};
use crate::run::Ended;
use crate::thread::{Clone, Thread};

/// The exit signal is in the low byte of `clone`'s flags.
const CSIGNAL: u64 = 0xff;

pub(crate) fn exit(_: &mut Thread, a: &Args) -> Option<Ended> {
    Some(Ended::Thread(a[0] as i32 & 0xff))
}

pub(crate) fn exit_group(_: &mut Thread, a: &Args) -> Option<Ended> {
    Some(Ended::Process(ExitStatus::Exited(a[0] as i32 & 0xff)))
}

pub(crate) fn set_tid_address(t: &mut Thread, a: &Args) -> Answer {
    Ok(t.set_tid_address(a[0]))
}

/// `clone(flags, stack, parent_tid, tls, child_tid)`: AArch64's order.
pub(crate) fn clone(t: &mut Thread, a: &Args) -> Answer {
    let c = Clone {
        flags: a[0] as u32 as u64 & !CSIGNAL,
        exit_signal: a[0] & CSIGNAL,
        stack: a[1],
        // The same argument serves both; the kernel refuses to do both.
        parent_tid: a[2],
        pidfd: a[2],
        tls: a[3],
        child_tid: a[4],
    };
    if c.flags & libc::CLONE_PIDFD as u64 != 0 && c.flags & libc::CLONE_PARENT_SETTID as u64 != 0 {
        return Err(Errno(libc::EINVAL));
    }
    make(t, &c)
}

/// Sizes of `struct clone_args`: the first version, and the largest we know.
const CLONE_ARGS_MIN: u64 = 64;
const CLONE_ARGS: usize = 88;

pub(crate) fn clone3(t: &mut Thread, a: &Args) -> Answer {
    if a[1] < CLONE_ARGS_MIN {
        return Err(Errno(libc::EINVAL));
    }
    if a[1] > CLONE_ARGS as u64 {
        return Err(Errno(libc::E2BIG));
    }
    let mut b = [0; CLONE_ARGS];
    crate::mem::read(a[0], &mut b[..a[1] as usize]).map_err(|_| Errno(libc::EFAULT))?;
    let [flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, _, set_tid_size, _]: [u64; 11] =
        std::array::from_fn(|w| u64::from_le_bytes(std::array::from_fn(|i| b[8 * w + i])));
    let into_cgroup = flags & 1 << 33 != 0;
    if exit_signal > 64 || set_tid_size != 0 || into_cgroup || (stack == 0) != (stack_size == 0) {
        return Err(Errno(libc::EINVAL));
    }
    let stack = stack.wrapping_add(stack_size);
    make(t, &Clone { flags, pidfd, child_tid, parent_tid, exit_signal, stack, tls })
}

fn make(t: &mut Thread, c: &Clone) -> Answer {
    match t.clone_guest(c) {
        Ok(id) => Ok(id as i64),
        Err(e) if e.raw() == ERESTARTNOINTR => Ok(ERESTARTNOINTR),
        Err(e) => Err(e),
    }
}

/// Flags and types of namespaces that only a process with one thread may change.
const ALONE: u64 = (libc::CLONE_NEWUSER | libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_THREAD) as u64;
/// How often a thread that has just ended is waited for: the kernel counts it a little longer.
const PATIENCE: u32 = 50;

/// Makes a call while the translator's own thread does not exist.
fn alone(t: &mut Thread, nr: i64, a: &Args) -> Answer {
    let process = t.process.clone();
    process.translator.without_worker(|| {
        let mut result = t.pass(nr, *a);
        for _ in 0..PATIENCE {
            if result != Errno(libc::EINVAL).raw() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
            result = t.pass(nr, *a);
        }
        Ok(result)
    })
}

pub(crate) fn unshare(t: &mut Thread, a: &Args) -> Answer {
    if a[0] & ALONE != 0 { alone(t, libc::SYS_unshare, a) } else { Ok(t.pass(libc::SYS_unshare, *a)) }
}

pub(crate) fn setns(t: &mut Thread, a: &Args) -> Answer {
    // The descriptor alone may say what kind it is.
    const KINDS: u64 = (libc::CLONE_NEWUSER | libc::CLONE_NEWNS) as u64;
    if a[1] == 0 || a[1] & KINDS != 0 { alone(t, libc::SYS_setns, a) } else { Ok(t.pass(libc::SYS_setns, *a)) }
}
