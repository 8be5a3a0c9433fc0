//! The `virt` board: the only place that knows an address or an interrupt number.
//!
//! Laid out so that kernels, firmware and bare-metal programs made for the machine of this name run
//! unchanged. The PCIe windows are reserved and empty.

use std::fmt;
use std::io;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use jib_frontend_aarch64::cpu::Profile;
use vm_memory::{Bytes, GuestAddress};

use crate::bus::{Bus, BusBuilder, Shared, lock};
use crate::clock::Clock;
use crate::device::{Device, Size};
use crate::devices::flash::Flash;
use crate::devices::fw_cfg::{self, FwCfg, Payload};
use crate::devices::gic::{self, CpuLines, Gic, Version};
use crate::devices::pl011::Pl011;
use crate::devices::pl031::Pl031;
use crate::devices::pl061::Pl061;
use crate::devices::pv_time::{self, StolenTime};
use crate::devices::virtio::VirtioDevice;
use crate::devices::virtio::blk::Blk;
use crate::devices::virtio::console::Console;
use crate::devices::virtio::mmio::{self, VirtioMmio};
use crate::devices::virtio::net::Net;
use crate::devices::virtio::p9::P9;
use crate::devices::virtio::rng::Rng;
use crate::fdt::{Boot, Controller, Hardware, Node, PrivateInterrupts, Window};
use crate::host::disk::Disk;
use crate::host::input::InputQueue;
use crate::host::pump::NetPump;
use crate::host::{self, Output};
use crate::irq::{IrqLine, IrqSink};
use crate::net::{Forward, UserNet};
use crate::ram::Ram;
use crate::space::AddressSpace;

const GIC_DIST: Window = Window { base: 0x0800_0000, size: 0x1_0000 };
const GICV2_CPU: Window = Window { base: 0x0801_0000, size: 0x1_0000 };
const GICV2M: Window = Window { base: 0x0802_0000, size: 0x1000 };
/// INTIDs that the v2m frame can raise.
const GICV2M_FIRST: u32 = 80;
const GICV2M_COUNT: u32 = 64;
const GIC_REDIST: Window = Window { base: 0x080a_0000, size: 0x00f6_0000 };
/// Two banks of flash; firmware is in the first one.
const FLASH: [Window; 2] = [Window { base: 0, size: 0x0400_0000 }, Window { base: 0x0400_0000, size: 0x0400_0000 }];
/// What tells each CPU of its stolen time.
const PV_TIME: Window = Window { base: 0x090a_0000, size: 0x1_0000 };
const FW_CFG: Window = Window { base: 0x0902_0000, size: fw_cfg::SIZE };
/// Where firmware is entered.
pub const FIRMWARE_ENTRY: u64 = FLASH[0].base;
const UART: Node = Node { window: Window { base: 0x0900_0000, size: 0x1000 }, spi: 1 };
const RTC: Node = Node { window: Window { base: 0x0901_0000, size: 0x1000 }, spi: 2 };
const GPIO: Node = Node { window: Window { base: 0x0903_0000, size: 0x1000 }, spi: 7 };
const POWER_PIN: u8 = 3;
const VIRTIO_BASE: u64 = 0x0a00_0000;
const VIRTIO_SLOTS: usize = 32;
const VIRTIO_SPI: u32 = 16;
/// Where RAM begins.
pub const RAM_BASE: u64 = 0x4000_0000;
const SPIS: usize = 256;
/// Secure physical, physical, virtual, hypervisor timer.
const TIMER_PPIS: [u32; 4] = [13, 14, 11, 10];
const PMU_PPI: u32 = 7;
/// INTID of PPI 0.
const FIRST_PPI: u32 = 16;
/// Most CPUs: what fits the redistributors' window, and GICv2's limit.
const MOST_CPUS: usize = (GIC_REDIST.size / gic::redist::STRIDE) as usize;
const MOST_CPUS_V2: usize = 8;
/// Affinity level 0 holds this many CPUs, as SGI target lists do.
const CLUSTER: u64 = 16;

