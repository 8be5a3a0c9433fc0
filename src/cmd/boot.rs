//! `jib boot`: a whole system of another architecture.

use std::process::ExitCode;

use jib_backend::Stats;

use crate::cli::BootArgs;
use crate::report;

/// Boots the system; how it ended is our exit code.
pub(crate) fn main(args: &BootArgs) -> ExitCode {
    let show = |stats: &Stats, wall| eprint!("{}", super::stats::text(stats, wall));
    match jib_machine::launch::main(&args.options(), &show) {
        Ok(code) => ExitCode::from(code),
        Err(e) => report::fail(e.code(), e),
    }
}
