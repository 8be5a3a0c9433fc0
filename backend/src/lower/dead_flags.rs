//! Flags that memory does not know, because they are overwritten before anything reads them or because what reads them
//! has them as values, but that may be looked at from a fault before that: they are described by a [`Recipe`] where
//! guest registers still tell them, and stored where not.

use cranelift_codegen::ir::{InstBuilder, InstructionData, Opcode, Value, types};
use jib_ir::region::BlockId;
use jib_ir::state::{FlagsKind, Slot, slot};

use super::flags::Flags;
use super::plan::SlotSet;
use super::state::Cur;
use super::{Lowerer, Repr};
use crate::recipe::{Holds, Kind, Recipe, Second};

/// What a recipe may read.
struct Kept {
    /// Slots that it must not.
    clobbers: SlotSet,
    /// Operands that are to be stored beside it, if any may.
    stash: Option<[Option<Value>; 2]>,
}

/// Where operands are stashed: the flags' own words for them.
const STASH: [Slot; 2] = [Slot(slot::FLAGS.0 + 1), Slot(slot::FLAGS.0 + 2)];

impl Kept {
    /// The place of operand number `n` once it is stored there, unless there is another already.
    fn stash(&mut self, n: usize, v: Value) -> Option<Slot> {
        let place = &mut self.stash.as_mut()?[n];
        (*place.get_or_insert(v) == v).then_some(STASH[n])
    }
}

impl Lowerer<'_, '_> {
    /// The bit of the flags among cached slots.
    pub(super) fn flags_bit(&self) -> SlotSet {
        self.plan.slot(slot::FLAGS).map_or(0, |i| 1 << i)
    }

    /// Flags that memory does not know.
    fn dirty_flags(&self) -> Option<(usize, Flags)> {
        let i = self.plan.slot(slot::FLAGS)?;
        match self.cur.cur[i] {
            Cur::Flags(f) if self.cur.dirty >> i & 1 != 0 => Some((i, f)),
            _ => None,
        }
    }

    /// What a checkpoint before op `from` of this block must note of the flags, with all else in memory: nothing if
    /// memory has them or nobody can see them, else a recipe; `None` if there is none.
    pub(super) fn note_flags(&self, from: u32) -> Option<u32> {
        let Some((_, flags)) = self.dirty_flags() else { return Some(0) };
        if self.plan.flags_live_after(self.region, self.block, from) {
            return None;
        }
        if !self.plan.flags_seen_after(self.region, self.block, from) {
            return Some(0);
        }
        self.recipe(flags, &mut Kept { clobbers: 0, stash: None }).map(Recipe::encode)
    }

    /// The same of flags that something reads later on: it has their values, only a fault needs the recipe.
    pub(super) fn note_live_flags(&self) -> Option<u32> {
        let Some((_, flags)) = self.dirty_flags() else { return Some(0) };
        self.recipe(flags, &mut Kept { clobbers: 0, stash: None }).map(Recipe::encode)
    }

    /// Makes memory tell the flags to `targets`, which do not read them, with all else in memory.
    pub(super) fn leave_flags(&mut self, targets: &[BlockId]) {
        let Some((i, flags)) = self.dirty_flags() else { return };
        let mut clobbers: SlotSet = 0;
        let mut seen = false;
        for t in targets.iter().map(|t| &self.plan.blocks[t.index()]).filter(|t| t.parent.is_none()) {
            seen |= t.flags_seen;
            clobbers |= t.clobbers;
        }
        if !seen {
            return;
        }
        self.put_flags(i, flags, clobbers);
    }

    /// For a checkpoint before an access whose flags [`Self::note_flags`] cannot note: puts them into memory, with all
    /// else there already.
    pub(super) fn settle_flags(&mut self) {
        if let Some((i, flags)) = self.dirty_flags() {
            self.put_flags(i, flags, 0);
        }
    }

