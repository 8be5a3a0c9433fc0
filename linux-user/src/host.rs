//! Raw host system calls, and the interruptible one that guest calls go through.
//!
//! The guest shares our address space, so its pointers may be passed to the kernel as they are;
//! a bad one yields `EFAULT` from there.

use std::arch::{asm, global_asm};
use std::sync::atomic::AtomicU32;

use crate::ptrace::{Door, door};

/// What [`interruptible`] returns when a signal interrupted the call and the kernel would restart it
/// if the handler has `SA_RESTART`.
pub(crate) const ERESTARTSYS: i64 = -512;
/// What it returns when a signal arrived before the call began: the signal goes first.
pub(crate) const ERESTARTNOINTR: i64 = -513;

/// What tracers see of a call that is made again if no handler runs.
pub(crate) const ERESTARTNOHAND: i64 = -514;
/// The same for calls that then go on with what is left of their time.
pub(crate) const ERESTART_RESTARTBLOCK: i64 = -516;

global_asm!(
    ".pushsection .text.jib_syscall,\"ax\",@progbits",
    // Other codegen units refer to them.
    ".globl jib_syscall_begin",
    ".hidden jib_syscall_begin",
    ".globl jib_syscall_end",
    ".hidden jib_syscall_end",
    ".globl jib_syscall_not_begun",
    ".hidden jib_syscall_not_begun",
    ".globl jib_syscall_backed_up",
    ".hidden jib_syscall_backed_up",
    ".globl jib_restorer",
    ".hidden jib_restorer",
    ".globl jib_syscall",
    ".hidden jib_syscall",
    ".p2align 4",
    ".globl jib_stop, jib_stop_at",
    ".hidden jib_stop, jib_stop_at",
    // rdi: number, rsi: six arguments, rdx: pending flag. A tracer finds the flag in RBX.
    "jib_syscall: push rbx",
    "mov rbx, rdx",
    "mov rax, rdi",
    "mov rcx, rdx",
    "mov r11, rsi",
    "mov rdi, qword ptr [r11]",
    "mov rsi, qword ptr [r11 + 8]",
    "mov rdx, qword ptr [r11 + 16]",
    "mov r10, qword ptr [r11 + 24]",
    "mov r8, qword ptr [r11 + 32]",
    "mov r9, qword ptr [r11 + 40]",
    "jib_syscall_begin: cmp dword ptr [rcx], 0",
    "jne jib_syscall_not_begun",
    "syscall",
    // A tracer knows these bytes: see `jib_call_end`.
    "jib_syscall_end: pop rbx",
    "ret",
    ".quad {magic}",
    "jib_syscall_not_begun: mov rax, -513",
    "pop rbx",
    "ret",
    "jib_syscall_backed_up: mov rax, -512",
    "pop rbx",
    "ret",
    // rdi: the door. The privileged instruction faults; a tracer steps over it with 1 in RAX.
    "jib_stop: movabs rax, {magic}",
    "jib_stop_at: hlt",
    "ret",
    // Return from a host signal handler.
    "jib_restorer: mov eax, 15",
    "syscall",
    ".popsection",
    magic = const door::MAGIC,
);

unsafe extern "C" {
    static jib_syscall_begin: u8;
    static jib_syscall_end: u8;
    static jib_syscall_not_begun: u8;
    static jib_syscall_backed_up: u8;
    static jib_restorer: u8;
    static jib_stop_at: u8;
    fn jib_stop(door: *const Door) -> u64;
    fn jib_syscall(nr: i64, args: *const [u64; 6], pending: *const AtomicU32) -> i64;
}

/// If a signal interrupted [`interruptible`] at host address `pc` before its system call was made,
/// or the kernel backed up to make it again, where to resume so that it returns [`ERESTARTNOINTR`]
/// or [`ERESTARTSYS`]. RCX tells which: the SYSCALL instruction puts its return address there.
pub(crate) fn interrupted(pc: u64, rcx: u64) -> Option<u64> {
    let (begin, end) = (&raw const jib_syscall_begin as u64, &raw const jib_syscall_end as u64);
    let resume = if rcx == end { &raw const jib_syscall_backed_up } else { &raw const jib_syscall_not_begun };
    (begin..end).contains(&pc).then_some(resume as u64)
}

/// The bytes at which a thread in [`interruptible`]'s system call will go on.
pub(crate) const fn jib_call_end() -> [u8; 10] {
    let [a, b, c, d, e, f, g, h] = door::MAGIC.to_le_bytes();
    [0x5b, 0xc3, a, b, c, d, e, f, g, h]
}

/// Stops the calling thread until the tracer that watches `door` lets it go on; false, at once, if there is none.
pub(crate) fn stop(door: &Door) -> bool {
    // SAFETY: the stub follows the C ABI; the fault in it is recovered by a tracer or by our signal handler. The
    // tracer changes words of the door, which are atomic, and the guest's state, which is behind a raw pointer.
    unsafe { jib_stop(door) == 1 }
}

/// Is `pc` where [`stop`] faults? Then there is no tracer: where to resume, with 0 in RAX.
pub(crate) fn not_traced(pc: u64) -> Option<u64> {
    let at = &raw const jib_stop_at as u64;
    (pc == at).then_some(at + 1)
}

