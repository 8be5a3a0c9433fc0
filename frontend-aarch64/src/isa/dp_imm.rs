//! Rows: data processing, immediate (Arm ARM C4.1.93).

use jib_ir::ty::Ty;

use crate::field::{Imm, Reg};
use crate::lift::alu::*;
use crate::rows;

rows! {
    AddSub_imm = "zoS 100010 h iiiiiiiiiiii nnnnn ddddd"
        (sf: Ty, op: AddSub, s: bool, sh: bool, imm12: Imm<12>, rn: Reg, rd: Reg) => addsub_imm;
}
