//! Memory as one CPU sees it: virtual accesses translated and carried to RAM or the bus.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use jib_frontend_aarch64::system::mmu::{Fsc, Kind, PhysMem, Regime};
use jib_ir::guest::Fetch;
use jib_ir::interp::CAUSE_ALIGNMENT;
use jib_ir::runtime::{Access, Fault};
use jib_ir::ty::Size;

use super::tlb::{Rights, Tlb};
use crate::device::Size as Width;
use crate::space::AddressSpace;

/// One CPU's way to memory.
pub struct Memory {
    /// Which CPU this is, for banked device registers.
    pub cpu: usize,
    /// What lies behind physical addresses.
    pub space: Arc<AddressSpace>,
    /// The registers that control translation, kept in step with the guest state.
    pub regime: Regime,
    /// ASID in use.
    pub asid: u16,
    /// Rights of ordinary accesses now.
    pub rights: Rights,
    /// Cached translations.
    pub tlb: Tlb,
}

/// Table walks read physical memory.
struct Tables<'a>(&'a AddressSpace);

impl PhysMem for Tables<'_> {
    fn read64(&mut self, pa: u64) -> Option<u64> {
        let ram = self.0.ram();
        ram.load(ram.offset(pa, 8)?, Width::B8, Ordering::Acquire)
    }
    fn cas64(&mut self, pa: u64, old: u64, new: u64) -> Option<bool> {
        let ram = self.0.ram();
        Some(ram.compare_exchange(ram.offset(pa, 8)?, Width::B8, old, new)? == old)
    }
}

/// Bus width of an access; 16 bytes go as two of 8.
fn width(size: Size) -> Width {
    match size {
        Size::B1 => Width::B1,
        Size::B2 => Width::B2,
        Size::B4 => Width::B4,
        Size::B8 | Size::B16 => Width::B8,
    }
}

fn fault(addr: u64, kind: Kind, fsc: Fsc) -> Fault {
    let access = match kind {
        Kind::Read => Access::Read,
        Kind::Write => Access::Write,
        Kind::Fetch => Access::Fetch,
    };
    Fault { addr, access, cause: fsc.0 as u32 }
}

impl Memory {
    /// Physical address of `va`, and whether it is Device memory.
    #[inline]
    pub fn translate(&mut self, va: u64, kind: Kind, rights: Rights) -> Result<(u64, bool), Fsc> {
        self.tlb.translate(&self.regime, self.asid, &mut Tables(&self.space), va, kind, rights)
    }

    #[inline]
    fn target(&mut self, va: u64, size: Size, kind: Kind, rights: Rights) -> Result<u64, Fault> {
        let (pa, device) = self.translate(va, kind, rights).map_err(|fsc| fault(va, kind, fsc))?;
        if device && va & (size.bytes() - 1) != 0 && self.regime.enabled() {
            let access = if kind == Kind::Write { Access::Write } else { Access::Read };
            return Err(Fault { addr: va, access, cause: CAUSE_ALIGNMENT });
        }
        Ok(pa)
    }

    /// Does an access reach over the end of a page?
    #[inline]
    fn splits(va: u64, size: Size) -> bool {
        (va & 0xfff) + size.bytes() > 0x1000
    }

    /// Loads `size` bytes at `va`, zero-extended.
    #[inline]
    pub fn load(&mut self, size: Size, va: u64, rights: Rights) -> Result<u128, Fault> {
        if Self::splits(va, size) {
            return self.load_split(size, va, rights);
        }
        let pa = self.target(va, size, Kind::Read, rights)?;
        let abort = |_| fault(va, Kind::Read, Fsc::EXTERNAL);
        let low = self.space.read(self.cpu, pa, width(size)).map_err(abort)? as u128;
        if size != Size::B16 {
            return Ok(low);
        }
        let high = self.space.read(self.cpu, pa + 8, Width::B8).map_err(abort)?;
        Ok(low | (high as u128) << 64)
    }

    #[cold]
    fn load_split(&mut self, size: Size, va: u64, rights: Rights) -> Result<u128, Fault> {
        let mut v = 0;
        for i in 0..size.bytes() {
            v |= self.load(Size::B1, va.wrapping_add(i), rights)? << (8 * i);
        }
        Ok(v)
    }

    /// Stores the low `size` bytes of `v` at `va`.
    #[inline]
    pub fn store(&mut self, size: Size, va: u64, v: u128, rights: Rights) -> Result<(), Fault> {
        if Self::splits(va, size) {
            return self.store_split(size, va, v, rights);
        }
        let pa = self.target(va, size, Kind::Write, rights)?;
        let abort = |_| fault(va, Kind::Write, Fsc::EXTERNAL);
        self.space.write(self.cpu, pa, width(size), v as u64).map_err(abort)?;
        if size == Size::B16 {
            self.space.write(self.cpu, pa + 8, Width::B8, (v >> 64) as u64).map_err(abort)?;
        }
        Ok(())
    }

    #[cold]
    fn store_split(&mut self, size: Size, va: u64, v: u128, rights: Rights) -> Result<(), Fault> {
        // Both pages must take the write before either is changed.
        for at in [va, va.wrapping_add(size.bytes() - 1)] {
            self.target(at, Size::B1, Kind::Write, rights)?;
        }
        for i in 0..size.bytes() {
            self.store(Size::B1, va.wrapping_add(i), v >> (8 * i) & 0xff, rights)?;
        }
        Ok(())
    }

    /// Atomically replaces the `size` bytes (8 at most) at `va` by `change` of them; gives the old.
    pub fn update(&mut self, size: Size, va: u64, change: impl Fn(u64) -> u64) -> Result<u64, Fault> {
        let rights = self.rights;
        let pa = self.target(va, size, Kind::Write, rights)?;
        self.space.update(pa, width(size), change).map_err(|_| fault(va, Kind::Write, Fsc::EXTERNAL))
    }

    /// Atomically stores `new` if `expected` is there; gives what was there.
    pub fn cas(&mut self, size: Size, va: u64, expected: u128, new: u128) -> Result<u128, Fault> {
        let rights = self.rights;
        let pa = self.target(va, size, Kind::Write, rights)?;
        self.space.compare_exchange(pa, size.bytes(), expected, new).map_err(|_| fault(va, Kind::Write, Fsc::EXTERNAL))
    }
}

/// Reads code of one page, through a translation made once.
pub(super) struct CodePage<'a> {
    /// Memory.
    pub(super) space: &'a AddressSpace,
    /// First virtual address of the page.
    pub(super) va: u64,
    /// First physical address of the page.
    pub(super) pa: u64,
}

impl Fetch for CodePage<'_> {
    fn word(&self, pc: u64) -> Result<u32, Fault> {
        let offset = pc.wrapping_sub(self.va);
        if offset >= 0x1000 {
            // A region stays in its page: where the next one is mapped may change independently.
            return Err(fault(pc, Kind::Fetch, Fsc::EXTERNAL));
        }
        let mut word = [0; 4];
        self.space.peek(self.pa + offset, &mut word).map_err(|_| fault(pc, Kind::Fetch, Fsc::EXTERNAL))?;
        Ok(u32::from_le_bytes(word))
    }
}
