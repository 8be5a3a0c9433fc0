//! Guest time: the system counter behind CNTVCT_EL0 and CNTPCT_EL0.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Frequency of the system counter (CNTFRQ_EL0).
pub const COUNTER_HZ: u64 = 62_500_000;
/// Nanoseconds from one counter value to the next.
pub const NANOS_PER_TICK: u64 = 1_000_000_000 / COUNTER_HZ;
/// Shortest wait for a counter that is held.
const HELD_WAIT: Duration = Duration::from_millis(1);

/// Bit of [`Clock::pause`]: the counter is held.
const HELD: u64 = 1 << 63;

/// The system counter, running since the machine was built.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    /// Nanoseconds that passed while it was held; while it is, [`HELD`] and the nanoseconds at which it stands. One
    /// word, so that nobody sees a part of a change. A machine's clock is copied to wherever time is asked for, and
    /// lives as long as the process.
    pause: &'static AtomicU64,
}

impl Clock {
    /// Starts at zero.
    pub fn start() -> Self {
        Clock { start: Instant::now(), pause: Box::leak(Box::default()) }
    }

    /// Present counter value.
    pub fn now(&self) -> u64 {
        self.nanos() / NANOS_PER_TICK
    }

    /// Nanoseconds of guest time so far.
    pub fn nanos(&self) -> u64 {
        loop {
            let pause = self.pause.load(Ordering::Acquire);
            let nanos = self.nanos_under(pause);
            // Time and pause must belong together.
            if self.pause.load(Ordering::Acquire) == pause {
                return nanos;
            }
        }
    }

    /// Nanoseconds of guest time under `pause`.
    fn nanos_under(&self, pause: u64) -> u64 {
        if pause & HELD != 0 { pause & !HELD } else { self.elapsed().saturating_sub(pause) }
    }

    fn elapsed(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn is_held(&self) -> bool {
        self.pause.load(Ordering::Acquire) & HELD != 0
    }

    /// Stops the counter, or lets it go on from where it stood.
    pub fn hold(&self, held: bool) {
        let change = |pause: u64| {
            let stands = self.nanos_under(pause);
            (held != (pause & HELD != 0)).then(|| if held { HELD | stands } else { self.elapsed() - stands })
        };
        // An error says that it is as it should be.
        let _ = self.pause.fetch_update(Ordering::AcqRel, Ordering::Acquire, change);
    }

    /// How long until the counter reaches `deadline`; zero if it has. While the counter is held, at least
    /// [`HELD_WAIT`]: it comes no nearer.
    pub fn until(&self, deadline: u64) -> Duration {
        let left = ticks(deadline.saturating_sub(self.now()));
        if self.is_held() && !left.is_zero() { left.max(HELD_WAIT) } else { left }
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
