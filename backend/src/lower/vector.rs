//! Vector ops that move parts or combine bits; lane arithmetic is in [`super::lanes`].

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{ConstantData, InstBuilder, Type, Value, types};
use jib_ir::op::Op;
use jib_ir::region::Val;
use jib_ir::ty::Lane;

use super::{Lowerer, Repr};

/// The CLIF type of 128 bits in lanes.
pub(super) fn lanes_of(lane: Lane) -> Type {
    match lane {
        Lane::B => types::I8X16,
        Lane::H => types::I16X8,
        Lane::S => types::I32X4,
        Lane::D => types::I64X2,
    }
}

impl Lowerer<'_, '_> {
    pub(super) fn vector_op(&mut self, op: Op) -> Repr {
        match op {
            Op::VImm { lo, hi } => Repr::Vec(self.vconst(u128::from(lo) | u128::from(hi) << 64)),
            Op::VGet { lane, idx, v } => Repr::Int(self.vget(lane, idx, v)),
            Op::VSet { lane, idx, v, x } => {
                let (v, x) = (self.vec_as(lanes_of(lane), v), self.int(x));
                let x = self.low_lane(lane, x);
                let r = self.b.ins().insertlane(v, x, idx);
                self.whole_of(r)
            }
            Op::VDup { lane, x } => {
                let x = self.int(x);
                let x = self.low_lane(lane, x);
                let r = self.b.ins().splat(lanes_of(lane), x);
                self.whole_of(r)
            }
            Op::VDupLane { lane, idx, v } => {
                let n = lane.bytes() as u8;
                self.permute(v, v, |i| idx * n + i % n)
            }
            Op::VMovLane { lane, dst, v, src, from } => {
                let from = self.vec_as(lanes_of(lane), from);
                let part = self.b.ins().extractlane(from, src);
                let v = self.vec_as(lanes_of(lane), v);
                let r = self.b.ins().insertlane(v, part, dst);
                self.whole_of(r)
            }
            Op::VPair { lo, hi } => {
                let (lo, high) = (self.int(lo), hi);
                if matches!(self.region.ops[high.index()], Op::Imm { v: 0, .. }) {
                    return Repr::Scalar(lo);
                }
                Repr::Pair(lo, self.int(high))
            }
            Op::VZeroHi { bytes, v } => self.zero_hi(bytes, v),
            Op::VHigh { v } => {
                let v = self.vec_as(types::F64X2, v);
                Repr::Scalar(self.b.ins().extractlane(v, 1))
            }
            Op::VExt { a, b, imm } => self.permute(a, b, |i| i + imm),
            Op::VTbx { acc, table, idx } => self.table(acc, table, idx),
            Op::VAnd { .. }
            | Op::VOr { .. }
            | Op::VXor { .. }
            | Op::VAndNot { .. }
            | Op::VNot { .. }
            | Op::VBsl { .. } => Repr::Vec(self.bitwise(op)),
            Op::VBin { op: bin, lane, a, b } => self.vbin(op, bin, lane, a, b),
            Op::VUn { op: un, lane, a } => self.vun(op, un, lane, a),
            Op::VShift { op: shift, lane, imm, a } => self.vshift(shift, lane, imm, a),
            Op::VWiden { signed, lane, a } => {
                let a = self.low_only(a);
                let r = self.widen_low(signed, lane, a);
                self.whole_of(r)
            }
            Op::VNarrow { lane, a } => self.vnarrow(op, lane, a),
            Op::VMulL { signed, lane, a, b } => {
                let (a, b) = (self.low_only(a), self.low_only(b));
                let (a, b) = (self.widen_low(signed, lane, a), self.widen_low(signed, lane, b));
                let r = self.b.ins().imul(a, b);
                self.whole_of(r)
            }
            Op::VReduce { op: reduce, lane, shape, a } => self.vreduce(reduce, lane, shape, a),
            Op::VDot { acc, a, b, .. } | Op::VMmla { acc, a, b, .. } => self.by_thunk(op, &[acc, a, b]),
            Op::VCrypto { op: crypto, a, b, c } => self.crypto_op(op, crypto, [a, b, c]),
            Op::VSat { .. } | Op::VSatMla { .. } | Op::VSatShift { .. } | Op::VSatNarrow { .. } => self.saturate(op),
            _ => unreachable!("op {} has another chapter", self.at),
        }
    }

    /// A vector of which only the low half counts: what is above a high half moved down need not be cleared.
    fn low_only(&mut self, v: Val) -> Value {
        let Op::VHigh { v: whole } = self.region.ops[v.index()] else { return self.vec(v) };
        let whole = self.vec(whole);
        self.permute_bytes(whole, whole, |i| 8 | i)
    }

    /// A result of any vector type.
    pub(super) fn whole_of(&mut self, v: Value) -> Repr {
        Repr::Vec(self.cast(types::I8X16, v))
    }

    /// Calls the thunk of `op` if it has one, else the evaluator.
    pub(super) fn by_thunk(&mut self, op: Op, args: &[Val]) -> Repr {
        let Some(thunk) = crate::thunk::vector(self.env.host, &op) else { return self.evaluate(op) };
        let args: Vec<Value> = args.iter().map(|v| self.vec(*v)).collect();
        Repr::Vec(self.call_vector(thunk, &args))
    }

