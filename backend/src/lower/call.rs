//! Calls out of compiled code.

use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use jib_ir::op::Op;
use jib_ir::region::Val;
use jib_ir::state::slot;

use super::{Lowerer, Repr};
use crate::abi;
use crate::reloc::Target;

impl Lowerer<'_, '_> {
    /// `Op::Call`: the helper sees all state in memory and may change any of it.
    pub(super) fn call_helper(&mut self, helper: u16, args: [Val; 4]) -> Value {
        self.flush(true);
        let pc = self.const64(self.pc);
        self.store_state(pc, slot::PC.offset());
        let row: *const jib_ir::runtime::Helper = &self.env.helpers[helper as usize];
        let mut values = [self.address(Target::program(row.addr())); 5];
        for (to, v) in values[1..].iter_mut().zip(args) {
            *to = if v == Val::NONE { self.const64(0) } else { self.int(v) };
        }
        let result = self.call_may_exit(abi::call_helper as *const () as usize, &values);
        self.forget_values();
        result
    }

    /// Calls a thunk that gives a value and whether to leave with [`abi::EXIT_HELPER`].
    pub(super) fn call_may_exit(&mut self, thunk: usize, args: &[Value; 5]) -> Value {
        let target = self.address(Target::program(thunk));
        let [a, b, c, d, e] = *args;
        let call = self.b.ins().call_indirect(self.sigs.helper, target, &[self.st, a, b, c, d, e]);
        let (value, failed) = (self.b.inst_results(call)[0], self.b.inst_results(call)[1]);
        let (cold, on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(cold);
        self.b.ins().brif(failed, cold, &[], on, &[]);
        self.b.switch_to_block(cold);
        let pc = self.const64(self.pc);
        self.store_state(pc, slot::PC.offset());
        self.store_recipe(self.cur.recipe);
        self.leave(abi::EXIT_HELPER);
        self.b.switch_to_block(on);
        value
    }

    /// Calls a thunk of the state alone.
    pub(super) fn call_state_only(&mut self, thunk: usize) {
        let target = self.address(Target::program(thunk));
        self.b.ins().call_indirect(self.sigs.state_only, target, &[self.st]);
    }

    /// Calls a thunk of three words that cannot fail; its value.
    pub(super) fn call_plain(&mut self, thunk: usize, args: &[Value; 3]) -> Value {
        let target = self.address(Target::program(thunk));
        let zero = self.const64(0);
        let [a, b, c] = *args;
        let call = self.b.ins().call_indirect(self.sigs.helper, target, &[a, b, c, zero, zero, zero]);
        self.b.inst_results(call)[0]
    }

    /// Calls a thunk of vectors.
    pub(super) fn call_vector(&mut self, thunk: usize, args: &[Value]) -> Value {
        let target = self.address(Target::program(thunk));
        let sig = self.sigs.vector[args.len() - 1];
        let call = self.b.ins().call_indirect(sig, target, args);
        self.b.inst_results(call)[0]
    }

    /// Any op that computes a value, by the evaluator: operands and result go through the scratch words. Changes
    /// no register but through memory (`PreserveAll`), so that a cold call costs the hot path nothing.
    pub(super) fn evaluate(&mut self, op: Op) -> Repr {
        let mut n = 0;
        let mut renamed = op;
        let mut stores = Vec::new();
        renamed.map_args(&mut |v| {
            stores.push(v);
            n += 1;
            Val(n - 1)
        });
        for (i, v) in stores.into_iter().enumerate() {
            self.store_operand(i, v);
        }
        self.evaluate_stored(renamed);
        let at = slot::SCRATCH.offset();
        match op.ty() {
            Some(jib_ir::ty::Ty::V128) => Repr::Vec(self.load_state(types::I8X16, at)),
            Some(jib_ir::ty::Ty::Flags) => Repr::Flags(super::flags::Flags::Packed(self.load_state(types::I32, at))),
            Some(ty) => Repr::Int(self.load_state(super::clif(ty), at)),
            None => Repr::None,
        }
    }

    /// Puts operand number `i` where the evaluator looks for it.
    pub(super) fn store_operand(&mut self, i: usize, v: Val) {
        let at = slot::SCRATCH.offset() + 16 * i as i32;
        match self.vals[v.index()] {
            Repr::Vec(v) => self.store_state(v, at),
            Repr::Scalar(s) => self.store_scalar_operand(i, s),
            Repr::Pair(lo, hi) => {
                self.store_state(lo, at);
                self.store_state(hi, at + 8);
            }
            Repr::Int(v) => {
                let wide = self.to64(v);
                self.store_word_operand(at, wide);
            }
            Repr::Flags(f) => {
                let packed = self.pack(f);
                let wide = self.b.ins().uextend(types::I64, packed);
                self.store_word_operand(at, wide);
            }
            Repr::None => unreachable!("verified IR: op {} wants a value", self.at),
        }
    }

    fn store_word_operand(&mut self, at: i32, v: Value) {
        let zero = self.const64(0);
        self.store_state(v, at);
        self.store_state(zero, at + 8);
    }

    /// A float as operand number `i`.
    pub(super) fn store_scalar_operand(&mut self, i: usize, s: Value) {
        let at = slot::SCRATCH.offset() + 16 * i as i32;
        let zero = self.const64(0);
        self.store_state(zero, at);
        self.store_state(zero, at + 8);
        self.store_state(s, at);
    }

    /// Calls the evaluator for `op`, whose operands are numbered by their place in the scratch words.
    pub(super) fn evaluate_stored(&mut self, op: Op) {
        let number = self.out.ops.len() as u32;
        self.out.ops.push(Box::new(op));
        let op = self.address(Target::Op(number));
        let target = self.address(Target::program(abi::evaluate_preserving()));
        self.b.ins().call_indirect(self.sigs.preserve, target, &[self.st, op]);
    }

    /// `hot` unless `bad`, else what `cold` emits in a cold block.
    pub(super) fn unless_cold(&mut self, bad: Value, hot: Value, cold: impl FnOnce(&mut Self) -> Value) -> Value {
        let ty = self.type_of(hot);
        let (cold_block, on) = (self.b.create_block(), self.b.create_block());
        let result = self.b.append_block_param(on, ty);
        self.b.set_cold_block(cold_block);
        self.b.ins().brif(bad, cold_block, &[], on, &[hot.into()]);
        self.b.switch_to_block(cold_block);
        let slow = cold(self);
        self.b.ins().jump(on, &[slow.into()]);
        self.b.switch_to_block(on);
        result
    }

    /// What `hot` emits, or, if `bad`, what `cold` does: for what must not even be computed otherwise.
    pub(super) fn hot_or_cold(
        &mut self,
        bad: Value,
        ty: Type,
        hot: impl FnOnce(&mut Self) -> Value,
        cold: impl FnOnce(&mut Self) -> Value,
    ) -> Value {
        let (cold_block, hot_block, on) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let result = self.b.append_block_param(on, ty);
        self.b.set_cold_block(cold_block);
        self.b.ins().brif(bad, cold_block, &[], hot_block, &[]);
        self.b.switch_to_block(cold_block);
        let slow = cold(self);
        self.b.ins().jump(on, &[slow.into()]);
        self.b.switch_to_block(hot_block);
        let fast = hot(self);
        self.b.ins().jump(on, &[fast.into()]);
        self.b.switch_to_block(on);
        result
    }
}
