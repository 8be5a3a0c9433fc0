//! AdvSIMD floating point of one operand, vector and scalar forms: signs, comparison with zero, roundings,
//! estimates, and every conversion.

use jib_ir::op::{FMaskOp, FSignOp, FUnOp, Op, Rm, VUnOp};
use jib_ir::region::Val;
use jib_ir::softfloat::Fmt;
use jib_ir::ty::{Lane, lane_of};

use super::fp::Rint;
use super::fp_convert::RMode;
use super::simd::Qu;
use super::simd_fp::{FForm, FSize, single_or_double};
use super::{Lifted, Lifter};
use crate::field::{Imm, VReg};
use crate::field_enum;
use crate::pattern::Field;

/// What a two-register miscellaneous instruction does.
#[derive(Clone, Copy, Debug)]
enum Misc {
    /// Compares with zero, which comes first if `zero_first`.
    Zero {
        op: FMaskOp,
        zero_first: bool,
    },
    Sign(FSignOp),
    Round {
        rm: Rm,
        exact: bool,
    },
    RoundN {
        wide: bool,
        x: bool,
    },
    ToInt {
        rm: Rm,
        signed: bool,
        fbits: u8,
    },
    FromInt {
        signed: bool,
        fbits: u8,
    },
    Un(FUnOp),
    /// An estimate on unsigned integers.
    Estimate(VUnOp),
}

impl Misc {
    /// From the bits that all these classes share.
    fn decode(u: bool, a: bool, opcode: u32) -> Option<Misc> {
        let (low, signed) = (opcode & 1 != 0, !u);
        Some(match (opcode, u, a) {
            (0b01100, false, true) => Misc::Zero { op: FMaskOp::Gt, zero_first: false },
            (0b01100, true, true) => Misc::Zero { op: FMaskOp::Ge, zero_first: false },
            (0b01101, false, true) => Misc::Zero { op: FMaskOp::Eq, zero_first: false },
            (0b01101, true, true) => Misc::Zero { op: FMaskOp::Ge, zero_first: true },
            (0b01110, false, true) => Misc::Zero { op: FMaskOp::Gt, zero_first: true },
            (0b01111, false, true) => Misc::Sign(FSignOp::Abs),
            (0b01111, true, true) => Misc::Sign(FSignOp::Neg),
            (0b11000 | 0b11001, _, _) => {
                let (rm, exact) = Rint::from_bits((u as u32) << 2 | (low as u32) << 1 | a as u32).rounding()?;
                Misc::Round { rm, exact }
            }
            (0b11010 | 0b11011, _, _) => {
                Misc::ToInt { rm: RMode::from_bits((low as u32) << 1 | a as u32).rm(), signed, fbits: 0 }
            }
            (0b11100, _, false) => Misc::ToInt { rm: Rm::TieAway, signed, fbits: 0 },
            (0b11100, false, true) => Misc::Estimate(VUnOp::URecpe),
            (0b11100, true, true) => Misc::Estimate(VUnOp::URsqrte),
            (0b11101, _, false) => Misc::FromInt { signed, fbits: 0 },
            (0b11101, false, true) => Misc::Un(FUnOp::Recpe),
            (0b11101, true, true) => Misc::Un(FUnOp::Rsqrte),
            (0b11110 | 0b11111, x, false) => Misc::RoundN { wide: low, x },
            (0b11111, false, true) => Misc::Un(FUnOp::Recpx),
            (0b11111, true, true) => Misc::Un(FUnOp::Sqrt),
            _ => return None,
        })
    }

    /// Is there a vector form?
    fn is_vector(&self) -> bool {
        !matches!(self, Misc::Un(FUnOp::Recpx))
    }

    /// Is there a scalar form?
    fn is_scalar(&self) -> bool {
        match self {
            Misc::Zero { .. } | Misc::ToInt { .. } | Misc::FromInt { .. } => true,
            Misc::Un(op) => *op != FUnOp::Sqrt,
            Misc::Sign(_) | Misc::Round { .. } | Misc::RoundN { .. } | Misc::Estimate(_) => false,
        }
    }

    /// Does it work on `fmt`?
    fn takes(&self, fmt: Fmt) -> bool {
        match self {
            Misc::RoundN { .. } => fmt != Fmt::H,
            Misc::Estimate(_) => fmt == Fmt::S,
            _ => true,
        }
    }
}

