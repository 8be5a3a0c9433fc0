//! Calls on files whose flags or structures differ between AArch64 and x86-64.

use std::ffi::c_int;

use jib_ir::ty::Size;

use super::ids::Ids;
use super::{Answer, Args, copy_in, copy_out, path, uring};
use crate::host::{Errno, try_call};
use crate::mem;
use crate::thread::Thread;

/// Converts `O_*` flags, in either direction: the pairs (O_DIRECTORY, O_NOFOLLOW) and
/// (O_DIRECT, O_LARGEFILE) have exchanged their bits.
pub(crate) const fn swap_open_flags(flags: u64) -> u64 {
    const LOW: u64 = 0o140000;
    flags & !(LOW | LOW << 2) | (flags & LOW) << 2 | flags >> 2 & LOW
}

/// An error if `fd` is ours, which the guest does not see.
fn not_ours(t: &Thread, fd: u64) -> Result<(), Errno> {
    if t.process.own.holds(fd as i32) { Err(Errno(libc::EBADF)) } else { Ok(()) }
}

/// The same for a call with a path, which tells of the descriptor itself if the path is empty.
pub(crate) fn not_ours_itself(t: &Thread, fd: u64, flags: u64) -> Result<(), Errno> {
    if flags & libc::AT_EMPTY_PATH as u64 != 0 { not_ours(t, fd) } else { Ok(()) }
}

pub(crate) fn fcntl(t: &mut Thread, a: &Args) -> Answer {
    not_ours(t, a[0])?;
    let mut args = *a;
    if a[1] as c_int == libc::F_SETFL {
        args[2] = swap_open_flags(a[2]);
    }
    let result = t.pass(libc::SYS_fcntl, args);
    Ok(if a[1] as c_int == libc::F_GETFL && result >= 0 { swap_open_flags(result as u64) as i64 } else { result })
}

/// `close`, which does not see descriptors of ours.
pub(crate) fn close(t: &mut Thread, a: &Args) -> Answer {
    not_ours(t, a[0])?;
    forget_rings(t, a[0] as i32..=a[0] as i32);
    Ok(t.pass(libc::SYS_close, *a))
}

/// What we know of rings goes with their descriptors.
fn forget_rings(t: &Thread, fds: std::ops::RangeInclusive<i32>) {
    let mut shared = t.process.lock();
    if !shared.rings.is_empty() {
        uring::forget(&mut shared.rings, fds);
    }
}

pub(crate) fn dup(t: &mut Thread, a: &Args) -> Answer {
    not_ours(t, a[0])?;
    Ok(t.pass(libc::SYS_dup, *a))
}

/// `dup3`, which closes what it replaces; ours it does not see.
pub(crate) fn dup3(t: &mut Thread, a: &Args) -> Answer {
    not_ours(t, a[0])?;
    not_ours(t, a[1])?;
    let mut args = *a;
    args[2] = swap_open_flags(a[2]);
    let result = t.pass(libc::SYS_dup3, args);
    if result >= 0 {
        forget_rings(t, a[1] as i32..=a[1] as i32);
    }
    Ok(result)
}

pub(crate) fn close_range(t: &mut Thread, a: &Args) -> Answer {
    let (first, last, flags) = (a[0] as u32 as u64, a[1] as u32 as u64, a[2]);
    const CLOEXEC: u64 = 4;
    if flags & CLOEXEC == 0 && first <= last {
        forget_rings(t, first.min(i32::MAX as u64) as i32..=last.min(i32::MAX as u64) as i32);
    }
    let mut own: Vec<u64> = t.process.own.all().map(|fd| fd as u64).filter(|fd| (first..=last).contains(fd)).collect();
    if own.is_empty() {
        return Ok(t.pass(libc::SYS_close_range, *a));
    }
    own.sort_unstable();
    // Ranges between ours; what is unshared once needs no second time.
    let (mut from, mut flags) = (first, flags);
    for fd in own {
        if from < fd {
            try_call(libc::SYS_close_range, &[from, fd - 1, flags])?;
            flags &= !(libc::CLOSE_RANGE_UNSHARE as u64);
        }
        from = fd + 1;
    }
    if from <= last {
        try_call(libc::SYS_close_range, &[from, last, flags])?;
    }
    Ok(0)
}

/// `read`. A dynamic linker reads the header of a library before it maps that: we take note of the file.
pub(crate) fn read(t: &mut Thread, a: &Args) -> Answer {
    let result = t.pass(libc::SYS_read, *a);
    note_header(t, a, result);
    Ok(result)
}

/// `pread64`, like `read`.
pub(crate) fn pread64(t: &mut Thread, a: &Args) -> Answer {
    let result = t.pass(libc::SYS_pread64, *a);
    note_header(t, a, result);
    Ok(result)
}

fn note_header(t: &mut Thread, a: &Args, read: i64) {
    const MAGIC: u128 = u32::from_le_bytes(*b"\x7fELF") as u128;
    const HEADER: i64 = 64;
    if read >= HEADER && mem::load(Size::B4, a[1]) == Ok(MAGIC) {
        t.header_read = Some(a[0] as i32);
    }
}

