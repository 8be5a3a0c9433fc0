//! Saturating operations; every saturated lane sets FPSR.QC.
//!
//! The promise: [`VSatOp`], [`VSatShiftOp`], [`VSatNarrowOp`] and SQRDMLAH/SQRDMLSH on all 128 bits.

use super::lanes::{Elem, sat2, sat3};
use crate::op::{VSatNarrowOp, VSatOp, VSatShiftOp};
use crate::ty::Lane;

/// `x` shifted left by `n` with signed saturation; or, `n` being negative, right, rounding if `$round`.
macro_rules! sat_shift_signed {
    ($s:ident, $x:expr, $n:expr, $round:expr) => {{
        let (x, n): ($s, i8) = ($x, $n);
        if n < 0 {
            let right = u32::from(n.unsigned_abs());
            (if $round { round_right!($s, x, right) } else { shift_signed!($s, x, n) }, false)
        } else {
            let left = shift_signed!($s, x, n);
            let lost = x != 0 && (n as u32 >= $s::BITS || left >> (n as u32 % $s::BITS) != x);
            (if lost { (x >> ($s::BITS - 1)) ^ $s::MAX } else { left }, lost)
        }
    }};
}

/// The same with unsigned saturation and logical right shifts.
macro_rules! sat_shift_unsigned {
    ($u:ident, $x:expr, $n:expr, $round:expr) => {{
        let (x, n): ($u, i8) = ($x, $n);
        if n < 0 {
            let right = u32::from(n.unsigned_abs());
            (if $round { round_right!($u, x, right) } else { shift_unsigned!($u, x, n) }, false)
        } else {
            let left = shift_unsigned!($u, x, n);
            let lost = x != 0 && (n as u32 >= $u::BITS || left >> (n as u32 % $u::BITS) != x);
            (if lost { $u::MAX } else { left }, lost)
        }
    }};
}

/// `sat` and whether it is another value than `wrapped`.
#[inline(always)]
fn noting<T: PartialEq>(sat: T, wrapped: T) -> (T, bool) {
    let differs = sat != wrapped;
    (sat, differs)
}

/// Saturating `op` of each lane pair.
#[inline(always)]
pub fn vsat(op: VSatOp, lane: Lane, a: u128, b: u128, fpsr: &mut u32) -> u128 {
    match op {
        VSatOp::SQDMulH => return doubling_high(lane, false, a, b, fpsr),
        VSatOp::SQRDMulH => return doubling_high(lane, true, a, b, fpsr),
        VSatOp::SQDMulL => return doubling_long(lane, a, b, fpsr),
        _ => {}
    }
    by_lane!(lane, U, S => match op {
        VSatOp::SQAdd => sat2(a, b, fpsr, |x: S, y: S| noting(x.saturating_add(y), x.wrapping_add(y))),
        VSatOp::UQAdd => sat2(a, b, fpsr, |x: U, y: U| noting(x.saturating_add(y), x.wrapping_add(y))),
        VSatOp::SQSub => sat2(a, b, fpsr, |x: S, y: S| noting(x.saturating_sub(y), x.wrapping_sub(y))),
        VSatOp::UQSub => sat2(a, b, fpsr, |x: U, y: U| noting(x.saturating_sub(y), x.wrapping_sub(y))),
        VSatOp::SUQAdd => sat2(a, b, fpsr, |x: S, y: S| {
            noting(x.saturating_add_unsigned(y as U), x.wrapping_add(y))
        }),
        VSatOp::USQAdd => sat2(a, b, fpsr, |x: U, y: U| {
            noting(x.saturating_add_signed(y as S), x.wrapping_add(y))
        }),
        VSatOp::SQShl => sat2(a, b, fpsr, |x: S, y: S| sat_shift_signed!(S, x, y as i8, false)),
        VSatOp::UQShl => sat2(a, b, fpsr, |x: U, y: U| sat_shift_unsigned!(U, x, y as i8, false)),
        VSatOp::SQRShl => sat2(a, b, fpsr, |x: S, y: S| sat_shift_signed!(S, x, y as i8, true)),
        VSatOp::UQRShl => sat2(a, b, fpsr, |x: U, y: U| sat_shift_unsigned!(U, x, y as i8, true)),
        VSatOp::SQAbs => sat2(a, a, fpsr, |x: S, _| noting(x.saturating_abs(), x.wrapping_abs())),
        VSatOp::SQNeg => sat2(a, a, fpsr, |x: S, _| noting(x.saturating_neg(), x.wrapping_neg())),
        VSatOp::SQDMulH | VSatOp::SQRDMulH | VSatOp::SQDMulL => 0,
    })
}

