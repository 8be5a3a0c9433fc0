//! The floating point environment: what FPCR asks for and what FPSR accumulates.
//!
//! The promise: bits are read and ORed where the Arm ARM puts them; nothing here clears an FPSR bit.

use super::Rounding;
use super::format::Format;

/// FPCR bits read by this module.
pub mod fpcr {
    /// Flush half precision denormals to zero.
    pub const FZ16: u32 = 1 << 19;
    /// Where the two rounding mode bits start: 0 to nearest, 1 up, 2 down, 3 to zero.
    pub const RMODE_SHIFT: u32 = 22;
    /// Flush single and double precision denormals to zero.
    pub const FZ: u32 = 1 << 24;
    /// Every NaN result is the default NaN.
    pub const DN: u32 = 1 << 25;
    /// Half precision operands and results of conversions are in the alternative format.
    pub const AHP: u32 = 1 << 26;
}

/// FPSR cumulative bits set by this module.
pub mod fpsr {
    /// Invalid operation.
    pub const IOC: u32 = 1 << 0;
    /// Division by zero.
    pub const DZC: u32 = 1 << 1;
    /// Overflow.
    pub const OFC: u32 = 1 << 2;
    /// Underflow.
    pub const UFC: u32 = 1 << 3;
    /// Inexact.
    pub const IXC: u32 = 1 << 4;
    /// Input denormal (flushed).
    pub const IDC: u32 = 1 << 7;
    /// Saturation of an integer operation; never set by floating point.
    pub const QC: u32 = 1 << 27;
}

/// Floating point environment: the control register, read, and the status register, ORed into.
#[derive(Debug)]
pub struct Env<'a> {
    /// FPCR, bits as in the Arm ARM.
    pub fpcr: u32,
    /// FPSR, bits as in the Arm ARM.
    pub fpsr: &'a mut u32,
}

/// The rounding mode that FPCR.RMode selects.
#[inline]
#[must_use]
pub const fn rounding(fpcr: u32) -> Rounding {
    match (fpcr >> fpcr::RMODE_SHIFT) & 3 {
        0 => Rounding::TieEven,
        1 => Rounding::PlusInf,
        2 => Rounding::MinusInf,
        _ => Rounding::Zero,
    }
}

impl Env<'_> {
    /// Accumulates exception bits.
    #[inline]
    pub(super) fn raise(&mut self, bits: u32) {
        *self.fpsr |= bits;
    }

    #[inline]
    pub(super) fn has(&self, control: u32) -> bool {
        self.fpcr & control != 0
    }

    #[inline]
    pub(super) fn rounding(&self) -> Rounding {
        rounding(self.fpcr)
    }

    /// Whether arithmetic in format `F` flushes denormals.
    #[inline]
    pub(super) fn flushes<F: Format>(&self) -> bool {
        self.has(if F::IS_HALF { fpcr::FZ16 } else { fpcr::FZ })
    }

    /// The sign of an exact zero that came from a cancellation.
    #[inline]
    pub(super) fn zero_sum_sign(&self) -> bool {
        self.rounding() == Rounding::MinusInf
    }
}
