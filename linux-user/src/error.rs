//! Why a program could not be started: one clear line each, with what to do about it.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use crate::elf::ElfError;

/// A program that could not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The file cannot be opened or read.
    Open {
        /// The file.
        path: PathBuf,
        /// Linux error number.
        errno: i32,
    },
    /// The path names something that is not a regular file.
    NotAFile(PathBuf),
    /// The file is not a program for us.
    Elf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: ElfError,
    },
    /// The dynamic linker that the program names does not exist.
    NoInterpreter {
        /// The program.
        path: PathBuf,
        /// The interpreter's path.
        interpreter: PathBuf,
    },
    /// A script whose interpreter is no AArch64 program.
    Script {
        /// The script.
        path: PathBuf,
        /// What its first line names.
        interpreter: PathBuf,
        /// What is wrong with that.
        reason: String,
    },
    /// The program insists on addresses that are not free.
    AddressTaken {
        /// The program.
        path: PathBuf,
        /// The addresses.
        range: Range<u64>,
        /// Linux error number.
        errno: i32,
    },
    /// A segment or the stack cannot be mapped.
    Map {
        /// What.
        what: String,
        /// Linux error number.
        errno: i32,
    },
    /// Arguments and environment do not fit on the stack.
    ArgumentsTooLong,
    /// The system call filters that the program is to begin with cannot be read.
    Filters,
    /// No debugger can be waited for.
    Debugger(String),
    /// The translator cannot be set up.
    Translator(String),
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |n: i32| crate::host::Errno(n);
        match self {
            Error::Open { path, errno } => write!(f, "{}: {}{}", path.display(), name(*errno), open_hint(*errno)),
            Error::NotAFile(path) => write!(f, "{}: is not a regular file; name a program", path.display()),
            Error::Elf { path, error } => write!(f, "{}: {error}", path.display()),
            Error::NoInterpreter { path, interpreter } => write!(
                f,
                "{}: its dynamic linker {} is missing; install libc6:arm64, or libc6-arm64-cross and use -L /usr/aarch64-linux-gnu",
                path.display(),
                interpreter.display()
            ),
            Error::Script { path, interpreter, reason } => write!(
                f,
                "{}: is a script for {}: {reason}; name an AArch64 interpreter before it",
                path.display(),
                interpreter.display()
            ),
            Error::AddressTaken { path, range, errno } => address_taken(f, path, range, *errno),
            Error::Map { what, errno } => write!(f, "cannot map {what}: {}; free some memory", name(*errno)),
            Error::ArgumentsTooLong => f.write_str("arguments and environment do not fit on the stack; shorten them"),
            Error::Filters => f.write_str("the system call filters of the program before cannot be read"),
            Error::Debugger(what) => write!(f, "cannot wait for a debugger: {what}"),
            Error::Translator(what) => write!(f, "cannot set up the translator: {what}"),
        }
    }
}

fn open_hint(errno: i32) -> &'static str {
    match errno {
        libc::EACCES => "; give yourself read permission on it and search permission on its directories",
        libc::ENOENT => "; check the path",
        _ => "",
    }
}

fn address_taken(f: &mut fmt::Formatter<'_>, path: &std::path::Path, range: &Range<u64>, errno: i32) -> fmt::Result {
    let (a, b) = (range.start, range.end);
    write!(f, "{}: must be loaded at {a:#x}-{b:#x}, and jib cannot move it: ", path.display())?;
    match errno {
        libc::EPERM | libc::EACCES => {
            f.write_str("that is below vm.mmap_min_addr; lower it with sysctl, or link higher")
        }
        libc::EEXIST => f.write_str("that is in use; link it elsewhere or as a static PIE"),
        e => write!(f, "{}; link it elsewhere or as a static PIE", crate::host::Errno(e)),
    }
}
