//! A single block as the interpreter wants it, without loops inside: whoever runs it counts each run.

use jib_ir::op::Op;
use jib_ir::region::{Block, BlockId, Region};

/// Makes jumps inside a block's region leave it, so that the run loop counts each run.
pub(crate) fn cut_loops(region: &mut Region) {
    let blocks = region.blocks.len();
    for b in 0..blocks {
        let last = region.blocks[b].ops.end as usize - 1;
        let mut op = region.ops[last];
        match &mut op {
            Op::Jump { to } => *to = exit_block(region, *to),
            Op::Branch { then, els, .. } => {
                *then = exit_block(region, *then);
                *els = exit_block(region, *els);
            }
            _ => continue,
        }
        region.ops[last] = op;
    }
}

/// A block that leaves for where block `to` begins: `to` itself if it does no more than that, else a new one.
fn exit_block(region: &mut Region, to: BlockId) -> BlockId {
    let Block { pc, ref ops, .. } = region.blocks[to.index()];
    if ops.len() == 1 && matches!(region.ops[ops.start as usize], Op::Exit { .. }) && to.index() != 0 {
        return to;
    }
    let start = region.ops.len() as u32;
    region.ops.push(Op::Exit { pc, kind: jib_ir::op::ExitKind::Jump });
    region.blocks.push(Block { pc, ops: start..start + 1, insns: 0 });
    BlockId(region.blocks.len() as u32 - 1)
}
