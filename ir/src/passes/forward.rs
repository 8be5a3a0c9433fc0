//! Reads of state that the block has read or written before become that value.
//!
//! One half of [`super::simplify`]. The promise: only within a block, and not across a call; FPSR not across an FP operation; `EXIT_REQUEST`, which
//! other threads write, not at all. Writes of what is there already go.

use super::{NOTHING, words};
use crate::op::{Effect, Op};
use crate::region::Val;
use crate::state::{STATE_WORDS, Slot, slot};
use crate::ty::{Lane, Ty};

/// What a word of state is known to hold.
#[derive(Clone, Copy, Debug)]
struct Known {
    v: Val,
    ty: Ty,
    /// The whole slot is known, not just the low half of it.
    whole: bool,
    /// Valid only in this epoch.
    epoch: u32,
}

#[derive(Debug)]
pub(super) struct Tracker {
    known: [Known; STATE_WORDS],
    epoch: u32,
}

impl Default for Tracker {
    fn default() -> Self {
        let nothing = Known { v: Val::NONE, ty: Ty::I64, whole: false, epoch: 0 };
        Tracker { known: [nothing; STATE_WORDS], epoch: 0 }
    }
}

impl Tracker {
    pub(super) fn begin(&mut self) {
        // No region has so many ops that the epochs of one would not fit.
        if self.epoch > u32::MAX / 2 {
            *self = Tracker::default();
        }
        self.forget_all();
    }

    fn forget_all(&mut self) {
        self.epoch += 1;
    }

    fn find(&self, at: Slot) -> Option<Known> {
        self.known.get(usize::from(at.0)).copied().filter(|k| k.epoch == self.epoch)
    }

    /// Forgets every value that overlaps a slot of type `ty`.
    fn forget(&mut self, ty: Ty, at: Slot) {
        let first = usize::from(at.0);
        for word in first..(first + words(ty)).min(STATE_WORDS) {
            self.known[word].epoch = 0;
        }
        for word in first.saturating_sub(2)..first.min(STATE_WORDS) {
            if word + words(self.known[word].ty) > first {
                self.known[word].epoch = 0;
            }
        }
    }

    fn learn(&mut self, at: Slot, ty: Ty, v: Val, whole: bool) {
        self.forget(ty, at);
        if at != slot::EXIT_REQUEST
            && let Some(known) = self.known.get_mut(usize::from(at.0))
        {
            *known = Known { v, ty, whole, epoch: self.epoch };
        }
    }
}

/// The op that reads `ty` out of what is known, if it takes one.
enum Read {
    Same(Val),
    Through(Op),
    Unknown,
}

fn read(ty: Ty, known: Option<Known>) -> Read {
    let Some(Known { v, ty: from, whole, .. }) = known else { return Read::Unknown };
    match (from, ty) {
        _ if from == ty => Read::Same(v),
        (Ty::I64, Ty::I32) => Read::Through(Op::Ext { ty, signed: false, bits: 32, a: v }),
        (Ty::I32, Ty::I64) if whole => Read::Through(Op::Ext { ty, signed: false, bits: 32, a: v }),
        (Ty::I32 | Ty::I64, Ty::Bool) => Read::Through(Op::TestBit { ty: from, a: v, bit: 0 }),
        (Ty::V128, Ty::I64) => Read::Through(Op::VGet { lane: Lane::D, idx: 0, v }),
        (Ty::Bool, Ty::I32 | Ty::I64) if whole => Read::Through(Op::FromBool { ty, c: v }),
        _ => Read::Unknown,
    }
}

impl Tracker {
    /// Looks at op `this`, `op`; the value that it is found to be, if that is there already.
    #[inline]
    pub(super) fn step(&mut self, this: Val, op: &mut Op) -> Option<Val> {
        match *op {
            Op::Get { ty, slot } => match read(ty, self.find(slot)) {
                Read::Same(v) => {
                    *op = NOTHING;
                    return Some(v);
                }
                Read::Through(conversion) => *op = conversion,
                Read::Unknown => self.learn(slot, ty, this, matches!(ty, Ty::I64 | Ty::V128 | Ty::Flags)),
            },
            Op::Set { ty, slot, v } => match self.find(slot) {
                Some(k) if k.v == v && k.ty == ty && k.whole => *op = NOTHING,
                _ => self.learn(slot, ty, v, true),
            },
            _ => match op.effect() {
                Effect::Fp => self.forget(Ty::I64, slot::FPSR),
                Effect::Call | Effect::End => self.forget_all(),
                _ => {}
            },
        }
        None
    }
}
