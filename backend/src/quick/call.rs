//! Calls out of quick code.

use cranelift_assembler_x64::Amode;
use jib_ir::op::Op;
use jib_ir::region::Val;
use jib_ir::runtime::Helper;
use jib_ir::state::slot;
use jib_ir::ty::Ty;

use super::asm::{Alu, Cc, Mem, RAX, RBP, RCX, RDI, RDX, RSI, i};
use super::regs::state;
use super::{BIAS, Cold, Quick, TooHard};
use crate::abi;
use crate::reloc::Target;

impl Quick<'_> {
    /// `Op::Call`: the helper sees all state in memory and may change any of it.
    pub(super) fn call_helper(&mut self, helper: u16, args: [Val; 4]) -> Result<(), TooHard> {
        self.note_fault_point();
        let at = slot::SCRATCH.offset();
        // Through memory, as an argument's register may be another's target.
        for (n, v) in args.into_iter().enumerate() {
            let place = state(at + 8 * n as i32);
            match (v, if v == Val::NONE { Some(0) } else { self.small_imm(v, true) }) {
                (_, Some(k)) => self.asm.store_imm(place, k),
                (v, None) => {
                    let r = self.gpr(v)?;
                    self.asm.store(place, r);
                }
            }
        }
        self.asm.mov_imm(RAX, self.pc);
        self.asm.store(Self::pc_place(), RAX);
        self.before_call(true, false)?;
        let row: *const Helper = &self.helpers[helper as usize];
        self.asm.address(RSI, Target::program(row.addr()));
        for (n, r) in [RDX, RCX, 8, 9].into_iter().enumerate() {
            self.asm.load(r, state(at + 8 * n as i32));
        }
        self.call_may_exit(abi::call_helper as *const () as usize);
        if self.vals[self.at as usize].last_use != 0 {
            let d = self.new_gpr()?;
            self.asm.mov(true, d, RAX);
            self.put_gpr(self.at, d);
        }
        Ok(())
    }

    /// Calls a thunk of the state (and what the other argument registers hold) that gives a value in RAX and in RDX
    /// whether to leave.
    pub(super) fn call_may_exit(&mut self, thunk: usize) {
        self.call_thunk(thunk);
        self.asm.test(false, RDX, RDX);
        let from = self.asm.label();
        self.asm.jcc(Cc::Ne, from);
        self.cold.push(Cold::Leave { from, pc: self.pc, code: abi::EXIT_HELPER });
    }

    /// Calls a function of the host's convention with the stack aligned; restores the state pointer.
    fn call_thunk(&mut self, thunk: usize) {
        const RSP: u8 = 4;
        self.asm.alu_imm(Alu::Sub, true, RSP, 8);
        self.asm.call(thunk);
        self.asm.alu_imm(Alu::Add, true, RSP, 8);
        self.asm.lea(RDI, Mem::at(RBP, -BIAS));
    }

    /// Moves the FP flags that the host's FPU holds to FPSR.
    pub(super) fn sync_fpsr(&mut self) -> Result<(), TooHard> {
        self.before_call(false, true)?;
        self.call_thunk(abi::sync_fpsr as *const () as usize);
        Ok(())
    }

    /// Calls the stub that resolves the flag words at RAX; changes RCX and RDX.
    pub(super) fn call_flags_stub(&mut self) {
        self.asm.address(RCX, Target::program(abi::flags_stub()));
        self.asm.call_reg(RCX);
    }

    /// Any op that computes a value, by the evaluator: operands and result go through the scratch words. Changes no
    /// register.
    pub(super) fn evaluate(&mut self, op: Op) -> Result<(), TooHard> {
        let mut args = Vec::with_capacity(3);
        let mut renamed = op;
        renamed.map_args(&mut |v| {
            args.push(v);
            Val(args.len() as u32 - 1)
        });
        for (n, v) in args.into_iter().enumerate() {
            self.store_operand(n, v)?;
        }
        self.evaluate_stored(renamed);
        let at = slot::SCRATCH.offset();
        match op.ty() {
            Some(Ty::V128) => {
                let d = self.new_xmm()?;
                self.asm.load_vec(d, state(at));
                self.put_xmm(self.at, d);
            }
            Some(_) => {
                let d = self.new_gpr()?;
                self.asm.load(d, state(at));
                self.put_gpr(self.at, d);
                self.vals[self.at as usize].clean = true;
            }
            None => {}
        }
        Ok(())
    }

    /// Calls the evaluator for `op`, whose operands are numbered by their place in the scratch words.
    pub(super) fn evaluate_stored(&mut self, op: Op) {
        self.asm.address(RSI, Target::Op(self.ops.len() as u32));
        self.ops.push(Box::new(op));
        self.asm.call(abi::evaluate_preserving());
    }

    /// Puts operand number `n` where the evaluator looks for it.
    pub(super) fn store_operand(&mut self, n: usize, v: Val) -> Result<(), TooHard> {
        let at = slot::SCRATCH.offset() + 16 * n as i32;
        match self.ty(v) {
            Some(Ty::V128) => {
                let r = self.xmm(v)?;
                self.asm.store_vec(state(at), r);
            }
            ty => {
                let mut r = self.gpr(v)?;
                if ty == Some(Ty::I32) && !self.vals[v.index()].clean {
                    self.asm.mov(false, RAX, r);
                    r = RAX;
                }
                self.asm.store(state(at), r);
                i!(self.asm, movq_mi_sxl, Amode::from(state(at + 8)), 0_i32);
            }
        }
        Ok(())
    }
}
