//! What this process has mapped, written down where other jib processes can read it: so `/proc/PID/maps` of one guest is
//! as true for another as its own.
//!
//! An anonymous file in shared memory, found among the process's descriptors by its name. It holds changes of the mapping
//! list in order; when it is full, the list as it stands takes their place. Each change costs a store of three words. The
//! reader trusts nothing in there more than it would a text.

use std::fs::File;
use std::os::unix::fs::FileExt;

use jib_ir::ty::Size;

use crate::host::{Errno, call, try_call};
use crate::mem;
use crate::own;
use crate::vma::{Kind, VmaList};

/// What the kernel calls the file.
const LINK: &str = "/memfd:jib-maps (deleted)";
/// Bytes of it; only what is written takes memory.
const SIZE: u64 = 1 << 20;
const MAGIC: u64 = u64::from_le_bytes(*b"jibmaps1");
/// Where the words of the head are: magic, edition (odd while it is written anew), number of entries.
const EDITION: u64 = 8;
const COUNT: u64 = 16;
const FIRST: u64 = 64;
const ENTRY: u64 = 24;
const MOST: u64 = (SIZE - FIRST) / ENTRY;
/// In the place of a protection: nothing is mapped.
const GONE: u64 = 1 << 16;

/// The writer's end.
#[derive(Debug)]
pub(crate) struct Journal {
    /// Where it is mapped.
    at: u64,
    fd: i32,
    count: u64,
    edition: u64,
}

impl Journal {
    /// An empty one. `None` if the process may not have such a file.
    pub(crate) fn new() -> Option<Journal> {
        let fd = own_file().ok()?;
        let flags = libc::MAP_SHARED as u64;
        let prot = (libc::PROT_READ | libc::PROT_WRITE) as u64;
        let at = try_call(libc::SYS_mmap, &[0, SIZE, prot, flags, fd as u64, 0]).ok()?;
        let mut journal = Journal { at, fd, count: 0, edition: 0 };
        journal.rewrite(&[]);
        Some(journal)
    }

    /// Its descriptor.
    pub(crate) fn descriptor(&self) -> i32 {
        self.fd
    }

    /// One for a forked process, in place of its parent's. `None`: there can be none, and the parent's is not ours.
    pub(crate) fn renewed(mut self, entries: &[[u64; 3]]) -> Option<Journal> {
        let renew = || -> Result<(), Errno> {
            let fd = own_file()? as u64;
            try_call(libc::SYS_dup3, &[fd, self.fd as u64, libc::O_CLOEXEC as u64])?;
            _ = try_call(libc::SYS_close, &[fd]);
            let flags = (libc::MAP_SHARED | libc::MAP_FIXED) as u64;
            let prot = (libc::PROT_READ | libc::PROT_WRITE) as u64;
            try_call(libc::SYS_mmap, &[self.at, SIZE, prot, flags, self.fd as u64, 0]).map(drop)
        };
        if renew().is_err() {
            call(libc::SYS_close, &[self.fd as u64]);
            call(libc::SYS_munmap, &[self.at, SIZE]);
            return None;
        }
        self.rewrite(entries);
        Some(self)
    }

    /// Is there room for one more change?
    pub(crate) fn has_room(&self) -> bool {
        self.count < MOST
    }

    /// Writes down a change.
    pub(crate) fn add(&mut self, entry: [u64; 3]) {
        self.put(FIRST + ENTRY * self.count, &entry);
        self.count += 1;
        self.put(COUNT, &[self.count]);
    }

    /// Replaces all changes by what they have led to. False if that is too much: the journal then says nothing.
    pub(crate) fn rewrite(&mut self, entries: &[[u64; 3]]) -> bool {
        self.put(EDITION, &[self.edition + 1]);
        let fits = (entries.len() as u64) < MOST / 2;
        self.count = if fits { entries.len() as u64 } else { u64::MAX };
        if fits {
            self.put(FIRST, entries.as_flattened());
        }
        self.put(COUNT, &[self.count]);
        self.edition += 2;
        self.put(EDITION, &[self.edition]);
        self.put(0, &[MAGIC]);
        fits
    }

    fn put(&self, offset: u64, words: &[u64]) {
        let at = self.at + offset;
        // The mapping is ours: no store fails.
        if let [word] = words {
            _ = mem::store(Size::B8, at, u128::from(*word));
        } else {
            let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
            _ = mem::write(at, &bytes);
        }
    }
}

