//! One guest address in one mode, as its threads see it: a block to interpret, code to enter, counts of runs.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jib_ir::region::{Key, Region};

use super::overlap;

/// What a translation is of: a key and, where addresses are translated, the physical page of its code (else 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct At {
    pub(crate) key: Key,
    pub(crate) page: u64,
}

impl At {
    /// Another guest address, in the same mode and page.
    pub(crate) fn to(self, pc: u64) -> At {
        At { key: Key { pc, ..self.key }, ..self }
    }
}

/// One guest address in one mode: its interpretable block and its code, if any.
pub(crate) struct Unit {
    pub(crate) at: At,
    /// The single block for the interpreter and the quick tier: lifted when wanted, dropped when translated. Locked
    /// past the translator's fork gate only, and never while another lock is asked for.
    block: Mutex<Option<Arc<Region>>>,
    /// Guest bytes of the block, once it has been lifted.
    pub(super) extent: OnceLock<Vec<Range<u64>>>,
    /// Address of compiled code, or 0.
    pub(crate) code: AtomicU64,
    /// Runs in the interpreter.
    pub(crate) runs: AtomicU32,
    /// The quick tier cannot translate the block.
    pub(crate) too_hard: AtomicBool,
    /// The compiled code is Cranelift's.
    pub(crate) optimized: AtomicBool,
    /// Compilation has been asked for.
    pub(crate) queued: AtomicBool,
    /// The guest code changed: look the key up again.
    pub(crate) dead: AtomicBool,
}

/// About how many bytes a block takes.
pub(super) fn weight(block: &Region) -> usize {
    size_of::<Region>() + std::mem::size_of_val(&*block.ops) + std::mem::size_of_val(&*block.marks) + 128
}

impl Unit {
    pub(super) fn new(at: At) -> Arc<Unit> {
        Arc::new(Unit {
            at,
            block: Mutex::new(None),
            extent: OnceLock::new(),
            code: AtomicU64::new(0),
            runs: AtomicU32::new(0),
            too_hard: AtomicBool::new(false),
            optimized: AtomicBool::new(false),
            queued: AtomicBool::new(false),
            dead: AtomicBool::new(false),
        })
    }

    /// The block, if it has been lifted and not been dropped.
    pub(crate) fn block(&self) -> Option<Arc<Region>> {
        self.block.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn drop_block(&self) {
        *self.block.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn set_extent(&self, ranges: Vec<Range<u64>>) {
        let _ = self.extent.set(ranges);
    }

    /// Is its code optimised, or going to be?
    pub(crate) fn is_settled(&self) -> bool {
        self.optimized.load(Ordering::Relaxed) || self.queued.load(Ordering::Relaxed)
    }

    pub(super) fn set_block(&self, region: Region) {
        let _ = self.extent.set(region.code.clone());
        *self.block.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(region));
    }

    /// About how many bytes its block takes, if it is there.
    pub(super) fn block_weight(&self) -> Option<usize> {
        self.block.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|b| weight(b))
    }

    /// Was it made from guest bytes in `range`? True as long as that is not known.
    pub(super) fn lies_in(&self, range: &Range<u64>) -> bool {
        self.extent.get().is_none_or(|extent| extent.iter().any(|r| overlap(r, range)))
    }
}
