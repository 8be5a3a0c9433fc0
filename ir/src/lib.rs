//! jib's intermediate representation: what guest code means, independent of guest and host.
//!
//! A frontend lifts guest code to a [`region::Region`]; [`interp`] runs it, the backend compiles it.
//! What an op computes is defined once, in [`eval`]. This crate knows no guest, no host, no thread;
//! only the floating-point environment follows AArch64's FPCR and FPSR bit layouts.
//!
//! Reading order: [`ty`], [`op`], [`region`], [`state`], [`builder`], [`eval`], [`interp`].
#![forbid(unsafe_code)]

pub mod builder;
pub mod eval;
pub mod guest;
pub mod interp;
pub mod op;
pub mod passes;
pub mod region;
pub mod runtime;
pub mod softfloat;
pub mod state;
pub mod text;
pub mod ty;
pub mod verify;
