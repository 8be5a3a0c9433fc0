//! All translations of one image, as the file has them: code mapped to run, data of this process behind it.
#![allow(unsafe_code, reason = "maps code and lends out what lies in its data")]

use std::fs;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use jib_ir::op::Op;
use jib_ir::region::Key;
use memmap2::Mmap;

use super::layout::{self, ALIGN, COUNT, Entry, LEADS, Layout, PATIENT, Point, STUB, Section, long, word};
use super::record::{Name, Record};
use crate::cache::Tier;
use crate::quick::{FIRST_COUNT, LATER_COUNT};

/// See the module documentation.
pub(crate) struct Module {
    file: Layout<Mmap>,
    /// Code and, behind it, data.
    memory: NonNull<u8>,
    len: usize,
    code_len: usize,
    cells_at: usize,
    cells: usize,
    /// Data refers to them.
    #[expect(clippy::vec_box, reason = "the code reads them at fixed addresses")]
    ops: Vec<Box<Op>>,
}

// SAFETY: the mapping is not tied to a thread; what changes in it is atomic.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Sync for Module {}

impl Module {
    /// The module in `file`, known by `key`; unlinked cells hold `stub`. `None` if the file is not whole.
    pub(super) fn load(file: &fs::File, key: u128, stub: u64) -> Option<Module> {
        let layout = Layout::new(map(file)?, key)?;
        let names: Vec<Name> = postcard::from_bytes(layout.section(Section::Names)?).ok()?;
        let cells = layout.section(Section::Cells)?.len() / 4;
        for section in [Section::Entries, Section::Points, Section::Ranges, Section::Words] {
            layout.section(section)?;
        }
        let (offset, code) = layout.place(Section::Code)?;
        let code_len = code.len();
        let data_at = code_len.next_multiple_of(ALIGN);
        let cells_at = data_at + 8 * names.len();
        let len = (cells_at + 8 * cells).next_multiple_of(ALIGN);
        let memory = reserve(len).ok()?;
        let mut module = Module { file: layout, memory, len, code_len, cells_at, cells, ops: Vec::new() };
        module.map_code(file, offset).ok()?;
        // What will run is what is looked at.
        // SAFETY: the code has been mapped there, readable.
        let mapped = unsafe { std::slice::from_raw_parts(memory.as_ptr(), code_len) };
        module.file.is_whole(Section::Code, mapped).then_some(())?;
        module.fill(&names, stub)?;
        Some(module)
    }