/// The high half of the doubled product, rounded or not. It is too great only for MIN * MIN.
#[inline(always)]
fn doubling_high(lane: Lane, round: bool, a: u128, b: u128, fpsr: &mut u32) -> u128 {
    match lane {
        Lane::S => {
            sat2(a, b, fpsr, |x: i32, y: i32| to_i32((i64::from(x) * i64::from(y) + (i64::from(round) << 30)) >> 31))
        }
        _ => sat2(a, b, fpsr, |x: i16, y: i16| to_i16((i32::from(x) * i32::from(y) + (i32::from(round) << 14)) >> 15)),
    }
}

#[inline(always)]
fn to_i32(v: i64) -> (i32, bool) {
    let sat = v.clamp(i32::MIN.into(), i32::MAX.into());
    (sat as i32, sat != v)
}

#[inline(always)]
fn to_i16(v: i32) -> (i16, bool) {
    let sat = v.clamp(i16::MIN.into(), i16::MAX.into());
    (sat as i16, sat != v)
}

#[inline(always)]
fn doubling_long(lane: Lane, a: u128, b: u128, fpsr: &mut u32) -> u128 {
    match lane {
        Lane::S => sat2(a, b, fpsr, |x: i32, y: i32| {
            let product = i64::from(x) * i64::from(y);
            noting(product.saturating_mul(2), product.wrapping_mul(2))
        }),
        _ => sat2(a, b, fpsr, |x: i16, y: i16| {
            let product = i32::from(x) * i32::from(y);
            noting(product.saturating_mul(2), product.wrapping_mul(2))
        }),
    }
}

/// SQRDMLAH, or SQRDMLSH if `sub`: the rounded high half of `acc` (as a high half) plus or minus the doubled product.
#[inline(always)]
pub fn vsat_mla(sub: bool, lane: Lane, acc: u128, a: u128, b: u128, fpsr: &mut u32) -> u128 {
    // Halved throughout, so that nothing leaves the type of twice the width.
    match lane {
        Lane::S => sat3(acc, (a, b), fpsr, |z: i32, x: i32, y: i32| {
            let product = i64::from(x) * i64::from(y);
            let product = if sub { -product } else { product };
            to_i32(((i64::from(z) << 31) + product + (1 << 30)) >> 31)
        }),
        _ => sat3(acc, (a, b), fpsr, |z: i16, x: i16, y: i16| {
            let product = i32::from(x) * i32::from(y);
            let product = if sub { -product } else { product };
            to_i16(((i32::from(z) << 15) + product + (1 << 14)) >> 15)
        }),
    }
}

/// Saturating shift left of each lane by `imm`.
#[inline(always)]
pub fn vsat_shift(op: VSatShiftOp, lane: Lane, imm: u8, a: u128, fpsr: &mut u32) -> u128 {
    let n = (imm & 127) as i8;
    by_lane!(lane, U, S => match op {
        VSatShiftOp::SQShl => sat2(a, a, fpsr, |x: S, _| sat_shift_signed!(S, x, n, false)),
        VSatShiftOp::UQShl => sat2(a, a, fpsr, |x: U, _| sat_shift_unsigned!(U, x, n, false)),
        VSatShiftOp::SQShlu => sat2(a, a, fpsr, |x: S, _| {
            let (v, saturated) = sat_shift_unsigned!(U, x.max(0) as U, n, false);
            (v, saturated | (x < 0))
        }),
    })
}

/// Saturating narrowing into `lane` from lanes of twice its width.
#[inline(always)]
pub fn vsat_narrow(op: VSatNarrowOp, lane: Lane, a: u128, fpsr: &mut u32) -> u128 {
    by_narrow_lane!(lane, U, S, W, T => match op {
        VSatNarrowOp::SQXtn => narrow(a, fpsr, |x: T| {
            let v = x.clamp(T::from(S::MIN), T::from(S::MAX));
            (v as S, v != x)
        }),
        VSatNarrowOp::UQXtn => narrow(a, fpsr, |x: W| {
            let v = x.min(W::from(U::MAX));
            (v as U, v != x)
        }),
        VSatNarrowOp::SQXtun => narrow(a, fpsr, |x: T| {
            let v = x.clamp(0, T::from(U::MAX));
            (v as U, v != x)
        }),
    })
}

#[inline(always)]
fn narrow<W: Elem, T: Elem>(a: u128, fpsr: &mut u32, f: impl Fn(W) -> (T, bool)) -> u128 {
    sat2(a, a, fpsr, |x: W, _| f(x))
}
