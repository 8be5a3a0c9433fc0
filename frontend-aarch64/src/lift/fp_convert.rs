//! Between the general and the vector registers: FP to and from integers and fixed point, plain moves.

use jib_ir::op::{BinOp, Op, Rm};
use jib_ir::region::Val;
use jib_ir::softfloat::Fmt;
use jib_ir::ty::{Lane, Ty, lane_of};

use super::fp::{FType, bytes_of};
use super::{Lifted, Lifter};
use crate::field::{Imm, Reg, VReg};
use crate::field_enum;

field_enum! {
    /// The `rmode` field.
    RMode: 2 { N, P, M, Z }
}

impl RMode {
    /// The rounding it names.
    pub(crate) fn rm(self) -> Rm {
        match self {
            RMode::N => Rm::TieEven,
            RMode::P => Rm::PlusInf,
            RMode::M => Rm::MinusInf,
            RMode::Z => Rm::Zero,
        }
    }
}

/// The integer or fixed-point side of a conversion.
#[derive(Clone, Copy, Debug)]
struct Int {
    lane: Lane,
    signed: bool,
    fbits: u8,
}

impl Int {
    /// An integer of type `ty`.
    fn new(ty: Ty, unsigned: bool) -> Int {
        Int { lane: if ty == Ty::I32 { Lane::S } else { Lane::D }, signed: !unsigned, fbits: 0 }
    }
    /// Fixed point; the fraction cannot be longer than the whole.
    fn fixed(ty: Ty, unsigned: bool, scale: Imm<6>) -> Option<Int> {
        let int = Int::new(ty, unsigned);
        let fbits = 64 - scale.0 as u8;
        (u32::from(fbits) <= int.lane.bits()).then_some(Int { fbits, ..int })
    }
}

/// FCVT{N,P,M,Z}{S,U} (scalar, integer)
pub(crate) fn fcvt_int(l: &mut Lifter, ty: Ty, ptype: FType, rmode: RMode, u: bool, rn: VReg, rd: Reg) -> Lifted {
    to_general(l, Some(Int::new(ty, u)), ptype, rmode.rm(), rn, rd)
}

/// FCVTA{S,U} (scalar)
pub(crate) fn fcvta_int(l: &mut Lifter, ty: Ty, ptype: FType, u: bool, rn: VReg, rd: Reg) -> Lifted {
    to_general(l, Some(Int::new(ty, u)), ptype, Rm::TieAway, rn, rd)
}

/// FCVTZ{S,U} (scalar, fixed-point)
pub(crate) fn fcvtz_fixed(l: &mut Lifter, ty: Ty, ptype: FType, u: bool, scale: Imm<6>, rn: VReg, rd: Reg) -> Lifted {
    to_general(l, Int::fixed(ty, u, scale), ptype, Rm::Zero, rn, rd)
}

/// SCVTF, UCVTF (scalar, integer)
pub(crate) fn cvtf_int(l: &mut Lifter, ty: Ty, ptype: FType, u: bool, rn: Reg, rd: VReg) -> Lifted {
    from_general(l, Some(Int::new(ty, u)), ptype, rn, rd)
}

/// SCVTF, UCVTF (scalar, fixed-point)
pub(crate) fn cvtf_fixed(l: &mut Lifter, ty: Ty, ptype: FType, u: bool, scale: Imm<6>, rn: Reg, rd: VReg) -> Lifted {
    from_general(l, Int::fixed(ty, u, scale), ptype, rn, rd)
}

fn to_general(l: &mut Lifter, int: Option<Int>, ptype: FType, rm: Rm, rn: VReg, rd: Reg) -> Lifted {
    let (Some(Int { lane: to, signed, fbits }), Some(fmt)) = (int, ptype.0) else { return Lifted::Undefined };
    let a = l.v(rn);
    let r = l.push(Op::FToInt { fmt, to, signed, rm, fbits, lanes: 1, a });
    let r = l.vget(to, 0, r);
    l.set_x(rd, r);
    Lifted::Next
}

fn from_general(l: &mut Lifter, int: Option<Int>, ptype: FType, rn: Reg, rd: VReg) -> Lifted {
    let (Some(Int { lane: from, signed, fbits }), Some(fmt)) = (int, ptype.0) else { return Lifted::Undefined };
    let x = l.x(Ty::I64, rn);
    let a = low(l, x);
    let r = l.push(Op::IntToF { fmt, from, signed, fbits, lanes: 1, a });
    l.set_v(rd, r);
    Lifted::Next
}

/// A vector with `x` in its low half, zeroes above.
fn low(l: &mut Lifter, x: Val) -> Val {
    let zero = l.imm64(0);
    l.vpair(x, zero)
}

/// Which formats a plain move of a general register of type `ty` takes.
fn movable(ty: Ty, ptype: FType) -> Option<Fmt> {
    match (ty, ptype.0?) {
        (_, Fmt::H) => Some(Fmt::H),
        (Ty::I32, Fmt::S) => Some(Fmt::S),
        (Ty::I64, Fmt::D) => Some(Fmt::D),
        _ => None,
    }
}

/// FMOV (general), from a vector register
pub(crate) fn fmov_to_gen(l: &mut Lifter, ty: Ty, ptype: FType, rn: VReg, rd: Reg) -> Lifted {
    let Some(fmt) = movable(ty, ptype) else { return Lifted::Undefined };
    let v = l.v(rn);
    let r = l.vget(lane_of(fmt), 0, v);
    l.set_x(rd, r);
    Lifted::Next
}

/// FMOV (general), to a vector register
pub(crate) fn fmov_from_gen(l: &mut Lifter, ty: Ty, ptype: FType, rn: Reg, rd: VReg) -> Lifted {
    let Some(fmt) = movable(ty, ptype) else { return Lifted::Undefined };
    let x = l.x(Ty::I64, rn);
    let v = low(l, x);
    let r = l.vzero_hi(bytes_of(fmt), v);
    l.set_v(rd, r);
    Lifted::Next
}

/// FMOV Xd, Vn.D[1]
pub(crate) fn fmov_to_top(l: &mut Lifter, rn: VReg, rd: Reg) -> Lifted {
    let v = l.v(rn);
    let r = l.vget(Lane::D, 1, v);
    l.set_x(rd, r);
    Lifted::Next
}

/// FMOV Vd.D[1], Xn
pub(crate) fn fmov_from_top(l: &mut Lifter, rn: Reg, rd: VReg) -> Lifted {
    let (x, v) = (l.x(Ty::I64, rn), l.v(rd));
    let r = l.vset(Lane::D, 1, v, x);
    l.set_v(rd, r);
    Lifted::Next
}

/// FJCVTZS: Z tells that the conversion was exact.
pub(crate) fn fjcvtzs(l: &mut Lifter, rn: VReg, rd: Reg) -> Lifted {
    let a = l.v(rn);
    let r = l.push(Op::FJcvt { a });
    let z = l.shift_imm(BinOp::Shr, r, 2);
    let z = l.and_imm(z, 1 << 30);
    let nzcv = l.to_ty(Ty::I32, z);
    let f = l.push(Op::FlagsPack { a: nzcv });
    l.set_flags(f);
    let x = l.zext(Ty::I64, 32, r);
    l.set_x(rd, x);
    Lifted::Next
}
