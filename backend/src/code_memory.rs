//! Memory for compiled code: one anonymous file mapped twice, once to write and once to run, never both.
//!
//! The arena is a ring of segments filled one after the other. A segment is emptied as a whole when its turn comes
//! again, so that old code goes first. In front of each piece of code lies a header that leads from a host address to
//! its fault table without locks, for the signal handler.
#![allow(unsafe_code, reason = "maps and writes raw memory")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use crate::store::Module;

/// Most modules at a time.
const MODULES: usize = 128;
/// Code starts at multiples of this, and the address map counts in it.
pub(crate) const GRANULE: usize = 64;
/// Number of segments in the ring.
const SEGMENTS: usize = 16;

/// Where a host fault in a piece of code goes back to.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultTable {
    /// Code offsets and guest pcs of checkpoints, ascending: each pc is for the code from its offset on.
    pub(crate) points: Vec<(u32, u64)>,
    /// For each of them the recipe of the flags, 0 where memory has them; empty if it has them everywhere.
    pub(crate) recipes: Vec<u32>,
    /// Guest address at which the code begins.
    pub(crate) pc: u64,
}

impl FaultTable {
    /// The checkpoint of the code at `offset`, and the recipe of its flags.
    pub(crate) fn find(&self, offset: u32) -> Option<(u64, u32)> {
        let n = self.points.partition_point(|p| p.0 <= offset);
        n.checked_sub(1).map(|i| (self.points[i].1, self.recipes.get(i).copied().unwrap_or(0)))
    }
}

/// In front of each piece of code.
#[repr(C, align(64))]
struct Header {
    table: *const FaultTable,
    /// Whose code it is.
    owner: u64,
}

/// The arena.
pub(crate) struct CodeMemory {
    rw: NonNull<u8>,
    rx: NonNull<u8>,
    len: usize,
    /// For each granule that holds code: 1 + the granule of its header.
    map: Box<[AtomicU32]>,
    /// Code from elsewhere.
    modules: Box<[AtomicPtr<Module>; MODULES]>,
    /// Segment being filled, and first free byte in it.
    segment: usize,
    next: usize,
    /// Bytes at the start of the first segment that are kept for ever.
    sealed: usize,
    /// Bytes of the file that were ever written.
    used: usize,
    sharing: Sharing,
}

/// Which other processes map the file, after forks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    /// None.
    Own,
    /// Children, which run what was there when they were made: it must stay, but more may be added.
    Lent,
    /// It is a parent's: nothing may be written.
    Borrowed,
}

// SAFETY: the pointers are to mappings that live as long as the value and are not tied to a thread.
unsafe impl Send for CodeMemory {}

/// What a signal handler needs to know of an arena.
#[derive(Clone, Copy)]
pub(crate) struct CodeView {
    rx: *const u8,
    len: usize,
    map: *const AtomicU32,
    modules: *const [AtomicPtr<Module>; MODULES],
}

// SAFETY: a view only reads, through atomics or what is published by them.
unsafe impl Send for CodeView {}
// SAFETY: as above.
unsafe impl Sync for CodeView {}

impl CodeMemory {
    /// An arena of `len` bytes; `nameless` if it shall not look like a file to others: `perf` looks into its map of names
    /// for such memory only. (Where the host overcommits nothing, all of that counts as used.)
    pub(crate) fn new(len: usize, nameless: bool) -> io::Result<CodeMemory> {
        let unit = SEGMENTS * 4096;
        let len = len.max(unit) / unit * unit;
        let (rw, rx) = if nameless {
            twice(len)?
        } else {
            let fd = memfd(len)?;
            let rw = map(&fd, len, libc::PROT_READ | libc::PROT_WRITE)?;
            (rw, map(&fd, len, libc::PROT_READ | libc::PROT_EXEC)?)
        };
        // SAFETY: zero is a valid atomic integer. (Untouched parts of the map stay without memory.)
        let map = unsafe { Box::<[AtomicU32]>::new_zeroed_slice(len / GRANULE).assume_init() };
        // The mappings keep the file; its descriptor would be in the guest's way.
        let modules = Box::new([const { AtomicPtr::new(std::ptr::null_mut()) }; MODULES]);
        Ok(CodeMemory { rw, rx, len, map, modules, segment: 0, next: 0, sealed: 0, used: 0, sharing: Sharing::Own })
    }

    /// The part of the arena that the signal handler reads.
    pub(crate) fn view(&self) -> CodeView {
        CodeView { rx: self.rx.as_ptr(), len: self.len, map: self.map.as_ptr(), modules: &raw const *self.modules }
    }

