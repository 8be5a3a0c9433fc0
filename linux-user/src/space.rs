//! The guest's address space: host mappings and the mapping list, changed together.
//!
//! Guest pages are never executable on the host: guest code is data to us. What the guest has not
//! mapped is not its to change: fixed mappings that would land on the translator's own memory
//! fail with `ENOMEM`, and unmapping skips it.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jib_ir::guest::Fetch;
use jib_ir::runtime::{Access, Fault};
use jib_ir::ty::Size;

use crate::elf::{PAGE, TASK_SIZE, page_up};
use crate::host::{Errno, try_call};
use crate::mem::{self, SEGV_ACCERR, SEGV_MAPERR};
use crate::place::{self, Places};
use crate::spare;
use crate::vma::{Kind, Vma, VmaList};

const PROT_RWX: i32 = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
/// `MAP_32BIT` exists on x86 only; AArch64 ignores the bit. Growing downwards is not tracked.
const DROPPED_MAP_FLAGS: i32 = 0x40 | libc::MAP_GROWSDOWN;

/// Guest mappings and the program break.
#[derive(Default, Debug)]
pub(crate) struct Inner {
    /// What is mapped.
    pub vmas: VmaList,
    /// Lowest and current program break.
    brk: Range<u64>,
    /// Attached System V segments: start and length.
    segments: Vec<(u64, u64)>,
}

/// The guest's address space.
#[derive(Default, Debug)]
pub(crate) struct AddressSpace {
    inner: Mutex<Inner>,
    /// Where images prefer to be; without, nobody asks what an image is.
    places: Option<Places>,
}

/// What a change of the address space did, besides its result.
#[derive(Debug)]
pub(crate) struct Changed<T> {
    /// The system call's result.
    pub value: T,
    /// Code that must be translated anew, if any.
    pub stale: Option<Range<u64>>,
}

type Change<T> = Result<Changed<T>, Errno>;

fn done<T>(value: T) -> Change<T> {
    Ok(Changed { value, stale: None })
}

/// Host protection for a guest's: executable means readable, to us.
const fn host_prot(prot: i32) -> u64 {
    let data = prot & (libc::PROT_READ | libc::PROT_WRITE);
    (if prot & libc::PROT_EXEC != 0 { data | libc::PROT_READ } else { data }) as u64
}

fn raw_mmap(at: u64, len: u64, prot: u64, flags: i32, fd: i32, offset: u64) -> Result<u64, Errno> {
    try_call(libc::SYS_mmap, &[at, len, prot, flags as u64, fd as i64 as u64, offset])
}

fn raw_munmap(r: &Range<u64>) -> Result<u64, Errno> {
    try_call(libc::SYS_munmap, &[r.start, r.end - r.start])
}

/// Gives back what [`Inner::claim`] reserved.
fn discard(r: &Range<u64>) {
    _ = raw_munmap(r);
}

/// Checks an address and length as system calls give them, and rounds the end up to a page.
fn range_of(addr: u64, len: u64, error: i32) -> Result<Range<u64>, Errno> {
    if !addr.is_multiple_of(PAGE) {
        return Err(Errno(libc::EINVAL));
    }
    match addr.checked_add(len) {
        Some(end) if end <= TASK_SIZE => Ok(addr..page_up(end)),
        _ => Err(Errno(error)),
    }
}

/// A guest request to map memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mmap {
    /// Wanted address.
    pub addr: u64,
    /// Length in bytes.
    pub len: u64,
    /// Guest protection.
    pub prot: i32,
    /// `MAP_*`.
    pub flags: i32,
    /// File, or -1.
    pub fd: i32,
    /// Offset into it.
    pub offset: u64,
    /// For the mapping list.
    pub kind: Kind,
}

impl AddressSpace {
    /// Locks the mapping list (also around `fork`).
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty one, in which images have their places.
    pub(crate) fn new(places: Option<Places>) -> AddressSpace {
        AddressSpace { inner: Mutex::default(), places }
    }

