//! Guest state while compiled code runs: which slots are in values, which of them memory does not know yet, and
//! to which guest pc a host fault goes back.
//!
//! Between two checkpoints there are only loads and pure ops, so that a fault may throw the values away and run
//! the code since the last checkpoint again, in the interpreter. Hence, before an instruction with an effect all
//! dirty slots are written, and after it the next instruction that can fault starts with another checkpoint.

use cranelift_codegen::ir::{BlockArg, InstBuilder, MemFlagsData, SourceLoc, Type, Value, types};
use jib_ir::op::{Effect, Op};
use jib_ir::region::{InsnMark, Val};
use jib_ir::state::{FlagsKind, Slot, slot};
use jib_ir::ty::Ty;

use super::flags::Flags;
use super::plan::{Class, KindIn, SlotSet};
use super::probe::Found;
use super::{Lowerer, Repr};

/// Where the value of a cached slot is.
#[derive(Clone, Copy)]
pub(super) enum Cur {
    /// In memory only.
    Memory,
    /// A 64-bit value.
    Word(Value),
    /// A 32-bit value, to be zero-extended.
    Half(Value),
    /// A vector, whole or scalar.
    Vec(Repr),
    /// Flags.
    Flags(Flags),
}

/// The state of all cached slots at one point.
#[derive(Clone)]
pub(super) struct SlotState {
    pub(super) cur: Vec<Cur>,
    pub(super) dirty: SlotSet,
    /// Guest pc of the last checkpoint.
    pub(super) checkpoint: u64,
    /// How to make the flags there, see [`crate::recipe`]; 0 if memory has them.
    pub(super) recipe: u32,
    /// Something happened since the checkpoint that must not happen again.
    pub(super) stale: bool,
    /// Pages of guest memory that were looked up.
    pub(super) found: Vec<Found>,
}

impl SlotState {
    /// All slots in memory, exact for `pc`.
    pub(super) fn in_memory(slots: usize, pc: u64) -> SlotState {
        let cur = vec![Cur::Memory; slots];
        SlotState { cur, dirty: 0, checkpoint: pc, recipe: 0, stale: false, found: Vec::new() }
    }
}

impl Lowerer<'_, '_> {
    /// Flags of accesses to guest state.
    pub(super) fn state_flags(&self) -> MemFlagsData {
        MemFlagsData::trusted().with_alias_region(Some(self.regions.state))
    }

    pub(super) fn store_state(&mut self, v: Value, offset: i32) {
        let flags = self.state_flags();
        self.b.ins().store(flags, v, self.st, offset);
    }

    pub(super) fn load_state(&mut self, ty: cranelift_codegen::ir::Type, offset: i32) -> Value {
        let flags = self.state_flags();
        self.b.ins().load(ty, flags, self.st, offset)
    }

    /// Starts a block with its parent's state, with parameters, or with everything in memory.
    pub(super) fn begin_block(&mut self, block: usize) {
        let clif = self.blocks[block];
        let pc = self.region.blocks[block].pc;
        self.b.switch_to_block(clif);
        let plan = &self.plan.blocks[block];
        if let Some(end) = plan.parent.and_then(|p| self.ends[p as usize].clone()) {
            self.cur = end;
            if self.cur.dirty & !self.flags_bit() == 0 {
                if let Some(recipe) = self.note_flags(self.region.blocks[block].ops.start) {
                    self.cur.checkpoint = pc;
                    self.cur.recipe = recipe;
                }
                // Without a recipe the checkpoint stays behind, though memory may be later already.
                self.cur.stale = self.cur.checkpoint != pc;
            }
            self.set_checkpoint_loc();
            return;
        }
        let (live_in, joined, header) = (plan.live_in, plan.joined, plan.header);
        self.cur = SlotState::in_memory(self.plan.slots.len(), pc);
        if joined {
            self.block_params(block, live_in);
        }
        self.set_checkpoint_loc();
        if header {
            // Keeps loads of a spin loop from being taken for the same.
            self.b.ins().sequence_point();
        }
    }

