//! The table through which compiled code reaches guest memory where guest addresses are translated
//! ([`Memory::Table`](crate::Memory)). This file is the one place that knows its layout.
//!
//! A table is [`ENTRIES`] entries of [`ENTRY_BYTES`]; the entry of an address is number
//! `address >> 12 & (ENTRIES - 1)`, so that its offset is `address >> 7 & INDEX_MASK`. An entry is four words:
//!
//! | offset | word |
//! |---|---|
//! | [`READ`] | the page (address with bits 11:0 clear) that may be read, or [`EMPTY`] |
//! | [`WRITE`] | the page that may be written, or [`EMPTY`] |
//! | [`ADDEND`] | what added to a guest address of the page gives the host address |
//! | `ABOUT` | for maintenance: log2 of the bytes that the translation covers, and whether it is private |
//!
//! An access of `n` bytes at `a` compares `(a + n - 1) & !0xfff` with the tag of the entry *of `a`*: an access that
//! reaches over the end of its page never matches, and no more needs to be asked. Addresses are compared whole, so
//! one with a tag in an ignored top byte has an entry of its own.
//!
//! Words of the state tell compiled code where its tables are (`abi::TLB`, `abi::TLB_UNPRIVILEGED`). They are set from
//! [`Location`](jib_ir::runtime::Location) whenever code is entered and hold until it is left: what changes the rights
//! or the address space ends a region. Only the thread that runs on a table changes it, from a
//! [`Runtime`](jib_ir::runtime::Runtime) that compiled code has called, or outside.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// log2 of the number of entries.
const BITS: u32 = 11;
/// Entries of a table.
pub const ENTRIES: usize = 1 << BITS;
/// Bytes of an entry.
pub const ENTRY_BYTES: usize = 32;
/// How far an address is shifted right to give its entry's offset.
pub const INDEX_SHIFT: u32 = PAGE_SHIFT - ENTRY_BYTES.ilog2();
/// What of a shifted address is its entry's offset.
pub const INDEX_MASK: u64 = ((ENTRIES - 1) * ENTRY_BYTES) as u64;
/// Offset of the read tag.
pub const READ: i32 = 0;
/// Offset of the write tag.
pub const WRITE: i32 = 8;
/// Offset of the addend.
pub const ADDEND: i32 = 16;
/// The tag that no access has: pages have clear low bits.
pub const EMPTY: u64 = 1;

const PAGE_SHIFT: u32 = 12;
const PAGE_MASK: u64 = !0xfff;
/// The bits of an address that take part in translation in every case.
const VA_MASK: u64 = 0x00ff_ffff_ffff_ffff;
/// Bit of `ABOUT`: belongs to one address space.
const PRIVATE: u64 = 1 << 8;

#[repr(C, align(32))]
struct Entry {
    read: AtomicU64,
    write: AtomicU64,
    addend: AtomicU64,
    about: AtomicU64,
}

impl Entry {
    fn clear(&self) {
        self.read.store(EMPTY, Relaxed);
        self.write.store(EMPTY, Relaxed);
    }

    /// The host address of `size` bytes at `address`, which must be this entry's.
    fn find(&self, address: u64, size: u64, write: bool) -> Option<u64> {
        let tag = if write { &self.write } else { &self.read };
        let last = address.wrapping_add(size - 1) & PAGE_MASK;
        (tag.load(Relaxed) == last).then(|| address.wrapping_add(self.addend.load(Relaxed)))
    }

    /// A page that the entry translates, if it does.
    fn page(&self) -> Option<u64> {
        let (r, w) = (self.read.load(Relaxed), self.write.load(Relaxed));
        [r, w].into_iter().find(|tag| *tag != EMPTY)
    }
}

/// A translation to be put into a table.
#[derive(Clone, Copy, Debug)]
pub struct Translation {
    /// Any guest address in the page.
    pub address: u64,
    /// Host address of the page's first byte.
    pub host: u64,
    /// May be read.
    pub read: bool,
    /// May be written.
    pub write: bool,
    /// log2 of the bytes of the guest's own translation, which goes as a whole: 12 or more.
    pub shift: u32,
    /// Belongs to one address space.
    pub private: bool,
}

