//! Exception generation, hints, barriers, PSTATE and cache maintenance (Arm ARM C4.1.94).

use jib_ir::op::{ExitKind, Fence, Op, Trap};
use jib_ir::region::Val;
use jib_ir::runtime::Wait;
use jib_ir::state::slot;
use jib_ir::ty::{Size, Ty};

use super::alu_flags::{axflag, cfinv, xaflag};
use super::{Lifted, Lifter, pauth, privileged};
use crate::cpu;
use crate::field::{Imm, Reg};
use crate::field_enum;
use crate::helper::Id;
use crate::system::sysreg::Encoding;

field_enum! {
    /// The `LL` field of the calls to higher levels.
    Call: 2 { Unallocated, Svc, Hvc, Smc }
}

field_enum! {
    /// The `op2` field of the barriers.
    Barrier: 3 { U0, DsbNxs, Clrex, U3, Dsb, Dmb, Isb, Sb }
}

/// SVC, HVC, SMC
pub(crate) fn call(l: &mut Lifter, imm: Imm<16>, level: Call) -> Lifted {
    let n = imm.0 as u16;
    let trap = match level {
        Call::Unallocated => return Lifted::Undefined,
        Call::Svc => Trap::Svc(n),
        Call::Hvc => Trap::Hvc(n),
        Call::Smc => Trap::Smc(n),
    };
    Lifted::End(Op::Trap { trap, pc: l.next_pc() })
}

/// BRK
pub(crate) fn brk(l: &mut Lifter, imm: Imm<16>) -> Lifted {
    Lifted::End(Op::Trap { trap: Trap::Brk(imm.0 as u16), pc: l.pc })
}

/// HLT
pub(crate) fn hlt(l: &mut Lifter, imm: Imm<16>) -> Lifted {
    Lifted::End(Op::Trap { trap: Trap::Hlt(imm.0 as u16), pc: l.pc })
}

/// UDF
pub(crate) fn udf(_: &mut Lifter) -> Lifted {
    Lifted::Undefined
}

/// HINT: those that wait leave; the others, known or not, do nothing.
pub(crate) fn hint(l: &mut Lifter, number: Imm<7>) -> Lifted {
    if l.is_system()
        && let Some(lifted) = privileged::hint(l, number.0)
    {
        return lifted;
    }
    if let Some(lifted) = pauth::hint(l, number.0) {
        return lifted;
    }
    let wait = match number.0 {
        1 => Wait::Yield,
        2 => Wait::Event,
        3 => Wait::Interrupt,
        _ => return Lifted::Next,
    };
    Lifted::End(Op::Trap { trap: Trap::Wait(wait), pc: l.next_pc() })
}

/// CLREX, DSB, DMB, ISB, SB
pub(crate) fn barrier(l: &mut Lifter, crm: Imm<4>, op: Barrier) -> Lifted {
    let kind = match op {
        Barrier::U0 | Barrier::DsbNxs | Barrier::U3 => return Lifted::Undefined,
        Barrier::Clrex => {
            clear_monitor(l);
            return Lifted::Next;
        }
        // What was stored before may be the code that follows.
        Barrier::Isb => return Lifted::End(Op::Exit { pc: l.next_pc(), kind: ExitKind::Jump }),
        Barrier::Sb if crm.0 != 0 => return Lifted::Undefined,
        Barrier::Sb => Fence::Compiler,
        // Loads before anything, and stores before stores: the host's order.
        Barrier::Dmb if matches!(crm.0 & 3, 1 | 2) => Fence::Compiler,
        // The one that waits for translation maintenance, if it is for loads and stores.
        Barrier::Dsb if l.is_el1() && crm.0 & 3 == 3 => {
            l.call(Id::SYNCHRONIZE as u16, &[]);
            return Lifted::Next;
        }
        Barrier::Dmb | Barrier::Dsb => Fence::Full,
    };
    l.push(Op::Fence { kind });
    Lifted::Next
}

