//! Host signal handlers, host masks, and the one signal that a thread has yet to deliver.
//!
//! Everything a handler touches is in [`Context`], reached through a thread-local pointer. The
//! handler notes the signal, blocks all others in the interrupted context, and makes running code
//! leave; the run loop delivers it and restores the mask.

use std::cell::{Cell, UnsafeCell};
use std::ffi::c_void;
use std::mem::{MaybeUninit, offset_of};
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use jib_backend::sample;
use jib_ir::runtime::{Access, Fault};
use jib_ir::state::{State, slot};

use super::action::{Action, Actions, DEFAULT, DefaultAction, IGNORE, default_action, leaves_core};
use super::{NSIG, SYNCHRONOUS, SigInfo, bit};
use crate::host::{self, call};
use crate::mem;
use crate::ptrace::Door;
use crate::ptrace::door::{HEARD, KICK, word};

/// What signal handlers of one thread see.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Context {
    /// [`NOTHING`], [`NOTED`] or [`REMASK`]; also checked by interruptible system calls. A tracer knows that it is
    /// the first.
    pending: AtomicU32,
    /// Where a tracer looks in.
    door: Door,
    /// The `EXIT_REQUEST` word of the thread's guest state.
    exit_request: *const AtomicU64,
    info: UnsafeCell<SigInfo>,
    /// The guest's signal mask.
    mask: AtomicU64,
    /// The host's, if it is known: what need not be set again.
    host_mask: AtomicU64,
    /// Synchronous signals that were sent by someone and could not be noted yet.
    held: AtomicU64,
    /// The last system calls with their results, for a report of an internal error, and how many there were.
    calls: [(AtomicU32, AtomicU64); RECENT],
    made: AtomicU32,
}

/// No mask of ours: see [`SYNCHRONOUS`].
const UNKNOWN_MASK: u64 = u64::MAX;

/// How many system calls are remembered.
const RECENT: usize = 16;

/// Values of [`Context::pending`]: the host's mask is the guest's.
const NOTHING: u32 = 0;
/// `info` holds a signal; the host blocks all others.
const NOTED: u32 = 1;
/// There is no signal, but the host blocks all of them.
const REMASK: u32 = 2;

/// The bit of the processor's error code that tells a write.
const PAGE_FAULT_WRITES: i64 = 2;

thread_local! {
    static LAST_FAULT: Cell<Option<Fault>> = const { Cell::new(None) };
    static CURRENT: Cell<*const Context> = const { Cell::new(ptr::null()) };
}

/// Blocks everything but what we need ourselves; returns the previous host mask.
pub(crate) fn block_all() -> u64 {
    set_host_mask(!SYNCHRONOUS)
}

/// Sets the host mask of the calling thread; returns the previous one.
pub(crate) fn set_host_mask(mask: u64) -> u64 {
    let mut old = 0u64;
    // SAFETY: a thread leaves its context before it drops it.
    if let Some(current) = unsafe { CURRENT.get().as_ref() } {
        // First: a signal after the call says what it makes of it.
        current.host_mask.store(mask, Ordering::Relaxed);
    }
    let args = [libc::SIG_SETMASK as u64, &raw const mask as u64, &raw mut old as u64, 8];
    call(libc::SYS_rt_sigprocmask, &args);
    old
}

/// Signals queued by the kernel for this thread or its process.
fn kernel_pending() -> u64 {
    let mut set = 0u64;
    call(libc::SYS_rt_sigpending, &[&raw mut set as u64, 8]);
    set & !samplers()
}

/// The signal of the profile's timers, while there is one.
fn samplers() -> u64 {
    if sample::is_active() { bit(sample::SIGNAL) } else { 0 }
}

/// The signals that the host does not block for the guest, since they serve us, too.
fn unblocked() -> u64 {
    SYNCHRONOUS | samplers()
}

/// Has what others send of the profile's signal come to the guest.
pub(crate) fn share_samplers() {
    sample::pass_on(on_signal);
}

impl Context {
    /// A context for the thread that runs on `state`, which must outlive it and not move.
    pub(crate) fn new(state: &mut State, mask: u64) -> Box<Context> {
        let word = &raw mut state.0[slot::EXIT_REQUEST.0 as usize];
        Box::new(Context {
            pending: AtomicU32::new(NOTHING),
            door: Door::new(state.0.as_ptr() as u64),
            exit_request: word.cast(),
            info: UnsafeCell::new(SigInfo([0; 128])),
            mask: AtomicU64::new(mask),
            host_mask: AtomicU64::new(UNKNOWN_MASK),
            held: AtomicU64::new(0),
            calls: Default::default(),
            made: AtomicU32::new(0),
        })
    }

