//! The meaning of the cryptographic ops: AES, SHA-1, SHA-256, SHA-512 and polynomial products.
//!
//! The promise: what the A64 instruction of that name computes, bit for bit. Not constant-time.

use crate::op::CryptoOp;

/// `op`; operands it does not take are ignored.
#[inline(always)]
pub fn eval(op: CryptoOp, a: u128, b: u128, c: u128) -> u128 {
    match op {
        CryptoOp::AesE => aese(a, b),
        CryptoOp::AesD => aesd(a, b),
        CryptoOp::AesMc => columns(a, mix),
        CryptoOp::AesImc => columns(a, unmix),
        CryptoOp::Sha1C => sha1(a, b, c, |x, y, z| z ^ (x & (y ^ z))),
        CryptoOp::Sha1P => sha1(a, b, c, |x, y, z| x ^ y ^ z),
        CryptoOp::Sha1M => sha1(a, b, c, |x, y, z| (x & y) | (z & (x | y))),
        CryptoOp::Sha1H => (a as u32).rotate_left(30) as u128,
        CryptoOp::Sha1Su0 => (a >> 64 | b << 64) ^ a ^ c,
        CryptoOp::Sha1Su1 => sha1su1(a, b),
        CryptoOp::Sha256H => sha256(a, b, c).0,
        CryptoOp::Sha256H2 => sha256(b, a, c).1,
        CryptoOp::Sha256Su0 => sha256su0(a, b),
        CryptoOp::Sha256Su1 => sha256su1(a, b, c),
        CryptoOp::Sha512H => sha512h(a, b, c),
        CryptoOp::Sha512H2 => sha512h2(a, b, c),
        CryptoOp::Sha512Su0 => sha512su0(a, b),
        CryptoOp::Sha512Su1 => sha512su1(a, b, c),
        CryptoOp::PMull64 => pmull64(a as u64, b as u64),
        CryptoOp::PMull8 => pmull8(a as u64, b as u64),
    }
}

/// Lanes S of a vector.
#[inline(always)]
const fn words(v: u128) -> [u32; 4] {
    [v as u32, (v >> 32) as u32, (v >> 64) as u32, (v >> 96) as u32]
}

/// The vector of lanes S.
#[inline(always)]
const fn join(w: [u32; 4]) -> u128 {
    w[0] as u128 | (w[1] as u128) << 32 | (w[2] as u128) << 64 | (w[3] as u128) << 96
}

/// Lanes D of a vector.
#[inline(always)]
const fn halves(v: u128) -> [u64; 2] {
    [v as u64, (v >> 64) as u64]
}

/// The product in AES's field.
const fn gf_mul(mut a: u8, mut b: u8) -> u8 {
    let mut r = 0;
    while b != 0 {
        if b & 1 == 1 {
            r ^= a;
        }
        a = a << 1 ^ if a >> 7 == 1 { 0x1b } else { 0 };
        b >>= 1;
    }
    r
}

/// The S-box: the affine map of the inverse, which is the 254th power.
const fn sbox() -> [u8; 256] {
    let mut table = [0; 256];
    let mut x = 0;
    while x < 256 {
        let (mut inverse, mut i) = (1, 0);
        while i < 254 {
            inverse = gf_mul(inverse, x as u8);
            i += 1;
        }
        let v: u8 = inverse;
        table[x] = v ^ v.rotate_left(1) ^ v.rotate_left(2) ^ v.rotate_left(3) ^ v.rotate_left(4) ^ 0x63;
        x += 1;
    }
    table
}

const fn inverse_of(table: [u8; 256]) -> [u8; 256] {
    let mut inverse = [0; 256];
    let mut x = 0;
    while x < 256 {
        inverse[table[x] as usize] = x as u8;
        x += 1;
    }
    inverse
}

static SBOX: [u8; 256] = sbox();
static INV_SBOX: [u8; 256] = inverse_of(sbox());