/// What to build.
pub struct Config {
    /// Number of CPUs.
    pub cpus: usize,
    /// Bytes of RAM.
    pub ram: u64,
    /// Which interrupt controller.
    pub gic: Version,
    /// What the CPUs can.
    pub cpu: Profile,
    /// Where the serial console's output goes.
    pub console: Box<dyn Output>,
    /// A virtio console besides: output, columns and rows.
    pub virtio_console: Option<(Box<dyn Output>, (u16, u16))>,
    /// Disks, in order, each with a serial number.
    pub disks: Vec<(Box<dyn Disk>, String)>,
    /// A network with these forwarded ports.
    pub net: Option<Vec<(SocketAddrV4, u16)>>,
    /// Folders to share, each with its mount tag.
    pub shares: Vec<(PathBuf, String)>,
    /// A virtio entropy source.
    pub rng: bool,
    /// Firmware for the first bank of flash, which is read-only then; otherwise that is as the second one.
    pub firmware: Option<Vec<u8>>,
    /// What the second bank of flash begins with, and where writes to it go.
    pub flash: Option<Box<dyn Disk>>,
    /// HLT 0xF000 is semihosting.
    pub semihosting: bool,
    /// What the firmware is to start.
    pub payload: Option<Payload>,
}

impl Config {
    /// One CPU, 1 GiB, GICv3, a serial console, and nothing else.
    pub fn new(console: Box<dyn Output>) -> Self {
        Config {
            cpus: 1,
            ram: 1 << 30,
            gic: Version::V3,
            cpu: Profile::default(),
            console,
            virtio_console: None,
            disks: Vec::new(),
            net: None,
            shares: Vec::new(),
            rng: true,
            firmware: None,
            flash: None,
            semihosting: false,
            payload: None,
        }
    }
}

/// Why a board cannot be built, in one line.
#[derive(Debug)]
pub struct BuildError(String);

impl BuildError {
    /// From what went wrong.
    pub(crate) fn new(why: &dyn fmt::Display) -> BuildError {
        BuildError(why.to_string())
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BuildError {}

fn build_error(what: &str) -> impl FnOnce(io::Error) -> BuildError + '_ {
    move |e| BuildError(format!("{what}: {e}"))
}

/// One CPU's private interrupt inputs, to be driven by whoever runs the CPU.
#[derive(Clone, Debug)]
pub struct CpuPins {
    /// Output of the physical timer.
    pub physical_timer: IrqLine,
    /// Output of the virtual timer.
    pub virtual_timer: IrqLine,
    /// Overflow of the performance monitors.
    pub pmu: IrqLine,
}

/// CPU inputs are numbered for [`Board::build`]'s sink: IRQ of CPU n is 2n, FIQ is 2n + 1.
pub fn cpu_input(id: u32) -> (usize, bool) {
    ((id / 2) as usize, id & 1 != 0)
}

/// The machine without its CPUs.
pub struct Board {
    /// Memory and devices.
    pub space: Arc<AddressSpace>,
    /// The interrupt controller.
    pub gic: Arc<Gic>,
    /// The system counter.
    pub clock: Clock,
    /// MPIDR affinity of each CPU.
    pub affinities: Vec<u64>,
    /// Interrupt inputs of each CPU.
    pub pins: Vec<CpuPins>,
    /// Bytes for the serial console; call [`Board::console_input_arrived`] after pushing.
    pub console_input: Arc<InputQueue>,
    /// Bytes for the virtio console; call [`Board::console_input_arrived`] after pushing.
    pub virtio_input: Arc<InputQueue>,
    /// What the CPUs can.
    pub cpu: Profile,
    /// HLT 0xF000 is semihosting.
    pub semihosting: bool,
    /// Where each CPU finds its stolen time, if the host knows it.
    pub stolen_time: Option<Vec<u64>>,
    hardware: Hardware,
    uart: Shared<Pl011>,
    rtc: Shared<Pl031>,
    gpio: Shared<Pl061>,
    virtio_console: Option<Shared<VirtioMmio>>,
    _net: Option<NetPump>,
}

impl Board {
    /// Builds the board. `cpu_inputs` hears of the CPUs' IRQ and FIQ inputs (see [`cpu_input`]); it is
    /// called with the interrupt controller locked and must only note the level and wake the CPU.
    pub fn build(config: Config, cpu_inputs: Arc<dyn IrqSink>) -> Result<Board, BuildError> {
        let most = if config.gic == Version::V2 { MOST_CPUS_V2 } else { MOST_CPUS };
        if config.cpus == 0 || config.cpus > most {
            return Err(BuildError(format!("{} CPUs: this interrupt controller has 1 to {most}", config.cpus)));
        }
        let ram = Ram::new(RAM_BASE, config.ram).map_err(build_error("memory"))?;
        let mut parts = Parts::new(config, Arc::new(ram), cpu_inputs);
        let net = parts.plug_devices()?;
        parts.finish(net)
    }

