//! Every vector op, compiled and interpreted, on edge values: same state afterwards.

mod common;

use common::check::*;
use jib_ir::builder::Builder;
use jib_ir::op::*;
use jib_ir::region::Val;
use jib_ir::ty::*;

#[test]
fn vector_moves() {
    let mut c = Check::new();
    let vec = |b: &mut Builder, n| operand(b, Ty::V128, n);
    for lane in Lane::ALL {
        for idx in 0..lane.count() as u8 {
            c.op(|b| Op::VGet { lane, idx, v: vec(b, 0) });
            c.op(|b| Op::VSet { lane, idx, v: vec(b, 0), x: operand(b, Ty::I64, 1) });
            c.op(|b| Op::VDupLane { lane, idx, v: vec(b, 0) });
            c.op(|b| Op::VMovLane {
                lane,
                dst: idx,
                v: vec(b, 0),
                src: lane.count() as u8 - 1 - idx / 2,
                from: vec(b, 1),
            });
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
        UHSub, SRHAdd, URHAdd, SAbd, UAbd, SShl, UShl, SRShl, URShl, AddP, SMaxP, SMinP, UMaxP, UMinP, Zip1, Zip2,
        Uzp1, Uzp2, Trn1, Trn2,
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
        (AesE, 2),
        (AesD, 2),
        (AesMc, 1),
        (AesImc, 1),
        (Sha1C, 3),
        (Sha1P, 3),
        (Sha1M, 3),
        (Sha1H, 1),
        (Sha1Su0, 3),
        (Sha1Su1, 2),
        (Sha256H, 3),
        (Sha256H2, 3),
        (Sha256Su0, 2),
        (Sha256Su1, 3),
        (Sha512H, 3),
        (Sha512H2, 3),
        (Sha512Su0, 2),
        (Sha512Su1, 3),
        (PMull64, 2),
        (PMull8, 2),
    ] {
        c.op(|b| {
            let a = vec(b, 0);
            let second = if n > 1 { vec(b, 1) } else { Val::NONE };
            let third = if n > 2 { vec(b, 2) } else { Val::NONE };
            Op::VCrypto { op, a, b: second, c: third }
        });
    }
    for (first, second) in [(AesE, AesMc), (AesD, AesImc), (AesE, AesImc)] {
        c.op(|b| {
            let (state, key) = (vec(b, 0), vec(b, 1));
            let half = b.push(Op::VCrypto { op: first, a: state, b: key, c: Val::NONE });
            Op::VCrypto { op: second, a: half, b: Val::NONE, c: Val::NONE }
        });
    }
    c.run(&vector_states());
}
