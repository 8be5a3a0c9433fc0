//! Functions that compiled code calls for pure ops without a good inline form: the evaluator's functions made for one
//! op and lane each, so that they come out as vector code, and the host's own instructions where they mean the same.
//!
//! All take and give vectors in xmm registers by the System V convention. None leaves a trace in the FPU's flags.

#![allow(improper_ctypes_definitions, reason = "only compiled code calls these; vectors travel in xmm registers")]

mod crypto;
pub(crate) mod half;
mod lanes;
mod round;
mod saturate;

use std::arch::x86_64::{__m128i, _mm_cvtsi128_si64, _mm_set_epi64x, _mm_unpackhi_epi64};

use jib_ir::op::Op;

use crate::abi::HostFeatures;

pub(crate) use crypto::{aes_round, crc32};
pub(crate) use round::round;
pub(crate) use saturate::{Saturating, saturating};

/// A vector's bits as the evaluator takes them.
#[target_feature(enable = "sse2")]
#[inline]
fn wide(v: __m128i) -> u128 {
    let (lo, hi) = (_mm_cvtsi128_si64(v), _mm_cvtsi128_si64(_mm_unpackhi_epi64(v, v)));
    u128::from(lo as u64) | u128::from(hi as u64) << 64
}

/// The other way.
#[target_feature(enable = "sse2")]
#[inline]
fn narrow(v: u128) -> __m128i {
    _mm_set_epi64x((v >> 64) as i64, v as i64)
}

/// The address of a function that computes `$e` from vectors `$a`...: compiled for AVX2 too, if the host has it.
macro_rules! thunk {
    ($host:expr, |$($a:ident),+| $e:expr) => {{
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
        extern "sysv64" fn fast($($a: std::arch::x86_64::__m128i),+) -> std::arch::x86_64::__m128i {
            $( let $a = crate::thunk::wide($a); )+
            let word = crate::entry::fp_word();
            let r = $e;
            crate::entry::put_back(word);
            crate::thunk::narrow(r)
        }
        #[target_feature(enable = "sse2")]
        extern "sysv64" fn plain($($a: std::arch::x86_64::__m128i),+) -> std::arch::x86_64::__m128i {
            $( let $a = crate::thunk::wide($a); )+
            let word = crate::entry::fp_word();
            let r = $e;
            crate::entry::put_back(word);
            crate::thunk::narrow(r)
        }
        if $host.avx2_level() { fast as *const () as usize } else { plain as *const () as usize }
    }};
}
use thunk;

/// Address of the function for vector op `op`, if it has one: from as many vectors as the op has operands, in the
/// order of its fields, to a vector.
pub(crate) fn vector(host: &HostFeatures, op: &Op) -> Option<usize> {
    match *op {
        Op::VBin { op, lane, .. } => lanes::binary(host, op, lane),
        Op::VUn { op, lane, .. } => lanes::unary(host, op, lane),
        Op::VDot { signs, .. } => Some(lanes::dot(host, signs)),
        Op::VMmla { signs, .. } => Some(lanes::mmla(host, signs)),
        Op::VCrypto { op, .. } => Some(crypto::vector(host, op)),
        _ => None,
    }
}
