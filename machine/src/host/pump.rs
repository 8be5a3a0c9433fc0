//! Threads that wait for the host and feed devices.

use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::escape::{Action, Escape};
use super::input::InputQueue;
use crate::net::ready::Ready;

/// Feeds a network device as long as it lives.
#[derive(Debug)]
pub struct NetPump {
    stop: Arc<AtomicBool>,
    ready: Arc<Ready>,
    thread: Option<JoinHandle<()>>,
}

impl NetPump {
    /// Calls `service` whenever `ready` says that there may be frames for the guest.
    pub fn start(ready: Arc<Ready>, mut service: impl FnMut() + Send + 'static) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, waiting) = (stop.clone(), ready.clone());
        let run = move || {
            while !stopped.load(Ordering::Acquire) {
                waiting.wait();
                service();
            }
        };
        let thread = std::thread::Builder::new().name("net".to_string()).spawn(run)?;
        Ok(NetPump { stop, ready, thread: Some(thread) })
    }
}

impl Drop for NetPump {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.ready.news();
        if let Some(thread) = self.thread.take() {
            // A panic there was reported there.
            let _ = thread.join();
        }
    }
}

/// Reads the user's input to its end: the guest's part goes to `queue` (waiting while it is full),
/// followed by a call of `arrived`; everything else to `action`, which returns false to stop. With no
/// `escape` every byte is the guest's.
pub fn pump_input(
    mut from: impl Read,
    mut escape: Option<Escape>,
    queue: &InputQueue,
    mut arrived: impl FnMut(),
    mut action: impl FnMut(Action) -> bool,
) {
    let mut buffer = [0; 1024];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => count,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let mut bytes = Vec::with_capacity(count);
        for &byte in &buffer[..count] {
            match escape.as_mut().map_or(Some(Action::Input(byte)), |escape| escape.feed(byte)) {
                Some(Action::Input(byte)) => bytes.push(byte),
                Some(other) if !action(other) => return,
                _ => {}
            }
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            match queue.push(rest) {
                0 => return,
                pushed => rest = &rest[pushed..],
            }
            arrived();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn input_is_split_and_waits_for_room() {
        let queue = Arc::new(InputQueue::new(3));
        let (source, mut actions) = (b"abcde\x01hfg\x01xnever".as_slice(), Vec::new());
        let drain = queue.clone();
        let got = std::thread::spawn(move || {
            let mut got = Vec::new();
            while got.len() < 5 {
                got.extend(drain.pop(2));
            }
            got
        });
        let first = &source[..5];
        pump_input(first, Some(Escape::default()), &queue, || {}, |_| true);
        assert_eq!(got.join().unwrap(), b"abcde");
        pump_input(
            &source[5..],
            Some(Escape::default()),
            &queue,
            || {},
            |a| {
                actions.push(a);
                a != Action::Exit
            },
        );
        assert_eq!(actions, [Action::Help, Action::Exit]);
        assert!(queue.is_empty(), "what came with the exit is moot");
        pump_input(&b"\x01x"[..], None, &queue, || {}, |_| true);
        assert_eq!(queue.pop(9), b"\x01x");
    }

    #[test]
    fn the_net_thread_runs_and_stops() {
        let ready = Arc::new(Ready::new().unwrap());
        let count = Arc::new(AtomicU32::new(0));
        let served = count.clone();
        let pump = NetPump::start(ready.clone(), move || {
            served.fetch_add(1, Ordering::Relaxed);
        });
        ready.news();
        while count.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        drop(pump);
    }
}