    /// Lets faults in the code of `module` be found; false if there are too many.
    ///
    /// The module must stay where it is until it is removed.
    pub(crate) fn add_module(&self, module: &Module) -> bool {
        let free = self.modules.iter().find(|m| m.load(Ordering::Relaxed).is_null());
        free.map(|place| place.store(std::ptr::from_ref(module).cast_mut(), Ordering::Release)).is_some()
    }

    /// Undoes [`CodeMemory::add_module`]; nobody may run the module's code any more.
    pub(crate) fn remove_module(&self, module: &Module) {
        let module = std::ptr::from_ref(module).cast_mut();
        for place in self.modules.iter().filter(|m| m.load(Ordering::Relaxed) == module) {
            place.store(std::ptr::null_mut(), Ordering::Release);
        }
    }

    /// Index of the segment that holds host address `code`.
    pub(crate) fn segment_of(&self, code: u64) -> usize {
        (code as usize - self.rx.as_ptr() as usize) / self.segment_len()
    }

    /// Bytes in one segment.
    pub(crate) fn segment_len(&self) -> usize {
        self.len / SEGMENTS
    }

    /// The segment that follows the one being filled.
    pub(crate) fn following_segment(&self) -> usize {
        (self.segment + 1) % SEGMENTS
    }

    /// Keeps what has been added so far for ever: the ring begins behind it.
    pub(crate) fn seal(&mut self) {
        self.sealed = self.next;
    }

    /// Goes on filling the following segment, which must hold no code that anyone may run, in memory of its own.
    pub(crate) fn advance(&mut self) {
        debug_assert_eq!(self.sharing, Sharing::Own);
        let (full, len) = (self.segment * self.segment_len(), self.segment_len());
        // SAFETY: inside of the mapping. The memory stays, mapped to run; here it need not count once more.
        unsafe { libc::madvise(self.rw.as_ptr().add(full).cast(), len, libc::MADV_DONTNEED) };
        self.segment = self.following_segment();
        // The first segment begins with what is kept for ever.
        self.next = if self.segment == 0 { self.sealed } else { 0 };
        let per = self.segment_len() / GRANULE;
        for granule in &self.map[self.segment * per + self.next / GRANULE..(self.segment + 1) * per] {
            granule.store(0, Ordering::Relaxed);
        }
    }

    /// Bytes of the arena.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Begins anew behind what is kept for ever, and gives the memory back, which must be its own. Nobody may run any of
    /// the code.
    pub(crate) fn reset(&mut self) {
        debug_assert_eq!(self.sharing, Sharing::Own);
        for granule in &self.map[self.sealed / GRANULE..self.used.div_ceil(GRANULE)] {
            granule.store(0, Ordering::Relaxed);
        }
        let keep = self.sealed.next_multiple_of(4096);
        if self.used > keep {
            // SAFETY: inside of the mapping, and nobody uses what is there; if the host refuses, it only stays in use.
            unsafe { libc::madvise(self.rw.as_ptr().add(keep).cast(), self.used - keep, libc::MADV_REMOVE) };
        }
        (self.segment, self.next, self.used) = (0, self.sealed, self.sealed);
    }

    /// Copies `code` of `owner` into the segment being filled; its host address, or `None` if there is no room left.
    ///
    /// `table` must outlive the code. The memory must not be [borrowed](CodeMemory::may_add).
    pub(crate) fn add(&mut self, code: &[u8], table: *const FaultTable, owner: u64) -> Option<u64> {
        let need = size_of::<Header>() + code.len();
        if self.next + need > self.segment_len() {
            return None;
        }
        let at = self.segment * self.segment_len() + self.next;
        self.next = (self.next + need).next_multiple_of(GRANULE);
        let start = at + size_of::<Header>();
        self.used = self.used.max(at + need);
        // SAFETY: `at..at + need` is inside the mapping, and nobody runs code there.
        unsafe {
            let p = self.rw.as_ptr().add(at);
            p.cast::<Header>().write(Header { table, owner });
            p.add(size_of::<Header>()).copy_from_nonoverlapping(code.as_ptr(), code.len());
        }
        let header = (at / GRANULE) as u32 + 1;
        for granule in &self.map[start / GRANULE..(start + code.len()).div_ceil(GRANULE)] {
            granule.store(header, Ordering::Release);
        }
        Some(self.rx.as_ptr() as u64 + start as u64)
    }

