//! From a configuration to a running first thread.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jib_backend::Translator;
use jib_frontend_aarch64::A64;
use jib_ir::state::State;

use crate::debug;
use crate::elf::{ElfError, PAGE};
use crate::error::Error;
use crate::host::{self, try_call};
use crate::loader::{self, Program};
use crate::mem;
use crate::process::{Facts, Process, in_sysroot, joined};
use crate::runtime::Code;
use crate::script;
use crate::signal::action::Actions;
use crate::signal::host::{Context, HandlerStack, block_all, install_fault_handlers, set_host_mask};
use crate::space::{AddressSpace, Mmap};
use crate::stack::{self, Contents};
use crate::thread::{Role, Thread};
use crate::vma::Kind;
use crate::{Config, Outcome};

/// Where Debian's cross libraries are: the sysroot of last resort.
const CROSS_SYSROOT: &str = "/usr/aarch64-linux-gnu";
/// `mov x8, #139; svc #0`: what a signal handler returns to.
const TRAMPOLINE: [u32; 2] = [0xd280_1168, 0xd400_0001];
/// Descriptors of ours stay clear of the guest's.
const OWN_FD_MIN: u64 = 1000;

/// What is to be run after scripts and sysroot have had their say.
struct Target {
    program: Program,
    path: PathBuf,
    argv: Vec<OsString>,
    interpreter: Option<Program>,
    sysroot: Option<PathBuf>,
}

/// See [`crate::run()`].
pub(crate) fn run(config: Config) -> Result<Outcome, Error> {
    let target = find_target(&config)?;
    install_fault_handlers();
    let handler_stack = HandlerStack::install();
    // Threads that the translator makes for itself inherit this: guest signals are not theirs.
    let mask = block_all();
    let (gdb, trace) = (config.gdb.clone(), config.trace.clone());
    let mut thread = first_thread(config, target, mask)?;
    debug::begin(gdb.as_ref(), trace.as_ref(), &mut thread)?;
    thread.context.enter();
    thread.context.set_mask(mask);
    let end = thread.run();
    let status = thread.finish(end);
    let stats = thread.process.translator.stats();
    // The process is about to end, and no handler may find a context that is gone.
    Context::leave();
    drop((thread, handler_stack));
    set_host_mask(mask);
    Ok(Outcome { status, stats })
}

/// Loads the program and makes the thread that begins it.
fn first_thread(config: Config, target: Target, mask: u64) -> Result<Thread, Error> {
    let space = Arc::new(AddressSpace::default());
    let translator = Translator::new(A64, Box::new(Code(space.clone())), config.backend.clone());
    let translator = translator.map_err(|e| Error::Translator(e.to_string()))?;
    let loaded = target.program.load(target.interpreter.as_ref(), &space)?;
    let stack_size = config.stack_size.clamp(64 << 10, 1 << 40).next_multiple_of(PAGE);
    let contents = Contents { argv: &target.argv, env: &config.env, program: target.path.as_os_str(), loaded };
    let stack = stack::build(&space, stack_size, &contents)?;
    let mut state = State::default();
    state.set_x(31, stack.sp);
    state.set_pc(loaded.start);
    name_process(&target.path);
    let process = Process {
        trampoline: map_trampoline(&space)?,
        translator,
        space,
        program: std::path::absolute(&target.path).unwrap_or(target.path),
        facts: Facts { cmdline: joined(&target.argv), environ: joined(&config.env), auxv: stack.auxv },
        sysroot: target.sysroot,
        reexec: config.reexec,
        strace: if config.strace { log_descriptor() } else { None },
        verbose: config.verbose,
        pid: host::getpid(),
        at_exit: config.at_exit,
        shared: Default::default(),
    };
    let actions = Arc::new(Actions::inherited());
    Ok(Thread::new(Arc::new(process), actions, &state, mask, Role::Main))
}

/// Opens the program, its script interpreter and its dynamic linker.
fn find_target(config: &Config) -> Result<Target, Error> {
    let (program, path, argv) = open_program(config)?;
    let mut sysroot = config.sysroot.clone();
    let interpreter = match program.interpreter() {
        None => None,
        Some(name) => {
            let (file, root) = open_interpreter(&path, name, sysroot)?;
            sysroot = root;
            Some(file)
        }
    };
    Ok(Target { program, path, argv, interpreter, sysroot })
}

