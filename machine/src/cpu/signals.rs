//! How the rest of the machine reaches a CPU: interrupt inputs, start and stop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jib_backend::Kicker;

use crate::irq::IrqSink;

/// Input number of IRQ on [`Signals`] as a sink.
pub const IRQ: u32 = 0;
/// Input number of FIQ.
pub const FIQ: u32 = 1;

/// How a CPU is to be started.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// Physical address of the first instruction.
    pub entry: u64,
    /// x0 then.
    pub context: u64,
    /// MPIDR_EL1.
    pub mpidr: u64,
}

/// What a waiting CPU is told.
#[derive(Clone, Copy, Debug)]
pub enum Command {
    /// Run.
    Start(Start),
    /// End the thread.
    Quit,
}

/// The state of a CPU as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// Off.
    Off,
    /// CPU_ON was called; its thread has not begun yet.
    Pending,
    /// On.
    On,
}

/// One CPU's inputs.
#[derive(Default)]
pub struct Signals {
    irq: AtomicBool,
    fiq: AtomicBool,
    quit: AtomicBool,
    /// The event register was set by another CPU.
    event: AtomicBool,
    inner: Mutex<Inner>,
    changed: Condvar,
    kicker: Mutex<Option<Kicker>>,
}

#[derive(Default)]
struct Inner {
    start: Option<Start>,
    on: bool,
}

impl Signals {
    /// Level of the IRQ input.
    #[inline]
    pub fn irq(&self) -> bool {
        self.irq.load(Ordering::Acquire)
    }
    /// Level of the FIQ input.
    #[inline]
    pub fn fiq(&self) -> bool {
        self.fiq.load(Ordering::Acquire)
    }
    /// Must the CPU's thread end?
    #[inline]
    pub fn quitting(&self) -> bool {
        self.quit.load(Ordering::Relaxed)
    }

    /// Asks the CPU's thread to end.
    pub fn quit(&self) {
        {
            let _inner = self.lock();
            self.quit.store(true, Ordering::SeqCst);
            self.changed.notify_all();
        }
        self.kick();
    }

    /// From now on the CPU's code is run by the thread behind `kicker`.
    pub fn attach(&self, kicker: Kicker) {
        *self.kicker() = Some(kicker);
    }

    /// Makes the CPU leave its code and look at what it was told.
    pub fn kick(&self) {
        if let Some(kicker) = &*self.kicker() {
            kicker.kick();
        }
    }

    /// SEV of another CPU.
    pub fn send_event(&self) {
        self.event.store(true, Ordering::SeqCst);
        drop(self.lock());
        self.changed.notify_all();
    }

    fn kicker(&self) -> MutexGuard<'_, Option<Kicker>> {
        self.kicker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state at power-on: off, nothing asked for. No thread may run the CPU. Interrupt inputs are their sources'.
    pub fn rearm(&self) {
        *self.lock() = Inner::default();
        self.event.store(false, Ordering::Release);
        self.quit.store(false, Ordering::Release);
    }

    /// Switches the CPU on; false if it is on, or about to be.
    pub fn start(&self, start: Start) -> bool {
        let mut inner = self.lock();
        let free = !inner.on && inner.start.is_none();
        if free {
            inner.start = Some(start);
            self.changed.notify_all();
        }
        free
    }

    /// Is the CPU on?
    pub fn power(&self) -> Power {
        let inner = self.lock();
        match (inner.on, inner.start.is_some()) {
            (true, _) => Power::On,
            (false, true) => Power::Pending,
            (false, false) => Power::Off,
        }
    }

    /// Marks the CPU as off and waits until it is started or told to quit.
    pub fn wait_for_start(&self) -> Command {
        let mut inner = self.lock();
        inner.on = false;
        loop {
            if self.quitting() {
                return Command::Quit;
            }
            if let Some(start) = inner.start.take() {
                inner.on = true;
                return Command::Start(start);
            }
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until an interrupt input is high, for `longest` at most; for an `event` of another CPU, too, if asked.
    pub fn wait_for_interrupt(&self, longest: Duration, event: bool) {
        let inner = self.lock();
        let idle = |_: &mut Inner| {
            let event = event && self.event.swap(false, Ordering::SeqCst);
            !self.irq() && !self.fiq() && !self.quitting() && !event
        };
        drop(self.changed.wait_timeout_while(inner, longest, idle).unwrap_or_else(PoisonError::into_inner));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IrqSink for Signals {
    fn set(&self, id: u32, level: bool) {
        let input = if id == IRQ { &self.irq } else { &self.fiq };
        input.store(level, Ordering::SeqCst);
        if level {
            drop(self.lock());
            self.changed.notify_all();
            self.kick();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_started_cpu_runs_and_cannot_be_started_twice() {
        let s = Arc::new(Signals::default());
        let start = Start { entry: 0x4000_0000, context: 7, mpidr: 1 };
        assert_eq!(s.power(), Power::Off);
        assert!(s.start(start) && !s.start(start));
        assert_eq!(s.power(), Power::Pending);
        assert!(matches!(s.wait_for_start(), Command::Start(Start { context: 7, .. })));
        assert_eq!(s.power(), Power::On);
        assert!(!s.start(start));
        s.quit();
        assert!(matches!(s.wait_for_start(), Command::Quit));
    }

    #[test]
    fn a_cpu_whose_machine_stopped_can_be_started_again() {
        let s = Signals::default();
        let start = Start { entry: 0x4000_0000, context: 7, mpidr: 1 };
        assert!(s.start(start) && matches!(s.wait_for_start(), Command::Start(_)));
        // Its thread ends here, as the machine stops.
        s.quit();
        s.rearm();
        assert!(s.power() == Power::Off && s.start(start) && matches!(s.wait_for_start(), Command::Start(_)));
    }

    #[test]
    fn an_interrupt_ends_a_wait() {
        let s = Arc::new(Signals::default());
        let other = s.clone();
        let thread = std::thread::spawn(move || other.set(IRQ, true));
        s.wait_for_interrupt(Duration::from_secs(60), false);
        assert!(s.irq() && !s.fiq());
        thread.join().expect("the other thread");
    }
}
