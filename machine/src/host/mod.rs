//! The world outside the guest, behind small traits: terminal, files, the waiting for them.

pub mod disk;
pub mod escape;
pub mod input;
pub mod pump;
pub mod terminal;

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// 64 random bits, or `None` if the host has none to give.
pub fn entropy() -> Option<u64> {
    let mut bytes = [0; 8];
    let n = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).ok()?;
    (n == bytes.len()).then(|| u64::from_ne_bytes(bytes))
}

/// Nanoseconds that the calling thread was ready to run while others ran; `None` if the host does not tell.
pub fn waited() -> Option<u64> {
    // Time on a CPU, time waiting for one, number of times (Linux Documentation/scheduler/sched-stats.rst).
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Where a console's output goes.
pub trait Output: Send {
    /// Writes all of `bytes`; what cannot be written is lost.
    fn write(&mut self, bytes: &[u8]);
}

/// Output to any writer, flushed each time: a terminal, a file, a pipe.
pub struct Stream<W: Write + Send>(pub W);

impl<W: Write + Send> Output for Stream<W> {
    fn write(&mut self, bytes: &[u8]) {
        // A reader that went away must not stop the guest.
        let _ = self.0.write_all(bytes).and_then(|()| self.0.flush());
    }
}

/// Output kept in memory; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Capture(Arc<Mutex<Vec<u8>>>);

impl Capture {
    /// What was written since the last call.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Output for Capture {
    fn write(&mut self, bytes: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
    }
}
