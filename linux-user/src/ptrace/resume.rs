//! How a stopped thread goes on, and how it is brought to its door first where that is needed.

use super::door::{INFO_WORDS, Kind, STEP, SYSCALL, word};
use super::remote::{self, Location, Sent, reg};
use super::stops::{At, Tracee, What};
use crate::host::Errno;
use crate::signal::SigInfo;

/// Brings a stopped thread to its door, if it is elsewhere: only there its registers can be changed. The guest sees
/// the same stop as before.
pub(super) fn to_door(t: &mut Tracee, pid: i32) -> Result<(), Errno> {
    let Some(stop) = &mut t.stop else { return Err(Errno(libc::ESRCH)) };
    match stop.at {
        At::Door | At::Exact => return Ok(()),
        At::Call => {
            // The call returns to jib as one that is to be made again.
            let mut regs = remote::regs(pid)?;
            regs[reg::RAX] = crate::host::ERESTARTSYS as u64;
            regs[reg::ORIG_RAX] = u64::MAX;
            remote::set_regs(pid, &regs);
            t.tell(pid, word::CALLED, 1);
            t.tell(pid, word::TRACED, 1);
        }
        At::Loose if t.foreign => return Err(Errno(libc::EIO)),
        At::Loose if stop.status >> 16 == libc::PTRACE_EVENT_EXIT => return Err(Errno(libc::ESRCH)),
        At::Loose => remote::kick(t.process, pid),
    }
    remote::go(libc::PTRACE_CONT, pid, 0);
    let door = wait_for_door(t.process, pid)?;
    t.door = Some(door);
    if let Some(stop) = &mut t.stop {
        stop.at = At::Door;
        stop.number = None;
    }
    Ok(())
}

/// Waits until a thread that was called is at its door. Signals that come meanwhile come again.
fn wait_for_door(process: i32, pid: i32) -> Result<u64, Errno> {
    loop {
        let status = remote::wait_for_stop(pid)?;
        let (signal, event) = (status >> 8 & 0xff, status >> 16);
        let (Ok(regs), Ok(info)) = (remote::regs(pid), remote::info(pid)) else {
            remote::go(libc::PTRACE_CONT, pid, 0);
            continue;
        };
        if event != 0 || signal == libc::SIGTRAP | 0x80 {
            remote::go(libc::PTRACE_CONT, pid, 0);
            continue;
        }
        let at_fault = matches!(signal, libc::SIGSEGV | libc::SIGBUS);
        match remote::locate(pid, &regs) {
            Location::Door(door) if at_fault && info.code() > 0 => {
                let words: [u64; word::COUNT] = remote::words(pid, door)?;
                let mut t = Tracee::new(pid, false, 0);
                t.door = Some(door);
                match Kind::from_word(words[word::KIND]) {
                    Some(Kind::Called) => return Ok(door),
                    Some(Kind::Signal) => {
                        let info =
                            SigInfo::from_words(&std::array::from_fn::<u64, INFO_WORDS, _>(|i| words[word::INFO + i]));
                        remote::send(process, pid, &info);
                        t.tell(pid, word::SIGNAL, 0);
                    }
                    _ => {}
                }
                t.leave_door(pid, libc::PTRACE_CONT, 0);
            }
            _ if at_fault || matches!(remote::sent(&info), Sent::Heard) => remote::go(libc::PTRACE_CONT, pid, signal),
            _ => {
                remote::go(libc::PTRACE_CONT, pid, 0);
                remote::send(process, pid, &info);
            }
        }
    }
}

/// Lets a stopped thread go on as `mode` says, by `how` of the host's, with a signal or 0.
pub(super) fn resume(t: &mut Tracee, pid: i32, how: u32, mode: u64, signal: i32) -> Result<(), Errno> {
    if t.stop.is_none() {
        return Err(Errno(libc::ESRCH));
    }
    if mode == STEP && !t.foreign {
        to_door(t, pid)?;
    }
    let Some(stop) = t.stop.take() else { return Err(Errno(libc::ESRCH)) };
    let released = how == libc::PTRACE_DETACH;
    t.shows_entry = false;
    t.mode = mode;
    if released {
        [word::TRACED, word::MODE, word::OPTIONS, word::ARMED].into_iter().for_each(|w| t.tell(pid, w, 0));
    } else {
        t.tell_mode(pid);
    }
    let stops = matches!(signal, libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU);
    match stop.what {
        What::Signal(..) if stops => t.stops = true,
        What::Group => t.stops = false,
        _ => {}
    }
    let injected = match stop.what {
        What::Signal(info, true) => {
            if signal != info.signal() {
                t.tell(pid, word::SIGNAL, signal as u64);
            }
            0
        }
        What::Signal(info, false) => {
            if signal == info.signal() && stop.at == At::Door {
                _ = remote::request(libc::PTRACE_SETSIGINFO, pid, 0, info.0.as_ptr() as u64);
            }
            if signal != 0 && !released && remote::handles(pid, signal) {
                t.tell(pid, word::SKIP, signal as u64);
            }
            signal
        }
        What::Call(_) if signal != 0 => {
            let info = SigInfo::user(signal);
            remote::send(t.process, pid, &info);
            0
        }
        _ if t.foreign => signal,
        _ => 0,
    };
    match stop.at {
        At::Door => {
            if !t.due.is_empty() && !released {
                t.tell(pid, word::CALLED, 1);
            }
            t.leave_door(pid, how, injected);
        }
        // What begins now is shown to the tracer by the kernel; what ends, by the thread.
        At::Call if mode == SYSCALL && !released && !matches!(stop.what, What::Call(_)) => {
            t.shows_entry = injected == 0;
            remote::go(if t.shows_entry { libc::PTRACE_SYSCALL } else { how }, pid, injected);
        }
        At::Loose if t.foreign && !released && mode == SYSCALL => remote::go(libc::PTRACE_SYSCALL, pid, injected),
        _ => remote::go(how, pid, injected),
    }
    Ok(())
}
