//! Rows: Advanced SIMD load/store structures (Arm ARM C4.1.94).

use jib_ir::ty::Lane;

use crate::field::{Imm, Reg, VReg};
use crate::lift::simd_load_store::*;
use crate::rows;

rows! {
    Asisdlse = "0 q 0011000 l 000000 oooo zz nnnnn ttttt"
        (q: bool, load: bool, opcode: Imm<4>, size: Lane, rn: Reg, rt: VReg) => multiple;
    Asisdlsep = "0 q 0011001 l 0 mmmmm oooo zz nnnnn ttttt"
        (q: bool, load: bool, rm: Reg, opcode: Imm<4>, size: Lane, rn: Reg, rt: VReg) => multiple_post;
    Asisdlso = "0 q 0011010 l r 00000 ooo s zz nnnnn ttttt"
        (q: bool, load: bool, r: bool, opcode: Imm<3>, s: bool, size: Imm<2>, rn: Reg, rt: VReg) => single;
    Asisdlsop = "0 q 0011011 l r mmmmm ooo s zz nnnnn ttttt"
        (q: bool, load: bool, r: bool, rm: Reg, opcode: Imm<3>, s: bool, size: Imm<2>, rn: Reg, rt: VReg)
        => single_post;
}
