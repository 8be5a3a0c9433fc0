//! A thread that makes CPUs look at their timers when these are due: compiled code reads no clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::signals::Signals;
use crate::clock::Clock;

/// No timer is set.
const NEVER: u64 = u64::MAX;

/// The alarms of all CPUs.
pub struct Alarms {
    clock: Clock,
    /// Counter value at which each CPU's next timer is due.
    due: Vec<AtomicU64>,
    signals: Vec<Arc<Signals>>,
    /// Counter value until which the thread sleeps; [`NEVER`] while it looks around, 0 before it does so first.
    until: AtomicU64,
    /// True at the end.
    over: Mutex<bool>,
    changed: Condvar,
}

impl Alarms {
    /// No alarm is set. [`Alarms::run`] must be called by a thread of its own.
    pub fn new(clock: Clock, signals: Vec<Arc<Signals>>) -> Alarms {
        let due = signals.iter().map(|_| AtomicU64::new(NEVER)).collect();
        Alarms { clock, due, signals, until: AtomicU64::new(0), over: Mutex::new(false), changed: Condvar::new() }
    }

    /// CPU `cpu` is to be woken at counter value `at`, or not at all.
    pub fn set(&self, cpu: usize, at: Option<u64>) {
        let at = at.unwrap_or(NEVER);
        if self.due[cpu].swap(at, Ordering::SeqCst) != at && at < self.until.load(Ordering::SeqCst) {
            // Taken so that the thread is either before its look at `due` or asleep.
            drop(self.lock());
            self.changed.notify_one();
        }
    }

    /// Ends [`Alarms::run`].
    pub fn stop(&self) {
        *self.lock() = true;
        self.changed.notify_one();
    }

    /// Kicks CPUs whose time has come, until [`Alarms::stop`].
    pub fn run(&self) {
        let mut over = self.lock();
        while !*over {
            // Whoever sets an alarm from here on either is seen below or sees this and waits for the lock.
            self.until.store(NEVER, Ordering::SeqCst);
            let now = self.clock.now();
            let mut next = NEVER;
            for (due, signals) in self.due.iter().zip(&self.signals) {
                let at = due.load(Ordering::SeqCst);
                if at > now {
                    next = next.min(at);
                } else if due.compare_exchange(at, NEVER, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                    signals.kick();
                }
            }
            if next == NEVER {
                over = self.changed.wait(over).unwrap_or_else(PoisonError::into_inner);
            } else {
                self.until.store(next, Ordering::SeqCst);
                let wait = self.clock.until(next);
                over = self.changed.wait_timeout(over, wait).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