    /// The address that the image behind `fd` prefers, if images have places.
    pub(crate) fn place_of(&self, fd: i32) -> Option<u64> {
        Some(self.places.as_ref()?.of(place::identity(fd)?))
    }

    /// The identity of the image that a request maps code of. What the guest could write to, or others change under
    /// its feet, is none.
    fn image_of(&self, m: &Mmap) -> Option<u128> {
        self.places.as_ref()?;
        let private_file = m.flags & (libc::MAP_TYPE | libc::MAP_ANONYMOUS) == libc::MAP_PRIVATE;
        let code = m.prot & (libc::PROT_EXEC | libc::PROT_WRITE) == libc::PROT_EXEC;
        if private_file && code { place::identity(m.fd) } else { None }
    }

    /// The image whose code is at `pc`: its identity, and the executable pages of it around there.
    pub(crate) fn image_at(&self, pc: u64) -> Option<(u128, Range<u64>)> {
        self.lock().vmas.image_at(pc)
    }

    /// `mmap`
    pub(crate) fn mmap(&self, m: Mmap) -> Change<u64> {
        if m.len == 0 || !m.offset.is_multiple_of(PAGE) {
            return Err(Errno(libc::EINVAL));
        }
        let fixed = m.flags & (libc::MAP_FIXED | libc::MAP_FIXED_NOREPLACE) != 0;
        let image = self.image_of(&m);
        let addr = match (&self.places, image) {
            (Some(places), Some(identity)) if m.addr == 0 && !fixed => places.of(identity),
            _ => m.addr,
        };
        let at = if fixed || addr.checked_add(m.len).is_some_and(|e| e <= TASK_SIZE) { addr } else { 0 };
        let wanted = range_of(if fixed { at } else { 0 }, m.len, libc::ENOMEM)?;
        let flags = m.flags & !DROPPED_MAP_FLAGS;
        let mut inner = self.lock();
        let replaces = flags & libc::MAP_FIXED != 0 && flags & libc::MAP_FIXED_NOREPLACE == 0;
        let stale = (replaces && inner.vmas.any_exec(wanted.clone())).then(|| wanted.clone());
        let claimed = if replaces { inner.claim(wanted)? } else { Vec::new() };
        match raw_mmap(at, m.len, host_prot(m.prot), flags, m.fd, m.offset) {
            Ok(value) => {
                let range = value..page_up(value + m.len);
                match image {
                    Some(identity) => inner.image_mapped(range, identity, m.prot & PROT_RWX),
                    None => inner.vmas.insert(range, m.prot & PROT_RWX, m.kind),
                }
                Ok(Changed { value, stale })
            }
            Err(e) => {
                claimed.iter().for_each(discard);
                Err(e)
            }
        }
    }

    /// `munmap`
    pub(crate) fn munmap(&self, addr: u64, len: u64) -> Change<()> {
        let range = range_of(addr, len, libc::EINVAL)?;
        if range.is_empty() {
            return Err(Errno(libc::EINVAL));
        }
        let mut inner = self.lock();
        if spare::is_spent() && (inner.vmas.is_inside(range.start) || inner.vmas.is_inside(range.end)) {
            spare::before_mapping()?;
        }
        inner.unmap(range)
    }

    /// `mprotect`: like Linux, changes what is mapped up to the first hole, then fails.
    pub(crate) fn mprotect(&self, addr: u64, len: u64, prot: i32) -> Change<()> {
        let range = range_of(addr, len, libc::ENOMEM)?;
        if range.is_empty() {
            return done(());
        }
        let mut inner = self.lock();
        let end = inner.vmas.mapped_prefix(range.clone());
        let part = range.start..end;
        if part.is_empty() {
            return Err(Errno(libc::ENOMEM));
        }
        try_call(libc::SYS_mprotect, &[part.start, end - part.start, host_prot(prot)])?;
        let stale = inner.vmas.any_exec(part.clone()).then(|| part.clone());
        inner.vmas.protect(part, prot & PROT_RWX);
        if end < range.end { Err(Errno(libc::ENOMEM)) } else { Ok(Changed { value: (), stale }) }
    }

