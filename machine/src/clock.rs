//! Guest time: the system counter behind CNTVCT_EL0 and CNTPCT_EL0.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Frequency of the system counter (CNTFRQ_EL0).
pub const COUNTER_HZ: u64 = 62_500_000;
const NANOS_PER_TICK: u64 = 1_000_000_000 / COUNTER_HZ;
/// Shortest wait for a counter that is held.
const HELD_WAIT: Duration = Duration::from_millis(1);

/// The system counter, running since the machine was built.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    /// A machine's clock is copied to wherever time is asked for, and lives as long as the process.
    pause: &'static Pause,
}

/// Time during which the guest was held.
#[derive(Debug, Default)]
struct Pause {
    /// Nanoseconds that the guest does not know of.
    lost: AtomicU64,
    /// Plus one, nanoseconds at which it was stopped; 0 while it runs.
    since: AtomicU64,
    changing: Mutex<()>,
}

impl Clock {
    /// Starts at zero.
    pub fn start() -> Self {
        Clock { start: Instant::now(), pause: Box::leak(Box::default()) }
    }

    /// Present counter value.
    pub fn now(&self) -> u64 {
        let elapsed = match self.pause.since.load(Ordering::Acquire) {
            0 => self.elapsed(),
            since => since - 1,
        };
        elapsed.saturating_sub(self.pause.lost.load(Ordering::Acquire)) / NANOS_PER_TICK
    }

    fn elapsed(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// Stops the counter, or lets it go on from where it stood.
    pub fn hold(&self, held: bool) {
        let _changing = self.pause.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, since) = (self.elapsed(), self.pause.since.load(Ordering::Acquire));
        match (held, since) {
            (true, 0) => self.pause.since.store(now + 1, Ordering::Release),
            (false, 1..) => {
                self.pause.lost.fetch_add(now - (since - 1), Ordering::AcqRel);
                self.pause.since.store(0, Ordering::Release);
            }
            _ => {}
        }
    }

    /// How long until the counter reaches `deadline`; zero if it has. While the counter is held, at least
    /// [`HELD_WAIT`]: it comes no nearer.
    pub fn until(&self, deadline: u64) -> Duration {
        let left = ticks(deadline.saturating_sub(self.now()));
        let held = self.pause.since.load(Ordering::Acquire) != 0;
        if held && !left.is_zero() { left.max(HELD_WAIT) } else { left }
    }
}

/// How long `count` counter ticks take.
pub fn ticks(count: u64) -> Duration {
    Duration::from_nanos(count.saturating_mul(NANOS_PER_TICK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_is_held_does_not_pass() {
        let clock = Clock::start();
        clock.hold(true);
        let before = clock.now();
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(clock.now(), before);
        assert_eq!((clock.until(before), clock.until(before + 1)), (Duration::ZERO, HELD_WAIT));
        clock.hold(true);
        clock.hold(false);
        clock.hold(false);
        let after = clock.now() - before;
        assert!(after < COUNTER_HZ / 50, "{after}");
        std::thread::sleep(Duration::from_millis(5));
        assert!(clock.now() - before >= COUNTER_HZ / 200);
    }

    #[test]
    fn runs_forward_at_its_frequency() {
        let clock = Clock::start();
        let before = clock.now();
        std::thread::sleep(Duration::from_millis(5));
        let passed = clock.now() - before;
        assert!(passed >= COUNTER_HZ / 200, "{passed}");
        assert_eq!(ticks(COUNTER_HZ), Duration::from_secs(1));
        assert_eq!(clock.until(0), Duration::ZERO);
        assert!(clock.until(u64::MAX) > Duration::from_secs(500));
    }
}
