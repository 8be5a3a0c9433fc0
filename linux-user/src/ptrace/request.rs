//! The system call `ptrace`.

use jib_ir::state::{STATE_WORDS, State, slot};

use super::door::{RUN, STEP, SYSCALL, word};
use super::regsets::View;
use super::remote;
use super::resume::{resume, to_door};
use super::stops::{self, At, EVENT_STOP, Stop, Tracee, What};
use super::writes::note;
use crate::host::Errno;
use crate::mem;
use crate::process::Process;
use crate::seccomp;
use crate::signal::SigInfo;
use crate::signal::host::Context;
use crate::syscall::{Answer, Args, copy_in, copy_out, word_in};
use crate::thread::Thread;

/// `PTRACE_O_TRACESYSGOOD`
pub(super) const OPTION_SYSGOOD: u64 = libc::PTRACE_O_TRACESYSGOOD as u64;
/// `PTRACE_O_TRACEEXEC`
pub(super) const OPTION_EXEC: u64 = libc::PTRACE_O_TRACEEXEC as u64;
/// `PTRACE_O_TRACESECCOMP`
pub(super) const OPTION_SECCOMP: u64 = libc::PTRACE_O_TRACESECCOMP as u64;
/// `PTRACE_O_TRACEEXIT`
pub(super) const OPTION_EXIT: u64 = libc::PTRACE_O_TRACEEXIT as u64;
/// All options of Linux 6.12.
const OPTIONS: u64 = 0x0030_00ff;
/// Options that need rights: `PTRACE_O_SUSPEND_SECCOMP`.
const MIGHTY: u64 = 0x0020_0000;

/// Options for the kernel: ours tell its stops apart; filters are not the kernel's.
pub(super) fn host_options(options: u64) -> u64 {
    options & !(OPTION_SECCOMP | MIGHTY) | OPTION_SYSGOOD | OPTION_EXEC
}

const PEEKSIGINFO: u32 = 0x4209;
const GETSIGMASK: u32 = 0x420a;
const SETSIGMASK: u32 = 0x420b;
const GET_SYSCALL_INFO: u32 = 0x420e;
/// Bytes of a signal set.
const SET_SIZE: u64 = 8;

/// `ptrace(request, pid, addr, data)`
pub(crate) fn ptrace(t: &mut Thread, a: &Args) -> Answer {
    let (request, pid, addr, data) = (a[0] as u32, a[1] as i32, a[2], a[3]);
    match request {
        libc::PTRACE_TRACEME => return t.trace_me(),
        libc::PTRACE_SEIZE | libc::PTRACE_ATTACH => return attach(&t.process, request, pid, addr, data),
        _ => {}
    }
    let mut map = t.process.tracees.lock();
    let tracee = map.get_mut(&pid).ok_or(Errno(libc::ESRCH))?;
    match request {
        // These two do not need a stop.
        libc::PTRACE_INTERRUPT => return pass(request, pid, addr, data),
        libc::PTRACE_KILL => {
            tracee.stop = None;
            return pass(request, pid, addr, data);
        }
        _ => {}
    }
    let stop = tracee.stop.ok_or(Errno(libc::ESRCH))?;
    match request {
        libc::PTRACE_CONT => go_on(tracee, pid, RUN, data),
        libc::PTRACE_SYSCALL => go_on(tracee, pid, SYSCALL, data),
        libc::PTRACE_SINGLESTEP => go_on(tracee, pid, STEP, data),
        libc::PTRACE_DETACH => {
            let signal = signal_of(data)?;
            resume(tracee, pid, libc::PTRACE_DETACH, RUN, signal)?;
            map.remove(&pid);
            Ok(0)
        }
        libc::PTRACE_LISTEN => {
            if !tracee.seized || stop.status >> 16 != EVENT_STOP || stop.at == At::Door {
                return Err(Errno(libc::EIO));
            }
            tracee.stop = None;
            pass(request, pid, addr, data)
        }
        libc::PTRACE_SETOPTIONS => {
            check_options(data)?;
            tracee.options = data;
            stops::set_host_options(pid, data);
            tracee.tell(pid, word::OPTIONS, data);
            Ok(0)
        }
        libc::PTRACE_GETEVENTMSG => copy_out(data, &stop.message.to_le_bytes()).map(|()| 0),
        libc::PTRACE_GETSIGINFO => copy_out(data, &info(pid, tracee, &stop)?.0).map(|()| 0),
        libc::PTRACE_SETSIGINFO => set_info(pid, tracee, data),
        libc::PTRACE_PEEKTEXT | libc::PTRACE_PEEKDATA => pass(request, pid, addr, data),
        libc::PTRACE_POKETEXT | libc::PTRACE_POKEDATA => {
            let result = pass(request, pid, addr, data)?;
            note(pid, tracee, addr, 8);
            Ok(result)
        }
        libc::PTRACE_GETREGSET => get_regset(pid, tracee, addr, data),
        libc::PTRACE_SETREGSET => set_regset(pid, tracee, addr, data),
        GETSIGMASK | SETSIGMASK if addr != SET_SIZE => Err(Errno(libc::EINVAL)),
        GETSIGMASK => copy_out(data, &remote::words::<1>(pid, mask_of(tracee)?)?[0].to_le_bytes()).map(|()| 0),
        SETSIGMASK => set_mask(pid, tracee, data),
        PEEKSIGINFO => pass(request, pid, addr, data),
        GET_SYSCALL_INFO => syscall_info(pid, tracee, addr, data),
        // AArch64 has no PEEKUSER, GETREGS and their like.
        _ => Err(Errno(libc::EIO)),
    }
}

