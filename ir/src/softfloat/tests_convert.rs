//! Hand-checked cases of conversions and of rounding to integers, as rows.

use super::env::{fpcr::*, fpsr::*};
use super::tests::{RP, RZ, run};
use super::*;
use Rounding::{MinusInf, Odd, PlusInf, TieAway, TieEven, Zero};

const H: Fmt = Fmt::H;
const S: Fmt = Fmt::S;
const D: Fmt = Fmt::D;

#[test]
fn between_formats() {
    for (from, to, fpcr, rounding, a, result, flags) in [
        (S, D, 0, TieEven, 0x3f80_0000, 0x3ff0_0000_0000_0000, 0),
        (S, D, 0, TieEven, 0x0000_0001, 0x36a0_0000_0000_0000, 0),
        (S, D, FZ, TieEven, 0x8000_0001, 1 << 63, IDC),
        (D, S, 0, TieEven, 0x3ff0_0000_1000_0000, 0x3f80_0000, IXC),
        (D, S, 0, TieEven, 0x3ff0_0000_3000_0000, 0x3f80_0002, IXC),
        (D, S, 0, Odd, 0x3ff0_0000_0000_0001, 0x3f80_0001, IXC),
        (D, S, 0, Odd, 0x3ff0_0000_3fff_ffff, 0x3f80_0001, IXC),
        (D, S, 0, Odd, 0x7fef_ffff_ffff_ffff, 0x7f7f_ffff, OFC | IXC),
        (D, S, 0, Odd, 1, 0x0000_0001, UFC | IXC),
        (D, S, 0, TieEven, 0x7fef_ffff_ffff_ffff, 0x7f80_0000, OFC | IXC),
        (D, S, 0, TieEven, 0x36a0_0000_0000_0000, 0x0000_0001, 0),
        (D, S, FZ, TieEven, 0xb6a0_0000_0000_0000, 0x8000_0000, UFC),
        // Payloads keep their upper end; signalling becomes quiet.
        (D, S, 0, TieEven, 0xfff0_0000_2000_0000, 0xffc0_0001, IOC),
        (S, D, 0, TieEven, 0x7fc0_0001, 0x7ff8_0000_2000_0000, 0),
        (S, D, DN, TieEven, 0xffc0_0001, 0x7ff8_0000_0000_0000, 0),
        (H, S, 0, TieEven, 0xfc01, 0xffc0_2000, IOC),
        // Halves are not flushed by conversions, whatever the control bits say.
        (H, S, FZ | FZ16, TieEven, 0x0001, 0x3380_0000, 0),
        (S, H, FZ | FZ16, TieEven, 0x3380_0000, 0x0001, 0),
        (S, H, FZ | FZ16, TieEven, 0x0000_0001, 0, IDC),
        (S, H, 0, TieEven, 0x477f_efff, 0x7bff, IXC),
        (S, H, 0, TieEven, 0x477f_f000, 0x7c00, OFC | IXC),
        // The alternative half precision format.
        (S, H, AHP, TieEven, 0x477f_f000, 0x7c00, IXC),
        (S, H, AHP, TieEven, 0x47ff_f000, 0x7fff, IOC),
        (S, H, AHP, TieEven, 0x7f80_0000, 0x7fff, IOC),
        (S, H, AHP, TieEven, 0xffc0_0000, 0x8000, IOC),
        (H, S, AHP, TieEven, 0x7fff, 0x47ff_e000, 0),
        (H, D, AHP, TieEven, 0xfc00, 0xc0f0_0000_0000_0000, 0),
    ] {
        let got = run(fpcr, |env| convert(from, to, a, rounding, env));
        assert_eq!(got, (result, flags), "{from:?} to {to:?}, fpcr {fpcr:#x}, {rounding:?}: {a:#x}");
    }
}