/// AddRoundKey, ShiftRows, SubBytes.
#[inline]
fn aese(state: u128, key: u128) -> u128 {
    let s = (state ^ key).to_le_bytes();
    // Row `i % 4` comes from that many columns further on.
    u128::from_le_bytes(std::array::from_fn(|i| SBOX[usize::from(s[(i + 4 * (i % 4)) & 15])]))
}

/// AddRoundKey, inverse ShiftRows, inverse SubBytes.
#[inline]
fn aesd(state: u128, key: u128) -> u128 {
    let s = (state ^ key).to_le_bytes();
    u128::from_le_bytes(std::array::from_fn(|i| INV_SBOX[usize::from(s[(i + 12 * (i % 4)) & 15])]))
}

/// `f` of each column.
#[inline(always)]
fn columns(v: u128, f: impl Fn(u32) -> u32) -> u128 {
    join(words(v).map(f))
}

/// Each byte times x in AES's field.
#[inline(always)]
const fn times_x(w: u32) -> u32 {
    ((w & 0x7f7f_7f7f) << 1) ^ (((w >> 7) & 0x0101_0101) * 0x1b)
}

/// MixColumns of one column.
#[inline(always)]
const fn mix(w: u32) -> u32 {
    let next = w.rotate_right(8);
    times_x(w ^ next) ^ next ^ w.rotate_right(16) ^ w.rotate_right(24)
}

/// Inverse MixColumns of one column: what is left of it after MixColumns is a multiple of x^2.
#[inline(always)]
const fn unmix(w: u32) -> u32 {
    let even = times_x(times_x(w ^ w.rotate_right(16)));
    mix(w ^ even)
}

/// Four SHA-1 rounds on ABCD and E with the schedule (plus constant) in `c`.
#[inline]
fn sha1(abcd: u128, e: u128, schedule: u128, f: impl Fn(u32, u32, u32) -> u32) -> u128 {
    let ([mut a, mut b, mut c, mut d], mut e) = (words(abcd), e as u32);
    for w in words(schedule) {
        let t = a.rotate_left(5).wrapping_add(f(b, c, d)).wrapping_add(e).wrapping_add(w);
        (a, b, c, d, e) = (t, a, b.rotate_left(30), c, d);
    }
    join([a, b, c, d])
}

#[inline]
fn sha1su1(d: u128, n: u128) -> u128 {
    let [w0, w1, w2, w3] = words(d ^ n >> 32).map(|w| w.rotate_left(1));
    join([w0, w1, w2, w3 ^ w0.rotate_left(1)])
}

/// Four SHA-256 rounds on ABCD and EFGH with the schedule (plus constants) in `c`.
#[inline]
fn sha256(abcd: u128, efgh: u128, schedule: u128) -> (u128, u128) {
    let ([mut a, mut b, mut c, mut d], [mut e, mut f, mut g, mut h]) = (words(abcd), words(efgh));
    for w in words(schedule) {
        let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let t1 = h.wrapping_add(s1).wrapping_add(g ^ (e & (f ^ g))).wrapping_add(w);
        let t2 = s0.wrapping_add((a & b) | (c & (a | b)));
        (h, g, f, e) = (g, f, e, d.wrapping_add(t1));
        (d, c, b, a) = (c, b, a, t1.wrapping_add(t2));
    }
    (join([a, b, c, d]), join([e, f, g, h]))
}

#[inline]
fn sha256su0(d: u128, n: u128) -> u128 {
    let (w, next) = (words(d), words(d >> 32 | n << 96));
    join(std::array::from_fn(|i| {
        let x = next[i];
        w[i].wrapping_add(x.rotate_right(7) ^ x.rotate_right(18) ^ x >> 3)
    }))
}

