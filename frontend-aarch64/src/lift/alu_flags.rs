//! Integer instructions that live by the flags: carry, conditional compare and select, FlagM.
#![allow(clippy::too_many_arguments, reason = "one per field of the encoding")]

use jib_ir::op::{BinOp, FlagOp, Op, UnOp};
use jib_ir::region::Val;
use jib_ir::ty::{Cond, Ty};

use super::alu::AddSub;
use super::{Lifted, Lifter};
use crate::field::{Imm, Reg};
use crate::field_enum;

const Z: u64 = 1 << 30;
const C: u64 = 1 << 29;
const V: u64 = 1 << 28;
/// How far bit 0 is below Z, C and V.
const NZCV_SHIFT: u32 = 28;

field_enum! {
    /// The `op` bit of the conditional compare classes.
    Compare: 1 { Ccmn, Ccmp }
}

/// ADC, ADCS, SBC, SBCS
pub(crate) fn addsub_carry(l: &mut Lifter, ty: Ty, op: AddSub, s: bool, rm: Reg, rn: Reg, rd: Reg) -> Lifted {
    let n = l.x(ty, rn);
    let m = l.x(ty, rm);
    let m = if op == AddSub::Sub { l.not(m) } else { m };
    let c = l.cond(Cond::Cs);
    let carry = l.from_bool(ty, c);
    let r = l.add(n, m);
    let r = l.add(r, carry);
    if s {
        let f = l.push(Op::FlagsAdc { ty, a: n, b: m, c });
        l.set_flags(f);
    }
    l.set_x(rd, r);
    Lifted::Next
}

fn cond_compare(l: &mut Lifter, op: Compare, cond: Cond, nzcv: Imm<4>, n: Val, m: Val) -> Lifted {
    let flag_op = if op == Compare::Ccmp { FlagOp::Sub } else { FlagOp::Add };
    let c = l.cond(cond);
    let compared = l.flags(flag_op, n, m);
    let given = l.imm(Ty::Flags, nzcv.zext() << NZCV_SHIFT);
    let f = l.select(c, compared, given);
    l.set_flags(f);
    Lifted::Next
}

/// CCMN, CCMP (register)
pub(crate) fn condcmp_reg(l: &mut Lifter, ty: Ty, op: Compare, rm: Reg, cond: Cond, rn: Reg, nzcv: Imm<4>) -> Lifted {
    let n = l.x(ty, rn);
    let m = l.x(ty, rm);
    cond_compare(l, op, cond, nzcv, n, m)
}

/// CCMN, CCMP (immediate)
pub(crate) fn condcmp_imm(
    l: &mut Lifter,
    ty: Ty,
    op: Compare,
    imm: Imm<5>,
    cond: Cond,
    rn: Reg,
    nzcv: Imm<4>,
) -> Lifted {
    let n = l.x(ty, rn);
    let m = l.imm(ty, imm.zext());
    cond_compare(l, op, cond, nzcv, n, m)
}

/// CSEL, CSINC, CSINV, CSNEG
pub(crate) fn condsel(
    l: &mut Lifter,
    ty: Ty,
    invert: bool,
    rm: Reg,
    cond: Cond,
    inc: bool,
    rn: Reg,
    rd: Reg,
) -> Lifted {
    let c = l.cond(cond);
    let r = if inc && !invert && rn.0 == 31 && rm.0 == 31 {
        // CSET
        let c = l.bnot(c);
        l.from_bool(ty, c)
    } else {
        let n = l.x(ty, rn);
        let m = l.x(ty, rm);
        let m = match (invert, inc) {
            (false, false) => m,
            (false, true) => l.add_imm(m, 1),
            (true, false) => l.not(m),
            (true, true) => l.un(UnOp::Neg, m),
        };
        l.select(c, n, m)
    };
    l.set_x(rd, r);
    Lifted::Next
}

/// The flags as a word.
fn flag_word(l: &mut Lifter) -> Val {
    let f = l.get_flags();
    l.push(Op::FlagsUnpack { f })
}

fn set_flag_word(l: &mut Lifter, a: Val) -> Lifted {
    let f = l.push(Op::FlagsPack { a });
    l.set_flags(f);
    Lifted::Next
}

/// RMIF
pub(crate) fn rmif(l: &mut Lifter, shift: Imm<6>, rn: Reg, mask: Imm<4>) -> Lifted {
    let mask = mask.zext() << NZCV_SHIFT;
    let v = l.x(Ty::I64, rn);
    let v = l.shift_imm(BinOp::Ror, v, shift.0);
    let v = l.zext(Ty::I32, 32, v);
    let v = l.shift_imm(BinOp::Shl, v, NZCV_SHIFT);
    let new = l.and_imm(v, mask);
    let old = flag_word(l);
    let kept = l.and_imm(old, !mask);
    let f = l.or(kept, new);
    set_flag_word(l, f)
}

/// SETF8, SETF16
pub(crate) fn setf(l: &mut Lifter, half: bool, rn: Reg) -> Lifted {
    let bits = if half { 16 } else { 8 };
    let v = l.x(Ty::I32, rn);
    let up = l.shift_imm(BinOp::Shl, v, 32 - bits);
    let nz = l.flags_logic(up);
    let nz = l.push(Op::FlagsUnpack { f: nz });
    // V: the bit above the sign differs from it.
    let above = l.shift_imm(BinOp::Shr, v, 1);
    let differ = l.xor(v, above);
    let differ = l.shift_imm(BinOp::Shl, differ, NZCV_SHIFT - (bits - 1));
    let v_flag = l.and_imm(differ, V);
    let old = flag_word(l);
    let c = l.and_imm(old, C);
    let nzv = l.or(nz, v_flag);
    let f = l.or(nzv, c);
    set_flag_word(l, f)
}

/// CFINV
pub(crate) fn cfinv(l: &mut Lifter) -> Lifted {
    let f = flag_word(l);
    let c = l.imm(Ty::I32, C);
    let f = l.xor(f, c);
    set_flag_word(l, f)
}

/// AXFLAG: Z |= V, C &= !V, N = V = 0.
pub(crate) fn axflag(l: &mut Lifter) -> Lifted {
    let f = flag_word(l);
    let v_at_z = l.shift_imm(BinOp::Shl, f, 2);
    let z = l.or(f, v_at_z);
    let z = l.and_imm(z, Z);
    let v_at_c = l.shift_imm(BinOp::Shl, f, 1);
    let c = l.bin(BinOp::AndNot, f, v_at_c);
    let c = l.and_imm(c, C);
    let f = l.or(z, c);
    set_flag_word(l, f)
}

/// XAFLAG: N = !C & !Z, Z = Z & C, C = C | Z, V = !C & Z.
pub(crate) fn xaflag(l: &mut Lifter) -> Lifted {
    let f = flag_word(l);
    let c_at_z = l.shift_imm(BinOp::Shl, f, 1);
    let either = l.or(f, c_at_z);
    let neither = l.not(either);
    let neither = l.and_imm(neither, Z);
    let n = l.shift_imm(BinOp::Shl, neither, 1);
    let z = l.and(f, c_at_z);
    let z = l.and_imm(z, Z);
    let c = l.and_imm(either, Z);
    let c = l.shift_imm(BinOp::Shr, c, 1);
    let v = l.bin(BinOp::AndNot, f, c_at_z);
    let v = l.and_imm(v, Z);
    let v = l.shift_imm(BinOp::Shr, v, 2);
    let nz = l.or(n, z);
    let cv = l.or(c, v);
    let f = l.or(nz, cv);
    set_flag_word(l, f)
}
