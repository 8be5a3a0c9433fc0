//! AdvSIMD shift by immediate, vector and scalar (Arm ARM C4.1.96).

use jib_ir::op::{Op, VBinOp, VSatNarrowOp, VSatShiftOp, VShiftOp};
use jib_ir::region::Val;
use jib_ir::ty::Lane;

use super::simd::{Form, Qu};
use super::simd_misc::set_narrowed;
use super::{Lifted, Lifter};
use crate::field::{Imm, VReg};

/// A shift that keeps the lane width.
#[derive(Clone, Copy)]
enum Shift {
    Right(VShiftOp),
    /// Added to the destination.
    RightAcc(VShiftOp),
    Left,
    /// SRI: inserted below the destination's high bits.
    RightInsert,
    /// SLI: inserted above the destination's low bits.
    LeftInsert,
    Sat(VSatShiftOp),
}

/// The width and count in `immh:immb`: the highest set bit of `immh` tells the width.
#[derive(Clone, Copy)]
struct Count {
    lane: Lane,
    bits: u32,
}

impl Count {
    fn of(imm: Imm<7>) -> Option<Count> {
        let lane = Lane::ALL[(imm.0 >> 3).checked_ilog2()? as usize];
        Some(Count { lane, bits: imm.0 })
    }
    fn left(self) -> u32 {
        self.bits - self.lane.bits()
    }
    fn right(self) -> u32 {
        2 * self.lane.bits() - self.bits
    }
}

fn shift_op(u: bool, opcode: Imm<5>) -> Option<Shift> {
    use Shift::*;
    use VShiftOp::*;
    Some(match (opcode.0, u) {
        (0b00000, false) => Right(SShr),
        (0b00000, true) => Right(UShr),
        (0b00010, false) => RightAcc(SShr),
        (0b00010, true) => RightAcc(UShr),
        (0b00100, false) => Right(SRShr),
        (0b00100, true) => Right(URShr),
        (0b00110, false) => RightAcc(SRShr),
        (0b00110, true) => RightAcc(URShr),
        (0b01000, true) => RightInsert,
        (0b01010, false) => Left,
        (0b01010, true) => LeftInsert,
        (0b01100, true) => Sat(VSatShiftOp::SQShlu),
        (0b01110, false) => Sat(VSatShiftOp::SQShl),
        (0b01110, true) => Sat(VSatShiftOp::UQShl),
        _ => return None,
    })
}

/// How a narrowing shift shifts and saturates.
fn narrow_op(u: bool, opcode: Imm<5>) -> Option<(VShiftOp, Option<VSatNarrowOp>)> {
    use VSatNarrowOp::*;
    use VShiftOp::*;
    Some(match (opcode.0, u) {
        (0b10000, false) => (UShr, None),
        (0b10001, false) => (URShr, None),
        (0b10000, true) => (SShr, Some(SQXtun)),
        (0b10001, true) => (SRShr, Some(SQXtun)),
        (0b10010, false) => (SShr, Some(SQXtn)),
        (0b10011, false) => (SRShr, Some(SQXtn)),
        (0b10010, true) => (UShr, Some(UQXtn)),
        (0b10011, true) => (URShr, Some(UQXtn)),
        _ => return None,
    })
}

/// The class, vector forms.
pub(crate) fn shift_imm(l: &mut Lifter, qu: Qu, imm: Imm<7>, opcode: Imm<5>, rn: VReg, rd: VReg) -> Lifted {
    let Some(count) = Count::of(imm) else {
        return Lifted::Undefined;
    };
    if let Some((shift, sat)) = narrow_op(qu.u, opcode) {
        let Some(wide) = count.lane.wider() else {
            return Lifted::Undefined;
        };
        let n = l.v(rn);
        let n = l.vshift(shift, wide, count.right(), n);
        return set_narrowed(l, sat, qu.q, count.lane, rd, n);
    }
    if opcode.0 == 0b10100 {
        return shift_long(l, qu, count, rn, rd);
    }
    match (shift_op(qu.u, opcode), Form::vector(qu.q, count.lane)) {
        (Some(op), Some(form)) => shift(l, op, form, count, rn, rd),
        _ => Lifted::Undefined,
    }
}

/// The scalar forms: saturating ones of any width, others of doublewords only.
pub(crate) fn shift_imm_scalar(l: &mut Lifter, u: bool, imm: Imm<7>, opcode: Imm<5>, rn: VReg, rd: VReg) -> Lifted {
    let Some(count) = Count::of(imm) else {
        return Lifted::Undefined;
    };
    if let Some((shift, Some(sat))) = narrow_op(u, opcode) {
        let Some(wide) = count.lane.wider() else {
            return Lifted::Undefined;
        };
        let n = l.v_active(Form::scalar(wide), rn);
        let n = l.vshift(shift, wide, count.right(), n);
        return set_narrowed(l, Some(sat), false, count.lane, rd, n);
    }
    match shift_op(u, opcode) {
        Some(op) if count.lane == Lane::D || matches!(op, Shift::Sat(_)) => {
            shift(l, op, Form::scalar(count.lane), count, rn, rd)
        }
        _ => Lifted::Undefined,
    }
}

/// SSHLL, USHLL
fn shift_long(l: &mut Lifter, qu: Qu, count: Count, rn: VReg, rd: VReg) -> Lifted {
    let Some(wide) = count.lane.wider() else {
        return Lifted::Undefined;
    };
    let n = l.v_part(qu.q, rn);
    let mut r = l.vwiden(!qu.u, count.lane, n);
    if count.left() != 0 {
        r = l.vshift(VShiftOp::Shl, wide, count.left(), r);
    }
    l.set_v(rd, r);
    Lifted::Next
}

fn shift(l: &mut Lifter, op: Shift, form: Form, count: Count, rn: VReg, rd: VReg) -> Lifted {
    let lane = form.lane;
    let n = l.v(rn);
    let r = match op {
        Shift::Right(op) => l.vshift(op, lane, count.right(), n),
        Shift::RightAcc(op) => {
            let r = l.vshift(op, lane, count.right(), n);
            let d = l.v(rd);
            l.vbin(VBinOp::Add, lane, d, r)
        }
        Shift::Left => l.vshift(VShiftOp::Shl, lane, count.left(), n),
        Shift::RightInsert => {
            let r = l.vshift(VShiftOp::UShr, lane, count.right(), n);
            let inserted = lane.mask().checked_shr(count.right()).unwrap_or(0);
            insert(l, lane, inserted, rd, r)
        }
        Shift::LeftInsert => {
            let r = l.vshift(VShiftOp::Shl, lane, count.left(), n);
            insert(l, lane, lane.mask() << count.left() & lane.mask(), rd, r)
        }
        Shift::Sat(op) => {
            let a = l.vzero_hi(form.bytes(), n);
            l.push(Op::VSatShift { op, lane, imm: count.left() as u8, a })
        }
    };
    l.set_active(form, rd, r);
    Lifted::Next
}

/// Each lane: the `mask` bits of `r`, the others of `rd`.
fn insert(l: &mut Lifter, lane: Lane, mask: u64, rd: VReg, r: Val) -> Val {
    let mask = l.vimm(splat(lane, mask));
    let d = l.v(rd);
    l.vbsl(mask, r, d)
}

/// `v` in every lane.
pub(crate) fn splat(lane: Lane, v: u64) -> u128 {
    let ones = u128::MAX / lane.mask() as u128;
    (v & lane.mask()) as u128 * ones
}
