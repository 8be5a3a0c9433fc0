//! Every interrupt of the machine and what each CPU is told about them.

use super::bank::Bank;
use super::cpu::{Candidate, Iface};
use super::{CpuLines, FIRST_SPI, SPURIOUS, Version};

/// One CPU's side.
pub(crate) struct Cpu {
    pub(crate) lines: CpuLines,
    pub(crate) private: Bank,
    pub(crate) iface: Iface,
    /// GICv2: CPUs that each pending SGI came from, a bit each.
    pub(crate) sgi_sources: [u8; 16],
    /// GICR_WAKER.ProcessorSleep; stored only, as nothing here ever sleeps.
    pub(crate) asleep: bool,
    /// GICR_PROPBASER and GICR_PENDBASER; stored only, as there are no LPIs.
    pub(crate) lpi_bases: [u64; 2],
}

/// The controller's state, behind its lock.
pub(crate) struct State {
    pub(crate) version: Version,
    pub(crate) cpus: Vec<Cpu>,
    /// Shared interrupts; bank 0 starts at INTID 32.
    pub(crate) spis: Vec<Bank>,
    /// IROUTER (GICv3), one per shared interrupt.
    pub(crate) routes: Vec<u64>,
    /// CPUs each shared interrupt goes to, a bit each.
    pub(crate) targets: Vec<u128>,
    /// GICD_CTLR.EnableGrp0 and EnableGrp1.
    pub(crate) group_enable: [bool; 2],
}

/// IROUTER.Interrupt_Routing_Mode: any CPU.
const ROUTE_ANY: u64 = 1 << 31;
const ROUTE_MASK: u64 = 0xff_80ff_ffff;

impl State {
    pub(crate) fn new(version: Version, cpus: Vec<CpuLines>, spis: usize) -> Self {
        let banks = spis.div_ceil(32).clamp(1, 30);
        let cpus = cpus.into_iter().take(128).map(|lines| Cpu {
            lines,
            private: Bank::private(),
            iface: Iface::new(),
            sgi_sources: [0; 16],
            asleep: true,
            lpi_bases: [0; 2],
        });
        let mut state = State {
            version,
            cpus: cpus.collect(),
            spis: vec![Bank::default(); banks],
            routes: vec![0; banks * 32],
            targets: vec![0; banks * 32],
            group_enable: [false; 2],
        };
        state.reset();
        state
    }

    pub(crate) fn reset(&mut self) {
        self.group_enable = [false; 2];
        self.spis.iter_mut().for_each(Bank::reset);
        for cpu in &mut self.cpus {
            cpu.private.reset();
            cpu.iface = Iface::new();
            cpu.sgi_sources = [0; 16];
            cpu.asleep = true;
            cpu.lpi_bases = [0; 2];
        }
        // GICv2 leaves shared interrupts untargeted, except where there is only one CPU.
        let target = u128::from(self.version == Version::V2 && self.cpus.len() == 1);
        self.targets.fill(target);
        if self.version == Version::V3 {
            (0..self.routes.len()).for_each(|spi| self.set_route(spi, 0));
        }
        self.update();
    }

    /// The bank of CPU `cpu`'s view that holds register word `index`.
    pub(crate) fn bank(&self, cpu: usize, index: usize) -> Option<&Bank> {
        match index {
            0 => self.cpus.get(cpu).map(|cpu| &cpu.private),
            _ => self.spis.get(index - 1),
        }
    }

    pub(crate) fn bank_mut(&mut self, cpu: usize, index: usize) -> Option<&mut Bank> {
        match index {
            0 => self.cpus.get_mut(cpu).map(|cpu| &mut cpu.private),
            _ => self.spis.get_mut(index - 1),
        }
    }

    pub(crate) fn set_input(&mut self, cpu: usize, intid: u32, level: bool) {
        if let Some(bank) = self.bank_mut(cpu, (intid / 32) as usize) {
            bank.set_input(intid % 32, level);
            self.update_for(cpu, intid);
        }
    }

