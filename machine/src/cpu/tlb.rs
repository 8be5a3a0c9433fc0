//! A software TLB: recently used translations of one CPU, by page and address space.

use jib_frontend_aarch64::system::mmu::{Entry, Fsc, Kind, PhysMem, Regime, walk};

/// log2 of the number of slots.
const BITS: u32 = 10;
/// Smallest granule: what one slot translates.
pub(super) const PAGE_SHIFT: u32 = 12;

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

/// The TLB.
pub struct Tlb {
    slots: Box<[Slot]>,
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
        Tlb { slots: vec![empty; 1 << BITS].into_boxed_slice(), misses: 0 }
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
    ) -> Result<(u64, bool), Fsc> {
        let slot = &self.slots[index(va)];
        let hit = slot.page == va >> PAGE_SHIFT && (slot.asid == asid as u32 || slot.asid == GLOBAL);
        // A first write to a clean page must mark it dirty in the tables.
        if hit && !(kind == Kind::Write && slot.entry.clean) {
            slot.entry.check(kind, rights.el0, rights.pan)?;
            return Ok((slot.entry.translate(va), slot.entry.device));
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
    ) -> Result<(u64, bool), Fsc> {
        self.misses += 1;
        let canonical = regime.canonical(va);
        let entry = walk(regime, mem, canonical, kind, rights.el0)?;
        let asid = if entry.not_global { asid as u32 } else { GLOBAL };
        // Kept under the address as accessed, tag and all: a tagged pointer hits like any other.
        self.slots[index(va)] = Slot { page: va >> PAGE_SHIFT, asid, entry };
        entry.check(kind, rights.el0, rights.pan)?;
        Ok((entry.translate(canonical), entry.device))
    }

    /// Drops everything.
    pub fn flush(&mut self) {
        self.slots.iter_mut().for_each(|s| s.page = u64::MAX);
    }

    /// Drops what belongs to `asid` (global entries stay).
    pub fn flush_asid(&mut self, asid: u16) {
        self.slots.iter_mut().filter(|s| s.asid == asid as u32).for_each(|s| s.page = u64::MAX);
    }

    /// Drops translations of the page at `va`, in whatever block or run it was mapped.
    pub fn flush_page(&mut self, va: u64) {
        let va = va & 0x00ff_ffff_ffff_ffff;
        for slot in &mut self.slots {
            let e = &slot.entry;
            let covers = (e.va & 0x00ff_ffff_ffff_ffff) >> e.shift == va >> e.shift;
            if covers {
                slot.page = u64::MAX;
            }
        }
    }
}

/// The slot of `va`.
fn index(va: u64) -> usize {
    let page = va >> PAGE_SHIFT;
    ((page ^ page >> BITS) & ((1 << BITS) - 1)) as usize
}
