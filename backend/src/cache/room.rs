//! Room: what gives way to new code, what is freed when, and how all is given back.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use rustc_hash::FxHashMap;

use super::seen::Seen;
use super::{At, Cache, Compiled, OUTSIDE, Tier};
use crate::compile::Code;

impl Cache {
    /// Room for `code` of region `id`; makes the next segment of the arena free if the current one is full.
    pub(super) fn place(&mut self, code: &Code, id: u64) -> Option<u64> {
        if !self.memory.may_add() {
            // What is there is another process's: do without compiled code.
            self.abandon();
            return None;
        }
        if let Some(at) = self.memory.add(&code.bytes, &*code.faults, id) {
            return Some(at);
        }
        let next = self.memory.following_segment();
        let old: Vec<u64> = self.regions.iter().filter(|(_, r)| self.lies_in(r, next)).map(|(id, _)| *id).collect();
        self.evicted += old.len() as u64;
        for id in old {
            self.retire(id);
        }
        self.collect();
        if self.limbo.iter().any(|(_, r)| self.lies_in(r, next)) || !self.memory.make_own() {
            return None;
        }
        self.memory.advance();
        self.memory.add(&code.bytes, &*code.faults, id)
    }

    /// Does `region` lie in this segment of the code memory?
    pub(super) fn lies_in(&self, region: &Compiled, segment: usize) -> bool {
        region.module.is_none() && self.memory.segment_of(region.address) == segment
    }

    /// Frees dead regions that no thread can be inside any more.
    pub(super) fn collect(&mut self) {
        let oldest = self.threads.iter().map(|t| t.inside_since.load(Ordering::SeqCst)).min().unwrap_or(OUTSIDE);
        let (memory, executed) = (&self.memory, &mut self.executed);
        self.limbo.retain(|(after, dead)| {
            let kept = *after > oldest;
            if !kept {
                executed[usize::from(dead.tier == Tier::Optimized)] += dead.code.executed();
            }
            if let Some(module) = dead.module.as_ref().filter(|_| !kept) {
                memory.remove_module(module);
            }
            kept
        });
    }

    /// Forgets all units without code, if their blocks take much room.
    pub(super) fn sweep(&mut self) {
        self.lifted_bytes = self.units.values().filter_map(|u| u.block_weight()).sum();
        if self.lifted_bytes <= self.most_lifted_bytes / 2 {
            return;
        }
        let cold: Vec<At> = self.units.values().filter(|u| u.code.load(Ordering::Relaxed) == 0).map(|u| u.at).collect();
        cold.into_iter().for_each(|at| self.kill_unit(at));
        let units = &self.units;
        self.unit_pages.retain(|_, ats| {
            ats.retain(|at| units.contains_key(at));
            !ats.is_empty()
        });
        self.lifted_bytes = 0;
    }

    /// Kills everything and gives its memory back, which takes that no thread is inside of compiled code.
    pub(crate) fn reset(&mut self) {
        self.invalidate(0..u64::MAX);
        if !self.limbo.is_empty() || !self.regions.is_empty() || !self.memory.make_own() {
            return;
        }
        // What is left has no block and no code.
        self.units.values().for_each(|u| u.dead.store(true, Ordering::SeqCst));
        self.units = FxHashMap::default();
        (self.unit_pages, self.region_pages) = (FxHashMap::default(), FxHashMap::default());
        self.by_virtual_page = self.by_virtual_page.is_some().then(FxHashMap::default);
        (self.regions, self.by_cell) = (FxHashMap::default(), BTreeMap::new());
        (self.wanted, self.unkept) = (Vec::new(), Vec::new());
        self.seen = Seen::new(self.by_virtual_page.is_some());
        (self.buried, self.buried_bytes, self.lifted_bytes) = (Vec::new(), 0, 0);
        self.memory.reset();
    }

    /// Number of units.
    pub(crate) fn size(&self) -> usize {
        self.units.len()
    }

    /// Gives up all compiled code, and making any.
    pub(crate) fn abandon(&mut self) {
        let all: Vec<u64> = self.regions.keys().copied().collect();
        for id in all {
            self.retire(id);
        }
        self.closed = true;
    }
}