/// Address of the host signal return stub.
pub(crate) fn restorer() -> u64 {
    &raw const jib_restorer as u64
}

/// Makes a system call unless `pending` is set; there is no window in which a signal that sets
/// `pending` goes unnoticed. Returns the kernel's raw answer.
pub(crate) fn interruptible(nr: i64, args: [u64; 6], pending: &AtomicU32) -> i64 {
    // SAFETY: the stub follows the C ABI; what the kernel does to memory is what the guest asked.
    unsafe { jib_syscall(nr, &raw const args, pending) }
}

/// Makes a system call with up to six arguments; returns the kernel's raw answer.
pub(crate) fn call(nr: i64, args: &[u64]) -> i64 {
    let arg = |i: usize| args.get(i).copied().unwrap_or(0);
    let result;
    // SAFETY: the clobbers are the kernel's; callers pass pointers to live memory of theirs.
    unsafe {
        asm!("syscall", inlateout("rax") nr => result, in("rdi") arg(0), in("rsi") arg(1), in("rdx") arg(2),
             in("r10") arg(3), in("r8") arg(4), in("r9") arg(5), out("rcx") _, out("r11") _, options(nostack));
    }
    result
}

/// [`call`] as a `Result`.
pub(crate) fn try_call(nr: i64, args: &[u64]) -> Result<u64, Errno> {
    match call(nr, args) {
        e @ -4095..=-1 => Err(Errno(-e as i32)),
        v => Ok(v as u64),
    }
}

/// A Linux error number; the numbers are the same on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub i32);

impl std::fmt::Display for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match syscalls::Errno::new(self.0).description() {
            Some(text) => f.write_str(text),
            None => write!(f, "error {}", self.0),
        }
    }
}

impl Errno {
    /// As a system call returns it.
    pub(crate) fn raw(self) -> i64 {
        -(self.0 as i64)
    }
}

/// Kernel thread id of the caller.
pub(crate) fn gettid() -> i32 {
    call(libc::SYS_gettid, &[]) as i32
}

/// Process id of the caller.
pub(crate) fn getpid() -> i32 {
    call(libc::SYS_getpid, &[]) as i32
}

/// Ends the calling thread alone.
pub(crate) fn exit_thread(code: i32) -> ! {
    loop {
        call(libc::SYS_exit, &[code as u64]);
    }
}

/// Ends the process at once.
pub(crate) fn exit_group(code: i32) -> ! {
    loop {
        call(libc::SYS_exit_group, &[code as u64]);
    }
}

/// Writes a diagnostic to `fd` in one piece; failures are of no interest.
pub(crate) fn print(fd: i32, text: &str) {
    call(libc::SYS_write, &[fd as u64, text.as_ptr() as u64, text.len() as u64]);
}

/// Seconds and nanoseconds of a clock.
pub(crate) fn clock(id: i32) -> Result<(i64, i64), Errno> {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` is a live local; for the usual clocks the vDSO answers without the kernel.
    match unsafe { libc::clock_gettime(id, &raw mut ts) } {
        0 => Ok((ts.tv_sec, ts.tv_nsec)),
        _ => Err(Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL))),
    }
}

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub(crate) fn monotonic_ns() -> u64 {
    let (seconds, nanoseconds) = clock(libc::CLOCK_MONOTONIC).unwrap_or((0, 0));
    seconds as u64 * 1_000_000_000 + nanoseconds as u64
}

/// Random words of the kernel's; without entropy, or before there is some, they are zero.
pub(crate) fn random_words<const N: usize>() -> [u64; N] {
    let mut words = [0u64; N];
    // So few bytes come at once.
    _ = try_call(libc::SYS_getrandom, &[words.as_mut_ptr() as u64, 8 * N as u64, 0]);
    words
}

/// A value of the host's auxiliary vector.
pub(crate) fn auxval(key: u64) -> u64 {
    // SAFETY: getauxval has no preconditions.
    unsafe { libc::getauxval(key) }
}

/// The name under which the kernel started us: `AT_EXECFN`.
pub(crate) fn started_as() -> Vec<u8> {
    let at = auxval(libc::AT_EXECFN);
    if at == 0 {
        return Vec::new();
    }
    // SAFETY: the kernel put a string there when the process began, and nobody changes it.
    unsafe { std::ffi::CStr::from_ptr(at as *const libc::c_char) }.to_bytes().to_vec()
}

/// The open file behind a descriptor that somebody handed on to us, and that is ours from now on.
pub(crate) fn file_of(fd: i32) -> Result<std::fs::File, Errno> {
    use std::os::fd::FromRawFd;
    try_call(libc::SYS_fcntl, &[fd as u64, libc::F_GETFD as u64])?;
    // SAFETY: the descriptor is open, and whoever named it to us has given it away.
    Ok(unsafe { std::fs::File::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn a_pending_signal_keeps_the_call_from_being_made() {
        assert_eq!(interruptible(libc::SYS_getpid, [0; 6], &AtomicU32::new(0)), getpid() as i64);
        assert_eq!(interruptible(libc::SYS_getpid, [0; 6], &AtomicU32::new(1)), ERESTARTNOINTR);
    }
}
