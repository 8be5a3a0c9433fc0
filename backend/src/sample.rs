//! Samples of what guest threads do, taken at even steps of their own processor time.
//!
//! Each guest thread gets a timer on its processor-time clock, so a thread that sleeps in a system call is never
//! woken. The timer's signal ([`SIGNAL`]) finds the guest's pc (in compiled code by the table that serves faults, else in
//! the guest state), follows the chain of frame records from x29, and writes a sample into a buffer. Nothing of that
//! takes a lock or memory from the allocator. Signals of that number that others send go to [`pass_on`]'s function.
//!
//! Frame records: Arm's "Procedure Call Standard for the Arm 64-bit Architecture", section 6.4.6: x29 points to the
//! caller's x29 and the return address.
#![allow(unsafe_code, reason = "a signal handler that reads the interrupted guest's state and stack")]

use std::cell::{Cell, RefCell};
use std::io;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use jib_ir::state::State;

use crate::abi;

/// The host's signal that timers send: the last real-time signal.
pub const SIGNAL: i32 = 64;

/// Words of the buffer: memory is used only as it is filled.
const WORDS: usize = 1 << 27;
/// Words of a sample before its frames.
const HEAD: usize = 2;
/// Most frames of a sample.
const FRAMES: usize = 128;
/// Most bytes from one frame record to the next.
const FRAME_BYTES: u64 = 1 << 20;
/// Bit of a sample's first word: it is complete.
const COMPLETE: u64 = 1 << 63;

/// What a thread was at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// In compiled code.
    Compiled,
    /// In the run loop: interpreting, or in a function that compiled code called.
    Interpreted,
    /// Translating.
    Translating,
    /// Not in the run loop: in a system call, an exception, a device.
    Outside,
}

impl Activity {
    const ALL: [Activity; 4] = [Activity::Compiled, Activity::Interpreted, Activity::Translating, Activity::Outside];
}

/// One sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Steps of processor time that it stands for.
    pub weight: u32,
    /// What the thread was at.
    pub activity: Activity,
    /// Its kernel thread id.
    pub thread: u32,
    /// PSTATE's low bits, by which guests tell their privilege level.
    pub mode: u32,
    /// Guest addresses, innermost first: the pc, what x30 holds, and the return addresses of the frame records. Which
    /// of the first two returns there are, only symbols can tell.
    pub stack: Vec<u64>,
}

/// The buffer of a process, and the step.
#[derive(Debug)]
pub struct Sampler {
    words: *const AtomicU64,
    next: AtomicUsize,
    /// Samples for which there was no room.
    lost: AtomicU64,
    step: Duration,
    /// Whose threads are sampled.
    process: u32,
}

// SAFETY: the pointer is to a mapping that lives for ever and is used through atomics.
unsafe impl Send for Sampler {}
// SAFETY: as above.
unsafe impl Sync for Sampler {}

/// The one of this process, once it is there.
static SAMPLER: AtomicPtr<Sampler> = AtomicPtr::new(ptr::null_mut());

/// A signal handler as the kernel calls it.
pub type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

static OTHERS: OnceLock<Handler> = OnceLock::new();

/// Signals of the number [`SIGNAL`] that are not the timers' go to `handler`, which must be async-signal-safe. The first
/// call counts.
pub fn pass_on(handler: Handler) {
    _ = OTHERS.set(handler);
}

/// What the handler knows of its thread.
#[derive(Clone, Copy)]
struct Known {
    state: *mut State,
    activity: Activity,
}

thread_local! {
    static KNOWN: Cell<Known> = const { Cell::new(Known { state: ptr::null_mut(), activity: Activity::Outside }) };
    static TIMER: RefCell<Option<Timer>> = const { RefCell::new(None) };
}

/// Does this process sample its threads?
pub fn is_active() -> bool {
    !SAMPLER.load(Ordering::Relaxed).is_null()
}

/// Marks the calling thread as translating until the result is dropped.
pub(crate) fn translating() -> Translating {
    let known = KNOWN.get();
    KNOWN.set(Known { activity: Activity::Translating, ..known });
    Translating(known.activity)
}

/// See [`translating`].
pub(crate) struct Translating(Activity);

impl Drop for Translating {
    fn drop(&mut self) {
        KNOWN.set(Known { activity: self.0, ..KNOWN.get() });
    }
}

/// The calling thread leaves its run loop; its state stays as it is.
pub(crate) fn leave() {
    KNOWN.set(Known { activity: Activity::Outside, ..KNOWN.get() });
}

/// `state` is about to go.
pub(crate) fn forget(state: &mut State) {
    if ptr::eq(KNOWN.get().state, state) {
        KNOWN.set(Known { state: ptr::null_mut(), activity: Activity::Outside });
    }
}

