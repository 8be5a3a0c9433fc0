//! `execve`: AArch64 programs and their scripts run in a new jib, everything else natively.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::path::{Meaning, absolute};
use super::{Answer, Args, string_in, word_in};
use crate::elf;
use crate::host::{Errno, try_call};
use crate::loader;
use crate::script;
use crate::signal::host::{block_all, set_host_mask};
use crate::thread::Thread;

/// The C strings and pointers of an `execve` that is under way.
#[derive(Debug, Default)]
pub(crate) struct ExecCall {
    strings: Vec<CString>,
    /// Addresses of strings, ours or the guest's, ended by 0.
    argv: Vec<u64>,
}

impl ExecCall {
    fn push(&mut self, bytes: &[u8]) {
        // Bytes of a path or option never hold a null; one that did would end there.
        let s = CString::new(bytes).unwrap_or_default();
        self.argv.push(s.as_ptr() as u64);
        self.strings.push(s);
    }
}

/// Most interpreters in a row, as in Linux.
const MAX_SCRIPT_DEPTH: usize = 4;
/// Most arguments.
const MAX_ARGS: usize = 1 << 20;

pub(crate) fn execve(t: &mut Thread, a: &Args) -> Answer {
    let path = string_in(a[0], 4096)?;
    execute(t, path, a[1], a[2])
}

pub(crate) fn execveat(t: &mut Thread, a: &Args) -> Answer {
    let (dir, path, flags) = (a[0] as i32, string_in(a[1], 4096)?, a[4] as i32);
    if flags & !(libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW) != 0 {
        return Err(Errno(libc::EINVAL));
    }
    if path.first() == Some(&b'/') || dir == libc::AT_FDCWD && !path.is_empty() {
        return execute(t, path, a[2], a[3]);
    }
    if path.is_empty() {
        if flags & libc::AT_EMPTY_PATH == 0 {
            return Err(Errno(libc::ENOENT));
        }
        // The new jib opens it by its descriptor, which must survive the exec.
        let kept = try_call(libc::SYS_fcntl, &[dir as u64, libc::F_DUPFD as u64, 3])?;
        let result = execute(t, format!("/proc/self/fd/{kept}").into_bytes(), a[2], a[3]);
        _ = try_call(libc::SYS_close, &[kept]);
        return result;
    }
    let full = [format!("/proc/self/fd/{dir}/").as_bytes(), &path].concat();
    execute(t, full, a[2], a[3])
}

/// What a file is to `execve`.
enum Program {
    /// An AArch64 program, with the arguments that its scripts put before the caller's.
    Guest { path: Vec<u8>, before: Vec<Vec<u8>> },
    /// Something for the host's kernel, which may also refuse it.
    Native,
}

fn execute(t: &mut Thread, path: Vec<u8>, argv: u64, envp: u64) -> Answer {
    let path = translated(t, path);
    let mut call = ExecCall::default();
    let args = argument_addresses(argv)?;
    let file = match examine(t, &path) {
        Program::Native => {
            call.argv = args;
            path
        }
        Program::Guest { path: program, before } => {
            check_executable(&path)?;
            guest_arguments(t, &mut call, &program, &before, &args);
            b"/proc/self/exe".to_vec()
        }
    };
    call.argv.push(0);
    let file = CString::new(file).map_err(|_| Errno(libc::ENOENT))?;
    let (file_at, argv_at) = (file.as_ptr() as u64, call.argv.as_ptr() as u64);
    call.strings.push(file);
    t.exec = Some(call);
    block_all();
    // The new program inherits the mask as the guest sees it.
    if !t.context.is_pending() {
        set_host_mask(t.context.mask());
    }
    let result = t.pass(libc::SYS_execve, [file_at, argv_at, envp, 0, 0, 0]);
    block_all();
    t.context.set_mask(t.context.mask());
    t.exec = None;
    Ok(result)
}

/// The path after sysroot and `/proc/self/exe`.
fn translated(t: &Thread, path: Vec<u8>) -> Vec<u8> {
    if path.first() != Some(&b'/') {
        return path;
    }
    match absolute(t, &path) {
        Meaning::Other(other) => other.into_bytes(),
        Meaning::Same | Meaning::Made(_) => path,
    }
}

fn argument_addresses(argv: u64) -> Result<Vec<u64>, Errno> {
    let mut list = Vec::new();
    if argv == 0 {
        return Ok(list);
    }
    loop {
        match word_in(argv.wrapping_add(8 * list.len() as u64))? {
            0 => return Ok(list),
            _ if list.len() >= MAX_ARGS => return Err(Errno(libc::E2BIG)),
            at => list.push(at),
        }
    }
}

fn examine(t: &Thread, path: &[u8]) -> Program {
    let mut path = path.to_vec();
    let mut before: Vec<Vec<u8>> = Vec::new();
    for _ in 0..=MAX_SCRIPT_DEPTH {
        let Ok((_, head, len)) = loader::open(&PathBuf::from(std::ffi::OsStr::from_bytes(&path))) else {
            return Program::Native;
        };
        if elf::is_guest(&head) {
            // A damaged AArch64 file is for the new jib to report, unless the kernel can say it.
            return if elf::parse(&head, len).is_ok() { Program::Guest { path, before } } else { Program::Native };
        }
        let Some(line) = script::interpreter_line(&head) else { return Program::Native };
        let mut words = vec![line.interpreter.clone()];
        words.extend(line.argument);
        words.push(path);
        // The script takes the place of the interpreter's script, if it was one itself.
        words.extend(before.drain(..).skip(1));
        before = words;
        path = translated(t, line.interpreter);
    }
    Program::Native
}

fn check_executable(path: &[u8]) -> Result<(), Errno> {
    let path = CString::new(path).map_err(|_| Errno(libc::ENOENT))?;
    let args = [libc::AT_FDCWD as u64, path.as_ptr() as u64, libc::X_OK as u64];
    try_call(libc::SYS_faccessat, &args).map(drop)
}

/// `jib OPTIONS --argv0 NAME -- PROGRAM ARGUMENTS`
fn guest_arguments(t: &Thread, call: &mut ExecCall, program: &[u8], before: &[Vec<u8>], args: &[u64]) {
    call.push(b"jib");
    for option in &t.process.reexec {
        call.push(option.as_bytes());
    }
    call.push(b"--argv0");
    match (before.first(), args.first()) {
        (Some(name), _) => call.push(name),
        (None, Some(&name)) => call.argv.push(name),
        (None, None) => call.push(b""),
    }
    call.push(b"--");
    call.push(program);
    for word in before.iter().skip(1) {
        call.push(word);
    }
    call.argv.extend(args.iter().skip(1));
}
