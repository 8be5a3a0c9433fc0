//! A driver for tests: sets a device up over its registers and lays out chains in guest memory.

use std::sync::Arc;

use vm_memory::{Bytes, GuestAddress};

use super::VirtioDevice;
use super::mmio::VirtioMmio;
use crate::device::{Device, Size};
use crate::irq::{IrqLine, Probe};
use crate::ram::Ram;

const BASE: u64 = 0x4000_0000;
const RAM_SIZE: u64 = 0x40_0000;
const QUEUE_SIZE: u16 = 64;
/// Where buffers begin; below are four pages of rings per queue.
const BUFFERS: u64 = BASE + 0x10_0000;

pub(crate) struct Driver {
    pub(crate) ram: Arc<Ram>,
    pub(crate) dev: VirtioMmio,
    pub(crate) irq: Arc<Probe>,
    available: Vec<u16>,
    seen: Vec<u16>,
    free: u64,
    outputs: Vec<(u64, usize)>,
}

impl Driver {
    /// Brings the device up with `features` besides version 1 and every queue ready.
    pub(crate) fn new(device: Box<dyn VirtioDevice>, features: u64) -> Driver {
        let queues = device.queue_sizes().len();
        let (irq, probe) = IrqLine::probe();
        let ram = Arc::new(Ram::new(BASE, RAM_SIZE).unwrap());
        let dev = VirtioMmio::new(irq, ram.clone(), Some(device));
        let (available, seen) = (vec![0; queues], vec![0; queues]);
        let mut d = Driver { ram, dev, irq: probe, available, seen, free: BUFFERS, outputs: Vec::new() };
        d.start(features);
        d
    }

    fn start(&mut self, features: u64) {
        self.set(0x70, 3);
        self.set(0x24, 0);
        self.set(0x20, features as u32);
        self.set(0x24, 1);
        self.set(0x20, 1 | (features >> 32) as u32);
        self.set(0x70, 0xb);
        for queue in 0..self.available.len() {
            self.set(0x30, queue as u32);
            self.set(0x38, u32::from(QUEUE_SIZE));
            self.set(0x80, self.table(queue) as u32);
            self.set(0x90, self.avail(queue) as u32);
            self.set(0xa0, self.used(queue) as u32);
            self.set(0x44, 1);
        }
        self.set(0x70, 0xf);
        assert!(self.dev.live());
    }

    fn set(&mut self, offset: u64, value: u32) {
        self.dev.write(offset, Size::B4, u64::from(value));
    }

    fn table(&self, queue: usize) -> u64 {
        BASE + queue as u64 * 0x4000
    }

    pub(crate) fn avail(&self, queue: usize) -> u64 {
        self.table(queue) + 0x1000
    }

    fn used(&self, queue: usize) -> u64 {
        self.table(queue) + 0x2000
    }

    pub(crate) fn set_used_event(&self, queue: usize, value: u16) {
        self.ram.dma().write_obj(value, GuestAddress(self.avail(queue) + 4 + 2 * u64::from(QUEUE_SIZE))).unwrap();
    }

    /// Makes one chain available and notifies; descriptors are reused from 0 each time.
    pub(crate) fn submit(&mut self, queue: usize, readable: &[&[u8]], writable: &[usize]) {
        let ram = self.ram.clone();
        let mem = ram.dma();
        if self.free > BASE + RAM_SIZE / 2 {
            self.free = BUFFERS;
        }
        self.outputs.clear();
        let count = readable.len() + writable.len();
        for index in 0..count {
            let (len, flag) = match readable.get(index) {
                Some(bytes) => {
                    mem.write_slice(bytes, GuestAddress(self.free)).unwrap();
                    (bytes.len(), 0)
                }
                None => {
                    self.outputs.push((self.free, writable[index - readable.len()]));
                    (writable[index - readable.len()], 2u16)
                }
            };
            let at = self.table(queue) + 16 * index as u64;
            mem.write_obj(self.free, GuestAddress(at)).unwrap();
            mem.write_obj(len as u32, GuestAddress(at + 8)).unwrap();
            mem.write_obj(flag | u16::from(index + 1 < count), GuestAddress(at + 12)).unwrap();
            mem.write_obj(index as u16 + 1, GuestAddress(at + 14)).unwrap();
            self.free += len as u64 + 16;
        }
        let slot = u64::from(self.available[queue] % QUEUE_SIZE);
        mem.write_obj(0u16, GuestAddress(self.avail(queue) + 4 + 2 * slot)).unwrap();
        self.available[queue] = self.available[queue].wrapping_add(1);
        mem.write_obj(self.available[queue], GuestAddress(self.avail(queue) + 2)).unwrap();
        self.set(0x50, queue as u32);
    }

    /// The next completion: head and number of bytes written.
    pub(crate) fn reap(&mut self, queue: usize) -> Option<(u32, u32)> {
        let mem = self.ram.dma();
        let index: u16 = mem.read_obj(GuestAddress(self.used(queue) + 2)).unwrap();
        if index == self.seen[queue] {
            return None;
        }
        let at = self.used(queue) + 4 + 8 * u64::from(self.seen[queue] % QUEUE_SIZE);
        self.seen[queue] = self.seen[queue].wrapping_add(1);
        Some((mem.read_obj(GuestAddress(at)).unwrap(), mem.read_obj(GuestAddress(at + 4)).unwrap()))
    }

    /// What the last chain's writable buffers hold.
    pub(crate) fn written(&self) -> Vec<Vec<u8>> {
        let read = |&(addr, len): &(u64, usize)| {
            let mut bytes = vec![0; len];
            self.ram.dma().read_slice(&mut bytes, GuestAddress(addr)).unwrap();
            bytes
        };
        self.outputs.iter().map(read).collect()
    }

    /// True if the device gave up on the driver.
    pub(crate) fn broken(&mut self) -> bool {
        self.dev.read(0x70, Size::B4) & 64 != 0
    }
}
