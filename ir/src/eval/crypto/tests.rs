//! Whole ciphers and hashes made of the ops, against the examples of their standards.

use super::*;
use CryptoOp::*;

/// One AES round's key expansion for 128-bit keys: `key` to the next one.
fn next_key(key: u128, rcon: u32) -> u128 {
    let [w0, w1, w2, w3] = words(key);
    // AESE of zero state: SubBytes alone on a vector whose columns are all equal.
    let sub = words(eval(AesE, join([w3; 4]), 0, 0))[0];
    let w0 = w0 ^ sub.rotate_right(8) ^ rcon;
    let w1 = w1 ^ w0;
    let w2 = w2 ^ w1;
    join([w0, w1, w2, w3 ^ w2])
}

fn round_keys(key: u128) -> [u128; 11] {
    let mut keys = [key; 11];
    for (i, rcon) in [1, 2, 4, 8, 16, 32, 64, 128, 27, 54].into_iter().enumerate() {
        keys[i + 1] = next_key(keys[i], rcon);
    }
    keys
}

#[test]
fn aes_128_of_fips_197() {
    let keys = round_keys(u128::from_le_bytes(std::array::from_fn(|i| i as u8)));
    let plain = u128::from_le_bytes(std::array::from_fn(|i| 0x11 * i as u8));
    let mut state = plain;
    for &key in &keys[..9] {
        state = eval(AesMc, eval(AesE, state, key, 0), 0, 0);
    }
    state = eval(AesE, state, keys[9], 0) ^ keys[10];
    assert_eq!(state.swap_bytes(), 0x69c4_e0d8_6a7b_0430_d8cd_b780_70b4_c55a);
    for &key in keys[2..].iter().rev() {
        let inverse = if key == keys[10] { key } else { eval(AesImc, key, 0, 0) };
        state = eval(AesImc, eval(AesD, state, inverse, 0), 0, 0);
    }
    state = eval(AesD, state, eval(AesImc, keys[1], 0, 0), 0) ^ keys[0];
    assert_eq!(state, plain);
}

#[test]
fn aes_columns_undo_each_other() {
    let v = 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210;
    assert_eq!(eval(AesImc, eval(AesMc, v, 0, 0), 0, 0), v);
    let column = u128::from(u32::from_le_bytes([0xdb, 0x13, 0x53, 0x45]));
    assert_eq!(eval(AesMc, column, 0, 0) as u32, u32::from_le_bytes([0x8e, 0x4d, 0xa1, 0xbc]));
    assert_eq!(eval(AesD, eval(AesE, v, 5, 0), 0, 0), v ^ 5);
}

/// The message "abc" as the four schedule vectors of its only block of 16 words.
fn abc() -> [u128; 4] {
    [u128::from(u32::from_be_bytes(*b"abc\x80")), 0, 0, 24 << 96]
}

fn add(a: u128, b: u128) -> u128 {
    let (a, b) = (words(a), words(b));
    join(std::array::from_fn(|i| a[i].wrapping_add(b[i])))
}

#[test]
fn sha_1_of_abc() {
    let mut w = abc();
    let start = (join([0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476]), 0xc3d2_e1f0_u128);
    let (mut abcd, mut e) = start;
    for i in 0..20 {
        let (op, k) = [(Sha1C, 0x5a82_7999), (Sha1P, 0x6ed9_eba1), (Sha1M, 0x8f1b_bcdc), (Sha1P, 0xca62_c1d6)][i / 5];
        let next_e = eval(Sha1H, abcd, 0, 0);
        abcd = eval(op, abcd, e, add(w[0], join([k; 4])));
        e = next_e;
        let next = eval(Sha1Su1, eval(Sha1Su0, w[0], w[1], w[2]), w[3], 0);
        w = [w[1], w[2], w[3], next];
    }
    assert_eq!(words(add(abcd, start.0)), [0xa999_3e36, 0x4706_816a, 0xba3e_2571, 0x7850_c26c]);
    assert_eq!((e as u32).wrapping_add(start.1 as u32), 0x9cd0_d89d);
}

/// The first `bits` of the fraction of the square or cube root of `n`.
fn root_fraction(n: u128, cube: bool, bits: u32) -> u64 {
    // The greatest r with r^k <= n * 2^(k * bits), bit by bit, in numbers of enough words.
    let at_most = |r: u128| {
        let square = wide_mul([r, 0], r);
        let power = if cube { wide_mul(square, r) } else { square };
        let scale = if cube { 3 * bits } else { 2 * bits };
        let bound = if scale >= 128 { [0, n << (scale - 128)] } else { [n << scale, n >> (128 - scale)] };
        (power[1], power[0]) <= (bound[1], bound[0])
    };
    let root = (0..bits + 5).rev().fold(0u128, |r, bit| if at_most(r | 1 << bit) { r | 1 << bit } else { r });
    root as u64 & u64::MAX >> (64 - bits)
}

