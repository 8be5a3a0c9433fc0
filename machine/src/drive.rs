//! Drives devices by byte programs, as a guest and a host could that mean no good: fuzz targets and tests share it.
//!
//! A program is any bytes. It must come to its end: no panic, no endless loop, no access outside of what is its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vm_memory::{Bytes, GuestAddress};

use crate::device::{Device, Size};
use crate::devices::flash::{self, Flash};
use crate::devices::fw_cfg::{self, FwCfg};
use crate::devices::gic::icc::Icc;
use crate::devices::gic::{self, CpuLines, Gic, Version};
use crate::devices::pl011::Pl011;
use crate::devices::pl031::Pl031;
use crate::devices::pl061::Pl061;
use crate::devices::virtio::VirtioDevice;
use crate::devices::virtio::blk::Blk;
use crate::devices::virtio::console::Console;
use crate::devices::virtio::mmio::{self, VirtioMmio};
use crate::devices::virtio::net::{Net, Wire};
use crate::devices::virtio::p9::P9;
use crate::devices::virtio::rng::Rng;
use crate::host::Capture;
use crate::host::disk::{Overlay, RawFile};
use crate::host::input::InputQueue;
use crate::irq::{IrqLine, IrqSink};
use crate::net::UserNet;
use crate::psci::{self, Affinity, Power, Status};
use crate::ram::Ram;

/// What is driven.
pub(crate) type Drive = fn(&mut Program<'_>);

/// Everything that can be driven, by name.
pub(crate) const DRIVES: &[(&str, Drive)] = &[
    ("pl011", pl011),
    ("pl031", pl031),
    ("pl061", pl061),
    ("gicv3", gicv3),
    ("gicv2", gicv2),
    ("flash", flash),
    ("fw_cfg", fw_cfg),
    ("psci", psci),
    ("blk", blk),
    ("console", console),
    ("rng", rng),
    ("net", net),
    ("9p", p9),
    ("network", network),
];

/// Bytes that decide what happens; zeroes at the end.
pub(crate) struct Program<'a>(pub(crate) &'a [u8]);

impl Program<'_> {
    fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let (taken, rest) = self.0.split_at(self.0.len().min(most));
        self.0 = rest;
        taken.to_vec()
    }

    /// A small value, a single bit, or any.
    fn value(&mut self) -> u64 {
        let kind = self.byte();
        match kind & 3 {
            0 => u64::from(kind >> 2),
            1 => 1 << (kind >> 2),
            2 => u64::from(self.byte()) << (8 * (kind >> 5)),
            _ => (0..8).fold(0, |v, _| v << 8 | u64::from(self.byte())),
        }
    }

    fn size(&mut self) -> Size {
        Size::ALL[usize::from(self.byte() & 3)]
    }

    fn flag(&mut self) -> bool {
        self.byte() & 1 != 0
    }
}

/// One access to a device with a window of `window` bytes, or a reset.
fn access(p: &mut Program<'_>, device: &mut impl Device, window: u64) {
    let (kind, size, cpu) = (p.byte(), p.size(), usize::from(p.byte() & 3));
    let at = (u64::from(p.byte()) << 16 | u64::from(p.byte()) << 8 | u64::from(p.byte())) % window;
    let at = if kind & 0x80 == 0 { at & !3 } else { at };
    // As the bus has it: within the window.
    let at = at.min(window - size.bytes());
    match kind & 3 {
        0 | 1 => {
            let value = p.value();
            device.write_by(cpu, at, size, value & size.mask());
        }
        2 => _ = device.read_by(cpu, at, size),
        _ if kind & 0x70 == 0 => device.reset(),
        _ => _ = device.read(at, size),
    }
}

fn pl011(p: &mut Program<'_>) {
    let input = Arc::new(InputQueue::new(64));
    let mut device = Pl011::new(IrqLine::unconnected(), Box::new(Capture::default()), input.clone());
    while !p.is_over() {
        match p.byte() & 7 {
            0 => {
                let room = 8;
                let bytes = p.bytes(room);
                // Nobody makes room here, so that no more than fits may come.
                let held = input.pop(64);
                input.push(&[&held[..held.len().min(64 - room)], &bytes].concat());
                device.poll_input();
            }
            1 => device.receive_break(),
            _ => access(p, &mut device, 0x1000),
        }
    }
}

