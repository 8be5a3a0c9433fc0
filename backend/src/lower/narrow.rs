//! Vector slots of which a part of the region reads only the float in lane 0: there they are scalars.
//!
//! Where a tree of blocks begins, memory has every slot whole, so a value that nothing reads but as a float may be just
//! that. Otherwise each edge would have to clear what is above it, in the middle of loops' dependency chains.

use cranelift_codegen::ir::{Type, types};
use jib_ir::op::Op;
use jib_ir::region::{BlockId, Region, Val};
use jib_ir::softfloat::Fmt;
use jib_ir::ty::{Lane, Shape, Size, Ty};

use super::plan::{Plan, SlotSet};

/// Slots that are read before they are written, by how much of them is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Widths {
    single: SlotSet,
    double: SlotSet,
    whole: SlotSet,
}

impl Widths {
    /// The type in which vector slot number `i` is handed on.
    pub(crate) fn of(self, i: usize) -> Type {
        match (self.whole >> i & 1, self.double >> i & 1, self.single >> i & 1) {
            (0, 1, 0) => types::F64,
            (0, 0, 1) => types::F32,
            _ => types::I8X16,
        }
    }

    fn add(&mut self, i: usize, part: Option<Fmt>) {
        let set = match part {
            Some(Fmt::S) => &mut self.single,
            Some(Fmt::D) => &mut self.double,
            Some(Fmt::H) | None => &mut self.whole,
        };
        *set |= 1 << i;
    }

    fn union(self, o: Widths) -> Widths {
        Widths { single: self.single | o.single, double: self.double | o.double, whole: self.whole | o.whole }
    }

    fn without(self, defs: SlotSet) -> Widths {
        Widths { single: self.single & !defs, double: self.double & !defs, whole: self.whole & !defs }
    }
}

/// For each block of `region`, what it and those after it read.
pub(crate) fn widths(region: &Region, plan: &Plan) -> Vec<Widths> {
    let own: Vec<(Widths, SlotSet)> = (0..region.blocks.len()).map(|b| read_by(region, plan, b)).collect();
    let mut all = vec![Widths::default(); region.blocks.len()];
    let mut changed = true;
    while changed {
        changed = false;
        for &b in plan.order.iter().rev() {
            let after = region.successors(BlockId(b)).fold(Widths::default(), |w, s| w.union(all[s.index()]));
            let (reads, defs) = own[b as usize];
            let new = reads.union(after.without(defs));
            changed |= new != all[b as usize];
            all[b as usize] = new;
        }
    }
    all
}

/// What block `b` reads before it writes it, and what it writes.
fn read_by(region: &Region, plan: &Plan, b: usize) -> (Widths, SlotSet) {
    let (mut reads, mut defs) = (Widths::default(), 0);
    // Slots read, by their values.
    let mut gotten: Vec<(Val, usize)> = Vec::new();
    for n in region.blocks[b].ops.clone() {
        let op = &region.ops[n as usize];
        op.for_each_arg(&mut |v| {
            if let Some(&(_, i)) = gotten.iter().find(|(got, _)| *got == v) {
                reads.add(i, part_read(op));
            }
        });
        match *op {
            Op::Get { ty: Ty::V128, slot } => {
                if let Some(i) = plan.slot(slot).filter(|i| defs >> i & 1 == 0) {
                    gotten.push((Val(n), i));
                }
            }
            Op::Set { slot, .. } => defs |= plan.slot(slot).map_or(0, |i| 1 << i),
            Op::Call { .. } => defs = SlotSet::MAX,
            _ => {}
        }
    }
    (reads, defs)
}

/// The float that is all `op` reads of its vector operands; `None` if it may read more.
fn part_read(op: &Op) -> Option<Fmt> {
    match *op {
        Op::FBin { fmt, shape: Shape::Scalar, .. }
        | Op::FUn { fmt, shape: Shape::Scalar, .. }
        | Op::FSign { fmt, shape: Shape::Scalar, .. }
        | Op::FMulAdd { fmt, shape: Shape::Scalar, .. }
        | Op::FRound { fmt, shape: Shape::Scalar, .. }
        | Op::FMask { fmt, shape: Shape::Scalar, .. }
        | Op::FCmp { fmt, .. }
        | Op::FToInt { fmt, lanes: 1, .. }
        | Op::FCvt { from: fmt, lanes: 1, .. } => Some(fmt),
        Op::IntToF { from: Lane::S, lanes: 1, .. }
        | Op::Store { ty: Ty::V128, size: Size::B4, .. }
        | Op::VGet { lane: Lane::S, idx: 0, .. }
        | Op::VZeroHi { bytes: 4, .. } => Some(Fmt::S),
        Op::IntToF { from: Lane::D, lanes: 1, .. }
        | Op::Store { ty: Ty::V128, size: Size::B8, .. }
        | Op::VGet { lane: Lane::D, idx: 0, .. }
        | Op::VZeroHi { bytes: 8, .. } => Some(Fmt::D),
        _ => None,
    }
}
