//! The file of one image: a head, then sections. All numbers are little-endian.
//!
//! Everything but the records is laid out to be used where it lies, by processes that share the pages; the records are
//! read only to make the next file.

use jib_ir::region::Key;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// First bytes of each file.
const MAGIC: &[u8; 8] = b"jibcache";
/// Number of sections.
const SECTIONS: usize = 8;
/// Bytes of the head: magic, key, offset, length and hash of each section, hash of all that.
pub(super) const HEAD: usize = 8 + 16 + 24 * SECTIONS + 16;
/// Sections begin at multiples of this; code is mapped.
pub(super) const ALIGN: usize = 4096;

/// The sections, in the order of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// [`Entry`] by [`Entry`], ascending by key.
    Entries,
    /// For each cell [`STUB`], [`COUNT`], [`PATIENT`], or [`LEADS`] + the offset of the code that it leads to; four bytes each.
    Cells,
    /// [`Point`] by [`Point`], ascending by offset.
    Points,
    /// Guest addresses of the code, ascending: start and length, eight bytes each.
    Ranges,
    /// The guest code there.
    Words,
    /// What the words before the cells are the addresses of: a postcard of names.
    Names,
    /// Host code. Behind it, from the next multiple of [`ALIGN`] on, it expects the names' addresses, then the cells.
    Code,
    /// What all this was made from: a postcard of records.
    Records,
}

/// A cell that leads nowhere yet.
pub(super) const STUB: u32 = 0;
/// A count-down.
pub(super) const COUNT: u32 = 1;
/// A count-down next to a cell that leads to optimised code.
pub(super) const PATIENT: u32 = 2;
/// What is added to the offset of the code that a cell leads to.
pub(super) const LEADS: u32 = 3;

/// Where code is entered for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) pc: u64,
    pub(super) mode: u32,
    /// Offset of the host code.
    pub(super) offset: u32,
    pub(super) optimized: bool,
}

impl Entry {
    /// Its bytes in the file.
    pub(super) const LEN: usize = 24;

    pub(super) fn to_bytes(self) -> [u8; Entry::LEN] {
        let mut b = [0; Entry::LEN];
        b[..8].copy_from_slice(&self.pc.to_le_bytes());
        b[8..12].copy_from_slice(&self.mode.to_le_bytes());
        b[12..16].copy_from_slice(&self.offset.to_le_bytes());
        b[16] = u8::from(self.optimized);
        b
    }

    /// The entry for `key` in a table of them.
    pub(super) fn find(table: &[u8], key: Key) -> Option<Entry> {
        let order = |e: &[u8]| (long(e, 0), word(e, 8));
        let n = partition_point(table, Entry::LEN, |e| order(e) < (key.pc, key.mode));
        let b = table.get(n * Entry::LEN..(n + 1) * Entry::LEN)?;
        Some(Entry::from_bytes(b)).filter(|e| (e.pc, e.mode) == (key.pc, key.mode))
    }

    pub(super) fn from_bytes(b: &[u8]) -> Entry {
        Entry { pc: long(b, 0), mode: word(b, 8), offset: word(b, 12), optimized: b[16] != 0 }
    }
}

/// What a host fault in the code from an offset on goes back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) offset: u32,
    /// See [`crate::recipe`].
    pub(super) recipe: u32,
    pub(super) pc: u64,
}

impl Point {
    /// Its bytes in the file.
    pub(super) const LEN: usize = 16;

    pub(super) fn to_bytes(self) -> [u8; Point::LEN] {
        let mut b = [0; Point::LEN];
        b[..4].copy_from_slice(&self.offset.to_le_bytes());
        b[4..8].copy_from_slice(&self.recipe.to_le_bytes());
        b[8..].copy_from_slice(&self.pc.to_le_bytes());
        b
    }

    pub(super) fn from_bytes(b: &[u8]) -> Point {
        Point { offset: word(b, 0), recipe: word(b, 4), pc: long(b, 8) }
    }
}

/// The four bytes of `b` from `at` on.
pub(super) fn word(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| b[at + i]))
}

/// The eight bytes of `b` from `at` on.
pub(super) fn long(b: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| b[at + i]))
}

/// Index of the first of the `len`-byte items of `table` for which `before` does not hold.
pub(super) fn partition_point(table: &[u8], len: usize, before: impl Fn(&[u8]) -> bool) -> usize {
    let (mut low, mut high) = (0, table.len() / len);
    while low < high {
        let middle = low.midpoint(high);
        if before(&table[middle * len..(middle + 1) * len]) { low = middle + 1 } else { high = middle }
    }
    low
}

/// A file's contents, whose head is whole.
pub(super) struct Layout<B> {
    bytes: B,
}

impl<B: std::ops::Deref<Target = [u8]>> Layout<B> {
    /// The file known by `key`, if `bytes` begin like it.
    pub(super) fn new(bytes: B, key: u128) -> Option<Layout<B>> {
        let head = bytes.get(..HEAD)?;
        let body = &head[..HEAD - 16];
        let good = head[..8] == *MAGIC && head[8..24] == key.to_le_bytes() && head[HEAD - 16..] == hash_of(body);
        good.then_some(Layout { bytes })
    }

    /// Bytes in the file.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Offset of a section, and its bytes: not checked.
    pub(super) fn place(&self, section: Section) -> Option<(u64, &[u8])> {
        let at = 24 + 24 * section as usize;
        let (offset, len) = (long(&self.bytes, at), long(&self.bytes, at + 8));
        let start = usize::try_from(offset).ok()?;
        Some((offset, self.bytes.get(start..start.checked_add(usize::try_from(len).ok()?)?)?))
    }

    /// Are `contents` what was written as `section`?
    pub(super) fn is_whole(&self, section: Section, contents: &[u8]) -> bool {
        long(&self.bytes, 24 + 24 * section as usize + 16) == xxh3_64(contents)
    }

    /// The bytes of a section, if they are whole.
    pub(super) fn section(&self, section: Section) -> Option<&[u8]> {
        let (_, bytes) = self.place(section)?;
        self.is_whole(section, bytes).then_some(bytes)
    }
}

fn hash_of(head: &[u8]) -> [u8; 16] {
    xxh3_128(head).to_le_bytes()
}

/// The contents of a file known by `key` with these sections.
pub(super) fn file(key: u128, sections: &[Vec<u8>; SECTIONS]) -> Vec<u8> {
    let mut out = vec![0; HEAD];
    out[..8].copy_from_slice(MAGIC);
    out[8..24].copy_from_slice(&key.to_le_bytes());
    for (n, section) in sections.iter().enumerate() {
        out.resize(out.len().next_multiple_of(ALIGN), 0);
        let place = [out.len() as u64, section.len() as u64, xxh3_64(section)];
        for (i, v) in place.into_iter().enumerate() {
            let at = 24 + 24 * n + 8 * i;
            out[at..at + 8].copy_from_slice(&v.to_le_bytes());
        }
        out.extend_from_slice(section);
    }
    let hash = hash_of(&out[..HEAD - 16]);
    out[HEAD - 16..HEAD].copy_from_slice(&hash);
    out
}
