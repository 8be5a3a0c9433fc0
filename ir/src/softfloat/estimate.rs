//! The estimates: eight bits of a reciprocal or reciprocal square root, bit for bit as the architecture tabulates them.
//!
//! The promise: FRECPE, FRSQRTE, FRECPX, URECPE and URSQRTE (FEAT_RPRES absent).

use super::Fmt;
use super::env::{Env, fpsr};
use super::format::Format;
use super::round::overflows_to_inf;
use super::unpack::{invalid, process_nan, unpack};

/// An estimate of `1 / a`.
#[inline]
pub fn recpe(fmt: Fmt, a: u64, env: &mut Env<'_>) -> u64 {
    by_format!(fmt, reciprocal(a, env))
}

/// An estimate of the reciprocal of the square root of `a`.
#[inline]
pub fn rsqrte(fmt: Fmt, a: u64, env: &mut Env<'_>) -> u64 {
    by_format!(fmt, reciprocal_root(a, env))
}

/// A power of two near the reciprocal of `a`: its exponent field inverted.
#[inline]
pub fn recpx(fmt: Fmt, a: u64, env: &mut Env<'_>) -> u64 {
    by_format!(fmt, reciprocal_exponent(a, env))
}

/// The estimate of the reciprocal of an unsigned fixed point number in [1/2, 1).
#[inline]
#[must_use]
pub fn urecpe32(a: u32) -> u32 {
    if a >> 31 == 0 { u32::MAX } else { reciprocal_of(a >> 23) << 23 }
}

/// The estimate of the reciprocal square root of an unsigned fixed point number in [1/4, 1).
#[inline]
#[must_use]
pub fn ursqrte32(a: u32) -> u32 {
    if a >> 30 == 0 { u32::MAX } else { reciprocal_root_of(a >> 23) << 23 }
}

/// From the nine top bits of a number in [1/2, 1) (256 to 511) to nine bits of its reciprocal (256 to 511).
fn reciprocal_of(a: u32) -> u32 {
    let middle = 2 * a + 1;
    ((1 << 19) / middle).div_ceil(2)
}

/// From the nine top bits of a number in [1/4, 1) (128 to 511) to nine bits of its reciprocal square root (256 to 511).
fn reciprocal_root_of(a: u32) -> u32 {
    let middle = if a < 256 { 2 * a + 1 } else { ((a & !1) + 1) * 2 };
    // The greatest b with middle * b^2 < 2^28.
    let b = (((1_u32 << 28) - 1) / middle).isqrt();
    b.div_ceil(2)
}

/// The fraction, at the top of 52 bits, and the exponent field; a denormal is normalised, its field running below one.
fn fraction_and_field<F: Format>(a: u64) -> (u64, i32) {
    let fraction = (a & F::FRAC_MASK) << (52 - F::FRAC);
    let field = F::field(a) as i32;
    if field != 0 || fraction == 0 {
        return (fraction, field);
    }
    // Move the leading one just out of the 52 bits.
    let shift = fraction.leading_zeros() - 11;
    ((fraction << shift) & ((1 << 52) - 1), 1 - shift as i32)
}

fn reciprocal<F: Format>(a: u64, env: &mut Env<'_>) -> u64 {
    let x = unpack::<F>(a, env);
    if x.is_nan() {
        return process_nan::<F>(a, x.class, env);
    }
    if x.is_inf() {
        return F::signed(x.sign, 0);
    }
    if x.is_zero() {
        env.raise(fpsr::DZC);
        return F::signed(x.sign, F::INF);
    }
    // Below the least number whose reciprocal is in range.
    if x.exp < -F::BIAS - 1 {
        env.raise(fpsr::OFC | fpsr::IXC);
        let to_inf = overflows_to_inf(env.rounding(), x.sign);
        return F::signed(x.sign, if to_inf { F::INF } else { F::MAX });
    }
    // Above it the reciprocal is a denormal.
    if x.exp >= F::BIAS - 1 && env.flushes::<F>() {
        env.raise(fpsr::UFC);
        return F::signed(x.sign, 0);
    }
    let (fraction, field) = fraction_and_field::<F>(a);
    let estimate = reciprocal_of(256 | (fraction >> 44) as u32);
    let fraction = u64::from(estimate & 255) << 44;
    let (fraction, field) = match 2 * F::BIAS - 1 - field {
        0 => (1 << 51 | fraction >> 1, 0),
        -1 => (1 << 50 | fraction >> 2, 0),
        field => (fraction, field as u64),
    };
    F::signed(x.sign, (field & F::EXP_ONES) << F::FRAC | fraction >> (52 - F::FRAC))
}

fn reciprocal_root<F: Format>(a: u64, env: &mut Env<'_>) -> u64 {
    let x = unpack::<F>(a, env);
    if x.is_nan() {
        return process_nan::<F>(a, x.class, env);
    }
    if x.is_zero() {
        env.raise(fpsr::DZC);
        return F::signed(x.sign, F::INF);
    }
    if x.sign {
        return invalid::<F>(env);
    }
    if x.is_inf() {
        return 0;
    }
    let (fraction, field) = fraction_and_field::<F>(a);
    let scaled = if field & 1 == 0 { 256 | fraction >> 44 } else { 128 | fraction >> 45 };
    let estimate = reciprocal_root_of(scaled as u32);
    let field = ((3 * F::BIAS - 1 - field) / 2) as u64;
    (field & F::EXP_ONES) << F::FRAC | u64::from(estimate & 255) << (F::FRAC - 8)
}

fn reciprocal_exponent<F: Format>(a: u64, env: &mut Env<'_>) -> u64 {
    let x = unpack::<F>(a, env);
    if x.is_nan() {
        return process_nan::<F>(a, x.class, env);
    }
    let field = F::field(a);
    let field = if field == 0 { F::EXP_ONES - 1 } else { field ^ F::EXP_ONES };
    F::signed(x.sign, field << F::FRAC)
}
