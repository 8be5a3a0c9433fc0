//! The physical address space: RAM, firmware in a ROM, the bus, or nothing.

use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, OnceLock};

use jib_debug::log::{Category, Log};

use crate::bus::Bus;
use crate::device::Size;
use crate::ram::Ram;

/// Nothing answered at this physical address: a synchronous external abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusError(pub u64);

impl std::fmt::Display for BusError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "nothing at physical address {:#x}", self.0)
    }
}

impl std::error::Error for BusError {}

/// What a physical address leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// RAM at this offset.
    Ram(u64),
    /// The ROM.
    Rom,
    /// A device.
    Device,
    /// Nothing.
    Nothing,
}

/// RAM and devices as every CPU of the machine sees them.
pub struct AddressSpace {
    ram: Arc<Ram>,
    /// Memory that the guest only reads: writes go to the device at its address.
    rom: Option<Ram>,
    bus: Bus,
    log: OnceLock<Log>,
}

impl AddressSpace {
    /// Joins RAM and bus; RAM wins where they overlap.
    pub fn new(ram: Arc<Ram>, bus: Bus) -> Self {
        AddressSpace { ram, rom: None, bus, log: OnceLock::new() }
    }

    /// With memory that the guest only reads.
    pub fn with_rom(self, rom: Option<Ram>) -> Self {
        AddressSpace { rom, ..self }
    }

    /// The memory that holds `len` bytes at `addr`, the offset there, and whether it may be written.
    #[inline]
    pub fn memory(&self, addr: u64, len: u64) -> Option<(&Ram, u64, bool)> {
        match self.ram.offset(addr, len) {
            Some(offset) => Some((&self.ram, offset, true)),
            None => self.in_rom(addr, len).map(|(rom, offset)| (rom, offset, false)),
        }
    }

    fn in_rom(&self, addr: u64, len: u64) -> Option<(&Ram, u64)> {
        let rom = self.rom.as_ref()?;
        Some((rom, rom.offset(addr, len)?))
    }

    /// The RAM.
    pub fn ram(&self) -> &Arc<Ram> {
        &self.ram
    }

    /// The devices.
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// What `len` bytes at `addr` lead to.
    pub fn target(&self, addr: u64, len: u64) -> Target {
        match self.ram.offset(addr, len) {
            Some(offset) => Target::Ram(offset),
            None if self.in_rom(addr, len).is_some() => Target::Rom,
            None if self.bus.name(addr).is_some() => Target::Device,
            None => Target::Nothing,
        }
    }

    /// Reads for CPU `cpu`.
    pub fn read(&self, cpu: usize, addr: u64, size: Size) -> Result<u64, BusError> {
        let in_memory = self.memory(addr, size.bytes()).and_then(|(m, o, _)| m.load(o, size, Ordering::Acquire));
        in_memory.or_else(|| self.read_device(cpu, addr, size)).ok_or(BusError(addr))
    }

    /// Writes for CPU `cpu`, and reports the write if translated code lies there.
    pub fn write(&self, cpu: usize, addr: u64, size: Size, value: u64) -> Result<(), BusError> {
        if let Some(offset) = self.ram.offset(addr, size.bytes()) {
            self.ram.store(offset, size, value, Ordering::Release).ok_or(BusError(addr))?;
            self.ram.pages().written(offset, size.bytes());
            return Ok(());
        }
        self.log_access(cpu, addr, "write", value);
        self.bus.write(cpu, addr, size, value).ok_or(BusError(addr))
    }

    fn read_device(&self, cpu: usize, addr: u64, size: Size) -> Option<u64> {
        let v = self.bus.read(cpu, addr, size)?;
        self.log_access(cpu, addr, "read", v);
        Some(v)
    }

    /// Logs accesses to devices from now on; the first log counts.
    pub fn set_log(&self, log: &Log) {
        let _ = self.log.set(log.clone());
    }

    fn log_access(&self, cpu: usize, addr: u64, what: &str, v: u64) {
        if let Some(log) = self.log.get().filter(|log| log.has(Category::Mmio)) {
            let (device, offset) = self.bus.name(addr).unwrap_or(("nothing", addr));
            log.write(Category::Mmio, cpu, format_args!("{what} {device}+{offset:#x} = {v:#x}"));
        }
    }

    /// Atomic read-modify-write in RAM; `change` may run more than once. Devices have no atomics.
    pub fn update(&self, addr: u64, size: Size, change: impl Fn(u64) -> u64) -> Result<u64, BusError> {
        let offset = self.ram.offset(addr, size.bytes()).ok_or(BusError(addr))?;
        let old = self.ram.update(offset, size, change).ok_or(BusError(addr))?;
        self.ram.pages().written(offset, size.bytes());
        Ok(old)
    }

