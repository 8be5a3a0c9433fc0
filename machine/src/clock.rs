//! Guest time: the system counter behind CNTVCT_EL0 and CNTPCT_EL0.

use std::time::{Duration, Instant};

/// Frequency of the system counter (CNTFRQ_EL0).
pub const COUNTER_HZ: u64 = 62_500_000;
const NANOS_PER_TICK: u64 = 1_000_000_000 / COUNTER_HZ;

/// The system counter, running since the machine was built.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts at zero.
    pub fn start() -> Self {
        Clock { start: Instant::now() }
    }

    /// Present counter value.
    pub fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64 / NANOS_PER_TICK
    }

    /// How long until the counter reaches `deadline`; zero if it has.
    pub fn until(&self, deadline: u64) -> Duration {
        ticks(deadline.saturating_sub(self.now()))
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
