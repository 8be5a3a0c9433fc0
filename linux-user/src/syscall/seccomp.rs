//! `seccomp` and its `prctl`: installing filters, and what a filtered call meets.

use super::{Answer, Args, copy_in, copy_out, finish};
use crate::ExitStatus;
use crate::host::Errno;
use crate::mem;
use crate::run::Ended;
use crate::seccomp::bpf::{INSN, Insn, MAX_INSNS};
use crate::seccomp::notify::{self, NEW_LISTENER};
use crate::seccomp::{self, Filter, Mode, Verdict};
use crate::signal::SigInfo;
use crate::signal::frame::FaultRecord;
use crate::thread::Thread;
use std::sync::Arc;

const SET_MODE_STRICT: u32 = 0;
const SET_MODE_FILTER: u32 = 1;
const GET_ACTION_AVAIL: u32 = 2;
const GET_NOTIF_SIZES: u32 = 3;
/// Give the filter to all threads.
const TSYNC: u64 = 1;
/// If that fails for a thread, do not tell which by the result: that may be a listener.
const TSYNC_ESRCH: u64 = 16;
/// Once a supervisor has heard of a call, only deadly signals interrupt that.
const WAIT_KILLABLE_RECV: u64 = 32;
/// All, also those about logging and speculation.
const KNOWN_FLAGS: u64 = TSYNC | 2 | 4 | NEW_LISTENER | TSYNC_ESRCH | WAIT_KILLABLE_RECV;

pub(crate) fn seccomp(t: &mut Thread, a: &Args) -> Answer {
    match a[0] as u32 {
        SET_MODE_STRICT if a[1] == 0 && a[2] == 0 => strict(t),
        SET_MODE_FILTER => install(t, a[1], a[2]),
        GET_ACTION_AVAIL if a[1] == 0 => {
            let action = u32::from_le_bytes(copy_in(a[2])?);
            const KNOWN: [u32; 8] =
                [0x8000_0000, 0, 0x0003_0000, 0x0005_0000, 0x7fc0_0000, 0x7ff0_0000, 0x7ffc_0000, 0x7fff_0000];
            if KNOWN.contains(&action) { Ok(0) } else { Err(Errno(libc::EOPNOTSUPP)) }
        }
        // The structures are the same on both sides.
        GET_NOTIF_SIZES if a[1] == 0 => Ok(t.pass(libc::SYS_seccomp, *a)),
        _ => Err(Errno(libc::EINVAL)),
    }
}

/// `ioctl`, which converts what supervisors read and answer.
pub(crate) fn ioctl(t: &mut Thread, a: &Args) -> Answer {
    match a[1] as u32 {
        notify::RECEIVE => {
            let result = t.pass(libc::SYS_ioctl, *a);
            if result == 0 {
                let mut notification = copy_in(a[2])?;
                notify::received(&mut notification);
                copy_out(a[2], &notification)?;
            }
            Ok(result)
        }
        notify::SEND => {
            let mut response = copy_in(a[2])?;
            notify::sent(&mut response)?;
            Ok(t.pass(libc::SYS_ioctl, [a[0], a[1], response.as_ptr() as u64, 0, 0, 0]))
        }
        _ => Ok(t.pass(libc::SYS_ioctl, *a)),
    }
}

/// `prctl(PR_SET_SECCOMP, mode, program)`
pub(crate) fn set_by_prctl(t: &mut Thread, mode: u64, program: u64) -> Answer {
    match mode {
        1 => strict(t),
        2 => install(t, 0, program),
        _ => Err(Errno(libc::EINVAL)),
    }
}

fn strict(t: &mut Thread) -> Answer {
    match t.seccomp {
        Mode::Filtered(_) => Err(Errno(libc::EINVAL)),
        _ => {
            t.seccomp = Mode::Strict;
            Ok(0)
        }
    }
}

