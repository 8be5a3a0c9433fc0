//! The system level of the processor: what EL1 sees and controls.
//!
//! [`state`] says where the registers live, [`sysreg`] names them, [`exception`] enters and leaves
//! EL1, [`mmu`] translates addresses, [`tlbi`] reads what of that is to be forgotten. None of it knows a device: what belongs to the board (interrupt
//! controller, timers, TLBs) goes through [`jib_ir::runtime::Runtime::system`].

pub mod debug;
pub mod exception;
pub mod mmu;
pub mod state;
pub mod sysreg;
pub mod tlbi;
