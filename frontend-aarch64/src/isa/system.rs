//! Rows: hints, barriers, PSTATE, system instructions and registers (Arm ARM C4.1.94).

use crate::field::{Imm, Reg};
use crate::lift::system::*;
use crate::lift::system_reg::*;
use crate::rows;

rows! {
    Hints           = "11010101000000110010 hhhhhhh 11111" (number: Imm<7>) => hint;
    Barriers        = "11010101000000110011 mmmm ooo 11111" (crm: Imm<4>, op: Barrier) => barrier;
    PState          = "1101010100000 ooo 0100 mmmm ppp 11111" (op1: Imm<3>, crm: Imm<4>, op2: Imm<3>) => msr_imm;
    SystemInstrs    = "1101010100 001 oooooooooooooo ttttt" (op: SysOp, rt: Reg) => sys;
    SystemMove_MSR  = "1101010100 01 rrrrrrrrrrrrrrr ttttt" (reg: SysReg, rt: Reg) => msr;
    SystemMove_MRS  = "1101010100 11 rrrrrrrrrrrrrrr ttttt" (reg: SysReg, rt: Reg) => mrs;
}
