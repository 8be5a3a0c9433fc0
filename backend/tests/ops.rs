//! Every op row, compiled and interpreted, on edge values: same state afterwards.

mod common;

use common::*;
use jib_ir::builder::Builder;
use jib_ir::op::*;
use jib_ir::region::{Key, Val};
use jib_ir::runtime::RmwOp;
use jib_ir::softfloat::Fmt;
use jib_ir::state::{Slot, State, slot};
use jib_ir::ty::*;

const INTS: [u64; 14] = [
    0,
    1,
    2,
    31,
    0x7f,
    0x8000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_ffff,
    0x0123_4567_89ab_cdef,
];

fn v(n: u16) -> Slot {
    Slot(slot::V0.0 + 2 * n)
}

/// How operands of a type are read from state.
fn operand(b: &mut Builder, ty: Ty, n: u16) -> Val {
    match ty {
        Ty::V128 => b.get(Ty::V128, v(n)),
        Ty::Flags => b.get_flags(),
        ty => b.get(ty, Slot(n)),
    }
}

/// A region that computes one op from state and puts its result into state.
fn region_of(pc: u64, make: &dyn Fn(&mut Builder) -> Op) -> jib_ir::region::Region {
    let mut b = begin(pc);
    let op = make(&mut b);
    let result = b.push(op);
    match op.ty() {
        Some(Ty::V128) => b.set(v(5), result),
        Some(Ty::Flags) => b.set_flags(result),
        Some(Ty::Bool) => {
            let wide = b.from_bool(Ty::I64, result);
            b.set(Slot(5), wide);
        }
        Some(_) => b.set(Slot(5), result),
        None => {}
    }
    b.end_block(stop(pc + 4));
    finish(b, pc, &[0])
}

struct Check {
    program: Program,
    next: u64,
    cases: Vec<(u64, String)>,
}

impl Check {
    fn new() -> Check {
        Check { program: Program::default(), next: 0x10000, cases: Vec::new() }
    }

    fn op(&mut self, make: impl Fn(&mut Builder) -> Op) {
        let pc = self.next;
        self.next += 0x100;
        let region = region_of(pc, &make);
        let name = region.ops.iter().map(|o| format!("{o:?}")).collect::<Vec<_>>().join("; ");
        self.program.put(region);
        self.cases.push((pc, name));
    }

    /// Runs all cases from all states, with and without FPCR bits.
    fn run(&self, states: &[State]) {
        let mut failures = Vec::new();
        let mut count = 0u64;
        for optimize in [false, true] {
            let options = jib_backend::Options { optimize, ..eager() };
            let (jit, reference) = (translator(&self.program, options), translator(&self.program, interp()));
            for (pc, name) in &self.cases {
                for s in states {
                    count += 1;
                    let (got, want) = (run(&jit, s, *pc), run(&reference, s, *pc));
                    if (got.0, visible(&got.1)) != (want.0, visible(&want.1)) {
                        failures.push(describe(name, s, &got.1, &want.1));
                        break;
                    }
                }
            }
            assert_eq!(jit.stats().discarded, 0, "all must compile");
            let modes = if states.iter().any(|s| s.fpcr() != 0) { 2 } else { 1 };
            assert!(jit.stats().regions <= modes * self.cases.len() as u64);
            assert_eq!(jit.stats().block_runs, 0, "all must run compiled");
        }
        println!("{} ops, {count} comparisons, {} failures", self.cases.len(), failures.len());
        assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures[..failures.len().min(12)].join("\n"));
    }
}

fn describe(name: &str, s: &State, got: &State, want: &State) -> String {
    let show = |s: &State| {
        format!("x5={:#x} v5={:#034x} nzcv={:#x} fpsr={:#x}", s.x(5), s.v(5), s.nzcv(), s.fpsr())
    };
    format!(
        "{name}\n  x0={:#x} x1={:#x} x2={:#x} v0={:#034x} v1={:#034x} v2={:#034x} nzcv={:#x} fpcr={:#x}\n  got  {}\n  want {}",
        s.x(0), s.x(1), s.x(2), s.v(0), s.v(1), s.v(2), s.nzcv(), s.fpcr(), show(got), show(want)
    )
}

