//! What jib itself has to say: one line each on standard error, and the exit codes that go with it.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

/// The program was found but cannot be run; as shells have it.
pub(crate) const CANNOT_RUN: u8 = 126;
/// The program was not found; as shells have it.
pub(crate) const NOT_FOUND: u8 = 127;
/// The command line makes no sense.
pub(crate) const USAGE: u8 = 2;
/// A bug of ours.
pub(crate) const INTERNAL: i32 = 70;

/// Says something on standard error. If that is closed, nobody wants to know.
pub(crate) fn tell(what: impl Display) {
    let _ = std::io::stderr().write_all(format!("jib: {what}\n").as_bytes());
}

/// Prints what was asked for, and the end of its last line. A closed pipe is the reader's choice.
pub(crate) fn print(text: impl Display) {
    let _ = std::io::stdout().write_all(format!("{text}\n").as_bytes());
}

/// Says why nothing was run and gives the exit code.
pub(crate) fn fail(code: u8, why: impl Display) -> ExitCode {
    tell(why);
    ExitCode::from(code)
}

/// Makes a panic, on whatever thread, one line and the end of the process. A half-dead emulator helps nobody.
pub(crate) fn on_panic() {
    std::panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("panic");
        let at = info.location().map(|l| format!(" ({}:{})", l.file(), l.line())).unwrap_or_default();
        tell(format_args!("internal error, please report it: {}{at}", text.replace('\n', " ")));
        std::process::exit(INTERNAL);
    }));
}
