//! Rows: branches (Arm ARM C4.1.94).

use jib_ir::ty::{Cond, Ty};

use crate::field::{Imm, Reg};
use crate::lift::branch::*;
use crate::rows;

rows! {
    B      = "000101 iiiiiiiiiiiiiiiiiiiiiiiiii" (imm26: Imm<26>) => b;
    BL     = "100101 iiiiiiiiiiiiiiiiiiiiiiiiii" (imm26: Imm<26>) => bl;
    B_cond = "01010100 iiiiiiiiiiiiiiiiiii 0 cccc" (imm19: Imm<19>, cond: Cond) => b_cond;
    CB     = "s 011010 n iiiiiiiiiiiiiiiiiii ttttt" (sf: Ty, nonzero: bool, imm19: Imm<19>, rt: Reg) => cb;
    TB     = "b 011011 n ccccc iiiiiiiiiiiiii ttttt"
             (b5: bool, nonzero: bool, b40: Imm<5>, imm14: Imm<14>, rt: Reg) => tb;
    BR     = "1101011 0000 11111 000000 nnnnn 00000" (rn: Reg) => br;
    BLR    = "1101011 0001 11111 000000 nnnnn 00000" (rn: Reg) => blr;
    RET    = "1101011 0010 11111 000000 nnnnn 00000" (rn: Reg) => ret;
}
