//! A software TLB: recently used translations of one CPU, by page and address space.

use jib_backend::tlb::Ranges;
use jib_frontend_aarch64::system::mmu::{Entry, Fsc, Kind, PhysMem, Regime, walk};

/// log2 of the number of slots.
const BITS: u32 = 12;
/// Smallest granule: what one slot translates.
pub(super) const PAGE_SHIFT: u32 = 12;

/// The bits of an address that take part in translation in every case.
const VA_MASK: u64 = 0x00ff_ffff_ffff_ffff;
/// A global entry matches every ASID.
const GLOBAL: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Slot {
    /// Virtual page number; `u64::MAX` when empty.
    page: u64,
    asid: u32,
    entry: Entry,
}

/// What an access wants to do, and with whose rights.
#[derive(Clone, Copy, Debug)]
pub struct Rights {
    /// With EL0's rights.
    pub el0: bool,
    /// PSTATE.PAN applies.
    pub pan: bool,
}

/// A translation that an access may use.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Physical address.
    pub pa: u64,
    /// The page's translation.
    pub entry: Entry,
}

/// The TLB.
pub struct Tlb {
    slots: Box<[Slot]>,
    large: Ranges,
    /// Misses, for statistics.
    pub misses: u64,
}

impl Default for Tlb {
    fn default() -> Self {
        let entry = Entry {
            va: 0,
            pa: 0,
            shift: PAGE_SHIFT,
            el0: Default::default(),
            el1: Default::default(),
            clean: false,
            device: false,
            not_global: false,
            level: 0,
        };
        let empty = Slot { page: u64::MAX, asid: GLOBAL, entry };
        Tlb { slots: vec![empty; 1 << BITS].into_boxed_slice(), large: Ranges::default(), misses: 0 }
    }
}

impl Tlb {
    /// Translates `va` for an access of `kind`, walking the tables if need be.
    #[inline]
    pub fn translate(
        &mut self,
        regime: &Regime,
        asid: u16,
        mem: &mut dyn PhysMem,
        va: u64,
        kind: Kind,
        rights: Rights,
    ) -> Result<Found, Fsc> {
        let slot = &self.slots[index(va)];
        let hit = slot.page == va >> PAGE_SHIFT && (slot.asid == asid as u32 || slot.asid == GLOBAL);
        // A first write to a clean page must mark it dirty in the tables.
        if hit && !(kind == Kind::Write && slot.entry.clean) {
            slot.entry.check(kind, rights.el0, rights.pan)?;
            return Ok(Found { pa: slot.entry.translate(va), entry: slot.entry });
        }
        self.miss(regime, asid, mem, va, kind, rights)
    }

    #[cold]
    fn miss(
        &mut self,
        regime: &Regime,
        asid: u16,
        mem: &mut dyn PhysMem,
        va: u64,
        kind: Kind,
        rights: Rights,
    ) -> Result<Found, Fsc> {
        self.misses += 1;
        let canonical = regime.canonical(va);
        let entry = walk(regime, mem, canonical, kind, rights.el0)?;
        let asid = if entry.not_global { asid as u32 } else { GLOBAL };
        // Kept under the address as accessed, tag and all: a tagged pointer hits like any other.
        self.slots[index(va)] = Slot { page: va >> PAGE_SHIFT, asid, entry };
        if entry.shift > PAGE_SHIFT {
            self.large.add(entry.va, entry.shift);
        }
        entry.check(kind, rights.el0, rights.pan)?;
        Ok(Found { pa: entry.translate(canonical), entry })
    }

    /// Drops everything.
    pub fn flush(&mut self) {
        self.slots.iter_mut().for_each(|s| s.page = u64::MAX);
        self.large.clear();
    }

    /// Drops what belongs to `asid` (global entries stay).
    pub fn flush_asid(&mut self, asid: u16) {
        self.slots.iter_mut().filter(|s| s.asid == asid as u32).for_each(|s| s.page = u64::MAX);
    }

    /// Drops translations of `pages` pages from `va` on, in whatever block or run they were mapped, that belong to `asid`
    /// or are global; without one, any.
    pub fn flush_pages(&mut self, va: u64, pages: u64, asid: Option<u16>) {
        let meant = |slot: &Slot| asid.is_none_or(|asid| slot.asid == asid as u32 || slot.asid == GLOBAL);
        if pages < self.slots.len() as u64 && !self.large.overlaps(va, pages) {
            for i in 0..pages {
                let page = va.wrapping_add(i << PAGE_SHIFT);
                let slot = &mut self.slots[index(page)];
                if meant(slot) && (slot.entry.va ^ page) & VA_MASK & !0xfff == 0 {
                    slot.page = u64::MAX;
                }
            }
            return;
        }
        let first = va & VA_MASK;
        let last = first.saturating_add(pages << PAGE_SHIFT).saturating_sub(1);
        let meets = |entry: &Entry| {
            let start = entry.va & VA_MASK;
            start <= last && first <= start + ((1 << entry.shift) - 1)
        };
        self.slots.iter_mut().filter(|s| meant(s) && meets(&s.entry)).for_each(|s| s.page = u64::MAX);
    }
}

/// The slot of `va`, whatever its tag.
fn index(va: u64) -> usize {
    let page = (va & VA_MASK) >> PAGE_SHIFT;
    ((page ^ page >> BITS) & ((1 << BITS) - 1)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Identity;

    impl PhysMem for Identity {
        /// Every descriptor is a page or a table at 0x1000 for everyone, global.
        fn read64(&mut self, pa: u64) -> Option<u64> {
            Some(if pa >= 0x4000 { 0x9000 | 1 << 10 | 3 } else { (pa & !0xfff) + 0x1003 })
        }
        fn cas64(&mut self, _: u64, _: u64, _: u64) -> Option<bool> {
            Some(true)
        }
    }

    #[test]
    fn a_page_goes_alone_and_whatever_its_tag() {
        let regime = Regime { sctlr: 1, tcr: 16 | 16 << 16 | 5 << 32 | 1 << 37, ttbr0: 0x1000, ttbr1: 0x1000, mair: 0 };
        let mut tlb = Tlb::default();
        let rights = Rights { el0: false, pan: false };
        let misses = |tlb: &mut Tlb, va| {
            let before = tlb.misses;
            tlb.translate(&regime, 1, &mut Identity, va, Kind::Read, rights).expect("mapped");
            tlb.misses - before
        };
        for va in [0x5000, 0x6000, 0x3400_0000_0000_7000] {
            assert_eq!((misses(&mut tlb, va), misses(&mut tlb, va)), (1, 0), "{va:x}");
        }
        tlb.flush_pages(0x5000, 1, None);
        tlb.flush_pages(0x7000, 1, None);
        assert_eq!((misses(&mut tlb, 0x6000), misses(&mut tlb, 0x5000)), (0, 1));
        assert_eq!(misses(&mut tlb, 0x3400_0000_0000_7000), 1);
        for pages in [2, 10_000] {
            for va in [0x5000, 0x6000, 0x7000, 0x8000] {
                misses(&mut tlb, va);
            }
            tlb.flush_pages(0x6000, pages, Some(9));
            let now = [0x5000, 0x6000, 0x7000, 0x8000].map(|va| misses(&mut tlb, va));
            assert_eq!(now, [0, 1, 1, u64::from(pages > 2)], "{pages}");
        }
    }
}