/// Two-register miscellaneous, singles and doubles
pub(crate) fn misc(l: &mut Lifter, qu: Qu, size: FSize, op: Imm<3>, rn: VReg, rd: VReg) -> Lifted {
    let op = Misc::decode(qu.u, size.a, 0b11000 | op.0).filter(Misc::is_vector);
    one(l, FForm::vector(qu.q, size.z), op, rn, rd)
}

/// FCM{GT,GE,EQ,LE,LT} (zero), FABS, FNEG (vector)
pub(crate) fn misc_zero(l: &mut Lifter, qu: Qu, z: bool, op: Imm<2>, rn: VReg, rd: VReg) -> Lifted {
    one(l, FForm::vector(qu.q, z), Misc::decode(qu.u, true, 0b01100 | op.0), rn, rd)
}

/// Two-register miscellaneous, halves
pub(crate) fn misc_h(l: &mut Lifter, qu: Qu, a: bool, op: Imm<3>, rn: VReg, rd: VReg) -> Lifted {
    let op = Misc::decode(qu.u, a, 0b11000 | op.0).filter(Misc::is_vector);
    one(l, Some(FForm::halves(qu.q)), op, rn, rd)
}

/// FCM{GT,GE,EQ,LE,LT} (zero), FABS, FNEG (vector, halves)
pub(crate) fn misc_zero_h(l: &mut Lifter, qu: Qu, op: Imm<2>, rn: VReg, rd: VReg) -> Lifted {
    one(l, Some(FForm::halves(qu.q)), Misc::decode(qu.u, true, 0b01100 | op.0), rn, rd)
}

/// Scalar two-register miscellaneous, singles and doubles
pub(crate) fn misc_scalar(l: &mut Lifter, u: bool, size: FSize, op: Imm<3>, rn: VReg, rd: VReg) -> Lifted {
    let op = Misc::decode(u, size.a, 0b11000 | op.0).filter(Misc::is_scalar);
    one(l, Some(FForm::scalar(size.fmt())), op, rn, rd)
}

/// FCM{GT,GE,EQ,LE,LT} (scalar, zero)
pub(crate) fn misc_zero_scalar(l: &mut Lifter, u: bool, z: bool, op: Imm<2>, rn: VReg, rd: VReg) -> Lifted {
    let op = Misc::decode(u, true, 0b01100 | op.0).filter(Misc::is_scalar);
    one(l, Some(FForm::scalar(single_or_double(z))), op, rn, rd)
}

/// Scalar two-register miscellaneous, halves
pub(crate) fn misc_scalar_h(l: &mut Lifter, u: bool, a: bool, op: Imm<3>, rn: VReg, rd: VReg) -> Lifted {
    let op = Misc::decode(u, a, 0b11000 | op.0).filter(Misc::is_scalar);
    one(l, Some(FForm::scalar(Fmt::H)), op, rn, rd)
}

/// FCM{GT,GE,EQ,LE,LT} (scalar, zero, halves)
pub(crate) fn misc_zero_scalar_h(l: &mut Lifter, u: bool, op: Imm<2>, rn: VReg, rd: VReg) -> Lifted {
    let op = Misc::decode(u, true, 0b01100 | op.0).filter(Misc::is_scalar);
    one(l, Some(FForm::scalar(Fmt::H)), op, rn, rd)
}

fn one(l: &mut Lifter, form: Option<FForm>, op: Option<Misc>, rn: VReg, rd: VReg) -> Lifted {
    let (Some(form), Some(op)) = (form, op) else { return Lifted::Undefined };
    if !op.takes(form.fmt) {
        return Lifted::Undefined;
    }
    let a = l.v(rn);
    let r = apply(l, form, op, a);
    l.set_v(rd, r);
    Lifted::Next
}

fn apply(l: &mut Lifter, form: FForm, op: Misc, a: Val) -> Val {
    let FForm { fmt, shape } = form;
    match op {
        Misc::Zero { op, zero_first } => {
            let zero = l.vimm(0);
            let (a, b) = if zero_first { (zero, a) } else { (a, zero) };
            l.push(Op::FMask { op, fmt, shape, a, b })
        }
        Misc::Sign(op) => l.fsign(op, fmt, shape, a),
        Misc::Round { rm, exact } => l.push(Op::FRound { fmt, shape, rm, exact, int: 0, a }),
        Misc::RoundN { wide, x } => l.round_n(fmt, shape, wide, x, a),
        Misc::ToInt { rm, signed, fbits } => {
            l.push(Op::FToInt { fmt, to: form.lane(), signed, rm, fbits, lanes: form.lanes(), a })
        }
        Misc::FromInt { signed, fbits } => {
            l.push(Op::IntToF { fmt, from: form.lane(), signed, fbits, lanes: form.lanes(), a })
        }
        Misc::Un(op) => l.fun(op, fmt, shape, a),
        Misc::Estimate(op) => {
            let r = l.vun(op, Lane::S, a);
            l.vzero_hi(u32::from(form.lanes()) * 4, r)
        }
    }
}

