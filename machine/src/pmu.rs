//! The performance monitors of one CPU (PMUv3, Arm ARM D13), as a pure function of what was counted elsewhere.
//!
//! Nothing here ticks: whoever runs the CPU brings the totals of cycles and instructions when a register is touched,
//! when the exception level changes while something counts, and when [`Pmu::deadline`] says that a counter may overflow.

use jib_frontend_aarch64::system::sysreg::{Encoding, reg};

/// Event counters, beside the cycle counter (PMCR_EL0.N).
pub const EVENTS: usize = 6;
/// Bit of the cycle counter in the masks of counters, and its number for PMSELR_EL0.
const CYCLES: usize = 31;
/// All counters there are.
const ALL: u32 = 1 << CYCLES | ((1 << EVENTS) - 1);

/// PMCR_EL0: enabled; reset the event counters; reset the cycle counter; overflow of the cycle counter at 64 bits, which
/// AArch64 knows alone.
const E: u64 = 1 << 0;
const P: u64 = 1 << 1;
const C: u64 = 1 << 2;
const LC: u64 = 1 << 6;

/// Bits of PMEVTYPER and PMCCFILTR: EL1, or EL0, is not counted.
const NOT_EL1: u32 = 1 << 31;
const NOT_EL0: u32 = 1 << 30;
/// The event of a counter.
const EVENT: u32 = 0x3ff;

const SW_INCR: u32 = 0x00;
const INST_RETIRED: u32 = 0x08;
const CPU_CYCLES: u32 = 0x11;
const CHAIN: u32 = 0x1e;
/// PMCEID0_EL0: the events that are counted.
const PMCEID0: u64 = 1 << SW_INCR | 1 << INST_RETIRED | 1 << CPU_CYCLES | 1 << CHAIN;

/// PMUSERENR_EL0: EL0 may touch all but interrupts; PMSWINC; read the cycle counter; read event counters.
const EN: u32 = 1 << 0;
const SW: u32 = 1 << 1;
const CR: u32 = 1 << 2;
const ER: u32 = 1 << 3;

/// No CPU executes more instructions in a cycle of ours: how soon a counter of them can overflow.
const MOST_PER_CYCLE: u64 = 8;
/// Shortest wait for a counter of instructions, in cycles.
const LOOK_EVERY: u64 = 100_000;

/// What one CPU has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Cycles: nanoseconds awake.
    pub cycles: u64,
    /// Instructions, as far as they are counted.
    pub instructions: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counter {
    value: u64,
    /// PMEVTYPER, PMCCFILTR.
    kind: u32,
}

/// The monitors.
#[derive(Clone, Debug, Default)]
pub struct Pmu {
    enabled: bool,
    /// PMCNTENSET, PMINTENSET, PMOVSSET.
    counting: u32,
    interrupts: u32,
    overflowed: u32,
    user: u32,
    select: u32,
    /// Event counters, then the cycle counter.
    counters: [Counter; EVENTS + 1],
    seen: Totals,
    /// The exception level since `seen` is EL0.
    el0: bool,
}

/// Which counter a register is about.
fn index(number: usize) -> Option<usize> {
    match number {
        CYCLES => Some(EVENTS),
        n if n < EVENTS => Some(n),
        _ => None,
    }
}

/// Bit of counter `i` in the masks.
fn bit(i: usize) -> u32 {
    1 << if i == EVENTS { CYCLES } else { i }
}

impl Pmu {
    /// Does anything count?
    #[inline]
    pub fn is_counting(&self) -> bool {
        self.enabled && self.counting != 0
    }

    /// Do instructions have to be counted?
    pub fn counts_instructions(&self) -> bool {
        self.running().any(|i| self.event(i) == INST_RETIRED)
    }

    /// Is code at EL0 counted from now on?
    #[inline]
    pub fn is_at(&self, el0: bool) -> bool {
        self.el0 == el0
    }

    /// May a register be touched at EL0? (Arm ARM, PMUSERENR_EL0)
    pub fn allows_el0(&self, register: Encoding, write: bool) -> bool {
        let also = match register {
            reg::PMUSERENR_EL0 if !write => return true,
            reg::PMSWINC_EL0 => SW,
            reg::PMCCNTR_EL0 if !write => CR,
            reg::PMSELR_EL0 => ER,
            reg::PMXEVCNTR_EL0 if !write => ER,
            _ if !write && event_register(register).is_some_and(|(_, kind)| !kind) => ER,
            _ => 0,
        };
        self.user & (EN | also) != 0
    }

