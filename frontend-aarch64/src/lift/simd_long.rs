//! AdvSIMD three different: long, wide and narrowing arithmetic (Arm ARM C4.1.96).

use jib_ir::op::{CryptoOp, Op, VBinOp, VSatOp, VShiftOp};
use jib_ir::region::Val;
use jib_ir::ty::Lane;

use super::simd::{Form, Qu};
use super::{Lifted, Lifter};
use crate::field::{Imm, VReg};

/// What a long product does to the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acc {
    /// Replaces it.
    Set,
    /// Is added.
    Add,
    /// Is subtracted.
    Sub,
}

/// A long multiplication.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LongMul {
    /// SMULL and family; unsigned if `u`.
    Plain {
        /// Unsigned.
        u: bool,
    },
    /// SQDMULL and family.
    SatDouble,
}

/// Sets `rd` by the long product of the low lanes of `n` and `m`. In a scalar form only lane 0 counts.
pub(crate) fn long_mul(l: &mut Lifter, mul: LongMul, acc: Acc, form: Form, rd: VReg, n: Val, m: Val) -> Lifted {
    let Some(wide) = form.lane.wider() else {
        return Lifted::Undefined;
    };
    let r = match mul {
        LongMul::Plain { u } => {
            let r = l.push(Op::VMulL { signed: !u, lane: form.lane, a: n, b: m });
            accumulate(l, acc, wide, rd, r)
        }
        LongMul::SatDouble => sat_double(l, acc, form, wide, rd, n, m),
    };
    l.set_v(rd, r);
    Lifted::Next
}

fn accumulate(l: &mut Lifter, acc: Acc, wide: Lane, rd: VReg, r: Val) -> Val {
    let op = match acc {
        Acc::Set => return r,
        Acc::Add => VBinOp::Add,
        Acc::Sub => VBinOp::Sub,
    };
    let d = l.v(rd);
    l.vbin(op, wide, d, r)
}

fn sat_double(l: &mut Lifter, acc: Acc, form: Form, wide: Lane, rd: VReg, n: Val, m: Val) -> Val {
    let (n, m, d) = if form == Form::scalar(form.lane) {
        let n = l.vzero_hi(form.bytes(), n);
        let m = l.vzero_hi(form.bytes(), m);
        (n, m, l.v_active(Form::scalar(wide), rd))
    } else {
        (n, m, l.v(rd))
    };
    let r = l.vsat(VSatOp::SQDMulL, form.lane, n, m);
    match acc {
        Acc::Set => r,
        Acc::Add => l.vsat(VSatOp::SQAdd, wide, d, r),
        Acc::Sub => l.vsat(VSatOp::SQSub, wide, d, r),
    }
}

/// The class, vector forms.
pub(crate) fn three_different(
    l: &mut Lifter,
    qu: Qu,
    lane: Lane,
    rm: VReg,
    opcode: Imm<4>,
    rn: VReg,
    rd: VReg,
) -> Lifted {
    if opcode.0 == 0b1110 {
        return pmull(l, qu, lane, rm, rn, rd);
    }
    let (Some(form), Some(_)) = (Form::vector(qu.q, lane), lane.wider()) else {
        return Lifted::Undefined;
    };
    let (mul, acc) = match (opcode.0, qu.u) {
        (0b0000..=0b0011, _) => return add_long(l, qu, lane, rm, opcode, rn, rd),
        (0b0100 | 0b0110, _) => return add_high(l, qu, lane, rm, opcode.0 == 0b0110, rn, rd),
        (0b0101, _) => return abd_long(l, qu, lane, rm, Acc::Add, rn, rd),
        (0b0111, _) => return abd_long(l, qu, lane, rm, Acc::Set, rn, rd),
        (0b1000, u) => (LongMul::Plain { u }, Acc::Add),
        (0b1010, u) => (LongMul::Plain { u }, Acc::Sub),
        (0b1100, u) => (LongMul::Plain { u }, Acc::Set),
        (0b1001, false) if lane != Lane::B => (LongMul::SatDouble, Acc::Add),
        (0b1011, false) if lane != Lane::B => (LongMul::SatDouble, Acc::Sub),
        (0b1101, false) if lane != Lane::B => (LongMul::SatDouble, Acc::Set),
        _ => return Lifted::Undefined,
    };
    let (n, m) = (l.v_part(qu.q, rn), l.v_part(qu.q, rm));
    long_mul(l, mul, acc, form, rd, n, m)
}

