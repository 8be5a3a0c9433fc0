//! Ways from one region to another: who leads where, until it is taken back.

use std::ops::Range;
use std::sync::atomic::Ordering;

use jib_ir::region::Key;

use super::{At, Cache, Subject, Tier};
use crate::abi::CELL_BYTES;
use crate::compile::Code;
use crate::quick;

impl Cache {
    /// Makes the exits of `code`, which will be region `id`, go straight to what there is already. (What comes later is
    /// linked when an exit is used.) Those that lead to its `own` host addresses are added to the list there.
    pub(super) fn link_ahead(
        &mut self,
        id: u64,
        subject: &Subject,
        code: &Code,
        tier: Tier,
        own: (Range<u64>, &mut Vec<(u64, usize)>),
    ) {
        for &(number, pc) in &code.targets {
            let key = Key { pc, ..subject.at.key };
            let Some(unit) = self.units.get(&At { key, ..subject.at }) else { continue };
            let to = unit.code.load(Ordering::Relaxed);
            // Optimised code does not count how often it leaves for what may become hot.
            if to == 0 || tier == Tier::Optimized && !unit.is_settled() {
                continue;
            }
            let incoming = if own.0.contains(&to) {
                Some(&mut *own.1)
            } else {
                self.region_at(to).and_then(|id| self.regions.get_mut(&id)).map(|r| &mut r.incoming)
            };
            let Some(incoming) = incoming else { continue };
            incoming.push((id, number as usize));
            code.cells[number as usize].store(to, Ordering::Relaxed);
            self.links += 1;
        }
    }

    /// Makes cells that lead to host address `old` lead to `new`, and adds them to `incoming`, the list of what does.
    pub(super) fn inherit(&mut self, old: u64, new: u64, incoming: &mut Vec<(u64, usize)>) {
        let Some(id) = self.region_at(old) else { return };
        let Some(mut known) = self.regions.get_mut(&id).map(|r| std::mem::take(&mut r.incoming)) else { return };
        known.retain(|(from, number)| {
            let Some(cell) = self.regions.get(from).map(|r| &r.cells()[*number]) else { return false };
            let moves = cell.load(Ordering::Relaxed) == old;
            if moves {
                cell.store(new, Ordering::Release);
                incoming.push((*from, *number));
            }
            !moves
        });
        if let Some(region) = self.regions.get_mut(&id) {
            region.incoming = known;
        }
    }

    /// Makes the exit behind cell address `cell` go straight to `at`, if both are alive.
    ///
    /// `since` is the epoch at which the thread that came through the exit entered compiled code: if anything has died
    /// meanwhile, the cell may be another's by now, so that it waits for the next time.
    ///
    /// With `counted`, not from optimised code to such as may still be worth it, for nothing counts there: then this
    /// is true.
    pub(crate) fn link(&mut self, cell: u64, at: At, since: u64, counted: bool) -> bool {
        let steady = self.epoch.load(Ordering::SeqCst) == since;
        steady && self.try_link(cell, at, counted).unwrap_or(false)
    }

    fn try_link(&mut self, cell: u64, at: At, counted: bool) -> Option<bool> {
        let (&base, &from) = self.by_cell.range(..=cell).next_back()?;
        let unit = self.units.get(&at)?;
        let code = Some(unit.code.load(Ordering::Relaxed)).filter(|c| *c != 0)?;
        let settled = unit.is_settled();
        let to = self.region_at(code)?;
        let number = (cell - base) as usize / CELL_BYTES;
        let region = self.regions.get(&from)?;
        if counted && !settled && region.tier == Tier::Optimized {
            return Some(true);
        }
        let slot = region.cells().get(number)?;
        slot.store(code, Ordering::Release);
        self.links += 1;
        self.recount(cell, false);
        let mut incoming = std::mem::take(&mut self.regions.get_mut(&to)?.incoming);
        if incoming.len() >= 64 && incoming.len().is_power_of_two() {
            // Ways may have been taken away and come back, or begun in code that is gone.
            incoming.sort_unstable();
            incoming.dedup();
            incoming.retain(|(from, _)| self.regions.contains_key(from));
        }
        incoming.push((from, number));
        self.regions.get_mut(&to)?.incoming = incoming;
        Some(false)
    }

    /// Starts the count-down next to `cell` anew, if it has one. `known`: what the cell leads to is optimised, or will be.
    pub(crate) fn recount(&self, cell: u64, known: bool) {
        let Some((&base, id)) = self.by_cell.range(..=cell).next_back() else { return };
        let number = (cell - base) as usize / CELL_BYTES;
        let Some(region) = self.regions.get(id) else { return };
        let count = if known { quick::LATER_COUNT } else { quick::first_count(region.code.slowness) };
        if let Some(counter) = region.counter(number + 1) {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::Keeping;
    use super::*;
    use crate::code_memory::CodeMemory;

    const STUB: u64 = 1;

    fn at(pc: u64) -> At {
        At { key: Key { pc, mode: 0 }, page: 0 }
    }

    /// Takes code for guest address `pc` in, with one exit; the address of its cell.
    fn publish(cache: &mut Cache, pc: u64) -> u64 {
        let code =
            Code { bytes: vec![0xc3], entries: vec![(pc, 0)], cells: quick::new_cells(1, STUB, 1), ..Code::default() };
        let cell = code.cells.as_ptr() as u64;
        let subject = Subject { at: at(pc), ranges: std::iter::once(pc..pc + 4).collect(), words: Vec::new() };
        assert!(cache.publish(subject, code, Tier::Quick, None));
        cell
    }

    fn leads_to(cache: &Cache, cell: u64) -> u64 {
        let id = cache.by_cell[&cell];
        cache.regions[&id].cells()[0].load(Ordering::Relaxed)
    }

    #[test]
    fn an_exit_is_not_linked_if_its_cell_may_have_been_anothers() {
        let memory = CodeMemory::new(1 << 20, false).expect("memory");
        let mut cache = Cache::new(memory, STUB, Arc::default(), false, Keeping::No);
        publish(&mut cache, 0x2000);
        publish(&mut cache, 0x3000);
        let entered = cache.epoch.load(Ordering::SeqCst);
        // A thread left 0x1000 for 0x2000; before it says so, that cell's memory becomes that of an exit of 0x4000.
        cache.invalidate(0x3000..0x3004);
        let cell = publish(&mut cache, 0x4000);
        cache.link(cell, at(0x2000), entered, false);
        assert_eq!(leads_to(&cache, cell), STUB);
        let now = cache.epoch.load(Ordering::SeqCst);
        cache.link(cell, at(0x2000), now, false);
        assert_eq!(leads_to(&cache, cell), cache.units[&at(0x2000)].code.load(Ordering::Relaxed));
    }
}
