//! The notes of a core file: who died of what, registers of each thread, auxiliary vector, mapped files.

use jib_frontend_aarch64::cpu::{Feature, Profile};
use jib_frontend_aarch64::pauth;
use jib_ir::state::{State, slot};

use super::Registers;
use super::image::Mapping;
use crate::host::call;
use crate::process::Process;
use crate::signal::SigInfo;
use crate::signal::frame::PSTATE_BITS;

const NT_PRSTATUS: u32 = 1;
const NT_PRFPREG: u32 = 2;
const NT_PRPSINFO: u32 = 3;
const NT_AUXV: u32 = 6;
const NT_SIGINFO: u32 = 0x5349_4749;
const NT_FILE: u32 = 0x4649_4c45;
const NT_ARM_TLS: u32 = 0x401;
const NT_ARM_PAC_MASK: u32 = 0x406;

/// Bytes of notes under construction.
#[derive(Default)]
struct Notes(Vec<u8>);

impl Notes {
    fn add(&mut self, name: &str, kind: u32, content: &[u8]) {
        let words = [name.len() as u32 + 1, content.len() as u32, kind];
        self.0.extend(words.iter().flat_map(|w| w.to_le_bytes()));
        self.0.extend(name.bytes());
        self.0.push(0);
        self.pad();
        self.0.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

/// All notes. The first thread is the one that died.
pub(super) fn of(process: &Process, threads: &[Registers], info: &SigInfo, mappings: &[Mapping]) -> Vec<u8> {
    let mut notes = Notes::default();
    for (i, thread) in threads.iter().enumerate() {
        notes.add("CORE", NT_PRSTATUS, &status(thread, info));
        if i == 0 {
            notes.add("CORE", NT_PRPSINFO, &about(process));
            notes.add("CORE", NT_SIGINFO, &info.0);
            notes.add("CORE", NT_AUXV, &process.facts.auxv);
            notes.add("CORE", NT_FILE, &files(mappings));
        }
        let s = &thread.state;
        notes.add("CORE", NT_PRFPREG, &vectors(s));
        notes.add("LINUX", NT_ARM_TLS, &words(&[s.get(slot::TPIDR), 0]));
        if Profile::of(s).has(Feature::Pauth) {
            notes.add("LINUX", NT_ARM_PAC_MASK, &words(&pauth::masks(s)));
        }
    }
    notes.0
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

fn ids() -> [i32; 4] {
    let get = |nr, args: &[u64]| call(nr, args) as i32;
    let (pid, ppid) = (get(libc::SYS_getpid, &[]), get(libc::SYS_getppid, &[]));
    [pid, ppid, get(libc::SYS_getpgid, &[0]), get(libc::SYS_getsid, &[0])]
}

/// `struct elf_prstatus`: signal, ids, times (of which we know none), general registers.
fn status(thread: &Registers, info: &SigInfo) -> Vec<u8> {
    const TIMES: usize = 4 * 16;
    let [_, ppid, group, session] = ids();
    let errno = i32::from_le_bytes(std::array::from_fn(|i| info.0[4 + i]));
    let mut out = Vec::new();
    out.extend([info.signal(), info.code(), errno].iter().flat_map(|v| v.to_le_bytes()));
    out.extend((info.signal() as u32).to_le_bytes());
    // Pending and blocked signals.
    out.extend(words(&[0, 0]));
    out.extend([thread.tid, ppid, group, session].iter().flat_map(|v| v.to_le_bytes()));
    out.resize(out.len() + TIMES, 0);
    let s = &thread.state;
    out.extend((0..32).flat_map(|n| s.x(n).to_le_bytes()));
    out.extend(words(&[s.pc(), u64::from(s.nzcv()) | s.get(slot::PSTATE) & PSTATE_BITS]));
    // Vector registers are valid; padding.
    out.extend(words(&[1]));
    out
}

/// `struct elf_prpsinfo`
fn about(process: &Process) -> Vec<u8> {
    const NAME: usize = 16;
    const ARGUMENTS: usize = 80;
    let mut out = vec![0, b'R', 0, 0, 0, 0, 0, 0];
    out.extend(words(&[0]));
    let id = |nr| (call(nr, &[]) as u32).to_le_bytes();
    out.extend([id(libc::SYS_getuid), id(libc::SYS_getgid)].concat());
    out.extend(ids().iter().flat_map(|v| v.to_le_bytes()));
    let name = std::fs::read("/proc/thread-self/comm").unwrap_or_default();
    let name = name.split(|b| *b == b'\n').next().unwrap_or_default();
    let end = out.len() + NAME;
    out.extend(name.iter().take(NAME - 1));
    out.resize(end, 0);
    // Null bytes between arguments become spaces.
    let arguments = process.facts.cmdline.iter().map(|b| if *b == 0 { b' ' } else { *b });
    let end = out.len() + ARGUMENTS;
    out.extend(arguments.take(ARGUMENTS - 1));
    out.resize(end, 0);
    out
}

/// `struct user_fpsimd_state`
fn vectors(s: &State) -> Vec<u8> {
    let mut out: Vec<u8> = (0..32).flat_map(|n| s.v(n).to_le_bytes()).collect();
    out.extend(words(&[u64::from(s.fpsr()) | u64::from(s.fpcr()) << 32, 0]));
    out
}

/// Which files are mapped where: count, page size, then start, end and offset in pages of each; then their names.
fn files(mappings: &[Mapping]) -> Vec<u8> {
    let files: Vec<&Mapping> = mappings.iter().filter(|m| m.is_file()).collect();
    let mut out = words(&[files.len() as u64, super::image::PAGE]);
    out.extend(files.iter().flat_map(|m| words(&[m.range.start, m.range.end, m.offset / super::image::PAGE])));
    files.iter().for_each(|m| {
        out.extend(m.name.bytes());
        out.push(0);
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_have_the_sizes_of_arm64() {
        let thread = Registers { tid: 5, state: Box::new(State::default()) };
        let s = status(&thread, &SigInfo::fault(11, 1, 0x1234));
        assert_eq!((s.len(), s[0], s[12], s[32]), (392, 11, 11, 5));
        assert_eq!(vectors(&thread.state).len(), 528);
        let mut notes = Notes::default();
        notes.add("CORE", 1, &[1, 2, 3]);
        assert_eq!(notes.0.len(), 12 + 8 + 4);
    }
}