    /// Puts `flags`, slot number `i`, into memory: as a recipe that does not read slots among `clobbers` if possible,
    /// else as they are stored otherwise.
    fn put_flags(&mut self, i: usize, flags: Flags, clobbers: SlotSet) {
        let mut kept = Kept { clobbers, stash: Some([None; 2]) };
        if !self.has_recipe(flags, &mut kept) {
            self.store_flags(flags, slot::FLAGS.offset());
            self.cur.dirty &= !(1 << i);
            return;
        }
        let word = self.recipe_word(flags, &mut kept);
        let stashed = kept.stash.into_iter().flatten().flatten().count();
        if self.short_stores(flags).is_some_and(|stores| stores <= stashed) {
            self.store_flags(flags, slot::FLAGS.offset());
            self.cur.dirty &= !(1 << i);
            return;
        }
        self.store_state(word, slot::FLAGS.offset());
        for (v, place) in kept.stash.into_iter().flatten().zip(STASH) {
            if let Some(v) = v {
                self.store_state(v, place.offset());
            }
        }
    }

    /// Writes the flags where nothing but a request to leave can be about to see them.
    pub(super) fn store_dirty_flags(&mut self) {
        if let Some((_, flags)) = self.dirty_flags() {
            self.store_flags(flags, slot::FLAGS.offset());
        }
    }

    /// Puts a recipe in the place of the flags; 0 for none.
    pub(super) fn store_recipe(&mut self, recipe: u32) {
        if recipe != 0 {
            let word = self.const64(u64::from(recipe));
            self.store_state(word, slot::FLAGS.offset());
        }
    }

    fn has_recipe(&self, flags: Flags, kept: &mut Kept) -> bool {
        match flags {
            Flags::Select { x, y, .. } => [x, y].into_iter().all(|f| self.has_recipe(self.choice(f), kept)),
            _ => self.recipe(flags, kept).is_some(),
        }
    }

    /// The recipe of flags that have one.
    fn recipe_word(&mut self, flags: Flags, kept: &mut Kept) -> Value {
        match flags {
            Flags::Select { c, x, y } => {
                let (x, y) = (self.recipe_word(self.choice(x), kept), self.recipe_word(self.choice(y), kept));
                self.b.ins().select(c, x, y)
            }
            _ => {
                let word = self.recipe(flags, kept).map_or(0, Recipe::encode);
                self.const64(u64::from(word))
            }
        }
    }

    /// How to make `flags` from slots, whose values must be in memory, and from what is stashed.
    fn recipe(&self, flags: Flags, kept: &mut Kept) -> Option<Recipe> {
        use FlagsKind::{Add32, Add64, Logic32, Logic64, Sub32, Sub64};
        let wide = |v: Value| self.type_of(v) == types::I64;
        let (kind, a, b) = match flags {
            Flags::Add { a, b } => (if wide(a) { Add64 } else { Add32 }, a, Some(b)),
            Flags::Sub { a, b } => (if wide(a) { Sub64 } else { Sub32 }, a, Some(b)),
            Flags::Logic { a } => (if wide(a) { Logic64 } else { Logic32 }, a, None),
            Flags::Float { a, b } => {
                let kind = if self.type_of(a) == types::F32 { Kind::Single } else { Kind::Double };
                let b = match self.lane_holder(b, kept) {
                    _ if self.is_zero(b) => Second::Imm(0),
                    Some(slot) => Second::Slot(slot),
                    None => Second::Slot(kept.stash(1, b)?),
                };
                let slot = self.lane_holder(a, kept).or_else(|| kept.stash(0, a))?;
                return Some(Recipe { kind, slot, holds: Holds::First, b });
            }
            Flags::Packed(v) => {
                let b = Second::Imm(self.const_of(v)? >> 28 & 15);
                return Some(Recipe { kind: Kind::Known, slot: Slot(0), holds: Holds::First, b });
            }
            Flags::Adc { .. } | Flags::Select { .. } | Flags::Stored { .. } => return None,
        };
        let second = match b {
            None => Second::Imm(0),
            Some(b) => match self.const_of(b).and_then(Second::constant) {
                Some(constant) => constant,
                None => Second::Slot(self.holder(b, kept).or_else(|| kept.stash(1, b))?),
            },
        };
        let kind = Kind::Lazy(kind);
        if let Some(slot) = self.holder(a, kept) {
            return Some(Recipe { kind, slot, holds: Holds::First, b: second });
        }
        if let Some(slot) = self.result_holder(flags, kept) {
            return Some(Recipe { kind, slot, holds: Holds::Result, b: second });
        }
        Some(Recipe { kind, slot: kept.stash(0, a)?, holds: Holds::First, b: second })
    }

