//! The `virt` board: everything of the machine that is not a CPU.
//!
//! [`board`] says what is where and builds it; [`devices`] are pure state machines; [`ram`], [`bus`]
//! and [`space`] are how CPUs reach them; [`irq`] is how devices reach CPUs; [`timer`], [`clock`], [`pmu`] and
//! [`psci`] are what a CPU loop needs besides; [`loader`], [`fdt`] and [`initramfs`] prepare a boot,
//! [`launch`] is a whole one with its user.
//! No device knows an address, an interrupt number or a virtual CPU.

#![deny(unsafe_code)]

pub mod board;
pub mod bus;
pub mod clock;
pub mod cpu;
pub mod device;
pub mod devices;
#[cfg(test)]
mod drive;
pub mod fdt;
mod gdb;
pub mod host;
pub mod initramfs;
pub mod irq;
pub mod launch;
pub mod loader;
pub mod machine;
pub mod net;
pub mod pmu;
pub mod psci;
#[allow(unsafe_code, reason = "guest memory is shared with generated code")]
pub mod ram;
pub mod space;
#[cfg(test)]
mod testing;
pub mod timer;