/// Opens the exclusive monitor.
pub(super) fn clear_monitor(l: &mut Lifter) {
    let none = l.imm64(u64::MAX);
    l.set(slot::EXCL_ADDR, none);
}

/// MSR (immediate): DIT, SSBS; CFINV, XAFLAG, AXFLAG.
pub(crate) fn msr_imm(l: &mut Lifter, op1: Imm<3>, crm: Imm<4>, op2: Imm<3>) -> Lifted {
    if l.is_system()
        && let Some(lifted) = privileged::msr_imm(l, op1.0, op2.0, crm.0)
    {
        return lifted;
    }
    match (op1.0, op2.0, crm.0) {
        (0, 0, 0) => cfinv(l),
        (0, 1, 0) => xaflag(l),
        (0, 2, 0) => axflag(l),
        (3, 1, _) => set_pstate(l, cpu::PSTATE_SSBS, crm.0 & 1 == 1),
        (3, 2, _) => set_pstate(l, cpu::PSTATE_DIT, crm.0 & 1 == 1),
        _ => Lifted::Undefined,
    }
}

fn set_pstate(l: &mut Lifter, bit: u64, on: bool) -> Lifted {
    let old = l.get(Ty::I64, slot::PSTATE);
    let v = l.and_imm(old, !bit);
    let bit = l.imm64(if on { bit } else { 0 });
    let v = l.or(v, bit);
    l.set(slot::PSTATE, v);
    Lifted::Next
}

/// What SYS names: `op1`, `CRn`, `CRm`, `op2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SysOp(u16);

impl SysOp {
    const fn new(op1: u16, crn: u16, crm: u16, op2: u16) -> SysOp {
        SysOp(op1 << 11 | crn << 7 | crm << 3 | op2)
    }
    const DC_ZVA: SysOp = SysOp::new(3, 7, 4, 1);
    const IC_IVAU: SysOp = SysOp::new(3, 7, 5, 1);
    const DC_CVAC: SysOp = SysOp::new(3, 7, 10, 1);
    const DC_CVAU: SysOp = SysOp::new(3, 7, 11, 1);
    const DC_CVAP: SysOp = SysOp::new(3, 7, 12, 1);
    const DC_CVADP: SysOp = SysOp::new(3, 7, 13, 1);
    const DC_CIVAC: SysOp = SysOp::new(3, 7, 14, 1);
}

impl crate::pattern::Field for SysOp {
    const WIDTH: u8 = 14;
    fn from_bits(bits: u32) -> Self {
        SysOp(bits as u16)
    }
}

/// SYS: the cache maintenance that EL0 may ask for.
pub(crate) fn sys(l: &mut Lifter, op: SysOp, rt: Reg) -> Lifted {
    if l.is_system()
        && let Some(lifted) = privileged::sys(l, Encoding(1 << 14 | op.0), rt)
    {
        return lifted;
    }
    match op {
        SysOp::DC_ZVA => dc_zva(l, rt),
        SysOp::IC_IVAU => {
            let line = line(l, rt);
            Lifted::End(Op::Invalidate { addr: line, len: cpu::LINE, pc: l.next_pc() })
        }
        SysOp::DC_CVAC | SysOp::DC_CVAU | SysOp::DC_CVAP | SysOp::DC_CVADP | SysOp::DC_CIVAC => {
            // Caches are coherent here: only the translation of the address can fail.
            let addr = l.x(Ty::I64, rt);
            l.load(Ty::I32, Size::B1, addr);
            Lifted::Next
        }
        _ => Lifted::Undefined,
    }
}

/// The address of the cache line that `rt` points into.
fn line(l: &mut Lifter, rt: Reg) -> Val {
    let addr = l.x(Ty::I64, rt);
    l.and_imm(addr, !(cpu::LINE - 1))
}

fn dc_zva(l: &mut Lifter, rt: Reg) -> Lifted {
    let line = line(l, rt);
    let zero = l.vimm(0);
    for offset in (0..cpu::LINE).step_by(16) {
        let addr = l.add_imm(line, offset as i64);
        l.store(Size::B16, addr, zero);
    }
    Lifted::Next
}
