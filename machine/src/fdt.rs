//! The device tree, from what the board says it has.

use vm_fdt::{Error, FdtWriter};

/// An address window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First address
    pub base: u64,
    /// Number of bytes
    pub size: u64,
}

/// A device with a window and a shared interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its registers.
    pub window: Window,
    /// Number of its shared interrupt, counted from 0.
    pub spi: u32,
}

/// The interrupt controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// GICv2 with its MSI frame.
    V2 {
        /// Distributor
        dist: Window,
        /// CPU interface
        cpu: Window,
        /// v2m frame
        msi: Window,
    },
    /// GICv3
    V3 {
        /// Distributor
        dist: Window,
        /// Redistributors
        redist: Window,
    },
}

/// Private interrupts of the CPUs, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrivateInterrupts {
    /// Secure physical, physical, virtual and hypervisor timer.
    pub timers: [u32; 4],
    /// Performance monitors.
    pub pmu: u32,
}

/// Everything a device tree tells of the hardware.
#[derive(Clone, Debug)]
pub struct Hardware {
    /// MPIDR affinity of each CPU.
    pub cpus: Vec<u64>,
    /// RAM
    pub memory: Window,
    /// Interrupt controller
    pub controller: Controller,
    /// Private interrupts
    pub private: PrivateInterrupts,
    /// PL011
    pub uart: Node,
    /// PL031
    pub rtc: Node,
    /// PL061
    pub gpio: Node,
    /// The GPIO's pin with the power key
    pub power_pin: u32,
    /// Banks of flash
    pub flash: [Window; 2],
    /// fw_cfg
    pub fw_cfg: Window,
    /// Virtio slots with a device, in the order in which guests should find them.
    pub virtio: Vec<Node>,
}

/// What a boot adds.
#[derive(Clone, Debug, Default)]
pub struct Boot {
    /// Kernel command line
    pub arguments: String,
    /// First and last address (exclusive) of the initrd
    pub initrd: Option<std::ops::Range<u64>>,
    /// Entropy for the kernel's generator and its address randomisation
    pub seed: Vec<u8>,
}

const PHANDLE_GIC: u32 = 1;
const PHANDLE_CLOCK: u32 = 2;
const PHANDLE_GPIO: u32 = 3;
const PHANDLE_MSI: u32 = 4;
/// Interrupt kinds and triggers of Arm's bindings.
const SPI: u32 = 0;
const PPI: u32 = 1;
const EDGE_RISING: u32 = 1;
const LEVEL_HIGH: u32 = 4;
/// Linux input code of the power key.
const KEY_POWER: u32 = 116;
const PERIPHERAL_CLOCK_HZ: u32 = 24_000_000;

type Result = std::result::Result<(), Error>;

/// Builds the tree.
pub fn build(hardware: &Hardware, boot: &Boot) -> std::result::Result<Vec<u8>, Error> {
    let mut tree = Tree { fdt: FdtWriter::new()?, hardware };
    let root = tree.fdt.begin_node("")?;
    tree.fdt.property_u32("interrupt-parent", PHANDLE_GIC)?;
    tree.fdt.property_string("model", "linux,dummy-virt")?;
    tree.fdt.property_string("compatible", "linux,dummy-virt")?;
    tree.cells(2, 2)?;
    tree.chosen(boot)?;
    tree.memory()?;
    tree.cpus()?;
    tree.psci()?;
    tree.timer()?;
    tree.controller()?;
    tree.firmware()?;
    tree.peripherals()?;
    tree.virtio()?;
    tree.fdt.end_node(root)?;
    tree.fdt.finish()
}

struct Tree<'a> {
    fdt: FdtWriter,
    hardware: &'a Hardware,
}

