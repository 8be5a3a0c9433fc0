//! The board's system registers, and system instructions: timers, interrupt controller, translation maintenance.

use jib_debug::log::Category;
use jib_frontend_aarch64::system::exception;
use jib_frontend_aarch64::system::mmu::Kind;
use jib_frontend_aarch64::system::state;
use jib_frontend_aarch64::system::sysreg::{Encoding, find, reg};
use jib_frontend_aarch64::system::tlbi::{Scope, Tlbi};
use jib_ir::runtime::Exit;
use jib_ir::state::State;

use super::System;
use crate::cpu::shootdown::Request;
use crate::cpu::tlb::{Found, Rights};
use crate::devices::gic::Version;
use crate::devices::gic::icc::Icc;
use crate::timer::Timer;

impl System {
    /// Reads the register that `op` encodes.
    pub(super) fn read(&mut self, s: &State, op: u32) -> Result<u64, Exit> {
        self.check_el0(s, op, false)?;
        let now = self.clock.now();
        if is_monitors(Encoding(op as u16)) {
            self.catch_up_counters(s);
            return self.pmu.read(Encoding(op as u16)).ok_or_else(|| self.undefined(op));
        }
        Ok(match Encoding(op as u16) {
            reg::CNTP_TVAL_EL0 => self.timer.physical.tval(now),
            reg::CNTP_CTL_EL0 => self.timer.physical.ctl(now),
            reg::CNTP_CVAL_EL0 => self.timer.physical.cval(),
            reg::CNTV_TVAL_EL0 => self.timer.virt.tval(now),
            reg::CNTV_CTL_EL0 => self.timer.virt.ctl(now),
            reg::CNTV_CVAL_EL0 => self.timer.virt.cval(),
            reg::ISR_EL1 => (self.signals.irq() as u64) << 7 | (self.signals.fiq() as u64) << 6,
            encoding => match self.icc(encoding) {
                Some(reg) if reg.readable() => {
                    let v = self.gic.read_icc(self.memory.cpu, reg);
                    self.log_acknowledged(encoding, v);
                    v
                }
                _ => return Err(self.undefined(op)),
            },
        })
    }

    /// Writes it, or executes the system instruction that `op` encodes.
    pub(super) fn write(&mut self, s: &mut State, op: u32, v: u64) -> Result<(), Exit> {
        self.check_el0(s, op, true)?;
        let encoding = Encoding(op as u16);
        match encoding {
            _ if is_monitors(encoding) => return self.write_monitors(s, op, v),
            reg::CNTP_TVAL_EL0 | reg::CNTP_CTL_EL0 | reg::CNTP_CVAL_EL0 => self.write_timer(s, encoding, v, false),
            reg::CNTV_TVAL_EL0 | reg::CNTV_CTL_EL0 | reg::CNTV_CVAL_EL0 => self.write_timer(s, encoding, v, true),
            reg::SCTLR_EL1 | reg::TCR_EL1 | reg::MAIR_EL1 | reg::TTBR0_EL1 | reg::TTBR1_EL1 => {
                self.log_mmu(format_args!("{}", find(encoding).map_or("", |r| r.name)), v);
                self.sync_regime(s);
            }
            // Read where they matter.
            reg::CPACR_EL1 | reg::MDSCR_EL1 => {}
            // Breakpoints and watchpoints.
            _ if encoding.0 >> 14 == 2 => {}
            _ if encoding.0 >> 14 == 1 => return self.instruction(s, encoding, v),
            _ => match self.icc(encoding) {
                Some(reg) if reg.writable() => self.gic.write_icc(self.memory.cpu, reg, v),
                _ => return Err(self.undefined(op)),
            },
        }
        Ok(())
    }

    /// EL0 may touch timers if CNTKCTL_EL1 lets it, and performance monitors if PMUSERENR_EL0 does.
    fn check_el0(&self, s: &State, op: u32, write: bool) -> Result<(), Exit> {
        const EL0VTEN: u64 = 1 << 8;
        const EL0PTEN: u64 = 1 << 9;
        if state::el(s) != 0 {
            return Ok(());
        }
        let encoding = Encoding(op as u16);
        let lets = |bit| s.get(state::CNTKCTL) & bit != 0;
        let allowed = match encoding {
            reg::CNTP_TVAL_EL0 | reg::CNTP_CTL_EL0 | reg::CNTP_CVAL_EL0 => lets(EL0PTEN),
            reg::CNTV_TVAL_EL0 | reg::CNTV_CTL_EL0 | reg::CNTV_CVAL_EL0 => lets(EL0VTEN),
            _ => !is_monitors(encoding) || self.pmu.allows_el0(encoding, write),
        };
        if allowed { Ok(()) } else { Err(exception::trapped_access(op, !write)) }
    }

