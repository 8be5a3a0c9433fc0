//! Guest RAM: one host mapping that generated code, the interpreter and devices share.
//!
//! Aligned accesses are single-copy atomic; unaligned ones go byte by byte. Devices write through
//! [`Ram::dma`], whose writes end in [`WrittenPages`], so that code translated from what a device
//! overwrote can be thrown away. This is the crate's only file with `unsafe`.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock};

use memmap2::{Advice, MmapOptions, MmapRaw};
use vm_memory::bitmap::{Bitmap, BitmapSlice, WithBitmapSlice};
use vm_memory::mmap::MmapRegionBuilder;
use vm_memory::{GuestAddress, GuestMemoryMmap, GuestRegionMmap};

use crate::device::Size;

/// log2 of the page size that writes are tracked by.
pub const PAGE_SHIFT: u32 = 12;
const PAGE: u64 = 1 << PAGE_SHIFT;

/// Guest memory as devices see it.
pub type Dma = GuestMemoryMmap<WrittenPages>;

type Listener = Box<dyn Fn(Range<u64>) + Send + Sync>;

/// log2 of the bytes that code is told apart from data by: a cache line, as IC IVAU has it.
const LINE_SHIFT: u32 = 6;

/// Which lines of RAM hold translated code, so that writes to them are told.
///
/// A line is marked when code is read from it. A write to marked lines unmarks them and is reported; other writes are
/// free, also in the same page.
#[derive(Clone)]
pub struct WrittenPages {
    shared: Arc<Pages>,
    /// Where a slice of the bitmap begins, in bytes from the start of RAM.
    base: u64,
}

struct Pages {
    /// Per page, a bit for each line that holds code.
    code: Vec<AtomicU64>,
    /// Per page, a bit: somebody may write to it without asking.
    free: Vec<AtomicU64>,
    listener: OnceLock<Listener>,
    /// Keeps the host mapping alive as long as any view of it.
    _mapping: MmapRaw,
}

impl WrittenPages {
    /// Code is about to be read from the line at this RAM offset. True if the page had none and somebody may write to
    /// it without asking: they must be told to ask from now on.
    #[must_use]
    pub fn mark_code(&self, offset: u64) -> bool {
        let page = offset >> PAGE_SHIFT;
        let Some(code) = self.shared.code.get(page as usize) else { return false };
        let bit = line_bits(offset, 1);
        if code.load(Ordering::SeqCst) & bit != 0 {
            return false;
        }
        let first = code.fetch_or(bit, Ordering::SeqCst) == 0;
        first && self.free(page).is_some_and(|(word, bit)| word.fetch_and(!bit, Ordering::SeqCst) & bit != 0)
    }

    /// May the page at this RAM offset be written to without a look here? If so, whoever marks code in it is told.
    pub fn free_to_write(&self, offset: u64) -> bool {
        let page = offset >> PAGE_SHIFT;
        if let Some((word, bit)) = self.free(page)
            && word.load(Ordering::Relaxed) & bit == 0
        {
            word.fetch_or(bit, Ordering::SeqCst);
        }
        !self.is_code(offset)
    }

    /// True if the page at this RAM offset holds code.
    pub fn is_code(&self, offset: u64) -> bool {
        self.shared.code.get((offset >> PAGE_SHIFT) as usize).is_some_and(|c| c.load(Ordering::SeqCst) != 0)
    }

    /// Something wrote `len` bytes at this RAM offset.
    #[inline]
    pub fn written(&self, offset: u64, len: u64) {
        let (mut at, end) = (offset, offset.saturating_add(len));
        while at < end {
            let next = ((at >> PAGE_SHIFT) + 1) << PAGE_SHIFT;
            let Some(code) = self.shared.code.get((at >> PAGE_SHIFT) as usize) else { return };
            if code.load(Ordering::Relaxed) != 0 {
                self.written_code(code, at, end.min(next) - at);
            }
            at = next;
        }
    }

    #[cold]
    fn written_code(&self, code: &AtomicU64, offset: u64, len: u64) {
        let bits = line_bits(offset, len);
        if code.load(Ordering::Relaxed) & bits == 0 {
            return;
        }
        code.fetch_and(!bits, Ordering::SeqCst);
        if let Some(listener) = self.shared.listener.get() {
            let line = (1 << LINE_SHIFT) - 1;
            listener(offset & !line..(offset + len + line) & !line);
        }
    }

    /// Calls `listener` with the RAM offsets of marked lines that were written. Only the first one counts; it may be
    /// called with a device locked, so it must not touch devices.
    pub fn listen(&self, listener: impl Fn(Range<u64>) + Send + Sync + 'static) {
        let _ = self.shared.listener.set(Box::new(listener));
    }

    fn free(&self, page: u64) -> Option<(&AtomicU64, u64)> {
        Some((self.shared.free.get(usize::try_from(page / 64).ok()?)?, 1 << (page % 64)))
    }
}

