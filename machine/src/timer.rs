//! The generic timer of one CPU, as a pure function of the counter (Arm ARM, D12).
//!
//! Nothing here ticks: whoever runs the CPU asks for the level of each output and for the counter
//! value at which that will change, and sleeps no longer than that.

/// CNTx_CTL_EL0.ENABLE
const ENABLE: u64 = 1 << 0;
/// CNTx_CTL_EL0.IMASK
const IMASK: u64 = 1 << 1;
/// CNTx_CTL_EL0.ISTATUS
const ISTATUS: u64 = 1 << 2;

/// One comparator: CNTP_* or CNTV_*.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timer {
    control: u64,
    compare: u64,
}

impl Timer {
    /// CTL; ISTATUS is unknown while disabled and reads as zero here.
    pub fn ctl(&self, now: u64) -> u64 {
        self.control | if self.expired(now) { ISTATUS } else { 0 }
    }

    /// Writes CTL.
    pub fn set_ctl(&mut self, value: u64) {
        self.control = value & (ENABLE | IMASK);
    }

    /// CVAL.
    pub fn cval(&self) -> u64 {
        self.compare
    }

    /// Writes CVAL.
    pub fn set_cval(&mut self, value: u64) {
        self.compare = value;
    }

    /// TVAL: signed 32 bits, zero-extended as a register read gives it.
    pub fn tval(&self, now: u64) -> u64 {
        self.compare.wrapping_sub(now) & 0xffff_ffff
    }

    /// Writes TVAL.
    pub fn set_tval(&mut self, now: u64, value: u64) {
        self.compare = now.wrapping_add(i64::from(value as i32) as u64);
    }

    /// Level of the interrupt output.
    pub fn level(&self, now: u64) -> bool {
        self.expired(now) && self.control & IMASK == 0
    }

    /// The counter value at which the output will rise, if it will by itself.
    pub fn deadline(&self, now: u64) -> Option<u64> {
        (self.control & (ENABLE | IMASK) == ENABLE && now < self.compare).then_some(self.compare)
    }

    fn expired(&self, now: u64) -> bool {
        self.control & ENABLE != 0 && now >= self.compare
    }
}

/// The EL1 timers of one CPU. There is no EL2, so CNTVOFF_EL2 is zero and both count alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GenericTimer {
    /// CNTP_*_EL0
    pub physical: Timer,
    /// CNTV_*_EL0
    pub virt: Timer,
}

impl GenericTimer {
    /// The earliest counter value at which an output will rise.
    pub fn deadline(&self, now: u64) -> Option<u64> {
        [self.physical, self.virt].iter().filter_map(|timer| timer.deadline(now)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fires_at_the_compare_value_and_not_before() {
        let mut t = Timer::default();
        t.set_cval(100);
        assert!(!t.level(200) && t.deadline(0).is_none(), "disabled");
        t.set_ctl(ENABLE | 0xff00);
        assert_eq!((t.ctl(99), t.level(99), t.deadline(99)), (ENABLE, false, Some(100)));
        assert_eq!((t.ctl(100), t.level(100), t.deadline(100)), (ENABLE | ISTATUS, true, None));
        t.set_ctl(ENABLE | IMASK);
        assert_eq!((t.ctl(100), t.level(100), t.deadline(0)), (ENABLE | IMASK | ISTATUS, false, None));
    }

    #[test]
    fn tval_is_a_signed_window_on_cval() {
        let mut t = Timer::default();
        t.set_tval(1000, 50);
        assert_eq!((t.cval(), t.tval(1000), t.tval(1049)), (1050, 50, 1));
        assert_eq!(t.tval(1051), 0xffff_ffff);
        t.set_tval(1000, 0xffff_ffff);
        assert_eq!(t.cval(), 999);
        t.set_ctl(ENABLE);
        assert!(t.level(1000));
        t.set_tval(0, 0x8000_0000);
        assert_eq!(t.cval(), (i32::MIN as i64) as u64);
    }

    #[test]
    fn the_earlier_of_both() {
        let mut g = GenericTimer::default();
        assert_eq!(g.deadline(0), None);
        g.virt.set_cval(70);
        g.virt.set_ctl(ENABLE);
        assert_eq!(g.deadline(0), Some(70));
        g.physical.set_cval(30);
        g.physical.set_ctl(ENABLE);
        assert_eq!(g.deadline(0), Some(30));
        assert_eq!(g.deadline(30), Some(70));
        assert_eq!(g.deadline(70), None);
    }
}
