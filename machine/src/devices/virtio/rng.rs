//! Virtio entropy source (virtio 1.2, 5.4).

use std::io::Write;

use super::VirtioDevice;
use super::queue::{Broken, QueueIo};

const ID: u32 = virtio_bindings::virtio_ids::VIRTIO_ID_RNG;
/// Most bytes given for one request; drivers ask again.
const MOST: u64 = 0x1_0000;

/// Fills a buffer with random bytes.
pub type Entropy = Box<dyn FnMut(&mut [u8]) + Send>;

/// The device.
pub struct Rng {
    entropy: Entropy,
}

impl Rng {
    /// A device that gives what `entropy` gives.
    pub fn new(entropy: Entropy) -> Self {
        Rng { entropy }
    }
}

impl VirtioDevice for Rng {
    fn id(&self) -> u32 {
        ID
    }

    fn features(&self) -> u64 {
        0
    }

    fn queue_sizes(&self) -> &'static [u16] {
        &[64]
    }

    fn config(&self) -> Vec<u8> {
        Vec::new()
    }

    fn process(&mut self, _index: usize, io: &mut QueueIo<'_>) -> Result<(), Broken> {
        while let Some(chain) = io.take()? {
            let mut bytes = vec![0; chain.writable_len().min(MOST) as usize];
            (self.entropy)(&mut bytes);
            chain.writer(io.mem()).write_all(&bytes).map_err(|_| Broken)?;
            io.complete(chain, bytes.len() as u32)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Driver;
    use super::*;

    #[test]
    fn fills_buffers_up_to_a_limit() {
        let mut d = Driver::new(Box::new(Rng::new(Box::new(|bytes| bytes.fill(7)))), 0);
        d.submit(0, &[], &[3, 2]);
        assert_eq!((d.reap(0), d.written()), (Some((0, 5)), vec![vec![7; 3], vec![7; 2]]));
        d.submit(0, &[], &[0x2_0000]);
        assert_eq!(d.reap(0), Some((0, 0x1_0000)));
        d.submit(0, &[b"only readable"], &[]);
        assert_eq!(d.reap(0), Some((0, 0)));
    }
}
