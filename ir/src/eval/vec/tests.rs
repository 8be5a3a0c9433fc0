//! Every family against plain formulas on 128-bit integers, on edge values and random ones.

use super::*;
use crate::op::*;
use crate::softfloat::fpsr::QC;
use crate::ty::{Lane, Shape};

/// Small xorshift generator; every third vector is made of edge values of the lane.
struct Vectors {
    seed: u64,
}

impl Vectors {
    fn next(&mut self) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed
    }
    fn vector(&mut self, lane: Lane) -> u128 {
        let top = 1 << (lane.bits() - 1);
        let edges = [0, 1, 2, 7, top - 1, top, top + 1, u64::MAX, u64::MAX - 1, u64::from(lane.bits())];
        let edgy = !self.next().is_multiple_of(3);
        let lanes = (0..lane.count()).map(|_| {
            let x = self.next();
            if edgy { edges[(x % 10) as usize] } else { x }
        });
        lanes.enumerate().fold(0, |v, (i, x)| vset(lane, i as u8, v, x))
    }
}

fn for_each_pair(lane: Lane, mut f: impl FnMut(u128, u128)) {
    let mut vectors = Vectors { seed: 0x9e37_79b9_7f4a_7c15 + lane as u64 };
    for _ in 0..400 {
        f(vectors.vector(lane), vectors.vector(lane));
    }
}

fn u(lane: Lane, v: u128, i: u32) -> i128 {
    i128::from(vget(lane, i as u8, v))
}

fn s(lane: Lane, v: u128, i: u32) -> i128 {
    signed(lane, u(lane, v, i))
}

/// The low bits of `x` as a signed number.
fn signed(lane: Lane, x: i128) -> i128 {
    let unused = 128 - lane.bits();
    x << unused >> unused
}

fn wrap(lane: Lane, x: i128) -> u64 {
    x as u64 & lane.mask()
}

fn min_max(lane: Lane, is_signed: bool) -> (i128, i128) {
    let top = 1i128 << (lane.bits() - 1);
    if is_signed { (-top, top - 1) } else { (0, 2 * top - 1) }
}

/// `x << n`, or `x >> -n` with rounding if asked. Beyond any lane, something as great and with the same low bits.
fn shift(x: i128, n: i32, round: bool) -> i128 {
    match n {
        100.. => shift(x, 99, round),
        0..100 => x.checked_mul(1 << n).unwrap_or(if x < 0 { i128::MIN } else { 1 << 126 }),
        _ => {
            let right = n.unsigned_abs().min(100);
            (x + if round { 1 << (right - 1) } else { 0 }) >> right
        }
    }
}

const fn count(v: u128, i: u32, lane: Lane) -> i32 {
    vget(lane, i as u8, v) as i8 as i32
}

/// One lane of an op that works lane by lane; none for the others.
fn expected(op: VBinOp, lane: Lane, a: u128, b: u128, i: u32) -> Option<i128> {
    let (x, y, p, q) = (u(lane, a, i), u(lane, b, i), s(lane, a, i), s(lane, b, i));
    let mask = |c: bool| -i128::from(c);
    Some(match op {
        VBinOp::Add => x + y,
        VBinOp::Sub => x - y,
        VBinOp::Mul => x.wrapping_mul(y),
        VBinOp::PMul => (0..8).filter(|k| y >> k & 1 == 1).fold(0, |r, k| r ^ x << k),
        VBinOp::SMin => p.min(q),
        VBinOp::UMin => x.min(y),
        VBinOp::SMax => p.max(q),
        VBinOp::UMax => x.max(y),
        VBinOp::CmpEq => mask(x == y),
        VBinOp::CmpGt => mask(p > q),
        VBinOp::CmpGe => mask(p >= q),
        VBinOp::CmpHi => mask(x > y),
        VBinOp::CmpHs => mask(x >= y),
        VBinOp::CmpTst => mask(x & y != 0),
        VBinOp::SHAdd => (p + q) >> 1,
        VBinOp::UHAdd => (x + y) >> 1,
        VBinOp::SHSub => (p - q) >> 1,
        VBinOp::UHSub => (x - y) >> 1,
        VBinOp::SRHAdd => (p + q + 1) >> 1,
        VBinOp::URHAdd => (x + y + 1) >> 1,
        VBinOp::SAbd => (p - q).abs(),
        VBinOp::UAbd => (x - y).abs(),
        VBinOp::SShl => shift(p, count(b, i, lane), false),
        VBinOp::UShl => shift(x, count(b, i, lane), false),
        VBinOp::SRShl => shift(p, count(b, i, lane), true),
        VBinOp::URShl => shift(x, count(b, i, lane), true),
        _ => return None,
    })
}