/// States with all pairs of integer edge values in x0 and x1.
fn int_states() -> Vec<State> {
    let mut states = Vec::new();
    for (i, &a) in INTS.iter().enumerate() {
        for (j, &b) in INTS.iter().enumerate() {
            let mut s = State::default();
            s.set_x(0, a);
            s.set_x(1, b);
            s.set_x(2, INTS[(i + j) % INTS.len()] ^ (i as u64 & 1));
            s.set_nzcv(((i * 5 + j) as u32) << 28);
            states.push(s);
        }
    }
    states
}

struct Rng(u64);
impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn wide(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }
}

/// Lanes of edge values, and random bits.
fn vector_states() -> Vec<State> {
    let mut r = Rng(0x1234_5678_9abc_def1);
    let edges = |r: &mut Rng| {
        let mut v = 0u128;
        let lane = [8, 16, 32, 64][r.next() as usize % 4];
        for i in 0..128 / lane {
            let top = 1u64 << (lane - 1);
            let e = [0, 1, top, top - 1, top | (top - 1), 2, top + 1, r.next(), r.next() % 24][r.next() as usize % 9];
            let e = u128::from(if lane == 64 { e } else { e & ((1 << lane) - 1) });
            v |= e << (i * lane);
        }
        v
    };
    let mut states = vec![State::default()];
    for i in 0..60 {
        let mut s = State::default();
        for n in 0..4 {
            let value = if i % 5 == 4 { r.wide() } else { edges(&mut r) };
            s.set_v(n, value);
        }
        s.set_x(0, r.next());
        s.set_x(1, r.next());
        if i % 7 == 0 {
            let same = s.v(0);
            s.set_v(1, same);
        }
        states.push(s);
    }
    states
}

const INT_TYS: [Ty; 2] = [Ty::I32, Ty::I64];

#[test]
fn integers() {
    let mut c = Check::new();
    use BinOp::*;
    for ty in INT_TYS {
        for op in [Add, Sub, Mul, UMulHi, SMulHi, UDiv, SDiv, And, Or, Xor, AndNot, Shl, Shr, Sar, Ror] {
            c.op(|b| Op::Bin { op, ty, a: operand(b, ty, 0), b: operand(b, ty, 1) });
        }
        use UnOp::*;
        for op in [Not, Neg, Clz, Ctz, Cls, Rbit, Rev, Rev16, Popcnt] {
            c.op(|b| Op::Un { op, ty, a: operand(b, ty, 0) });
        }
        for cc in [Cc::Eq, Cc::Ne, Cc::Slt, Cc::Sle, Cc::Ult, Cc::Ule] {
            c.op(|b| Op::Cmp { cc, ty, a: operand(b, ty, 0), b: operand(b, ty, 1) });
        }
        for bit in [0, 1, 31] {
            c.op(|b| Op::TestBit { ty, a: operand(b, ty, 0), bit });
        }
        for from in INT_TYS {
            for (signed, bits) in (1..=64).flat_map(|n| [(false, n), (true, n)]) {
                if bits <= from.int_bits().unwrap() as u8 {
                    c.op(|b| Op::Ext { ty, signed, bits, a: operand(b, from, 0) });
                }
            }
        }
        c.op(|b| {
            let k = operand(b, Ty::Bool, 2);
            Op::Select { ty, c: k, a: operand(b, ty, 0), b: operand(b, ty, 1) }
        });
        c.op(|_| Op::Imm { ty, v: 0xffff_fffe });
    }
    c.op(|b| Op::TestBit { ty: Ty::I64, a: operand(b, Ty::I64, 0), bit: 63 });
    c.op(|b| Op::Un { op: UnOp::Rev32, ty: Ty::I64, a: operand(b, Ty::I64, 0) });
    c.op(|b| Op::BNot { c: operand(b, Ty::Bool, 0) });
    c.op(|b| Op::BAnd { a: operand(b, Ty::Bool, 0), b: operand(b, Ty::Bool, 1) });
    for (k, size) in [Size::B1, Size::B2, Size::B4, Size::B8].into_iter().flat_map(|s| [(false, s), (true, s)]) {
        c.op(|b| Op::Crc32 { c: k, size, acc: operand(b, Ty::I32, 0), v: operand(b, Ty::I64, 1) });
    }
    c.run(&int_states());
}

