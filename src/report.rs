//! What jib itself has to say: one line each on standard error, and the exit codes that go with it.

use std::backtrace::Backtrace;
use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::profile::symbols::Mapped;

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

/// Makes a panic, on whatever thread, a report in a file, one line that names it, and the end of the process. A
/// half-dead emulator helps nobody.
pub(crate) fn on_panic() {
    std::panic::set_hook(Box::new(|info| {
        if REPORTING.swap(true, Ordering::Relaxed) {
            // Of a panic in here, or of another thread at the same time, nothing more is to be learnt.
            jib_linux_user::exit_now(INTERNAL);
        }
        let payload = info.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("panic");
        let at = info.location().map(|l| format!(" ({}:{})", l.file(), l.line())).unwrap_or_default();
        let what = format!("{}{at}", text.replace('\n', " "));
        match write(&what) {
            Some(path) => tell(format_args!("internal error: {what}; please report it with {}", path.display())),
            None => tell(format_args!("internal error, please report it: {what}")),
        }
        jib_linux_user::exit_now(INTERNAL);
    }));
}

/// A report is being written.
static REPORTING: AtomicBool = AtomicBool::new(false);

/// Writes a report into a new file that only the user can read: among temporary files, else in the current folder.
fn write(what: &str) -> Option<PathBuf> {
    let name = format!("jib-report-{}.txt", std::process::id());
    let places = [std::env::temp_dir(), std::env::current_dir().unwrap_or_default()];
    places.iter().find_map(|dir| {
        let path = dir.join(&name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).ok()?;
        file.write_all(text(what).as_bytes()).ok()?;
        Some(path)
    })
}

/// What whoever looks for the error will want to know.
fn text(what: &str) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_string();
    let args: Vec<String> = std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect();
    let thread = std::thread::current().name().unwrap_or("of the guest").to_string();
    let mut out = format!(
        "jib {} internal error: {what}\n\ncommand: {}\nthread: {thread}\nkernel: {} {}\nhost processor: {}\n",
        env!("CARGO_PKG_VERSION"),
        args.join(" "),
        read("/proc/sys/kernel/ostype"),
        read("/proc/sys/kernel/osrelease"),
        jib_backend::host_features(),
    );
    match jib_linux_user::guest_thread() {
        Some(guest) => {
            let mut names = Mapped::default();
            names.refresh();
            for (role, address) in [("guest pc", guest.pc), ("returns to", guest.return_address)] {
                let name = names.name(address).unwrap_or_default();
                out += &format!("{role}: {address:#x} {name} {}\n", mapping(address));
            }
            out += &guest.text;
        }
        None => out += "no guest code on this thread\n",
    }
    out += &format!("\nhost stack:\n{}\n\nmappings:\n{}\n", Backtrace::force_capture(), read("/proc/self/maps"));
    out
}

/// The file that is mapped at `address`, and where in it that is.
fn mapping(address: u64) -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let hex = |s: &str| u64::from_str_radix(s, 16).unwrap_or(0);
    let line = maps.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (start, end) = fields.first()?.split_once('-')?;
        let here = (hex(start)..hex(end)).contains(&address);
        here.then(|| {
            format!("in {} at {:#x}", fields.get(5).unwrap_or(&"nothing"), address - hex(start) + hex(fields[2]))
        })
    });
    line.unwrap_or_else(|| "where nothing is mapped".into())
}