/// `x * y` for `y` below 2^72, in 256 bits; what overflows is saturated.
fn wide_mul(x: [u128; 2], y: u128) -> [u128; 2] {
    let mut r = [0u128; 2];
    for bit in (0..72).rev() {
        let top = r[1] >> 127;
        r = [r[0] << 1, r[1] << 1 | r[0] >> 127];
        let mut over = top == 1;
        if y >> bit & 1 == 1 {
            let (low, carry) = r[0].overflowing_add(x[0]);
            let (high, o1) = r[1].overflowing_add(x[1]);
            let (high, o2) = high.overflowing_add(carry.into());
            r = [low, high];
            over |= o1 | o2;
        }
        if over {
            return [u128::MAX; 2];
        }
    }
    r
}

fn primes() -> impl Iterator<Item = u128> {
    (2u128..).filter(|n| (2..*n).all(|d| n % d != 0))
}

#[test]
fn sha_256_of_abc() {
    let h: Vec<u32> = primes().take(8).map(|p| root_fraction(p, false, 32) as u32).collect();
    let k: Vec<u32> = primes().take(64).map(|p| root_fraction(p, true, 32) as u32).collect();
    assert_eq!((h[0], k[0]), (0x6a09_e667, 0x428a_2f98));
    let mut w = abc();
    let (start_a, start_e) = (join([h[0], h[1], h[2], h[3]]), join([h[4], h[5], h[6], h[7]]));
    let (mut abcd, mut efgh) = (start_a, start_e);
    for k in k.as_chunks::<4>().0 {
        let schedule = add(w[0], join(*k));
        (abcd, efgh) = (eval(Sha256H, abcd, efgh, schedule), eval(Sha256H2, efgh, abcd, schedule));
        let next = eval(Sha256Su1, eval(Sha256Su0, w[0], w[1], 0), w[2], w[3]);
        w = [w[1], w[2], w[3], next];
    }
    assert_eq!(words(add(abcd, start_a)), [0xba78_16bf, 0x8f01_cfea, 0x4141_40de, 0x5dae_2223]);
    assert_eq!(words(add(efgh, start_e)), [0xb003_61a3, 0x9617_7a9c, 0xb410_ff61, 0xf200_15ad]);
}

fn add64(a: u128, b: u128) -> u128 {
    let ([a0, a1], [b0, b1]) = (halves(a), halves(b));
    u128::from(a0.wrapping_add(b0)) | u128::from(a1.wrapping_add(b1)) << 64
}

#[test]
fn sha_512_of_abc() {
    let pair = |p: &[u64]| u128::from(p[0]) | u128::from(p[1]) << 64;
    let h: Vec<u64> = primes().take(8).map(|p| root_fraction(p, false, 64)).collect();
    let k: Vec<u64> = primes().take(80).map(|p| root_fraction(p, true, 64)).collect();
    assert_eq!((h[0], k[0]), (0x6a09_e667_f3bc_c908, 0x428a_2f98_d728_ae22));
    let mut w = [0; 8];
    w[0] = u128::from(u64::from_be_bytes(*b"abc\x80\0\0\0\0"));
    w[7] = 24 << 64;
    let start = [pair(&h[0..]), pair(&h[2..]), pair(&h[4..]), pair(&h[6..])];
    let [mut ab, mut cd, mut ef, mut gh] = start;
    for k in k.as_chunks::<2>().0 {
        // Two rounds: the halves of the schedule swap, and are added to the last pair.
        let schedule = add64(w[0], pair(k)).rotate_left(64);
        let middle = |low: u128, high: u128| low >> 64 | high << 64;
        let t = eval(Sha512H, add64(gh, schedule), middle(ef, gh), middle(cd, ef));
        let next_ef = add64(cd, t);
        let next_ab = eval(Sha512H2, t, cd, ab);
        (ab, cd, ef, gh) = (next_ab, ab, next_ef, ef);
        let next = eval(Sha512Su1, eval(Sha512Su0, w[0], w[1], 0), w[7], middle(w[4], w[5]));
        w = [w[1], w[2], w[3], w[4], w[5], w[6], w[7], next];
    }
    let digest = [ab, cd, ef, gh].into_iter().zip(start).map(|(a, b)| add64(a, b));
    let expected = [
        [0xddaf_35a1_9361_7aba, 0xcc41_7349_ae20_4131],
        [0x12e6_fa4e_89a9_7ea2, 0x0a9e_eee6_4b55_d39a],
        [0x2192_992a_274f_c1a8, 0x36ba_3c23_a3fe_ebbd],
        [0x454d_4423_643c_e80e, 0x2a9a_c94f_a54c_a49f],
    ];
    assert!(digest.map(halves).eq(expected));
}

#[test]
fn polynomial_products() {
    let slow = |a: u64, b: u64| (0..64).filter(|i| b >> i & 1 == 1).fold(0, |r, i| r ^ u128::from(a) << i);
    let values = [0, 1, 2, 0x8000_0000_0000_0000, u64::MAX, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, 0x1b];
    for a in values {
        for b in values {
            assert_eq!(eval(PMull64, a.into(), b.into(), 0), slow(a, b));
            let bytes = eval(PMull8, a.into(), b.into(), 0);
            for (i, (x, y)) in a.to_le_bytes().into_iter().zip(b.to_le_bytes()).enumerate() {
                assert_eq!((bytes >> (16 * i)) as u16, slow(x.into(), y.into()) as u16);
            }
        }
    }
}
