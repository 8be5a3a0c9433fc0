//! Self-hosted debug: when breakpoints, watchpoints and software step raise exceptions (Arm ARM D2).
//!
//! Pure functions of the guest state. Code for which [`is_active`] is executed by the interpreter one instruction at
//! a time; other code knows nothing of this.

use jib_ir::state::{Slot, State, slot};

use super::exception::{ec, syndrome};
use super::state::{self, pstate};

/// MDSCR_EL1.SS: software step is enabled.
const SS: u64 = 1;
/// MDSCR_EL1.KDE: debug exceptions from EL1 are enabled.
const KDE: u64 = 1 << 13;
/// MDSCR_EL1.MDE: breakpoints and watchpoints are enabled.
const MDE: u64 = 1 << 15;

/// Breakpoints (ID_AA64DFR0_EL1.BRPs + 1).
pub const BREAKPOINTS: usize = 6;
/// The first breakpoint that can compare the context (CTX_CMPs + 1 of them are the last ones).
pub const FIRST_CONTEXT_AWARE: usize = 4;
/// Watchpoints (ID_AA64DFR0_EL1.WRPs + 1).
pub const WATCHPOINTS: usize = 4;

/// Fault status code of a debug exception.
const FSC_DEBUG: u32 = 0b10_0010;
/// Virtual address bits that comparators hold; the others repeat the last.
const VA_BITS: u32 = 49;

/// Are debug exceptions taken from level `el` with PSTATE.D as `masked`? (GenerateDebugExceptionsFrom)
fn enabled_from(s: &State, el: u32, masked: bool) -> bool {
    let locked = s.get(state::OSLOCK) & 1 != 0;
    !locked && (el == 0 || s.get(state::MDSCR) & KDE != 0 && !masked)
}

fn enabled(s: &State) -> bool {
    enabled_from(s, state::el(s), s.get(slot::PSTATE) & pstate::D != 0)
}

/// Must the next instruction be executed with an eye on debug exceptions?
#[inline]
pub fn is_active(s: &State) -> bool {
    s.get(state::MDSCR) & (SS | MDE) != 0 && enabled(s)
}

/// Is software step active: is a step exception due after the next instruction, or before it?
pub fn is_stepping(s: &State) -> bool {
    s.get(state::MDSCR) & SS != 0 && enabled(s)
}

/// Is a step exception due before the next instruction ("active-pending")?
pub fn is_step_pending(s: &State) -> bool {
    is_stepping(s) && s.get(slot::PSTATE) & pstate::SS == 0
}

/// PSTATE.SS after an exception return with `spsr` to level `to` (DebugExceptionReturnSS).
pub(super) fn returned_ss(s: &State, spsr: u64, to: u32) -> u64 {
    let stepping = s.get(state::MDSCR) & SS != 0;
    if stepping && !enabled(s) && enabled_from(s, to, spsr & pstate::D != 0) { spsr & pstate::SS } else { 0 }
}

fn class(s: &State, class: u32) -> u32 {
    class + (state::el(s) != 0) as u32
}

/// ESR of a breakpoint exception.
pub fn breakpoint_syndrome(s: &State) -> u32 {
    syndrome(class(s, ec::BREAKPOINT), FSC_DEBUG)
}

/// ESR of a watchpoint exception by a load, or a store.
pub fn watchpoint_syndrome(s: &State, write: bool) -> u32 {
    syndrome(class(s, ec::WATCHPOINT), FSC_DEBUG | (write as u32) << 6)
}

/// ESR of a step exception; `stepped` tells whether an instruction was executed in the step, and whether that was a
/// load-exclusive.
pub fn step_syndrome(s: &State, stepped: Option<bool>) -> u32 {
    let iss = match stepped {
        None => 0,
        Some(exclusive) => 1 << 24 | (exclusive as u32) << 6,
    };
    syndrome(class(s, ec::STEP), FSC_DEBUG | iss)
}