    /// `mremap`
    pub(crate) fn mremap(&self, old: u64, old_len: u64, new_len: u64, flags: i32, to: u64) -> Change<u64> {
        let range = range_of(old, old_len, libc::EINVAL)?;
        let mut inner = self.lock();
        let Some((_, vma)) = inner.vmas.find(old) else { return Err(Errno(libc::EFAULT)) };
        if !inner.vmas.covers(range.clone()) {
            return Err(Errno(libc::EFAULT));
        }
        let mut stale = inner.vmas.any_exec(range.clone()).then(|| range.clone());
        let mut claimed = Vec::new();
        if flags & libc::MREMAP_FIXED != 0 {
            let target = range_of(to, new_len, libc::EINVAL)?;
            if inner.vmas.any_exec(target.clone()) {
                stale = Some(stale.map_or(target.clone(), |s| s.start.min(target.start)..s.end.max(target.end)));
            }
            claimed = inner.claim(target)?;
        }
        let moved = try_call(libc::SYS_mremap, &[old, old_len, new_len, flags as u64, to]);
        let value = moved.inspect_err(|_| claimed.iter().for_each(discard))?;
        let keeps_old = old_len == 0 || flags & libc::MREMAP_DONTUNMAP != 0;
        if !keeps_old {
            inner.vmas.remove(range);
        }
        inner.vmas.insert(value..page_up(value + new_len), vma.prot, vma.kind);
        Ok(Changed { value, stale })
    }

    /// `remap_file_pages`: other pages of the file that is mapped there already.
    pub(crate) fn remap_file_pages(&self, args: &[u64; 6]) -> Change<()> {
        let (start, len) = (args[0] & !(PAGE - 1), args[1] & !(PAGE - 1));
        let range = range_of(start, len, libc::EINVAL)?;
        let inner = self.lock();
        if range.is_empty() || !inner.vmas.covers(range.clone()) {
            return Err(Errno(libc::EINVAL));
        }
        try_call(libc::SYS_remap_file_pages, &args[..5])?;
        let stale = inner.vmas.any_exec(range.clone()).then_some(range);
        Ok(Changed { value: (), stale })
    }

    /// `madvise`: on guest mappings only. Tells whether code went away.
    pub(crate) fn madvise(&self, addr: u64, len: u64, advice: i32) -> Change<()> {
        let range = range_of(addr, len, libc::EINVAL)?;
        let inner = self.lock();
        if !inner.vmas.covers(range.clone()) {
            return Err(Errno(libc::ENOMEM));
        }
        try_call(libc::SYS_madvise, &[addr, len, advice as u64])?;
        let drops = matches!(advice, libc::MADV_DONTNEED | libc::MADV_REMOVE | libc::MADV_FREE);
        let stale = (drops && inner.vmas.any_exec(range.clone())).then_some(range);
        Ok(Changed { value: (), stale })
    }

    /// Has the guest mapped all pages of these bytes?
    pub(crate) fn has_all(&self, addr: u64, len: u64) -> bool {
        let start = addr & !(PAGE - 1);
        addr.checked_add(len).is_some_and(|end| self.lock().vmas.covers(start..page_up(end)))
    }

    /// `brk`: the new break, or the old one when it cannot be moved.
    pub(crate) fn brk(&self, to: u64) -> Changed<u64> {
        let mut inner = self.lock();
        let stale = inner.move_brk(to).unwrap_or(None);
        Changed { value: inner.brk.end, stale }
    }

    /// Sets where the heap begins.
    pub(crate) fn set_brk_start(&self, at: u64) {
        self.lock().brk = at..at;
    }