/// An entry: a mapping, or that nothing is mapped.
pub(crate) fn entry(start: u64, end: u64, mapped: Option<(i32, Kind)>) -> [u64; 3] {
    let about = mapped.map_or(GONE, |(prot, kind)| prot as u64 & 7 | u64::from(number(kind)) << 8);
    [start, end, about]
}

fn number(kind: Kind) -> u8 {
    match kind {
        Kind::Plain | Kind::Image(_) => 0,
        Kind::Heap => 1,
        Kind::Stack => 2,
        Kind::Vdso => 3,
        Kind::Vvar => 4,
    }
}

/// A file of the right size, out of the guest's way.
fn own_file() -> Result<i32, Errno> {
    let mut limit = [0u64; 2];
    try_call(libc::SYS_prlimit64, &[0, libc::RLIMIT_FSIZE as u64, 0, limit.as_mut_ptr() as u64])?;
    if limit[0] < SIZE {
        // The kernel would send SIGXFSZ.
        return Err(Errno(libc::EFBIG));
    }
    let name = c"jib-maps".as_ptr() as u64;
    let fd = try_call(libc::SYS_memfd_create, &[name, u64::from(libc::MFD_CLOEXEC)])?;
    let own = own::keep(fd as i32);
    _ = try_call(libc::SYS_close, &[fd]);
    let own = own?;
    try_call(libc::SYS_ftruncate, &[own as u64, SIZE])?;
    Ok(own)
}

/// What process `pid`, a jib, has mapped, if it tells and we may know.
pub(crate) fn read(pid: i32) -> Option<VmaList> {
    let folder = format!("/proc/{pid}/fd");
    let named = |entry: &std::fs::DirEntry| std::fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str() == LINK);
    let file = std::fs::read_dir(folder).ok()?.flatten().find(named)?;
    let file = File::open(file.path()).ok()?;
    // It may be written anew meanwhile, hardly ever twice.
    (0..4).find_map(|_| edition(&file))
}

fn edition(file: &File) -> Option<VmaList> {
    let head = words(file, 0, 3)?;
    let [MAGIC, edition, count] = head[..] else { return None };
    if edition % 2 == 1 || count > MOST {
        return None;
    }
    let entries = words(file, FIRST, 3 * count as usize)?;
    (words(file, 0, 2)?[1] == edition).then(|| list(&entries))
}

fn words(file: &File, at: u64, n: usize) -> Option<Vec<u64>> {
    let mut bytes = vec![0; 8 * n];
    file.read_exact_at(&mut bytes, at).ok()?;
    Some(bytes.as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b)).collect())
}

/// The list that changes lead to.
fn list(entries: &[u64]) -> VmaList {
    let mut out = VmaList::default();
    for [start, end, about] in entries.as_chunks::<3>().0 {
        let kind = match about >> 8 & 0xff {
            1 => Kind::Heap,
            2 => Kind::Stack,
            3 => Kind::Vdso,
            4 => Kind::Vvar,
            _ => Kind::Plain,
        };
        if start >= end {
            continue;
        }
        if about & GONE != 0 {
            out.remove(*start..*end);
        } else {
            out.insert(*start..*end, (about & 7) as i32, kind);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(list: &VmaList) -> Vec<(u64, u64, i32)> {
        list.iter().map(|(r, v)| (r.start, r.end, v.prot)).collect()
    }

    #[test]
    fn what_is_written_can_be_read() {
        let mut list = VmaList::default();
        list.publish(Journal::new().expect("shared memory"));
        list.insert(0x1000..0x5000, 1, Kind::Plain);
        list.protect(0x2000..0x3000, 5);
        list.insert(0x8000..0x9000, 3, Kind::Stack);
        list.remove(0x4000..0x5000);
        let file = File::open(format!("/proc/self/fd/{}", list.descriptor().expect("a journal"))).expect("a file");
        let seen = edition(&file).expect("whole");
        assert_eq!(told(&seen), told(&list));
        assert_eq!(seen.find(0x8000).expect("mapped").1.kind, Kind::Stack);
        // More changes than there is room for.
        for i in 0..MOST + 10 {
            list.protect(0x1000..0x2000, (i % 2) as i32);
        }
        assert_eq!(told(&edition(&file).expect("whole")), told(&list));
    }

    #[test]
    fn nonsense_is_no_list() {
        assert_eq!(told(&list(&[5, 5, 1, 9, 3, 1, 1, 2])), []);
        assert_eq!(told(&list(&[0x1000, 0x2000, 0xff, 0x1000, 0x2000, GONE])), []);
    }
}
