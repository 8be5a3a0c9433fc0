//! FP conversions and rounding to integral values.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, Value, types};
use jib_ir::op::{Op, Rm};
use jib_ir::region::Val;
use jib_ir::softfloat::Fmt;
use jib_ir::state::slot;
use jib_ir::ty::{Lane, Shape};

use super::float_check::{Check, Operand, scalar_of, vector_of};
use super::vector::lanes_of;
use super::{Lowerer, Repr};

/// FPSR.IXC.
const IXC: i64 = 1 << 4;

impl Lowerer<'_, '_> {
    pub(super) fn convert(&mut self, row: Op) -> Repr {
        match row {
            Op::FRound { fmt: fmt @ (Fmt::S | Fmt::D), shape, rm, exact, int: 0, a } => {
                self.round(row, fmt, shape, rm, exact, a)
            }
            Op::FCvt { from, to, lanes, rm: Rm::Fpcr | Rm::TieEven, a } if from != Fmt::H && to != Fmt::H => {
                self.between_formats(row, to, lanes, a)
            }
            Op::FCvt { from: Fmt::H, to: Fmt::S, lanes: lanes @ (1 | 4), a, .. } => {
                self.half_to_single(lanes, a).unwrap_or_else(|| self.evaluate(row))
            }
            Op::FCvt { from: Fmt::S, to: Fmt::H, lanes: lanes @ (1 | 4), rm: Rm::Fpcr | Rm::TieEven, a } => {
                self.single_to_half(row, lanes, a).unwrap_or_else(|| self.evaluate(row))
            }
            Op::FToInt { fmt: fmt @ (Fmt::S | Fmt::D), to, signed, rm, fbits: 0, lanes: 1, a } => {
                self.int_of(row, fmt, to, signed, rm, a).unwrap_or_else(|| self.evaluate(row))
            }
            Op::FToInt { fmt: Fmt::S, to: Lane::S, signed: true, rm: Rm::Zero, fbits: 0, lanes, a } => {
                self.ints_of(row, lanes, a)
            }
            Op::IntToF { fmt: fmt @ (Fmt::S | Fmt::D), from, signed, fbits, lanes, a } => {
                self.float_of_int(row, fmt, (from, signed, fbits), lanes, a)
            }
            _ => self.evaluate(row),
        }
    }

    /// The host's rounding reports inexactness. Where that must not be seen, it is used once FPSR.IXC is set anyway;
    /// before, a thunk or the evaluator does without.
    fn round(&mut self, row: Op, fmt: Fmt, shape: Shape, rm: Rm, exact: bool, a: Val) -> Repr {
        if !self.env.host.sse41 || rm == Rm::Odd || rm == Rm::TieAway && shape != Shape::Scalar {
            return self.evaluate(row);
        }
        let x = self.operand(fmt, shape, a);
        let bad = match rm {
            Rm::TieAway => self.not_small(fmt, x.v),
            _ => {
                let nan = self.b.ins().fcmp(FloatCC::Unordered, x.v, x.v);
                self.any(nan)
            }
        };
        let ty = self.type_of(x.v);
        let slow = if exact { None } else { crate::thunk::round(self.env.host, fmt, rm) };
        let bad = if exact {
            bad
        } else {
            let fpsr = self.load_state(types::I32, slot::FPSR.offset());
            let ixc = self.b.ins().band_imm_u(fpsr, IXC);
            let unset = self.b.ins().icmp_imm_u(IntCC::Equal, ixc, 0);
            self.b.ins().bor(bad, unset)
        };
        let r = self.hot_or_cold(
            bad,
            ty,
            |l| l.round_native(fmt, rm, x.v),
            |l| match slow {
                Some(thunk) => l.round_quietly(thunk, row, x),
                None => l.exact(row, &[x], ty),
            },
        );
        self.float_result(r)
    }

    /// By the thunk, which also looks whether FPSR.IXC may be set by now; NaNs by the evaluator.
    fn round_quietly(&mut self, thunk: usize, row: Op, x: Operand) -> Value {
        self.call_state_only(crate::abi::sync_fpsr as *const () as usize);
        let ty = self.type_of(x.v);
        let v = if ty.is_vector() { self.cast(types::I8X16, x.v) } else { self.whole(x.v) };
        let r = self.call_vector(thunk, &[v]);
        let all = if ty.lane_type() == types::F32 { types::F32X4 } else { types::F64X2 };
        let r = self.cast(all, r);
        let r = if ty.is_vector() { r } else { self.b.ins().extractlane(r, 0) };
        self.checked(Check::Nan, row, &[x], r)
    }

    /// Not a number whose magnitude is below the one from which on all floats are integral.
    fn not_small(&mut self, fmt: Fmt, v: Value) -> Value {
        let limit = if fmt == Fmt::S { u64::from(2f32.powi(23).to_bits()) } else { 2f64.powi(52).to_bits() };
        let limit = self.float_const(scalar_of(fmt), limit);
        let size = self.magnitude(v);
        let small = self.b.ins().fcmp(FloatCC::LessThan, size, limit);
        self.invert(small)
    }