fn install(t: &mut Thread, flags: u64, program: u64) -> Answer {
    let has = |flag: u64| flags & flag != 0;
    let alone = has(NEW_LISTENER) && has(TSYNC) && !has(TSYNC_ESRCH) || has(WAIT_KILLABLE_RECV) && !has(NEW_LISTENER);
    if flags & !KNOWN_FLAGS != 0 || alone || matches!(t.seccomp, Mode::Strict) {
        return Err(Errno(libc::EINVAL));
    }
    // `struct sock_fprog`: a count, and behind padding an address.
    let head: [u8; 16] = copy_in(program)?;
    let len = u16::from_le_bytes([head[0], head[1]]) as usize;
    let at = u64::from_le_bytes(std::array::from_fn(|i| head[8 + i]));
    if len == 0 || len > MAX_INSNS {
        return Err(Errno(libc::EINVAL));
    }
    if !seccomp::allowed() {
        return Err(Errno(libc::EACCES));
    }
    let mut bytes = vec![0; len * INSN];
    mem::read(at, &mut bytes).map_err(|_| Errno(libc::EFAULT))?;
    let program = bytes.as_chunks::<INSN>().0.iter().map(|b| Insn::from_bytes(*b)).collect();
    let filter = Filter::new(program, t.seccomp.filter())?;
    let listener = if has(NEW_LISTENER) { notify::listen(flags)? } else { 0 };
    t.seccomp = Mode::Filtered(filter.clone());
    if flags & TSYNC != 0 {
        t.process.filters.give(filter);
    }
    Ok(listener as i64)
}

/// Asks the filters about a call; `Some` if it is not to be made, with how the thread goes on.
pub(crate) fn intercept(t: &mut Thread, nr: &mut u32, args: &mut Args) -> Option<Option<Ended>> {
    let verdict = t.seccomp.verdict(*nr, t.vcpu.state.pc(), args);
    let Verdict::Trace(datum) = verdict else { return obey(t, verdict, *nr, args) };
    match t.traced_filter(*nr, datum) {
        None => Some(finish(t, *nr, args, Errno(libc::ENOSYS).raw(), None)),
        // The tracer wants no call.
        Some(u32::MAX) => Some(None),
        Some(other) => {
            *nr = other;
            *args = std::array::from_fn(|i| t.vcpu.state.x(i));
            // What the tracer made of it is judged, too, but it is not asked again.
            match t.seccomp.verdict(*nr, t.vcpu.state.pc(), args) {
                Verdict::Trace(_) => None,
                verdict => obey(t, verdict, *nr, args),
            }
        }
    }
}

/// Does what the filters say.
fn obey(t: &mut Thread, verdict: Verdict, nr: u32, args: &Args) -> Option<Option<Ended>> {
    let pc = t.vcpu.state.pc();
    match verdict {
        Verdict::Allow => None,
        Verdict::Trace(_) => Some(finish(t, nr, args, Errno(libc::ENOSYS).raw(), None)),
        Verdict::Notify => match t.pass(notify::host_number(nr), *args) {
            result if notify::lets_pass(result) => None,
            result => Some(finish(t, nr, args, result, None)),
        },
        Verdict::Errno(e) => Some(finish(t, nr, args, -(e as i64), None)),
        Verdict::Trap(datum) => {
            let info = SigInfo::filtered(pc, nr, seccomp::ARCH, datum);
            Some(t.force(&info, FaultRecord::default()))
        }
        // The last thread takes the process with it. All threads of a process, and nobody else, share the actions.
        Verdict::KillThread if Arc::strong_count(&t.actions) > 1 => Some(Some(Ended::Thread(libc::SIGSYS))),
        Verdict::KillThread => Some(Some(Ended::Process(ExitStatus::Signaled(libc::SIGSYS)))),
        Verdict::KillProcess(signal) => Some(Some(Ended::Process(ExitStatus::Signaled(signal)))),
    }
}
