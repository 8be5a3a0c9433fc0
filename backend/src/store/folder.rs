//! The folder of files. Files are never changed: a new one takes the old one's name, and who has the old one mapped goes
//! on with it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Mode, OFlags};

use crate::cache_dir::SUFFIX;

/// The name of the file known by `key`.
fn name(key: u128) -> String {
    format!("{key:032x}{SUFFIX}")
}

/// Opens the file known by `key`, if there is one that only we may write to. The numbers of open files are the guest's:
/// it must be closed soon.
pub(super) fn open(folder: BorrowedFd<'_>, key: u128) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::openat(folder, name(key), flags, Mode::empty()).ok()?);
    let stat = rustix::fs::fstat(&file).ok()?;
    let ours = stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & 0o022 == 0;
    (ours && stat.st_mode & libc::S_IFMT == libc::S_IFREG).then_some(file)
}

/// Notes that `file` is in use: what has not been for the longest time goes first.
pub(super) fn touch(file: &File) {
    let day = Duration::from_secs(24 * 3600);
    let age = file.metadata().and_then(|m| m.modified()).map(|t| t.elapsed().unwrap_or_default());
    // Not at each start.
    if age.is_ok_and(|age| age > day) {
        let _ = file.set_modified(SystemTime::now());
    }
}

/// Writes the file known by `key` under a name of its own, and gives it its name when it is whole.
pub(super) fn replace(folder: BorrowedFd<'_>, key: u128, contents: &[u8]) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let name = name(key);
    // Ends like our other files, so that it is found if we die here.
    let temporary = format!(".{}.{}.{name}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file: OwnedFd = rustix::fs::openat(folder, &temporary, flags, Mode::RUSR | Mode::WUSR)?;
    let written = File::from(file).write_all(contents);
    let named = written.and_then(|()| Ok(rustix::fs::renameat(folder, &temporary, folder, &name)?));
    if named.is_err() {
        let _ = rustix::fs::unlinkat(folder, &temporary, AtFlags::empty());
    }
    named
}
