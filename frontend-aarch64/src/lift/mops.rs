//! Memory copy and memory set (FEAT_MOPS): all work is done by helpers, by "option A" of the Arm ARM.

use super::{Lifted, Lifter};
use crate::field::{Imm, Reg};
use crate::field_enum;
use crate::helper::Id;

field_enum! {
    /// The `op1` (CPY) or `op2<3:2>` (SET) field.
    Stage: 2 { Prologue, Main, Epilogue, Unallocated }
}

/// Three different registers, none of them 31?
fn distinct(rd: Reg, rs: Reg, rn: Reg) -> bool {
    rd != rs && rd != rn && rs != rn && rd.0 != 31 && rn.0 != 31
}

fn call(l: &mut Lifter, id: Id, rd: Reg, rs: Reg, rn: Reg) -> Lifted {
    let args = [rd.0 as u64, rs.0 as u64, rn.0 as u64, l.word as u64].map(|v| l.imm64(v));
    l.call(id as u16, &args);
    Lifted::Next
}

/// SETP, SETM, SETE; the options (non-temporal, unprivileged) change nothing here.
pub(crate) fn set(l: &mut Lifter, rs: Reg, stage: Stage, _options: Imm<2>, rn: Reg, rd: Reg) -> Lifted {
    if !distinct(rd, rs, rn) {
        return Lifted::Undefined;
    }
    match stage {
        Stage::Prologue => call(l, Id::SET_PROLOGUE, rd, rs, rn),
        Stage::Main | Stage::Epilogue => call(l, Id::SET_MAIN, rd, rs, rn),
        Stage::Unallocated => Lifted::Undefined,
    }
}

/// CPYP, CPYM, CPYE
pub(crate) fn cpy(l: &mut Lifter, stage: Stage, rs: Reg, _options: Imm<4>, rn: Reg, rd: Reg) -> Lifted {
    copy(l, stage, Id::COPY_PROLOGUE, rs, rn, rd)
}

/// CPYFP, CPYFM, CPYFE: forward only
pub(crate) fn cpyf(l: &mut Lifter, stage: Stage, rs: Reg, _options: Imm<4>, rn: Reg, rd: Reg) -> Lifted {
    copy(l, stage, Id::COPY_FORWARD_PROLOGUE, rs, rn, rd)
}

fn copy(l: &mut Lifter, stage: Stage, prologue: Id, rs: Reg, rn: Reg, rd: Reg) -> Lifted {
    if !distinct(rd, rs, rn) || rs.0 == 31 {
        return Lifted::Undefined;
    }
    match stage {
        Stage::Prologue => call(l, prologue, rd, rs, rn),
        Stage::Main | Stage::Epilogue => call(l, Id::COPY_MAIN, rd, rs, rn),
        Stage::Unallocated => Lifted::Undefined,
    }
}
