//! Moving lanes and bytes about; operations across lanes; operations that change the width of lanes.
//!
//! The promise: no lane index or immediate, however wrong, panics.

use super::lanes::{fold, map1, map2, pick};
use crate::op::{DotSigns, VReduceOp};
use crate::ty::{Lane, Shape};

/// Position of lane `idx` in bits.
#[inline(always)]
const fn at(lane: Lane, idx: u8) -> u32 {
    (idx as u32 * lane.bits()) & 127
}

/// Lane `idx`, zero-extended.
#[inline(always)]
pub const fn vget(lane: Lane, idx: u8, v: u128) -> u64 {
    (v >> at(lane, idx)) as u64 & lane.mask()
}

/// `v` with lane `idx` replaced by the low bits of `x`.
#[inline(always)]
pub const fn vset(lane: Lane, idx: u8, v: u128, x: u64) -> u128 {
    let at = at(lane, idx);
    v & !((lane.mask() as u128) << at) | ((x & lane.mask()) as u128) << at
}

/// Every lane the low bits of `x`.
#[inline(always)]
pub const fn vdup(lane: Lane, x: u64) -> u128 {
    let ones = u64::MAX / lane.mask();
    let half = ((x & lane.mask()) * ones) as u128;
    half | half << 64
}

/// Keeps the low `bytes` bytes.
#[inline(always)]
pub const fn vzero_hi(bytes: u8, v: u128) -> u128 {
    if bytes >= 16 { v } else { v & ((1 << (8 * bytes as u32)) - 1) }
}

/// Bytes `imm` to `imm + 15` of `b:a`.
#[inline(always)]
pub const fn vext(a: u128, b: u128, imm: u8) -> u128 {
    match imm & 15 {
        0 => a,
        n => a >> (8 * n as u32) | b << (128 - 8 * n as u32),
    }
}

/// Byte i is `table[idx[i]]` where `idx[i] < 16`, else byte i of `acc`.
#[inline(always)]
pub fn vtbx(acc: u128, table: u128, idx: u128) -> u128 {
    let mut r = acc.to_le_bytes();
    vtbx_kernel(&mut r, &table.to_le_bytes(), &idx.to_le_bytes());
    u128::from_le_bytes(r)
}

#[inline(never)]
fn vtbx_kernel(acc: &mut [u8; 16], table: &[u8; 16], idx: &[u8; 16]) {
    for (r, &i) in acc.iter_mut().zip(idx) {
        *r = table.get(usize::from(i)).copied().unwrap_or(*r);
    }
}

/// The low 64 bits' lanes extended to twice the width.
#[inline(always)]
pub fn vwiden(signed: bool, lane: Lane, a: u128) -> u128 {
    by_narrow_lane!(lane, U, S, W, T => if signed { map1(a, |x: S| x as T) } else { map1(a, |x: U| x as W) })
}

/// Lanes of twice `lane` truncated, in the low 64 bits.
#[inline(always)]
pub fn vnarrow(lane: Lane, a: u128) -> u128 {
    by_narrow_lane!(lane, U, S, W, T => pick::<U>(a, 0, |i| 2 * i))
}

/// Products of the low 64 bits' lanes in lanes of twice the width.
#[inline(always)]
pub fn vmull(signed: bool, lane: Lane, a: u128, b: u128) -> u128 {
    by_narrow_lane!(lane, U, S, W, T => if signed {
        map2(a, b, |x: S, y: S| x as T * y as T)
    } else {
        map2(a, b, |x: U, y: U| x as W * y as W)
    })
}

/// `op` over the lanes that `shape` says, in lane 0 (of twice the width for the long sums).
#[inline(always)]
pub fn vreduce(op: VReduceOp, lane: Lane, shape: Shape, a: u128) -> u128 {
    let n = shape.lanes(lane);
    let wide = (2 * lane.bits()).min(64);
    by_lane!(lane, U, S => match op {
        VReduceOp::Add => fold(a, n, 0, U::wrapping_add) as u128,
        VReduceOp::SAddL => {
            let sum = fold(a, n, 0, |s: i64, x: S| s.wrapping_add(x as i64)) as u64;
            (sum & u64::MAX >> (64 - wide)) as u128
        }
        VReduceOp::UAddL => fold(a, n, 0, |s: u64, x: U| s.wrapping_add(x as u64)) as u128,
        VReduceOp::SMax => fold(a, n, S::MIN, |m, x: S| m.max(x)) as U as u128,
        VReduceOp::SMin => fold(a, n, S::MAX, |m, x: S| m.min(x)) as U as u128,
        VReduceOp::UMax => fold(a, n, U::MIN, |m, x: U| m.max(x)) as u128,
        VReduceOp::UMin => fold(a, n, U::MAX, |m, x: U| m.min(x)) as u128,
    })
}

/// The factors' bytes as numbers.
#[inline(always)]
fn factors(signs: DotSigns, x: u8, y: u8) -> i32 {
    let x = if signs == DotSigns::SS { i32::from(x as i8) } else { i32::from(x) };
    let y = if signs == DotSigns::UU { i32::from(y) } else { i32::from(y as i8) };
    x * y
}

/// Each S lane of `acc` plus the dot product of the four bytes of `a` and `b` there.
#[inline(always)]
pub fn vdot(signs: DotSigns, acc: u128, a: u128, b: u128) -> u128 {
    let mut r = acc.to_le_bytes();
    let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
    match signs {
        DotSigns::SS => dot_kernel(&mut r, &a, &b, |x, y| factors(DotSigns::SS, x, y)),
        DotSigns::UU => dot_kernel(&mut r, &a, &b, |x, y| factors(DotSigns::UU, x, y)),
        DotSigns::US => dot_kernel(&mut r, &a, &b, |x, y| factors(DotSigns::US, x, y)),
    }
    u128::from_le_bytes(r)
}

#[inline(never)]
fn dot_kernel(acc: &mut [u8; 16], a: &[u8; 16], b: &[u8; 16], f: impl Fn(u8, u8) -> i32) {
    let (a, b) = (a.as_chunks::<4>().0, b.as_chunks::<4>().0);
    for (i, r) in acc.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let dot = (0..4).fold(0, |s: i32, k| s + f(a[i][k], b[i][k]));
        *r = i32::from_le_bytes(*r).wrapping_add(dot).to_le_bytes();
    }
}

/// 2x2 S lanes of `acc` plus the product of 2x8 bytes `a` and the transposed 2x8 bytes `b`.
#[inline(never)]
pub fn vmmla(signs: DotSigns, acc: u128, a: u128, b: u128) -> u128 {
    let mut r = acc.to_le_bytes();
    let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
    let (a, b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
    for (i, r) in r.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let dot = (0..8).fold(0, |s: i32, k| s + factors(signs, a[i / 2][k], b[i % 2][k]));
        *r = i32::from_le_bytes(*r).wrapping_add(dot).to_le_bytes();
    }
    u128::from_le_bytes(r)
}
