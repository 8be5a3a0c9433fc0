//! What system instructions and registers mean in a whole system: EL1 and EL0 of it.

use jib_ir::op::{ExitKind, Op, Order, Trap};
use jib_ir::region::Val;
use jib_ir::state::slot;
use jib_ir::ty::Ty;

use super::{Lifted, Lifter};
use crate::cpu::Feature;
use crate::field::Reg;
use crate::helper::Id;
use crate::system::exception::{ec, syndrome};
use crate::system::state::{self, MODE_COUNT, MODE_EL1, MODE_SPSEL, MODE_SYSTEM, MODE_UAO, pstate};
use crate::system::sysreg::{self, Encoding, Store, reg};
use crate::system::tlbi::Tlbi;

impl Lifter {
    /// Is the code part of a whole system?
    pub(crate) fn is_system(&self) -> bool {
        self.mode & MODE_SYSTEM != 0
    }
    /// Does it run at EL1 of a whole system?
    pub(crate) fn is_el1(&self) -> bool {
        self.mode & MODE_EL1 != 0
    }
}

/// Ends the block after an instruction whose effect on what follows only the runtime can tell.
fn resync(l: &Lifter) -> Lifted {
    Lifted::End(Op::Exit { pc: l.next_pc(), kind: ExitKind::Sync })
}

/// Is `word` an instruction that CPACR_EL1.FPEN can trap?
pub(super) fn uses_fp(word: u32) -> bool {
    let group = word >> 25 & 0xf;
    let simd_load_store = group & 0b0101 == 0b0100 && word >> 26 & 1 == 1;
    let fp_register = word & 0xffdf_ffc0 == 0xd51b_4400;
    group & 0b0111 == 0b0111 || simd_load_store || fp_register
}

/// The trap of an FP instruction while FP is off.
pub(super) fn fp_trap(l: &Lifter) -> Op {
    const ANY_CONDITION: u32 = 1 << 24 | 0xe << 20;
    Op::Trap { trap: Trap::Syndrome(syndrome(ec::FP, ANY_CONDITION)), pc: l.pc }
}

/// Is the instruction that ends its block with `op` executed as far as a counter of instructions is concerned?
pub(super) fn completes(op: &Op) -> bool {
    match op {
        Op::Trap { trap, .. } => matches!(trap, Trap::Svc(_) | Trap::Hvc(_) | Trap::Wait(_)),
        _ => true,
    }
}

/// Counts the instruction, behind whatever of it can fault, where instructions are counted.
pub(super) fn count(l: &mut Lifter) {
    if l.mode & MODE_COUNT != 0 {
        let old = l.get(Ty::I64, state::RETIRED);
        let new = l.add_imm(old, 1);
        l.set(state::RETIRED, new);
    }
}

/// MRS of a register that a whole system has and a Linux process has not, or has otherwise.
/// `None`: as in a process.
pub(super) fn mrs(l: &mut Lifter, encoding: Encoding, rt: Reg) -> Option<Lifted> {
    let Some(row) = sysreg::find(encoding) else { return mrs_id(l, encoding, rt) };
    if !row.rights.read(l.is_el1()) || lacks(l, encoding) {
        return Some(Lifted::Undefined);
    }
    let v = match row.store {
        Store::Word(slot, _) | Store::Control(slot, _) => l.get(Ty::I64, slot),
        Store::Const(v) => l.imm64(v),
        Store::Board => {
            let op = l.imm64(accessed(encoding, rt));
            l.call(Id::SYSTEM_READ as u16, &[op])
        }
        Store::Own => match own_read(l, encoding, rt) {
            Some(v) => v,
            None => return Some(Lifted::Undefined),
        },
    };
    l.set_x(rt, v);
    Some(Lifted::Next)
}

const ID_AA64PFR0_EL1: Encoding = Encoding::new(3, 0, 0, 4, 0);

/// The identification space `S3_0_C0`.
fn mrs_id(l: &mut Lifter, encoding: Encoding, rt: Reg) -> Option<Lifted> {
    let in_space = encoding.0 >> 7 == Encoding::new(3, 0, 0, 0, 0).0 >> 7;
    if !in_space {
        return None;
    }
    match sysreg::id_register(l.profile(), encoding.crm(), encoding.op2()) {
        Some(v) if l.is_el1() => {
            let mut v = l.imm64(v);
            if encoding == ID_AA64PFR0_EL1 {
                let gic = l.get(Ty::I64, state::GIC);
                v = l.or(v, gic);
            }
            l.set_x(rt, v);
            Some(Lifted::Next)
        }
        _ => Some(Lifted::Undefined),
    }
}