/// The bits of the lines that `len` bytes (one at least) at `offset` reach, in their first page.
fn line_bits(offset: u64, len: u64) -> u64 {
    let first = (offset & (PAGE - 1)) >> LINE_SHIFT;
    let last = ((offset & (PAGE - 1)) + len - 1) >> LINE_SHIFT;
    (u64::MAX << first) & (u64::MAX >> (63 - last.min(63)))
}

impl fmt::Debug for WrittenPages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WrittenPages({:#x})", self.base)
    }
}

impl WithBitmapSlice<'_> for WrittenPages {
    type S = Self;
}

impl BitmapSlice for WrittenPages {}

impl Bitmap for WrittenPages {
    fn mark_dirty(&self, offset: usize, len: usize) {
        // What is written now and what is marked as code now must not miss each other.
        fence(Ordering::SeqCst);
        self.written(self.base.saturating_add(offset as u64), len as u64);
    }

    fn dirty_at(&self, _offset: usize) -> bool {
        // Writes are reported, not recorded.
        false
    }

    fn slice_at(&self, offset: usize) -> Self {
        WrittenPages { shared: self.shared.clone(), base: self.base.saturating_add(offset as u64) }
    }
}

/// The RAM of a machine: `size` bytes from physical address `base`.
pub struct Ram {
    base: u64,
    size: u64,
    host: *mut u8,
    pages: WrittenPages,
    dma: Dma,
}

// SAFETY: `host` points into a mapping that lives as long as `pages`, and every access through it
// is an atomic operation.
unsafe impl Send for Ram {}
// SAFETY: as above.
unsafe impl Sync for Ram {}

