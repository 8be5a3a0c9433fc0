//! The virtio-mmio transport, version 2 (virtio 1.2, 4.2): feature negotiation, the status machine,
//! queue setup, notifications and the interrupt.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use virtio_bindings::virtio_config as config;
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};
use virtio_queue::{Queue, QueueT};
use vm_memory::{Bytes, GuestAddress};

use super::VirtioDevice;
use super::queue::{Broken, QueueIo};
use crate::device::{Device, Size, merge, narrow, registers};
use crate::irq::IrqLine;
use crate::ram::Ram;

/// Size of a slot's window.
pub const SIZE: u64 = 0x200;
const CONFIG: u64 = 0x100;

registers! {
    /// Virtio 1.2, table 4.1.
    enum Reg {
        MagicValue = 0x000,
        Version = 0x004,
        DeviceId = 0x008,
        VendorId = 0x00c,
        DeviceFeatures = 0x010,
        DeviceFeaturesSel = 0x014,
        DriverFeatures = 0x020,
        DriverFeaturesSel = 0x024,
        QueueSel = 0x030,
        QueueNumMax = 0x034,
        QueueNum = 0x038,
        QueueReady = 0x044,
        QueueNotify = 0x050,
        InterruptStatus = 0x060,
        InterruptAck = 0x064,
        Status = 0x070,
        QueueDescLow = 0x080,
        QueueDescHigh = 0x084,
        QueueDriverLow = 0x090,
        QueueDriverHigh = 0x094,
        QueueDeviceLow = 0x0a0,
        QueueDeviceHigh = 0x0a4,
        ShmLenLow = 0x0b0,
        ShmLenHigh = 0x0b4,
        ShmBaseLow = 0x0b8,
        ShmBaseHigh = 0x0bc,
        ConfigGeneration = 0x0fc,
    }
}

const MAGIC: u32 = u32::from_le_bytes(*b"virt");
const VENDOR: u32 = u32::from_le_bytes(*b"jib ");
const F_INDIRECT: u64 = 1 << VIRTIO_RING_F_INDIRECT_DESC;
const F_EVENT_IDX: u64 = 1 << VIRTIO_RING_F_EVENT_IDX;
const F_VERSION_1: u64 = 1 << config::VIRTIO_F_VERSION_1;
const DRIVER_OK: u32 = config::VIRTIO_CONFIG_S_DRIVER_OK;
const FEATURES_OK: u32 = config::VIRTIO_CONFIG_S_FEATURES_OK;
const NEEDS_RESET: u32 = config::VIRTIO_CONFIG_S_NEEDS_RESET;
const INT_RING: u32 = 1;
const INT_CONFIG: u32 = 2;
/// Rounds over one queue before the notifying CPU gets to run on.
const ROUNDS: u32 = 1024;

/// A slot: a transport with a device behind it, or an empty one.
pub struct VirtioMmio {
    irq: IrqLine,
    ram: Arc<Ram>,
    device: Option<Box<dyn VirtioDevice>>,
    queues: Vec<Queue>,
    device_features_sel: u32,
    driver_features_sel: u32,
    driver_features: u64,
    queue_sel: usize,
    status: u32,
    interrupt: u32,
    generation: u32,
}

impl VirtioMmio {
    /// A slot whose device does its transfers in `ram`; with no device it reads as device 0.
    pub fn new(irq: IrqLine, ram: Arc<Ram>, device: Option<Box<dyn VirtioDevice>>) -> Self {
        let sizes = device.as_ref().map_or(&[][..], |device| device.queue_sizes());
        VirtioMmio {
            irq,
            ram,
            // The sizes are the devices' constants, all powers of two that the crate accepts.
            queues: sizes.iter().filter_map(|size| Queue::new(*size).ok()).collect(),
            device,
            device_features_sel: 0,
            driver_features_sel: 0,
            driver_features: 0,
            queue_sel: 0,
            status: 0,
            interrupt: 0,
            generation: 0,
        }
    }

