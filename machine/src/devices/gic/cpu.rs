//! One CPU's interface to the controller: priority mask, binary points, active priorities.

use super::bank::PRIORITY_MASK;

/// Priority of nothing: lower than any.
pub(crate) const IDLE: u8 = 0xff;
/// ICC_BPR0 cannot be less: five bits of priority take part in preemption.
pub(crate) const MIN_BPR: u8 = 2;

/// An interrupt that could be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) intid: u32,
    pub(crate) priority: u8,
    pub(crate) group: usize,
}

/// The CPU interface; arrays are indexed by group.
#[derive(Clone)]
pub(crate) struct Iface {
    pub(crate) pmr: u8,
    bpr: [u8; 2],
    /// Bit n: an interrupt with group priority n << 3 is active (AP0R0 and AP1R0).
    pub(crate) active: [u32; 2],
    pub(crate) enable: [bool; 2],
    /// Group 1 uses group 0's binary point.
    pub(crate) common_bpr: bool,
    /// EOI only drops priority; DIR deactivates.
    pub(crate) split_eoi: bool,
    /// GICv2: reading IAR may also acknowledge group 1.
    pub(crate) ack_both: bool,
    /// GICv2: group 0 uses the FIQ input.
    pub(crate) fiq: bool,
}

impl Iface {
    pub(crate) fn new() -> Self {
        Iface {
            pmr: 0,
            bpr: [MIN_BPR, MIN_BPR + 1],
            active: [0; 2],
            enable: [false; 2],
            common_bpr: false,
            split_eoi: false,
            ack_both: false,
            fiq: false,
        }
    }

    pub(crate) fn bpr(&self, group: usize) -> u8 {
        match group {
            1 if self.common_bpr => (self.bpr[0] + 1).min(7),
            _ => self.bpr[group & 1],
        }
    }

    pub(crate) fn set_bpr(&mut self, group: usize, value: u8) {
        if group == 1 && self.common_bpr {
            return;
        }
        self.bpr[group & 1] = (value & 7).max(MIN_BPR + (group & 1) as u8);
    }

    pub(crate) fn set_pmr(&mut self, value: u8) {
        self.pmr = value & PRIORITY_MASK;
    }

    /// The bits of a priority that decide preemption in `group`.
    fn group_priority(&self, c: &Candidate) -> u8 {
        let point = match c.group {
            0 => u32::from(self.bpr[0]) + 1,
            _ if self.common_bpr => u32::from(self.bpr[0]) + 1,
            _ => u32::from(self.bpr[1]),
        };
        c.priority & 0xffu8.checked_shl(point).unwrap_or(0)
    }

    /// Group priority of what is being handled.
    pub(crate) fn running(&self) -> u8 {
        match (self.active[0] | self.active[1]).trailing_zeros() {
            32 => IDLE,
            bit => (bit as u8) << 3,
        }
    }

    /// True if `c` may interrupt what is running.
    pub(crate) fn admits(&self, c: &Candidate) -> bool {
        c.priority < self.pmr && self.group_priority(c) < self.running()
    }

    /// `c` is being handled from now on.
    pub(crate) fn enter(&mut self, c: &Candidate) {
        self.active[c.group] |= 1 << (self.group_priority(c) >> 3);
    }

    /// Group of the highest active priority.
    pub(crate) fn highest_group(&self) -> Option<usize> {
        let (zero, one) = (self.active[0].trailing_zeros(), self.active[1].trailing_zeros());
        match (zero, one) {
            (32, 32) => None,
            _ => Some(usize::from(one < zero)),
        }
    }

    /// Priority drop: forget the highest active priority.
    pub(crate) fn drop_priority(&mut self) {
        if let Some(group) = self.highest_group() {
            self.active[group] &= self.active[group].wrapping_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(priority: u8, group: usize) -> Candidate {
        Candidate { intid: 40, priority, group }
    }

    #[test]
    fn preemption_needs_a_higher_group_priority() {
        let mut i = Iface::new();
        assert!(!i.admits(&candidate(0, 1)), "PMR masks everything at reset");
        i.set_pmr(0xff);
        assert_eq!(i.pmr, 0xf8);
        assert!(!i.admits(&candidate(0xf8, 1)) && i.admits(&candidate(0xa0, 1)));
        i.enter(&candidate(0xa0, 1));
        assert_eq!(i.running(), 0xa0);
        assert!(!i.admits(&candidate(0xa0, 1)) && i.admits(&candidate(0x98, 1)));
        i.drop_priority();
        i.set_bpr(1, 6);
        i.enter(&candidate(0xa0, 1));
        assert!(!i.admits(&candidate(0x98, 1)) && i.admits(&candidate(0x40, 1)), "0x98 is in 0x80's group");
    }

    #[test]
    fn drops_nest() {
        let mut i = Iface::new();
        i.set_pmr(0xff);
        i.enter(&candidate(0xa0, 1));
        i.enter(&candidate(0x20, 0));
        assert_eq!((i.running(), i.highest_group()), (0x20, Some(0)));
        i.drop_priority();
        assert_eq!((i.running(), i.highest_group()), (0xa0, Some(1)));
        i.drop_priority();
        i.drop_priority();
        assert_eq!((i.running(), i.highest_group()), (IDLE, None));
    }

    #[test]
    fn binary_points() {
        let mut i = Iface::new();
        i.set_bpr(0, 0);
        i.set_bpr(1, 0);
        assert_eq!((i.bpr(0), i.bpr(1)), (2, 3));
        i.common_bpr = true;
        i.set_bpr(1, 7);
        i.set_bpr(0, 7);
        assert_eq!((i.bpr(0), i.bpr(1)), (7, 7));
        i.set_pmr(0xff);
        i.enter(&candidate(0x80, 1));
        assert_eq!(i.running(), 0, "no bit of the priority preempts");
    }
}