    /// Offset of the door.
    pub(crate) const DOOR: usize = offset_of!(Context, door);
    /// Offset of the guest's signal mask.
    pub(crate) const MASK: usize = offset_of!(Context, mask);

    /// Where a tracer looks in.
    #[inline]
    pub(crate) fn door(&self) -> &Door {
        &self.door
    }

    /// Remembers a system call that was made.
    pub(crate) fn remember(&self, nr: u32, result: i64) {
        let n = self.made.load(Ordering::Relaxed);
        let (number, value) = &self.calls[n as usize % RECENT];
        number.store(nr, Ordering::Relaxed);
        value.store(result as u64, Ordering::Relaxed);
        self.made.store(n.wrapping_add(1), Ordering::Relaxed);
    }

    /// The last system calls, number and result, the latest one last.
    fn recent(&self) -> Vec<(u32, i64)> {
        let n = self.made.load(Ordering::Relaxed);
        let indices = n.saturating_sub(RECENT as u32)..n;
        let call = |i: u32| {
            let (number, value) = &self.calls[i as usize % RECENT];
            (number.load(Ordering::Relaxed), value.load(Ordering::Relaxed) as i64)
        };
        indices.map(call).collect()
    }

    /// Of the calling thread, if it runs guest code: the address of its state, and its last system calls.
    pub(crate) fn of_current() -> Option<(u64, Vec<(u32, i64)>)> {
        let current = CURRENT.get();
        // SAFETY: a thread leaves its context before it drops it.
        let context = unsafe { current.as_ref() }?;
        Some((context.exit_request as u64 - 8 * u64::from(slot::EXIT_REQUEST.0), context.recent()))
    }

    /// Makes `self` the calling thread's context. Signals should be blocked.
    pub(crate) fn enter(&self) {
        self.host_mask.store(UNKNOWN_MASK, Ordering::Relaxed);
        CURRENT.set(self);
    }

    /// Leaves the calling thread without a context. Signals should be blocked.
    pub(crate) fn leave() {
        CURRENT.set(ptr::null());
    }

    /// The flag for interruptible system calls.
    pub(crate) fn flag(&self) -> &AtomicU32 {
        &self.pending
    }

