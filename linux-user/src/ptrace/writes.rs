//! Writes to the memory of traced processes: their code may change by them, which they must hear of.
//!
//! Debuggers write by `ptrace`, by `/proc/PID/mem`, and by `process_vm_writev`.

use super::door::word;
use super::remote;
use super::stops::Tracee;
use super::tracee::ROOM;
use crate::host::call;
use crate::syscall::{Answer, Args, word_in};
use crate::thread::Thread;

/// Tells a thread's process that memory of it was changed.
pub(super) fn note(pid: i32, tracee: &Tracee, addr: u64, len: u64) {
    let ledger = match tracee.door_words(pid) {
        Ok(words) if words[word::LEDGER] != 0 => words[word::LEDGER],
        // It has never stopped: nothing of its guest has run, or it comes to its door first.
        _ => return,
    };
    let Ok([count]) = remote::words::<1>(pid, ledger) else { return };
    let entry = ledger + 8 + 16 * (count % ROOM as u64);
    let written = remote::set_word(pid, entry, addr)
        .and_then(|()| remote::set_word(pid, entry + 8, addr.saturating_add(len)))
        .and_then(|()| remote::set_word(pid, ledger, count + 1));
    if written.is_ok() && tracee.stop.is_none() {
        remote::kick(tracee.process, pid);
    }
}

/// The guest has written to the memory of process `process` by other means than `ptrace`.
fn written(t: &Thread, process: i32, addr: u64, len: u64) {
    let map = t.process.tracees.lock();
    let of_process = |(pid, tracee): &(&i32, &Tracee)| tracee.process == process || **pid == process;
    // Any of its threads passes it on, best one that is stopped.
    let mut threads: Vec<(&i32, &Tracee)> = map.iter().filter(of_process).filter(|(_, t)| t.door.is_some()).collect();
    threads.sort_by_key(|(_, tracee)| tracee.stop.is_none());
    if let Some((pid, tracee)) = threads.first() {
        note(**pid, tracee, addr, len);
    }
}

/// The process whose memory is behind the descriptor `fd`, if it is such a one.
fn memory_of(fd: u64) -> Option<i32> {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", fd as i32)).ok()?;
    process_in(link.to_str()?)
}

/// The process of `/proc/PID/mem` or `/proc/PID/task/TID/mem`.
fn process_in(path: &str) -> Option<i32> {
    let (pid, file) = path.strip_prefix("/proc/")?.split_once('/')?;
    let is_memory = file == "mem" || file.starts_with("task/") && file.ends_with("/mem");
    if is_memory { pid.parse().ok() } else { None }
}

/// Makes a call that writes to a descriptor; `at` is the position, if that is an argument.
fn to_file(t: &Thread, nr: i64, a: &Args, at: Option<u64>) -> Answer {
    if !t.process.tracees.any() {
        return Ok(t.pass(nr, *a));
    }
    let Some(process) = memory_of(a[0]) else { return Ok(t.pass(nr, *a)) };
    let start = at.unwrap_or_else(|| call(libc::SYS_lseek, &[a[0], 0, libc::SEEK_CUR as u64]) as u64);
    let result = t.pass(nr, *a);
    if result > 0 {
        written(t, process, start, result as u64);
    }
    Ok(result)
}

pub(crate) fn write(t: &mut Thread, a: &Args) -> Answer {
    to_file(t, libc::SYS_write, a, None)
}

pub(crate) fn writev(t: &mut Thread, a: &Args) -> Answer {
    to_file(t, libc::SYS_writev, a, None)
}

pub(crate) fn pwrite64(t: &mut Thread, a: &Args) -> Answer {
    to_file(t, libc::SYS_pwrite64, a, Some(a[3]))
}

pub(crate) fn pwritev(t: &mut Thread, a: &Args) -> Answer {
    to_file(t, libc::SYS_pwritev, a, Some(a[3]))
}

pub(crate) fn pwritev2(t: &mut Thread, a: &Args) -> Answer {
    // -1 stands for the position of the descriptor.
    let at = (a[3] != u64::MAX).then_some(a[3]);
    to_file(t, libc::SYS_pwritev2, a, at)
}

pub(crate) fn process_vm_writev(t: &mut Thread, a: &Args) -> Answer {
    let result = t.pass(libc::SYS_process_vm_writev, *a);
    if result > 0 && t.process.tracees.any() {
        let mut left = result as u64;
        for i in 0..a[4] {
            let at = a[3].wrapping_add(16 * i);
            let (base, len) = (word_in(at)?, word_in(at.wrapping_add(8))?.min(left));
            written(t, a[0] as i32, base, len);
            left -= len;
            if left == 0 {
                break;
            }
        }
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_files_are_recognised() {
        assert_eq!(process_in("/proc/12/mem"), Some(12));
        assert_eq!(process_in("/proc/12/task/13/mem"), Some(12));
        for other in ["/proc/12/maps", "/proc/self/mem", "/tmp/mem", "/proc/12/root/mem"] {
            assert_eq!(process_in(other), None, "{other}");
        }
    }
}
