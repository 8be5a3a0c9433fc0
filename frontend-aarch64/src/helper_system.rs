//! Helpers of a whole system: what needs the board, or more of the processor than IR reaches.

use jib_ir::runtime::{Exit, Runtime, Wait};
use jib_ir::state::{State, slot};

use crate::system::sysreg::{Encoding, reg};
use crate::system::{exception, state};

/// Reads the board's register number `op`.
pub(crate) fn system_read(s: &mut State, rt: &mut dyn Runtime, [op, ..]: [u64; 4]) -> Result<u64, Exit> {
    rt.system(s, op as u32, None)
}

/// Writes the board's register number `op`, or runs its system instruction.
pub(crate) fn system_write(s: &mut State, rt: &mut dyn Runtime, [op, v, ..]: [u64; 4]) -> Result<u64, Exit> {
    rt.system(s, op as u32, Some(v))
}

/// MRS at EL0 of a counter or its frequency, numbered `op` (Arm ARM, CNTKCTL_EL1: bit 0 lets it read the physical one, bit
/// 1 the virtual one, either of them the frequency).
pub(crate) fn counter_at_el0(s: &mut State, rt: &mut dyn Runtime, [op, ..]: [u64; 4]) -> Result<u64, Exit> {
    let register = Encoding(op as u16);
    let needed = match register {
        reg::CNTFRQ_EL0 => 3,
        reg::CNTPCT_EL0 | reg::CNTPCTSS_EL0 => 1,
        _ => 2,
    };
    if s.get(state::CNTKCTL) & needed == 0 {
        return Err(exception::trapped_access(op as u32, true));
    }
    Ok(if register == reg::CNTFRQ_EL0 { rt.counter_hz() } else { rt.counter() })
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