fn pass(request: u32, pid: i32, addr: u64, data: u64) -> Answer {
    remote::request(request, pid, addr, data).map(|v| v as i64)
}

fn check_options(options: u64) -> Result<(), Errno> {
    match options {
        o if o & !OPTIONS != 0 => Err(Errno(libc::EINVAL)),
        o if o & MIGHTY != 0 => Err(Errno(libc::EPERM)),
        _ => Ok(()),
    }
}

fn attach(process: &Process, request: u32, pid: i32, addr: u64, data: u64) -> Answer {
    let seize = request == libc::PTRACE_SEIZE;
    if seize && addr != 0 {
        return Err(Errno(libc::EIO));
    }
    let options = if seize { data } else { 0 };
    check_options(options)?;
    // The host's own refusals first: a process that is not there, that is not ours to trace.
    let mut map = process.tracees.lock();
    process.tracees.begin();
    let stopped = remote::is_stopped(pid);
    remote::request(request, pid, 0, if seize { host_options(options) } else { 0 })?;
    if !remote::is_jib(pid, process.own.exe) {
        // It cannot be let go before it has stopped; for a program of the host's, nobody waits.
        let mut tracee = Tracee::new(pid, seize, options);
        tracee.foreign = true;
        map.insert(pid, tracee);
        return Ok(0);
    }
    let mut tracee = Tracee::new(pid, seize, options);
    tracee.stops = stopped;
    // The kernel takes options from stopped threads only; it will be told then.
    tracee.configured = seize;
    if seize {
        remote::kick(tracee.process, pid);
    }
    map.insert(pid, tracee);
    Ok(0)
}

/// A signal number to go on with.
fn signal_of(data: u64) -> Result<i32, Errno> {
    if data <= 64 { Ok(data as i32) } else { Err(Errno(libc::EIO)) }
}

fn go_on(tracee: &mut Tracee, pid: i32, mode: u64, data: u64) -> Answer {
    resume(tracee, pid, libc::PTRACE_CONT, mode, signal_of(data)?)?;
    Ok(0)
}

/// `siginfo_t` of a stop (ptrace(2), `PTRACE_GETSIGINFO`).
fn info(pid: i32, tracee: &Tracee, stop: &Stop) -> Result<SigInfo, Errno> {
    match stop.what {
        _ if tracee.foreign => remote::info(pid),
        What::Signal(info, _) => Ok(info),
        What::Group if stop.status >> 16 == 0 => Err(Errno(libc::EINVAL)),
        // A trap whose code is that of the stop.
        _ => {
            let mut info = SigInfo::user(stop.status >> 8 & 0x7f);
            info.set_code(stop.status >> 8);
            info.set_sender(pid);
            Ok(info)
        }
    }
}

fn set_info(pid: i32, tracee: &mut Tracee, data: u64) -> Answer {
    let info = SigInfo(copy_in(data)?);
    let words = info.words();
    match &mut tracee.stop {
        Some(Stop { what: What::Signal(old, by_thread), at, .. }) => {
            *old = info;
            match (*by_thread, *at) {
                (true, _) => words.into_iter().enumerate().for_each(|(i, w)| tracee.tell(pid, word::INFO + i, w)),
                (false, At::Door) => {}
                (false, _) => return pass(libc::PTRACE_SETSIGINFO, pid, 0, data),
            }
            Ok(0)
        }
        _ => Err(Errno(libc::EINVAL)),
    }
}

/// Where the guest's signal mask is.
fn mask_of(tracee: &Tracee) -> Result<u64, Errno> {
    let door = tracee.door.ok_or(Errno(libc::ESRCH))?;
    Ok(door - Context::DOOR as u64 + Context::MASK as u64)
}

fn set_mask(pid: i32, tracee: &mut Tracee, data: u64) -> Answer {
    let mask = word_in(data)? & !crate::signal::UNBLOCKABLE;
    to_door(tracee, pid)?;
    remote::set_word(pid, mask_of(tracee)?, mask)?;
    tracee.tell(pid, word::REMASK, 1);
    Ok(0)
}

