//! Calls that change the address space.

use super::{Answer, Args};
use crate::host::Errno;
use crate::space::{Changed, Mmap};
use crate::thread::Thread;
use crate::vma::Kind;

/// `PROT_BTI`: branch targets are not checked, so it changes nothing.
const PROT_BTI: u64 = 0x10;
/// `PROT_GROWSDOWN` and `PROT_GROWSUP`
const PROT_GROWS: u64 = 0x0300_0000;
const PROT_KNOWN: u64 = 7 | 8 | PROT_BTI;

/// Drops translations that the change made stale, and hands on its value.
fn settle<T>(t: &Thread, change: Result<Changed<T>, Errno>) -> Result<T, Errno> {
    Ok(t.process.apply(change?))
}

pub(crate) fn brk(t: &mut Thread, a: &Args) -> Answer {
    let change = t.process.space.brk(a[0]);
    Ok(t.process.apply(change) as i64)
}

pub(crate) fn mmap(t: &mut Thread, a: &Args) -> Answer {
    // Linux ignores unknown bits here.
    let prot = (a[2] & 7) as i32;
    let (flags, fd) = (a[3] as i32, a[4] as i32);
    let free = a[0] == 0 && flags & (libc::MAP_FIXED | libc::MAP_FIXED_NOREPLACE) == 0;
    let addr = if free { place_of_library(t, prot, flags, fd).unwrap_or(0) } else { a[0] };
    let m = Mmap { addr, len: a[1], prot, flags, fd, offset: a[5], kind: Kind::Plain };
    let change = t.process.space.mmap(m);
    settle(t, change).map(|at| at as i64)
}

/// Where a library should go whose header was read just before, if this is its first mapping: of the file, or of the
/// room for it.
fn place_of_library(t: &mut Thread, prot: i32, flags: i32, fd: i32) -> Option<u64> {
    let header = t.header_read?;
    let of_file = flags & libc::MAP_ANONYMOUS == 0 && fd == header;
    let room = flags == libc::MAP_PRIVATE | libc::MAP_ANONYMOUS && prot == libc::PROT_NONE;
    if !of_file && !room {
        return None;
    }
    t.header_read = None;
    t.process.space.place_of(header)
}

pub(crate) fn munmap(t: &mut Thread, a: &Args) -> Answer {
    let change = t.process.space.munmap(a[0], a[1]);
    settle(t, change).map(|()| 0)
}

pub(crate) fn mprotect(t: &mut Thread, a: &Args) -> Answer {
    if a[2] & !(PROT_KNOWN | PROT_GROWS) != 0 || a[2] & PROT_GROWS == PROT_GROWS {
        return Err(Errno(libc::EINVAL));
    }
    let change = t.process.space.mprotect(a[0], a[1], (a[2] & 7) as i32);
    settle(t, change).map(|()| 0)
}

/// Without protection keys, only the key -1 ("none") is valid.
pub(crate) fn pkey_mprotect(t: &mut Thread, a: &Args) -> Answer {
    if a[3] as i32 != -1 { Err(Errno(libc::EINVAL)) } else { mprotect(t, a) }
}

pub(crate) fn pkey_alloc(_: &mut Thread, a: &Args) -> Answer {
    Err(Errno(if a[0] != 0 { libc::EINVAL } else { libc::ENOSPC }))
}

pub(crate) fn pkey_free(_: &mut Thread, _: &Args) -> Answer {
    Err(Errno(libc::EINVAL))
}

pub(crate) fn mremap(t: &mut Thread, a: &Args) -> Answer {
    let change = t.process.space.mremap(a[0], a[1], a[2], a[3] as i32, a[4]);
    settle(t, change).map(|at| at as i64)
}

pub(crate) fn remap_file_pages(t: &mut Thread, a: &Args) -> Answer {
    let change = t.process.space.remap_file_pages(a);
    settle(t, change).map(|()| 0)
}

pub(crate) fn madvise(t: &mut Thread, a: &Args) -> Answer {
    let change = t.process.space.madvise(a[0], a[1], a[2] as i32);
    settle(t, change).map(|()| 0)
}

/// Makes a call about a range of memory. Where the guest has nothing there may be something of ours: that is not there.
fn of_range(t: &Thread, nr: i64, a: &Args) -> Answer {
    let result = t.pass(nr, *a);
    if result >= 0 && !t.process.space.has_all(a[0], a[1]) {
        return Err(Errno(libc::ENOMEM));
    }
    Ok(result)
}

pub(crate) fn mincore(t: &mut Thread, a: &Args) -> Answer {
    of_range(t, libc::SYS_mincore, a)
}

pub(crate) fn msync(t: &mut Thread, a: &Args) -> Answer {
    of_range(t, libc::SYS_msync, a)
}

pub(crate) fn mlock(t: &mut Thread, a: &Args) -> Answer {
    of_range(t, libc::SYS_mlock, a)
}

pub(crate) fn mlock2(t: &mut Thread, a: &Args) -> Answer {
    of_range(t, libc::SYS_mlock2, a)
}

pub(crate) fn munlock(t: &mut Thread, a: &Args) -> Answer {
    of_range(t, libc::SYS_munlock, a)
}

pub(crate) fn shmat(t: &mut Thread, a: &Args) -> Answer {
    let change = t.process.space.shmat(a[0] as i32, a[1], a[2] as i32);
    settle(t, change).map(|at| at as i64)
}

pub(crate) fn shmdt(t: &mut Thread, a: &Args) -> Answer {
    let change = t.process.space.shmdt(a[0]);
    settle(t, change).map(|()| 0)
}
