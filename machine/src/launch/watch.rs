//! Watches the serial console's output: takes out the lines that the default guest means for the
//! host, and notices a kernel's panic.

use crate::host::Output;

/// What the console told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Input can come, on the virtio console if true, else on the serial one.
    Ready(bool),
    /// The command ended so.
    Status(u8),
    /// The kernel panicked.
    Panic,
}

/// What Linux says when it gives up.
const PANIC: &[u8] = b"Kernel panic - not syncing";
/// Longest line for the host.
const MOST: usize = 64;

/// The filter. Bytes that may be the beginning of a mark are held back until that is known.
pub(super) struct Watch<F> {
    output: Box<dyn Output>,
    tell: F,
    /// How lines for the host begin: with a byte that does not occur in it again.
    mark: Vec<u8>,
    held: Vec<u8>,
    /// How much of [`PANIC`] the last bytes are.
    panic: usize,
}

/// How a guest that knows `token` begins lines for the host.
fn mark(token: &str) -> Vec<u8> {
    format!("\x1ejib:{token} ").into_bytes()
}

impl<F: FnMut(News)> Watch<F> {
    /// Passes everything else on to `output`.
    pub(super) fn new(output: Box<dyn Output>, token: &str, tell: F) -> Self {
        Watch { output, tell, mark: mark(token), held: Vec::new(), panic: 0 }
    }

    fn byte(&mut self, byte: u8, out: &mut Vec<u8>) {
        let complete = self.held.len() >= self.mark.len();
        let expected = if complete { byte != self.mark[0] } else { byte == self.mark[self.held.len()] };
        if expected && self.held.len() < self.mark.len() + MOST {
            self.held.push(byte);
            if complete && byte == b'\n' {
                self.line();
            }
            return;
        }
        self.pass(out);
        match byte == self.mark[0] {
            true => self.held.push(byte),
            false => self.plain(byte, out),
        }
    }

    /// What was held back is no line for the host.
    fn pass(&mut self, out: &mut Vec<u8>) {
        for byte in std::mem::take(&mut self.held) {
            self.plain(byte, out);
        }
    }

    fn plain(&mut self, byte: u8, out: &mut Vec<u8>) {
        out.push(byte);
        self.panic = match byte {
            b if b == PANIC[self.panic] => self.panic + 1,
            b if b == PANIC[0] => 1,
            _ => 0,
        };
        if self.panic == PANIC.len() {
            self.panic = 0;
            (self.tell)(News::Panic);
        }
    }

    fn line(&mut self) {
        let held = std::mem::take(&mut self.held);
        let text = String::from_utf8_lossy(&held[self.mark.len()..]).into_owned();
        let mut words = text.split_whitespace();
        let news = match (words.next(), words.next()) {
            (Some("ready"), Some(console)) => Some(News::Ready(console.starts_with("hvc"))),
            (Some("status"), Some(status)) => status.parse().ok().map(News::Status),
            _ => None,
        };
        if let Some(news) = news {
            (self.tell)(news);
        }
    }
}

impl<F: FnMut(News) + Send> Output for Watch<F> {
    fn write(&mut self, bytes: &[u8]) {
        let mut out = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            self.byte(byte, &mut out);
        }
        if !out.is_empty() {
            self.output.write(&out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Capture;
    use std::sync::{Arc, Mutex};

    fn watch(pieces: &[&[u8]]) -> (Vec<u8>, Vec<News>) {
        let (out, news) = (Capture::default(), Arc::new(Mutex::new(Vec::new())));
        let told = news.clone();
        let mut watch = Watch::new(Box::new(out.clone()), "T0", move |n| told.lock().unwrap().push(n));
        pieces.iter().for_each(|piece| watch.write(piece));
        let news = news.lock().unwrap().clone();
        (out.take(), news)
    }

    #[test]
    fn marked_lines_are_taken_out() {
        let text = b"a\x1ejib:T0 ready hvc0\r\nb\x1ejib:T0 status 7\nc\x1ejib:T0 other\n\x1ejib:T0 status 256\n";
        let expected = (b"abc".to_vec(), vec![News::Ready(true), News::Status(7)]);
        assert_eq!(watch(&[text]), expected);
        let single: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(watch(&single), expected, "byte by byte");
    }

    #[test]
    fn what_only_looks_like_a_mark_passes() {
        let text = b"\x1e\x1ejib:T1 status 1\n\x1ejib:T0\n\x1ejib:T0 ready ttyAMA0\n";
        assert_eq!(watch(&[text]), (b"\x1e\x1ejib:T1 status 1\n\x1ejib:T0\n".to_vec(), vec![News::Ready(false)]));
        let mut long = b"\x1ejib:T0 ".to_vec();
        long.resize(200, b'x');
        long.push(b'\n');
        assert_eq!(watch(&[&long]), (long.clone(), vec![]));
        let twice = b"\x1ejib:T0 sta\x1ejib:T0 status 3\n";
        assert_eq!(watch(&[twice]), (b"\x1ejib:T0 sta".to_vec(), vec![News::Status(3)]));
    }

    #[test]
    fn panics_are_noticed() {
        let text = b"[ 1.0] KKernel panic - not syncing: VFS\r\n";
        assert_eq!(watch(&[text]), (text.to_vec(), vec![News::Panic]));
        assert_eq!(watch(&[b"Kernel panic"]).1, []);
    }
}
