//! Threads that a tracer of the guest does not get to see.
//!
//! The kernel attaches a tracer to whatever a traced thread makes, stops that and tells of its end: of our own threads,
//! too. `CLONE_UNTRACED` forbids it, but the C library, whose threads Rust needs, does not pass it on. So a bare thread
//! is made with it, on the thread-local storage of the caller, who waits; what the bare thread makes has no tracer.
#![allow(unsafe_code, reason = "a bare thread on borrowed thread-local storage")]

use std::ffi::{c_int, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

/// Tells whether the calling thread has a tracer that must not see our threads.
static IS_TRACED: OnceLock<fn() -> bool> = OnceLock::new();

/// From now on threads of ours are made so that no tracer sees them, where `is_traced` says that the caller has one.
pub fn when(is_traced: fn() -> bool) {
    // Whoever was first is the same.
    _ = IS_TRACED.set(is_traced);
}

/// Calls `make`, which makes a thread.
pub fn make_unseen<T>(make: impl FnOnce() -> T) -> T {
    let mut job = Job { make: Some(make), made: None };
    if IS_TRACED.get().is_some_and(|f| f()) {
        job.run_on_bare_thread();
    }
    // As it is, if there is no tracer or no bare thread.
    job.run();
    job.made.expect("a job that has run has a result")
}

struct Job<F, T> {
    make: Option<F>,
    made: Option<T>,
}

/// Room for the few calls of the C library that make a thread.
const STACK: usize = 256 << 10;

impl<T, F: FnOnce() -> T> Job<F, T> {
    fn run(&mut self) {
        if let Some(make) = self.make.take() {
            self.made = Some(make());
        }
    }

    extern "C" fn main(job: *mut c_void) -> c_int {
        // SAFETY: `run_on_bare_thread` passes itself, and waits.
        unsafe { &mut *job.cast::<Job<F, T>>() }.run();
        0
    }

    /// Runs where no tracer looks, and returns when that thread is gone; without such a thread nothing is run.
    fn run_on_bare_thread(&mut self) {
        let flags = libc::CLONE_VM
            | libc::CLONE_FS
            | libc::CLONE_FILES
            | libc::CLONE_SIGHAND
            | libc::CLONE_THREAD
            | libc::CLONE_SYSVSEM
            | libc::CLONE_UNTRACED
            | libc::CLONE_CHILD_CLEARTID;
        // The kernel writes 0 when the thread no longer uses memory.
        let lives = AtomicI32::new(1);
        let none = std::ptr::null_mut::<c_void>();
        // SAFETY: a new mapping is the thread's stack, and unmapped when it is gone; the caller's thread-local storage,
        // which it borrows, is not used meanwhile, as the caller only makes the system call that waits.
        unsafe {
            let prot = libc::PROT_READ | libc::PROT_WRITE;
            let map = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
            let stack = libc::mmap(none, STACK, prot, map, -1, 0);
            if stack == libc::MAP_FAILED {
                return;
            }
            let job: *mut Job<F, T> = self;
            let top = stack.byte_add(STACK);
            if libc::clone(Self::main, top, flags, job.cast::<c_void>(), none, none, lives.as_ptr()) != -1 {
                while lives.load(Ordering::Acquire) != 0 {
                    wait_while_one(&lives);
                }
            }
            libc::munmap(stack, STACK);
        }
    }
}

/// `FUTEX_WAIT` by the bare system call: `errno` is the other thread's now.
fn wait_while_one(word: &AtomicI32) {
    const NO_TIMEOUT: u64 = 0;
    // SAFETY: the clobbers are the kernel's; it reads the word, which lives.
    unsafe {
        std::arch::asm!("syscall", inlateout("rax") libc::SYS_futex => _, in("rdi") word.as_ptr(),
            in("rsi") libc::FUTEX_WAIT, in("rdx") 1, in("r10") NO_TIMEOUT, lateout("rcx") _, lateout("r11") _,
            options(nostack));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_made_by_another() {
        // SAFETY: asks for a number.
        let caller = || unsafe { libc::syscall(libc::SYS_gettid) };
        assert_eq!(make_unseen(caller), caller());
        let mut job = Job { make: Some(caller), made: None };
        job.run_on_bare_thread();
        assert_ne!(job.made.expect("a bare thread"), caller());
        let mut job = Job { make: Some(|| std::thread::spawn(|| 7)), made: None };
        job.run_on_bare_thread();
        assert_eq!(job.made.expect("a bare thread").join().ok(), Some(7));
    }
}
