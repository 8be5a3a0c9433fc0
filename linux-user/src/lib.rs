//! Runs AArch64 Linux programs on x86-64 Linux.
//!
//! Guest addresses are host addresses, guest threads are host threads, guest system calls are
//! host system calls wherever the two kernels' interfaces agree. Reading order: [`run()`], `run.rs`
//! (the loop of one thread), `syscall/` (one table), `signal/`, `thread.rs`, `space.rs`.
//!
//! `unsafe` is found in `mem.rs` (guest memory access), `host.rs` (raw system calls),
//! `signal/host.rs` (host signal handlers), `thread.rs` and `host_thread.rs` (birth and end of threads) and `spare.rs` (a
//! global allocator) only.
#![deny(unsafe_code)]

mod core_file;
mod debug;
mod describe;
mod disclose;
mod elf;
mod error;
#[allow(unsafe_code, reason = "raw system calls")]
mod host;
#[allow(unsafe_code, reason = "threads of the C library")]
mod host_thread;
mod journal;
mod loader;
#[allow(unsafe_code, reason = "guest memory access that may fault")]
mod mem;
mod own;
mod place;
mod process;
mod ptrace;
pub mod root;
mod run;
mod runtime;
mod script;
mod seccomp;
mod signal;
mod space;
#[allow(unsafe_code, reason = "a global allocator")]
mod spare;
mod stack;
mod start;
mod syscall;
#[allow(unsafe_code, reason = "fork, and clone with shared memory")]
mod thread;
mod vdso;
mod vma;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use jib_backend::cache_dir::CacheDir;
use jib_frontend_aarch64::cpu::Profile;

pub use core_file::CoreFile;
pub use describe::{GuestThread, guest_thread};
pub use elf::ElfError;
pub use error::Error;
pub use process::AtExit;
pub use spare::Allocator;
pub use syscall::CallLog;

/// What to run, and how.
#[derive(Clone)]
pub struct Config {
    /// The program file.
    pub program: PathBuf,
    /// The program file, already open: `program` is then only the name under which it was started.
    pub program_fd: Option<i32>,
    /// Its arguments, the first being its name.
    pub argv: Vec<OsString>,
    /// Its environment, as `NAME=value`.
    pub env: Vec<OsString>,
    /// Where absolute paths are looked up first: a directory with an AArch64 system's files.
    pub sysroot: Option<PathBuf>,
    /// The process is traced by another guest program (`ptrace`), which wants to see its first instruction.
    pub traced: bool,
    /// An open file with system call filters to go on with.
    pub filters_fd: Option<i32>,
    /// The kernel release that `uname` tells, if not the host's.
    pub release: Option<OsString>,
    /// User and group ids to pretend to have (real, effective, saved, file system), where only one id exists.
    pub ids: Option<[u32; 8]>,
    /// With them: supplementary groups to pretend to have, if not those that there are.
    pub groups: Option<Vec<u32>>,
    /// Where the core of a program goes that dies of a signal.
    pub core: CoreFile,
    /// Panic at the system call of this number, which must be one that does not exist: a test of what happens then.
    pub panic_at: Option<u32>,
    /// Log every system call and signal to standard error, so written.
    pub strace: Option<CallLog>,
    /// Report what is not supported.
    pub verbose: bool,
    /// The processor that the program sees.
    pub cpu: Profile,
    /// The translator's settings.
    pub backend: jib_backend::Options,
    /// The folder where translations are kept for the next time. Images then have stable addresses.
    pub cache: Option<Arc<CacheDir>>,
    /// The same, open already: handed on by the jib that started this one. Used if it is as good as one that we open.
    pub cache_fd: Option<i32>,
    /// Bytes of the first thread's stack.
    pub stack_size: u64,
    /// Options with which jib starts itself when the program executes another AArch64 program:
    /// `jib REEXEC... [--cache-fd FD | --cache off] --program-fd FD --argv0 NAME -- PROGRAM ARGUMENTS...`.
    pub reexec: Vec<OsString>,
    /// Where a debugger connects; the program waits for it before its first instruction.
    pub gdb: Option<Arc<jib_debug::address::Listener>>,
    /// Write down each instruction there.
    pub trace: Option<Arc<jib_debug::log::Sink>>,
    /// Called with the translator when the process ends (not when a child of it does), on the thread that ends it.
    pub at_exit: Option<AtExit>,
}

impl Config {
    /// A program with its arguments, our own environment, and everything else by default.
    pub fn new(program: PathBuf, argv: Vec<OsString>) -> Config {
        let pair = |(name, value): (OsString, OsString)| {
            let mut s = name;
            s.push("=");
            s.push(value);
            s
        };
        Config {
            program,
            program_fd: None,
            argv,
            env: std::env::vars_os().map(pair).collect(),
            sysroot: None,
            ids: None,
            groups: None,
            core: CoreFile::Kernel,
            panic_at: None,
            traced: false,
            filters_fd: None,
            release: None,
            strace: None,
            verbose: false,
            cpu: Profile::default(),
            backend: jib_backend::Options::default(),
            cache: None,
            cache_fd: None,
            stack_size: 8 << 20,
            reexec: Vec::new(),
            gdb: None,
            trace: None,
            at_exit: None,
        }
    }
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal, from which the caller should die, too.
    Signaled(i32),
}

/// Runs a program until it ends, and tells how. Call it from the process's first thread, once.
///
/// Returns in the process and thread that called it only: children of the program end by
/// themselves, and so does the process if another thread ends it. [`Config::at_exit`] is called in any case.
pub fn run(config: Config) -> Result<ExitStatus, Error> {
    start::run(config)
}

/// How the kernel started us for a `binfmt_misc` entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BinfmtStart {
    /// The program, already open (flag O).
    pub program: Option<i32>,
    /// The program's own name is the argument after its path (flag P).
    pub keeps_name: bool,
    /// The program has rights that its caller has not.
    pub secure: bool,
}

/// Whether the kernel started us for a `binfmt_misc` entry, as far as it tells: it does for entries with
/// flag O, C or P (the last since Linux 5.12).
pub fn binfmt_start() -> Option<BinfmtStart> {
    const AT_EXECFD: u64 = 2;
    const PRESERVE_ARGV0: u64 = 1;
    let program = Some(host::auxval(AT_EXECFD) as i32).filter(|fd| *fd > 0);
    let keeps_name = host::auxval(libc::AT_FLAGS) & PRESERVE_ARGV0 != 0;
    let secure = host::auxval(libc::AT_SECURE) != 0;
    (program.is_some() || keeps_name).then_some(BinfmtStart { program, keeps_name, secure })
}

/// Has this process rights that whoever started it has not, as by a set-user-ID bit?
pub fn has_borrowed_rights() -> bool {
    let id = |nr| host::call(nr, &[]);
    host::auxval(libc::AT_SECURE) != 0
        || id(libc::SYS_getuid) != id(libc::SYS_geteuid)
        || id(libc::SYS_getgid) != id(libc::SYS_getegid)
}

/// Ends the process at once, whatever its threads hold.
pub fn exit_now(code: i32) -> ! {
    host::exit_group(code)
}

/// Kills the calling process by `signal`, so that its parent sees what happened to the guest.
pub fn die_of(signal: i32) -> ! {
    signal::host::die_of(signal)
}
