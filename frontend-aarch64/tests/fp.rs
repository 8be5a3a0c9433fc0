//! Floating point as the Arm ARM's pseudocode has it, on values worked out by hand: above all where qemu is set aside.

use jib_testing::case::{Case, Outcome, Registers, Stop};
use jib_testing::interp::Interpreter;

const FZ: u32 = 1 << 24;
const IOC: u32 = 1;
const IXC: u32 = 1 << 4;
const IDC: u32 = 1 << 7;

/// Registers with `v` in V0 and up.
fn with(v: &[u128]) -> Registers {
    let mut regs = Registers { x: [0; 32], v: [0; 32], nzcv: 0, fpcr: 0, fpsr: 0, tpidr: 0 };
    regs.v[..v.len()].copy_from_slice(v);
    regs
}

/// What `word` makes of `regs`.
fn run(word: u32, regs: Registers) -> Outcome {
    Interpreter::default().run(&Case { words: vec![word], regs, mem_seed: 1 })
}

/// V0 and FPSR after `word`.
fn vector(word: u32, v: &[u128]) -> (u128, u32) {
    let outcome = run(word, with(v));
    assert_eq!(outcome.stop, Stop::Done, "{word:08x}");
    (outcome.regs.v[0], outcome.regs.fpsr)
}

/// Lanes of single precision, the lowest first.
fn singles<const N: usize>(x: [f32; N]) -> u128 {
    x.iter().rev().fold(0, |v, x| v << 32 | u128::from(x.to_bits()))
}

/// Lanes of double precision, the lowest first.
fn doubles<const N: usize>(x: [f64; N]) -> u128 {
    x.iter().rev().fold(0, |v, x| v << 64 | u128::from(x.to_bits()))
}

#[test]
fn fjcvtzs_tells_by_z_whether_it_was_exact() {
    const WORD: u32 = 0x1e7e_0020; // fjcvtzs w0, d1
    const Z: u32 = 1 << 30;
    let convert = |bits: u64, fpcr: u32| {
        let after = run(WORD, Registers { fpcr, x: [!0; 32], nzcv: 0xf000_0000, ..with(&[0, bits.into()]) }).regs;
        (after.x[0], after.nzcv, after.fpsr)
    };
    assert_eq!(convert(3f64.to_bits(), 0), (3, Z, 0));
    assert_eq!(convert((-7f64).to_bits(), 0), (0xffff_fff9, Z, 0));
    assert_eq!(convert(3.5f64.to_bits(), 0), (3, 0, IXC));
    assert_eq!(convert((-0f64).to_bits(), 0), (0, 0, 0));
    assert_eq!(convert(4_294_967_301f64.to_bits(), 0), (5, 0, IOC));
    assert_eq!(convert(f64::NAN.to_bits(), 0), (0, 0, IOC));
    assert_eq!(convert(1, 0), (0, 0, IXC));
    assert_eq!(convert(1, FZ), (0, 0, IDC), "a flushed denormal was not exactly converted");
}

#[test]
fn fixed_point_halves_are_sixteen_bits() {
    let rest = 0xffff_ffff_ffff_ffff_ffff_ffff_ffff_0000;
    assert_eq!(vector(0x5f1d_fc20, &[!0, rest | 0xbc00]), (0xfff8, 0)); // fcvtzs h0, h1, #3 of -1
    assert_eq!(vector(0x5f1d_fc20, &[!0, rest | 0x7000]), (0x7fff, IOC)); // of 8192
    assert_eq!(vector(0x7f1d_fc20, &[!0, rest | 0x7000]), (0xffff, IOC)); // fcvtzu h0, h1, #3
}

#[test]
fn a_conditional_compare_that_fails_is_silent() {
    const WORD: u32 = 0x1e62_0435; // fccmpe d1, d2, #5, eq
    let nan = u128::from(f64::NAN.to_bits());
    let after = |nzcv| run(WORD, Registers { nzcv, ..with(&[0, nan, nan]) }).regs;
    let skipped = after(0);
    assert_eq!((skipped.nzcv, skipped.fpsr), (5 << 28, 0));
    let compared = after(1 << 30);
    assert_eq!((compared.nzcv, compared.fpsr), (3 << 28, IOC));
}