#[test]
fn flags() {
    let mut c = Check::new();
    for ty in INT_TYS {
        for op in [FlagOp::Add, FlagOp::Sub] {
            c.op(|b| Op::Flags { op, ty, a: operand(b, ty, 0), b: operand(b, ty, 1) });
        }
        c.op(|b| Op::FlagsLogic { ty, a: operand(b, ty, 0) });
        c.op(|b| {
            let k = operand(b, Ty::Bool, 2);
            Op::FlagsAdc { ty, a: operand(b, ty, 0), b: operand(b, ty, 1), c: k }
        });
        for cond in Cond::ALL {
            for op in [FlagOp::Add, FlagOp::Sub] {
                c.op(|b| {
                    let (x, y) = (operand(b, ty, 0), operand(b, ty, 1));
                    Op::Cond { cond, f: b.flags(op, x, y) }
                });
            }
            c.op(|b| {
                let x = operand(b, ty, 0);
                Op::Cond { cond, f: b.flags_logic(x) }
            });
            c.op(|b| {
                let (x, y, k) = (operand(b, ty, 0), operand(b, ty, 1), operand(b, Ty::Bool, 2));
                Op::Cond { cond, f: b.push(Op::FlagsAdc { ty, a: x, b: y, c: k }) }
            });
            c.op(|b| {
                let (x, y, k) = (operand(b, ty, 0), operand(b, ty, 1), operand(b, Ty::Bool, 2));
                let (f, g) = (b.flags(FlagOp::Sub, x, y), b.flags_logic(x));
                Op::Cond { cond, f: b.select(k, f, g) }
            });
        }
    }
    for cond in Cond::ALL {
        c.op(|b| Op::Cond { cond, f: operand(b, Ty::Flags, 0) });
    }
    c.op(|b| Op::FlagsPack { a: operand(b, Ty::I32, 0) });
    c.op(|b| Op::FlagsUnpack { f: operand(b, Ty::Flags, 0) });
    c.op(|b| {
        let (x, y) = (operand(b, Ty::I64, 0), operand(b, Ty::I64, 1));
        Op::FlagsUnpack { f: b.flags(FlagOp::Sub, x, y) }
    });
    c.run(&int_states());
}

