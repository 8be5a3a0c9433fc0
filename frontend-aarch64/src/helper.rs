//! Out-of-line semantics: one table, called by every executor.

use jib_ir::runtime::{Exit, Helper, Runtime};
use jib_ir::state::State;
use jib_ir::ty::Size;

use crate::helper_system as system;
use crate::pauth::{self, Key};

macro_rules! helpers {
    ($($(#[$doc:meta])* $id:ident = $f:path;)*) => {
        #[derive(Clone, Copy)]
        #[repr(u16)]
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "named after instructions")]
        pub(crate) enum Id { $($(#[$doc])* $id),* }
        /// Every helper, by [`Id`].
        pub(crate) static HELPERS: &[Helper] = &[$(Helper { name: stringify!($id), run: $f }),*];
    };
}

helpers! {
    /// The counter CNTVCT_EL0.
    COUNTER = counter;
    /// The counter's frequency CNTFRQ_EL0.
    COUNTER_HZ = counter_hz;
    /// RNDR: 64 random bits; Z tells that there were none.
    RANDOM = random;
    /// SETP. MOPS helpers take the numbers of Rd, Rs, Rn and the instruction word.
    SET_PROLOGUE = set_prologue;
    /// SETM, SETE.
    SET_MAIN = set_main;
    /// CPYP.
    COPY_PROLOGUE = copy_prologue;
    /// CPYFP.
    COPY_FORWARD_PROLOGUE = copy_forward_prologue;
    /// CPYM, CPYE, CPYFM, CPYFE.
    COPY_MAIN = copy_main;
    /// Signs the pointer (or value) a with modifier b by key c.
    SIGN = sign;
    /// Authenticates the pointer a with modifier b by key c.
    AUTHENTICATE = authenticate;
    /// The pointer a, of data if b is 1, without its code.
    STRIP = strip;
    /// MRS of a register that belongs to the board.
    SYSTEM_READ = system::system_read;
    /// MSR of a register, or a system instruction, that the board must hear of.
    SYSTEM_WRITE = system::system_write;
    /// A counter, or its frequency, for EL0: if CNTKCTL_EL1 lets it.
    COUNTER_AT_EL0 = system::counter_at_el0;
    /// Replaces bits of PSTATE.
    SET_PSTATE = system::set_pstate;
    /// ERET
    ERET = system::eret;
    /// DSB that completes translation maintenance.
    SYNCHRONIZE = system::synchronize;
    /// WFE
    WAIT_FOR_EVENT = system::wait_for_event;
    /// SEV
    SEND_EVENT = system::send_event;
}

fn counter(_: &mut State, rt: &mut dyn Runtime, _: [u64; 4]) -> Result<u64, Exit> {
    Ok(rt.counter())
}

fn counter_hz(_: &mut State, rt: &mut dyn Runtime, _: [u64; 4]) -> Result<u64, Exit> {
    Ok(rt.counter_hz())
}

/// Gives the number and sets the flags: NZCV 0000 for success, 0100 for failure.
fn random(state: &mut State, rt: &mut dyn Runtime, _: [u64; 4]) -> Result<u64, Exit> {
    let v = rt.random();
    state.set_nzcv(if v.is_some() { 0 } else { 0x4000_0000 });
    Ok(v.unwrap_or(0))
}

fn sign(state: &mut State, _: &mut dyn Runtime, [ptr, modifier, key, _]: [u64; 4]) -> Result<u64, Exit> {
    Ok(match Key::from_number(key) {
        Key::Ga => pauth::generic(state, ptr, modifier),
        key => pauth::sign(state, key, ptr, modifier),
    })
}

fn authenticate(state: &mut State, _: &mut dyn Runtime, [ptr, modifier, key, _]: [u64; 4]) -> Result<u64, Exit> {
    Ok(pauth::authenticate(state, Key::from_number(key), ptr, modifier))
}

fn strip(state: &mut State, _: &mut dyn Runtime, [ptr, data, ..]: [u64; 4]) -> Result<u64, Exit> {
    Ok(pauth::strip(state, ptr, data == 1))
}

// Memory copy and set. Under "option A" a forward operation keeps the ends in Rd and Rs and counts Rn
// up from minus the size; a backward copy keeps the starts and counts Rn down. Registers are updated
// after each chunk, so a fault, or leaving for the runtime, resumes where it stopped.

/// Flag C: set by processors that use "option B".
const C: u32 = 1 << 29;
/// Largest size of a set and a forward copy; larger ones saturate.
const MAX_FORWARD: u64 = 0x7fff_ffff_ffff_ffff;
/// Largest size of a copy that finds its direction.
const MAX_COPY: u64 = 0x007f_ffff_ffff_ffff;
/// Address bits that decide a copy's direction.
const ADDR_MASK: u64 = 0x00ff_ffff_ffff_ffff;
/// Bytes after which the runtime gets a chance to interrupt.
const BURST: u64 = 1 << 20;

/// Registers of a MOPS instruction, from a helper's arguments.
fn regs([d, s, n, _]: [u64; 4]) -> (usize, usize, usize) {
    let index = |r: u64| r as usize & 31;
    (index(d), index(s), index(n))
}

fn set_prologue(state: &mut State, _: &mut dyn Runtime, args: [u64; 4]) -> Result<u64, Exit> {
    let (d, _, n) = regs(args);
    let size = state.x(n).min(MAX_FORWARD);
    state.set_x(d, state.x(d).wrapping_add(size));
    state.set_x(n, size.wrapping_neg());
    state.set_nzcv(0);
    Ok(0)
}

fn copy_prologue(state: &mut State, rt: &mut dyn Runtime, args: [u64; 4]) -> Result<u64, Exit> {
    let (d, s, n) = regs(args);
    let size = state.x(n).min(MAX_COPY);
    let (to, from) = (state.x(d) & ADDR_MASK, state.x(s) & ADDR_MASK);
    let overlaps_above = from < to && to < from + size;
    state.set_x(n, size);
    if !overlaps_above {
        return copy_forward_prologue(state, rt, args);
    }
    state.set_nzcv(0);
    Ok(0)
}

fn copy_forward_prologue(state: &mut State, _: &mut dyn Runtime, args: [u64; 4]) -> Result<u64, Exit> {
    let (d, s, n) = regs(args);
    let size = state.x(n).min(MAX_FORWARD);
    state.set_x(d, state.x(d).wrapping_add(size));
    state.set_x(s, state.x(s).wrapping_add(size));
    state.set_x(n, size.wrapping_neg());
    state.set_nzcv(0);
    Ok(0)
}

/// The prologue must have been one of option A.
fn check_option(state: &State, args: [u64; 4]) -> Result<(), Exit> {
    if state.nzcv() & C == 0 { Ok(()) } else { Err(Exit::Undefined(args[3] as u32)) }
}

/// The largest access that `left` bytes allow.
fn chunk(left: u64) -> Size {
    Size::ALL[left.clamp(1, 16).ilog2() as usize]
}

/// Leaves and comes back to this instruction if it has done enough for now.
fn pause(done: u64) -> Result<u64, Exit> {
    if done < BURST { Ok(done) } else { Err(Exit::Next) }
}

fn set_main(state: &mut State, rt: &mut dyn Runtime, args: [u64; 4]) -> Result<u64, Exit> {
    check_option(state, args)?;
    let (d, s, n) = regs(args);
    let byte = if s == 31 { 0 } else { state.x(s) as u8 };
    let pattern = u128::from_ne_bytes([byte; 16]);
    let mut done = 0;
    while (state.x(n) as i64) < 0 {
        done = pause(done)?;
        let size = chunk(state.x(n).wrapping_neg());
        rt.store(size, state.x(d).wrapping_add(state.x(n)), pattern)?;
        state.set_x(n, state.x(n).wrapping_add(size.bytes()));
        done += size.bytes();
    }
    Ok(0)
}

fn copy_main(state: &mut State, rt: &mut dyn Runtime, args: [u64; 4]) -> Result<u64, Exit> {
    check_option(state, args)?;
    let (d, s, n) = regs(args);
    let mut done = 0;
    while state.x(n) != 0 {
        done = pause(done)?;
        let left = state.x(n);
        let forward = (left as i64) < 0;
        let size = chunk(if forward { left.wrapping_neg() } else { left });
        let after = if forward { left.wrapping_add(size.bytes()) } else { left - size.bytes() };
        let offset = if forward { left } else { after };
        let v = rt.load(size, state.x(s).wrapping_add(offset))?;
        rt.store(size, state.x(d).wrapping_add(offset), v)?;
        state.set_x(n, after);
        done += size.bytes();
    }
    Ok(0)
}
