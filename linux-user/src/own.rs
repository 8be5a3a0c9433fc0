//! Descriptors that are ours, not the guest's: it neither sees them closed nor closes them.
//!
//! Four things must stay in reach wherever the guest goes (another root, a deleted file): the file
//! that jib itself runs from, so that it can start itself; the guest's program, for
//! `/proc/self/exe`; the folder where translations are kept; and the log of system calls.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::fs::MetadataExt;

use crate::host::{self, Errno, try_call};

/// Where our numbers begin, if the limit of open files allows.
const OWN_FD_MIN: u64 = 1000;
/// How many numbers are set apart while somebody watches.
const WATCHER: i32 = 16;
/// How many numbers below the limit are ours if that is low.
const HIGHEST: u64 = 8;
/// What the kernel calls a program that was started by its descriptor.
const STARTED_BY_FD: &[u8] = b"/dev/fd/";

/// Our descriptors; all are closed on `execve` but while one of ours is under way.
#[derive(Debug, Default)]
pub(crate) struct OwnFds {
    /// The file that we run from.
    pub exe: Option<i32>,
    /// The guest's program.
    pub program: Option<i32>,
    /// The folder where translations are kept.
    pub cache: Option<i32>,
    /// The journal of what is mapped.
    pub maps: Option<i32>,
    /// The log of system calls.
    pub log: Option<i32>,
    /// Somebody watches: then some numbers are set apart for a debugger's sockets and its way to memory, for a trace,
    /// for what is written at the end.
    pub watched: bool,
}

impl OwnFds {
    /// Is `fd` ours?
    pub(crate) fn holds(&self, fd: i32) -> bool {
        self.all().any(|own| own == fd)
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = i32> + '_ {
        let first = OWN_FD_MIN as i32;
        let watchers = self.watched.then_some(first..first + WATCHER).into_iter().flatten();
        [self.exe, self.program, self.cache, self.maps, self.log].into_iter().flatten().chain(watchers)
    }
}

/// A copy of `fd` out of the guest's way.
fn copy(fd: i32, command: i32) -> Result<i32, Errno> {
    let at = |min: u64| try_call(libc::SYS_fcntl, &[fd as u64, command as u64, min]);
    // With a low limit: the highest numbers that it allows.
    let below_limit = || {
        let mut limit = [0u64; 2];
        try_call(libc::SYS_prlimit64, &[0, libc::RLIMIT_NOFILE as u64, 0, limit.as_mut_ptr() as u64])?;
        at(limit[0].saturating_sub(HIGHEST).max(3))
    };
    at(OWN_FD_MIN).or_else(|_| below_limit()).or_else(|_| at(3)).map(|fd| fd as i32)
}

/// A copy of `fd` that is ours and closed on `execve`.
pub(crate) fn keep(fd: i32) -> Result<i32, Errno> {
    copy(fd, libc::F_DUPFD_CLOEXEC)
}

/// Opens `path` as ours, closed on `execve`.
pub(crate) fn open(path: &CStr, flags: i32) -> Option<i32> {
    let flags = (flags | libc::O_CLOEXEC) as u64;
    let fd = try_call(libc::SYS_openat, &[libc::AT_FDCWD as u64, path.as_ptr() as u64, flags, 0]).ok()?;
    let own = keep(fd as i32).ok();
    _ = try_call(libc::SYS_close, &[fd]);
    own
}

/// A copy of `fd` for the next program.
pub(crate) fn hand_on(fd: i32) -> Result<i32, Errno> {
    copy(fd, libc::F_DUPFD)
}

/// Takes a file into our range.
pub(crate) fn adopt(file: File) -> Option<i32> {
    if file.as_raw_fd() as u64 >= OWN_FD_MIN {
        let fd = file.into_raw_fd();
        close_on_exec(fd, true);
        return Some(fd);
    }
    keep(file.as_raw_fd()).ok()
}

/// Shall `fd` be closed on `execve`?
pub(crate) fn close_on_exec(fd: i32, on: bool) {
    let flag = if on { libc::FD_CLOEXEC } else { 0 };
    host::call(libc::SYS_fcntl, &[fd as u64, libc::F_SETFD as u64, flag as u64]);
}

/// Do two paths lead to the same file?
pub(crate) fn same_file(a: &str, b: &str) -> bool {
    let id = |path: &str| std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
    id(a).is_some_and(|own| id(b) == Some(own))
}

/// Is `fd` the file that we run from? It may also be the program of somebody who started that by a descriptor, and
/// us by an entry of the kernel's for it. Without `/proc` nobody but jib itself can have started us so.
fn is_exe(fd: i32) -> bool {
    let id = |path: &str| std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
    id("/proc/self/exe").is_none_or(|own| id(&format!("/proc/self/fd/{fd}")) == Some(own))
}

/// The file that we run from: handed on by the jib that started us, else from `/proc`.
pub(crate) fn exe() -> Option<i32> {
    let name = host::started_as();
    let handed_on = name.strip_prefix(STARTED_BY_FD).and_then(|n| std::str::from_utf8(n).ok()?.parse().ok());
    if let Some(fd) = handed_on.filter(|fd| is_exe(*fd)) {
        close_on_exec(fd, true);
        return Some(fd);
    }
    open(c"/proc/self/exe", libc::O_PATH)
}
