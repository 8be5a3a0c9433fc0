//! What jib's tests share.
//!
//! Instruction differential: [`case`] is one experiment, [`generate`] makes random ones for every row of the
//! instruction table, [`sequence`] strings several together, [`oracle`] lets `qemu-aarch64` do them, [`interp`] lets our
//! interpreter do them, and
//! [`differential`] compares and reports. [`lockstep`] makes whole random programs. [`memory`] makes a runtime of bytes. [`tools`] finds or explains the missing programs.
#![forbid(unsafe_code)]

pub mod case;
pub mod differential;
pub mod disasm;
pub mod fetch;
pub mod generate;
pub mod guest;
pub mod host;
pub mod interp;
pub mod known;
pub mod lockstep;
pub mod memory;
pub mod oracle;
pub mod program;
pub mod random;
pub mod sequence;
pub mod testfloat;
pub mod tools;
pub mod values;
