//! From an exact value back to bits: rounding, flushing, underflow, overflow.
//!
//! The promise: given the infinitely precise value (a mantissa whose last bit stands for "and something more"), the
//! result and the exceptions are those of the architecture, tininess being judged before rounding.

use super::Rounding;
use super::env::{Env, fpcr, fpsr};
use super::format::Format;

/// `m >> n`, the last bit of the result also standing for everything shifted out.
#[inline]
pub(super) fn jam(m: u64, n: u32) -> u64 {
    if n >= 64 { u64::from(m != 0) } else { (m >> n) | u64::from((m >> n) << n != m) }
}

/// [`jam`] for wide mantissas.
#[inline]
pub(super) fn jam_wide(m: u128, n: u32) -> u128 {
    if n >= 128 { u128::from(m != 0) } else { (m >> n) | u128::from((m >> n) << n != m) }
}

/// The upper half of a wide mantissa, its last bit also standing for the lower half.
#[inline]
pub(super) fn narrow(m: u128) -> u64 {
    (m >> 64) as u64 | u64::from(m as u64 != 0)
}

/// Rounds the magnitude `int + rest / 2^64` to an integer. `int` must not be the greatest one unless `rest` is zero.
#[inline]
pub(super) fn round_magnitude(rounding: Rounding, sign: bool, int: u64, rest: u64) -> u64 {
    const HALF: u64 = 1 << 63;
    let up = match rounding {
        Rounding::TieEven => rest > HALF || (rest == HALF && int & 1 != 0),
        Rounding::TieAway => rest >= HALF,
        Rounding::PlusInf => !sign && rest != 0,
        Rounding::MinusInf => sign && rest != 0,
        Rounding::Zero => false,
        Rounding::Odd => return int | u64::from(rest != 0),
    };
    int.wrapping_add(u64::from(up))
}

/// Whether a magnitude too great for the format becomes infinity rather than the greatest finite number.
#[inline]
pub(super) fn overflows_to_inf(rounding: Rounding, sign: bool) -> bool {
    match rounding {
        Rounding::TieEven | Rounding::TieAway => true,
        Rounding::PlusInf => !sign,
        Rounding::MinusInf => sign,
        Rounding::Zero | Rounding::Odd => false,
    }
}

/// Rounds `±mant * 2^(exp - 63)`, `mant` having its top bit set, as the result of arithmetic.
#[inline]
pub(super) fn round<F: Format>((sign, exp, mant): (bool, i32, u64), rounding: Rounding, env: &mut Env<'_>) -> u64 {
    let flush = env.flushes::<F>();
    round_as::<F>((sign, exp, mant), rounding, flush, false, env)
}

/// Rounds the result of a conversion between formats: a half is never flushed, and may be in the alternative format.
#[inline]
pub(super) fn round_cv<F: Format>((sign, exp, mant): (bool, i32, u64), rounding: Rounding, env: &mut Env<'_>) -> u64 {
    let flush = !F::IS_HALF && env.has(fpcr::FZ);
    let alternative = F::IS_HALF && env.has(fpcr::AHP);
    round_as::<F>((sign, exp, mant), rounding, flush, alternative, env)
}

#[inline]
fn round_as<F: Format>(
    (sign, exp, mant): (bool, i32, u64),
    rounding: Rounding,
    flush: bool,
    alternative: bool,
    env: &mut Env<'_>,
) -> u64 {
    let tiny = exp < F::EMIN;
    let (mant, base) = if tiny {
        if flush {
            env.raise(fpsr::UFC);
            return F::signed(sign, 0);
        }
        (jam(mant, F::EMIN.wrapping_sub(exp) as u32), 0)
    } else {
        // One less than the biased exponent: the leading bit of the mantissa adds the one. Kept from running out of
        // the word, far above where overflow starts.
        (mant, ((exp.min(F::BIAS + 2) + F::BIAS - 1) as u64) << F::FRAC)
    };
    let rest = mant << (F::FRAC + 1);
    let int = round_magnitude(rounding, sign, mant >> (63 - F::FRAC), rest);
    let magnitude = base + int;
    if alternative {
        if magnitude > F::MAG {
            env.raise(fpsr::IOC);
            return F::signed(sign, F::MAG);
        }
    } else if magnitude >= F::INF {
        env.raise(fpsr::OFC | fpsr::IXC);
        let to_inf = overflows_to_inf(rounding, sign);
        return F::signed(sign, if to_inf { F::INF } else { F::MAX });
    }
    if rest != 0 {
        env.raise(if tiny { fpsr::UFC | fpsr::IXC } else { fpsr::IXC });
    }
    F::signed(sign, magnitude)
}
