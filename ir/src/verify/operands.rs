//! Checks of one op: the types of its operands, and its fields.

use crate::op::*;
use crate::region::{BlockId, Region, Val};
use crate::state::{STATE_WORDS, Slot, slot};
use crate::ty::{Lane, Size, Ty, lane_of};

/// What is wrong, if anything.
type Checked = Result<(), String>;

/// Checks an op in its place.
pub(super) struct Checker<'a> {
    pub(super) region: &'a Region,
    /// First op of the block.
    pub(super) start: u32,
    /// The op being checked.
    pub(super) index: u32,
}

fn ensure(good: bool, what: &str) -> Checked {
    if good { Ok(()) } else { Err(what.into()) }
}

fn int(ty: Ty) -> Checked {
    ensure(ty.int_bits().is_some(), "type must be I32 or I64")
}

fn in_range(what: &str, v: u8, min: u32, max: u32) -> Checked {
    if (min..=max).contains(&u32::from(v)) { Ok(()) } else { Err(format!("{what} {v} is not in {min}..={max}")) }
}

fn lane_in(lane: Lane, allowed: &[Lane]) -> Checked {
    if allowed.contains(&lane) { Ok(()) } else { Err(format!("lane {lane:?} is not one of {allowed:?}")) }
}

fn lane_index(lane: Lane, idx: u8) -> Checked {
    in_range("lane index", idx, 0, lane.count() - 1)
}

/// An access of `size` carried by `ty`.
fn access(ty: Ty, size: Size) -> Checked {
    let most = match ty {
        Ty::I32 => Size::B4,
        Ty::I64 => Size::B8,
        Ty::V128 => Size::B16,
        Ty::Bool | Ty::Flags => return Err(format!("memory holds no {ty:?}")),
    };
    ensure(size <= most, "access is wider than its type")
}

fn state_slot(ty: Ty, at: Slot) -> Checked {
    let words = match ty {
        Ty::Bool | Ty::I32 | Ty::I64 => 1,
        Ty::V128 => 2,
        Ty::Flags => 3,
    };
    ensure(usize::from(at.0) + words <= STATE_WORDS, "slot is outside the state")?;
    ensure(ty != Ty::V128 || at.0.is_multiple_of(2), "vector slot is not aligned")?;
    ensure(ty != Ty::Flags || at == slot::FLAGS, "flags live in their own slot only")
}

/// Lanes that conversions between widths `from` and `to` can have.
fn converted(lanes: u8, from: Lane, to: Lane) -> Checked {
    in_range("lanes", lanes, 1, from.count().min(to.count()))
}

const NARROW: &[Lane] = &[Lane::B, Lane::H, Lane::S];
const FIXED: &[Lane] = &[Lane::H, Lane::S, Lane::D];
const DOUBLING: &[Lane] = &[Lane::H, Lane::S];

fn binary_lane(op: VBinOp, lane: Lane) -> Checked {
    if op == VBinOp::PMul { lane_in(lane, &[Lane::B]) } else { Ok(()) }
}

fn unary_lane(op: VUnOp, lane: Lane) -> Checked {
    match op {
        VUnOp::Cnt | VUnOp::Rbit | VUnOp::Rev16 => lane_in(lane, &[Lane::B]),
        VUnOp::Rev32 => lane_in(lane, &[Lane::B, Lane::H]),
        VUnOp::Rev64 | VUnOp::SAddLP | VUnOp::UAddLP => lane_in(lane, NARROW),
        VUnOp::URecpe | VUnOp::URsqrte => lane_in(lane, &[Lane::S]),
        VUnOp::Abs | VUnOp::Neg | VUnOp::Clz | VUnOp::Cls => Ok(()),
    }
}

fn shift_count(op: VShiftOp, lane: Lane, imm: u8) -> Checked {
    match op {
        VShiftOp::Shl => in_range("count", imm, 0, lane.bits() - 1),
        _ => in_range("count", imm, 1, lane.bits()),
    }
}

