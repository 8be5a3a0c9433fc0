//! AdvSIMD three same, three same extra, and their scalar forms (Arm ARM C4.1.96).

use jib_ir::op::{DotSigns, Op, VBinOp, VSatOp};
use jib_ir::ty::{Lane, Shape};

use super::simd::{Form, Qu, Two, lanewise};
use super::{Lifted, Lifter};
use crate::field::{Imm, VReg};
use crate::field_enum;

/// The integer operation of `U` and `opcode`, and the lane widths that it has.
fn three_same_op(u: bool, opcode: Imm<5>) -> Option<(Two, &'static [Lane])> {
    use Two::{Acc, Bin, Pair, Sat, Sub};
    use VBinOp::*;
    const BHS: &[Lane] = &[Lane::B, Lane::H, Lane::S];
    const HS: &[Lane] = &[Lane::H, Lane::S];
    const ALL: &[Lane] = &Lane::ALL;
    Some(match (opcode.0, u) {
        (0b00000, false) => (Bin(SHAdd), BHS),
        (0b00000, true) => (Bin(UHAdd), BHS),
        (0b00001, false) => (Sat(VSatOp::SQAdd), ALL),
        (0b00001, true) => (Sat(VSatOp::UQAdd), ALL),
        (0b00010, false) => (Bin(SRHAdd), BHS),
        (0b00010, true) => (Bin(URHAdd), BHS),
        (0b00100, false) => (Bin(SHSub), BHS),
        (0b00100, true) => (Bin(UHSub), BHS),
        (0b00101, false) => (Sat(VSatOp::SQSub), ALL),
        (0b00101, true) => (Sat(VSatOp::UQSub), ALL),
        (0b00110, false) => (Bin(CmpGt), ALL),
        (0b00110, true) => (Bin(CmpHi), ALL),
        (0b00111, false) => (Bin(CmpGe), ALL),
        (0b00111, true) => (Bin(CmpHs), ALL),
        (0b01000, false) => (Bin(SShl), ALL),
        (0b01000, true) => (Bin(UShl), ALL),
        (0b01001, false) => (Sat(VSatOp::SQShl), ALL),
        (0b01001, true) => (Sat(VSatOp::UQShl), ALL),
        (0b01010, false) => (Bin(SRShl), ALL),
        (0b01010, true) => (Bin(URShl), ALL),
        (0b01011, false) => (Sat(VSatOp::SQRShl), ALL),
        (0b01011, true) => (Sat(VSatOp::UQRShl), ALL),
        (0b01100, false) => (Bin(SMax), BHS),
        (0b01100, true) => (Bin(UMax), BHS),
        (0b01101, false) => (Bin(SMin), BHS),
        (0b01101, true) => (Bin(UMin), BHS),
        (0b01110, false) => (Bin(SAbd), BHS),
        (0b01110, true) => (Bin(UAbd), BHS),
        (0b01111, false) => (Acc(SAbd), BHS),
        (0b01111, true) => (Acc(UAbd), BHS),
        (0b10000, false) => (Bin(Add), ALL),
        (0b10000, true) => (Bin(VBinOp::Sub), ALL),
        (0b10001, false) => (Bin(CmpTst), ALL),
        (0b10001, true) => (Bin(CmpEq), ALL),
        (0b10010, false) => (Acc(Mul), BHS),
        (0b10010, true) => (Sub(Mul), BHS),
        (0b10011, false) => (Bin(Mul), BHS),
        (0b10011, true) => (Bin(PMul), &[Lane::B]),
        (0b10100, false) => (Pair(SMaxP), BHS),
        (0b10100, true) => (Pair(UMaxP), BHS),
        (0b10101, false) => (Pair(SMinP), BHS),
        (0b10101, true) => (Pair(UMinP), BHS),
        (0b10110, false) => (Sat(VSatOp::SQDMulH), HS),
        (0b10110, true) => (Sat(VSatOp::SQRDMulH), HS),
        (0b10111, false) => (Pair(AddP), ALL),
        _ => return None,
    })
}

/// The integer instructions of the class; the logical ones are [`logical`].
pub(crate) fn three_same(l: &mut Lifter, qu: Qu, lane: Lane, rm: VReg, opcode: Imm<5>, rn: VReg, rd: VReg) -> Lifted {
    let (Some((op, lanes)), Some(form)) = (three_same_op(qu.u, opcode), Form::vector(qu.q, lane)) else {
        return Lifted::Undefined;
    };
    if !lanes.contains(&lane) {
        return Lifted::Undefined;
    }
    if matches!(op, Two::Bin(VBinOp::CmpEq)) && rn == rm {
        // The way to write all ones.
        let ones = l.vimm(u128::MAX);
        l.set_vq(rd, qu.q, ones);
        return Lifted::Next;
    }
    let (n, m) = (l.v(rn), l.v(rm));
    lanewise(l, op, form, rd, n, m)
}

