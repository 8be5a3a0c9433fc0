//! System calls: finds the row of the call's number in [`table`] and does what it says.
//!
//! A call is passed through (the arguments mean the same on the host), passed through with its path
//! looked at first, or done by a function of ours.

mod exec;
mod file;
pub(crate) mod ids;
mod memory;
mod path;
mod procfs;
mod seccomp;
mod signal;
pub(crate) mod strace;
mod system;
mod table;
mod task;
mod tasks;
pub(crate) mod uring;
mod wait;

pub(crate) use exec::ExecCall;
pub(crate) use file::HostStat;
pub use strace::CallLog;

use std::time::Instant;

use crate::host::{self, ERESTART_RESTARTBLOCK, ERESTARTNOHAND, ERESTARTNOINTR, ERESTARTSYS, Errno};
use crate::mem;
use crate::run::Ended;
use crate::seccomp::Mode;
use crate::signal::deliver::INSN;
use crate::spare;
use crate::thread::Thread;

/// Arguments of a system call: x0 to x5.
pub(crate) type Args = [u64; 6];
/// What a function of ours returns: the kernel's raw answer, or an error.
pub(crate) type Answer = Result<i64, Errno>;

/// What a row of the table says is to be done.
#[derive(Clone, Copy)]
pub(crate) enum Action {
    /// Make the host's call of this number with the same arguments.
    Pass(i64),
    /// The same, but the argument of this index is a path that may mean something else.
    Path(i64, usize),
    /// Call a function of ours.
    Call(fn(&mut Thread, &Args) -> Answer),
    /// Call a function that changes where the thread continues, or ends it.
    Leave(fn(&mut Thread, &Args) -> Option<Ended>),
    /// Say that there is no such call.
    Missing,
    /// The same, for calls that programs do without as a matter of course: nothing to report.
    Optional,
}

/// What the system call `nr` is called.
pub(crate) fn name_of(nr: u32) -> &'static str {
    table::find(nr).map_or("?", |row| row.name)
}

/// Makes the system call that the thread's registers ask for.
pub(crate) fn dispatch(t: &mut Thread) -> Option<Ended> {
    let mut nr = t.vcpu.state.x(8) as u32;
    let after = t.vcpu.state.pc();
    if t.is_traced() {
        if t.context.is_due() {
            // Signals, and what the tracer wants, come first.
            t.step_back();
            return None;
        }
        nr = t.traced_entry(nr);
    }
    // A tracer may want no call at all.
    let end = if nr == u32::MAX { None } else { make(t, nr) };
    // It may have come while the call was made.
    if end.is_none() && t.is_traced() {
        let result = match (t.restart, t.vcpu.state.pc() == after.wrapping_sub(INSN)) {
            (true, _) => ERESTARTSYS,
            (_, true) => ERESTARTNOINTR,
            // Interrupted by a signal that has a handler: what the kernel would do without one.
            _ if t.vcpu.state.x(0) as i64 == Errno(libc::EINTR).raw() && t.context.is_pending() => unhandled(nr),
            _ => 0,
        };
        t.traced_exit(result);
    }
    end
}

/// What a tracer sees of a call that was interrupted and is not made again when a handler runs.
fn unhandled(nr: u32) -> i64 {
    match nr {
        // pselect6, ppoll, rt_sigsuspend
        72 | 73 | 133 => ERESTARTNOHAND,
        // nanosleep, clock_nanosleep
        101 | 115 => ERESTART_RESTARTBLOCK,
        _ => 0,
    }
}

/// May the call make a mapping, or two of one? (`munmap` is looked at where it is known.)
const fn may_map(nr: u32) -> bool {
    // io_setup, prctl (names), shmat, brk, mremap, mmap, mprotect, mlock and its like, madvise, remap_file_pages, mbind,
    // mlock2, pkey_mprotect, set_mempolicy_home_node, mseal
    matches!(nr, 0 | 167 | 196 | 214 | 216 | 222 | 226 | 228..=231 | 233..=235 | 284 | 288 | 450 | 462)
}

