//! Integers: identities of arithmetic, extensions of extensions, comparisons with themselves.

use super::{Found, Ops, imm};
use crate::op::{BinOp, Op, UnOp};
use crate::region::Val;
use crate::ty::{Cc, Ty};

pub(super) fn simplify(ops: Ops<'_>, op: &Op) -> Found {
    match *op {
        Op::Bin { op, ty, a, b } => binary(ops, op, ty, (a, b)),
        Op::Un { op, a, .. } => unary(ops, op, a),
        Op::Ext { ty, signed, bits, a } => extension(ops, ty, (signed, bits), a),
        Op::Cmp { cc, ty, a, b } => comparison(ops, cc, ty, (a, b)),
        _ => Found::Nothing,
    }
}

fn ones(ty: Ty) -> u64 {
    if ty == Ty::I32 { 0xffff_ffff } else { u64::MAX }
}

fn width(ty: Ty) -> u32 {
    ty.int_bits().unwrap_or(64)
}

fn binary(ops: Ops<'_>, op: BinOp, ty: Ty, (a, b): (Val, Val)) -> Found {
    if a == b {
        return same_operands(op, ty, a);
    }
    if let Some(c) = ops.constant(b) {
        return with_constant(op, ty, a, c);
    }
    let commutes =
        matches!(op, BinOp::Add | BinOp::Mul | BinOp::UMulHi | BinOp::SMulHi | BinOp::And | BinOp::Or | BinOp::Xor);
    match ops.constant(a) {
        Some(_) if commutes => Found::Op(Op::Bin { op, ty, a: b, b: a }),
        Some(0) if op == BinOp::Sub => Found::Op(Op::Un { op: UnOp::Neg, ty, a: b }),
        Some(0) => match op {
            BinOp::Shl | BinOp::Shr | BinOp::Sar | BinOp::Ror => Found::Value(a),
            BinOp::AndNot | BinOp::UDiv | BinOp::SDiv => Found::Value(a),
            _ => Found::Nothing,
        },
        _ => Found::Nothing,
    }
}

fn same_operands(op: BinOp, ty: Ty, a: Val) -> Found {
    match op {
        BinOp::And | BinOp::Or => Found::Value(a),
        BinOp::Sub | BinOp::Xor | BinOp::AndNot => imm(ty, 0),
        _ => Found::Nothing,
    }
}

/// `op(a, c)` with `c` a constant.
fn with_constant(op: BinOp, ty: Ty, a: Val, c: u64) -> Found {
    let all = c == ones(ty);
    match op {
        BinOp::Add | BinOp::Sub | BinOp::Or | BinOp::Xor | BinOp::AndNot if c == 0 => Found::Value(a),
        BinOp::Shl | BinOp::Shr | BinOp::Sar | BinOp::Ror if c.is_multiple_of(width(ty).into()) => Found::Value(a),
        BinOp::And | BinOp::Mul | BinOp::UMulHi | BinOp::SMulHi | BinOp::UDiv | BinOp::SDiv if c == 0 => imm(ty, 0),
        BinOp::Mul | BinOp::UDiv | BinOp::SDiv if c == 1 => Found::Value(a),
        BinOp::And if all => Found::Value(a),
        BinOp::Or if all => imm(ty, c),
        BinOp::AndNot if all => imm(ty, 0),
        BinOp::Xor if all => Found::Op(Op::Un { op: UnOp::Not, ty, a }),
        // Masks that are extensions are easier to see through as such.
        BinOp::And if matches!(c, 0xff | 0xffff | 0xffff_ffff) => {
            Found::Op(Op::Ext { ty, signed: false, bits: c.count_ones() as u8, a })
        }
        _ => Found::Nothing,
    }
}

fn unary(ops: Ops<'_>, op: UnOp, a: Val) -> Found {
    match (op, ops.def(a)) {
        // Each of these undoes itself.
        (UnOp::Not | UnOp::Neg | UnOp::Rbit | UnOp::Rev | UnOp::Rev16 | UnOp::Rev32, Op::Un { op: inner, a, .. })
            if inner == op =>
        {
            Found::Value(a)
        }
        _ => Found::Nothing,
    }
}

fn extension(ops: Ops<'_>, ty: Ty, (signed, bits): (bool, u8), a: Val) -> Found {
    let inner = ops.def(a);
    let from = inner.ty().unwrap_or(ty);
    if from == ty && u32::from(bits) >= width(ty) {
        return Found::Value(a);
    }
    let ext = |signed, bits, a| Found::Op(Op::Ext { ty, signed, bits, a });
    match inner {
        // Only bits that the inner one passed on unchanged are looked at.
        Op::Ext { bits: b, a, .. } if bits <= b && u32::from(bits) <= width(from) => ext(signed, bits, a),
        // The inner one's sign or zero bits are what the outer one makes more of.
        Op::Ext { bits: b, a, signed: false, .. } if b < bits && u32::from(b) <= width(from) => ext(false, b, a),
        Op::Ext { bits: b, a, signed: true, .. } if signed && b < bits && u32::from(bits) <= width(from) => {
            ext(true, b, a)
        }
        Op::FromBool { c, .. } if bits > 1 || !signed => {
            if from == ty {
                Found::Value(a)
            } else {
                Found::Op(Op::FromBool { ty, c })
            }
        }
        Op::Load { size, .. } if from == ty && !signed && u64::from(bits) >= 8 * size.bytes() => Found::Value(a),
        Op::VGet { lane, .. } if from == ty && !signed && u32::from(bits) >= lane.bits() => Found::Value(a),
        _ => Found::Nothing,
    }
}

fn comparison(ops: Ops<'_>, cc: Cc, ty: Ty, (a, b): (Val, Val)) -> Found {
    if a == b {
        return imm(Ty::Bool, matches!(cc, Cc::Eq | Cc::Sle | Cc::Ule).into());
    }
    match (cc, ops.constant(a), ops.constant(b)) {
        (Cc::Ult, _, Some(0)) => imm(Ty::Bool, 0),
        (Cc::Ule, Some(0), _) => imm(Ty::Bool, 1),
        (Cc::Ult, Some(0), _) => Found::Op(Op::Cmp { cc: Cc::Ne, ty, a: b, b: a }),
        (Cc::Ule, _, Some(0)) => Found::Op(Op::Cmp { cc: Cc::Eq, ty, a, b }),
        (Cc::Eq | Cc::Ne, Some(_), None) => Found::Op(Op::Cmp { cc, ty, a: b, b: a }),
        (Cc::Eq | Cc::Ne, None, Some(c @ (0 | 1))) => match ops.def(a) {
            Op::FromBool { c: truth, .. } if (cc == Cc::Eq) == (c == 1) => Found::Value(truth),
            Op::FromBool { c: truth, .. } => Found::Op(Op::BNot { c: truth }),
            _ => Found::Nothing,
        },
        _ => Found::Nothing,
    }
}
