//! Comparisons, and the maximum and minimum built on the same order.
//!
//! The promise: FCMP(E), FCMEQ/GE/GT, FMAX, FMIN, FMAXNM and FMINNM, lane by lane; a flushed denormal compares as zero.

use super::Fmt;
use super::env::{Env, fpsr};
use super::format::Format;
use super::unpack::{Class, Num, process_nans, unpack};
use std::cmp::Ordering;

/// Compares into the condition flags, at bits 31:28. A quiet NaN raises invalid operation only if `signal_nans`.
#[inline]
pub fn compare(fmt: Fmt, a: u64, b: u64, signal_nans: bool, env: &mut Env<'_>) -> u32 {
    let nzcv = match by_format!(fmt, order(a, b, signal_nans, env)) {
        Some(Ordering::Less) => 0b1000,
        Some(Ordering::Equal) => 0b0110,
        Some(Ordering::Greater) => 0b0010,
        None => 0b0011,
    };
    nzcv << 28
}

/// `a == b`; only a signalling NaN is invalid.
#[inline]
pub fn cmp_eq(fmt: Fmt, a: u64, b: u64, env: &mut Env<'_>) -> bool {
    by_format!(fmt, order(a, b, false, env)) == Some(Ordering::Equal)
}

/// `a >= b`; any NaN is invalid.
#[inline]
pub fn cmp_ge(fmt: Fmt, a: u64, b: u64, env: &mut Env<'_>) -> bool {
    matches!(by_format!(fmt, order(a, b, true, env)), Some(Ordering::Greater | Ordering::Equal))
}

/// `a > b`; any NaN is invalid.
#[inline]
pub fn cmp_gt(fmt: Fmt, a: u64, b: u64, env: &mut Env<'_>) -> bool {
    by_format!(fmt, order(a, b, true, env)) == Some(Ordering::Greater)
}

/// The greater of two, -0 being less than +0; a NaN if either is.
#[inline]
pub fn max(fmt: Fmt, a: u64, b: u64, env: &mut Env<'_>) -> u64 {
    by_format!(fmt, extreme(a, b, Ordering::Greater, env))
}

/// The lesser of two, -0 being less than +0; a NaN if either is.
#[inline]
pub fn min(fmt: Fmt, a: u64, b: u64, env: &mut Env<'_>) -> u64 {
    by_format!(fmt, extreme(a, b, Ordering::Less, env))
}

/// The greater of two, a single quiet NaN counting as absent.
#[inline]
pub fn maxnm(fmt: Fmt, a: u64, b: u64, env: &mut Env<'_>) -> u64 {
    by_format!(fmt, extreme_number(a, b, Ordering::Greater, env))
}

/// The lesser of two, a single quiet NaN counting as absent.
#[inline]
pub fn minnm(fmt: Fmt, a: u64, b: u64, env: &mut Env<'_>) -> u64 {
    by_format!(fmt, extreme_number(a, b, Ordering::Less, env))
}

/// The order of two operands, none if one is a NaN.
#[inline]
fn order<F: Format>(a: u64, b: u64, signal_nans: bool, env: &mut Env<'_>) -> Option<Ordering> {
    let x = unpack::<F>(a, env);
    let y = unpack::<F>(b, env);
    if x.is_nan() || y.is_nan() {
        if signal_nans || x.class == Class::SignallingNan || y.class == Class::SignallingNan {
            env.raise(fpsr::IOC);
        }
        return None;
    }
    Some(order_numbers(&x, &y))
}

#[inline]
fn order_numbers(x: &Num, y: &Num) -> Ordering {
    fn rank(n: &Num) -> i32 {
        match (n.class, n.sign) {
            (Class::Zero, _) => 0,
            (Class::Inf, false) => 2,
            (Class::Inf, true) => -2,
            (_, false) => 1,
            (_, true) => -1,
        }
    }
    let ranks = rank(x).cmp(&rank(y));
    if ranks.is_ne() || !x.is_finite() {
        return ranks;
    }
    let magnitudes = (x.exp, x.mant).cmp(&(y.exp, y.mant));
    if x.sign { magnitudes.reverse() } else { magnitudes }
}

#[inline]
fn extreme<F: Format>(a: u64, b: u64, wanted: Ordering, env: &mut Env<'_>) -> u64 {
    let x = unpack::<F>(a, env);
    let y = unpack::<F>(b, env);
    if let Some(nan) = process_nans::<F>((a, x), (b, y), env) {
        return nan;
    }
    if x.is_zero() && y.is_zero() {
        let sign = if wanted.is_gt() { x.sign && y.sign } else { x.sign || y.sign };
        return F::signed(sign, 0);
    }
    let (bits, n) = if order_numbers(&x, &y) == wanted { (a, x) } else { (b, y) };
    if n.is_zero() { F::signed(n.sign, 0) } else { bits & (F::SIGN | F::MAG) }
}

#[inline]
fn extreme_number<F: Format>(a: u64, b: u64, wanted: Ordering, env: &mut Env<'_>) -> u64 {
    let quiet = |bits: u64| {
        let magnitude = bits & F::MAG;
        magnitude > F::INF && magnitude & F::QUIET != 0
    };
    // The infinity that loses against everything.
    let loser = F::signed(wanted.is_gt(), F::INF);
    match (quiet(a), quiet(b)) {
        (true, false) => extreme::<F>(loser, b, wanted, env),
        (false, true) => extreme::<F>(a, loser, wanted, env),
        _ => extreme::<F>(a, b, wanted, env),
    }
}
