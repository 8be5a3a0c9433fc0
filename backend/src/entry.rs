//! Into compiled code and back: host registers, the FPU's control word, and FP flags.
//!
//! While guest code runs, the host's MXCSR holds the FP flags raised since; FPSR gets them on the way out.
#![allow(unsafe_code, reason = "runs generated code")]

use std::arch::{asm, global_asm};

use jib_ir::state::{State, slot};

use crate::abi::HOST_RSP;

/// MXCSR: all exceptions masked, round to nearest, no flags.
const MXCSR_CLEAR: u32 = 0x1f80;
/// Flag bits of MXCSR: IE, DE, ZE, OE, UE, PE.
const MXCSR_FLAGS: u32 = 0x3f;

unsafe extern "sysv64" {
    fn jib_enter(state: *mut State, pc: u64, code: u64) -> u64;
    /// Not a function: where `jib_enter` goes on when compiled code returns.
    fn jib_left();
}

// The three arguments are where the Tail convention wants its first three.
global_asm!(
    ".text",
    ".p2align 4",
    ".globl jib_enter",
    ".hidden jib_enter",
    ".type jib_enter,@function",
    "jib_enter:",
    "push rbp",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "sub rsp, 8",
    "mov [rdi + {host_rsp}], rsp",
    "mov rax, rdx",
    "xor edx, edx",
    "call rax",
    ".globl jib_left",
    ".hidden jib_left",
    "jib_left:",
    "add rsp, 8",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    "ret",
    ".size jib_enter, . - jib_enter",
    host_rsp = const HOST_RSP,
);

/// Address at which a thread leaves compiled code, with its exit code in rax and the stack pointer that
/// `enter` noted.
pub(crate) fn left_address() -> u64 {
    jib_left as *const () as u64
}

/// Runs compiled code at `code` on `state`, for guest address `pc`; its exit code.
///
/// `code` must be the entry of a region that is alive, or becomes garbage only after this returns.
pub(crate) fn enter(state: &mut State, pc: u64, code: u64) -> u64 {
    clear_fp_flags();
    // SAFETY: the caller vouches for `code`; compiled code keeps to the guest state and to guest memory.
    let exit = unsafe { jib_enter(state, pc, code) };
    merge_fpsr(state);
    crate::recipe::follow(state);
    exit
}

/// Empties the FPU's flags.
pub(crate) fn clear_fp_flags() {
    let word = MXCSR_CLEAR;
    // SAFETY: loads a valid control word: the default environment of Rust, without flags.
    unsafe { asm!("ldmxcsr [{}]", in(reg) &word, options(nostack, readonly, preserves_flags)) };
}

/// The FPU's control word, for [`put_back`].
#[inline(always)]
pub(crate) fn fp_word() -> u32 {
    let mut word = 0u32;
    // SAFETY: stores the control word into a local.
    unsafe { asm!("stmxcsr [{}]", in(reg) &mut word, options(nostack, preserves_flags)) };
    word
}

/// Takes back FP flags raised since `word` was read: the compiler turns some integer loops into FP instructions.
#[inline(always)]
pub(crate) fn put_back(word: u32) {
    if fp_word() != word {
        // SAFETY: loads a control word that was in force a moment ago.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &word, options(nostack, readonly, preserves_flags)) };
    }
}

/// Moves the FPU's flags into FPSR.
pub(crate) fn merge_fpsr(state: &mut State) {
    let word = fp_word();
    if word & MXCSR_FLAGS != 0 {
        state.0[slot::FPSR.0 as usize] |= u64::from(fpsr_of(word));
        clear_fp_flags();
    }
}

/// The FPSR bits of MXCSR's flags; the denormal-operand flag has no counterpart while FPCR.FZ is clear.
const fn fpsr_of(mxcsr: u32) -> u32 {
    mxcsr & 1 | (mxcsr >> 1 & 0b1_1110)
}

/// Processor time of this thread.
pub(crate) fn thread_nanos() -> u64 {
    nanos(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Nanoseconds of processor time that this process has used.
pub(crate) fn process_nanos() -> u64 {
    nanos(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn nanos(clock: libc::clockid_t) -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills the structure it is given.
    unsafe { libc::clock_gettime(clock, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_take_their_places() {
        assert_eq!(fpsr_of(0b00_0001), 1, "IE is IOC");
        assert_eq!(fpsr_of(0b00_0010), 0, "DE has no counterpart");
        assert_eq!(fpsr_of(0b00_0100), 2, "ZE is DZC");
        assert_eq!(fpsr_of(0b00_1000), 4, "OE is OFC");
        assert_eq!(fpsr_of(0b01_0000), 8, "UE is UFC");
        assert_eq!(fpsr_of(0b10_0000), 16, "PE is IXC");
    }
}
