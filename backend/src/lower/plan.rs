//! What the lowering must know about a region before it emits anything: which state slots live in values,
//! how control flows, what is live where.
//!
//! Blocks fall into trees. A *root* (an entry, a join, a loop header) starts with all state in memory or in block
//! parameters; a block with a single predecessor continues its parent's values, dirty slots and checkpoint.

use jib_ir::op::{Effect, Op};
use jib_ir::region::{BlockId, Region};
use jib_ir::state::{FlagsKind, STATE_WORDS, Slot, slot};
use jib_ir::ty::Ty;

use super::narrow::Widths;

/// A set of cached slots, by their dense index.
pub(crate) type SlotSet = u128;

/// Most slots of a region that are kept in values.
const MAX_SLOTS: usize = 128;

/// The dense index of [`slot::FLAGS`] when it is cached.
pub(crate) const NO_SLOT: u8 = u8::MAX;

/// How a cached slot is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// One 64-bit word.
    Word,
    /// 128 bits.
    Vec,
    /// The three flag words.
    Flags,
}

/// The kind of flags that a block may find at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KindIn {
    /// Nothing known yet.
    Unknown,
    /// Always this kind.
    Known(FlagsKind),
    /// Only known when running.
    Mixed,
}

/// What is known of one block.
#[derive(Clone, Debug)]
pub(crate) struct BlockPlan {
    /// The block whose values this one continues; `None` for a root.
    pub(crate) parent: Option<u32>,
    /// Target of a back edge.
    pub(crate) header: bool,
    /// May be entered from outside.
    pub(crate) entry: bool,
    /// Has predecessors in the region.
    pub(crate) joined: bool,
    /// Can be reached at all.
    pub(crate) reached: bool,
    /// Slots whose values are wanted at the start.
    pub(crate) live_in: SlotSet,
    /// Flags at the start.
    pub(crate) flags_in: KindIn,
    /// Somebody looks at the flags that the block leaves: another block, a helper, or whoever comes after an exit.
    pub(crate) flags_wanted: bool,
    /// The flags at the start may be seen: they are read, or an access may fault before they are overwritten.
    pub(crate) flags_seen: bool,
    /// Slots that may be written to memory before the flags are overwritten: no flags may be described by them.
    pub(crate) clobbers: SlotSet,
    uses: SlotSet,
    defs: SlotSet,
}

/// The plan of a region.
pub(crate) struct Plan {
    /// Cached slots and how they are held, by dense index.
    pub(crate) slots: Vec<(Slot, Class)>,
    index: [u8; STATE_WORDS],
    /// One plan per block.
    pub(crate) blocks: Vec<BlockPlan>,
    /// How much of vector slots is wanted at the start of each block.
    pub(crate) widths: Vec<Widths>,
    /// Reached blocks, parents before children.
    pub(crate) order: Vec<u32>,
    /// Where each block is in it.
    position: Vec<u32>,
}

impl Plan {
    /// Analyses `region`.
    pub(crate) fn new(region: &Region) -> Plan {
        let mut plan = Plan {
            slots: Vec::with_capacity(32),
            index: [NO_SLOT; STATE_WORDS],
            blocks: Vec::with_capacity(region.blocks.len()),
            widths: Vec::new(),
            order: Vec::with_capacity(region.blocks.len()),
            position: Vec::new(),
        };
        plan.find_slots(region);
        plan.find_flow(region);
        for b in 0..region.blocks.len() {
            plan.find_uses(region, b);
        }
        plan.find_dirty(region);
        plan.find_liveness(region);
        plan.widths = super::narrow::widths(region, &plan);
        plan.find_flag_kinds(region);
        plan.find_wanted_flags(region);
        plan.find_seen_flags(region);
        plan
    }

    /// Dense index of `slot`, if it is cached.
    pub(crate) fn slot(&self, slot: Slot) -> Option<usize> {
        match self.index[slot.0 as usize] {
            NO_SLOT => None,
            i => Some(i as usize),
        }
    }

