//! A file's contents in memory.
#![allow(unsafe_code, reason = "maps a file that another process could change")]

use std::fs::File;
use std::io;

use memmap2::Mmap;

/// The contents of `file`, a file of the store.
pub(super) fn file(file: &File) -> io::Result<Mmap> {
    // SAFETY: files of the store are replaced, never changed, and nobody but this user may write to them. Who changes
    // one all the same changes bytes that are checked after each has been read into place.
    unsafe { Mmap::map(file) }
}
