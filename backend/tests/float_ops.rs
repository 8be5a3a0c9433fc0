//! Every FP op, compiled and interpreted, on edge values and in several FPCR modes: same values, same FPSR.

mod common;

use common::check::*;
use common::*;
use jib_ir::builder::Builder;
use jib_ir::op::*;
use jib_ir::region::{BlockId, Region};
use jib_ir::softfloat::Fmt;
use jib_ir::state::{Slot, State, slot};
use jib_ir::ty::*;

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
        0,
        1,
        2,
        (1 << frac) - 1,
        1 << frac,
        (1 << frac) + 1,
        one,
        one + 1,
        one - 1,
        one + (1 << frac),
        one + (3 << (frac - 1)),
        one - (1 << frac),
        inf - 1,
        inf,
        inf + 1,
        inf | 1 << (frac - 1),
        inf | 1 << (frac - 1) | 3,
        (exp_max / 2 + frac) << frac,
        ((exp_max / 2 + frac) << frac) + 1,
        (exp_max / 4) << frac,
        ((exp_max / 4) << frac) + 7,
        (exp_max * 3 / 4) << frac,
        ((exp_max / 2 + 31).min(exp_max - 1)) << frac,
        ((exp_max / 2 + 62).min(exp_max - 1)) << frac,
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
}

/// Makes an op on a builder's operands.
type Make = dyn Fn(&mut Builder) -> Op;

/// A register to write.
const V5: Slot = Slot(slot::V0.0 + 10);

/// `v5` = what `make` makes, overwritten in the next block before anything reads it.
fn unread(pc: u64, make: &Make) -> Region {
    let mut b = begin(pc);
    let op = make(&mut b);
    let r = b.push(op);
    b.set(V5, r);
    b.end_block(Op::Jump { to: BlockId(1) });
    b.begin_block(pc + 4);
    b.begin_insn(pc + 4);
    let zero = b.vimm(0);
    b.set(V5, zero);
    b.end_block(stop(pc + 8));
    finish(b, pc, &[0])
}

#[test]
fn results_that_nobody_reads_raise_their_flags() {
    let p = Program::default();
    let mut ops: Vec<Box<Make>> = Vec::new();
    for fmt in [Fmt::S, Fmt::D] {
        let to = lane_of(fmt);
        for shape in [Shape::Scalar, Shape::Half, Shape::Full] {
            ops.push(Box::new(move |b| Op::FMask {
                op: FMaskOp::Ge,
                fmt,
                shape,
                a: operand(b, Ty::V128, 0),
                b: operand(b, Ty::V128, 1),
            }));
            ops.push(Box::new(move |b| Op::FBin {
                op: FBinOp::Add,
                fmt,
                shape,
                a: operand(b, Ty::V128, 0),
                b: operand(b, Ty::V128, 1),
            }));
            ops.push(Box::new(move |b| Op::FRound {
                fmt,
                shape,
                rm: Rm::Fpcr,
                exact: true,
                int: 0,
                a: operand(b, Ty::V128, 0),
            }));
        }
        for signed in [false, true] {
            let rm = Rm::Zero;
            ops.push(Box::new(move |b| Op::FToInt {
                fmt,
                to,
                signed,
                rm,
                fbits: 0,
                lanes: 1,
                a: operand(b, Ty::V128, 0),
            }));
            ops.push(Box::new(move |b| Op::IntToF {
                fmt,
                from: Lane::D,
                signed,
                fbits: 3,
                lanes: 1,
                a: operand(b, Ty::V128, 0),
            }));
            let lanes = to.count() as u8;
            ops.push(Box::new(move |b| Op::IntToF {
                fmt,
                from: to,
                signed,
                fbits: 0,
                lanes,
                a: operand(b, Ty::V128, 0),
            }));
        }
    }
    let places: Vec<u64> = (1..=ops.len() as u64).map(|n| 0x10000 * n).collect();
    for (&pc, op) in places.iter().zip(&ops) {
        p.put(unread(pc, op));
    }
    let (jit, reference) = (translator(&p, eager()), translator(&p, interp()));
    let (mut raised, mut runs) = (0, 0);
    for s in &vector_states() {
        for (&pc, op) in places.iter().zip(&ops) {
            let (got, want) = (run(&jit, s, pc).1.fpsr(), run(&reference, s, pc).1.fpsr());
            assert_eq!(got, want, "{:?} of {:x} and {:x}", op(&mut begin(pc)), s.v(0), s.v(1));
            raised += usize::from(want != 0);
            runs += 1;
        }
    }
    assert!(raised > runs / 10, "{raised} of {runs} raised flags");
}
