//! GICv2 (IHI 0048): distributor and memory-mapped CPU interface, both banked by CPU.

use std::sync::Arc;

use super::bank::Bits;
use super::{Gic, IIDR, SPURIOUS, State};
use crate::device::{Device, Size, merge, narrow};

/// Size of the distributor's window.
pub const DIST_SIZE: u64 = 0x1000;
/// Size of the CPU interface's window.
pub const CPU_SIZE: u64 = 0x2000;
/// Answer of IAR when the interrupt is another group's.
const OTHER_GROUP: u32 = 1022;
const BOTH: [bool; 2] = [true, true];
const GROUP1: [bool; 2] = [false, true];

/// GICD.
pub struct Distributor(pub Arc<Gic>);

fn read_dist(s: &State, cpu: usize, offset: u64) -> u32 {
    if let Some((bits, bank)) = Bits::at(offset).filter(|(bits, _)| *bits != Bits::Modifier) {
        return s.bank(cpu, bank).map_or(0, |bank| bank.read(bits));
    }
    match offset {
        0x0 => u32::from(s.group_enable[0]) | u32::from(s.group_enable[1]) << 1,
        0x4 => s.spis.len() as u32 | (s.cpus.len().clamp(1, 8) as u32 - 1) << 5,
        0x8 => IIDR,
        0x400..0x800 => {
            let (bank, word) = split(offset - 0x400, 32);
            s.bank(cpu, bank).map_or(0, |bank| bank.priority_word(word))
        }
        0x800..0xc00 => (0..4).rev().fold(0, |word, i| word << 8 | target(s, cpu, (offset - 0x800) as usize + i)),
        0xc00..0xd00 => {
            let (bank, half) = split(offset - 0xc00, 8);
            s.bank(cpu, bank).map_or(0, |bank| bank.config_word(half))
        }
        0xf10..0xf30 => sgi_sources(s, cpu, (offset & 0xf) as usize),
        0xfe0 => 0x90,
        0xfe4 => 0xb4,
        0xfe8 => 0x2b,
        0xfd0 => 0x04,
        _ => crate::device::primecell_id(offset, 0).unwrap_or(0),
    }
}

fn write_dist(s: &mut State, cpu: usize, offset: u64, value: u32) {
    if let Some((bits, index)) = Bits::at(offset).filter(|(bits, _)| *bits != Bits::Modifier) {
        // SGIs become pending only by SGIR and SPENDSGIR, which know their source.
        let pending = matches!(bits, Bits::SetPending | Bits::ClearPending);
        let value = if index == 0 && pending { value & !0xffff } else { value };
        if let Some(bank) = s.bank_mut(cpu, index) {
            bank.write(bits, value);
        }
        return;
    }
    match offset {
        0x0 => s.group_enable = [value & 1 != 0, value & 2 != 0],
        0x400..0x800 => {
            let (bank, word) = split(offset - 0x400, 32);
            if let Some(bank) = s.bank_mut(cpu, bank) {
                bank.set_priority_word(word, value);
            }
        }
        0x820..0xc00 => set_targets(s, (offset - 0x820) as usize, value),
        0xc00..0xd00 => {
            let (bank, half) = split(offset - 0xc00, 8);
            if let Some(bank) = s.bank_mut(cpu, bank) {
                bank.set_config_word(half, value);
            }
        }
        0xf00 => send_sgi(s, cpu, value),
        0xf10..0xf20 => change_sgi_sources(s, cpu, (offset & 0xf) as usize, |old, bits| old & !bits, value),
        0xf20..0xf30 => change_sgi_sources(s, cpu, (offset & 0xf) as usize, |old, bits| old | bits, value),
        _ => {}
    }
}

/// Bank and word within it of an array register with `bytes` bytes per bank.
fn split(offset: u64, bytes: u64) -> (usize, usize) {
    ((offset / bytes) as usize, (offset % bytes) as usize / 4)
}

/// ITARGETSR of one interrupt: private ones read as the asking CPU.
fn target(s: &State, cpu: usize, intid: usize) -> u32 {
    match intid.checked_sub(32) {
        None => 1u32.checked_shl(cpu as u32).unwrap_or(0) & 0xff,
        // A single CPU needs no target registers.
        Some(_) if s.cpus.len() == 1 => 0,
        Some(spi) => s.targets.get(spi).map_or(0, |mask| *mask as u32 & 0xff),
    }
}