fn pl031(p: &mut Program<'_>) {
    let now = Arc::new(AtomicU64::new(0));
    let clock = now.clone();
    let mut device = Pl031::new(IrqLine::unconnected(), Box::new(move || clock.load(Ordering::Relaxed)));
    while !p.is_over() {
        match p.byte() & 3 {
            0 => now.store(p.value(), Ordering::Relaxed),
            1 => {
                device.tick();
                device.alarm_in();
            }
            _ => access(p, &mut device, 0x1000),
        }
    }
}

fn pl061(p: &mut Program<'_>) {
    let mut device = Pl061::new(IrqLine::unconnected());
    while !p.is_over() {
        match p.byte() & 3 {
            0 => device.set_input(p.byte(), p.flag()),
            _ => access(p, &mut device, 0x1000),
        }
    }
}

fn controller(version: Version, cpus: u64) -> Arc<Gic> {
    let lines = |affinity| CpuLines { affinity, irq: IrqLine::unconnected(), fiq: IrqLine::unconnected() };
    Gic::new(version, (0..cpus).map(lines).collect(), 64)
}

fn input(p: &mut Program<'_>, gic: &Gic) {
    let (cpu, intid, level) = (p.byte() & 3, p.byte(), p.flag());
    gic.set(u32::from(cpu) << 16 | u32::from(intid), level);
}

fn gicv3(p: &mut Program<'_>) {
    let gic = controller(Version::V3, 3);
    let (mut dist, mut redist) = (gic::dist::Distributor(gic.clone()), gic::redist::Redistributors(gic.clone()));
    while !p.is_over() {
        match p.byte() & 7 {
            0 => input(p, &gic),
            1 | 2 => access(p, &mut dist, gic::dist::SIZE),
            3 | 4 => access(p, &mut redist, 4 * gic::redist::STRIDE),
            _ => {
                let (cpu, which) = (usize::from(p.byte() & 3), p.byte());
                let found = match which & 0x80 {
                    0 => Icc::at(3, 0, 12, 8 + (which >> 3 & 7), which & 7),
                    _ => Icc::at(3, 0, 4, 6, 0),
                };
                match found {
                    Some(reg) if reg.readable() && p.flag() => _ = gic.read_icc(cpu, reg),
                    Some(reg) if reg.writable() => gic.write_icc(cpu, reg, p.value()),
                    _ => {}
                }
            }
        }
    }
}

fn gicv2(p: &mut Program<'_>) {
    let gic = controller(Version::V2, 4);
    let mut dist = gic::v2::Distributor(gic.clone());
    let (mut cpu, mut msi) = (gic::v2::CpuInterface(gic.clone()), gic::v2m::Frame::new(gic.clone(), 40, 16));
    while !p.is_over() {
        match p.byte() & 7 {
            0 => input(p, &gic),
            1 => access(p, &mut msi, gic::v2m::SIZE),
            2..=4 => access(p, &mut dist, gic::v2::DIST_SIZE),
            _ => access(p, &mut cpu, gic::v2::CPU_SIZE),
        }
    }
}

fn flash(p: &mut Program<'_>) {
    let window = 4 * flash::BLOCK;
    let mut device = Flash::new(window, None);
    while !p.is_over() {
        match p.byte() & 3 {
            0 => {
                let command = [0x40, 0x20, 0xd0, 0xe8, 0x98, 0x90, 0x70, 0xff][usize::from(p.byte() & 7)];
                device.write(u64::from(p.byte()) << 8, Size::B4, command);
            }
            _ => access(p, &mut device, window),
        }
    }
}

const RAM: u64 = 0x4000_0000;
const RAM_SIZE: u64 = 0x10_0000;

/// Something written into memory, most often near its beginning.
fn poke(p: &mut Program<'_>, ram: &Ram) {
    let at = u64::from(p.byte()) << 8 | u64::from(p.byte());
    let value = p.value();
    // Beyond the end nothing happens.
    let _ = ram.dma().write_slice(&value.to_le_bytes()[..p.size().bytes() as usize], GuestAddress(RAM + at));
}