/// Calls `f` with a stopped thread's state; if it says so, the state is written back.
fn with_view<T>(
    pid: i32,
    tracee: &mut Tracee,
    write: bool,
    f: impl FnOnce(&mut View<'_>) -> Result<T, Errno>,
) -> Result<T, Errno> {
    if tracee.foreign {
        return Err(Errno(libc::EIO));
    }
    // Where registers are not exact, or could not be changed.
    if write || tracee.stop.is_some_and(|s| s.at == At::Loose && s.status >> 16 != libc::PTRACE_EVENT_EXIT) {
        to_door(tracee, pid)?;
    }
    let stop = tracee.stop.ok_or(Errno(libc::ESRCH))?;
    let mut door = tracee.door_words(pid)?;
    let mut state = Box::new(State(remote::words::<STATE_WORDS>(pid, door[word::STATE])?));
    let direction = match stop.what {
        What::Call(ended) => Some(ended as u64),
        _ => None,
    };
    let behind = if stop.at == At::Call && !matches!(stop.what, What::Call(_)) { 4 } else { 0 };
    let (state_at, door_at) = (door[word::STATE], tracee.door.unwrap_or(0));
    let mut view = View { state: &mut state, door: &mut door, behind, direction, number: stop.number };
    let result = f(&mut view)?;
    if write {
        state.set(slot::EXCL_ADDR, u64::MAX);
        // Up to the words that are the translator's, without its request to leave.
        let bytes: Vec<u8> = state.0.iter().flat_map(|w| w.to_le_bytes()).collect();
        let (request, end) = (8 * slot::EXIT_REQUEST.0 as usize, 8 * slot::SCRATCH.0 as usize);
        remote::write(pid, state_at, &bytes[..request])?;
        remote::write(pid, state_at + request as u64 + 8, &bytes[request + 8..end])?;
        for w in [word::CALL, word::ARMED].into_iter().chain(word::BREAK..word::COUNT) {
            remote::set_word(pid, door_at + 8 * w as u64, door[w])?;
        }
    }
    Ok(result)
}

/// `struct iovec`
fn iovec(at: u64) -> Result<(u64, u64), Errno> {
    Ok((word_in(at)?, word_in(at.wrapping_add(8))?))
}

fn get_regset(pid: i32, tracee: &mut Tracee, set: u64, at: u64) -> Answer {
    let (base, len) = iovec(at)?;
    let bytes = with_view(pid, tracee, false, |view| view.get(set))?;
    let n = bytes.len().min(len as usize);
    copy_out(base, &bytes[..n])?;
    copy_out(at.wrapping_add(8), &(n as u64).to_le_bytes())?;
    Ok(0)
}

fn set_regset(pid: i32, tracee: &mut Tracee, set: u64, at: u64) -> Answer {
    const LARGEST: usize = 4096;
    let (base, len) = iovec(at)?;
    let mut bytes = vec![0; (len as usize).min(LARGEST)];
    mem::read(base, &mut bytes).map_err(|_| Errno(libc::EFAULT))?;
    with_view(pid, tracee, true, |view| view.set(set, &bytes))?;
    copy_out(at.wrapping_add(8), &(bytes.len() as u64).to_le_bytes())?;
    Ok(0)
}

/// `PTRACE_GET_SYSCALL_INFO`: fills `struct ptrace_syscall_info`, tells its size.
fn syscall_info(pid: i32, tracee: &mut Tracee, size: u64, at: u64) -> Answer {
    let stop = tracee.stop.ok_or(Errno(libc::ESRCH))?;
    let call = |view: &mut View<'_>| {
        let s = &*view.state;
        let number = view.number.unwrap_or(view.door[word::CALL] as u32 as u64);
        Ok((s.pc().wrapping_sub(view.behind), s.x(31), number, std::array::from_fn::<u64, 6, _>(|i| s.x(i))))
    };
    let (pc, sp, number, args) = with_view(pid, tracee, false, call)?;
    let mut out = Vec::new();
    let (op, known) = match stop.what {
        What::Call(false) => (1u32, 80),
        What::Call(true) => (2, 33),
        What::Seccomp(_) => (3, 84),
        _ => (0, 24),
    };
    out.extend(op.to_le_bytes());
    out.extend(seccomp::ARCH.to_le_bytes());
    out.extend([pc, sp].into_iter().flat_map(u64::to_le_bytes));
    match stop.what {
        What::Call(true) => {
            out.extend(args[0].to_le_bytes());
            out.push(u8::from(args[0] as i64 >= -4095 && (args[0] as i64) < 0));
        }
        What::Call(false) | What::Seccomp(_) => {
            out.extend([number].iter().chain(&args).flat_map(|w| w.to_le_bytes()));
            if let What::Seccomp(datum) = stop.what {
                out.extend(datum.to_le_bytes());
            }
        }
        _ => {}
    }
    debug_assert_eq!(out.len(), known);
    copy_out(at, &out[..out.len().min(size as usize)])?;
    Ok(known as i64)
}