/// Value and control of breakpoint or watchpoint `n` of a bank.
fn pair(s: &State, bank: Slot, n: usize) -> (u64, u64) {
    let at = |i: u16| s.get(Slot(bank.0 + 2 * n as u16 + i));
    (at(0), at(1))
}

const fn field(v: u64, low: u32, width: u32) -> u64 {
    v >> low & ((1 << width) - 1)
}

/// The levels that a control register selects, EL1 and EL0. With neither EL2 nor EL3, other values of HMC and SSC than
/// zero are reserved, and disable the comparison.
fn levels(control: u64) -> (bool, bool) {
    let reserved = field(control, 13, 3) != 0;
    (!reserved && control >> 1 & 1 != 0, !reserved && control >> 2 & 1 != 0)
}

/// Breakpoint types (DBGBCR.BT) that we have: address or context ID, alone or for linking.
const LINKED: u64 = 1;
const CONTEXT: u64 = 2;

/// Does the context comparison that a linked breakpoint or watchpoint names hold?
fn linked_context(s: &State, control: u64) -> bool {
    let n = field(control, 16, 4) as usize;
    let (value, control) = match n {
        FIRST_CONTEXT_AWARE..BREAKPOINTS => pair(s, state::BREAKPOINTS, n),
        _ => return false,
    };
    control & 1 != 0 && field(control, 20, 4) == CONTEXT | LINKED && context_matches(s, value)
}

fn context_matches(s: &State, value: u64) -> bool {
    value as u32 == s.get(state::CONTEXTIDR) as u32
}

/// Is there a breakpoint for the instruction at `pc`? (Only while [`is_active`].)
pub fn is_breakpoint(s: &State, pc: u64) -> bool {
    s.get(state::MDSCR) & MDE != 0 && (0..BREAKPOINTS).any(|n| breakpoint_matches(s, n, pc))
}

fn breakpoint_matches(s: &State, n: usize, pc: u64) -> bool {
    let (value, control) = pair(s, state::BREAKPOINTS, n);
    let (el1, el0) = levels(control);
    if control & 1 == 0 || !(if state::el(s) == 0 { el0 } else { el1 }) {
        return false;
    }
    let same_address = (pc ^ value) & ((1 << VA_BITS) - 1) & !3 == 0;
    match field(control, 20, 4) {
        0 => same_address,
        LINKED => same_address && linked_context(s, control),
        CONTEXT => n >= FIRST_CONTEXT_AWARE && context_matches(s, value),
        _ => false,
    }
}

/// An enabled watchpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watchpoint {
    /// First watched address.
    pub addr: u64,
    /// Number of bytes.
    pub len: u64,
    /// Loads.
    pub load: bool,
    /// Stores.
    pub store: bool,
    /// Accesses of EL1.
    pub el1: bool,
    /// Accesses of EL0, and unprivileged ones of EL1.
    pub el0: bool,
}

/// The watchpoints that are in force. (Only while [`is_active`].)
pub fn watchpoints(s: &State) -> impl Iterator<Item = Watchpoint> + '_ {
    let on = s.get(state::MDSCR) & MDE != 0;
    (0..WATCHPOINTS).filter(move |_| on).filter_map(|n| watchpoint(s, n))
}

fn watchpoint(s: &State, n: usize) -> Option<Watchpoint> {
    let (value, control) = pair(s, state::WATCHPOINTS, n);
    let linked = control >> 20 & 1 != 0;
    if control & 1 == 0 || linked && !linked_context(s, control) {
        return None;
    }
    let (addr, len) = watched(value, field(control, 5, 8) as u8, field(control, 24, 5) as u32)?;
    let (el1, el0) = levels(control);
    let (load, store) = (control >> 3 & 1 != 0, control >> 4 & 1 != 0);
    Some(Watchpoint { addr, len, load, store, el1, el0 })
}

