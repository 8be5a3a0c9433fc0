//! Numbers for address spaces, by which translations of code are told apart.

use std::sync::Mutex;
use std::sync::PoisonError;

use jib_frontend_aarch64::system::mmu::Regime;
use jib_frontend_aarch64::system::state::MODE_BOARD;
use jib_ir::region::Key;

/// Most upper halves that get a number.
const UPPER_HALVES: usize = 255;
/// TTBR1_EL1 without the ASID and CnP.
const BASE: u64 = 0x0000_ffff_ffff_fffe;
/// TCR_EL1 without what only concerns TTBR0_EL1.
const TCR_UPPER: u64 = !0xffff;

/// What tells one upper half of the address space from another: table, TCR_EL1, SCTLR_EL1. `None` without translation.
pub fn upper_half(regime: &Regime) -> Option<[u64; 3]> {
    regime.enabled().then_some([regime.ttbr1 & BASE, regime.tcr & TCR_UPPER, regime.sctlr])
}

/// The upper halves that the machine's CPUs have seen. Kernels have one or two.
#[derive(Default)]
pub struct UpperHalves(Mutex<Vec<[u64; 3]>>);

impl UpperHalves {
    /// The bits of [`Key::mode`] for EL1 code under `regime`: links to the upper half hold where they are the same.
    /// Zero, which allows no links, if translation is off or there are too many.
    pub fn mode(&self, regime: &Regime) -> u32 {
        let Some(half) = upper_half(regime) else { return 0 };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = match known.iter().position(|k| *k == half) {
            Some(number) => number,
            None if known.len() < UPPER_HALVES => {
                known.push(half);
                known.len() - 1
            }
            None => return 0,
        };
        Key::UPPER_FIXED | ((number as u32 + 1) * MODE_BOARD)
    }
}

/// Numbers of one CPU's address spaces. A number stands for one meaning of all code addresses; it is given up, and a
/// new one taken, when one of them may have changed.
pub struct Spaces {
    next: u64,
    el1: u64,
    /// EL1 has run code in the lower half, which belongs to an address space, under its number.
    el1_low: bool,
    el0: Vec<(u16, u64)>,
    /// EL0 has run code that belongs to all address spaces, and code in the upper half.
    el0_global: bool,
    el0_upper: bool,
}

/// Most EL0 numbers remembered.
const REMEMBERED: usize = 32;

impl Default for Spaces {
    fn default() -> Self {
        Spaces { next: 1, el1: 0, el1_low: false, el0: Vec::new(), el0_global: false, el0_upper: false }
    }
}

impl Spaces {
    fn take(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// The number for code at `pc`, which may belong to all address spaces.
    #[inline]
    pub fn number(&mut self, el0: bool, asid: u16, pc: u64, global: bool) -> u64 {
        let upper = pc >> 55 & 1 != 0;
        if !el0 {
            self.el1_low |= !upper;
            return self.el1;
        }
        self.el0_global |= global;
        self.el0_upper |= upper;
        match self.el0.iter().find(|(a, _)| *a == asid) {
            Some((_, number)) => *number,
            None => self.add(asid),
        }
    }

    #[cold]
    fn add(&mut self, asid: u16) -> u64 {
        if self.el0.len() == REMEMBERED {
            self.el0.remove(0);
        }
        let number = self.take();
        self.el0.push((asid, number));
        number
    }

    /// The lower half is another one for EL1.
    pub fn lower_changed(&mut self) {
        if self.el1_low {
            self.upper_changed();
        }
    }

    /// EL1's addresses mean something else.
    pub fn upper_changed(&mut self) {
        self.el1 = self.take();
        self.el1_low = false;
    }

    /// Addresses of one ASID mean something else.
    pub fn forget_asid(&mut self, asid: u16) {
        self.el0.retain(|(a, _)| *a != asid);
        self.lower_changed();
    }

    /// Addresses of the lower half mean something else, of one ASID and for all or of any.
    pub fn forget_lower(&mut self, asid: Option<u16>) {
        match asid.filter(|_| !self.el0_global) {
            Some(asid) => self.forget_asid(asid),
            None => {
                self.forget_el0();
                self.lower_changed();
            }
        }
    }

    /// Addresses of the upper half mean something else.
    pub fn forget_upper(&mut self) {
        if self.el0_upper {
            self.forget_el0();
        }
        self.upper_changed();
    }

    fn forget_el0(&mut self) {
        self.el0.clear();
        (self.el0_global, self.el0_upper) = (false, false);
    }

    /// Any addresses mean something else.
    pub fn forget(&mut self) {
        self.forget_el0();
        self.upper_changed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_until_their_meaning_changes() {
        let mut s = Spaces::default();
        let one = s.number(true, 1, 0x1000, false);
        assert_ne!(one, s.number(true, 2, 0x1000, false));
        assert_eq!(one, s.number(true, 1, 0x2000, false));
        let kernel = s.number(false, 1, 0xffff_8000_0000_0000, false);
        s.lower_changed();
        assert_eq!(kernel, s.number(false, 2, 0xffff_8000_0000_0000, false));
        s.number(false, 2, 0x8000, false);
        s.lower_changed();
        assert_ne!(kernel, s.number(false, 2, 0xffff_8000_0000_0000, false));
        let two = s.number(true, 2, 0x1000, false);
        s.forget_lower(Some(1));
        assert_eq!(two, s.number(true, 2, 0x1000, false));
        assert_ne!(one, s.number(true, 1, 0x1000, false));
    }

    #[test]
    fn a_half_is_forgotten_alone_unless_it_is_everybodys() {
        let mut s = Spaces::default();
        let both =
            |s: &mut Spaces| [s.number(true, 1, 0x1000, false), s.number(false, 1, 0xffff_8000_0000_0000, false)];
        let [user, kernel] = both(&mut s);
        s.forget_upper();
        let [same, other] = both(&mut s);
        assert!(same == user && other != kernel);
        s.forget_lower(Some(2));
        assert_eq!(both(&mut s), [user, other]);
        s.number(true, 2, 0x1000, true);
        s.forget_lower(Some(2));
        let [next, same] = both(&mut s);
        assert!(next != user && same == other, "code that ASID 2 shares may be gone");
        s.number(true, 1, 0xffff_8000_0000_0000, false);
        s.forget_upper();
        assert_ne!(both(&mut s)[0], next);
    }

    #[test]
    fn upper_halves_are_told_apart_by_their_table_alone() {
        let halves = UpperHalves::default();
        let regime = |ttbr1| Regime { sctlr: 1, tcr: 0, ttbr0: 0, ttbr1, mair: 0 };
        let a = halves.mode(&regime(0x1000));
        assert_ne!(a & Key::UPPER_FIXED, 0);
        assert_eq!(a, halves.mode(&regime(0x7 << 48 | 0x1000 | 1)));
        assert_ne!(a, halves.mode(&regime(0x2000)));
        assert_eq!(halves.mode(&Regime { sctlr: 0, ..regime(0x1000) }), 0);
        assert_eq!(upper_half(&regime(0x1000)), upper_half(&Regime { ttbr0: 0x5000, ..regime(0x9 << 48 | 0x1000) }));
        (0..300).for_each(|n| _ = halves.mode(&regime(n << 12)));
        assert_eq!(halves.mode(&regime(0x1234_5000)), 0);
    }
}