#[inline]
fn sha256su1(d: u128, n: u128, m: u128) -> u128 {
    let (d, seventh) = (words(d), words(n >> 32 | m << 96));
    let second = |x: u32| x.rotate_right(17) ^ x.rotate_right(19) ^ x >> 10;
    let [_, _, m2, m3] = words(m);
    let sum = |i: usize, two_before: u32| second(two_before).wrapping_add(d[i]).wrapping_add(seventh[i]);
    let (r0, r1) = (sum(0, m2), sum(1, m3));
    join([r0, r1, sum(2, r0), sum(3, r1)])
}

#[inline]
fn sha512h(d: u128, n: u128, m: u128) -> u128 {
    let ([d0, d1], [n0, n1], [m0, m1]) = (halves(d), halves(n), halves(m));
    let sum = |x: u64| x.rotate_right(14) ^ x.rotate_right(18) ^ x.rotate_right(41);
    let choose = |x: u64, y: u64, z: u64| z ^ (x & (y ^ z));
    let high = d1.wrapping_add(sum(m1)).wrapping_add(choose(m1, n0, n1));
    let e = high.wrapping_add(m0);
    let low = d0.wrapping_add(sum(e)).wrapping_add(choose(e, m1, n0));
    u128::from(low) | u128::from(high) << 64
}

#[inline]
fn sha512h2(d: u128, n: u128, m: u128) -> u128 {
    let ([d0, d1], n0, [m0, m1]) = (halves(d), n as u64, halves(m));
    let sum = |x: u64| x.rotate_right(28) ^ x.rotate_right(34) ^ x.rotate_right(39);
    let majority = |x: u64, y: u64, z: u64| (x & y) | (z & (x | y));
    let high = d1.wrapping_add(sum(m0)).wrapping_add(majority(n0, m1, m0));
    let low = d0.wrapping_add(sum(high)).wrapping_add(majority(high, m0, m1));
    u128::from(low) | u128::from(high) << 64
}

#[inline]
fn sha512su0(d: u128, n: u128) -> u128 {
    let [d0, d1] = halves(d);
    let first = |x: u64| x.rotate_right(1) ^ x.rotate_right(8) ^ x >> 7;
    u128::from(d0.wrapping_add(first(d1))) | u128::from(d1.wrapping_add(first(n as u64))) << 64
}

#[inline]
fn sha512su1(d: u128, n: u128, m: u128) -> u128 {
    let ([d0, d1], [n0, n1], [m0, m1]) = (halves(d), halves(n), halves(m));
    let second = |x: u64| x.rotate_right(19) ^ x.rotate_right(61) ^ x >> 6;
    let low = d0.wrapping_add(second(n0)).wrapping_add(m0);
    let high = d1.wrapping_add(second(n1)).wrapping_add(m1);
    u128::from(low) | u128::from(high) << 64
}

/// The 128-bit product over GF(2), four bits of `b` at a time.
#[inline]
fn pmull64(a: u64, b: u64) -> u128 {
    let a = u128::from(a);
    let mut multiples = [0; 16];
    for i in 1..16 {
        multiples[i] = if i % 2 == 0 { multiples[i / 2] << 1 } else { multiples[i - 1] ^ a };
    }
    (0..16).rev().fold(0, |r, i| r << 4 ^ multiples[(b >> (4 * i) & 15) as usize])
}

/// Eight products over GF(2) of bytes, in lanes H.
#[inline]
fn pmull8(a: u64, b: u64) -> u128 {
    let (a, b) = (spread(a), spread(b));
    // No bit of a factor's byte leaves its lane of 16.
    (0..8).fold(0, |r, bit| r ^ ((a << bit) & (((b >> bit) & LOW_BITS) * 0xffff)))
}

/// The lowest bit of each lane H.
const LOW_BITS: u128 = 0x0001_0001_0001_0001_0001_0001_0001_0001;

/// Bytes zero-extended to lanes H.
#[inline]
fn spread(v: u64) -> u128 {
    super::vec::vwiden(false, crate::ty::Lane::B, v.into())
}

#[cfg(test)]
mod tests;
