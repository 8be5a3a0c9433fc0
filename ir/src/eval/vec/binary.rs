//! Lane-wise integer operations of two vectors, and of one.
//!
//! The promise: every [`VBinOp`] and [`VUnOp`] at every lane width, all 128 bits.

use super::lanes::{map1, map2, pairs, pairs_widen, pick};
use crate::op::{VBinOp, VUnOp};
use crate::softfloat::{urecpe32, ursqrte32};
use crate::ty::Lane;

/// `op` of each lane pair.
#[inline(always)]
pub fn vbin(op: VBinOp, lane: Lane, a: u128, b: u128) -> u128 {
    match op {
        VBinOp::PMul => map2(a, b, pmul),
        _ => by_lane!(lane, U, S => {
            let mask = |c: bool| U::MIN.wrapping_sub(c as U);
            let count = 128 / U::BITS as usize;
            match op {
                VBinOp::Add => map2(a, b, U::wrapping_add),
                VBinOp::Sub => map2(a, b, U::wrapping_sub),
                VBinOp::Mul | VBinOp::PMul => map2(a, b, U::wrapping_mul),
                VBinOp::SMin => map2(a, b, |x: S, y: S| x.min(y)),
                VBinOp::UMin => map2(a, b, |x: U, y: U| x.min(y)),
                VBinOp::SMax => map2(a, b, |x: S, y: S| x.max(y)),
                VBinOp::UMax => map2(a, b, |x: U, y: U| x.max(y)),
                VBinOp::CmpEq => map2(a, b, |x: U, y: U| mask(x == y)),
                VBinOp::CmpGt => map2(a, b, |x: S, y: S| mask(x > y)),
                VBinOp::CmpGe => map2(a, b, |x: S, y: S| mask(x >= y)),
                VBinOp::CmpHi => map2(a, b, |x: U, y: U| mask(x > y)),
                VBinOp::CmpHs => map2(a, b, |x: U, y: U| mask(x >= y)),
                VBinOp::CmpTst => map2(a, b, |x: U, y: U| mask(x & y != 0)),
                VBinOp::SHAdd => map2(a, b, |x: S, y: S| (x & y).wrapping_add((x ^ y) >> 1)),
                VBinOp::UHAdd => map2(a, b, |x: U, y: U| (x & y).wrapping_add((x ^ y) >> 1)),
                VBinOp::SHSub => map2(a, b, |x: S, y: S| (x >> 1).wrapping_sub(y >> 1).wrapping_sub(!x & y & 1)),
                VBinOp::UHSub => map2(a, b, |x: U, y: U| (x >> 1).wrapping_sub(y >> 1).wrapping_sub(!x & y & 1)),
                VBinOp::SRHAdd => map2(a, b, |x: S, y: S| (x | y).wrapping_sub((x ^ y) >> 1)),
                VBinOp::URHAdd => map2(a, b, |x: U, y: U| (x | y).wrapping_sub((x ^ y) >> 1)),
                VBinOp::SAbd => map2(a, b, |x: S, y: S| x.max(y).wrapping_sub(x.min(y))),
                VBinOp::UAbd => map2(a, b, |x: U, y: U| x.max(y) - x.min(y)),
                VBinOp::SShl => map2(a, b, |x: S, y: S| shift_signed!(S, x, y as i8)),
                VBinOp::UShl => map2(a, b, |x: U, y: U| shift_unsigned!(U, x, y as i8)),
                VBinOp::SRShl => map2(a, b, |x: S, y: S| rounding_shift_signed!(S, x, y as i8)),
                VBinOp::URShl => map2(a, b, |x: U, y: U| rounding_shift_unsigned!(U, x, y as i8)),
                VBinOp::AddP => pairs(a, b, U::wrapping_add),
                VBinOp::SMaxP => pairs(a, b, |x: S, y: S| x.max(y)),
                VBinOp::SMinP => pairs(a, b, |x: S, y: S| x.min(y)),
                VBinOp::UMaxP => pairs(a, b, |x: U, y: U| x.max(y)),
                VBinOp::UMinP => pairs(a, b, |x: U, y: U| x.min(y)),
                VBinOp::Zip1 => pick::<U>(a, b, |i| i / 2 + i % 2 * count),
                VBinOp::Zip2 => pick::<U>(a, b, |i| count / 2 + i / 2 + i % 2 * count),
                VBinOp::Uzp1 => pick::<U>(a, b, |i| 2 * i),
                VBinOp::Uzp2 => pick::<U>(a, b, |i| 2 * i + 1),
                VBinOp::Trn1 => pick::<U>(a, b, |i| i - i % 2 + i % 2 * count),
                VBinOp::Trn2 => pick::<U>(a, b, |i| i - i % 2 + 1 + i % 2 * count),
            }
        }),
    }
}

/// The low half of a product over GF(2).
#[inline(always)]
fn pmul(x: u8, y: u8) -> u8 {
    (0..8).fold(0, |r, bit| r ^ (x << bit) & 0u8.wrapping_sub(y >> bit & 1))
}

/// `op` of each lane.
#[inline(always)]
pub fn vun(op: VUnOp, lane: Lane, a: u128) -> u128 {
    match op {
        VUnOp::Rev16 => reverse_within(2, lane, a),
        VUnOp::Rev32 => reverse_within(4, lane, a),
        VUnOp::Rev64 => reverse_within(8, lane, a),
        VUnOp::SAddLP => by_narrow_lane!(lane, U, S, W, T => pairs_widen(a, |x: S, y: S| x as T + y as T)),
        VUnOp::UAddLP => by_narrow_lane!(lane, U, S, W, T => pairs_widen(a, |x: U, y: U| x as W + y as W)),
        VUnOp::URecpe => map1(a, urecpe32),
        VUnOp::URsqrte => map1(a, ursqrte32),
        VUnOp::Abs => by_lane!(lane, U, S => map1(a, S::wrapping_abs)),
        VUnOp::Neg => by_lane!(lane, U, S => map1(a, U::wrapping_neg)),
        VUnOp::Clz => by_lane!(lane, U, S => map1(a, |x: U| x.leading_zeros() as U)),
        VUnOp::Cls => {
            by_lane!(lane, U, S => map1(a, |x: S| ((x ^ (x >> (S::BITS - 1))) as U).leading_zeros() as U - 1))
        }
        VUnOp::Cnt => by_lane!(lane, U, S => map1(a, |x: U| x.count_ones() as U)),
        VUnOp::Rbit => by_lane!(lane, U, S => map1(a, U::reverse_bits)),
    }
}

/// Lanes in reverse order within each group of `bytes` bytes.
#[inline(always)]
fn reverse_within(bytes: usize, lane: Lane, a: u128) -> u128 {
    let last = (bytes / lane.bytes() as usize).saturating_sub(1);
    by_lane!(lane, U, S => pick::<U>(a, a, |i| i ^ last))
}