#[test]
fn to_integers() {
    // Format, control, operand, fraction bits, unsigned, rounding, size, result, exceptions.
    for (fmt, fpcr, a, fbits, unsigned, rounding, size, result, flags) in [
        (S, 0, 0x3fc0_0000, 0, false, Zero, 32, 1, IXC),
        (S, 0, 0x3fc0_0000, 0, false, TieEven, 32, 2, IXC),
        (S, 0, 0x4020_0000, 0, false, TieEven, 32, 2, IXC),
        (S, 0, 0x4020_0000, 0, false, TieAway, 32, 3, IXC),
        (S, 0, 0xc020_0000, 0, false, TieAway, 32, 0xffff_fffd, IXC),
        (S, 0, 0xbf00_0000, 0, true, Zero, 32, 0, IXC),
        (S, 0, 0xbf00_0000, 0, true, MinusInf, 32, 0, IOC),
        (S, 0, 0x7fc0_0000, 0, false, Zero, 32, 0, IOC),
        (S, 0, 0xff80_0000, 0, false, Zero, 32, 0x8000_0000, IOC),
        (D, 0, 0x41df_ffff_ffff_ffff, 0, false, Zero, 32, 0x7fff_ffff, IXC),
        (D, 0, 0x41df_ffff_ffff_ffff, 0, false, PlusInf, 32, 0x7fff_ffff, IOC),
        (D, 0, 0xc1e0_0000_0000_0000, 0, false, Zero, 32, 0x8000_0000, 0),
        (D, 0, 0x43f0_0000_0000_0000, 0, true, Zero, 64, u64::MAX, IOC),
        (D, 0, 0x43e0_0000_0000_0000, 0, true, Zero, 64, 1 << 63, 0),
        (D, 0, 0xc3e0_0000_0000_0000, 0, false, Zero, 64, 1 << 63, 0),
        (S, 0, 0x3f00_0000, 1, false, Zero, 32, 1, 0),
        (S, 0, 0x3f80_0000, 64, true, Zero, 64, u64::MAX, IOC),
        (H, 0, 0xb800, 1, false, Zero, 16, 0xffff, 0),
        (H, 0, 0x7bff, 0, false, Zero, 16, 0x7fff, IOC),
        (S, FZ, 0x0000_0001, 0, false, PlusInf, 32, 0, IDC),
        (S, 0, 0x0000_0001, 0, false, PlusInf, 32, 1, IXC),
        (H, FZ16, 0x0001, 0, false, PlusInf, 32, 0, 0),
    ] {
        let got = run(fpcr, |env| to_int(fmt, a, fbits, unsigned, rounding, size, env));
        assert_eq!(got, (result, flags), "{fmt:?} {a:#x} * 2^{fbits}, {rounding:?}, {size} bits, unsigned {unsigned}");
    }
}

#[test]
fn from_integers() {
    // Format, control, value, fraction bits, unsigned, size, result, exceptions.
    for (fmt, fpcr, value, fbits, unsigned, size, result, flags) in [
        (S, 0, 1, 0, false, 32, 0x3f80_0000, 0),
        (S, 0, 0xffff_ffff, 0, false, 32, 0xbf80_0000, 0),
        (S, 0, 0xffff_ffff, 0, true, 32, 0x4f80_0000, IXC),
        (S, RZ, 0xffff_ffff, 0, true, 32, 0x4f7f_ffff, IXC),
        (D, 0, u64::MAX, 0, true, 64, 0x43f0_0000_0000_0000, IXC),
        (D, 0, 1 << 63, 0, false, 64, 0xc3e0_0000_0000_0000, 0),
        (S, 0, 0xdead_beef_0000_0000, 0, true, 32, 0, 0),
        (D, 0, 1, 64, true, 64, 0x3bf0_0000_0000_0000, 0),
        (H, 0, 1, 32, true, 32, 0, UFC | IXC),
        (H, RP, 1, 32, true, 32, 1, UFC | IXC),
        (H, FZ16, 1, 16, true, 32, 0, UFC),
        (H, 0, 0x8000, 0, false, 16, 0xf800, 0),
        (H, 0, 65520, 0, true, 32, 0x7c00, OFC | IXC),
    ] {
        let got = run(fpcr, |env| from_int(fmt, value, fbits, unsigned, size, rounding(fpcr), env));
        assert_eq!(got, (result, flags), "{fmt:?} {value:#x} / 2^{fbits}, {size} bits, unsigned {unsigned}");
    }
}