fn open_program(config: &Config) -> Result<(Program, PathBuf, Vec<OsString>), Error> {
    let path = config.program.clone();
    match Program::open(&path) {
        Ok(program) => Ok((program, path, config.argv.clone())),
        Err(Error::Elf { error: ElfError::NotElf, .. }) => open_script(config),
        Err(e) => Err(e),
    }
}

fn open_script(config: &Config) -> Result<(Program, PathBuf, Vec<OsString>), Error> {
    let path = &config.program;
    let (_, head, _) = loader::open(path)?;
    let Some(line) = script::interpreter_line(&head) else {
        return Err(Error::Elf { path: path.clone(), error: ElfError::NotElf });
    };
    let name = PathBuf::from(std::ffi::OsStr::from_bytes(&line.interpreter));
    let there = config.sysroot.as_deref().and_then(|root| in_sysroot(root, &line.interpreter));
    let interpreter = there.unwrap_or_else(|| name.clone());
    let program = Program::open(&interpreter).map_err(|e| {
        let reason = match e {
            Error::Elf { error, .. } => error.to_string(),
            Error::Open { errno, .. } => host::Errno(errno).to_string(),
            other => other.to_string(),
        };
        Error::Script { path: path.clone(), interpreter: interpreter.clone(), reason }
    })?;
    let mut argv = vec![name.into_os_string()];
    argv.extend(line.argument.map(|a| std::ffi::OsStr::from_bytes(&a).to_owned()));
    argv.push(path.clone().into_os_string());
    argv.extend(config.argv.iter().skip(1).cloned());
    Ok((program, interpreter, argv))
}

/// Finds the dynamic linker: in the sysroot, in its own place, or where cross libraries are.
fn open_interpreter(
    program: &Path,
    name: &Path,
    sysroot: Option<PathBuf>,
) -> Result<(Program, Option<PathBuf>), Error> {
    let bytes = name.as_os_str().as_bytes();
    if let Some(there) = sysroot.as_deref().and_then(|root| in_sysroot(root, bytes)) {
        return Ok((Program::open(&there)?, sysroot));
    }
    if name.exists() {
        return Ok((Program::open(name)?, sysroot));
    }
    let cross = PathBuf::from(CROSS_SYSROOT);
    match in_sysroot(&cross, bytes) {
        Some(there) if sysroot.is_none() => Ok((Program::open(&there)?, Some(cross))),
        _ => Err(Error::NoInterpreter { path: program.into(), interpreter: name.into() }),
    }
}

/// Maps the page that signal handlers return to.
fn map_trampoline(space: &AddressSpace) -> Result<u64, Error> {
    let failed = |e: host::Errno| Error::Map { what: "the signal trampoline".into(), errno: e.0 };
    let m = Mmap {
        addr: 0,
        len: PAGE,
        prot: libc::PROT_READ | libc::PROT_WRITE,
        flags: libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        fd: -1,
        offset: 0,
        kind: Kind::Vdso,
    };
    let at = space.mmap(m).map_err(failed)?.value;
    let code: Vec<u8> = TRAMPOLINE.iter().flat_map(|w| w.to_le_bytes()).collect();
    mem::write(at, &code).map_err(|_| failed(host::Errno(libc::ENOMEM)))?;
    space.mprotect(at, PAGE, libc::PROT_READ | libc::PROT_EXEC).map_err(failed)?;
    Ok(at)
}

/// A copy of standard error that the guest does not close by accident.
fn log_descriptor() -> Option<i32> {
    let args = [2, libc::F_DUPFD_CLOEXEC as u64, OWN_FD_MIN];
    try_call(libc::SYS_fcntl, &args).ok().map(|fd| fd as i32).or(Some(2))
}

/// Names the process after the guest program, as `execve` does.
fn name_process(path: &Path) {
    let mut name = [0u8; 16];
    let bytes = path.file_name().map_or(&b"jib"[..], |n| n.as_bytes());
    let n = bytes.len().min(15);
    name[..n].copy_from_slice(&bytes[..n]);
    host::call(libc::SYS_prctl, &[libc::PR_SET_NAME as u64, name.as_ptr() as u64]);
}