    /// Is there something for [`Context::take`] and [`Context::set_mask`] to do?
    pub(crate) fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Relaxed) != NOTHING
    }

    /// Is there something to do before the next instruction: that, or a tracer's call?
    pub(crate) fn is_due(&self) -> bool {
        self.is_pending() || self.door.get(word::CALLED) != 0
    }

    /// The waiting signal.
    fn noted(&self) -> Option<SigInfo> {
        let noted = self.pending.load(Ordering::Acquire) == NOTED;
        // SAFETY: while a signal is noted, the handler does not write `info`.
        noted.then(|| unsafe { *self.info.get() })
    }

    /// Takes the waiting signal. All others stay blocked until [`Context::set_mask`].
    pub(crate) fn take(&self) -> Option<SigInfo> {
        let info = self.noted()?;
        self.request_exit(0);
        self.pending.store(NOTHING, Ordering::Release);
        Some(info)
    }

    /// Running code has left because it was asked to; it may run again.
    pub(crate) fn acknowledge_exit(&self) {
        self.request_exit(0);
        if self.is_due() {
            self.request_exit(1);
        }
    }

    fn request_exit(&self, v: u64) {
        // SAFETY: the state outlives the context.
        unsafe { (*self.exit_request).store(v, Ordering::Relaxed) };
    }

    /// The guest's mask.
    pub(crate) fn mask(&self) -> u64 {
        self.mask.load(Ordering::Relaxed)
    }

    /// Signals pending for the guest and blocked by it.
    pub(crate) fn queued(&self) -> u64 {
        (kernel_pending() | self.held.load(Ordering::Relaxed)) & self.mask()
    }

    /// Sets the guest's mask alone; the host keeps everything blocked.
    pub(crate) fn adopt_mask(&self, mask: u64) {
        self.mask.store(mask & !super::UNBLOCKABLE, Ordering::Relaxed);
    }

    /// Sets the guest's mask and the host's. A noted signal that it blocks goes back to the kernel;
    /// with any other, the host keeps everything blocked until that is delivered.
    pub(crate) fn set_mask(&self, mask: u64) {
        self.adopt_mask(mask);
        match self.noted() {
            Some(info) if bit(info.signal()) & self.mask() == 0 => return,
            Some(info) => {
                self.put_off(&info);
                self.pending.store(REMASK, Ordering::Release);
            }
            None => {}
        }
        if self.held.load(Ordering::Relaxed) & !self.mask() != 0 {
            return self.note_held();
        }
        // Fails if a signal came in just now: then the host's mask waits for its delivery.
        _ = self.pending.compare_exchange(REMASK, NOTHING, Ordering::AcqRel, Ordering::Acquire);
        self.acknowledge_exit();
        let wanted = self.mask() & !unblocked();
        if !self.is_pending() && self.host_mask.load(Ordering::Relaxed) != wanted {
            set_host_mask(wanted);
        }
    }

    /// Notes a held signal that the guest no longer blocks.
    fn note_held(&self) {
        block_all();
        let due = self.held.load(Ordering::Relaxed) & !self.mask();
        if self.noted().is_none() && due != 0 {
            let signal = due.trailing_zeros() as i32 + 1;
            self.held.fetch_and(!bit(signal), Ordering::Relaxed);
            self.note(&SigInfo::user(signal));
        }
    }

    /// Notes `info` as the signal to deliver.
    fn note(&self, info: &SigInfo) {
        // SAFETY: nothing is noted and only this thread writes, so nobody reads `info` now.
        unsafe { *self.info.get() = *info };
        self.pending.store(NOTED, Ordering::Release);
        self.request_exit(1);
    }

    /// Keeps a signal for later: in the kernel's queue, where the host's mask holds it back.
    fn put_off(&self, info: &SigInfo) {
        let signal = info.signal();
        if bit(signal) & unblocked() != 0 {
            self.held.fetch_or(bit(signal), Ordering::Relaxed);
            return;
        }
        let (pid, tid) = (host::getpid() as u64, host::gettid() as u64);
        call(libc::SYS_rt_tgsigqueueinfo, &[pid, tid, signal as u64, info.0.as_ptr() as u64]);
    }

    /// A tracer wants the thread to come to its next boundary.
    fn on_kick(&self) {
        self.door.set(word::TRACED, 1);
        self.door.set(word::CALLED, 1);
        if self.pending.load(Ordering::Relaxed) == NOTHING {
            self.pending.store(REMASK, Ordering::Release);
            self.request_exit(1);
        }
    }

    /// A signal that somebody sent. Returns whether all others must now be blocked.
    fn on_sent(&self, info: &SigInfo) -> bool {
        if info.signal() == libc::SIGSEGV && info.queued_value() == Some(KICK) {
            self.on_kick();
            return true;
        }
        let signal = bit(info.signal());
        let noted = self.pending.load(Ordering::Relaxed) == NOTED;
        if !noted && signal & self.mask() == 0 {
            self.note(info);
            return true;
        }
        // It came while the masks were being changed.
        self.put_off(info);
        if signal & unblocked() != 0 {
            return false;
        }
        if !noted {
            self.pending.store(REMASK, Ordering::Release);
            self.request_exit(1);
        }
        true
    }
}

/// The parts of the kernel's `ucontext` that handlers change.
struct Interrupted(*mut libc::ucontext_t);

impl Interrupted {
    fn register(&mut self, index: i32) -> &mut i64 {
        // SAFETY: the kernel gave us this context, and it lives as long as the handler runs.
        unsafe { &mut (*self.0).uc_mcontext.gregs[index as usize] }
    }

    /// The signal mask that returning from the handler restores: the kernel's set is 8 bytes.
    fn mask(&mut self) -> &mut u64 {
        // SAFETY: as above; `uc_sigmask` is at least 8 bytes, 8-byte aligned.
        unsafe { &mut *(&raw mut (*self.0).uc_sigmask).cast() }
    }
}

extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes valid pointers.
    let info = unsafe { &*info.cast::<SigInfo>() };
    if info.code() <= 0 {
        return on_signal_info(info, context);
    }
    let mut at = Interrupted(context.cast());
    let writes = *at.register(libc::REG_ERR) & PAGE_FAULT_WRITES != 0;
    if jib_backend::fault::recover(context) {
        let access = if writes { Access::Write } else { Access::Read };
        let addr = u64::from_le_bytes(std::array::from_fn(|i| info.0[16 + i]));
        LAST_FAULT.set(Some(Fault { addr, access, cause: cause(signal, info.code()) }));
        return;
    }
    let pc = *at.register(libc::REG_RIP) as u64;
    if let Some(resume) = host::not_traced(pc) {
        *at.register(libc::REG_RIP) = resume as i64;
        *at.register(libc::REG_RAX) = 0;
        return;
    }
    let addr = u64::from_le_bytes(std::array::from_fn(|i| info.0[16 + i]));
    if let Some(resume) = mem::recover(pc) {
        *at.register(libc::REG_RIP) = resume as i64;
        *at.register(libc::REG_RAX) = addr as i64;
        *at.register(libc::REG_RDX) = i64::from(cause(signal, info.code()));
        return;
    }
    internal_fault(signal, pc, addr);
}

