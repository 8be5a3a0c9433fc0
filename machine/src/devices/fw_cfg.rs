//! fw_cfg: how firmware asks the machine for numbers and files (Linux `Documentation/devicetree/bindings/firmware/
//! qemu,fw-cfg-mmio.yaml`, `include/uapi/linux/qemu_fw_cfg.h`): a selector, a data window, and copying by DMA.

use std::sync::Arc;

use vm_memory::{Bytes, GuestAddress};

use crate::device::{Device, Size};
use crate::ram::Ram;

/// Size of the window.
pub const SIZE: u64 = 0x18;
const DATA: std::ops::Range<u64> = 0..8;
const SELECTOR: std::ops::Range<u64> = 8..10;
const DMA: std::ops::Range<u64> = 16..24;

/// Keys with a fixed meaning.
const SIGNATURE: u16 = 0x00;
const ID: u16 = 0x01;
const CPUS: u16 = 0x05;
const KERNEL_SIZE: u16 = 0x08;
const INITRD_SIZE: u16 = 0x0b;
const KERNEL_DATA: u16 = 0x11;
const INITRD_DATA: u16 = 0x12;
const ARGUMENTS_SIZE: u16 = 0x14;
const ARGUMENTS_DATA: u16 = 0x15;
const DIRECTORY: u16 = 0x19;
/// First of the keys that the directory hands out.
const FIRST_FILE: u16 = 0x20;
/// Length of a name in the directory, and of its entry.
const NAME: usize = 56;

/// Features: data window, DMA.
const FEATURES: u32 = 3;
/// What the DMA register reads as.
const DMA_SIGNATURE: u64 = u64::from_be_bytes(*b"QEMU CFG");

/// Bits of a DMA request's control word.
const ERROR: u32 = 1 << 0;
const READ: u32 = 1 << 1;
const SKIP: u32 = 1 << 2;
const SELECT: u32 = 1 << 3;
const WRITE: u32 = 1 << 4;

/// A kernel for the firmware to start.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    /// The kernel, an EFI program.
    pub kernel: Vec<u8>,
    /// Its initrd; may be empty.
    pub initrd: Vec<u8>,
    /// Its command line.
    pub arguments: String,
}

/// The device.
pub struct FwCfg {
    ram: Arc<Ram>,
    items: Vec<(u16, Vec<u8>)>,
    selected: u16,
    position: usize,
    /// Upper half of the DMA register, until the lower one is written.
    dma_high: u32,
}

impl FwCfg {
    /// For a machine of `cpus` CPUs; `files` are found by name.
    pub fn new(ram: Arc<Ram>, cpus: u16, payload: Option<Payload>, files: Vec<(String, Vec<u8>)>) -> FwCfg {
        let mut items = vec![
            (SIGNATURE, b"QEMU".to_vec()),
            (ID, FEATURES.to_le_bytes().to_vec()),
            (CPUS, cpus.to_le_bytes().to_vec()),
        ];
        if let Some(Payload { kernel, initrd, arguments }) = payload {
            let mut line = arguments.into_bytes();
            line.push(0);
            for (size, data, bytes) in [
                (KERNEL_SIZE, KERNEL_DATA, kernel),
                (INITRD_SIZE, INITRD_DATA, initrd),
                (ARGUMENTS_SIZE, ARGUMENTS_DATA, line),
            ] {
                items.push((size, (bytes.len() as u32).to_le_bytes().to_vec()));
                items.push((data, bytes));
            }
        }
        items.push((DIRECTORY, directory(&files)));
        items.extend((FIRST_FILE..).zip(files.into_iter().map(|(_, bytes)| bytes)));
        FwCfg { ram, items, selected: SIGNATURE, position: 0, dma_high: 0 }
    }

    fn select(&mut self, key: u16) {
        (self.selected, self.position) = (key, 0);
    }

    /// The bytes of the selected item that are still to come.
    fn rest(&self) -> &[u8] {
        let item = self.items.iter().find(|(key, _)| *key == self.selected);
        item.and_then(|(_, bytes)| bytes.get(self.position..)).unwrap_or_default()
    }

