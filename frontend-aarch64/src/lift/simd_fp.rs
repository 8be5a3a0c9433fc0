//! AdvSIMD floating point of two operands, vector and scalar forms; pairwise and across lanes.

use jib_ir::op::{FBinOp, FMaskOp, FSignOp, Op, VBinOp};
use jib_ir::region::Val;
use jib_ir::softfloat::Fmt;
use jib_ir::ty::{Lane, Shape, lane_of};

use super::simd::Qu;
use super::{Lifted, Lifter};
use crate::field::{Imm, VReg};
use crate::field_enum;
use crate::pattern::Field;

/// Which lanes an instruction works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FForm {
    /// The format.
    pub(crate) fmt: Fmt,
    /// The active lanes.
    pub(crate) shape: Shape,
}

impl FForm {
    /// Vectors of singles or doubles; one double alone is reserved.
    pub(crate) fn vector(q: bool, z: bool) -> Option<FForm> {
        (q || !z).then_some(FForm { fmt: single_or_double(z), shape: Shape::of_q(q) })
    }
    /// Vectors of halves.
    pub(crate) const fn halves(q: bool) -> FForm {
        FForm { fmt: Fmt::H, shape: Shape::of_q(q) }
    }
    /// One lane.
    pub(crate) const fn scalar(fmt: Fmt) -> FForm {
        FForm { fmt, shape: Shape::Scalar }
    }
    /// The integer lane of the same width.
    pub(crate) const fn lane(self) -> Lane {
        lane_of(self.fmt)
    }
    /// Number of active lanes.
    pub(crate) fn lanes(self) -> u8 {
        self.shape.lanes(self.lane()) as u8
    }
}

/// The format that the `sz` bit names.
pub(crate) const fn single_or_double(z: bool) -> Fmt {
    if z { Fmt::D } else { Fmt::S }
}

/// The `size` field of the FP classes: an opcode bit, and singles or doubles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FSize {
    /// The upper bit.
    pub(crate) a: bool,
    /// The lower bit: doubles.
    pub(crate) z: bool,
}

impl FSize {
    /// The format.
    pub(crate) const fn fmt(self) -> Fmt {
        single_or_double(self.z)
    }
}

impl Field for FSize {
    const WIDTH: u8 = 2;
    fn from_bits(bits: u32) -> Self {
        FSize { a: bits & 2 != 0, z: bits & 1 != 0 }
    }
}

/// What a three-same instruction does.
#[derive(Clone, Copy, Debug)]
enum Same {
    Bin(FBinOp),
    Pairwise(FBinOp),
    Mask(FMaskOp),
    MulAdd { sub: bool },
}

impl Same {
    /// From the bits that all three-same classes share.
    fn decode(u: bool, a: bool, op: Imm<3>) -> Option<Same> {
        Some(match (u, a, op.0) {
            (false, false, 0) => Same::Bin(FBinOp::MaxNm),
            (false, true, 0) => Same::Bin(FBinOp::MinNm),
            (true, false, 0) => Same::Pairwise(FBinOp::MaxNm),
            (true, true, 0) => Same::Pairwise(FBinOp::MinNm),
            (false, sub, 1) => Same::MulAdd { sub },
            (false, false, 2) => Same::Bin(FBinOp::Add),
            (false, true, 2) => Same::Bin(FBinOp::Sub),
            (true, false, 2) => Same::Pairwise(FBinOp::Add),
            (true, true, 2) => Same::Bin(FBinOp::Abd),
            (false, false, 3) => Same::Bin(FBinOp::MulX),
            (true, false, 3) => Same::Bin(FBinOp::Mul),
            (false, false, 4) => Same::Mask(FMaskOp::Eq),
            (true, false, 4) => Same::Mask(FMaskOp::Ge),
            (true, true, 4) => Same::Mask(FMaskOp::Gt),
            (true, false, 5) => Same::Mask(FMaskOp::AbsGe),
            (true, true, 5) => Same::Mask(FMaskOp::AbsGt),
            (false, false, 6) => Same::Bin(FBinOp::Max),
            (false, true, 6) => Same::Bin(FBinOp::Min),
            (true, false, 6) => Same::Pairwise(FBinOp::Max),
            (true, true, 6) => Same::Pairwise(FBinOp::Min),
            (false, false, 7) => Same::Bin(FBinOp::RecpS),
            (false, true, 7) => Same::Bin(FBinOp::RsqrtS),
            (true, false, 7) => Same::Bin(FBinOp::Div),
            _ => return None,
        })
    }

    /// Is there a scalar form?
    fn is_scalar(self) -> bool {
        match self {
            Same::Bin(op) => matches!(op, FBinOp::MulX | FBinOp::Abd | FBinOp::RecpS | FBinOp::RsqrtS),
            Same::Mask(_) => true,
            Same::Pairwise(_) | Same::MulAdd { .. } => false,
        }
    }
}

/// Three same, singles and doubles
pub(crate) fn three_same(l: &mut Lifter, qu: Qu, size: FSize, rm: VReg, op: Imm<3>, rn: VReg, rd: VReg) -> Lifted {
    same(l, FForm::vector(qu.q, size.z), Same::decode(qu.u, size.a, op), rm, rn, rd)
}

/// Three same, halves
pub(crate) fn three_same_h(l: &mut Lifter, qu: Qu, a: bool, rm: VReg, op: Imm<3>, rn: VReg, rd: VReg) -> Lifted {
    same(l, Some(FForm::halves(qu.q)), Same::decode(qu.u, a, op), rm, rn, rd)
}

