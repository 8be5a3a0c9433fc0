//! Arm's generic interrupt controllers: GICv3 with a system-register CPU interface (IHI 0069), and
//! GICv2 (IHI 0048) with a v2m frame.
//!
//! Both are views of one [`Gic`]: `state` holds every interrupt's state and decides which one each
//! CPU should take; [`dist`], [`redist`] and [`icc`] are GICv3's registers, [`v2`] and [`v2m`] those
//! of GICv2. There is one security state (GICD_CTLR.DS reads as one): group 0 interrupts arrive as
//! FIQ and group 1 as IRQ. There are no LPIs.

mod bank;
mod cpu;
pub mod dist;
pub mod icc;
pub mod redist;
mod state;
pub mod v2;
pub mod v2m;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::irq::{IrqLine, IrqSink};
pub(crate) use state::State;

/// INTIDs below this are private to a CPU: 16 SGIs, then 16 PPIs.
pub const FIRST_SPI: u32 = 32;
/// IAR's answer when there is nothing to take.
pub(crate) const SPURIOUS: u32 = 1023;
/// JEP106 code of Arm: the implementer in IIDR registers.
pub(crate) const IIDR: u32 = 0x043b;

/// Which architecture the registers follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// GICv2: at most eight CPUs.
    V2,
    /// GICv3 with affinity routing only.
    V3,
}

/// The interrupt inputs of one CPU.
#[derive(Clone, Debug)]
pub struct CpuLines {
    /// MPIDR affinity: Aff3 in bits 39 to 32, Aff2 to Aff0 in bits 23 to 0.
    pub affinity: u64,
    /// The IRQ input.
    pub irq: IrqLine,
    /// The FIQ input.
    pub fiq: IrqLine,
}

/// An interrupt controller with its interrupts. Every method may be called from any thread; CPU
/// inputs are driven with the controller locked, so their sinks must not call back.
pub struct Gic {
    version: Version,
    state: Mutex<State>,
}

impl Gic {
    /// A controller for these CPUs with `spis` shared interrupts (rounded up to 32).
    pub fn new(version: Version, cpus: Vec<CpuLines>, spis: usize) -> Arc<Gic> {
        Arc::new(Gic { version, state: Mutex::new(State::new(version, cpus, spis)) })
    }

    /// Input line of shared interrupt `intid` (32 and up).
    pub fn line(self: &Arc<Self>, intid: u32) -> IrqLine {
        IrqLine::new(self.clone(), intid & 0xffff)
    }

    /// Input line of CPU `cpu`'s private interrupt `intid` (16 to 31).
    pub fn private_line(self: &Arc<Self>, cpu: usize, intid: u32) -> IrqLine {
        IrqLine::new(self.clone(), (cpu as u32) << 16 | (intid & 31))
    }

    /// Which architecture the registers follow.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Number of CPUs.
    pub fn cpus(&self) -> usize {
        self.lock().cpus.len()
    }

    /// State at power-on; input levels are the devices' and stay.
    pub fn reset(&self) {
        self.lock().reset();
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IrqSink for Gic {
    /// Bits 0 to 15 of `id` are the INTID, the rest is the CPU of a private one.
    fn set(&self, id: u32, level: bool) {
        self.lock().set_input((id >> 16) as usize, id & 0xffff, level);
    }
}

/// The identification registers at the end of a GICv3 frame (0xffd0 to 0xfffc).
pub(crate) fn frame_id(offset: u64, part: u8) -> u32 {
    const AFTER_PART: [u8; 7] = [0xb4, 0x3b, 0, 0x0d, 0xf0, 0x05, 0xb1];
    match offset {
        0xffd0 => 0x44,
        0xffe0 => u32::from(part),
        0xffe4..=0xfffc => u32::from(AFTER_PART[((offset - 0xffe4) / 4) as usize]),
        _ => 0,
    }
}
