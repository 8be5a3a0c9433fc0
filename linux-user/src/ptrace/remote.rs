//! The host's `ptrace` on one traced thread, by its id.

use super::door::{HEARD, KICK, MAGIC, word};
use crate::host::{Errno, call, jib_call_end, try_call};
use crate::own::same_file;
use crate::signal::SigInfo;
use crate::signal::host::Context;

/// Indices in the host's `user_regs_struct`.
pub(super) mod reg {
    pub(crate) const RBX: usize = 5;
    pub(crate) const RAX: usize = 10;
    pub(crate) const RDI: usize = 14;
    pub(crate) const ORIG_RAX: usize = 15;
    pub(crate) const RIP: usize = 16;
}
/// The host's registers.
pub(super) type Regs = [u64; 27];

/// Where a stopped thread is in jib's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// At its door, of its own will.
    Door(u64),
    /// In a system call of the guest, which has the door of the thread; `restarts` tells that the call was
    /// interrupted and the kernel is about to make it again.
    Call { door: u64, restarts: bool },
    /// Anywhere.
    Elsewhere,
}

/// Makes a request to the kernel.
pub(super) fn request(request: u32, pid: i32, addr: u64, data: u64) -> Result<u64, Errno> {
    try_call(libc::SYS_ptrace, &[request as u64, pid as u64, addr, data])
}

/// Lets the thread go on by `how`, with a signal or 0. It may have been killed meanwhile: nothing to do then.
pub(super) fn go(how: u32, pid: i32, signal: i32) {
    _ = request(how, pid, 0, signal as u64);
}

/// Reads the host's registers; fails for what is not traced by the caller or not stopped.
pub(super) fn regs(pid: i32) -> Result<Regs, Errno> {
    let mut regs = [0; 27];
    request(libc::PTRACE_GETREGS, pid, 0, regs.as_mut_ptr() as u64)?;
    Ok(regs)
}

/// Writes them.
pub(super) fn set_regs(pid: i32, regs: &Regs) {
    _ = request(libc::PTRACE_SETREGS, pid, 0, regs.as_ptr() as u64);
}

/// `siginfo_t` of the host's stop; fails for a stop of job control.
pub(super) fn info(pid: i32) -> Result<SigInfo, Errno> {
    let mut info = SigInfo([0; 128]);
    request(libc::PTRACE_GETSIGINFO, pid, 0, info.0.as_mut_ptr() as u64)?;
    Ok(info)
}

/// The message of the host's event.
pub(super) fn message(pid: i32) -> u64 {
    let mut v = 0u64;
    _ = request(libc::PTRACE_GETEVENTMSG, pid, 0, &raw mut v as u64);
    v
}

/// Reads memory of a stopped thread's process.
pub(super) fn read(pid: i32, addr: u64, out: &mut [u8]) -> Result<(), Errno> {
    let (local, remote) = ([out.as_mut_ptr() as u64, out.len() as u64], [addr, out.len() as u64]);
    let args = [pid as u64, local.as_ptr() as u64, 1, remote.as_ptr() as u64, 1, 0];
    match try_call(libc::SYS_process_vm_readv, &args) {
        Ok(n) if n == out.len() as u64 => Ok(()),
        _ => Err(Errno(libc::EIO)),
    }
}

/// Writes memory of a stopped thread's process.
pub(super) fn write(pid: i32, addr: u64, bytes: &[u8]) -> Result<(), Errno> {
    let (local, remote) = ([bytes.as_ptr() as u64, bytes.len() as u64], [addr, bytes.len() as u64]);
    let args = [pid as u64, local.as_ptr() as u64, 1, remote.as_ptr() as u64, 1, 0];
    match try_call(libc::SYS_process_vm_writev, &args) {
        Ok(n) if n == bytes.len() as u64 => Ok(()),
        _ => Err(Errno(libc::EIO)),
    }
}

/// Reads consecutive words.
pub(super) fn words<const N: usize>(pid: i32, addr: u64) -> Result<[u64; N], Errno> {
    let mut bytes = vec![0; 8 * N];
    read(pid, addr, &mut bytes)?;
    Ok(std::array::from_fn(|w| u64::from_le_bytes(std::array::from_fn(|i| bytes[8 * w + i]))))
}

/// Writes one word.
pub(super) fn set_word(pid: i32, addr: u64, v: u64) -> Result<(), Errno> {
    write(pid, addr, &v.to_le_bytes())
}

