//! Where EL1's registers live in the guest state, and PSTATE.

use jib_ir::region::Key;
use jib_ir::state::{Slot, State, slot};

use crate::cpu::Profile;

/// PSTATE bits as they stand in SPSR_EL1 and in [`slot::PSTATE`].
pub mod pstate {
    /// Stack pointer select.
    pub const SPSEL: u64 = 1;
    /// Exception level, bits 3:2.
    pub const EL: u64 = 3 << 2;
    /// EL1.
    pub const EL1: u64 = 1 << 2;
    /// AArch32 (not implemented: an illegal state).
    pub const NRW: u64 = 1 << 4;
    /// FIQ mask.
    pub const F: u64 = 1 << 6;
    /// IRQ mask.
    pub const I: u64 = 1 << 7;
    /// SError mask.
    pub const A: u64 = 1 << 8;
    /// Debug mask.
    pub const D: u64 = 1 << 9;
    /// Speculative store bypass safe.
    pub const SSBS: u64 = 1 << 12;
    /// Illegal execution state.
    pub const IL: u64 = 1 << 20;
    /// Software step.
    pub const SS: u64 = 1 << 21;
    /// Privileged access never.
    pub const PAN: u64 = 1 << 22;
    /// User access override.
    pub const UAO: u64 = 1 << 23;
    /// Data-independent timing.
    pub const DIT: u64 = 1 << 24;
    /// NZCV live apart from the rest, in the flags slot.
    pub const NZCV: u64 = 0xf000_0000;
    /// All that we implement, flags excepted.
    pub const ALL: u64 = SPSEL | EL | NRW | F | I | A | D | SSBS | IL | SS | PAN | UAO | DIT;
}

/// Key mode bit: translated for a whole system, not for a Linux process.
pub const MODE_SYSTEM: u32 = 1 << 1;
/// Key mode bit: EL1.
pub const MODE_EL1: u32 = 1 << 2;
/// Key mode bit: PSTATE.SP.
pub const MODE_SPSEL: u32 = 1 << 3;
/// Key mode bit: FP and AdvSIMD instructions trap (CPACR_EL1.FPEN).
pub const MODE_FP_OFF: u32 = 1 << 4;
/// Key mode bit: PSTATE.UAO.
pub const MODE_UAO: u32 = 1 << 5;
/// Key mode bit: self-hosted debug must look at each instruction; such code is not compiled.
pub const MODE_DEBUG: u32 = 1 << 6;
/// Key mode bit: instructions are counted, in [`RETIRED`].
pub const MODE_COUNT: u32 = 1 << 7;
/// First of the key mode bits that belong to the board (see [`jib_ir::runtime::Location::mode`]).
pub const MODE_BOARD: u32 = 1 << 8;