#[test]
fn narrowing_into_the_high_half_leaves_the_low() {
    let old = 0x1111_2222_3333_4444_5555_6666_7777_8888;
    let low = old as u64;
    let source = doubles([1.5, 1.0 + 1.0 / (1u64 << 40) as f64]);
    let nearest = u128::from(low) | singles([1.5, 1.0]) << 64;
    assert_eq!(vector(0x4e61_6820, &[old, source]), (nearest, IXC)); // fcvtn2 v0.4s, v1.2d
    let odd = nearest | 1 << 96;
    assert_eq!(vector(0x6e61_6820, &[old, source]), (odd, IXC)); // fcvtxn2 v0.4s, v1.2d
}

#[test]
fn moves_between_register_files() {
    let v = 0x1111_2222_3333_4444_5555_6666_7777_8888;
    let regs = || Registers { x: [0xaaaa_bbbb_cccc_dddd; 32], ..with(&[v, v]) };
    let top = 0xaaaa_bbbb_cccc_dddd_u128 << 64 | v & u128::from(u64::MAX);
    assert_eq!(run(0x9eaf_0020, regs()).regs.v[0], top); // fmov v0.d[1], x1
    assert_eq!(run(0x9eae_0020, regs()).regs.x[0], 0x1111_2222_3333_4444); // fmov x0, v1.d[1]
    assert_eq!(run(0x1ee7_0020, regs()).regs.v[0], 0xdddd); // fmov h0, w1
}

#[test]
fn negated_factors_and_addends() {
    let (two, three, ten) = (doubles([2.0]), doubles([3.0]), doubles([10.0]));
    assert_eq!(vector(0x1f62_8c20, &[!0, two, three, ten]).0, doubles([-4.0])); // fnmsub d0, d1, d2, d3
    let fmls = vector(0x4ee2_cc20, &[doubles([10.0, 1.0]), doubles([2.0, 4.0]), doubles([3.0, 0.5])]);
    assert_eq!(fmls, (doubles([4.0, -1.0]), 0)); // fmls v0.2d, v1.2d, v2.2d
}

#[test]
fn the_second_half_of_a_widening_multiply() {
    // fmlsl2 v0.2s, v1.2h, v2.2h: lanes 2 and 3 of four halves, infinities elsewhere.
    let n = 0x7c00_7c00_7c00_7c00_4000_3c00_7c00_7c00; // 1 and 2
    let m = 0x0000_0000_0000_0000_3800_4200_0000_0000; // 3 and 0.5
    assert_eq!(vector(0x2ea2_cc20, &[singles([10.0, 20.0, 5.0, 5.0]), n, m]), (singles([7.0, 19.0]), 0));
}

#[test]
fn complex_rotations() {
    let (n, m) = (singles([1.0, 2.0]), singles([3.0, 4.0]));
    let fcmla = vector(0x2e82_cc20, &[singles([10.0, 20.0, 1.0]), n, m]); // fcmla v0.2s, v1.2s, v2.2s, #90
    assert_eq!(fcmla, (singles([10.0 - 2.0 * 4.0, 20.0 + 2.0 * 3.0]), 0));
    let fcadd = vector(0x2e82_f420, &[!0, n, m]); // fcadd v0.2s, v1.2s, v2.2s, #270
    assert_eq!(fcadd, (singles([1.0 + 4.0, 2.0 - 3.0]), 0));
}

#[test]
fn across_lanes_takes_the_active_ones_alone() {
    let lanes = singles([1.0, -2.0, 8.0, 4.0]);
    assert_eq!(vector(0x6e30_f820, &[!0, lanes]), (singles([8.0]), 0)); // fmaxv s0, v1.4s
    // fmaxnmv h0, v1.4h: -1, -2, a quiet NaN, -1; above, what would win or signal.
    let halves = 0x7c01_7bff_7bff_7bff_bc00_7e00_c000_bc00;
    assert_eq!(vector(0x0e30_c820, &[!0, halves]), (0xbc00, 0));
}

#[test]
fn the_highest_element_of_the_low_registers() {
    let m = 0x4200_u128 << 112; // fmul h0, h1, v2.h[7]: 2 * 3
    assert_eq!(vector(0x5f32_9820, &[!0, 0x4000, m]), (0x4600, 0));
}

#[test]
fn unallocated_words_that_qemu_runs() {
    let words = [
        0x7ef9_f820, // scalar FSQRT of a half in the AdvSIMD class
        0x5e70_c820, // FMAXNMP h0, v1.2h with sz set
        0x0e70_c820, // FMAXNMV h0, v1.4h with bit 22 set
        0x1e63_4020, // BFCVT
        0x2e5f_fc20, // BFDOT
    ];
    for word in words {
        assert_eq!(run(word, with(&[])).stop, Stop::Undefined, "{word:08x}");
    }
}
