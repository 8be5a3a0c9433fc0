//! The thread that compiles in the background.

use std::sync::mpsc::{Sender, channel};

use jib_ir::region::Key;

/// A running worker; dropping it ends its thread after the work in hand.
pub(crate) struct Worker {
    jobs: Sender<Key>,
}

impl Worker {
    /// Starts a thread that makes a `C` and calls `work` for each key sent, until that returns false.
    pub(crate) fn start<C>(
        make: impl FnOnce() -> Option<C> + Send + 'static,
        work: impl Fn(&mut C, Key) -> bool + Send + 'static,
    ) -> Option<Worker> {
        let (jobs, todo) = channel();
        let run = move || {
            let Some(mut compiler) = make() else { return };
            while let Ok(key) = todo.recv() {
                if !work(&mut compiler, key) {
                    return;
                }
            }
        };
        // The thread inherits the mask: guest signals are not for it.
        let spawned = crate::fault::with_signals_blocked(|| {
            std::thread::Builder::new().name("jib-compile".into()).spawn(run)
        });
        spawned.ok().map(|_| Worker { jobs })
    }

    /// Asks for `key`; false if the thread is gone.
    pub(crate) fn send(&self, key: Key) -> bool {
        self.jobs.send(key).is_ok()
    }

    /// Lets go without telling the thread: for a forked child, where there is none.
    pub(crate) fn forget(self) {
        std::mem::forget(self.jobs);
    }
}
