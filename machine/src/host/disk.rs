//! What a block device is backed by: raw files, and a copy-on-write overlay that is thrown away.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};

/// Bytes at offsets. Reads beyond the end give zeroes.
pub trait Disk: Send {
    /// Number of bytes.
    fn len(&self) -> u64;
    /// True if it has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// True if writes fail.
    fn read_only(&self) -> bool;
    /// Fills `buf` from `offset`.
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<()>;
    /// Writes `buf` at `offset`.
    fn write_at(&mut self, offset: u64, buf: &[u8]) -> io::Result<()>;
    /// Makes what was written durable.
    fn flush(&mut self) -> io::Result<()>;
    /// These bytes no longer matter; they read as zeroes or as before.
    fn discard(&mut self, offset: u64, len: u64) -> io::Result<()>;
    /// These bytes read as zeroes from now on.
    fn write_zeroes(&mut self, offset: u64, len: u64) -> io::Result<()> {
        const ZEROES: [u8; 4096] = [0; 4096];
        let mut at = offset;
        while at < offset + len {
            let count = (offset + len - at).min(ZEROES.len() as u64);
            self.write_at(at, &ZEROES[..count as usize])?;
            at += count;
        }
        Ok(())
    }
}

/// A raw image or a block device of the host.
#[derive(Debug)]
pub struct RawFile {
    file: File,
    len: u64,
    read_only: bool,
}

impl RawFile {
    /// Opens an image.
    pub fn open(path: &Path, read_only: bool) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(!read_only).open(path)?;
        let len = file.seek(SeekFrom::End(0))?;
        Ok(RawFile { file, len, read_only })
    }
}

/// Fills `buf` from `offset`, with zeroes beyond the end of `file`.
fn read_padded(file: &File, offset: u64, buf: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while done < buf.len() {
        match file.read_at(&mut buf[done..], offset + done as u64) {
            Ok(0) => {
                buf[done..].fill(0);
                return Ok(());
            }
            Ok(count) => done += count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

impl Disk for RawFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        read_padded(&self.file, offset, buf)
    }

    fn write_at(&mut self, offset: u64, buf: &[u8]) -> io::Result<()> {
        self.file.write_all_at(buf, offset)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.read_only { Ok(()) } else { self.file.sync_data() }
    }

    fn discard(&mut self, offset: u64, len: u64) -> io::Result<()> {
        // Only a hint: a file system that cannot punch holes is no error.
        let _ = fallocate(&self.file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, len);
        Ok(())
    }
}

/// Bytes per bit of the overlay's map.
const CLUSTER: u64 = 4096;

/// A disk whose changes go to a nameless temporary file and vanish with it.
pub struct Overlay {
    base: Box<dyn Disk>,
    changes: File,
    /// A bit per cluster: set if it lives in `changes`.
    map: Vec<u64>,
}

impl Overlay {
    /// Lays changes over `base`, which is only read.
    pub fn new(base: Box<dyn Disk>) -> io::Result<Self> {
        let clusters = base.len().div_ceil(CLUSTER);
        let map = vec![0; usize::try_from(clusters.div_ceil(64)).map_err(io::Error::other)?];
        Ok(Overlay { base, changes: tempfile::tempfile()?, map })
    }

    fn changed(&self, cluster: u64) -> bool {
        self.map.get((cluster / 64) as usize).is_some_and(|word| word >> (cluster % 64) & 1 != 0)
    }

    /// Copies a cluster up so that a part of it can be written.
    fn copy_up(&mut self, cluster: u64) -> io::Result<()> {
        if !self.changed(cluster) {
            let mut bytes = [0; CLUSTER as usize];
            self.base.read_at(cluster * CLUSTER, &mut bytes)?;
            self.changes.write_all_at(&bytes, cluster * CLUSTER)?;
            self.mark(cluster);
        }
        Ok(())
    }

    fn mark(&mut self, cluster: u64) {
        if let Some(word) = self.map.get_mut((cluster / 64) as usize) {
            *word |= 1 << (cluster % 64);
        }
    }

    /// Length of the run from `offset` that lives in one place, at most `most`, and where.
    fn run(&self, offset: u64, most: u64) -> (u64, bool) {
        let changed = self.changed(offset / CLUSTER);
        let mut end = (offset / CLUSTER + 1) * CLUSTER;
        while end < offset + most && self.changed(end / CLUSTER) == changed {
            end += CLUSTER;
        }
        ((end - offset).min(most), changed)
    }
}

impl Disk for Overlay {
    fn len(&self) -> u64 {
        self.base.len()
    }

    fn read_only(&self) -> bool {
        false
    }

    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let (count, changed) = self.run(at, (buf.len() - done) as u64);
            let piece = &mut buf[done..done + count as usize];
            match changed {
                true => read_padded(&self.changes, at, piece)?,
                false => self.base.read_at(at, piece)?,
            }
            done += count as usize;
        }
        Ok(())
    }

    fn write_at(&mut self, offset: u64, buf: &[u8]) -> io::Result<()> {
        if buf.is_empty() {
            return Ok(());
        }
        let end = offset + buf.len() as u64;
        let (first, last) = (offset / CLUSTER, (end - 1) / CLUSTER);
        if !offset.is_multiple_of(CLUSTER) {
            self.copy_up(first)?;
        }
        if !end.is_multiple_of(CLUSTER) {
            self.copy_up(last)?;
        }
        self.changes.write_all_at(buf, offset)?;
        (first..=last).for_each(|cluster| self.mark(cluster));
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        // Nothing here outlives the machine.
        Ok(())
    }

    fn discard(&mut self, _offset: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_last_sector_reads_as_zeroes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [1; 700]).unwrap();
        let mut disk = RawFile::open(file.path(), true).unwrap();
        let mut buf = [9; 1024];
        disk.read_at(0, &mut buf).unwrap();
        assert_eq!((disk.len(), buf[699], buf[700], buf[1023]), (700, 1, 0, 0));
        assert!(disk.write_at(0, &[0]).is_err() && disk.flush().is_ok() && !disk.is_empty());
    }

    #[test]
    fn the_overlay_copies_up_the_edges_of_a_write() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [1; 5 * 4096]).unwrap();
        let mut disk = Overlay::new(Box::new(RawFile::open(file.path(), true).unwrap())).unwrap();
        disk.write_at(4000, &[2; 4096 + 200]).unwrap();
        disk.write_at(0, &[]).unwrap();
        let mut buf = vec![0; 5 * 4096];
        disk.read_at(0, &mut buf).unwrap();
        let expected: Vec<u8> = (0..5 * 4096).map(|i| if (4000..8296).contains(&i) { 2 } else { 1 }).collect();
        assert!(buf == expected);
        disk.write_zeroes(4095, 4098).unwrap();
        disk.read_at(4094, &mut buf[..5000]).unwrap();
        assert_eq!((buf[0], buf[1], buf[4098], buf[4099]), (2, 0, 0, 2));
    }

    #[test]
    fn a_missing_file_is_an_error() {
        assert!(RawFile::open(Path::new("/nonexistent/disk"), true).is_err());
    }
}
