//! The meaning of the floating-point ops: the scalar operations of [`crate::softfloat`], lane by lane.
//!
//! The promise: one inlinable function per op family with plain parameters; lanes that are not active come out zero and
//! raise nothing.

use super::FpEnv;
use crate::op::{FBinOp, FMaskOp, FSignOp, FUnOp, Op, Rm};
use crate::softfloat::{self, Env, Fmt};
use crate::ty::{Lane, Shape, lane_of};

/// The environment as the scalar operations want it.
#[inline(always)]
fn soft(env: &mut FpEnv) -> Env<'_> {
    Env { fpcr: env.fpcr, fpsr: &mut env.fpsr }
}

/// Lane `i` of width `lane`.
#[inline(always)]
const fn get(lane: Lane, i: u32, v: u128) -> u64 {
    (v >> (i * lane.bits())) as u64 & lane.mask()
}

/// `lanes` results of width `to`; no more than fit.
#[inline(always)]
fn collect(to: Lane, lanes: u32, mut f: impl FnMut(u32) -> u64) -> u128 {
    (0..lanes.min(to.count())).fold(0, |r, i| r | ((f(i) & to.mask()) as u128) << (i * to.bits()))
}

/// As `collect`, for a conversion from lanes of another width.
#[inline(always)]
fn convert(from: Lane, to: Lane, lanes: u8, a: u128, mut f: impl FnMut(u64) -> u64) -> u128 {
    collect(to, u32::from(lanes).min(from.count()), |i| f(get(from, i, a)))
}

/// `op(a, b)` in each active lane.
#[inline(always)]
pub fn fbin(op: FBinOp, fmt: Fmt, shape: Shape, a: u128, b: u128, env: &mut FpEnv) -> u128 {
    let lane = lane_of(fmt);
    let f = match op {
        FBinOp::Add => softfloat::add,
        FBinOp::Sub => softfloat::sub,
        FBinOp::Mul => softfloat::mul,
        FBinOp::MulX => softfloat::mulx,
        FBinOp::Div => softfloat::div,
        FBinOp::Max => softfloat::max,
        FBinOp::Min => softfloat::min,
        FBinOp::MaxNm => softfloat::maxnm,
        FBinOp::MinNm => softfloat::minnm,
        FBinOp::Abd => softfloat::abd,
        FBinOp::RecpS => softfloat::recps,
        FBinOp::RsqrtS => softfloat::rsqrts,
    };
    let mut env = soft(env);
    collect(lane, shape.lanes(lane), |i| f(fmt, get(lane, i, a), get(lane, i, b), &mut env))
}

/// `op(a)` in each active lane.
#[inline(always)]
pub fn fun(op: FUnOp, fmt: Fmt, shape: Shape, a: u128, env: &mut FpEnv) -> u128 {
    let lane = lane_of(fmt);
    let f = match op {
        FUnOp::Sqrt => softfloat::sqrt,
        FUnOp::Recpe => softfloat::recpe,
        FUnOp::Rsqrte => softfloat::rsqrte,
        FUnOp::Recpx => softfloat::recpx,
    };
    let mut env = soft(env);
    collect(lane, shape.lanes(lane), |i| f(fmt, get(lane, i, a), &mut env))
}

/// Sign operation in each active lane.
#[inline(always)]
pub fn fsign(op: FSignOp, fmt: Fmt, shape: Shape, a: u128) -> u128 {
    let lane = lane_of(fmt);
    let active = match shape {
        Shape::Scalar => lane.mask() as u128,
        Shape::Half => u64::MAX as u128,
        Shape::Full => u128::MAX,
    };
    let signs = super::vec::vdup(lane, 1 << (lane.bits() - 1));
    active
        & match op {
            FSignOp::Neg => a ^ signs,
            FSignOp::Abs => a & !signs,
        }
}

/// Fused `acc + a * b` in each active lane.
#[inline(always)]
pub fn fmuladd(fmt: Fmt, shape: Shape, acc: u128, a: u128, b: u128, env: &mut FpEnv) -> u128 {
    let lane = lane_of(fmt);
    let mut env = soft(env);
    collect(lane, shape.lanes(lane), |i| {
        softfloat::mul_add(fmt, get(lane, i, acc), get(lane, i, a), get(lane, i, b), &mut env)
    })
}