#[test]
fn vector_moves() {
    let mut c = Check::new();
    let vec = |b: &mut Builder, n| operand(b, Ty::V128, n);
    for lane in Lane::ALL {
        for idx in 0..lane.count() as u8 {
            c.op(|b| Op::VGet { lane, idx, v: vec(b, 0) });
            c.op(|b| Op::VSet { lane, idx, v: vec(b, 0), x: operand(b, Ty::I64, 1) });
            c.op(|b| Op::VDupLane { lane, idx, v: vec(b, 0) });
            c.op(|b| Op::VMovLane { lane, dst: idx, v: vec(b, 0), src: lane.count() as u8 - 1 - idx / 2, from: vec(b, 1) });
        }
        c.op(|b| Op::VDup { lane, x: operand(b, Ty::I64, 0) });
        for signed in [false, true] {
            if lane != Lane::D {
                c.op(|b| Op::VWiden { signed, lane, a: vec(b, 0) });
                c.op(|b| Op::VMulL { signed, lane, a: vec(b, 0), b: vec(b, 1) });
            }
        }
        if lane != Lane::D {
            c.op(|b| Op::VNarrow { lane, a: vec(b, 0) });
        }
    }
    for imm in 0..16 {
        c.op(|b| Op::VExt { a: vec(b, 0), b: vec(b, 1), imm });
    }
    for bytes in [1, 2, 4, 8] {
        c.op(|b| Op::VZeroHi { bytes, v: vec(b, 0) });
        c.op(|b| {
            let x = vec(b, 0);
            Op::VZeroHi { bytes, v: b.vzero_hi(8, x) }
        });
    }
    for bytes in [4, 8] {
        for lane in Lane::ALL {
            for idx in 0..lane.count() as u8 {
                c.op(|b| {
                    let x = vec(b, 0);
                    Op::VGet { lane, idx, v: b.vzero_hi(bytes, x) }
                });
            }
        }
    }
    c.op(|b| Op::VHigh { v: vec(b, 0) });
    c.op(|b| Op::VPair { lo: operand(b, Ty::I64, 0), hi: operand(b, Ty::I64, 1) });
    c.op(|b| Op::VTbx { acc: vec(b, 0), table: vec(b, 1), idx: vec(b, 2) });
    c.op(|b| Op::VTbx { acc: b.vimm(0), table: vec(b, 1), idx: vec(b, 2) });
    c.op(|_| Op::VImm { lo: 1 << 63, hi: 0x1234 });
    c.op(|b| Op::VAnd { a: vec(b, 0), b: vec(b, 1) });
    c.op(|b| Op::VOr { a: vec(b, 0), b: vec(b, 1) });
    c.op(|b| Op::VXor { a: vec(b, 0), b: vec(b, 1) });
    c.op(|b| Op::VAndNot { a: vec(b, 0), b: vec(b, 1) });
    c.op(|b| Op::VNot { a: vec(b, 0) });
    c.op(|b| Op::VBsl { mask: vec(b, 0), a: vec(b, 1), b: vec(b, 2) });
    c.op(|b| {
        let k = operand(b, Ty::Bool, 0);
        Op::Select { ty: Ty::V128, c: k, a: vec(b, 1), b: vec(b, 2) }
    });
    c.op(|b| {
        let (x, y) = (vec(b, 0), vec(b, 1));
        let (x, y) = (b.vzero_hi(8, x), b.vzero_hi(8, y));
        let k = operand(b, Ty::Bool, 0);
        Op::Select { ty: Ty::V128, c: k, a: x, b: y }
    });
    c.run(&vector_states());
}

#[test]
fn vector_lanes() {
    let mut c = Check::new();
    let vec = |b: &mut Builder, n| operand(b, Ty::V128, n);
    use VBinOp::*;
    let all = [
        Add, Sub, Mul, PMul, SMin, UMin, SMax, UMax, CmpEq, CmpGt, CmpGe, CmpHi, CmpHs, CmpTst, SHAdd, UHAdd, SHSub,
        UHSub, SRHAdd, URHAdd, SAbd, UAbd, SShl, UShl, SRShl, URShl, AddP, SMaxP, SMinP, UMaxP, UMinP, Zip1, Zip2, Uzp1,
        Uzp2, Trn1, Trn2,
    ];
    for lane in Lane::ALL {
        for op in all {
            if op != PMul || lane == Lane::B {
                c.op(|b| Op::VBin { op, lane, a: vec(b, 0), b: vec(b, 1) });
            }
        }
        use VUnOp::*;
        for op in [Abs, Neg, Clz, Cls, SAddLP, UAddLP] {
            if lane != Lane::D || matches!(op, Abs | Neg) {
                c.op(|b| Op::VUn { op, lane, a: vec(b, 0) });
            }
        }
        for (op, most) in [(Rev16, Lane::B), (Rev32, Lane::H), (Rev64, Lane::S)] {
            if lane <= most {
                c.op(|b| Op::VUn { op, lane, a: vec(b, 0) });
            }
        }
        use VShiftOp::*;
        for imm in 0..=lane.bits() as u8 {
            for op in [Shl, SShr, UShr, SRShr, URShr] {
                if (op == Shl && u32::from(imm) < lane.bits()) || (op != Shl && imm > 0) {
                    c.op(|b| Op::VShift { op, lane, imm, a: vec(b, 0) });
                }
            }
        }
        for shape in [Shape::Half, Shape::Full] {
            use VReduceOp as R;
            for op in [R::Add, R::SAddL, R::UAddL, R::SMax, R::SMin, R::UMax, R::UMin] {
                let long = matches!(op, R::SAddL | R::UAddL);
                if lane != Lane::D && (!long || shape == Shape::Full || lane != Lane::S) {
                    c.op(|b| Op::VReduce { op, lane, shape, a: vec(b, 0) });
                }
            }
        }
    }
    c.op(|b| Op::VUn { op: VUnOp::Cnt, lane: Lane::B, a: vec(b, 0) });
    c.op(|b| Op::VUn { op: VUnOp::Rbit, lane: Lane::B, a: vec(b, 0) });
    c.op(|b| Op::VUn { op: VUnOp::URecpe, lane: Lane::S, a: vec(b, 0) });
    c.op(|b| Op::VUn { op: VUnOp::URsqrte, lane: Lane::S, a: vec(b, 0) });
    for signs in [DotSigns::SS, DotSigns::UU, DotSigns::US] {
        c.op(|b| Op::VDot { signs, acc: vec(b, 0), a: vec(b, 1), b: vec(b, 2) });
        c.op(|b| Op::VMmla { signs, acc: vec(b, 0), a: vec(b, 1), b: vec(b, 2) });
    }
    c.run(&vector_states());
}

