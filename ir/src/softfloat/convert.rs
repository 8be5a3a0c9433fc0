//! Conversions: between formats, to integers and fixed point, and back.
//!
//! The promise: FCVT, FCVTXN (rounding [`Rounding::Odd`]), FCVTL, FCVTN, FCVT{A,M,N,P,Z}{S,U}, SCVTF, UCVTF with or
//! without fraction bits, and FJCVTZS.

use super::env::{Env, fpcr, fpsr};
use super::format::{Double, Format, Half, Single};
use super::integral::split;
use super::round::{round, round_cv, round_magnitude};
use super::unpack::{Class, unpack, unpack_cv};
use super::{Fmt, Rounding};

/// `a` in another format.
#[inline]
pub fn convert(from: Fmt, to: Fmt, a: u64, rounding: Rounding, env: &mut Env<'_>) -> u64 {
    match from {
        Fmt::H => by_format!(to, convert_from_half(a, rounding, env)),
        Fmt::S => by_format!(to, convert_from_single(a, rounding, env)),
        Fmt::D => by_format!(to, convert_from_double(a, rounding, env)),
    }
}

/// `a * 2^fbits` as an integer of `intsize` bits, saturating. Upper bits of the result are zero.
#[inline]
pub fn to_int(
    fmt: Fmt,
    a: u64,
    fbits: u32,
    unsigned: bool,
    rounding: Rounding,
    intsize: u32,
    env: &mut Env<'_>,
) -> u64 {
    by_format!(fmt, integer(a, fbits, unsigned, rounding, intsize, env))
}

/// The low `intsize` bits of `value`, an integer, over `2^fbits`.
#[inline]
pub fn from_int(
    fmt: Fmt,
    value: u64,
    fbits: u32,
    unsigned: bool,
    intsize: u32,
    rounding: Rounding,
    env: &mut Env<'_>,
) -> u64 {
    by_format!(fmt, float(value, fbits, unsigned, intsize, rounding, env))
}

/// A double as JavaScript's ToInt32: truncated, modulo 2^32; and whether that was the exact value (and not -0).
pub fn to_int_js(a: u64, env: &mut Env<'_>) -> (u32, bool) {
    let x = unpack::<Double>(a, env);
    match x.class {
        Class::QuietNan | Class::SignallingNan | Class::Inf => {
            env.raise(fpsr::IOC);
            (0, false)
        }
        // Neither -0 nor a flushed denormal was exactly converted.
        Class::Zero => (0, a == 0),
        Class::Finite => {
            let Some((int, rest)) = split(&x, 0) else {
                env.raise(fpsr::IOC);
                // At least 2^64: the mantissa moves up, out of the low word sooner or later.
                let low = x.mant.checked_shl((x.exp - 63) as u32).unwrap_or(0) as u32;
                return (if x.sign { low.wrapping_neg() } else { low }, false);
            };
            let low = if x.sign { (int as u32).wrapping_neg() } else { int as u32 };
            if int >= (1 << 31) + u64::from(x.sign) {
                env.raise(fpsr::IOC);
                return (low, false);
            }
            if rest != 0 {
                env.raise(fpsr::IXC);
            }
            (low, rest == 0)
        }
    }
}

#[inline]
fn convert_from_half<T: Format>(a: u64, rounding: Rounding, env: &mut Env<'_>) -> u64 {
    convert_as::<Half, T>(a, rounding, env)
}

#[inline]
fn convert_from_single<T: Format>(a: u64, rounding: Rounding, env: &mut Env<'_>) -> u64 {
    convert_as::<Single, T>(a, rounding, env)
}

#[inline]
fn convert_from_double<T: Format>(a: u64, rounding: Rounding, env: &mut Env<'_>) -> u64 {
    convert_as::<Double, T>(a, rounding, env)
}

#[inline]
fn convert_as<F: Format, T: Format>(a: u64, rounding: Rounding, env: &mut Env<'_>) -> u64 {
    let x = unpack_cv::<F>(a, env);
    // The alternative half format has neither NaNs nor infinities.
    let to_alternative = T::IS_HALF && env.has(fpcr::AHP);
    match x.class {
        Class::Zero => T::signed(x.sign, 0),
        Class::Finite => round_cv::<T>((x.sign, x.exp, x.mant), rounding, env),
        Class::Inf if to_alternative => {
            env.raise(fpsr::IOC);
            T::signed(x.sign, T::MAG)
        }
        Class::Inf => T::signed(x.sign, T::INF),
        Class::QuietNan | Class::SignallingNan => {
            if to_alternative || x.class == Class::SignallingNan {
                env.raise(fpsr::IOC);
            }
            if to_alternative {
                T::signed(x.sign, 0)
            } else if env.has(fpcr::DN) {
                T::DEFAULT_NAN
            } else {
                // The payload keeps its upper end.
                let payload = (a & F::FRAC_MASK) << (52 - F::FRAC) >> (52 - T::FRAC);
                T::signed(x.sign, T::DEFAULT_NAN | payload)
            }
        }
    }
}

/// A width that shifts of 64-bit values bear.
#[inline]
fn width(intsize: u32) -> u32 {
    intsize.clamp(1, 64)
}

#[inline]
fn integer<F: Format>(a: u64, fbits: u32, unsigned: bool, rounding: Rounding, intsize: u32, env: &mut Env<'_>) -> u64 {
    let ones = u64::MAX >> (64 - width(intsize));
    let x = unpack::<F>(a, env);
    let rounded = match x.class {
        Class::QuietNan | Class::SignallingNan => {
            env.raise(fpsr::IOC);
            return 0;
        }
        Class::Zero => return 0,
        Class::Inf => None,
        Class::Finite => {
            split(&x, fbits.min(64) as i32).map(|(int, rest)| (round_magnitude(rounding, x.sign, int, rest), rest))
        }
    };
    // The greatest magnitude that fits, on this side of zero.
    let limit = match (unsigned, x.sign) {
        (true, false) => ones,
        (true, true) => 0,
        (false, false) => ones >> 1,
        (false, true) => (ones >> 1) + 1,
    };
    let magnitude = match rounded {
        Some((int, rest)) if int <= limit => {
            if rest != 0 {
                env.raise(fpsr::IXC);
            }
            int
        }
        _ => {
            env.raise(fpsr::IOC);
            limit
        }
    };
    (if x.sign { magnitude.wrapping_neg() } else { magnitude }) & ones
}

#[inline]
fn float<F: Format>(
    value: u64,
    fbits: u32,
    unsigned: bool,
    intsize: u32,
    rounding: Rounding,
    env: &mut Env<'_>,
) -> u64 {
    let unused = 64 - width(intsize);
    let (sign, magnitude) = if unsigned {
        (false, value << unused >> unused)
    } else {
        let value = (value << unused) as i64 >> unused;
        (value < 0, value.unsigned_abs())
    };
    if magnitude == 0 {
        return 0;
    }
    let shift = magnitude.leading_zeros();
    let exp = 63 - shift as i32 - fbits.min(64) as i32;
    round::<F>((sign, exp, magnitude << shift), rounding, env)
}
