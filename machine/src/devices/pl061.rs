//! PL061 general-purpose I/O (DDI 0190): eight pins, one of which the board makes the power key.

use crate::device::{Device, Size, merge, narrow, primecell_id, registers};
use crate::irq::IrqLine;

registers! {
    /// DDI 0190, table 3-1; offsets below 0x400 are the data register with the mask in the address.
    enum Reg {
        /// Direction
        Dir = 0x400,
        /// Interrupt sense: level
        Is = 0x404,
        /// Interrupt on both edges
        Ibe = 0x408,
        /// Interrupt event: rising edge or high level
        Iev = 0x40c,
        /// Interrupt mask
        Ie = 0x410,
        /// Raw interrupt status
        Ris = 0x414,
        /// Masked interrupt status
        Mis = 0x418,
        /// Interrupt clear
        Ic = 0x41c,
        /// Alternate function select
        Afsel = 0x420,
    }
}

const PERIPHERAL_ID: u32 = 0x0004_1061;

/// The eight pins.
pub struct Pl061 {
    irq: IrqLine,
    input: u8,
    output: u8,
    direction: u8,
    level_sense: u8,
    both_edges: u8,
    event: u8,
    mask: u8,
    edges: u8,
    alternate: u8,
}

impl Pl061 {
    /// All pins low inputs.
    pub fn new(irq: IrqLine) -> Self {
        Pl061 {
            irq,
            input: 0,
            output: 0,
            direction: 0,
            level_sense: 0,
            both_edges: 0,
            event: 0,
            mask: 0,
            edges: 0,
            alternate: 0,
        }
    }

    /// The outside drives pin `pin` (0 to 7).
    pub fn set_input(&mut self, pin: u8, level: bool) {
        let bit = 1u8.checked_shl(u32::from(pin)).unwrap_or(0);
        let before = self.data();
        self.input = if level { self.input | bit } else { self.input & !bit };
        self.note_edges(before);
    }

    /// What the pins read as.
    fn data(&self) -> u8 {
        (self.output & self.direction) | (self.input & !self.direction)
    }

    fn raw(&self) -> u8 {
        (self.level_sense & !(self.data() ^ self.event)) | (self.edges & !self.level_sense)
    }

    fn note_edges(&mut self, before: u8) {
        let now = self.data();
        let changed = (before ^ now) & !self.direction & !self.level_sense;
        self.edges |= changed & (self.both_edges | !(now ^ self.event));
        self.update_irq();
    }

    fn update_irq(&self) {
        self.irq.set(self.raw() & self.mask != 0);
    }

    fn stored(&self, reg: Reg) -> u8 {
        match reg {
            Reg::Dir => self.direction,
            Reg::Is => self.level_sense,
            Reg::Ibe => self.both_edges,
            Reg::Iev => self.event,
            Reg::Ie => self.mask,
            Reg::Ris => self.raw(),
            Reg::Mis => self.raw() & self.mask,
            Reg::Ic => 0,
            Reg::Afsel => self.alternate,
        }
    }

    fn write_register(&mut self, reg: Reg, value: u8) {
        match reg {
            Reg::Dir => self.direction = value,
            Reg::Is => self.level_sense = value,
            Reg::Ibe => self.both_edges = value,
            Reg::Iev => self.event = value,
            Reg::Ie => self.mask = value,
            Reg::Ic => self.edges &= !value,
            Reg::Afsel => self.alternate = value,
            Reg::Ris | Reg::Mis => {}
        }
    }
}

impl Device for Pl061 {
    fn read(&mut self, offset: u64, size: Size) -> u64 {
        let word = match Reg::at(offset) {
            _ if offset < 0x400 => u32::from(self.data() & (offset >> 2) as u8),
            Some(reg) => u32::from(self.stored(reg)),
            None => primecell_id(offset, PERIPHERAL_ID).unwrap_or(0),
        };
        narrow(word, offset, size)
    }

    fn write(&mut self, offset: u64, size: Size, value: u64) {
        if offset < 0x400 {
            let lanes = (offset >> 2) as u8 & self.direction;
            let value = merge(u32::from(self.output), offset, size, value) as u8;
            self.output = (self.output & !lanes) | (value & lanes);
        } else if let Some(reg) = Reg::at(offset) {
            let value = merge(u32::from(self.stored(reg)), offset, size, value) as u8;
            self.write_register(reg, value);
        }
        self.update_irq();
    }

    fn reset(&mut self) {
        let (irq, input) = (self.irq.clone(), self.input);
        *self = Pl061 { input, ..Pl061::new(irq) };
        self.update_irq();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::irq::Probe;
    use crate::testing::hammer;
    use std::sync::Arc;

    fn gpio() -> (Pl061, Arc<Probe>) {
        let (irq, probe) = IrqLine::probe();
        (Pl061::new(irq), probe)
    }

    #[test]
    fn a_key_press_interrupts_on_both_edges() {
        let (mut g, irq) = gpio();
        g.write(0x408, Size::B1, 8);
        g.write(0x410, Size::B1, 8);
        g.set_input(3, true);
        assert!(irq.level() && g.read(0x3fc, Size::B1) == 8 && g.read(0x418, Size::B1) == 8);
        g.write(0x41c, Size::B1, 8);
        assert!(!irq.level());
        g.set_input(3, false);
        assert!(irq.level() && g.read(0x3fc, Size::B1) == 0);
    }

    #[test]
    fn level_and_single_edge() {
        let (mut g, irq) = gpio();
        g.write(0x404, Size::B4, 1);
        g.write(0x40c, Size::B4, 3);
        g.write(0x410, Size::B4, 3);
        g.set_input(0, true);
        g.write(0x41c, Size::B4, 0xff);
        assert!(irq.level(), "a level cannot be cleared");
        g.set_input(0, false);
        assert!(!irq.level());
        g.set_input(1, true);
        assert!(irq.level());
        g.write(0x41c, Size::B4, 2);
        g.set_input(1, false);
        assert!(!irq.level(), "rising edges only");
        g.set_input(200, true);
    }

    #[test]
    fn outputs_are_written_through_the_address_mask() {
        let (mut g, _) = gpio();
        g.write(0x400, Size::B4, 0x0f);
        g.write(0x05 << 2, Size::B4, 0xff);
        assert_eq!(g.read(0x3fc, Size::B4), 0x05);
        assert_eq!(g.read(0x04 << 2, Size::B4), 0x04);
        let id: Vec<_> = (0xfe0..0xff0).step_by(4).map(|o| g.read(o, Size::B4)).collect();
        assert_eq!(id, [0x61, 0x10, 0x04, 0]);
    }

    #[test]
    fn random_accesses() {
        let (mut g, irq) = gpio();
        hammer(&mut g, 0x1000, 61, |g, rng| {
            g.set_input(rng.below(9) as u8, rng.below(2) == 0);
            assert_eq!(irq.level(), g.raw() & g.mask != 0);
        });
    }
}