/// The scalar forms: saturating ones of any width, others of doublewords only.
pub(crate) fn three_same_scalar(
    l: &mut Lifter,
    u: bool,
    lane: Lane,
    rm: VReg,
    opcode: Imm<5>,
    rn: VReg,
    rd: VReg,
) -> Lifted {
    let Some((op, lanes)) = three_same_op(u, opcode) else {
        return Lifted::Undefined;
    };
    let scalar = match op {
        Two::Sat(_) => true,
        Two::Bin(_) => lane == Lane::D,
        _ => false,
    };
    if !scalar || !lanes.contains(&lane) {
        return Lifted::Undefined;
    }
    let (n, m) = (l.v(rn), l.v(rm));
    lanewise(l, op, Form::scalar(lane), rd, n, m)
}

field_enum! {
    /// `U:size` of the logical instructions.
    Logical: 3 { And, Bic, Orr, Orn, Eor, Bsl, Bit, Bif }
}

/// AND, BIC, ORR, ORN, EOR, BSL, BIT, BIF
pub(crate) fn logical(l: &mut Lifter, qu: Qu, size: Imm<2>, rm: VReg, rn: VReg, rd: VReg) -> Lifted {
    let op = <Logical as crate::pattern::Field>::from_bits((qu.u as u32) << 2 | size.0);
    let r = match op {
        // MOV, and the idiom for zero.
        Logical::And | Logical::Orr if rn == rm => l.v(rn),
        Logical::Eor if rn == rm => l.vimm(0),
        _ => {
            let (n, m) = (l.v(rn), l.v(rm));
            match op {
                Logical::And => l.vand(n, m),
                Logical::Bic => l.push(Op::VAndNot { a: n, b: m }),
                Logical::Orr => l.vor(n, m),
                Logical::Orn => {
                    let m = l.vnot(m);
                    l.vor(n, m)
                }
                Logical::Eor => l.vxor(n, m),
                Logical::Bsl | Logical::Bit | Logical::Bif => {
                    let d = l.v(rd);
                    match op {
                        Logical::Bsl => l.vbsl(d, n, m),
                        Logical::Bit => l.vbsl(m, n, d),
                        _ => l.vbsl(m, d, n),
                    }
                }
            }
        }
    };
    l.set_vq(rd, qu.q, r);
    Lifted::Next
}

/// SQRDMLAH, SQRDMLSH, SDOT, UDOT, USDOT, SMMLA, UMMLA, USMMLA
pub(crate) fn three_same_extra(
    l: &mut Lifter,
    qu: Qu,
    lane: Lane,
    rm: VReg,
    opcode: Imm<4>,
    rn: VReg,
    rd: VReg,
) -> Lifted {
    let signs = match (opcode.0, qu.u) {
        (0b0000 | 0b0001, true) => return sat_mla(l, Shape::of_q(qu.q), lane, rm, opcode.0 == 1, rn, rd),
        (0b0010 | 0b0100, false) => DotSigns::SS,
        (0b0010 | 0b0100, true) => DotSigns::UU,
        (0b0011 | 0b0101, false) => DotSigns::US,
        _ => return Lifted::Undefined,
    };
    let matrix = opcode.0 >= 0b0100;
    if lane != Lane::S || (matrix && !qu.q) {
        return Lifted::Undefined;
    }
    let (a, b, acc) = (l.v(rn), l.v(rm), l.v(rd));
    let r = l.push(if matrix { Op::VMmla { signs, acc, a, b } } else { Op::VDot { signs, acc, a, b } });
    l.set_vq(rd, qu.q, r);
    Lifted::Next
}

/// SQRDMLAH, SQRDMLSH (scalar)
pub(crate) fn three_same_extra_scalar(l: &mut Lifter, lane: Lane, rm: VReg, sub: bool, rn: VReg, rd: VReg) -> Lifted {
    sat_mla(l, Shape::Scalar, lane, rm, sub, rn, rd)
}

fn sat_mla(l: &mut Lifter, shape: Shape, lane: Lane, rm: VReg, sub: bool, rn: VReg, rd: VReg) -> Lifted {
    if !matches!(lane, Lane::H | Lane::S) {
        return Lifted::Undefined;
    }
    let (n, m) = (l.v(rn), l.v(rm));
    lanewise(l, Two::SatMla(sub), Form { lane, shape }, rd, n, m)
}
