//! AdvSIMD two-register miscellaneous, across lanes and scalar pairwise, integer (Arm ARM C4.1.96).

use jib_ir::op::{Op, VBinOp, VReduceOp, VSatNarrowOp, VSatOp, VShiftOp, VUnOp};
use jib_ir::region::Val;
use jib_ir::ty::{Lane, Shape};

use super::simd::{Form, Qu};
use super::{Lifted, Lifter};
use crate::field::{Imm, VReg};

/// A lane-wise operation of one source.
#[derive(Clone, Copy)]
enum One {
    Un(VUnOp),
    /// On bytes, whatever the `size` field says.
    Bytes(VUnOp),
    Not,
    /// Pairwise long sums added to the destination.
    AccPairs(VUnOp),
    /// Comparison with zero, which is the second operand.
    CmpZero(VBinOp),
    /// Comparison with zero, which is the first operand.
    ZeroCmp(VBinOp),
    /// Saturating, of the source alone.
    Sat(VSatOp),
    /// Saturating, adding the source to the destination.
    SatAdd(VSatOp),
}

/// The operation of `U` and `opcode`, unless it changes the lane width.
fn misc_op(u: bool, lane: Lane, opcode: Imm<5>) -> Option<One> {
    use One::*;
    use VUnOp::*;
    let (op, widest) = match (opcode.0, u) {
        (0b00000, false) => (Un(Rev64), Lane::S),
        (0b00000, true) => (Un(Rev32), Lane::H),
        (0b00001, false) => (Un(Rev16), Lane::B),
        (0b00010, false) => (Un(SAddLP), Lane::S),
        (0b00010, true) => (Un(UAddLP), Lane::S),
        (0b00011, false) => (SatAdd(VSatOp::SUQAdd), Lane::D),
        (0b00011, true) => (SatAdd(VSatOp::USQAdd), Lane::D),
        (0b00100, false) => (Un(Cls), Lane::S),
        (0b00100, true) => (Un(Clz), Lane::S),
        (0b00101, false) => (Bytes(Cnt), Lane::B),
        (0b00101, true) if lane == Lane::B => (Not, Lane::B),
        (0b00101, true) => (Bytes(Rbit), Lane::H),
        (0b00110, false) => (AccPairs(SAddLP), Lane::S),
        (0b00110, true) => (AccPairs(UAddLP), Lane::S),
        (0b00111, false) => (Sat(VSatOp::SQAbs), Lane::D),
        (0b00111, true) => (Sat(VSatOp::SQNeg), Lane::D),
        (0b01000, false) => (CmpZero(VBinOp::CmpGt), Lane::D),
        (0b01000, true) => (CmpZero(VBinOp::CmpGe), Lane::D),
        (0b01001, false) => (CmpZero(VBinOp::CmpEq), Lane::D),
        (0b01001, true) => (ZeroCmp(VBinOp::CmpGe), Lane::D),
        (0b01010, false) => (ZeroCmp(VBinOp::CmpGt), Lane::D),
        (0b01011, false) => (Un(Abs), Lane::D),
        (0b01011, true) => (Un(Neg), Lane::D),
        _ => return None,
    };
    (lane <= widest).then_some(op)
}

/// The class, vector forms.
pub(crate) fn two_misc(l: &mut Lifter, qu: Qu, lane: Lane, opcode: Imm<5>, rn: VReg, rd: VReg) -> Lifted {
    match (opcode.0, qu.u) {
        (0b10010 | 0b10100, _) => narrow(l, Shape::of_q(qu.q), qu, lane, opcode, rn, rd),
        (0b10011, true) => shll(l, qu.q, lane, rn, rd),
        _ => match (misc_op(qu.u, lane, opcode), Form::vector(qu.q, lane)) {
            (Some(op), Some(form)) => one(l, op, form, rn, rd),
            _ => Lifted::Undefined,
        },
    }
}

/// The scalar forms: saturating ones of any width, others of doublewords only.
pub(crate) fn two_misc_scalar(l: &mut Lifter, u: bool, lane: Lane, opcode: Imm<5>, rn: VReg, rd: VReg) -> Lifted {
    match (opcode.0, u) {
        (0b10010, true) | (0b10100, _) => narrow(l, Shape::Scalar, Qu { q: false, u }, lane, opcode, rn, rd),
        _ => match misc_op(u, lane, opcode) {
            Some(op @ (One::Sat(_) | One::SatAdd(_))) => one(l, op, Form::scalar(lane), rn, rd),
            Some(op @ (One::Un(_) | One::CmpZero(_) | One::ZeroCmp(_))) if lane == Lane::D => {
                one(l, op, Form::scalar(lane), rn, rd)
            }
            _ => Lifted::Undefined,
        },
    }
}

