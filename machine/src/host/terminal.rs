//! The host's terminal in raw mode, restored when the guard goes.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

/// Keeps a terminal raw: every key goes to the guest, Ctrl-C too. Dropping it restores the terminal,
/// in a panic as well; call [`RawMode::restore`] before leaving by other ways.
#[derive(Debug)]
pub struct RawMode {
    terminal: OwnedFd,
    before: Termios,
}

impl RawMode {
    /// Makes `terminal` raw; `None` if it is no terminal.
    pub fn enter(terminal: impl AsFd) -> io::Result<Option<Self>> {
        if !isatty(&terminal) {
            return Ok(None);
        }
        let before = tcgetattr(&terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        // Messages of ours keep their line ends.
        raw.output_modes = before.output_modes;
        let terminal = terminal.as_fd().try_clone_to_owned()?;
        tcsetattr(&terminal, OptionalActions::Now, &raw)?;
        Ok(Some(RawMode { terminal, before }))
    }

    /// Puts the terminal back as it was.
    pub fn restore(&self) {
        // There is nothing to be done about a terminal that went away.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        self.restore();
    }
}

/// Columns and rows of a terminal; 80 by 25 if it does not say.
pub fn size(terminal: impl AsFd) -> (u16, u16) {
    match tcgetwinsize(terminal) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        _ => (80, 25),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, OFlags, open};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::LocalModes;

    #[test]
    fn raw_while_the_guard_lives() {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = open(&*name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let canonical = || tcgetattr(&slave).unwrap().local_modes.contains(LocalModes::ICANON);
        assert!(canonical());
        let guard = RawMode::enter(&slave).unwrap();
        assert!(guard.is_some() && !canonical());
        drop(guard);
        assert!(canonical());
        assert_eq!(size(&slave), (80, 25));
    }

    #[test]
    fn a_file_is_no_terminal() {
        assert!(RawMode::enter(tempfile::tempfile().unwrap()).unwrap().is_none());
    }
}