/// The addresses that DBGWVR `value`, BAS `bytes` and MASK `mask` select; `None` for none and for reserved values.
fn watched(value: u64, bytes: u8, mask: u32) -> Option<(u64, u64)> {
    let value = (value << (64 - VA_BITS)) as i64 >> (64 - VA_BITS);
    match mask {
        0 => {
            // A value that is a multiple of 4 only selects among 4 bytes.
            let (base, bytes) = if value & 4 != 0 { (value & !3, bytes & 0xf) } else { (value & !7, bytes) };
            let first = bytes.trailing_zeros();
            let run = (bytes.checked_shr(first)?).trailing_ones();
            (run != 0).then_some(((base as u64).wrapping_add(first as u64), run as u64))
        }
        3..=31 if bytes == 0xff => Some((value as u64 & !((1 << mask) - 1), 1 << mask)),
        _ => None,
    }
}

/// Is `word` a load-exclusive? (ESR_EL1.EX of a step exception.)
pub const fn is_load_exclusive(word: u32) -> bool {
    // LDXR, LDAXR, LDXP, LDAXP in all sizes: bits 29:24 001000, o2 0, L 1. With o1 (bit 21), the smaller sizes are CASP.
    word & 0x3fc0_0000 == 0x0840_0000 && word & 0x8020_0000 != 0x0020_0000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::exception::{Vector, enter, leave};

    /// At EL0, OS lock open, MDSCR as given.
    fn user(mdscr: u64) -> State {
        let mut s = State::default();
        state::reset(&mut s, 0, true);
        s.set(state::OSLOCK, 0);
        s.set(state::MDSCR, mdscr);
        state::set_pstate(&mut s, 0);
        s
    }

    fn set(s: &mut State, bank: Slot, n: u16, value: u64, control: u64) {
        s.set(Slot(bank.0 + 2 * n), value);
        s.set(Slot(bank.0 + 2 * n + 1), control);
    }

    #[test]
    fn levels_masks_and_the_lock() {
        let mut s = user(SS | MDE);
        assert!(is_active(&s));
        s.set(state::OSLOCK, 1);
        assert!(!is_active(&s));
        s.set(state::OSLOCK, 0);
        state::set_pstate(&mut s, pstate::EL1 | pstate::SPSEL);
        assert!(!is_active(&s), "KDE is clear");
        s.set(state::MDSCR, SS | KDE);
        assert!(is_active(&s));
        state::set_pstate(&mut s, pstate::EL1 | pstate::SPSEL | pstate::D);
        assert!(!is_active(&s), "D masks");
        assert!(!is_active(&user(KDE)));
    }

    #[test]
    fn returning_into_a_step() {
        let mut s = user(SS);
        enter(&mut s, Vector::Sync, Some(0), None);
        s.set(state::SPSR, pstate::SS);
        s.set(state::ELR, 0x4000);
        leave(&mut s);
        assert!(is_stepping(&s) && !is_step_pending(&s));
        enter(&mut s, Vector::Irq, None, None);
        assert_eq!((s.get(state::SPSR) & pstate::SS, s.get(slot::PSTATE) & pstate::SS), (pstate::SS, 0));
        s.set(state::SPSR, 0);
        leave(&mut s);
        assert!(is_step_pending(&s));
        // Without MDSCR_EL1.SS, SPSR's bit is not taken over.
        let mut s = user(0);
        enter(&mut s, Vector::Sync, Some(0), None);
        s.set(state::SPSR, pstate::SS);
        leave(&mut s);
        assert_eq!(s.get(slot::PSTATE) & pstate::SS, 0);
    }

    #[test]
    fn breakpoints_by_address_level_and_context() {
        let mut s = user(MDE);
        set(&mut s, state::BREAKPOINTS, 0, 0x4000, 0x1e5); // EL0
        assert!(is_breakpoint(&s, 0x4000) && !is_breakpoint(&s, 0x4004));
        set(&mut s, state::BREAKPOINTS, 0, 0x4000, 0x1e3); // EL1
        assert!(!is_breakpoint(&s, 0x4000));
        set(&mut s, state::BREAKPOINTS, 0, 0x4000, 0x1e5 | 1 << 14);
        assert!(!is_breakpoint(&s, 0x4000), "reserved SSC");
        // Linked to a context comparison.
        set(&mut s, state::BREAKPOINTS, 0, 0x4000, 0x1e5 | LINKED << 20 | 5 << 16);
        set(&mut s, state::BREAKPOINTS, 5, 77, 1 | (CONTEXT | LINKED) << 20);
        assert!(!is_breakpoint(&s, 0x4000));
        s.set(state::CONTEXTIDR, 77);
        assert!(is_breakpoint(&s, 0x4000));
        // Context alone: each instruction; not in a comparator that has none.
        set(&mut s, state::BREAKPOINTS, 0, 77, 5 | CONTEXT << 20);
        assert!(!is_breakpoint(&s, 0x8000));
        set(&mut s, state::BREAKPOINTS, 4, 77, 5 | CONTEXT << 20);
        assert!(is_breakpoint(&s, 0x8000));
        assert_eq!(breakpoint_syndrome(&s), 0xc200_0022);
        // Kernel addresses keep their upper bits.
        let mut s = user(MDE | KDE);
        state::set_pstate(&mut s, pstate::EL1);
        set(&mut s, state::BREAKPOINTS, 1, 0xffff_8000_1234_5678, 0x1e3);
        assert!(is_breakpoint(&s, 0xffff_8000_1234_5678));
        assert_eq!(breakpoint_syndrome(&s), 0xc600_0022);
    }

    #[test]
    fn watched_bytes() {
        assert_eq!(watched(0x1000, 0xff, 0), Some((0x1000, 8)));
        assert_eq!(watched(0x1000, 0b0011_0000, 0), Some((0x1004, 2)));
        assert_eq!(watched(0x1004, 0b1111_0110, 0), Some((0x1005, 2)));
        assert_eq!(watched(0x1000, 0, 0), None);
        assert_eq!(watched(0x1234, 0xff, 12), Some((0x1000, 0x1000)));
        assert_eq!(watched(0x1000, 0x0f, 12), None);
        assert_eq!(watched(0x1000, 0xff, 2), None);
        assert_eq!(watched(0xffff_8000_0000_0000, 1, 0), Some((0xffff_8000_0000_0000, 1)));
        let mut s = user(MDE);
        set(&mut s, state::WATCHPOINTS, 3, 0x1000, 1 | 2 << 1 | 2 << 3 | 0xff << 5);
        let w = Watchpoint { addr: 0x1000, len: 8, load: false, store: true, el1: false, el0: true };
        assert_eq!(watchpoints(&s).collect::<Vec<_>>(), [w]);
        assert_eq!((watchpoint_syndrome(&s, true), watchpoint_syndrome(&s, false)), (0xd200_0062, 0xd200_0022));
        s.set(state::MDSCR, SS);
        assert_eq!(watchpoints(&s).count(), 0);
    }

    #[test]
    fn step_syndromes() {
        let s = user(SS);
        assert_eq!(step_syndrome(&s, None), 0xca00_0022);
        assert_eq!(step_syndrome(&s, Some(false)), 0xcb00_0022);
        assert_eq!(step_syndrome(&s, Some(true)), 0xcb00_0062);
        assert!(is_load_exclusive(0xc85f_7c20), "ldxr x0, [x1]");
        assert!(is_load_exclusive(0x885f_fc20), "ldaxr w0, [x1]");
        assert!(is_load_exclusive(0xc87f_0820), "ldxp x0, x2, [x1]");
        assert!(!is_load_exclusive(0xc800_7c20), "stxr");
        assert!(is_load_exclusive(0x887f_0820), "ldxp w0, w2, [x1]");
        assert!(!is_load_exclusive(0xc8df_fc20), "ldar");
        assert!(!is_load_exclusive(0x4860_7c82), "caspa x0, x1, x2, x3, [x4]");
        assert!(!is_load_exclusive(0xf940_0020), "ldr");
    }
}
