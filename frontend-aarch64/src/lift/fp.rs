//! Scalar floating point within the vector registers: moves, arithmetic, rounding, comparison, selection.
//!
//! A scalar result zeroes the rest of its register, which every op here does by itself.

use jib_ir::op::{FBinOp, FSignOp, FUnOp, Op, Rm};
use jib_ir::region::Val;
use jib_ir::softfloat::Fmt;
use jib_ir::ty::{Cond, Shape, Ty};

use super::{Lifted, Lifter};
use crate::field::{Imm, VReg};
use crate::field_enum;
use crate::pattern::Field;

/// The `ptype` field: a format, or none for the reserved value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FType(pub(crate) Option<Fmt>);

impl Field for FType {
    const WIDTH: u8 = 2;
    fn from_bits(bits: u32) -> Self {
        FType([Some(Fmt::S), Some(Fmt::D), None, Some(Fmt::H)][bits as usize & 3])
    }
}

field_enum! {
    /// One-source operations that look at signs alone, and the square root.
    Unary: 2 { Mov, Abs, Neg, Sqrt }
}
field_enum! {
    /// The FRINT variants.
    Rint: 3 { N, P, M, Z, A, Reserved, X, I }
}

impl Rint {
    /// Its rounding, and whether it reports inexactness.
    pub(crate) fn rounding(self) -> Option<(Rm, bool)> {
        match self {
            Rint::N => Some((Rm::TieEven, false)),
            Rint::P => Some((Rm::PlusInf, false)),
            Rint::M => Some((Rm::MinusInf, false)),
            Rint::Z => Some((Rm::Zero, false)),
            Rint::A => Some((Rm::TieAway, false)),
            Rint::X => Some((Rm::Fpcr, true)),
            Rint::I => Some((Rm::Fpcr, false)),
            Rint::Reserved => None,
        }
    }
}

/// Width of a format in bytes.
pub(crate) const fn bytes_of(fmt: Fmt) -> u32 {
    fmt.bits() / 8
}

/// FMOV (register), FABS, FNEG, FSQRT
pub(crate) fn fp_unary(l: &mut Lifter, ptype: FType, op: Unary, rn: VReg, rd: VReg) -> Lifted {
    let Some(fmt) = ptype.0 else { return Lifted::Undefined };
    let n = l.v(rn);
    let r = match op {
        Unary::Mov => l.vzero_hi(bytes_of(fmt), n),
        Unary::Abs => l.fsign(FSignOp::Abs, fmt, Shape::Scalar, n),
        Unary::Neg => l.fsign(FSignOp::Neg, fmt, Shape::Scalar, n),
        Unary::Sqrt => l.fun(FUnOp::Sqrt, fmt, Shape::Scalar, n),
    };
    l.set_v(rd, r);
    Lifted::Next
}

/// FCVT
pub(crate) fn fcvt(l: &mut Lifter, from: FType, to: FType, rn: VReg, rd: VReg) -> Lifted {
    let (Some(from), Some(to)) = (from.0, to.0) else { return Lifted::Undefined };
    if from == to {
        return Lifted::Undefined;
    }
    let a = l.v(rn);
    let r = l.push(Op::FCvt { from, to, lanes: 1, rm: Rm::Fpcr, a });
    l.set_v(rd, r);
    Lifted::Next
}

/// FRINT{N,P,M,Z,A,X,I}
pub(crate) fn frint(l: &mut Lifter, ptype: FType, op: Rint, rn: VReg, rd: VReg) -> Lifted {
    let (Some(fmt), Some((rm, exact))) = (ptype.0, op.rounding()) else { return Lifted::Undefined };
    let a = l.v(rn);
    let r = l.push(Op::FRound { fmt, shape: Shape::Scalar, rm, exact, int: 0, a });
    l.set_v(rd, r);
    Lifted::Next
}

/// FRINT{32,64}{Z,X}
pub(crate) fn frint_n(l: &mut Lifter, ptype: FType, wide: bool, x: bool, rn: VReg, rd: VReg) -> Lifted {
    let Some(fmt @ (Fmt::S | Fmt::D)) = ptype.0 else { return Lifted::Undefined };
    let a = l.v(rn);
    let r = l.round_n(fmt, Shape::Scalar, wide, x, a);
    l.set_v(rd, r);
    Lifted::Next
}

/// FMUL, FDIV, FADD, FSUB, FMAX, FMIN, FMAXNM, FMINNM, FNMUL
pub(crate) fn fp_binary(l: &mut Lifter, ptype: FType, rm: VReg, opcode: Imm<4>, rn: VReg, rd: VReg) -> Lifted {
    const OPS: [FBinOp; 9] = [
        FBinOp::Mul,
        FBinOp::Div,
        FBinOp::Add,
        FBinOp::Sub,
        FBinOp::Max,
        FBinOp::Min,
        FBinOp::MaxNm,
        FBinOp::MinNm,
        FBinOp::Mul,
    ];
    let (Some(fmt), Some(&op)) = (ptype.0, OPS.get(opcode.0 as usize)) else { return Lifted::Undefined };
    let (n, m) = (l.v(rn), l.v(rm));
    let mut r = l.fbin(op, fmt, Shape::Scalar, n, m);
    if opcode.0 == 8 {
        r = l.fsign(FSignOp::Neg, fmt, Shape::Scalar, r);
    }
    l.set_v(rd, r);
    Lifted::Next
}