    /// Counts what was done until `now`; what follows is done at EL0, or not.
    pub fn catch_up(&mut self, now: Totals, el0: bool) {
        let cycles = now.cycles.saturating_sub(self.seen.cycles);
        let instructions = now.instructions.wrapping_sub(self.seen.instructions);
        for i in self.running().collect::<Vec<_>>() {
            match self.event(i) {
                CPU_CYCLES => self.add(i, cycles),
                INST_RETIRED => self.add(i, instructions),
                _ => {}
            }
        }
        (self.seen, self.el0) = (now, el0);
    }

    /// The counters that count, wherever.
    fn running(&self) -> impl Iterator<Item = usize> + '_ {
        (0..=EVENTS).filter(|&i| self.enabled && self.counting & bit(i) != 0)
    }

    fn event(&self, i: usize) -> u32 {
        if i == EVENTS { CPU_CYCLES } else { self.counters[i].kind & EVENT }
    }

    /// Adds to counter `i`, unless the level is one that it does not count.
    fn add(&mut self, i: usize, amount: u64) {
        let counter = &mut self.counters[i];
        if counter.kind & if self.el0 { NOT_EL0 } else { NOT_EL1 } != 0 {
            return;
        }
        let (value, over) = counter.value.overflowing_add(amount);
        let wraps = if i == EVENTS { u64::from(over) } else { value >> 32 };
        counter.value = if i == EVENTS { value } else { value & 0xffff_ffff };
        if wraps == 0 {
            return;
        }
        self.overflowed |= bit(i);
        let next = i + 1;
        let chained =
            i.is_multiple_of(2) && next < EVENTS && self.counting & bit(next) != 0 && self.event(next) == CHAIN;
        if chained {
            self.add(next, wraps);
        }
    }

    /// Level of the interrupt output.
    pub fn level(&self) -> bool {
        self.enabled && self.overflowed & self.interrupts != 0
    }

    /// How many cycles from now on the output can rise at the earliest, if it can by itself.
    pub fn deadline(&self) -> Option<u64> {
        let left = |i: usize| {
            let limit = if i == EVENTS { u64::MAX } else { 0xffff_ffff };
            let left = (limit - self.counters[i].value).saturating_add(1);
            match self.event(i) {
                CPU_CYCLES => Some(left),
                INST_RETIRED => Some((left / MOST_PER_CYCLE).max(LOOK_EVERY)),
                _ => None,
            }
        };
        // A counter that another one is chained to has to be looked at, too.
        let waited_for = |i: &usize| (self.interrupts | self.interrupts >> 1) & !self.overflowed & bit(*i) != 0;
        self.running().filter(waited_for).filter_map(left).min()
    }

    /// Reads a register; call [`Pmu::catch_up`] before. `None` if it is none of these.
    pub fn read(&self, register: Encoding) -> Option<u64> {
        Some(match register {
            reg::PMCR_EL0 => (EVENTS as u64) << 11 | LC | u64::from(self.enabled),
            reg::PMCNTENSET_EL0 | reg::PMCNTENCLR_EL0 => self.counting.into(),
            reg::PMINTENSET_EL1 | reg::PMINTENCLR_EL1 => self.interrupts.into(),
            reg::PMOVSSET_EL0 | reg::PMOVSCLR_EL0 => self.overflowed.into(),
            reg::PMUSERENR_EL0 => self.user.into(),
            reg::PMSELR_EL0 => self.select.into(),
            reg::PMCEID0_EL0 => PMCEID0,
            reg::PMCEID1_EL0 => 0,
            _ => {
                let (i, kind) = self.selected(register)?;
                let counter = i.map_or(Counter::default(), |i| self.counters[i]);
                if kind { counter.kind.into() } else { counter.value }
            }
        })
    }

    /// Writes a register; call [`Pmu::catch_up`] before. `None` if it is none of these.
    pub fn write(&mut self, register: Encoding, v: u64) -> Option<()> {
        let mask = v as u32 & ALL;
        match register {
            reg::PMCR_EL0 => self.control(v),
            reg::PMCNTENSET_EL0 => self.counting |= mask,
            reg::PMCNTENCLR_EL0 => self.counting &= !mask,
            reg::PMINTENSET_EL1 => self.interrupts |= mask,
            reg::PMINTENCLR_EL1 => self.interrupts &= !mask,
            reg::PMOVSSET_EL0 => self.overflowed |= mask,
            reg::PMOVSCLR_EL0 => self.overflowed &= !mask,
            reg::PMUSERENR_EL0 => self.user = v as u32 & (EN | SW | CR | ER),
            reg::PMSELR_EL0 => self.select = v as u32 & 31,
            reg::PMSWINC_EL0 => self.software_increment(mask),
            _ => {
                let (i, kind) = self.selected(register)?;
                let Some(i) = i else { return Some(()) };
                match kind {
                    true => {
                        self.counters[i].kind =
                            v as u32 & if i == EVENTS { 0 } else { EVENT } | v as u32 & (NOT_EL0 | NOT_EL1)
                    }
                    false if i == EVENTS => self.counters[i].value = v,
                    false => self.counters[i].value = v & 0xffff_ffff,
                }
            }
        }
        Some(())
    }

    fn control(&mut self, v: u64) {
        self.enabled = v & E != 0;
        if v & P != 0 {
            self.counters[..EVENTS].iter_mut().for_each(|c| c.value = 0);
        }
        if v & C != 0 {
            self.counters[EVENTS].value = 0;
        }
    }

    fn software_increment(&mut self, mask: u32) {
        for i in self.running().filter(|&i| mask & bit(i) != 0 && self.event(i) == SW_INCR).collect::<Vec<_>>() {
            self.add(i, 1);
        }
    }

    /// The counter that a register is about, if that exists, and whether it is about its kind or its value.
    fn selected(&self, register: Encoding) -> Option<(Option<usize>, bool)> {
        Some(match register {
            reg::PMCCNTR_EL0 => (Some(EVENTS), false),
            reg::PMCCFILTR_EL0 => (Some(EVENTS), true),
            reg::PMXEVTYPER_EL0 => (index(self.select as usize), true),
            reg::PMXEVCNTR_EL0 => (index(self.select as usize).filter(|&i| i < EVENTS), false),
            _ => event_register(register).map(|(i, kind)| (Some(i), kind))?,
        })
    }
}

