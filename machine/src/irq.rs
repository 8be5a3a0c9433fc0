//! Interrupt lines: how a device says "I want attention" without knowing to whom.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The other end of interrupt lines: an interrupt controller, or a virtual CPU's IRQ input.
pub trait IrqSink: Send + Sync {
    /// Line `id` now has this level.
    fn set(&self, id: u32, level: bool);
}

/// One interrupt line. Clones are the same wire.
///
/// A device recomputes its level from its state after each change and calls [`IrqLine::set`]; the
/// sink hears of changes only.
#[derive(Clone)]
pub struct IrqLine {
    sink: Arc<dyn IrqSink>,
    id: u32,
    level: Arc<AtomicBool>,
}

impl IrqLine {
    /// A line into input `id` of `sink`, low.
    pub fn new(sink: Arc<dyn IrqSink>, id: u32) -> Self {
        IrqLine { sink, id, level: Arc::new(AtomicBool::new(false)) }
    }

    /// A line that goes nowhere.
    pub fn unconnected() -> Self {
        IrqLine::new(Arc::new(Probe::default()), 0)
    }

    /// A line for tests with a probe on its other end.
    pub fn probe() -> (Self, Arc<Probe>) {
        let probe = Arc::new(Probe::default());
        (IrqLine::new(probe.clone(), 0), probe)
    }

    /// Drives the line.
    pub fn set(&self, level: bool) {
        if self.level.swap(level, Ordering::AcqRel) != level {
            self.sink.set(self.id, level);
        }
    }

    /// Drives the line high and low again: an edge.
    pub fn pulse(&self) {
        self.set(true);
        self.set(false);
    }

    /// The level last driven.
    pub fn level(&self) -> bool {
        self.level.load(Ordering::Acquire)
    }
}

impl std::fmt::Debug for IrqLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IrqLine({}, {})", self.id, self.level())
    }
}

/// A sink that only watches.
#[derive(Debug, Default)]
pub struct Probe {
    level: AtomicBool,
    rises: AtomicU32,
}

impl Probe {
    /// Present level.
    pub fn level(&self) -> bool {
        self.level.load(Ordering::Acquire)
    }

    /// How often the level rose.
    pub fn rises(&self) -> u32 {
        self.rises.load(Ordering::Acquire)
    }
}

impl IrqSink for Probe {
    fn set(&self, _id: u32, level: bool) {
        if !self.level.swap(level, Ordering::AcqRel) && level {
            self.rises.fetch_add(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sink_hears_changes_only() {
        let (line, probe) = IrqLine::probe();
        line.set(true);
        line.clone().set(true);
        assert!(probe.level() && probe.rises() == 1 && line.level());
        line.set(false);
        line.pulse();
        assert!(!probe.level() && probe.rises() == 2);
    }

    #[test]
    fn an_unconnected_line_is_harmless() {
        let line = IrqLine::unconnected();
        line.set(true);
        assert!(line.level());
        assert_eq!(format!("{line:?}"), "IrqLine(0, true)");
    }
}
