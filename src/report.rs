//! What jib itself has to say: one line each on standard error, and the exit codes that go with it.

use std::fmt::Display;
use std::process::ExitCode;

/// The program was found but cannot be run; as shells have it.
pub(crate) const CANNOT_RUN: u8 = 126;
/// The program was not found; as shells have it.
pub(crate) const NOT_FOUND: u8 = 127;
/// The command line makes no sense.
pub(crate) const USAGE: u8 = 2;
/// A bug of ours.
pub(crate) const INTERNAL: i32 = 70;

/// Says why nothing was run and gives the exit code.
pub(crate) fn fail(code: u8, why: impl Display) -> ExitCode {
    eprintln!("jib: {why}");
    ExitCode::from(code)
}

/// Makes a panic, on whatever thread, one line and the end of the process. A half-dead emulator helps nobody.
pub(crate) fn on_panic() {
    std::panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("panic");
        let at = info.location().map(|l| format!(" ({}:{})", l.file(), l.line())).unwrap_or_default();
        eprintln!("jib: internal error, please report it: {}{at}", text.replace('\n', " "));
        std::process::exit(INTERNAL);
    }));
}
