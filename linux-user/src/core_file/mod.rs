//! The core of a guest that dies of a signal: an AArch64 core file, by the rules by which the kernel writes its own.
//!
//! The kernel would write ours, of an x86-64 process. So it gets none from us where we write one; its mark in the wait
//! status ("core dumped"), which it alone can make, is then missing.

mod image;
mod notes;
mod pattern;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jib_ir::state::{STATE_WORDS, State, slot};
use jib_ir::ty::Size;

use crate::host::{self, call, try_call};
use crate::mem;
use crate::signal::SigInfo;
use crate::signal::action::leaves_core;
use crate::signal::host::{Seen, see_deadly_signals};
use crate::thread::Thread;
use pattern::Pattern;

/// Where the core of a program goes that dies of a signal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CoreFile {
    /// Where the kernel's would: `RLIMIT_CORE`, `/proc/sys/kernel/core_pattern`.
    #[default]
    Kernel,
    /// Nowhere.
    Off,
    /// Into this file, of any size; `%p` and its like mean what they mean to the kernel.
    File(PathBuf),
}

/// How long other threads are waited for, so that their registers are exact.
const PATIENCE: Duration = Duration::from_millis(300);

/// What is known of a thread.
struct Registers {
    tid: i32,
    state: Box<State>,
}

impl Thread {
    /// Makes the thread known to whoever writes a core.
    pub(crate) fn register(&self) {
        let own = (host::gettid(), self.vcpu.state.0.as_ptr() as u64);
        let mut shared = self.process.lock();
        shared.own = host::getpid();
        shared.threads.retain(|(tid, state)| *tid != own.0 && *state != own.1);
        shared.threads.push(own);
    }

    /// Has signals that leave cores come to us before they kill, if there are to be cores.
    pub(crate) fn begin_cores(&self) {
        let wanted = match self.process.core {
            CoreFile::Kernel => limit() > 0,
            CoreFile::Off | CoreFile::File(_) => true,
        };
        if wanted {
            see_deadly_signals(&self.actions, Seen::Cores);
        }
    }