impl Sampler {
    /// Prepares sampling at each `step` of processor time (as finely as the host's timers go). Once in a process: a
    /// second call gives the first one's sampler. Fails if the host refuses memory or the signal.
    pub fn start(step: Duration) -> io::Result<&'static Sampler> {
        if let Some(sampler) = current() {
            return Ok(sampler);
        }
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping.
        let at = unsafe { libc::mmap(ptr::null_mut(), WORDS * 8, prot, flags | libc::MAP_NORESERVE, -1, 0) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let sampler = Sampler {
            words: at.cast(),
            next: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            step,
            process: std::process::id(),
        };
        let sampler: &'static Sampler = Box::leak(Box::new(sampler));
        // SAFETY: a zeroed structure, filled as the call wants it; the handler is async-signal-safe.
        let installed = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_sample as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
            libc::sigfillset(&mut action.sa_mask);
            libc::sigaction(SIGNAL, &action, ptr::null_mut())
        };
        if installed != 0 {
            return Err(io::Error::last_os_error());
        }
        SAMPLER.store(ptr::from_ref(sampler).cast_mut(), Ordering::Release);
        Ok(sampler)
    }

    /// The calling thread runs guest code on `state` from now on.
    pub(crate) fn enter(&self, state: &mut State) {
        KNOWN.set(Known { state, activity: Activity::Interpreted });
        TIMER.with(|timer| {
            let mut timer = timer.borrow_mut();
            // Children have none; one that shares our memory must leave ours alone.
            if timer.is_none() && self.process == std::process::id() {
                *timer = Some(Timer::start(self.step));
            }
        });
    }

    /// All samples so far, and the number of those that were lost for want of room.
    pub fn samples(&self) -> (Vec<Sample>, u64) {
        let mut samples = Vec::new();
        let end = self.next.load(Ordering::Acquire).min(WORDS);
        let mut at = 0;
        while at + HEAD < end {
            let head = self.word(at).load(Ordering::Acquire);
            if head & COMPLETE == 0 {
                // Being written at this moment: the others behind it are lost with it.
                break;
            }
            let frames = (head & 0xff) as usize;
            let about = self.word(at + 1).load(Ordering::Relaxed);
            samples.push(Sample {
                weight: (head >> 16) as u32,
                activity: Activity::ALL[(head >> 8 & 3) as usize],
                thread: about as u32,
                mode: (about >> 32) as u32,
                stack: (0..frames).map(|i| self.word(at + HEAD + i).load(Ordering::Relaxed)).collect(),
            });
            at += HEAD + frames;
        }
        (samples, self.lost.load(Ordering::Relaxed))
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        debug_assert!(at < WORDS);
        // SAFETY: callers stay below `WORDS`; the mapping is zeroed, aligned and lives for ever.
        unsafe { &*self.words.add(at) }
    }

    /// Writes a sample down. Async-signal-safe.
    fn add(&self, weight: u32, activity: Activity, about: u64, stack: &[u64]) {
        let len = HEAD + stack.len();
        let at = self.next.fetch_add(len, Ordering::Relaxed);
        if at + len > WORDS {
            self.next.fetch_sub(len, Ordering::Relaxed);
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.word(at + 1).store(about, Ordering::Relaxed);
        for (i, pc) in stack.iter().enumerate() {
            self.word(at + HEAD + i).store(*pc, Ordering::Relaxed);
        }
        let head = COMPLETE | u64::from(weight) << 16 | (activity as u64) << 8 | stack.len() as u64;
        self.word(at).store(head, Ordering::Release);
    }
}

fn current() -> Option<&'static Sampler> {
    // SAFETY: null, or what `start` has leaked.
    unsafe { SAMPLER.load(Ordering::Acquire).as_ref() }
}

/// A timer on a thread's processor-time clock.
struct Timer {
    id: Option<libc::timer_t>,
    /// A child has none of its parent's timers.
    process: u32,
}

impl Timer {
    /// One for the calling thread. Without (the host limits their number) the thread is not sampled.
    fn start(step: Duration) -> Timer {
        let process = std::process::id();
        let mut id: libc::timer_t = ptr::null_mut();
        let nanos = step.as_nanos() as i64;
        let step = libc::timespec { tv_sec: nanos / 1_000_000_000, tv_nsec: nanos % 1_000_000_000 };
        // SAFETY: zeroed structures, filled as the calls want them.
        let made = unsafe {
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = SIGNAL;
            event.sigev_notify_thread_id = libc::syscall(libc::SYS_gettid) as i32;
            event.sigev_value.sival_ptr = mark();
            let spec = libc::itimerspec { it_interval: step, it_value: step };
            libc::timer_create(libc::CLOCK_THREAD_CPUTIME_ID, &mut event, &mut id) == 0
                && libc::timer_settime(id, 0, &spec, ptr::null_mut()) == 0
        };
        Timer { id: made.then_some(id), process }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(id) = self.id.filter(|_| self.process == std::process::id()) {
            // SAFETY: a timer of ours, not used again.
            unsafe { libc::timer_delete(id) };
        }
    }
}

/// What our timers send along.
fn mark() -> *mut libc::c_void {
    (&raw const SAMPLER).cast_mut().cast()
}

