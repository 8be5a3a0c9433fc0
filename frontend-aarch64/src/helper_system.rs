//! Helpers of a whole system: what needs the board, or more of the processor than IR reaches.

use jib_ir::runtime::{Exit, Runtime};
use jib_ir::state::{State, slot};
use jib_ir::ty::Size;

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
    Ok(s.pc())
}

fn size_of(n: u64) -> Size {
    Size::ALL[(n as usize).min(Size::ALL.len() - 1)]
}

/// LDTR at EL1: with EL0's rights unless PSTATE.UAO is set.
pub(crate) fn load_unprivileged(s: &mut State, rt: &mut dyn Runtime, [size, addr, ..]: [u64; 4]) -> Result<u64, Exit> {
    let size = size_of(size);
    let v = if overrides(s) { rt.load(size, addr)? } else { rt.load_unprivileged(size, addr)? };
    Ok(v as u64)
}

/// STTR at EL1: with EL0's rights unless PSTATE.UAO is set.
pub(crate) fn store_unprivileged(
    s: &mut State,
    rt: &mut dyn Runtime,
    [size, addr, v, _]: [u64; 4],
) -> Result<u64, Exit> {
    let size = size_of(size);
    if overrides(s) {
        rt.store(size, addr, v as u128)?
    } else {
        rt.store_unprivileged(size, addr, v as u128)?
    }
    Ok(0)
}

fn overrides(s: &State) -> bool {
    s.get(slot::PSTATE) & state::pstate::UAO != 0
}
