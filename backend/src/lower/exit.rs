//! Ends of blocks: inside the region, to another region through a link cell or the indirect table, to the run loop.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};
use jib_ir::op::{ExitKind, Op};
use jib_ir::region::{Block, BlockId, Key, Region};
use jib_ir::state::slot;

use super::Lowerer;
use crate::abi::{self, Tag};
use crate::cache::PAGE;
use crate::reloc::Target;

impl Lowerer<'_, '_> {
    pub(super) fn end_op(&mut self, op: Op) {
        match op {
            Op::Jump { to } => {
                self.flush_for(&[to]);
                self.save_end();
                if self.goes_back(to) {
                    let pc = self.region.blocks[to.index()].pc;
                    self.poll(|l| l.const64(pc));
                }
                self.jump_to(to.index());
            }
            Op::Branch { c, then, els } => {
                let c = self.int(c);
                self.flush_for(&[then, els]);
                self.save_end();
                if self.goes_back(then) || self.goes_back(els) {
                    let pcs = [then, els].map(|b| self.region.blocks[b.index()].pc);
                    self.poll(|l| {
                        let [x, y] = pcs.map(|pc| l.const64(pc));
                        l.b.ins().select(c, x, y)
                    });
                }
                let (x, y) = (self.block_args(then.index()), self.block_args(els.index()));
                self.b.ins().brif(c, self.blocks[then.index()], &x, self.blocks[els.index()], &y);
            }
            Op::Exit { pc, kind } => {
                self.flush(true);
                let at = self.const64(pc);
                let number = self.exits as u32;
                self.exits += 1;
                if kind == ExitKind::Sync || mode_may_change(self.region, &self.region.blocks[self.block]) {
                    self.store_state(at, slot::PC.offset());
                    return self.leave(abi::EXIT_NEXT);
                }
                match self.env.table && !stays_mapped(self.region.key, pc) {
                    true => self.indirect(at),
                    false => {
                        self.out.targets.push((number, pc));
                        self.link(at, Target::Cells(number * abi::CELL_BYTES as u32));
                    }
                }
            }
            Op::ExitInd { addr, kind } => {
                let addr = self.int(addr);
                self.flush(true);
                if kind == ExitKind::Sync || mode_may_change(self.region, &self.region.blocks[self.block]) {
                    self.store_state(addr, slot::PC.offset());
                    return self.leave(abi::EXIT_NEXT);
                }
                self.indirect(addr);
            }
            Op::Trap { trap, pc } => {
                self.flush(true);
                let at = self.const64(pc);
                self.store_state(at, slot::PC.offset());
                self.leave(abi::encode_trap(trap));
            }
            Op::Invalidate { addr, len, pc } => {
                let addr = self.int(addr);
                self.flush(true);
                self.store_state(addr, abi::INVALIDATE_ADDR);
                let len = self.const64(len);
                self.store_state(len, abi::INVALIDATE_LEN);
                let at = self.const64(pc);
                self.store_state(at, slot::PC.offset());
                self.leave(abi::EXIT_INVALIDATE);
            }
            _ => unreachable!("not the end of a block"),
        }
    }

    /// Writes dirty slots unless all of `targets` go on with our values.
    fn flush_for(&mut self, targets: &[BlockId]) {
        if targets.iter().all(|t| self.plan.blocks[t.index()].parent.is_some()) {
            return;
        }
        // Children go on with our flags: that they want them is no reason to write them.
        let wants = |l: &Self, b: usize| l.plan.flags_live_after(l.region, b, l.region.blocks[b].ops.start);
        let (children, roots): (Vec<usize>, Vec<usize>) =
            targets.iter().map(|t| t.index()).partition(|&t| self.plan.blocks[t].parent.is_some());
        self.flush(roots.into_iter().any(|b| wants(self, b)));
        self.leave_flags(targets);
        // Children find memory exact for their own pc, but for flags: dead ones, or such as they must see to first.
        self.cur.stale = self.cur.dirty != 0 && children.into_iter().any(|b| wants(self, b));
    }

    /// Does the edge from this block to `to` close a loop?
    fn goes_back(&self, to: BlockId) -> bool {
        self.plan.goes_back(self.block, to.index())
    }

    /// Keeps the state for the blocks that continue it.
    fn save_end(&mut self) {
        self.ends[self.block] = Some(self.cur.clone());
    }

    /// Returns `code` to the run loop.
    pub(super) fn leave(&mut self, code: u64) {
        let code = self.const64(code);
        self.b.ins().return_(&[code]);
    }

    /// Returns to the run loop as after a host fault: the interpreter goes on from the checkpoint.
    pub(super) fn leave_to_checkpoint(&mut self) {
        let pc = self.const64(self.cur.checkpoint);
        self.store_state(pc, slot::PC.offset());
        self.store_recipe(self.cur.recipe);
        self.leave(abi::EXIT_FAULT);
    }

    /// Goes on through the link cell at `cell`, which holds the target's code or the stub that looks for it.
    fn link(&mut self, pc: Value, cell: Target) {
        let cell = self.address(cell);
        let flags = MemFlagsData::trusted().with_alias_region(Some(self.regions.link));
        let code = self.b.ins().load(types::I64, flags, cell, 0);
        self.b.ins().return_call_indirect(self.sigs.region, code, &[self.st, pc, cell]);
    }

    /// Goes on at a guest address found in the thread's indirect table; a miss leaves to the run loop.
    fn indirect(&mut self, pc: Value) {
        let flags = MemFlagsData::trusted().with_alias_region(Some(self.regions.link));
        let table = self.load_state(types::I64, abi::TABLE);
        let bits = self.b.ins().band_imm_u(pc, abi::table_mask(abi::table_entries(self.env.table)) as i64);
        let offset = self.b.ins().ishl_imm_u(bits, 2);
        let entry = self.b.ins().iadd(table, offset);
        let found = self.b.ins().load(types::I64, flags, entry, 0);
        // With translated addresses each mode has a table of its own.
        let mode = if self.env.table { 0 } else { Tag::mode_bits(self.region.key.mode) };
        let wanted = if mode == 0 { pc } else { self.b.ins().bxor_imm_u(pc, mode as i64) };
        let same = self.b.ins().icmp(IntCC::Equal, found, wanted);
        let (hit, miss) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(miss);
        self.b.ins().brif(same, hit, &[], miss, &[]);
        self.b.switch_to_block(miss);
        self.store_state(pc, slot::PC.offset());
        self.leave(abi::EXIT_NEXT);
        self.b.switch_to_block(hit);
        let code = self.b.ins().load(types::I64, flags, entry, 8);
        let none = self.const64(0);
        self.b.ins().return_call_indirect(self.sigs.region, code, &[self.st, pc, none]);
    }
}

/// Does `pc` mean the same code whenever a translation of `key` is left for it? Its own page does: otherwise the
/// translation itself would not be the right one.
pub(crate) fn stays_mapped(key: Key, pc: u64) -> bool {
    let upper = key.mode & Key::UPPER_FIXED != 0 && pc >> 63 != 0;
    upper || pc / PAGE == key.pc / PAGE
}

/// A write to FPCR in `block` may have changed the mode, so that the pc alone does not tell where to go.
pub(super) fn mode_may_change(region: &Region, block: &Block) -> bool {
    region.ops[block.ops.start as usize..block.ops.end as usize].iter().any(|op| match op {
        Op::Set { slot, .. } => *slot == slot::FPCR,
        _ => false,
    })
}
