//! `jib boot`: a whole system of another architecture.

use std::process::ExitCode;

use crate::cli::BootArgs;
use crate::report;

/// Boots the system; how it ended is our exit code.
pub(crate) fn main(args: &BootArgs) -> ExitCode {
    match jib_machine::launch::main(&args.options()) {
        Ok(code) => ExitCode::from(code),
        Err(e) => report::fail(e.code(), e),
    }
}