    /// The next `len` bytes, in the order of memory; zeroes beyond the end.
    fn next(&mut self, len: u64) -> u64 {
        let rest = self.rest();
        let v = (0..len as usize).rev().fold(0, |v, i| v << 8 | u64::from(rest.get(i).copied().unwrap_or(0)));
        self.position = self.position.saturating_add(len as usize);
        v
    }

    /// Carries out the request at `at`: control, length, address, all big-endian.
    fn dma(&mut self, at: u64) {
        let ram = self.ram.clone();
        let mut request = [0; 16];
        if ram.dma().read_slice(&mut request, GuestAddress(at)).is_err() {
            return;
        }
        let [control, length] = [0, 4].map(|i| u32::from_be_bytes([0, 1, 2, 3].map(|j| request[i + j])));
        let address = u64::from_be_bytes([8, 9, 10, 11, 12, 13, 14, 15].map(|i| request[i]));
        if control & SELECT != 0 {
            self.select((control >> 16) as u16);
        }
        let done = match control & (READ | WRITE | SKIP) {
            READ => self.copy(&ram, address, length as usize),
            0 | SKIP => true,
            // No item can be written.
            _ => false,
        };
        if control & (READ | SKIP) != 0 {
            self.position = self.position.saturating_add(length as usize);
        }
        let answer = if done { 0 } else { ERROR };
        // The request was read from there.
        let _ = ram.dma().write_slice(&answer.to_be_bytes(), GuestAddress(at));
    }

    /// Copies `length` bytes to guest memory, zeroes beyond the end of the item.
    fn copy(&self, ram: &Ram, address: u64, length: usize) -> bool {
        const ZEROES: [u8; 4096] = [0; 4096];
        let rest = self.rest();
        let held = &rest[..rest.len().min(length)];
        if ram.offset(address, length as u64).is_none() {
            return length == 0;
        }
        let mut at = address + held.len() as u64;
        let end = address + length as u64;
        let mut written = ram.dma().write_slice(held, GuestAddress(address)).is_ok();
        while written && at < end {
            let count = (end - at).min(ZEROES.len() as u64);
            written = ram.dma().write_slice(&ZEROES[..count as usize], GuestAddress(at)).is_ok();
            at += count;
        }
        written
    }
}

/// The file directory: a count, then size, key and name of each file, big-endian.
fn directory(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = (files.len() as u32).to_be_bytes().to_vec();
    for ((name, content), key) in files.iter().zip(FIRST_FILE..) {
        bytes.extend((content.len() as u32).to_be_bytes());
        bytes.extend(key.to_be_bytes());
        bytes.extend([0; 2]);
        let mut field = name.as_bytes()[..name.len().min(NAME - 1)].to_vec();
        field.resize(NAME, 0);
        bytes.extend(field);
    }
    bytes
}

impl Device for FwCfg {
    fn read(&mut self, offset: u64, size: Size) -> u64 {
        if DATA.contains(&offset) {
            return self.next(size.bytes());
        }
        if DMA.contains(&offset) {
            let bytes = DMA_SIGNATURE.to_be_bytes();
            let at = (offset - DMA.start) as usize;
            let shown = bytes.iter().skip(at).take(size.bytes() as usize);
            return shown.rev().fold(0, |v, b| v << 8 | u64::from(*b));
        }
        0
    }

    /// Selector and DMA registers are big-endian.
    fn write(&mut self, offset: u64, size: Size, value: u64) {
        match (offset, size) {
            (at, Size::B2) if at == SELECTOR.start => self.select((value as u16).swap_bytes()),
            (at, Size::B8) if at == DMA.start => self.dma(value.swap_bytes()),
            (at, Size::B4) if at == DMA.start => self.dma_high = (value as u32).swap_bytes(),
            (at, Size::B4) if at == DMA.start + 4 => {
                let high = std::mem::take(&mut self.dma_high);
                self.dma(u64::from(high) << 32 | u64::from((value as u32).swap_bytes()));
            }
            _ => {}
        }
    }

