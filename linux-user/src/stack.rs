//! The first thread's stack: arguments, environment and auxiliary vector, as Linux lays them out.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use jib_frontend_aarch64::cpu::Profile;

use crate::disclose::Places;
use crate::elf::PAGE;
use crate::error::Error;
use crate::host;
use crate::loader::Loaded;
use crate::mem;
use crate::space::{AddressSpace, Mmap};
use crate::syscall::ids::{self, Ids};
use crate::vma::Kind;

/// Bytes of `AT_MINSIGSTKSZ`: Linux's own figure for a processor without SVE.
pub(crate) const MINSIGSTKSZ: u64 = 5120;
/// `AT_SYSINFO_EHDR`
const AT_SYSINFO_EHDR: u64 = 33;
/// `AT_MINSIGSTKSZ`
const AT_MINSIGSTKSZ: u64 = 51;

/// A finished stack.
#[derive(Clone, Debug)]
pub(crate) struct Stack {
    /// Initial stack pointer.
    pub sp: u64,
    /// The auxiliary vector's bytes, for `/proc/self/auxv`.
    pub auxv: Vec<u8>,
    /// Where the strings are.
    pub places: Places,
}

/// What goes onto the stack.
pub(crate) struct Contents<'a> {
    /// Program arguments.
    pub argv: &'a [OsString],
    /// Environment.
    pub env: &'a [OsString],
    /// Path of the program, for `AT_EXECFN`.
    pub program: &'a OsStr,
    /// Who the program is.
    pub ids: Option<Ids>,
    /// Address of the vDSO.
    pub vdso: u64,
    /// What the processor can.
    pub cpu: Profile,
    /// Where the program is.
    pub loaded: Loaded,
}

/// Maps a stack of `size` bytes and fills it.
pub(crate) fn build(space: &AddressSpace, size: u64, c: &Contents<'_>) -> Result<Stack, Error> {
    let (base, top) = map(space, size, c.loaded.exec_stack)?;
    let mut w = Writer { sp: top, floor: base + size / 4 };
    // The last word of the stack is null, as Linux leaves it.
    w.push(&[0; 8])?;
    let execfn = w.string(c.program)?;
    let env_end = w.sp;
    let env = w.strings(c.env)?;
    let args_end = w.sp;
    let argv = w.strings(c.argv)?;
    let (args, env_range) = (w.sp..args_end, args_end..env_end);
    let platform = w.string(OsStr::new("aarch64"))?;
    let random: [u64; 2] = host::random_words();
    let random = w.push(&random.map(u64::to_le_bytes).concat())?;
    let auxv = auxv(c, execfn, platform, random);
    let mut words = vec![argv.len() as u64];
    words.extend(argv.iter().chain(&[0]).chain(&env).chain(&[0]));
    words.extend(auxv.iter().flatten());
    w.sp = (w.sp - 8 * words.len() as u64) & !15;
    let sp = w.sp;
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    w.check()?;
    mem::write(sp, &bytes).map_err(|_| Error::ArgumentsTooLong)?;
    let auxv = auxv.iter().flatten().flat_map(|w| w.to_le_bytes()).collect();
    Ok(Stack { sp, auxv, places: Places { code: c.loaded.code.0..c.loaded.code.1, stack: sp, args, env: env_range } })
}

fn map(space: &AddressSpace, size: u64, exec: bool) -> Result<(u64, u64), Error> {
    let failed = |e: host::Errno| Error::Map { what: format!("a stack of {size} bytes"), errno: e.0 };
    let exec = if exec { libc::PROT_EXEC } else { 0 };
    let guard = 16 * PAGE;
    let m = Mmap {
        addr: 0,
        len: size.saturating_add(guard),
        prot: libc::PROT_READ | libc::PROT_WRITE | exec,
        flags: libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK,
        fd: -1,
        offset: 0,
        kind: Kind::Stack,
    };
    let base = space.mmap(m).map_err(failed)?.value;
    space.mprotect(base, guard, 0).map_err(failed)?;
    Ok((base + guard, base + guard + size))
}

fn auxv(c: &Contents<'_>, execfn: u64, platform: u64, random: u64) -> [[u64; 2]; 21] {
    let l = &c.loaded;
    let [uid, euid, gid, egid] = ids::of_program(c.ids);
    [
        [AT_SYSINFO_EHDR, c.vdso],
        [libc::AT_PHDR, l.phdr],
        [libc::AT_PHENT, 56],
        [libc::AT_PHNUM, l.phnum as u64],
        [libc::AT_PAGESZ, PAGE],
        [libc::AT_BASE, l.base],
        [libc::AT_FLAGS, 0],
        [libc::AT_ENTRY, l.entry],
        [libc::AT_UID, uid],
        [libc::AT_EUID, euid],
        [libc::AT_GID, gid],
        [libc::AT_EGID, egid],
        [libc::AT_SECURE, host::auxval(libc::AT_SECURE)],
        [libc::AT_CLKTCK, 100],
        [libc::AT_HWCAP, c.cpu.hwcap()],
        [libc::AT_HWCAP2, c.cpu.hwcap2()],
        [libc::AT_RANDOM, random],
        [libc::AT_PLATFORM, platform],
        [libc::AT_EXECFN, execfn],
        [AT_MINSIGSTKSZ, MINSIGSTKSZ],
        [libc::AT_NULL, 0],
    ]
}

/// Writes downwards from the top of the stack, leaving most of it free.
struct Writer {
    sp: u64,
    floor: u64,
}

impl Writer {
    fn check(&self) -> Result<(), Error> {
        if self.sp < self.floor { Err(Error::ArgumentsTooLong) } else { Ok(()) }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<u64, Error> {
        self.sp = self.sp.checked_sub(bytes.len() as u64).ok_or(Error::ArgumentsTooLong)?;
        self.check()?;
        mem::write(self.sp, bytes).map_err(|_| Error::ArgumentsTooLong)?;
        Ok(self.sp)
    }

    fn string(&mut self, s: &OsStr) -> Result<u64, Error> {
        self.push(&[0])?;
        self.push(s.as_bytes())
    }

    /// Pushes strings so that they lie in order, and returns their addresses.
    fn strings(&mut self, list: &[OsString]) -> Result<Vec<u64>, Error> {
        let mut at = list.iter().rev().map(|s| self.string(s)).collect::<Result<Vec<_>, _>>()?;
        at.reverse();
        Ok(at)
    }
}