/// As `expected`, for the pairwise ops.
fn pairwise(op: VBinOp, lane: Lane, v: u128, i: u32) -> Option<i128> {
    let (x, y, p, q) = (u(lane, v, 2 * i), u(lane, v, 2 * i + 1), s(lane, v, 2 * i), s(lane, v, 2 * i + 1));
    Some(match op {
        VBinOp::AddP => x + y,
        VBinOp::SMaxP => p.max(q),
        VBinOp::SMinP => p.min(q),
        VBinOp::UMaxP => x.max(y),
        VBinOp::UMinP => x.min(y),
        _ => return None,
    })
}

const VBINS: [VBinOp; 37] = {
    use VBinOp::*;
    [
        Add, Sub, Mul, PMul, SMin, UMin, SMax, UMax, CmpEq, CmpGt, CmpGe, CmpHi, CmpHs, CmpTst, SHAdd, UHAdd, SHSub,
        UHSub, SRHAdd, URHAdd, SAbd, UAbd, SShl, UShl, SRShl, URShl, AddP, SMaxP, SMinP, UMaxP, UMinP, Zip1, Zip2,
        Uzp1, Uzp2, Trn1, Trn2,
    ]
};

#[test]
fn binary() {
    for lane in Lane::ALL {
        for op in VBINS.into_iter().filter(|&op| op != VBinOp::PMul || lane == Lane::B) {
            for_each_pair(lane, |a, b| {
                let r = vbin(op, lane, a, b);
                for i in 0..lane.count() {
                    let half = lane.count() / 2;
                    let paired = if i < half { pairwise(op, lane, a, i) } else { pairwise(op, lane, b, i - half) };
                    if let Some(x) = expected(op, lane, a, b, i).or(paired) {
                        assert_eq!(vget(lane, i as u8, r), wrap(lane, x), "{op:?} {lane:?} {a:032x} {b:032x} {i}");
                    }
                }
            });
        }
    }
}

#[test]
fn permutations() {
    let a = u128::from_le_bytes(std::array::from_fn(|i| i as u8));
    let b = u128::from_le_bytes(std::array::from_fn(|i| 16 + i as u8));
    let bytes = |v: u128| v.to_le_bytes();
    let perm = |op, lane| bytes(vbin(op, lane, a, b));
    assert_eq!(perm(VBinOp::Zip1, Lane::B), [0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23]);
    assert_eq!(perm(VBinOp::Zip2, Lane::H), [8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31]);
    assert_eq!(perm(VBinOp::Uzp1, Lane::H), [0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29]);
    assert_eq!(perm(VBinOp::Uzp2, Lane::S), [4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31]);
    assert_eq!(perm(VBinOp::Trn1, Lane::S), [0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27]);
    assert_eq!(perm(VBinOp::Trn2, Lane::D), [8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31]);
    let rev = |op, lane| bytes(vun(op, lane, a));
    assert_eq!(rev(VUnOp::Rev16, Lane::B), [1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14]);
    assert_eq!(rev(VUnOp::Rev32, Lane::H), [2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13]);
    assert_eq!(rev(VUnOp::Rev64, Lane::S), [4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11]);
    assert_eq!(bytes(vext(a, b, 3)), std::array::from_fn(|i| 3 + i as u8));
    assert_eq!(vext(a, b, 0), a);
    let idx = u128::from_le_bytes([15, 0, 16, 255, 3, 3, 3, 3, 1, 1, 1, 1, 99, 14, 13, 12]);
    assert_eq!(bytes(vtbx(b, a, idx)), [15, 0, 18, 19, 3, 3, 3, 3, 1, 1, 1, 1, 28, 14, 13, 12]);
}