/// Where translations larger than a page lie: a page in there may have been found in any of many entries. May say so of
/// pages that are in none.
#[derive(Debug)]
pub struct Ranges {
    /// By a hash of the address's [`MEDIUM`] and of its [`BIG`], what has translations of that size at most.
    medium: Box<[u64; MEDIUM_BITS / 64]>,
    big: [u64; BIG_BITS / 64],
    /// Some are larger than that.
    everywhere: bool,
    empty: bool,
}

/// log2 of a block of the smallest granule, and of one a level above.
const MEDIUM: u32 = 21;
const BIG: u32 = 30;
const MEDIUM_BITS: usize = 1 << 16;
const BIG_BITS: usize = 1 << 10;

impl Default for Ranges {
    fn default() -> Self {
        Ranges { medium: Box::new([0; MEDIUM_BITS / 64]), big: [0; BIG_BITS / 64], everywhere: false, empty: true }
    }
}

/// Word and bit of the block of `1 << shift` bytes around `address`, in a set of `bits`.
fn place(address: u64, shift: u32, bits: usize) -> (usize, u64) {
    let block = (address & VA_MASK) >> shift;
    let hash = (block ^ block >> 16 ^ block >> 25) as usize % bits;
    (hash / 64, 1 << (hash % 64))
}

impl Ranges {
    /// Adds the translation of `1 << shift` bytes around `address`.
    pub fn add(&mut self, address: u64, shift: u32) {
        self.empty = false;
        if shift <= MEDIUM {
            let (word, bit) = place(address, MEDIUM, MEDIUM_BITS);
            self.medium[word] |= bit;
        } else if shift <= BIG {
            let (word, bit) = place(address, BIG, BIG_BITS);
            self.big[word] |= bit;
        } else {
            self.everywhere = true;
        }
    }

    /// May `address` lie in one?
    pub fn contains(&self, address: u64) -> bool {
        if self.empty {
            return false;
        }
        let (word, bit) = place(address, MEDIUM, MEDIUM_BITS);
        let medium = self.medium[word] & bit != 0;
        let (word, bit) = place(address, BIG, BIG_BITS);
        medium || self.big[word] & bit != 0 || self.everywhere
    }

    /// May one of `pages` pages from `address` on lie in one?
    pub fn overlaps(&self, address: u64, pages: u64) -> bool {
        let (first, last) = stretch(address, pages);
        let blocks = (first >> MEDIUM)..=(last >> MEDIUM);
        // In so many there is taken to be one.
        let many = blocks.end() - blocks.start() > BLOCKS_LOOKED_AT;
        !self.empty && (many || blocks.into_iter().any(|block| self.contains(block << MEDIUM)))
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        if !self.empty {
            *self = Ranges::default();
        }
    }
}

/// Most blocks that are looked at one by one.
const BLOCKS_LOOKED_AT: u64 = 256;

/// First and last address of `pages` pages from `address` on, without tags.
fn stretch(address: u64, pages: u64) -> (u64, u64) {
    let first = address & VA_MASK & PAGE_MASK;
    (first, first.saturating_add(pages << PAGE_SHIFT).saturating_sub(1))
}

/// One table.
pub struct Table {
    entries: Box<[Entry]>,
    large: Ranges,
    /// It may hold what belongs to one address space, and what belongs to all.
    private: bool,
    global: bool,
    /// It may hold pages of the lower half (bit 55 clear), and of the upper one.
    halves: [bool; 2],
}

/// The half of the address space that `address` lies in.
fn half(address: u64) -> usize {
    (address >> 55 & 1) as usize
}

impl Default for Table {
    fn default() -> Self {
        let empty = || Entry { read: EMPTY.into(), write: EMPTY.into(), addend: 0.into(), about: 0.into() };
        Table {
            entries: (0..ENTRIES).map(|_| empty()).collect(),
            large: Ranges::default(),
            private: false,
            global: false,
            halves: [false; 2],
        }
    }
}

impl Table {
    /// Host address of the table, for as long as it lives.
    pub fn address(&self) -> u64 {
        self.entries.as_ptr() as u64
    }

    fn entry(&self, address: u64) -> &Entry {
        &self.entries[(address >> PAGE_SHIFT) as usize % ENTRIES]
    }

