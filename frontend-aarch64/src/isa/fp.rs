//! Rows: scalar floating point (Arm ARM C4.1.97, the tables "Floating-point ..." and "Conversion between ...").

use jib_ir::ty::{Cond, Ty};

use crate::field::{Imm, Reg, VReg};
use crate::lift::fp::*;
use crate::lift::fp_convert::*;
use crate::rows;

rows! {
    FloatDp1_sign = "00011110 pp 1 0000oo 10000 nnnnn ddddd"
        (ptype: FType, opcode: Unary, rn: VReg, rd: VReg) => fp_unary;
    FloatDp1_cvt = "00011110 pp 1 0001tt 10000 nnnnn ddddd"
        (ptype: FType, opc: FType, rn: VReg, rd: VReg) => fcvt;
    FloatDp1_rint = "00011110 pp 1 001ooo 10000 nnnnn ddddd"
        (ptype: FType, opcode: Rint, rn: VReg, rd: VReg) => frint;
    FloatDp1_rint_n = "00011110 pp 1 0100wx 10000 nnnnn ddddd"
        (ptype: FType, wide: bool, x: bool, rn: VReg, rd: VReg) => frint_n;
    FloatDp2 = "00011110 pp 1 mmmmm oooo 10 nnnnn ddddd"
        (ptype: FType, rm: VReg, opcode: Imm<4>, rn: VReg, rd: VReg) => fp_binary;
    FloatDp3_madd = "00011111 pp 0 mmmmm s aaaaa nnnnn ddddd"
        (ptype: FType, rm: VReg, o0: bool, ra: VReg, rn: VReg, rd: VReg) => fp_mul_add::<false>;
    FloatDp3_nmadd = "00011111 pp 1 mmmmm s aaaaa nnnnn ddddd"
        (ptype: FType, rm: VReg, o0: bool, ra: VReg, rn: VReg, rd: VReg) => fp_mul_add::<true>;
    FloatCmp = "00011110 pp 1 mmmmm 00 1000 nnnnn ez 000"
        (ptype: FType, rm: VReg, rn: VReg, signal: bool, zero: bool) => fcmp;
    FloatCcmp = "00011110 pp 1 mmmmm cccc 01 nnnnn e ffff"
        (ptype: FType, rm: VReg, cond: Cond, rn: VReg, signal: bool, nzcv: Imm<4>) => fccmp;
    FloatSel = "00011110 pp 1 mmmmm cccc 11 nnnnn ddddd"
        (ptype: FType, rm: VReg, cond: Cond, rn: VReg, rd: VReg) => fcsel;
    FloatImm = "00011110 pp 1 iiiiiiii 100 00000 ddddd"
        (ptype: FType, imm8: Imm<8>, rd: VReg) => fmov_imm;

    Float2Fix_to = "s 0011110 pp 0 11 00u kkkkkk nnnnn ddddd"
        (sf: Ty, ptype: FType, u: bool, scale: Imm<6>, rn: VReg, rd: Reg) => fcvtz_fixed;
    Float2Fix_from = "s 0011110 pp 0 00 01u kkkkkk nnnnn ddddd"
        (sf: Ty, ptype: FType, u: bool, scale: Imm<6>, rn: Reg, rd: VReg) => cvtf_fixed;
    Float2Int_to = "s 0011110 pp 1 rr 00u 000000 nnnnn ddddd"
        (sf: Ty, ptype: FType, rmode: RMode, u: bool, rn: VReg, rd: Reg) => fcvt_int;
    Float2Int_to_away = "s 0011110 pp 1 00 10u 000000 nnnnn ddddd"
        (sf: Ty, ptype: FType, u: bool, rn: VReg, rd: Reg) => fcvta_int;
    Float2Int_from = "s 0011110 pp 1 00 01u 000000 nnnnn ddddd"
        (sf: Ty, ptype: FType, u: bool, rn: Reg, rd: VReg) => cvtf_int;
    Float2Int_to_gen = "s 0011110 pp 1 00 110 000000 nnnnn ddddd"
        (sf: Ty, ptype: FType, rn: VReg, rd: Reg) => fmov_to_gen;
    Float2Int_from_gen = "s 0011110 pp 1 00 111 000000 nnnnn ddddd"
        (sf: Ty, ptype: FType, rn: Reg, rd: VReg) => fmov_from_gen;
    Float2Int_to_top = "10011110 10 1 01 110 000000 nnnnn ddddd" (rn: VReg, rd: Reg) => fmov_to_top;
    Float2Int_from_top = "10011110 10 1 01 111 000000 nnnnn ddddd" (rn: Reg, rd: VReg) => fmov_from_top;
    Float2Int_fjcvtzs = "00011110 01 1 11 110 000000 nnnnn ddddd" (rn: VReg, rd: Reg) => fjcvtzs;
}
