//! Integer data processing: sums, logic, moves, minima (Arm ARM C4.1.93, C4.1.95).
#![allow(clippy::too_many_arguments, reason = "one per field of the encoding")]

use jib_ir::op::{BinOp, FlagOp};
use jib_ir::region::Val;
use jib_ir::ty::{Cc, Ty};

use super::operand::{Extend, Shift, bitmask, width};
use super::{Lifted, Lifter};
use crate::field::{Imm, Reg};
use crate::field_enum;

field_enum! {
    /// The `op` bit of the add/subtract classes.
    AddSub: 1 { Add, Sub }
}

field_enum! {
    /// The `opc` field of the logical classes.
    Logic: 2 { And, Orr, Eor, Ands }
}

field_enum! {
    /// The `opc` field of the move wide class.
    MoveWide: 2 { Movn, Unallocated, Movz, Movk }
}

field_enum! {
    /// The low bits of `opc` of the minimum and maximum instructions.
    MinMax: 2 { Smax, Umax, Smin, Umin }
}

/// ADR, ADRP
pub(crate) fn adr(l: &mut Lifter, page: bool, lo: Imm<2>, hi: Imm<19>, rd: Reg) -> Lifted {
    let offset = hi.sext() << 2 | lo.zext() as i64;
    let (base, offset) = if page { (l.pc & !0xfff, offset << 12) } else { (l.pc, offset) };
    let v = l.imm64(base.wrapping_add_signed(offset));
    l.set_x(rd, v);
    Lifted::Next
}

/// `n op m`, setting the flags if `s`.
fn add_sub(l: &mut Lifter, op: AddSub, s: bool, n: Val, m: Val) -> Val {
    let (r, flag_op) = match op {
        AddSub::Add => (l.add(n, m), FlagOp::Add),
        AddSub::Sub => (l.sub(n, m), FlagOp::Sub),
    };
    if s {
        let f = l.flags(flag_op, n, m);
        l.set_flags(f);
    }
    r
}

/// Sets `Rd`, which is SP for 31 only when the flags are left alone.
fn set_x_or_sp(l: &mut Lifter, s: bool, rd: Reg, r: Val) -> Lifted {
    if s {
        l.set_x(rd, r);
    } else {
        l.set_xsp(rd, r);
    }
    Lifted::Next
}

/// ADD, ADDS, SUB, SUBS (immediate). `Rn` may be SP; `Rd` only when the flags are left alone.
pub(crate) fn addsub_imm(
    l: &mut Lifter,
    ty: Ty,
    op: AddSub,
    s: bool,
    sh12: bool,
    imm: Imm<12>,
    rn: Reg,
    rd: Reg,
) -> Lifted {
    let n = l.xsp(ty, rn);
    if imm.0 == 0 && !s {
        // MOV to or from SP.
        return set_x_or_sp(l, s, rd, n);
    }
    let m = l.imm(ty, imm.zext() << if sh12 { 12 } else { 0 });
    let r = add_sub(l, op, s, n, m);
    set_x_or_sp(l, s, rd, r)
}

/// ADD, ADDS, SUB, SUBS (shifted register)
pub(crate) fn addsub_shift(
    l: &mut Lifter,
    ty: Ty,
    op: AddSub,
    s: bool,
    shift: Shift,
    rm: Reg,
    amount: Imm<6>,
    rn: Reg,
    rd: Reg,
) -> Lifted {
    if shift == Shift::Ror || amount.0 >= width(ty) {
        return Lifted::Undefined;
    }
    let n = l.x(ty, rn);
    let m = l.shifted(ty, rm, shift, amount.0);
    let r = add_sub(l, op, s, n, m);
    l.set_x(rd, r);
    Lifted::Next
}

/// ADD, ADDS, SUB, SUBS (extended register)
pub(crate) fn addsub_ext(
    l: &mut Lifter,
    ty: Ty,
    op: AddSub,
    s: bool,
    rm: Reg,
    ext: Extend,
    shift: Imm<3>,
    rn: Reg,
    rd: Reg,
) -> Lifted {
    if shift.0 > 4 {
        return Lifted::Undefined;
    }
    let n = l.xsp(ty, rn);
    let m = l.extended(ty, rm, ext, shift.0);
    let r = add_sub(l, op, s, n, m);
    set_x_or_sp(l, s, rd, r)
}

