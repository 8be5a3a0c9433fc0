//! Integer data processing: bit fields, variable shifts, bit and byte order (Arm ARM C4.1.93, C4.1.95).
#![allow(clippy::too_many_arguments, reason = "one per field of the encoding")]

use jib_ir::op::{BinOp, UnOp};
use jib_ir::region::Val;
use jib_ir::ty::{Cc, Ty};

use super::operand::{Shift, width};
use super::{Lifted, Lifter};
use crate::field::{Imm, Reg};
use crate::field_enum;

field_enum! {
    /// The `opc` field of the bitfield class.
    Bitfield: 2 { Sbfm, Bfm, Ubfm, Unallocated }
}

field_enum! {
    /// The low bits of `opcode` of the one-source class.
    OneSource: 4 { Rbit, Rev16, Rev2, Rev3, Clz, Cls, Ctz, Cnt, Abs, U9, U10, U11, U12, U13, U14, U15 }
}

/// SBFM, BFM, UBFM and all their aliases.
pub(crate) fn bitfield(
    l: &mut Lifter,
    ty: Ty,
    op: Bitfield,
    n: bool,
    immr: Imm<6>,
    imms: Imm<6>,
    rn: Reg,
    rd: Reg,
) -> Lifted {
    let (immr, imms) = (immr.0, imms.0);
    if op == Bitfield::Unallocated || n != (ty == Ty::I64) || immr.max(imms) >= width(ty) {
        return Lifted::Undefined;
    }
    let src = l.x(ty, rn);
    let r = match op {
        Bitfield::Bfm => {
            let old = l.x(ty, rd);
            insert(l, old, src, immr, imms)
        }
        _ => place(l, op == Bitfield::Sbfm, src, immr, imms),
    };
    l.set_x(rd, r);
    Lifted::Next
}

/// SBFM and UBFM: a field taken down to bit 0 (ASR, LSR, SBFX, UBFX, SXTB, UXTH ...) or one at bit
/// 0 moved up (LSL, SBFIZ, UBFIZ), extended above.
fn place(l: &mut Lifter, signed: bool, src: Val, immr: u32, imms: u32) -> Val {
    let ty = l.ty(src);
    let top = width(ty) - 1;
    let right = if signed { BinOp::Sar } else { BinOp::Shr };
    if imms == top {
        return l.shift_imm(right, src, immr);
    }
    if imms >= immr {
        let v = l.shift_imm(BinOp::Shr, src, immr);
        return extend(l, signed, imms - immr + 1, v);
    }
    let shift = width(ty) - immr;
    // LSL: the field reaches the top, nothing is left to extend.
    let v = if imms + shift == top { src } else { extend(l, signed, imms + 1, src) };
    l.shift_imm(BinOp::Shl, v, shift)
}

fn extend(l: &mut Lifter, signed: bool, bits: u32, v: Val) -> Val {
    let ty = l.ty(v);
    if signed { l.sext(ty, bits, v) } else { l.zext(ty, bits, v) }
}

/// BFM: BFXIL, BFI, BFC.
fn insert(l: &mut Lifter, old: Val, src: Val, immr: u32, imms: u32) -> Val {
    let ty = l.ty(src);
    let (bits, to) = if imms >= immr { (imms - immr + 1, 0) } else { (imms + 1, width(ty) - immr) };
    if bits == width(ty) {
        return src;
    }
    let down = if imms >= immr { l.shift_imm(BinOp::Shr, src, immr) } else { src };
    let field = l.zext(ty, bits, down);
    let field = l.shift_imm(BinOp::Shl, field, to);
    let mask = ((1u64 << bits) - 1) << to;
    let rest = l.and_imm(old, !mask);
    l.or(rest, field)
}

/// EXTR; ROR (immediate) when both sources are one.
pub(crate) fn extr(l: &mut Lifter, ty: Ty, n: bool, rm: Reg, lsb: Imm<6>, rn: Reg, rd: Reg) -> Lifted {
    if n != (ty == Ty::I64) || lsb.0 >= width(ty) {
        return Lifted::Undefined;
    }
    let m = l.x(ty, rm);
    let r = if lsb.0 == 0 {
        m
    } else if rn == rm {
        l.shift_imm(BinOp::Ror, m, lsb.0)
    } else {
        let hi = l.x(ty, rn);
        let hi = l.shift_imm(BinOp::Shl, hi, width(ty) - lsb.0);
        let lo = l.shift_imm(BinOp::Shr, m, lsb.0);
        l.or(hi, lo)
    };
    l.set_x(rd, r);
    Lifted::Next
}

/// LSLV, LSRV, ASRV, RORV
pub(crate) fn shift_var(l: &mut Lifter, ty: Ty, rm: Reg, op: Shift, rn: Reg, rd: Reg) -> Lifted {
    let n = l.x(ty, rn);
    let m = l.x(ty, rm);
    let r = l.bin(op.op(), n, m);
    l.set_x(rd, r);
    Lifted::Next
}

/// RBIT, REV16, REV32, REV, CLZ, CLS, CTZ, CNT, ABS
pub(crate) fn dp_1src(l: &mut Lifter, ty: Ty, op: OneSource, rn: Reg, rd: Reg) -> Lifted {
    let op = match (op, ty) {
        (OneSource::Rbit, _) => UnOp::Rbit,
        (OneSource::Rev16, _) => UnOp::Rev16,
        (OneSource::Rev2, Ty::I32) | (OneSource::Rev3, Ty::I64) => UnOp::Rev,
        (OneSource::Rev2, _) => UnOp::Rev32,
        (OneSource::Clz, _) => UnOp::Clz,
        (OneSource::Cls, _) => UnOp::Cls,
        (OneSource::Ctz, _) => UnOp::Ctz,
        (OneSource::Cnt, _) => UnOp::Popcnt,
        (OneSource::Abs, _) => return abs(l, ty, rn, rd),
        _ => return Lifted::Undefined,
    };
    let v = l.x(ty, rn);
    let r = l.un(op, v);
    l.set_x(rd, r);
    Lifted::Next
}

fn abs(l: &mut Lifter, ty: Ty, rn: Reg, rd: Reg) -> Lifted {
    let v = l.x(ty, rn);
    let zero = l.imm(ty, 0);
    let negative = l.cmp(Cc::Slt, v, zero);
    let minus = l.un(UnOp::Neg, v);
    let r = l.select(negative, minus, v);
    l.set_x(rd, r);
    Lifted::Next
}