    fn is_zero(&self, v: Value) -> bool {
        let def = self.b.func.dfg.value_def(v).inst().map(|i| self.b.func.dfg.insts[i]);
        match def {
            Some(InstructionData::UnaryIeee32 { imm, .. }) => imm.bits() == 0,
            Some(InstructionData::UnaryIeee64 { imm, .. }) => imm.bits() == 0,
            _ => false,
        }
    }

    /// The slot whose low bits `v` is.
    fn holder(&self, v: Value, kept: &Kept) -> Option<Slot> {
        self.word_slots(kept).find(|&(_, held)| self.same_low_bits(held, v)).map(|(slot, _)| slot)
    }

    /// The slot that holds the sum or difference that `flags` tell of.
    fn result_holder(&self, flags: Flags, kept: &Kept) -> Option<Slot> {
        let is_result = |v: Value| {
            let dfg = &self.b.func.dfg;
            let Some(inst) = dfg.value_def(v).inst() else { return false };
            let (opcode, &[x, y]) = (dfg.insts[inst].opcode(), dfg.inst_args(inst)) else { return false };
            let ty = self.type_of(v);
            let (a, b, plain, negated) = match flags {
                Flags::Sub { a, b } => (a, b, Opcode::Isub, Opcode::Iadd),
                Flags::Add { a, b } => (a, b, Opcode::Iadd, Opcode::Isub),
                _ => return false,
            };
            if ty != self.type_of(a) || dfg.resolve_aliases(x) != dfg.resolve_aliases(a) {
                return false;
            }
            let mask = u64::MAX >> (64 - ty.bits());
            let opposite = |c: u64| self.const_of(b).is_some_and(|b| b.wrapping_add(c) & mask == 0);
            opcode == plain && (y == b || self.const_of(y).is_some() && self.const_of(y) == self.const_of(b))
                || opcode == negated && self.const_of(y).is_some_and(opposite)
        };
        self.word_slots(kept)
            .find(|&(_, held)| is_result(held) || self.narrowed(held).is_some_and(is_result))
            .map(|(s, _)| s)
    }

    /// Slots that keep their values.
    fn kept_slots(&self, kept: &Kept) -> impl Iterator<Item = (Slot, Cur)> {
        let clobbers = kept.clobbers;
        let slots = self.plan.slots.iter().zip(&self.cur.cur).enumerate();
        slots.filter(move |(i, _)| clobbers >> i & 1 == 0).map(|(_, (&(slot, _), &cur))| (slot, cur))
    }

    /// Word slots that keep their values and of which one is at hand.
    fn word_slots(&self, kept: &Kept) -> impl Iterator<Item = (Slot, Value)> {
        self.kept_slots(kept).filter_map(|(slot, cur)| match cur {
            Cur::Word(v) | Cur::Half(v) => Some((slot, v)),
            _ => None,
        })
    }

    /// Are `v`'s bits the low ones of `held`?
    fn same_low_bits(&self, held: Value, v: Value) -> bool {
        held == v
            || self.narrowed(held) == Some(v)
            || self.unary(v, Opcode::Ireduce) == Some(held)
            || self.narrowed(v) == Some(held)
    }

    /// The value that `v` is zero-extended from.
    fn narrowed(&self, v: Value) -> Option<Value> {
        self.unary(v, Opcode::Uextend)
    }

    fn unary(&self, v: Value, opcode: Opcode) -> Option<Value> {
        let dfg = &self.b.func.dfg;
        let inst = dfg.value_def(v).inst()?;
        (dfg.insts[inst].opcode() == opcode).then(|| dfg.inst_args(inst)[0])
    }

    /// The vector slot of whose lane 0 `v` is the float.
    fn lane_holder(&self, v: Value, kept: &Kept) -> Option<Slot> {
        let lane = {
            let dfg = &self.b.func.dfg;
            let inst = dfg.value_def(v).inst();
            match inst.map(|i| (dfg.insts[i], dfg.inst_args(i))) {
                Some((InstructionData::BinaryImm8 { opcode: Opcode::Extractlane, imm: 0, .. }, &[whole])) => {
                    Some(self.unary(whole, Opcode::Bitcast).unwrap_or(whole))
                }
                _ => None,
            }
        };
        self.kept_slots(kept).find_map(|(slot, cur)| match cur {
            Cur::Vec(Repr::Scalar(s)) if s == v => Some(slot),
            Cur::Vec(Repr::Vec(w)) if Some(w) == lane => Some(slot),
            _ => None,
        })
    }
}
