//! GICv3 CPU interface: the ICC_*_EL1 system registers (IHI 0069, 12.2).

use super::{Gic, SPURIOUS, State};

/// An ICC_*_EL1 register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the architecture's own names")]
pub enum Icc {
    Iar0,
    Iar1,
    Eoir0,
    Eoir1,
    Hppir0,
    Hppir1,
    Bpr0,
    Bpr1,
    /// AP0R0 to AP0R3; only the first has bits.
    Ap0r(u8),
    /// AP1R0 to AP1R3; only the first has bits.
    Ap1r(u8),
    Dir,
    Rpr,
    Pmr,
    Ctlr,
    Sre,
    Igrpen0,
    Igrpen1,
    Sgi0r,
    Sgi1r,
    Asgi1r,
}

impl Icc {
    /// The register with this MRS/MSR encoding.
    pub fn at(op0: u8, op1: u8, crn: u8, crm: u8, op2: u8) -> Option<Icc> {
        Some(match (op0, op1, crn, crm, op2) {
            (3, 0, 4, 6, 0) => Icc::Pmr,
            (3, 0, 12, 8, 0) => Icc::Iar0,
            (3, 0, 12, 8, 1) => Icc::Eoir0,
            (3, 0, 12, 8, 2) => Icc::Hppir0,
            (3, 0, 12, 8, 3) => Icc::Bpr0,
            (3, 0, 12, 8, 4..=7) => Icc::Ap0r(op2 - 4),
            (3, 0, 12, 9, 0..=3) => Icc::Ap1r(op2),
            (3, 0, 12, 11, 1) => Icc::Dir,
            (3, 0, 12, 11, 3) => Icc::Rpr,
            (3, 0, 12, 11, 5) => Icc::Sgi1r,
            (3, 0, 12, 11, 6) => Icc::Asgi1r,
            (3, 0, 12, 11, 7) => Icc::Sgi0r,
            (3, 0, 12, 12, 0) => Icc::Iar1,
            (3, 0, 12, 12, 1) => Icc::Eoir1,
            (3, 0, 12, 12, 2) => Icc::Hppir1,
            (3, 0, 12, 12, 3) => Icc::Bpr1,
            (3, 0, 12, 12, 4) => Icc::Ctlr,
            (3, 0, 12, 12, 5) => Icc::Sre,
            (3, 0, 12, 12, 6) => Icc::Igrpen0,
            (3, 0, 12, 12, 7) => Icc::Igrpen1,
            _ => return None,
        })
    }

    /// True if the register can be read; reading another is UNDEFINED.
    pub fn readable(self) -> bool {
        !matches!(self, Icc::Eoir0 | Icc::Eoir1 | Icc::Dir | Icc::Sgi0r | Icc::Sgi1r | Icc::Asgi1r)
    }

    /// True if the register can be written; writing another is UNDEFINED.
    pub fn writable(self) -> bool {
        !matches!(self, Icc::Iar0 | Icc::Iar1 | Icc::Hppir0 | Icc::Hppir1 | Icc::Rpr)
    }
}

const GROUP0: [bool; 2] = [true, false];
const GROUP1: [bool; 2] = [false, true];
const CTLR_CBPR: u64 = 1 << 0;
const CTLR_EOIMODE: u64 = 1 << 1;
/// Five bits of priority, 16 bits of INTID, Aff3 may be non-zero.
const CTLR_FIXED: u64 = 4 << 8 | 1 << 15;
/// System registers are the only interface: SRE, DFB and DIB read as one.
const SRE: u64 = 7;
const SGI_ALL_BUT_SELF: u64 = 1 << 40;

impl Gic {
    /// MRS of an ICC register by CPU `cpu`. IAR has side effects.
    pub fn read_icc(&self, cpu: usize, reg: Icc) -> u64 {
        let mut s = self.lock();
        match reg {
            Icc::Iar0 => return u64::from(s.acknowledge(cpu, GROUP0).unwrap_or(SPURIOUS)),
            Icc::Iar1 => return u64::from(s.acknowledge(cpu, GROUP1).unwrap_or(SPURIOUS)),
            Icc::Hppir0 => return u64::from(highest_pending(&s, cpu, 0)),
            Icc::Hppir1 => return u64::from(highest_pending(&s, cpu, 1)),
            _ => {}
        }
        let Some(iface) = s.cpus.get(cpu).map(|cpu| &cpu.iface) else { return 0 };
        match reg {
            Icc::Bpr0 => u64::from(iface.bpr(0)),
            Icc::Bpr1 => u64::from(iface.bpr(1)),
            Icc::Ap0r(0) => u64::from(iface.active[0]),
            Icc::Ap1r(0) => u64::from(iface.active[1]),
            Icc::Rpr => u64::from(iface.running()),
            Icc::Pmr => u64::from(iface.pmr),
            Icc::Ctlr => CTLR_FIXED | u64::from(iface.common_bpr) | u64::from(iface.split_eoi) << 1,
            Icc::Sre => SRE,
            Icc::Igrpen0 => u64::from(iface.enable[0]),
            Icc::Igrpen1 => u64::from(iface.enable[1]),
            _ => 0,
        }
    }

