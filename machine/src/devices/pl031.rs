//! PL031 real-time clock (DDI 0224): seconds since 1970, with an alarm.

use crate::device::{Device, Size, merge, narrow, primecell_id, registers};
use crate::irq::IrqLine;

registers! {
    /// DDI 0224, table 3-1.
    enum Reg {
        /// Data: the time
        Dr = 0x00,
        /// Match: the alarm
        Mr = 0x04,
        /// Load: sets the time
        Lr = 0x08,
        /// Control
        Cr = 0x0c,
        /// Interrupt mask
        Imsc = 0x10,
        /// Raw interrupt status
        Ris = 0x14,
        /// Masked interrupt status
        Mis = 0x18,
        /// Interrupt clear
        Icr = 0x1c,
    }
}

const PERIPHERAL_ID: u32 = 0x0004_1031;

/// Tells the host's time in seconds since 1970.
pub type WallClock = Box<dyn Fn() -> u64 + Send>;

/// The clock. Nothing ticks in it: call [`Pl031::tick`] when [`Pl031::alarm_in`] has passed.
pub struct Pl031 {
    irq: IrqLine,
    host: WallClock,
    /// Guest time less host time.
    offset: u32,
    matched: u32,
    load: u32,
    mask: bool,
    raw: bool,
    /// Host time at which the alarm goes off.
    alarm: Option<u64>,
}

impl Pl031 {
    /// A clock that follows `host` until the guest sets it.
    pub fn new(irq: IrqLine, host: WallClock) -> Self {
        Pl031 { irq, host, offset: 0, matched: 0, load: 0, mask: false, raw: false, alarm: None }
    }

    /// Time passed: see if the alarm is due.
    pub fn tick(&mut self) {
        let now = (self.host)();
        if self.alarm.is_some_and(|alarm| now >= alarm) {
            self.alarm = None;
            self.raw = true;
        }
        self.irq.set(self.raw && self.mask);
    }

    /// Seconds until the alarm, if one is set and would interrupt.
    pub fn alarm_in(&self) -> Option<u64> {
        let alarm = self.alarm.filter(|_| self.mask)?;
        Some(alarm.saturating_sub((self.host)()))
    }

    fn time(&self) -> u32 {
        ((self.host)() as u32).wrapping_add(self.offset)
    }

    /// The alarm is when the 32-bit time next equals the match register.
    fn arm(&mut self) {
        let wait = self.matched.wrapping_sub(self.time());
        self.alarm = Some((self.host)().saturating_add(u64::from(wait)));
    }

    fn stored(&self, reg: Reg) -> u32 {
        match reg {
            Reg::Dr => self.time(),
            Reg::Mr => self.matched,
            Reg::Lr => self.load,
            Reg::Cr => 1,
            Reg::Imsc => u32::from(self.mask),
            Reg::Ris => u32::from(self.raw),
            Reg::Mis => u32::from(self.raw && self.mask),
            Reg::Icr => 0,
        }
    }
}

impl Device for Pl031 {
    fn read(&mut self, offset: u64, size: Size) -> u64 {
        self.tick();
        let word = match Reg::at(offset) {
            Some(reg) => self.stored(reg),
            None => primecell_id(offset, PERIPHERAL_ID).unwrap_or(0),
        };
        narrow(word, offset, size)
    }

    fn write(&mut self, offset: u64, size: Size, value: u64) {
        let Some(reg) = Reg::at(offset) else { return };
        let value = merge(self.stored(reg), offset, size, value);
        match reg {
            Reg::Mr => {
                self.matched = value;
                self.arm();
            }
            Reg::Lr => {
                self.load = value;
                self.offset = value.wrapping_sub((self.host)() as u32);
                if self.alarm.is_some() {
                    self.arm();
                }
            }
            Reg::Imsc => self.mask = value & 1 != 0,
            Reg::Icr => self.raw &= value & 1 == 0,
            Reg::Dr | Reg::Cr | Reg::Ris | Reg::Mis => {}
        }
        self.tick();
    }

    fn reset(&mut self) {
        // The time itself survives: a clock has a battery.
        (self.matched, self.load, self.mask, self.raw, self.alarm) = (0, 0, false, false, None);
        self.irq.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::irq::Probe;
    use crate::testing::hammer;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn rtc() -> (Pl031, Arc<Probe>, Arc<AtomicU64>) {
        let (irq, probe) = IrqLine::probe();
        let now = Arc::new(AtomicU64::new(1_000_000));
        let host = now.clone();
        (Pl031::new(irq, Box::new(move || host.load(Ordering::Relaxed))), probe, now)
    }

    #[test]
    fn tells_and_sets_the_time() {
        let (mut rtc, _, now) = rtc();
        assert_eq!(rtc.read(0, Size::B4), 1_000_000);
        rtc.write(8, Size::B4, 500);
        now.fetch_add(7, Ordering::Relaxed);
        assert_eq!(rtc.read(0, Size::B4), 507);
        rtc.reset();
        assert_eq!(rtc.read(0, Size::B4), 507, "a reset does not stop the clock");
    }

    #[test]
    fn the_alarm_interrupts_once() {
        let (mut rtc, irq, now) = rtc();
        rtc.write(4, Size::B4, 1_000_010);
        assert_eq!(rtc.alarm_in(), None, "masked");
        rtc.write(0x10, Size::B4, 1);
        assert_eq!(rtc.alarm_in(), Some(10));
        now.fetch_add(9, Ordering::Relaxed);
        rtc.tick();
        assert!(!irq.level());
        now.fetch_add(5, Ordering::Relaxed);
        rtc.tick();
        assert!(irq.level() && rtc.read(0x18, Size::B4) == 1);
        rtc.write(0x1c, Size::B4, 1);
        assert!(!irq.level() && rtc.alarm_in().is_none());
    }

    #[test]
    fn setting_the_time_moves_the_alarm() {
        let (mut rtc, irq, _) = rtc();
        rtc.write(0x10, Size::B4, 1);
        rtc.write(4, Size::B4, 1_000_010);
        rtc.write(8, Size::B4, 1_000_010);
        assert!(irq.level());
    }

    #[test]
    fn identification() {
        let (mut rtc, ..) = rtc();
        let id: Vec<_> = (0xfe0..0x1000).step_by(4).map(|o| rtc.read(o, Size::B4)).collect();
        assert_eq!(id, [0x31, 0x10, 0x04, 0, 0x0d, 0xf0, 0x05, 0xb1]);
        assert_eq!(rtc.read(0xc, Size::B4), 1);
    }

    #[test]
    fn random_accesses() {
        let (mut rtc, irq, now) = rtc();
        hammer(&mut rtc, 0x1000, 31, |rtc, rng| {
            now.fetch_add(rng.below(3), Ordering::Relaxed);
            rtc.tick();
            assert_eq!(irq.level(), rtc.raw && rtc.mask);
        });
    }
}
