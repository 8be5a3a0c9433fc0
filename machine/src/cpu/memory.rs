//! Memory as one CPU sees it: virtual accesses translated and carried to RAM or the bus.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use jib_backend::tlb::{Ranges, Translation};
use jib_frontend_aarch64::system::mmu::{Fsc, Kind, PhysMem, Regime};
use jib_ir::guest::Fetch;
use jib_ir::interp::CAUSE_ALIGNMENT;
use jib_ir::runtime::{Access, Fault};
use jib_ir::ty::Size;

use super::fast::Fast;
use super::spaces::Spaces;
use super::tlb::{Found, Rights, Tlb};
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
    /// Those that compiled code uses.
    pub fast: Fast,
    /// Numbers of the address spaces.
    pub spaces: Spaces,
    /// Where code was found in translations larger than a page.
    pub large_code: Ranges,
    /// How often compiled code asked for an address that its table did not have.
    pub fast_misses: u64,
}

/// Table walks read physical memory.
struct Tables<'a>(&'a AddressSpace);

impl PhysMem for Tables<'_> {
    fn read64(&mut self, pa: u64) -> Option<u64> {
        let (memory, offset, _) = self.0.memory(pa, 8)?;
        memory.load(offset, Width::B8, Ordering::Acquire)
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
    /// CPU `cpu`'s way to `space`, nothing cached.
    pub fn new(cpu: usize, space: Arc<AddressSpace>) -> Memory {
        Memory {
            cpu,
            space,
            regime: Regime::default(),
            asid: 0,
            rights: Rights { el0: false, pan: false },
            tlb: Tlb::default(),
            fast: Fast::default(),
            spaces: Spaces::default(),
            large_code: Ranges::default(),
            fast_misses: 0,
        }
    }

    /// What `va` leads to for an access of `kind` with `rights`.
    #[inline]
    pub fn translate(&mut self, va: u64, kind: Kind, rights: Rights) -> Result<Found, Fsc> {
        self.tlb.translate(&self.regime, self.asid, &mut Tables(&self.space), va, kind, rights)
    }

    #[inline]
    fn target(&mut self, va: u64, size: Size, kind: Kind, rights: Rights) -> Result<u64, Fault> {
        let Found { pa, entry } = self.translate(va, kind, rights).map_err(|fsc| fault(va, kind, fsc))?;
        if entry.device && va & (size.bytes() - 1) != 0 && self.regime.enabled() {
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

impl Memory {
    /// The host address of what lies at `va`, if compiled code may access its page itself; its table knows the page
    /// from then on.
    pub fn direct(&mut self, access: Access, va: u64, rights: Rights) -> Option<u64> {
        self.fast_misses += 1;
        let kind = if access == Access::Write { Kind::Write } else { Kind::Read };
        let Found { pa, entry } = self.translate(va, kind, rights).ok()?;
        if entry.device && self.regime.enabled() {
            // Unaligned accesses fault.
            return None;
        }
        let (ram, offset, writable) = self.space.memory(pa & !0xfff, 0x1000)?;
        let allows = |kind| entry.check(kind, rights.el0, rights.pan).is_ok();
        let write = writable && !entry.clean && allows(Kind::Write) && ram.pages().free_to_write(offset);
        if kind == Kind::Write && !write {
            return None;
        }
        let host = ram.host() as u64 + offset;
        let (read, shift, private) = (allows(Kind::Read), entry.shift.max(12), entry.not_global);
        self.fast.fill(rights, &Translation { address: va, host, read, write, shift, private });
        Some(host + (pa & 0xfff))
    }

    /// Drops every translation.
    pub fn flush(&mut self) {
        self.tlb.flush();
        self.fast.flush();
        self.spaces.forget();
        self.large_code.clear();
    }
}

/// Code by physical address, for the translator: marks what it reads.
pub(crate) struct Code {
    /// Memory.
    pub(crate) space: Arc<AddressSpace>,
    /// Called with the host address of a page that may have been written to unasked until now.
    pub(crate) appeared: Box<dyn Fn(u64) + Send + Sync>,
}

impl Fetch for Code {
    fn word(&self, pa: u64) -> Result<u32, Fault> {
        let word = || {
            let (ram, offset, writable) = self.space.memory(pa, 4)?;
            // Marked before it is read, so that a write from now on is seen.
            if writable && ram.pages().mark_code(offset) {
                (self.appeared)(ram.host() as u64 + (offset & !0xfff));
            }
            ram.load(offset, Width::B4, Ordering::Acquire)
        };
        word().map(|w| w as u32).ok_or(fault(pa, Kind::Fetch, Fsc::EXTERNAL))
    }
}