#[test]
fn unary() {
    for lane in Lane::ALL {
        for_each_pair(lane, |a, _| {
            let bits = lane.bits();
            let check = |op, f: &dyn Fn(u32) -> i128| {
                let r = vun(op, lane, a);
                for i in 0..lane.count() {
                    assert_eq!(vget(lane, i as u8, r), wrap(lane, f(i)), "{op:?} {lane:?} {a:032x} {i}");
                }
            };
            check(VUnOp::Abs, &|i| s(lane, a, i).abs());
            check(VUnOp::Neg, &|i| -u(lane, a, i));
            check(VUnOp::Clz, &|i| i128::from(u(lane, a, i).leading_zeros()) - i128::from(128 - bits));
            let sign_bits = |x: i128| if x < 0 { x.leading_ones() } else { x.leading_zeros() };
            check(VUnOp::Cls, &|i| i128::from(sign_bits(s(lane, a, i)) - (128 - bits) - 1));
            check(VUnOp::Cnt, &|i| i128::from(u(lane, a, i).count_ones()));
            check(VUnOp::Rbit, &|i| (u(lane, a, i).reverse_bits() as u128 >> (128 - bits)) as i128);
            if let Some(wide) = lane.wider() {
                let (sp, up) = (vun(VUnOp::SAddLP, lane, a), vun(VUnOp::UAddLP, lane, a));
                for i in 0..wide.count() {
                    let (even, odd) = (2 * i, 2 * i + 1);
                    assert_eq!(vget(wide, i as u8, sp), wrap(wide, s(lane, a, even) + s(lane, a, odd)));
                    assert_eq!(vget(wide, i as u8, up), wrap(wide, u(lane, a, even) + u(lane, a, odd)));
                }
            }
        });
    }
}

#[test]
fn shifts_by_constants() {
    for lane in Lane::ALL {
        for_each_pair(lane, |a, _| {
            for imm in 0..=lane.bits() as u8 {
                let n = i32::from(imm);
                let check = |op, f: &dyn Fn(u32) -> i128| {
                    let r = vshift(op, lane, imm, a);
                    for i in 0..lane.count() {
                        assert_eq!(vget(lane, i as u8, r), wrap(lane, f(i)), "{op:?} {lane:?} {imm} {a:032x} {i}");
                    }
                };
                check(VShiftOp::Shl, &|i| shift(u(lane, a, i), n, false));
                check(VShiftOp::SShr, &|i| shift(s(lane, a, i), -n, false));
                check(VShiftOp::UShr, &|i| shift(u(lane, a, i), -n, false));
                check(VShiftOp::SRShr, &|i| shift(s(lane, a, i), -n, n != 0));
                check(VShiftOp::URShr, &|i| shift(u(lane, a, i), -n, n != 0));
            }
        });
    }
}

/// Asserts that `r` is `f` of each lane saturated, and that QC in `fpsr` tells so.
fn check_saturated(what: &str, lane: Lane, is_signed: bool, (r, fpsr): (u128, u32), f: impl Fn(u32) -> i128) {
    let (min, max) = min_max(lane, is_signed);
    let mut any = false;
    for i in 0..lane.count() {
        let exact = f(i);
        any |= exact < min || exact > max;
        assert_eq!(vget(lane, i as u8, r), wrap(lane, exact.clamp(min, max)), "{what} {lane:?} lane {i}");
    }
    assert_eq!(fpsr, if any { QC } else { 0 }, "{what} {lane:?} QC");
}

fn sat(op: VSatOp, lane: Lane, a: u128, b: u128) -> (u128, u32) {
    let mut fpsr = 0;
    (vsat(op, lane, a, b, &mut fpsr), fpsr)
}

#[test]
fn saturating() {
    for lane in Lane::ALL {
        for_each_pair(lane, |a, b| {
            let check = |op, is_signed, f: &dyn Fn(u32) -> i128| {
                check_saturated(&format!("{op:?} {a:032x} {b:032x}"), lane, is_signed, sat(op, lane, a, b), f);
            };
            let (x, y) = (|i| u(lane, a, i), |i| u(lane, b, i));
            let (p, q) = (|i| s(lane, a, i), |i| s(lane, b, i));
            check(VSatOp::SQAdd, true, &|i| p(i) + q(i));
            check(VSatOp::UQAdd, false, &|i| x(i) + y(i));
            check(VSatOp::SQSub, true, &|i| p(i) - q(i));
            check(VSatOp::UQSub, false, &|i| x(i) - y(i));
            check(VSatOp::SUQAdd, true, &|i| p(i) + y(i));
            check(VSatOp::USQAdd, false, &|i| x(i) + q(i));
            check(VSatOp::SQShl, true, &|i| shift(p(i), count(b, i, lane), false));
            check(VSatOp::UQShl, false, &|i| shift(x(i), count(b, i, lane), false));
            check(VSatOp::SQRShl, true, &|i| shift(p(i), count(b, i, lane), true));
            check(VSatOp::UQRShl, false, &|i| shift(x(i), count(b, i, lane), true));
            check(VSatOp::SQAbs, true, &|i| p(i).abs());
            check(VSatOp::SQNeg, true, &|i| -p(i));
        });
    }
}

