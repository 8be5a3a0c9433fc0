//! Entering and leaving EL1 (Arm ARM D1.3, shared pseudocode AArch64.TakeException and ELFromSPSR).

use jib_ir::runtime::{Access, Exit, Fault};
use jib_ir::state::{State, slot};

use super::debug;
use super::state::{self, pstate};

/// Exception classes (ESR_EL1.EC).
pub mod ec {
    /// Unknown reason: undefined instructions.
    pub const UNKNOWN: u32 = 0x00;
    /// WFI or WFE trapped.
    pub const WFX: u32 = 0x01;
    /// FP or AdvSIMD access trapped.
    pub const FP: u32 = 0x07;
    /// Illegal execution state.
    pub const ILLEGAL: u32 = 0x0e;
    /// SVC in AArch64.
    pub const SVC64: u32 = 0x15;
    /// MSR, MRS or system instruction trapped.
    pub const SYSREG: u32 = 0x18;
    /// Instruction abort from a lower level (+1: from the same).
    pub const INSTR_ABORT: u32 = 0x20;
    /// PC alignment.
    pub const PC_ALIGN: u32 = 0x22;
    /// Data abort from a lower level (+1: from the same).
    pub const DATA_ABORT: u32 = 0x24;
    /// SP alignment.
    pub const SP_ALIGN: u32 = 0x26;
    /// Breakpoint from a lower level (+1: from the same).
    pub const BREAKPOINT: u32 = 0x30;
    /// Software step from a lower level (+1: from the same).
    pub const STEP: u32 = 0x32;
    /// Watchpoint from a lower level (+1: from the same).
    pub const WATCHPOINT: u32 = 0x34;
    /// BRK instruction.
    pub const BRK64: u32 = 0x3c;

    /// What a class is called, for logs.
    pub const fn name(class: u32) -> &'static str {
        match class {
            UNKNOWN => "undefined instruction",
            WFX => "trapped WFI or WFE",
            FP => "trapped FP access",
            ILLEGAL => "illegal execution state",
            SVC64 => "SVC",
            SYSREG => "trapped system register",
            0x20 | 0x21 => "instruction abort",
            PC_ALIGN => "PC alignment",
            0x24 | 0x25 => "data abort",
            SP_ALIGN => "SP alignment",
            0x30 | 0x31 => "breakpoint",
            0x32 | 0x33 => "software step",
            0x34 | 0x35 => "watchpoint",
            BRK64 => "BRK",
            _ => "exception",
        }
    }
}

/// ESR of an exception of class `class` by a 32-bit instruction.
pub const fn syndrome(class: u32, iss: u32) -> u32 {
    class << 26 | 1 << 25 | iss & 0x01ff_ffff
}

/// The trap to EL1 of an MRS (`read`) or MSR, numbered as [`jib_ir::runtime::Runtime::system`] has it: the encoding, and
/// the general register in bits 16 and up (ISS of EC 0x18).
pub fn trapped_access(op: u32, read: bool) -> Exit {
    let (op0, op1, crn) = (op >> 14 & 3, op >> 11 & 7, op >> 7 & 15);
    let (crm, op2, rt) = (op >> 3 & 15, op & 7, op >> 16 & 31);
    let iss = op0 << 20 | op2 << 17 | op1 << 14 | crn << 10 | rt << 5 | crm << 1 | read as u32;
    Exit::Syndrome(syndrome(ec::SYSREG, iss))
}

/// The kind of exception: which of the four vectors of a group it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vector {
    /// Synchronous.
    Sync = 0x000,
    /// IRQ
    Irq = 0x080,
    /// FIQ
    Fiq = 0x100,
    /// SError
    SError = 0x180,
}

/// SCTLR_EL1.SPAN: leave PSTATE.PAN alone on entry.
const SCTLR_SPAN: u64 = 1 << 23;
/// SCTLR_EL1.DSSBS: PSTATE.SSBS on entry.
const SCTLR_DSSBS: u64 = 1 << 44;

/// Takes an exception to EL1 that returns to `State::pc`.
pub fn enter(s: &mut State, vector: Vector, esr: Option<u32>, far: Option<u64>) {
    let old = s.get(slot::PSTATE);
    let group = match (old & pstate::EL != 0, old & pstate::SPSEL != 0) {
        (false, _) => 0x400,
        (true, false) => 0x000,
        (true, true) => 0x200,
    };
    s.set(state::SPSR, state::spsr(s));
    s.set(state::ELR, s.pc());
    if let Some(esr) = esr {
        s.set(state::ESR, esr as u64);
    }
    if let Some(far) = far {
        s.set(state::FAR, far);
    }
    let sctlr = s.get(state::SCTLR);
    let mut new = pstate::EL1 | pstate::SPSEL | pstate::D | pstate::A | pstate::I | pstate::F;
    new |= old & (pstate::PAN | pstate::DIT);
    if sctlr & SCTLR_SPAN == 0 {
        new |= pstate::PAN;
    }
    if sctlr & SCTLR_DSSBS != 0 {
        new |= pstate::SSBS;
    }
    state::set_pstate(s, new);
    s.set_pc((s.get(state::VBAR) & !0x7ff).wrapping_add(group + vector as u64));
}