fn set_targets(s: &mut State, first: usize, value: u32) {
    if s.cpus.len() == 1 {
        return;
    }
    let present = (1u32.checked_shl(s.cpus.len() as u32).unwrap_or(0)).wrapping_sub(1);
    for i in 0..4 {
        if let Some(target) = s.targets.get_mut(first + i) {
            *target = u128::from((value >> (8 * i)) & 0xff & present);
        }
    }
}

fn sgi_sources(s: &State, cpu: usize, first: usize) -> u32 {
    let Some(cpu) = s.cpus.get(cpu) else { return 0 };
    (0..4).rev().fold(0, |word, i| word << 8 | u32::from(cpu.sgi_sources[(first & 12) + i]))
}

fn change_sgi_sources(s: &mut State, cpu: usize, first: usize, change: fn(u8, u8) -> u8, value: u32) {
    let Some(cpu) = s.cpus.get_mut(cpu) else { return };
    for i in 0..4 {
        let sgi = (first & 12) + i;
        cpu.sgi_sources[sgi] = change(cpu.sgi_sources[sgi], (value >> (8 * i)) as u8);
        let pending = u32::from(cpu.sgi_sources[sgi] != 0) << sgi;
        cpu.private.latched = (cpu.private.latched & !(1 << sgi)) | pending;
    }
}

fn send_sgi(s: &mut State, from: usize, value: u32) {
    let list = match value >> 24 & 3 {
        0 => value >> 16 & 0xff,
        1 => !1u32.checked_shl(from as u32).unwrap_or(0),
        2 => 1u32.checked_shl(from as u32).unwrap_or(0),
        _ => 0,
    };
    for target in (0..s.cpus.len().min(8)).filter(|target| list >> target & 1 != 0) {
        s.send_sgi(target, value & 15, Some(from));
    }
}

/// True where a write leaves the bits alone that it does not carry.
fn write_one(offset: u64) -> bool {
    Bits::at(offset).is_some_and(|(bits, _)| bits.write_one()) || (0xf00..0xf30).contains(&offset)
}

impl Device for Distributor {
    fn read(&mut self, offset: u64, size: Size) -> u64 {
        self.read_by(0, offset, size)
    }

    fn write(&mut self, offset: u64, size: Size, value: u64) {
        self.write_by(0, offset, size, value);
    }

    fn reset(&mut self) {
        self.0.reset();
    }

    fn read_by(&mut self, cpu: usize, offset: u64, size: Size) -> u64 {
        narrow(read_dist(&self.0.lock(), cpu, offset & !3), offset, size)
    }

    fn write_by(&mut self, cpu: usize, offset: u64, size: Size, value: u64) {
        let (mut s, word) = (self.0.lock(), offset & !3);
        let old = if write_one(word) { 0 } else { read_dist(&s, cpu, word) };
        write_dist(&mut s, cpu, word, merge(old, offset, size, value));
        s.update();
    }
}

/// GICC.
pub struct CpuInterface(pub Arc<Gic>);

const CTLR_ACK: u32 = 1 << 2;
const CTLR_FIQ: u32 = 1 << 3;
const CTLR_CBPR: u32 = 1 << 4;
const CTLR_EOIMODE: u32 = 1 << 9;

impl CpuInterface {
    fn read_word(&self, cpu: usize, offset: u64) -> u32 {
        let mut s = self.0.lock();
        let both = s.cpus.get(cpu).is_some_and(|cpu| cpu.iface.ack_both);
        match offset {
            0x0c => return acknowledge(&mut s, cpu, [true, both]),
            0x18 => return highest_pending(&s, cpu, [true, both]),
            0x20 => return acknowledge(&mut s, cpu, GROUP1),
            0x28 => return highest_pending(&s, cpu, GROUP1),
            _ => {}
        }
        let Some(i) = s.cpus.get(cpu).map(|cpu| &cpu.iface) else { return 0 };
        let flag = |set: bool, bit: u32| if set { bit } else { 0 };
        match offset {
            0x00 => {
                let enables = flag(i.enable[0], 1) | flag(i.enable[1], 2) | flag(i.ack_both, CTLR_ACK);
                enables | flag(i.fiq, CTLR_FIQ) | flag(i.common_bpr, CTLR_CBPR) | flag(i.split_eoi, CTLR_EOIMODE)
            }
            0x04 => u32::from(i.pmr),
            0x08 => u32::from(i.bpr(0)),
            0x14 => u32::from(i.running()),
            0x1c => u32::from(i.bpr(1)),
            0xd0 => i.active[0],
            0xe0 => i.active[1],
            0xfc => 0x2_0000 | IIDR,
            _ => 0,
        }
    }

