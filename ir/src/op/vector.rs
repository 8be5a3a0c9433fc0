//! Operations on vectors: integer lanes, and whole vectors for cryptography.

/// Lane-wise operations of two vectors. All 128 bits are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum VBinOp {
    /// `a + b`, wrapping.
    Add,
    /// `a - b`, wrapping.
    Sub,
    /// Low half of `a * b` (any lane width).
    Mul,
    /// Polynomial product over GF(2), low half; lanes B only.
    PMul,
    /// Signed minimum.
    SMin,
    /// Unsigned minimum.
    UMin,
    /// Signed maximum.
    SMax,
    /// Unsigned maximum.
    UMax,
    /// All ones where `a == b`.
    CmpEq,
    /// All ones where `a > b`, signed.
    CmpGt,
    /// All ones where `a >= b`, signed.
    CmpGe,
    /// All ones where `a > b`, unsigned.
    CmpHi,
    /// All ones where `a >= b`, unsigned.
    CmpHs,
    /// All ones where `a & b != 0`.
    CmpTst,
    /// Signed `(a + b) >> 1`, no overflow.
    SHAdd,
    /// Unsigned `(a + b) >> 1`, no overflow.
    UHAdd,
    /// Signed `(a - b) >> 1`, no overflow.
    SHSub,
    /// Unsigned `(a - b) >> 1`, no overflow; the result's low bits.
    UHSub,
    /// Signed `(a + b + 1) >> 1`, no overflow.
    SRHAdd,
    /// Unsigned `(a + b + 1) >> 1`, no overflow.
    URHAdd,
    /// Signed absolute difference.
    SAbd,
    /// Unsigned absolute difference.
    UAbd,
    /// SSHL: shift by the signed low byte of each lane of `b`, left if positive, else
    /// arithmetic right.
    SShl,
    /// USHL: the same with logical right shifts.
    UShl,
    /// SRSHL: as `SShl`, right shifts rounding.
    SRShl,
    /// URSHL: as `UShl`, right shifts rounding.
    URShl,
    /// Pairwise sums: low half from the pairs of `a`, high half from those of `b`.
    AddP,
    /// Pairwise signed maxima, placed as in `AddP`.
    SMaxP,
    /// Pairwise signed minima.
    SMinP,
    /// Pairwise unsigned maxima.
    UMaxP,
    /// Pairwise unsigned minima.
    UMinP,
    /// Interleave the low halves.
    Zip1,
    /// Interleave the high halves.
    Zip2,
    /// Even lanes of `a`, then of `b`.
    Uzp1,
    /// Odd lanes of `a`, then of `b`.
    Uzp2,
    /// Even lanes of `a` and `b`, interleaved.
    Trn1,
    /// Odd lanes of `a` and `b`, interleaved.
    Trn2,
}

/// Lane-wise operations of one vector. All 128 bits are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum VUnOp {
    /// Absolute value, wrapping.
    Abs,
    /// `0 - a`.
    Neg,
    /// Leading zero bits.
    Clz,
    /// Leading sign bits, not counting the sign.
    Cls,
    /// Number of one bits (lane B).
    Cnt,
    /// Bits in reverse order (lane B).
    Rbit,
    /// Lanes in reverse order within each 16 bits.
    Rev16,
    /// Lanes in reverse order within each 32 bits.
    Rev32,
    /// Lanes in reverse order within each 64 bits.
    Rev64,
    /// SADDLP: sums of adjacent lanes, signed, in lanes of twice the width.
    SAddLP,
    /// UADDLP: the same, unsigned.
    UAddLP,
    /// URECPE (lane S).
    URecpe,
    /// URSQRTE (lane S).
    URsqrte,
}

/// Shifts of each lane by a constant. All 128 bits are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum VShiftOp {
    /// Left, count 0 to width - 1.
    Shl,
    /// Arithmetic right, count 1 to width.
    SShr,
    /// Logical right, count 1 to width.
    UShr,
    /// Arithmetic right with rounding, count 1 to width.
    SRShr,
    /// Logical right with rounding, count 1 to width.
    URShr,
}

