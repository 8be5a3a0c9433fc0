//! Reaching a thread that runs guest code from another one: setting its `EXIT_REQUEST`.
#![allow(unsafe_code, reason = "another thread writes one word of a running guest state")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jib_ir::state::{State, slot};

/// Address of the word, or 0 once its state is gone.
struct Word(Mutex<usize>);

/// Makes one thread leave its code soon. Clones reach the same thread; after its end they reach nobody.
#[derive(Clone)]
pub struct Kicker(Arc<Word>);

impl Kicker {
    /// For the thread that runs on `state`, whose address must not change until [`Kicker::retire`].
    pub(crate) fn new(state: &mut State) -> Kicker {
        Kicker(Arc::new(Word(Mutex::new(word(state) as usize))))
    }

    /// Asks the thread to leave: its [`Vcpu::run`](crate::Vcpu::run) ends with
    /// [`Exit::Interrupt`](jib_ir::runtime::Exit::Interrupt). What was written before is seen after
    /// [`Vcpu::take_request`](crate::Vcpu::take_request).
    pub fn kick(&self) {
        let place = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *place != 0 {
            // SAFETY: the state is alive, since its owner empties the place before it goes; the word is aligned and
            // everybody who touches it while other threads may does so atomically or by single host instructions.
            unsafe { AtomicU64::from_ptr(*place as *mut u64) }.store(1, Ordering::SeqCst);
        }
    }

    /// The state is about to go.
    pub(crate) fn retire(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = 0;
    }
}

/// Clears the request in `state`; true if there was one. What the kicker did before is visible then.
pub(crate) fn take(state: &mut State) -> bool {
    // SAFETY: as in `kick`; the state is borrowed.
    unsafe { AtomicU64::from_ptr(word(state)) }.swap(0, Ordering::SeqCst) != 0
}

/// Is there a request in `state`?
#[inline]
pub(crate) fn requested(state: &mut State) -> bool {
    // SAFETY: as in `kick`; the state is borrowed.
    unsafe { AtomicU64::from_ptr(word(state)) }.load(Ordering::Relaxed) != 0
}

fn word(state: &mut State) -> *mut u64 {
    &raw mut state.0[slot::EXIT_REQUEST.0 as usize]
}