#[test]
fn vector_saturation() {
    let mut c = Check::new();
    let vec = |b: &mut Builder, n| operand(b, Ty::V128, n);
    use VSatOp::*;
    for lane in Lane::ALL {
        for op in [SQAdd, UQAdd, SQSub, UQSub, SUQAdd, USQAdd, SQShl, UQShl, SQRShl, UQRShl, SQAbs, SQNeg] {
            c.op(|b| Op::VSat { op, lane, a: vec(b, 0), b: vec(b, 1) });
        }
        if matches!(lane, Lane::H | Lane::S) {
            for op in [SQDMulH, SQRDMulH, SQDMulL] {
                c.op(|b| Op::VSat { op, lane, a: vec(b, 0), b: vec(b, 1) });
            }
            for sub in [false, true] {
                c.op(|b| Op::VSatMla { sub, lane, acc: vec(b, 2), a: vec(b, 0), b: vec(b, 1) });
            }
        }
        use VSatShiftOp as S;
        for imm in 0..lane.bits() as u8 {
            for op in [S::SQShl, S::UQShl, S::SQShlu] {
                c.op(|b| Op::VSatShift { op, lane, imm, a: vec(b, 0) });
            }
        }
        use VSatNarrowOp::*;
        if lane != Lane::D {
            for op in [SQXtn, UQXtn, SQXtun] {
                c.op(|b| Op::VSatNarrow { op, lane, a: vec(b, 0) });
            }
        }
    }
    c.run(&vector_states());
}

#[test]
fn crypto() {
    let mut c = Check::new();
    let vec = |b: &mut Builder, n| operand(b, Ty::V128, n);
    use CryptoOp::*;
    for (op, n) in [
        (AesE, 2), (AesD, 2), (AesMc, 1), (AesImc, 1), (Sha1C, 3), (Sha1P, 3), (Sha1M, 3), (Sha1H, 1), (Sha1Su0, 3),
        (Sha1Su1, 2), (Sha256H, 3), (Sha256H2, 3), (Sha256Su0, 2), (Sha256Su1, 3), (Sha512H, 3), (Sha512H2, 3),
        (Sha512Su0, 2), (Sha512Su1, 3), (PMull64, 2), (PMull8, 2),
    ] {
        c.op(|b| {
            let a = vec(b, 0);
            let second = if n > 1 { vec(b, 1) } else { Val::NONE };
            let third = if n > 2 { vec(b, 2) } else { Val::NONE };
            Op::VCrypto { op, a, b: second, c: third }
        });
    }
    c.run(&vector_states());
}

const FMTS: [Fmt; 3] = [Fmt::H, Fmt::S, Fmt::D];

