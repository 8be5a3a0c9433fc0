//! A gate before all locks that a fork must find free: the child has only the forking thread, so a lock that another
//! thread held would never be released there.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Counts the threads past it; closes for a fork.
#[derive(Default)]
pub(crate) struct ForkGate {
    closed: AtomicBool,
    inside: AtomicUsize,
}

/// Being past the gate.
pub(crate) struct Pass<'a>(&'a ForkGate);

impl ForkGate {
    /// Goes past the gate, when it is open. Who is past it already must not come again: a fork may wait between.
    #[inline]
    pub(crate) fn pass(&self) -> Pass<'_> {
        loop {
            self.inside.fetch_add(1, Ordering::SeqCst);
            if !self.closed.load(Ordering::SeqCst) {
                return Pass(self);
            }
            self.inside.fetch_sub(1, Ordering::SeqCst);
            while self.closed.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
        }
    }

    /// Closes the gate and waits until nobody is past it.
    pub(crate) fn close(&self) {
        while self.closed.swap(true, Ordering::SeqCst) {
            std::thread::yield_now();
        }
        while self.inside.load(Ordering::SeqCst) != 0 {
            std::thread::yield_now();
        }
    }

    /// Opens the gate again.
    pub(crate) fn open(&self) {
        self.closed.store(false, Ordering::SeqCst);
    }

    /// Opens it in a child, where nobody else is.
    pub(crate) fn reopen(&self) {
        self.inside.store(0, Ordering::SeqCst);
        self.open();
    }
}

impl Drop for Pass<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn closing_waits_for_those_inside_and_keeps_others_out() {
        let gate = Arc::new(ForkGate::default());
        let pass = gate.pass();
        let other = gate.clone();
        let closer = std::thread::spawn(move || {
            other.close();
            other.open();
        });
        while !gate.closed.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        assert!(!closer.is_finished());
        drop(pass);
        closer.join().expect("closed and opened");
        drop(gate.pass());
    }
}
