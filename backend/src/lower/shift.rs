//! Shifts of vector lanes by a constant.

use cranelift_codegen::ir::{InstBuilder, Value};
use jib_ir::op::VShiftOp;
use jib_ir::region::Val;
use jib_ir::ty::Lane;

use super::vector::lanes_of;
use super::{Lowerer, Repr};

impl Lowerer<'_, '_> {
    pub(super) fn vshift(&mut self, op: VShiftOp, lane: Lane, imm: u8, a: Val) -> Repr {
        let x = self.vec_as(lanes_of(lane), a);
        let r = match op {
            VShiftOp::Shl => self.b.ins().ishl_imm_u(x, i64::from(imm)),
            VShiftOp::SShr | VShiftOp::UShr => self.shift_right(op == VShiftOp::SShr, lane, imm, x),
            VShiftOp::SRShr | VShiftOp::URShr => {
                // The bit shifted out last is added.
                let signed = op == VShiftOp::SRShr;
                let down = self.shift_right(signed, lane, imm, x);
                let last = self.shift_right(signed, lane, imm - 1, x);
                let one = (0..lane.count()).fold(0u128, |all, i| all | 1 << (i * lane.bits()));
                let one = self.vconst(one);
                let one = self.cast(lanes_of(lane), one);
                let last = self.b.ins().band(last, one);
                self.b.ins().iadd(down, last)
            }
        };
        self.whole_of(r)
    }

    /// Right by 0 to the width; the host's shifts take the count modulo the width.
    fn shift_right(&mut self, signed: bool, lane: Lane, count: u8, x: Value) -> Value {
        let width = lane.bits() as u8;
        match (signed, count) {
            (_, 0) => x,
            (true, c) => self.b.ins().sshr_imm_u(x, i64::from(c.min(width - 1))),
            (false, c) if c >= width => {
                let z = self.vconst(0);
                self.cast(lanes_of(lane), z)
            }
            (false, c) => self.b.ins().ushr_imm_u(x, i64::from(c)),
        }
    }
}
