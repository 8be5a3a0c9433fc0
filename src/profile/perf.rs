//! `--perf`: files by which Linux perf knows translated code, named after guest functions.
//!
//! `map` is `/tmp/perf-PID.map`, which `perf report` reads (linux/tools/perf/Documentation/jit-interface.txt). `jitdump` is
//! `/tmp/jit-PID.dump`, with the code itself, for `perf record -k mono` and `perf inject --jit`
//! (linux/tools/perf/Documentation/jitdump-specification.txt).
#![allow(unsafe_code, reason = "perf learns of a jitdump file by its being mapped")]

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use clap::ValueEnum;
use jib_backend::{CodeListener, Published};
use jib_debug::address::out_of_the_way;
use rustix::time::{ClockId, clock_gettime};

use super::symbols::Mapped;

/// Which file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// /tmp/perf-PID.map: names, for `perf report`
    Map,
    /// /tmp/jit-PID.dump: names and code, for `perf record -k mono` and `perf inject --jit`
    Jitdump,
}

/// "JiTD" as a little-endian word.
const MAGIC: u32 = 0x4a69_5444;
const VERSION: u32 = 1;
const EM_X86_64: u32 = 62;
const JIT_CODE_LOAD: u32 = 0;
/// Bytes of a load record before the name.
const LOAD_BYTES: usize = 56;

struct Writer {
    kind: Kind,
    file: File,
    /// Number of the next piece of code.
    next: u64,
    /// Where names are found, if addresses are this process's own.
    mapped: Option<Mapped>,
}

/// Opens the file; what is published goes there. `own` if guest addresses are this process's, so that they have names.
pub(crate) fn listener(kind: Kind, own: bool) -> Result<CodeListener, String> {
    let pid = std::process::id();
    let path = PathBuf::from(match kind {
        Kind::Map => format!("/tmp/perf-{pid}.map"),
        Kind::Jitdump => format!("/tmp/jit-{pid}.dump"),
    });
    let writer = Writer::open(kind, &path, own).map_err(|e| format!("{}: {e}", path.display()))?;
    let writer = Mutex::new(writer);
    Ok(CodeListener(Arc::new(move |code| {
        // In a forked child the file is still its parent's.
        if std::process::id() == pid {
            // A full disk is no reason to stop the guest.
            let _ = writer.lock().unwrap_or_else(PoisonError::into_inner).add(code);
        }
    })))
}

impl Writer {
    fn open(kind: Kind, path: &std::path::Path, own: bool) -> io::Result<Writer> {
        let mut open = OpenOptions::new();
        // A program that executes another one goes on with the map, but begins a new dump.
        let open = match kind {
            Kind::Map => open.append(true),
            Kind::Jitdump => open.read(true).write(true).truncate(true),
        };
        let file = out_of_the_way(open.create(true).open(path)?);
        let mut writer = Writer { kind, file, next: 0, mapped: own.then(Mapped::default) };
        if kind == Kind::Jitdump {
            writer.begin()?;
        }
        Ok(writer)
    }

    /// Writes the header, and maps it so that perf sees the file.
    fn begin(&mut self) -> io::Result<()> {
        let words = [MAGIC, VERSION, 40, EM_X86_64, 0, std::process::id()];
        let mut header: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
        header.extend(now().to_le_bytes());
        header.extend(0u64.to_le_bytes());
        self.file.write_all(&header)?;
        let (prot, fd) = (libc::PROT_READ | libc::PROT_EXEC, self.file.as_raw_fd());
        // SAFETY: a new mapping, which nobody uses.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), 4096, prot, libc::MAP_PRIVATE, fd, 0) };
        if at == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn name(&mut self, code: &Published<'_>) -> String {
        let tier = if code.optimized { "" } else { " [quick]" };
        let found = self.mapped.as_mut().and_then(|mapped| {
            if !mapped.knows(code.pc) {
                mapped.refresh();
            }
            mapped.name(code.pc)
        });
        match found {
            Some(name) => format!("{name}{tier}"),
            None => format!("guest_{:x}{tier}", code.pc),
        }
    }

    fn add(&mut self, code: &Published<'_>) -> io::Result<()> {
        let name = self.name(code);
        let record = match self.kind {
            Kind::Map => format!("{:x} {:x} {name}\n", code.address, code.bytes.len()).into_bytes(),
            Kind::Jitdump => self.load(code, &name),
        };
        self.file.write_all(&record)
    }

    /// A record of loaded code.
    fn load(&mut self, code: &Published<'_>, name: &str) -> Vec<u8> {
        let size = LOAD_BYTES + name.len() + 1 + code.bytes.len();
        let (pid, thread) = (std::process::id(), rustix::thread::gettid().as_raw_nonzero().get() as u32);
        let mut out = Vec::with_capacity(size);
        let word = |out: &mut Vec<u8>, v: u32| out.extend(v.to_le_bytes());
        word(&mut out, JIT_CODE_LOAD);
        word(&mut out, size as u32);
        out.extend(now().to_le_bytes());
        word(&mut out, pid);
        word(&mut out, thread);
        for v in [code.address, code.address, code.bytes.len() as u64, self.next] {
            out.extend(v.to_le_bytes());
        }
        self.next += 1;
        out.extend(name.bytes().chain([0]));
        out.extend(code.bytes);
        out
    }
}

/// Nanoseconds of the clock that `perf record -k mono` uses.
fn now() -> u64 {
    let t = clock_gettime(ClockId::Monotonic);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_the_size_they_say() {
        let dir = std::env::temp_dir().join(format!("jib-perf-test-{}", std::process::id()));
        let mut w = Writer::open(Kind::Jitdump, &dir, false).expect("a file");
        let code = |address| Published { pc: 0x1000, address, bytes: &[0x90, 0xc3], optimized: true };
        w.add(&code(0x5000)).expect("a record");
        w.add(&code(0x6000)).expect("a record");
        let bytes = std::fs::read(&dir).expect("the file");
        std::fs::remove_file(&dir).expect("the file");
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        assert_eq!((word(0), word(8), word(12)), (MAGIC, 40, EM_X86_64));
        let mut at = 40;
        for (n, address) in [(0, 0x5000), (1, 0x6000)] {
            assert_eq!((word(at), word(at + 24), word(at + 40), word(at + 48)), (JIT_CODE_LOAD, address, 2, n));
            assert_eq!(&bytes[at + LOAD_BYTES..at + LOAD_BYTES + 13], b"guest_1000\0\x90\xc3");
            at += word(at + 4) as usize;
        }
        assert_eq!(at, bytes.len());
    }

    #[test]
    fn lines_of_a_map() {
        let path = std::env::temp_dir().join(format!("jib-map-test-{}", std::process::id()));
        let mut w = Writer::open(Kind::Map, &path, false).expect("a file");
        w.add(&Published { pc: 0x1000, address: 0x5000, bytes: &[0x90; 18], optimized: false }).expect("a line");
        let text = std::fs::read_to_string(&path).expect("the file");
        std::fs::remove_file(&path).expect("the file");
        assert_eq!(text, "5000 12 guest_1000 [quick]\n");
    }
}