macro_rules! slots {
    ($($(#[$doc:meta])* $name:ident = $n:literal;)*) => {
        $($(#[$doc])* pub const $name: Slot = Slot(slot::GUEST.0 + $n);)*
    };
}

slots! {
    /// SP_EL0 while another stack pointer is in use.
    SP_EL0 = 0;
    /// SP_EL1 while another stack pointer is in use.
    SP_EL1 = 1;
    /// ELR_EL1
    ELR = 2;
    /// SPSR_EL1
    SPSR = 3;
    /// ESR_EL1
    ESR = 4;
    /// FAR_EL1
    FAR = 5;
    /// VBAR_EL1
    VBAR = 6;
    /// SCTLR_EL1
    SCTLR = 7;
    /// TCR_EL1
    TCR = 8;
    /// TTBR0_EL1
    TTBR0 = 9;
    /// TTBR1_EL1
    TTBR1 = 10;
    /// MAIR_EL1
    MAIR = 11;
    /// AMAIR_EL1
    AMAIR = 12;
    /// CONTEXTIDR_EL1
    CONTEXTIDR = 13;
    /// TPIDR_EL1
    TPIDR_EL1 = 14;
    /// CPACR_EL1
    CPACR = 15;
    /// PAR_EL1
    PAR = 16;
    /// AFSR0_EL1
    AFSR0 = 17;
    /// AFSR1_EL1
    AFSR1 = 18;
    /// MDSCR_EL1
    MDSCR = 19;
    /// CNTKCTL_EL1
    CNTKCTL = 20;
    /// CSSELR_EL1
    CSSELR = 21;
    /// MPIDR_EL1 of this processor.
    MPIDR = 22;
    /// OSLSR_EL1.OSLK and the OS double lock.
    OSLOCK = 23;
    /// DBGBVR0_EL1; 16 words: value and control of each breakpoint in turn.
    BREAKPOINTS = 24;
    /// DBGWVR0_EL1; 16 words: value and control of each watchpoint in turn.
    WATCHPOINTS = 40;
    /// ACTLR_EL1
    ACTLR = 56;
    /// MDCCINT_EL1
    MDCCINT = 57;
    /// The event register of WFE and SEV: 1 if set.
    EVENT = 58;
    /// 1 while instructions are to be counted.
    COUNTS = 59;
    /// ID_AA64PFR0_EL1.GIC, in its place: what interrupt controller there is.
    GIC = 61;
    /// Instructions executed while [`COUNTS`] was set.
    RETIRED = 60;
    /// The processor: the number of a [`Profile`].
    PROFILE = 62;
    /// APIAKeyLo_EL1; ten words: low and high half of each key in turn. A Linux process has them here, too, and what
    /// [`SCTLR`] and [`TCR`] say of them.
    KEYS = 64;
}

/// A half of a key: 0 to 4 for IA, IB, DA, DB, GA; 0 for the low one.
pub const fn key(key: u16, half: u16) -> Slot {
    Slot(KEYS.0 + 2 * key + half)
}

/// The exception level.
pub fn el(state: &State) -> u32 {
    (state.get(slot::PSTATE) >> 2 & 3) as u32
}

/// SPSR's view of the current state.
pub fn spsr(state: &State) -> u64 {
    state.get(slot::PSTATE) & pstate::ALL | state.nzcv() as u64
}

/// Where the stack pointer in use is kept while another one is.
fn bank(pstate: u64) -> Slot {
    let uses_el1 = pstate & pstate::EL != 0 && pstate & pstate::SPSEL != 0;
    if uses_el1 { SP_EL1 } else { SP_EL0 }
}

/// Replaces PSTATE (flags excepted), changing stack pointers as exception level and SPSel say.
pub fn set_pstate(state: &mut State, new: u64) {
    let old = state.get(slot::PSTATE);
    let (from, to) = (bank(old), bank(new));
    if from != to {
        state.set(from, state.get(slot::SP));
        state.set(slot::SP, state.get(to));
    }
    state.set(slot::PSTATE, new & pstate::ALL);
}

/// The translation mode that `state` runs under.
pub fn mode(state: &State) -> u32 {
    let p = state.get(slot::PSTATE);
    let el1 = p & pstate::EL != 0;
    let fpen = state.get(CPACR) >> 20 & 3;
    let fp_off = if el1 { fpen & 1 == 0 } else { fpen != 3 };
    let mut mode = MODE_SYSTEM | Profile::of(state).mode();
    for (on, bit) in [
        (state.fpcr() & crate::cpu::FPCR_MODES != 0, Key::FPCR_SET),
        (el1, MODE_EL1),
        (p & pstate::SPSEL != 0, MODE_SPSEL),
        (fp_off, MODE_FP_OFF),
        (el1 && p & pstate::UAO != 0, MODE_UAO),
        (super::debug::is_active(state), MODE_DEBUG),
        (state.get(COUNTS) != 0, MODE_COUNT),
    ] {
        mode |= if on { bit } else { 0 };
    }
    mode
}

/// The registers that control translation, as they stand.
pub fn regime(state: &State) -> super::mmu::Regime {
    super::mmu::Regime {
        sctlr: state.get(SCTLR),
        tcr: state.get(TCR),
        ttbr0: state.get(TTBR0),
        ttbr1: state.get(TTBR1),
        mair: state.get(MAIR),
    }
}

/// ID_AA64PFR0_EL1.GIC: the interrupt controller's CPU interface is system registers.
const PFR0_GIC: u64 = 1 << 24;

/// Puts `state` into the state after a cold reset: EL1h, everything masked, MMU off. `gic_registers` tells whether the
/// interrupt controller's CPU interface is system registers. The processor stays the same.
pub fn reset(state: &mut State, mpidr: u64, gic_registers: bool) {
    let profile = Profile::of(state);
    *state = State::default();
    profile.apply(state);
    state.set(slot::PSTATE, pstate::EL1 | pstate::SPSEL | pstate::D | pstate::A | pstate::I | pstate::F);
    state.set(SCTLR, super::sysreg::SCTLR_RES1);
    state.set(MPIDR, mpidr);
    state.set(GIC, if gic_registers { PFR0_GIC } else { 0 });
    state.set(OSLOCK, 1);
}