    /// A value of each live slot, as parameters of `block`.
    fn block_params(&mut self, block: usize, live_in: SlotSet) {
        let clif = self.blocks[block];
        let mut known = Vec::new();
        for i in 0..self.plan.slots.len() {
            if live_in >> i & 1 == 0 {
                continue;
            }
            self.cur.cur[i] = match self.plan.slots[i].1 {
                Class::Word => Cur::Word(self.b.append_block_param(clif, types::I64)),
                Class::Vec => {
                    let ty = self.plan.widths[block].of(i);
                    let v = self.b.append_block_param(clif, ty);
                    // Of a scalar nobody looks at what is above it, until the slot is written.
                    Cur::Vec(if ty == types::I8X16 { Repr::Vec(v) } else { Repr::Scalar(v) })
                }
                Class::Flags => {
                    let kind_in = self.plan.blocks[block].flags_in;
                    let a = self.b.append_block_param(clif, types::I64);
                    let b = self.b.append_block_param(clif, types::I64);
                    Cur::Flags(match kind_in {
                        // Converted below: instructions may follow only the last parameter.
                        KindIn::Known(kind) => {
                            known.push((i, kind, a, b));
                            Flags::Stored { kind: a, a, b }
                        }
                        KindIn::Unknown | KindIn::Mixed => {
                            Flags::Stored { kind: self.b.append_block_param(clif, types::I64), a, b }
                        }
                    })
                }
            };
        }
        for (i, kind, a, b) in known {
            self.cur.cur[i] = Cur::Flags(self.flags_of_kind(kind, a, b));
        }
    }

    /// Lazy flags of a known kind from their stored words.
    fn flags_of_kind(&mut self, kind: FlagsKind, a: Value, b: Value) -> Flags {
        let mut low = |v| self.b.ins().ireduce(types::I32, v);
        match kind {
            FlagsKind::Packed => Flags::Packed(low(a)),
            FlagsKind::Add32 => Flags::Add { a: low(a), b: low(b) },
            FlagsKind::Add64 => Flags::Add { a, b },
            FlagsKind::Sub32 => Flags::Sub { a: low(a), b: low(b) },
            FlagsKind::Sub64 => Flags::Sub { a, b },
            FlagsKind::Logic32 => Flags::Logic { a: low(a) },
            FlagsKind::Logic64 => Flags::Logic { a },
        }
    }

    /// The values that `target` takes as parameters, in order.
    pub(super) fn block_args(&mut self, target: usize) -> Vec<BlockArg> {
        let plan = &self.plan.blocks[target];
        if plan.parent.is_some() || !plan.joined {
            return Vec::new();
        }
        let (live_in, kind_in) = (plan.live_in, plan.flags_in);
        let mut args = Vec::new();
        for i in 0..self.plan.slots.len() {
            if live_in >> i & 1 == 0 {
                continue;
            }
            match self.plan.slots[i].1 {
                Class::Word => args.push(self.word(i)),
                Class::Vec => {
                    let ty = self.plan.widths[target].of(i);
                    let v = if ty == types::I8X16 { self.whole_slot(i) } else { self.low_of_slot(i, ty) };
                    args.push(v);
                }
                Class::Flags => {
                    let flags = self.flags_slot(i);
                    let (kind, a, b) = self.flag_words(flags);
                    args.extend([a, b]);
                    if !matches!(kind_in, KindIn::Known(_)) {
                        args.push(kind);
                    }
                }
            }
        }
        args.into_iter().map(BlockArg::Value).collect()
    }

    /// Jumps to region block `target`; dirty slots have been written if it needs that.
    pub(super) fn jump_to(&mut self, target: usize) {
        let args = self.block_args(target);
        self.b.ins().jump(self.blocks[target], &args);
    }

    /// The 64-bit value of a word slot.
    fn word(&mut self, i: usize) -> Value {
        let v = match self.cur.cur[i] {
            Cur::Word(v) => return v,
            Cur::Half(v) => self.to64(v),
            _ => self.load_state(types::I64, self.plan.slots[i].0.offset()),
        };
        self.cur.cur[i] = Cur::Word(v);
        v
    }

    /// The value of a vector slot.
    fn vector_slot(&mut self, i: usize) -> Repr {
        if let Cur::Vec(r) = self.cur.cur[i] {
            return r;
        }
        let r = Repr::Vec(self.load_state(types::I8X16, self.plan.slots[i].0.offset()));
        self.cur.cur[i] = Cur::Vec(r);
        r
    }

    fn whole_slot(&mut self, i: usize) -> Value {
        match self.vector_slot(i) {
            Repr::Scalar(s) => {
                let v = self.whole(s);
                self.cur.cur[i] = Cur::Vec(Repr::Vec(v));
                v
            }
            Repr::Pair(lo, hi) => {
                let v = self.joined(lo, hi);
                self.cur.cur[i] = Cur::Vec(Repr::Vec(v));
                v
            }
            Repr::Vec(v) => v,
            _ => unreachable!("vector slots hold vectors"),
        }
    }