#[test]
fn rounding_in_place() {
    for (fmt, fpcr, a, rounding, exact, result, flags) in [
        (S, 0, 0x3f00_0000, TieEven, false, 0, 0),
        (S, 0, 0x3f00_0000, TieAway, false, 0x3f80_0000, 0),
        (S, 0, 0xbf00_0000, TieEven, true, 0x8000_0000, IXC),
        (S, 0, 0xbe80_0000, PlusInf, false, 0x8000_0000, 0),
        (S, 0, 0x4b7f_ffff, Zero, true, 0x4b7f_ffff, 0),
        (D, 0, 0x4330_0000_0000_0001, TieEven, true, 0x4330_0000_0000_0001, 0),
        (D, 0, 0x432f_ffff_ffff_ffff, TieEven, true, 0x4330_0000_0000_0000, IXC),
        (S, 0, 0x7f80_0001, Zero, false, 0x7fc0_0001, IOC),
        (S, FZ, 0x8000_0001, MinusInf, true, 0x8000_0000, IDC),
        (H, 0, 0x8001, MinusInf, true, 0xbc00, IXC),
        (H, 0, 0x7c00, Zero, true, 0x7c00, 0),
    ] {
        let got = run(fpcr, |env| round_int(fmt, a, rounding, exact, env));
        assert_eq!(got, (result, flags), "{fmt:?} {a:#x} {rounding:?}");
    }
    for (fmt, fpcr, a, rounding, size, result, flags) in [
        (S, 0, 0x3fc0_0000, Zero, 32, 0x3f80_0000, IXC),
        (S, 0, 0x4f00_0000, Zero, 32, 0xcf00_0000, IOC),
        (S, 0, 0xcf00_0000, Zero, 32, 0xcf00_0000, 0),
        (S, 0, 0x7fc0_0000, Zero, 64, 0xdf00_0000, IOC),
        (D, 0, 0x41df_ffff_ffff_ffff, Zero, 32, 0x41df_ffff_ffc0_0000, IXC),
        (D, 0, 0x41df_ffff_ffff_ffff, PlusInf, 32, 0xc1e0_0000_0000_0000, IOC),
        (D, 0, 0x43e0_0000_0000_0000, Zero, 64, 0xc3e0_0000_0000_0000, IOC),
        (D, 0, 0x7ff0_0000_0000_0000, Zero, 64, 0xc3e0_0000_0000_0000, IOC),
        (D, 0, 1 << 63, Zero, 64, 1 << 63, 0),
        (S, 0, 0xbf00_0000, Zero, 32, 0x8000_0000, IXC),
    ] {
        let got = run(fpcr, |env| round_int_n(fmt, a, rounding, size, env));
        assert_eq!(got, (result, flags), "{fmt:?} {a:#x} {rounding:?} within {size} bits");
    }
}

#[test]
fn to_int32_of_javascript() {
    for (fpcr, a, result, exact, flags) in [
        (0, 0x3ff0_0000_0000_0000, 1, true, 0),
        (0, 0, 0, true, 0),
        (0, 1 << 63, 0, false, 0),
        (0, 0xbff8_0000_0000_0000, u32::MAX, false, IXC),
        // 2^32 + 1, 2^31, -2^31 and -2^31 - 1.
        (0, 0x41f0_0000_0010_0000, 1, false, IOC),
        (0, 0x41e0_0000_0000_0000, 1 << 31, false, IOC),
        (0, 0xc1e0_0000_0000_0000, 1 << 31, true, 0),
        (0, 0xc1e0_0000_0020_0000, 0x7fff_ffff, false, IOC),
        // 2^83 + 2^31, whose low word is not zero; then 2^84 and the greatest number.
        (0, 0x4520_0000_0000_0001, 1 << 31, false, IOC),
        (0, 0x4530_0000_0000_0001, 0, false, IOC),
        (0, 0x7fef_ffff_ffff_ffff, 0, false, IOC),
        (0, 0x7ff0_0000_0000_0000, 0, false, IOC),
        (0, 0x7ff8_0000_0000_0000, 0, false, IOC),
        (0, 1, 0, false, IXC),
        (FZ, 1, 0, false, IDC),
    ] {
        let got = run(fpcr, |env| to_int_js(a, env));
        assert_eq!(got, ((result, exact), flags), "fpcr {fpcr:#x}: {a:#x}");
    }
}
