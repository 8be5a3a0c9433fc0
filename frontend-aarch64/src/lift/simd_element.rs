//! AdvSIMD vector and scalar by indexed element, integer (Arm ARM C4.1.96).

use jib_ir::op::{DotSigns, Op, VBinOp, VSatOp};
use jib_ir::region::Val;
use jib_ir::ty::Lane;

use super::simd::{Form, Qu, Two, lanewise};
use super::simd_long::{Acc, LongMul, long_mul};
use super::{Lifted, Lifter};
use crate::field::{Imm, VReg};

/// What an indexed instruction does.
enum ByElement {
    Same(Two),
    Long(LongMul, Acc),
    /// A dot product with the element as second factor.
    Dot(DotSigns),
    /// SUDOT: signed by unsigned.
    SuDot,
}

fn by_element_op(u: bool, lane: Lane, opcode: Imm<4>) -> Option<ByElement> {
    use ByElement::*;
    let op = match (opcode.0, u) {
        (0b1000, false) => Same(Two::Bin(VBinOp::Mul)),
        (0b0000, true) => Same(Two::Acc(VBinOp::Mul)),
        (0b0100, true) => Same(Two::Sub(VBinOp::Mul)),
        (0b1100, false) => Same(Two::Sat(VSatOp::SQDMulH)),
        (0b1101, false) => Same(Two::Sat(VSatOp::SQRDMulH)),
        (0b1101, true) => Same(Two::SatMla(false)),
        (0b1111, true) => Same(Two::SatMla(true)),
        (0b0010, u) => Long(LongMul::Plain { u }, Acc::Add),
        (0b0110, u) => Long(LongMul::Plain { u }, Acc::Sub),
        (0b1010, u) => Long(LongMul::Plain { u }, Acc::Set),
        (0b0011, false) => Long(LongMul::SatDouble, Acc::Add),
        (0b0111, false) => Long(LongMul::SatDouble, Acc::Sub),
        (0b1011, false) => Long(LongMul::SatDouble, Acc::Set),
        (0b1110, false) => Dot(DotSigns::SS),
        (0b1110, true) => Dot(DotSigns::UU),
        (0b1111, false) if lane == Lane::B => SuDot,
        (0b1111, false) => Dot(DotSigns::US),
        _ => return None,
    };
    let fits = match op {
        Dot(_) => lane == Lane::S,
        SuDot => true,
        _ => matches!(lane, Lane::H | Lane::S),
    };
    fits.then_some(op)
}

/// Lane `H:L:M` of V0-V15 for halfwords, `H:L` of any register for words, in every lane.
/// `lm` is `L:M:Rm`.
fn element(l: &mut Lifter, lane: Lane, lm: Imm<6>, h: bool) -> Val {
    let (h, lm) = (h as u32, lm.0);
    let (reg, idx) = match lane {
        Lane::H => (lm & 15, h << 2 | lm >> 4),
        _ => (lm & 31, h << 1 | lm >> 5),
    };
    let m = l.v(VReg(reg as u8));
    l.vdup_lane(lane, idx, m)
}

/// The class, vector forms.
#[allow(clippy::too_many_arguments, reason = "one per field")]
pub(crate) fn by_element(
    l: &mut Lifter,
    qu: Qu,
    lane: Lane,
    lm: Imm<6>,
    opcode: Imm<4>,
    h: bool,
    rn: VReg,
    rd: VReg,
) -> Lifted {
    let (Some(op), Some(form)) = (by_element_op(qu.u, lane, opcode), Form::vector(qu.q, lane)) else {
        return Lifted::Undefined;
    };
    match op {
        ByElement::Same(op) => {
            let (n, m) = (l.v(rn), element(l, lane, lm, h));
            lanewise(l, op, form, rd, n, m)
        }
        ByElement::Long(mul, acc) => {
            let (n, m) = (l.v_part(qu.q, rn), element(l, lane, lm, h));
            long_mul(l, mul, acc, form, rd, n, m)
        }
        ByElement::Dot(signs) => {
            let (a, b, acc) = (l.v(rn), element(l, Lane::S, lm, h), l.v(rd));
            let r = l.push(Op::VDot { signs, acc, a, b });
            l.set_vq(rd, qu.q, r);
            Lifted::Next
        }
        ByElement::SuDot => {
            let (b, a, acc) = (l.v(rn), element(l, Lane::S, lm, h), l.v(rd));
            let r = l.push(Op::VDot { signs: DotSigns::US, acc, a, b });
            l.set_vq(rd, qu.q, r);
            Lifted::Next
        }
    }
}

/// The scalar forms: the saturating ones.
#[allow(clippy::too_many_arguments, reason = "one per field")]
pub(crate) fn by_element_scalar(
    l: &mut Lifter,
    u: bool,
    lane: Lane,
    lm: Imm<6>,
    opcode: Imm<4>,
    h: bool,
    rn: VReg,
    rd: VReg,
) -> Lifted {
    let form = Form::scalar(lane);
    match by_element_op(u, lane, opcode) {
        Some(ByElement::Same(op @ (Two::Sat(_) | Two::SatMla(_)))) => {
            let (n, m) = (l.v(rn), element(l, lane, lm, h));
            lanewise(l, op, form, rd, n, m)
        }
        Some(ByElement::Long(mul @ LongMul::SatDouble, acc)) => {
            let (n, m) = (l.v(rn), element(l, lane, lm, h));
            long_mul(l, mul, acc, form, rd, n, m)
        }
        _ => Lifted::Undefined,
    }
}
