//! Ordered accesses and single-instruction atomics: LDAR, STLR, LDAPR, LSE (Arm ARM C4.1.96).
//!
//! Loads and atomics are ordered as strongly as the host makes them, so acquire and release bits only
//! matter to STLR, which must stay before later LDARs.
#![allow(clippy::too_many_arguments, reason = "one per field of the encoding")]

use jib_ir::op::{Align, Op, Order};
use jib_ir::region::Val;
use jib_ir::runtime::RmwOp;
use jib_ir::ty::{Size, Ty};

use super::load_store::{Access, load_extended, x_for};
use super::load_store_pair::{join, joined, split};
use super::{Lifted, Lifter};
use crate::field::{Imm, Reg};
use crate::field_enum;

field_enum! {
    /// The `opc` field of the atomic memory operations.
    MemOp: 3 { Add, Clr, Eor, Set, Smax, Smin, Umax, Umin }
}

/// The address in `rn`, which an access of `size` must not take across 16 bytes.
fn checked(l: &mut Lifter, rule: Align, size: Size, write: bool, rn: Reg, offset: i64) -> Val {
    let base = l.xsp(Ty::I64, rn);
    let addr = l.add_imm(base, offset);
    l.push(Op::CheckAlign { rule, size, write, addr });
    addr
}

fn ordered_access(l: &mut Lifter, access: Access, rn: Reg, offset: i64, rt: Reg) -> Lifted {
    match access {
        Access::Prefetch => return Lifted::Undefined,
        Access::Load(size, ty, signed) => {
            let addr = checked(l, Align::Within16, size, false, rn, offset);
            let v = load_extended(l, size, ty, signed, Order::AcqRel, addr);
            l.set_x(rt, v);
        }
        Access::Store(size) => {
            let addr = checked(l, Align::Within16, size, true, rn, offset);
            let v = x_for(l, size, rt);
            let ty = l.ty(v);
            l.push(Op::Store { ty, size, order: Order::AcqRel, addr, v });
        }
    }
    Lifted::Next
}

/// LDAR, STLR; LDLAR, STLLR (their limited-ordering forms, treated alike)
pub(crate) fn ordered(l: &mut Lifter, size: Imm<2>, load: bool, _full: bool, rn: Reg, rt: Reg) -> Lifted {
    match Access::decode(size, Imm(load as u32)) {
        Some(access) => ordered_access(l, access, rn, 0, rt),
        None => Lifted::Undefined,
    }
}

/// LDAPUR, LDAPURS, STLUR
pub(crate) fn ordered_unscaled(l: &mut Lifter, size: Imm<2>, opc: Imm<2>, imm: Imm<9>, rn: Reg, rt: Reg) -> Lifted {
    match Access::decode(size, opc) {
        Some(access) => ordered_access(l, access, rn, imm.sext(), rt),
        None => Lifted::Undefined,
    }
}

/// LDAPR
pub(crate) fn ldapr(l: &mut Lifter, size: Imm<2>, rn: Reg, rt: Reg) -> Lifted {
    ordered(l, size, true, true, rn, rt)
}

fn rmw(l: &mut Lifter, op: RmwOp, size: Imm<2>, rs: Reg, rn: Reg, rt: Reg) -> Lifted {
    let size = Size::ALL[size.0 as usize];
    let addr = checked(l, Align::Within16, size, true, rn, 0);
    let v = x_for(l, size, rs);
    let ty = l.ty(v);
    let old = l.push(Op::Rmw { op, ty, size, addr, v });
    l.set_x(rt, old);
    Lifted::Next
}

/// LDADD, LDCLR, LDEOR, LDSET, LDSMAX, LDSMIN, LDUMAX, LDUMIN
pub(crate) fn memop(l: &mut Lifter, size: Imm<2>, _a: bool, _r: bool, rs: Reg, op: MemOp, rn: Reg, rt: Reg) -> Lifted {
    let op = match op {
        MemOp::Add => RmwOp::Add,
        MemOp::Clr => RmwOp::Clr,
        MemOp::Eor => RmwOp::Xor,
        MemOp::Set => RmwOp::Or,
        MemOp::Smax => RmwOp::SMax,
        MemOp::Smin => RmwOp::SMin,
        MemOp::Umax => RmwOp::UMax,
        MemOp::Umin => RmwOp::UMin,
    };
    rmw(l, op, size, rs, rn, rt)
}

/// SWP
pub(crate) fn swp(l: &mut Lifter, size: Imm<2>, _a: bool, _r: bool, rs: Reg, rn: Reg, rt: Reg) -> Lifted {
    rmw(l, RmwOp::Swap, size, rs, rn, rt)
}

/// CAS
pub(crate) fn cas(l: &mut Lifter, size: Imm<2>, _a: bool, rs: Reg, _r: bool, rn: Reg, rt: Reg) -> Lifted {
    let size = Size::ALL[size.0 as usize];
    let addr = checked(l, Align::Within16, size, true, rn, 0);
    let expected = x_for(l, size, rs);
    let new = x_for(l, size, rt);
    let ty = l.ty(new);
    let old = l.push(Op::Cas { ty, size, addr, expected, new });
    l.set_x(rs, old);
    Lifted::Next
}

/// Registers `r` and the one after it, which must be an even pair.
fn x_pair(l: &mut Lifter, ty: Ty, r: Reg) -> Val {
    let lo = l.x(ty, r);
    let hi = l.x(ty, Reg(r.0 + 1));
    join(l, ty, lo, hi)
}

/// CASP
pub(crate) fn casp(l: &mut Lifter, ty: Ty, _a: bool, rs: Reg, _r: bool, rn: Reg, rt: Reg) -> Lifted {
    if (rs.0 | rt.0) & 1 == 1 {
        return Lifted::Undefined;
    }
    let (both, size) = joined(ty);
    let addr = checked(l, Align::Natural, size, true, rn, 0);
    let expected = x_pair(l, ty, rs);
    let new = x_pair(l, ty, rt);
    let old = l.push(Op::Cas { ty: both, size, addr, expected, new });
    let (lo, hi) = split(l, ty, old);
    l.set_x(rs, lo);
    l.set_x(Reg(rs.0 + 1), hi);
    Lifted::Next
}
