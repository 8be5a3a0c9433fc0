//! Mappings put aside. A process may have so many (`vm.max_map_count`, 65,530 by default), guest and translator together,
//! and at the limit not even the translator's heap may grow. A guest that takes them all must be told `ENOMEM`, as
//! natively, and the translator must go on.
//!
//! So, once the guest has made many, some are taken that nobody needs. When the translator gets no memory it gives them
//! back, and until it has got as many again, the guest's calls that may make mappings fail.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};

use crate::elf::PAGE;
use crate::host::{Errno, try_call};

/// So many are put aside: every other page of twice as many is another mapping than its neighbours.
const PAIRS: u64 = 64;
/// Calls that may make a mapping, before any are put aside: most programs make fewer.
const MANY: u32 = 4096;

const NONE: u8 = 0;
const HELD: u8 = 1;
/// Given back because the translator needed them.
const SPENT: u8 = 2;
/// Somebody is at it.
const BUSY: u8 = 3;

static STATE: AtomicU8 = AtomicU8::new(NONE);
static AT: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicU32 = AtomicU32::new(0);

/// The host's allocator, which has the mappings put aside when it gets no memory otherwise.
#[derive(Debug)]
pub struct Allocator;

// SAFETY: what is asked for is passed on to the system's allocator, once or twice; a failed attempt has no effect.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        again(|| unsafe { System.alloc(layout) })
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        again(|| unsafe { System.alloc_zeroed(layout) })
    }

    #[inline]
    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise; after a failure the old block is still there.
        again(|| unsafe { System.realloc(p, layout, size) })
    }

    #[inline]
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(p, layout) }
    }
}

#[inline]
fn again(attempt: impl Fn() -> *mut u8) -> *mut u8 {
    let p = attempt();
    if p.is_null() && give_back() { attempt() } else { p }
}

/// A call that may make mappings is about to be made.
///
/// # Errors
/// `ENOMEM` while what the translator has spent cannot be put aside again.
pub(crate) fn before_mapping() -> Result<(), Errno> {
    let calls = CALLS.load(Ordering::Relaxed);
    if calls < MANY {
        CALLS.store(calls + 1, Ordering::Relaxed);
        return Ok(());
    }
    match STATE.load(Ordering::Relaxed) {
        HELD | BUSY => Ok(()),
        state => {
            if put_aside(state) || state == NONE {
                Ok(())
            } else {
                Err(Errno(libc::ENOMEM))
            }
        }
    }
}

/// Has the translator spent them?
pub(crate) fn is_spent() -> bool {
    STATE.load(Ordering::Relaxed) == SPENT
}

/// Takes them, if nobody else does that now; true if they are there.
fn put_aside(state: u8) -> bool {
    if STATE.compare_exchange(state, BUSY, Ordering::SeqCst, Ordering::SeqCst).is_err() {
        return true;
    }
    let held = take();
    STATE.store(if held { HELD } else { state }, Ordering::SeqCst);
    held
}

fn take() -> bool {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let len = 2 * PAIRS * PAGE;
    let Ok(at) = try_call(libc::SYS_mmap, &[0, len, 0, flags as u64, u64::MAX, 0]) else { return false };
    let apart = |n: u64| try_call(libc::SYS_mprotect, &[at + 2 * n * PAGE, PAGE, libc::PROT_READ as u64]).is_ok();
    let all = (0..PAIRS).all(apart);
    if all {
        AT.store(at as usize, Ordering::SeqCst);
    } else {
        _ = try_call(libc::SYS_munmap, &[at, len]);
    }
    all
}

/// Gives them back to the host, for the translator; false if there are none. Asks for no memory.
#[cold]
fn give_back() -> bool {
    loop {
        match STATE.compare_exchange(HELD, BUSY, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => break,
            Err(BUSY) => std::thread::yield_now(),
            // Another thread may have done it just now.
            Err(state) => return state == SPENT,
        }
    }
    let done = try_call(libc::SYS_munmap, &[AT.load(Ordering::SeqCst) as u64, 2 * PAIRS * PAGE]).is_ok();
    STATE.store(if done { SPENT } else { HELD }, Ordering::SeqCst);
    done
}
