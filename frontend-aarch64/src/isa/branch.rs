//! Rows: branches and exception generation (Arm ARM C4.1.94).

use jib_ir::ty::{Cond, Ty};

use crate::field::{Imm, Reg};
use crate::lift::branch::*;
use crate::lift::pauth;
use crate::lift::privileged::eret;
use crate::lift::system::*;
use crate::rows;

rows! {
    Branch_imm_B   = "000101 iiiiiiiiiiiiiiiiiiiiiiiiii" (imm26: Imm<26>) => b;
    Branch_imm_BL  = "100101 iiiiiiiiiiiiiiiiiiiiiiiiii" (imm26: Imm<26>) => bl;
    CondBranch     = "01010100 iiiiiiiiiiiiiiiiiii h cccc" (imm19: Imm<19>, hint: bool, cond: Cond) => b_cond;
    CompBranch     = "s 011010 n iiiiiiiiiiiiiiiiiii ttttt" (sf: Ty, nonzero: bool, imm19: Imm<19>, rt: Reg) => cb;
    TestBranch     = "b 011011 n ccccc iiiiiiiiiiiiii ttttt"
             (b5: bool, nonzero: bool, b40: Imm<5>, imm14: Imm<14>, rt: Reg) => tb;
    Branch_reg_BR  = "1101011 0000 11111 000000 nnnnn 00000" (rn: Reg) => br;
    Branch_reg_BLR = "1101011 0001 11111 000000 nnnnn 00000" (rn: Reg) => blr;
    Branch_reg_RET = "1101011 0010 11111 000000 nnnnn 00000" (rn: Reg) => ret;
    Branch_reg_ERET = "1101011 0100 11111 000000 11111 00000" () => eret;
    Branch_reg_BRA = "1101011 z 00 c 11111 00001 b nnnnn mmmmm"
             (with: bool, calls: bool, b: bool, rn: Reg, rm: Reg) => pauth::branch;
    Branch_reg_RETA = "1101011 0010 11111 00001 b 11111 11111" (b: bool) => pauth::ret;
    Branch_reg_ERETA = "1101011 0100 11111 00001 b 11111 11111" (b: bool) => pauth::eret;
    Exception_call = "11010100 000 iiiiiiiiiiiiiiii 000 ll" (imm16: Imm<16>, level: Call) => call;
    Exception_BRK  = "11010100 001 iiiiiiiiiiiiiiii 000 00" (imm16: Imm<16>) => brk;
    Exception_HLT  = "11010100 010 iiiiiiiiiiiiiiii 000 00" (imm16: Imm<16>) => hlt;
    Perm_undef     = "0000000000000000 ----------------" () => udf;
}