    /// Writes IROUTER of shared interrupt `spi` (INTID less 32).
    pub(crate) fn set_route(&mut self, spi: usize, route: u64) {
        let route = route & ROUTE_MASK;
        let target = match route & ROUTE_ANY {
            0 => self.cpus.iter().position(|cpu| cpu.lines.affinity == route),
            _ => Some(0),
        };
        if let (Some(slot), Some(mask)) = (self.routes.get_mut(spi), self.targets.get_mut(spi)) {
            *slot = route;
            *mask = target.map_or(0, |cpu| 1 << cpu);
        }
    }

    /// The interrupt CPU `cpu` should take next: the highest priority among those ready in an
    /// enabled group, the lowest INTID among equals.
    pub(crate) fn best(&self, cpu: usize) -> Option<Candidate> {
        let this = self.cpus.get(cpu)?;
        let mut best: Option<Candidate> = None;
        let mut consider = |bank: &Bank, first: u32, mut ready: u32| {
            while ready != 0 {
                let bit = ready.trailing_zeros();
                ready &= ready - 1;
                let c =
                    Candidate { intid: first + bit, priority: bank.priority[bit as usize], group: bank.group_of(bit) };
                let enabled = self.group_enable[c.group] && this.iface.enable[c.group];
                if enabled && best.is_none_or(|b| c.priority < b.priority) {
                    best = Some(c);
                }
            }
        };
        consider(&this.private, 0, this.private.ready());
        for (index, bank) in self.spis.iter().enumerate() {
            let mut ready = bank.ready();
            if ready != 0 {
                let targets = &self.targets[index * 32..];
                ready &= (0..32).fold(0, |mask, bit| mask | (((targets[bit] >> cpu) & 1) as u32) << bit);
                consider(bank, FIRST_SPI + index as u32 * 32, ready);
            }
        }
        best
    }

    /// What CPU `cpu` is being signalled, if anything.
    fn signalled(&self, cpu: usize) -> Option<Candidate> {
        self.best(cpu).filter(|c| self.cpus[cpu].iface.admits(c))
    }

    /// Recomputes every CPU's inputs; to be called after a change that any may see.
    pub(crate) fn update(&self) {
        (0..self.cpus.len()).for_each(|cpu| self.update_cpu(cpu));
    }

    /// Recomputes one CPU's inputs, after a change that only it sees.
    pub(crate) fn update_cpu(&self, index: usize) {
        let Some(cpu) = self.cpus.get(index) else { return };
        let signalled = self.signalled(index);
        let as_fiq = |c: &Candidate| c.group == 0 && (self.version == Version::V3 || cpu.iface.fiq);
        cpu.lines.fiq.set(signalled.as_ref().is_some_and(as_fiq));
        cpu.lines.irq.set(signalled.as_ref().is_some_and(|c| !as_fiq(c)));
    }

    /// Recomputes what a change to the state of `intid`, as CPU `cpu` knows it, can affect.
    fn update_for(&self, cpu: usize, intid: u32) {
        if intid < FIRST_SPI {
            self.update_cpu(cpu);
        } else {
            self.update();
        }
    }

    /// Takes the signalled interrupt if its group is among `groups`; the INTID, with the source CPU
    /// of a GICv2 SGI in bits 10 to 12.
    pub(crate) fn acknowledge(&mut self, cpu: usize, groups: [bool; 2]) -> Option<u32> {
        let c = self.signalled(cpu).filter(|c| groups[c.group])?;
        let mut value = c.intid;
        let bank = self.bank_mut(cpu, (c.intid / 32) as usize)?;
        bank.acknowledge(c.intid % 32);
        let this = self.cpus.get_mut(cpu)?;
        this.iface.enter(&c);
        if let Some(sources) = this.sgi_sources.get_mut(c.intid as usize).filter(|s| **s != 0) {
            value |= sources.trailing_zeros() << 10;
            *sources &= *sources - 1;
            if *sources != 0 {
                this.private.latched |= 1 << c.intid;
            }
        }
        self.update_for(cpu, c.intid);
        Some(value)
    }

    /// End of interrupt: drops the running priority if it belongs to one of `groups`, and
    /// deactivates unless that is DIR's task.
    pub(crate) fn end(&mut self, cpu: usize, intid: u32, groups: [bool; 2]) {
        let Some(this) = self.cpus.get_mut(cpu).filter(|_| intid < SPURIOUS - 3) else { return };
        if !this.iface.highest_group().is_some_and(|group| groups[group]) {
            return;
        }
        this.iface.drop_priority();
        if !this.iface.split_eoi {
            self.deactivate(cpu, intid);
        }
        self.update_cpu(cpu);
    }