    /// MSR of an ICC register by CPU `cpu`.
    pub fn write_icc(&self, cpu: usize, reg: Icc, value: u64) {
        let mut s = self.lock();
        let Some(iface) = s.cpus.get_mut(cpu).map(|cpu| &mut cpu.iface) else { return };
        match reg {
            Icc::Eoir0 => return s.end(cpu, value as u32 & 0xff_ffff, GROUP0),
            Icc::Eoir1 => return s.end(cpu, value as u32 & 0xff_ffff, GROUP1),
            Icc::Dir if iface.split_eoi => return s.deactivate(cpu, value as u32 & 0xff_ffff),
            Icc::Bpr0 => iface.set_bpr(0, value as u8),
            Icc::Bpr1 => iface.set_bpr(1, value as u8),
            Icc::Ap0r(0) => iface.active[0] = value as u32,
            Icc::Ap1r(0) => iface.active[1] = value as u32,
            Icc::Pmr => iface.set_pmr(value as u8),
            Icc::Ctlr => {
                iface.common_bpr = value & CTLR_CBPR != 0;
                iface.split_eoi = value & CTLR_EOIMODE != 0;
            }
            Icc::Igrpen0 => iface.enable[0] = value & 1 != 0,
            Icc::Igrpen1 => iface.enable[1] = value & 1 != 0,
            Icc::Sgi0r => return send_sgi(&mut s, cpu, value, 0),
            Icc::Sgi1r | Icc::Asgi1r => return send_sgi(&mut s, cpu, value, 1),
            _ => return,
        }
        s.update_cpu(cpu);
    }
}

fn highest_pending(s: &State, cpu: usize, group: usize) -> u32 {
    s.best(cpu).filter(|c| c.group == group).map_or(SPURIOUS, |c| c.intid)
}

