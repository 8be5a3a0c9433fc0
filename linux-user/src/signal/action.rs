//! Signal dispositions: what the guest asked for, and what the host is told.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{NSIG, SYNCHRONOUS, bit, host};

/// `SIG_DFL`
pub(crate) const DEFAULT: u64 = 0;
/// `SIG_IGN`
pub(crate) const IGNORE: u64 = 1;
/// `SA_RESTORER`
pub(crate) const SA_RESTORER: u64 = 0x0400_0000;

/// `struct sigaction` as the kernel takes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Action {
    /// Handler address, [`DEFAULT`] or [`IGNORE`].
    pub handler: u64,
    /// `SA_*`
    pub flags: u64,
    /// Return trampoline, if `SA_RESTORER`.
    pub restorer: u64,
    /// Signals blocked while the handler runs.
    pub mask: u64,
}

impl Action {
    /// From the bytes in guest memory.
    pub(crate) fn from_bytes(b: &[u8; 32]) -> Action {
        let word = |i: usize| u64::from_le_bytes(std::array::from_fn(|k| b[8 * i + k]));
        Action { handler: word(0), flags: word(1), restorer: word(2), mask: word(3) }
    }

    /// To the bytes in guest memory.
    pub(crate) fn to_bytes(self) -> [u8; 32] {
        let mut b = [0; 32];
        for (i, w) in [self.handler, self.flags, self.restorer, self.mask].into_iter().enumerate() {
            b[8 * i..8 * i + 8].copy_from_slice(&w.to_le_bytes());
        }
        b
    }

    /// Is there a guest function to call?
    pub(crate) fn is_handler(&self) -> bool {
        self.handler > IGNORE
    }
}

/// What happens to a signal that nobody handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DefaultAction {
    /// Nothing.
    Ignore,
    /// The process stops.
    Stop,
    /// The process dies.
    Terminate,
}

/// The default action of a signal.
pub(crate) fn default_action(signal: i32) -> DefaultAction {
    match signal {
        libc::SIGCHLD | libc::SIGURG | libc::SIGWINCH | libc::SIGCONT => DefaultAction::Ignore,
        libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => DefaultAction::Stop,
        _ => DefaultAction::Terminate,
    }
}

/// Does a process that dies of `signal` leave a core?
pub(crate) fn leaves_core(signal: i32) -> bool {
    matches!(
        signal,
        libc::SIGQUIT
            | libc::SIGILL
            | libc::SIGTRAP
            | libc::SIGABRT
            | libc::SIGBUS
            | libc::SIGFPE
            | libc::SIGSEGV
            | libc::SIGXCPU
            | libc::SIGXFSZ
            | libc::SIGSYS
    )
}

/// The dispositions of one process, shared by its threads.
#[derive(Debug)]
pub(crate) struct Actions {
    table: Mutex<[Action; NSIG]>,
}

impl Clone for Actions {
    fn clone(&self) -> Actions {
        Actions { table: Mutex::new(*self.lock()) }
    }
}

impl Actions {
    /// As inherited from whoever started us.
    pub(crate) fn inherited() -> Actions {
        let mut table = [Action::default(); NSIG];
        for signal in 1..=NSIG as i32 {
            if host::inherited_ignore(signal) {
                table[signal as usize - 1].handler = IGNORE;
                if bit(signal) & SYNCHRONOUS == 0 {
                    host::set_disposition(signal, &table[signal as usize - 1]);
                }
            }
        }
        if table[libc::SIGPIPE as usize - 1].handler == DEFAULT {
            host::set_disposition(libc::SIGPIPE, &Action::default());
        }
        Actions { table: Mutex::new(table) }
    }

    /// Locks the table (also around `fork`).
    pub(crate) fn lock(&self) -> MutexGuard<'_, [Action; NSIG]> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disposition of `signal`.
    pub(crate) fn get(&self, signal: i32) -> Action {
        self.lock()[(signal as usize - 1) % NSIG]
    }

    /// Sets the disposition of `signal`, on the host too; returns the old one.
    pub(crate) fn set(&self, signal: i32, action: Action) -> Action {
        let mut table = self.lock();
        let old = std::mem::replace(&mut table[(signal as usize - 1) % NSIG], action);
        if bit(signal) & SYNCHRONOUS == 0 {
            host::set_disposition(signal, &action);
        }
        old
    }

    /// For `CLONE_CLEAR_SIGHAND`: every handler goes back to the default.
    pub(crate) fn clear_handlers(&self) {
        for signal in 1..=NSIG as i32 {
            if self.get(signal).is_handler() {
                self.set(signal, Action::default());
            }
        }
    }
}
