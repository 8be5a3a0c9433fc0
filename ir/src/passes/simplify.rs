//! What is known before the code runs is not computed by it: reads of state that is at hand, constants, identities.
//!
//! The promise: one walk, in which each op is looked at with its operands already simplified, first by [`super::forward`], then
//! by [`fold`].

use super::{Room, fold};
use crate::region::{Region, Val};

/// Runs the pass.
pub(super) fn run(region: &mut Region, room: &mut Room) {
    let Room { known, renames, .. } = room;
    known.begin();
    renames.begin(region);
    for i in 0..region.ops.len() {
        let (before, rest) = region.ops.split_at_mut(i);
        let op = &mut rest[0];
        renames.apply(op);
        if let Some(v) = known.step(Val(i as u32), op).or_else(|| fold::step(before, op)) {
            renames.set(i, v);
        }
    }
}
