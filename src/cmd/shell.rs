//! `jib shell`: an arm64 userland in a folder, entered like a machine of its own.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use crate::cli::{RunArgs, ShellArgs, StatsArgs};
use crate::cmd::{debian, run};
use crate::report::{self, CANNOT_RUN};

/// Where programs are in a Debian system.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Variables that speak of the host's programs.
const HOST_ONLY: [&str; 6] = ["LD_LIBRARY_PATH", "LD_PRELOAD", "LD_AUDIT", "BASH_ENV", "ENV", "LOCPATH"];

/// Enters the folder and runs the command, or a shell.
pub(crate) fn main(args: &ShellArgs) -> ExitCode {
    if let Some(release) = &args.debian
        && let Err(why) = debian::make(&args.folder, release, &args.include)
    {
        return report::fail(CANNOT_RUN, format_args!("{}: {why}", args.folder.display()));
    }
    let mut env: Vec<(OsString, OsString)> = vec![("PATH".into(), PATH.into())];
    env.extend(args.env.iter().cloned());
    let command = if args.command.is_empty() { vec![shell(&args.folder)] } else { args.command.clone() };
    run::main(&RunArgs {
        emit: crate::cli::EmitArgs::default(),
        engine: args.engine.clone(),
        cache: args.cache.clone(),
        cache_fd: None,
        sysroot: None,
        root: Some(args.folder.clone()),
        inside: args.root.clone(),
        env,
        unset: HOST_ONLY.map(OsString::from).to_vec(),
        directory: None,
        argv0: None,
        program_fd: None,
        filters_fd: None,
        traced: false,
        release: None,
        ids: Vec::new(),
        stack: None,
        core: args.core.clone(),
        panic_at: None,
        strace: args.strace,
        gdb: None,
        trace: false,
        log_file: None,
        stats: StatsArgs::default(),
        verbose: args.verbose,
        command,
    })
}

/// The user's shell if it is there, else the usual ones.
fn shell(root: &Path) -> OsString {
    let wanted = std::env::var_os("SHELL");
    let usual = ["/bin/bash", "/bin/sh"].map(OsString::from);
    let mut all = wanted.into_iter().chain(usual);
    let inside =
        |s: &OsString| root.join(Path::new(s).strip_prefix("/").unwrap_or(Path::new(s))).symlink_metadata().is_ok();
    all.find(inside).unwrap_or_else(|| "/bin/sh".into())
}
