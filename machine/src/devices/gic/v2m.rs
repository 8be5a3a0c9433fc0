//! GICv2m: a frame whose one register turns a memory write into a shared interrupt (SBSA, appendix
//! on GICv2m).

use std::sync::Arc;

use super::Gic;
use crate::device::{Device, Size, narrow};
use crate::irq::IrqSink;

/// Size of the window.
pub const SIZE: u64 = 0x1000;

/// The frame: interrupts `first` to `first + count - 1` can be raised through it.
pub struct Frame {
    gic: Arc<Gic>,
    first: u32,
    count: u32,
}

impl Frame {
    /// A frame for `count` INTIDs from `first`.
    pub fn new(gic: Arc<Gic>, first: u32, count: u32) -> Self {
        Frame { gic, first, count }
    }
}

impl Device for Frame {
    fn read(&mut self, offset: u64, size: Size) -> u64 {
        let word = match offset & !3 {
            0x008 => self.first << 16 | self.count,
            0xfcc => super::IIDR,
            _ => 0,
        };
        narrow(word, offset, size)
    }

    fn write(&mut self, offset: u64, _size: Size, value: u64) {
        let intid = value as u32 & 0x3ff;
        let ours = intid.checked_sub(self.first).is_some_and(|index| index < self.count);
        if offset & !3 == 0x040 && ours {
            self.gic.set(intid, true);
            self.gic.set(intid, false);
        }
    }

    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::super::{CpuLines, Version};
    use super::*;
    use crate::irq::IrqLine;
    use crate::testing::hammer;

    fn frame() -> Frame {
        let cpu = CpuLines { affinity: 0, irq: IrqLine::unconnected(), fiq: IrqLine::unconnected() };
        Frame::new(Gic::new(Version::V2, vec![cpu], 256), 80, 64)
    }

    #[test]
    fn a_write_is_an_edge() {
        let mut f = frame();
        assert_eq!(f.read(8, Size::B4), 80 << 16 | 64);
        f.gic.lock().spis[1].edge = !0;
        f.gic.lock().spis[3].edge = !0;
        f.write(0x40, Size::B4, 81);
        f.write(0x40, Size::B4, 79);
        f.write(0x40, Size::B4, 144);
        let s = f.gic.lock();
        assert_eq!((s.spis[1].latched, s.spis[3].latched), (1 << (81 - 64), 0));
    }

    #[test]
    fn random_accesses() {
        hammer(&mut frame(), SIZE, 9, |_, _| {});
    }
}