    /// Whose the code at host address `code` is, if it was added to the arena.
    pub(crate) fn owner(&self, code: u64) -> Option<u64> {
        let offset = (code as usize).checked_sub(self.rx.as_ptr() as usize).filter(|o| *o < self.len)?;
        let header = self.map[offset / GRANULE].load(Ordering::Relaxed);
        let start = (header as usize).checked_sub(1)? * GRANULE;
        // SAFETY: the map leads to a header in the arena.
        Some(unsafe { (*self.rx.as_ptr().add(start).cast::<Header>()).owner })
    }

    /// The `len` bytes of code at host address `code`.
    pub(crate) fn bytes(&self, code: u64, len: usize) -> Vec<u8> {
        let start = code as usize - self.rx.as_ptr() as usize;
        assert!(start + len <= self.len, "code of this arena");
        // SAFETY: inside the mapping, which nobody writes to there while the code is in use.
        unsafe { std::slice::from_raw_parts(self.rx.as_ptr().add(start), len).to_vec() }
    }

    /// The process has forked, and this is one of the two.
    pub(crate) fn forked(&mut self, child: bool) {
        self.sharing = match self.sharing {
            Sharing::Borrowed => Sharing::Borrowed,
            _ if child => Sharing::Borrowed,
            _ => Sharing::Lent,
        };
    }

    /// Makes sure that code may be added; false if the host has no memory for that.
    pub(crate) fn may_add(&mut self) -> bool {
        self.sharing != Sharing::Borrowed || self.make_own()
    }

    /// Makes sure that no other process sees what changes here; false if the host has no memory for that.
    ///
    /// Other threads may go on running the code: its addresses and bytes stay as they are.
    pub(crate) fn make_own(&mut self) -> bool {
        if self.sharing != Sharing::Own && self.copy().is_ok() {
            self.sharing = Sharing::Own;
        }
        self.sharing == Sharing::Own
    }

    /// Replaces both mappings by those of a copy, at the same addresses.
    fn copy(&self) -> io::Result<()> {
        let fd = memfd(self.len)?;
        let mut done = 0;
        while done < self.used {
            // SAFETY: reads from the mapping, whose first bytes are initialised.
            let n = unsafe {
                let from = self.rx.as_ptr().add(done).cast();
                libc::pwrite(fd.as_raw_fd(), from, self.used - done, done as libc::off_t)
            };
            match n {
                -1 => return Err(io::Error::last_os_error()),
                n => done += n as usize,
            }
        }
        for (at, prot) in [(self.rw, libc::PROT_WRITE), (self.rx, libc::PROT_EXEC)] {
            let (prot, flags) = (libc::PROT_READ | prot, libc::MAP_SHARED | libc::MAP_FIXED);
            // SAFETY: a mapping of ours gives way, in one step, to one with the same bytes.
            mapped(unsafe { libc::mmap(at.as_ptr().cast(), self.len, prot, flags, fd.as_raw_fd(), 0) })?;
        }
        Ok(())
    }
}

impl Drop for CodeMemory {
    fn drop(&mut self) {
        // Nobody runs code in them any more.
        unmap(self.rw, self.len);
        unmap(self.rx, self.len);
    }
}

impl CodeView {
    /// A view of no arena.
    pub(crate) const NONE: CodeView =
        CodeView { rx: std::ptr::null(), len: 0, map: std::ptr::null(), modules: std::ptr::null() };

    /// The checkpoint to which a fault at host address `pc` goes back, and the recipe of the flags there, if `pc` is
    /// compiled code of the arena.
    ///
    /// # Safety
    /// The arena must be alive, and so must the code at `pc`, as it is while its thread is inside.
    pub(crate) unsafe fn checkpoint(&self, pc: u64) -> Option<(u64, u32)> {
        // SAFETY: the caller's promise.
        match unsafe { self.table(pc) } {
            Some((table, offset)) => table.find(offset),
            // SAFETY: as above.
            None => unsafe { self.modules() }.find_map(|m| m.checkpoint(pc)),
        }
    }

    /// The guest address that the code at host address `pc` is about, if that is compiled code of the arena.
    ///
    /// # Safety
    /// As for [`CodeView::checkpoint`].
    pub(crate) unsafe fn guest_pc(&self, pc: u64) -> Option<u64> {
        // SAFETY: the caller's promise.
        match unsafe { self.table(pc) } {
            Some((table, offset)) => Some(table.find(offset).map_or(table.pc, |(pc, _)| pc)),
            // SAFETY: as above.
            None => unsafe { self.modules() }.find_map(|m| m.checkpoint(pc)).map(|(pc, _)| pc),
        }
    }

