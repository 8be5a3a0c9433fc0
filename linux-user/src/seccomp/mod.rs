//! System call filters of the guest: with AArch64's numbers and architecture, run by us before each of its
//! calls. What jib itself needs of the kernel is not the guest's doing and not filtered.

pub(crate) mod bpf;
pub(crate) mod notify;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::host::{self, Errno, try_call};
use crate::own;
use bpf::{DATA_WORDS, INSN, Insn};

/// `AUDIT_ARCH_AARCH64`
pub(crate) const ARCH: u32 = 0xc000_00b7;

/// A filter, and those that were installed before it; all are asked.
#[derive(Debug)]
pub(crate) struct Filter {
    program: Vec<Insn>,
    before: Option<Arc<Filter>>,
}

/// What a thread is allowed.
#[derive(Clone, Debug, Default)]
pub(crate) enum Mode {
    /// Everything.
    #[default]
    Free,
    /// `read`, `write`, `exit` and `rt_sigreturn`.
    Strict,
    /// What filters say.
    Filtered(Arc<Filter>),
}

/// What is to become of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is made.
    Allow,
    /// It fails with this error number (0 is success).
    Errno(i32),
    /// SIGSYS, with this datum.
    Trap(u16),
    /// A tracer is asked, with this datum.
    Trace(u16),
    /// A supervisor is asked.
    Notify,
    /// The thread dies.
    KillThread,
    /// The process dies of this signal.
    KillProcess(i32),
}

/// Most instructions of all filters of a thread, each filter counting 4 more, as in the kernel.
const MAX_TOTAL: usize = 1 << 15;

impl Filter {
    /// Adds a filter to those of `before`.
    pub(crate) fn new(program: Vec<Insn>, before: Option<Arc<Filter>>) -> Result<Arc<Filter>, Errno> {
        if !bpf::acceptable(&program) {
            return Err(Errno(libc::EINVAL));
        }
        let filter = Filter { program, before };
        let total: usize = filter.chain().map(|f| f.program.len() + 4).sum();
        if total > MAX_TOTAL { Err(Errno(libc::ENOMEM)) } else { Ok(Arc::new(filter)) }
    }

    /// This filter and all before it, newest first.
    fn chain(&self) -> impl Iterator<Item = &Filter> {
        std::iter::successors(Some(self), |f| f.before.as_deref())
    }

    /// Is `other` among the filters before this one, or itself?
    fn descends_from(&self, other: &Filter) -> bool {
        self.chain().any(|f| std::ptr::eq(f, other))
    }

    fn verdict(&self, data: &[u32; DATA_WORDS]) -> Verdict {
        // The most severe answer counts, the newest among equals.
        let severity = |answer: &u32| (answer & 0xffff_0000) as i32;
        let answers = self.chain().map(|f| bpf::run(&f.program, data));
        // `min_by_key` keeps the first of equals: the newest.
        let answer = answers.min_by_key(severity).unwrap_or(0);
        let datum = answer as u16;
        match answer & 0xffff_0000 {
            0x7fff_0000 | 0x7ffc_0000 => Verdict::Allow,
            0x0005_0000 => Verdict::Errno((datum as i32).min(4095)),
            0x0003_0000 => Verdict::Trap(datum),
            0x7ff0_0000 => Verdict::Trace(datum),
            0x7fc0_0000 => Verdict::Notify,
            0 => Verdict::KillThread,
            _ => Verdict::KillProcess(libc::SIGSYS),
        }
    }
}

impl Mode {
    /// As `PR_GET_SECCOMP` tells it.
    pub(crate) fn number(&self) -> i64 {
        match self {
            Mode::Free => 0,
            Mode::Strict => 1,
            Mode::Filtered(_) => 2,
        }
    }

    /// What is to become of call `nr` made at `pc`.
    pub(crate) fn verdict(&self, nr: u32, pc: u64, args: &[u64; 6]) -> Verdict {
        const STRICT: [u32; 4] = [63, 64, 93, 139];
        match self {
            Mode::Free => Verdict::Allow,
            Mode::Strict if STRICT.contains(&nr) => Verdict::Allow,
            Mode::Strict => Verdict::KillProcess(libc::SIGKILL),
            Mode::Filtered(filter) => {
                let mut data = [0; DATA_WORDS];
                (data[0], data[1]) = (nr, ARCH);
                for (i, word) in [pc].iter().chain(args).enumerate() {
                    (data[2 + 2 * i], data[3 + 2 * i]) = (*word as u32, (*word >> 32) as u32);
                }
                filter.verdict(&data)
            }
        }
    }

    /// The newest filter.
    pub(crate) fn filter(&self) -> Option<Arc<Filter>> {
        match self {
            Mode::Filtered(filter) => Some(filter.clone()),
            _ => None,
        }
    }
}

/// What one thread gave to all (`SECCOMP_FILTER_FLAG_TSYNC`): each takes it before its next call.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// How often something was given.
    generation: AtomicU64,
    filter: Mutex<Option<Arc<Filter>>>,
}