    /// The float of type `ty` in lane 0 of a vector slot.
    fn low_of_slot(&mut self, i: usize, ty: Type) -> Value {
        match self.cur.cur[i] {
            Cur::Vec(Repr::Scalar(s)) if self.type_of(s).bytes() == ty.bytes() => self.bits(ty, s),
            Cur::Vec(_) => {
                let whole = self.whole_slot(i);
                let lanes = self.cast(ty.by(128 / ty.bits()).unwrap_or(types::F64X2), whole);
                self.b.ins().extractlane(lanes, 0)
            }
            _ => self.load_state(ty, self.plan.slots[i].0.offset()),
        }
    }

    fn flags_slot(&mut self, i: usize) -> Flags {
        if let Cur::Flags(f) = self.cur.cur[i] {
            return f;
        }
        let at = slot::FLAGS.offset();
        let kind = self.load_state(types::I64, at);
        let a = self.load_state(types::I64, at + 8);
        let b = self.load_state(types::I64, at + 16);
        let f = Flags::Stored { kind, a, b };
        self.cur.cur[i] = Cur::Flags(f);
        f
    }

    /// `Get`.
    pub(super) fn get_slot(&mut self, ty: Ty, slot: Slot) -> Repr {
        let Some(i) = self.plan.slot(slot) else { return self.get_uncached(ty, slot) };
        match ty {
            Ty::V128 => self.vector_slot(i),
            Ty::Flags => Repr::Flags(self.flags_slot(i)),
            Ty::I64 => Repr::Int(self.word(i)),
            Ty::I32 | Ty::Bool => {
                if let (Ty::I32, Cur::Half(v)) = (ty, self.cur.cur[i]) {
                    return Repr::Int(v);
                }
                let word = self.word(i);
                let v = self.b.ins().ireduce(super::clif(ty), word);
                Repr::Int(if ty == Ty::Bool { self.b.ins().band_imm_u(v, 1) } else { v })
            }
        }
    }

    /// `Set`.
    pub(super) fn set_slot(&mut self, ty: Ty, slot: Slot, v: Val) {
        let Some(i) = self.plan.slot(slot) else { return self.set_uncached(ty, slot, v) };
        self.cur.cur[i] = match (ty, self.vals[v.index()]) {
            (_, Repr::Flags(f)) => Cur::Flags(f),
            (Ty::V128, r) => Cur::Vec(r),
            (Ty::I32, Repr::Int(v)) => Cur::Half(v),
            (Ty::Bool, Repr::Int(v)) => Cur::Word(self.to64(v)),
            (Ty::Flags, Repr::Int(v)) => Cur::Flags(Flags::Packed(v)),
            (_, Repr::Int(v)) => Cur::Word(v),
            _ => unreachable!("verified IR: op {} sets a value of its type", self.at),
        };
        self.cur.dirty |= 1 << i;
    }

    fn get_uncached(&mut self, ty: Ty, slot: Slot) -> Repr {
        if slot == slot::FPSR {
            self.call_state_only(crate::abi::sync_fpsr as *const () as usize);
        }
        match ty {
            Ty::V128 => Repr::Vec(self.load_state(types::I8X16, slot.offset())),
            Ty::Flags => {
                let kind = self.load_state(types::I64, slot.offset());
                let a = self.load_state(types::I64, slot.offset() + 8);
                let b = self.load_state(types::I64, slot.offset() + 16);
                Repr::Flags(Flags::Stored { kind, a, b })
            }
            Ty::I32 | Ty::I64 => Repr::Int(self.load_state(super::clif(ty), slot.offset())),
            Ty::Bool => {
                let v = self.load_state(types::I8, slot.offset());
                Repr::Int(self.b.ins().band_imm_u(v, 1))
            }
        }
    }

    fn set_uncached(&mut self, ty: Ty, slot: Slot, v: Val) {
        if slot == slot::FPSR {
            // What the host's FPU still holds would be added later.
            self.call_state_only(crate::abi::sync_fpsr as *const () as usize);
        }
        match (ty, self.vals[v.index()]) {
            (Ty::Flags, r) => {
                let flags = match r {
                    Repr::Flags(f) => f,
                    _ => Flags::Packed(self.int(v)),
                };
                self.store_flags(flags, slot.offset());
            }
            (Ty::V128, _) => {
                let v = self.vec(v);
                self.store_state(v, slot.offset());
            }
            (Ty::I64, _) => {
                let v = self.int(v);
                self.store_state(v, slot.offset());
            }
            (Ty::I32 | Ty::Bool, _) => {
                let v = self.int(v);
                let v = self.to64(v);
                self.store_state(v, slot.offset());
            }
        }
    }