#[test]
fn saturating_products() {
    for lane in [Lane::H, Lane::S] {
        let bits = lane.bits();
        for_each_pair(lane, |a, b| {
            let product = |i| s(lane, a, i) * s(lane, b, i);
            let what = format!("{a:032x} {b:032x}");
            check_saturated(&what, lane, true, sat(VSatOp::SQDMulH, lane, a, b), |i| {
                shift(2 * product(i), -(bits as i32), false)
            });
            check_saturated(&what, lane, true, sat(VSatOp::SQRDMulH, lane, a, b), |i| {
                shift(2 * product(i), -(bits as i32), true)
            });
            let wide = if lane == Lane::H { Lane::S } else { Lane::D };
            check_saturated(&what, wide, true, sat(VSatOp::SQDMulL, lane, a, b), |i| 2 * product(i));
            for sub in [false, true] {
                let (acc, mut fpsr) = (a.rotate_left(2 * bits) ^ b, 0);
                let r = vsat_mla(sub, lane, acc, a, b, &mut fpsr);
                let sign = if sub { -2 } else { 2 };
                check_saturated(&what, lane, true, (r, fpsr), |i| {
                    shift((s(lane, acc, i) << bits) + sign * product(i), -(bits as i32), true)
                });
            }
        });
    }
}

#[test]
fn saturating_multiply_add_at_the_extremes() {
    for lane in [Lane::H, Lane::S] {
        let bits = lane.bits();
        let top = 1u64 << (bits - 1);
        let extremes = [0, 1, top - 1, top, top + 1, u64::MAX];
        for z in extremes {
            for x in extremes {
                for y in extremes {
                    for sub in [false, true] {
                        let (acc, a, b, mut fpsr) = (vdup(lane, z), vdup(lane, x), vdup(lane, y), 0);
                        let r = vsat_mla(sub, lane, acc, a, b, &mut fpsr);
                        let sign = if sub { -2 } else { 2 };
                        check_saturated("mla", lane, true, (r, fpsr), |i| {
                            let product = sign * s(lane, a, i) * s(lane, b, i);
                            shift((s(lane, acc, i) << bits) + product, -(bits as i32), true)
                        });
                    }
                }
            }
        }
    }
}

#[test]
fn saturating_shifts_and_narrowing() {
    for lane in Lane::ALL {
        for_each_pair(lane, |a, _| {
            for imm in 0..lane.bits() as u8 {
                let run = |op| {
                    let mut fpsr = 0;
                    (vsat_shift(op, lane, imm, a, &mut fpsr), fpsr)
                };
                let left = |x| shift(x, i32::from(imm), false);
                check_saturated("sqshl", lane, true, run(VSatShiftOp::SQShl), |i| left(s(lane, a, i)));
                check_saturated("uqshl", lane, false, run(VSatShiftOp::UQShl), |i| left(u(lane, a, i)));
                check_saturated("sqshlu", lane, false, run(VSatShiftOp::SQShlu), |i| left(s(lane, a, i)));
            }
            let Some(wide) = lane.wider() else { return };
            let run = |op| {
                let mut fpsr = 0;
                (vsat_narrow(op, lane, a, &mut fpsr), fpsr)
            };
            let low = |i: u32, f: &dyn Fn(u32) -> i128| if i < wide.count() { f(i) } else { 0 };
            check_saturated("sqxtn", lane, true, run(VSatNarrowOp::SQXtn), |i| low(i, &|i| s(wide, a, i)));
            check_saturated("uqxtn", lane, false, run(VSatNarrowOp::UQXtn), |i| low(i, &|i| u(wide, a, i)));
            check_saturated("sqxtun", lane, false, run(VSatNarrowOp::SQXtun), |i| low(i, &|i| s(wide, a, i)));
        });
    }
}