impl Ram {
    /// Maps `size` bytes (a multiple of 4 KiB) of zeroed memory for physical address `base`.
    pub fn new(base: u64, size: u64) -> io::Result<Ram> {
        let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "RAM size must be a multiple of 4 KiB, not zero");
        let len = usize::try_from(size).map_err(|_| invalid())?;
        if size == 0 || !size.is_multiple_of(PAGE) || base.checked_add(size).is_none() {
            return Err(invalid());
        }
        let mapping = MmapRaw::from(MmapOptions::new().len(len).no_reserve_swap().map_anon()?);
        // Fewer faults, here and in the guest's accesses; a host that has no large pages says no.
        let _ = mapping.advise(Advice::HugePage);
        let host = mapping.as_mut_ptr();
        let pages = size >> PAGE_SHIFT;
        let words = |n: u64| (0..n).map(|_| AtomicU64::new(0)).collect();
        let shared =
            Pages { code: words(pages), free: words(pages.div_ceil(64)), listener: OnceLock::new(), _mapping: mapping };
        let pages = WrittenPages { shared: Arc::new(shared), base: 0 };
        let builder = MmapRegionBuilder::new_with_bitmap(len, pages.clone()).with_mmap_prot(3).with_mmap_flags(0x22);
        // SAFETY: `host` is a valid mapping of `len` bytes, readable and writable; the region holds
        // a clone of `pages` and so keeps the mapping alive as long as itself.
        let builder = unsafe { builder.with_raw_mmap_pointer(host) };
        let region = builder.build().map_err(io::Error::other)?;
        let region = GuestRegionMmap::new(region, GuestAddress(base)).ok_or_else(invalid)?;
        let dma = Dma::from_regions(vec![region]).map_err(io::Error::other)?;
        Ok(Ram { base, size, host, pages, dma })
    }

    /// Physical address of the first byte.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Number of bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Host address of offset 0, for generated code and TLB entries. Valid as long as `self`.
    pub fn host(&self) -> *mut u8 {
        self.host
    }

    /// Memory as devices see it: physical addresses, bounds checked, writes tracked.
    pub fn dma(&self) -> &Dma {
        &self.dma
    }

    /// Tracks writes to pages that hold translated code.
    pub fn pages(&self) -> &WrittenPages {
        &self.pages
    }

    /// Offset of physical address `addr` if `len` bytes from there are RAM.
    pub fn offset(&self, addr: u64, len: u64) -> Option<u64> {
        let offset = addr.checked_sub(self.base)?;
        (offset.checked_add(len)? <= self.size).then_some(offset)
    }

    /// Loads, zero-extended; single-copy atomic when aligned. `None` beyond the end.
    pub fn load(&self, offset: u64, size: Size, order: Ordering) -> Option<u64> {
        if let Some(cell) = self.cell(offset, size)? {
            return Some(cell.load(order));
        }
        let mut value = 0;
        for i in (0..size.bytes()).rev() {
            value = (value << 8) | u64::from(self.byte(offset + i)?.load(Ordering::Relaxed));
        }
        Some(value)
    }

    /// Stores the low bytes of `value`; single-copy atomic when aligned. `None` beyond the end.
    ///
    /// Does not look at [`Ram::pages`]: that is the caller's business.
    pub fn store(&self, offset: u64, size: Size, value: u64, order: Ordering) -> Option<()> {
        if let Some(cell) = self.cell(offset, size)? {
            cell.store(value, order);
            return Some(());
        }
        for i in 0..size.bytes() {
            self.byte(offset + i)?.store((value >> (8 * i)) as u8, Ordering::Relaxed);
        }
        Some(())
    }

    /// Atomically replaces `old` by `change(old)` and returns `old`. `None` beyond the end or unaligned.
    pub fn update(&self, offset: u64, size: Size, change: impl Fn(u64) -> u64) -> Option<u64> {
        let cell = self.cell(offset, size)??;
        let mut old = cell.load(Ordering::Relaxed);
        loop {
            match cell.compare_exchange(old, change(old)) {
                Ok(old) => return Some(old),
                Err(now) => old = now,
            }
        }
    }

    /// Stores `new` if the value there is `expected`; returns what was there.
    pub fn compare_exchange(&self, offset: u64, size: Size, expected: u64, new: u64) -> Option<u64> {
        let cell = self.cell(offset, size)??;
        Some(cell.compare_exchange(expected, new).unwrap_or_else(|old| old))
    }

    /// [`Ram::compare_exchange`] of 16 bytes. `None` beyond the end or unaligned.
    pub fn compare_exchange16(&self, offset: u64, expected: u128, new: u128) -> Option<u128> {
        if offset.checked_add(16)? > self.size || !offset.is_multiple_of(16) {
            return None;
        }
        let at = self.host.wrapping_add(offset as usize).cast::<u128>();
        let (low, high): (u64, u64);
        // SAFETY: `at` lies inside the mapping with room for 16 bytes and is aligned, since the mapping
        // is page-aligned; all x86-64 processors but the first few have the instruction. RBX is not
        // ours to name as an operand: it is swapped in and out, so no operand may happen to be there.
        unsafe {
            std::arch::asm!(
                "xchg rsi, rbx",
                "lock cmpxchg16b [rdi]",
                "mov rbx, rsi",
                in("rdi") at,
                inout("rsi") new as u64 => _,
                in("rcx") (new >> 64) as u64,
                inout("rax") expected as u64 => low,
                inout("rdx") (expected >> 64) as u64 => high,
                options(nostack),
            );
        }
        Some(u128::from(high) << 64 | u128::from(low))
    }

    /// The byte at `offset`.
    fn byte(&self, offset: u64) -> Option<&AtomicU8> {
        match self.cell(offset, Size::B1)?? {
            Cell::B1(byte) => Some(byte),
            _ => None,
        }
    }

    /// Outer `None`: not RAM. Inner `None`: unaligned.
    fn cell(&self, offset: u64, size: Size) -> Option<Option<Cell<'_>>> {
        if offset.checked_add(size.bytes())? > self.size {
            return None;
        }
        if !offset.is_multiple_of(size.bytes()) {
            return Some(None);
        }
        let at = self.host.wrapping_add(offset as usize);
        // SAFETY: `at` lies inside the mapping with room for `size`, is aligned because the mapping
        // is page-aligned and `offset` is a multiple of the size, and lives as long as `self`. All
        // of the guest's accesses are atomic or made by code the Rust memory model does not see.
        Some(Some(unsafe {
            match size {
                Size::B1 => Cell::B1(AtomicU8::from_ptr(at)),
                Size::B2 => Cell::B2(AtomicU16::from_ptr(at.cast())),
                Size::B4 => Cell::B4(AtomicU32::from_ptr(at.cast())),
                Size::B8 => Cell::B8(AtomicU64::from_ptr(at.cast())),
            }
        }))
    }
}