fn own_read(l: &mut Lifter, encoding: Encoding, rt: Reg) -> Option<Val> {
    Some(match encoding {
        reg::SP_EL0 if l.mode & MODE_SPSEL == 0 => return None,
        reg::SP_EL0 => l.get(Ty::I64, state::SP_EL0),
        reg::SPSel => pstate_bits(l, pstate::SPSEL),
        reg::CurrentEL => pstate_bits(l, pstate::EL),
        reg::PAN => pstate_bits(l, pstate::PAN),
        reg::UAO => pstate_bits(l, pstate::UAO),
        reg::DAIF => pstate_bits(l, pstate::D | pstate::A | pstate::I | pstate::F),
        reg::OSLSR_EL1 => {
            let locked = l.get(Ty::I64, state::OSLOCK);
            let two = l.add(locked, locked);
            let implemented = l.imm64(8);
            l.or(two, implemented)
        }
        reg::CNTFRQ_EL0 | reg::CNTPCT_EL0 | reg::CNTVCT_EL0 | reg::CNTPCTSS_EL0 | reg::CNTVCTSS_EL0 if !l.is_el1() => {
            let op = l.imm64(accessed(encoding, rt));
            l.call(Id::COUNTER_AT_EL0 as u16, &[op])
        }
        reg::CNTFRQ_EL0 => l.call(Id::COUNTER_HZ as u16, &[]),
        reg::CNTPCT_EL0 | reg::CNTVCT_EL0 | reg::CNTPCTSS_EL0 | reg::CNTVCTSS_EL0 => l.call(Id::COUNTER as u16, &[]),
        _ => return None,
    })
}

fn pstate_bits(l: &mut Lifter, mask: u64) -> Val {
    let v = l.get(Ty::I64, slot::PSTATE);
    l.and_imm(v, mask)
}

/// MSR (register); `None`: as in a process.
pub(super) fn msr(l: &mut Lifter, encoding: Encoding, rt: Reg) -> Option<Lifted> {
    let row = sysreg::find(encoding)?;
    if !row.rights.write(l.is_el1()) || lacks(l, encoding) {
        return Some(Lifted::Undefined);
    }
    let v = l.x(Ty::I64, rt);
    Some(match row.store {
        Store::Word(slot, mask) => {
            let v = masked(l, v, mask, slot);
            l.set(slot, v);
            Lifted::Next
        }
        Store::Control(slot, mask) => {
            let v = masked(l, v, mask, slot);
            l.set(slot, v);
            tell_board(l, encoding, rt, v)
        }
        Store::Const(_) => Lifted::Next,
        Store::Board => tell_board(l, encoding, rt, v),
        Store::Own => own_write(l, encoding, v),
    })
}

/// The bits of `v` that a register keeps; a register that keeps none stays as it is.
fn masked(l: &mut Lifter, v: Val, mask: u64, slot: jib_ir::state::Slot) -> Val {
    match mask {
        u64::MAX => v,
        0 => l.get(Ty::I64, slot),
        _ => l.and_imm(v, mask),
    }
}

/// Number of an access for the board: the encoding, and in bits 16 and up the general register, which a trap names.
fn accessed(encoding: Encoding, rt: Reg) -> u64 {
    encoding.0 as u64 | (rt.0 as u64) << 16
}

fn tell_board(l: &mut Lifter, encoding: Encoding, rt: Reg, v: Val) -> Lifted {
    let op = l.imm64(accessed(encoding, rt));
    l.call(Id::SYSTEM_WRITE as u16, &[op, v]);
    resync(l)
}

fn own_write(l: &mut Lifter, encoding: Encoding, v: Val) -> Lifted {
    let mask = match encoding {
        reg::SP_EL0 if l.mode & MODE_SPSEL == 0 => return Lifted::Undefined,
        reg::SP_EL0 => {
            l.set(state::SP_EL0, v);
            return Lifted::Next;
        }
        reg::OSLAR_EL1 => {
            let locked = l.and_imm(v, 1);
            l.set(state::OSLOCK, locked);
            // Debug exceptions may be enabled now.
            return resync(l);
        }
        reg::SPSel => pstate::SPSEL,
        reg::PAN => pstate::PAN,
        reg::UAO => pstate::UAO,
        reg::DAIF => pstate::D | pstate::A | pstate::I | pstate::F,
        _ => return Lifted::Undefined,
    };
    change_pstate(l, mask, v)
}

/// Replaces the PSTATE bits of `mask` by those of `v`.
fn change_pstate(l: &mut Lifter, mask: u64, v: Val) -> Lifted {
    let mask = l.imm64(mask);
    l.call(Id::SET_PSTATE as u16, &[mask, v]);
    resync(l)
}

