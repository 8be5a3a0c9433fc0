//! Physical addresses to devices. Built once, then frozen: finding a device takes no lock.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::device::{Device, Size};

/// A device shared between the bus and the host side that feeds it.
pub type Shared<D> = Arc<Mutex<D>>;

/// Locks a device. A panic elsewhere must not take the guest's devices with it.
pub fn lock<D: ?Sized>(device: &Mutex<D>) -> MutexGuard<'_, D> {
    device.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Slot {
    range: Range<u64>,
    name: String,
    device: Shared<dyn Device>,
}

/// Collects ranges for a [`Bus`].
#[derive(Default)]
pub struct BusBuilder {
    slots: Vec<Slot>,
}

impl BusBuilder {
    /// Maps `device` at `base` for `len` bytes.
    pub fn map(mut self, name: &str, base: u64, len: u64, device: Shared<dyn Device>) -> Self {
        self.slots.push(Slot { range: base..base.saturating_add(len), name: name.to_string(), device });
        self
    }

    /// Freezes the bus; two devices at one address are an error.
    pub fn build(mut self) -> Result<Bus, Overlap> {
        self.slots.sort_by_key(|slot| slot.range.start);
        for pair in self.slots.windows(2) {
            if pair[0].range.end > pair[1].range.start {
                return Err(Overlap(pair[0].name.clone(), pair[1].name.clone()));
            }
        }
        Ok(Bus { slots: self.slots })
    }
}

/// Two devices were given overlapping addresses.
#[derive(Debug, PartialEq, Eq)]
pub struct Overlap(String, String);

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "devices {} and {} overlap", self.0, self.1)
    }
}

impl std::error::Error for Overlap {}

/// Sorted ranges of devices.
pub struct Bus {
    slots: Vec<Slot>,
}

impl Bus {
    /// Starts a bus.
    pub fn builder() -> BusBuilder {
        BusBuilder::default()
    }

    /// Reads for CPU `cpu`; `None` where nothing answers (an external abort).
    pub fn read(&self, cpu: usize, addr: u64, size: Size) -> Option<u64> {
        let slot = self.find(addr, size)?;
        Some(lock(&slot.device).read_by(cpu, addr - slot.range.start, size) & size.mask())
    }

    /// Writes for CPU `cpu`; `None` where nothing answers.
    pub fn write(&self, cpu: usize, addr: u64, size: Size, value: u64) -> Option<()> {
        let slot = self.find(addr, size)?;
        lock(&slot.device).write_by(cpu, addr - slot.range.start, size, value & size.mask());
        Some(())
    }

    /// Resets every device, in address order.
    pub fn reset(&self) {
        for slot in &self.slots {
            lock(&slot.device).reset();
        }
    }

    /// Name and offset of what is at `addr`, for logs.
    pub fn name(&self, addr: u64) -> Option<(&str, u64)> {
        let slot = self.find(addr, Size::B1)?;
        Some((&slot.name, addr - slot.range.start))
    }

    /// Every mapped range with its name, in address order.
    pub fn ranges(&self) -> impl Iterator<Item = (&str, Range<u64>)> {
        self.slots.iter().map(|slot| (slot.name.as_str(), slot.range.clone()))
    }

    fn find(&self, addr: u64, size: Size) -> Option<&Slot> {
        let after = self.slots.partition_point(|slot| slot.range.start <= addr);
        let slot = &self.slots[after.checked_sub(1)?];
        (addr.checked_add(size.bytes())? <= slot.range.end).then_some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Latch(u64);
    impl Device for Latch {
        fn read(&mut self, offset: u64, _size: Size) -> u64 {
            self.0 + offset
        }
        fn write(&mut self, _offset: u64, _size: Size, value: u64) {
            self.0 = value;
        }
        fn reset(&mut self) {
            self.0 = 0;
        }
    }

    fn latch() -> Shared<dyn Device> {
        Arc::new(Mutex::new(Latch(0)))
    }

    #[test]
    fn routes_by_address() {
        let bus = Bus::builder().map("b", 0x2000, 0x100, latch()).map("a", 0x1000, 0x1000, latch()).build().unwrap();
        assert_eq!(bus.write(0, 0x1008, Size::B4, 0x1_0000_0007), Some(()));
        assert_eq!(bus.read(0, 0x1001, Size::B1), Some(8));
        assert_eq!(bus.read(0, 0x2001, Size::B1), Some(1));
        assert_eq!(bus.read(0, 0x0fff, Size::B1), None);
        assert_eq!(bus.read(0, 0x20fc, Size::B8), None, "beyond the end of a window");
        assert_eq!(bus.read(0, u64::MAX, Size::B8), None);
        assert_eq!(bus.name(0x2010), Some(("b", 0x10)));
        bus.reset();
        assert_eq!(bus.read(0, 0x1000, Size::B4), Some(0));
        assert_eq!(bus.ranges().next(), Some(("a", 0x1000..0x2000)));
    }

    #[test]
    fn overlap_is_an_error() {
        let made = Bus::builder().map("a", 0, 0x11, latch()).map("b", 0x10, 1, latch()).build();
        assert_eq!(made.err().map(|e| e.to_string()), Some("devices a and b overlap".to_string()));
    }
}
