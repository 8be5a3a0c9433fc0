//! What the cache takes from other runs and puts aside for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{At, Cache, Compiled, Lift, Subject, Thread, Tier, Unit, pages, virtual_page};
use crate::compile::Code;
use crate::store::Module;

/// Whether translations will be asked for by [`Cache::take_unkept`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// They will not.
    No,
    /// They will, as long as they live.
    Images,
    /// They will, also those that have died meanwhile, if their guest code was noted.
    Pages,
}

/// A translation as the cache has it, to be kept.
pub(crate) struct Made {
    pub(crate) subject: Subject,
    pub(crate) tier: Tier,
    pub(crate) code: Code,
}

/// About how many bytes of dead translations wait to be kept.
pub(super) const MOST_BURIED: usize = 64 << 20;

impl Cache {
    /// Takes `code` from another run into the cache for `unit`, unless it is stale since `lift` or there is no room.
    pub(crate) fn recall(&mut self, lift: Lift, unit: &Unit, subject: Subject, code: Code, tier: Tier) -> bool {
        let good = self.end_lift(lift, &subject.ranges);
        if !good || unit.dead.load(Ordering::Relaxed) || unit.code.load(Ordering::Relaxed) != 0 {
            return false;
        }
        // Then it goes when its code changes, and what is kept of the new code is looked for.
        if unit.extent.get().is_none() {
            self.register(unit, &subject.ranges);
            unit.set_extent(subject.ranges.clone());
        }
        self.publish(subject, code, tier, None)
    }

    /// All translations that the store does not have; it is taken to have them from now on.
    pub(crate) fn take_unkept(&mut self) -> Vec<Made> {
        self.buried_bytes = 0;
        let mut made = std::mem::take(&mut self.buried);
        for id in std::mem::take(&mut self.unkept) {
            if self.keeping == Keeping::Pages && self.regions.get(&id).is_none_or(|r| r.subject.words.is_empty()) {
                continue;
            }
            let Some(mut r) = self.regions.remove(&id) else { continue };
            made.push(self.made(&mut r));
            self.regions.insert(id, r);
        }
        made
    }

    /// Region `r` as it is kept; it is taken to be, from now on.
    pub(super) fn made(&self, r: &mut Compiled) -> Made {
        let code = Code {
            bytes: self.memory.bytes(r.address, r.len),
            relocs: std::mem::take(&mut r.code.relocs),
            targets: std::mem::take(&mut r.code.targets),
            entries: r.code.entries.clone(),
            faults: r.code.faults.clone(),
            cells: r.code.cells.iter().map(|_| AtomicU64::new(0)).collect(),
            slowness: r.code.slowness,
            executed: None,
            ops: r.code.ops.clone(),
        };
        let subject = r.subject.clone();
        r.subject.words = Vec::new();
        Made { subject, tier: r.tier, code }
    }

    /// Blocks that have run since this was last asked, and have no code.
    pub(crate) fn take_run(&mut self) -> Vec<At> {
        let mut blocks = self.seen.take();
        blocks.retain(|at| self.is_interpreted(*at));
        blocks
    }

    /// Takes what was kept of an image into the cache; `at` is a key in it. The indirect exits of `thread`, which is the
    /// calling one and runs no code now, find all of it.
    pub(crate) fn publish_module(&mut self, at: At, module: Module, thread: &Thread) {
        let module = Box::new(module);
        if self.closed || !self.memory.add_module(&module) {
            return;
        }
        let id = self.next_id;
        self.next_id += 1;
        let ranges = module.ranges();
        for page in pages(&ranges) {
            self.region_pages.entry(page).or_default().push(id);
        }
        for (key, code) in module.entries() {
            // Better code may be there already.
            let unit = self.units.get(&At { key, ..at });
            if unit.is_none_or(|u| u.code.load(Ordering::Relaxed) == 0 && !u.dead.load(Ordering::Relaxed)) {
                thread.tables.iter().for_each(|t| t.offer(key, code));
            }
        }
        let address = module.address();
        self.modules.push((module.addresses(), id));
        if !module.cells().is_empty() {
            self.by_cell.insert(module.cells().as_ptr() as u64, id);
        }
        let compiled = Compiled {
            tier: Tier::Quick,
            subject: Subject { at, ranges, words: Vec::new() },
            units: Vec::new(),
            module: Some(module),
            virtual_page: virtual_page(at.key.pc),
            address,
            code: Code::default(),
            len: 0,
            incoming: Vec::new(),
        };
        self.regions.insert(id, Box::new(compiled));
    }

    /// The unit of `at` with its code from a module that has it.
    pub(crate) fn enter_module(&mut self, at: At) -> Option<Arc<Unit>> {
        let found = |(_, id): &(_, u64)| Some((*id, self.regions.get(id)?.module.as_ref()?.entry(at.key)?));
        let (id, (code, tier)) = self.modules.iter().find_map(found)?;
        let (unit, _) = self.unit(at);
        unit.optimized.store(tier == Tier::Optimized, Ordering::Relaxed);
        unit.code.store(code, Ordering::Release);
        self.regions.get_mut(&id)?.units.push(at);
        Some(unit)
    }
}