    fn write_word(&self, cpu: usize, offset: u64, value: u32) {
        let mut s = self.0.lock();
        let Some(i) = s.cpus.get_mut(cpu).map(|cpu| &mut cpu.iface) else { return };
        match offset {
            0x00 => {
                i.enable = [value & 1 != 0, value & 2 != 0];
                i.ack_both = value & CTLR_ACK != 0;
                i.fiq = value & CTLR_FIQ != 0;
                i.common_bpr = value & CTLR_CBPR != 0;
                i.split_eoi = value & CTLR_EOIMODE != 0;
            }
            0x04 => i.set_pmr(value as u8),
            0x08 => i.set_bpr(0, value as u8),
            0x10 => s.end(cpu, value & 0x3ff, BOTH),
            0x1c => i.set_bpr(1, value as u8),
            0x24 => s.end(cpu, value & 0x3ff, GROUP1),
            0xd0 => i.active[0] = value,
            0xe0 => i.active[1] = value,
            0x1000 if i.split_eoi => s.deactivate(cpu, value & 0x3ff),
            _ => return,
        }
        s.update();
    }
}

fn acknowledge(s: &mut State, cpu: usize, groups: [bool; 2]) -> u32 {
    s.acknowledge(cpu, groups).unwrap_or_else(|| if other_group(s, cpu, groups) { OTHER_GROUP } else { SPURIOUS })
}

/// True if something could be taken, but not through this register.
fn other_group(s: &State, cpu: usize, groups: [bool; 2]) -> bool {
    let admitted = |c: &super::cpu::Candidate| s.cpus[cpu].iface.admits(c);
    groups[0] && s.best(cpu).is_some_and(|c| !groups[c.group] && admitted(&c))
}

fn highest_pending(s: &State, cpu: usize, groups: [bool; 2]) -> u32 {
    match s.best(cpu) {
        Some(c) if groups[c.group] => c.intid,
        Some(_) if groups[0] => OTHER_GROUP,
        _ => SPURIOUS,
    }
}

impl Device for CpuInterface {
    fn read(&mut self, offset: u64, size: Size) -> u64 {
        self.read_by(0, offset, size)
    }

    fn write(&mut self, offset: u64, size: Size, value: u64) {
        self.write_by(0, offset, size, value);
    }

    fn reset(&mut self) {
        self.0.reset();
    }

    fn read_by(&mut self, cpu: usize, offset: u64, size: Size) -> u64 {
        narrow(self.read_word(cpu, offset & !3), offset, size)
    }

    fn write_by(&mut self, cpu: usize, offset: u64, size: Size, value: u64) {
        self.write_word(cpu, offset & !3, merge(0, offset, size, value));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CpuLines, Version};
    use super::*;
    use crate::irq::{IrqLine, Probe};
    use crate::testing::hammer;

    struct Rig {
        gic: Arc<Gic>,
        d: Distributor,
        c: CpuInterface,
        irq: Vec<Arc<Probe>>,
    }

    /// A controller set up as Linux does it: everything in group 0, delivered as IRQ.
    fn rig(cpus: u64) -> Rig {
        let mut irq = Vec::new();
        let lines = (0..cpus).map(|affinity| {
            let (line, probe) = IrqLine::probe();
            irq.push(probe);
            CpuLines { affinity, irq: line, fiq: IrqLine::unconnected() }
        });
        let gic = Gic::new(Version::V2, lines.collect(), 64);
        let (mut d, mut c) = (Distributor(gic.clone()), CpuInterface(gic.clone()));
        d.write(0, Size::B4, 1);
        for cpu in 0..cpus as usize {
            d.write_by(cpu, 0x100, Size::B4, 0xffff_ffff);
            c.write_by(cpu, 4, Size::B4, 0xf0);
            c.write_by(cpu, 0, Size::B4, 1);
        }
        d.write(0x104, Size::B4, 0xffff_ffff);
        Rig { gic, d, c, irq }
    }