    /// Code from elsewhere.
    ///
    /// # Safety
    /// As for [`CodeView::checkpoint`].
    unsafe fn modules(&self) -> impl Iterator<Item = &Module> {
        // SAFETY: the arena is alive, and so is each module that its list leads to.
        let modules = unsafe { self.modules.as_ref() }.into_iter().flatten();
        // SAFETY: as above.
        modules.filter_map(|m| unsafe { m.load(Ordering::Acquire).as_ref() })
    }

    /// The table of the code at host address `pc`, and the offset there.
    ///
    /// # Safety
    /// As for [`CodeView::checkpoint`].
    unsafe fn table(&self, pc: u64) -> Option<(&FaultTable, u32)> {
        let offset = (pc as usize).checked_sub(self.rx as usize).filter(|o| *o < self.len)?;
        // SAFETY: the map has an entry for each granule of the arena.
        let header = unsafe { (*self.map.add(offset / GRANULE)).load(Ordering::Acquire) };
        let start = (header as usize).checked_sub(1)? * GRANULE;
        // SAFETY: the map leads to a header, whose table, if it has one, lives as long as the code.
        let table = unsafe { (*self.rx.add(start).cast::<Header>()).table.as_ref() }?;
        Some((table, (offset - start - size_of::<Header>()) as u32))
    }
}

/// Gives memory that was freed back to the host.
pub(crate) fn trim() {
    // SAFETY: a plain call of the allocator's.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
}

/// Words that are zero at first, without memory until they are touched. (What the allocator has used before it would
/// clear by touching it.)
pub(crate) struct Zeroed {
    at: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping of atomics, which is not tied to a thread.
unsafe impl Send for Zeroed {}
// SAFETY: as above.
unsafe impl Sync for Zeroed {}

impl Zeroed {
    /// So many words. Without address space for them the process cannot go on.
    pub(crate) fn new(len: usize) -> Zeroed {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping.
        let at = mapped(unsafe { libc::mmap(std::ptr::null_mut(), 8 * len, prot, flags, -1, 0) });
        Zeroed { at: at.expect("address space for tables"), len }
    }
}

impl std::ops::Deref for Zeroed {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: so many words are mapped while the value lives, and zero is a valid atomic integer.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr().cast(), self.len) }
    }
}

impl Drop for Zeroed {
    fn drop(&mut self) {
        unmap(self.at, 8 * self.len);
    }
}