field_enum! {
    /// Low opcode bits of the fixed-point conversions among the shifts by immediate.
    FixedOp: 2 { FromInt, Reserved1, Reserved2, ToInt }
}

impl FixedOp {
    /// The conversion with as many fraction bits as `imm` says.
    fn with<const N: u8>(self, unsigned: bool, imm: Imm<N>) -> Option<Misc> {
        let (signed, fbits) = (!unsigned, (1 << N) - imm.0 as u8);
        match self {
            FixedOp::ToInt => Some(Misc::ToInt { rm: Rm::Zero, signed, fbits }),
            FixedOp::FromInt => Some(Misc::FromInt { signed, fbits }),
            FixedOp::Reserved1 | FixedOp::Reserved2 => None,
        }
    }
}

/// SCVTF, UCVTF, FCVTZS, FCVTZU (vector, fixed-point). The width of the immediate names that of the lanes.
pub(crate) fn fixed<const N: u8>(l: &mut Lifter, qu: Qu, imm: Imm<N>, op: FixedOp, rn: VReg, rd: VReg) -> Lifted {
    let form = match N {
        4 => Some(FForm::halves(qu.q)),
        _ => FForm::vector(qu.q, N == 6),
    };
    one(l, form, op.with(qu.u, imm), rn, rd)
}

/// SCVTF, UCVTF, FCVTZS, FCVTZU (scalar, fixed-point, in the vector registers)
pub(crate) fn fixed_scalar<const N: u8>(
    l: &mut Lifter,
    u: bool,
    imm: Imm<N>,
    op: FixedOp,
    rn: VReg,
    rd: VReg,
) -> Lifted {
    let fmt = match N {
        4 => Fmt::H,
        _ => single_or_double(N == 6),
    };
    one(l, Some(FForm::scalar(fmt)), op.with(u, imm), rn, rd)
}

/// The narrow and the wide format of a conversion.
const fn narrow_and_wide(z: bool) -> (Fmt, Fmt) {
    if z { (Fmt::S, Fmt::D) } else { (Fmt::H, Fmt::S) }
}

/// FCVTL, FCVTL2
pub(crate) fn fcvtl(l: &mut Lifter, q: bool, z: bool, rn: VReg, rd: VReg) -> Lifted {
    let (from, to) = narrow_and_wide(z);
    let n = l.v(rn);
    let a = if q { l.vhigh(n) } else { n };
    let r = l.push(Op::FCvt { from, to, lanes: lane_of(to).count() as u8, rm: Rm::Fpcr, a });
    l.set_v(rd, r);
    Lifted::Next
}

/// FCVTN, FCVTN2
pub(crate) fn fcvtn(l: &mut Lifter, q: bool, z: bool, rn: VReg, rd: VReg) -> Lifted {
    let (to, from) = narrow_and_wide(z);
    narrowed(l, q, from, to, Rm::Fpcr, rn, rd)
}

/// FCVTXN, FCVTXN2 (vector)
pub(crate) fn fcvtxn(l: &mut Lifter, q: bool, rn: VReg, rd: VReg) -> Lifted {
    narrowed(l, q, Fmt::D, Fmt::S, Rm::Odd, rn, rd)
}

/// FCVTXN (scalar)
pub(crate) fn fcvtxn_scalar(l: &mut Lifter, rn: VReg, rd: VReg) -> Lifted {
    let a = l.v(rn);
    let r = l.push(Op::FCvt { from: Fmt::D, to: Fmt::S, lanes: 1, rm: Rm::Odd, a });
    l.set_v(rd, r);
    Lifted::Next
}

/// Narrows all lanes into the low half of `rd`, or (`q`) into the high one, leaving the low.
fn narrowed(l: &mut Lifter, q: bool, from: Fmt, to: Fmt, rm: Rm, rn: VReg, rd: VReg) -> Lifted {
    let a = l.v(rn);
    let mut r = l.push(Op::FCvt { from, to, lanes: lane_of(from).count() as u8, rm, a });
    if q {
        let d = l.v(rd);
        r = l.push(Op::VMovLane { lane: Lane::D, dst: 1, v: d, src: 0, from: r });
    }
    l.set_v(rd, r);
    Lifted::Next
}