    /// To an integral value, reporting inexactness; for [`Rm::TieAway`] of a number of small magnitude.
    fn round_native(&mut self, fmt: Fmt, rm: Rm, v: Value) -> Value {
        match rm {
            Rm::Fpcr | Rm::TieEven => self.b.ins().nearest(v),
            Rm::PlusInf => self.b.ins().ceil(v),
            Rm::MinusInf => self.b.ins().floor(v),
            Rm::Zero | Rm::Odd => self.b.ins().trunc(v),
            Rm::TieAway => {
                let ty = scalar_of(fmt);
                let bits = |f: f64| if fmt == Fmt::S { u64::from((f as f32).to_bits()) } else { f.to_bits() };
                let (half, one, zero) =
                    (self.float_const(ty, bits(0.5)), self.float_const(ty, bits(1.0)), self.float_const(ty, 0));
                let size = self.magnitude(v);
                let whole = self.b.ins().trunc(size);
                let rest = self.b.ins().fsub(size, whole);
                let up = self.b.ins().fcmp(FloatCC::GreaterThanOrEqual, rest, half);
                let more = self.b.ins().select(up, one, zero);
                let rounded = self.b.ins().fadd(whole, more);
                self.b.ins().fcopysign(rounded, v)
            }
        }
    }

    fn between_formats(&mut self, row: Op, to: Fmt, lanes: u8, a: Val) -> Repr {
        if lanes == 1 {
            let from = if to == Fmt::S { Fmt::D } else { Fmt::S };
            let x = self.float(from, a);
            let (check, r) = if to == Fmt::D {
                (Check::Nan, self.b.ins().fpromote(types::F64, x))
            } else {
                (Check::NanOrTiny, self.b.ins().fdemote(types::F32, x))
            };
            let r = self.checked(check, row, &[Operand { v: x }], r);
            return Repr::Scalar(r);
        }
        let (check, x, r) = if to == Fmt::D {
            let x = self.vec_as(types::F32X4, a);
            (Check::Nan, x, self.b.ins().fvpromote_low(x))
        } else {
            let x = self.vec_as(types::F64X2, a);
            (Check::NanOrTiny, x, self.b.ins().fvdemote(x))
        };
        let r = self.checked(check, row, &[Operand { v: x }], r);
        self.whole_of(r)
    }

    /// Halves to singles by the host, whose NaNs come out as Arm's.
    fn half_to_single(&mut self, lanes: u8, a: Val) -> Option<Repr> {
        let thunk = crate::thunk::half::widen(self.env.host)?;
        let x = match lanes {
            // What is above must not raise flags.
            1 => {
                let low = self.vget(Lane::H, 0, a);
                self.whole(low)
            }
            _ => self.vec(a),
        };
        Some(Repr::Vec(self.call_vector(thunk, &[x])))
    }

    /// Singles to halves by the host; those of the smallest normal magnitude by the evaluator.
    fn single_to_half(&mut self, row: Op, lanes: u8, a: Val) -> Option<Repr> {
        let thunk = crate::thunk::half::narrow(self.env.host)?;
        let x = match lanes {
            1 => {
                let low = self.float(Fmt::S, a);
                self.whole(low)
            }
            _ => self.vec(a),
        };
        let r = self.call_vector(thunk, &[x]);
        let size = self.vconst(u128::from_le_bytes([0xff, 0x7f].repeat(8).try_into().unwrap_or_default()));
        let tiny = self.vconst(u128::from_le_bytes([0x00, 0x04].repeat(8).try_into().unwrap_or_default()));
        let size = self.b.ins().band(r, size);
        let (size, tiny) = (self.cast(types::I16X8, size), self.cast(types::I16X8, tiny));
        let bad = self.b.ins().icmp(IntCC::Equal, size, tiny);
        let bad = self.any(bad);
        Some(Repr::Vec(self.unless_bad(bad, row, &[Operand { v: x }], r)))
    }