/// Float edge values of one format in all lanes.
fn float_states(fmt: Fmt, fpcrs: &[u64]) -> Vec<State> {
    let (bits, frac) = match fmt {
        Fmt::H => (16, 10),
        Fmt::S => (32, 23),
        Fmt::D => (64, 52),
    };
    let exp_max = (1u64 << (bits - 1 - frac)) - 1;
    let one = (exp_max >> 1) << frac;
    let inf = exp_max << frac;
    let mut edges = vec![
        0, 1, 2, (1 << frac) - 1, 1 << frac, (1 << frac) + 1, one, one + 1, one - 1, one + (1 << frac), one + (3 << (frac - 1)),
        one - (1 << frac), inf - 1, inf, inf + 1, inf | 1 << (frac - 1), inf | 1 << (frac - 1) | 3,
        (exp_max / 2 + frac) << frac, ((exp_max / 2 + frac) << frac) + 1, (exp_max / 4) << frac, ((exp_max / 4) << frac) + 7,
        (exp_max * 3 / 4) << frac, ((exp_max / 2 + 31).min(exp_max - 1)) << frac, ((exp_max / 2 + 62).min(exp_max - 1)) << frac,
    ];
    let negative: Vec<u64> = edges.iter().map(|e| e | 1 << (bits - 1)).collect();
    edges.extend(negative);
    let n = edges.len() as u64;
    let lanes = 128 / bits;
    let mut r = Rng(0x9999_1234_5555_0001 ^ bits);
    let mut fill = |first: u64| {
        let mut v = u128::from(first);
        for i in 1..lanes {
            let e = edges[(r.next() % n) as usize];
            v |= u128::from(e) << (i * bits);
        }
        v
    };
    let mut states = Vec::new();
    for &fpcr in fpcrs {
        for (i, &a) in edges.iter().enumerate() {
            for (j, &b) in edges.iter().enumerate() {
                if (i * 7 + j) % if fpcr == 0 { 2 } else { 11 } != 0 {
                    continue;
                }
                let mut s = State::default();
                s.set_v(0, fill(a));
                s.set_v(1, fill(b));
                let third = edges[(i * 3 + j * 11) % edges.len()];
                s.set_v(2, fill(third));
                s.set(slot::FPCR, fpcr);
                states.push(s);
            }
        }
    }
    states
}

/// Round modes, flush to zero, default NaN.
const FPCRS: [u64; 4] = [0, 1 << 22, 3 << 24, 1 << 25];

fn shapes() -> [Shape; 3] {
    [Shape::Scalar, Shape::Half, Shape::Full]
}

fn float_ops(c: &mut Check, fmt: Fmt) {
    let vec = |b: &mut Builder, n| operand(b, Ty::V128, n);
    for shape in shapes() {
        if fmt == Fmt::D && shape == Shape::Half {
            continue;
        }
        use FBinOp::*;
        for op in [Add, Sub, Mul, MulX, Div, Max, Min, MaxNm, MinNm, Abd, RecpS, RsqrtS] {
            c.op(|b| Op::FBin { op, fmt, shape, a: vec(b, 0), b: vec(b, 1) });
        }
        use FUnOp::*;
        for op in [Sqrt, Recpe, Rsqrte, Recpx] {
            if op != Recpx || shape == Shape::Scalar {
                c.op(|b| Op::FUn { op, fmt, shape, a: vec(b, 0) });
            }
        }
        for op in [FSignOp::Neg, FSignOp::Abs] {
            c.op(|b| Op::FSign { op, fmt, shape, a: vec(b, 0) });
        }
        c.op(|b| Op::FMulAdd { fmt, shape, acc: vec(b, 2), a: vec(b, 0), b: vec(b, 1) });
        for op in [FMaskOp::Eq, FMaskOp::Ge, FMaskOp::Gt, FMaskOp::AbsGe, FMaskOp::AbsGt] {
            c.op(|b| Op::FMask { op, fmt, shape, a: vec(b, 0), b: vec(b, 1) });
        }
    }
    for signal in [false, true] {
        c.op(|b| Op::FCmp { fmt, signal, a: vec(b, 0), b: vec(b, 1) });
        for cond in Cond::ALL {
            c.op(|b| {
                let (x, y) = (vec(b, 0), vec(b, 1));
                Op::Cond { cond, f: b.push(Op::FCmp { fmt, signal, a: x, b: y }) }
            });
        }
    }
}