/// Saturating lane-wise operations; any saturated lane sets FPSR.QC. All 128 bits are computed,
/// so inactive lanes must be zeroed by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum VSatOp {
    /// Signed `a + b`.
    SQAdd,
    /// Unsigned `a + b`.
    UQAdd,
    /// Signed `a - b`.
    SQSub,
    /// Unsigned `a - b`.
    UQSub,
    /// SUQADD: signed saturation of signed `a` + unsigned `b`.
    SUQAdd,
    /// USQADD: unsigned saturation of unsigned `a` + signed `b`.
    USQAdd,
    /// SQSHL (register).
    SQShl,
    /// UQSHL (register).
    UQShl,
    /// SQRSHL (register).
    SQRShl,
    /// UQRSHL (register).
    UQRShl,
    /// SQDMULH (lanes H, S).
    SQDMulH,
    /// SQRDMULH (lanes H, S).
    SQRDMulH,
    /// SQDMULL: doubled signed product of the low halves' lanes (H, S) in lanes of twice the width.
    SQDMulL,
    /// SQABS of `a`; `b` is ignored.
    SQAbs,
    /// SQNEG of `a`; `b` is ignored.
    SQNeg,
}

/// Saturating shifts by a constant; saturation sets FPSR.QC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum VSatShiftOp {
    /// SQSHL (immediate).
    SQShl,
    /// UQSHL (immediate).
    UQShl,
    /// SQSHLU: signed in, unsigned out.
    SQShlu,
}

/// Narrowing from lanes of twice the width into the low 64 bits; the high 64 become zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum VSatNarrowOp {
    /// Signed to signed.
    SQXtn,
    /// Unsigned to unsigned.
    UQXtn,
    /// Signed to unsigned.
    SQXtun,
}

/// Reductions across lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum VReduceOp {
    /// Sum, wrapping.
    Add,
    /// Signed sum in twice the width.
    SAddL,
    /// Unsigned sum in twice the width.
    UAddL,
    /// Signed maximum.
    SMax,
    /// Signed minimum.
    SMin,
    /// Unsigned maximum.
    UMax,
    /// Unsigned minimum.
    UMin,
}

/// Signedness of the two factors of a dot product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum DotSigns {
    /// Both signed.
    SS,
    /// Both unsigned.
    UU,
    /// First unsigned, second signed.
    US,
}

/// Cryptographic operations on vectors, named after the A64 instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum CryptoOp {
    /// AESE: `a` state, `b` key.
    AesE,
    /// AESD: `a` state, `b` key.
    AesD,
    /// AESMC of `a`.
    AesMc,
    /// AESIMC of `a`.
    AesImc,
    /// SHA1C: `a` hash ABCD, `b` E in lane 0, `c` schedule.
    Sha1C,
    /// SHA1P: operands as `Sha1C`.
    Sha1P,
    /// SHA1M: operands as `Sha1C`.
    Sha1M,
    /// SHA1H of `a` (lane 0).
    Sha1H,
    /// SHA1SU0: `a` Vd, `b` Vn, `c` Vm.
    Sha1Su0,
    /// SHA1SU1: `a` Vd, `b` Vn.
    Sha1Su1,
    /// SHA256H: `a` Qd, `b` Qn, `c` Vm.
    Sha256H,
    /// SHA256H2: `a` Qd, `b` Qn, `c` Vm.
    Sha256H2,
    /// SHA256SU0: `a` Vd, `b` Vn.
    Sha256Su0,
    /// SHA256SU1: `a` Vd, `b` Vn, `c` Vm.
    Sha256Su1,
    /// SHA512H: `a` Qd, `b` Qn, `c` Vm.
    Sha512H,
    /// SHA512H2: `a` Qd, `b` Qn, `c` Vm.
    Sha512H2,
    /// SHA512SU0: `a` Vd, `b` Vn.
    Sha512Su0,
    /// SHA512SU1: `a` Vd, `b` Vn, `c` Vm.
    Sha512Su1,
    /// 64x64 to 128-bit polynomial product of the low halves (PMULL 1Q).
    PMull64,
    /// Polynomial products of the low halves' bytes in lanes H (PMULL 8H).
    PMull8,
}