fn memory() -> Arc<Ram> {
    Arc::new(Ram::new(RAM, RAM_SIZE).expect("a MiB"))
}

fn fw_cfg(p: &mut Program<'_>) {
    let ram = memory();
    let payload = fw_cfg::Payload { kernel: vec![1; 5000], initrd: vec![], arguments: "quiet".to_string() };
    let mut device = FwCfg::new(ram.clone(), 2, Some(payload), vec![("a".to_string(), vec![2; 99])]);
    while !p.is_over() {
        match p.byte() & 3 {
            0 => poke(p, &ram),
            1 => {
                let (control, len, to) = (p.value() as u32 & 0x7f_001f, p.value() as u32, RAM.wrapping_add(p.value()));
                let request = [&control.to_be_bytes()[..], &len.to_be_bytes(), &to.to_be_bytes()].concat();
                ram.dma().write_slice(&request, GuestAddress(RAM)).expect("in memory");
                device.write(16, Size::B8, RAM.swap_bytes());
            }
            _ => access(p, &mut device, fw_cfg::SIZE),
        }
    }
}

/// Firmware's view of two CPUs.
struct Two;

impl Power for Two {
    fn cpu_on(&self, target: u64, _: u64, _: u64) -> Status {
        if target < 2 { Status::AlreadyOn } else { Status::InvalidParameters }
    }
    fn affinity(&self, target: u64, _: u64) -> Option<Affinity> {
        (target < 2).then_some(Affinity::On)
    }
    fn entropy(&self) -> u64 {
        u64::MAX
    }
    fn stolen_time(&self, cpu: usize) -> Option<u64> {
        (cpu == 0).then_some(RAM)
    }
}

fn psci(p: &mut Program<'_>) {
    while !p.is_over() {
        let function = match p.flag() {
            true => 0x8000_0000 | p.value() & 0x7f00_00ff,
            false => p.value(),
        };
        let regs = [function, p.value(), p.value(), p.value()];
        psci::name(function);
        psci::call(&Two, usize::from(p.byte()), regs);
    }
}

/// Where rings are, for each queue, and where buffers begin.
const RINGS: u64 = 0x4000;
const BUFFERS: u64 = 0x1_0000;
const QUEUE: u16 = 16;

/// A driver that goes by the rules only as far as its program does.
struct Driver {
    ram: Arc<Ram>,
    slot: VirtioMmio,
    queues: u64,
    available: [u16; 4],
}

impl Driver {
    fn new(device: impl FnOnce(&Arc<Ram>) -> Box<dyn VirtioDevice>) -> Driver {
        let ram = memory();
        let device = device(&ram);
        let queues = device.queue_sizes().len() as u64;
        let slot = VirtioMmio::new(IrqLine::unconnected(), ram.clone(), Some(device));
        Driver { ram, slot, queues, available: [0; 4] }
    }

    fn set(&mut self, register: u64, value: u64) {
        self.slot.write(register, Size::B4, value);
    }

    /// Brings the device up.
    fn start(&mut self, features: u64) {
        self.available = [0; 4];
        let early = [(0x70, 0), (0x70, 3), (0x24, 0), (0x20, features), (0x24, 1), (0x20, 1), (0x70, 11)];
        early.into_iter().for_each(|(register, value)| self.set(register, value));
        for queue in 0..self.queues {
            let table = RAM + queue * RINGS;
            // The rings may be full of what came before.
            let _ = self.ram.dma().write_slice(&[0; 0x3000], GuestAddress(table));
            let rings = [(0x80, table), (0x90, table + 0x1000), (0xa0, table + 0x2000)];
            [(0x30, queue), (0x38, QUEUE.into())].into_iter().for_each(|(register, v)| self.set(register, v));
            rings.into_iter().for_each(|(register, v)| self.set(register, v));
            self.set(0x44, 1);
        }
        self.set(0x70, 15);
    }