fn check_floats(fmt: Fmt, fpcrs: &[u64]) {
    let mut c = Check::new();
    float_ops(&mut c, fmt);
    c.run(&float_states(fmt, fpcrs));
}

#[test]
fn floats_single() {
    check_floats(Fmt::S, &FPCRS);
}

#[test]
fn floats_double() {
    check_floats(Fmt::D, &FPCRS);
}

#[test]
fn floats_half() {
    check_floats(Fmt::H, &FPCRS[..1]);
}

#[test]
fn float_conversions() {
    let vec = |b: &mut Builder, n| operand(b, Ty::V128, n);
    let rms = [Rm::Fpcr, Rm::TieEven, Rm::PlusInf, Rm::MinusInf, Rm::Zero, Rm::TieAway];
    for fmt in FMTS {
        let mut c = Check::new();
        for rm in rms {
            for shape in shapes() {
                if fmt == Fmt::D && shape == Shape::Half {
                    continue;
                }
                for (exact, int) in [(false, 0), (true, 0), (true, 32), (true, 64)] {
                    if int == 0 || fmt != Fmt::H {
                        c.op(|b| Op::FRound { fmt, shape, rm, exact, int, a: vec(b, 0) });
                    }
                }
            }
            for to in [Lane::H, Lane::S, Lane::D] {
                for signed in [false, true] {
                    for (fbits, lanes) in [(0, 1), (3, 1), (0, 2)] {
                        if lanes == 1 || lane_of(fmt) == to {
                            c.op(|b| Op::FToInt { fmt, to, signed, rm, fbits, lanes, a: vec(b, 0) });
                        }
                    }
                }
            }
        }
        for to in FMTS {
            for lanes in [1, 2] {
                if to != fmt {
                    c.op(|b| Op::FCvt { from: fmt, to, lanes, rm: Rm::Fpcr, a: vec(b, 0) });
                }
            }
        }
        if fmt == Fmt::D {
            c.op(|b| Op::FCvt { from: fmt, to: Fmt::S, lanes: 2, rm: Rm::Odd, a: vec(b, 0) });
            c.op(|b| Op::FJcvt { a: vec(b, 0) });
        }
        if fmt == Fmt::H {
            c.op(|b| Op::FMulAddHS { shape: Shape::Full, acc: vec(b, 2), a: vec(b, 0), b: vec(b, 1) });
        }
        let mut states = float_states(fmt, &[0, 1 << 22]);
        states.retain(|s| s.v(1) as u64 & 7 == 1);
        c.run(&states);
    }
}

#[test]
fn floats_from_integers() {
    let vec = |b: &mut Builder, n| operand(b, Ty::V128, n);
    let mut c = Check::new();
    for fmt in FMTS {
        for from in [Lane::H, Lane::S, Lane::D] {
            for (signed, fbits) in [(false, 0), (true, 0), (true, 5)] {
                c.op(|b| Op::IntToF { fmt, from, signed, fbits, lanes: 1, a: vec(b, 0) });
                if lane_of(fmt) == from {
                    let lanes = from.count() as u8;
                    c.op(|b| Op::IntToF { fmt, from, signed, fbits, lanes, a: vec(b, 0) });
                }
            }
        }
    }
    let mut states = vector_states();
    for s in int_states() {
        let mut t = State::default();
        t.set_v(0, u128::from(s.x(0)) | u128::from(s.x(1)) << 64);
        states.push(t);
    }
    c.run(&states);
}

