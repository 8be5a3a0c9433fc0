//! Passes that make a region smaller without changing what it does.
//!
//! The promise: from any verified region a pass makes a verified one with the same effect on state and memory, the same
//! exits, and the exact guest state wherever it can be observed: at loads, stores, calls and exits. Each takes linear
//! time.

mod dce;
mod dead_set;
mod flags;
mod fold;
mod forward;
mod simplify;
#[cfg(test)]
mod tests;

use crate::op::Op;
use crate::region::{Region, Val};
use crate::ty::Ty;

/// A pass.
pub type Pass = fn(&mut Region, &mut Room);

/// What passes write down as they go. Most regions are single blocks, where making such room anew for each would take
/// longer than the passes themselves.
#[derive(Debug, Default)]
pub struct Room {
    known: forward::Tracker,
    overwritten: dead_set::Overwritten,
    renames: Renames,
    index: Vec<u32>,
    place: Vec<u32>,
    ops: Vec<Op>,
    inserted: Vec<(u32, Op)>,
    replaced: Vec<(u32, Op)>,
}

/// All passes, by name, in the order that [`run`] takes them.
pub const PASSES: &[(&str, Pass)] =
    &[("simplify", simplify::run), ("flags", flags::run), ("dead-set", dead_set::run), ("dce", dce::run)];

/// Runs every pass on `region`.
pub fn run(region: &mut Region) {
    run_in(region, &mut Room::default());
}

/// The same, in `room` that was used before or is new.
pub fn run_in(region: &mut Region, room: &mut Room) {
    run_but_dce(region, room);
    dce::run(region, room);
}

/// The same for whoever finds out what is used anyway: values without uses are still there.
pub fn run_but_dce(region: &mut Region, room: &mut Room) {
    simplify::run(region, room);
    flags::run(region, room);
    dead_set::run(region, room);
}

/// What stands in the place of an op that is to go: pure and without uses, so [`dce`] removes it.
const NOTHING: Op = Op::Imm { ty: Ty::Bool, v: 0 };

/// Which value each value has been found to be.
#[derive(Debug, Default)]
struct Renames {
    to: Vec<Val>,
    /// Has any been found to be another?
    any: bool,
}

impl Renames {
    /// Forgets what it knows, for the values of `region`.
    fn begin(&mut self, region: &Region) {
        self.any = false;
        self.to.clear();
        self.to.extend((0..region.ops.len() as u32).map(Val));
    }
    /// From now on operands that are op `index`'s value become `v`.
    fn set(&mut self, index: usize, v: Val) {
        self.to[index] = v;
        self.any = true;
    }
    fn apply(&self, op: &mut Op) {
        if self.any {
            op.map_args(&mut |v| self.to[v.index()]);
        }
    }
}

/// Words of guest state that a slot of type `ty` takes.
const fn words(ty: Ty) -> usize {
    match ty {
        Ty::Bool | Ty::I32 | Ty::I64 => 1,
        Ty::V128 => 2,
        Ty::Flags => 3,
    }
}

/// Moves blocks' and marks' positions: what was before op `i` is now before op `new_index[i]`.
fn renumber(region: &mut Region, new_index: &[u32]) {
    let total = region.ops.len() as u32;
    let at = |old: u32| new_index.get(old as usize).copied().unwrap_or(total);
    for block in &mut region.blocks {
        block.ops = at(block.ops.start)..at(block.ops.end);
    }
    for mark in &mut region.marks {
        mark.op = at(mark.op);
    }
}