    /// Stays until the process ends, since another thread has brought that about.
    pub(crate) fn await_death(&self) -> ! {
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// Leaves a core, if the process dies of a signal that leaves one and somebody wants it.
    pub(crate) fn leave_core(&self, signal: i32) {
        if !leaves_core(signal) {
            return;
        }
        let wanted = match &self.process.core {
            CoreFile::Off => {
                no_core_of_ours();
                Ok(None)
            }
            CoreFile::Kernel => self.place_of_kernel(),
            CoreFile::File(path) => self.place(&Pattern::new(path.as_os_str()), signal, u64::MAX).map(Some),
        };
        let written = wanted.and_then(|place| match place {
            Some((path, file, limit)) => self.write_core(&file, limit, signal).map(|()| Some(path)),
            None => Ok(None),
        });
        match written {
            Ok(Some(path)) if self.process.verbose => {
                host::print(2, &format!("jib: the program's core is in {}\n", path.display()));
            }
            Ok(_) => {}
            Err(e) if self.process.verbose || matches!(self.process.core, CoreFile::File(_)) => {
                host::print(2, &format!("jib: no core could be written: {e}\n"));
            }
            Err(_) => {}
        }
    }

    /// The file that the kernel's rules name, if they do.
    fn place_of_kernel(&self) -> Result<Option<(PathBuf, File, u64)>, std::io::Error> {
        const SELF_ONLY: i64 = 1;
        let dumpable = call(libc::SYS_prctl, &[libc::PR_GET_DUMPABLE as u64]);
        // The least that the kernel finds worth writing.
        if dumpable != SELF_ONLY || limit() < image::PAGE {
            return Ok(None);
        }
        let text = std::fs::read_to_string("/proc/sys/kernel/core_pattern")?;
        let text = text.trim_end_matches('\n');
        if let Some(program) = text.strip_prefix('|') {
            if self.process.verbose {
                let name = program.split_whitespace().next().unwrap_or(program);
                host::print(
                    2,
                    &format!(
                        "jib: the kernel gives cores to {name}, and to it jib's own; `--core FILE` has the program's\n"
                    ),
                );
            }
            return Ok(None);
        }
        if text.starts_with('@') || text.is_empty() {
            return Ok(None);
        }
        let uses_pid = std::fs::read_to_string("/proc/sys/kernel/core_uses_pid").is_ok_and(|n| n.trim() != "0");
        let mut pattern = Pattern::new(text.as_ref());
        pattern.add_pid(uses_pid);
        let signal = self.death.map_or(0, |info| info.signal());
        self.place(&pattern, signal, limit()).map(Some)
    }

    /// Opens the file of a pattern as the kernel would: a plain file of ours with one name, emptied.
    fn place(&self, pattern: &Pattern, signal: i32, limit: u64) -> Result<(PathBuf, File, u64), std::io::Error> {
        let path = pattern.expand(signal, limit, &self.process.program());
        let flags = libc::O_NOFOLLOW;
        let file =
            OpenOptions::new().read(true).write(true).create(true).mode(0o600).custom_flags(flags).open(&path)?;
        let about = file.metadata()?;
        let own = call(libc::SYS_geteuid, &[]) as u32;
        if !about.is_file() || about.nlink() != 1 || about.uid() != own {
            let why = format!("{} is no plain file of yours", path.display());
            return Err(std::io::Error::other(why));
        }
        file.set_len(0)?;
        Ok((path, file, limit))
    }

    fn write_core(&self, file: &File, limit: u64, signal: i32) -> Result<(), std::io::Error> {
        // A process that was lent the memory of another (`vfork`) dies alone.
        if self.process.lock().own == host::getpid() && self.process.dying.swap(true, Ordering::Relaxed) {
            self.await_death();
        }
        let own = host::gettid();
        let mut threads = vec![Registers { tid: own, state: Box::new((*self.vcpu.state).clone()) }];
        threads.extend(self.others(own));
        let info = self.death.unwrap_or_else(|| SigInfo::user(signal));
        let result = image::write(file, limit, &self.process, &threads, &info);
        no_core_of_ours();
        result
    }

    /// The registers of the other threads, which are stopped first: in guest code at once, and one that sleeps in a
    /// system call has them at rest.
    fn others(&self, own: i32) -> Vec<Registers> {
        let alive = |tid: i32| Path::new(&format!("/proc/self/task/{tid}")).exists();
        let known: Vec<(i32, u64)> = self.process.lock().threads.clone();
        let others: Vec<(i32, u64)> = known.into_iter().filter(|(tid, _)| *tid != own && alive(*tid)).collect();
        for (_, state) in &others {
            // The thread may just have ended: then there is nothing to stop.
            _ = mem::store(Size::B8, state + slot::EXIT_REQUEST.offset() as u64, 1);
        }
        let start = Instant::now();
        while start.elapsed() < PATIENCE && others.iter().any(|(tid, _)| is_running(*tid)) {
            std::thread::sleep(Duration::from_millis(1));
        }
        others.iter().filter_map(|&(tid, state)| Some(Registers { tid, state: copy_of(state)? })).collect()
    }
}

/// Keeps the kernel from writing a core: it would be of jib.
fn no_core_of_ours() {
    call(libc::SYS_prctl, &[libc::PR_SET_DUMPABLE as u64, 0]);
}

/// Copies the guest state at `address`, if it is still there.
pub(crate) fn copy_of(address: u64) -> Option<Box<State>> {
    let mut bytes = vec![0; 8 * STATE_WORDS];
    mem::read(address, &mut bytes).ok()?;
    let mut state = Box::new(State::default());
    for (word, b) in state.0.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_ne_bytes(*b);
    }
    Some(state)
}

/// Is the thread on a processor, or waiting for one?
fn is_running(tid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{tid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('R'))
}

/// The soft limit of cores.
fn limit() -> u64 {
    let mut limit = [0u64; 2];
    let args = [0, libc::RLIMIT_CORE as u64, 0, limit.as_mut_ptr() as u64];
    try_call(libc::SYS_prlimit64, &args).map_or(0, |_| limit[0])
}