/// SGI registers: target affinity in Aff3.Aff2.Aff1, a list of 16 Aff0 values from RS * 16.
fn send_sgi(s: &mut State, from: usize, value: u64, group: usize) {
    let sgi = (value >> 24) as u32 & 15;
    let cluster = (value >> 16 & 0xff) << 8 | (value >> 32 & 0xff) << 16 | (value >> 48 & 0xff) << 32;
    let first = (value >> 44 & 15) * 16;
    for target in 0..s.cpus.len() {
        let cpu = &s.cpus[target];
        let affinity = cpu.lines.affinity;
        let aff0 = affinity & 0xff;
        let listed =
            affinity & !0xff == cluster && (first..first + 16).contains(&aff0) && value >> (aff0 - first) & 1 != 0;
        let chosen = if value & SGI_ALL_BUT_SELF != 0 { target != from } else { listed };
        if chosen && cpu.private.group_of(sgi) == group {
            s.send_sgi(target, sgi, None);
            s.update_cpu(target);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CpuLines, Version};
    use super::*;
    use crate::irq::{IrqLine, Probe};
    use crate::testing::Rng;
    use std::sync::Arc;

    struct Rig {
        gic: Arc<Gic>,
        irq: Vec<Arc<Probe>>,
        fiq: Vec<Arc<Probe>>,
    }

    fn rig(affinities: &[u64]) -> Rig {
        let (mut irqs, mut fiqs) = (Vec::new(), Vec::new());
        let lines = affinities.iter().map(|&affinity| {
            let ((irq, irq_probe), (fiq, fiq_probe)) = (IrqLine::probe(), IrqLine::probe());
            irqs.push(irq_probe);
            fiqs.push(fiq_probe);
            CpuLines { affinity, irq, fiq }
        });
        let gic = Gic::new(Version::V3, lines.collect(), 64);
        let mut s = gic.lock();
        s.group_enable = [true; 2];
        for cpu in &mut s.cpus {
            (cpu.private.enabled, cpu.private.group) = (!0, !0);
        }
        (s.spis[0].enabled, s.spis[0].group) = (!0, !0);
        drop(s);
        for cpu in 0..affinities.len() {
            gic.write_icc(cpu, Icc::Pmr, 0xf0);
            gic.write_icc(cpu, Icc::Igrpen0, 1);
            gic.write_icc(cpu, Icc::Igrpen1, 1);
        }
        Rig { gic, irq: irqs, fiq: fiqs }
    }

    #[test]
    fn one_timer_tick_as_linux_takes_it() {
        let r = rig(&[0]);
        let timer = r.gic.private_line(0, 27);
        timer.set(true);
        assert!(r.irq[0].level());
        assert_eq!(r.gic.read_icc(0, Icc::Hppir1), 27);
        assert_eq!(r.gic.read_icc(0, Icc::Iar1), 27);
        assert!(!r.irq[0].level());
        assert_eq!((r.gic.read_icc(0, Icc::Rpr), r.gic.read_icc(0, Icc::Ap1r(0))), (0, 1));
        timer.set(false);
        r.gic.write_icc(0, Icc::Eoir1, 27);
        assert_eq!((r.gic.read_icc(0, Icc::Rpr), r.gic.read_icc(0, Icc::Iar1)), (0xff, 1023));
    }

    #[test]
    fn eoi_modes() {
        let r = rig(&[0]);
        let line = r.gic.line(40);
        r.gic.write_icc(0, Icc::Ctlr, CTLR_EOIMODE);
        assert_eq!(r.gic.read_icc(0, Icc::Ctlr), 0x8402);
        line.set(true);
        assert_eq!(r.gic.read_icc(0, Icc::Iar1), 40);
        r.gic.write_icc(0, Icc::Eoir1, 40);
        assert_eq!((r.gic.read_icc(0, Icc::Rpr), r.irq[0].level()), (0xff, false));
        r.gic.write_icc(0, Icc::Dir, 40);
        assert!(r.irq[0].level(), "level still high after deactivation");
        r.gic.write_icc(0, Icc::Ctlr, 0);
        assert_eq!(r.gic.read_icc(0, Icc::Iar1), 40);
        r.gic.write_icc(0, Icc::Dir, 40);
        assert!(!r.irq[0].level(), "DIR is ignored in mode 0");
        line.set(false);
        r.gic.write_icc(0, Icc::Eoir0, 40);
        assert_eq!(r.gic.read_icc(0, Icc::Rpr), 0, "the wrong group's EOI is ignored");
        r.gic.write_icc(0, Icc::Eoir1, 40);
        assert_eq!(r.gic.read_icc(0, Icc::Rpr), 0xff);
    }

    #[test]
    fn group_0_is_fiq() {
        let r = rig(&[0]);
        r.gic.lock().spis[0].group = 0;
        r.gic.line(33).set(true);
        assert!(r.fiq[0].level() && !r.irq[0].level());
        assert_eq!((r.gic.read_icc(0, Icc::Iar1), r.gic.read_icc(0, Icc::Hppir1)), (1023, 1023));
        assert_eq!(r.gic.read_icc(0, Icc::Iar0), 33);
        assert!(!r.fiq[0].level());
    }

    #[test]
    fn sgis_reach_the_listed_cpus() {
        let r = rig(&[0, 1, 0x100, 0x1_0001_0011]);
        let levels = || r.irq.iter().map(|p| p.level()).collect::<Vec<_>>();
        r.gic.write_icc(0, Icc::Sgi1r, 3 << 24 | 0b10);
        assert_eq!(levels(), [false, true, false, false]);
        assert_eq!(r.gic.read_icc(1, Icc::Iar1), 3);
        r.gic.write_icc(1, Icc::Eoir1, 3);
        r.gic.write_icc(0, Icc::Sgi1r, 1 << 24 | 1 << 16 | 1);
        assert_eq!(levels(), [false, false, true, false]);
        r.gic.write_icc(2, Icc::Asgi1r, SGI_ALL_BUT_SELF);
        assert_eq!(levels(), [true, true, true, true]);
        r.gic.write_icc(0, Icc::Sgi1r, 5 << 24 | 1 << 48 | 1 << 44 | 1 << 32 | 2);
        assert_eq!(r.gic.lock().cpus[3].private.latched, 1 << 5 | 1);
        r.gic.write_icc(0, Icc::Sgi0r, 9 << 24 | 1);
        assert_eq!(r.gic.lock().cpus[0].private.latched & 1 << 9, 0, "SGI 9 is in group 1");
    }

    #[test]
    fn encodings() {
        assert_eq!(Icc::at(3, 0, 12, 12, 0), Some(Icc::Iar1));
        assert_eq!(Icc::at(3, 0, 12, 8, 6), Some(Icc::Ap0r(2)));
        assert_eq!(Icc::at(3, 0, 12, 9, 4), None);
        assert_eq!(Icc::at(3, 6, 12, 12, 7), None);
        assert!(!Icc::Iar1.writable() && !Icc::Dir.readable() && Icc::Pmr.readable() && Icc::Pmr.writable());
    }

    #[test]
    fn random_register_accesses_and_inputs() {
        let r = rig(&[0, 1, 2]);
        let all: Vec<Icc> = (0..=15)
            .flat_map(|crm| (0..8).filter_map(move |op2| Icc::at(3, 0, 12, crm, op2)))
            .chain([Icc::Pmr])
            .collect();
        assert_eq!(all.len(), 26);
        let mut rng = Rng::new(7);
        for _ in 0..100_000 {
            let (cpu, reg) = (rng.below(4) as usize, all[rng.below(26) as usize]);
            match rng.below(3) {
                0 => r.gic.write_icc(cpu, reg, if rng.below(2) == 0 { rng.below(64) } else { rng.value() }),
                1 => drop(r.gic.read_icc(cpu, reg)),
                _ => r.gic.lock().set_input(cpu, rng.below(100) as u32, rng.below(2) == 0),
            }
        }
    }
}
