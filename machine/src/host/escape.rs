//! The escape key of the console: Ctrl-A and a letter are for us, everything else for the guest.

/// What the user asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// These bytes are the guest's input.
    Input(u8),
    /// Leave the machine.
    Exit,
    /// Show what the escape key can do.
    Help,
    /// Send a break (magic SysRq).
    Break,
    /// Press the power key.
    Power,
}

/// Ctrl-A
const ESCAPE: u8 = 0x01;

/// What Ctrl-A h shows.
pub const HELP: &str = "\r\n\
    Ctrl-A x  leave\r\n\
    Ctrl-A p  press the power key\r\n\
    Ctrl-A b  send a break (magic SysRq)\r\n\
    Ctrl-A a  send Ctrl-A\r\n\
    Ctrl-A h  this help\r\n";

/// Splits typed bytes into actions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Escape {
    pending: bool,
}

impl Escape {
    /// Takes one byte; `None` while the letter after Ctrl-A is still to come.
    pub fn feed(&mut self, byte: u8) -> Option<Action> {
        if !self.pending {
            self.pending = byte == ESCAPE;
            return (byte != ESCAPE).then_some(Action::Input(byte));
        }
        self.pending = false;
        Some(match byte {
            b'x' | b'X' => Action::Exit,
            b'h' | b'H' | b'?' => Action::Help,
            b'b' | b'B' => Action::Break,
            b'p' | b'P' => Action::Power,
            b'a' | b'A' | ESCAPE => Action::Input(ESCAPE),
            other => Action::Input(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_after_the_escape_key() {
        let mut e = Escape::default();
        let mut feed = |bytes: &[u8]| bytes.iter().filter_map(|byte| e.feed(*byte)).collect::<Vec<_>>();
        assert_eq!(feed(b"a\r"), [Action::Input(b'a'), Action::Input(b'\r')]);
        assert_eq!(feed(b"\x01x\x01h\x01b\x01p"), [Action::Exit, Action::Help, Action::Break, Action::Power]);
        assert_eq!(feed(b"\x01\x01\x01a\x01q"), [Action::Input(1), Action::Input(1), Action::Input(b'q')]);
        assert_eq!(feed(b"\x01"), []);
        assert_eq!(feed(b"x"), [Action::Exit], "across reads");
    }
}