/// Fused `acc + a * b` in each active S lane, the factors being as many low H lanes.
#[inline(always)]
pub fn fmuladd_hs(shape: Shape, acc: u128, a: u128, b: u128, env: &mut FpEnv) -> u128 {
    let mut env = soft(env);
    collect(Lane::S, shape.lanes(Lane::S), |i| {
        softfloat::mul_add_h_to_s(get(Lane::S, i, acc), get(Lane::H, i, a), get(Lane::H, i, b), &mut env)
    })
}

/// How [`fround`] rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTo {
    /// The direction.
    pub rm: Rm,
    /// Report inexactness?
    pub exact: bool,
    /// 0, or the width of the integers (32, 64) that the result must be one of.
    pub int: u8,
}

/// Rounds each active lane to an integral value.
#[inline(always)]
pub fn fround(to: RoundTo, fmt: Fmt, shape: Shape, a: u128, env: &mut FpEnv) -> u128 {
    let lane = lane_of(fmt);
    let rounding = to.rm.resolve(env.fpcr);
    let mut env = soft(env);
    collect(lane, shape.lanes(lane), |i| match to.int {
        0 => softfloat::round_int(fmt, get(lane, i, a), rounding, to.exact, &mut env),
        n => softfloat::round_int_n(fmt, get(lane, i, a), rounding, u32::from(n), &mut env),
    })
}

/// Compares lane 0: NZCV in bits 31:28.
#[inline(always)]
pub fn fcmp(fmt: Fmt, signal: bool, a: u128, b: u128, env: &mut FpEnv) -> u32 {
    softfloat::compare(fmt, a as u64, b as u64, signal, &mut soft(env))
}

/// All ones in each active lane where the comparison holds.
#[inline(always)]
pub fn fmask(op: FMaskOp, fmt: Fmt, shape: Shape, a: u128, b: u128, env: &mut FpEnv) -> u128 {
    let (a, b) = match op {
        FMaskOp::AbsGe | FMaskOp::AbsGt => {
            (fsign(FSignOp::Abs, fmt, Shape::Full, a), fsign(FSignOp::Abs, fmt, Shape::Full, b))
        }
        FMaskOp::Eq | FMaskOp::Ge | FMaskOp::Gt => (a, b),
    };
    let holds = match op {
        FMaskOp::Eq => softfloat::cmp_eq,
        FMaskOp::Ge | FMaskOp::AbsGe => softfloat::cmp_ge,
        FMaskOp::Gt | FMaskOp::AbsGt => softfloat::cmp_gt,
    };
    let lane = lane_of(fmt);
    let mut env = soft(env);
    collect(
        lane,
        shape.lanes(lane),
        |i| {
            if holds(fmt, get(lane, i, a), get(lane, i, b), &mut env) { u64::MAX } else { 0 }
        },
    )
}

/// Converts the `lanes` lowest lanes between formats.
#[inline(always)]
pub fn fcvt(from: Fmt, to: Fmt, lanes: u8, rm: Rm, a: u128, env: &mut FpEnv) -> u128 {
    let rounding = rm.resolve(env.fpcr);
    let mut env = soft(env);
    convert(lane_of(from), lane_of(to), lanes, a, |x| softfloat::convert(from, to, x, rounding, &mut env))
}

/// An integer or fixed-point format, and how many lanes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntFmt {
    /// Width.
    pub lane: Lane,
    /// Signed?
    pub signed: bool,
    /// Fraction bits.
    pub fbits: u8,
    /// Lanes to convert, lowest first.
    pub lanes: u8,
}

/// Converts the lowest lanes to integers, saturating.
#[inline(always)]
pub fn ftoint(fmt: Fmt, to: IntFmt, rm: Rm, a: u128, env: &mut FpEnv) -> u128 {
    let rounding = rm.resolve(env.fpcr);
    let mut env = soft(env);
    let (fbits, bits) = (u32::from(to.fbits), to.lane.bits());
    convert(lane_of(fmt), to.lane, to.lanes, a, |x| {
        softfloat::to_int(fmt, x, fbits, !to.signed, rounding, bits, &mut env)
    })
}

