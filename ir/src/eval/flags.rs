//! NZCV of additions, subtractions and logical results, in bits 31:28.

/// Packs the four flags.
#[inline]
pub const fn pack(n: bool, z: bool, c: bool, v: bool) -> u32 {
    (n as u32) << 31 | (z as u32) << 30 | (c as u32) << 29 | (v as u32) << 28
}

/// Flags of the 64-bit `a + b + carry`.
#[inline]
pub const fn adc64(a: u64, b: u64, carry: bool) -> u32 {
    let (s, c1) = a.overflowing_add(b);
    let (r, c2) = s.overflowing_add(carry as u64);
    let v = ((a ^ r) & (b ^ r)) >> 63 == 1;
    pack(r >> 63 == 1, r == 0, c1 | c2, v)
}

/// Flags of the 32-bit `a + b + carry`.
#[inline]
pub const fn adc32(a: u32, b: u32, carry: bool) -> u32 {
    let wide = a as u64 + b as u64 + carry as u64;
    let r = wide as u32;
    let v = ((a ^ r) & (b ^ r)) >> 31 == 1;
    pack(r >> 31 == 1, r == 0, wide >> 32 != 0, v)
}

/// Flags of the 64-bit `a + b`.
#[inline]
pub const fn add64(a: u64, b: u64) -> u32 {
    adc64(a, b, false)
}
/// Flags of the 32-bit `a + b`.
#[inline]
pub const fn add32(a: u32, b: u32) -> u32 {
    adc32(a, b, false)
}
/// Flags of the 64-bit `a - b`; C means no borrow.
#[inline]
pub const fn sub64(a: u64, b: u64) -> u32 {
    adc64(a, !b, true)
}
/// Flags of the 32-bit `a - b`; C means no borrow.
#[inline]
pub const fn sub32(a: u32, b: u32) -> u32 {
    adc32(a, !b, true)
}
/// Flags of the 64-bit logical result `r`.
#[inline]
pub const fn logic64(r: u64) -> u32 {
    pack(r >> 63 == 1, r == 0, false, false)
}
/// Flags of the 32-bit logical result `r`.
#[inline]
pub const fn logic32(r: u32) -> u32 {
    pack(r >> 31 == 1, r == 0, false, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges() {
        assert_eq!(add64(u64::MAX, 1), 0x6000_0000);
        assert_eq!(add64(i64::MAX as u64, 1), 0x9000_0000);
        assert_eq!(sub64(0, 0), 0x6000_0000);
        assert_eq!(sub64(0, 1), 0x8000_0000);
        assert_eq!(sub32(0x8000_0000, 1), 0x3000_0000);
        assert_eq!(adc32(u32::MAX, u32::MAX, true), 0xa000_0000);
        assert_eq!(logic32(0x8000_0000), 0x8000_0000);
    }
}