    /// `shmat`
    pub(crate) fn shmat(&self, id: i32, addr: u64, flags: i32) -> Change<u64> {
        let mut info = [0u64; 14];
        try_call(libc::SYS_shmctl, &[id as u64, libc::IPC_STAT as u64, info.as_mut_ptr() as u64])?;
        let len = page_up(info[SHM_SEGSZ_WORD]);
        let mut inner = self.lock();
        let mut claimed = Vec::new();
        let replaces = addr != 0 && flags & libc::SHM_REMAP != 0;
        if replaces {
            claimed = inner.claim(range_of(addr & !(PAGE - 1), len, libc::EINVAL)?)?;
        }
        let exec = flags & libc::SHM_EXEC != 0;
        let result = try_call(libc::SYS_shmat, &[id as u64, addr, (flags & !libc::SHM_EXEC) as u64]);
        let at = result.inspect_err(|_| claimed.iter().for_each(discard))?;
        let write = if flags & libc::SHM_RDONLY != 0 { 0 } else { libc::PROT_WRITE };
        let prot = libc::PROT_READ | write | if exec { libc::PROT_EXEC } else { 0 };
        let stale = inner.vmas.any_exec(at..at + len).then_some(at..at + len);
        inner.vmas.insert(at..at + len, prot, Kind::Plain);
        inner.segments.push((at, len));
        Ok(Changed { value: at, stale })
    }

    /// `shmdt`
    pub(crate) fn shmdt(&self, addr: u64) -> Change<()> {
        let mut inner = self.lock();
        let Some(i) = inner.segments.iter().position(|s| s.0 == addr) else { return Err(Errno(libc::EINVAL)) };
        try_call(libc::SYS_shmdt, &[addr])?;
        let (at, len) = inner.segments.swap_remove(i);
        let stale = inner.vmas.any_exec(at..at + len).then_some(at..at + len);
        inner.vmas.remove(at..at + len);
        Ok(Changed { value: (), stale })
    }
}

/// Where `shm_segsz` is in `struct shmid64_ds`, in 64-bit words.
const SHM_SEGSZ_WORD: usize = 6;

impl Inner {
    /// Notes that pages of an image were mapped executable; `munmap` and mappings over it take it back.
    fn image_mapped(&mut self, range: Range<u64>, identity: u128, prot: i32) {
        self.vmas.insert(range, prot, Kind::Image(identity));
    }

    /// Makes sure that `range` may be replaced: reserves the parts where the guest has nothing, so
    /// that nothing of the translator's is there. Returns what was reserved.
    fn claim(&self, range: Range<u64>) -> Result<Vec<Range<u64>>, Errno> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
        let mut claimed: Vec<Range<u64>> = Vec::new();
        for gap in self.vmas.gaps(range) {
            match raw_mmap(gap.start, gap.end - gap.start, 0, flags, -1, 0) {
                Ok(_) => claimed.push(gap),
                Err(e) => {
                    claimed.iter().for_each(discard);
                    return Err(if e.0 == libc::EEXIST { Errno(libc::ENOMEM) } else { e });
                }
            }
        }
        Ok(claimed)
    }

    fn unmap(&mut self, range: Range<u64>) -> Change<()> {
        let parts: Vec<_> = self.vmas.overlapping(range.clone()).map(|(r, _)| r).collect();
        for (i, part) in parts.iter().enumerate() {
            if let Err(e) = raw_munmap(part) {
                // Too many mappings, to cut one in two. What is gone must not be taken for the guest's.
                parts[..i].iter().for_each(|gone| self.vmas.remove(gone.clone()));
                return Err(e);
            }
        }
        let stale = self.vmas.any_exec(range.clone()).then(|| range.clone());
        self.vmas.remove(range);
        Ok(Changed { value: (), stale })
    }

    fn move_brk(&mut self, to: u64) -> Result<Option<Range<u64>>, Errno> {
        if to < self.brk.start || to > TASK_SIZE - PAGE {
            return Ok(None);
        }
        let (old, new) = (page_up(self.brk.end), page_up(to));
        let mut stale = None;
        if new > old {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
            let prot = libc::PROT_READ | libc::PROT_WRITE;
            raw_mmap(old, new - old, prot as u64, flags, -1, 0)?;
            self.vmas.insert(old..new, prot, Kind::Heap);
        } else if new < old {
            stale = self.unmap(new..old)?.stale;
        }
        self.brk.end = to;
        Ok(stale)
    }
}

impl Fetch for AddressSpace {
    fn word(&self, pc: u64) -> Result<u32, Fault> {
        let mut word = [0];
        self.words(pc, &mut word)?;
        Ok(word[0])
    }

