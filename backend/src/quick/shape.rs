//! How the blocks of a region hang together: where several ways meet, and which ways lead back.

use jib_ir::region::{BlockId, Region};
use smallvec::SmallVec;

/// See the module documentation.
pub(super) struct Shape {
    blocks: SmallVec<[Shaped; 8]>,
    /// Number of blocks that do more than leave.
    code: usize,
}

struct Shaped {
    /// Ways to it from inside, or from outside where it has to be an entry.
    ways: u32,
    /// The last block with a way to it.
    from: usize,
    /// Its guest address; if it only leaves, the highest of a block that leads to it.
    pc: u64,
    code: bool,
    /// Its ops follow those of the block before it.
    adjacent: bool,
}

impl Shape {
    pub(super) fn of(region: &Region) -> Shape {
        let shaped = region.blocks.iter().enumerate().map(|(n, b)| {
            let code = n == 0 || b.insns > 0 || b.ops.len() > 1;
            let adjacent = n > 0 && region.blocks[n - 1].ops.end == b.ops.start;
            Shaped { ways: 0, from: usize::MAX, pc: if code { b.pc } else { 0 }, code, adjacent }
        });
        let mut blocks: SmallVec<[Shaped; 8]> = shaped.collect();
        for entry in &region.entries {
            blocks[entry.index()].ways += 1;
        }
        for from in 0..blocks.len() {
            let pc = blocks[from].pc;
            for to in region.successors(BlockId(from as u32)) {
                let to = &mut blocks[to.index()];
                to.ways += 1;
                to.from = from;
                if !to.code {
                    to.pc = to.pc.max(pc);
                }
            }
        }
        let code = blocks.iter().filter(|b| b.code).count();
        Shape { blocks, code }
    }

    /// Number of blocks that do more than leave.
    pub(super) fn blocks(&self) -> usize {
        self.code
    }

    /// Does block `b` do more than leave?
    pub(super) fn is_code(&self, b: usize) -> bool {
        self.blocks[b].code
    }

    /// Is the only way to block `b` from the block before it?
    pub(super) fn goes_on(&self, b: usize) -> bool {
        let block = &self.blocks[b];
        block.ways == 1 && block.adjacent && block.from == b - 1 && (!block.code || self.is_forward(b - 1, b))
    }

    /// Does a jump from block `from` to `to` lead forward, in the code and in the guest's addresses? Each cycle of
    /// blocks has one that does not. (What only leaves looks where it leads by itself.)
    pub(super) fn is_forward(&self, from: usize, to: usize) -> bool {
        to > from && (!self.blocks[to].code || self.blocks[to].pc > self.blocks[from].pc)
    }

    /// Does an exit of block `b` to guest address `pc` lead back?
    pub(super) fn leads_back(&self, b: usize, pc: u64) -> bool {
        pc <= self.blocks[b].pc
    }
}
