//! Host faults inside compiled code become guest faults: the thread leaves compiled code as if it had returned, with
//! guest state at the last checkpoint, and the interpreter meets the fault again where it belongs.
#![allow(unsafe_code, reason = "runs inside a signal handler and rewrites its context")]

use std::cell::Cell;

use jib_ir::state::{State, slot};

use crate::abi::{EXIT_FAULT, HOST_RSP_INDEX};
use crate::code_memory::CodeView;

/// What the handler knows of the thread that runs compiled code.
#[derive(Clone, Copy)]
struct Running {
    state: *mut State,
    code: CodeView,
}

thread_local! {
    /// Set while this thread is inside compiled code.
    static RUNNING: Cell<Running> = const { Cell::new(Running { state: std::ptr::null_mut(), code: CodeView::NONE }) };
}

/// Runs `f`, which enters compiled code of `code` on `state`, with host faults caught.
pub(crate) fn guarded<T>(state: &mut State, code: CodeView, f: impl FnOnce(&mut State) -> T) -> T {
    let outer = RUNNING.replace(Running { state, code });
    let result = f(state);
    RUNNING.set(outer);
    result
}

/// Called from the host's SIGSEGV or SIGBUS handler, on the faulting thread, with the handler's third argument. If
/// the host was in compiled code, rewrites the context so that the thread leaves it with guest state at the last
/// checkpoint, and returns true. Async-signal-safe.
pub fn recover(ucontext: *mut libc::c_void) -> bool {
    let running = RUNNING.get();
    if running.state.is_null() || ucontext.is_null() {
        return false;
    }
    // SAFETY: the kernel gave the handler a valid context, which nobody else uses.
    let regs = unsafe { &mut (*ucontext.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let pc = regs[libc::REG_RIP as usize] as u64;
    // SAFETY: the thread is inside `guarded`, so the arena lives; if `pc` is in it, the thread runs that code.
    let Some((checkpoint, flags)) = (unsafe { running.code.checkpoint(pc) }) else { return false };
    // SAFETY: the state belongs to this thread, which was interrupted in compiled code.
    let state = unsafe { &mut *running.state };
    state.0[slot::PC.0 as usize] = checkpoint;
    if flags != 0 {
        state.0[slot::FLAGS.0 as usize] = u64::from(flags);
    }
    regs[libc::REG_RIP as usize] = crate::entry::left_address() as i64;
    regs[libc::REG_RSP as usize] = state.0[HOST_RSP_INDEX] as i64;
    regs[libc::REG_RAX as usize] = EXIT_FAULT as i64;
    true
}

/// Where the guest is that was interrupted with a signal handler's third argument, if in compiled code: as exactly as
/// its checkpoints lie. Async-signal-safe.
pub(crate) fn interrupted(ucontext: *mut libc::c_void) -> Option<u64> {
    let running = RUNNING.get();
    if running.state.is_null() || ucontext.is_null() {
        return None;
    }
    // SAFETY: the kernel gave the handler a valid context.
    let pc = unsafe { (*ucontext.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_RIP as usize] };
    // SAFETY: as in `recover`.
    unsafe { running.code.guest_pc(pc as u64) }
}

/// Runs `f` with all signals of this thread blocked: what it starts inherits the mask.
pub(crate) fn with_signals_blocked<T>(f: impl FnOnce() -> T) -> T {
    // SAFETY: signal sets are plain data, filled by the calls that take them.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut old: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut old);
        let result = f();
        libc::pthread_sigmask(libc::SIG_SETMASK, &old, std::ptr::null_mut());
        result
    }
}