    /// Makes a chain of buffers available; `head` is what its first one holds.
    fn submit(&mut self, p: &mut Program<'_>, head: &[u8]) {
        let queue = u64::from(p.byte()) % self.queues;
        let (table, count, odd) = (RAM + queue * RINGS, u16::from(p.byte() & 3) + 1, p.byte());
        let mut at = RAM + BUFFERS;
        for i in 0..count {
            let mut len = u64::from(p.byte()) << (p.byte() & 7);
            if i == 0 && !head.is_empty() {
                let _ = self.ram.dma().write_slice(head, GuestAddress(at));
                len = head.len() as u64;
            }
            let device_writes = u16::from(p.byte() & 1) << 1;
            let mut words =
                [at, len | u64::from(device_writes | u16::from(i + 1 < count)) << 32 | u64::from(i + 1) << 48];
            if odd & 0xf0 == 0 {
                words[usize::from(odd & 1)] ^= p.value();
            }
            let _ = self.ram.dma().write_obj(words, GuestAddress(table + 16 * u64::from(i)));
            at += len + 64;
        }
        let next = &mut self.available[queue as usize & 3];
        let slot = u64::from(*next % QUEUE);
        *next = next.wrapping_add(1 + u16::from(odd == 0xff));
        let index = *next;
        // Always from descriptor 0 on.
        let _ = self.ram.dma().write_obj(0u16, GuestAddress(table + 0x1004 + 2 * slot));
        let _ = self.ram.dma().write_obj(index, GuestAddress(table + 0x1002));
        self.set(0x50, queue);
    }

    /// Follows the program; `head` makes what the first buffer of a chain holds.
    fn follow(&mut self, p: &mut Program<'_>, mut head: impl FnMut(&mut Program<'_>) -> Vec<u8>) {
        let offered = self.offered();
        self.start(offered);
        while !p.is_over() {
            match p.byte() & 15 {
                0 => self.start(p.value()),
                1 => self.slot.service(p.byte().into()),
                2 => self.slot.config_changed(),
                3 | 4 => poke(p, &self.ram.clone()),
                5..=7 => access(p, &mut self.slot, mmio::SIZE),
                8 => self.start(offered),
                _ => {
                    let bytes = head(p);
                    self.submit(p, &bytes);
                }
            }
        }
    }

    fn offered(&mut self) -> u64 {
        self.set(0x14, 0);
        self.slot.read(0x10, Size::B4)
    }
}

fn blk(p: &mut Program<'_>) {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.as_file().set_len(1 << 20).expect("a MiB");
    let disk = RawFile::open(file.path(), true).expect("opened");
    let disk = Overlay::new(Box::new(disk)).expect("an overlay");
    Driver::new(|_| Box::new(Blk::new(Box::new(disk), "serial"))).follow(p, |p| {
        let (kind, sector) = (u32::from(p.byte() & 15), p.value());
        [&kind.to_le_bytes()[..], &[0; 4], &sector.to_le_bytes()].concat()
    });
}

fn console(p: &mut Program<'_>) {
    let input = Arc::new(InputQueue::new(4096));
    input.push(&p.bytes(64));
    let console = Console::new(Box::new(Capture::default()), input, (80, 25));
    Driver::new(|_| Box::new(console)).follow(p, |p| p.bytes(8));
}

fn rng(p: &mut Program<'_>) {
    Driver::new(|_| Box::new(Rng::new(Box::new(|bytes| bytes.fill(7))))).follow(p, |_| Vec::new());
}

/// Sends every frame back, a few at a time.
#[derive(Default)]
struct Loop(Vec<Vec<u8>>);

impl Wire for Loop {
    fn send(&mut self, frame: &[u8]) {
        if self.0.len() < 16 {
            self.0.push(frame.to_vec());
        }
    }
    fn receive(&mut self) -> Option<Vec<u8>> {
        self.0.pop()
    }
}

fn net(p: &mut Program<'_>) {
    let device = Net::new(Box::new(Loop::default()), [2, 0, 0, 0, 0, 1]);
    Driver::new(|_| Box::new(device)).follow(p, |p| [vec![0; 12], p.bytes(40)].concat());
}

