//! Saturating lane ops: they also get FPSR's word, to set QC there.

use std::arch::x86_64::__m128i;

use jib_ir::eval::vec;
use jib_ir::op::{Op, VSatNarrowOp, VSatOp, VSatShiftOp};
use jib_ir::ty::Lane;

use super::{narrow, wide};
use crate::abi::HostFeatures;

/// How a saturating function is called: always with the address of FPSR's word first.
#[derive(Clone, Copy)]
pub(crate) enum Saturating {
    /// One vector.
    One(usize),
    /// Two vectors.
    Two(usize),
    /// A vector and a shift count.
    Count(usize),
}

/// As [`super::thunk`], with FPSR as the last argument of the evaluator's function.
macro_rules! with_qc {
    ($host:expr, |$($a:ident: $t:ident),+; $fpsr:ident| $e:expr) => {{
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
        extern "sysv64" fn fast(word: &mut u64, $($a: with_qc!(@ $t)),+) -> __m128i {
            let mut bits = 0;
            let $fpsr = &mut bits;
            $( let $a = with_qc!(@ $t, $a); )+
            let fp = crate::entry::fp_word();
            let r = $e;
            crate::entry::put_back(fp);
            *word |= u64::from(bits);
            narrow(r)
        }
        #[target_feature(enable = "sse2")]
        extern "sysv64" fn plain(word: &mut u64, $($a: with_qc!(@ $t)),+) -> __m128i {
            let mut bits = 0;
            let $fpsr = &mut bits;
            $( let $a = with_qc!(@ $t, $a); )+
            let fp = crate::entry::fp_word();
            let r = $e;
            crate::entry::put_back(fp);
            *word |= u64::from(bits);
            narrow(r)
        }
        if $host.avx2_level() { fast as *const () as usize } else { plain as *const () as usize }
    }};
    (@ vector) => { __m128i };
    (@ count) => { u64 };
    (@ vector, $a:ident) => { wide($a) };
    (@ count, $a:ident) => { $a as u8 };
}

/// One of four functions, by lane.
macro_rules! lanes {
    ($host:expr, $lane:expr, |$($a:ident: $t:ident),+; $q:ident, $l:ident| $e:expr) => {
        match $lane {
            Lane::B => with_qc!($host, |$($a: $t),+; $q| { const $l: Lane = Lane::B; $e }),
            Lane::H => with_qc!($host, |$($a: $t),+; $q| { const $l: Lane = Lane::H; $e }),
            Lane::S => with_qc!($host, |$($a: $t),+; $q| { const $l: Lane = Lane::S; $e }),
            Lane::D => with_qc!($host, |$($a: $t),+; $q| { const $l: Lane = Lane::D; $e }),
        }
    };
}

/// The function for a saturating op, if it has one.
pub(crate) fn saturating(host: &HostFeatures, op: &Op) -> Option<Saturating> {
    Some(match *op {
        Op::VSat { op, lane, .. } => Saturating::Two(two(host, op, lane)),
        Op::VSatShift { op, lane, .. } => Saturating::Count(shift(host, op, lane)),
        Op::VSatNarrow { op, lane, .. } => Saturating::One(narrowing(host, op, lane)),
        _ => return None,
    })
}

fn two(host: &HostFeatures, op: VSatOp, lane: Lane) -> usize {
    macro_rules! arm {
        ($op:ident) => {
            lanes!(host, lane, |a: vector, b: vector; q, L| vec::vsat(VSatOp::$op, L, a, b, q))
        };
    }
    match op {
        VSatOp::SQAdd => arm!(SQAdd),
        VSatOp::UQAdd => arm!(UQAdd),
        VSatOp::SQSub => arm!(SQSub),
        VSatOp::UQSub => arm!(UQSub),
        VSatOp::SUQAdd => arm!(SUQAdd),
        VSatOp::USQAdd => arm!(USQAdd),
        VSatOp::SQShl => arm!(SQShl),
        VSatOp::UQShl => arm!(UQShl),
        VSatOp::SQRShl => arm!(SQRShl),
        VSatOp::UQRShl => arm!(UQRShl),
        VSatOp::SQDMulH => arm!(SQDMulH),
        VSatOp::SQRDMulH => arm!(SQRDMulH),
        VSatOp::SQDMulL => arm!(SQDMulL),
        VSatOp::SQAbs => arm!(SQAbs),
        VSatOp::SQNeg => arm!(SQNeg),
    }
}

fn shift(host: &HostFeatures, op: VSatShiftOp, lane: Lane) -> usize {
    macro_rules! arm {
        ($op:ident) => {
            lanes!(host, lane, |a: vector, n: count; q, L| vec::vsat_shift(VSatShiftOp::$op, L, n, a, q))
        };
    }
    match op {
        VSatShiftOp::SQShl => arm!(SQShl),
        VSatShiftOp::UQShl => arm!(UQShl),
        VSatShiftOp::SQShlu => arm!(SQShlu),
    }
}

fn narrowing(host: &HostFeatures, op: VSatNarrowOp, lane: Lane) -> usize {
    macro_rules! arm {
        ($op:ident) => {
            lanes!(host, lane, |a: vector; q, L| vec::vsat_narrow(VSatNarrowOp::$op, L, a, q))
        };
    }
    match op {
        VSatNarrowOp::SQXtn => arm!(SQXtn),
        VSatNarrowOp::UQXtn => arm!(UQXtn),
        VSatNarrowOp::SQXtun => arm!(SQXtun),
    }
}