fn make(t: &mut Thread, mut nr: u32) -> Option<Ended> {
    let began = strace::begin(&t.process);
    let s = &t.vcpu.state;
    let mut args: Args = std::array::from_fn(|i| s.x(i));
    if let Some(mode) = t.process.filters.take(&mut t.filters_seen, &t.seccomp) {
        t.seccomp = mode;
    }
    if !matches!(t.seccomp, Mode::Free)
        && let Some(end) = seccomp::intercept(t, &mut nr, &mut args)
    {
        return end;
    }
    let Some(row) = table::find(nr) else {
        assert!(t.process.panic_at != Some(nr), "as asked for by --panic-at {nr}");
        t.process.report_unknown(nr, "unknown");
        return finish(t, nr, &args, Errno(libc::ENOSYS).raw(), began);
    };
    let room = if may_map(nr) { spare::before_mapping() } else { Ok(()) };
    let result = match row.action {
        _ if room.is_err() => Err(Errno(libc::ENOMEM)),
        Action::Pass(host_nr) => Ok(t.pass(host_nr, args)),
        Action::Path(host_nr, index) => path::pass(t, host_nr, args, index),
        Action::Call(f) => f(t, &args),
        Action::Leave(f) => {
            strace::log(t, nr, &args, None, began);
            return f(t, &args);
        }
        Action::Optional => Err(Errno(libc::ENOSYS)),
        Action::Missing => {
            t.process.report_unknown(nr, row.name);
            Err(Errno(libc::ENOSYS))
        }
    };
    finish(t, nr, &args, result.unwrap_or_else(Errno::raw), began)
}

fn finish(t: &mut Thread, nr: u32, args: &Args, result: i64, began: Option<Instant>) -> Option<Ended> {
    t.context.remember(nr, result);
    match result {
        ERESTARTSYS => t.restart = true,
        ERESTARTNOINTR => t.step_back(),
        _ => t.vcpu.state.set_x(0, result as u64),
    }
    strace::log(t, nr, args, Some(result), began);
    None
}

impl Thread {
    /// Makes a host call that signals may interrupt.
    pub(crate) fn pass(&self, nr: i64, args: Args) -> i64 {
        host::interruptible(nr, args, self.context.flag())
    }
}

/// Reads `N` bytes of guest memory.
pub(crate) fn copy_in<const N: usize>(addr: u64) -> Result<[u8; N], Errno> {
    let mut b = [0; N];
    mem::read(addr, &mut b).map_err(|_| Errno(libc::EFAULT))?;
    Ok(b)
}

/// Writes to guest memory.
pub(crate) fn copy_out(addr: u64, bytes: &[u8]) -> Result<(), Errno> {
    mem::write(addr, bytes).map_err(|_| Errno(libc::EFAULT))
}

/// Reads a 64-bit word of guest memory.
pub(crate) fn word_in(addr: u64) -> Result<u64, Errno> {
    Ok(u64::from_le_bytes(copy_in(addr)?))
}

/// Reads a string of at most `max` bytes, without its final null byte.
pub(crate) fn string_in(addr: u64, max: usize) -> Result<Vec<u8>, Errno> {
    let mut s = Vec::new();
    while s.len() < max {
        let at = addr.wrapping_add(s.len() as u64);
        // Not past the page: what follows the string need not be mapped.
        let chunk = (4096 - at % 4096).min(256) as usize;
        let mut b = [0; 256];
        mem::read(at, &mut b[..chunk]).map_err(|_| Errno(libc::EFAULT))?;
        match b[..chunk].iter().position(|&c| c == 0) {
            Some(n) => {
                s.extend(&b[..n]);
                return if s.len() < max { Ok(s) } else { Err(Errno(libc::ENAMETOOLONG)) };
            }
            None => s.extend(&b[..chunk]),
        }
    }
    Err(Errno(libc::ENAMETOOLONG))
}
