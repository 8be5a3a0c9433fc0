//! From a configuration to a running first thread.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jib_backend::cache_dir::CacheDir;
use jib_backend::{Store, Translator};
use jib_frontend_aarch64::{A64, pauth};
use jib_ir::state::State;

use crate::debug;
use crate::disclose::disclose;
use crate::elf::{self, PAGE};
use crate::error::Error;
use crate::host;
use crate::journal::Journal;
use crate::loader::{self, Program};
use crate::own::{self, OwnFds};
use crate::place::Places;
use crate::process::{Facts, Process, in_sysroot, joined};
use crate::runtime::Code;
use crate::script::{self, InterpreterLine};
use crate::seccomp::{self, Mode};
use crate::signal::action::Actions;
use crate::signal::host::{Context, HandlerStack, block_all, install_fault_handlers, set_host_mask, share_samplers};
use crate::space::AddressSpace;
use crate::stack::{self, Contents};
use crate::syscall::CallLog;
use crate::syscall::ids::Ids;
use crate::thread::{Role, Thread};
use crate::vdso::Vdso;
use crate::{Config, ExitStatus};

/// Where Debian's cross libraries are: the sysroot of last resort.
const CROSS_SYSROOT: &str = "/usr/aarch64-linux-gnu";

/// What is to be run after scripts and sysroot have had their say.
struct Target {
    program: Program,
    path: PathBuf,
    argv: Vec<OsString>,
    interpreter: Option<Program>,
    sysroot: Option<PathBuf>,
}

/// See [`crate::run()`].
pub(crate) fn run(config: Config) -> Result<ExitStatus, Error> {
    let target = find_target(&config)?;
    install_fault_handlers();
    share_samplers();
    let handler_stack = HandlerStack::install();
    // Threads that the translator makes for itself inherit this: guest signals are not theirs.
    let mask = block_all();
    let traced = config.traced;
    let (gdb, trace) = (config.gdb.clone(), config.trace.clone());
    let mut thread = first_thread(config, target, mask)?;
    debug::begin(gdb.as_ref(), trace.as_ref(), &mut thread)?;
    thread.context.enter();
    thread.register();
    thread.context.set_mask(mask);
    if traced {
        thread.traced_exec();
    }
    let end = thread.run();
    let status = thread.finish(end);
    // The process is about to end, and no handler may find a context that is gone; nor is it worth taking everything
    // apart before the kernel does.
    Context::leave();
    std::mem::forget((thread, handler_stack));
    set_host_mask(mask);
    Ok(status)
}

