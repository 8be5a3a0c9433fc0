//! Rows: loads and stores but for the AdvSIMD structures (Arm ARM C4.1.96).

use jib_ir::ty::Ty;

use crate::field::{Imm, Reg, VReg};
use crate::lift::atomic::*;
use crate::lift::atomic_exclusive::*;
use crate::lift::load_store::*;
use crate::lift::load_store_pair::*;
use crate::lift::mops::*;
use crate::lift::operand::Extend;
use crate::lift::pauth;
use crate::rows;

rows! {
    // One register.
    LoadLit           = "oo 011 000 iiiiiiiiiiiiiiiiiii ttttt" (op: Literal, imm19: Imm<19>, rt: Reg) => literal;
    LoadLit_simd      = "oo 011 100 iiiiiiiiiiiiiiiiiii ttttt" (opc: Imm<2>, imm19: Imm<19>, rt: VReg) => literal_simd;
    LdSt_pos          = "ss 111 001 oo iiiiiiiiiiii nnnnn ttttt"
        (size: Imm<2>, opc: Imm<2>, imm12: Imm<12>, rn: Reg, rt: Reg) => unsigned;
    LdSt_pos_simd     = "ss 111 101 oo iiiiiiiiiiii nnnnn ttttt"
        (size: Imm<2>, opc: Imm<2>, imm12: Imm<12>, rn: Reg, rt: VReg) => unsigned_simd;
    LdSt_unscaled     = "ss 111 000 oo 0 iiiiiiiii 00 nnnnn ttttt"
        (size: Imm<2>, opc: Imm<2>, imm9: Imm<9>, rn: Reg, rt: Reg) => unscaled;
    LdSt_unscaled_simd = "ss 111 100 oo 0 iiiiiiiii 00 nnnnn ttttt"
        (size: Imm<2>, opc: Imm<2>, imm9: Imm<9>, rn: Reg, rt: VReg) => unscaled_simd;
    LdSt_immpost      = "ss 111 000 oo 0 iiiiiiiii 01 nnnnn ttttt"
        (size: Imm<2>, opc: Imm<2>, imm9: Imm<9>, rn: Reg, rt: Reg) => post_index;
    LdSt_immpost_simd = "ss 111 100 oo 0 iiiiiiiii 01 nnnnn ttttt"
        (size: Imm<2>, opc: Imm<2>, imm9: Imm<9>, rn: Reg, rt: VReg) => post_index_simd;
    LdSt_unpriv       = "ss 111 000 oo 0 iiiiiiiii 10 nnnnn ttttt"
        (size: Imm<2>, opc: Imm<2>, imm9: Imm<9>, rn: Reg, rt: Reg) => unprivileged;
    LdSt_immpre       = "ss 111 000 oo 0 iiiiiiiii 11 nnnnn ttttt"
        (size: Imm<2>, opc: Imm<2>, imm9: Imm<9>, rn: Reg, rt: Reg) => pre_index;
    LdSt_immpre_simd  = "ss 111 100 oo 0 iiiiiiiii 11 nnnnn ttttt"
        (size: Imm<2>, opc: Imm<2>, imm9: Imm<9>, rn: Reg, rt: VReg) => pre_index_simd;
    LdSt_regoff       = "ss 111 000 oo 1 mmmmm eee S 10 nnnnn ttttt"
        (size: Imm<2>, opc: Imm<2>, rm: Reg, ext: Extend, s: bool, rn: Reg, rt: Reg) => register;
    LdSt_regoff_simd  = "ss 111 100 oo 1 mmmmm eee S 10 nnnnn ttttt"
        (size: Imm<2>, opc: Imm<2>, rm: Reg, ext: Extend, s: bool, rn: Reg, rt: VReg) => register_simd;
    LdSt_pac          = "11 111 000 b s 1 iiiiiiiii w 1 nnnnn ttttt"
        (b: bool, s: bool, imm9: Imm<9>, writeback: bool, rn: Reg, rt: Reg) => pauth::load;

    // Two registers.
    LdStNaPair_offs      = "oo 101 0 000 l iiiiiii uuuuu nnnnn ttttt"
        (op: Pair, load: bool, imm7: Imm<7>, rt2: Reg, rn: Reg, rt: Reg) => pair_nontemporal;
    LdStPair_post        = "oo 101 0 001 l iiiiiii uuuuu nnnnn ttttt"
        (op: Pair, load: bool, imm7: Imm<7>, rt2: Reg, rn: Reg, rt: Reg) => pair_post;
    LdStPair_off         = "oo 101 0 010 l iiiiiii uuuuu nnnnn ttttt"
        (op: Pair, load: bool, imm7: Imm<7>, rt2: Reg, rn: Reg, rt: Reg) => pair_offset;
    LdStPair_pre         = "oo 101 0 011 l iiiiiii uuuuu nnnnn ttttt"
        (op: Pair, load: bool, imm7: Imm<7>, rt2: Reg, rn: Reg, rt: Reg) => pair_pre;
    LdStNaPair_offs_simd = "oo 101 1 000 l iiiiiii uuuuu nnnnn ttttt"
        (opc: Imm<2>, load: bool, imm7: Imm<7>, rt2: VReg, rn: Reg, rt: VReg) => pair_offset_simd;
    LdStPair_post_simd   = "oo 101 1 001 l iiiiiii uuuuu nnnnn ttttt"
        (opc: Imm<2>, load: bool, imm7: Imm<7>, rt2: VReg, rn: Reg, rt: VReg) => pair_post_simd;
    LdStPair_off_simd    = "oo 101 1 010 l iiiiiii uuuuu nnnnn ttttt"
        (opc: Imm<2>, load: bool, imm7: Imm<7>, rt2: VReg, rn: Reg, rt: VReg) => pair_offset_simd;
    LdStPair_pre_simd    = "oo 101 1 011 l iiiiiii uuuuu nnnnn ttttt"
        (opc: Imm<2>, load: bool, imm7: Imm<7>, rt2: VReg, rn: Reg, rt: VReg) => pair_pre_simd;

    // Ordered, exclusive, atomic. Should-be-one fields are not looked at, as on most processors.
    LdStOrd           = "ss 001000 1 l 0 ----- o ----- nnnnn ttttt"
        (size: Imm<2>, load: bool, full: bool, rn: Reg, rt: Reg) => ordered;
    LdApStl_unscaled  = "ss 011001 oo 0 iiiiiiiii 00 nnnnn ttttt"
        (size: Imm<2>, opc: Imm<2>, imm9: Imm<9>, rn: Reg, rt: Reg) => ordered_unscaled;
    LdStExclR_load    = "ss 001000 0 1 0 ----- o ----- nnnnn ttttt"
        (size: Imm<2>, acquire: bool, rn: Reg, rt: Reg) => load_exclusive;
    LdStExclR_store   = "ss 001000 0 0 0 sssss o ----- nnnnn ttttt"
        (size: Imm<2>, rs: Reg, release: bool, rn: Reg, rt: Reg) => store_exclusive;
    LdStExclP_load    = "1z 001000 0 1 1 ----- o uuuuu nnnnn ttttt"
        (sz: Ty, acquire: bool, rt2: Reg, rn: Reg, rt: Reg) => load_exclusive_pair;
    LdStExclP_store   = "1z 001000 0 0 1 sssss o uuuuu nnnnn ttttt"
        (sz: Ty, rs: Reg, release: bool, rt2: Reg, rn: Reg, rt: Reg) => store_exclusive_pair;
    ComSwap           = "ss 001000 1 a 1 sssss r 11111 nnnnn ttttt"
        (size: Imm<2>, acquire: bool, rs: Reg, release: bool, rn: Reg, rt: Reg) => cas;
    ComSwapPr         = "0z 001000 0 a 1 sssss r 11111 nnnnn ttttt"
        (sz: Ty, acquire: bool, rs: Reg, release: bool, rn: Reg, rt: Reg) => casp;
    MemOp             = "ss 111000 a r 1 sssss 0 ooo 00 nnnnn ttttt"
        (size: Imm<2>, acquire: bool, release: bool, rs: Reg, op: MemOp, rn: Reg, rt: Reg) => memop;
    MemOp_SWP         = "ss 111000 a r 1 sssss 1 000 00 nnnnn ttttt"
        (size: Imm<2>, acquire: bool, release: bool, rs: Reg, rn: Reg, rt: Reg) => swp;
    MemOp_LDAPR       = "ss 111000 1 0 1 11111 1 100 00 nnnnn ttttt" (size: Imm<2>, rn: Reg, rt: Reg) => ldapr;

    // Memory copy and set.
    MemCMS_CPYF       = "00 011 0 01 gg 0 sssss oooo 01 nnnnn ddddd"
        (stage: Stage, rs: Reg, options: Imm<4>, rn: Reg, rd: Reg) => cpyf;
    MemCMS_CPY        = "00 011 1 01 gg 0 sssss oooo 01 nnnnn ddddd"
        (stage: Stage, rs: Reg, options: Imm<4>, rn: Reg, rd: Reg) => cpy;
    MemCMS_SET        = "00 011 0 01 11 0 sssss gg oo 01 nnnnn ddddd"
        (rs: Reg, stage: Stage, options: Imm<2>, rn: Reg, rd: Reg) => set;
}
