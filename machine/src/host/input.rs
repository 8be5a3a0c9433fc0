//! Bytes on their way from the host into a guest's console: bounded, so that a paste or a pipe
//! waits for the guest instead of being lost.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A bounded byte queue between a host thread and a device.
#[derive(Debug)]
pub struct InputQueue {
    state: Mutex<State>,
    room: Condvar,
    news: Condvar,
    capacity: usize,
}

#[derive(Debug, Default)]
struct State {
    bytes: VecDeque<u8>,
    closed: bool,
}

impl InputQueue {
    /// A queue that holds `capacity` bytes.
    pub fn new(capacity: usize) -> Self {
        InputQueue { state: Mutex::default(), room: Condvar::new(), news: Condvar::new(), capacity: capacity.max(1) }
    }

    /// Appends as many of `bytes` as fit now and returns how many did, waiting for room for the
    /// first one. Zero means that the queue was closed.
    pub fn push(&self, bytes: &[u8]) -> usize {
        let mut state = self.lock();
        while !state.closed && state.bytes.len() >= self.capacity {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return 0;
        }
        let count = bytes.len().min(self.capacity - state.bytes.len());
        state.bytes.extend(&bytes[..count]);
        self.news.notify_one();
        count
    }

    /// Removes up to `most` bytes; empty if there are none.
    pub fn pop(&self, most: usize) -> Vec<u8> {
        let mut state = self.lock();
        let count = most.min(state.bytes.len());
        if count == 0 {
            return Vec::new();
        }
        self.room.notify_one();
        state.bytes.drain(..count).collect()
    }

    /// Like [`InputQueue::pop`], but waits for a first byte. Empty means that the queue was closed.
    pub fn wait_pop(&self, most: usize) -> Vec<u8> {
        let waiting = |state: &mut State| state.bytes.is_empty() && !state.closed;
        drop(self.news.wait_while(self.lock(), waiting).unwrap_or_else(PoisonError::into_inner));
        self.pop(most)
    }

    /// True if nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lock().bytes.is_empty()
    }

    /// Ends the queue: pushers give up, what is queued stays.
    pub fn close(&self) {
        self.lock().closed = true;
        self.room.notify_all();
        self.news.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for InputQueue {
    fn default() -> Self {
        InputQueue::new(4096)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_full_queue_makes_the_pusher_wait() {
        let queue = Arc::new(InputQueue::new(4));
        assert_eq!(queue.push(b"abcdef"), 4);
        let pusher = queue.clone();
        let thread = std::thread::spawn(move || pusher.push(b"ef"));
        assert_eq!(queue.pop(3), b"abc");
        assert_eq!(thread.join().unwrap(), 2);
        assert_eq!(queue.pop(9), b"def");
        assert!(queue.is_empty() && queue.pop(9).is_empty());
    }

    #[test]
    fn closing_frees_the_pusher() {
        let queue = Arc::new(InputQueue::new(1));
        queue.push(b"a");
        let pusher = queue.clone();
        let thread = std::thread::spawn(move || pusher.push(b"b"));
        queue.close();
        assert_eq!(thread.join().unwrap(), 0);
        assert_eq!(queue.pop(1), b"a");
    }
}