/// ERET: returns to the state in SPSR_EL1 and ELR_EL1. An illegal return keeps the level and sets
/// PSTATE.IL.
pub fn leave(s: &mut State) {
    let (spsr, target) = (s.get(state::SPSR), s.get(state::ELR));
    s.set(slot::EXCL_ADDR, u64::MAX);
    let legal = matches!(spsr & 0x1f, 0b00000 | 0b00100 | 0b00101);
    let to = if legal { spsr >> 2 & 3 } else { state::el(s) as u64 } as u32;
    let step = debug::returned_ss(s, spsr, to);
    let new = if legal {
        spsr & pstate::ALL
    } else {
        let kept = s.get(slot::PSTATE) & (pstate::EL | pstate::SPSEL);
        spsr & pstate::ALL & !(pstate::EL | pstate::SPSEL | pstate::NRW) | kept | pstate::IL
    };
    s.set_nzcv(spsr as u32);
    state::set_pstate(s, new & !pstate::SS | step);
    s.set_pc(target);
}

/// What an exit of translated code means at the system level: the exception to take, if it is one.
/// `State::pc` is moved to the preferred return address.
pub fn of_exit(s: &State, exit: &Exit) -> Option<(u32, Option<u64>)> {
    let same = (state::el(s) != 0) as u32;
    let sync = |class, iss| Some((syndrome(class, iss), None));
    match *exit {
        Exit::Svc(imm) => sync(ec::SVC64, imm),
        Exit::Brk(imm) => sync(ec::BRK64, imm),
        Exit::Undefined(_) | Exit::Hlt(_) => sync(ec::UNKNOWN, 0),
        Exit::Syndrome(esr) => Some((esr, None)),
        Exit::Fault(f) => Some((fault_syndrome(&f, same), Some(f.addr))),
        Exit::Next | Exit::Hvc(_) | Exit::Smc(_) | Exit::Wait(_) | Exit::Interrupt | Exit::InvalidateCode { .. } => {
            None
        }
    }
}

/// ESR of a memory fault whose cause is a fault status code.
fn fault_syndrome(f: &Fault, same: u32) -> u32 {
    let fsc = if f.cause == jib_ir::interp::CAUSE_ALIGNMENT { 0b10_0001 } else { f.cause & 0x3f };
    match f.access {
        Access::Fetch if f.addr & 3 != 0 => syndrome(ec::PC_ALIGN, 0),
        Access::Fetch => syndrome(ec::INSTR_ABORT + same, fsc),
        Access::Read => syndrome(ec::DATA_ABORT + same, fsc),
        Access::Write => syndrome(ec::DATA_ABORT + same, fsc | 1 << 6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn booted() -> State {
        let mut s = State::default();
        state::reset(&mut s, 0, true);
        s.set(state::VBAR, 0x8000);
        s
    }

    #[test]
    fn an_svc_from_el0_enters_the_lower_level_vector_and_eret_comes_back() {
        let mut s = booted();
        s.set(slot::SP, 0x1111);
        s.set(state::SPSR, 0x6000_0000);
        s.set(state::ELR, 0x4000);
        s.set(state::SP_EL0, 0x2222);
        leave(&mut s);
        assert_eq!((s.pc(), state::el(&s), s.get(slot::SP), s.nzcv()), (0x4000, 0, 0x2222, 0x6000_0000));
        s.set_pc(0x4004);
        let (esr, far) = of_exit(&s, &Exit::Svc(7)).expect("an exception");
        enter(&mut s, Vector::Sync, Some(esr), far);
        assert_eq!(s.pc(), 0x8400);
        assert_eq!((state::el(&s), s.get(slot::SP)), (1, 0x1111));
        assert_eq!(s.get(state::ESR), 0x5600_0007);
        assert_eq!((s.get(state::ELR), s.get(state::SPSR)), (0x4004, 0x6000_0000));
        assert_eq!(s.get(slot::PSTATE) & 0x3c0, 0x3c0);
    }

    #[test]
    fn a_trapped_access_names_register_and_direction() {
        // MRS X7, CNTPCT_EL0 (S3_3_C14_C0_1)
        let op = super::super::sysreg::reg::CNTPCT_EL0.0 as u32 | 7 << 16;
        assert_eq!(trapped_access(op, true), Exit::Syndrome(0x6232_f8e1));
    }

    #[test]
    fn an_illegal_return_keeps_the_level() {
        let mut s = booted();
        s.set(state::SPSR, 0x1d);
        s.set(state::ELR, 0x4000);
        leave(&mut s);
        assert_eq!(state::el(&s), 1);
        assert_ne!(s.get(slot::PSTATE) & pstate::IL, 0);
    }

    #[test]
    fn a_write_fault_at_el1_says_so() {
        let s = booted();
        let f = Fault { addr: 0x123, access: Access::Write, cause: 0b000111 };
        assert_eq!(of_exit(&s, &Exit::Fault(f)), Some((0x9600_0047, Some(0x123))));
    }
}