    /// Lets the device work on queue `index`: on a notification, or because the host has news.
    pub fn service(&mut self, index: usize) {
        if !self.live() || !self.queues.get(index).is_some_and(QueueT::ready) {
            return;
        }
        match self.run(index) {
            Ok(false) => {}
            Ok(true) => self.interrupt |= INT_RING,
            Err(Broken) => self.fail(),
        }
        self.update_irq();
    }

    /// The device's configuration changed by itself (a new capacity, a new window size).
    pub fn config_changed(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        if self.live() {
            self.interrupt |= INT_CONFIG;
            self.update_irq();
        }
    }

    /// True once the driver is up and until it breaks the rules.
    pub fn live(&self) -> bool {
        self.status & (DRIVER_OK | FEATURES_OK | NEEDS_RESET) == DRIVER_OK | FEATURES_OK
    }

    /// Runs the device; true if the driver wants to hear of it.
    fn run(&mut self, index: usize) -> Result<bool, Broken> {
        let (Some(device), Some(queue)) = (self.device.as_mut(), self.queues.get_mut(index)) else { return Ok(false) };
        let mem = self.ram.dma();
        let mut any = false;
        for _ in 0..ROUNDS {
            let mut io = QueueIo::new(queue, mem);
            device.process(index, &mut io)?;
            let progress = io.completed() != 0;
            any |= progress;
            // Chains may have come while the driver still thought it need not notify.
            let more = queue.event_idx_enabled() && queue.enable_notification(mem).map_err(|_| Broken)?;
            if !(more && progress) {
                break;
            }
        }
        if !any || !queue.needs_notification(mem).map_err(|_| Broken)? {
            return Ok(false);
        }
        // VIRTQ_AVAIL_F_NO_INTERRUPT counts only without event indexes.
        let flags: u16 = mem.load(GuestAddress(queue.avail_ring()), Ordering::Relaxed).map_err(|_| Broken)?;
        Ok(queue.event_idx_enabled() || u16::from_le(flags) & 1 == 0)
    }

    fn fail(&mut self) {
        self.status |= NEEDS_RESET;
        self.interrupt |= INT_CONFIG;
    }

    fn update_irq(&self) {
        self.irq.set(self.interrupt != 0);
    }

    fn offered(&self) -> u64 {
        let own = F_INDIRECT | F_EVENT_IDX | F_VERSION_1;
        self.device.as_ref().map_or(0, |device| device.features() | own)
    }

    fn queue(&self) -> Option<&Queue> {
        self.queues.get(self.queue_sel)
    }

    fn read_register(&self, reg: Reg) -> u32 {
        match reg {
            Reg::MagicValue => MAGIC,
            Reg::Version => 2,
            Reg::DeviceId => self.device.as_ref().map_or(0, |device| device.id()),
            Reg::VendorId => VENDOR,
            Reg::DeviceFeatures => match self.device_features_sel {
                0 => self.offered() as u32,
                1 => (self.offered() >> 32) as u32,
                _ => 0,
            },
            Reg::QueueNumMax => self.queue().map_or(0, |queue| u32::from(queue.max_size())),
            Reg::QueueReady => self.queue().map_or(0, |queue| u32::from(queue.ready())),
            Reg::InterruptStatus => self.interrupt,
            Reg::Status => self.status,
            // There is no shared memory: a region of length -1.
            Reg::ShmLenLow | Reg::ShmLenHigh | Reg::ShmBaseLow | Reg::ShmBaseHigh => u32::MAX,
            Reg::ConfigGeneration => self.generation,
            _ => 0,
        }
    }

    fn write_register(&mut self, reg: Reg, value: u32) {
        match reg {
            Reg::DeviceFeaturesSel => self.device_features_sel = value,
            Reg::DriverFeaturesSel => self.driver_features_sel = value,
            Reg::DriverFeatures => self.set_driver_features(value),
            Reg::QueueSel => self.queue_sel = value as usize,
            Reg::QueueNotify => self.service(value as usize),
            Reg::InterruptAck => self.interrupt &= !value,
            Reg::Status => self.set_status(value & 0xff),
            Reg::QueueReady => self.set_ready(value & 1 != 0),
            _ => self.set_queue(reg, value),
        }
        self.update_irq();
    }

