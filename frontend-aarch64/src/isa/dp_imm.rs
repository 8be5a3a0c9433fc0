//! Rows: data processing, immediate (Arm ARM C4.1.93).

use jib_ir::ty::Ty;

use crate::field::{Imm, Reg};
use crate::lift::alu::*;
use crate::lift::alu_bits::*;
use crate::rows;

rows! {
    PcRelAddr   = "p ll 10000 hhhhhhhhhhhhhhhhhhh ddddd" (page: bool, lo: Imm<2>, hi: Imm<19>, rd: Reg) => adr;
    AddSub_imm  = "zoS 100010 h iiiiiiiiiiii nnnnn ddddd"
        (sf: Ty, op: AddSub, s: bool, sh: bool, imm12: Imm<12>, rn: Reg, rd: Reg) => addsub_imm;
    MinMax_imm  = "z00 1000111 00oo iiiiiiii nnnnn ddddd"
        (sf: Ty, op: MinMax, imm8: Imm<8>, rn: Reg, rd: Reg) => minmax_imm;
    Log_imm     = "zoo 100100 b rrrrrr ssssss nnnnn ddddd"
        (sf: Ty, op: Logic, n: bool, immr: Imm<6>, imms: Imm<6>, rn: Reg, rd: Reg) => log_imm;
    MoveWide    = "zoo 100101 hh iiiiiiiiiiiiiiii ddddd"
        (sf: Ty, op: MoveWide, hw: Imm<2>, imm16: Imm<16>, rd: Reg) => move_wide;
    Bitfield    = "zoo 100110 b rrrrrr ssssss nnnnn ddddd"
        (sf: Ty, op: Bitfield, n: bool, immr: Imm<6>, imms: Imm<6>, rn: Reg, rd: Reg) => bitfield;
    Extract     = "z00 100111 b 0 mmmmm iiiiii nnnnn ddddd"
        (sf: Ty, n: bool, rm: Reg, lsb: Imm<6>, rn: Reg, rd: Reg) => extr;
}