#[test]
fn widths() {
    for lane in [Lane::B, Lane::H, Lane::S] {
        let wide = lane.wider().unwrap();
        for_each_pair(lane, |a, b| {
            let (sw, uw) = (vwiden(true, lane, a), vwiden(false, lane, a));
            let (sm, um) = (vmull(true, lane, a, b), vmull(false, lane, a, b));
            let n = vnarrow(lane, a);
            for i in 0..wide.count() {
                let at = |v| vget(wide, i as u8, v);
                assert_eq!(at(sw), wrap(wide, s(lane, a, i)));
                assert_eq!(at(uw), wrap(wide, u(lane, a, i)));
                assert_eq!(at(sm), wrap(wide, s(lane, a, i) * s(lane, b, i)));
                assert_eq!(at(um), wrap(wide, u(lane, a, i) * u(lane, b, i)));
                assert_eq!(vget(lane, i as u8, n), wrap(lane, u(wide, a, i)));
            }
            assert_eq!(n >> 64, 0);
        });
    }
}

#[test]
fn reductions() {
    for lane in Lane::ALL {
        for shape in [Shape::Scalar, Shape::Half, Shape::Full] {
            for_each_pair(lane, |a, _| {
                let (us, ss) = (
                    || (0..shape.lanes(lane)).map(|i| u(lane, a, i)),
                    || (0..shape.lanes(lane)).map(|i| s(lane, a, i)),
                );
                let wide = lane.wider().unwrap_or(lane);
                let check = |op, lane_of_result, x: i128| {
                    let expected = u128::from(wrap(lane_of_result, x));
                    assert_eq!(vreduce(op, lane, shape, a), expected, "{op:?} {lane:?} {shape:?} {a:032x}");
                };
                check(VReduceOp::Add, lane, us().sum());
                check(VReduceOp::SAddL, wide, ss().sum());
                check(VReduceOp::UAddL, wide, us().sum());
                check(VReduceOp::SMax, lane, ss().max().unwrap());
                check(VReduceOp::SMin, lane, ss().min().unwrap());
                check(VReduceOp::UMax, lane, us().max().unwrap());
                check(VReduceOp::UMin, lane, us().min().unwrap());
            });
        }
    }
}

#[test]
fn dot_products() {
    for_each_pair(Lane::B, |a, b| {
        let acc = a ^ b.rotate_left(40);
        for signs in [DotSigns::SS, DotSigns::UU, DotSigns::US] {
            let x = |i| if signs == DotSigns::SS { s(Lane::B, a, i) } else { u(Lane::B, a, i) };
            let y = |i| if signs == DotSigns::UU { u(Lane::B, b, i) } else { s(Lane::B, b, i) };
            let (dot, mmla) = (vdot(signs, acc, a, b), vmmla(signs, acc, a, b));
            for i in 0..4 {
                let start = u(Lane::S, acc, i);
                let sum: i128 = (0..4).map(|k| x(4 * i + k) * y(4 * i + k)).sum();
                assert_eq!(vget(Lane::S, i as u8, dot), wrap(Lane::S, start + sum));
                let sum: i128 = (0..8).map(|k| x(8 * (i / 2) + k) * y(8 * (i % 2) + k)).sum();
                assert_eq!(vget(Lane::S, i as u8, mmla), wrap(Lane::S, start + sum));
            }
        }
    });
}

#[test]
fn parts() {
    let v = 0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100_u128;
    assert_eq!(vget(Lane::H, 3, v), 0x0706);
    assert_eq!(vset(Lane::S, 2, v, 0xffff_ffff_8765_4321), 0x0f0e_0d0c_8765_4321_0706_0504_0302_0100);
    assert_eq!(vdup(Lane::B, 0x1ab), u128::MAX / 255 * 0xab);
    assert_eq!(vdup(Lane::D, 5), 5 | 5 << 64);
    assert_eq!(vzero_hi(4, v), 0x0302_0100);
    assert_eq!(vzero_hi(16, v), v);
    assert_eq!(vget(Lane::D, 255, v), (v >> 64) as u64, "a wrong index wraps around");
}