    fn set_driver_features(&mut self, value: u32) {
        let shift = match self.driver_features_sel {
            0 => 0,
            1 => 32,
            _ => return,
        };
        if self.status & FEATURES_OK == 0 {
            self.driver_features = (self.driver_features & !(0xffff_ffff << shift)) | u64::from(value) << shift;
        }
    }

    fn set_status(&mut self, value: u32) {
        if value == 0 {
            self.reset();
            return;
        }
        let acceptable = self.driver_features & !self.offered() == 0 && self.driver_features & F_VERSION_1 != 0;
        let refused = if acceptable || self.status & FEATURES_OK != 0 { 0 } else { FEATURES_OK };
        // Bits are only ever added, and NEEDS_RESET is ours.
        self.status |= value & !refused & !NEEDS_RESET;
    }

    /// Queue registers may be written only while the queue is not in use.
    fn set_queue(&mut self, reg: Reg, value: u32) {
        let Some(queue) = self.queues.get_mut(self.queue_sel).filter(|queue| !queue.ready()) else { return };
        match reg {
            Reg::QueueNum => queue.set_size(u16::try_from(value).unwrap_or(0)),
            Reg::QueueDescLow => queue.set_desc_table_address(Some(value), None),
            Reg::QueueDescHigh => queue.set_desc_table_address(None, Some(value)),
            Reg::QueueDriverLow => queue.set_avail_ring_address(Some(value), None),
            Reg::QueueDriverHigh => queue.set_avail_ring_address(None, Some(value)),
            Reg::QueueDeviceLow => queue.set_used_ring_address(Some(value), None),
            Reg::QueueDeviceHigh => queue.set_used_ring_address(None, Some(value)),
            _ => {}
        }
    }

    fn set_ready(&mut self, ready: bool) {
        let event_idx = self.driver_features & F_EVENT_IDX != 0;
        let Some(queue) = self.queues.get_mut(self.queue_sel) else { return };
        queue.set_event_idx(event_idx);
        queue.set_ready(ready);
        if ready && !queue.is_valid(self.ram.dma()) {
            queue.set_ready(false);
            self.fail();
        }
    }

    fn read_config(&self, offset: u64, size: Size) -> u64 {
        let config = self.device.as_ref().map(|device| device.config()).unwrap_or_default();
        let bytes = config.iter().skip(offset as usize).take(size.bytes() as usize);
        bytes.rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }
}

impl Device for VirtioMmio {
    fn read(&mut self, offset: u64, size: Size) -> u64 {
        match offset.checked_sub(CONFIG) {
            Some(offset) => self.read_config(offset, size),
            None => narrow(Reg::at(offset).map_or(0, |reg| self.read_register(reg)), offset, size),
        }
    }

    fn write(&mut self, offset: u64, size: Size, value: u64) {
        if let Some(offset) = offset.checked_sub(CONFIG) {
            let bytes = value.to_le_bytes();
            if let Some(device) = &mut self.device {
                device.write_config(offset as usize, &bytes[..size.bytes() as usize]);
            }
        } else if let Some(reg) = Reg::at(offset) {
            self.write_register(reg, merge(0, offset, size, value));
        }
    }

    fn reset(&mut self) {
        self.queues.iter_mut().for_each(QueueT::reset);
        (self.device_features_sel, self.driver_features_sel, self.driver_features) = (0, 0, 0);
        (self.queue_sel, self.status, self.interrupt) = (0, 0, 0);
        if let Some(device) = &mut self.device {
            device.reset();
        }
        self.update_irq();
    }
}

#[cfg(test)]
mod tests {
    use super::super::rng::Rng as VirtioRng;
    use super::super::testing::Driver;
    use super::*;
    use crate::testing::hammer;

    fn driver() -> Driver {
        Driver::new(Box::new(VirtioRng::new(Box::new(|bytes| bytes.fill(0x5a)))), 0)
    }

