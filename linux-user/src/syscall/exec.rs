//! `execve`: AArch64 programs and their scripts run in a new jib, everything else natively.
//!
//! The new jib gets the program as an open descriptor, and is started by one itself: neither its own
//! file nor the program need be in reach by a path, as after `chroot` or for an anonymous file.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::path::{Meaning, absolute};
use super::{Answer, Args, strace, string_in, word_in};
use crate::elf::{self, ElfError};
use crate::host::{Errno, try_call};
use crate::loader;
use crate::own;
use crate::script;
use crate::seccomp;
use crate::signal::host::{block_all, set_host_mask};
use crate::thread::{Role, Thread};

/// The C strings and pointers of an `execve` that is under way.
#[derive(Debug, Default)]
pub(crate) struct ExecCall {
    strings: Vec<CString>,
    /// Addresses of strings, ours or the guest's, ended by 0.
    argv: Vec<u64>,
}

impl ExecCall {
    fn push(&mut self, bytes: &[u8]) -> u64 {
        // Bytes of a path or option never hold a null; one that did would end there.
        let s = CString::new(bytes).unwrap_or_default();
        let at = s.as_ptr() as u64;
        self.strings.push(s);
        at
    }

    fn argument(&mut self, bytes: &[u8]) {
        let at = self.push(bytes);
        self.argv.push(at);
    }
}

/// Most interpreters in a row, as in Linux.
const MAX_SCRIPT_DEPTH: usize = 4;
/// Most arguments.
const MAX_ARGS: usize = 1 << 20;

/// What the guest asks for.
struct Request {
    /// Directory of a relative path.
    dir: i32,
    /// Path, empty for `dir` itself.
    path: Vec<u8>,
    flags: i32,
    argv: u64,
    envp: u64,
}

pub(crate) fn execve(t: &mut Thread, a: &Args) -> Answer {
    let path = string_in(a[0], 4096)?;
    if path.is_empty() {
        return Err(Errno(libc::ENOENT));
    }
    execute(t, &Request { dir: libc::AT_FDCWD, path, flags: 0, argv: a[1], envp: a[2] })
}

pub(crate) fn execveat(t: &mut Thread, a: &Args) -> Answer {
    let (dir, path, flags) = (a[0] as i32, string_in(a[1], 4096)?, a[4] as i32);
    if flags & !(libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW) != 0 {
        return Err(Errno(libc::EINVAL));
    }
    if path.is_empty() && flags & libc::AT_EMPTY_PATH == 0 {
        return Err(Errno(libc::ENOENT));
    }
    execute(t, &Request { dir, path, flags, argv: a[2], envp: a[3] })
}

impl Request {
    /// The name that the new program gets to know as its own, as in Linux.
    fn name(&self) -> Vec<u8> {
        match (self.path.first(), self.dir) {
            (Some(b'/'), _) | (_, libc::AT_FDCWD) => self.path.clone(),
            (None, fd) => format!("/dev/fd/{fd}").into_bytes(),
            (_, fd) => [format!("/dev/fd/{fd}/").as_bytes(), &self.path].concat(),
        }
    }
}

/// Descriptors for the next program; closed again if it does not come to that.
#[derive(Default)]
struct HandedOn(Vec<i32>);

impl HandedOn {
    fn add(&mut self, fd: i32) -> i32 {
        self.0.push(fd);
        fd
    }
}

impl Drop for HandedOn {
    fn drop(&mut self) {
        for fd in &self.0 {
            _ = try_call(libc::SYS_close, &[*fd as u64]);
        }
    }
}

/// What the next jib gets to know by descriptor.
struct Descriptors {
    program: i32,
    filters: Option<i32>,
    cache: Option<i32>,
}

/// What a file is to `execve`.
enum Program {
    /// An AArch64 program, with the arguments that its scripts put before the caller's.
    Guest { file: File, before: Vec<Vec<u8>> },
    /// Something for the host's kernel, which may also refuse it.
    Native,
}

fn execute(t: &mut Thread, request: &Request) -> Answer {
    let mut call = ExecCall::default();
    let args = argument_addresses(request.argv)?;
    let (target, name) = (translated(t, &request.path), request.name());
    let mut handed_on = HandedOn::default();
    let (dir, path, flags) = match examine(t, request, &target, &name)? {
        Program::Native => {
            call.argv = args;
            let path = call.push(&target);
            (request.dir, path, request.flags)
        }
        Program::Guest { file, before } => {
            let program = handed_on.add(own::hand_on(file.as_raw_fd())?);
            let filters = t.seccomp.filter().map(|f| seccomp::hand_on(&f)).transpose()?.map(|fd| handed_on.add(fd));
            let cache = t.process.cache.as_ref().map(|dir| own::hand_on(dir.as_fd().as_raw_fd()));
            let cache = cache.transpose()?.map(|fd| handed_on.add(fd));
            guest_arguments(t, &mut call, &Descriptors { program, filters, cache }, &name, &before, &args);
            match t.process.own.exe {
                Some(exe) => {
                    own::close_on_exec(exe, false);
                    (exe, call.push(b""), libc::AT_EMPTY_PATH)
                }
                None => (libc::AT_FDCWD, call.push(b"/proc/self/exe"), 0),
            }
        }
    };
    call.argv.push(0);
    let argv_at = call.argv.as_ptr() as u64;
    t.exec = Some(call);
    block_all();
    // The new program inherits the mask as the guest sees it.
    if !t.context.is_pending() {
        set_host_mask(t.context.mask());
    }
    // A child that was only made to execute has nothing worth keeping.
    if t.role == Role::Main && !t.is_traced() {
        t.process.translator.keep();
    }
    let allowed = [dir as u64, path, libc::X_OK as u64, (flags | libc::AT_EACCESS) as u64];
    if t.process.own.log.is_some() && try_call(libc::SYS_faccessat2, &allowed).is_ok() {
        // If it succeeds, nothing of us is left that could tell.
        let asked = &t.vcpu.state;
        strace::log(t, asked.x(8) as u32, &std::array::from_fn(|i| asked.x(i)), None, None);
    }
    let result = t.pass(libc::SYS_execveat, [dir as u64, path, argv_at, request.envp, flags as u64, 0]);
    block_all();
    t.context.set_mask(t.context.mask());
    if let Some(exe) = t.process.own.exe {
        own::close_on_exec(exe, true);
    }
    t.exec = None;
    Ok(result)
}

