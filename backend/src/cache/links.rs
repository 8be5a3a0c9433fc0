//! Ways from one region to another: who leads where, until it is taken back.

use std::sync::atomic::Ordering;

use super::{At, Cache};
use crate::abi::CELL_BYTES;
use crate::quick;

impl Cache {
    /// Makes the exit behind cell address `cell` go straight to `at`, if both are alive.
    pub(crate) fn link(&mut self, cell: u64, at: At) {
        let Some((&base, &from)) = self.by_cell.range(..=cell).next_back() else { return };
        let Some(code) = self.units.get(&at).map(|u| u.code.load(Ordering::Relaxed)).filter(|c| *c != 0) else {
            return;
        };
        let Some(to) = self.region_at(code) else { return };
        let number = (cell - base) as usize / CELL_BYTES;
        let Some(slot) = self.regions.get(&from).and_then(|r| r.cells().get(number)) else { return };
        slot.store(code, Ordering::Release);
        self.links += 1;
        self.recount(cell, quick::FIRST_COUNT);
        let Some(mut incoming) = self.regions.get_mut(&to).map(|target| std::mem::take(&mut target.incoming)) else {
            return;
        };
        if incoming.len() >= 64 && incoming.len().is_power_of_two() {
            // Ways may have been taken away and come back, or begun in code that is gone.
            incoming.sort_unstable();
            incoming.dedup();
            incoming.retain(|(from, _)| self.regions.contains_key(from));
        }
        incoming.push((from, number));
        if let Some(target) = self.regions.get_mut(&to) {
            target.incoming = incoming;
        }
    }

    /// Starts the count-down next to `cell` anew, if it has one.
    pub(crate) fn recount(&self, cell: u64, count: u64) {
        let Some((&base, id)) = self.by_cell.range(..=cell).next_back() else { return };
        let number = (cell - base) as usize / CELL_BYTES;
        if let Some(counter) = self.regions.get(id).and_then(|r| r.counter(number + 1)) {
            counter.store(count, Ordering::Relaxed);
        }
    }

    /// Is there code that was seen in guest page `page`?
    pub(crate) fn has_code_at(&self, page: u64) -> bool {
        self.by_virtual_page.as_ref().and_then(|pages| pages.get(&page)).is_some_and(|ids| !ids.is_empty())
    }

    /// Undoes all links from other pages to code in guest page `page` (see [`virtual_page`]): it may be mapped
    /// elsewhere now.
    pub(crate) fn unlink_virtual_page(&mut self, page: u64) {
        let Some(ids) = self.by_virtual_page.as_ref().and_then(|pages| pages.get(&page)) else { return };
        for id in ids.clone() {
            let Some(target) = self.regions.get_mut(&id) else { continue };
            for (from, number) in std::mem::take(&mut target.incoming) {
                if let Some(region) = self.regions.get(&from) {
                    region.cells()[number].store(self.stub, Ordering::SeqCst);
                }
            }
        }
    }

    /// Undoes all links between pages.
    pub(crate) fn unlink_all(&mut self) {
        let pages: Vec<u64> = self.by_virtual_page.iter().flat_map(|pages| pages.keys().copied()).collect();
        for page in pages {
            self.unlink_virtual_page(page);
        }
    }
}
