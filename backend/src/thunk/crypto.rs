//! AES, SHA, polynomial products and CRC by the host's instructions where it has them.

use std::arch::x86_64::*;

use jib_ir::eval::{crypto, int};
use jib_ir::op::CryptoOp;
use jib_ir::ty::Size;

use super::thunk;
use crate::abi::HostFeatures;

/// Address of the function for one kind and size of CRC: `(acc, value) -> acc`.
pub(crate) fn crc32(host: &HostFeatures, c: bool, size: Size) -> usize {
    macro_rules! table {
        ($c:literal, $size:ident) => {{
            extern "sysv64" fn crc(acc: u64, v: u64) -> u64 {
                u64::from(int::crc32($c, Size::$size, acc as u32, v))
            }
            crc as *const () as usize
        }};
    }
    macro_rules! host {
        ($f:ident, $t:ty) => {{
            #[target_feature(enable = "sse4.2")]
            extern "sysv64" fn crc(acc: u64, v: u64) -> u64 {
                $f(acc as u32 as _, v as $t) as u64
            }
            crc as *const () as usize
        }};
    }
    match (c, size) {
        (true, Size::B1) if host.sse42 => host!(_mm_crc32_u8, u8),
        (true, Size::B2) if host.sse42 => host!(_mm_crc32_u16, u16),
        (true, Size::B4) if host.sse42 => host!(_mm_crc32_u32, u32),
        (true, _) if host.sse42 => host!(_mm_crc32_u64, u64),
        (false, Size::B1) => table!(false, B1),
        (false, Size::B2) => table!(false, B2),
        (false, Size::B4) => table!(false, B4),
        (false, _) => table!(false, B8),
        (true, Size::B1) => table!(true, B1),
        (true, Size::B2) => table!(true, B2),
        (true, Size::B4) => table!(true, B4),
        (true, _) => table!(true, B8),
    }
}

/// Address of the function for a vector op.
pub(super) fn vector(host: &HostFeatures, op: CryptoOp) -> usize {
    let native = if host.aes && host.sse41 { aes(op) } else { None };
    let native = native.or_else(|| if host.sha && host.sse41 { sha(op) } else { None });
    let native = native.or_else(|| if host.pclmul { product(op) } else { None });
    native.unwrap_or_else(|| evaluated(host, op))
}

/// The evaluator, made for each op.
fn evaluated(host: &HostFeatures, op: CryptoOp) -> usize {
    macro_rules! one {
        ($op:ident) => {
            thunk!(host, |a| crypto::eval(CryptoOp::$op, a, 0, 0))
        };
    }
    macro_rules! two {
        ($op:ident) => {
            thunk!(host, |a, b| crypto::eval(CryptoOp::$op, a, b, 0))
        };
    }
    macro_rules! three {
        ($op:ident) => {
            thunk!(host, |a, b, c| crypto::eval(CryptoOp::$op, a, b, c))
        };
    }
    match op {
        CryptoOp::AesE => two!(AesE),
        CryptoOp::AesD => two!(AesD),
        CryptoOp::AesMc => one!(AesMc),
        CryptoOp::AesImc => one!(AesImc),
        CryptoOp::Sha1C => three!(Sha1C),
        CryptoOp::Sha1P => three!(Sha1P),
        CryptoOp::Sha1M => three!(Sha1M),
        CryptoOp::Sha1H => one!(Sha1H),
        CryptoOp::Sha1Su0 => three!(Sha1Su0),
        CryptoOp::Sha1Su1 => two!(Sha1Su1),
        CryptoOp::Sha256H => three!(Sha256H),
        CryptoOp::Sha256H2 => three!(Sha256H2),
        CryptoOp::Sha256Su0 => two!(Sha256Su0),
        CryptoOp::Sha256Su1 => three!(Sha256Su1),
        CryptoOp::Sha512H => three!(Sha512H),
        CryptoOp::Sha512H2 => three!(Sha512H2),
        CryptoOp::Sha512Su0 => two!(Sha512Su0),
        CryptoOp::Sha512Su1 => three!(Sha512Su1),
        CryptoOp::PMull64 => two!(PMull64),
        CryptoOp::PMull8 => two!(PMull8),
    }
}

/// The host's round instructions do Arm's halves when the other half is undone by a zero key.
fn aes(op: CryptoOp) -> Option<usize> {
    #[target_feature(enable = "aes")]
    extern "sysv64" fn aese(a: __m128i, b: __m128i) -> __m128i {
        _mm_aesenclast_si128(_mm_xor_si128(a, b), _mm_setzero_si128())
    }
    #[target_feature(enable = "aes")]
    extern "sysv64" fn aesd(a: __m128i, b: __m128i) -> __m128i {
        _mm_aesdeclast_si128(_mm_xor_si128(a, b), _mm_setzero_si128())
    }
    #[target_feature(enable = "aes")]
    extern "sysv64" fn aesmc(a: __m128i) -> __m128i {
        let zero = _mm_setzero_si128();
        _mm_aesenc_si128(_mm_aesdeclast_si128(a, zero), zero)
    }
    #[target_feature(enable = "aes")]
    extern "sysv64" fn aesimc(a: __m128i) -> __m128i {
        _mm_aesimc_si128(a)
    }
    Some(match op {
        CryptoOp::AesE => aese as *const () as usize,
        CryptoOp::AesD => aesd as *const () as usize,
        CryptoOp::AesMc => aesmc as *const () as usize,
        CryptoOp::AesImc => aesimc as *const () as usize,
        _ => return None,
    })
}