    /// The device tree for a boot.
    pub fn device_tree(&self, boot: &Boot) -> Result<Vec<u8>, BuildError> {
        crate::fdt::build(&self.hardware, boot).map_err(|e| BuildError(format!("device tree: {e}")))
    }

    /// Returns every device to its state at power-on. RAM keeps its content.
    pub fn reset(&self) {
        self.space.bus().reset();
    }

    /// Something was pushed to [`Board::console_input`] or [`Board::virtio_input`].
    pub fn console_input_arrived(&self) {
        lock(&self.uart).poll_input();
        if let Some(console) = &self.virtio_console {
            lock(console).service(0);
        }
    }

    /// Writes to where the serial console's output goes, past the UART.
    pub fn write_to_console(&self, bytes: &[u8]) {
        lock(&self.uart).write_past(bytes);
    }

    /// Sends a break on the serial line.
    pub fn send_break(&self) {
        lock(&self.uart).receive_break();
    }

    /// Presses or releases the power key. Guests sample it: hold it for a tenth of a second.
    pub fn power_key(&self, pressed: bool) {
        lock(&self.gpio).set_input(POWER_PIN, pressed);
    }

    /// Seconds until the real-time clock's alarm; call [`Board::rtc_tick`] then.
    pub fn rtc_alarm_in(&self) -> Option<u64> {
        lock(&self.rtc).alarm_in()
    }

    /// Lets the real-time clock see if its alarm is due.
    pub fn rtc_tick(&self) {
        lock(&self.rtc).tick();
    }
}

/// A board being put together.
struct Parts {
    config: Config,
    ram: Arc<Ram>,
    gic: Arc<Gic>,
    affinities: Vec<u64>,
    bus: BusBuilder,
    slots: Vec<Shared<VirtioMmio>>,
    console_input: Arc<InputQueue>,
    virtio_input: Arc<InputQueue>,
    virtio_console: Option<Shared<VirtioMmio>>,
}

impl Parts {
    fn new(config: Config, ram: Arc<Ram>, cpu_inputs: Arc<dyn IrqSink>) -> Self {
        let affinities: Vec<u64> = (0..config.cpus as u64).map(|n| ((n / CLUSTER) << 8) | (n % CLUSTER)).collect();
        let lines = affinities.iter().zip(0..).map(|(&affinity, n)| CpuLines {
            affinity,
            irq: IrqLine::new(cpu_inputs.clone(), 2 * n),
            fiq: IrqLine::new(cpu_inputs.clone(), 2 * n + 1),
        });
        let gic = Gic::new(config.gic, lines.collect(), SPIS);
        Parts {
            config,
            ram,
            gic,
            affinities,
            bus: Bus::builder(),
            slots: Vec::new(),
            console_input: Arc::default(),
            virtio_input: Arc::default(),
            virtio_console: None,
        }
    }

    fn spi(&self, number: u32) -> IrqLine {
        self.gic.line(gic::FIRST_SPI + number)
    }

    fn map<D: Device + 'static>(&mut self, name: &str, window: Window, device: D) -> Shared<D> {
        let device = Arc::new(Mutex::new(device));
        self.bus = std::mem::take(&mut self.bus).map(name, window.base, window.size, device.clone());
        device
    }

