//! Stolen time (Arm DEN0057): a structure per CPU that tells how long it was kept from running.

use std::time::{Duration, Instant};

use crate::device::{Device, Size};

/// Bytes of a CPU's structure.
pub const STRIDE: u64 = 64;
/// How long what was found out is good enough.
const FRESH: Duration = Duration::from_millis(1);

/// Nanoseconds that the calling thread was ready to run and did not; `None` if the host does not tell.
pub type Waited = Box<dyn Fn() -> Option<u64> + Send>;

/// The structures of all CPUs. Each CPU's own is brought up to date when that CPU reads it.
pub struct StolenTime {
    waited: Waited,
    cpus: Vec<(u64, Option<Instant>)>,
}

impl StolenTime {
    /// For so many CPUs, whose threads ask `waited`.
    pub fn new(cpus: usize, waited: Waited) -> StolenTime {
        StolenTime { waited, cpus: vec![(0, None); cpus] }
    }

    fn refresh(&mut self, cpu: usize) {
        let Some((nanos, at)) = self.cpus.get_mut(cpu) else { return };
        if at.is_none_or(|at| at.elapsed() >= FRESH) {
            *nanos = (self.waited)().unwrap_or(*nanos);
            *at = Some(Instant::now());
        }
    }
}

impl Device for StolenTime {
    fn read(&mut self, offset: u64, size: Size) -> u64 {
        let Some((nanos, _)) = self.cpus.get((offset / STRIDE) as usize) else { return 0 };
        // Revision and attributes are zero; then the time.
        let bytes = nanos.to_le_bytes();
        let at = offset % STRIDE;
        let shown = (at..at + size.bytes()).map(|i| i.checked_sub(8).and_then(|i| bytes.get(i as usize)).copied());
        shown.rev().fold(0, |v, byte| v << 8 | u64::from(byte.unwrap_or(0)))
    }

    fn write(&mut self, _offset: u64, _size: Size, _value: u64) {}

    fn reset(&mut self) {
        self.cpus.fill((0, None));
    }

    fn read_by(&mut self, cpu: usize, offset: u64, size: Size) -> u64 {
        if offset / STRIDE == cpu as u64 {
            self.refresh(cpu);
        }
        self.read(offset, size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hammer;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn a_cpu_asks_for_itself() {
        let time = Arc::new(AtomicU64::new(0x1122_3344_5566_7788));
        let host = time.clone();
        let mut s = StolenTime::new(2, Box::new(move || Some(host.load(Ordering::Relaxed))));
        assert_eq!(s.read_by(0, STRIDE + 8, Size::B8), 0, "that is the other one's");
        assert_eq!(s.read_by(1, STRIDE + 8, Size::B8), 0x1122_3344_5566_7788);
        assert_eq!(s.read_by(0, STRIDE + 8, Size::B8), 0x1122_3344_5566_7788);
        assert_eq!((s.read_by(1, STRIDE, Size::B8), s.read_by(1, STRIDE + 12, Size::B4)), (0, 0x1122_3344));
        time.store(0x1122_3344_5566_7799, Ordering::Relaxed);
        std::thread::sleep(FRESH);
        assert_eq!(s.read_by(1, STRIDE + 8, Size::B1), 0x99);
        s.reset();
        assert_eq!(s.read(STRIDE + 8, Size::B8), 0);
    }

    #[test]
    fn random_accesses() {
        hammer(&mut StolenTime::new(2, Box::new(|| None)), 4 * STRIDE, 51, |_, _| {});
    }
}