    /// Gives a dense index to each slot that is always used with one type and shared with nobody.
    fn find_slots(&mut self, region: &Region) {
        let mut owner: [Option<(Slot, Class)>; STATE_WORDS] = [None; STATE_WORDS];
        let mut bad = [false; STATE_WORDS];
        let mut seen: Vec<(Slot, Class)> = Vec::new();
        for op in &region.ops {
            let (Op::Get { ty, slot } | Op::Set { ty, slot, .. }) = *op else { continue };
            let (class, words) = match ty {
                Ty::I32 | Ty::I64 | Ty::Bool => (Class::Word, 1),
                Ty::V128 => (Class::Vec, 2),
                Ty::Flags => (Class::Flags, 3),
            };
            let range = slot.0 as usize..slot.0 as usize + words;
            let clash = range.clone().any(|w| owner[w].is_some_and(|o| o != (slot, class)));
            if owner[slot.0 as usize].is_none() {
                seen.push((slot, class));
            }
            for w in range {
                bad[w] |= clash || uncached(w as u16);
                if let (true, Some((first, class))) = (clash, owner[w]) {
                    bad[first.0 as usize..first.0 as usize + words_of(class)].fill(true);
                }
                owner[w] = Some((slot, class));
            }
        }
        // Slots are written in the order of their addresses.
        seen.sort_unstable_by_key(|(slot, _)| slot.0);
        for (slot, class) in seen {
            let range = slot.0 as usize..slot.0 as usize + words_of(class);
            if self.slots.len() < MAX_SLOTS && !range.into_iter().any(|w| bad[w]) {
                self.index[slot.0 as usize] = self.slots.len() as u8;
                self.slots.push((slot, class));
            }
        }
    }

    /// Reachability, order, headers and parents.
    fn find_flow(&mut self, region: &Region) {
        let n = region.blocks.len();
        let empty = BlockPlan {
            parent: None,
            header: false,
            entry: false,
            joined: false,
            reached: false,
            live_in: 0,
            flags_in: KindIn::Unknown,
            flags_wanted: false,
            flags_seen: false,
            clobbers: 0,
            uses: 0,
            defs: 0,
        };
        self.blocks.resize(n, empty);
        for e in &region.entries {
            self.blocks[e.index()].entry = true;
        }
        let mut on_path = vec![false; n];
        let mut post = Vec::with_capacity(n);
        for e in &region.entries {
            self.visit(region, e.0, &mut on_path, &mut post);
        }
        post.reverse();
        self.order = post;
        self.position = vec![u32::MAX; n];
        for (k, &b) in self.order.iter().enumerate() {
            self.position[b as usize] = k as u32;
        }
        let mut preds = vec![(0u32, 0u32); n];
        for &b in &self.order {
            for s in region.successors(BlockId(b)) {
                let p = &mut preds[s.index()];
                *p = (p.0 + 1, b);
            }
        }
        for (plan, (count, pred)) in self.blocks.iter_mut().zip(preds) {
            plan.joined = count > 0;
            plan.parent = (count == 1 && !plan.entry && !plan.header).then_some(pred);
        }
    }

    /// Depth-first search from `root`, without recursion.
    fn visit(&mut self, region: &Region, root: u32, on_path: &mut [bool], post: &mut Vec<u32>) {
        if self.blocks[root as usize].reached {
            return;
        }
        self.blocks[root as usize].reached = true;
        on_path[root as usize] = true;
        let mut stack = vec![(root, region.successors(BlockId(root)).collect::<Vec<_>>())];
        while let Some((b, todo)) = stack.last_mut() {
            let Some(next) = todo.pop() else {
                on_path[*b as usize] = false;
                post.push(*b);
                stack.pop();
                continue;
            };
            let plan = &mut self.blocks[next.index()];
            if on_path[next.index()] {
                plan.header = true;
            } else if !plan.reached {
                plan.reached = true;
                on_path[next.index()] = true;
                stack.push((next.0, region.successors(next).collect()));
            }
        }
    }

    fn find_uses(&mut self, region: &Region, b: usize) {
        let (mut uses, mut defs) = (0, 0);
        for op in &region.ops[region.blocks[b].ops.start as usize..region.blocks[b].ops.end as usize] {
            match *op {
                Op::Get { slot, .. } => {
                    if let Some(i) = self.slot(slot) {
                        uses |= (1 << i) & !defs;
                    }
                }
                Op::Set { slot, .. } => {
                    if let Some(i) = self.slot(slot) {
                        defs |= 1 << i;
                    }
                }
                // A helper reads and writes memory: values before it are dead after it.
                Op::Call { .. } => defs = SlotSet::MAX,
                _ => {}
            }
        }
        self.blocks[b].uses = uses;
        self.blocks[b].defs = defs;
    }