/// The path after sysroot and `/proc/self/exe`.
fn translated(t: &Thread, path: &[u8]) -> Vec<u8> {
    if path.first() != Some(&b'/') {
        return path.to_vec();
    }
    match absolute(t, path) {
        Meaning::Other(other) => other.into_bytes(),
        Meaning::Same | Meaning::Made(_) => path.to_vec(),
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

/// Opens what is to be executed; `None` leaves the refusal to the kernel.
fn open(dir: i32, path: &[u8], flags: i32) -> Option<File> {
    // What a descriptor stands for is opened anew: it may be one for its path alone.
    let own = format!("/proc/self/fd/{dir}");
    let (dir, path) = if path.is_empty() { (libc::AT_FDCWD, own.as_bytes()) } else { (dir, path) };
    let path = CString::new(path).ok()?;
    let follow = if flags & libc::AT_SYMLINK_NOFOLLOW != 0 { libc::O_NOFOLLOW } else { 0 };
    let how = libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY | follow;
    let fd = try_call(libc::SYS_openat, &[dir as u64, path.as_ptr() as u64, how as u64, 0]).ok()?;
    crate::host::file_of(fd as i32).ok()
}

fn examine(t: &Thread, request: &Request, target: &[u8], name: &[u8]) -> Result<Program, Errno> {
    let mut before: Vec<Vec<u8>> = Vec::new();
    let mut path = name.to_vec();
    let mut file = open(request.dir, target, request.flags);
    for depth in 0..=MAX_SCRIPT_DEPTH {
        let Some(found) = file else { return Ok(Program::Native) };
        let label = PathBuf::from(std::ffi::OsStr::from_bytes(&path));
        let Ok((head, len)) = loader::read_head(&found, &label, elf::USUAL_HEAD) else { return Ok(Program::Native) };
        if elf::is_guest(&head) {
            check_executable(&found)?;
            // A damaged AArch64 file is refused by the kernel, too, as one that it cannot execute.
            let whole = matches!(elf::parse(&head, len), Ok(_) | Err(ElfError::Truncated(_)));
            return Ok(if whole { Program::Guest { file: found, before } } else { Program::Native });
        }
        let Some(line) = script::interpreter_line(&head) else { return Ok(Program::Native) };
        if depth == 0 {
            check_executable(&found)?;
        }
        let mut words = vec![line.interpreter.clone()];
        words.extend(line.argument);
        words.push(path);
        // The script takes the place of the interpreter's script, if it was one itself.
        words.extend(before.drain(..).skip(1));
        before = words;
        file = open(libc::AT_FDCWD, &translated(t, &line.interpreter), 0);
        path = line.interpreter;
    }
    Ok(Program::Native)
}

/// May we execute it, by the rights that count for that?
fn check_executable(file: &File) -> Result<(), Errno> {
    const FACCESSAT2: i64 = 439;
    let (fd, flags) = (file.as_raw_fd() as u64, (libc::AT_EMPTY_PATH | libc::AT_EACCESS) as u64);
    try_call(FACCESSAT2, &[fd, c"".as_ptr() as u64, libc::X_OK as u64, flags]).map(drop)
}

/// `jib OPTIONS [--cache-fd FD | --cache off] --program-fd FD --argv0 NAME -- EXECFN ARGUMENTS`
fn guest_arguments(
    t: &Thread,
    call: &mut ExecCall,
    descriptors: &Descriptors,
    name: &[u8],
    before: &[Vec<u8>],
    args: &[u64],
) {
    call.argument(b"jib");
    for option in &t.process.reexec {
        call.argument(option.as_bytes());
    }
    if let Some(ids) = &t.ids {
        call.argument(b"--ids");
        let groups = super::ids::groups_argument(&t.groups);
        call.argument((ids.argument() + &groups).as_bytes());
    }
    match descriptors.cache {
        Some(fd) => {
            call.argument(b"--cache-fd");
            call.argument(fd.to_string().as_bytes());
        }
        None => {
            call.argument(b"--cache");
            call.argument(b"off");
        }
    }
    if t.is_traced() {
        call.argument(b"--traced");
    }
    call.argument(b"--program-fd");
    call.argument(descriptors.program.to_string().as_bytes());
    if let Some(fd) = descriptors.filters {
        call.argument(b"--filters-fd");
        call.argument(fd.to_string().as_bytes());
    }
    call.argument(b"--argv0");
    match (before.first(), args.first()) {
        (Some(name), _) => call.argument(name),
        (None, Some(&name)) => call.argv.push(name),
        (None, None) => call.argument(b""),
    }
    call.argument(b"--");
    call.argument(name);
    for word in before.iter().skip(1) {
        call.argument(word);
    }
    call.argv.extend(args.iter().skip(1));
}