/// Scalar three same, singles and doubles
pub(crate) fn three_same_scalar(
    l: &mut Lifter,
    u: bool,
    size: FSize,
    rm: VReg,
    op: Imm<3>,
    rn: VReg,
    rd: VReg,
) -> Lifted {
    let op = Same::decode(u, size.a, op).filter(|op| op.is_scalar());
    same(l, Some(FForm::scalar(size.fmt())), op, rm, rn, rd)
}

/// Scalar three same, halves
pub(crate) fn three_same_scalar_h(
    l: &mut Lifter,
    u: bool,
    a: bool,
    rm: VReg,
    op: Imm<3>,
    rn: VReg,
    rd: VReg,
) -> Lifted {
    let op = Same::decode(u, a, op).filter(|op| op.is_scalar());
    same(l, Some(FForm::scalar(Fmt::H)), op, rm, rn, rd)
}

fn same(l: &mut Lifter, form: Option<FForm>, op: Option<Same>, rm: VReg, rn: VReg, rd: VReg) -> Lifted {
    let (Some(form @ FForm { fmt, shape }), Some(op)) = (form, op) else { return Lifted::Undefined };
    let (n, m) = (l.v(rn), l.v(rm));
    let r = match op {
        Same::Bin(op) => l.fbin(op, fmt, shape, n, m),
        Same::Pairwise(op) => {
            let (even, odd) = l.pairs(form, n, m);
            l.fbin(op, fmt, shape, even, odd)
        }
        Same::Mask(op) => l.push(Op::FMask { op, fmt, shape, a: n, b: m }),
        Same::MulAdd { sub } => {
            let acc = l.v(rd);
            l.fmul_acc(form, sub, acc, n, m)
        }
    };
    l.set_v(rd, r);
    Lifted::Next
}

impl Lifter {
    /// The even and the odd lanes of `m:n` (`n` the low part).
    fn pairs(&mut self, form: FForm, n: Val, m: Val) -> (Val, Val) {
        let (lo, hi) = match form.shape {
            Shape::Full => (n, m),
            Shape::Half | Shape::Scalar => {
                let both = self.vbin(VBinOp::Zip1, Lane::D, n, m);
                (both, both)
            }
        };
        (self.vbin(VBinOp::Uzp1, form.lane(), lo, hi), self.vbin(VBinOp::Uzp2, form.lane(), lo, hi))
    }

    /// FMLA, FMLS: `acc + n * m`, `n` negated if `sub`.
    pub(crate) fn fmul_acc(&mut self, form: FForm, sub: bool, acc: Val, n: Val, m: Val) -> Val {
        let n = if sub { self.fsign(FSignOp::Neg, form.fmt, form.shape, n) } else { n };
        self.fmuladd(form.fmt, form.shape, acc, n, m)
    }
}

field_enum! {
    /// Low opcode bits of scalar pairwise and across lanes.
    PairOp: 2 { Nm, Add, Reserved, Plain }
}

impl PairOp {
    /// The operation; `min` rather than the maximum.
    fn op(self, min: bool) -> Option<FBinOp> {
        match (self, min) {
            (PairOp::Nm, false) => Some(FBinOp::MaxNm),
            (PairOp::Nm, true) => Some(FBinOp::MinNm),
            (PairOp::Add, false) => Some(FBinOp::Add),
            (PairOp::Plain, false) => Some(FBinOp::Max),
            (PairOp::Plain, true) => Some(FBinOp::Min),
            (PairOp::Add, true) | (PairOp::Reserved, _) => None,
        }
    }
}

/// FADDP, FMAXP, FMINP, FMAXNMP, FMINNMP (scalar)
pub(crate) fn pair_scalar(l: &mut Lifter, u: bool, size: FSize, op: PairOp, rn: VReg, rd: VReg) -> Lifted {
    let fmt = match (u, size.z) {
        (true, _) => size.fmt(),
        (false, false) => Fmt::H,
        (false, true) => return Lifted::Undefined,
    };
    let Some(op) = op.op(size.a) else { return Lifted::Undefined };
    let n = l.v(rn);
    let second = l.vdup_lane(lane_of(fmt), 1, n);
    let r = l.fbin(op, fmt, Shape::Scalar, n, second);
    l.set_v(rd, r);
    Lifted::Next
}

/// FMAXV, FMINV, FMAXNMV, FMINNMV
pub(crate) fn across_lanes(l: &mut Lifter, qu: Qu, size: FSize, op: PairOp, rn: VReg, rd: VReg) -> Lifted {
    let form = match (qu, size.z) {
        (Qu { q: true, u: true }, false) => FForm { fmt: Fmt::S, shape: Shape::Full },
        (Qu { q, u: false }, false) => FForm::halves(q),
        _ => return Lifted::Undefined,
    };
    let Some(op @ (FBinOp::MaxNm | FBinOp::MinNm | FBinOp::Max | FBinOp::Min)) = op.op(size.a) else {
        return Lifted::Undefined;
    };
    // Halving as in the manual: neighbours first. Lanes above are zero and stay so without exceptions.
    let n = l.v(rn);
    let mut r = l.vzero_hi(if qu.q { 16 } else { 8 }, n);
    let mut lanes = form.lanes();
    while lanes > 1 {
        lanes /= 2;
        let even = l.vbin(VBinOp::Uzp1, form.lane(), r, r);
        let odd = l.vbin(VBinOp::Uzp2, form.lane(), r, r);
        let shape = if lanes == 1 { Shape::Scalar } else { Shape::Half };
        r = l.fbin(op, form.fmt, shape, even, odd);
    }
    l.set_v(rd, r);
    Lifted::Next
}