/// How many operands a cryptographic op takes.
pub(crate) const fn crypto_operands(op: CryptoOp) -> usize {
    use CryptoOp::*;
    match op {
        AesMc | AesImc | Sha1H => 1,
        AesE | AesD | Sha1Su1 | Sha256Su0 | Sha512Su0 | PMull64 | PMull8 => 2,
        Sha1C | Sha1P | Sha1M | Sha1Su0 | Sha256H | Sha256H2 | Sha256Su1 | Sha512H | Sha512H2 | Sha512Su1 => 3,
    }
}

impl Checker<'_> {
    /// The type of operand `v`, which must be defined earlier in the block.
    fn ty(&self, v: Val) -> Result<Ty, String> {
        if v == Val::NONE {
            return Err("an operand is missing".into());
        }
        if v.0 < self.start || v.0 >= self.index {
            return Err(format!("operand v{} is not defined earlier in the block", v.0));
        }
        let op = &self.region.ops[v.index()];
        op.ty().ok_or_else(|| format!("operand v{} ({}) has no value", v.0, op.name()))
    }

    fn want(&self, ty: Ty, v: Val) -> Checked {
        let found = self.ty(v)?;
        if found == ty { Ok(()) } else { Err(format!("operand v{} is {found:?}, not {ty:?}", v.0)) }
    }

    fn all(&self, ty: Ty, vals: &[Val]) -> Checked {
        vals.iter().try_for_each(|&v| self.want(ty, v))
    }

    fn vectors(&self, vals: &[Val]) -> Checked {
        self.all(Ty::V128, vals)
    }

    fn ints(&self, ty: Ty, vals: &[Val]) -> Checked {
        int(ty)?;
        self.all(ty, vals)
    }

    fn target(&self, to: BlockId) -> Checked {
        if to.index() < self.region.blocks.len() { Ok(()) } else { Err(format!("there is no block {}", to.0)) }
    }

    /// The first `count` of `vals` are there, of type `ty`, and the rest absent; if `count` is none, any number.
    fn optional(&self, ty: Ty, vals: &[Val], count: Option<usize>) -> Checked {
        let there = vals.iter().take_while(|&&v| v != Val::NONE).count();
        ensure(count.is_none_or(|n| n == there), "wrong number of operands")?;
        ensure(vals[there..].iter().all(|&v| v == Val::NONE), "an operand after an absent one")?;
        self.all(ty, &vals[..there])
    }

    /// Checks the op.
    pub(super) fn op(&self, op: &Op) -> Checked {
        match *op {
            Op::Imm { ty: Ty::V128, .. } => Err("a vector constant is a VImm".into()),
            Op::Imm { ty: Ty::Bool, v } => ensure(v <= 1, "a truth value is 0 or 1"),
            Op::Imm { ty: Ty::Flags, v } => ensure(v & !0xf000_0000 == 0, "flags are bits 31:28"),
            Op::Imm { .. } | Op::VImm { .. } => Ok(()),
            Op::Get { ty, slot } => state_slot(ty, slot),
            Op::Set { ty, slot, v } => state_slot(ty, slot).and_then(|()| self.want(ty, v)),
            Op::Bin { ty, a, b, .. } => self.ints(ty, &[a, b]),
            Op::Un { op, ty, a } => {
                ensure(op != UnOp::Rev32 || ty == Ty::I64, "Rev32 is for I64")?;
                self.ints(ty, &[a])
            }
            Op::Ext { ty, bits, a, .. } => {
                in_range("bits", bits, 1, 64)?;
                int(self.ty(a)?)?;
                int(ty)
            }
            Op::Cmp { ty, a, b, .. } | Op::Flags { ty, a, b, .. } => self.ints(ty, &[a, b]),
            Op::TestBit { ty, a, bit } => {
                self.ints(ty, &[a])?;
                in_range("bit", bit, 0, ty.int_bits().unwrap_or(1) - 1)
            }
            Op::BNot { c } => self.want(Ty::Bool, c),
            Op::BAnd { a, b } => self.all(Ty::Bool, &[a, b]),
            Op::FromBool { ty, c } => int(ty).and_then(|()| self.want(Ty::Bool, c)),
            Op::Select { ty, c, a, b } => self.want(Ty::Bool, c).and_then(|()| self.all(ty, &[a, b])),
            Op::Crc32 { size, acc, v, .. } => {
                ensure(size <= Size::B8, "at most 8 bytes")?;
                self.want(Ty::I32, acc)?;
                self.want(Ty::I64, v)
            }
            Op::FlagsAdc { ty, a, b, c } => self.ints(ty, &[a, b]).and_then(|()| self.want(Ty::Bool, c)),
            Op::FlagsLogic { ty, a } => self.ints(ty, &[a]),
            Op::FlagsPack { a } => self.want(Ty::I32, a),
            Op::FlagsUnpack { f } | Op::Cond { f, .. } => self.want(Ty::Flags, f),
            Op::Load { .. }
            | Op::Store { .. }
            | Op::Rmw { .. }
            | Op::Cas { .. }
            | Op::CasIf { .. }
            | Op::CheckAlign { .. }
            | Op::Fence { .. }
            | Op::Call { .. } => self.memory(op),
            Op::Jump { to } => self.target(to),
            Op::Branch { c, then, els } => {
                self.want(Ty::Bool, c)?;
                self.target(then)?;
                self.target(els)
            }
            Op::ExitInd { addr, .. } | Op::Invalidate { addr, .. } => self.want(Ty::I64, addr),
            Op::Exit { .. } | Op::Trap { .. } => Ok(()),
            Op::FBin { .. }
            | Op::FUn { .. }
            | Op::FSign { .. }
            | Op::FMulAdd { .. }
            | Op::FMulAddHS { .. }
            | Op::FRound { .. }
            | Op::FCmp { .. }
            | Op::FMask { .. }
            | Op::FCvt { .. }
            | Op::FToInt { .. }
            | Op::IntToF { .. }
            | Op::FJcvt { .. } => self.float(op),
            _ => self.vector(op),
        }
    }

    fn memory(&self, op: &Op) -> Checked {
        match *op {
            Op::Load { ty, size, addr, .. } => access(ty, size).and_then(|()| self.want(Ty::I64, addr)),
            Op::Store { ty, size, addr, v, .. } => {
                access(ty, size)?;
                self.want(Ty::I64, addr)?;
                self.want(ty, v)
            }
            Op::Rmw { ty, size, addr, v, .. } => {
                access(ty, size)?;
                self.want(Ty::I64, addr)?;
                self.ints(ty, &[v])
            }
            Op::Cas { ty, size, addr, expected, new } => self.swap(ty, size, addr, [expected, new]),
            Op::CasIf { ty, size, c, addr, expected, new } => {
                self.want(Ty::Bool, c)?;
                self.swap(ty, size, addr, [expected, new])
            }
            Op::CheckAlign { addr, .. } => self.want(Ty::I64, addr),
            Op::Call { a, b, c, d, .. } => self.optional(Ty::I64, &[a, b, c, d], None),
            _ => Ok(()),
        }
    }

    fn swap(&self, ty: Ty, size: Size, addr: Val, vals: [Val; 2]) -> Checked {
        access(ty, size)?;
        ensure((ty == Ty::V128) == (size == Size::B16), "vectors are compared whole")?;
        self.want(Ty::I64, addr)?;
        self.all(ty, &vals)
    }

    fn vector(&self, op: &Op) -> Checked {
        match *op {
            Op::VGet { lane, idx, v } | Op::VDupLane { lane, idx, v } => {
                lane_index(lane, idx).and_then(|()| self.vectors(&[v]))
            }
            Op::VSet { lane, idx, v, x } => {
                lane_index(lane, idx)?;
                self.vectors(&[v])?;
                self.want(Ty::I64, x)
            }
            Op::VDup { x, .. } => self.want(Ty::I64, x),
            Op::VMovLane { lane, dst, v, src, from } => {
                lane_index(lane, dst)?;
                lane_index(lane, src)?;
                self.vectors(&[v, from])
            }
            Op::VPair { lo, hi } => self.all(Ty::I64, &[lo, hi]),
            Op::VZeroHi { bytes, v } => {
                ensure(matches!(bytes, 1 | 2 | 4 | 8), "bytes must be 1, 2, 4 or 8")?;
                self.vectors(&[v])
            }
            Op::VExt { a, b, imm } => in_range("imm", imm, 0, 15).and_then(|()| self.vectors(&[a, b])),
            Op::VTbx { acc, table, idx } => self.vectors(&[acc, table, idx]),
            Op::VHigh { v } => self.vectors(&[v]),
            Op::VNot { a } => self.vectors(&[a]),
            Op::VAnd { a, b } | Op::VOr { a, b } | Op::VXor { a, b } | Op::VAndNot { a, b } => self.vectors(&[a, b]),
            Op::VBsl { mask, a, b } => self.vectors(&[mask, a, b]),
            Op::VBin { op, lane, a, b } => binary_lane(op, lane).and_then(|()| self.vectors(&[a, b])),
            Op::VUn { op, lane, a } => unary_lane(op, lane).and_then(|()| self.vectors(&[a])),
            Op::VShift { op, lane, imm, a } => shift_count(op, lane, imm).and_then(|()| self.vectors(&[a])),
            Op::VWiden { lane, a, .. } | Op::VNarrow { lane, a } | Op::VSatNarrow { lane, a, .. } => {
                lane_in(lane, NARROW).and_then(|()| self.vectors(&[a]))
            }
            Op::VMulL { lane, a, b, .. } => lane_in(lane, NARROW).and_then(|()| self.vectors(&[a, b])),
            Op::VReduce { op, lane, a, .. } => {
                if matches!(op, VReduceOp::SAddL | VReduceOp::UAddL) {
                    lane_in(lane, NARROW)?;
                }
                self.vectors(&[a])
            }
            Op::VDot { acc, a, b, .. } | Op::VMmla { acc, a, b, .. } => self.vectors(&[acc, a, b]),
            Op::VSat { op, lane, a, b } => {
                if matches!(op, VSatOp::SQDMulH | VSatOp::SQRDMulH | VSatOp::SQDMulL) {
                    lane_in(lane, DOUBLING)?;
                }
                self.vectors(&[a, b])
            }
            Op::VSatMla { lane, acc, a, b, .. } => lane_in(lane, DOUBLING).and_then(|()| self.vectors(&[acc, a, b])),
            Op::VSatShift { lane, imm, a, .. } => {
                in_range("count", imm, 0, lane.bits() - 1).and_then(|()| self.vectors(&[a]))
            }
            Op::VCrypto { op, a, b, c } => self.optional(Ty::V128, &[a, b, c], Some(crypto_operands(op))),
            _ => Err("the verifier does not know this op".into()),
        }
    }

    fn float(&self, op: &Op) -> Checked {
        match *op {
            Op::FBin { a, b, .. } | Op::FCmp { a, b, .. } | Op::FMask { a, b, .. } => self.vectors(&[a, b]),
            Op::FMulAdd { acc, a, b, .. } | Op::FMulAddHS { acc, a, b, .. } => self.vectors(&[acc, a, b]),
            Op::FUn { a, .. } | Op::FSign { a, .. } | Op::FJcvt { a } => self.vectors(&[a]),
            Op::FRound { int, a, .. } => {
                ensure(matches!(int, 0 | 32 | 64), "int must be 0, 32 or 64")?;
                self.vectors(&[a])
            }
            Op::FCvt { from, to, lanes, a, .. } => {
                converted(lanes, lane_of(from), lane_of(to)).and_then(|()| self.vectors(&[a]))
            }
            Op::FToInt { fmt, to: int, fbits, lanes, a, .. } | Op::IntToF { fmt, from: int, fbits, lanes, a, .. } => {
                lane_in(int, FIXED)?;
                in_range("fbits", fbits, 0, int.bits())?;
                converted(lanes, lane_of(fmt), int)?;
                self.vectors(&[a])
            }
            _ => Err("the verifier does not know this op".into()),
        }
    }
}
