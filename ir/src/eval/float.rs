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