    /// Slots that a block may have to write on behalf of its parent count as used by it. (Not flags: dead ones are
    /// not written at all.)
    fn find_dirty(&mut self, region: &Region) {
        let mut out = vec![0; region.blocks.len()];
        for k in 0..self.order.len() {
            let b = self.order[k] as usize;
            let inherited: SlotSet = self.blocks[b].parent.map_or(0, |p| out[p as usize]);
            let mut dirty = inherited;
            for op in &region.ops[region.blocks[b].ops.start as usize..region.blocks[b].ops.end as usize] {
                if let Op::Set { slot, .. } = *op
                    && let Some(i) = self.slot(slot)
                {
                    dirty |= 1 << i;
                }
            }
            self.blocks[b].uses |= inherited;
            // Everything is written before an edge to a root.
            let all_children = region.successors(BlockId(b as u32)).all(|s| self.blocks[s.index()].parent.is_some());
            if all_children {
                let flags = self.slot(slot::FLAGS).map_or(0, |i| 1 << i);
                out[b] = dirty & !flags;
            }
        }
    }

    fn find_liveness(&mut self, region: &Region) {
        let mut changed = true;
        while changed {
            changed = false;
            for k in (0..self.order.len()).rev() {
                let b = self.order[k];
                let out = region.successors(BlockId(b)).fold(0, |set, s| set | self.blocks[s.index()].live_in);
                let plan = &mut self.blocks[b as usize];
                let live_in = plan.uses | (out & !plan.defs);
                changed |= live_in != plan.live_in;
                plan.live_in = live_in;
            }
        }
    }

    /// Which kind of flags each block finds at its start, where all ways to it agree.
    fn find_flag_kinds(&mut self, region: &Region) {
        if self.slot(slot::FLAGS).is_none() {
            return;
        }
        for b in &mut self.blocks {
            if b.entry {
                b.flags_in = KindIn::Mixed;
            }
        }
        let last: Vec<Option<KindIn>> = (0..region.blocks.len()).map(|b| last_kind(region, b)).collect();
        let mut changed = true;
        while changed {
            changed = false;
            for k in 0..self.order.len() {
                let b = self.order[k];
                let out = last[b as usize].unwrap_or(self.blocks[b as usize].flags_in);
                for s in region.successors(BlockId(b)) {
                    let old = self.blocks[s.index()].flags_in;
                    let new = meet(old, out);
                    self.blocks[s.index()].flags_in = new;
                    changed |= new != old;
                }
            }
        }
    }

    /// Which blocks' flags somebody looks at.
    fn find_wanted_flags(&mut self, region: &Region) {
        let mut changed = true;
        while changed {
            changed = false;
            for k in (0..self.order.len()).rev() {
                let b = self.order[k];
                let wanted = region.successors(BlockId(b)).any(|s| {
                    let start = region.blocks[s.index()].ops.start;
                    self.flags_live_after(region, s.index(), start)
                });
                changed |= wanted != self.blocks[b as usize].flags_wanted;
                self.blocks[b as usize].flags_wanted = wanted;
            }
        }
    }

    /// Does anyone look at the flags as they are before op `from` of block `b`?
    pub(crate) fn flags_live_after(&self, region: &Region, b: usize, from: u32) -> bool {
        let end = region.blocks[b].ops.end;
        for op in &region.ops[from as usize..end as usize] {
            match *op {
                Op::Get { slot: slot::FLAGS, .. } | Op::Call { .. } => return true,
                Op::Set { slot: slot::FLAGS, .. } => return false,
                Op::Jump { .. } | Op::Branch { .. } => return self.blocks[b].flags_wanted,
                _ if op.effect() == Effect::End => return true,
                _ => {}
            }
        }
        true
    }
}

/// What a fault or a request to leave may show of flags that nothing reads.
impl Plan {
    /// Does the edge from block `from` to `to` close a loop?
    pub(crate) fn goes_back(&self, from: usize, to: usize) -> bool {
        self.position[to] <= self.position[from]
    }

    fn find_seen_flags(&mut self, region: &Region) {
        if self.slot(slot::FLAGS).is_none() {
            return;
        }
        let mut changed = true;
        while changed {
            changed = false;
            for k in (0..self.order.len()).rev() {
                let b = self.order[k] as usize;
                let seen = self.flags_seen_after(region, b, region.blocks[b].ops.start);
                changed |= seen != self.blocks[b].flags_seen;
                self.blocks[b].flags_seen = seen;
            }
        }
        changed = true;
        while changed {
            changed = false;
            for k in (0..self.order.len()).rev() {
                let b = self.order[k] as usize;
                if self.blocks[b].parent.is_none() && self.blocks[b].flags_seen {
                    let clobbers = self.clobbers_from(region, b);
                    changed |= clobbers != self.blocks[b].clobbers;
                    self.blocks[b].clobbers = clobbers;
                }
            }
        }
    }

