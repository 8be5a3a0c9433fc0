//! Complex numbers (FEAT_FCMA): lanes in pairs, the real part in the even one.

use jib_ir::op::{FBinOp, VBinOp, VUnOp};
use jib_ir::region::Val;
use jib_ir::softfloat::Fmt;
use jib_ir::ty::{Lane, Shape};

use super::simd_fp::FForm;
use super::simd_fp_element::Element;
use super::{Lifted, Lifter};
use crate::field::{Imm, VReg};

/// The form of `size`: halves, singles or doubles, at least one pair.
fn form(q: bool, size: u32) -> Option<FForm> {
    let fmt = Lane::ALL[size as usize & 3].fmt()?;
    (q || fmt != Fmt::D).then_some(FForm { fmt, shape: Shape::of_q(q) })
}

/// FCMLA (vector)
pub(crate) fn fcmla(l: &mut Lifter, q: bool, size: Imm<2>, rm: VReg, rot: Imm<2>, rn: VReg, rd: VReg) -> Lifted {
    let Some(form) = form(q, size.0) else { return Lifted::Undefined };
    let m = l.v(rm);
    mul_acc(l, form, rot, rn, m, rd)
}

/// FCMLA (by element): the element is a pair of lanes.
pub(crate) fn fcmla_elem(l: &mut Lifter, q: bool, e: Element, rot: Imm<2>, h: bool, rn: VReg, rd: VReg) -> Lifted {
    let (fmt, pair, index) = match e.size() {
        0b01 if q || !h => (Fmt::H, Lane::S, (h as u32) << 1 | e.l() as u32),
        0b10 if q && !e.l() => (Fmt::S, Lane::D, h as u32),
        _ => return Lifted::Undefined,
    };
    let m = l.v(e.reg());
    let m = l.vdup_lane(pair, index, m);
    mul_acc(l, FForm { fmt, shape: Shape::of_q(q) }, rot, rn, m, rd)
}

/// FCADD: adds the second operand rotated by 90 degrees, or by 270.
pub(crate) fn fcadd(l: &mut Lifter, q: bool, size: Imm<2>, rm: VReg, rot: bool, rn: VReg, rd: VReg) -> Lifted {
    let Some(form) = form(q, size.0) else { return Lifted::Undefined };
    let (n, m) = (l.v(rn), l.v(rm));
    let swapped = swap_parts(l, form, m);
    let turned = negate_parts(l, form, swapped, !rot, rot);
    let r = l.fbin(FBinOp::Add, form.fmt, form.shape, n, turned);
    l.set_v(rd, r);
    Lifted::Next
}

/// Each lane of `rd` accumulates one part of `rn` times one part of `m`, both chosen by the rotation `rot` * 90.
fn mul_acc(l: &mut Lifter, form: FForm, rot: Imm<2>, rn: VReg, m: Val, rd: VReg) -> Lifted {
    let (n, acc) = (l.v(rn), l.v(rd));
    let (part, b) = match rot.0 {
        0 => (VBinOp::Trn1, m),
        1 => {
            let swapped = swap_parts(l, form, m);
            (VBinOp::Trn2, negate_parts(l, form, swapped, true, false))
        }
        2 => (VBinOp::Trn1, negate_parts(l, form, m, true, true)),
        _ => {
            let swapped = swap_parts(l, form, m);
            (VBinOp::Trn2, negate_parts(l, form, swapped, false, true))
        }
    };
    let a = l.vbin(part, form.lane(), n, n);
    let r = l.fmuladd(form.fmt, form.shape, acc, a, b);
    l.set_v(rd, r);
    Lifted::Next
}

/// Real and imaginary parts exchanged.
fn swap_parts(l: &mut Lifter, form: FForm, v: Val) -> Val {
    match form.fmt {
        Fmt::H => l.vun(VUnOp::Rev32, Lane::H, v),
        Fmt::S => l.vun(VUnOp::Rev64, Lane::S, v),
        Fmt::D => l.push(jib_ir::op::Op::VExt { a: v, b: v, imm: 8 }),
    }
}

/// The signs of the real or imaginary parts flipped.
fn negate_parts(l: &mut Lifter, form: FForm, v: Val, real: bool, imaginary: bool) -> Val {
    let bits = form.lane().bits();
    let sign = |flip: bool| if flip { 1u128 << (bits - 1) } else { 0 };
    let pair = sign(real) | sign(imaginary) << bits;
    let mask = (0..128 / (2 * bits)).fold(0, |mask, i| mask | pair << (2 * bits * i));
    let mask = l.vimm(mask);
    l.vxor(v, mask)
}