fn memfd(len: usize) -> io::Result<OwnedFd> {
    // SAFETY: a plain system call with a valid name.
    let fd = unsafe { libc::memfd_create(c"jib-code".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new descriptor that nobody else owns.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: a plain system call on our descriptor.
    if unsafe { libc::ftruncate(fd.as_raw_fd(), len as libc::off_t) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(fd)
}

/// New memory, mapped to write and mapped to run.
fn twice(len: usize) -> io::Result<(NonNull<u8>, NonNull<u8>)> {
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping.
    let rw =
        mapped(unsafe { libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) })?;
    // SAFETY: with a length of 0, shared memory is mapped once more.
    let rx = mapped(unsafe { libc::mremap(rw.as_ptr().cast(), 0, len, libc::MREMAP_MAYMOVE) })?;
    // SAFETY: a mapping of ours.
    match unsafe { libc::mprotect(rx.as_ptr().cast(), len, libc::PROT_READ | libc::PROT_EXEC) } {
        0 => Ok((rw, rx)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Maps the file.
fn map(fd: &OwnedFd, len: usize, prot: libc::c_int) -> io::Result<NonNull<u8>> {
    // SAFETY: a new mapping.
    mapped(unsafe { libc::mmap(std::ptr::null_mut(), len, prot, libc::MAP_SHARED, fd.as_raw_fd(), 0) })
}

/// Unmaps a mapping of ours, which nobody uses any more.
fn unmap(at: NonNull<u8>, len: usize) {
    // SAFETY: as said.
    unsafe { libc::munmap(at.as_ptr().cast(), len) };
}

fn mapped(p: *mut libc::c_void) -> io::Result<NonNull<u8>> {
    if p == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(p.cast()).ok_or_else(|| io::Error::other("mapping at address 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_leads_to_its_table() {
        let mut m = CodeMemory::new(1 << 20, false).expect("arena");
        let table = FaultTable { points: vec![(0, 0x1000), (3, 0x1008)], recipes: vec![0, 7], pc: 0x1000 };
        let a = m.add(&[0x90; 100], &table, 0).expect("room");
        let b = m.add(&[0xc3; 10], &table, 0).expect("room");
        let view = m.view();
        // SAFETY: arena and table are alive.
        let at = |pc| unsafe { view.checkpoint(pc) };
        let (first, second) = (Some((0x1000, 0)), Some((0x1008, 7)));
        assert_eq!([at(a), at(a + 2), at(a + 3), at(a + 99)], [first, first, second, second]);
        assert_eq!(at(b + 9), second);
        assert_eq!(at(a - 64), None, "the header is not code");
        let stub = m.add(&[0x90], std::ptr::null(), 0).expect("room");
        // SAFETY: the arena is alive.
        assert_eq!(unsafe { (m.view().checkpoint(stub), m.view().guest_pc(stub)) }, (None, None), "no table");
        assert_eq!(at(0), None);
    }

    #[test]
    fn a_full_segment_gives_way_to_the_next() {
        let mut m = CodeMemory::new(1 << 16, false).expect("arena");
        let table = FaultTable::default();
        while m.add(&[0; 1000], &table, 0).is_some() {}
        let full = m.segment;
        m.advance();
        assert_ne!(m.segment, full);
        assert!(m.add(&[0; 1000], &table, 0).is_some());
    }

    #[test]
    fn a_reset_arena_is_empty_and_fills_again() {
        let mut m = CodeMemory::new(1 << 16, false).expect("arena");
        let table = FaultTable { points: vec![(0, 0x1000)], recipes: Vec::new(), pc: 0x1000 };
        let stub = m.add(&[0xc3; 10], std::ptr::null(), 0).expect("room");
        m.seal();
        let first = m.add(&[1; 9000], &table, 0).or_else(|| m.add(&[1; 1000], &table, 0)).expect("room");
        while m.segment != 3 {
            if m.add(&[1; 1000], &table, 0).is_none() {
                m.advance();
            }
        }
        m.reset();
        // SAFETY: the arena is alive.
        assert_eq!(unsafe { m.view().guest_pc(first) }, None);
        assert_eq!(m.add(&[2; 1000], &table, 0), Some(first), "behind what stays");
        assert_eq!((m.bytes(stub, 10), m.bytes(first, 2)), (vec![0xc3; 10], vec![2; 2]));
    }

    /// Maps the arena once more, as a forked process has it.
    fn seen_by_another(m: &CodeMemory) -> &'static [u8] {
        // SAFETY: with a length of 0, shared memory is mapped once more; it stays to the end.
        unsafe {
            let at = libc::mremap(m.rx.as_ptr().cast(), 0, m.len, libc::MREMAP_MAYMOVE);
            std::slice::from_raw_parts(mapped(at).expect("mapped").as_ptr(), m.len)
        }
    }

    #[test]
    fn forked_processes_do_not_see_each_others_changes() {
        for nameless in [false, true] {
            let table = FaultTable::default();
            let mut m = CodeMemory::new(1 << 16, nameless).expect("arena");
            let at = m.add(&[1, 2, 3], &table, 0).expect("room");
            let offset = (at - m.rx.as_ptr() as u64) as usize;
            let other = seen_by_another(&m);
            assert_eq!(other[offset..][..3], [1, 2, 3]);
            // A parent may add, since its children do not look there, but not begin anew.
            m.forked(false);
            assert!(m.may_add());
            let more = m.add(&[4, 5, 6], &table, 0).expect("room");
            let later = (more - m.rx.as_ptr() as u64) as usize;
            assert_eq!(other[later..][..3], [4, 5, 6], "the same memory still");
            assert!(m.make_own());
            assert_eq!((m.bytes(at, 3), m.bytes(more, 3)), (vec![1, 2, 3], vec![4, 5, 6]));
            m.reset();
            assert_eq!(m.add(&[7, 8, 9], &table, 0), Some(at));
            assert_eq!((m.bytes(at, 3), other[offset..][..3].to_vec()), (vec![7, 8, 9], vec![1, 2, 3]));
            // A child, and its children, add to memory of their own.
            let other = seen_by_another(&m);
            m.forked(true);
            m.forked(false);
            assert!(m.may_add());
            let more = m.add(&[10, 11, 12], &table, 0).expect("room");
            let later = (more - m.rx.as_ptr() as u64) as usize;
            assert_eq!((m.bytes(more, 3), other[later..][..3].to_vec()), (vec![10, 11, 12], vec![0, 0, 0]));
            assert_eq!(m.bytes(at, 3), [7, 8, 9]);
        }
    }
}