    /// Puts a device into the next free slot.
    fn plug(&mut self, device: Option<Box<dyn VirtioDevice>>) -> Result<Shared<VirtioMmio>, BuildError> {
        let index = self.slots.len();
        if index >= VIRTIO_SLOTS {
            return Err(BuildError(format!("more than {VIRTIO_SLOTS} virtio devices")));
        }
        let node = virtio_node(index);
        let slot = VirtioMmio::new(self.spi(node.spi), self.ram.clone(), device);
        let slot = self.map(&format!("virtio{index}"), node.window, slot);
        self.slots.push(slot.clone());
        Ok(slot)
    }

    /// Fills the slots; the network's thread runs from here on.
    fn plug_devices(&mut self) -> Result<Option<NetPump>, BuildError> {
        for (disk, serial) in std::mem::take(&mut self.config.disks) {
            self.plug(Some(Box::new(Blk::new(disk, &serial))))?;
        }
        let mut net = None;
        if let Some(forwards) = self.config.net.take() {
            net = Some(self.plug_net(&forwards)?);
        }
        if self.config.rng {
            self.plug(Some(Box::new(Rng::new(Box::new(entropy)))))?;
        }
        if let Some((output, size)) = self.config.virtio_console.take() {
            let console = Console::new(output, self.virtio_input.clone(), size);
            self.virtio_console = Some(self.plug(Some(Box::new(console)))?);
        }
        for (root, tag) in std::mem::take(&mut self.config.shares) {
            let share = P9::new(&root, &tag).map_err(build_error("shared folder"))?;
            self.plug(Some(Box::new(share)))?;
        }
        Ok(net)
    }

