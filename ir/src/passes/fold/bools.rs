//! Truth values: negations, selections, and the branches that depend on them.

use super::{Found, Ops, imm};
use crate::op::Op;
use crate::ty::{Cc, Cond, Ty};

pub(super) fn simplify(ops: Ops<'_>, op: &Op) -> Found {
    match *op {
        Op::TestBit { a, bit, .. } => match ops.def(a) {
            Op::FromBool { c, .. } if bit == 0 => Found::Value(c),
            Op::FromBool { .. } => imm(Ty::Bool, 0),
            _ => Found::Nothing,
        },
        Op::BNot { c } => match ops.def(c) {
            Op::BNot { c } => Found::Value(c),
            Op::Cond { cond, f } if !matches!(cond, Cond::Al | Cond::Nv) => {
                Found::Op(Op::Cond { cond: cond.negate(), f })
            }
            Op::Cmp { cc, ty, a, b } => Found::Op(match cc {
                Cc::Eq => Op::Cmp { cc: Cc::Ne, ty, a, b },
                Cc::Ne => Op::Cmp { cc: Cc::Eq, ty, a, b },
                Cc::Slt => Op::Cmp { cc: Cc::Sle, ty, a: b, b: a },
                Cc::Sle => Op::Cmp { cc: Cc::Slt, ty, a: b, b: a },
                Cc::Ult => Op::Cmp { cc: Cc::Ule, ty, a: b, b: a },
                Cc::Ule => Op::Cmp { cc: Cc::Ult, ty, a: b, b: a },
            }),
            _ => Found::Nothing,
        },
        Op::BAnd { a, b } if a == b => Found::Value(a),
        Op::BAnd { a, b } => match (ops.constant(a), ops.constant(b)) {
            (Some(0), _) | (_, Some(0)) => imm(Ty::Bool, 0),
            (Some(_), _) => Found::Value(b),
            (_, Some(_)) => Found::Value(a),
            _ => Found::Nothing,
        },
        Op::Select { a, b, .. } if a == b => Found::Value(a),
        Op::Select { ty, c, a, b } => match (ops.constant(c), ops.def(c)) {
            (Some(0), _) => Found::Value(b),
            (Some(_), _) => Found::Value(a),
            (None, Op::BNot { c }) => Found::Op(Op::Select { ty, c, a: b, b: a }),
            _ => match (ty, ops.constant(a), ops.constant(b)) {
                (Ty::Bool, Some(1), Some(0)) => Found::Value(c),
                (Ty::Bool, Some(0), Some(1)) => Found::Op(Op::BNot { c }),
                (Ty::Bool, None, Some(0)) => Found::Op(Op::BAnd { a: c, b: a }),
                (Ty::I32 | Ty::I64, Some(1), Some(0)) => Found::Op(Op::FromBool { ty, c }),
                _ => Found::Nothing,
            },
        },
        Op::Cond { cond: Cond::Al | Cond::Nv, .. } => imm(Ty::Bool, 1),
        Op::FlagsPack { a } => match ops.def(a) {
            Op::FlagsUnpack { f } => Found::Value(f),
            _ => Found::Nothing,
        },
        _ => Found::Nothing,
    }
}

/// A block's end that does not need its condition.
pub(super) fn end(ops: Ops<'_>, op: &Op) -> Found {
    match *op {
        Op::Branch { then, els, .. } if then == els => Found::Op(Op::Jump { to: then }),
        Op::Branch { c, then, els } => match (ops.constant(c), ops.def(c)) {
            (Some(0), _) => Found::Op(Op::Jump { to: els }),
            (Some(_), _) => Found::Op(Op::Jump { to: then }),
            (None, Op::BNot { c }) => Found::Op(Op::Branch { c, then: els, els: then }),
            _ => Found::Nothing,
        },
        _ => Found::Nothing,
    }
}
