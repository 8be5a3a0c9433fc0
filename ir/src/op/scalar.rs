//! Operations on integers and flags.

/// Two-operand integer operations on `I32` or `I64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum BinOp {
    /// `a + b`, wrapping.
    Add,
    /// `a - b`, wrapping.
    Sub,
    /// Low half of `a * b`.
    Mul,
    /// High half of the unsigned product.
    UMulHi,
    /// High half of the signed product.
    SMulHi,
    /// Unsigned quotient; 0 when `b` is 0.
    UDiv,
    /// Signed quotient towards zero; 0 when `b` is 0, wrapping for MIN / -1.
    SDiv,
    /// `a & b`.
    And,
    /// `a | b`.
    Or,
    /// `a ^ b`.
    Xor,
    /// `a & !b`.
    AndNot,
    /// `a << b`; the count is taken modulo the width.
    Shl,
    /// Logical `a >> b`; the count is taken modulo the width.
    Shr,
    /// Arithmetic `a >> b`; the count is taken modulo the width.
    Sar,
    /// `a` rotated right by `b` modulo the width.
    Ror,
}

/// One-operand integer operations on `I32` or `I64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum UnOp {
    /// `!a`.
    Not,
    /// `0 - a`.
    Neg,
    /// Leading zero bits; the width for 0.
    Clz,
    /// Trailing zero bits; the width for 0.
    Ctz,
    /// Leading bits equal to the sign bit, not counting it.
    Cls,
    /// Bits in reverse order.
    Rbit,
    /// Bytes in reverse order.
    Rev,
    /// Bytes of each 16-bit part in reverse order.
    Rev16,
    /// Bytes of each 32-bit part in reverse order (`I64` only).
    Rev32,
    /// Number of one bits.
    Popcnt,
}

/// Which arithmetic a flag result comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum FlagOp {
    /// `a + b`.
    Add,
    /// `a - b`; C is "no borrow".
    Sub,
}
