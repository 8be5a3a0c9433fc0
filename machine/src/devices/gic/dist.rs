//! GICv3 distributor registers (IHI 0069, 12.9). Affinity routing is always on, so the words of
//! private interrupts read as zero here: they live in the redistributors.

use std::sync::Arc;

use super::bank::Bits;
use super::{FIRST_SPI, Gic, IIDR, State, frame_id};
use crate::device::{Device, Size, merge, narrow};

/// Size of the window.
pub const SIZE: u64 = 0x1_0000;

const CTLR_ARE: u32 = 1 << 4;
const CTLR_DS: u32 = 1 << 6;
/// Ten bits of INTID, Aff3 may be non-zero, no 1-of-N delivery.
const TYPER_FIXED: u32 = 9 << 19 | 1 << 24 | 1 << 25;
const IROUTER: std::ops::Range<u64> = 0x6100..0x8000;

/// The distributor's window.
pub struct Distributor(pub Arc<Gic>);

fn read_word(s: &State, offset: u64) -> u32 {
    if let Some((bits, bank)) = Bits::at(offset) {
        return shared(bank).and_then(|bank| s.spis.get(bank)).map_or(0, |bank| bank.read(bits));
    }
    match offset {
        0x0 => CTLR_ARE | CTLR_DS | u32::from(s.group_enable[0]) | u32::from(s.group_enable[1]) << 1,
        0x4 => TYPER_FIXED | s.spis.len() as u32,
        0x8 => IIDR,
        0x400..0x800 => by_bank(s, offset - 0x400, 32).map_or(0, |(bank, word)| s.spis[bank].priority_word(word)),
        0xc00..0xd00 => by_bank(s, offset - 0xc00, 8).map_or(0, |(bank, half)| s.spis[bank].config_word(half)),
        _ if IROUTER.contains(&offset) => {
            let (spi, shift) = router(offset);
            s.routes.get(spi).map_or(0, |route| (route >> shift) as u32)
        }
        _ => frame_id(offset, 0x92),
    }
}

fn write_word(s: &mut State, offset: u64, value: u32) {
    if let Some((bits, bank)) = Bits::at(offset) {
        if let Some(bank) = shared(bank).and_then(|bank| s.spis.get_mut(bank)) {
            bank.write(bits, value);
        }
        return;
    }
    match offset {
        0x0 => s.group_enable = [value & 1 != 0, value & 2 != 0],
        0x400..0x800 => {
            if let Some((bank, word)) = by_bank(s, offset - 0x400, 32) {
                s.spis[bank].set_priority_word(word, value);
            }
        }
        0xc00..0xd00 => {
            if let Some((bank, half)) = by_bank(s, offset - 0xc00, 8) {
                s.spis[bank].set_config_word(half, value);
            }
        }
        _ if IROUTER.contains(&offset) => {
            let (spi, shift) = router(offset);
            let old = s.routes.get(spi).copied().unwrap_or(0);
            s.set_route(spi, (old & !(0xffff_ffff << shift)) | u64::from(value) << shift);
        }
        _ => {}
    }
}

/// Index among the shared banks of register word `index`.
fn shared(index: usize) -> Option<usize> {
    index.checked_sub(1)
}

/// Bank and word within it of an array register with `bytes` bytes per bank.
fn by_bank(s: &State, offset: u64, bytes: u64) -> Option<(usize, usize)> {
    let bank = shared((offset / bytes) as usize).filter(|bank| *bank < s.spis.len())?;
    Some((bank, (offset % bytes) as usize / 4))
}

/// Shared interrupt and bit position of a word of IROUTER.
fn router(offset: u64) -> (usize, u64) {
    (((offset - 0x6000) / 8) as usize - FIRST_SPI as usize, (offset & 4) * 8)
}

/// True where a write leaves the bits alone that it does not carry.
fn write_one(offset: u64) -> bool {
    Bits::at(offset).is_some_and(|(bits, _)| bits.write_one())
}

impl Device for Distributor {
    fn read(&mut self, offset: u64, size: Size) -> u64 {
        let s = self.0.lock();
        let word = |offset| read_word(&s, offset & !3);
        match size {
            Size::B8 => u64::from(word(offset)) | u64::from(word(offset + 4)) << 32,
            _ => narrow(word(offset), offset, size),
        }
    }

    fn write(&mut self, offset: u64, size: Size, value: u64) {
        let mut s = self.0.lock();
        let word = offset & !3;
        if size == Size::B8 {
            write_word(&mut s, word, value as u32);
            write_word(&mut s, word + 4, (value >> 32) as u32);
        } else {
            let old = if write_one(word) { 0 } else { read_word(&s, word) };
            write_word(&mut s, word, merge(old, offset, size, value));
        }
        s.update();
    }

    fn reset(&mut self) {
        self.0.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CpuLines, Version};
    use super::*;
    use crate::irq::IrqLine;
    use crate::testing::hammer;

    fn dist() -> Distributor {
        let lines = |affinity| CpuLines { affinity, irq: IrqLine::unconnected(), fiq: IrqLine::unconnected() };
        Distributor(Gic::new(Version::V3, vec![lines(0), lines(1), lines(0x100)], 256))
    }

    #[test]
    fn what_linux_reads_first() {
        let mut d = dist();
        assert_eq!(d.read(0xffe8, Size::B4) >> 4, 3, "architecture revision");
        assert_eq!(d.read(4, Size::B4) & 0x1f, 8, "288 interrupts");
        assert_eq!(d.read(0, Size::B4), 0x50);
        d.write(0, Size::B4, 0x13);
        assert_eq!(d.read(0, Size::B4), 0x53);
        assert_eq!(d.read(0xc, Size::B4), 0);
    }

    #[test]
    fn set_and_clear_words_and_narrow_writes() {
        let mut d = dist();
        d.write(0x104, Size::B4, 0x11);
        d.write(0x105, Size::B1, 0x80);
        assert_eq!(d.read(0x184, Size::B4), 0x8011);
        d.write(0x184, Size::B4, 1);
        assert_eq!(d.read(0x104, Size::B4), 0x8010);
        d.write(0x100, Size::B4, 0xffff_ffff);
        assert_eq!(d.read(0x100, Size::B4), 0, "private interrupts are elsewhere");
        d.write(0x421, Size::B1, 0xa7);
        assert_eq!((d.read(0x420, Size::B4), d.read(0x421, Size::B1)), (0xa000, 0xa0));
        d.write(0xc08, Size::B4, 0xffff_ffff);
        assert_eq!(d.read(0xc08, Size::B4), 0xaaaa_aaaa);
    }

    #[test]
    fn routes_in_one_access_or_two() {
        let mut d = dist();
        d.write(0x6000 + 33 * 8, Size::B8, 0x12_8000_0100);
        assert_eq!(d.read(0x6000 + 33 * 8, Size::B8), 0x12_8000_0100);
        assert_eq!(d.read(0x6004 + 33 * 8, Size::B4), 0x12);
        d.write(0x6004 + 33 * 8, Size::B4, 0);
        d.write(0x6000 + 33 * 8, Size::B4, 0x100);
        assert_eq!(d.0.lock().targets[1], 1 << 2);
        assert_eq!(d.read(0x6000 + 8, Size::B8), 0, "private interrupts have no route");
    }

    #[test]
    fn random_accesses() {
        let mut d = dist();
        hammer(&mut d, SIZE, 3, |d, rng| {
            d.0.lock().set_input(rng.below(5) as usize, rng.below(400) as u32, rng.below(2) == 0);
        });
    }
}