    pub(super) fn vconst(&mut self, v: u128) -> Value {
        let data = self.b.func.dfg.constants.insert(ConstantData::from(&v.to_le_bytes()[..]));
        self.b.ins().vconst(types::I8X16, data)
    }

    pub(super) fn vget(&mut self, lane: Lane, idx: u8, v: Val) -> Value {
        if let Repr::Scalar(s) = self.vals[v.index()] {
            let have = self.type_of(s).bytes();
            if idx == 0 && have == 8 && lane == Lane::D {
                return self.bits(types::I64, s);
            }
            if idx == 0 && have == 4 && matches!(lane, Lane::S | Lane::D) {
                let r = self.bits(types::I32, s);
                return self.b.ins().uextend(types::I64, r);
            }
        }
        if let (Repr::Pair(lo, hi), Lane::D) = (self.vals[v.index()], lane) {
            return if idx == 0 { lo } else { hi };
        }
        if lane == Lane::D && idx == 0 {
            // A plain move to a general register, which an extraction is not.
            let v = self.vec_as(types::F64X2, v);
            let low = self.b.ins().extractlane(v, 0);
            return self.bits(types::I64, low);
        }
        let v = self.vec_as(lanes_of(lane), v);
        let r = self.b.ins().extractlane(v, idx);
        if lane == Lane::D { r } else { self.b.ins().uextend(types::I64, r) }
    }

    /// A scalar's bits as another type of its size.
    pub(super) fn bits(&mut self, ty: Type, v: Value) -> Value {
        if self.type_of(v) == ty {
            return v;
        }
        self.b.ins().bitcast(ty, cranelift_codegen::ir::MemFlagsData::new(), v)
    }

    /// The low bits of an `I64`, as wide as a lane.
    fn low_lane(&mut self, lane: Lane, x: Value) -> Value {
        if lane == Lane::D { x } else { self.b.ins().ireduce(lanes_of(lane).lane_type(), x) }
    }

    fn zero_hi(&mut self, bytes: u8, v: Val) -> Repr {
        if let Repr::Scalar(s) = self.vals[v.index()]
            && u32::from(bytes) >= self.type_of(s).bytes()
        {
            return Repr::Scalar(s);
        }
        match bytes {
            8 => {
                let v = self.vec_as(types::F64X2, v);
                Repr::Scalar(self.b.ins().extractlane(v, 0))
            }
            4 => {
                let v = self.vec_as(types::F32X4, v);
                Repr::Scalar(self.b.ins().extractlane(v, 0))
            }
            _ => {
                let v = self.vec(v);
                let mask = self.vconst(u128::MAX >> (128 - 8 * u32::from(bytes)));
                Repr::Vec(self.b.ins().band(v, mask))
            }
        }
    }

    /// Byte i of the result is byte `from(i)` of `b:a`.
    pub(super) fn permute(&mut self, a: Val, b: Val, from: impl Fn(u8) -> u8) -> Repr {
        let (a, b) = (self.vec(a), self.vec(b));
        Repr::Vec(self.permute_bytes(a, b, from))
    }

    pub(super) fn permute_bytes(&mut self, a: Value, b: Value, from: impl Fn(u8) -> u8) -> Value {
        let mask: [u8; 16] = std::array::from_fn(|i| from(i as u8));
        let mask = self.b.func.dfg.immediates.push(ConstantData::from(&mask[..]));
        self.b.ins().shuffle(a, b, mask)
    }

    fn table(&mut self, acc: Val, table: Val, idx: Val) -> Repr {
        if !self.env.host.ssse3 {
            return self.evaluate(Op::VTbx { acc, table, idx });
        }
        let (t, i) = (self.vec(table), self.vec(idx));
        // Indices from 16 on get their top bit set, for which the host gives 0.
        let bias = self.vconst(u128::from_le_bytes([0x70; 16]));
        let biased = self.b.ins().uadd_sat(i, bias);
        let found = self.b.ins().x86_pshufb(t, biased);
        if matches!(self.region.ops[acc.index()], Op::VImm { lo: 0, hi: 0 }) {
            return Repr::Vec(found);
        }
        let limit = self.vconst(u128::from_le_bytes([16; 16]));
        let inside = self.b.ins().icmp(IntCC::UnsignedLessThan, i, limit);
        let acc = self.vec(acc);
        Repr::Vec(self.b.ins().bitselect(inside, found, acc))
    }

    fn bitwise(&mut self, op: Op) -> Value {
        match op {
            Op::VAnd { a, b } => {
                let (a, b) = (self.vec(a), self.vec(b));
                self.b.ins().band(a, b)
            }
            Op::VOr { a, b } => {
                let (a, b) = (self.vec(a), self.vec(b));
                self.b.ins().bor(a, b)
            }
            Op::VXor { a, b } => {
                let (a, b) = (self.vec(a), self.vec(b));
                self.b.ins().bxor(a, b)
            }
            Op::VAndNot { a, b } => {
                let (a, b) = (self.vec(a), self.vec(b));
                let n = self.b.ins().bnot(b);
                self.b.ins().band(a, n)
            }
            Op::VNot { a } => {
                let a = self.vec(a);
                self.b.ins().bnot(a)
            }
            Op::VBsl { mask, a, b } => {
                let (mask, a, b) = (self.vec(mask), self.vec(a), self.vec(b));
                self.b.ins().bitselect(mask, a, b)
            }
            _ => unreachable!("not a bitwise op"),
        }
    }
}
