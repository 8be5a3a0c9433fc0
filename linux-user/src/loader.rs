//! Puts a program, and its dynamic linker if it has one, into the guest's memory.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::elf::{self, ElfError, Image, PAGE, Segment, page_up};
use crate::error::Error;
use crate::mem;
use crate::space::{AddressSpace, Mmap};
use crate::vma::Kind;

/// Where a relocatable program goes if the place is free and images have none of their own.
const PROGRAM_BASE: u64 = 0x20_0000_0000;
/// The same for the dynamic linker.
const INTERPRETER_BASE: u64 = 0x30_0000_0000;

/// Where everything was put.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loaded {
    /// First instruction to execute.
    pub start: u64,
    /// The program's own entry point.
    pub entry: u64,
    /// Where the dynamic linker was put; 0 without one.
    pub base: u64,
    /// The program headers in memory.
    pub phdr: u64,
    /// Their number.
    pub phnum: u16,
    /// Is the stack executable?
    pub exec_stack: bool,
    /// Pages of the program's executable segments.
    pub code: (u64, u64),
}

/// A program file, open and understood.
#[derive(Debug)]
pub(crate) struct Program {
    path: PathBuf,
    file: File,
    image: Image,
}

fn open_error(path: &Path, e: &io::Error) -> Error {
    Error::Open { path: path.into(), errno: e.raw_os_error().unwrap_or(libc::EIO) }
}

/// Opens a file to look at it. A pipe or terminal does not make us wait.
pub(crate) fn open(path: &Path) -> Result<File, Error> {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    file.map_err(|e| open_error(path, &e))
}

/// The first bytes of a file that is called `path`, at most `max`, and its length.
pub(crate) fn read_head(file: &File, path: &Path, max: usize) -> Result<(Vec<u8>, u64), Error> {
    let error = |e: io::Error| open_error(path, &e);
    let meta = file.metadata().map_err(error)?;
    if !meta.is_file() {
        return Err(Error::NotAFile(path.into()));
    }
    let mut head = vec![0; meta.len().min(max as u64) as usize];
    let mut have = 0;
    while have < head.len() {
        match file.read_at(&mut head[have..], have as u64) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(error(e)),
        }
    }
    head.truncate(have);
    Ok((head, meta.len()))
}

impl Program {
    /// Opens and checks a program file.
    pub(crate) fn open(path: &Path) -> Result<Program, Error> {
        let file = open(path)?;
        let (head, len) = read_head(&file, path, elf::USUAL_HEAD)?;
        Program::new(file, path, &head, len)
    }

    /// The same for an open file, which is called `path`, begins with `head` and has `len` bytes.
    pub(crate) fn new(file: File, path: &Path, head: &[u8], len: u64) -> Result<Program, Error> {
        let parsed = match elf::parse(head, len) {
            Err(ElfError::Truncated(_)) if len > head.len() as u64 => {
                let (head, len) = read_head(&file, path, elf::MAX_HEAD)?;
                elf::parse(&head, len)
            }
            parsed => parsed,
        };
        let image = parsed.map_err(|error| Error::Elf { path: path.into(), error })?;
        Ok(Program { path: path.into(), file, image })
    }

    /// The file itself.
    pub(crate) fn into_file(self) -> File {
        self.file
    }

    /// The dynamic linker that it wants.
    pub(crate) fn interpreter(&self) -> Option<&Path> {
        self.image.interpreter.as_deref()
    }

    /// Loads it with its already opened dynamic linker.
    pub(crate) fn load(&self, interpreter: Option<&Program>, space: &AddressSpace) -> Result<Loaded, Error> {
        let bias = self.map(PROGRAM_BASE, space)?;
        space.set_brk_start(self.image.span().end.wrapping_add(bias));
        let entry = self.image.entry.wrapping_add(bias);
        let mut loaded = Loaded {
            start: entry,
            entry,
            base: 0,
            phdr: if self.image.phdr == 0 { 0 } else { self.image.phdr.wrapping_add(bias) },
            phnum: self.image.phnum,
            exec_stack: self.image.exec_stack,
            code: self.image.code(bias),
        };
        if let Some(i) = interpreter {
            loaded.base = i.map(INTERPRETER_BASE, space)?;
            loaded.start = i.image.entry.wrapping_add(loaded.base);
        }
        Ok(loaded)
    }

