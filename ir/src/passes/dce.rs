//! Drops pure ops and reads of state that nothing uses.
//!
//! The promise: an op that may fault, write, or accumulate into FPSR stays. Blocks, marks and values are renumbered.

use super::{Room, renumber};
use crate::op::Effect;
use crate::region::{Region, Val};

/// Index of an op that is not used by any.
const UNUSED: u32 = u32::MAX;

/// Runs the pass.
pub(super) fn run(region: &mut Region, room: &mut Room) {
    let index = &mut room.index;
    if used(region, index) {
        return;
    }
    let mut kept = 0;
    for old in 0..region.ops.len() {
        let is_used = index[old] != UNUSED;
        // What is removed stands for the next op that is kept, for the sake of marks.
        index[old] = kept;
        if is_used {
            let mut op = region.ops[old];
            op.map_args(&mut |v| Val(index[v.index()]));
            region.ops[kept as usize] = op;
            kept += 1;
        }
    }
    region.ops.truncate(kept as usize);
    renumber(region, index);
}

/// For each op [`UNUSED`] or another number; whether all are used.
fn used(region: &Region, index: &mut Vec<u32>) -> bool {
    index.clear();
    index.resize(region.ops.len(), UNUSED);
    let mut all = true;
    for (i, op) in region.ops.iter().enumerate().rev() {
        let droppable = matches!(op.effect(), Effect::Pure | Effect::Read);
        if droppable && index[i] == UNUSED {
            all = false;
            continue;
        }
        index[i] = 0;
        op.for_each_arg(&mut |v| index[v.index()] = 0);
    }
    all
}