fn one(l: &mut Lifter, op: One, form: Form, rn: VReg, rd: VReg) -> Lifted {
    let lane = form.lane;
    let n = l.v(rn);
    let r = match op {
        One::Un(op) => l.vun(op, lane, n),
        One::Bytes(op) => l.vun(op, Lane::B, n),
        One::Not => l.vnot(n),
        One::AccPairs(op) => {
            let sums = l.vun(op, lane, n);
            let d = l.v(rd);
            l.vbin(VBinOp::Add, lane.wider().unwrap_or(lane), d, sums)
        }
        One::CmpZero(op) => {
            let zero = l.vimm(0);
            l.vbin(op, lane, n, zero)
        }
        One::ZeroCmp(op) => {
            let zero = l.vimm(0);
            l.vbin(op, lane, zero, n)
        }
        One::Sat(op) => {
            let n = l.vzero_hi(form.bytes(), n);
            l.vsat(op, lane, n, n)
        }
        One::SatAdd(op) => {
            let n = l.vzero_hi(form.bytes(), n);
            let d = l.v_active(form, rd);
            l.vsat(op, lane, d, n)
        }
    };
    l.set_active(form, rd, r);
    Lifted::Next
}

/// XTN, SQXTN, SQXTUN, UQXTN
fn narrow(l: &mut Lifter, shape: Shape, qu: Qu, lane: Lane, opcode: Imm<5>, rn: VReg, rd: VReg) -> Lifted {
    let Some(wide) = lane.wider() else {
        return Lifted::Undefined;
    };
    let op = match (opcode.0, qu.u) {
        (0b10010, false) => None,
        (0b10010, true) => Some(VSatNarrowOp::SQXtun),
        (_, false) => Some(VSatNarrowOp::SQXtn),
        (_, true) => Some(VSatNarrowOp::UQXtn),
    };
    let n = if shape == Shape::Scalar { l.v_active(Form::scalar(wide), rn) } else { l.v(rn) };
    set_narrowed(l, op, qu.q, lane, rd, n)
}

/// Sets `rd` (its high half if `high`) to the lanes of `wide` narrowed to `lane`.
pub(crate) fn set_narrowed(
    l: &mut Lifter,
    op: Option<VSatNarrowOp>,
    high: bool,
    lane: Lane,
    rd: VReg,
    wide: Val,
) -> Lifted {
    let r = l.push(match op {
        None => Op::VNarrow { lane, a: wide },
        Some(op) => Op::VSatNarrow { op, lane, a: wide },
    });
    l.set_part(high, rd, r);
    Lifted::Next
}

/// SHLL
fn shll(l: &mut Lifter, q: bool, lane: Lane, rn: VReg, rd: VReg) -> Lifted {
    let Some(wide) = lane.wider() else {
        return Lifted::Undefined;
    };
    let n = l.v_part(q, rn);
    let n = l.vwiden(false, lane, n);
    let r = l.vshift(VShiftOp::Shl, wide, lane.bits(), n);
    l.set_v(rd, r);
    Lifted::Next
}

/// SADDLV, SMAXV, SMINV, ADDV and unsigned
pub(crate) fn across_lanes(l: &mut Lifter, qu: Qu, lane: Lane, opcode: Imm<5>, rn: VReg, rd: VReg) -> Lifted {
    let op = match (opcode.0, qu.u) {
        (0b00011, false) => VReduceOp::SAddL,
        (0b00011, true) => VReduceOp::UAddL,
        (0b01010, false) => VReduceOp::SMax,
        (0b01010, true) => VReduceOp::UMax,
        (0b11010, false) => VReduceOp::SMin,
        (0b11010, true) => VReduceOp::UMin,
        (0b11011, false) => VReduceOp::Add,
        _ => return Lifted::Undefined,
    };
    if lane == Lane::D || (lane == Lane::S && !qu.q) {
        return Lifted::Undefined;
    }
    reduce(l, op, lane, Shape::of_q(qu.q), rn, rd)
}

/// ADDP (scalar)
pub(crate) fn addp_scalar(l: &mut Lifter, rn: VReg, rd: VReg) -> Lifted {
    reduce(l, VReduceOp::Add, Lane::D, Shape::Full, rn, rd)
}

fn reduce(l: &mut Lifter, op: VReduceOp, lane: Lane, shape: Shape, rn: VReg, rd: VReg) -> Lifted {
    let a = l.v(rn);
    let r = l.push(Op::VReduce { op, lane, shape, a });
    l.set_v(rd, r);
    Lifted::Next
}
