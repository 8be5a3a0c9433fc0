//! Waiting for the host's sockets: one descriptor to sleep on, and which sockets woke it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, epoll, eventfd, poll};

/// What happened to a watched socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The number it was watched under.
    pub id: u64,
    /// Data, a connection, or an end can be read.
    pub readable: bool,
    /// There is room to write, or a connection attempt ended.
    pub writable: bool,
}

/// The sockets of one network. One thread sleeps in [`Ready::wait`]; whoever has the network takes
/// the events.
#[derive(Debug)]
pub struct Ready {
    epoll: OwnedFd,
    news: OwnedFd,
    start: Instant,
    /// Milliseconds since `start` at which the network wants to run; `u64::MAX` for never.
    deadline: AtomicU64,
}

/// Longest sleep.
const IDLE: Duration = Duration::from_secs(1);

impl Ready {
    /// Nothing watched yet.
    pub fn new() -> io::Result<Self> {
        Ok(Ready {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            news: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            start: Instant::now(),
            deadline: AtomicU64::new(u64::MAX),
        })
    }

    /// Watches `socket`, reporting changes only (each event is to be used until it would block).
    /// Closing the socket ends it.
    pub fn watch(&self, socket: impl AsFd, id: u64) -> io::Result<()> {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        Ok(epoll::add(&self.epoll, socket, epoll::EventData::new_u64(id), flags)?)
    }

    /// Takes what happened so far.
    pub fn take(&self) -> Vec<Event> {
        use epoll::EventFlags as F;
        let mut events = Vec::with_capacity(64);
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&now)).is_err() {
            return Vec::new();
        }
        let event = |event: epoll::Event| {
            let flags = event.flags;
            Event {
                id: event.data.u64(),
                readable: flags.intersects(F::IN | F::HUP | F::ERR),
                writable: flags.intersects(F::OUT | F::HUP | F::ERR),
            }
        };
        events.into_iter().map(event).collect()
    }

    /// Wakes [`Ready::wait`].
    pub fn news(&self) {
        // A full counter is as good as a new count.
        let _ = rustix::io::write(&self.news, &1u64.to_ne_bytes());
    }

    /// Milliseconds since this was made.
    pub fn now_millis(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// When the network wants to run even if nothing happens (in the time of [`Ready::now_millis`]).
    pub fn set_deadline(&self, at: Option<u64>) {
        self.deadline.store(at.unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Sleeps until a socket is ready, there is news, the deadline has come, or a second has passed.
    pub fn wait(&self) {
        let left = self.deadline.load(Ordering::Acquire).saturating_sub(self.now_millis());
        let sleep = Duration::from_millis(left).min(IDLE);
        let sleep = Timespec { tv_sec: sleep.as_secs() as i64, tv_nsec: i64::from(sleep.subsec_nanos()) };
        let mut fds = [PollFd::new(&self.epoll, PollFlags::IN), PollFd::new(&self.news, PollFlags::IN)];
        // Interrupted is as good as woken.
        let _ = poll(&mut fds, Some(&sleep));
        let _ = rustix::io::read(&self.news, &mut [0; 8]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn events_come_once() {
        let ready = Ready::new().unwrap();
        let (a, b) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        ready.watch(&a, 7).unwrap();
        assert_eq!(ready.take(), [Event { id: 7, readable: false, writable: true }]);
        assert!(ready.take().is_empty());
        b.send_to(b"x", a.local_addr().unwrap()).unwrap();
        ready.wait();
        assert!(ready.take()[0].readable);
        assert!(ready.take().is_empty());
    }

    #[test]
    fn news_and_deadlines_end_the_wait() {
        let ready = Ready::new().unwrap();
        let start = Instant::now();
        ready.news();
        ready.wait();
        ready.set_deadline(Some(ready.now_millis() + 20));
        ready.wait();
        let passed = start.elapsed();
        assert!(passed >= Duration::from_millis(15) && passed < Duration::from_millis(900), "{passed:?}");
    }
}