/// PMEVCNTR<n>_EL0 or PMEVTYPER<n>_EL0 (true) of a counter that exists.
fn event_register(register: Encoding) -> Option<(usize, bool)> {
    let n = register.0.checked_sub(reg::PMEVCNTR0_EL0.0)? as usize;
    let (kind, n) = if n >= 32 { (true, n - 32) } else { (false, n) };
    (n < EVENTS).then_some((n, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(cycles: u64, instructions: u64) -> Totals {
        Totals { cycles, instructions }
    }

    fn counter(n: u16) -> Encoding {
        Encoding(reg::PMEVCNTR0_EL0.0 + n)
    }

    fn kind(n: u16) -> Encoding {
        Encoding(reg::PMEVTYPER0_EL0.0 + n)
    }

    fn set(p: &mut Pmu, writes: &[(Encoding, u64)]) {
        for &(register, v) in writes {
            assert_eq!(p.write(register, v), Some(()), "{register}");
        }
    }

    #[test]
    fn cycles_and_instructions_while_enabled() {
        let mut p = Pmu::default();
        set(&mut p, &[(reg::PMCNTENSET_EL0, 1 << 31 | 1), (kind(0), 8)]);
        p.catch_up(at(100, 50), false);
        assert!(!p.is_counting() && !p.counts_instructions());
        set(&mut p, &[(reg::PMCR_EL0, E)]);
        assert!(p.counts_instructions());
        p.catch_up(at(350, 90), false);
        assert_eq!((p.read(reg::PMCCNTR_EL0), p.read(counter(0))), (Some(250), Some(40)));
        assert_eq!(p.read(reg::PMCR_EL0), Some(6 << 11 | LC | E));
        set(&mut p, &[(reg::PMCR_EL0, E | C | P)]);
        assert_eq!((p.read(reg::PMCCNTR_EL0), p.read(counter(0))), (Some(0), Some(0)));
        set(&mut p, &[(reg::PMCNTENCLR_EL0, 1 << 31)]);
        p.catch_up(at(1000, 100), false);
        assert_eq!((p.read(reg::PMCCNTR_EL0), p.read(counter(0))), (Some(0), Some(10)));
    }

    #[test]
    fn levels_are_told_apart() {
        let mut p = Pmu::default();
        set(&mut p, &[(reg::PMCCFILTR_EL0, NOT_EL1.into()), (kind(1), u64::from(NOT_EL0 | CPU_CYCLES))]);
        set(&mut p, &[(reg::PMCNTENSET_EL0, 1 << 31 | 2), (reg::PMCR_EL0, E)]);
        p.catch_up(at(10, 0), true);
        assert!(p.is_at(true) && !p.is_at(false));
        p.catch_up(at(110, 0), false);
        p.catch_up(at(1110, 0), false);
        assert_eq!((p.read(reg::PMCCNTR_EL0), p.read(counter(1))), (Some(100), Some(1010)));
    }

    #[test]
    fn an_overflow_interrupts_until_it_is_cleared() {
        let mut p = Pmu::default();
        set(&mut p, &[(kind(2), CPU_CYCLES.into()), (counter(2), 0xffff_ff00), (reg::PMCNTENSET_EL0, 4)]);
        set(&mut p, &[(reg::PMINTENSET_EL1, 4), (reg::PMCR_EL0, E)]);
        assert_eq!(p.deadline(), Some(0x100));
        p.catch_up(at(0xff, 0), false);
        assert_eq!((p.level(), p.deadline()), (false, Some(1)));
        p.catch_up(at(0x105, 0), false);
        assert_eq!((p.level(), p.deadline(), p.read(counter(2))), (true, None, Some(5)));
        set(&mut p, &[(reg::PMOVSCLR_EL0, 4)]);
        assert!(!p.level());
        set(&mut p, &[(reg::PMOVSSET_EL0, 4), (reg::PMINTENCLR_EL1, 4)]);
        assert!(!p.level() && p.read(reg::PMOVSCLR_EL0) == Some(4));
        set(
            &mut p,
            &[(reg::PMCCNTR_EL0, u64::MAX - 9), (reg::PMINTENSET_EL1, 1 << 31), (reg::PMCNTENSET_EL0, 1 << 31)],
        );
        assert_eq!(p.deadline(), Some(10));
        p.catch_up(at(0x105 + 10, 0), false);
        assert_eq!((p.level(), p.read(reg::PMCCNTR_EL0)), (true, Some(0)));
    }

    #[test]
    fn two_counters_make_one_of_64_bits() {
        let mut p = Pmu::default();
        set(&mut p, &[(kind(0), INST_RETIRED.into()), (kind(1), CHAIN.into()), (reg::PMCNTENSET_EL0, 3)]);
        set(&mut p, &[(counter(1), 0xffff_ffff), (reg::PMINTENSET_EL1, 2), (reg::PMCR_EL0, E)]);
        assert!(p.deadline().is_some(), "the lower one is looked at");
        p.catch_up(at(0, 1 << 32 | 5), false);
        assert_eq!((p.read(counter(0)), p.read(counter(1))), (Some(5), Some(0)));
        assert_eq!((p.read(reg::PMOVSSET_EL0), p.level()), (Some(3), true));
    }

    #[test]
    fn software_increments_and_the_selector() {
        let mut p = Pmu::default();
        set(&mut p, &[(reg::PMSELR_EL0, 5), (reg::PMXEVTYPER_EL0, 0), (reg::PMCNTENSET_EL0, 0xffff_ffff)]);
        assert_eq!(p.read(reg::PMCNTENSET_EL0), Some(ALL.into()));
        set(&mut p, &[(reg::PMCR_EL0, E), (reg::PMSWINC_EL0, 0x20), (reg::PMSWINC_EL0, 0x20)]);
        assert_eq!((p.read(reg::PMXEVCNTR_EL0), p.read(counter(5))), (Some(2), Some(2)));
        set(&mut p, &[(reg::PMSELR_EL0, 31), (reg::PMXEVTYPER_EL0, u64::MAX)]);
        assert_eq!(p.read(reg::PMCCFILTR_EL0), Some(0xc000_0000));
        set(&mut p, &[(reg::PMSELR_EL0, 6), (reg::PMXEVTYPER_EL0, u64::MAX), (reg::PMXEVCNTR_EL0, 7)]);
        assert_eq!((p.read(reg::PMXEVTYPER_EL0), p.read(reg::PMXEVCNTR_EL0)), (Some(0), Some(0)));
        assert_eq!((p.read(counter(6)), p.read(reg::CNTP_CTL_EL0)), (None, None));
    }

    #[test]
    fn el0_is_let_in_by_parts() {
        let mut p = Pmu::default();
        let allowed = |p: &Pmu| {
            let all = [reg::PMCCNTR_EL0, reg::PMSWINC_EL0, counter(0), kind(0), reg::PMSELR_EL0, reg::PMUSERENR_EL0];
            let bits = |write| all.iter().rev().fold(0, |b, r| b << 1 | u32::from(p.allows_el0(*r, write)));
            (bits(false), bits(true))
        };
        assert_eq!(allowed(&p), (0b10_0000, 0));
        for (bits, expected) in [
            (EN, (0b11_1111, 0b11_1111)),
            (SW, (0b10_0010, 0b00_0010)),
            (CR, (0b10_0001, 0)),
            (ER, (0b11_0100, 0b01_0000)),
        ] {
            set(&mut p, &[(reg::PMUSERENR_EL0, bits.into())]);
            assert_eq!(allowed(&p), expected, "{bits:#x}");
        }
    }
}