/// `n op m`, with `m` complemented if `invert`; `rn` tells moves apart (ORR, ORN of XZR).
fn logic(l: &mut Lifter, op: Logic, invert: bool, rn: Reg, n: Val, m: Val) -> Val {
    match (op, invert) {
        (Logic::Orr, false) if rn.0 == 31 => m,
        (Logic::Orr, true) if rn.0 == 31 => l.not(m),
        (Logic::And | Logic::Ands, false) => l.and(n, m),
        (Logic::And | Logic::Ands, true) => l.bin(BinOp::AndNot, n, m),
        (Logic::Orr, false) => l.or(n, m),
        (Logic::Eor, false) => l.xor(n, m),
        (Logic::Orr, true) => {
            let m = l.not(m);
            l.or(n, m)
        }
        (Logic::Eor, true) => {
            let m = l.not(m);
            l.xor(n, m)
        }
    }
}

/// AND, ORR, EOR, ANDS (immediate)
pub(crate) fn log_imm(
    l: &mut Lifter,
    ty: Ty,
    op: Logic,
    n: bool,
    immr: Imm<6>,
    imms: Imm<6>,
    rn: Reg,
    rd: Reg,
) -> Lifted {
    let Some(mask) = bitmask(ty, n, imms.0, immr.0) else { return Lifted::Undefined };
    let n = l.x(ty, rn);
    let m = l.imm(ty, mask);
    let r = logic(l, op, false, rn, n, m);
    if op == Logic::Ands {
        let f = l.flags_logic(r);
        l.set_flags(f);
    }
    set_x_or_sp(l, op == Logic::Ands, rd, r)
}

/// AND, BIC, ORR, ORN, EOR, EON, ANDS, BICS (shifted register)
pub(crate) fn log_shift(
    l: &mut Lifter,
    ty: Ty,
    op: Logic,
    shift: Shift,
    invert: bool,
    rm: Reg,
    amount: Imm<6>,
    rn: Reg,
    rd: Reg,
) -> Lifted {
    if amount.0 >= width(ty) {
        return Lifted::Undefined;
    }
    let n = l.x(ty, rn);
    let m = l.shifted(ty, rm, shift, amount.0);
    let r = logic(l, op, invert, rn, n, m);
    if op == Logic::Ands {
        let f = l.flags_logic(r);
        l.set_flags(f);
    }
    l.set_x(rd, r);
    Lifted::Next
}

/// MOVN, MOVZ, MOVK
pub(crate) fn move_wide(l: &mut Lifter, ty: Ty, op: MoveWide, hw: Imm<2>, imm: Imm<16>, rd: Reg) -> Lifted {
    let shift = hw.0 * 16;
    if op == MoveWide::Unallocated || shift >= width(ty) {
        return Lifted::Undefined;
    }
    let part = imm.zext() << shift;
    let v = match op {
        MoveWide::Movn => l.imm(ty, !part),
        MoveWide::Movz | MoveWide::Unallocated => l.imm(ty, part),
        MoveWide::Movk => {
            let old = l.x(ty, rd);
            let rest = l.and_imm(old, !(0xffff << shift));
            let part = l.imm(ty, part);
            l.or(rest, part)
        }
    };
    l.set_x(rd, v);
    Lifted::Next
}

fn min_max(l: &mut Lifter, op: MinMax, n: Val, m: Val) -> Val {
    let (cc, a, b) = match op {
        MinMax::Smax => (Cc::Slt, m, n),
        MinMax::Umax => (Cc::Ult, m, n),
        MinMax::Smin => (Cc::Slt, n, m),
        MinMax::Umin => (Cc::Ult, n, m),
    };
    let n_wins = l.cmp(cc, a, b);
    l.select(n_wins, n, m)
}

/// SMAX, UMAX, SMIN, UMIN (immediate)
pub(crate) fn minmax_imm(l: &mut Lifter, ty: Ty, op: MinMax, imm: Imm<8>, rn: Reg, rd: Reg) -> Lifted {
    let n = l.x(ty, rn);
    let signed = matches!(op, MinMax::Smax | MinMax::Smin);
    let m = l.imm(ty, if signed { imm.sext() as u64 } else { imm.zext() });
    let r = min_max(l, op, n, m);
    l.set_x(rd, r);
    Lifted::Next
}

/// SMAX, UMAX, SMIN, UMIN (register)
pub(crate) fn minmax_reg(l: &mut Lifter, ty: Ty, rm: Reg, op: MinMax, rn: Reg, rd: Reg) -> Lifted {
    let n = l.x(ty, rn);
    let m = l.x(ty, rm);
    let r = min_max(l, op, n, m);
    l.set_x(rd, r);
    Lifted::Next
}