/// MSR (immediate) of PSTATE fields that only EL1 writes; `None`: as in a process.
pub(super) fn msr_imm(l: &mut Lifter, op1: u32, op2: u32, crm: u32) -> Option<Lifted> {
    let (mask, set) = match (op1, op2) {
        (0, 3) => (pstate::UAO, crm & 1 == 1),
        (0, 4) => (pstate::PAN, crm & 1 == 1),
        (0, 5) => (pstate::SPSEL, crm & 1 == 1),
        (3, 6) => ((crm as u64) << 6, true),
        (3, 7) => ((crm as u64) << 6, false),
        _ => return None,
    };
    if !l.is_el1() {
        return Some(Lifted::Undefined);
    }
    if (op1, op2) == (3, 6) {
        // Masking needs no look at what is pending.
        let old = l.get(Ty::I64, slot::PSTATE);
        let bits = l.imm64(mask);
        let new = l.or(old, bits);
        l.set(slot::PSTATE, new);
        return Some(Lifted::Next);
    }
    let v = l.imm64(if set { mask } else { 0 });
    Some(change_pstate(l, mask, v))
}

/// SYS of instructions that only EL1 may use; `None`: as in a process.
pub(super) fn sys(l: &mut Lifter, encoding: Encoding, rt: Reg) -> Option<Lifted> {
    let (op1, crn, crm, op2) = (encoding.0 >> 11 & 7, encoding.crn(), encoding.crm(), encoding.op2());
    let handled = match (op1, crn, crm, op2) {
        // Caches are coherent: maintenance by set and way, and invalidation, change nothing.
        (0, 7, 6 | 10 | 14, 1 | 2) => Lifted::Next,
        // IC IALLUIS, IC IALLU; AT S1E*; AT S1E1RP, S1E1WP
        (0, 7, 1 | 5, 0) | (0, 7, 8, 0..=3) | (0, 7, 9, 0 | 1) => {
            let v = l.x(Ty::I64, rt);
            tell_board(l, encoding, rt, v)
        }
        (0, 8, ..) if Tlbi::of(encoding, 0).is_some() => {
            let v = l.x(Ty::I64, rt);
            tell_board(l, encoding, rt, v)
        }
        // CFP, DVP, CPP RCTX: no prediction to restrict.
        (3, 7, 3, 4 | 5 | 7) => return Some(Lifted::Next),
        _ => return None,
    };
    Some(if l.is_el1() { handled } else { Lifted::Undefined })
}

/// ERET
pub(crate) fn eret(l: &mut Lifter) -> Lifted {
    if !l.is_el1() {
        return Lifted::Undefined;
    }
    let addr = l.call(Id::ERET as u16, &[]);
    Lifted::End(Op::ExitInd { addr, kind: ExitKind::Sync })
}

/// ERET to what `address` makes of ELR_EL1, which stays as it is.
pub(super) fn eret_to(l: &mut Lifter, address: impl FnOnce(&mut Lifter, Val) -> Val) -> Lifted {
    let elr = l.get(Ty::I64, state::ELR);
    let to = address(l, elr);
    l.set(state::ELR, to);
    let addr = l.call(Id::ERET as u16, &[]);
    l.set(state::ELR, elr);
    Lifted::End(Op::ExitInd { addr, kind: ExitKind::Sync })
}

/// Is it a key of pointer authentication, on a processor without?
fn lacks(l: &Lifter, encoding: Encoding) -> bool {
    (reg::APIAKeyLo_EL1..=reg::APGAKeyHi_EL1).contains(&encoding) && !l.profile().has(Feature::Pauth)
}

/// How LDTR and STTR reach memory: at EL1, and unless PSTATE.UAO is set, with EL0's rights.
pub(super) fn unprivileged(l: &Lifter) -> Order {
    if l.is_el1() && l.mode & MODE_UAO == 0 { Order::Unprivileged } else { Order::Plain }
}

/// WFE, SEV, SEVL; `None`: as in a process.
pub(super) fn hint(l: &mut Lifter, number: u32) -> Option<Lifted> {
    match number {
        2 => l.call(Id::WAIT_FOR_EVENT as u16, &[]),
        4 => l.call(Id::SEND_EVENT as u16, &[]),
        5 => {
            let one = l.imm64(1);
            l.set(state::EVENT, one);
            return Some(Lifted::Next);
        }
        _ => return None,
    };
    Some(Lifted::Next)
}

/// Must what follows `word` be looked for anew, since `word` is written to the system's own registers or to one of
/// the processor's that decide how code runs?
pub(super) fn resyncs(word: u32) -> bool {
    let encoding = Encoding((word >> 5) as u16);
    let (op1, op2) = (word >> 16 & 7, word >> 5 & 7);
    if word & 0xfff8_f01f == 0xd500_401f {
        return matches!((op1, op2), (0, 3..=5) | (3, 7));
    }
    if word & 0xfff8_0000 == 0xd508_0000 {
        return op1 == 0 && matches!((encoding.crn(), encoding.crm()), (8, _) | (7, 1 | 5 | 8 | 9));
    }
    word & 0xfff0_0000 == 0xd510_0000
        && sysreg::find(encoding).is_some_and(|row| match row.store {
            Store::Control(..) | Store::Board => true,
            Store::Own => encoding != reg::SP_EL0,
            Store::Word(..) | Store::Const(_) => false,
        })
}
