//! The thread that compiles in the background.

use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

/// The name of its thread.
pub const WORKER: &str = "jib-compile";

/// A running worker; dropping it ends its thread after the work in hand.
pub(crate) struct Worker {
    calls: Sender<()>,
    thread: JoinHandle<()>,
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
        let spawned = crate::fault::with_signals_blocked(|| std::thread::Builder::new().name(WORKER.into()).spawn(run));
        spawned.ok().map(|thread| Worker { calls, thread })
    }

    /// Tells the thread of one more piece of work; false if the thread is gone.
    pub(crate) fn call(&self) -> bool {
        self.calls.send(()).is_ok()
    }

    /// Ends the thread after the work in hand, and waits for that.
    pub(crate) fn stop(self) {
        drop(self.calls);
        // A thread that panicked has said so.
        _ = self.thread.join();
    }

    /// Lets go without telling the thread: for a forked child, where there is none.
    pub(crate) fn forget(self) {
        std::mem::forget(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_stopped_worker_has_done_its_work() {
        let done = Arc::new(AtomicU32::new(0));
        let count = done.clone();
        let worker = Worker::start(
            || Some(()),
            move |()| {
                count.fetch_add(1, Ordering::Relaxed);
                true
            },
        )
        .expect("a thread");
        assert!(worker.call() && worker.call());
        worker.stop();
        assert_eq!(done.load(Ordering::Relaxed), 2);
    }
}
