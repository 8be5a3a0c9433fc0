//! Files for the debugger: it reads the program and its libraries through us, so that the user need not say where
//! they are (GDB manual, "Host I/O Packets"). Reading only.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use gdbstub::target::ext::host_io::{
    HostIo, HostIoClose, HostIoCloseOps, HostIoErrno, HostIoError, HostIoFstat, HostIoFstatOps, HostIoOpen,
    HostIoOpenFlags, HostIoOpenMode, HostIoOpenOps, HostIoPread, HostIoPreadOps, HostIoReadlink, HostIoReadlinkOps,
    HostIoResult, HostIoStat,
};

use super::target::Stub;

/// Most files open at once.
const MOST: usize = 64;

/// The files that the debugger has open.
#[derive(Debug, Default)]
pub(super) struct Files(Vec<Option<File>>);

fn error<T>(errno: HostIoErrno) -> HostIoResult<T, Stub> {
    Err(HostIoError::Errno(errno))
}

impl Stub {
    fn path(&self, name: &[u8]) -> HostIoResult<PathBuf, Stub> {
        self.file(Path::new(OsStr::from_bytes(name))).ok_or(HostIoError::Errno(HostIoErrno::EACCES))
    }

    fn opened(&self, fd: u32) -> HostIoResult<&File, Stub> {
        self.files.0.get(fd as usize).and_then(Option::as_ref).ok_or(HostIoError::Errno(HostIoErrno::EBADF))
    }
}

impl HostIo for Stub {
    fn support_open(&mut self) -> Option<HostIoOpenOps<'_, Self>> {
        Some(self)
    }
    fn support_close(&mut self) -> Option<HostIoCloseOps<'_, Self>> {
        Some(self)
    }
    fn support_pread(&mut self) -> Option<HostIoPreadOps<'_, Self>> {
        Some(self)
    }
    fn support_fstat(&mut self) -> Option<HostIoFstatOps<'_, Self>> {
        Some(self)
    }
    fn support_readlink(&mut self) -> Option<HostIoReadlinkOps<'_, Self>> {
        Some(self)
    }
}

impl HostIoOpen for Stub {
    fn open(&mut self, name: &[u8], flags: HostIoOpenFlags, _: HostIoOpenMode) -> HostIoResult<u32, Self> {
        if flags.intersects(HostIoOpenFlags::O_WRONLY | HostIoOpenFlags::O_RDWR | HostIoOpenFlags::O_CREAT) {
            return error(HostIoErrno::EROFS);
        }
        let file = File::open(self.path(name)?)?;
        if !file.metadata()?.is_file() {
            // Opening a pipe or device might wait, and reading one has effects.
            return error(HostIoErrno::EINVAL);
        }
        let free = self.files.0.iter().position(Option::is_none).unwrap_or(self.files.0.len());
        if free >= MOST {
            return error(HostIoErrno::EMFILE);
        }
        if free == self.files.0.len() {
            self.files.0.push(None);
        }
        self.files.0[free] = Some(file);
        Ok(free as u32)
    }
}

impl HostIoClose for Stub {
    fn close(&mut self, fd: u32) -> HostIoResult<(), Self> {
        self.opened(fd)?;
        self.files.0[fd as usize] = None;
        Ok(())
    }
}

impl HostIoPread for Stub {
    fn pread(&mut self, fd: u32, count: usize, offset: u64, buf: &mut [u8]) -> HostIoResult<usize, Self> {
        let len = count.min(buf.len());
        Ok(self.opened(fd)?.read_at(&mut buf[..len], offset)?)
    }
}

impl HostIoFstat for Stub {
    fn fstat(&mut self, fd: u32) -> HostIoResult<HostIoStat, Self> {
        let m = self.opened(fd)?.metadata()?;
        Ok(HostIoStat {
            st_dev: m.dev() as u32,
            st_ino: m.ino() as u32,
            st_mode: HostIoOpenMode::from_bits_truncate(m.mode()),
            st_nlink: m.nlink() as u32,
            st_uid: m.uid(),
            st_gid: m.gid(),
            st_rdev: m.rdev() as u32,
            st_size: m.len(),
            st_blksize: m.blksize(),
            st_blocks: m.blocks(),
            st_atime: m.atime() as u32,
            st_mtime: m.mtime() as u32,
            st_ctime: m.ctime() as u32,
        })
    }
}

impl HostIoReadlink for Stub {
    fn readlink(&mut self, name: &[u8], buf: &mut [u8]) -> HostIoResult<usize, Self> {
        let target = std::fs::read_link(self.path(name)?)?;
        let bytes = target.as_os_str().as_bytes();
        match buf.get_mut(..bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                Ok(bytes.len())
            }
            None => error(HostIoErrno::ENAMETOOLONG),
        }
    }
}
