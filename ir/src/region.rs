//! A region: the unit of translation, several blocks of ops with loops inside.

use std::ops::Range;

use crate::op::{Effect, Op};
use crate::state::slot;

/// The index of the op that defines a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Val(pub u32);

impl Val {
    /// An absent optional operand.
    pub const NONE: Val = Val(u32::MAX);
    /// Index into [`Region::ops`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The index of a block in its region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct BlockId(pub u32);

impl BlockId {
    /// Index into [`Region::blocks`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What selects a translation: where, and under which mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Guest address of the first instruction.
    pub pc: u64,
    /// Whatever else changes the code: bit 0 tells that FPCR is not zero; frontends use the rest.
    pub mode: u32,
}

impl Key {
    /// `mode` bit: FPCR holds something else than its reset value, so no FP op may assume
    /// round-to-nearest, default NaN off, and no flushing.
    pub const FPCR_SET: u32 = 1;
    /// `mode` bit: wherever code runs under this mode, addresses in the upper half (bit 63 set) mean the same physical
    /// ones, until the translator is told otherwise. Translations may then go there without asking.
    pub const UPPER_FIXED: u32 = 1 << 31;
}

/// A straight run of ops; the last one is its only [`Effect::End`].
///
/// Values do not cross blocks: what must survive is in guest state. (Executors forward it.)
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Guest address of the block's first instruction.
    pub pc: u64,
    /// Its ops.
    pub ops: Range<u32>,
    /// Guest instructions in it.
    pub insns: u32,
}

/// Marks the first op of a guest instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InsnMark {
    /// Index of the op; the instruction's ops run to the next mark or the block's end.
    pub op: u32,
    /// Guest address.
    pub pc: u64,
    /// As lifted, the instruction or a later one of its block reads the flags as they are before it. (Passes remove
    /// reads; whoever goes on from here in another translation still makes them.)
    pub flags_read: bool,
}

impl InsnMark {
    /// A mark of op `op` for the instruction at `pc`; that the flags are not read is for [`Region::note_flag_reads`] to
    /// find out.
    pub const fn new(op: u32, pc: u64) -> InsnMark {
        InsnMark { op, pc, flags_read: true }
    }
}

/// A translated piece of guest code.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// What it was translated from. Block 0 is its entry.
    pub key: Key,
    /// The blocks, in order of their ops.
    pub blocks: Vec<Block>,
    /// All ops.
    pub ops: Vec<Op>,
    /// Where guest instructions begin, ascending by op.
    pub marks: Vec<InsnMark>,
    /// Blocks that may be entered from outside, block 0 always among them.
    pub entries: Vec<BlockId>,
    /// Guest code bytes that the region was made from, as ascending address ranges that do not touch.
    pub code: Vec<Range<u64>>,
}

impl Default for Region {
    /// A region without blocks, to be built.
    fn default() -> Region {
        let key = Key { pc: 0, mode: 0 };
        Region { key, blocks: Vec::new(), ops: Vec::new(), marks: Vec::new(), entries: Vec::new(), code: Vec::new() }
    }
}

impl Region {
    /// Guest pc of the instruction that op `index` belongs to.
    pub fn pc_of(&self, index: u32) -> u64 {
        match self.marks.partition_point(|m| m.op <= index) {
            0 => self.key.pc,
            n => self.marks[n - 1].pc,
        }
    }

    /// Fills in [`InsnMark::flags_read`] from the ops.
    pub fn note_flag_reads(&mut self) {
        let mut mark = self.marks.len();
        for block in self.blocks.iter().rev() {
            let mut read = false;
            for i in block.ops.clone().rev() {
                match self.ops[i as usize] {
                    Op::Get { slot: slot::FLAGS, .. } | Op::Call { .. } => read = true,
                    Op::Set { slot: slot::FLAGS, .. } => read = false,
                    _ => {}
                }
                while mark > 0 && self.marks[mark - 1].op == i {
                    mark -= 1;
                    self.marks[mark].flags_read = read;
                }
            }
        }
    }

    /// Number of guest instructions.
    pub fn insns(&self) -> u32 {
        self.blocks.iter().map(|b| b.insns).sum()
    }

    /// The blocks that `block` may continue at inside the region.
    #[inline]
    pub fn successors(&self, block: BlockId) -> impl Iterator<Item = BlockId> + use<> {
        let last = self.ops[self.blocks[block.index()].ops.end as usize - 1];
        debug_assert_eq!(last.effect(), Effect::End);
        let (a, b) = match last {
            Op::Jump { to } => (Some(to), None),
            Op::Branch { then, els, .. } => (Some(then), Some(els)),
            _ => (None, None),
        };
        a.into_iter().chain(b)
    }
}