fn p9(p: &mut Program<'_>) {
    /// Tversion, Tattach, Twalk, Tlopen, Tlcreate, Tread, Twrite, Treaddir, Tgetattr, Tsetattr, Tclunk, Tmkdir, Tunlinkat,
    /// Trenameat, Tsymlink, Treadlink, Tlink, Txattrwalk, Tmknod, Tstatfs, Tfsync, Tlock, Tflush.
    const KINDS: [u8; 23] =
        [100, 104, 110, 12, 14, 116, 118, 40, 24, 26, 120, 72, 76, 74, 16, 22, 70, 30, 18, 8, 50, 52, 108];
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("a"), "text").expect("a file");
    let device = P9::new(dir.path(), "share").expect("shared");
    let mut begun = 0;
    let message = |kind: u8, body: &[u8]| [&(7 + body.len() as u32).to_le_bytes()[..], &[kind, 1, 0], body].concat();
    Driver::new(|_| Box::new(device)).follow(p, |p| {
        begun += 1;
        match begun {
            1 => message(100, b"\x00\x20\x00\x00\x08\x009P2000.L"),
            2 => message(104, b"\x01\x00\x00\x00\xff\xff\xff\xff\x01\x00u\x00\x00\x00\x00\x00\x00"),
            3 => message(110, b"\x01\x00\x00\x00\x02\x00\x00\x00\x01\x00\x01\x00a"),
            _ => {
                let kind = KINDS[usize::from(p.byte()) % KINDS.len()];
                let fid = [p.byte() & 3, 0, 0, 0];
                let body = p.bytes(usize::from(p.0.first().copied().unwrap_or(0) & 31));
                message(kind, &[&fid[..], &body].concat())
            }
        }
    });
}

/// The network behind the device, by frames of the guest. They lead to nobody but the network itself: to its gateway
/// with ports that nobody listens at, to addresses that it does not have.
fn network(p: &mut Program<'_>) {
    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
    let mut net = UserNet::new(MAC, &[]).expect("a network");
    while !p.is_over() {
        let (kind, from, to) = (p.byte(), p.byte(), p.byte());
        let mut frame = [&[0xff; 6][..], &MAC].concat();
        if kind & 7 == 0 {
            frame.extend([0x08, 0x06]);
            frame.extend(p.bytes(28));
        } else {
            // IHL stays: where the ports are must be known.
            let protocol = [6, 17, 1, p.0.first().copied().unwrap_or(0)][usize::from(kind >> 3 & 3)];
            let to = [[10, 0, 2, 2], [10, 0, 2, 15], [10, 0, 2, 77], [255; 4]][usize::from(to & 3)];
            let from = if from & 7 == 0 { [0; 4] } else { [10, 0, 2, 15] };
            let mut body = p.bytes(usize::from(kind >> 5) * 40 + 8);
            if let Some(port) = body.get_mut(2..4) {
                // Of UDP to the gateway, DHCP's and none that anything may be bound to.
                port.copy_from_slice(&[0, if protocol == 17 && to != [10, 0, 2, 2] { 67 } else { port[1] & 7 }]);
            }
            if let (6, Some(offset)) = (protocol, body.get_mut(12)) {
                *offset = 0x50 | *offset & 0xaf;
            }
            let len = (20 + body.len()) as u16;
            frame.extend([0x08, 0x00, 0x45, 0]);
            frame.extend(len.to_be_bytes());
            frame.extend([0, 0, p.byte() & 0x7f, p.byte(), 64, protocol, 0, 0]);
            frame.extend(from.iter().chain(&to));
            frame.extend(body);
        }
        net.send(&frame);
        while net.receive().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn random_programs() {
        for (n, (name, drive)) in DRIVES.iter().enumerate() {
            let mut rng = testing::Rng::new(n as u64);
            for round in 0..400 {
                let program: Vec<u8> = (0..rng.below(600)).map(|_| rng.value() as u8).collect();
                let failed = std::panic::catch_unwind(|| drive(&mut Program(&program)));
                assert!(failed.is_ok(), "{name}, round {round}: {program:?}");
            }
        }
    }
}
