//! The meaning of the integer ops.

use crate::op::{BinOp, UnOp};
use crate::runtime::RmwOp;
use crate::ty::{Cc, Size, Ty};

/// `op(a, b)` at 64 bits.
#[inline]
pub fn bin64(op: BinOp, a: u64, b: u64) -> u64 {
    let count = (b & 63) as u32;
    match op {
        BinOp::Add => a.wrapping_add(b),
        BinOp::Sub => a.wrapping_sub(b),
        BinOp::Mul => a.wrapping_mul(b),
        BinOp::UMulHi => ((a as u128 * b as u128) >> 64) as u64,
        BinOp::SMulHi => ((a as i64 as i128 * b as i64 as i128) >> 64) as u64,
        BinOp::UDiv => a.checked_div(b).unwrap_or(0),
        BinOp::SDiv if b == 0 => 0,
        BinOp::SDiv => (a as i64).wrapping_div(b as i64) as u64,
        BinOp::And => a & b,
        BinOp::Or => a | b,
        BinOp::Xor => a ^ b,
        BinOp::AndNot => a & !b,
        BinOp::Shl => a << count,
        BinOp::Shr => a >> count,
        BinOp::Sar => ((a as i64) >> count) as u64,
        BinOp::Ror => a.rotate_right(count),
    }
}

/// `op(a, b)` at 32 bits.
#[inline]
pub fn bin32(op: BinOp, a: u32, b: u32) -> u32 {
    let count = b & 31;
    match op {
        BinOp::Add => a.wrapping_add(b),
        BinOp::Sub => a.wrapping_sub(b),
        BinOp::Mul => a.wrapping_mul(b),
        BinOp::UMulHi => ((a as u64 * b as u64) >> 32) as u32,
        BinOp::SMulHi => ((a as i32 as i64 * b as i32 as i64) >> 32) as u32,
        BinOp::UDiv => a.checked_div(b).unwrap_or(0),
        BinOp::SDiv if b == 0 => 0,
        BinOp::SDiv => (a as i32).wrapping_div(b as i32) as u32,
        BinOp::And => a & b,
        BinOp::Or => a | b,
        BinOp::Xor => a ^ b,
        BinOp::AndNot => a & !b,
        BinOp::Shl => a << count,
        BinOp::Shr => a >> count,
        BinOp::Sar => ((a as i32) >> count) as u32,
        BinOp::Ror => a.rotate_right(count),
    }
}

/// `op(a, b)` at the width of `ty`.
#[inline]
pub fn bin(op: BinOp, ty: Ty, a: u64, b: u64) -> u64 {
    if ty == Ty::I32 { bin32(op, a as u32, b as u32) as u64 } else { bin64(op, a, b) }
}

/// `op(a)` at the width of `ty`.
#[inline]
pub fn un(op: UnOp, ty: Ty, a: u64) -> u64 {
    if ty == Ty::I32 { un32(op, a as u32) as u64 } else { un64(op, a) }
}

/// `op(a)` at 64 bits.
#[inline]
pub fn un64(op: UnOp, a: u64) -> u64 {
    match op {
        UnOp::Not => !a,
        UnOp::Neg => a.wrapping_neg(),
        UnOp::Clz => a.leading_zeros() as u64,
        UnOp::Ctz => a.trailing_zeros() as u64,
        UnOp::Cls => (a ^ ((a as i64) >> 63) as u64).leading_zeros() as u64 - 1,
        UnOp::Rbit => a.reverse_bits(),
        UnOp::Rev => a.swap_bytes(),
        UnOp::Rev16 => (a >> 8) & 0x00ff_00ff_00ff_00ff | (a & 0x00ff_00ff_00ff_00ff) << 8,
        UnOp::Rev32 => a.swap_bytes().rotate_right(32),
        UnOp::Popcnt => a.count_ones() as u64,
    }
}

/// `op(a)` at 32 bits.
#[inline]
pub fn un32(op: UnOp, a: u32) -> u32 {
    match op {
        UnOp::Not => !a,
        UnOp::Neg => a.wrapping_neg(),
        UnOp::Clz => a.leading_zeros(),
        UnOp::Ctz => a.trailing_zeros(),
        UnOp::Cls => (a ^ ((a as i32) >> 31) as u32).leading_zeros() - 1,
        UnOp::Rbit => a.reverse_bits(),
        UnOp::Rev | UnOp::Rev32 => a.swap_bytes(),
        UnOp::Rev16 => (a >> 8) & 0x00ff_00ff | (a & 0x00ff_00ff) << 8,
        UnOp::Popcnt => a.count_ones(),
    }
}