    fn words(&self, pc: u64, room: &mut [u32]) -> Result<usize, Fault> {
        let fault =
            |signal: i32, code: u32| Fault { addr: pc, access: Access::Fetch, cause: (signal as u32) << 16 | code };
        if !pc.is_multiple_of(4) {
            return Err(fault(libc::SIGBUS, libc::BUS_ADRALN as u32));
        }
        match self.lock().vmas.find(pc) {
            None => Err(fault(libc::SIGSEGV, SEGV_MAPERR)),
            Some((_, v)) if v.prot & libc::PROT_EXEC == 0 => Err(fault(libc::SIGSEGV, SEGV_ACCERR)),
            Some((_, vma)) => {
                // In one page, all can be read or none.
                let end = vma.end.min((pc | (PAGE - 1)).saturating_add(1));
                let words = room.len().min(((end - pc) / 4) as usize);
                let load = |size, at| mem::load(size, at).map_err(|f| Fault { access: Access::Fetch, ..f });
                let (fours, rest) = room[..words].as_chunks_mut::<4>();
                let after = pc + 16 * fours.len() as u64;
                for (four, at) in fours.iter_mut().zip((pc..end).step_by(16)) {
                    let found = load(Size::B16, at)?;
                    *four = std::array::from_fn(|n| (found >> (32 * n)) as u32);
                }
                for (word, at) in rest.iter_mut().zip((after..end).step_by(4)) {
                    *word = load(Size::B4, at)? as u32;
                }
                Ok(words)
            }
        }
    }

