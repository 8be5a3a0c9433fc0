//! GICv3 redistributors (IHI 0069, 12.11): per CPU one 64 KiB frame of control and one of private
//! interrupts, all in one window.

use std::sync::Arc;

use super::bank::Bits;
use super::state::Cpu;
use super::{Gic, IIDR, frame_id};
use crate::device::{Device, Size, merge, narrow};

/// Bytes per CPU: two frames.
pub const STRIDE: u64 = 0x2_0000;
const FRAME: u64 = 0x1_0000;

const TYPER_LAST: u64 = 1 << 4;
const WAKER_SLEEP: u32 = 1 << 1;
const WAKER_ASLEEP: u32 = 1 << 2;

/// The window over every CPU's frames.
pub struct Redistributors(pub Arc<Gic>);

/// GICR_TYPER: who this frame belongs to.
fn typer(cpu: &Cpu, index: usize, last: bool) -> u64 {
    let affinity = cpu.lines.affinity;
    let packed = (affinity & 0xff_ffff) | ((affinity >> 32) & 0xff) << 24;
    packed << 32 | (index as u64) << 8 | if last { TYPER_LAST } else { 0 }
}

fn read_control(cpu: &Cpu, typer: u64, offset: u64) -> u32 {
    match offset {
        0x04 => IIDR,
        0x08 => typer as u32,
        0x0c => (typer >> 32) as u32,
        0x14 if cpu.asleep => WAKER_SLEEP | WAKER_ASLEEP,
        0x70 | 0x78 => cpu.lpi_bases[usize::from(offset == 0x78)] as u32,
        0x74 | 0x7c => (cpu.lpi_bases[usize::from(offset == 0x7c)] >> 32) as u32,
        _ => frame_id(offset, 0x93),
    }
}

fn write_control(cpu: &mut Cpu, offset: u64, value: u32) {
    match offset {
        0x14 => cpu.asleep = value & WAKER_SLEEP != 0,
        0x70..0x80 => {
            let base = &mut cpu.lpi_bases[usize::from(offset >= 0x78)];
            let shift = (offset & 4) * 8;
            *base = (*base & !(0xffff_ffff << shift)) | u64::from(value) << shift;
        }
        _ => {}
    }
}

fn read_private(cpu: &Cpu, offset: u64) -> u32 {
    match (Bits::at(offset), offset) {
        (Some((bits, 0)), _) => cpu.private.read(bits),
        (_, 0x400..0x420) => cpu.private.priority_word((offset - 0x400) as usize / 4),
        (_, 0xc00 | 0xc04) => cpu.private.config_word((offset - 0xc00) as usize / 4),
        _ => 0,
    }
}

fn write_private(cpu: &mut Cpu, offset: u64, value: u32) {
    match (Bits::at(offset), offset) {
        (Some((bits, 0)), _) => cpu.private.write(bits, value),
        (_, 0x400..0x420) => cpu.private.set_priority_word((offset - 0x400) as usize / 4, value),
        (_, 0xc00 | 0xc04) => cpu.private.set_config_word((offset - 0xc00) as usize / 4, value),
        _ => {}
    }
}

impl Redistributors {
    fn read_word(&self, offset: u64) -> u32 {
        let (s, index) = (self.0.lock(), (offset / STRIDE) as usize);
        let Some(cpu) = s.cpus.get(index) else { return 0 };
        match offset % STRIDE {
            control @ 0..FRAME => read_control(cpu, typer(cpu, index, index + 1 == s.cpus.len()), control),
            private => read_private(cpu, private - FRAME),
        }
    }

    fn write_word(&self, offset: u64, value: u32) {
        let mut s = self.0.lock();
        let Some(cpu) = s.cpus.get_mut((offset / STRIDE) as usize) else { return };
        match offset % STRIDE {
            control @ 0..FRAME => write_control(cpu, control, value),
            private => write_private(cpu, private - FRAME, value),
        }
        s.update();
    }
}

impl Device for Redistributors {
    fn read(&mut self, offset: u64, size: Size) -> u64 {
        let word = offset & !3;
        match size {
            Size::B8 => u64::from(self.read_word(word)) | u64::from(self.read_word(word + 4)) << 32,
            _ => narrow(self.read_word(word), offset, size),
        }
    }

    fn write(&mut self, offset: u64, size: Size, value: u64) {
        let word = offset & !3;
        if size == Size::B8 {
            self.write_word(word, value as u32);
            self.write_word(word + 4, (value >> 32) as u32);
            return;
        }
        let private = (word % STRIDE).checked_sub(FRAME);
        let write_one = private.and_then(Bits::at).is_some_and(|(bits, _)| bits.write_one());
        let old = if write_one { 0 } else { self.read_word(word) };
        self.write_word(word, merge(old, offset, size, value));
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

    fn redist() -> Redistributors {
        let lines = |affinity| CpuLines { affinity, irq: IrqLine::unconnected(), fiq: IrqLine::unconnected() };
        Redistributors(Gic::new(Version::V3, vec![lines(0), lines(0x12_0000_0101)], 64))
    }

    #[test]
    fn typer_names_the_cpu_and_the_last_frame() {
        let mut r = redist();
        assert_eq!(r.read(8, Size::B8), 0);
        assert_eq!(r.read(STRIDE + 8, Size::B8), 0x1200_0101_0000_0110);
        assert_eq!(r.read(STRIDE + 0xc, Size::B4), 0x1200_0101);
        assert_eq!(r.read(0xffe8, Size::B4), 0x3b);
        assert_eq!(r.read(2 * STRIDE + 8, Size::B8), 0, "beyond the last CPU");
    }

    #[test]
    fn waking_up() {
        let mut r = redist();
        assert_eq!(r.read(0x14, Size::B4), 6);
        r.write(0x14, Size::B4, 0);
        assert_eq!((r.read(0x14, Size::B4), r.read(STRIDE + 0x14, Size::B4)), (0, 6));
    }

    #[test]
    fn private_interrupts_are_per_cpu() {
        let mut r = redist();
        r.write(STRIDE + FRAME + 0x100, Size::B4, 1 << 27);
        assert_eq!(r.read(STRIDE + FRAME + 0x180, Size::B4), 1 << 27);
        assert_eq!(r.read(FRAME + 0x100, Size::B4), 0);
        r.write(FRAME + 0x41b, Size::B1, 0x88);
        assert_eq!(r.read(FRAME + 0x418, Size::B4), 0x8800_0000);
        r.write(FRAME + 0xc04, Size::B4, 0xffff_ffff);
        assert_eq!(r.read(FRAME + 0xc04, Size::B4), 0xaaaa_aaaa);
        assert_eq!(r.read(FRAME + 0xc00, Size::B4), 0xaaaa_aaaa, "SGIs are edges");
    }

    #[test]
    fn base_registers_hold_64_bits() {
        let mut r = redist();
        r.write(0x78, Size::B8, 0x0123_4567_89ab_cdef);
        r.write(0x74, Size::B4, 7);
        assert_eq!((r.read(0x78, Size::B8), r.read(0x70, Size::B8)), (0x0123_4567_89ab_cdef, 7 << 32));
    }

    #[test]
    fn random_accesses() {
        let mut r = redist();
        hammer(&mut r, 2 * STRIDE + 0x100, 5, |r, rng| {
            r.0.lock().set_input(rng.below(3) as usize, rng.below(32) as u32, rng.below(2) == 0);
        });
    }
}
