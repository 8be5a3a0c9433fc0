//! `jib run`: a program of another architecture as if it were ours.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;
use jib_backend::cache_dir::CacheDir;
use jib_backend::{CodeListener, Translator};
use jib_debug::address::Listener;
use jib_debug::log::Sink;
use jib_frontend_aarch64::{A64, cpu};
use jib_linux_user::{Config, CoreFile, Error, ExitStatus, die_of, has_borrowed_rights};

use super::emit::AtEnd;
use super::{cache, debugger, root, stats};
use crate::cli::{RunArgs, Strace};
use crate::profile::{Profile, perf};
use crate::report::{self, CANNOT_RUN, NOT_FOUND, USAGE};

/// Runs the program; its exit code is ours, and so is the signal that killed it.
pub(crate) fn main(args: &RunArgs) -> ExitCode {
    // Named as seen from here, whatever folder and root the program gets.
    let Open { cpu, gdb, trace, emit, cache, stats, profile, listener } = match open(args) {
        Ok(open) => open,
        Err(e) => return report::fail(CANNOT_RUN, e),
    };
    if let Some(dir) = &args.directory
        && let Err(e) = std::env::set_current_dir(dir)
    {
        return report::fail(CANNOT_RUN, format_args!("{}: {e}", dir.display()));
    }
    let mut ids = args.ids.first_chunk::<8>().copied();
    if let Some(folder) = &args.root {
        match root::enter(folder, &args.inside, args.verbose) {
            Ok(entered) => ids = ids.or(entered.single_id.then_some([0; 8])),
            Err(code) => return code,
        }
    }
    let Some(mut config) = config(args, cpu) else {
        return report::fail(USAGE, "which program? Try `jib --help`");
    };
    let emit = match emit.map(|out| AtEnd::new(&args.emit, &config.program, out)).transpose() {
        Ok(emit) => emit,
        Err(e) => return report::fail(USAGE, format_args!("{e:#}")),
    };
    stats.prepare(&mut config.backend);
    config.backend.watcher = stats.watcher();
    config.backend.listener = listener;
    config.backend.sampler = profile.as_ref().map(Profile::sampler);
    let wanted = stats.is_wanted() || emit.is_some() || profile.is_some();
    let name = config.program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let tell = move |t: &Translator<A64>| {
        if stats.is_wanted() {
            stats.tell(&t.stats(), None);
        }
        if let Some(Err(e)) = profile.as_ref().map(|p| p.write_program(&name)) {
            report::tell(e);
        }
        if let Some(emit) = &emit {
            emit.show(t);
        }
    };
    let at_exit = wanted.then(|| Arc::new(tell) as jib_linux_user::AtExit);
    match jib_linux_user::run(Config { ids, gdb, trace, at_exit, cache, ..config }) {
        Ok(ExitStatus::Exited(code)) => ExitCode::from(code as u8),
        Ok(ExitStatus::Signaled(signal)) => die_of(signal),
        Err(e) => report::fail(code_of(&e), e),
    }
}

/// What linux-user is to be told, but for the end.
fn config(args: &RunArgs, cpu: cpu::Profile) -> Option<Config> {
    let (name, rest) = args.command.split_first()?;
    let argv0 = args.argv0.as_ref().unwrap_or(name).clone();
    let argv = std::iter::once(argv0).chain(rest.iter().cloned()).collect();
    let program = if args.program_fd.is_some() { PathBuf::from(name) } else { find(name, args) };
    let mut config = Config::new(program, argv);
    config.program_fd = args.program_fd;
    config.filters_fd = args.filters_fd;
    config.cache_fd = args.cache_fd.filter(|_| !has_borrowed_rights());
    config.traced = args.traced;
    config.env = environment(args, config.env);
    config.sysroot = args.sysroot.clone();
    config.release = args.release.clone();
    config.strace = args.strace.map(Strace::format);
    config.verbose = args.verbose;
    config.cpu = cpu;
    config.backend = args.engine.options();
    config.backend.count = args.emit.is_wanted();
    config.panic_at = args.panic_at;
    config.groups = args.ids.get(9..).map(<[u32]>::to_vec);
    config.core = match core(args) {
        None => CoreFile::Kernel,
        Some(name) if name == "off" => CoreFile::Off,
        Some(path) => CoreFile::File(path.into()),
    };
    config.stack_size = args.stack.map_or(config.stack_size, |kib| kib << 10);
    config.reexec = reexec(args);
    Some(config)
}