/// As [`mem`] tells of it.
fn cause(signal: i32, code: i32) -> u32 {
    (signal as u32) << 16 | code as u32 & 0xffff
}

/// The last fault of compiled code on this thread.
pub(crate) fn last_fault() -> Option<Fault> {
    LAST_FAULT.take()
}

/// Seconds in which a report of a fault must be written: whatever it needs may be locked by the code that faulted.
const REPORT_SECONDS: u64 = 10;

/// A fault of our own: an internal error like others, from which there is no return.
fn internal_fault(signal: i32, pc: u64, addr: u64) {
    install(signal, DEFAULT, 0);
    install(libc::SIGALRM, DEFAULT, 0);
    set_host_mask(!(SYNCHRONOUS | bit(libc::SIGALRM)));
    call(libc::SYS_alarm, &[REPORT_SECONDS]);
    panic!("signal {signal} at host address {pc:#x}, about address {addr:#x}");
}

extern "C" fn on_signal(_signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes valid pointers.
    on_signal_info(unsafe { &*info.cast::<SigInfo>() }, context);
}

fn on_signal_info(info: &SigInfo, context: *mut c_void) {
    let mut at = Interrupted(context.cast());
    let current = CURRENT.get();
    if current.is_null() && info.queued_value() == Some(KICK) {
        // None of the guest's threads yet, or no more.
        return;
    }
    if current.is_null() {
        // A thread that runs no guest code: let another one have the signal.
        *at.mask() = !SYNCHRONOUS;
        let (signal, info) = (info.signal() as u64, info.0.as_ptr() as u64);
        call(libc::SYS_rt_sigqueueinfo, &[host::getpid() as u64, signal, info]);
        return;
    }
    // SAFETY: a thread leaves its context before it drops it.
    let blocks = unsafe { (*current).on_sent(info) };
    if blocks {
        *at.mask() = !SYNCHRONOUS;
        // SAFETY: as above.
        unsafe { (*current).host_mask.store(!SYNCHRONOUS, Ordering::Relaxed) };
    }
    let (pc, rcx) = (*at.register(libc::REG_RIP) as u64, *at.register(libc::REG_RCX) as u64);
    if let Some(resume) = host::interrupted(pc, rcx) {
        *at.register(libc::REG_RIP) = resume as i64;
    }
}

/// The kernel's `struct sigaction`.
#[repr(C)]
struct KernelAction {
    handler: u64,
    flags: u64,
    restorer: u64,
    mask: u64,
}

fn install(signal: i32, handler: u64, flags: i32) {
    const SA_RESTORER: u64 = 0x0400_0000;
    let flags = flags as u32 as u64 | SA_RESTORER;
    let action = KernelAction { handler, flags, restorer: host::restorer(), mask: !0 };
    call(libc::SYS_rt_sigaction, &[signal as u64, &raw const action as u64, 0, 8]);
}

/// Our own handlers for faults; they stay installed whatever the guest does.
pub(crate) fn install_fault_handlers() {
    let handler = on_fault as extern "C" fn(i32, *mut libc::siginfo_t, *mut c_void);
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        install(signal, handler as usize as u64, libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART);
    }
}

/// Which signals that kill come to the run loop first: a value of [`Seen`].
static DEADLY_SEEN: AtomicU32 = AtomicU32::new(0);

/// Signals that kill and come to the run loop first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Seen {
    /// Those that leave a core.
    Cores = 1,
    /// All.
    All = 2,
}

/// From now on signals that would kill the guest come to the run loop although it handles them not, so that a
/// debugger hears of them first, or a core is written.
pub(crate) fn see_deadly_signals(actions: &Actions, which: Seen) {
    if DEADLY_SEEN.fetch_max(which as u32, Ordering::Relaxed) >= which as u32 {
        return;
    }
    for signal in 1..=NSIG as i32 {
        let action = actions.get(signal);
        if bit(signal) & SYNCHRONOUS == 0 && is_seen(signal, &action) {
            set_disposition(signal, &action);
        }
    }
}

