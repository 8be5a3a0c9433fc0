//! Ends of blocks: through a link cell, through the indirect table, or to the run loop.

use cranelift_assembler_x64::Amode;
use jib_ir::op::{ExitKind, Op};
use jib_ir::region::{BlockId, Val};
use jib_ir::state::slot;

use super::asm::{Alu, Cc, Label, Mem, RAX, RCX, RDX, RSI, i};
use super::int::Test;
use super::regs::state;
use super::{Cold, Quick, TooHard};
use crate::abi::{self, Tag};
use crate::lower::stays_mapped;
use crate::reloc::Target;

/// Bytes of a link cell and its count-down.
const CELL_BYTES: u32 = 2 * abi::CELL_BYTES as u32;

impl Quick<'_> {
    pub(super) fn end_op(&mut self, op: Op, labels: &[Label]) -> Result<(), TooHard> {
        match op {
            Op::Jump { to } => self.go(to, labels),
            Op::Branch { c, then, els } => match self.test(c)? {
                Test::Known(c) => self.go(if c { then } else { els }, labels),
                Test::Cc(cc) if then.index() == self.block + 1 && self.shape.is_forward(self.block, then.index()) => {
                    self.jcc(cc.not(), els, labels);
                    Ok(())
                }
                Test::Cc(cc) => {
                    self.jcc(cc, then, labels);
                    self.go(els, labels)
                }
            },
            Op::Exit { pc, kind } => self.exit(pc, kind, self.shape.leads_back(self.block, pc)),
            Op::ExitInd { addr, kind } => self.exit_indirect(addr, kind),
            Op::Trap { trap, pc } => {
                self.leave(pc, abi::encode_trap(trap));
                Ok(())
            }
            Op::Invalidate { addr, len, pc } => {
                let r = self.gpr(addr)?;
                self.asm.store(state(abi::INVALIDATE_ADDR), r);
                self.asm.mov_imm(RAX, len);
                self.asm.store(state(abi::INVALIDATE_LEN), RAX);
                self.leave(pc, abi::EXIT_INVALIDATE);
                Ok(())
            }
            _ => Err(TooHard),
        }
    }

    /// Goes on at block `to`.
    fn go(&mut self, to: BlockId, labels: &[Label]) -> Result<(), TooHard> {
        if !self.shape.is_forward(self.block, to.index()) {
            return self.exit(self.region.blocks[to.index()].pc, ExitKind::Jump, true);
        }
        if to.index() != self.block + 1 {
            self.asm.jmp(labels[to.index()]);
        }
        Ok(())
    }

    /// Goes on at block `to` if `cc` holds.
    fn jcc(&mut self, cc: Cc, to: BlockId, labels: &[Label]) {
        if self.shape.is_forward(self.block, to.index()) {
            self.asm.jcc(cc, labels[to.index()]);
        } else {
            let from = self.asm.label();
            self.asm.jcc(cc, from);
            self.cold.push(Cold::Back { from, pc: self.region.blocks[to.index()].pc });
        }
    }

    /// Returns `code` to the run loop, for guest address `pc`.
    pub(super) fn leave(&mut self, pc: u64, code: u64) {
        self.asm.mov_imm(RAX, pc);
        self.asm.store(Self::pc_place(), RAX);
        self.asm.mov_imm(RAX, code);
        self.asm.ret();
    }

    /// Goes on at `pc` through a link cell. Every cycle of blocks has a jump `back` or an indirect exit: there requests
    /// to leave are seen, and runs are counted.
    fn exit(&mut self, pc: u64, kind: ExitKind, back: bool) -> Result<(), TooHard> {
        let cell = self.next_cell();
        if kind == ExitKind::Sync || self.mode_may_change {
            self.leave(pc, abi::EXIT_NEXT);
            return Ok(());
        }
        self.asm.mov_imm(RSI, pc);
        if self.table && !stays_mapped(self.region.key, pc) {
            return self.look_up(cell, kind);
        }
        if back {
            self.poll();
        }
        self.targets.push((2 * (self.exits - 1), pc));
        self.asm.address(RDX, cell);
        if back || matches!(kind, ExitKind::Call { .. }) {
            self.count();
        }
        self.asm.jmp_mem(RDX, 0);
        Ok(())
    }

    fn exit_indirect(&mut self, addr: Val, kind: ExitKind) -> Result<(), TooHard> {
        let cell = self.next_cell();
        let r = self.gpr(addr)?;
        self.asm.mov(true, RSI, r);
        if kind == ExitKind::Sync || self.mode_may_change {
            self.asm.store(Self::pc_place(), RSI);
            self.asm.mov_imm(RAX, abi::EXIT_NEXT);
            self.asm.ret();
            return Ok(());
        }
        self.look_up(cell, kind)
    }

    /// Goes on at the guest address in RSI, found in the thread's indirect table; a miss leaves to the run loop.
    fn look_up(&mut self, cell: Target, kind: ExitKind) -> Result<(), TooHard> {
        self.poll();
        if kind != ExitKind::Ret {
            self.asm.address(RDX, cell);
            self.count();
        }
        self.asm.load(RAX, state(abi::TABLE));
        self.asm.mov(false, RCX, RSI);
        self.asm.alu_imm(Alu::And, false, RCX, abi::table_mask(abi::table_entries(self.table)) as i32);
        self.asm.shift_imm(super::asm::Shift::Shl, false, RCX, 2);
        self.asm.alu(Alu::Add, true, RAX, RCX);
        let mode = if self.table { 0 } else { Tag::mode_bits(self.region.key.mode) };
        let wanted = match mode {
            0 => RSI,
            mode => {
                self.asm.mov_imm(RCX, mode);
                self.asm.alu(Alu::Xor, true, RCX, RSI);
                RCX
            }
        };
        i!(self.asm, cmpq_mr, Amode::from(Mem::at(RAX, 0)), wanted);
        let from = self.asm.label();
        self.asm.jcc(Cc::Ne, from);
        self.cold.push(Cold::LeaveAt { from, code: abi::EXIT_NEXT, cell: false });
        self.asm.jmp_mem(RAX, 8);
        Ok(())
    }

    fn next_cell(&mut self) -> Target {
        self.exits += 1;
        Target::Cells((self.exits - 1) * CELL_BYTES)
    }

    /// Leaves for the pc in RSI if asked to.
    fn poll(&mut self) {
        i!(self.asm, cmpq_mi_sxb, Amode::from(state(slot::EXIT_REQUEST.offset())), 0_i8);
        let from = self.asm.label();
        self.asm.jcc(Cc::Ne, from);
        self.cold.push(Cold::LeaveAt { from, code: abi::EXIT_INTERRUPT, cell: false });
    }

    /// Counts down next to the cell in RDX, and leaves for the pc in RSI at the end.
    fn count(&mut self) {
        i!(self.asm, subq_mi_sxb, Amode::from(Mem::at(RDX, 8)), 1_i8);
        let from = self.asm.label();
        self.asm.jcc(Cc::S, from);
        self.cold.push(Cold::LeaveAt { from, code: abi::EXIT_HOT, cell: true });
    }

    /// Emits what was put out of the way.
    pub(super) fn cold_code(&mut self) -> Result<(), TooHard> {
        while let Some(cold) = self.cold.pop() {
            match cold {
                Cold::Back { from, pc } => {
                    self.asm.bind(from);
                    self.exit(pc, ExitKind::Jump, true)?;
                }
                Cold::Leave { from, pc, code } => {
                    self.asm.bind(from);
                    self.leave(pc, code);
                }
                Cold::Exact { from, on, op, operands, d } => {
                    self.asm.bind(from);
                    self.exact_code(on, op, operands, d);
                }
                Cold::Miss { from, on, info, pc } => {
                    self.asm.bind(from);
                    self.miss(on, info, pc);
                }
                Cold::LeaveAt { from, code, cell } => {
                    self.asm.bind(from);
                    self.asm.store(Self::pc_place(), RSI);
                    if cell {
                        self.asm.store(state(abi::LINK), RDX);
                    }
                    self.asm.mov_imm(RAX, code);
                    self.asm.ret();
                }
            }
        }
        Ok(())
    }
}
