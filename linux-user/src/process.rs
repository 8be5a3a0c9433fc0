//! What the threads of one guest process share.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jib_backend::Translator;
use jib_backend::cache_dir::CacheDir;
use jib_frontend_aarch64::A64;

use crate::core_file::CoreFile;
use crate::host;
use crate::host_thread::Stacks;
use crate::own::OwnFds;
use crate::ptrace::{Ledger, Tracees};
use crate::seccomp;
use crate::space::{AddressSpace, Changed};
use crate::syscall::CallLog;
use crate::syscall::uring::Rings;
use crate::vdso::Vdso;

/// Called with the translator when the process ends, on the thread that ends it.
pub type AtExit = Arc<dyn Fn(&Translator<A64>) + Send + Sync>;

/// State of a guest process; `vfork` children share it with their parent.
pub(crate) struct Process {
    /// Translations.
    pub translator: Arc<Translator<A64>>,
    /// How system calls are logged, if they are.
    pub log_format: CallLog,
    /// Memory.
    pub space: Arc<AddressSpace>,
    /// Clocks, and the signal return.
    pub vdso: Vdso,
    /// What `/proc/self` tells of us.
    pub facts: Facts,
    /// Where absolute paths are looked up first.
    pub sysroot: Option<PathBuf>,
    /// The kernel release that `uname` tells, if not the host's.
    pub release: Option<OsString>,
    /// Options with which to start ourselves for `execve`.
    pub reexec: Vec<OsString>,
    /// Descriptors that the guest does not see.
    pub own: OwnFds,
    /// Where translations are kept; its descriptor is one of `own`.
    pub cache: Option<Arc<CacheDir>>,
    /// Where cores go.
    pub core: CoreFile,
    /// See [`Config::panic_at`](crate::Config::panic_at).
    pub panic_at: Option<u32>,
    /// A thread writes the process's core: all others wait for its end.
    pub dying: AtomicBool,
    /// Report what is not supported.
    pub verbose: bool,
    /// The process that `run` was called in; forked children have another id.
    pub pid: i32,
    /// See [`AtExit`].
    pub at_exit: Option<AtExit>,
    /// System call filters given to all threads.
    pub filters: seccomp::Shared,
    /// Threads that this process traces.
    pub tracees: Tracees,
    /// Changes of memory by a tracer of this process.
    pub ledger: Ledger,
    /// Things behind a lock.
    pub shared: Mutex<Shared>,
}

/// Fixed texts of `/proc/self`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// The kernel knows them, too: its files may be read.
    pub disclosed: bool,
    /// Arguments, each ended by a null byte.
    pub cmdline: Vec<u8>,
    /// Environment, each ended by a null byte.
    pub environ: Vec<u8>,
    /// The auxiliary vector.
    pub auxv: Vec<u8>,
}

/// What changes while the process runs.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Limits that are remembered, not applied: they would hit the translator.
    pub limits: [Option<[u64; 2]>; 16],
    /// io_uring rings.
    pub rings: Rings,
    /// The kernel's number of this process, whatever others live in its memory.
    pub own: i32,
    /// Of threads that have ended, for new ones.
    pub stacks: Stacks,
    /// Threads of this process, with the addresses of their states; some may have ended.
    pub threads: Vec<(i32, u64)>,
    /// System call numbers that were reported as unsupported.
    reported: BTreeSet<u32>,
}

/// The strings of `list`, each ended by a null byte.
pub(crate) fn joined(list: &[OsString]) -> Vec<u8> {
    list.iter().flat_map(|s| s.as_bytes().iter().copied().chain([0])).collect()
}

impl Process {
    /// Locks the shared part (also around `fork`).
    pub(crate) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops translations that an address-space change made stale.
    pub(crate) fn apply<T>(&self, change: Changed<T>) -> T {
        if let Some(range) = change.stale {
            self.translator.invalidate(range);
        }
        change.value
    }

    /// Says once that a system call is not supported.
    pub(crate) fn report_unknown(&self, nr: u32, name: &str) {
        if self.verbose && self.lock().reported.insert(nr) {
            host::print(2, &format!("jib: system call {nr} ({name}) is not supported\n"));
        }
    }

    /// Absolute path of the program, as its file is called now.
    pub(crate) fn program(&self) -> PathBuf {
        let link = self.own.program.and_then(|fd| std::fs::read_link(format!("/proc/self/fd/{fd}")).ok());
        let path = link.unwrap_or_default();
        match self.sysroot.as_deref().and_then(|root| path.strip_prefix(root).ok()) {
            Some(inner) => Path::new("/").join(inner),
            None => path,
        }
    }

    /// Where `path` is in the sysroot, if it exists there.
    pub(crate) fn in_sysroot(&self, path: &[u8]) -> Option<PathBuf> {
        in_sysroot(self.sysroot.as_deref()?, path)
    }
}

/// Where the absolute `path` is under `root`, if it exists there.
pub(crate) fn in_sysroot(root: &Path, path: &[u8]) -> Option<PathBuf> {
    let inner = path.strip_prefix(b"/")?;
    let full = root.join(OsStr::from_bytes(inner));
    full.symlink_metadata().is_ok().then_some(full)
}
