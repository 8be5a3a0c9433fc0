//! The guest's standard streams: where they lead, and how input that is no terminal is passed.

use std::io::{self, Read};

use crate::host::Output;

/// Which streams are terminals on the host.
#[derive(Clone, Copy, Debug)]
pub struct Terminals {
    /// Standard input.
    pub input: bool,
    /// Standard output.
    pub output: bool,
    /// Standard error.
    pub errors: bool,
    /// Columns and rows.
    pub size: (u16, u16),
}

impl Default for Terminals {
    /// None is.
    fn default() -> Self {
        Terminals { input: false, output: false, errors: false, size: (80, 25) }
    }
}

/// The user's side of the consoles.
pub struct Streams {
    /// Read to its end, if it has one.
    pub input: Box<dyn Read + Send>,
    /// The console, or the command's standard output.
    pub output: Box<dyn Output>,
    /// The command's standard error and the kernel's messages; unused without a command.
    pub errors: Box<dyn Output>,
    /// Which of them are terminals.
    pub terminals: Terminals,
}

/// The terminal's characters for "the next one literally" and "end of file".
const LITERAL: u8 = 0x16;
const END: u8 = 0x04;
const DELETE: u8 = 0x7f;
/// Bytes of a line after which it is passed on in part: terminals hold no more than 4096.
const PART: usize = 1024;

/// Input written so that a terminal in canonical mode gives its reader exactly these bytes, and then
/// the end of file.
pub(super) struct Typed<R> {
    from: R,
    ready: Vec<u8>,
    /// Bytes of the line so far.
    column: usize,
    ended: bool,
}

impl<R: Read> Typed<R> {
    pub(super) fn new(from: R) -> Self {
        Typed { from, ready: Vec::new(), column: 0, ended: false }
    }

    fn byte(&mut self, byte: u8) {
        let special = byte < b' ' && byte != b'\n' && byte != b'\t' || byte == DELETE;
        if special {
            self.ready.push(LITERAL);
        }
        self.ready.push(byte);
        self.column = if byte == b'\n' { 0 } else { self.column + 1 };
        if self.column >= PART {
            self.ready.push(END);
            self.column = 0;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut buffer = [0; 512];
        let count = self.from.read(&mut buffer)?;
        buffer[..count].iter().for_each(|&byte| self.byte(byte));
        if count == 0 {
            self.ended = true;
            // In the middle of a line the first one only ends the line.
            self.ready.extend_from_slice(if self.column > 0 { &[END, END] } else { &[END] });
        }
        Ok(())
    }
}

impl<R: Read> Read for Typed<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.ready.is_empty() && !self.ended {
            self.fill()?;
        }
        let count = out.len().min(self.ready.len());
        out[..count].copy_from_slice(&self.ready[..count]);
        self.ready.drain(..count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Typed::new(bytes).read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn special_bytes_are_quoted_and_the_end_is_said() {
        assert_eq!(typed(b""), b"\x04");
        assert_eq!(typed(b"a\tb\n"), b"a\tb\n\x04");
        assert_eq!(typed(b"\x04\x7f\x00"), b"\x16\x04\x16\x7f\x16\x00\x04\x04");
        let long = typed(&[b'x'; 1500]);
        assert_eq!((long.len(), long[1024], &long[1501..]), (1503, END, &[END, END][..]));
    }
}