    /// Puts a translation in, in the place of another one.
    pub fn fill(&mut self, t: &Translation) {
        let page = t.address & PAGE_MASK;
        let entry = self.entry(page);
        entry.clear();
        entry.addend.store(t.host.wrapping_sub(page), Relaxed);
        entry.about.store(u64::from(t.shift) | if t.private { PRIVATE } else { 0 }, Relaxed);
        entry.read.store(if t.read { page } else { EMPTY }, Relaxed);
        entry.write.store(if t.write { page } else { EMPTY }, Relaxed);
        self.private |= t.private;
        self.global |= !t.private;
        self.halves[half(page)] = true;
        if t.shift > PAGE_SHIFT {
            self.large.add(page, t.shift);
        }
    }

    /// May it hold something that belongs to all address spaces?
    pub fn has_global(&self) -> bool {
        self.global
    }

    /// Drops everything.
    pub fn flush(&mut self) {
        if self.halves != [false; 2] {
            self.entries.iter().for_each(Entry::clear);
            self.large.clear();
        }
        (self.private, self.global, self.halves) = (false, false, [false; 2]);
    }

    /// Drops what belongs to one address space.
    pub fn flush_private(&mut self) {
        if self.private {
            let own = self.entries.iter().filter(|e| e.about.load(Relaxed) & PRIVATE != 0);
            own.for_each(Entry::clear);
            self.private = false;
        }
    }

    /// Drops translations of the page at `address`, in whatever larger translation it was found.
    pub fn flush_page(&mut self, address: u64) {
        if !self.halves[half(address)] {
            return;
        }
        let address = address & VA_MASK;
        if self.large.contains(address) {
            for entry in &self.entries {
                let shift = entry.about.load(Relaxed) & 0xff;
                if entry.page().is_some_and(|p| (p & VA_MASK) >> shift == address >> shift) {
                    entry.clear();
                }
            }
            return;
        }
        let entry = self.entry(address);
        if entry.page().is_some_and(|p| (p & VA_MASK) >> PAGE_SHIFT == address >> PAGE_SHIFT) {
            entry.clear();
        }
    }

    /// Drops translations of `pages` pages from `address` on.
    pub fn flush_pages(&mut self, address: u64, pages: u64) {
        if self.halves == [false; 2] || (pages <= ENTRIES as u64 && !self.halves[half(address)]) {
            return;
        }
        if pages < ENTRIES as u64 && !self.large.overlaps(address, pages) {
            (0..pages).for_each(|i| self.flush_page(address.wrapping_add(i << PAGE_SHIFT)));
            return;
        }
        let (first, last) = stretch(address, pages);
        for entry in &self.entries {
            let shift = entry.about.load(Relaxed) & 0xff;
            let meets = |page: u64| {
                let start = (page & VA_MASK) >> shift << shift;
                start <= last && first <= start + ((1 << shift) - 1)
            };
            if entry.page().is_some_and(meets) {
                entry.clear();
            }
        }
    }

    /// Makes writes to the host page at `host` miss.
    pub fn forbid_writes(&mut self, host: u64) {
        for entry in &self.entries {
            let page = entry.write.load(Relaxed);
            if page != EMPTY && page.wrapping_add(entry.addend.load(Relaxed)) == host {
                entry.write.store(EMPTY, Relaxed);
            }
        }
    }

    /// The host address of `size` bytes at `address`, as compiled code finds it.
    pub fn find(&self, address: u64, size: u64, write: bool) -> Option<u64> {
        self.entry(address).find(address, size, write)
    }
}

