//! `jib boot`: a whole system of another architecture.

use std::process::ExitCode;

use jib_debug::log::Log;
use jib_machine::launch::Report;
use jib_machine::launch::options::{DiskSpec, Options};

use super::stats::AtEnd;
use super::{cache, debugger, disk};
use crate::cli::BootArgs;
use crate::profile::{Profile, perf};
use crate::report;

/// Boots the system; how it ended is our exit code.
pub(crate) fn main(args: &BootArgs) -> ExitCode {
    if let (Some(release), Some(named)) = (&args.debian, &args.kernel) {
        let disk = DiskSpec::from(named.as_path()).path;
        if let Err(why) = disk::make(&disk, release, &args.include, args.size) {
            return report::fail(1, format_args!("{}: {why}", disk.display()));
        }
    }
    let prepared = options(args).and_then(|mut options| {
        let told = args.stats.here();
        let profile = told.profile.as_deref().map(Profile::start).transpose()?;
        let stats = AtEnd::new(&told)?;
        stats.prepare(&mut options.engine);
        options.engine.watcher = stats.watcher();
        options.engine.sampler = profile.as_ref().map(Profile::sampler);
        options.engine.listener = args.engine.perf.map(|kind| perf::listener(kind, false)).transpose()?;
        Ok((options, stats, profile))
    });
    let (options, stats, profile) = match prepared {
        Ok(prepared) => prepared,
        Err(e) => return report::fail(1, e),
    };
    let show = |run: &Report| {
        if stats.is_wanted() {
            stats.tell(&run.stats, Some(run.misses));
        }
        if let Some(Err(e)) = profile.as_ref().map(|p| p.write_system(&run.kernel)) {
            report::tell(e);
        }
    };
    match jib_machine::launch::main(&options, &show) {
        Ok(code) => ExitCode::from(code),
        Err(e) => report::fail(e.code(), e),
    }
}

/// The options, with logs, sockets and folders open.
fn options(args: &BootArgs) -> Result<Options, String> {
    let sink = (args.trace || args.log.is_some()).then(|| debugger::sink(args.log_file.as_deref())).transpose()?;
    let gdb = args.gdb.as_ref().map(debugger::listen).transpose()?;
    let log = args.log.zip(sink.clone()).map(|(categories, sink)| Log::new(categories, sink));
    let cpu = args.engine.profile()?;
    let cache = cache::open(&args.cache, args.verbose);
    Ok(Options { cpu, gdb, log, trace: sink.filter(|_| args.trace), cache, ..args.options() })
}
