//! MRS and MSR of the registers that EL0 sees.

use jib_ir::op::{ExitKind, Op};
use jib_ir::region::Val;
use jib_ir::state::slot;
use jib_ir::ty::Ty;

use super::{Lifted, Lifter, privileged};
use crate::cpu;
use crate::field::Reg;
use crate::helper::Id;
use crate::system::sysreg::Encoding;

/// The name of a system register: `o0`, `op1`, `CRn`, `CRm`, `op2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SysReg(u16);

impl crate::pattern::Field for SysReg {
    const WIDTH: u8 = 15;
    fn from_bits(bits: u32) -> Self {
        SysReg(bits as u16)
    }
}

impl SysReg {
    /// The register `S3_op1_CRn_CRm_op2`.
    const fn new(op1: u16, crn: u16, crm: u16, op2: u16) -> SysReg {
        SysReg(1 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2)
    }
    const CTR_EL0: SysReg = SysReg::new(3, 0, 0, 1);
    const DCZID_EL0: SysReg = SysReg::new(3, 0, 0, 7);
    const RNDR: SysReg = SysReg::new(3, 2, 4, 0);
    const RNDRRS: SysReg = SysReg::new(3, 2, 4, 1);
    const NZCV: SysReg = SysReg::new(3, 4, 2, 0);
    const DIT: SysReg = SysReg::new(3, 4, 2, 5);
    const SSBS: SysReg = SysReg::new(3, 4, 2, 6);
    const FPCR: SysReg = SysReg::new(3, 4, 4, 0);
    const FPSR: SysReg = SysReg::new(3, 4, 4, 1);
    const TPIDR_EL0: SysReg = SysReg::new(3, 13, 0, 2);
    const TPIDRRO_EL0: SysReg = SysReg::new(3, 13, 0, 3);
    const CNTFRQ_EL0: SysReg = SysReg::new(3, 14, 0, 0);
    const CNTVCT_EL0: SysReg = SysReg::new(3, 14, 0, 2);
    const CNTVCTSS_EL0: SysReg = SysReg::new(3, 14, 0, 6);

    /// The whole encoding: `o0` stands for op0 2 or 3.
    fn encoding(self) -> Encoding {
        Encoding(1 << 15 | self.0)
    }

    /// The value of an identification register, as Linux emulates them for EL0.
    fn id_register(self, profile: cpu::Profile) -> Option<u64> {
        let in_id_space = self.0 >> 7 == SysReg::new(0, 0, 0, 0).0 >> 7;
        if in_id_space { profile.id_register(self.0 as u8 >> 3 & 15, self.0 as u8 & 7) } else { None }
    }
}

/// MRS
pub(crate) fn mrs(l: &mut Lifter, reg: SysReg, rt: Reg) -> Lifted {
    if l.is_system()
        && let Some(lifted) = privileged::mrs(l, reg.encoding(), rt)
    {
        return lifted;
    }
    let v = match reg {
        SysReg::NZCV => {
            let f = l.get_flags();
            l.push(Op::FlagsUnpack { f })
        }
        SysReg::FPCR => l.get(Ty::I64, slot::FPCR),
        SysReg::FPSR => l.get(Ty::I64, slot::FPSR),
        SysReg::TPIDR_EL0 => l.get(Ty::I64, slot::TPIDR),
        SysReg::TPIDRRO_EL0 => l.get(Ty::I64, slot::TPIDRRO),
        SysReg::CTR_EL0 => l.imm64(cpu::CTR_EL0),
        SysReg::DCZID_EL0 => l.imm64(cpu::DCZID_EL0),
        SysReg::CNTFRQ_EL0 => l.call(Id::COUNTER_HZ as u16, &[]),
        SysReg::CNTVCT_EL0 | SysReg::CNTVCTSS_EL0 => l.call(Id::COUNTER as u16, &[]),
        SysReg::RNDR | SysReg::RNDRRS => l.call(Id::RANDOM as u16, &[]),
        SysReg::DIT => pstate(l, cpu::PSTATE_DIT),
        SysReg::SSBS => pstate(l, cpu::PSTATE_SSBS),
        _ => match reg.id_register(l.profile()) {
            Some(v) => l.imm64(v),
            None => return Lifted::Undefined,
        },
    };
    l.set_x(rt, v);
    Lifted::Next
}

fn pstate(l: &mut Lifter, bit: u64) -> Val {
    let v = l.get(Ty::I64, slot::PSTATE);
    l.and_imm(v, bit)
}

/// MSR (register)
pub(crate) fn msr(l: &mut Lifter, reg: SysReg, rt: Reg) -> Lifted {
    if l.is_system()
        && let Some(lifted) = privileged::msr(l, reg.encoding(), rt)
    {
        return lifted;
    }
    match reg {
        SysReg::NZCV => {
            let a = l.x(Ty::I32, rt);
            let f = l.push(Op::FlagsPack { a });
            l.set_flags(f);
        }
        SysReg::FPCR => {
            let v = l.x(Ty::I64, rt);
            let v = l.and_imm(v, cpu::FPCR_MODES as u64);
            l.set(slot::FPCR, v);
            // What follows may have to be translated for another mode.
            return Lifted::End(Op::Exit { pc: l.next_pc(), kind: ExitKind::Sync });
        }
        SysReg::FPSR => {
            let v = l.x(Ty::I64, rt);
            let v = l.and_imm(v, cpu::FPSR_BITS as u64);
            l.set(slot::FPSR, v);
        }
        SysReg::TPIDR_EL0 => {
            let v = l.x(Ty::I64, rt);
            l.set(slot::TPIDR, v);
        }
        SysReg::DIT => set_pstate(l, cpu::PSTATE_DIT, rt),
        SysReg::SSBS => set_pstate(l, cpu::PSTATE_SSBS, rt),
        _ => return Lifted::Undefined,
    }
    Lifted::Next
}

fn set_pstate(l: &mut Lifter, bit: u64, rt: Reg) {
    let v = l.x(Ty::I64, rt);
    let new = l.and_imm(v, bit);
    let old = l.get(Ty::I64, slot::PSTATE);
    let rest = l.and_imm(old, !bit);
    let v = l.or(rest, new);
    l.set(slot::PSTATE, v);
}