    fn plug_net(&mut self, forwards: &[(SocketAddrV4, u16)]) -> Result<NetPump, BuildError> {
        // Locally administered, as no one assigned it.
        const MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];
        let forwards: Vec<_> = forwards.iter().map(|&(host, guest_port)| Forward { host, guest_port }).collect();
        let network = UserNet::new(MAC, &forwards).map_err(build_error("network"))?;
        let ready = network.ready();
        let slot = self.plug(Some(Box::new(Net::new(Box::new(network), MAC))))?;
        NetPump::start(ready, move || lock(&slot).service(0)).map_err(build_error("network"))
    }

    /// Flash and fw_cfg; the firmware as memory.
    fn map_firmware(&mut self) -> Result<Option<Ram>, BuildError> {
        let [first, second] = FLASH;
        let rom = self.config.firmware.take().map(|image| rom(&image)).transpose()?;
        match rom {
            Some(_) => _ = self.map("flash0", first, WritesIgnored),
            None => _ = self.map("flash0", first, Flash::new(first.size, None)),
        }
        let flash = Flash::new(second.size, self.config.flash.take());
        self.map("flash1", second, flash);
        let (cpus, payload) = (self.config.cpus as u16, self.config.payload.take());
        let fw_cfg = FwCfg::new(self.ram.clone(), cpus, payload, Vec::new());
        self.map("fw_cfg", FW_CFG, fw_cfg);
        Ok(rom)
    }

    fn map_stolen_time(&mut self) -> Option<Vec<u64>> {
        host::waited()?;
        let cpus = self.config.cpus;
        self.map("stolen time", PV_TIME, StolenTime::new(cpus, Box::new(host::waited)));
        Some((0..cpus as u64).map(|cpu| PV_TIME.base + cpu * pv_time::STRIDE).collect())
    }

    fn map_gic(&mut self) -> Controller {
        let gic = self.gic.clone();
        match self.config.gic {
            Version::V2 => {
                self.map("gicd", Window { size: gic::v2::DIST_SIZE, ..GIC_DIST }, gic::v2::Distributor(gic.clone()));
                self.map("gicc", Window { size: gic::v2::CPU_SIZE, ..GICV2_CPU }, gic::v2::CpuInterface(gic.clone()));
                self.map("v2m", GICV2M, gic::v2m::Frame::new(gic, GICV2M_FIRST, GICV2M_COUNT));
                Controller::V2 { dist: GIC_DIST, cpu: GICV2_CPU, msi: GICV2M }
            }
            Version::V3 => {
                self.map("gicd", GIC_DIST, gic::dist::Distributor(gic.clone()));
                self.map("gicr", GIC_REDIST, gic::redist::Redistributors(gic));
                Controller::V3 { dist: GIC_DIST, redist: GIC_REDIST }
            }
        }
    }

    fn finish(mut self, net: Option<NetPump>) -> Result<Board, BuildError> {
        let present = self.slots.len();
        for _ in present..VIRTIO_SLOTS {
            self.plug(None)?;
        }
        let controller = self.map_gic();
        let rom = self.map_firmware()?;
        let stolen_time = self.map_stolen_time();
        let output = std::mem::replace(&mut self.config.console, Box::new(crate::host::Capture::default()));
        let uart = Pl011::new(self.spi(UART.spi), output, self.console_input.clone());
        let uart = self.map("pl011", UART.window, uart);
        let rtc = Pl031::new(self.spi(RTC.spi), Box::new(wall_clock));
        let rtc = self.map("pl031", RTC.window, rtc);
        let gpio = Pl061::new(self.spi(GPIO.spi));
        let gpio = self.map("pl061", GPIO.window, gpio);
        let bus = self.bus.build().map_err(|e| BuildError(e.to_string()))?;
        let hardware = Hardware {
            cpus: self.affinities.clone(),
            memory: Window { base: RAM_BASE, size: self.ram.size() },
            controller,
            private: PrivateInterrupts { timers: TIMER_PPIS, pmu: PMU_PPI },
            uart: UART,
            rtc: RTC,
            gpio: GPIO,
            power_pin: u32::from(POWER_PIN),
            flash: FLASH,
            fw_cfg: FW_CFG,
            virtio: (0..present).map(virtio_node).collect(),
        };
        let ppi = |cpu, number| self.gic.private_line(cpu, FIRST_PPI + number);
        let pins = (0..self.config.cpus).map(|cpu| CpuPins {
            physical_timer: ppi(cpu, TIMER_PPIS[1]),
            virtual_timer: ppi(cpu, TIMER_PPIS[2]),
            pmu: ppi(cpu, PMU_PPI),
        });
        Ok(Board {
            pins: pins.collect(),
            space: Arc::new(AddressSpace::new(self.ram, bus).with_rom(rom)),
            gic: self.gic,
            clock: Clock::start(),
            affinities: self.affinities,
            console_input: self.console_input,
            virtio_input: self.virtio_input,
            cpu: self.config.cpu,
            semihosting: self.config.semihosting,
            stolen_time,
            hardware,
            uart,
            rtc,
            gpio,
            virtio_console: self.virtio_console,
            _net: net,
        })
    }
}

/// The first bank of flash as memory with `image` at its beginning.
fn rom(image: &[u8]) -> Result<Ram, BuildError> {
    let Window { base, size } = FLASH[0];
    if image.is_empty() || image.len() as u64 > size {
        return Err(BuildError(format!("firmware of {} bytes: 1 to {size} fit the flash", image.len())));
    }
    let rom = Ram::new(base, size).map_err(build_error("firmware"))?;
    rom.dma().write_slice(image, GuestAddress(base)).map_err(|e| BuildError(format!("firmware: {e}")))?;
    Ok(rom)
}

/// What takes the writes to read-only memory.
struct WritesIgnored;

impl Device for WritesIgnored {
    fn read(&mut self, _offset: u64, _size: Size) -> u64 {
        0
    }
    fn write(&mut self, _offset: u64, _size: Size, _value: u64) {}
    fn reset(&mut self) {}
}

fn virtio_node(index: usize) -> Node {
    let base = VIRTIO_BASE + index as u64 * mmio::SIZE;
    Node { window: Window { base, size: mmio::SIZE }, spi: VIRTIO_SPI + index as u32 }
}

/// Fills `bytes` from the host's generator.
pub fn entropy(bytes: &mut [u8]) {
    let mut done = 0;
    while done < bytes.len() {
        match rustix::rand::getrandom(&mut bytes[done..], rustix::rand::GetRandomFlags::empty()) {
            Ok(count) => done += count,
            Err(rustix::io::Errno::INTR) => {}
            // Every kernel that can run this has the call; zeroes are no secret, but no lie either.
            Err(_) => return,
        }
    }
}