/// Address of the function for the whole round that `op` is a half of, from state and key, if the host has it.
pub(crate) fn aes_round(host: &HostFeatures, op: CryptoOp) -> Option<usize> {
    #[target_feature(enable = "aes")]
    extern "sysv64" fn encrypt(a: __m128i, b: __m128i) -> __m128i {
        _mm_aesenc_si128(_mm_xor_si128(a, b), _mm_setzero_si128())
    }
    #[target_feature(enable = "aes")]
    extern "sysv64" fn decrypt(a: __m128i, b: __m128i) -> __m128i {
        _mm_aesdec_si128(_mm_xor_si128(a, b), _mm_setzero_si128())
    }
    if !host.aes {
        return None;
    }
    match op {
        CryptoOp::AesE | CryptoOp::AesMc => Some(encrypt as *const () as usize),
        CryptoOp::AesD | CryptoOp::AesImc => Some(decrypt as *const () as usize),
        _ => None,
    }
}

/// Lanes in reverse order: the host keeps `a` of SHA in the highest lane.
#[target_feature(enable = "sse2")]
#[inline]
fn reverse(v: __m128i) -> __m128i {
    _mm_shuffle_epi32::<0b00_01_10_11>(v)
}

/// Four rounds of SHA-256: the host's `ABEF` after two and after four.
#[target_feature(enable = "sha,sse4.1")]
#[inline]
fn sha256_rounds(abcd: __m128i, efgh: __m128i, wk: __m128i) -> (__m128i, __m128i) {
    let (a, e) = (reverse(abcd), reverse(efgh));
    let abef = _mm_unpackhi_epi64(e, a);
    let cdgh = _mm_unpacklo_epi64(e, a);
    let two = _mm_sha256rnds2_epu32(cdgh, abef, wk);
    let four = _mm_sha256rnds2_epu32(abef, two, _mm_unpackhi_epi64(wk, wk));
    (two, four)
}

fn sha(op: CryptoOp) -> Option<usize> {
    #[target_feature(enable = "sha,sse4.1")]
    extern "sysv64" fn sha256h(a: __m128i, b: __m128i, c: __m128i) -> __m128i {
        let (two, four) = sha256_rounds(a, b, c);
        reverse(_mm_unpackhi_epi64(two, four))
    }
    #[target_feature(enable = "sha,sse4.1")]
    extern "sysv64" fn sha256h2(a: __m128i, b: __m128i, c: __m128i) -> __m128i {
        let (two, four) = sha256_rounds(b, a, c);
        reverse(_mm_unpacklo_epi64(two, four))
    }
    #[target_feature(enable = "sha,sse4.1")]
    extern "sysv64" fn sha256su0(a: __m128i, b: __m128i) -> __m128i {
        _mm_sha256msg1_epu32(a, b)
    }
    #[target_feature(enable = "sha,sse4.1")]
    extern "sysv64" fn sha256su1(a: __m128i, b: __m128i, c: __m128i) -> __m128i {
        _mm_sha256msg2_epu32(_mm_add_epi32(a, _mm_alignr_epi8::<4>(c, b)), c)
    }
    /// The host adds the round constant itself, so it is taken off first.
    macro_rules! sha1 {
        ($function:literal, $constant:expr) => {{
            #[target_feature(enable = "sha,sse4.1")]
            extern "sysv64" fn rounds(abcd: __m128i, e: __m128i, wk: __m128i) -> __m128i {
                let w = reverse(_mm_sub_epi32(wk, _mm_set1_epi32($constant)));
                let e = _mm_slli_si128::<12>(e);
                reverse(_mm_sha1rnds4_epu32::<$function>(reverse(abcd), _mm_add_epi32(w, e)))
            }
            rounds as *const () as usize
        }};
    }
    Some(match op {
        CryptoOp::Sha256H => sha256h as *const () as usize,
        CryptoOp::Sha256H2 => sha256h2 as *const () as usize,
        CryptoOp::Sha256Su0 => sha256su0 as *const () as usize,
        CryptoOp::Sha256Su1 => sha256su1 as *const () as usize,
        CryptoOp::Sha1C => sha1!(0, 0x5a82_7999),
        CryptoOp::Sha1P => sha1!(1, 0x6ed9_eba1),
        CryptoOp::Sha1M => sha1!(2, 0x8f1b_bcdc_u32 as i32),
        _ => return None,
    })
}

fn product(op: CryptoOp) -> Option<usize> {
    #[target_feature(enable = "pclmulqdq")]
    extern "sysv64" fn pmull(a: __m128i, b: __m128i) -> __m128i {
        _mm_clmulepi64_si128::<0>(a, b)
    }
    (op == CryptoOp::PMull64).then_some(pmull as *const () as usize)
}
