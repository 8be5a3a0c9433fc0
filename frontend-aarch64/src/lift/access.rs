//! Registers by their architectural rules: XZR and SP, vector halves, condition flags.

use jib_ir::region::Val;
use jib_ir::state::{Slot, slot};
use jib_ir::ty::Ty;

use super::Lifter;
use crate::field::{Reg, VReg};

/// Slot of general register `r`, SP for 31.
const fn xslot(r: Reg) -> Slot {
    Slot(slot::X0.0 + r.0 as u16)
}

/// Slot of vector register `r`.
pub(crate) const fn vslot(r: VReg) -> Slot {
    Slot(slot::V0.0 + 2 * r.0 as u16)
}

impl Lifter {
    /// General register `r`; 31 is XZR.
    pub fn x(&mut self, ty: Ty, r: Reg) -> Val {
        if r.0 == 31 { self.imm(ty, 0) } else { self.get(ty, xslot(r)) }
    }
    /// Sets general register `r` (an `I32` zero-extends); 31 is XZR: nothing happens.
    pub fn set_x(&mut self, r: Reg, v: Val) {
        if r.0 != 31 {
            self.set(xslot(r), v);
        }
    }
    /// General register `r`; 31 is SP.
    pub fn xsp(&mut self, ty: Ty, r: Reg) -> Val {
        self.get(ty, xslot(r))
    }
    /// Sets general register `r`; 31 is SP.
    pub fn set_xsp(&mut self, r: Reg, v: Val) {
        self.set(xslot(r), v);
    }
    /// All 128 bits of vector register `r`.
    pub fn v(&mut self, r: VReg) -> Val {
        self.get(Ty::V128, vslot(r))
    }
    /// Sets vector register `r`.
    pub fn set_v(&mut self, r: VReg, v: Val) {
        self.set(vslot(r), v);
    }
    /// Sets vector register `r` to `v` (`q`) or its low half with zeroes above.
    pub fn set_vq(&mut self, r: VReg, q: bool, v: Val) {
        let v = self.vzero_hi(if q { 16 } else { 8 }, v);
        self.set_v(r, v);
    }
    /// The address of the next instruction.
    pub fn next_pc(&self) -> u64 {
        self.pc.wrapping_add(4)
    }
}
