//! The three formats as types, so that each operation is written once and compiled for each.
//!
//! The promise: every constant follows from the widths of the exponent and the fraction.

/// A binary interchange format with a sign, `EXP` exponent bits and `FRAC` fraction bits.
pub(super) trait Format {
    /// Exponent bits.
    const EXP: u32;
    /// Fraction bits.
    const FRAC: u32;

    const BITS: u32 = 1 + Self::EXP + Self::FRAC;
    const IS_HALF: bool = Self::BITS == 16;
    /// The sign bit.
    const SIGN: u64 = 1 << (Self::BITS - 1);
    /// Every bit but the sign.
    const MAG: u64 = Self::SIGN - 1;
    /// The exponent field with all bits set, not shifted into place.
    const EXP_ONES: u64 = (1 << Self::EXP) - 1;
    const FRAC_MASK: u64 = (1 << Self::FRAC) - 1;
    /// The fraction bit that makes a NaN quiet.
    const QUIET: u64 = 1 << (Self::FRAC - 1);
    const BIAS: i32 = (1 << (Self::EXP - 1)) - 1;
    /// The exponent of the least normal number.
    const EMIN: i32 = 1 - Self::BIAS;
    /// Plus infinity.
    const INF: u64 = Self::EXP_ONES << Self::FRAC;
    /// The greatest finite number.
    const MAX: u64 = Self::INF - 1;
    const DEFAULT_NAN: u64 = Self::INF | Self::QUIET;

    /// The sign bit if `sign`.
    #[inline]
    fn signed(sign: bool, magnitude: u64) -> u64 {
        if sign { magnitude | Self::SIGN } else { magnitude }
    }

    /// The biased exponent field of `bits`.
    #[inline]
    fn field(bits: u64) -> u64 {
        (bits >> Self::FRAC) & Self::EXP_ONES
    }

    /// ±2^e, for an e in the normal range.
    #[inline]
    fn power_of_two(sign: bool, e: i32) -> u64 {
        Self::signed(sign, (((e + Self::BIAS) as u64) & Self::EXP_ONES) << Self::FRAC)
    }
}

/// binary16.
pub(super) struct Half;
/// binary32.
pub(super) struct Single;
/// binary64.
pub(super) struct Double;

impl Format for Half {
    const EXP: u32 = 5;
    const FRAC: u32 = 10;
}

impl Format for Single {
    const EXP: u32 = 8;
    const FRAC: u32 = 23;
}

impl Format for Double {
    const EXP: u32 = 11;
    const FRAC: u32 = 52;
}
