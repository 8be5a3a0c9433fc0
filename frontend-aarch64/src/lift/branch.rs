//! Branches (Arm ARM C4.1.94).

use jib_ir::op::{ExitKind, Op};
use jib_ir::ty::{Cond, Ty};

use super::{Lifted, Lifter};
use crate::field::{Imm, Reg};

fn target<const N: u8>(l: &Lifter, offset: Imm<N>) -> u64 {
    l.pc.wrapping_add_signed(offset.sext() * 4)
}

/// B
pub(crate) fn b(l: &mut Lifter, offset: Imm<26>) -> Lifted {
    Lifted::Jump(target(l, offset))
}

/// BL
pub(crate) fn bl(l: &mut Lifter, offset: Imm<26>) -> Lifted {
    let ret = l.next_pc();
    let link = l.imm64(ret);
    l.set_x(Reg(30), link);
    Lifted::End(Op::Exit { pc: target(l, offset), kind: ExitKind::Call { ret } })
}

/// B.cond (and BC.cond, its hinted form)
pub(crate) fn b_cond(l: &mut Lifter, offset: Imm<19>, _hint: bool, cond: Cond) -> Lifted {
    let c = l.cond(cond);
    Lifted::Branch { c, taken: target(l, offset) }
}

/// CBZ, CBNZ
pub(crate) fn cb(l: &mut Lifter, ty: Ty, nonzero: bool, offset: Imm<19>, rt: Reg) -> Lifted {
    let v = l.x(ty, rt);
    let zero = l.is_zero(v);
    let c = if nonzero { l.bnot(zero) } else { zero };
    Lifted::Branch { c, taken: target(l, offset) }
}

/// TBZ, TBNZ
pub(crate) fn tb(l: &mut Lifter, b5: bool, nonzero: bool, b40: Imm<5>, offset: Imm<14>, rt: Reg) -> Lifted {
    let v = l.x(Ty::I64, rt);
    let set = l.test_bit(v, (b5 as u8) << 5 | b40.0 as u8);
    let c = if nonzero { set } else { l.bnot(set) };
    Lifted::Branch { c, taken: target(l, offset) }
}

/// BR
pub(crate) fn br(l: &mut Lifter, rn: Reg) -> Lifted {
    let addr = l.x(Ty::I64, rn);
    Lifted::End(Op::ExitInd { addr, kind: ExitKind::Jump })
}

/// BLR
pub(crate) fn blr(l: &mut Lifter, rn: Reg) -> Lifted {
    let addr = l.x(Ty::I64, rn);
    let ret = l.next_pc();
    let link = l.imm64(ret);
    l.set_x(Reg(30), link);
    Lifted::End(Op::ExitInd { addr, kind: ExitKind::Call { ret } })
}

/// RET
pub(crate) fn ret(l: &mut Lifter, rn: Reg) -> Lifted {
    let addr = l.x(Ty::I64, rn);
    Lifted::End(Op::ExitInd { addr, kind: ExitKind::Ret })
}