#[test]
fn memory() {
    let mut c = Check::new();
    let buffer: Vec<u64> = INTS.to_vec();
    let cell = Box::leak(Box::new([0x0123_4567_89ab_cdefu64, 0xfedc_ba98_7654_3210, 3, 4]));
    for ty in [Ty::I32, Ty::I64, Ty::V128] {
        for size in Size::ALL {
            if ty == Ty::V128 || size.bytes() * 8 <= u64::from(ty.int_bits().unwrap()) {
                for order in [Order::Plain, Order::AcqRel] {
                    c.op(|b| Op::Load { ty, size, order, addr: operand(b, Ty::I64, 3) });
                    c.op(|b| {
                        let (addr, x) = (operand(b, Ty::I64, 4), operand(b, ty, 1));
                        b.push(Op::Store { ty, size, order, addr, v: x });
                        Op::Load { ty: Ty::V128, size: Size::B16, order, addr }
                    });
                }
                let cas = if ty == Ty::V128 { size == Size::B16 } else { true };
                if cas {
                    c.op(|b| {
                        let (addr, e, n) = (operand(b, Ty::I64, 4), operand(b, ty, 0), operand(b, ty, 1));
                        b.push(Op::Store { ty, size, order: Order::Plain, addr, v: e });
                        let old = b.push(Op::Cas { ty, size, addr, expected: e, new: n });
                        b.set(if ty == Ty::V128 { v(6) } else { Slot(6) }, old);
                        let k = operand(b, Ty::Bool, 2);
                        Op::CasIf { ty, size, c: k, addr, expected: n, new: e }
                    });
                }
            }
        }
    }
    use RmwOp::*;
    for op in [Add, Clr, Xor, Or, SMax, SMin, UMax, UMin, Swap] {
        for size in [Size::B1, Size::B2, Size::B4, Size::B8] {
            for ty in INT_TYS {
                if size.bytes() * 8 <= u64::from(ty.int_bits().unwrap()) {
                    c.op(|b| {
                        let (addr, x, y) = (operand(b, Ty::I64, 4), operand(b, Ty::I64, 0), operand(b, ty, 1));
                        b.store(Size::B8, addr, x);
                        let old = b.push(Op::Rmw { op, ty, size, addr, v: y });
                        b.set(Slot(6), old);
                        Op::Load { ty: Ty::I64, size: Size::B8, order: Order::Plain, addr }
                    });
                }
            }
        }
    }
    for (rule, size) in [(Align::Natural, Size::B2), (Align::Natural, Size::B16), (Align::Within16, Size::B8)] {
        c.op(|b| Op::CheckAlign { rule, size, write: true, addr: operand(b, Ty::I64, 4) });
    }
    c.op(|_| Op::Fence { kind: Fence::Full });
    c.op(|_| Op::Fence { kind: Fence::Compiler });
    let mut states = int_states();
    for (i, s) in states.iter_mut().enumerate() {
        s.set_x(3, buffer.as_ptr() as u64 + (i as u64 % 64));
        s.set_x(4, cell.as_ptr() as u64);
        s.set_v(0, u128::from(s.x(0)) << 64 | u128::from(s.x(1)));
        s.set_v(1, u128::from(s.x(1)) << 64 | u128::from(s.x(0)));
    }
    c.run(&states);
}

#[test]
fn modes_have_their_own_code() {
    let p = Program::default();
    p.put(region_of(0x1000, &|b| Op::FBin {
        op: FBinOp::Add,
        fmt: Fmt::D,
        shape: Shape::Scalar,
        a: operand(b, Ty::V128, 0),
        b: operand(b, Ty::V128, 1),
    }));
    let t = translator(&p, eager());
    for fpcr in [0, 1 << 22, 0, 1 << 22] {
        let mut s = State::default();
        s.set_v(0, u128::from(1f64.to_bits()));
        s.set_v(1, u128::from(1e-20f64.to_bits()));
        s.set(slot::FPCR, fpcr);
        let want = if fpcr == 0 { 1f64.to_bits() } else { 1f64.to_bits() + 1 };
        assert_eq!(run(&t, &s, 0x1000).1.v(5) as u64, want);
    }
    assert_eq!(t.stats().regions, 2);
    let _ = Key::FPCR_SET;
}
