//! Rounding to an integer, the result staying in floating point.
//!
//! The promise: FRINT{A,I,M,N,P,X,Z} by the rounding and `exact` passed, FRINT32{X,Z} and FRINT64{X,Z} by the size.

use super::env::{Env, fpsr};
use super::format::Format;
use super::round::{jam, round, round_magnitude};
use super::unpack::{Num, process_nan, unpack};
use super::{Fmt, Rounding};

/// `a` rounded to an integer. Only if `exact` (FRINTX) does a change of value raise inexact.
#[inline]
pub fn round_int(fmt: Fmt, a: u64, rounding: Rounding, exact: bool, env: &mut Env<'_>) -> u64 {
    by_format!(fmt, integral(a, rounding, exact, env))
}

/// `a` rounded to an integer that a signed integer of `intsize` (32 or 64) bits holds; if there is none the result is
/// the most negative such integer, with invalid operation. The architecture has this for single and double only; as a
/// half, such an integer cannot be represented and the result is meaningless.
#[inline]
pub fn round_int_n(fmt: Fmt, a: u64, rounding: Rounding, intsize: u32, env: &mut Env<'_>) -> u64 {
    let intsize = if intsize <= 32 { 32 } else { 64 };
    by_format!(fmt, integral_within(a, rounding, intsize, env))
}

/// The integer part and the fraction (in 2^-64, last bit sticky) of the magnitude of a finite number times `2^scale`;
/// none if it is 2^64 or more.
#[inline]
pub(super) fn split(x: &Num, scale: i32) -> Option<(u64, u64)> {
    match x.exp + scale {
        64.. => None,
        63 => Some((x.mant, 0)),
        e @ 0..63 => Some((x.mant >> (63 - e), x.mant << (e + 1))),
        e => Some((0, jam(x.mant, (-1 - e) as u32))),
    }
}

#[inline]
fn integral<F: Format>(a: u64, rounding: Rounding, exact: bool, env: &mut Env<'_>) -> u64 {
    let x = unpack::<F>(a, env);
    if x.is_nan() {
        return process_nan::<F>(a, x.class, env);
    }
    if x.is_zero() {
        return F::signed(x.sign, 0);
    }
    if x.is_inf() || x.exp >= F::FRAC as i32 {
        return a & (F::SIGN | F::MAG);
    }
    let Some((int, rest)) = split(&x, 0) else { return a & (F::SIGN | F::MAG) };
    if exact && rest != 0 {
        env.raise(fpsr::IXC);
    }
    float_of::<F>(x.sign, round_magnitude(rounding, x.sign, int, rest), env)
}

#[inline]
fn integral_within<F: Format>(a: u64, rounding: Rounding, intsize: u32, env: &mut Env<'_>) -> u64 {
    let x = unpack::<F>(a, env);
    if x.is_zero() {
        return F::signed(x.sign, 0);
    }
    if x.is_finite()
        && let Some((int, rest)) = split(&x, 0)
    {
        let int = round_magnitude(rounding, x.sign, int, rest);
        if int < (1 << (intsize - 1)) + u64::from(x.sign) {
            if rest != 0 {
                env.raise(fpsr::IXC);
            }
            return float_of::<F>(x.sign, int, env);
        }
    }
    env.raise(fpsr::IOC);
    F::power_of_two(true, intsize as i32 - 1)
}

/// The integer, which fits the format exactly.
#[inline]
fn float_of<F: Format>(sign: bool, int: u64, env: &mut Env<'_>) -> u64 {
    if int == 0 {
        return F::signed(sign, 0);
    }
    let shift = int.leading_zeros();
    round::<F>((sign, 63 - shift as i32, int << shift), Rounding::Zero, env)
}