extern "C" fn on_sample(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid structure. A timer's begins: signal, errno, code, padding, timer, overrun, value.
    let (code, overrun, value) =
        unsafe { ((*info).si_code, *info.cast::<i32>().add(5), *info.cast::<*mut libc::c_void>().add(3)) };
    let ours = code == libc::SI_TIMER && value == mark();
    let (true, Some(sampler)) = (ours, current()) else {
        if let Some(handler) = OTHERS.get() {
            handler(signal, info, context);
        }
        return;
    };
    let Known { state, activity } = KNOWN.get();
    // SAFETY: the state belongs to this thread, which forgets it before it goes. Compiled code that was interrupted
    // changes it, but not while this runs.
    let state = unsafe { state.as_ref() };
    let mut stack = [0; FRAMES];
    let mut frames = 0;
    let (mut at, mut mode) = (activity, 0);
    if let Some(state) = state {
        let compiled = crate::fault::interrupted(context).filter(|_| activity == Activity::Interpreted);
        if compiled.is_some() {
            at = Activity::Compiled;
        }
        stack[0] = compiled.unwrap_or_else(|| state.pc());
        stack[1] = state.x(30);
        frames = 2 + unwind(state, &mut stack[2..]);
        mode = state.get(jib_ir::state::slot::PSTATE) as u32;
    }
    // SAFETY: a system call without conditions.
    let thread = unsafe { libc::syscall(libc::SYS_gettid) } as u32;
    let about = u64::from(thread) | u64::from(mode) << 32;
    sampler.add(overrun.max(0) as u32 + 1, at, about, &stack[..frames]);
}

/// The return addresses of the frame records from x29 on; their number. Async-signal-safe.
fn unwind(state: &State, out: &mut [u64]) -> usize {
    let mut at = state.x(29);
    for (n, out) in out.iter_mut().enumerate() {
        let record = if at == 0 || at & 7 != 0 { None } else { read_pair(state, at) };
        let Some([next, back]) = record.filter(|r| r[1] != 0) else { return n };
        *out = back;
        // The stack grows down: a caller's record lies above.
        if next <= at || next - at > FRAME_BYTES {
            return n + 1;
        }
        at = next;
    }
    out.len()
}

/// The two words at guest address `at`, if they can be read without ado.
fn read_pair(state: &State, at: u64) -> Option<[u64; 2]> {
    let mut pair = [0u64; 2];
    let host = match abi::tlb(state) {
        // SAFETY: the table that the state points to lives as long as its CPU's state.
        Some(table) => unsafe { crate::tlb::find_at(table, at, 16) }?,
        None => at,
    };
    let (local, remote) = (
        libc::iovec { iov_base: pair.as_mut_ptr().cast(), iov_len: 16 },
        libc::iovec { iov_base: host as *mut libc::c_void, iov_len: 16 },
    );
    // SAFETY: the kernel reads the memory, or says that it cannot.
    let read = unsafe { libc::syscall(libc::SYS_process_vm_readv, libc::getpid(), &local, 1, &remote, 1, 0) };
    (read == 16).then_some(pair)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spin(sampler: &Sampler, samples: usize) {
        let started = std::time::Instant::now();
        while sampler.samples().0.len() < samples {
            assert!(started.elapsed() < Duration::from_secs(60), "no samples");
        }
    }

    #[test]
    fn a_busy_thread_is_sampled_with_its_guest_stack() {
        let sampler = Sampler::start(Duration::from_millis(1)).expect("a sampler");
        assert!(ptr::eq(Sampler::start(Duration::from_secs(1)).expect("the same"), sampler));
        let mut state = Box::<State>::default();
        // Two frame records on a stack, then one that leads down again.
        let mut frames = [0u64; 6];
        let at = |i: usize| &raw const frames[i] as u64;
        let (second, third) = (at(2), at(4));
        let first = at(0);
        frames = [second, 0x2000, third, 0x3000, first, 0x4000];
        state.set_pc(0x1000);
        state.set_x(29, first);
        state.set_x(30, 0x1500);
        sampler.enter(&mut state);
        spin(sampler, 3);
        leave();
        let before = sampler.samples().0.len();
        spin(sampler, before + 2);
        std::hint::black_box(&frames);
        forget(&mut state);
        let (samples, lost) = sampler.samples();
        assert_eq!(lost, 0);
        let s = &samples[0];
        assert_eq!(
            (s.activity, s.stack.as_slice()),
            (Activity::Interpreted, &[0x1000, 0x1500, 0x2000, 0x3000, 0x4000][..])
        );
        assert!(s.weight >= 1 && s.thread != 0);
        assert_eq!(samples[before + 1].activity, Activity::Outside);
    }

    #[test]
    fn what_is_no_stack_ends_the_chain() {
        let mut state = Box::<State>::default();
        let mut out = [0; 4];
        for fp in [0, 1, 8, 0x7fff_ffff_f000] {
            state.set_x(29, fp);
            assert_eq!(unwind(&state, &mut out), 0, "{fp:#x}");
        }
    }
}