/// What is opened first.
struct Open {
    /// The processor.
    cpu: cpu::Profile,
    /// A debugger to wait for.
    gdb: Option<Arc<Listener>>,
    /// Where each instruction is written down.
    trace: Option<Arc<Sink>>,
    /// Where the translations are shown at the end.
    emit: Option<Arc<Sink>>,
    /// Where translations are kept.
    cache: Option<Arc<CacheDir>>,
    /// What is told of the run.
    stats: stats::AtEnd,
    profile: Option<Profile>,
    /// Who hears of translated code.
    listener: Option<CodeListener>,
}

fn open(args: &RunArgs) -> Result<Open, String> {
    let told = args.stats.here();
    Ok(Open {
        cpu: args.engine.profile()?,
        stats: stats::AtEnd::new(&told)?,
        profile: told.profile.as_deref().map(Profile::start).transpose()?,
        listener: args.engine.perf.map(|kind| perf::listener(kind, true)).transpose()?,
        trace: args.trace.then(|| debugger::sink(args.log_file.as_deref())).transpose()?,
        emit: args.emit.is_wanted().then(|| debugger::sink(args.emit.emit_file.as_deref())).transpose()?,
        gdb: args.gdb.as_ref().map(debugger::listen).transpose()?,
        cache: if args.cache_fd.is_some() { None } else { cache::open(&args.cache, args.verbose) },
    })
}

/// The file to run: as named, else along `PATH`, like a shell.
fn find(name: &OsString, args: &RunArgs) -> PathBuf {
    let path = Path::new(name);
    if name.as_bytes().contains(&b'/') || path.exists() {
        return path.to_path_buf();
    }
    let given = args.env.iter().rev().find(|(variable, _)| variable == "PATH").map(|(_, value)| value.clone());
    let places = given.or_else(|| std::env::var_os("PATH")).unwrap_or_default();
    std::env::split_paths(&places).map(|dir| dir.join(path)).find(|p| p.is_file()).unwrap_or(path.to_path_buf())
}

fn environment(args: &RunArgs, ours: Vec<OsString>) -> Vec<OsString> {
    let name = |entry: &OsString| entry.as_bytes().split(|b| *b == b'=').next().map(<[u8]>::to_vec);
    let gone = |entry: &OsString| {
        let removed = args.unset.iter().chain(args.env.iter().map(|(n, _)| n));
        removed.map(|n| n.as_bytes()).any(|n| name(entry).as_deref() == Some(n))
    };
    let mut env: Vec<OsString> = ours.into_iter().filter(|e| !gone(e)).collect();
    for (i, (name, value)) in args.env.iter().enumerate() {
        if args.env[i + 1..].iter().any(|(later, _)| later == name) {
            continue;
        }
        let mut entry = name.clone();
        entry.push("=");
        entry.push(value);
        env.push(entry);
    }
    env
}

/// Where cores go, if that is said; wherever programs go, it stays the same.
fn core(args: &RunArgs) -> Option<OsString> {
    let core = args.core.as_ref()?;
    // Another root has other folders.
    if core == "off" || args.root.is_some() {
        return Some(core.clone());
    }
    Some(std::path::absolute(core).map_or_else(|_| core.clone(), OsString::from))
}

/// Options that programs started by the program inherit; its environment and directory it passes on itself.
fn reexec(args: &RunArgs) -> Vec<OsString> {
    let mut out: Vec<OsString> = vec!["run".into()];
    out.extend(args.engine.to_args());
    if let Some(root) = &args.sysroot {
        out.extend(["-L".into(), std::path::absolute(root).unwrap_or(root.clone()).into()]);
    }
    if let Some(release) = &args.release {
        out.extend(["--release".into(), release.clone()]);
    }
    if let Some(core) = core(args) {
        out.extend(["--core".into(), core]);
    }
    if let Some(kib) = args.stack {
        out.extend(["-s".into(), kib.to_string().into()]);
    }
    // A file would be begun anew by each program.
    let trace = args.trace && args.log_file.is_none();
    let strace = args.strace.and_then(|format| format.to_possible_value());
    out.extend(strace.map(|format| format!("--strace={}", format.get_name()).into()));
    for (name, on) in [("--trace", trace), ("--verbose", args.verbose)] {
        out.extend(on.then(|| name.into()));
    }
    out.extend(args.stats.to_args());
    out
}

fn code_of(e: &Error) -> u8 {
    match e {
        Error::Open { errno: libc::ENOENT | libc::ENOTDIR, .. } => NOT_FOUND,
        _ => CANNOT_RUN,
    }
}
