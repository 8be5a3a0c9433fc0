//! Shifts of each lane by a constant or by the lanes of another vector.
//!
//! The promise: SSHL, USHL, SRSHL, URSHL and their immediate forms; a count beyond the width is as good as any.

use super::lanes::map1;
use crate::op::VShiftOp;
use crate::ty::Lane;

/// `x` shifted left by `n`, zero from the width on; or, `n` being negative, right, logically.
macro_rules! shift_unsigned {
    ($u:ident, $x:expr, $n:expr) => {{
        let (x, n): ($u, i32) = ($x, i32::from($n));
        let (left, right) = (x << (n as u32 % $u::BITS), x >> (-n) as u32 % $u::BITS);
        let v = if n < 0 { right } else { left };
        if n.unsigned_abs() >= $u::BITS { 0 } else { v }
    }};
}

/// `x` shifted left by `n`, zero from the width on; or, `n` being negative, right, arithmetically.
macro_rules! shift_signed {
    ($s:ident, $x:expr, $n:expr) => {{
        let (x, n): ($s, i32) = ($x, i32::from($n));
        let left = if n >= $s::BITS as i32 { 0 } else { x << (n as u32 % $s::BITS) };
        if n < 0 { x >> n.unsigned_abs().min($s::BITS - 1) } else { left }
    }};
}

/// `x >> n` rounded to nearest, ties up; `n` from 1.
macro_rules! round_right {
    ($t:ident, $x:expr, $n:expr) => {{
        let (x, n): ($t, u32) = ($x, $n);
        let twice = x >> ((n - 1) % $t::BITS);
        let v = (twice >> 1) + (twice & 1);
        if n > $t::BITS { 0 } else { v }
    }};
}

/// As `shift_unsigned`, right shifts rounding.
macro_rules! rounding_shift_unsigned {
    ($u:ident, $x:expr, $n:expr) => {{
        let (x, n): ($u, i8) = ($x, $n);
        if n < 0 { round_right!($u, x, u32::from(n.unsigned_abs())) } else { shift_unsigned!($u, x, n) }
    }};
}

/// As `shift_signed`, right shifts rounding.
macro_rules! rounding_shift_signed {
    ($s:ident, $x:expr, $n:expr) => {{
        let (x, n): ($s, i8) = ($x, $n);
        if n < 0 { round_right!($s, x, u32::from(n.unsigned_abs())) } else { shift_signed!($s, x, n) }
    }};
}

/// Each lane shifted by `imm`.
#[inline(always)]
pub fn vshift(op: VShiftOp, lane: Lane, imm: u8, a: u128) -> u128 {
    let n = u32::from(imm);
    by_lane!(lane, U, S => match op {
        VShiftOp::Shl => map1(a, |x: U| x.checked_shl(n).unwrap_or(0)),
        VShiftOp::SShr => map1(a, |x: S| x >> n.min(S::BITS - 1)),
        VShiftOp::UShr => map1(a, |x: U| x.checked_shr(n).unwrap_or(0)),
        VShiftOp::SRShr => map1(a, |x: S| if n == 0 { x } else { round_right!(S, x, n) }),
        VShiftOp::URShr => map1(a, |x: U| if n == 0 { x } else { round_right!(U, x, n) }),
    })
}