/// Has `signal` a handler on the host for our own sake? (The C library needs 32 and 33 for itself.)
fn is_seen(signal: i32, action: &Action) -> bool {
    let seen = match DEADLY_SEEN.load(Ordering::Relaxed) {
        0 => false,
        1 => leaves_core(signal),
        _ => true,
    };
    seen && action.handler == DEFAULT
        && default_action(signal) == DefaultAction::Terminate
        && !matches!(signal, libc::SIGKILL | 32 | 33)
}

/// Tells the host what the guest wants of `signal`.
pub(crate) fn set_disposition(signal: i32, action: &Action) {
    if bit(signal) & samplers() != 0 {
        return;
    }
    let kept = action.flags as i32 & (libc::SA_NOCLDSTOP | libc::SA_NOCLDWAIT);
    if (action.handler == DEFAULT || action.handler == IGNORE) && !is_seen(signal, action) {
        return install(signal, action.handler, kept);
    }
    let handler = on_signal as extern "C" fn(i32, *mut libc::siginfo_t, *mut c_void);
    // With SA_RESTART the kernel tells restartable calls (it backs up) from others (EINTR).
    let flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART | kept;
    install(signal, handler as usize as u64, flags);
}

/// Was SIGPIPE ignored when the process started? The Rust runtime ignores it before `main`.
static SIGPIPE_IGNORED: AtomicU32 = AtomicU32::new(0);

extern "C" fn remember_sigpipe() {
    SIGPIPE_IGNORED.store(is_ignored(libc::SIGPIPE) as u32, Ordering::Relaxed);
}

// SAFETY: the C runtime calls the functions of this section once, before `main`; this one only
// makes a system call and stores to a static.
#[unsafe(link_section = ".init_array")]
#[used]
static REMEMBER_SIGPIPE: extern "C" fn() = remember_sigpipe;

fn is_ignored(signal: i32) -> bool {
    let mut old = KernelAction { handler: 0, flags: 0, restorer: 0, mask: 0 };
    let args = [signal as u64, 0, &raw mut old as u64, 8];
    call(libc::SYS_rt_sigaction, &args) == 0 && old.handler == IGNORE
}

/// Was `signal` ignored when the process started?
pub(crate) fn inherited_ignore(signal: i32) -> bool {
    match signal {
        libc::SIGPIPE => SIGPIPE_IGNORED.load(Ordering::Relaxed) != 0,
        1..=64 => is_ignored(signal),
        _ => false,
    }
}

/// A host stack for signal handlers; the calling thread uses it until the value is dropped.
pub(crate) struct HandlerStack {
    memory: Box<[MaybeUninit<u8>]>,
    old: libc::stack_t,
}

impl HandlerStack {
    /// Room for the kernel's frame with every vector register, and for our handlers.
    const SIZE: usize = 64 << 10;

    /// Allocates a stack and makes it the calling thread's.
    pub(crate) fn install() -> HandlerStack {
        let mut memory = Box::new_uninit_slice(HandlerStack::SIZE);
        let stack = libc::stack_t { ss_sp: memory.as_mut_ptr().cast(), ss_flags: 0, ss_size: memory.len() };
        let mut old = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
        call(libc::SYS_sigaltstack, &[&raw const stack as u64, &raw mut old as u64]);
        HandlerStack { memory, old }
    }
}

impl Drop for HandlerStack {
    fn drop(&mut self) {
        debug_assert_eq!(self.memory.len(), HandlerStack::SIZE);
        call(libc::SYS_sigaltstack, &[&raw const self.old as u64, 0]);
    }
}

/// Dies of `signal` with its default action; callers have decided that it is deadly.
pub(crate) fn die_of(signal: i32) -> ! {
    install(signal, DEFAULT, 0);
    set_host_mask(!bit(signal));
    raise(signal);
    // Only a signal whose default is not deadly gets here.
    host::exit_group(128 + signal)
}

/// Lets the host stop us by `signal`, which has a guest handler no more.
pub(crate) fn stop_by(signal: i32) {
    install(signal, DEFAULT, 0);
    raise(signal);
}

/// Sends the calling thread a signal of which a tracer has heard.
fn raise(signal: i32) {
    let (pid, tid, info) = (host::getpid() as u64, host::gettid() as u64, SigInfo::queued(signal, HEARD));
    call(libc::SYS_rt_tgsigqueueinfo, &[pid, tid, signal as u64, info.0.as_ptr() as u64]);
}

const _: () = assert!(NSIG == 64);