/// An aligned place in RAM.
enum Cell<'a> {
    B1(&'a AtomicU8),
    B2(&'a AtomicU16),
    B4(&'a AtomicU32),
    B8(&'a AtomicU64),
}

impl Cell<'_> {
    fn load(&self, order: Ordering) -> u64 {
        match self {
            Cell::B1(c) => u64::from(c.load(order)),
            Cell::B2(c) => u64::from(c.load(order)),
            Cell::B4(c) => u64::from(c.load(order)),
            Cell::B8(c) => c.load(order),
        }
    }

    fn store(&self, value: u64, order: Ordering) {
        match self {
            Cell::B1(c) => c.store(value as u8, order),
            Cell::B2(c) => c.store(value as u16, order),
            Cell::B4(c) => c.store(value as u32, order),
            Cell::B8(c) => c.store(value, order),
        }
    }

    fn compare_exchange(&self, old: u64, new: u64) -> Result<u64, u64> {
        const SC: Ordering = Ordering::SeqCst;
        match self {
            Cell::B1(c) => both(c.compare_exchange(old as u8, new as u8, SC, SC)),
            Cell::B2(c) => both(c.compare_exchange(old as u16, new as u16, SC, SC)),
            Cell::B4(c) => both(c.compare_exchange(old as u32, new as u32, SC, SC)),
            Cell::B8(c) => c.compare_exchange(old, new, SC, SC),
        }
    }
}

fn both<T: Into<u64>>(result: Result<T, T>) -> Result<u64, u64> {
    result.map(Into::into).map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use vm_memory::Bytes;

    fn ram() -> Ram {
        Ram::new(0x4000_0000, 0x10000).unwrap()
    }

    #[test]
    fn accesses_of_every_size_and_alignment() {
        let ram = ram();
        for size in Size::ALL {
            for offset in [0, 3, 0xfff, 0x10000 - size.bytes()] {
                let value = 0x8877_6655_4433_2211 & size.mask();
                assert_eq!(ram.store(offset, size, value, Ordering::Relaxed), Some(()));
                assert_eq!(ram.load(offset, size, Ordering::Relaxed), Some(value));
            }
            assert_eq!(ram.load(0x10001 - size.bytes(), size, Ordering::Relaxed), None);
            assert_eq!(ram.store(u64::MAX, size, 0, Ordering::Relaxed), None);
        }
        assert_eq!(ram.offset(0x4000_fff8, 8), Some(0xfff8));
        assert_eq!(ram.offset(0x4000_fff9, 8), None);
        assert_eq!(ram.offset(0x3fff_ffff, 1), None);
    }

    #[test]
    fn atomics() {
        let ram = ram();
        assert_eq!(ram.update(8, Size::B4, |v| v + 5), Some(0));
        assert_eq!(ram.update(8, Size::B4, |v| v.wrapping_sub(6)), Some(5));
        assert_eq!(ram.load(8, Size::B8, Ordering::Relaxed), Some(0xffff_ffff));
        assert_eq!(ram.compare_exchange(8, Size::B1, 0xff, 1), Some(0xff));
        assert_eq!(ram.compare_exchange(8, Size::B2, 0, 9), Some(0xff01));
        assert_eq!(ram.update(9, Size::B2, |v| v), None, "unaligned");
    }

    #[test]
    fn dma_sees_the_same_bytes_and_reports_written_code() {
        let ram = ram();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let heard = seen.clone();
        ram.pages().listen(move |range| heard.lock().unwrap().push(range));
        assert!(!ram.pages().mark_code(0x2abc), "nobody wrote there unasked");
        ram.dma().write_slice(&[7; 0x1800], GuestAddress(0x4000_0000)).unwrap();
        ram.dma().write_slice(&[7; 0x80], GuestAddress(0x4000_2ac0)).unwrap();
        assert!(seen.lock().unwrap().is_empty() && ram.pages().is_code(0x2000), "other lines");
        ram.dma().write_slice(&[9; 0x1800], GuestAddress(0x4000_1ff0)).unwrap();
        assert!(!ram.pages().is_code(0x2000));
        assert_eq!(seen.lock().unwrap().as_slice(), std::slice::from_ref(&(0x2000..0x3000)));
        assert_eq!(ram.load(0x27ff, Size::B1, Ordering::Relaxed), Some(9));
        ram.dma().write_obj(1u32, GuestAddress(0x4000_2abc)).unwrap();
        assert_eq!(seen.lock().unwrap().len(), 1, "reported once");
    }

    #[test]
    fn who_writes_unasked_is_told_once_when_code_appears() {
        let ram = ram();
        let pages = ram.pages();
        assert!(pages.free_to_write(0x3000));
        assert!(pages.mark_code(0x3100) && !pages.mark_code(0x3140) && !pages.mark_code(0x3100));
        assert!(!pages.free_to_write(0x3000) && pages.free_to_write(0x4000));
        pages.written(0x3100, 4);
        assert!(!pages.free_to_write(0x3000), "one line is left");
        pages.written(0x3144, 8);
        assert!(pages.free_to_write(0x3000) && pages.mark_code(0x3fc0));
        assert_eq!(line_bits(0xff8, 8), 1 << 63);
        assert_eq!(line_bits(0x3f, 2), 3);
    }

    #[test]
    fn a_view_outlives_the_ram() {
        let view = ram().dma().clone();
        view.write_obj(0x1234_5678u32, GuestAddress(0x4000_0010)).unwrap();
        assert_eq!(view.read_obj::<u32>(GuestAddress(0x4000_0010)).unwrap(), 0x1234_5678);
    }

    #[test]
    fn bad_sizes_are_errors() {
        assert!(Ram::new(0, 0).is_err());
        assert!(Ram::new(0, 5000).is_err());
        assert!(Ram::new(u64::MAX - 4095, 8192).is_err());
    }
}
