//! Helpers of a whole system: what needs the board, or more of the processor than IR reaches.

use jib_ir::runtime::{Exit, Runtime, Wait};
use jib_ir::state::{State, slot};

use crate::system::{exception, state};

/// Reads the board's register number `op`.
pub(crate) fn system_read(s: &mut State, rt: &mut dyn Runtime, [op, ..]: [u64; 4]) -> Result<u64, Exit> {
    rt.system(s, op as u32, None)
}

/// Writes the board's register number `op`, or runs its system instruction.
pub(crate) fn system_write(s: &mut State, rt: &mut dyn Runtime, [op, v, ..]: [u64; 4]) -> Result<u64, Exit> {
    rt.system(s, op as u32, Some(v))
}

/// Replaces the PSTATE bits of `mask` by those of `v`.
pub(crate) fn set_pstate(s: &mut State, _: &mut dyn Runtime, [mask, v, ..]: [u64; 4]) -> Result<u64, Exit> {
    let new = s.get(slot::PSTATE) & !mask | v & mask;
    state::set_pstate(s, new);
    Ok(0)
}

/// ERET: gives the address to go to.
pub(crate) fn eret(s: &mut State, _: &mut dyn Runtime, _: [u64; 4]) -> Result<u64, Exit> {
    exception::leave(s);
    s.set(state::EVENT, 1);
    Ok(s.pc())
}

/// DSB: what was asked of other processors is done.
pub(crate) fn synchronize(_: &mut State, rt: &mut dyn Runtime, _: [u64; 4]) -> Result<u64, Exit> {
    rt.synchronize();
    Ok(0)
}

/// WFE: takes an event that is there, or leaves to wait for one. The board then sets [`state::EVENT`], and the
/// instruction runs again.
pub(crate) fn wait_for_event(s: &mut State, _: &mut dyn Runtime, _: [u64; 4]) -> Result<u64, Exit> {
    if s.get(state::EVENT) == 0 {
        return Err(Exit::Wait(Wait::Event));
    }
    s.set(state::EVENT, 0);
    Ok(0)
}

/// SEV: an event for every processor.
pub(crate) fn send_event(s: &mut State, rt: &mut dyn Runtime, _: [u64; 4]) -> Result<u64, Exit> {
    s.set(state::EVENT, 1);
    rt.send_event();
    Ok(0)
}