    fn shows(&self, pc: u64, code: &[u8]) -> bool {
        let range = pc..pc.saturating_add(code.len() as u64);
        let shared = self.lock();
        let executable = |(_, v): (Range<u64>, Vma)| v.prot & libc::PROT_EXEC != 0;
        if !shared.vmas.gaps(range.clone()).is_empty() || !shared.vmas.overlapping(range).all(executable) {
            return false;
        }
        let mut buffer = [0; PAGE as usize];
        let mut pieces = code.chunks(buffer.len()).zip((pc..).step_by(buffer.len()));
        pieces.all(|(code, pc)| {
            let seen = &mut buffer[..code.len()];
            mem::read(pc, seen).is_ok() && seen == code
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    /// Held by tests that map what they name: tests run as threads of one process, and a hostile file may name any place.
    pub(crate) static FIXED_PLACES: Mutex<()> = Mutex::new(());

    const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;

    fn anonymous(space: &AddressSpace, addr: u64, len: u64, prot: i32, flags: i32) -> Change<u64> {
        let flags = flags | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        space.mmap(Mmap { addr, len, prot, flags, fd: -1, offset: 0, kind: Kind::Plain })
    }

    #[test]
    fn fixed_mappings_never_hit_the_translator() {
        let space = AddressSpace::default();
        let own = Box::new(7u64);
        let at = &raw const *own as u64 & !(PAGE - 1);
        assert_eq!(anonymous(&space, at, PAGE, RW, libc::MAP_FIXED).unwrap_err().0, libc::ENOMEM);
        space.munmap(at, PAGE).unwrap();
        assert_eq!(space.mprotect(at, PAGE, 0).unwrap_err().0, libc::ENOMEM);
        assert_eq!(*own, 7);
    }

    #[test]
    fn code_ranges_become_stale_when_they_change() {
        let space = AddressSpace::default();
        let at = anonymous(&space, 0, 4 * PAGE, RW | libc::PROT_EXEC, 0).unwrap().value;
        mem::write(at, &0xd503_201fu32.to_le_bytes()).unwrap();
        assert_eq!(space.word(at), Ok(0xd503_201f));
        assert_eq!(space.word(at + 2).unwrap_err().cause, 7 << 16 | 1);
        assert_eq!(space.mprotect(at, PAGE, RW).unwrap().stale, Some(at..at + PAGE));
        assert_eq!(space.word(at).unwrap_err().cause, 11 << 16 | SEGV_ACCERR);
        assert_eq!(space.munmap(at, PAGE).unwrap().stale, None);
        assert_eq!(space.word(at).unwrap_err().cause, 11 << 16 | SEGV_MAPERR);
        assert!(space.munmap(at + PAGE, 3 * PAGE).unwrap().stale.is_some());
    }

    #[test]
    fn images_have_places_and_are_noted() {
        let path = std::env::temp_dir().join(format!("jib-images-{}", std::process::id()));
        std::fs::write(&path, vec![1; 3 * PAGE as usize]).expect("a file");
        let file = std::fs::File::options().read(true).write(true).open(&path).expect("it is there");
        std::fs::remove_file(&path).expect("removed");
        let fd = file.as_raw_fd();
        const RX: i32 = libc::PROT_READ | libc::PROT_EXEC;
        let request = |prot, flags| Mmap { addr: 0, len: 3 * PAGE, prot, flags, fd, offset: 0, kind: Kind::Plain };
        let code = request(RX, libc::MAP_PRIVATE);

        let space = AddressSpace::new(Some(Places::new([3; 32])));
        let identity = place::identity(fd).expect("a file");
        let first = space.mmap(code).expect("room").value;
        assert_eq!(Some(first), space.place_of(fd));
        assert_eq!(space.image_at(first + PAGE), Some((identity, first..first + 3 * PAGE)));
        let second = space.mmap(code).expect("room").value;
        assert_eq!(space.image_at(second).map(|i| i.0), Some(identity), "elsewhere, but noted");
        anonymous(&space, first + PAGE, PAGE, RX, libc::MAP_FIXED).expect("room");
        assert_eq!(space.image_at(first + PAGE), None);
        space.munmap(first, PAGE).expect("it is there");
        assert_eq!(space.image_at(first), None);
        assert_eq!(space.image_at(first + 2 * PAGE), Some((identity, first + 2 * PAGE..first + 3 * PAGE)));
        let moved = space.mremap(second, 3 * PAGE, 3 * PAGE, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, first);
        assert_eq!(moved.expect("room").value, first);
        assert_eq!(space.image_at(first), Some((identity, first..first + 3 * PAGE)));
        assert_eq!(space.image_at(second), None);
        space.munmap(first, 3 * PAGE).expect("it is there");

        for no_image in [
            request(RX, libc::MAP_SHARED),
            request(RX | libc::PROT_WRITE, libc::MAP_SHARED),
            request(RX | libc::PROT_WRITE, libc::MAP_PRIVATE),
            request(libc::PROT_READ, libc::MAP_PRIVATE),
            request(RX, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS),
        ] {
            let at = space.mmap(no_image).expect("room").value;
            assert_eq!(space.image_at(at), None, "{no_image:?}");
            assert_ne!(Some(at), space.place_of(fd), "{no_image:?}");
            space.munmap(at, 3 * PAGE).expect("it is there");
        }
        let placeless = AddressSpace::default();
        let at = placeless.mmap(code).expect("room").value;
        assert_eq!((placeless.place_of(fd), placeless.image_at(at)), (None, None));
        placeless.munmap(at, 3 * PAGE).expect("it is there");
    }

    #[test]
    fn brk_grows_shrinks_and_refuses() {
        let _alone = FIXED_PLACES.lock();
        let space = AddressSpace::default();
        space.set_brk_start(0x31_0000_0123);
        assert_eq!(space.brk(0).value, 0x31_0000_0123);
        assert_eq!(space.brk(0x31_0000_5000).value, 0x31_0000_5000);
        mem::write(0x31_0000_4ff8, &[1; 8]).unwrap();
        assert_eq!(space.brk(0x31_0000_1000).value, 0x31_0000_1000);
        assert_eq!(space.brk(u64::MAX).value, 0x31_0000_1000);
    }

    #[test]
    fn a_huge_reservation_costs_nothing() {
        let space = AddressSpace::default();
        let len = 16 << 40;
        let at = anonymous(&space, 0, len, 0, libc::MAP_NORESERVE).unwrap().value;
        space.mprotect(at, PAGE, RW).unwrap();
        space.munmap(at, len).unwrap();
    }
}