    /// May anyone see the flags as they are before op `from` of block `b`?
    pub(crate) fn flags_seen_after(&self, region: &Region, b: usize, from: u32) -> bool {
        let end = region.blocks[b].ops.end;
        for op in &region.ops[from as usize..end as usize] {
            match *op {
                Op::Get { slot: slot::FLAGS, .. } => return true,
                Op::Set { slot: slot::FLAGS, .. } => return false,
                Op::Jump { .. } | Op::Branch { .. } => {
                    let mut next = region.successors(BlockId(b as u32)).map(BlockId::index);
                    return next.any(|s| self.goes_back(b, s) || self.blocks[s].flags_seen);
                }
                _ if matches!(op.effect(), Effect::Load | Effect::Store | Effect::Call | Effect::End) => return true,
                _ => {}
            }
        }
        true
    }

    /// [`BlockPlan::clobbers`] of the tree of blocks at `root`.
    fn clobbers_from(&self, region: &Region, root: usize) -> SlotSet {
        let mut clobbers = 0;
        let mut todo = vec![(root, 0)];
        while let Some((b, mut dirty)) = todo.pop() {
            let range = region.blocks[b].ops.start as usize..region.blocks[b].ops.end as usize;
            let overwritten = region.ops[range].iter().any(|op| {
                match *op {
                    Op::Set { slot: slot::FLAGS, .. } => return true,
                    Op::Set { slot, .. } => dirty |= self.slot(slot).map_or(0, |i| 1 << i),
                    // What was written by instructions before it goes to memory; its own may be thought to.
                    _ if matches!(op.effect(), Effect::Store | Effect::Call) => clobbers |= dirty,
                    _ => {}
                }
                clobbers |= if matches!(*op, Op::Set { slot, .. } if self.slot(slot).is_none()) { dirty } else { 0 };
                false
            });
            if overwritten {
                continue;
            }
            let all_children = region.successors(BlockId(b as u32)).all(|s| self.blocks[s.index()].parent.is_some());
            for s in region.successors(BlockId(b as u32)).map(BlockId::index) {
                match self.blocks[s].parent {
                    Some(_) => todo.push((s, dirty)),
                    None => clobbers |= self.blocks[s].clobbers,
                }
                clobbers |= if all_children { 0 } else { dirty };
            }
        }
        clobbers
    }
}

const fn words_of(class: Class) -> usize {
    match class {
        Class::Word => 1,
        Class::Vec => 2,
        Class::Flags => 3,
    }
}

/// Words that others than compiled code look at or change at any time.
const fn uncached(word: u16) -> bool {
    word == slot::PC.0
        || word == slot::FPCR.0
        || word == slot::FPSR.0
        || word == slot::EXIT_REQUEST.0
        || (word >= slot::SCRATCH.0 && word < slot::GUEST.0)
}

/// Combines what two ways to a block tell of the flags.
fn meet(a: KindIn, b: KindIn) -> KindIn {
    match (a, b) {
        (KindIn::Unknown, x) | (x, KindIn::Unknown) => x,
        (KindIn::Known(x), KindIn::Known(y)) if x == y => a,
        _ => KindIn::Mixed,
    }
}

/// The kind of flags that block `b` leaves; `None` if it leaves them alone.
fn last_kind(region: &Region, b: usize) -> Option<KindIn> {
    let range = region.blocks[b].ops.start as usize..region.blocks[b].ops.end as usize;
    for op in region.ops[range].iter().rev() {
        match *op {
            Op::Set { slot: slot::FLAGS, v, .. } => {
                return Some(static_kind(&region.ops[v.index()]).map_or(KindIn::Mixed, KindIn::Known));
            }
            Op::Call { .. } => return Some(KindIn::Mixed),
            _ => {}
        }
    }
    None
}

/// The lazy form in which the flags that `op` makes are stored; `None` if it depends.
pub(crate) fn static_kind(op: &Op) -> Option<FlagsKind> {
    use jib_ir::op::FlagOp;
    Some(match *op {
        Op::Flags { op: FlagOp::Add, ty: Ty::I32, .. } => FlagsKind::Add32,
        Op::Flags { op: FlagOp::Add, .. } => FlagsKind::Add64,
        Op::Flags { op: FlagOp::Sub, ty: Ty::I32, .. } => FlagsKind::Sub32,
        Op::Flags { op: FlagOp::Sub, .. } => FlagsKind::Sub64,
        Op::FlagsLogic { ty: Ty::I32, .. } => FlagsKind::Logic32,
        Op::FlagsLogic { .. } => FlagsKind::Logic64,
        Op::FlagsAdc { .. } | Op::FlagsPack { .. } | Op::Imm { .. } | Op::FCmp { .. } => FlagsKind::Packed,
        _ => return None,
    })
}