    /// Maps all segments; returns what must be added to the file's addresses.
    fn map(&self, hint: u64, space: &AddressSpace) -> Result<u64, Error> {
        let span = self.image.span();
        let bias = if self.image.relocatable {
            let place = space.place_of(self.file.as_raw_fd());
            self.reserve_anywhere(place.unwrap_or(hint), &span, space)?.wrapping_sub(span.start)
        } else {
            self.reserve_exactly(&span, space)?;
            0
        };
        let mut free = span.start.wrapping_add(bias);
        for s in &self.image.segments {
            let pages = self.map_segment(s, bias, space)?;
            if pages.start > free {
                space.munmap(free, pages.start - free).map_err(|e| self.failed(e.0))?;
            }
            free = pages.end.max(free);
        }
        Ok(bias)
    }

    fn failed(&self, errno: i32) -> Error {
        Error::Map { what: self.path.display().to_string(), errno }
    }

    fn reserve_exactly(&self, span: &Range<u64>, space: &AddressSpace) -> Result<(), Error> {
        let reserved = space.mmap(reservation(span.start, span.end - span.start, libc::MAP_FIXED_NOREPLACE));
        match reserved {
            Ok(_) => Ok(()),
            Err(e) => Err(Error::AddressTaken { path: self.path.clone(), range: span.clone(), errno: e.0 }),
        }
    }

    fn reserve_anywhere(&self, hint: u64, span: &Range<u64>, space: &AddressSpace) -> Result<u64, Error> {
        let (len, align) = (span.end - span.start, self.image.align);
        let slack = align - PAGE;
        // The bias must be a multiple of the alignment, whatever the first address is.
        let skew = span.start % align;
        let at = space.mmap(reservation(hint, len + slack + skew, 0)).map_err(|e| self.failed(e.0))?.value;
        let first = at.next_multiple_of(align) + skew;
        let first = if first - align >= at { first - align } else { first };
        let end = at + len + slack + skew;
        for extra in [at..first, first + len..end] {
            if !extra.is_empty() {
                space.munmap(extra.start, extra.end - extra.start).map_err(|e| self.failed(e.0))?;
            }
        }
        Ok(first)
    }

    /// Maps the file part, zeroes the rest of its last page, maps zero pages behind it.
    fn map_segment(&self, s: &Segment, bias: u64, space: &AddressSpace) -> Result<Range<u64>, Error> {
        let addr = s.addr.wrapping_add(bias);
        let first = addr & !(PAGE - 1);
        let (file_end, end) = (addr + s.file, page_up(addr + s.memory));
        let mut zero_from = first;
        if s.file != 0 {
            let m = Mmap {
                addr: first,
                len: file_end - first,
                prot: s.prot,
                flags: libc::MAP_PRIVATE | libc::MAP_FIXED,
                fd: self.file.as_raw_fd(),
                offset: s.offset & !(PAGE - 1),
                kind: Kind::Plain,
            };
            space.mmap(m).map_err(|e| self.failed(e.0))?;
            zero_from = page_up(file_end);
            // To the end of the page, past the segment: the dynamic linker's own allocator begins there.
            let tail = zero_from - file_end;
            if s.memory > s.file && s.prot & libc::PROT_WRITE != 0 {
                let error =
                    |_| Error::Elf { path: self.path.clone(), error: ElfError::Truncated("a segment is missing") };
                mem::write(file_end, &vec![0; tail as usize]).map_err(error)?;
            }
        }
        if end > zero_from {
            let m = Mmap { prot: s.prot, ..reservation(zero_from, end - zero_from, libc::MAP_FIXED) };
            space.mmap(m).map_err(|e| self.failed(e.0))?;
        }
        Ok(first..end)
    }
}

/// Private zero pages, inaccessible for now.
fn reservation(addr: u64, len: u64, flags: i32) -> Mmap {
    let flags = flags | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    Mmap { addr, len, prot: 0, flags, fd: -1, offset: 0, kind: Kind::Plain }
}

#[cfg(test)]
#[path = "loader_tests.rs"]
mod tests;
