//! From bits to a number: classification, input flushing and the choice of a NaN result.
//!
//! The promise: a finite [`Num`] is exactly the operand, `mant` having its top bit set; the input denormal exception is
//! raised where the architecture does (FZ, never FZ16), and a NaN result is picked in the architecture's order.

use super::env::{Env, fpcr, fpsr};
use super::format::Format;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Class {
    Zero,
    Finite,
    Inf,
    QuietNan,
    SignallingNan,
}

/// An unpacked operand. When finite and not zero its magnitude is `mant * 2^(exp - 63)`, with `mant` in [2^63, 2^64).
#[derive(Clone, Copy, Debug)]
pub(super) struct Num {
    pub(super) class: Class,
    pub(super) sign: bool,
    pub(super) exp: i32,
    pub(super) mant: u64,
}

impl Num {
    /// The positive number `mant * 2^(exp - 63)`.
    pub(super) const fn positive(exp: i32, mant: u64) -> Num {
        Num { class: Class::Finite, sign: false, exp, mant }
    }

    #[inline]
    pub(super) fn is_nan(&self) -> bool {
        matches!(self.class, Class::QuietNan | Class::SignallingNan)
    }

    #[inline]
    pub(super) fn is_inf(&self) -> bool {
        self.class == Class::Inf
    }

    #[inline]
    pub(super) fn is_zero(&self) -> bool {
        self.class == Class::Zero
    }

    #[inline]
    pub(super) fn is_finite(&self) -> bool {
        self.class == Class::Finite
    }
}

/// Unpacks an operand of an arithmetic operation.
#[inline]
pub(super) fn unpack<F: Format>(bits: u64, env: &mut Env<'_>) -> Num {
    let flush = env.flushes::<F>();
    unpack_as::<F>(bits, flush, false, env)
}

/// Unpacks an operand of a conversion between formats: a half is never flushed, and may be in the alternative format.
#[inline]
pub(super) fn unpack_cv<F: Format>(bits: u64, env: &mut Env<'_>) -> Num {
    let flush = !F::IS_HALF && env.has(fpcr::FZ);
    let alternative = F::IS_HALF && env.has(fpcr::AHP);
    unpack_as::<F>(bits, flush, alternative, env)
}

#[inline]
fn unpack_as<F: Format>(bits: u64, flush: bool, alternative: bool, env: &mut Env<'_>) -> Num {
    let sign = bits & F::SIGN != 0;
    let field = F::field(bits);
    let frac = bits & F::FRAC_MASK;
    let special = |class| Num { class, sign, exp: 0, mant: 0 };
    if field == 0 {
        if frac == 0 {
            return special(Class::Zero);
        }
        if flush {
            if !F::IS_HALF {
                env.raise(fpsr::IDC);
            }
            return special(Class::Zero);
        }
        let shift = frac.leading_zeros();
        let exp = F::EMIN - F::FRAC as i32 + 63 - shift as i32;
        return Num { class: Class::Finite, sign, exp, mant: frac << shift };
    }
    if field == F::EXP_ONES && !alternative {
        return special(if frac == 0 {
            Class::Inf
        } else if frac & F::QUIET != 0 {
            Class::QuietNan
        } else {
            Class::SignallingNan
        });
    }
    let mant = (1 << 63) | (frac << (63 - F::FRAC));
    Num { class: Class::Finite, sign, exp: field as i32 - F::BIAS, mant }
}

/// The result of an operation one of whose operands is the NaN `bits`.
#[inline]
pub(super) fn process_nan<F: Format>(bits: u64, class: Class, env: &mut Env<'_>) -> u64 {
    if class == Class::SignallingNan {
        env.raise(fpsr::IOC);
    }
    if env.has(fpcr::DN) { F::DEFAULT_NAN } else { bits & (F::SIGN | F::MAG) | F::QUIET }
}

/// The NaN among two operands that decides the result: the first signalling one, else the first quiet one.
#[inline]
pub(super) fn process_nans<F: Format>((a, x): (u64, Num), (b, y): (u64, Num), env: &mut Env<'_>) -> Option<u64> {
    if !(x.is_nan() || y.is_nan()) {
        return None;
    }
    let first = x.class == Class::SignallingNan || (x.is_nan() && y.class != Class::SignallingNan);
    Some(if first { process_nan::<F>(a, x.class, env) } else { process_nan::<F>(b, y.class, env) })
}

/// An operation without a meaningful result: the default NaN, and invalid operation.
#[inline]
pub(super) fn invalid<F: Format>(env: &mut Env<'_>) -> u64 {
    env.raise(fpsr::IOC);
    F::DEFAULT_NAN
}