fn wall_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::gic::icc::Icc;
    use crate::host::Capture;
    use crate::irq::Probe;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Remembers the level of each CPU input, a bit each.
    #[derive(Default)]
    struct Inputs(AtomicU64);

    impl IrqSink for Inputs {
        fn set(&self, id: u32, level: bool) {
            match level {
                true => self.0.fetch_or(1 << id, Ordering::AcqRel),
                false => self.0.fetch_and(!(1 << id), Ordering::AcqRel),
            };
        }
    }

    fn board(cpus: usize, version: Version) -> (Board, Arc<Inputs>, Capture) {
        let (inputs, out) = (Arc::new(Inputs::default()), Capture::default());
        let config =
            Config { cpus, ram: 1 << 26, gic: version, net: Some(vec![]), ..Config::new(Box::new(out.clone())) };
        (Board::build(config, inputs.clone()).unwrap(), inputs, out)
    }

    fn read(b: &Board, addr: u64) -> u64 {
        b.space.read(0, addr, Size::B4).unwrap()
    }

    fn write(b: &Board, addr: u64, value: u64) {
        b.space.write(0, addr, Size::B4, value).unwrap();
    }

    #[test]
    fn everything_is_where_guests_expect_it() {
        let (b, _, out) = board(2, Version::V3);
        write(&b, 0x0900_0000, 0x41);
        assert_eq!(out.take(), b"A");
        assert_eq!(read(&b, 0x0901_0fe0), 0x31);
        assert_eq!(read(&b, 0x0903_0fe0), 0x61);
        assert_eq!(read(&b, 0x0800_ffe8), 0x3b);
        assert_eq!(b.space.read(1, 0x080c_0008, Size::B8), Ok(1 << 32 | 1 << 8 | 1 << 4));
        let ids: Vec<u64> = (0..4).map(|slot| read(&b, 0x0a00_0008 + slot * 0x200)).collect();
        assert_eq!(ids, [1, 4, 0, 0], "net, rng, empty slots");
        assert_eq!(read(&b, 0x0a00_3e00), 0x7472_6976);
        assert_eq!(b.space.read(0, 0x0902_0000, Size::B4), Ok(0x554d_4551), "QEMU");
        assert_eq!((read(&b, 0), read(&b, 0x07ff_fffc)), (0xffff_ffff, 0xffff_ffff), "erased flash");
        write(&b, 0x0400_0154, 0x98_0098);
        assert_eq!((read(&b, 0x0400_0040), read(&b, 0x40)), (0x51_0051, 0xffff_ffff));
        assert_eq!(b.space.write(0, 0x43ff_fff8, Size::B8, 1), Ok(()));
        assert!(b.space.read(0, 0x4400_0000, Size::B4).is_err());
    }

    #[test]
    fn firmware_is_memory_that_nobody_changes() {
        let config = Config { firmware: Some(vec![1, 2, 3, 4]), ..Config::new(Box::new(Capture::default())) };
        let b = Board::build(config, Arc::new(Probe::default())).unwrap();
        write(&b, 0, 0xff_00ff);
        assert_eq!((read(&b, 0), read(&b, 0x03ff_fffc)), (0x0403_0201, 0));
        assert!(b.space.memory(0, 4).is_some_and(|(_, offset, writable)| offset == 0 && !writable));
        let config = Config { firmware: Some(vec![0; (64 << 20) + 1]), ..Config::new(Box::new(Capture::default())) };
        let text = Board::build(config, Arc::new(Probe::default())).err().map(|e| e.to_string());
        assert_eq!(text.as_deref(), Some("firmware of 67108865 bytes: 1 to 67108864 fit the flash"));
    }

    #[test]
    fn a_key_stroke_reaches_the_cpu_by_gicv3() {
        let (b, inputs, _) = board(2, Version::V3);
        write(&b, 0x0800_0000, 2);
        write(&b, 0x0800_0084, !0);
        write(&b, 0x0800_0104, 1 << 1);
        b.space.write(0, 0x0800_6000 + 33 * 8, Size::B8, 1).unwrap();
        for (reg, value) in [(Icc::Pmr, 0xf0), (Icc::Igrpen1, 1)] {
            b.gic.write_icc(1, reg, value);
        }
        write(&b, 0x0900_0038, 0x50);
        b.console_input.push(b"k");
        b.console_input_arrived();
        assert_eq!(inputs.0.load(Ordering::Acquire), 1 << 2, "IRQ of CPU 1");
        assert_eq!(b.gic.read_icc(1, Icc::Iar1), 33);
        assert_eq!(read(&b, 0x0900_0000), u64::from(b'k'));
        b.gic.write_icc(1, Icc::Eoir1, 33);
        assert_eq!((inputs.0.load(Ordering::Acquire), cpu_input(2)), (0, (1, false)));
    }

    #[test]
    fn a_timer_reaches_the_cpu_by_gicv2() {
        let (b, inputs, _) = board(1, Version::V2);
        write(&b, 0x0800_0000, 1);
        write(&b, 0x0800_0100, 1 << 27);
        write(&b, 0x0801_0004, 0xff);
        write(&b, 0x0801_0000, 1);
        b.pins[0].virtual_timer.set(true);
        assert_eq!(inputs.0.load(Ordering::Acquire), 1);
        assert_eq!(read(&b, 0x0801_000c), 27);
        b.pins[0].virtual_timer.set(false);
        write(&b, 0x0801_0010, 27);
        assert_eq!(read(&b, 0x0801_000c), 1023);
        assert_eq!(read(&b, 0x0802_0008), 80 << 16 | 64);
    }

    #[test]
    fn the_device_tree_names_what_is_there() {
        for version in [Version::V2, Version::V3] {
            let (b, ..) = board(3, version);
            let boot = Boot {
                arguments: "console=ttyAMA0".to_string(),
                initrd: Some(0x4800_0000..0x4800_1000),
                seed: vec![7; 40],
            };
            let tree = b.device_tree(&boot).unwrap();
            assert_eq!(tree[..4], [0xd0, 0x0d, 0xfe, 0xed]);
            let text = String::from_utf8_lossy(&tree);
            let controller = if version == Version::V2 { "arm,gic-v2m-frame" } else { "arm,gic-v3" };
            let expected = [
                "cpu@2",
                "pl011@9000000",
                "virtio_mmio@a000200",
                "console=ttyAMA0",
                "rng-seed",
                "poweroff",
                "arm,armv8-pmuv3",
                "cfi-flash",
                "qemu,fw-cfg-mmio",
                controller,
            ];
            for name in expected {
                assert!(text.contains(name), "{name}");
            }
            assert!(!text.contains("virtio_mmio@a000400"), "an empty slot");
        }
    }

    #[test]
    fn reset_and_power_key() {
        let (b, ..) = board(1, Version::V3);
        write(&b, 0x0903_0410, 8);
        write(&b, 0x0903_040c, 8);
        b.power_key(true);
        assert_eq!(read(&b, 0x0903_0418), 8);
        b.power_key(false);
        b.reset();
        assert_eq!(read(&b, 0x0903_0418), 0);
        b.rtc_tick();
        assert_eq!(b.rtc_alarm_in(), None);
        b.send_break();
        assert_eq!(read(&b, 0x0900_003c) & 0x200, 0x200);
    }

    #[test]
    fn too_many_cpus_and_too_little_memory() {
        let fails = |cpus, ram, gic| {
            let config = Config { cpus, ram, gic, ..Config::new(Box::new(Capture::default())) };
            Board::build(config, Arc::new(Probe::default())).err().map(|e| e.to_string())
        };
        let text = fails(9, 1 << 20, Version::V2);
        assert_eq!(text.as_deref(), Some("9 CPUs: this interrupt controller has 1 to 8"));
        assert!(fails(0, 1 << 20, Version::V3).is_some() && fails(1, 100, Version::V3).is_some());
        assert_eq!(fails(123, 1 << 20, Version::V3), None);
    }
}
