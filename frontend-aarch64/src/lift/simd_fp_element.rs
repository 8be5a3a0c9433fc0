//! AdvSIMD floating point by element, and the widening multiply-accumulate FMLAL with its kin.

use jib_ir::op::{FBinOp, FSignOp, Op, VShiftOp};
use jib_ir::region::Val;
use jib_ir::softfloat::Fmt;
use jib_ir::ty::{Lane, Shape};

use super::simd_fp::FForm;
use super::{Lifted, Lifter};
use crate::field::VReg;
use crate::pattern::Field;

/// Bits 23:16 of the by-element classes: `size`, `L`, `M`, `Rm`. What they name depends on the instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element(u8);

impl Field for Element {
    const WIDTH: u8 = 8;
    fn from_bits(bits: u32) -> Self {
        Element(bits as u8)
    }
}

impl Element {
    /// The `size` field.
    pub(crate) fn size(self) -> u8 {
        self.0 >> 6
    }
    /// `L`, an index bit.
    pub(crate) fn l(self) -> bool {
        self.0 & 0x20 != 0
    }
    /// `M`, a bit of the index or of the register number.
    fn m(self) -> bool {
        self.0 & 0x10 != 0
    }
    /// `M:Rm`.
    pub(crate) fn reg(self) -> VReg {
        VReg(self.0 & 31)
    }

    /// Format, register and index for FMLA, FMLS, FMUL and FMULX.
    fn operand(self, h: bool) -> Option<(Fmt, VReg, u32)> {
        let (h, l, m) = (h as u32, self.l() as u32, self.m() as u32);
        match self.size() {
            0b00 => Some((Fmt::H, VReg(self.0 & 15), h << 2 | l << 1 | m)),
            0b10 => Some((Fmt::S, self.reg(), h << 1 | l)),
            0b11 if l == 0 => Some((Fmt::D, self.reg(), h)),
            _ => None,
        }
    }
}

/// The form of a vector instruction in format `fmt`; one double alone is reserved.
fn vector(q: bool, fmt: Fmt) -> Option<FForm> {
    (q || fmt != Fmt::D).then_some(FForm { fmt, shape: Shape::of_q(q) })
}

/// FMLA, FMLS (by element, vector)
pub(crate) fn fmla_elem(l: &mut Lifter, q: bool, e: Element, sub: bool, h: bool, rn: VReg, rd: VReg) -> Lifted {
    let Some((fmt, rm, index)) = e.operand(h) else { return Lifted::Undefined };
    let Some(form) = vector(q, fmt) else { return Lifted::Undefined };
    mul_acc(l, form, sub, rm, index, rn, rd)
}

/// FMLA, FMLS (by element, scalar)
pub(crate) fn fmla_elem_scalar(l: &mut Lifter, e: Element, sub: bool, h: bool, rn: VReg, rd: VReg) -> Lifted {
    let Some((fmt, rm, index)) = e.operand(h) else { return Lifted::Undefined };
    mul_acc(l, FForm::scalar(fmt), sub, rm, index, rn, rd)
}

fn mul_acc(l: &mut Lifter, form: FForm, sub: bool, rm: VReg, index: u32, rn: VReg, rd: VReg) -> Lifted {
    let (n, m, acc) = (l.v(rn), l.v(rm), l.v(rd));
    let m = l.vdup_lane(form.lane(), index, m);
    let r = l.fmul_acc(form, sub, acc, n, m);
    l.set_v(rd, r);
    Lifted::Next
}

/// FMUL, FMULX (by element, vector)
pub(crate) fn fmul_elem(l: &mut Lifter, q: bool, x: bool, e: Element, h: bool, rn: VReg, rd: VReg) -> Lifted {
    let Some((fmt, rm, index)) = e.operand(h) else { return Lifted::Undefined };
    let Some(form) = vector(q, fmt) else { return Lifted::Undefined };
    mul(l, form, x, rm, index, rn, rd)
}

/// FMUL, FMULX (by element, scalar)
pub(crate) fn fmul_elem_scalar(l: &mut Lifter, x: bool, e: Element, h: bool, rn: VReg, rd: VReg) -> Lifted {
    let Some((fmt, rm, index)) = e.operand(h) else { return Lifted::Undefined };
    mul(l, FForm::scalar(fmt), x, rm, index, rn, rd)
}

fn mul(l: &mut Lifter, form: FForm, x: bool, rm: VReg, index: u32, rn: VReg, rd: VReg) -> Lifted {
    let (n, m) = (l.v(rn), l.v(rm));
    let m = l.vdup_lane(form.lane(), index, m);
    let r = l.fbin(if x { FBinOp::MulX } else { FBinOp::Mul }, form.fmt, form.shape, n, m);
    l.set_v(rd, r);
    Lifted::Next
}

/// FMLAL, FMLSL
pub(crate) fn fmlal(l: &mut Lifter, q: bool, sub: bool, rm: VReg, rn: VReg, rd: VReg) -> Lifted {
    let m = l.v(rm);
    mul_acc_long(l, q, sub, rn, m, false, rd)
}

/// FMLAL2, FMLSL2
pub(crate) fn fmlal2(l: &mut Lifter, q: bool, sub: bool, rm: VReg, rn: VReg, rd: VReg) -> Lifted {
    let m = l.v(rm);
    let m = upper(l, q, m);
    mul_acc_long(l, q, sub, rn, m, true, rd)
}

/// Bits 21:16 of FMLAL by element: `L:M`, two bits of the index, and one of the low 16 registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HalfElement(u8);

impl Field for HalfElement {
    const WIDTH: u8 = 6;
    fn from_bits(bits: u32) -> Self {
        HalfElement(bits as u8)
    }
}

/// FMLAL, FMLSL (by element)
pub(crate) fn fmlal_elem(l: &mut Lifter, q: bool, e: HalfElement, sub: bool, h: bool, rn: VReg, rd: VReg) -> Lifted {
    let m = half_element(l, e, h);
    mul_acc_long(l, q, sub, rn, m, false, rd)
}

/// FMLAL2, FMLSL2 (by element)
pub(crate) fn fmlal2_elem(l: &mut Lifter, q: bool, e: HalfElement, sub: bool, h: bool, rn: VReg, rd: VReg) -> Lifted {
    let m = half_element(l, e, h);
    mul_acc_long(l, q, sub, rn, m, true, rd)
}

/// The half-precision element `H:L:M` in every lane.
fn half_element(l: &mut Lifter, e: HalfElement, h: bool) -> Val {
    let m = l.v(VReg(e.0 & 15));
    l.vdup_lane(Lane::H, u32::from(h) << 2 | u32::from(e.0) >> 4, m)
}

/// The second half of the halves that an FMLAL2 of width `q` takes, moved low.
fn upper(l: &mut Lifter, q: bool, v: Val) -> Val {
    if q { l.vhigh(v) } else { l.vshift(VShiftOp::UShr, Lane::D, 32, v) }
}

fn mul_acc_long(l: &mut Lifter, q: bool, sub: bool, rn: VReg, b: Val, second: bool, rd: VReg) -> Lifted {
    let n = l.v(rn);
    let mut a = if second { upper(l, q, n) } else { n };
    if sub {
        a = l.fsign(FSignOp::Neg, Fmt::H, Shape::Half, a);
    }
    let acc = l.v(rd);
    let r = l.push(Op::FMulAddHS { shape: Shape::of_q(q), acc, a, b });
    l.set_v(rd, r);
    Lifted::Next
}