impl Tree<'_> {
    fn node(&mut self, name: &str, body: impl FnOnce(&mut Self) -> Result) -> Result {
        let node = self.fdt.begin_node(name)?;
        body(self)?;
        self.fdt.end_node(node)
    }

    fn cells(&mut self, address: u32, size: u32) -> Result {
        self.fdt.property_u32("#address-cells", address)?;
        self.fdt.property_u32("#size-cells", size)
    }

    fn strings(&mut self, name: &str, values: &[&str]) -> Result {
        self.fdt.property_string_list(name, values.iter().map(|value| value.to_string()).collect())
    }

    fn reg(&mut self, windows: &[Window]) -> Result {
        let values: Vec<u64> = windows.iter().flat_map(|window| [window.base, window.size]).collect();
        self.fdt.property_array_u64("reg", &values)
    }

    fn chosen(&mut self, boot: &Boot) -> Result {
        let console = format!("/pl011@{:x}", self.hardware.uart.window.base);
        self.node("chosen", |tree| {
            tree.fdt.property_string("bootargs", &boot.arguments.replace('\0', " "))?;
            tree.fdt.property_string("stdout-path", &console)?;
            if let Some(initrd) = &boot.initrd {
                tree.fdt.property_u64("linux,initrd-start", initrd.start)?;
                tree.fdt.property_u64("linux,initrd-end", initrd.end)?;
            }
            if let Some(seed) = boot.seed.get(..8) {
                tree.fdt.property("kaslr-seed", seed)?;
                tree.fdt.property("rng-seed", &boot.seed[8..])?;
            }
            Ok(())
        })
    }

    fn memory(&mut self) -> Result {
        let memory = self.hardware.memory;
        self.node(&format!("memory@{:x}", memory.base), |tree| {
            tree.fdt.property_string("device_type", "memory")?;
            tree.reg(&[memory])
        })
    }

    fn cpus(&mut self) -> Result {
        // Two cells only if some CPU needs Aff3.
        let wide = self.hardware.cpus.iter().any(|affinity| affinity >> 32 != 0);
        self.node("cpus", |tree| {
            tree.cells(if wide { 2 } else { 1 }, 0)?;
            for &affinity in &tree.hardware.cpus {
                tree.node(&format!("cpu@{affinity:x}"), |tree| {
                    tree.fdt.property_string("device_type", "cpu")?;
                    tree.fdt.property_string("compatible", "arm,armv8")?;
                    tree.fdt.property_string("enable-method", "psci")?;
                    match wide {
                        true => tree.fdt.property_u64("reg", affinity),
                        false => tree.fdt.property_u32("reg", affinity as u32),
                    }
                })?;
            }
            Ok(())
        })
    }

    fn psci(&mut self) -> Result {
        self.node("psci", |tree| {
            tree.strings("compatible", &["arm,psci-1.0", "arm,psci-0.2", "arm,psci"])?;
            tree.fdt.property_string("method", "hvc")?;
            tree.fdt.property_u32("cpu_suspend", 0xc400_0001)?;
            tree.fdt.property_u32("cpu_off", 0x8400_0002)?;
            tree.fdt.property_u32("cpu_on", 0xc400_0003)
        })
    }

    /// The cells of a private interrupt; GICv2 wants the CPUs that have it too.
    fn private_interrupt(&self, number: u32) -> [u32; 3] {
        let cpus = match self.hardware.controller {
            Controller::V2 { .. } => ((1 << self.hardware.cpus.len().min(8)) - 1) << 8,
            Controller::V3 { .. } => 0,
        };
        [PPI, number, cpus | LEVEL_HIGH]
    }

    fn timer(&mut self) -> Result {
        let private = self.hardware.private;
        let timers = private.timers.map(|number| self.private_interrupt(number)).concat();
        self.node("timer", |tree| {
            tree.strings("compatible", &["arm,armv8-timer", "arm,armv7-timer"])?;
            tree.fdt.property_null("always-on")?;
            tree.fdt.property_array_u32("interrupts", &timers)
        })?;
        let pmu = self.private_interrupt(private.pmu);
        self.node("pmu", |tree| {
            tree.fdt.property_string("compatible", "arm,armv8-pmuv3")?;
            tree.fdt.property_array_u32("interrupts", &pmu)
        })
    }

    fn controller(&mut self) -> Result {
        let (dist, second, compatible, msi) = match self.hardware.controller {
            Controller::V2 { dist, cpu, msi } => (dist, cpu, "arm,cortex-a15-gic", Some(msi)),
            Controller::V3 { dist, redist } => (dist, redist, "arm,gic-v3", None),
        };
        self.node(&format!("intc@{:x}", dist.base), |tree| {
            tree.fdt.property_phandle(PHANDLE_GIC)?;
            tree.fdt.property_string("compatible", compatible)?;
            tree.fdt.property_null("interrupt-controller")?;
            tree.fdt.property_u32("#interrupt-cells", 3)?;
            tree.cells(2, 2)?;
            tree.fdt.property_null("ranges")?;
            tree.reg(&[dist, second])?;
            let Some(msi) = msi else { return tree.fdt.property_u32("#redistributor-regions", 1) };
            tree.node(&format!("v2m@{:x}", msi.base), |tree| {
                tree.fdt.property_phandle(PHANDLE_MSI)?;
                tree.fdt.property_string("compatible", "arm,gic-v2m-frame")?;
                tree.fdt.property_null("msi-controller")?;
                tree.reg(&[msi])
            })
        })
    }

    fn clocks(&mut self, names: &[&str]) -> Result {
        self.fdt.property_array_u32("clocks", &vec![PHANDLE_CLOCK; names.len()])?;
        self.strings("clock-names", names)
    }

    fn primecell(&mut self, name: &str, node: Node, clocks: &[&str], more: impl FnOnce(&mut Self) -> Result) -> Result {
        self.node(&format!("{name}@{:x}", node.window.base), |tree| {
            tree.strings("compatible", &[&format!("arm,{name}"), "arm,primecell"])?;
            tree.reg(&[node.window])?;
            tree.fdt.property_array_u32("interrupts", &[SPI, node.spi, LEVEL_HIGH])?;
            tree.clocks(clocks)?;
            more(tree)
        })
    }

    fn firmware(&mut self) -> Result {
        let Hardware { flash, fw_cfg, .. } = *self.hardware;
        self.node(&format!("flash@{:x}", flash[0].base), |tree| {
            tree.fdt.property_string("compatible", "cfi-flash")?;
            tree.reg(&flash)?;
            tree.fdt.property_u32("bank-width", 4)
        })?;
        self.node(&format!("fw-cfg@{:x}", fw_cfg.base), |tree| {
            tree.fdt.property_string("compatible", "qemu,fw-cfg-mmio")?;
            tree.fdt.property_null("dma-coherent")?;
            tree.reg(&[fw_cfg])
        })
    }

    fn peripherals(&mut self) -> Result {
        let hardware = self.hardware;
        self.node("apb-pclk", |tree| {
            tree.fdt.property_phandle(PHANDLE_CLOCK)?;
            tree.fdt.property_string("compatible", "fixed-clock")?;
            tree.fdt.property_u32("#clock-cells", 0)?;
            tree.fdt.property_u32("clock-frequency", PERIPHERAL_CLOCK_HZ)?;
            tree.fdt.property_string("clock-output-names", "clk24mhz")
        })?;
        self.primecell("pl011", hardware.uart, &["uartclk", "apb_pclk"], |_| Ok(()))?;
        self.primecell("pl031", hardware.rtc, &["apb_pclk"], |_| Ok(()))?;
        self.primecell("pl061", hardware.gpio, &["apb_pclk"], |tree| {
            tree.fdt.property_phandle(PHANDLE_GPIO)?;
            tree.fdt.property_null("gpio-controller")?;
            tree.fdt.property_u32("#gpio-cells", 2)
        })?;
        self.node("gpio-keys", |tree| {
            tree.fdt.property_string("compatible", "gpio-keys")?;
            tree.node("poweroff", |tree| {
                tree.fdt.property_string("label", "GPIO Key Poweroff")?;
                tree.fdt.property_u32("linux,code", KEY_POWER)?;
                tree.fdt.property_array_u32("gpios", &[PHANDLE_GPIO, hardware.power_pin, 0])
            })
        })
    }

    fn virtio(&mut self) -> Result {
        for slot in &self.hardware.virtio {
            self.node(&format!("virtio_mmio@{:x}", slot.window.base), |tree| {
                tree.fdt.property_string("compatible", "virtio,mmio")?;
                tree.fdt.property_null("dma-coherent")?;
                tree.fdt.property_array_u32("interrupts", &[SPI, slot.spi, EDGE_RISING])?;
                tree.reg(&[slot.window])
            })?;
        }
        Ok(())
    }
}
