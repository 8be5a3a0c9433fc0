//! Rows: data processing, register (Arm ARM C4.1.95).

use jib_ir::ty::{Cond, Ty};

use crate::field::{Imm, Reg};
use crate::lift::alu::*;
use crate::lift::alu_bits::*;
use crate::lift::alu_flags::*;
use crate::lift::alu_mul::*;
use crate::lift::operand::{Extend, Shift};
use crate::lift::pauth;
use crate::rows;

rows! {
    Log_shift    = "zoo 01010 hh b mmmmm iiiiii nnnnn ddddd"
        (sf: Ty, op: Logic, sh: Shift, invert: bool, rm: Reg, imm6: Imm<6>, rn: Reg, rd: Reg) => log_shift;
    AddSub_shift = "zoS 01011 hh 0 mmmmm iiiiii nnnnn ddddd"
        (sf: Ty, op: AddSub, s: bool, sh: Shift, rm: Reg, imm6: Imm<6>, rn: Reg, rd: Reg) => addsub_shift;
    AddSub_ext   = "zoS 01011 001 mmmmm eee iii nnnnn ddddd"
        (sf: Ty, op: AddSub, s: bool, rm: Reg, ext: Extend, imm3: Imm<3>, rn: Reg, rd: Reg) => addsub_ext;
    AddSub_carry = "zoS 11010000 mmmmm 000000 nnnnn ddddd"
        (sf: Ty, op: AddSub, s: bool, rm: Reg, rn: Reg, rd: Reg) => addsub_carry;
    RMIF         = "10111010000 iiiiii 00001 nnnnn 0 mmmm" (shift: Imm<6>, rn: Reg, mask: Imm<4>) => rmif;
    SETF         = "00111010000 00000 0 h 0010 nnnnn 01101" (half: bool, rn: Reg) => setf;
    CondCmp_reg  = "zo1 11010010 mmmmm cccc 00 nnnnn 0 ffff"
        (sf: Ty, op: Compare, rm: Reg, cond: Cond, rn: Reg, nzcv: Imm<4>) => condcmp_reg;
    CondCmp_imm  = "zo1 11010010 iiiii cccc 10 nnnnn 0 ffff"
        (sf: Ty, op: Compare, imm5: Imm<5>, cond: Cond, rn: Reg, nzcv: Imm<4>) => condcmp_imm;
    CondSel      = "zo0 11010100 mmmmm cccc 0i nnnnn ddddd"
        (sf: Ty, invert: bool, rm: Reg, cond: Cond, inc: bool, rn: Reg, rd: Reg) => condsel;
    DP_1src      = "z10 11010110 00000 00oooo nnnnn ddddd" (sf: Ty, op: OneSource, rn: Reg, rd: Reg) => dp_1src;
    DP_1src_pauth = "11011010110 00001 oooooo nnnnn ddddd" (opcode: Imm<6>, rn: Reg, rd: Reg) => pauth::dp_1src;
    DP_2src_pacga = "10011010110 mmmmm 001100 nnnnn ddddd" (rm: Reg, rn: Reg, rd: Reg) => pauth::pacga;
    DP_2src_div  = "z00 11010110 mmmmm 00001o nnnnn ddddd" (sf: Ty, rm: Reg, s: bool, rn: Reg, rd: Reg) => div;
    DP_2src_shift = "z00 11010110 mmmmm 0010oo nnnnn ddddd"
        (sf: Ty, rm: Reg, op: Shift, rn: Reg, rd: Reg) => shift_var;
    DP_2src_crc  = "z00 11010110 mmmmm 010 c ss nnnnn ddddd"
        (sf: Ty, rm: Reg, castagnoli: bool, sz: Imm<2>, rn: Reg, rd: Reg) => crc32;
    DP_2src_minmax = "z00 11010110 mmmmm 0110oo nnnnn ddddd"
        (sf: Ty, rm: Reg, op: MinMax, rn: Reg, rd: Reg) => minmax_reg;
    DP_3src      = "z00 11011 000 mmmmm o aaaaa nnnnn ddddd"
        (sf: Ty, rm: Reg, sub: bool, ra: Reg, rn: Reg, rd: Reg) => madd;
    DP_3src_long = "100 11011 u01 mmmmm o aaaaa nnnnn ddddd"
        (unsigned: bool, rm: Reg, sub: bool, ra: Reg, rn: Reg, rd: Reg) => maddl;
    DP_3src_high = "100 11011 u10 mmmmm 0 ----- nnnnn ddddd"
        (unsigned: bool, rm: Reg, rn: Reg, rd: Reg) => mulh;
}
