//! Addition, multiplication, division, square root and the sign operations.
//!
//! The promise: FADD, FSUB, FABD, FMUL, FMULX, FDIV, FSQRT, FABS and FNEG, lane by lane.

use super::Fmt;
use super::env::{Env, fpsr};
use super::format::Format;
use super::round::{jam, narrow, round};
use super::unpack::{Num, invalid, process_nan, process_nans, unpack};

/// `a + b`.
#[inline]
pub fn add(fmt: Fmt, a: u64, b: u64, env: &mut Env<'_>) -> u64 {
    by_format!(fmt, sum(a, b, false, env))
}

/// `a - b`.
#[inline]
pub fn sub(fmt: Fmt, a: u64, b: u64, env: &mut Env<'_>) -> u64 {
    by_format!(fmt, sum(a, b, true, env))
}

/// `|a - b|`; the sign of a NaN result is cleared too.
#[inline]
pub fn abd(fmt: Fmt, a: u64, b: u64, env: &mut Env<'_>) -> u64 {
    abs(fmt, sub(fmt, a, b, env))
}

/// `a * b`.
#[inline]
pub fn mul(fmt: Fmt, a: u64, b: u64, env: &mut Env<'_>) -> u64 {
    by_format!(fmt, product(a, b, false, env))
}

/// `a * b`, except that zero times infinity is two (with the product's sign).
#[inline]
pub fn mulx(fmt: Fmt, a: u64, b: u64, env: &mut Env<'_>) -> u64 {
    by_format!(fmt, product(a, b, true, env))
}

/// `a / b`.
#[inline]
pub fn div(fmt: Fmt, a: u64, b: u64, env: &mut Env<'_>) -> u64 {
    by_format!(fmt, quotient(a, b, env))
}

/// The square root of `a`.
#[inline]
pub fn sqrt(fmt: Fmt, a: u64, env: &mut Env<'_>) -> u64 {
    by_format!(fmt, root(a, env))
}

/// `a` with its sign cleared, whatever it is.
#[inline]
#[must_use]
pub const fn abs(fmt: Fmt, a: u64) -> u64 {
    a & (u64::MAX >> (65 - fmt.bits()))
}

/// `a` with its sign flipped, whatever it is.
#[inline]
#[must_use]
pub const fn neg(fmt: Fmt, a: u64) -> u64 {
    (a & (u64::MAX >> (64 - fmt.bits()))) ^ (1 << (fmt.bits() - 1))
}

#[inline]
fn sum<F: Format>(a: u64, b: u64, negate: bool, env: &mut Env<'_>) -> u64 {
    let x = unpack::<F>(a, env);
    let y = unpack::<F>(b, env);
    let y_sign = y.sign ^ negate;
    if x.is_finite() && y.is_finite() {
        return match add_finite((x.sign, x.exp, x.mant), (y_sign, y.exp, y.mant)) {
            Some(value) => round::<F>(value, env.rounding(), env),
            None => F::signed(env.zero_sum_sign(), 0),
        };
    }
    if let Some(nan) = process_nans::<F>((a, x), (b, y), env) {
        return nan;
    }
    if x.is_inf() {
        return if y.is_inf() && x.sign != y_sign { invalid::<F>(env) } else { F::signed(x.sign, F::INF) };
    }
    if y.is_inf() {
        return F::signed(y_sign, F::INF);
    }
    // At least one is zero, perhaps by flushing; the other, if any, is the exact result.
    if x.is_finite() {
        a & (F::SIGN | F::MAG)
    } else if y.is_finite() {
        F::signed(y_sign, b & F::MAG)
    } else {
        F::signed(if x.sign == y_sign { x.sign } else { env.zero_sum_sign() }, 0)
    }
}

/// The sum of two values, none if it is exactly zero.
#[inline]
fn add_finite(x: (bool, i32, u64), y: (bool, i32, u64)) -> Option<(bool, i32, u64)> {
    let ((sign, exp, big), (small_sign, small_exp, small)) = if (x.1, x.2) >= (y.1, y.2) { (x, y) } else { (y, x) };
    // The ten lowest bits are zero: nothing is lost by making room for a carry, and whatever the alignment loses is
    // far below the rounding position even after the one bit of cancellation that is then possible.
    let big = big >> 1;
    let small = jam(small >> 1, (exp - small_exp) as u32);
    let total = if sign == small_sign { big + small } else { big - small };
    if total == 0 {
        return None;
    }
    let shift = total.leading_zeros();
    Some((sign, exp + 1 - shift as i32, total << shift))
}