/// SADDL, SADDW, SSUBL, SSUBW and unsigned: `opcode` bit 0 is "wide", bit 1 "subtract".
fn add_long(l: &mut Lifter, qu: Qu, lane: Lane, rm: VReg, opcode: Imm<4>, rn: VReg, rd: VReg) -> Lifted {
    let Some(wide) = lane.wider() else {
        return Lifted::Undefined;
    };
    let n = if opcode.0 & 1 != 0 {
        l.v(rn)
    } else {
        let n = l.v_part(qu.q, rn);
        l.vwiden(!qu.u, lane, n)
    };
    let m = l.v_part(qu.q, rm);
    let m = l.vwiden(!qu.u, lane, m);
    let op = if opcode.0 & 2 != 0 { VBinOp::Sub } else { VBinOp::Add };
    let r = l.vbin(op, wide, n, m);
    l.set_v(rd, r);
    Lifted::Next
}

/// ADDHN, SUBHN; RADDHN, RSUBHN (`U`)
fn add_high(l: &mut Lifter, qu: Qu, lane: Lane, rm: VReg, sub: bool, rn: VReg, rd: VReg) -> Lifted {
    let Some(wide) = lane.wider() else {
        return Lifted::Undefined;
    };
    let (n, m) = (l.v(rn), l.v(rm));
    let sum = l.vbin(if sub { VBinOp::Sub } else { VBinOp::Add }, wide, n, m);
    let shift = if qu.u { VShiftOp::URShr } else { VShiftOp::UShr };
    let high = l.vshift(shift, wide, lane.bits(), sum);
    let r = l.push(Op::VNarrow { lane, a: high });
    l.set_part(qu.q, rd, r);
    Lifted::Next
}

/// SABDL, UABDL, SABAL, UABAL. The difference fits an unsigned lane, so it is widened last.
fn abd_long(l: &mut Lifter, qu: Qu, lane: Lane, rm: VReg, acc: Acc, rn: VReg, rd: VReg) -> Lifted {
    let Some(wide) = lane.wider() else {
        return Lifted::Undefined;
    };
    let (n, m) = (l.v_part(qu.q, rn), l.v_part(qu.q, rm));
    let r = l.vbin(if qu.u { VBinOp::UAbd } else { VBinOp::SAbd }, lane, n, m);
    let r = l.vwiden(false, lane, r);
    let r = accumulate(l, acc, wide, rd, r);
    l.set_v(rd, r);
    Lifted::Next
}

/// PMULL of bytes and of doublewords
fn pmull(l: &mut Lifter, qu: Qu, lane: Lane, rm: VReg, rn: VReg, rd: VReg) -> Lifted {
    let op = match lane {
        Lane::B => CryptoOp::PMull8,
        Lane::D => CryptoOp::PMull64,
        Lane::H | Lane::S => return Lifted::Undefined,
    };
    if qu.u {
        return Lifted::Undefined;
    }
    let (a, b) = (l.v_part(qu.q, rn), l.v_part(qu.q, rm));
    let r = l.push(Op::VCrypto { op, a, b, c: Val::NONE });
    l.set_v(rd, r);
    Lifted::Next
}

/// SQDMLAL, SQDMLSL, SQDMULL (scalar)
pub(crate) fn three_different_scalar(
    l: &mut Lifter,
    lane: Lane,
    rm: VReg,
    opcode: Imm<4>,
    rn: VReg,
    rd: VReg,
) -> Lifted {
    let acc = match opcode.0 {
        0b1001 => Acc::Add,
        0b1011 => Acc::Sub,
        0b1101 => Acc::Set,
        _ => return Lifted::Undefined,
    };
    if !matches!(lane, Lane::H | Lane::S) {
        return Lifted::Undefined;
    }
    let (n, m) = (l.v(rn), l.v(rm));
    long_mul(l, LongMul::SatDouble, acc, Form::scalar(lane), rd, n, m)
}