/// Converts the lowest integer lanes, rounding by FPCR.
#[inline(always)]
pub fn inttof(fmt: Fmt, from: IntFmt, a: u128, env: &mut FpEnv) -> u128 {
    let rounding = softfloat::rounding(env.fpcr);
    let mut env = soft(env);
    let (fbits, bits) = (u32::from(from.fbits), from.lane.bits());
    convert(from.lane, lane_of(fmt), from.lanes, a, |x| {
        softfloat::from_int(fmt, x, fbits, !from.signed, bits, rounding, &mut env)
    })
}

/// FJCVTZS of the double in lane 0: the result in bits 31:0, the Z flag in bit 32.
#[inline(always)]
pub fn fjcvt(a: u128, env: &mut FpEnv) -> u64 {
    let (v, exact) = softfloat::to_int_js(a as u64, &mut soft(env));
    u64::from(v) | u64::from(exact) << 32
}

/// Evaluates an FP op on operands `a`, `b` and `acc`; `None` for any other.
#[inline(never)]
pub(super) fn value(op: &Op, [a, b, acc]: [u128; 3], env: &mut FpEnv) -> Option<u128> {
    Some(match *op {
        Op::FBin { op, fmt, shape, .. } => fbin(op, fmt, shape, a, b, env),
        Op::FUn { op, fmt, shape, .. } => fun(op, fmt, shape, a, env),
        Op::FSign { op, fmt, shape, .. } => fsign(op, fmt, shape, a),
        Op::FMulAdd { fmt, shape, .. } => fmuladd(fmt, shape, acc, a, b, env),
        Op::FMulAddHS { shape, .. } => fmuladd_hs(shape, acc, a, b, env),
        Op::FRound { fmt, shape, rm, exact, int, .. } => fround(RoundTo { rm, exact, int }, fmt, shape, a, env),
        Op::FCmp { fmt, signal, .. } => fcmp(fmt, signal, a, b, env) as u128,
        Op::FMask { op, fmt, shape, .. } => fmask(op, fmt, shape, a, b, env),
        Op::FCvt { from, to, lanes, rm, .. } => fcvt(from, to, lanes, rm, a, env),
        Op::FToInt { fmt, to, signed, rm, fbits, lanes, .. } => {
            ftoint(fmt, IntFmt { lane: to, signed, fbits, lanes }, rm, a, env)
        }
        Op::IntToF { fmt, from, signed, fbits, lanes, .. } => {
            inttof(fmt, IntFmt { lane: from, signed, fbits, lanes }, a, env)
        }
        Op::FJcvt { .. } => fjcvt(a, env) as u128,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::softfloat::fpsr;

    const ENV: FpEnv = FpEnv { fpcr: 0, fpsr: 0 };

    fn singles(x: [f32; 4]) -> u128 {
        x.iter().rev().fold(0, |v, x| v << 32 | u128::from(x.to_bits()))
    }

    fn doubles(x: [f64; 2]) -> u128 {
        x.iter().rev().fold(0, |v, x| v << 64 | u128::from(x.to_bits()))
    }

    #[test]
    fn lanes_that_are_not_active_are_zero_and_silent() {
        let mut env = ENV;
        // The lanes above would raise invalid operation.
        let (a, b) = (singles([1.5, 2.0, f32::INFINITY, 0.0]), singles([2.0, 0.25, f32::NEG_INFINITY, 1.0]));
        assert_eq!(fbin(FBinOp::Add, Fmt::S, Shape::Half, a, b, &mut env), singles([3.5, 2.25, 0.0, 0.0]));
        assert_eq!(fbin(FBinOp::Mul, Fmt::S, Shape::Scalar, a, b, &mut env), singles([3.0, 0.0, 0.0, 0.0]));
        assert_eq!(env.fpsr, 0);
        fbin(FBinOp::Add, Fmt::S, Shape::Full, a, b, &mut env);
        assert_eq!(env.fpsr, fpsr::IOC);
    }

    #[test]
    fn arithmetic_by_the_lane() {
        let mut env = ENV;
        let (a, b) = (doubles([2.25, -4.0]), doubles([3.0, 0.5]));
        assert_eq!(fun(FUnOp::Sqrt, Fmt::D, Shape::Scalar, a, &mut env), doubles([1.5, 0.0]));
        assert_eq!(fmuladd(Fmt::D, Shape::Full, b, a, b, &mut env), doubles([9.75, -1.5]));
        assert_eq!(fbin(FBinOp::Abd, Fmt::D, Shape::Full, a, b, &mut env), doubles([0.75, 4.5]));
        let halves = 0x4000_3c00; // 1.0 and 2.0
        let acc = singles([0.5, 0.5, 0.5, 0.5]);
        assert_eq!(fmuladd_hs(Shape::Half, acc, halves, halves, &mut env), singles([1.5, 4.5, 0.0, 0.0]));
        assert_eq!(env.fpsr, 0);
    }

    #[test]
    fn signs_and_masks() {
        let mut env = ENV;
        let (a, b) = (singles([-1.0, 2.0, f32::NAN, -3.0]), singles([1.0, 2.0, 0.0, 1.0]));
        assert_eq!(fsign(FSignOp::Abs, Fmt::S, Shape::Half, a), singles([1.0, 2.0, 0.0, 0.0]));
        assert_eq!(fsign(FSignOp::Neg, Fmt::S, Shape::Scalar, a), singles([1.0, 0.0, 0.0, 0.0]));
        let all = u32::MAX as u128;
        assert_eq!(fmask(FMaskOp::Eq, Fmt::S, Shape::Full, a, b, &mut env), all << 32);
        assert_eq!(env.fpsr, 0, "a quiet NaN is not invalid when tested for equality");
        assert_eq!(fmask(FMaskOp::AbsGt, Fmt::S, Shape::Full, a, b, &mut env), all << 96);
        assert_eq!(fmask(FMaskOp::AbsGe, Fmt::S, Shape::Half, a, b, &mut env), all << 32 | all);
        assert_eq!(env.fpsr, fpsr::IOC);
        assert_eq!(fcmp(Fmt::S, false, a, b, &mut env), 0x8000_0000);
    }

    #[test]
    fn conversions_between_widths() {
        let mut env = ENV;
        let a = singles([1.5, -2.5, 3.5, 1e10]);
        assert_eq!(fcvt(Fmt::S, Fmt::D, 2, Rm::Fpcr, a, &mut env), doubles([1.5, -2.5]));
        assert_eq!(fcvt(Fmt::D, Fmt::S, 2, Rm::Fpcr, doubles([1.5, -2.5]), &mut env), singles([1.5, -2.5, 0.0, 0.0]));
        let int = |signed, fbits, lanes| IntFmt { lane: Lane::S, signed, fbits, lanes };
        assert_eq!(ftoint(Fmt::S, int(true, 1, 3), Rm::Zero, a, &mut env), 3 | (-5i32 as u32 as u128) << 32 | 7 << 64);
        assert_eq!(env.fpsr, 0);
        let saturated = ftoint(Fmt::S, int(false, 0, 4), Rm::TieEven, a, &mut env);
        assert_eq!(saturated, 2 | 4 << 64 | (u32::MAX as u128) << 96);
        assert_eq!(env.fpsr, fpsr::IOC | fpsr::IXC);
        assert_eq!(inttof(Fmt::D, int(true, 2, 1), u32::MAX.into(), &mut env), doubles([-0.25, 0.0]));
        assert_eq!(fjcvt(doubles([4_294_967_301.0, 0.0]), &mut env), 5);
        assert_eq!(fjcvt(doubles([-7.0, 0.0]), &mut env), 1 << 32 | 0xffff_fff9);
    }

    #[test]
    fn rounding_follows_the_mode_and_the_op() {
        let a = doubles([2.5, -2.5]);
        let round = |rm, fpcr| {
            let mut env = FpEnv { fpcr, fpsr: 0 };
            let to = RoundTo { rm, exact: true, int: 0 };
            (fround(to, Fmt::D, Shape::Full, a, &mut env), env.fpsr)
        };
        assert_eq!(round(Rm::TieAway, 0), (doubles([3.0, -3.0]), fpsr::IXC));
        assert_eq!(round(Rm::Fpcr, 0).0, doubles([2.0, -2.0]));
        assert_eq!(round(Rm::Fpcr, 1 << 22).0, doubles([3.0, -2.0]));
    }
}