pub(crate) fn pipe2(t: &mut Thread, a: &Args) -> Answer {
    Ok(t.pass(libc::SYS_pipe2, [a[0], swap_open_flags(a[1]), 0, 0, 0, 0]))
}

pub(crate) fn mq_open(t: &mut Thread, a: &Args) -> Answer {
    Ok(t.pass(libc::SYS_mq_open, [a[0], swap_open_flags(a[1]), a[2], a[3], 0, 0]))
}

pub(crate) fn fanotify_init(t: &mut Thread, a: &Args) -> Answer {
    Ok(t.pass(libc::SYS_fanotify_init, [a[0], swap_open_flags(a[1]), 0, 0, 0, 0]))
}

pub(crate) fn open_by_handle_at(t: &mut Thread, a: &Args) -> Answer {
    Ok(t.pass(libc::SYS_open_by_handle_at, [a[0], a[1], swap_open_flags(a[2]), 0, 0, 0]))
}

/// x86-64 `struct stat` in 64-bit words.
pub(crate) type HostStat = [u64; 18];

/// From x86-64's `struct stat` to AArch64's, which is the generic one of 128 bytes.
pub(crate) fn convert_stat(h: &HostStat, ids: Option<Ids>) -> [u8; 128] {
    let [dev, ino, nlink, mode_uid, gid, rdev, size, blksize, blocks, times @ ..] = h;
    let (uid, gid) = ((mode_uid >> 32) as u32, *gid as u32);
    let (uid, gid) = ids.map_or((uid, gid), |ids| ids.seen(uid, gid));
    let mut out = [0; 128];
    let words = [
        *dev,
        *ino,
        mode_uid & 0xffff_ffff | nlink << 32,
        uid as u64 | (gid as u64) << 32,
        *rdev,
        0,
        *size,
        blksize & 0xffff_ffff,
        *blocks,
    ];
    for (i, w) in words.iter().chain(&times[..6]).enumerate() {
        out[8 * i..8 * i + 8].copy_from_slice(&w.to_le_bytes());
    }
    out
}

pub(crate) fn fstat(t: &mut Thread, a: &Args) -> Answer {
    not_ours(t, a[0])?;
    let mut h: HostStat = [0; 18];
    try_call(libc::SYS_fstat, &[a[0], h.as_mut_ptr() as u64])?;
    copy_out(a[1], &convert_stat(&h, t.ids))?;
    Ok(0)
}

pub(crate) fn newfstatat(t: &mut Thread, a: &Args) -> Answer {
    not_ours_itself(t, a[0], a[3])?;
    let mut h: HostStat = [0; 18];
    let result = path::pass(t, libc::SYS_newfstatat, [a[0], a[1], h.as_mut_ptr() as u64, a[3], 0, 0], 1)?;
    if result == 0 {
        copy_out(a[2], &convert_stat(&h, t.ids))?;
    }
    Ok(result)
}

/// Reads `struct open_how` and converts its flags.
pub(crate) fn open_how_in(addr: u64, size: u64) -> Result<[u8; 24], Errno> {
    match size {
        24 => {}
        0..24 => return Err(Errno(libc::EINVAL)),
        _ => return Err(Errno(libc::E2BIG)),
    }
    let mut how: [u8; 24] = copy_in(addr)?;
    let flags = u64::from_le_bytes(std::array::from_fn(|i| how[i]));
    how[..8].copy_from_slice(&swap_open_flags(flags).to_le_bytes());
    Ok(how)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_flags_exchange_places() {
        let pairs = [(0o40000, libc::O_DIRECTORY), (0o100000, libc::O_NOFOLLOW), (0o200000, libc::O_DIRECT)];
        for (arm, host) in pairs {
            assert_eq!(swap_open_flags(arm), host as u64);
            assert_eq!(swap_open_flags(host as u64), arm);
        }
        assert_eq!(swap_open_flags(0o400000), 0o100000);
        let same =
            (libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_SYNC | libc::O_RDWR) as u64;
        assert_eq!(swap_open_flags(same), same);
        assert_eq!(swap_open_flags(0o20040000), libc::O_TMPFILE as u64);
    }

    #[test]
    fn stat_fields_find_their_places() {
        let host: HostStat = std::array::from_fn(|i| 0x10 * i as u64 + 0x1_0000_0002);
        let out = convert_stat(&host, None);
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| out[at + i]));
        let half = |at: usize| word(at) as u32;
        assert_eq!((word(0), word(8)), (host[0], host[1]));
        assert_eq!((half(16), half(20)), (host[3] as u32, host[2] as u32));
        assert_eq!((half(24), half(28)), ((host[3] >> 32) as u32, host[4] as u32));
        assert_eq!((word(32), word(48), half(56), word(64)), (host[5], host[6], host[7] as u32, host[8]));
        assert_eq!((word(72), word(80), word(104), word(112)), (host[9], host[10], host[13], host[14]));
        assert_eq!(word(120), 0);
    }
}
