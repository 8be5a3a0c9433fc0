//! Drops writes of state that are overwritten before anyone can see them.
//!
//! The promise: at every load, store, call and exit all state is as it was; an FP operation sees FPCR and FPSR.

use super::{NOTHING, Room, words};
use crate::op::{Effect, Op};
use crate::region::Region;
use crate::state::{STATE_WORDS, Slot, slot};
use crate::ty::Ty;

/// Which words of state are written again before anyone looks, walking backwards.
#[derive(Debug)]
pub(super) struct Overwritten {
    /// The epoch in which a word was found to be.
    since: [u32; STATE_WORDS],
    epoch: u32,
}

impl Default for Overwritten {
    fn default() -> Self {
        Overwritten { since: [0; STATE_WORDS], epoch: 0 }
    }
}

impl Overwritten {
    fn begin(&mut self) {
        // No region has so many ops that the epochs of one would not fit.
        if self.epoch > u32::MAX / 2 {
            *self = Overwritten::default();
        }
        self.forget();
    }
    fn forget(&mut self) {
        self.epoch += 1;
    }
    fn range(ty: Ty, at: Slot) -> std::ops::Range<usize> {
        let first = usize::from(at.0).min(STATE_WORDS);
        first..(first + words(ty)).min(STATE_WORDS)
    }
    fn read(&mut self, ty: Ty, at: Slot) {
        self.since[Self::range(ty, at)].fill(0);
    }
    /// Notes a write; was it in vain?
    fn write(&mut self, ty: Ty, at: Slot) -> bool {
        let words = &mut self.since[Self::range(ty, at)];
        let in_vain = words.iter().all(|&w| w == self.epoch);
        words.fill(self.epoch);
        in_vain
    }
}

/// Runs the pass.
pub(super) fn run(region: &mut Region, room: &mut Room) {
    let overwritten = &mut room.overwritten;
    overwritten.begin();
    for op in region.ops.iter_mut().rev() {
        match *op {
            Op::Get { ty, slot } => overwritten.read(ty, slot),
            Op::Set { ty, slot, .. } => {
                if overwritten.write(ty, slot) {
                    *op = NOTHING;
                }
            }
            _ => match op.effect() {
                Effect::Pure | Effect::Read | Effect::Write => {}
                Effect::Fp => {
                    overwritten.read(Ty::I64, slot::FPCR);
                    overwritten.read(Ty::I64, slot::FPSR);
                }
                Effect::Load | Effect::Store | Effect::Call | Effect::End => overwritten.forget(),
            },
        }
    }
}