    pub(super) fn store_flags(&mut self, flags: Flags, at: i32) {
        if self.store_short_flags(flags, at) {
            return;
        }
        let (kind, a, b) = self.flag_words(flags);
        self.store_state(kind, at);
        self.store_state(a, at + 8);
        if !matches!(flags, Flags::Logic { .. } | Flags::Packed(_)) {
            self.store_state(b, at + 16);
        }
    }

    /// Writes all dirty slots; flags only if `flags_live` (else they are overwritten before anybody asks).
    pub(super) fn flush(&mut self, flags_live: bool) {
        let mut left = self.cur.dirty;
        while left != 0 {
            let i = left.trailing_zeros() as usize;
            left &= left - 1;
            let (slot, class) = self.plan.slots[i];
            match class {
                Class::Word => {
                    let v = self.word(i);
                    self.store_state(v, slot.offset());
                }
                Class::Vec => self.flush_vector(i, slot),
                Class::Flags if flags_live => {
                    let f = self.flags_slot(i);
                    self.store_flags(f, slot.offset());
                }
                Class::Flags => continue,
            }
            self.cur.dirty &= !(1 << i);
        }
    }

    fn flush_vector(&mut self, i: usize, slot: Slot) {
        match self.vector_slot(i) {
            Repr::Scalar(s) => {
                // Stores are what there is most of: two instructions more are better than a second one.
                let v = self.whole(s);
                self.store_state(v, slot.offset());
            }
            Repr::Pair(lo, hi) => {
                self.store_state(lo, slot.offset());
                self.store_state(hi, slot.offset() + 8);
            }
            _ => {
                let v = self.whole_slot(i);
                self.store_state(v, slot.offset());
            }
        }
    }

    /// Drops all values: somebody else may have written state.
    pub(super) fn forget_values(&mut self) {
        debug_assert_eq!(self.cur.dirty, 0);
        self.cur.cur.fill(Cur::Memory);
        self.cur.found.clear();
    }

    /// Starts the guest instruction of `mark`, whose ops go on to `to`: sets a checkpoint where one is due.
    pub(super) fn begin_insn(&mut self, mark: InsnMark, to: u32) {
        let InsnMark { op: from, pc, flags_read } = mark;
        self.insn_end = to;
        self.pc = pc;
        let (mut effect, mut fault, mut call) = (false, false, false);
        for op in &self.region.ops[from as usize..to as usize] {
            match op.effect() {
                Effect::Store => effect = true,
                Effect::Call => (effect, call) = (true, true),
                Effect::Load => fault = true,
                Effect::Write => {
                    if let Op::Set { slot, .. } = *op {
                        effect |= self.plan.slot(slot).is_none();
                    }
                }
                // Read again after a fault, it would tell of operations that come later.
                Effect::Read => effect |= matches!(op, Op::Get { slot: slot::FPSR, .. }),
                Effect::Pure | Effect::Fp | Effect::End => {}
            }
        }
        if effect || (fault && self.cur.stale) {
            // Whoever goes on from here after a fault reads them where the code itself does, not where the passes left it.
            let live = flags_read || self.plan.flags_live_after(self.region, self.block, from);
            // A helper sees all state.
            self.flush(call);
            self.cur.recipe = match if live { self.note_live_flags() } else { self.note_flags(from) } {
                Some(recipe) => recipe,
                None if live => {
                    self.flush(true);
                    0
                }
                None => {
                    self.settle_flags();
                    0
                }
            };
            self.cur.checkpoint = pc;
            self.cur.stale = false;
            self.set_checkpoint_loc();
        }
        self.cur.stale |= effect;
    }

    /// Makes what is emitted from now on fault to the current checkpoint.
    pub(super) fn set_checkpoint_loc(&mut self) {
        let list = &mut self.out.checkpoints;
        let point = (self.cur.checkpoint, self.cur.recipe);
        if list.last() != Some(&point) {
            list.push(point);
        }
        self.b.set_srcloc(SourceLoc::new(list.len() as u32));
    }

    /// Leaves with [`crate::abi::EXIT_INTERRUPT`] at the guest address that `pc` makes if asked to. All state but dead
    /// flags must be in memory.
    pub(super) fn poll(&mut self, pc: impl FnOnce(&mut Self) -> Value) {
        let request = self.load_state(types::I64, slot::EXIT_REQUEST.offset());
        let (cold, on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(cold);
        self.b.ins().brif(request, cold, &[], on, &[]);
        self.b.switch_to_block(cold);
        let pc = pc(self);
        self.store_state(pc, slot::PC.offset());
        self.store_dirty_flags();
        self.leave(crate::abi::EXIT_INTERRUPT);
        self.b.switch_to_block(on);
    }
}
