//! Virtio 1.2 devices on the memory-mapped transport.
//!
//! [`mmio`] is the transport, [`queue`] takes descriptor chains apart with every check, and a device
//! is a [`VirtioDevice`]: what it is, its configuration, and what it does with chains. A driver that
//! breaks the rules gets DEVICE_NEEDS_RESET, nothing worse.

pub mod blk;
pub mod console;
pub mod mmio;
pub mod net;
pub mod p9;
pub mod queue;
pub mod rng;
#[cfg(test)]
mod testing;

use queue::{Broken, QueueIo};

/// A virtio device without its transport.
pub trait VirtioDevice: Send {
    /// Device type (virtio 1.2, 5).
    fn id(&self) -> u32;
    /// Feature bits of this type of device; the transport adds its own.
    fn features(&self) -> u64;
    /// Largest size of each queue.
    fn queue_sizes(&self) -> &'static [u16];
    /// The configuration space.
    fn config(&self) -> Vec<u8>;
    /// The driver wrote to the configuration space.
    fn write_config(&mut self, offset: usize, bytes: &[u8]) {
        let _ = (offset, bytes);
    }
    /// Does what can be done now with what is in queue `index`.
    fn process(&mut self, index: usize, io: &mut QueueIo<'_>) -> Result<(), Broken>;
    /// Forgets what the driver set up.
    fn reset(&mut self) {}
}