    /// Clears the active state of `intid`.
    pub(crate) fn deactivate(&mut self, cpu: usize, intid: u32) {
        if let Some(bank) = self.bank_mut(cpu, (intid / 32) as usize) {
            bank.active &= !(1 << (intid % 32));
            self.update_for(cpu, intid);
        }
    }

    /// Makes SGI `sgi` pending on CPU `target`; GICv2 also remembers who sent it.
    pub(crate) fn send_sgi(&mut self, target: usize, sgi: u32, from: Option<usize>) {
        if let Some(cpu) = self.cpus.get_mut(target) {
            cpu.private.latched |= 1 << (sgi & 15);
            if let Some(from) = from {
                cpu.sgi_sources[(sgi & 15) as usize] |= 1 << (from & 7);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::irq::{IrqLine, Probe};
    use std::sync::Arc;

    fn state(cpus: usize) -> (State, Vec<Arc<Probe>>) {
        let mut probes = Vec::new();
        let lines = (0..cpus as u64).map(|affinity| {
            let (irq, probe) = IrqLine::probe();
            probes.push(probe);
            CpuLines { affinity, irq, fiq: IrqLine::unconnected() }
        });
        let lines = lines.collect();
        let mut s = State::new(Version::V3, lines, 64);
        s.group_enable = [true; 2];
        for cpu in &mut s.cpus {
            cpu.iface.enable = [true; 2];
            cpu.iface.set_pmr(0xff);
            cpu.private.enabled = !0;
            cpu.private.group = !0;
        }
        for bank in &mut s.spis {
            (bank.enabled, bank.group) = (!0, !0);
        }
        (s, probes)
    }

    #[test]
    fn highest_priority_then_lowest_number() {
        let (mut s, irq) = state(1);
        s.spis[0].priority = [0xa0; 32];
        s.spis[1].priority = [0x80; 32];
        for intid in [70, 69, 40] {
            s.set_input(0, intid, true);
        }
        assert!(irq[0].level());
        assert_eq!(s.acknowledge(0, [false, true]), Some(69));
        assert!(!irq[0].level(), "the others do not preempt");
        assert_eq!(s.acknowledge(0, [true, true]), None);
        s.end(0, 69, [false, true]);
        assert_eq!(s.acknowledge(0, [true, true]), Some(69), "its level is still high");
        s.set_input(0, 69, false);
        s.end(0, 69, [true, true]);
        assert_eq!(s.acknowledge(0, [true, true]), Some(70));
    }

    #[test]
    fn routes_decide_the_cpu() {
        let (mut s, irq) = state(3);
        s.set_route(5, 2);
        s.set_input(0, 37, true);
        assert_eq!(irq.iter().map(|p| p.level()).collect::<Vec<_>>(), [false, false, true]);
        s.set_route(5, ROUTE_ANY);
        s.update();
        assert!(irq[0].level() && !irq[2].level());
        s.set_route(5, 77);
        s.update();
        assert!(!irq.iter().any(|p| p.level()), "no such CPU");
        s.set_input(1, 27, true);
        assert!(irq[1].level() && !irq[0].level(), "private interrupts are the CPU's own");
    }

    #[test]
    fn split_eoi_needs_a_deactivation() {
        let (mut s, irq) = state(1);
        s.cpus[0].iface.split_eoi = true;
        s.set_input(0, 40, true);
        assert_eq!(s.acknowledge(0, [true, true]), Some(40));
        s.end(0, 40, [true, true]);
        assert!(!irq[0].level(), "still active");
        s.deactivate(0, 40);
        assert!(irq[0].level());
    }

    #[test]
    fn a_disabled_group_hides_nothing() {
        let (mut s, _) = state(1);
        s.spis[0].group = !1;
        s.spis[0].priority[1] = 0x80;
        s.group_enable = [false, true];
        s.set_input(0, 32, true);
        s.set_input(0, 33, true);
        assert_eq!(s.best(0).map(|c| c.intid), Some(33));
        assert_eq!(s.best(9), None);
    }
}