/// Waits until the thread stops; gives the status. An end of it is left for the guest to hear of.
pub(super) fn wait_for_stop(pid: i32) -> Result<i32, Errno> {
    let mut info = SigInfo([0; 128]);
    let mut wait = |what: i32| {
        let args = [libc::P_PID as u64, pid as u64, info.0.as_mut_ptr() as u64, what as u32 as u64, 0];
        try_call(libc::SYS_waitid, &args).map(|_| (info.sender(), info.code(), info.child_status()))
    };
    loop {
        let (_, code, _) = wait(libc::WEXITED | libc::WSTOPPED | libc::__WALL | libc::WNOWAIT)?;
        if !matches!(code, libc::CLD_TRAPPED | libc::CLD_STOPPED) {
            return Err(Errno(libc::ESRCH));
        }
        // It may have been killed since.
        let (found, _, status) = wait(libc::WSTOPPED | libc::__WALL | libc::WNOHANG)?;
        if found != 0 {
            return Ok(status << 8 | 0x7f);
        }
    }
}

/// Where the thread is.
pub(super) fn locate(pid: i32, regs: &Regs) -> Location {
    const HLT: u8 = 0xf4;
    let rip = regs[reg::RIP];
    if regs[reg::RAX] == MAGIC {
        let mut insn = [0];
        if read(pid, rip, &mut insn).is_ok() && insn == [HLT] && is_door(pid, regs[reg::RDI]) {
            return Location::Door(regs[reg::RDI]);
        }
    }
    let mut code = [0; jib_call_end().len()];
    if read(pid, rip, &mut code).is_ok() && code == jib_call_end() {
        let door = regs[reg::RBX].wrapping_add(Context::DOOR as u64);
        // The kernel's ERESTARTSYS to ERESTART_RESTARTBLOCK.
        let restarts = (-516..=-512).contains(&(regs[reg::RAX] as i64)) && regs[reg::ORIG_RAX] as i64 >= 0;
        if is_door(pid, door) {
            return Location::Call { door, restarts };
        }
    }
    Location::Elsewhere
}

fn is_door(pid: i32, at: u64) -> bool {
    words::<1>(pid, at + 8 * word::MAGIC as u64) == Ok([MAGIC])
}

/// A line of `/proc/PID/status`.
fn status(pid: i32, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|l| l.strip_prefix(name)).map(|v| v.trim().to_string())
}

/// The process of a thread.
pub(super) fn process_of(pid: i32) -> i32 {
    status(pid, "Tgid:").and_then(|v| v.parse().ok()).unwrap_or(pid)
}

/// Is the thread dead, with its end not told yet?
pub(super) fn is_dead(pid: i32) -> bool {
    status(pid, "State:").is_some_and(|v| v.starts_with('Z'))
}

/// Is the thread stopped by job control?
pub(super) fn is_stopped(pid: i32) -> bool {
    status(pid, "State:").is_some_and(|v| v.starts_with('T'))
}

/// Has the process a thread that translates for the others?
pub(super) fn has_translator(process: i32) -> bool {
    let name = format!("{}\n", jib_backend::WORKER);
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    threads.into_iter().any(|t| std::fs::read_to_string(t.path().join("comm")).is_ok_and(|comm| comm == name))
}

/// Has the process a handler for `signal`?
pub(super) fn handles(pid: i32, signal: i32) -> bool {
    let caught = status(pid, "SigCgt:").and_then(|v| u64::from_str_radix(&v, 16).ok()).unwrap_or(0);
    caught & crate::signal::bit(signal) != 0
}

/// Does the process run the same jib as we do?
pub(super) fn is_jib(pid: i32, exe: Option<i32>) -> bool {
    exe.is_some_and(|fd| same_file(&format!("/proc/self/fd/{fd}"), &format!("/proc/{pid}/exe")))
}

/// Sends a signal with all that is known of it to one thread.
pub(super) fn send(process: i32, pid: i32, info: &SigInfo) {
    call(libc::SYS_rt_tgsigqueueinfo, &[process as u64, pid as u64, info.signal() as u64, info.0.as_ptr() as u64]);
}

/// Asks a thread to come to its next boundary.
pub(super) fn kick(process: i32, pid: i32) {
    send(process, pid, &SigInfo::queued(libc::SIGSEGV, KICK));
}

/// What a signal that arrives at a traced thread is.
pub(super) enum Sent {
    /// Our own request to come to a boundary.
    Kick,
    /// Something that the tracer has heard of.
    Heard,
    /// A signal.
    Other,
}

/// Which of these `info` is.
pub(super) fn sent(info: &SigInfo) -> Sent {
    match info.queued_value() {
        Some(KICK) if info.signal() == libc::SIGSEGV => Sent::Kick,
        Some(HEARD) => Sent::Heard,
        _ => Sent::Other,
    }
}
