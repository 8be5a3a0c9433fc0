//! Breakpoints and watchpoints as a debugger sets them, and watched addresses as an executor checks them.

use std::collections::BTreeMap;

use jib_ir::runtime::Access;

/// Which accesses a watchpoint stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// First watched address.
    pub addr: u64,
    /// Number of bytes.
    pub len: u64,
    /// Stops reads.
    pub read: bool,
    /// Stops writes.
    pub write: bool,
    /// Stops accesses with EL0's rights.
    pub el0: bool,
    /// Stops accesses of EL1.
    pub el1: bool,
}

/// An access that a watchpoint stopped, before it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Index of the watchpoint in the list that was checked.
    pub index: usize,
    /// The first address of the access that is watched, as the access had it.
    pub addr: u64,
    /// What the access was.
    pub access: Access,
    /// Was it made with EL0's rights?
    pub el0: bool,
}

/// An address without its tag byte: bit 55 repeated.
fn untagged(addr: u64) -> u64 {
    ((addr << 8) as i64 >> 8) as u64
}

impl Watch {
    /// The first byte that an access of `len` bytes at `addr` touches of the watched ones.
    fn touched(&self, addr: u64, len: u64) -> Option<u64> {
        let (own, other) = (untagged(self.addr), untagged(addr));
        // Distances, so that nothing overflows at the end of the address space.
        let skip = own.wrapping_sub(other);
        if skip < len {
            Some(addr.wrapping_add(skip))
        } else if other.wrapping_sub(own) < self.len {
            Some(addr)
        } else {
            None
        }
    }

    /// Does it stop this access? Gives the address that is watched.
    fn stops(&self, addr: u64, len: u64, access: Access, el0: bool) -> Option<u64> {
        let kind = match access {
            Access::Read => self.read,
            Access::Write => self.write,
            Access::Fetch => false,
        };
        let level = if el0 { self.el0 } else { self.el1 };
        if kind && level { self.touched(addr, len) } else { None }
    }
}

/// The first of `watches` that stops an access.
pub fn find(watches: &[Watch], addr: u64, len: u64, access: Access, el0: bool) -> Option<Hit> {
    watches.iter().enumerate().find_map(|(index, w)| {
        let addr = w.stops(addr, len, access, el0)?;
        Some(Hit { index, addr, access, el0 })
    })
}

/// What the debugger has set.
#[derive(Clone, Debug, Default)]
pub struct Points {
    /// Addresses with the number of software and hardware breakpoints there.
    breaks: BTreeMap<u64, [u32; 2]>,
    watches: Vec<Watch>,
}

/// How a breakpoint was asked for; they work the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// As an instruction in memory (which we need not change).
    Software,
    /// In the processor's registers (of which we have any number).
    Hardware,
}

impl Points {
    /// Sets a breakpoint; several at one address count.
    pub fn add_break(&mut self, addr: u64, kind: Break) {
        self.breaks.entry(addr).or_default()[kind as usize] += 1;
    }

    /// Removes one; false if there is none of that kind.
    pub fn remove_break(&mut self, addr: u64, kind: Break) -> bool {
        let Some(counts) = self.breaks.get_mut(&addr) else { return false };
        let there = counts[kind as usize] > 0;
        counts[kind as usize] -= u32::from(there);
        if *counts == [0, 0] {
            self.breaks.remove(&addr);
        }
        there
    }

    /// Sets a watchpoint.
    pub fn add_watch(&mut self, watch: Watch) {
        self.watches.push(watch);
    }

    /// Removes an equal one; false if there is none.
    pub fn remove_watch(&mut self, watch: &Watch) -> bool {
        let found = self.watches.iter().position(|w| w == watch);
        found.map(|i| self.watches.swap_remove(i)).is_some()
    }

    /// Which breakpoint is at `pc`, if any.
    pub fn at(&self, pc: u64) -> Option<Break> {
        let counts = self.breaks.get(&pc)?;
        Some(if counts[Break::Software as usize] > 0 { Break::Software } else { Break::Hardware })
    }

    /// Number of instructions from `pc` on, `most` at most, that can run before a breakpoint must be looked at.
    pub fn free_run(&self, pc: u64, most: u32) -> u32 {
        let next = self.breaks.range(pc.saturating_add(1)..).next().map(|(&addr, _)| addr);
        next.map_or(most, |addr| ((addr - pc).div_ceil(4)).min(u64::from(most)) as u32).max(1)
    }

    /// The watchpoints.
    pub fn watches(&self) -> &[Watch] {
        &self.watches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(addr: u64, len: u64) -> Watch {
        Watch { addr, len, read: false, write: true, el0: true, el1: true }
    }

    #[test]
    fn breakpoints_are_counted_by_kind() {
        let mut p = Points::default();
        p.add_break(0x1000, Break::Software);
        p.add_break(0x1000, Break::Hardware);
        assert_eq!(p.at(0x1000), Some(Break::Software));
        assert!(p.remove_break(0x1000, Break::Software) && !p.remove_break(0x1000, Break::Software));
        assert_eq!(p.at(0x1000), Some(Break::Hardware));
        assert!(p.remove_break(0x1000, Break::Hardware));
        assert_eq!((p.at(0x1000), p.remove_break(0x1000, Break::Hardware)), (None, false));
    }

    #[test]
    fn a_run_ends_before_the_next_breakpoint() {
        let mut p = Points::default();
        assert_eq!(p.free_run(0x1000, 64), 64);
        p.add_break(0x1000, Break::Software);
        p.add_break(0x1010, Break::Software);
        assert_eq!(p.free_run(0x1000, 64), 4);
        assert_eq!(p.free_run(0x100c, 64), 1);
        assert_eq!(p.free_run(0x1010, 64), 64);
        assert_eq!(p.free_run(0x0f00, 8), 8);
        assert_eq!(p.free_run(u64::MAX - 3, 8), 8);
    }

    #[test]
    fn accesses_that_touch_a_watched_byte_are_found() {
        let w = [watch(0x1004, 4)];
        let at = |addr, len| find(&w, addr, len, Access::Write, true).map(|h| h.addr);
        assert_eq!(at(0x1000, 4), None);
        assert_eq!(at(0x1000, 5), Some(0x1004));
        assert_eq!(at(0x1007, 1), Some(0x1007));
        assert_eq!(at(0x1008, 8), None);
        assert_eq!(at(0x1000, 16), Some(0x1004));
        assert_eq!(at(0xff00_0000_0000_1004, 4), Some(0xff00_0000_0000_1004), "the tag byte does not count");
        assert_eq!(find(&w, 0x1004, 4, Access::Read, true), None);
        assert_eq!(find(&[watch(u64::MAX - 7, 8)], u64::MAX, 1, Access::Write, false).map(|h| h.addr), Some(u64::MAX));
        let el1 = [Watch { el0: false, ..watch(0x1000, 1) }];
        assert!(find(&el1, 0x1000, 1, Access::Write, true).is_none());
        assert!(find(&el1, 0x1000, 1, Access::Write, false).is_some());
    }
}
