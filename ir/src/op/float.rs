//! Operations on floating-point lanes, and how they round.

use crate::softfloat::Rounding;

/// FP operations of two operands. FPCR applies; FPSR accumulates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum FBinOp {
    /// FADD
    Add,
    /// FSUB
    Sub,
    /// FMUL
    Mul,
    /// FMULX
    MulX,
    /// FDIV
    Div,
    /// FMAX
    Max,
    /// FMIN
    Min,
    /// FMAXNM
    MaxNm,
    /// FMINNM
    MinNm,
    /// FABD
    Abd,
    /// FRECPS
    RecpS,
    /// FRSQRTS
    RsqrtS,
}

/// FP operations of one operand. FPCR applies; FPSR accumulates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum FUnOp {
    /// FSQRT
    Sqrt,
    /// FRECPE
    Recpe,
    /// FRSQRTE
    Rsqrte,
    /// FRECPX
    Recpx,
}

/// Sign-bit operations: bitwise, no exceptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum FSignOp {
    /// FNEG
    Neg,
    /// FABS
    Abs,
}

/// FP comparisons that give a lane mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum FMaskOp {
    /// FCMEQ
    Eq,
    /// FCMGE
    Ge,
    /// FCMGT
    Gt,
    /// FACGE
    AbsGe,
    /// FACGT
    AbsGt,
}

/// The rounding of an FP operation: fixed, or as FPCR.RMode says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Rm {
    /// FPCR.RMode.
    Fpcr,
    /// Nearest, ties to even.
    TieEven,
    /// Towards plus infinity.
    PlusInf,
    /// Towards minus infinity.
    MinusInf,
    /// Towards zero.
    Zero,
    /// Nearest, ties away from zero.
    TieAway,
    /// To odd (FCVTXN).
    Odd,
}

impl Rm {
    /// The rounding under control word `fpcr`.
    pub fn resolve(self, fpcr: u32) -> Rounding {
        match self {
            Rm::Fpcr => crate::softfloat::rounding(fpcr),
            Rm::TieEven => Rounding::TieEven,
            Rm::PlusInf => Rounding::PlusInf,
            Rm::MinusInf => Rounding::MinusInf,
            Rm::Zero => Rounding::Zero,
            Rm::TieAway => Rounding::TieAway,
            Rm::Odd => Rounding::Odd,
        }
    }
}