    #[test]
    fn one_iar_one_eoir_then_spurious() {
        let mut r = rig(2);
        r.d.write(0x820 + 1, Size::B1, 2);
        let line = r.gic.line(33);
        line.set(true);
        assert!(r.irq[1].level() && !r.irq[0].level());
        assert_eq!(r.c.read_by(1, 0xc, Size::B4), 33);
        line.set(false);
        r.c.write_by(1, 0x10, Size::B4, 33);
        assert_eq!(r.c.read_by(1, 0xc, Size::B4), 0x3ff);
        assert_eq!(r.c.read_by(1, 0x14, Size::B4), 0xff);
    }

    #[test]
    fn sgis_carry_their_source() {
        let mut r = rig(3);
        r.d.write_by(1, 0xf00, Size::B4, 0x0001_0005);
        r.d.write_by(2, 0xf00, Size::B4, 0x0100_0005);
        assert_eq!(r.d.read_by(0, 0xf14, Size::B4), 0x0600);
        assert!(r.irq[0].level() && r.irq[1].level() && !r.irq[2].level());
        assert_eq!(r.c.read_by(0, 0xc, Size::B4), 1 << 10 | 5);
        r.c.write_by(0, 0x10, Size::B4, 1 << 10 | 5);
        assert_eq!(r.c.read_by(0, 0xc, Size::B4), 2 << 10 | 5);
        r.c.write_by(0, 0x10, Size::B4, 2 << 10 | 5);
        assert_eq!(r.c.read_by(0, 0xc, Size::B4), 0x3ff);
        r.d.write_by(1, 0xf14, Size::B4, 0xff00);
        assert!(!r.irq[1].level(), "cleared by CPENDSGIR");
        r.d.write_by(1, 0xf00, Size::B4, 0x0200_0001);
        assert!(r.irq[1].level(), "to itself");
    }

    #[test]
    fn targets_and_identification() {
        let mut r = rig(4);
        assert_eq!(r.d.read_by(2, 0x800, Size::B4), 0x0404_0404);
        assert_eq!(r.d.read(4, Size::B4), 0x62);
        assert_eq!((r.d.read(0xfe8, Size::B4), r.c.read(0xfc, Size::B4)), (0x2b, 0x2_043b));
        r.d.write(0x824, Size::B4, 0xff01_0203);
        assert_eq!(r.d.read(0x824, Size::B4), 0x0f01_0203);
        let mut one = rig(1);
        one.d.write(0x824, Size::B4, 0xff01_0203);
        assert_eq!(one.d.read(0x824, Size::B4), 0);
        one.gic.line(40).set(true);
        assert!(one.irq[0].level(), "a single CPU gets everything");
    }

    #[test]
    fn groups_and_aliases() {
        let mut r = rig(1);
        r.d.write(0, Size::B4, 3);
        r.c.write(0, Size::B4, 3);
        r.d.write(0x84, Size::B4, 1);
        r.gic.line(32).set(true);
        assert_eq!((r.c.read(0xc, Size::B4), r.c.read(0x18, Size::B4)), (1022, 1022));
        assert_eq!((r.c.read(0x28, Size::B4), r.c.read(0x20, Size::B4)), (32, 32));
        r.c.write(0x24, Size::B4, 32);
        assert_eq!(r.c.read(0x14, Size::B4), 0xff);
        r.c.write(0, Size::B4, 0x21f);
        assert_eq!(r.c.read(0, Size::B4), 0x21f);
        assert_eq!(r.c.read(0xc, Size::B4), 32, "AckCtl");
    }

    #[test]
    fn random_accesses() {
        let mut r = rig(4);
        let gic = r.gic.clone();
        hammer(&mut r.d, DIST_SIZE, 21, |_, rng| {
            gic.lock().set_input(rng.below(5) as usize, rng.below(120) as u32, rng.below(2) == 0);
        });
        let mut d = Distributor(gic);
        hammer(&mut r.c, CPU_SIZE, 22, |_, rng| {
            let offset = rng.below(DIST_SIZE);
            d.write_by(rng.below(5) as usize, offset, Size::B4, rng.value());
        });
    }
}
