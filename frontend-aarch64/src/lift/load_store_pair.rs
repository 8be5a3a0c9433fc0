//! Loads and stores of two registers (Arm ARM C4.1.96).
//!
//! With FEAT_LSE2 a pair of general registers within 16 aligned bytes is one single-copy atomic
//! access, and 128-bit atomics of guests are built on that; so a pair is one access, but on the stack,
//! where no one else looks and two halves forward better from the stores before them.
#![allow(clippy::too_many_arguments, reason = "one per field of the encoding")]

use jib_ir::op::BinOp;
use jib_ir::region::Val;
use jib_ir::ty::{Lane, Size, Ty};

use super::{Lifted, Lifter};
use crate::field::{Imm, Reg, VReg};
use crate::field_enum;

field_enum! {
    /// The `opc` field of the general register pairs.
    Pair: 2 { W, Sw, X, Unallocated }
}

/// When and how the base moves.
#[derive(Clone, Copy)]
enum Index {
    Offset,
    Pre,
    Post,
}

/// The address of a pair and, if the base is to be written back, its new value.
fn address(l: &mut Lifter, rn: Reg, index: Index, imm: i64) -> (Val, Option<Val>) {
    let base = l.xsp(Ty::I64, rn);
    let moved = l.add_imm(base, imm);
    match index {
        Index::Offset => (moved, None),
        Index::Pre => (moved, Some(moved)),
        Index::Post => (base, Some(moved)),
    }
}

/// `lo` and `hi` of a pair of `ty` (`I32`, `I64`) as the one value that memory holds.
pub(super) fn join(l: &mut Lifter, ty: Ty, lo: Val, hi: Val) -> Val {
    if ty == Ty::I64 {
        return l.vpair(lo, hi);
    }
    let lo = l.zext(Ty::I64, 32, lo);
    let hi = l.zext(Ty::I64, 32, hi);
    let hi = l.shift_imm(BinOp::Shl, hi, 32);
    l.or(lo, hi)
}

/// Splits what memory holds into a pair of `ty`.
pub(super) fn split(l: &mut Lifter, ty: Ty, v: Val) -> (Val, Val) {
    if ty == Ty::I64 {
        return (l.vget(Lane::D, 0, v), l.vget(Lane::D, 1, v));
    }
    let hi = l.shift_imm(BinOp::Shr, v, 32);
    (l.zext(Ty::I32, 32, v), l.zext(Ty::I32, 32, hi))
}

/// Type and size of a pair of `ty` as one value.
pub(super) fn joined(ty: Ty) -> (Ty, Size) {
    if ty == Ty::I64 { (Ty::V128, Size::B16) } else { (Ty::I64, Size::B8) }
}

fn element(ty: Ty) -> Size {
    if ty == Ty::I64 { Size::B8 } else { Size::B4 }
}

fn load_pair(l: &mut Lifter, ty: Ty, rn: Reg, addr: Val) -> (Val, Val) {
    if rn.0 == 31 {
        let size = element(ty);
        let lo = l.load(ty, size, addr);
        let next = l.add_imm(addr, size.bytes() as i64);
        return (lo, l.load(ty, size, next));
    }
    let (both, size) = joined(ty);
    let v = l.load(both, size, addr);
    split(l, ty, v)
}

fn store_pair(l: &mut Lifter, ty: Ty, rn: Reg, addr: Val, (lo, hi): (Val, Val)) {
    if rn.0 == 31 {
        let size = element(ty);
        l.store(size, addr, lo);
        let next = l.add_imm(addr, size.bytes() as i64);
        return l.store(size, next, hi);
    }
    let (_, size) = joined(ty);
    let v = join(l, ty, lo, hi);
    l.store(size, addr, v);
}

