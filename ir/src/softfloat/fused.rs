//! Fused operations: one rounding of a sum with an exact product.
//!
//! The promise: FMADD and its kin (the callers negate operands), FMLAL (halves added to a single), FRECPS and FRSQRTS.

use super::Fmt;
use super::arith::{multiply, neg};
use super::env::{Env, fpcr};
use super::format::{Format, Half, Single};
use super::round::{jam_wide, narrow, round};
use super::unpack::{Class, Num, invalid, process_nan, process_nans, unpack};

/// `addend + a * b`, rounded once.
#[inline]
pub fn mul_add(fmt: Fmt, addend: u64, a: u64, b: u64, env: &mut Env<'_>) -> u64 {
    by_format!(fmt, fused(addend, a, b, env))
}

/// `addend + a * b` for a single precision addend and half precision factors, rounded once to single precision.
pub fn mul_add_h_to_s(addend: u64, a: u64, b: u64, env: &mut Env<'_>) -> u64 {
    fused_as::<Single, Half>(addend, a, b, half_nan_to_single, env)
}

/// The Newton step for a reciprocal: `2 - a * b`, rounded once.
#[inline]
pub fn recps(fmt: Fmt, a: u64, b: u64, env: &mut Env<'_>) -> u64 {
    let a = neg(fmt, a);
    by_format!(fmt, step(Num::positive(1, 1 << 63), 0, a, b, env))
}

/// The Newton step for a reciprocal square root: `(3 - a * b) / 2`, rounded once.
#[inline]
pub fn rsqrts(fmt: Fmt, a: u64, b: u64, env: &mut Env<'_>) -> u64 {
    let a = neg(fmt, a);
    by_format!(fmt, step(Num::positive(1, 3 << 62), 1, a, b, env))
}

#[inline]
fn fused<F: Format>(addend: u64, a: u64, b: u64, env: &mut Env<'_>) -> u64 {
    fused_as::<F, F>(addend, a, b, |nan| nan, env)
}

/// A half precision NaN, already quiet, widened with its sign and payload.
fn half_nan_to_single(nan: u64) -> u64 {
    Single::signed(nan & Half::SIGN != 0, Single::INF | (nan & Half::FRAC_MASK) << (Single::FRAC - Half::FRAC))
}

/// Addend and result in `S`, factors in `P`; `widen` turns a NaN result of `P` into one of `S`.
#[inline]
fn fused_as<S: Format, P: Format>(addend: u64, a: u64, b: u64, widen: fn(u64) -> u64, env: &mut Env<'_>) -> u64 {
    let z = unpack::<S>(addend, env);
    let x = unpack::<P>(a, env);
    let y = unpack::<P>(b, env);
    let sign = x.sign ^ y.sign;
    let inf_times_zero = (x.is_inf() && y.is_zero()) || (x.is_zero() && y.is_inf());
    if z.is_nan() || x.is_nan() || y.is_nan() {
        if z.class == Class::QuietNan && inf_times_zero {
            return invalid::<S>(env);
        }
        // Signalling before quiet, the addend before the factors.
        let factor_signals = x.class == Class::SignallingNan || y.class == Class::SignallingNan;
        if z.class == Class::SignallingNan || (z.is_nan() && !factor_signals) {
            return process_nan::<S>(addend, z.class, env);
        }
        return match process_nans::<P>((a, x), (b, y), env) {
            Some(_) if env.has(fpcr::DN) => S::DEFAULT_NAN,
            Some(nan) => widen(nan),
            None => S::DEFAULT_NAN,
        };
    }
    let inf_product = x.is_inf() || y.is_inf();
    if inf_times_zero || (z.is_inf() && inf_product && z.sign != sign) {
        return invalid::<S>(env);
    }
    if z.is_inf() || inf_product {
        return S::signed(if z.is_inf() { z.sign } else { sign }, S::INF);
    }
    let zero_product = x.is_zero() || y.is_zero();
    if z.is_zero() && zero_product && z.sign == sign {
        return S::signed(sign, 0);
    }
    match accumulate(&z, sign, &x, &y) {
        Some(value) => round::<S>(value, env.rounding(), env),
        None => S::signed(env.zero_sum_sign(), 0),
    }
}

/// `(constant + a * b) / 2^halvings`, with infinity times zero taken as zero.
#[inline]
fn step<F: Format>(constant: Num, halvings: i32, a: u64, b: u64, env: &mut Env<'_>) -> u64 {
    let x = unpack::<F>(a, env);
    let y = unpack::<F>(b, env);
    if let Some(nan) = process_nans::<F>((a, x), (b, y), env) {
        return nan;
    }
    let sign = x.sign ^ y.sign;
    if (x.is_inf() && !y.is_zero()) || (y.is_inf() && !x.is_zero()) {
        return F::signed(sign, F::INF);
    }
    match accumulate(&constant, sign, &x, &y) {
        Some((sign, exp, mant)) => round::<F>((sign, exp - halvings, mant), env.rounding(), env),
        None => F::signed(env.zero_sum_sign(), 0),
    }
}

/// `z ± x * y`, none if that is exactly zero. Nothing is infinite, unless multiplied by zero, or a NaN.
#[inline]
fn accumulate(z: &Num, sign: bool, x: &Num, y: &Num) -> Option<(bool, i32, u64)> {
    if !(x.is_finite() && y.is_finite()) {
        return z.is_finite().then_some((z.sign, z.exp, z.mant));
    }
    let (exp, mant) = multiply(x, y);
    if !z.is_finite() {
        return Some((sign, exp, narrow(mant)));
    }
    let p = (sign, exp, mant);
    let z = (z.sign, z.exp, u128::from(z.mant) << 64);
    let ((sign, exp, big), (small_sign, small_exp, small)) = if (p.1, p.2) >= (z.1, z.2) { (p, z) } else { (z, p) };
    // An exact product has at most 106 bits, so there are spare ones below: see arith.
    let big = big >> 1;
    let small = jam_wide(small >> 1, (exp - small_exp) as u32);
    let total = if sign == small_sign { big + small } else { big - small };
    if total == 0 {
        return None;
    }
    let shift = total.leading_zeros();
    Some((sign, exp + 1 - shift as i32, narrow(total << shift)))
}