    #[test]
    fn an_empty_slot_is_device_zero() {
        let ram = Arc::new(Ram::new(0x4000_0000, 0x1000).unwrap());
        let mut slot = VirtioMmio::new(IrqLine::unconnected(), ram, None);
        assert_eq!((slot.read(0, Size::B4), slot.read(4, Size::B4), slot.read(8, Size::B4)), (0x7472_6976, 2, 0));
        hammer(&mut slot, SIZE, 1, |_, _| {});
    }

    #[test]
    fn negotiation_refuses_what_was_not_offered() {
        let mut d = driver();
        d.dev.write(0x70, Size::B4, 0);
        d.dev.write(0x24, Size::B4, 1);
        d.dev.write(0x20, Size::B4, 0);
        d.dev.write(0x70, Size::B4, 0xb);
        assert_eq!(d.dev.read(0x70, Size::B4), 3, "version 1 is mandatory");
        d.dev.write(0x20, Size::B4, 1);
        d.dev.write(0x24, Size::B4, 0);
        d.dev.write(0x20, Size::B4, 1 << 5);
        d.dev.write(0x70, Size::B4, 0xb);
        assert_eq!(d.dev.read(0x70, Size::B4), 3);
        d.dev.write(0x20, Size::B4, 1 << 28);
        d.dev.write(0x70, Size::B4, 0xb);
        assert_eq!(d.dev.read(0x70, Size::B4), 0xb);
        d.dev.write(0x70, Size::B4, 0xf);
        assert!(d.dev.live());
    }

    #[test]
    fn a_request_interrupts_until_acknowledged() {
        let mut d = driver();
        d.submit(0, &[], &[16]);
        assert!(d.irq.level());
        assert_eq!(d.reap(0), Some((0, 16)));
        assert_eq!(d.written(), [[0x5a; 16]]);
        assert_eq!(d.dev.read(0x60, Size::B4), 1);
        d.dev.write(0x64, Size::B4, 1);
        assert!(!d.irq.level());
    }

    #[test]
    fn event_indexes_and_the_no_interrupt_flag() {
        let mut d = Driver::new(Box::new(VirtioRng::new(Box::new(|_| {}))), F_EVENT_IDX);
        d.set_used_event(0, 1);
        d.submit(0, &[], &[4]);
        assert!(!d.irq.level(), "the driver asked for the second");
        d.submit(0, &[], &[4]);
        assert!(d.irq.level());
        let mut d = driver();
        d.ram.dma().write_obj(1u16, GuestAddress(d.avail(0))).unwrap();
        d.submit(0, &[], &[4]);
        assert!(!d.irq.level() && d.reap(0).is_some());
    }

    #[test]
    fn a_broken_ring_needs_a_reset() {
        let mut d = driver();
        d.ram.dma().write_obj(1000u16, GuestAddress(d.avail(0) + 2)).unwrap();
        d.dev.write(0x50, Size::B4, 0);
        assert_eq!(d.dev.read(0x70, Size::B4) & 64, 64);
        assert!(d.irq.level() && d.dev.read(0x60, Size::B4) == 2);
        d.dev.write(0x70, Size::B4, 0);
        assert!(d.dev.read(0x70, Size::B4) == 0 && !d.irq.level());
    }

    #[test]
    fn a_queue_outside_memory_needs_a_reset() {
        let mut d = driver();
        d.dev.write(0x70, Size::B4, 0);
        d.dev.write(0x80, Size::B4, 0x1000);
        d.dev.write(0x44, Size::B4, 1);
        assert_eq!((d.dev.read(0x44, Size::B4), d.dev.read(0x70, Size::B4)), (0, 64));
    }

    #[test]
    fn random_accesses() {
        let mut d = driver();
        hammer(&mut d.dev, SIZE, 99, |dev, rng| {
            dev.service(rng.below(3) as usize);
            if rng.below(50) == 0 {
                dev.config_changed();
            }
        });
    }
}
