//! How FP ops run on the host's FPU and stay exact.
//!
//! The host computes the same as AArch64 where the result is no NaN (the choice among NaNs differs) and, where a
//! product is involved, does not have the magnitude of the smallest normal number: there the host may not report an
//! underflow that Arm reports, for it looks after rounding. In these cases a cold path asks the evaluator; the flags that
//! the host has raised by then are among those that the evaluator reports.

use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use jib_ir::op::Op;
use jib_ir::region::Val;
use jib_ir::softfloat::Fmt;
use jib_ir::state::slot;
use jib_ir::ty::Shape;

use super::{Lowerer, Repr};

/// What must be checked of a result.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// Only NaN.
    Nan,
    /// NaN and the smallest normal magnitude of the result's format.
    NanOrTiny,
}

/// The CLIF type of a scalar.
pub(super) fn scalar_of(fmt: Fmt) -> Type {
    if fmt == Fmt::S { types::F32 } else { types::F64 }
}

/// The CLIF type of a vector.
pub(super) fn vector_of(fmt: Fmt) -> Type {
    if fmt == Fmt::S { types::F32X4 } else { types::F64X2 }
}

/// A 128-bit constant with `bits` in each lane.
fn in_lanes(fmt: Fmt, bits: u64) -> u128 {
    match fmt {
        Fmt::H => (0..8).fold(0, |all, i| all | u128::from(bits) << (16 * i)),
        Fmt::S => (0..4).fold(0, |all, i| all | u128::from(bits) << (32 * i)),
        Fmt::D => u128::from(bits) | u128::from(bits) << 64,
    }
}

/// The sign bit of each lane.
pub(super) fn signs(fmt: Fmt) -> u128 {
    in_lanes(fmt, 1 << (fmt.bits() - 1))
}

fn smallest_normal(fmt: Fmt) -> u64 {
    if fmt == Fmt::S { 1 << 23 } else { 1 << 52 }
}

/// One operand of an FP op.
#[derive(Clone, Copy)]
pub(super) struct Operand {
    /// The scalar or vector to compute with.
    pub(super) v: Value,
}

impl Lowerer<'_, '_> {
    /// Operand `v` of an op of this shape, such that lanes that do not count hold 0.
    pub(super) fn operand(&mut self, fmt: Fmt, shape: Shape, v: Val) -> Operand {
        Operand {
            v: match shape {
                Shape::Scalar => self.float(fmt, v),
                Shape::Full => self.vec_as(vector_of(fmt), v),
                Shape::Half => {
                    let low = self.low_half(v);
                    self.cast(vector_of(fmt), low)
                }
            },
        }
    }

    /// The low 64 bits with zeroes above.
    fn low_half(&mut self, v: Val) -> Value {
        if matches!(self.vals[v.index()], Repr::Scalar(_)) {
            return self.vec(v);
        }
        let v = self.vec_as(types::F64X2, v);
        let low = self.b.ins().extractlane(v, 0);
        self.whole(low)
    }

    /// The float in lane 0.
    pub(super) fn float(&mut self, fmt: Fmt, v: Val) -> Value {
        let ty = scalar_of(fmt);
        if let Repr::Scalar(s) = self.vals[v.index()]
            && self.type_of(s).bytes() == ty.bytes()
        {
            return self.bits(ty, s);
        }
        let v = self.vec_as(vector_of(fmt), v);
        self.b.ins().extractlane(v, 0)
    }

    /// A result of an op of this shape.
    pub(super) fn float_result(&mut self, v: Value) -> Repr {
        if self.type_of(v).is_vector() { self.whole_of(v) } else { Repr::Scalar(v) }
    }

    /// A constant in lane 0 or in all lanes.
    pub(super) fn float_const(&mut self, ty: Type, bits: u64) -> Value {
        let fmt = if ty.lane_type() == types::F32 { Fmt::S } else { Fmt::D };
        let all = self.vconst(in_lanes(fmt, bits));
        let all = self.cast(vector_of(fmt), all);
        if ty.is_vector() { all } else { self.b.ins().extractlane(all, 0) }
    }

    /// Clears the sign of a scalar or of each lane.
    pub(super) fn magnitude(&mut self, v: Value) -> Value {
        let ty = self.type_of(v);
        let sign_free = if ty.lane_type() == types::F32 { u64::from(u32::MAX >> 1) } else { u64::MAX >> 1 };
        let mask = self.float_const(ty, sign_free);
        self.b.ins().band(v, mask)
    }

    /// Truth (an integer that is 0 or not) that `r` is not to be trusted.
    fn suspicious(&mut self, check: Check, r: Value) -> Value {
        let ty = self.type_of(r);
        if check == Check::Nan {
            let nan = self.b.ins().fcmp(FloatCC::Unordered, r, r);
            return self.any(nan);
        }
        let fmt = if ty.lane_type() == types::F32 { Fmt::S } else { Fmt::D };
        let limit = self.float_const(ty, smallest_normal(fmt));
        let size = self.magnitude(r);
        if !ty.is_vector() {
            return self.b.ins().fcmp(FloatCC::UnorderedOrEqual, size, limit);
        }
        let nan = self.b.ins().fcmp(FloatCC::Unordered, r, r);
        let tiny = self.b.ins().fcmp(FloatCC::Equal, size, limit);
        let either = self.b.ins().bor(nan, tiny);
        self.any(either)
    }

    /// A mask's or truth value's being set anywhere.
    pub(super) fn any(&mut self, mask: Value) -> Value {
        if self.type_of(mask).is_vector() { self.b.ins().vany_true(mask) } else { mask }
    }

    /// `hot`, the host's result of `row`, if it passes `check`; else the evaluator's.
    pub(super) fn checked(&mut self, check: Check, row: Op, operands: &[Operand], hot: Value) -> Value {
        let bad = self.suspicious(check, hot);
        self.unless_bad(bad, row, operands, hot)
    }

    /// `hot` unless `bad`, else the evaluator's result of `row`.
    pub(super) fn unless_bad(&mut self, bad: Value, row: Op, operands: &[Operand], hot: Value) -> Value {
        let ty = self.type_of(hot);
        self.unless_cold(bad, hot, |l| l.exact(row, operands, ty))
    }

    /// The evaluator's result of `row` on operands given in the order of its fields.
    pub(super) fn exact(&mut self, row: Op, operands: &[Operand], ty: Type) -> Value {
        for (i, o) in operands.iter().enumerate() {
            if self.type_of(o.v).is_vector() {
                let at = slot::SCRATCH.offset() + 16 * i as i32;
                self.store_state(o.v, at);
            } else {
                self.store_scalar_operand(i, o.v);
            }
        }
        let mut n = 0;
        let mut renamed = row;
        renamed.map_args(&mut |_| {
            n += 1;
            Val(n - 1)
        });
        self.evaluate_stored(renamed);
        self.load_state(ty, slot::SCRATCH.offset())
    }
}