/// FMADD, FMSUB, FNMADD, FNMSUB: the addend is negated for the N forms, the product if `o1 != o0`.
pub(crate) fn fp_mul_add<const O1: bool>(
    l: &mut Lifter,
    ptype: FType,
    rm: VReg,
    o0: bool,
    ra: VReg,
    rn: VReg,
    rd: VReg,
) -> Lifted {
    let Some(fmt) = ptype.0 else { return Lifted::Undefined };
    let (mut n, m, mut a) = (l.v(rn), l.v(rm), l.v(ra));
    if O1 {
        a = l.fsign(FSignOp::Neg, fmt, Shape::Scalar, a);
    }
    if O1 != o0 {
        n = l.fsign(FSignOp::Neg, fmt, Shape::Scalar, n);
    }
    let r = l.fmuladd(fmt, Shape::Scalar, a, n, m);
    l.set_v(rd, r);
    Lifted::Next
}

/// FCMP, FCMPE, with a register or zero
pub(crate) fn fcmp(l: &mut Lifter, ptype: FType, rm: VReg, rn: VReg, signal: bool, zero: bool) -> Lifted {
    let Some(fmt) = ptype.0 else { return Lifted::Undefined };
    let a = l.v(rn);
    let b = if zero { l.vimm(0) } else { l.v(rm) };
    let f = l.push(Op::FCmp { fmt, signal, a, b });
    l.set_flags(f);
    Lifted::Next
}

/// FCCMP, FCCMPE
pub(crate) fn fccmp(
    l: &mut Lifter,
    ptype: FType,
    rm: VReg,
    cond: Cond,
    rn: VReg,
    signal: bool,
    nzcv: Imm<4>,
) -> Lifted {
    let Some(fmt) = ptype.0 else { return Lifted::Undefined };
    let c = l.cond(cond);
    // Where the condition fails nothing is compared: zeroes raise no exception.
    let zero = l.vimm(0);
    let (n, m) = (l.v(rn), l.v(rm));
    let (a, b) = (l.select(c, n, zero), l.select(c, m, zero));
    let compared = l.push(Op::FCmp { fmt, signal, a, b });
    let given = l.imm(Ty::Flags, nzcv.zext() << 28);
    let f = l.select(c, compared, given);
    l.set_flags(f);
    Lifted::Next
}

/// FCSEL
pub(crate) fn fcsel(l: &mut Lifter, ptype: FType, rm: VReg, cond: Cond, rn: VReg, rd: VReg) -> Lifted {
    let Some(fmt) = ptype.0 else { return Lifted::Undefined };
    let c = l.cond(cond);
    let (n, m) = (l.v(rn), l.v(rm));
    let chosen = l.select(c, n, m);
    let r = l.vzero_hi(bytes_of(fmt), chosen);
    l.set_v(rd, r);
    Lifted::Next
}

/// FMOV (scalar, immediate)
pub(crate) fn fmov_imm(l: &mut Lifter, ptype: FType, imm8: Imm<8>, rd: VReg) -> Lifted {
    let Some(fmt) = ptype.0 else { return Lifted::Undefined };
    let r = l.vimm(expand_imm(fmt, imm8.0 as u8) as u128);
    l.set_v(rd, r);
    Lifted::Next
}

/// VFPExpandImm: sign, three bits of exponent, four of fraction.
fn expand_imm(fmt: Fmt, imm8: u8) -> u64 {
    let imm = imm8 as u64;
    let (exp, frac): (u32, u32) = match fmt {
        Fmt::H => (5, 10),
        Fmt::S => (8, 23),
        Fmt::D => (11, 52),
    };
    let b = imm >> 6 & 1;
    let repeated = if b == 1 { (1 << (exp - 3)) - 1 } else { 0 };
    let exponent = (b ^ 1) << (exp - 1) | repeated << 2 | imm >> 4 & 3;
    (imm >> 7) << (exp + frac) | exponent << frac | (imm & 15) << (frac - 4)
}

impl Lifter {
    /// FRINT32 or FRINT64 (`wide`); `x` rounds as FPCR says, else towards zero. Always reports inexactness.
    pub(crate) fn round_n(&mut self, fmt: Fmt, shape: Shape, wide: bool, x: bool, a: Val) -> Val {
        let rm = if x { Rm::Fpcr } else { Rm::Zero };
        let int = if wide { 64 } else { 32 };
        self.push(Op::FRound { fmt, shape, rm, exact: true, int, a })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn immediates_expand_to_the_numbers_they_name() {
        assert_eq!(expand_imm(Fmt::D, 0x70), 1.0f64.to_bits());
        assert_eq!(expand_imm(Fmt::S, 0x70), 1.0f32.to_bits() as u64);
        assert_eq!(expand_imm(Fmt::S, 0x80), (-2.0f32).to_bits() as u64);
        assert_eq!(expand_imm(Fmt::D, 0x3f), 31.0f64.to_bits());
        assert_eq!(expand_imm(Fmt::D, 0x40), 0.125f64.to_bits());
        assert_eq!(expand_imm(Fmt::H, 0x70), 0x3c00);
        assert_eq!(expand_imm(Fmt::H, 0xff), 0xbfc0);
    }
}
