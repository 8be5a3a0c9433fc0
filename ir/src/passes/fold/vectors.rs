//! Vectors: bitwise identities, lanes read from where they were put, zeroing of what is zero.

use super::{Found, Ops};
use crate::op::{Op, VReduceOp};
use crate::region::Val;
use crate::ty::{Lane, lane_of};

pub(super) fn simplify(ops: Ops<'_>, op: &Op) -> Found {
    match *op {
        Op::VAnd { a, b } | Op::VOr { a, b } if a == b => Found::Value(a),
        Op::VXor { a, b } | Op::VAndNot { a, b } if a == b => Found::Op(Op::VImm { lo: 0, hi: 0 }),
        Op::VAnd { a, b } => match (is_zero(ops, a), is_zero(ops, b)) {
            (true, _) => Found::Value(a),
            (_, true) => Found::Value(b),
            _ => Found::Nothing,
        },
        Op::VOr { a, b } | Op::VXor { a, b } => match (is_zero(ops, a), is_zero(ops, b)) {
            (true, _) => Found::Value(b),
            (_, true) => Found::Value(a),
            _ => Found::Nothing,
        },
        Op::VAndNot { a, b } if is_zero(ops, b) => Found::Value(a),
        Op::VNot { a } => match ops.def(a) {
            Op::VNot { a } => Found::Value(a),
            _ => Found::Nothing,
        },
        Op::VBsl { a, b, .. } if a == b => Found::Value(a),
        Op::VExt { a, imm: 0, .. } => Found::Value(a),
        Op::VZeroHi { bytes, v } if nonzero_bytes(ops, v) <= u32::from(bytes) => Found::Value(v),
        Op::VZeroHi { bytes, v } => match ops.def(v) {
            // The inner one keeps more than this one: otherwise there was nothing left to zero.
            Op::VZeroHi { v, .. } => Found::Op(Op::VZeroHi { bytes, v }),
            _ => Found::Nothing,
        },
        Op::VGet { lane, idx, v } => lane_of_value(ops, lane, idx, v),
        Op::VDup { lane, x } => match ops.def(x) {
            Op::VGet { lane: from, idx, v } if from == lane => Found::Op(Op::VDupLane { lane, idx, v }),
            _ => Found::Nothing,
        },
        _ => Found::Nothing,
    }
}

fn is_zero(ops: Ops<'_>, v: Val) -> bool {
    matches!(ops.def(v), Op::VImm { lo: 0, hi: 0 })
}

/// Lane `idx` of `v`.
fn lane_of_value(ops: Ops<'_>, lane: Lane, idx: u8, v: Val) -> Found {
    match ops.def(v) {
        Op::VPair { lo, hi } if lane == Lane::D => Found::Value(if idx == 0 { lo } else { hi }),
        Op::VZeroHi { bytes, v } if (u32::from(idx) + 1) * lane.bytes() <= u32::from(bytes) => {
            Found::Op(Op::VGet { lane, idx, v })
        }
        Op::VSet { lane: Lane::D, idx: at, x, .. } if lane == Lane::D && at == idx => Found::Value(x),
        Op::VSet { lane: set, idx: at, v, .. } if set == lane && at != idx => Found::Op(Op::VGet { lane, idx, v }),
        Op::VDup { lane: Lane::D, x } if lane == Lane::D => Found::Value(x),
        _ => Found::Nothing,
    }
}

/// How many of the low bytes of `v` may be other than zero, by what `v` is.
fn nonzero_bytes(ops: Ops<'_>, v: Val) -> u32 {
    match ops.def(v) {
        Op::VZeroHi { bytes, .. } => bytes.into(),
        Op::VHigh { .. } | Op::VNarrow { .. } | Op::VSatNarrow { .. } => 8,
        Op::Load { size, .. } => size.bytes() as u32,
        Op::VReduce { op: VReduceOp::SAddL | VReduceOp::UAddL, lane, .. } => 2 * lane.bytes(),
        Op::VReduce { lane, .. } => lane.bytes(),
        Op::FBin { fmt, shape, .. }
        | Op::FUn { fmt, shape, .. }
        | Op::FSign { fmt, shape, .. }
        | Op::FMulAdd { fmt, shape, .. }
        | Op::FRound { fmt, shape, .. }
        | Op::FMask { fmt, shape, .. } => shape.lanes(lane_of(fmt)) * lane_of(fmt).bytes(),
        Op::FMulAddHS { shape, .. } => shape.lanes(Lane::S) * 4,
        Op::FCvt { to, lanes, .. } => u32::from(lanes) * lane_of(to).bytes(),
        Op::FToInt { to, lanes, .. } => u32::from(lanes) * to.bytes(),
        Op::IntToF { fmt, lanes, .. } => u32::from(lanes) * lane_of(fmt).bytes(),
        _ => 16,
    }
}
