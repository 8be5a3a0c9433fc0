//! Saturating vector ops: those that the host has are compared with their wrapping or unclamped form, and only if
//! they differ FPSR.QC is set; the rest go out of line.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use jib_ir::op::{Op, VSatNarrowOp, VSatOp};
use jib_ir::region::Val;
use jib_ir::state::slot;
use jib_ir::ty::Lane;

use super::vector::lanes_of;
use super::{Lowerer, Repr};
use crate::reloc::Target;
use crate::thunk::Saturating;

/// FPSR.QC.
const QC: i64 = 1 << 27;

impl Lowerer<'_, '_> {
    pub(super) fn saturate(&mut self, row: Op) -> Repr {
        match row {
            Op::VSat {
                op: op @ (VSatOp::SQAdd | VSatOp::UQAdd | VSatOp::SQSub | VSatOp::UQSub),
                lane: lane @ (Lane::B | Lane::H),
                a,
                b,
            } => self.add_sub(op, lane, a, b),
            Op::VSatNarrow { op, lane: lane @ (Lane::B | Lane::H), a } => self.narrow_sat(op, lane, a),
            _ => match crate::thunk::saturating(self.env.host, &row) {
                Some(thunk) => self.call_saturating(row, thunk),
                None => self.evaluate(row),
            },
        }
    }

    fn call_saturating(&mut self, row: Op, thunk: Saturating) -> Repr {
        let fpsr = self.b.ins().iadd_imm_s(self.st, i64::from(slot::FPSR.offset()));
        let (sig, address, args) = match (thunk, row) {
            (Saturating::Two(f), Op::VSat { a, b, .. }) => (1, f, [Some(self.vec(a)), Some(self.vec(b))]),
            (Saturating::Count(f), Op::VSatShift { imm, a, .. }) => {
                (2, f, [Some(self.vec(a)), Some(self.const64(u64::from(imm)))])
            }
            (Saturating::One(f), Op::VSatNarrow { a, .. }) => (0, f, [Some(self.vec(a)), None]),
            _ => return self.evaluate(row),
        };
        let target = self.address(Target::program(address));
        let args: Vec<Value> = std::iter::once(fpsr).chain(args.into_iter().flatten()).collect();
        let call = self.b.ins().call_indirect(self.sigs.saturate[sig], target, &args);
        Repr::Vec(self.b.inst_results(call)[0])
    }

    fn add_sub(&mut self, op: VSatOp, lane: Lane, a: Val, b: Val) -> Repr {
        let (x, y) = (self.vec_as(lanes_of(lane), a), self.vec_as(lanes_of(lane), b));
        let (saturated, wrapped) = match op {
            VSatOp::SQAdd => (self.b.ins().sadd_sat(x, y), self.b.ins().iadd(x, y)),
            VSatOp::UQAdd => (self.b.ins().uadd_sat(x, y), self.b.ins().iadd(x, y)),
            VSatOp::SQSub => (self.b.ins().ssub_sat(x, y), self.b.ins().isub(x, y)),
            _ => (self.b.ins().usub_sat(x, y), self.b.ins().isub(x, y)),
        };
        self.note_difference(saturated, wrapped);
        self.whole_of(saturated)
    }

    fn narrow_sat(&mut self, op: VSatNarrowOp, lane: Lane, a: Val) -> Repr {
        let wide = lanes_of(lane.wider().unwrap_or(Lane::D));
        let x = self.vec_as(wide, a);
        let zero = self.vconst(0);
        let zero = self.cast(wide, zero);
        let (narrow, signed) = match op {
            VSatNarrowOp::SQXtn => (self.b.ins().snarrow(x, zero), true),
            VSatNarrowOp::SQXtun => (self.b.ins().unarrow(x, zero), false),
            VSatNarrowOp::UQXtn => {
                // The host narrows signed values, so the big ones must go first.
                let most =
                    (0..lane.count() / 2).fold(0u128, |all, i| all | u128::from(lane.mask()) << (i * 2 * lane.bits()));
                let most = self.vconst(most);
                let most = self.cast(wide, most);
                let clamped = self.b.ins().umin(x, most);
                (self.b.ins().unarrow(clamped, zero), false)
            }
        };
        let back = self.widen_low(signed, lane, narrow);
        self.note_difference(back, x);
        self.whole_of(narrow)
    }

    /// Sets FPSR.QC if any bit differs.
    fn note_difference(&mut self, a: Value, b: Value) {
        let differ = self.b.ins().icmp(IntCC::NotEqual, a, b);
        let any = self.b.ins().vany_true(differ);
        let (cold, on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(cold);
        self.b.ins().brif(any, cold, &[], on, &[]);
        self.b.switch_to_block(cold);
        let fpsr = self.load_state(types::I64, slot::FPSR.offset());
        let fpsr = self.b.ins().bor_imm_u(fpsr, QC);
        self.store_state(fpsr, slot::FPSR.offset());
        self.b.ins().jump(on, &[]);
        self.b.switch_to_block(on);
    }
}
