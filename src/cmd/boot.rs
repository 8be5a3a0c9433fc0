//! `jib boot`: a whole system of another architecture.

use std::process::ExitCode;

use jib_backend::Stats;
use jib_debug::log::Log;
use jib_machine::launch::options::{DiskSpec, Options};

use super::{debugger, disk};
use crate::cli::BootArgs;
use crate::report;

/// Boots the system; how it ended is our exit code.
pub(crate) fn main(args: &BootArgs) -> ExitCode {
    if let (Some(release), Some(named)) = (&args.debian, &args.kernel) {
        let disk = DiskSpec::from(named.as_path()).path;
        if let Err(why) = disk::make(&disk, release, &args.include, args.size) {
            return report::fail(1, format_args!("{}: {why}", disk.display()));
        }
    }
    let options = match options(args) {
        Ok(options) => options,
        Err(e) => return report::fail(1, e),
    };
    let show = |stats: &Stats, wall| super::stats::tell(stats, wall);
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
    let cache = super::cache::open(&args.cache, args.verbose);
    Ok(Options { gdb, log, cache, trace: sink.filter(|_| args.trace), ..args.options() })
}
