//! AArch64 as a guest: decoding and lifting to jib's IR.
//!
//! The way of an instruction: [`decode`] finds its row in [`isa`]; the row's function in [`lift`]
//! appends IR to the region; what IR cannot say is a helper (`helper.rs`). This crate knows no
//! host, no device, no thread.
#![forbid(unsafe_code)]

pub mod cpu;
pub mod decode;
pub mod field;
mod helper;
mod helper_system;
pub mod isa;
pub mod lift;
pub mod pattern;
pub mod pauth;
pub mod system;

use jib_ir::guest::{Fetch, Guest, Limit};
use jib_ir::region::{Key, Region};
use jib_ir::runtime::{Fault, Helper};
use jib_ir::state::State;

use cpu::Profile;

/// AArch64, user level.
#[derive(Clone, Copy, Debug, Default)]
pub struct A64;

impl Guest for A64 {
    fn lift_into(&self, region: &mut Region, key: Key, code: &dyn Fetch, limit: Limit) -> Result<(), Fault> {
        lift::lift(region, key, code, limit)
    }

    fn key(&self, state: &State) -> Key {
        // FPCR bits that change an FP result; the others read as zero.
        let mode = if state.fpcr() & cpu::FPCR_MODES != 0 { Key::FPCR_SET } else { 0 };
        Key { pc: state.pc(), mode: mode | Profile::of(state).mode() }
    }

    fn helpers(&self) -> &'static [Helper] {
        helper::HELPERS
    }
}

/// AArch64, EL0 and EL1 of a whole system.
#[derive(Clone, Copy, Debug, Default)]
pub struct A64System;

impl Guest for A64System {
    fn lift_into(&self, region: &mut Region, key: Key, code: &dyn Fetch, limit: Limit) -> Result<(), Fault> {
        lift::lift(region, key, code, limit)
    }

    fn key(&self, state: &State) -> Key {
        Key { pc: state.pc(), mode: system::state::mode(state) }
    }

    fn helpers(&self) -> &'static [Helper] {
        helper::HELPERS
    }
}
