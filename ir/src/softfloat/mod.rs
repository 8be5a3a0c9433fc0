//! Exact AArch64 floating point on integers alone.
//!
//! The promise: for every operation here, the result bits and the exception bits ORed into the FPSR are those the Arm
//! architecture defines for Armv8 (FEAT_AFP absent, so FPCR.AH = FIZ = NEP = 0; no trapped exceptions), for every pattern
//! of operand bits, every FPCR and all three formats. No operation panics, touches the host's floating point unit or
//! keeps state: all of it is in the arguments and in [`Env`].
//!
//! Operands and results are raw bits in the low end of a `u64`. Upper bits of an operand are ignored, upper bits of a
//! result are zero.
#![forbid(unsafe_code)]

/// Calls a function generic over a format, once instantiated for each [`Fmt`].
macro_rules! by_format {
    ($fmt:expr, $f:ident($($arg:expr),* $(,)?)) => {
        match $fmt {
            $crate::softfloat::Fmt::H => $f::<$crate::softfloat::format::Half>($($arg),*),
            $crate::softfloat::Fmt::S => $f::<$crate::softfloat::format::Single>($($arg),*),
            $crate::softfloat::Fmt::D => $f::<$crate::softfloat::format::Double>($($arg),*),
        }
    };
}

mod arith;
mod compare;
mod convert;
mod env;
mod estimate;
mod format;
mod fused;
mod integral;
mod round;
mod unpack;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_convert;

pub use arith::{abd, abs, add, div, mul, mulx, neg, sqrt, sub};
pub use compare::{cmp_eq, cmp_ge, cmp_gt, compare, max, maxnm, min, minnm};
pub use convert::{convert, from_int, to_int, to_int_js};
pub use env::{Env, fpcr, fpsr, rounding};
pub use estimate::{recpe, recpx, rsqrte, urecpe32, ursqrte32};
pub use fused::{mul_add, mul_add_h_to_s, recps, rsqrts};
pub use integral::{round_int, round_int_n};

/// A floating point format.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub enum Fmt {
    /// Half precision: 5 exponent bits, 10 fraction bits.
    H,
    /// Single precision: 8 exponent bits, 23 fraction bits.
    S,
    /// Double precision: 11 exponent bits, 52 fraction bits.
    D,
}

impl Fmt {
    /// The width of the format.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Fmt::H => 16,
            Fmt::S => 32,
            Fmt::D => 64,
        }
    }
}

/// How a result that does not fit is rounded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub enum Rounding {
    /// To nearest, ties to even.
    TieEven,
    /// Towards plus infinity.
    PlusInf,
    /// Towards minus infinity.
    MinusInf,
    /// Towards zero.
    Zero,
    /// To nearest, ties away from zero.
    TieAway,
    /// To odd: truncated, with the last bit set if anything was lost (FCVTXN).
    Odd,
}
