//! Paths: the sysroot, and the files of `/proc` that would tell about the translator instead of
//! the guest program.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

use super::file::{open_how_in, swap_open_flags};
use super::procfs::{self, ProcFile};
use super::{Answer, Args, copy_out, string_in};
use crate::host::{Errno, try_call};
use crate::thread::Thread;

const PATH_MAX: usize = 4096;

/// What a guest path stands for.
pub(crate) enum Meaning {
    /// Itself.
    Same,
    /// Another file.
    Other(CString),
    /// A file that we make up.
    Made(ProcFile),
}

/// Finds out what the path at `addr`, relative to the directory `dir`, stands for. A bad address is left to the
/// kernel to find.
pub(crate) fn meaning(t: &Thread, dir: i32, addr: u64) -> Meaning {
    match string_in(addr, PATH_MAX) {
        Ok(path) if path.first() == Some(&b'/') => absolute(t, &path),
        Ok(path) => procfs::absolute(dir, &path).map_or(Meaning::Same, |path| absolute(t, &path)),
        Err(_) => Meaning::Same,
    }
}

/// The directory of the path that is argument `index`: the argument before, unless it is the first.
fn directory(args: &Args, index: usize) -> i32 {
    index.checked_sub(1).map_or(libc::AT_FDCWD, |before| args[before] as i32)
}

/// The same for an absolute path.
pub(crate) fn absolute(t: &Thread, path: &[u8]) -> Meaning {
    match procfs::recognise(path) {
        Some(ProcFile::Exe) => match t.process.own.program.map(|fd| CString::new(format!("/proc/self/fd/{fd}"))) {
            Some(Ok(program)) => Meaning::Other(program),
            _ => Meaning::Same,
        },
        Some(ProcFile::ExeOf(pid)) => {
            match procfs::program_of(t, pid).map(|p| CString::new(p.as_os_str().as_bytes())) {
                Some(Ok(program)) => Meaning::Other(program),
                _ => Meaning::Same,
            }
        }
        Some(ProcFile::Cmdline | ProcFile::Environ | ProcFile::Auxv) if t.process.facts.disclosed => Meaning::Same,
        // No thread has this number.
        Some(ProcFile::Task(process, task)) if procfs::is_hidden(t, process, task) => {
            Meaning::Other(c"/proc/self/task/0".to_owned())
        }
        Some(ProcFile::Task(..)) => Meaning::Same,
        Some(ProcFile::Counts(counts)) if !counts.differs(t) => Meaning::Same,
        Some(list) if !procfs::knows_mappings(t, list) => Meaning::Same,
        Some(made) => Meaning::Made(made),
        None => match t.process.in_sysroot(path).map(|p| CString::new(p.as_os_str().as_bytes())) {
            Some(Ok(there)) => Meaning::Other(there),
            _ => Meaning::Same,
        },
    }
}

/// Is the path at `addr` one that ends as the link to a program in `/proc` does?
fn is_link_of_proc(addr: u64) -> bool {
    string_in(addr, PATH_MAX).is_ok_and(|p| p == b"exe" || p.starts_with(b"/proc/") && p.ends_with(b"/exe"))
}

/// Passes a call on whose argument `index` is a path.
pub(crate) fn pass(t: &mut Thread, nr: i64, mut args: Args, index: usize) -> Answer {
    let meaning = meaning(t, directory(&args, index), args[index]);
    // Who looks at the link itself sees the host's.
    let looks_at_link = match nr {
        libc::SYS_newfstatat => args[3] & libc::AT_SYMLINK_NOFOLLOW as u64 != 0,
        libc::SYS_statx => args[2] & libc::AT_SYMLINK_NOFOLLOW as u64 != 0,
        _ => false,
    };
    if let Meaning::Other(path) = &meaning
        && !(looks_at_link && is_link_of_proc(args[index]))
    {
        args[index] = path.as_ptr() as u64;
    }
    Ok(t.pass(nr, args))
}

pub(crate) fn openat(t: &mut Thread, a: &Args) -> Answer {
    let flags = swap_open_flags(a[2]);
    match meaning(t, a[0] as i32, a[1]) {
        Meaning::Same => Ok(t.pass(libc::SYS_openat, [a[0], a[1], flags, a[3], 0, 0])),
        Meaning::Other(path) => Ok(t.pass(libc::SYS_openat, [a[0], path.as_ptr() as u64, flags, a[3], 0, 0])),
        Meaning::Made(file) => open_made(t, file, flags),
    }
}

pub(crate) fn openat2(t: &mut Thread, a: &Args) -> Answer {
    let how = open_how_in(a[2], a[3])?;
    let at = how.as_ptr() as u64;
    match meaning(t, a[0] as i32, a[1]) {
        Meaning::Same => Ok(t.pass(libc::SYS_openat2, [a[0], a[1], at, 24, 0, 0])),
        Meaning::Other(path) => Ok(t.pass(libc::SYS_openat2, [a[0], path.as_ptr() as u64, at, 24, 0, 0])),
        Meaning::Made(file) => open_made(t, file, u64::from_le_bytes(std::array::from_fn(|i| how[i]))),
    }
}

/// Opens a file that we make up, as an anonymous file with the text in it.
fn open_made(t: &Thread, file: ProcFile, flags: u64) -> Answer {
    if flags & libc::O_ACCMODE as u64 != libc::O_RDONLY as u64 {
        return Err(Errno(libc::EACCES));
    }
    let text = procfs::contents(t, file);
    let cloexec = if flags & libc::O_CLOEXEC as u64 != 0 { libc::MFD_CLOEXEC } else { 0 };
    let fd = try_call(libc::SYS_memfd_create, &[c"proc".as_ptr() as u64, cloexec as u64])?;
    let filled = fill(fd, &text);
    if filled.is_err() {
        _ = try_call(libc::SYS_close, &[fd]);
    }
    filled.map(|()| fd as i64)
}

fn fill(fd: u64, text: &[u8]) -> Result<(), Errno> {
    let mut rest = text;
    while !rest.is_empty() {
        let n = try_call(libc::SYS_write, &[fd, rest.as_ptr() as u64, rest.len() as u64])?;
        rest = &rest[n as usize..];
    }
    try_call(libc::SYS_lseek, &[fd, 0, libc::SEEK_SET as u64]).map(drop)
}

pub(crate) fn readlinkat(t: &mut Thread, a: &Args) -> Answer {
    let path = string_in(a[1], PATH_MAX).unwrap_or_default();
    let path = procfs::absolute(a[0] as i32, &path).unwrap_or(path);
    let program = match procfs::recognise(&path) {
        Some(ProcFile::Exe) => Some(t.process.program()),
        Some(ProcFile::ExeOf(pid)) => procfs::program_of(t, pid),
        _ => None,
    };
    let Some(program) = program else { return pass(t, libc::SYS_readlinkat, *a, 1) };
    if a[3] as i32 <= 0 {
        return Err(Errno(libc::EINVAL));
    }
    let bytes = program.as_os_str().as_bytes();
    let n = bytes.len().min(a[3] as u32 as usize);
    copy_out(a[2], &bytes[..n])?;
    Ok(n as i64)
}