    /// Stores `new` at `addr` if the `len` bytes there (1 to 16, aligned) are `expected`; gives what was
    /// there. Devices have no atomics.
    pub fn compare_exchange(&self, addr: u64, len: u64, expected: u128, new: u128) -> Result<u128, BusError> {
        let offset = self.ram.offset(addr, len).ok_or(BusError(addr))?;
        let old = match Size::ALL.iter().find(|s| s.bytes() == len) {
            Some(&size) => self.ram.compare_exchange(offset, size, expected as u64, new as u64).map(u128::from),
            None => self.ram.compare_exchange16(offset, expected, new),
        };
        let old = old.ok_or(BusError(addr))?;
        if old == expected {
            self.ram.pages().written(offset, len);
        }
        Ok(old)
    }

    /// Copies memory out (page tables, debuggers); no side effects.
    pub fn peek(&self, addr: u64, out: &mut [u8]) -> Result<(), BusError> {
        for (addr, byte) in (addr..).zip(out) {
            let (memory, offset, _) = self.memory(addr, 1).ok_or(BusError(addr))?;
            *byte = memory.load(offset, Size::B1, Ordering::Relaxed).ok_or(BusError(addr))? as u8;
        }
        Ok(())
    }

    /// Copies into RAM (debuggers, loaders); reports code.
    pub fn poke(&self, addr: u64, bytes: &[u8]) -> Result<(), BusError> {
        let start = self.ram.offset(addr, bytes.len() as u64).ok_or(BusError(addr))?;
        for (offset, byte) in (start..).zip(bytes) {
            self.ram.store(offset, Size::B1, u64::from(*byte), Ordering::Relaxed).ok_or(BusError(addr))?;
        }
        // The guest does not announce this write: code that is being read now must not be missed.
        fence(Ordering::SeqCst);
        self.ram.pages().written(start, bytes.len() as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use std::sync::Mutex;
    use vm_memory::{Bytes, GuestAddress};

    struct Echo(u64);
    impl Device for Echo {
        fn read(&mut self, offset: u64, _size: Size) -> u64 {
            self.0 ^ offset
        }
        fn write(&mut self, _offset: u64, _size: Size, value: u64) {
            self.0 = value;
        }
        fn reset(&mut self) {}
    }

    fn space() -> AddressSpace {
        let bus = Bus::builder().map("echo", 0x1000, 0x1000, Arc::new(Mutex::new(Echo(0)))).build().unwrap();
        AddressSpace::new(Arc::new(Ram::new(0x4000_0000, 0x4000).unwrap()), bus)
    }

    #[test]
    fn ram_devices_and_holes() {
        let s = space();
        s.write(0, 0x4000_0ffc, Size::B8, 0x1122_3344_5566_7788).unwrap();
        assert_eq!(s.read(0, 0x4000_1000, Size::B4), Ok(0x1122_3344));
        s.write(0, 0x1010, Size::B2, 0xf_00ff).unwrap();
        assert_eq!(s.read(0, 0x1001, Size::B1), Ok(0xfe));
        assert_eq!(s.read(0, 0x3000, Size::B4), Err(BusError(0x3000)));
        assert_eq!(s.write(0, 0x4000_3ffd, Size::B4, 0), Err(BusError(0x4000_3ffd)));
        assert_eq!(s.target(0x1000, 8), Target::Device);
        assert_eq!(s.target(0x4000_0008, 8), Target::Ram(8));
        assert_eq!(s.target(0x9000, 1), Target::Nothing);
    }

    #[test]
    fn a_rom_is_read_and_its_device_is_written() {
        let rom = Ram::new(0x1000, 0x1000).unwrap();
        rom.dma().write_obj(0x0123_4567u32, GuestAddress(0x1010)).unwrap();
        let s = space().with_rom(Some(rom));
        assert_eq!((s.read(0, 0x1010, Size::B4), s.target(0x1010, 4)), (Ok(0x0123_4567), Target::Rom));
        s.write(0, 0x1010, Size::B4, 1).unwrap();
        assert_eq!(s.read(0, 0x1010, Size::B4), Ok(0x0123_4567));
        assert!(s.poke(0x1010, &[1]).is_err() && s.update(0x1010, Size::B4, |v| v + 1).is_err());
        let mut two = [0; 2];
        s.peek(0x1011, &mut two).unwrap();
        assert_eq!(two, [0x45, 0x23]);
    }

    #[test]
    fn stores_to_code_are_reported() {
        let s = space();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let heard = seen.clone();
        s.ram().pages().listen(move |range| heard.lock().unwrap().push(range.start));
        let reported = || std::mem::take(&mut *seen.lock().unwrap());
        for (offset, write) in [
            (0x1000, &(|| s.write(0, 0x4000_0ffe, Size::B4, 1)) as &dyn Fn() -> Result<(), BusError>),
            (0, &|| s.update(0x4000_0000, Size::B8, |v| v | 1).map(|old| assert_eq!(old, 0))),
            (0x2000, &|| s.poke(0x4000_1fff, &[1, 2])),
        ] {
            let _ = s.ram().pages().mark_code(offset);
            assert_eq!(write(), Ok(()));
            assert_eq!(reported(), [offset]);
        }
        let mut two = [0; 2];
        s.peek(0x4000_1fff, &mut two).unwrap();
        assert_eq!(two, [1, 2]);
        assert_eq!(s.update(0x1000, Size::B8, |v| v), Err(BusError(0x1000)));
    }
}