/// Loads the program and makes the thread that begins it.
fn first_thread(mut config: Config, target: Target, mask: u64) -> Result<Thread, Error> {
    let (cache, places) = cache(&config).unzip();
    // No longer in the guest's way.
    config.cache = None;
    let space = Arc::new(AddressSpace::new(places));
    let cache = cache.map(Arc::new);
    let mut options = config.backend.clone();
    // Whoever watches may change the guest's code, or wants to see it translated.
    let watched = config.gdb.is_some() || config.trace.is_some();
    options.store = cache
        .as_ref()
        .filter(|_| !watched)
        .map(|dir| Arc::new(Store::new(dir.clone(), Box::new(Code(space.clone())), config.cpu.name().as_bytes())));
    let translator = Translator::new(A64, Box::new(Code(space.clone())), options);
    let translator = translator.map_err(|e| Error::Translator(e.to_string()))?;
    let loaded = target.program.load(target.interpreter.as_ref(), &space)?;
    let stack_size = config.stack_size.clamp(64 << 10, 1 << 40).next_multiple_of(PAGE);
    let ids = config.ids.map(Ids::from_array);
    let vdso = Vdso::map(&space)?;
    let contents = Contents {
        argv: &target.argv,
        env: &config.env,
        program: target.path.as_os_str(),
        ids,
        vdso: vdso.base,
        cpu: config.cpu,
        loaded,
    };
    let stack = stack::build(&space, stack_size, &contents)?;
    let mut state = State::default();
    state.set_x(31, stack.sp);
    state.set_pc(loaded.start);
    config.cpu.apply(&mut state);
    pauth::begin(&mut state, &host::random_words());
    name_process(&target.path);
    let own = OwnFds {
        exe: own::exe(),
        program: own::adopt(target.program.into_file()),
        cache: cache.as_ref().map(|dir| dir.as_fd().as_raw_fd()),
        maps: publish(&space),
        // A copy of standard error that the guest does not close by accident.
        log: if config.strace.is_some() { own::keep(2).ok().or(Some(2)) } else { None },
        watched: config.gdb.is_some()
            || config.trace.is_some()
            || config.at_exit.is_some()
            || config.backend.listener.is_some(),
    };
    let disclosed = disclose(&stack.places, &stack.auxv);
    let process = Process {
        log_format: config.strace.unwrap_or(CallLog::Text),
        vdso,
        translator,
        space,
        facts: Facts { disclosed, cmdline: joined(&target.argv), environ: joined(&config.env), auxv: stack.auxv },
        sysroot: target.sysroot,
        release: config.release,
        reexec: config.reexec,
        own,
        cache,
        verbose: config.verbose,
        core: config.core,
        panic_at: config.panic_at,
        pid: host::getpid(),
        at_exit: config.at_exit,
        filters: Default::default(),
        tracees: Default::default(),
        ledger: Default::default(),
        dying: Default::default(),
        shared: Default::default(),
    };
    let actions = Arc::new(Actions::inherited());
    let mut thread = Thread::new(Arc::new(process), actions, &state, mask, Role::Main);
    thread.ids = ids;
    thread.groups = config.groups.map(Into::into);
    thread.begin_cores();
    if let Some(fd) = config.filters_fd {
        let filter = host::file_of(fd).ok().and_then(seccomp::taken_over);
        // Without them the program would be freer than it may be.
        thread.seccomp = Mode::Filtered(filter.ok_or(Error::Filters)?);
    }
    Ok(thread)
}

/// Lets others know what is mapped; gives the descriptor that is needed for it.
fn publish(space: &AddressSpace) -> Option<i32> {
    let mut inner = space.lock();
    inner.vmas.publish(Journal::new()?);
    inner.vmas.descriptor()
}

/// The folder where translations are kept, out of the guest's way, and the places of images that its salt makes.
fn cache(config: &Config) -> Option<(CacheDir, Places)> {
    let fd = match (&config.cache, config.cache_fd) {
        (Some(dir), _) => own::keep(dir.as_fd().as_raw_fd()).ok()?,
        (None, Some(fd)) => own::adopt(host::file_of(fd).ok()?)?,
        (None, None) => return None,
    };
    let dir = CacheDir::from_fd(host::file_of(fd).ok()?.into());
    match dir.and_then(|dir| Ok((dir.salt()?, dir))) {
        Ok((salt, dir)) => Some((dir, Places::new(salt))),
        // We may be somebody else than the jib that handed it on.
        Err(why) => {
            if config.verbose {
                host::print(2, &format!("jib: translations are not kept: {why}\n"));
            }
            None
        }
    }
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
    let file = match config.program_fd {
        Some(fd) => host::file_of(fd).map_err(|e| Error::Open { path: path.clone(), errno: e.0 })?,
        None => loader::open(&path)?,
    };
    let (head, len) = loader::read_head(&file, &path, elf::USUAL_HEAD)?;
    match script::interpreter_line(&head) {
        Some(line) => open_script(config, &line),
        None => Ok((Program::new(file, &path, &head, len)?, path, config.argv.clone())),
    }
}

fn open_script(config: &Config, line: &InterpreterLine) -> Result<(Program, PathBuf, Vec<OsString>), Error> {
    let path = &config.program;
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
    argv.extend(line.argument.as_ref().map(|a| std::ffi::OsStr::from_bytes(a).to_owned()));
    argv.push(path.clone().into_os_string());
    argv.extend(config.argv.iter().skip(1).cloned());
    Ok((program, path.clone(), argv))
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

/// Names the process after the guest program, as `execve` does.
fn name_process(path: &Path) {
    let mut name = [0u8; 16];
    let bytes = path.file_name().map_or(&b"jib"[..], |n| n.as_bytes());
    let n = bytes.len().min(15);
    name[..n].copy_from_slice(&bytes[..n]);
    host::call(libc::SYS_prctl, &[libc::PR_SET_NAME as u64, name.as_ptr() as u64]);
}
