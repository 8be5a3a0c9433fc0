//! Hand-checked cases of arithmetic, comparison and estimates, as rows: control bits, operands, result, exceptions.

use super::env::{fpcr::*, fpsr::*};
use super::*;

/// Rounding mode bits: up, down, to zero.
pub(super) const RP: u32 = 1 << 22;
pub(super) const RM: u32 = 2 << 22;
pub(super) const RZ: u32 = 3 << 22;

const H: Fmt = Fmt::H;
const S: Fmt = Fmt::S;
const D: Fmt = Fmt::D;

/// Runs `f` under `fpcr`; the result and the exceptions raised.
pub(super) fn run<T>(fpcr: u32, f: impl FnOnce(&mut Env<'_>) -> T) -> (T, u32) {
    let mut fpsr = 0;
    let result = f(&mut Env { fpcr, fpsr: &mut fpsr });
    (result, fpsr)
}

type Binary = fn(Fmt, u64, u64, &mut Env<'_>) -> u64;
type Unary = fn(Fmt, u64, &mut Env<'_>) -> u64;

#[track_caller]
fn binary(op: Binary, rows: &[(Fmt, u32, u64, u64, u64, u32)]) {
    for &(fmt, fpcr, a, b, result, flags) in rows {
        let got = run(fpcr, |env| op(fmt, a, b, env));
        assert_eq!(got, (result, flags), "{fmt:?} fpcr {fpcr:#x}: {a:#x}, {b:#x} -> {result:#x} {flags:#x}");
    }
}

#[track_caller]
fn unary(op: Unary, rows: &[(Fmt, u32, u64, u64, u32)]) {
    for &(fmt, fpcr, a, result, flags) in rows {
        let got = run(fpcr, |env| op(fmt, a, env));
        assert_eq!(got, (result, flags), "{fmt:?} fpcr {fpcr:#x}: {a:#x} -> {result:#x} {flags:#x}");
    }
}

#[test]
fn addition() {
    binary(
        add,
        &[
            (S, 0, 0x3f80_0000, 0x4000_0000, 0x4040_0000, 0),
            (H, 0, 0x3c00, 0x4000, 0x4200, 0),
            // A tie goes to even, downwards and upwards.
            (S, 0, 0x3f80_0000, 0x3380_0000, 0x3f80_0000, IXC),
            (S, 0, 0x3f80_0001, 0x3380_0000, 0x3f80_0002, IXC),
            (S, RP, 0x3f80_0000, 0x0000_0001, 0x3f80_0001, IXC),
            (S, RM, 0x3f80_0000, 0x8000_0001, 0x3f7f_ffff, IXC),
            (D, RZ, 0x3ff0_0000_0000_0000, 0x8000_0000_0000_0001, 0x3fef_ffff_ffff_ffff, IXC),
            // Zeros, and cancellation to zero.
            (S, 0, 0x3f80_0000, 0xbf80_0000, 0, 0),
            (S, RM, 0x3f80_0000, 0xbf80_0000, 0x8000_0000, 0),
            (D, 0, 1 << 63, 1 << 63, 1 << 63, 0),
            (D, RM, 0, 1 << 63, 1 << 63, 0),
            (D, 0, 0, 1 << 63, 0, 0),
            // Overflow goes to infinity or to the greatest number.
            (H, 0, 0x7bff, 0x7bff, 0x7c00, OFC | IXC),
            (H, RZ, 0x7bff, 0x7bff, 0x7bff, OFC | IXC),
            (H, RP, 0xfbff, 0xfbff, 0xfbff, OFC | IXC),
            (H, RM, 0xfbff, 0xfbff, 0xfc00, OFC | IXC),
            // Infinities and NaNs: signalling before quiet, the first before the second.
            (S, 0, 0x7f80_0000, 0xff80_0000, 0x7fc0_0000, IOC),
            (S, 0, 0x7f80_0000, 0x7f80_0000, 0x7f80_0000, 0),
            (S, 0, 0x7fc0_0001, 0xff80_0002, 0xffc0_0002, IOC),
            (S, 0, 0xffc0_0001, 0x7fc0_0002, 0xffc0_0001, 0),
            (S, DN, 0xffc0_0001, 0x7fc0_0002, 0x7fc0_0000, 0),
            (S, 0, 0x7f80_0001, 0x7f80_0002, 0x7fc0_0001, IOC),
            // Denormals: exact sums, flushed operands, flushed results.
            (S, 0, 0x0000_0001, 0x0000_0001, 0x0000_0002, 0),
            (S, FZ, 0x0000_0001, 0x3f80_0000, 0x3f80_0000, IDC),
            (S, FZ, 0x8000_0001, 0x8000_0001, 0x8000_0000, IDC),
            (S, FZ, 0x0080_0001, 0x8080_0000, 0, UFC),
            (S, FZ, 0x0080_0000, 0x8080_0001, 0x8000_0000, UFC),
            (H, FZ16, 0x0001, 0x3c00, 0x3c00, 0),
            (H, FZ16, 0x0401, 0x8400, 0, UFC),
            (H, FZ, 0x0001, 0x0001, 0x0002, 0),
            (D, FZ16, 1, 1, 2, 0),
            (D, FZ, 0x7ff0_0000_0000_0001, 1, 0x7ff8_0000_0000_0001, IOC | IDC),
        ],
    );
}

#[test]
fn subtraction() {
    binary(
        sub,
        &[
            (S, 0, 0x4040_0000, 0x3f80_0000, 0x4000_0000, 0),
            (S, 0, 0x7f80_0000, 0x7f80_0000, 0x7fc0_0000, IOC),
            // A NaN subtrahend keeps its sign.
            (S, 0, 0x3f80_0000, 0xffc0_0007, 0xffc0_0007, 0),
            (S, 0, 0, 0, 0, 0),
            (S, RM, 0, 0, 0x8000_0000, 0),
            (S, 0, 0x8000_0000, 0, 0x8000_0000, 0),
            (D, 0, 0x4340_0000_0000_0000, 0x3fe0_0000_0000_0000, 0x4340_0000_0000_0000, IXC),
        ],
    );
    binary(
        abd,
        &[
            (S, 0, 0x3f80_0000, 0x4040_0000, 0x4000_0000, 0),
            (S, 0, 0x3f80_0000, 0xffc0_0007, 0x7fc0_0007, 0),
            (S, RM, 0x3f80_0000, 0x3f80_0000, 0, 0),
        ],
    );
}

#[test]
fn multiplication() {
    binary(
        mul,
        &[
            (S, 0, 0x4040_0000, 0xc000_0000, 0xc0c0_0000, 0),
            (D, 0, 0x3ff0_0000_0000_0001, 0x3ff0_0000_0000_0001, 0x3ff0_0000_0000_0002, IXC),
            (D, RP, 0x3ff0_0000_0000_0001, 0x3ff0_0000_0000_0001, 0x3ff0_0000_0000_0003, IXC),
            (S, 0, 0x7f80_0000, 0x8000_0000, 0x7fc0_0000, IOC),
            (S, 0, 0x8000_0000, 0x3f80_0000, 0x8000_0000, 0),
            // Tiny before rounding, though it rounds to the least normal number.
            (S, 0, 0x3f7f_ffff, 0x0080_0000, 0x0080_0000, UFC | IXC),
            (S, FZ, 0x3f7f_ffff, 0x0080_0000, 0, UFC),
            // An exact denormal is no underflow.
            (S, 0, 0x3f00_0000, 0x0080_0000, 0x0040_0000, 0),
            (S, 0, 0x0000_0001, 0x3f00_0000, 0, UFC | IXC),
            (S, RP, 0x0000_0001, 0x0000_0001, 0x0000_0001, UFC | IXC),
            (H, 0, 0x7bff, 0x4000, 0x7c00, OFC | IXC),
        ],
    );
    binary(
        mulx,
        &[
            (S, 0, 0x7f80_0000, 0x8000_0000, 0xc000_0000, 0),
            (H, 0, 0, 0x7c00, 0x4000, 0),
            (D, FZ, 1, 0xfff0_0000_0000_0000, 0xc000_0000_0000_0000, IDC),
            (S, 0, 0x4040_0000, 0x4000_0000, 0x40c0_0000, 0),
        ],
    );
}

#[test]
fn division_and_root() {
    binary(
        div,
        &[
            (S, 0, 0x3f80_0000, 0x4040_0000, 0x3eaa_aaab, IXC),
            (D, RZ, 0x3ff0_0000_0000_0000, 0x4008_0000_0000_0000, 0x3fd5_5555_5555_5555, IXC),
            (H, 0, 0x3c00, 0x4200, 0x3555, IXC),
            (S, 0, 0xbf80_0000, 0, 0xff80_0000, DZC),
            (S, 0, 0x7f80_0000, 0, 0x7f80_0000, 0),
            (S, 0, 0, 0x8000_0000, 0x7fc0_0000, IOC),
            (S, 0, 0x7f80_0000, 0x7f80_0000, 0x7fc0_0000, IOC),
            (S, 0, 0x3f80_0000, 0xff80_0000, 0x8000_0000, 0),
            (S, FZ, 0x3f80_0000, 0x0000_0001, 0x7f80_0000, DZC | IDC),
            (H, FZ16, 0x3c00, 0x0001, 0x7c00, DZC),
            (D, 0, 1, 0x4000_0000_0000_0000, 0, UFC | IXC),
        ],
    );
    unary(
        sqrt,
        &[
            (S, 0, 0x4080_0000, 0x4000_0000, 0),
            (S, 0, 0x4000_0000, 0x3fb5_04f3, IXC),
            (D, 0, 0x4000_0000_0000_0000, 0x3ff6_a09e_667f_3bcd, IXC),
            (D, RZ, 0x4000_0000_0000_0000, 0x3ff6_a09e_667f_3bcc, IXC),
            (H, 0, 0x4000, 0x3da8, IXC),
            (S, 0, 0x8000_0000, 0x8000_0000, 0),
            (S, 0, 0xbf80_0000, 0x7fc0_0000, IOC),
            (S, FZ, 0x8000_0001, 0x8000_0000, IDC),
            (D, 0, 1, 0x1e60_0000_0000_0000, 0),
            (S, 0, 0x7f80_0000, 0x7f80_0000, 0),
            (S, 0, 0xff80_0000, 0x7fc0_0000, IOC),
        ],
    );
}

#[test]
fn fused() {
    // Format, control, addend, factors, result, exceptions.
    for (fmt, fpcr, z, a, b, result, flags) in [
        (S, 0, 0x3f80_0000, 0x4000_0000, 0x4040_0000, 0x40e0_0000, 0),
        // (1 + 2^-23)^2 - (1 + 2^-22) is 2^-46, which a rounded product would lose.
        (S, 0, 0xbf80_0002, 0x3f80_0001, 0x3f80_0001, 0x2880_0000, 0),
        (D, 0, 0xbff0_0000_0000_0002, 0x3ff0_0000_0000_0001, 0x3ff0_0000_0000_0001, 0x3970_0000_0000_0000, 0),
        (S, RM, 0xbf80_0000, 0x3f80_0000, 0x3f80_0000, 0x8000_0000, 0),
        // Infinity times zero is invalid even if the addend is a quiet NaN, whose payload is lost.
        (S, 0, 0x7fc0_0001, 0x7f80_0000, 0, 0x7fc0_0000, IOC),
        (S, 0, 0x7f80_0001, 0x7f80_0000, 0, 0x7fc0_0001, IOC),
        (S, 0, 0x3f80_0000, 0x7f80_0000, 0, 0x7fc0_0000, IOC),
        // The addend's NaN before the factors', a signalling one before a quiet one.
        (S, 0, 0x7fc0_0001, 0x7fc0_0002, 0x7fc0_0003, 0x7fc0_0001, 0),
        (S, 0, 0x7fc0_0001, 0x7fc0_0002, 0x7f80_0003, 0x7fc0_0003, IOC),
        (S, 0, 0x3f80_0000, 0xffc0_0002, 0x7fc0_0003, 0xffc0_0002, 0),
        (S, DN, 0x3f80_0000, 0xffc0_0002, 0x7fc0_0003, 0x7fc0_0000, 0),
        (S, 0, 0x7f80_0000, 0xff80_0000, 0x3f80_0000, 0x7fc0_0000, IOC),
        (S, 0, 0xff80_0000, 0x3f80_0000, 0x3f80_0000, 0xff80_0000, 0),
        (S, 0, 0x8000_0000, 0x8000_0000, 0x3f80_0000, 0x8000_0000, 0),
        (S, 0, 0x8000_0000, 0, 0x3f80_0000, 0, 0),
        (S, 0, 0x0000_0001, 0, 0x3f80_0000, 0x0000_0001, 0),
        (S, FZ, 0x0000_0001, 0x3f80_0000, 0x3f80_0000, 0x3f80_0000, IDC),
        (H, 0, 0x0001, 0x0001, 0x0001, 0x0001, UFC | IXC),
        (H, FZ16, 0x8400, 0x0401, 0x3c00, 0, UFC),
    ] {
        let got = run(fpcr, |env| mul_add(fmt, z, a, b, env));
        assert_eq!(got, (result, flags), "{fmt:?} fpcr {fpcr:#x}: {z:#x} + {a:#x} * {b:#x}");
    }
    for (fpcr, z, a, b, result, flags) in [
        (0, 0x3f80_0000, 0x4000, 0x4200, 0x40e0_0000, 0),
        (0, 0, 0x0001, 0x0001, 0x2780_0000, 0),
        (FZ16, 0x8000_0000, 0x0001, 0x3c00, 0, 0),
        (0, 0x3f80_0000, 0xfc01, 0x3c00, 0xffc0_2000, IOC),
        (DN, 0x3f80_0000, 0xfc01, 0x3c00, 0x7fc0_0000, IOC),
        (0, 0x7fc0_0001, 0x7c00, 0, 0x7fc0_0000, IOC),
    ] {
        let got = run(fpcr, |env| mul_add_h_to_s(z, a, b, env));
        assert_eq!(got, (result, flags), "fpcr {fpcr:#x}: {z:#x} + {a:#x} * {b:#x}");
    }
    binary(
        recps,
        &[
            (S, 0, 0x3f80_0000, 0x3f80_0000, 0x3f80_0000, 0),
            (S, 0, 0x7f80_0000, 0, 0x4000_0000, 0),
            (S, 0, 0x7f80_0000, 0x3f80_0000, 0xff80_0000, 0),
            (S, RM, 0x3f80_0000, 0x4000_0000, 0x8000_0000, 0),
            // The first operand is negated before its NaN is passed on.
            (S, 0, 0x7fc0_0001, 0x3f80_0000, 0xffc0_0001, 0),
            (S, 0, 0x3f80_0000, 0x7fc0_0001, 0x7fc0_0001, 0),
        ],
    );
    binary(
        rsqrts,
        &[
            (S, 0, 0x3f80_0000, 0x3f80_0000, 0x3f80_0000, 0),
            (H, 0, 0, 0xfc00, 0x3e00, 0),
            (D, 0, 0, 0, 0x3ff8_0000_0000_0000, 0),
            // (3 - 2^1023 * 2) / 2: halved before rounding, so it does not overflow.
            (D, RP, 0x7fe0_0000_0000_0000, 0x4000_0000_0000_0000, 0xffdf_ffff_ffff_ffff, IXC),
        ],
    );
}

#[test]
fn extremes() {
    binary(
        max,
        &[
            (S, 0, 0x8000_0000, 0, 0, 0),
            (S, 0, 0x8000_0000, 0x8000_0000, 0x8000_0000, 0),
            (S, 0, 0xbf80_0000, 0x8000_0000, 0x8000_0000, 0),
            (S, 0, 0x7fc0_0001, 0x3f80_0000, 0x7fc0_0001, 0),
            (S, FZ, 0x0000_0001, 0x8000_0000, 0, IDC),
            (S, 0, 0x0000_0001, 0, 0x0000_0001, 0),
            (H, FZ16, 0x0001, 0xbc00, 0, 0),
        ],
    );
    binary(min, &[(S, 0, 0, 0x8000_0000, 0x8000_0000, 0), (D, 0, 3, 0xfff0 << 48, 0xfff0 << 48, 0)]);
    binary(
        maxnm,
        &[
            (S, 0, 0x7fc0_0001, 0x3f80_0000, 0x3f80_0000, 0),
            (S, 0, 0xff80_0000, 0xffc0_0001, 0xff80_0000, 0),
            (S, 0, 0x7fc0_0001, 0x7f80_0002, 0x7fc0_0002, IOC),
            (S, 0, 0x7fc0_0001, 0x7fc0_0002, 0x7fc0_0001, 0),
            (S, 0, 0x7f80_0001, 0x3f80_0000, 0x7fc0_0001, IOC),
        ],
    );
    binary(minnm, &[(H, 0, 0x3c00, 0x7e00, 0x3c00, 0), (H, DN, 0x7e01, 0xfe00, 0x7e00, 0)]);
}

#[test]
fn comparisons() {
    for (fmt, fpcr, a, b, signal, nzcv, flags) in [
        (S, 0, 0x3f80_0000, 0x4000_0000, false, 0b1000, 0),
        (S, 0, 0xbf80_0000, 0xc000_0000, false, 0b0010, 0),
        (S, 0, 0x8000_0000, 0, true, 0b0110, 0),
        (S, 0, 0x7fc0_0000, 0, false, 0b0011, 0),
        (S, 0, 0x7fc0_0000, 0, true, 0b0011, IOC),
        (S, 0, 0, 0x7f80_0001, false, 0b0011, IOC),
        (D, FZ, 1, 0x8000_0000_0000_0001, false, 0b0110, IDC),
        (H, 0, 0x0001, 0x8001, false, 0b0010, 0),
        (H, FZ16, 0x0001, 0x8001, false, 0b0110, 0),
        (D, 0, 0xfff0 << 48, 0xffef << 48, false, 0b1000, 0),
    ] {
        let got = run(fpcr, |env| compare(fmt, a, b, signal, env));
        assert_eq!(got, (nzcv << 28, flags), "{fmt:?} fpcr {fpcr:#x}: {a:#x}, {b:#x}");
    }
    let quiet = 0x7fc0_0000;
    assert_eq!(run(0, |env| cmp_eq(S, quiet, quiet, env)), (false, 0));
    assert_eq!(run(0, |env| cmp_eq(S, 0x7f80_0001, 0, env)), (false, IOC));
    assert_eq!(run(0, |env| cmp_ge(S, quiet, 0, env)), (false, IOC));
    assert_eq!(run(0, |env| cmp_gt(S, 0, quiet, env)), (false, IOC));
    assert_eq!(run(0, |env| cmp_ge(S, 0, 0x8000_0000, env)), (true, 0));
    assert_eq!(run(0, |env| cmp_gt(S, 0, 0x8000_0000, env)), (false, 0));
}

#[test]
fn estimates() {
    unary(
        recpe,
        &[
            (S, 0, 0x3f80_0000, 0x3f7f_8000, 0),
            (H, 0, 0x3c00, 0x3bfc, 0),
            (D, 0, 0x4000_0000_0000_0000, 0x3fdf_f000_0000_0000, 0),
            (S, 0, 0x8000_0000, 0xff80_0000, DZC),
            (S, 0, 0xff80_0000, 0x8000_0000, 0),
            // Too small for its reciprocal to be finite, by one.
            (S, 0, 0x001f_ffff, 0x7f80_0000, OFC | IXC),
            (S, RZ, 0x001f_ffff, 0x7f7f_ffff, OFC | IXC),
            (S, RM, 0x801f_ffff, 0xff80_0000, OFC | IXC),
            (S, 0, 0x0020_0000, 0x7f7f_8000, 0),
            // Great enough for a denormal reciprocal.
            (S, 0, 0x7e80_0000, 0x007f_c000, 0),
            (S, 0, 0x7f00_0000, 0x003f_e000, 0),
            (S, FZ, 0x7e80_0000, 0, UFC),
            (S, FZ, 0x7e7f_ffff, 0x0080_0000, 0),
        ],
    );
    unary(
        rsqrte,
        &[
            (S, 0, 0x3f80_0000, 0x3f7f_8000, 0),
            (S, 0, 0x4080_0000, 0x3eff_8000, 0),
            (S, 0, 0xbf80_0000, 0x7fc0_0000, IOC),
            (S, 0, 0x8000_0000, 0xff80_0000, DZC),
            (S, 0, 0x7f80_0000, 0, 0),
            (S, FZ, 0x8000_0001, 0xff80_0000, DZC | IDC),
            (S, 0, 0xff80_0001, 0xffc0_0001, IOC),
            // 2^-24, the least half, has an exact root: 2^12, estimated from below.
            (H, 0, 0x0001, 0x6bfc, 0),
        ],
    );
    unary(
        recpx,
        &[
            (S, 0, 0x3f80_0000, 0x4000_0000, 0),
            (S, 0, 0x0000_0001, 0x7f00_0000, 0),
            (S, FZ, 0x8000_0001, 0xff00_0000, IDC),
            (S, 0, 0x7f80_0000, 0, 0),
            (S, 0, 0x7f80_0001, 0x7fc0_0001, IOC),
        ],
    );
    assert_eq!(urecpe32(0x7fff_ffff), u32::MAX);
    assert_eq!(urecpe32(0x8000_0000), 0xff80_0000);
    assert_eq!(urecpe32(u32::MAX), 0x8000_0000);
    assert_eq!(ursqrte32(0x3fff_ffff), u32::MAX);
    assert_eq!(ursqrte32(0x4000_0000), 0xff80_0000);
    assert_eq!(ursqrte32(u32::MAX), 0x8000_0000);
}

#[test]
fn signs_and_upper_bits() {
    assert_eq!(neg(S, 0x7fc0_0001), 0xffc0_0001);
    assert_eq!(abs(H, 0xffff), 0x7fff);
    assert_eq!(neg(D, 0), 1 << 63);
    // Whatever lies above an operand is ignored, and no result has anything there.
    let junk = 0xdead_beef << 32;
    assert_eq!(neg(S, junk), 0x8000_0000);
    assert_eq!(run(0, |env| add(S, junk | 0x3f80_0000, junk, env)), (0x3f80_0000, 0));
    assert_eq!(run(0, |env| max(S, junk | 0x7fc0_0000, junk, env)), (0x7fc0_0000, 0));
    assert_eq!(run(0, |env| maxnm(S, junk | 0x7fc0_0000, junk | 0x3f80_0000, env)), (0x3f80_0000, 0));
    assert_eq!(run(0, |env| round_int(S, junk | 0x7f80_0000, Rounding::Zero, true, env)), (0x7f80_0000, 0));
}