/// The low `bits` of `a`, extended or truncated to `ty`.
#[inline]
pub fn ext(ty: Ty, signed: bool, bits: u8, a: u64) -> u64 {
    let unused = 64 - bits as u32;
    let v = if signed { (((a << unused) as i64) >> unused) as u64 } else { a << unused >> unused };
    if ty == Ty::I32 { v & 0xffff_ffff } else { v }
}

/// Does `a cc b` hold at the width of `ty`?
#[inline]
pub fn cmp(cc: Cc, ty: Ty, a: u64, b: u64) -> bool {
    let (sa, sb) = if ty == Ty::I32 { (a as i32 as i64, b as i32 as i64) } else { (a as i64, b as i64) };
    match cc {
        Cc::Eq => a == b,
        Cc::Ne => a != b,
        Cc::Slt => sa < sb,
        Cc::Sle => sa <= sb,
        Cc::Ult => a < b,
        Cc::Ule => a <= b,
    }
}

/// What a read-modify-write of `size` bytes (8 at most) leaves where `old` was.
pub fn rmw(op: RmwOp, size: Size, old: u64, v: u64) -> u64 {
    let unused = 64 - 8 * size.bytes().min(8) as u32;
    let v = v << unused >> unused;
    let signed = |x: u64| (x << unused) as i64 >> unused;
    let new = match op {
        RmwOp::Add => old.wrapping_add(v),
        RmwOp::Clr => old & !v,
        RmwOp::Xor => old ^ v,
        RmwOp::Or => old | v,
        RmwOp::SMax if signed(v) > signed(old) => v,
        RmwOp::SMin if signed(v) < signed(old) => v,
        RmwOp::SMax | RmwOp::SMin => old,
        RmwOp::UMax => old.max(v),
        RmwOp::UMin => old.min(v),
        RmwOp::Swap => v,
    };
    new << unused >> unused
}

/// CRC-32 or CRC-32C (if `c`) of the low `size` bytes of `v`, bit-reflected as Arm defines them.
pub fn crc32(c: bool, size: Size, acc: u32, v: u64) -> u32 {
    let table = if c { &CRC32C } else { &CRC32 };
    (0..size.bytes()).fold(acc, |crc, i| {
        let byte = (v >> (8 * i)) as u8;
        table[usize::from(crc as u8 ^ byte)] ^ crc >> 8
    })
}

const fn crc_table(poly: u32) -> [u32; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let (mut crc, mut bit) = (i as u32, 0);
        while bit < 8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { poly } else { 0 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
}
static CRC32: [u32; 256] = crc_table(0xedb8_8320);
static CRC32C: [u32; 256] = crc_table(0x82f6_3b78);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn division_by_zero_is_zero_and_min_over_minus_one_wraps() {
        assert_eq!(bin64(BinOp::UDiv, 5, 0), 0);
        assert_eq!(bin64(BinOp::SDiv, 5, 0), 0);
        assert_eq!(bin64(BinOp::SDiv, i64::MIN as u64, u64::MAX), i64::MIN as u64);
        assert_eq!(bin32(BinOp::SDiv, 0x8000_0000, u32::MAX), 0x8000_0000);
    }

    #[test]
    fn crc_of_the_check_string() {
        let crc = |c| !b"123456789".iter().fold(!0, |crc, &b| crc32(c, Size::B1, crc, b as u64));
        assert_eq!(crc(false), 0xcbf4_3926);
        assert_eq!(crc(true), 0xe306_9283);
    }

    #[test]
    fn small_ops() {
        assert_eq!(un64(UnOp::Cls, 0), 63);
        assert_eq!(un32(UnOp::Cls, u32::MAX), 31);
        assert_eq!(un64(UnOp::Rev32, 0x0102_0304_0506_0708), 0x0403_0201_0807_0605);
        assert_eq!(ext(Ty::I32, true, 8, 0x80), 0xffff_ff80);
        assert_eq!(ext(Ty::I64, true, 32, 0x8000_0000), 0xffff_ffff_8000_0000);
    }
}