/// [`Table::find`] for reading, of the table at host address `table`. Async-signal-safe.
///
/// # Safety
/// There is a [`Table`] whose address that is.
#[allow(unsafe_code, reason = "compiled code knows tables by their address, too")]
pub(crate) unsafe fn find_at(table: u64, address: u64, size: u64) -> Option<u64> {
    let number = (address >> PAGE_SHIFT) as usize % ENTRIES;
    // SAFETY: the caller's promise.
    let entry = unsafe { &*(table as *const Entry).add(number) };
    entry.find(address, size, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(address: u64, host: u64) -> Translation {
        Translation { address, host, read: true, write: true, shift: PAGE_SHIFT, private: false }
    }

    #[test]
    fn an_access_is_found_in_its_page_and_not_beyond() {
        let mut t = Table::default();
        t.fill(&Translation { write: false, ..page(0xffff_0000_0000_3008, 0x7000_0000) });
        assert_eq!(t.find(0xffff_0000_0000_3ff8, 8, false), Some(0x7000_0ff8));
        assert_eq!(t.find(0xffff_0000_0000_3ff9, 8, false), None);
        assert_eq!(t.find(0xffff_0000_0000_3000, 1, true), None);
        assert_eq!(t.find(0x3000, 1, false), None);
        t.flush();
        assert_eq!(t.find(0xffff_0000_0000_3008, 1, false), None);
    }

    #[test]
    fn a_page_goes_with_its_block_and_whatever_its_tag() {
        let mut t = Table::default();
        let block = |address| Translation { shift: 21, ..page(address, 0x7000_0000) };
        t.fill(&block(0xffff_8000_0020_1000));
        t.fill(&block(0xffff_8000_003f_f000));
        t.fill(&page(0xffff_8000_0040_2000, 0x8000_0000));
        t.flush_page(0xffff_8000_0021_0000);
        assert_eq!(t.find(0xffff_8000_0020_1000, 1, false), None);
        assert_eq!(t.find(0xffff_8000_003f_f000, 1, false), None);
        assert!(t.find(0xffff_8000_0040_2000, 1, false).is_some());
        t.fill(&page(0x5600_0000_0000_4000, 0x9000_0000));
        t.flush_page(0x4000);
        assert_eq!(t.find(0x5600_0000_0000_4000, 1, false), None);
    }

    #[test]
    fn a_stretch_of_pages_goes_alone() {
        for large in [false, true] {
            for pages in [3, 5000] {
                let mut t = Table::default();
                let all = [0x1000, 0x2000, 0x4000, 0x5000, 0x2000_0000].map(|at| page(at, 0x7000_0000));
                all.iter().for_each(|p| t.fill(p));
                if large {
                    t.fill(&Translation { shift: 21, ..page(0x40_3000, 0x8000_0000) });
                    t.flush_pages(0x2000, 0x400);
                    assert_eq!(t.find(0x40_3000, 1, false), None, "its block begins there");
                    all.iter().for_each(|p| t.fill(p));
                }
                t.flush_pages(0x2000, pages);
                let left = all.map(|p| t.find(p.address, 1, false).is_some());
                assert_eq!(left, [true, false, false, pages == 3, true], "{large}, {pages}");
            }
        }
        let mut t = Table::default();
        t.fill(&page(0xffff_ffff_ffff_f000, 0x7000_0000));
        t.flush_pages(0xffff_ffff_ffff_0000, 1 << 21);
        assert_eq!(t.find(0xffff_ffff_ffff_f000, 1, false), None);
    }

    #[test]
    fn many_large_ranges_are_still_found_and_others_told_apart() {
        let mut t = Table::default();
        for n in 0..20u64 {
            t.fill(&Translation { shift: 21, ..page(n << 30 | 1 << 12, 0x7000_0000) });
        }
        assert!(!t.large.contains(0xffff_fbff_fe00_0000), "far away from all of them");
        t.flush_page(19 << 30);
        assert_eq!(t.find(19 << 30 | 1 << 12, 1, false), None);
        for (shift, apart) in [(16, 1 << 21), (25, 1 << 30), (30, 1 << 30)] {
            let mut ranges = Ranges::default();
            let at = 0xffff_8000_4000_0000_u64;
            ranges.add(at, shift);
            assert!(ranges.contains(at + 0xf000) && ranges.contains(at & VA_MASK) && ranges.overlaps(at - 0x1000, 2));
            assert!(!ranges.contains(at + apart) && !ranges.overlaps(at + apart, 500), "{shift}");
            assert!(ranges.overlaps(at - (4 << 30), 2 << 18), "too many to look at");
            ranges.clear();
            assert!(!ranges.contains(at) && !ranges.overlaps(0, 1 << 40));
        }
        let mut ranges = Ranges::default();
        ranges.add(0, 39);
        assert!(ranges.contains(0x1234_5678_9000));
    }

    #[test]
    fn private_entries_and_writes_can_be_dropped_alone() {
        let mut t = Table::default();
        t.fill(&Translation { private: true, ..page(0x1000, 0x7000_0000) });
        t.fill(&page(0x2000, 0x7000_1000));
        t.flush_private();
        assert_eq!((t.find(0x1000, 1, false), t.find(0x2000, 1, true)), (None, Some(0x7000_1000)));
        t.forbid_writes(0x7000_1000);
        assert_eq!((t.find(0x2000, 1, true), t.find(0x2000, 1, false)), (None, Some(0x7000_1000)));
    }
}