impl Shared {
    /// Gives `filter` to all threads.
    pub(crate) fn give(&self, filter: Arc<Filter>) {
        *self.filter.lock().unwrap_or_else(PoisonError::into_inner) = Some(filter);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// The mode of a thread that last looked at generation `seen`, if it is to change.
    pub(crate) fn take(&self, seen: &mut u64, mode: &Mode) -> Option<Mode> {
        let now = self.generation.load(Ordering::Acquire);
        if now == *seen {
            return None;
        }
        *seen = now;
        let given = self.filter.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        match mode {
            Mode::Free => Some(Mode::Filtered(given)),
            Mode::Filtered(own) if given.descends_from(own) => Some(Mode::Filtered(given)),
            _ => None,
        }
    }
}

/// May the calling thread install a filter: does `execve` give it no new rights, or is it mighty anyway?
pub(crate) fn allowed() -> bool {
    const CAP_SYS_ADMIN: u32 = 21;
    const VERSION_3: u64 = 0x2008_0522;
    if host::call(libc::SYS_prctl, &[libc::PR_GET_NO_NEW_PRIVS as u64, 0, 0, 0, 0]) == 1 {
        return true;
    }
    // Header: version and process; then effective, permitted, inheritable, twice.
    let (header, mut data) = ([VERSION_3], [0u32; 6]);
    let got = try_call(libc::SYS_capget, &[header.as_ptr() as u64, data.as_mut_ptr() as u64]);
    got.is_ok() && data[0] >> CAP_SYS_ADMIN & 1 == 1
}

/// Writes the filters to a file for the next program; gives its descriptor.
pub(crate) fn hand_on(filter: &Arc<Filter>) -> Result<i32, Errno> {
    let mut bytes = Vec::new();
    for f in filter.chain() {
        bytes.extend((f.program.len() as u32).to_le_bytes());
        bytes.extend(f.program.iter().flat_map(|i| i.to_bytes()));
    }
    let fd = try_call(libc::SYS_memfd_create, &[c"filters".as_ptr() as u64, libc::MFD_CLOEXEC as u64])?;
    let mut file = host::file_of(fd as i32)?;
    let failed = |e: std::io::Error| Errno(e.raw_os_error().unwrap_or(libc::EIO));
    file.write_all(&bytes).map_err(failed)?;
    own::hand_on(file.as_raw_fd())
}

/// Reads them again.
pub(crate) fn taken_over(mut file: File) -> Option<Arc<Filter>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.read_to_end(&mut bytes).ok()?;
    let mut programs = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some((len, after)) = rest.split_first_chunk::<4>() {
        let (program, after) = after.split_at_checked(u32::from_le_bytes(*len) as usize * INSN)?;
        programs.push(program.as_chunks::<INSN>().0.iter().map(|b| Insn::from_bytes(*b)).collect::<Vec<_>>());
        rest = after;
    }
    // The newest comes first in the file.
    let mut filter = None;
    for program in programs.into_iter().rev() {
        filter = Some(Filter::new(program, filter).ok()?);
    }
    filter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns `answer` always.
    fn constant(answer: u32) -> Vec<Insn> {
        let mut b = [0; INSN];
        b[0] = 6;
        b[4..].copy_from_slice(&answer.to_le_bytes());
        vec![Insn::from_bytes(b)]
    }

    #[test]
    fn the_most_severe_answer_counts() {
        let stack = |answers: &[u32]| {
            let filter = answers.iter().fold(None, |f, a| Some(Filter::new(constant(*a), f).unwrap()));
            Mode::Filtered(filter.unwrap()).verdict(1, 0, &[0; 6])
        };
        assert_eq!(stack(&[0x7fff_0000]), Verdict::Allow);
        assert_eq!(stack(&[0x7fff_0000, 0x0005_0001]), Verdict::Errno(1));
        assert_eq!(stack(&[0x0005_0001, 0x0005_0002]), Verdict::Errno(2));
        assert_eq!(stack(&[0x0003_0007, 0x0005_0001]), Verdict::Trap(7));
        assert_eq!(stack(&[0x8000_0000, 0]), Verdict::KillProcess(libc::SIGSYS));
        assert_eq!(stack(&[0x0005_ffff]), Verdict::Errno(4095));
        assert_eq!(stack(&[0x7ff0_0003]), Verdict::Trace(3));
        assert_eq!(stack(&[0x7fc0_0000]), Verdict::Notify);
    }

    #[test]
    fn filters_survive_the_way_to_the_next_program() {
        let first = Filter::new(constant(0x0005_0001), None).unwrap();
        let both = Filter::new(constant(0x7fff_0000), Some(first.clone())).unwrap();
        let fd = hand_on(&both).unwrap();
        let again = taken_over(host::file_of(fd).unwrap()).unwrap();
        assert_eq!(
            again.chain().map(|f| f.program.clone()).collect::<Vec<_>>(),
            [both.program.clone(), first.program.clone()]
        );
    }

    #[test]
    fn threads_take_what_descends_from_their_own() {
        let shared = Shared::default();
        let first = Filter::new(constant(1), None).unwrap();
        let second = Filter::new(constant(2), Some(first.clone())).unwrap();
        let mut seen = 0;
        assert!(shared.take(&mut seen, &Mode::Free).is_none());
        shared.give(second);
        assert!(shared.take(&mut seen, &Mode::Filtered(first)).is_some());
        assert!(shared.take(&mut seen, &Mode::Free).is_none(), "once is enough");
        let stranger = Mode::Filtered(Filter::new(constant(3), None).unwrap());
        assert!(shared.take(&mut 0, &stranger).is_none());
        assert!(shared.take(&mut 0, &Mode::Free).is_some());
    }
}