    /// One float to an integer; `None` if it has no short form.
    fn int_of(&mut self, row: Op, fmt: Fmt, to: Lane, signed: bool, rm: Rm, a: Val) -> Option<Repr> {
        let ty = match to {
            Lane::S => types::I32,
            Lane::D => types::I64,
            Lane::B | Lane::H => return None,
        };
        if rm != Rm::Zero && !self.env.host.sse41 || rm == Rm::Odd {
            return None;
        }
        let x = self.float(fmt, a);
        if signed && rm == Rm::Zero {
            // Saturates and reports as Arm does.
            let r = self.b.ins().fcvt_to_sint_sat(ty, x);
            self.loud.push(r);
            return Some(Repr::Scalar(r));
        }
        // Anything near the limits or outside goes the cold way, before the host can report what Arm would not.
        let bits = i32::try_from(ty.bits()).unwrap_or(64) - i32::from(signed);
        let most = if rm == Rm::TieAway { i32::from(fmt == Fmt::D) * 29 + 23 } else { 64 };
        let limit = 2f64.powi(bits.min(most)) - if bits < most.min(53) { 1.0 } else { 0.0 };
        let low = if signed { 1.0 - 2f64.powi(bits.min(most)) } else { 0.0 };
        let scalar = scalar_of(fmt);
        let encode = |v: f64| if fmt == Fmt::S { u64::from((v as f32).to_bits()) } else { v.to_bits() };
        let (limit, low) = (self.float_const(scalar, encode(limit)), self.float_const(scalar, encode(low)));
        let below = self.b.ins().fcmp(FloatCC::LessThan, x, limit);
        let above = self.b.ins().fcmp(FloatCC::GreaterThanOrEqual, x, low);
        let good = self.b.ins().band(below, above);
        let bad = self.invert(good);
        let r = self.hot_or_cold(
            bad,
            ty,
            |l| {
                let integral = if rm == Rm::Zero { x } else { l.round_native(fmt, rm, x) };
                l.int_of_in_range(ty, signed, integral)
            },
            |l| l.exact(row, &[Operand { v: x }], ty),
        );
        Some(Repr::Scalar(r))
    }

    /// Of a float known to be in range.
    fn int_of_in_range(&mut self, ty: cranelift_codegen::ir::Type, signed: bool, x: Value) -> Value {
        match (signed, ty) {
            (true, _) => self.b.ins().fcvt_to_sint_sat(ty, x),
            (false, types::I32) => {
                let wide = self.b.ins().fcvt_to_sint_sat(types::I64, x);
                self.b.ins().ireduce(types::I32, wide)
            }
            (false, _) => self.b.ins().fcvt_to_uint_sat(ty, x),
        }
    }

    /// Singles to signed words, towards zero: the host marks what is out of range.
    fn ints_of(&mut self, row: Op, lanes: u8, a: Val) -> Repr {
        let shape = if lanes == 4 { Shape::Full } else { Shape::Half };
        let x = self.operand(Fmt::S, shape, a);
        let r = self.b.ins().x86_cvtt2dq(types::I32X4, x.v);
        let mark = self.vconst((0..4).fold(0u128, |all, i| all | 1 << (32 * i + 31)));
        let mark = self.cast(types::I32X4, mark);
        let odd = self.b.ins().icmp(IntCC::Equal, r, mark);
        let bad = self.any(odd);
        let r = self.unless_bad(bad, row, &[x], r);
        self.whole_of(r)
    }

    fn float_of_int(&mut self, row: Op, fmt: Fmt, (from, signed, fbits): (Lane, bool, u8), lanes: u8, a: Val) -> Repr {
        if !matches!(from, Lane::S | Lane::D) || lanes > 4 {
            return self.evaluate(row);
        }
        if lanes == 1 {
            let r = self.float_of_lane(fmt, from, signed, 0, a);
            let r = self.scaled(fmt, fbits, r);
            return Repr::Scalar(r);
        }
        if from == Lane::S && fmt == Fmt::S && signed {
            let x = if lanes == 4 { self.vec_as(types::I32X4, a) } else { self.operand(Fmt::S, Shape::Half, a).v };
            let x = self.cast(types::I32X4, x);
            let r = self.b.ins().fcvt_from_sint(types::F32X4, x);
            self.loud.push(r);
            let r = self.scaled(fmt, fbits, r);
            return self.whole_of(r);
        }
        let zero = self.vconst(0);
        let mut all = self.cast(vector_of(fmt), zero);
        for i in 0..lanes {
            let r = self.float_of_lane(fmt, from, signed, i, a);
            let r = self.scaled(fmt, fbits, r);
            all = self.b.ins().insertlane(all, r, i);
        }
        self.whole_of(all)
    }

    /// Lane `i` as a float.
    fn float_of_lane(&mut self, fmt: Fmt, from: Lane, signed: bool, i: u8, a: Val) -> Value {
        let to = scalar_of(fmt);
        let x = self.vget(from, i, a);
        let r = match (from, signed) {
            (Lane::S, true) => {
                let x = self.b.ins().ireduce(lanes_of(from).lane_type(), x);
                self.b.ins().fcvt_from_sint(to, x)
            }
            // A zero-extended word is positive.
            (Lane::S, false) | (_, true) => self.b.ins().fcvt_from_sint(to, x),
            (_, false) => self.b.ins().fcvt_from_uint(to, x),
        };
        self.loud.push(r);
        r
    }

    /// Fixed point: an exact scaling after the one rounding.
    fn scaled(&mut self, fmt: Fmt, fbits: u8, v: Value) -> Value {
        if fbits == 0 {
            return v;
        }
        let scale = 2f64.powi(-i32::from(fbits));
        let bits = if fmt == Fmt::S { u64::from((scale as f32).to_bits()) } else { scale.to_bits() };
        let ty = self.type_of(v);
        let scale = self.float_const(ty, bits);
        self.b.ins().fmul(v, scale)
    }
}
