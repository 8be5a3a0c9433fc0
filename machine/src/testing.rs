//! Shared by the unit tests: a seeded generator and a driver that hammers a device at random.

use crate::device::{Device, Size};

/// SplitMix64: small, seeded, good enough to reach odd states.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Rng(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A value with few or many bits set, or one near zero.
    pub(crate) fn value(&mut self) -> u64 {
        match self.below(4) {
            0 => self.below(16),
            1 => 1 << self.below(64),
            2 => self.next() & self.next() & self.next(),
            _ => self.next(),
        }
    }
}

/// 100,000 random accesses of every size inside `window`, with some at awkward offsets; `between`
/// runs after each so that tests can add stimuli and check invariants.
pub(crate) fn hammer<D: Device>(device: &mut D, window: u64, seed: u64, mut between: impl FnMut(&mut D, &mut Rng)) {
    let mut rng = Rng::new(seed);
    for _ in 0..100_000 {
        let size = Size::ALL[rng.below(4) as usize];
        let offset = match rng.below(8) {
            0 => rng.below(window),
            1 => rng.below(0x100) & !3,
            _ => rng.below(window) & !3,
        };
        let cpu = rng.below(4) as usize;
        if rng.below(2) == 0 {
            device.read_by(cpu, offset, size);
        } else {
            let value = rng.value();
            device.write_by(cpu, offset, size, value);
        }
        if rng.below(5000) == 0 {
            device.reset();
        }
        between(device, &mut rng);
    }
}