    fn write_monitors(&mut self, s: &mut State, op: u32, v: u64) -> Result<(), Exit> {
        self.catch_up_counters(s);
        self.pmu.write(Encoding(op as u16), v).ok_or_else(|| self.undefined(op))?;
        s.set(state::COUNTS, self.pmu.counts_instructions().into());
        self.tick(s);
        Ok(())
    }

    fn write_timer(&mut self, s: &State, encoding: Encoding, v: u64, virt: bool) {
        let now = self.clock.now();
        let timer: &mut Timer = if virt { &mut self.timer.virt } else { &mut self.timer.physical };
        match encoding.op2() {
            0 => timer.set_tval(now, v),
            1 => timer.set_ctl(v),
            _ => timer.set_cval(v),
        }
        self.tick(s);
    }

    /// TLBI, AT, IC.
    fn instruction(&mut self, s: &mut State, encoding: Encoding, v: u64) -> Result<(), Exit> {
        match encoding.crn() {
            8 => self.tlbi(encoding, v),
            7 if encoding.crm() >= 8 => self.address_translate(s, encoding, v),
            // IC IALLUIS, IC IALLU
            _ => self.translator.invalidate_all(),
        }
        Ok(())
    }

    fn tlbi(&mut self, encoding: Encoding, v: u64) {
        self.log_mmu(format_args!("TLBI {encoding}"), v);
        let Some(Tlbi { scope, everyone }) = Tlbi::of(encoding, v) else { return };
        let request = match scope {
            Scope::All => Request::All,
            Scope::Asid(asid) => Request::Asid(self.memory.regime.asid_of(asid)),
            Scope::Pages(va, pages, asid) => {
                Request::Pages(va, pages, asid.map(|asid| self.memory.regime.asid_of(asid)))
            }
            Scope::Nothing => return,
        };
        self.invalidate(request, everyone);
    }

    /// AT S1E1R, S1E1W, S1E0R, S1E0W, S1E1RP, S1E1WP: PAR_EL1 tells what a translation finds.
    fn address_translate(&mut self, s: &mut State, encoding: Encoding, va: u64) {
        let op2 = encoding.op2();
        let kind = if op2 & 1 == 1 { Kind::Write } else { Kind::Read };
        let rights = Rights { el0: op2 & 2 != 0, pan: encoding.crm() == 9 && self.memory.rights.pan };
        let par = match self.memory.translate(va, kind, rights) {
            Ok(Found { pa, entry }) => {
                let attributes = if entry.device { 0x04u64 } else { 0xff } << 56;
                attributes | pa & 0x0000_ffff_ffff_f000 | 1 << 11 | 3 << 7
            }
            Err(fsc) => 1 << 11 | (fsc.0 as u64) << 1 | 1,
        };
        s.set(state::PAR, par);
    }

    fn undefined(&self, op: u32) -> Exit {
        let encoding = Encoding(op as u16);
        if self.verbose {
            let name = find(encoding).map_or("no row", |r| r.name);
            eprintln!("jib: cpu {}: system register {encoding} ({name}) is not implemented", self.memory.cpu);
        }
        Exit::Undefined(0)
    }

    /// The interrupt controller's register at `encoding`, if the controller has such registers.
    fn icc(&self, encoding: Encoding) -> Option<Icc> {
        if self.gic.version() == Version::V2 {
            return None;
        }
        let e = encoding.0;
        Icc::at((e >> 14) as u8, (e >> 11 & 7) as u8, encoding.crn() as u8, encoding.crm() as u8, encoding.op2() as u8)
    }

    /// Writes down which interrupt was acknowledged.
    fn log_acknowledged(&self, encoding: Encoding, v: u64) {
        if let (Some(log), reg::ICC_IAR0_EL1 | reg::ICC_IAR1_EL1) = (&self.log, encoding) {
            log.write(Category::Irq, self.memory.cpu, format_args!("acknowledged {v}"));
        }
    }
}

/// Is it a register of the performance monitors?
fn is_monitors(encoding: Encoding) -> bool {
    matches!((encoding.0 >> 14, encoding.crn(), encoding.crm()), (3, 9, 12..=14) | (3, 14, 8..=15))
}
