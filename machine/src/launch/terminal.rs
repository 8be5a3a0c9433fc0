//! The user's terminal in raw mode while the guest has it, and back whatever happens: at the end, in
//! a panic (even one whose hook ends the process), and when a signal ends us.

use std::io;
use std::os::fd::AsFd;
use std::panic;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::host::terminal::RawMode;

/// The terminal that is raw now. Global, because panic hooks and signals are.
static RAW: Mutex<Option<RawMode>> = Mutex::new(None);
static HOOK: Once = Once::new();

fn raw() -> MutexGuard<'static, Option<RawMode>> {
    RAW.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts the terminal back. May be called at any time, any number of times.
pub(super) fn restore() {
    drop(raw().take());
}

/// Restores the terminal when dropped.
pub(super) struct Guard(());

impl Drop for Guard {
    fn drop(&mut self) {
        restore();
    }
}

/// Makes `terminal` raw if it is one.
pub(super) fn take(terminal: impl AsFd) -> io::Result<Guard> {
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            restore();
            before(info);
        }));
    });
    *raw() = RawMode::enter(terminal)?;
    Ok(Guard(()))
}

/// Calls `ended` with the first signal that asks us to end.
pub(super) fn on_signal(ended: impl FnOnce(i32) + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM])?;
    let wait = move || {
        if let Some(signal) = signals.forever().next() {
            restore();
            ended(signal);
        }
    };
    std::thread::Builder::new().name("signals".to_string()).spawn(wait).map(drop)
}

/// Ends the process as the signal would have; comes back only if that is not possible.
pub(super) fn die_of(signal: i32) {
    restore();
    // There is no better way left if this one fails.
    let _ = signal_hook::low_level::emulate_default_handler(signal);
}
