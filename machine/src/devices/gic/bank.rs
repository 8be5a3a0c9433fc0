//! The state of 32 interrupts, and the registers that show it one bit or byte each.

/// Implemented bits of a priority: 32 levels.
pub(crate) const PRIORITY_MASK: u8 = 0xf8;

/// 32 interrupts; bit n of each word belongs to interrupt n.
#[derive(Clone, Default)]
pub(crate) struct Bank {
    pub(crate) enabled: u32,
    /// Pending by an edge or by software; a level is pending by itself.
    pub(crate) latched: u32,
    pub(crate) active: u32,
    pub(crate) group: u32,
    pub(crate) modifier: u32,
    /// Present input levels.
    pub(crate) level: u32,
    /// Edge-triggered ones.
    pub(crate) edge: u32,
    /// Those whose trigger cannot be changed.
    pub(crate) fixed: u32,
    pub(crate) priority: [u8; 32],
}

/// A register with one bit per interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bits {
    Group,
    SetEnable,
    ClearEnable,
    SetPending,
    ClearPending,
    SetActive,
    ClearActive,
    Modifier,
}

impl Bits {
    /// The register at this offset of a distributor (or SGI frame), and which bank it shows.
    pub(crate) fn at(offset: u64) -> Option<(Bits, usize)> {
        let bits = match offset & !0x7f {
            0x080 => Bits::Group,
            0x100 => Bits::SetEnable,
            0x180 => Bits::ClearEnable,
            0x200 => Bits::SetPending,
            0x280 => Bits::ClearPending,
            0x300 => Bits::SetActive,
            0x380 => Bits::ClearActive,
            0xd00 => Bits::Modifier,
            _ => return None,
        };
        Some((bits, (offset & 0x7f) as usize / 4))
    }

    /// True for registers where writing a zero bit keeps what was.
    pub(crate) fn write_one(self) -> bool {
        !matches!(self, Bits::Group | Bits::Modifier)
    }
}

impl Bank {
    /// The bank of a CPU's SGIs and PPIs: SGIs are edges.
    pub(crate) fn private() -> Bank {
        Bank { edge: 0xffff, fixed: 0xffff, ..Bank::default() }
    }

    /// Power-on state that keeps the input levels.
    pub(crate) fn reset(&mut self) {
        *self = Bank { level: self.level, edge: self.edge & self.fixed, fixed: self.fixed, ..Bank::default() };
    }

    pub(crate) fn pending(&self) -> u32 {
        self.latched | (self.level & !self.edge)
    }

    /// Those that could be taken.
    pub(crate) fn ready(&self) -> u32 {
        self.pending() & self.enabled & !self.active
    }

    pub(crate) fn group_of(&self, bit: u32) -> usize {
        ((self.group >> bit) & 1) as usize
    }

    pub(crate) fn set_input(&mut self, bit: u32, level: bool) {
        let mask = 1 << bit;
        if level {
            self.latched |= mask & self.edge & !self.level;
            self.level |= mask;
        } else {
            self.level &= !mask;
        }
    }

    /// Pending becomes active.
    pub(crate) fn acknowledge(&mut self, bit: u32) {
        self.active |= 1 << bit;
        self.latched &= !(1 << bit);
    }

    pub(crate) fn read(&self, bits: Bits) -> u32 {
        match bits {
            Bits::Group => self.group,
            Bits::SetEnable | Bits::ClearEnable => self.enabled,
            Bits::SetPending | Bits::ClearPending => self.pending(),
            Bits::SetActive | Bits::ClearActive => self.active,
            Bits::Modifier => self.modifier,
        }
    }

    pub(crate) fn write(&mut self, bits: Bits, value: u32) {
        match bits {
            Bits::Group => self.group = value,
            Bits::SetEnable => self.enabled |= value,
            Bits::ClearEnable => self.enabled &= !value,
            Bits::SetPending => self.latched |= value,
            Bits::ClearPending => self.latched &= !value,
            Bits::SetActive => self.active |= value,
            Bits::ClearActive => self.active &= !value,
            Bits::Modifier => self.modifier = value,
        }
    }

    /// IPRIORITYR word `index` (0 to 7).
    pub(crate) fn priority_word(&self, index: usize) -> u32 {
        (0..4).rev().fold(0, |word, i| (word << 8) | u32::from(self.priority[(index & 7) * 4 + i]))
    }

    pub(crate) fn set_priority_word(&mut self, index: usize, word: u32) {
        for i in 0..4 {
            self.priority[(index & 7) * 4 + i] = (word >> (8 * i)) as u8 & PRIORITY_MASK;
        }
    }

    /// ICFGR word `half` (0 or 1): two bits per interrupt, the upper one set for an edge.
    pub(crate) fn config_word(&self, half: usize) -> u32 {
        let edges = self.edge >> (16 * (half & 1));
        (0..16).fold(0, |word, i| word | (((edges >> i) & 1) << (2 * i + 1)))
    }

    pub(crate) fn set_config_word(&mut self, half: usize, word: u32) {
        let shift = 16 * (half & 1);
        let edges = (0..16).fold(0, |edges, i| edges | (((word >> (2 * i + 1)) & 1) << i)) << shift;
        let mask = (0xffff << shift) & !self.fixed;
        self.edge = (self.edge & !mask) | (edges & mask);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_follow_the_line_and_edges_latch() {
        let mut b = Bank { enabled: !0, ..Bank::default() };
        b.set_config_word(0, 0b10);
        b.set_input(0, true);
        b.set_input(0, false);
        b.set_input(1, true);
        assert_eq!(b.ready(), 0b11);
        b.acknowledge(0);
        b.acknowledge(1);
        assert_eq!((b.pending(), b.ready(), b.active), (0b10, 0, 0b11));
        b.set_input(0, true);
        b.set_input(0, true);
        assert_eq!(b.pending(), 0b11, "an edge while active pends again");
        b.set_input(1, false);
        assert_eq!(b.pending(), 0b01);
    }

    #[test]
    fn words() {
        let mut b = Bank::private();
        b.set_priority_word(1, 0xfff8_0780);
        assert_eq!((b.priority_word(1), b.priority[4], b.priority[7]), (0xf8f8_0080, 0x80, 0xf8));
        b.set_config_word(0, 0);
        b.set_config_word(1, 0x8000_0002);
        assert_eq!((b.config_word(0), b.config_word(1)), (0xaaaa_aaaa, 0x8000_0002));
        assert_eq!(Bits::at(0x284), Some((Bits::ClearPending, 1)));
        assert_eq!(Bits::at(0x400), None);
    }
}
