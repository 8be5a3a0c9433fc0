//! Ops on constants become constants; ops that change nothing, their operand; others, cheaper ones.
//!
//! The other half of [`super::simplify`]. The promise: what a constant op gives is what [`eval`] says.

mod bits;
mod bools;
mod vectors;

use crate::eval::{self, FpEnv};
use crate::op::{Effect, Op};
use crate::region::Val;
use crate::ty::Ty;

/// What an op is found to be.
#[derive(Clone, Copy, PartialEq)]
enum Found {
    /// Nothing better than it is.
    Nothing,
    /// A value that is there already.
    Value(Val),
    /// Another op.
    Op(Op),
}

/// Most times that an op is replaced by another; each makes it simpler, so this is never the end.
const ROUNDS: usize = 8;

/// Makes `op` simpler, with the ops `before` it simplified already; the value that it is found to be, if that is there
/// already.
#[inline]
pub(super) fn step(before: &[Op], op: &mut Op) -> Option<Val> {
    let ops = Ops(before);
    for _ in 0..ROUNDS {
        match ops.simplify(op) {
            Found::Nothing => return None,
            Found::Value(v) => return Some(v),
            Found::Op(better) => *op = better,
        }
    }
    None
}

/// The ops before the one that is being simplified.
#[derive(Clone, Copy)]
struct Ops<'a>(&'a [Op]);

/// An integer or truth constant.
const fn imm(ty: Ty, v: u64) -> Found {
    Found::Op(Op::Imm { ty, v })
}

impl Ops<'_> {
    #[inline]
    fn def(self, v: Val) -> Op {
        self.0[v.index()]
    }

    /// The constant that `v` is, if an integer or truth value.
    #[inline]
    fn constant(self, v: Val) -> Option<u64> {
        match self.0[v.index()] {
            Op::Imm { ty: Ty::I32, v } => Some(v & 0xffff_ffff),
            Op::Imm { v, .. } => Some(v),
            _ => None,
        }
    }

    fn simplify(self, op: &Op) -> Found {
        if op.effect() != Effect::Pure {
            return bools::end(self, op);
        }
        if let Some(found) = self.evaluate(op) {
            return found;
        }
        match op {
            Op::Bin { .. } | Op::Un { .. } | Op::Ext { .. } | Op::Cmp { .. } => bits::simplify(self, op),
            Op::TestBit { .. }
            | Op::BNot { .. }
            | Op::BAnd { .. }
            | Op::Select { .. }
            | Op::Cond { .. }
            | Op::FlagsPack { .. } => bools::simplify(self, op),
            _ => vectors::simplify(self, op),
        }
    }

    /// What `op` gives if all its operands are constants.
    fn evaluate(self, op: &Op) -> Option<Found> {
        let (mut operands, mut constants) = (0, 0);
        op.for_each_arg(&mut |v| {
            operands += 1;
            constants += u32::from(matches!(self.0[v.index()], Op::Imm { .. } | Op::VImm { .. }));
        });
        if operands == 0 || constants != operands {
            return None;
        }
        self.evaluate_constants(op)
    }

    #[inline(never)]
    fn evaluate_constants(self, op: &Op) -> Option<Found> {
        let get = |v: Val| match self.def(v) {
            Op::Imm { ty: Ty::I32 | Ty::Flags, v } => u128::from(v as u32),
            Op::Imm { v, .. } => v.into(),
            Op::VImm { lo, hi } => u128::from(lo) | u128::from(hi) << 64,
            _ => 0,
        };
        let v = eval::value(op, get, &mut FpEnv { fpcr: 0, fpsr: 0 })?;
        Some(match op.ty()? {
            Ty::V128 => Found::Op(Op::VImm { lo: v as u64, hi: (v >> 64) as u64 }),
            ty => imm(ty, v as u64),
        })
    }
}