    fn reset(&mut self) {
        self.select(SIGNATURE);
        self.dma_high = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hammer;

    fn fw_cfg() -> FwCfg {
        let ram = Arc::new(Ram::new(0x4000_0000, 0x4000).unwrap());
        let payload = Payload { kernel: vec![1, 2, 3], initrd: vec![9; 5], arguments: "quiet".to_string() };
        FwCfg::new(ram, 4, Some(payload), vec![("opt/a".to_string(), b"hello".to_vec())])
    }

    fn item(f: &mut FwCfg, key: u16, len: usize) -> Vec<u8> {
        f.write(8, Size::B2, key.swap_bytes().into());
        (0..len).map(|_| f.read(0, Size::B1) as u8).collect()
    }

    #[test]
    fn what_firmware_looks_for() {
        let mut f = fw_cfg();
        assert_eq!(item(&mut f, 0, 5), b"QEMU\0");
        assert_eq!(item(&mut f, 1, 4), [3, 0, 0, 0]);
        assert_eq!(item(&mut f, 5, 2), [4, 0]);
        assert_eq!(f.read(16, Size::B8), u64::from_le_bytes(*b"QEMU CFG"));
        assert_eq!(f.read(20, Size::B4), u64::from(u32::from_le_bytes(*b" CFG")));
        assert_eq!((item(&mut f, 8, 4), item(&mut f, 0x11, 3)), (vec![3, 0, 0, 0], vec![1, 2, 3]));
        assert_eq!((item(&mut f, 0x14, 4), item(&mut f, 0x15, 6)), (vec![6, 0, 0, 0], b"quiet\0".to_vec()));
        assert_eq!(item(&mut f, 0x7777, 2), [0, 0], "no such item");
        f.write(8, Size::B2, 0);
        assert_eq!(f.read(0, Size::B4), u64::from(u32::from_le_bytes(*b"QEMU")));
    }

    #[test]
    fn files_by_name() {
        let mut f = fw_cfg();
        let directory = item(&mut f, 0x19, 4 + 64);
        assert_eq!(directory[..12], [0, 0, 0, 1, 0, 0, 0, 5, 0, 0x20, 0, 0]);
        assert_eq!(&directory[12..18], b"opt/a\0");
        assert_eq!(item(&mut f, 0x20, 5), b"hello");
    }

    /// Has `request` (control, length, address) carried out; the answer.
    fn dma(f: &mut FwCfg, control: u32, length: u32, address: u64) -> u32 {
        let ram = f.ram.clone();
        let request = [&control.to_be_bytes()[..], &length.to_be_bytes(), &address.to_be_bytes()].concat();
        ram.dma().write_slice(&request, GuestAddress(0x4000_0000)).unwrap();
        f.write(16, Size::B4, 0);
        f.write(20, Size::B4, 0x4000_0000u32.swap_bytes().into());
        let mut answer = [0; 4];
        ram.dma().read_slice(&mut answer, GuestAddress(0x4000_0000)).unwrap();
        u32::from_be_bytes(answer)
    }

    #[test]
    fn copies_by_dma() {
        let mut f = fw_cfg();
        assert_eq!(dma(&mut f, 0x20 << 16 | SELECT | SKIP, 1, 0), 0);
        f.ram.dma().write_slice(&[7; 8], GuestAddress(0x4000_1000)).unwrap();
        assert_eq!(dma(&mut f, READ, 6, 0x4000_1000), 0);
        let mut bytes = [0; 8];
        f.ram.dma().read_slice(&mut bytes, GuestAddress(0x4000_1000)).unwrap();
        assert_eq!(&bytes, b"ello\0\0\x07\x07");
        assert_eq!(dma(&mut f, SELECT | WRITE, 4, 0x4000_1000), ERROR, "nothing can be written");
        assert_eq!(dma(&mut f, SELECT | READ, u32::MAX, 0x4000_1000), ERROR, "more than there is memory");
        assert_eq!(dma(&mut f, SELECT | READ, 4, 0x10), ERROR);
        f.write(16, Size::B8, u64::MAX);
    }

    #[test]
    fn random_accesses() {
        let mut f = fw_cfg();
        let ram = f.ram.clone();
        hammer(&mut f, SIZE, 41, |_, rng| {
            let at = GuestAddress(0x4000_0000 + (rng.below(0x3ff0) & !3));
            ram.dma().write_obj(rng.value().to_be(), at).unwrap();
        });
    }
}
