//! The meaning of the vector ops.
//!
//! The promise: one inlinable function per op family, with plain parameters, for compiled code to call with constant
//! ones; and [`value`], which takes them from an op and calls them out of line to keep an interpreter's loop small.

#![allow(clippy::unnecessary_cast, reason = "the lane types that `by_lane` puts in differ")]

#[macro_use]
mod lanes;
#[macro_use]
mod shift;
mod binary;
mod moves;
mod sat;
#[cfg(test)]
mod tests;

pub use binary::{vbin, vun};
pub use moves::{vdot, vdup, vext, vget, vmmla, vmull, vnarrow, vreduce, vset, vtbx, vwiden, vzero_hi};
pub use sat::{vsat, vsat_mla, vsat_narrow, vsat_shift};
pub use shift::vshift;

use super::{FpEnv, float};
use crate::op::Op;
use crate::region::Val;

/// Evaluates a vector or FP op; `None` for any other.
#[inline(always)]
pub fn value(op: &Op, get: impl Fn(Val) -> u128, env: &mut FpEnv) -> Option<u128> {
    Some(match *op {
        Op::VGet { lane, idx, v } => vget(lane, idx, get(v)) as u128,
        Op::VSet { lane, idx, v, x } => vset(lane, idx, get(v), get(x) as u64),
        Op::VDup { lane, x } => vdup(lane, get(x) as u64),
        Op::VDupLane { lane, idx, v } => vdup(lane, vget(lane, idx, get(v))),
        Op::VMovLane { lane, dst, v, src, from } => vset(lane, dst, get(v), vget(lane, src, get(from))),
        Op::VPair { lo, hi } => get(lo) as u64 as u128 | get(hi) << 64,
        Op::VZeroHi { bytes, v } => vzero_hi(bytes, get(v)),
        Op::VHigh { v } => get(v) >> 64,
        Op::VExt { a, b, imm } => vext(get(a), get(b), imm),
        Op::VTbx { acc, table, idx } => vtbx(get(acc), get(table), get(idx)),
        Op::VAnd { a, b } => get(a) & get(b),
        Op::VOr { a, b } => get(a) | get(b),
        Op::VXor { a, b } => get(a) ^ get(b),
        Op::VAndNot { a, b } => get(a) & !get(b),
        Op::VNot { a } => !get(a),
        Op::VBsl { mask, a, b } => get(b) ^ (get(mask) & (get(a) ^ get(b))),
        Op::VBin { a, b, .. }
        | Op::VMulL { a, b, .. }
        | Op::VSat { a, b, .. }
        | Op::FBin { a, b, .. }
        | Op::FCmp { a, b, .. }
        | Op::FMask { a, b, .. } => out_of_line(op, [get(a), get(b), 0], env)?,
        Op::VUn { a, .. }
        | Op::VShift { a, .. }
        | Op::VWiden { a, .. }
        | Op::VNarrow { a, .. }
        | Op::VReduce { a, .. }
        | Op::VSatShift { a, .. }
        | Op::VSatNarrow { a, .. }
        | Op::FUn { a, .. }
        | Op::FSign { a, .. }
        | Op::FRound { a, .. }
        | Op::FCvt { a, .. }
        | Op::FToInt { a, .. }
        | Op::IntToF { a, .. }
        | Op::FJcvt { a } => out_of_line(op, [get(a), 0, 0], env)?,
        Op::VDot { acc, a, b, .. }
        | Op::VMmla { acc, a, b, .. }
        | Op::VSatMla { acc, a, b, .. }
        | Op::FMulAdd { acc, a, b, .. }
        | Op::FMulAddHS { acc, a, b, .. } => out_of_line(op, [get(a), get(b), get(acc)], env)?,
        _ => return None,
    })
}

/// The families too big to be worth inlining. Operands are `a`, `b` and `acc`.
#[inline(never)]
fn out_of_line(op: &Op, [a, b, acc]: [u128; 3], env: &mut FpEnv) -> Option<u128> {
    Some(match *op {
        Op::VBin { op, lane, .. } => vbin(op, lane, a, b),
        Op::VUn { op, lane, .. } => vun(op, lane, a),
        Op::VShift { op, lane, imm, .. } => vshift(op, lane, imm, a),
        Op::VWiden { signed, lane, .. } => vwiden(signed, lane, a),
        Op::VNarrow { lane, .. } => vnarrow(lane, a),
        Op::VMulL { signed, lane, .. } => vmull(signed, lane, a, b),
        Op::VReduce { op, lane, shape, .. } => vreduce(op, lane, shape, a),
        Op::VDot { signs, .. } => vdot(signs, acc, a, b),
        Op::VMmla { signs, .. } => vmmla(signs, acc, a, b),
        Op::VSat { op, lane, .. } => vsat(op, lane, a, b, &mut env.fpsr),
        Op::VSatMla { sub, lane, .. } => vsat_mla(sub, lane, acc, a, b, &mut env.fpsr),
        Op::VSatShift { op, lane, imm, .. } => vsat_shift(op, lane, imm, a, &mut env.fpsr),
        Op::VSatNarrow { op, lane, .. } => vsat_narrow(op, lane, a, &mut env.fpsr),
        _ => return float::value(op, [a, b, acc], env),
    })
}
