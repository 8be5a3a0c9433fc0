//! Pointer authentication (FEAT_PAuth): signing, authentication, and branches and loads that authenticate.

use jib_ir::op::{ExitKind, Op};
use jib_ir::region::Val;
use jib_ir::ty::{Size, Ty};

use super::{Lifted, Lifter, privileged};
use crate::cpu::Feature;
use crate::field::{Imm, Reg};
use crate::helper::Id;
use crate::pauth::Key;

/// `opcode` 000 ooo of the one-source instructions: authenticate or sign, data or code, B or A.
fn key_of(opcode: u32) -> Key {
    Key::from_number(u64::from(opcode & 3))
}

fn call(l: &mut Lifter, id: Id, key: Key, ptr: Val, modifier: Val) -> Val {
    let key = l.imm64(key as u64);
    l.call(id as u16, &[ptr, modifier, key])
}

fn lacking(l: &Lifter) -> bool {
    !l.profile().has(Feature::Pauth)
}

/// PACIA to AUTDB, PACIZA to AUTDZB, XPACI, XPACD
pub(crate) fn dp_1src(l: &mut Lifter, opcode: Imm<6>, rn: Reg, rd: Reg) -> Lifted {
    let zero_modifier = opcode.0 & 8 != 0;
    if lacking(l) || opcode.0 > 17 || zero_modifier && rn.0 != 31 || opcode.0 >= 16 && rn.0 != 31 {
        return Lifted::Undefined;
    }
    let ptr = l.x(Ty::I64, rd);
    let v = if opcode.0 >= 16 {
        let data = l.imm64(u64::from(opcode.0 & 1));
        l.call(Id::STRIP as u16, &[ptr, data])
    } else {
        let modifier = if zero_modifier { l.imm64(0) } else { l.xsp(Ty::I64, rn) };
        let id = if opcode.0 & 4 != 0 { Id::AUTHENTICATE } else { Id::SIGN };
        call(l, id, key_of(opcode.0), ptr, modifier)
    };
    l.set_x(rd, v);
    Lifted::Next
}

/// PACGA
pub(crate) fn pacga(l: &mut Lifter, rm: Reg, rn: Reg, rd: Reg) -> Lifted {
    if !l.profile().has(Feature::PauthGeneric) {
        return Lifted::Undefined;
    }
    let value = l.x(Ty::I64, rn);
    let modifier = l.xsp(Ty::I64, rm);
    let v = call(l, Id::SIGN, Key::Ga, value, modifier);
    l.set_x(rd, v);
    Lifted::Next
}

/// The hints XPACLRI, PACIA1716 and its like, PACIASP and its like. `None`: no such hint on this processor.
pub(super) fn hint(l: &mut Lifter, number: u32) -> Option<Lifted> {
    if lacking(l) {
        return None;
    }
    let (rd, modifier) = match number {
        7 => (Reg(30), None),
        8 | 10 | 12 | 14 => (Reg(17), Some(Reg(16))),
        24..=31 => (Reg(30), (number & 1 == 1).then_some(Reg(31))),
        _ => return None,
    };
    let ptr = l.x(Ty::I64, rd);
    let v = if number == 7 {
        let data = l.imm64(0);
        l.call(Id::STRIP as u16, &[ptr, data])
    } else {
        let modifier = modifier.map(|rn| l.xsp(Ty::I64, rn)).unwrap_or_else(|| l.imm64(0));
        let key = if number & 2 != 0 { Key::Ib } else { Key::Ia };
        let id = if number & 4 != 0 { Id::AUTHENTICATE } else { Id::SIGN };
        call(l, id, key, ptr, modifier)
    };
    l.set_x(rd, v);
    Some(Lifted::Next)
}

/// What `ptr` is after authentication by instruction key A or B.
fn target(l: &mut Lifter, b: bool, ptr: Val, modifier: Option<Reg>) -> Val {
    let modifier = modifier.map(|rm| l.xsp(Ty::I64, rm)).unwrap_or_else(|| l.imm64(0));
    call(l, Id::AUTHENTICATE, if b { Key::Ib } else { Key::Ia }, ptr, modifier)
}

/// BRAA, BRAB, BRAAZ, BRABZ, BLRAA, BLRAB, BLRAAZ, BLRABZ
pub(crate) fn branch(l: &mut Lifter, with: bool, calls: bool, b: bool, rn: Reg, rm: Reg) -> Lifted {
    if lacking(l) || !with && rm.0 != 31 {
        return Lifted::Undefined;
    }
    let ptr = l.x(Ty::I64, rn);
    let addr = target(l, b, ptr, with.then_some(rm));
    if !calls {
        return Lifted::End(Op::ExitInd { addr, kind: ExitKind::Jump });
    }
    let ret = l.next_pc();
    let link = l.imm64(ret);
    l.set_x(Reg(30), link);
    Lifted::End(Op::ExitInd { addr, kind: ExitKind::Call { ret } })
}

/// RETAA, RETAB
pub(crate) fn ret(l: &mut Lifter, b: bool) -> Lifted {
    if lacking(l) {
        return Lifted::Undefined;
    }
    let ptr = l.x(Ty::I64, Reg(30));
    let addr = target(l, b, ptr, Some(Reg(31)));
    Lifted::End(Op::ExitInd { addr, kind: ExitKind::Ret })
}

/// ERETAA, ERETAB
pub(crate) fn eret(l: &mut Lifter, b: bool) -> Lifted {
    if lacking(l) || !l.is_el1() {
        return Lifted::Undefined;
    }
    privileged::eret_to(l, |l, elr| target(l, b, elr, Some(Reg(31))))
}

/// LDRAA, LDRAB
pub(crate) fn load(l: &mut Lifter, b: bool, s: bool, imm9: Imm<9>, writeback: bool, rn: Reg, rt: Reg) -> Lifted {
    if lacking(l) {
        return Lifted::Undefined;
    }
    let base = l.xsp(Ty::I64, rn);
    let zero = l.imm64(0);
    let base = call(l, Id::AUTHENTICATE, if b { Key::Db } else { Key::Da }, base, zero);
    let offset = (imm9.0 as i64 | if s { -512 } else { 0 }) * 8;
    let addr = l.add_imm(base, offset);
    let v = l.load(Ty::I64, Size::B8, addr);
    if writeback {
        l.set_xsp(rn, addr);
    }
    l.set_x(rt, v);
    Lifted::Next
}