#[inline]
fn product<F: Format>(a: u64, b: u64, extended: bool, env: &mut Env<'_>) -> u64 {
    let x = unpack::<F>(a, env);
    let y = unpack::<F>(b, env);
    let sign = x.sign ^ y.sign;
    if x.is_finite() && y.is_finite() {
        let (exp, mant) = multiply(&x, &y);
        return round::<F>((sign, exp, narrow(mant)), env.rounding(), env);
    }
    if let Some(nan) = process_nans::<F>((a, x), (b, y), env) {
        return nan;
    }
    if (x.is_inf() && y.is_zero()) || (x.is_zero() && y.is_inf()) {
        return if extended { F::power_of_two(sign, 1) } else { invalid::<F>(env) };
    }
    F::signed(sign, if x.is_inf() || y.is_inf() { F::INF } else { 0 })
}

/// The exact product of two finite numbers: its magnitude is `mant * 2^(exp - 127)`, `mant` having its top bit set.
#[inline]
pub(super) fn multiply(x: &Num, y: &Num) -> (i32, u128) {
    let mant = u128::from(x.mant) * u128::from(y.mant);
    let shift = mant.leading_zeros() & 1;
    (x.exp + y.exp + 1 - shift as i32, mant << shift)
}

#[inline]
fn quotient<F: Format>(a: u64, b: u64, env: &mut Env<'_>) -> u64 {
    let x = unpack::<F>(a, env);
    let y = unpack::<F>(b, env);
    let sign = x.sign ^ y.sign;
    if x.is_finite() && y.is_finite() {
        let value = divide::<F>(&x, &y);
        return round::<F>((sign, value.0, value.1), env.rounding(), env);
    }
    if let Some(nan) = process_nans::<F>((a, x), (b, y), env) {
        return nan;
    }
    if (x.is_inf() && y.is_inf()) || (x.is_zero() && y.is_zero()) {
        return invalid::<F>(env);
    }
    if x.is_inf() || y.is_zero() {
        if !x.is_inf() {
            env.raise(fpsr::DZC);
        }
        return F::signed(sign, F::INF);
    }
    F::signed(sign, 0)
}

/// The magnitude of the quotient of two finite numbers, to more bits than the format has and a sticky one.
#[inline]
fn divide<F: Format>(x: &Num, y: &Num) -> (i32, u64) {
    // Mantissas of FRAC + 1 bits; the divisor's top bit is set, hence it is not zero.
    let (n, d) = (x.mant >> (63 - F::FRAC), (y.mant >> (63 - F::FRAC)).max(1));
    let (scale, q, exact) = if F::FRAC < 32 {
        let n = n << 38;
        (38, n / d, n % d == 0)
    } else {
        let n = u128::from(n) << 58;
        let q = (n / u128::from(d)) as u64;
        (58, q, u128::from(q) * u128::from(d) == n)
    };
    let q = q | u64::from(!exact);
    let shift = q.leading_zeros();
    (x.exp - y.exp + 63 - scale - shift as i32, q << shift)
}

#[inline]
fn root<F: Format>(a: u64, env: &mut Env<'_>) -> u64 {
    let x = unpack::<F>(a, env);
    if x.is_nan() {
        return process_nan::<F>(a, x.class, env);
    }
    if x.is_zero() {
        return F::signed(x.sign, 0);
    }
    if x.sign {
        return invalid::<F>(env);
    }
    if x.is_inf() {
        return F::INF;
    }
    // The radicand over an even power of two, in [1, 4), in fixed point.
    let odd = x.exp as u32 & 1;
    let mant = if F::FRAC < 32 {
        let radicand = x.mant >> (1 - odd);
        let root = radicand.isqrt();
        root << 32 | u64::from(root * root != radicand)
    } else {
        let radicand = u128::from(x.mant) << (63 + odd);
        let root = radicand.isqrt();
        root as u64 | u64::from(root * root != radicand)
    };
    round::<F>((false, x.exp >> 1, mant), env.rounding(), env)
}
