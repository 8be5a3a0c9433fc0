//! Rows: floating point on vectors, and the scalar forms of the AdvSIMD classes (Arm ARM C4.1.97).
//!
//! The FP part of each AdvSIMD class (the integer chapter holds the rest), under the class's name in Arm's tables:
//! `Asimd` is vector, `Asisd` scalar. Fields: `q` 128 bits, `a` the upper bit of `size`, `z` the lower: doubles.

use crate::field::{Imm, VReg};
use crate::lift::simd::Qu;
use crate::lift::simd_fp::*;
use crate::lift::simd_fp_complex::*;
use crate::lift::simd_fp_element::*;
use crate::lift::simd_fp_misc::*;
use crate::rows;

rows! {
    AsimdSame_fp = "0 qq 01110 ss 1 mmmmm 11 ooo 1 nnnnn ddddd"
        (qu: Qu, size: FSize, rm: VReg, op: Imm<3>, rn: VReg, rd: VReg) => three_same;
    AsimdSameFp16 = "0 qq 01110 a 10 mmmmm 00 ooo 1 nnnnn ddddd"
        (qu: Qu, a: bool, rm: VReg, op: Imm<3>, rn: VReg, rd: VReg) => three_same_h;
    AsisdSame_fp = "01 u 11110 ss 1 mmmmm 11 ooo 1 nnnnn ddddd"
        (u: bool, size: FSize, rm: VReg, op: Imm<3>, rn: VReg, rd: VReg) => three_same_scalar;
    AsisdSameFp16 = "01 u 11110 a 10 mmmmm 00 ooo 1 nnnnn ddddd"
        (u: bool, a: bool, rm: VReg, op: Imm<3>, rn: VReg, rd: VReg) => three_same_scalar_h;
    AsisdPair_fp = "01 u 11110 ss 11000 011oo 10 nnnnn ddddd"
        (u: bool, size: FSize, op: PairOp, rn: VReg, rd: VReg) => pair_scalar;
    AsimdAll_fp = "0 qq 01110 ss 11000 011oo 10 nnnnn ddddd"
        (qu: Qu, size: FSize, op: PairOp, rn: VReg, rd: VReg) => across_lanes;

    AsimdMisc_fp = "0 qq 01110 ss 10000 11ooo 10 nnnnn ddddd"
        (qu: Qu, size: FSize, op: Imm<3>, rn: VReg, rd: VReg) => misc;
    AsimdMisc_fp_zero = "0 qq 01110 1 z 10000 011oo 10 nnnnn ddddd"
        (qu: Qu, z: bool, op: Imm<2>, rn: VReg, rd: VReg) => misc_zero;
    AsimdMisc_fcvtl = "0 q 0 01110 0 z 10000 10111 10 nnnnn ddddd"
        (q: bool, z: bool, rn: VReg, rd: VReg) => fcvtl;
    AsimdMisc_fcvtn = "0 q 0 01110 0 z 10000 10110 10 nnnnn ddddd"
        (q: bool, z: bool, rn: VReg, rd: VReg) => fcvtn;
    AsimdMisc_fcvtxn = "0 q 1 01110 01 10000 10110 10 nnnnn ddddd" (q: bool, rn: VReg, rd: VReg) => fcvtxn;
    AsimdMiscFp16 = "0 qq 01110 a 111100 11ooo 10 nnnnn ddddd"
        (qu: Qu, a: bool, op: Imm<3>, rn: VReg, rd: VReg) => misc_h;
    AsimdMiscFp16_zero = "0 qq 01110 1 111100 011oo 10 nnnnn ddddd"
        (qu: Qu, op: Imm<2>, rn: VReg, rd: VReg) => misc_zero_h;
    AsisdMisc_fp = "01 u 11110 ss 10000 11ooo 10 nnnnn ddddd"
        (u: bool, size: FSize, op: Imm<3>, rn: VReg, rd: VReg) => misc_scalar;
    AsisdMisc_fp_zero = "01 u 11110 1 z 10000 011oo 10 nnnnn ddddd"
        (u: bool, z: bool, op: Imm<2>, rn: VReg, rd: VReg) => misc_zero_scalar;
    AsisdMisc_fcvtxn = "01 1 11110 01 10000 10110 10 nnnnn ddddd" (rn: VReg, rd: VReg) => fcvtxn_scalar;
    AsisdMiscFp16 = "01 u 11110 a 111100 11ooo 10 nnnnn ddddd"
        (u: bool, a: bool, op: Imm<3>, rn: VReg, rd: VReg) => misc_scalar_h;
    AsisdMiscFp16_zero = "01 u 11110 1 111100 011oo 10 nnnnn ddddd"
        (u: bool, op: Imm<2>, rn: VReg, rd: VReg) => misc_zero_scalar_h;

    AsimdShf_fp_d = "0 qq 011110 1iiiiii 111oo 1 nnnnn ddddd"
        (qu: Qu, imm: Imm<6>, op: FixedOp, rn: VReg, rd: VReg) => fixed;
    AsimdShf_fp_s = "0 qq 011110 01iiiii 111oo 1 nnnnn ddddd"
        (qu: Qu, imm: Imm<5>, op: FixedOp, rn: VReg, rd: VReg) => fixed;
    AsimdShf_fp_h = "0 qq 011110 001iiii 111oo 1 nnnnn ddddd"
        (qu: Qu, imm: Imm<4>, op: FixedOp, rn: VReg, rd: VReg) => fixed;
    AsisdShf_fp_d = "01 u 111110 1iiiiii 111oo 1 nnnnn ddddd"
        (u: bool, imm: Imm<6>, op: FixedOp, rn: VReg, rd: VReg) => fixed_scalar;
    AsisdShf_fp_s = "01 u 111110 01iiiii 111oo 1 nnnnn ddddd"
        (u: bool, imm: Imm<5>, op: FixedOp, rn: VReg, rd: VReg) => fixed_scalar;
    AsisdShf_fp_h = "01 u 111110 001iiii 111oo 1 nnnnn ddddd"
        (u: bool, imm: Imm<4>, op: FixedOp, rn: VReg, rd: VReg) => fixed_scalar;

    AsimdElem_fmla = "0 q 0 01111 eeeeeeee 0s01 h 0 nnnnn ddddd"
        (q: bool, e: Element, sub: bool, h: bool, rn: VReg, rd: VReg) => fmla_elem;
    AsimdElem_fmul = "0 q u 01111 eeeeeeee 1001 h 0 nnnnn ddddd"
        (q: bool, x: bool, e: Element, h: bool, rn: VReg, rd: VReg) => fmul_elem;
    AsisdElem_fmla = "01 0 11111 eeeeeeee 0s01 h 0 nnnnn ddddd"
        (e: Element, sub: bool, h: bool, rn: VReg, rd: VReg) => fmla_elem_scalar;
    AsisdElem_fmul = "01 u 11111 eeeeeeee 1001 h 0 nnnnn ddddd"
        (x: bool, e: Element, h: bool, rn: VReg, rd: VReg) => fmul_elem_scalar;
    AsimdSame_fmlal = "0 q 0 01110 s 01 mmmmm 11101 1 nnnnn ddddd"
        (q: bool, sub: bool, rm: VReg, rn: VReg, rd: VReg) => fmlal;
    AsimdSame_fmlal2 = "0 q 1 01110 s 01 mmmmm 11001 1 nnnnn ddddd"
        (q: bool, sub: bool, rm: VReg, rn: VReg, rd: VReg) => fmlal2;
    AsimdElem_fmlal = "0 q 0 01111 10 eeeeee 0s00 h 0 nnnnn ddddd"
        (q: bool, e: HalfElement, sub: bool, h: bool, rn: VReg, rd: VReg) => fmlal_elem;
    AsimdElem_fmlal2 = "0 q 1 01111 10 eeeeee 1s00 h 0 nnnnn ddddd"
        (q: bool, e: HalfElement, sub: bool, h: bool, rn: VReg, rd: VReg) => fmlal2_elem;

    AsimdSame2_fcmla = "0 q 1 01110 ss 0 mmmmm 110 rr 1 nnnnn ddddd"
        (q: bool, size: Imm<2>, rm: VReg, rot: Imm<2>, rn: VReg, rd: VReg) => fcmla;
    AsimdSame2_fcadd = "0 q 1 01110 ss 0 mmmmm 111 r 0 1 nnnnn ddddd"
        (q: bool, size: Imm<2>, rm: VReg, rot: bool, rn: VReg, rd: VReg) => fcadd;
    AsimdElem_fcmla = "0 q 1 01111 eeeeeeee 0 rr 1 h 0 nnnnn ddddd"
        (q: bool, e: Element, rot: Imm<2>, h: bool, rn: VReg, rd: VReg) => fcmla_elem;
}