fn pair(l: &mut Lifter, op: Pair, load: bool, index: Index, imm: Imm<7>, rt2: Reg, rn: Reg, rt: Reg) -> Lifted {
    let ty = if op == Pair::X { Ty::I64 } else { Ty::I32 };
    if op == Pair::Unallocated || (op == Pair::Sw && !load) {
        return Lifted::Undefined;
    }
    let (addr, back) = address(l, rn, index, imm.sext() * element(ty).bytes() as i64);
    if load {
        let (mut lo, mut hi) = load_pair(l, ty, rn, addr);
        if op == Pair::Sw {
            (lo, hi) = (l.sext(Ty::I64, 32, lo), l.sext(Ty::I64, 32, hi));
        }
        l.set_x(rt2, hi);
        l.set_x(rt, lo);
    } else {
        let values = (l.x(ty, rt), l.x(ty, rt2));
        store_pair(l, ty, rn, addr, values);
    }
    if let Some(back) = back {
        l.set_xsp(rn, back);
    }
    Lifted::Next
}

/// LDP, STP, LDPSW (signed offset)
pub(crate) fn pair_offset(l: &mut Lifter, op: Pair, load: bool, imm: Imm<7>, rt2: Reg, rn: Reg, rt: Reg) -> Lifted {
    pair(l, op, load, Index::Offset, imm, rt2, rn, rt)
}

/// LDNP, STNP
pub(crate) fn pair_nontemporal(
    l: &mut Lifter,
    op: Pair,
    load: bool,
    imm: Imm<7>,
    rt2: Reg,
    rn: Reg,
    rt: Reg,
) -> Lifted {
    if op == Pair::Sw {
        return Lifted::Undefined;
    }
    pair(l, op, load, Index::Offset, imm, rt2, rn, rt)
}

/// LDP, STP, LDPSW (post-index)
pub(crate) fn pair_post(l: &mut Lifter, op: Pair, load: bool, imm: Imm<7>, rt2: Reg, rn: Reg, rt: Reg) -> Lifted {
    pair(l, op, load, Index::Post, imm, rt2, rn, rt)
}

/// LDP, STP, LDPSW (pre-index)
pub(crate) fn pair_pre(l: &mut Lifter, op: Pair, load: bool, imm: Imm<7>, rt2: Reg, rn: Reg, rt: Reg) -> Lifted {
    pair(l, op, load, Index::Pre, imm, rt2, rn, rt)
}

fn pair_simd(
    l: &mut Lifter,
    opc: Imm<2>,
    load: bool,
    index: Index,
    imm: Imm<7>,
    rt2: VReg,
    rn: Reg,
    rt: VReg,
) -> Lifted {
    let size = match opc.0 {
        0 => Size::B4,
        1 => Size::B8,
        2 => Size::B16,
        _ => return Lifted::Undefined,
    };
    let (addr, back) = address(l, rn, index, imm.sext() * size.bytes() as i64);
    if load {
        let lo = l.load(Ty::V128, size, addr);
        let next = l.add_imm(addr, size.bytes() as i64);
        let hi = l.load(Ty::V128, size, next);
        l.set_v(rt, lo);
        l.set_v(rt2, hi);
    } else {
        let (lo, hi) = (l.v(rt), l.v(rt2));
        l.store(size, addr, lo);
        let next = l.add_imm(addr, size.bytes() as i64);
        l.store(size, next, hi);
    }
    if let Some(back) = back {
        l.set_xsp(rn, back);
    }
    Lifted::Next
}

/// LDP, STP, LDNP, STNP (SIMD&FP, signed offset)
pub(crate) fn pair_offset_simd(
    l: &mut Lifter,
    opc: Imm<2>,
    load: bool,
    imm: Imm<7>,
    rt2: VReg,
    rn: Reg,
    rt: VReg,
) -> Lifted {
    pair_simd(l, opc, load, Index::Offset, imm, rt2, rn, rt)
}

/// LDP, STP (SIMD&FP, post-index)
pub(crate) fn pair_post_simd(
    l: &mut Lifter,
    opc: Imm<2>,
    load: bool,
    imm: Imm<7>,
    rt2: VReg,
    rn: Reg,
    rt: VReg,
) -> Lifted {
    pair_simd(l, opc, load, Index::Post, imm, rt2, rn, rt)
}

/// LDP, STP (SIMD&FP, pre-index)
pub(crate) fn pair_pre_simd(
    l: &mut Lifter,
    opc: Imm<2>,
    load: bool,
    imm: Imm<7>,
    rt2: VReg,
    rn: Reg,
    rt: VReg,
) -> Lifted {
    pair_simd(l, opc, load, Index::Pre, imm, rt2, rn, rt)
}