    /// Maps the code, which lies in `file` from `offset` on.
    fn map_code(&mut self, file: &fs::File, offset: u64) -> io::Result<()> {
        let (at, rx) = (self.memory.as_ptr(), libc::PROT_READ | libc::PROT_EXEC);
        let flags = libc::MAP_PRIVATE | libc::MAP_FIXED;
        // SAFETY: over a part of a mapping that is ours alone.
        let p = unsafe { libc::mmap(at.cast(), self.code_len, rx, flags, file.as_raw_fd(), offset as libc::off_t) };
        if p != libc::MAP_FAILED {
            return Ok(());
        }
        // A file system without the right to execute: a copy.
        // SAFETY: that much of the mapping is ours, writable, and in nobody's hands.
        file.read_exact_at(unsafe { std::slice::from_raw_parts_mut(at, self.code_len) }, offset)?;
        // SAFETY: as above; from now on it is only read and run.
        match unsafe { libc::mprotect(at.cast(), self.code_len, rx) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Fills the data.
    fn fill(&mut self, names: &[Name], stub: u64) -> Option<()> {
        let (base, code_len) = (self.address(), self.code_len as u64);
        let addresses: Option<Vec<u64>> = names
            .iter()
            .map(|name| match name {
                Name::Whole(op) => {
                    let op = Box::new(*op);
                    let address = std::ptr::from_ref(&*op) as u64;
                    self.ops.push(op);
                    Some(address)
                }
                Name::Program(_) => name.program(),
                Name::Cells(_) | Name::Op(_) => None,
            })
            .collect();
        // SAFETY: data begins there, aligned to pages, written and lent out as atomics only.
        let data = unsafe {
            let at = self.memory.as_ptr().add(self.cells_at - 8 * names.len());
            std::slice::from_raw_parts(at.cast::<AtomicU64>(), names.len() + self.cells)
        };
        let (first, rest) = data.split_at(names.len());
        for (place, address) in first.iter().zip(addresses?) {
            place.store(address, Ordering::Relaxed);
        }
        for (cell, to) in rest.iter().zip(self.file.place(Section::Cells)?.1.chunks_exact(4)) {
            let value = match word(to, 0) {
                STUB => stub,
                COUNT => FIRST_COUNT,
                PATIENT => LATER_COUNT,
                to => base + Some(u64::from(to - LEADS)).filter(|to| *to < code_len)?,
            };
            cell.store(value, Ordering::Relaxed);
        }
        Some(())
    }

    /// Host address of the code.
    pub(crate) fn address(&self) -> u64 {
        self.memory.as_ptr() as u64
    }

    /// Host addresses of the code.
    pub(crate) fn addresses(&self) -> Range<u64> {
        self.address()..self.address() + self.code_len as u64
    }

    /// Is host address `code` in it?
    pub(crate) fn holds(&self, code: u64) -> bool {
        code.wrapping_sub(self.address()) < self.code_len as u64
    }

    /// The link cells and count-downs.
    pub(crate) fn cells(&self) -> &[AtomicU64] {
        // SAFETY: filled when the module was loaded, and there for as long.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().add(self.cells_at).cast::<AtomicU64>(), self.cells) }
    }

    /// Is cell `number` a count-down?
    pub(crate) fn counts(&self, number: usize) -> bool {
        let cells = self.table(Section::Cells);
        cells.get(4 * number..4 * number + 4).is_some_and(|c| matches!(word(c, 0), COUNT | PATIENT))
    }

    /// A table that was found whole.
    fn table(&self, section: Section) -> &[u8] {
        self.file.place(section).map_or(&[], |(_, bytes)| bytes)
    }

    /// Host address of the code for `key`, and who made it.
    pub(crate) fn entry(&self, key: Key) -> Option<(u64, Tier)> {
        let entry = Entry::find(self.table(Section::Entries), key).filter(|e| (e.offset as usize) < self.code_len)?;
        let tier = if entry.optimized { Tier::Optimized } else { Tier::Quick };
        Some((self.address() + u64::from(entry.offset), tier))
    }

    /// All keys, with the host addresses of their code.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (Key, u64)> + '_ {
        let inside = |e: &Entry| (e.offset as usize) < self.code_len;
        let entries = self.table(Section::Entries).chunks_exact(Entry::LEN).map(Entry::from_bytes).filter(inside);
        entries.map(|e| (Key { pc: e.pc, mode: e.mode }, self.address() + u64::from(e.offset)))
    }

    /// Guest addresses of the code, ascending.
    pub(crate) fn ranges(&self) -> Vec<Range<u64>> {
        let ranges = self.table(Section::Ranges).chunks_exact(16);
        ranges.map(|r| long(r, 0)..long(r, 0).saturating_add(long(r, 8))).collect()
    }

    /// Asks `shows` of each piece of guest code whether the guest has it at that address; false if one does not.
    pub(crate) fn agrees(&self, shows: impl Fn(u64, &[u8]) -> bool) -> bool {
        let mut words = self.table(Section::Words);
        for r in self.ranges() {
            let Some((code, rest)) = words.split_at_checked((r.end - r.start) as usize) else { return false };
            if !shows(r.start, code) {
                return false;
            }
            words = rest;
        }
        words.is_empty()
    }

    /// The checkpoint to which a fault at host address `code` goes back, and the recipe of the flags there.
    /// Async-signal-safe.
    pub(crate) fn checkpoint(&self, code: u64) -> Option<(u64, u32)> {
        let offset = code.wrapping_sub(self.address());
        let points = self.table(Section::Points);
        let n = layout::partition_point(points, Point::LEN, |p| u64::from(word(p, 0)) <= offset).checked_sub(1)?;
        let point = Point::from_bytes(points.get(n * Point::LEN..(n + 1) * Point::LEN)?);
        self.holds(code).then_some((point.pc, point.recipe))
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nobody runs code in it any more.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), self.len) };
    }
}

/// The contents of `file`, which is one of ours.
pub(super) fn map(file: &fs::File) -> Option<Mmap> {
    // SAFETY: files of the store are replaced, never changed, and only this user may write to them.
    unsafe { Mmap::map(file) }.ok()
}

/// A file as what the next one is made from.
pub(super) struct Old(Layout<Mmap>);

impl Old {
    /// What is in `file`, known by `key`, if that is whole.
    pub(super) fn new(file: &fs::File, key: u128) -> Option<Old> {
        let layout = Layout::new(map(file)?, key)?;
        layout.section(Section::Entries)?;
        Some(Old(layout))
    }

    /// Bytes in the file.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Has it a translation for the key of `record`, as good?
    pub(super) fn has(&self, record: &Record) -> bool {
        let entries = self.0.place(Section::Entries).map_or(&[][..], |(_, bytes)| bytes);
        Entry::find(entries, record.key()).is_some_and(|e| e.optimized || record.tier() == Tier::Quick)
    }

    /// All records.
    pub(super) fn records(&self) -> Vec<Record> {
        let all = self.0.section(Section::Records).and_then(|r| postcard::from_bytes::<Vec<Record>>(r).ok());
        all.unwrap_or_default().into_iter().filter(Record::is_sound).collect()
    }
}

/// `len` bytes of memory for data, and for code over it.
fn reserve(len: usize) -> io::Result<NonNull<u8>> {
    let (rw, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping.
    let p = unsafe { libc::mmap(std::ptr::null_mut(), len, rw, flags, -1, 0) };
    if p == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(p.cast()).ok_or_else(|| io::Error::other("mapping at address 0"))
}
