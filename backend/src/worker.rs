//! The thread that compiles in the background.

use std::sync::mpsc::{Sender, channel};

/// A running worker; dropping it ends its thread after the work in hand.
pub(crate) struct Worker {
    calls: Sender<()>,
}

impl Worker {
    /// Starts a thread that makes a `C` and calls `work` once per call, until that returns false.
    pub(crate) fn start<C>(
        make: impl FnOnce() -> Option<C> + Send + 'static,
        work: impl Fn(&mut C) -> bool + Send + 'static,
    ) -> Option<Worker> {
        let (calls, waiting) = channel();
        let run = move || {
            let Some(mut compiler) = make() else { return };
            while waiting.recv().is_ok() {
                if !work(&mut compiler) {
                    return;
                }
            }
        };
        // The thread inherits the mask: guest signals are not for it.
        let spawned =
            crate::fault::with_signals_blocked(|| std::thread::Builder::new().name("jib-compile".into()).spawn(run));
        spawned.ok().map(|_| Worker { calls })
    }

    /// Tells the thread of one more piece of work; false if the thread is gone.
    pub(crate) fn call(&self) -> bool {
        self.calls.send(()).is_ok()
    }

    /// Lets go without telling the thread: for a forked child, where there is none.
    pub(crate) fn forget(self) {
        std::mem::forget(self.calls);
    }
}
