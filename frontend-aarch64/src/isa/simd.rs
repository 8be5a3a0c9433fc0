//! Rows: Advanced SIMD on integers, and cryptography (Arm ARM C4.1.96).
//!
//! `qu` is `Q:U`. FP instructions share several of these classes and have narrower rows of their own.

use jib_ir::ty::{Lane, Ty};

use crate::field::{Imm, Reg, VReg};
use crate::lift::crypto::*;
use crate::lift::simd::Qu;
use crate::lift::simd_element::*;
use crate::lift::simd_imm::*;
use crate::lift::simd_long::*;
use crate::lift::simd_misc::*;
use crate::lift::simd_permute::*;
use crate::lift::simd_shift::*;
use crate::lift::simd_three::*;
use crate::rows;

rows! {
    // Advanced SIMD copy.
    AsimdIns_dup = "0 q 0 01110000 iiiii 0 0000 1 nnnnn ddddd"
        (q: bool, imm5: Imm<5>, rn: VReg, rd: VReg) => dup_element;
    AsimdIns_dup_general = "0 q 0 01110000 iiiii 0 0001 1 nnnnn ddddd"
        (q: bool, imm5: Imm<5>, rn: Reg, rd: VReg) => dup_general;
    AsimdIns_smov = "0 q 0 01110000 iiiii 0 0101 1 nnnnn ddddd" (q: Ty, imm5: Imm<5>, rn: VReg, rd: Reg) => smov;
    AsimdIns_umov = "0 q 0 01110000 iiiii 0 0111 1 nnnnn ddddd" (q: Ty, imm5: Imm<5>, rn: VReg, rd: Reg) => umov;
    AsimdIns_general = "0 1 0 01110000 iiiii 0 0011 1 nnnnn ddddd" (imm5: Imm<5>, rn: Reg, rd: VReg) => ins_general;
    AsimdIns_element = "0 1 1 01110000 iiiii 0 jjjj 1 nnnnn ddddd"
        (imm5: Imm<5>, imm4: Imm<4>, rn: VReg, rd: VReg) => ins_element;
    AsisdOne = "01 0 11110000 iiiii 0 0000 1 nnnnn ddddd" (imm5: Imm<5>, rn: VReg, rd: VReg) => dup_scalar;

    // Advanced SIMD permute, extract, table lookup.
    AsimdPerm = "0 q 0 01110 zz 0 mmmmm 0 ooo 10 nnnnn ddddd"
        (q: bool, size: Lane, rm: VReg, opcode: Imm<3>, rn: VReg, rd: VReg) => permute;
    AsimdExt = "0 q 1 01110 00 0 mmmmm 0 iiii 0 nnnnn ddddd"
        (q: bool, rm: VReg, imm4: Imm<4>, rn: VReg, rd: VReg) => ext;
    AsimdTbl = "0 q 0 01110 00 0 mmmmm 0 cc x 00 nnnnn ddddd"
        (q: bool, rm: VReg, len: Imm<2>, tbx: bool, rn: VReg, rd: VReg) => table;

    // Three registers of one shape.
    AsimdSame = "0 vv 01110 zz 1 mmmmm ooooo 1 nnnnn ddddd"
        (qu: Qu, size: Lane, rm: VReg, opcode: Imm<5>, rn: VReg, rd: VReg) => three_same;
    AsimdSame_logical = "0 vv 01110 zz 1 mmmmm 00011 1 nnnnn ddddd"
        (qu: Qu, size: Imm<2>, rm: VReg, rn: VReg, rd: VReg) => logical;
    AsisdSame = "01 u 11110 zz 1 mmmmm ooooo 1 nnnnn ddddd"
        (u: bool, size: Lane, rm: VReg, opcode: Imm<5>, rn: VReg, rd: VReg) => three_same_scalar;
    AsimdSame2 = "0 vv 01110 zz 0 mmmmm 1 oooo 1 nnnnn ddddd"
        (qu: Qu, size: Lane, rm: VReg, opcode: Imm<4>, rn: VReg, rd: VReg) => three_same_extra;
    AsisdSame2 = "01 1 11110 zz 0 mmmmm 1000 s 1 nnnnn ddddd"
        (size: Lane, rm: VReg, sub: bool, rn: VReg, rd: VReg) => three_same_extra_scalar;

    // Three registers of different shapes.
    AsimdDiff = "0 vv 01110 zz 1 mmmmm oooo 00 nnnnn ddddd"
        (qu: Qu, size: Lane, rm: VReg, opcode: Imm<4>, rn: VReg, rd: VReg) => three_different;
    AsisdDiff = "01 0 11110 zz 1 mmmmm oooo 00 nnnnn ddddd"
        (size: Lane, rm: VReg, opcode: Imm<4>, rn: VReg, rd: VReg) => three_different_scalar;

    // Vector by indexed element: `lm` is `L:M:Rm`.
    AsimdElem = "0 vv 01111 zz eeeeee oooo h 0 nnnnn ddddd"
        (qu: Qu, size: Lane, lm: Imm<6>, opcode: Imm<4>, h: bool, rn: VReg, rd: VReg) => by_element;
    AsisdElem = "01 u 11111 zz eeeeee oooo h 0 nnnnn ddddd"
        (u: bool, size: Lane, lm: Imm<6>, opcode: Imm<4>, h: bool, rn: VReg, rd: VReg) => by_element_scalar;

    // Two registers.
    AsimdMisc = "0 vv 01110 zz 10000 ooooo 10 nnnnn ddddd"
        (qu: Qu, size: Lane, opcode: Imm<5>, rn: VReg, rd: VReg) => two_misc;
    AsisdMisc = "01 u 11110 zz 10000 ooooo 10 nnnnn ddddd"
        (u: bool, size: Lane, opcode: Imm<5>, rn: VReg, rd: VReg) => two_misc_scalar;
    AsimdAll = "0 vv 01110 zz 11000 ooooo 10 nnnnn ddddd"
        (qu: Qu, size: Lane, opcode: Imm<5>, rn: VReg, rd: VReg) => across_lanes;
    AsisdPair_addp = "01 0 11110 11 11000 11011 10 nnnnn ddddd" (rn: VReg, rd: VReg) => addp_scalar;

    // Immediates.
    AsimdShf = "0 vv 011110 iiiiiii ooooo 1 nnnnn ddddd"
        (qu: Qu, immhb: Imm<7>, opcode: Imm<5>, rn: VReg, rd: VReg) => shift_imm;
    AsisdShf = "01 u 111110 iiiiiii ooooo 1 nnnnn ddddd"
        (u: bool, immhb: Imm<7>, opcode: Imm<5>, rn: VReg, rd: VReg) => shift_imm_scalar;
    AsimdImm = "0 q p 0111100000 aaa cccc 0 1 eeeee ddddd"
        (q: bool, op: bool, abc: Imm<3>, cmode: Imm<4>, defgh: Imm<5>, rd: VReg) => modified_imm;
    AsimdImm_fmov_half = "0 q 0 0111100000 aaa 1111 1 1 eeeee ddddd"
        (q: bool, abc: Imm<3>, defgh: Imm<5>, rd: VReg) => fmov_imm_half;

    // Cryptography.
    CryptoAes = "01001110 00 10100 001 oo 10 nnnnn ddddd" (op: Imm<2>, rn: VReg, rd: VReg) => aes;
    CryptoSha3 = "01011110 00 0 mmmmm 0 ooo 00 nnnnn ddddd"
        (rm: VReg, opcode: Imm<3>, rn: VReg, rd: VReg) => sha_three;
    CryptoSha2 = "01011110 00 10100 ooooo 10 nnnnn ddddd" (opcode: Imm<5>, rn: VReg, rd: VReg) => sha_two;
    CryptoSha512_3 = "11001110 011 mmmmm 1 0 00 oo nnnnn ddddd"
        (rm: VReg, opcode: Imm<2>, rn: VReg, rd: VReg) => sha512_three;
    CryptoSha512_2 = "11001110 110 00000 1000 00 nnnnn ddddd" (rn: VReg, rd: VReg) => sha512su0;
    Crypto4_eor3 = "11001110 000 mmmmm 0 aaaaa nnnnn ddddd" (rm: VReg, ra: VReg, rn: VReg, rd: VReg) => eor3;
    Crypto4_bcax = "11001110 001 mmmmm 0 aaaaa nnnnn ddddd" (rm: VReg, ra: VReg, rn: VReg, rd: VReg) => bcax;
    Crypto3Imm6 = "11001110 100 mmmmm iiiiii nnnnn ddddd" (rm: VReg, imm6: Imm<6>, rn: VReg, rd: VReg) => xar;
}
