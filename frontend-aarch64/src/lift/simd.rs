//! What the AdvSIMD chapters share: operand forms, vector halves, and lane-wise operations.

use jib_ir::op::{Op, VBinOp, VSatOp};
use jib_ir::region::Val;
use jib_ir::ty::{Lane, Shape};

use super::{Lifted, Lifter};
use crate::field::VReg;
use crate::pattern::Field;

/// The `Q` and `U` bits, which stand side by side in most AdvSIMD classes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Qu {
    /// All 128 bits, or the second half of narrow operands.
    pub(crate) q: bool,
    /// Unsigned; in some classes an opcode bit.
    pub(crate) u: bool,
}

impl Field for Qu {
    const WIDTH: u8 = 2;
    fn from_bits(bits: u32) -> Qu {
        Qu { q: bits & 2 != 0, u: bits & 1 != 0 }
    }
}

/// Which lanes an instruction works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    /// Lane width.
    pub(crate) lane: Lane,
    /// How many of them.
    pub(crate) shape: Shape,
}

impl Form {
    /// The vector form that `Q` selects; 1D is reserved.
    pub(crate) fn vector(q: bool, lane: Lane) -> Option<Form> {
        (q || lane != Lane::D).then_some(Form { lane, shape: Shape::of_q(q) })
    }
    /// The scalar form.
    pub(crate) const fn scalar(lane: Lane) -> Form {
        Form { lane, shape: Shape::Scalar }
    }
    /// Number of active bytes.
    pub(crate) const fn bytes(self) -> u32 {
        self.shape.lanes(self.lane) * self.lane.bytes()
    }
}

impl Lifter {
    /// The active lanes of register `r` with zeroes above, as saturating ops need them.
    pub(crate) fn v_active(&mut self, form: Form, r: VReg) -> Val {
        let v = self.v(r);
        self.vzero_hi(form.bytes(), v)
    }
    /// Sets register `r` to the active lanes of `v` with zeroes above.
    pub(crate) fn set_active(&mut self, form: Form, r: VReg, v: Val) {
        let v = self.vzero_hi(form.bytes(), v);
        self.set_v(r, v);
    }
    /// The half of register `r` that long instructions read: the high one in their "2" form. The bits above
    /// are unspecified.
    pub(crate) fn v_part(&mut self, high: bool, r: VReg) -> Val {
        let v = self.v(r);
        if high { self.vhigh(v) } else { v }
    }
    /// Sets register `r` to a narrowed result (low half, zeroes above), or in the "2" form its high half alone.
    pub(crate) fn set_part(&mut self, high: bool, r: VReg, v: Val) {
        if high {
            let d = self.v(r);
            let v = self.vlows(d, v);
            self.set_v(r, v);
        } else {
            self.set_v(r, v);
        }
    }
    /// The low halves of `lo` and `hi` side by side.
    pub(crate) fn vlows(&mut self, lo: Val, hi: Val) -> Val {
        self.vbin(VBinOp::Zip1, Lane::D, lo, hi)
    }
    /// The low half's lanes extended to twice the width.
    pub(crate) fn vwiden(&mut self, signed: bool, lane: Lane, a: Val) -> Val {
        self.push(Op::VWiden { signed, lane, a })
    }
    /// Saturating lane-wise op; the inactive lanes of both operands must be zero.
    pub(crate) fn vsat(&mut self, op: VSatOp, lane: Lane, a: Val, b: Val) -> Val {
        self.push(Op::VSat { op, lane, a, b })
    }
}

/// A lane-wise operation of two sources, and what becomes of the destination.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Two {
    /// The result.
    Bin(VBinOp),
    /// The saturated result.
    Sat(VSatOp),
    /// Added to the destination.
    Acc(VBinOp),
    /// Subtracted from the destination.
    Sub(VBinOp),
    /// Lanes from pairs: first those of the first source, then those of the second.
    Pair(VBinOp),
    /// SQRDMLAH, or SQRDMLSH if `true`.
    SatMla(bool),
}

/// Appends `op` of `n` and `m`, setting `rd`.
pub(crate) fn lanewise(l: &mut Lifter, op: Two, form: Form, rd: VReg, n: Val, m: Val) -> Lifted {
    let lane = form.lane;
    let r = match op {
        Two::Bin(op) => l.vbin(op, lane, n, m),
        Two::Acc(op) => {
            let r = l.vbin(op, lane, n, m);
            let d = l.v(rd);
            l.vbin(VBinOp::Add, lane, d, r)
        }
        Two::Sub(op) => {
            let r = l.vbin(op, lane, n, m);
            let d = l.v(rd);
            l.vbin(VBinOp::Sub, lane, d, r)
        }
        Two::Pair(op) if form.shape == Shape::Full => l.vbin(op, lane, n, m),
        Two::Pair(op) => {
            let both = l.vlows(n, m);
            l.vbin(op, lane, both, both)
        }
        Two::Sat(op) => {
            let n = l.vzero_hi(form.bytes(), n);
            let m = l.vzero_hi(form.bytes(), m);
            l.vsat(op, lane, n, m)
        }
        Two::SatMla(sub) => {
            let acc = l.v_active(form, rd);
            let a = l.vzero_hi(form.bytes(), n);
            let b = l.vzero_hi(form.bytes(), m);
            l.push(Op::VSatMla { sub, lane, acc, a, b })
        }
    };
    l.set_active(form, rd, r);
    Lifted::Next
}
