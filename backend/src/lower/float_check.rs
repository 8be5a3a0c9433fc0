//! How FP ops run on the host's FPU and stay exact.
//!
//! The host computes the same as AArch64 where the result is no NaN (the choice among NaNs differs) and, where a
//! product is involved, does not have the magnitude of the smallest normal number: there the host may not report an
//! underflow that Arm reports, for it looks after rounding. In these cases a cold path asks the evaluator; the flags that
//! the host has raised by then are among those that the evaluator reports.

use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use jib_ir::op::{FBinOp, Op};
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

/// Constants that stay in registers all over the region, in each lane.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// All but the sign.
    magnitude: Value,
    /// The smallest normal number.
    smallest_normal: Value,
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
        if let Op::VImm { lo: 0, hi: 0 } = self.region.ops[v.index()] {
            return self.float_const(ty, 0);
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
        // Scalars as what instructions take from memory, without a register.
        match ty {
            types::F32 => return self.b.ins().f32const(Ieee32::with_bits(bits as u32)),
            types::F64 => return self.b.ins().f64const(Ieee64::with_bits(bits)),
            _ => {}
        }
        let fmt = if ty.lane_type() == types::F32 { Fmt::S } else { Fmt::D };
        let all = self.vconst(in_lanes(fmt, bits));
        self.cast(vector_of(fmt), all)
    }

    /// Makes the [`Limits`] that the region needs, where all of it sees them.
    pub(super) fn make_limits(&mut self) {
        for fmt in [Fmt::S, Fmt::D] {
            let checked = |op: &Op| match *op {
                Op::FBin { op: FBinOp::Mul | FBinOp::Div, fmt: f, .. } | Op::FMulAdd { fmt: f, .. } => f == fmt,
                _ => false,
            };
            if self.native_fp && self.region.ops.iter().any(checked) {
                let sign_free = signs(fmt) ^ u128::MAX;
                let magnitude = self.vconst(sign_free);
                let magnitude = self.cast(vector_of(fmt), magnitude);
                let smallest_normal = self.vconst(in_lanes(fmt, smallest_normal(fmt)));
                let smallest_normal = self.cast(vector_of(fmt), smallest_normal);
                self.limits[usize::from(fmt == Fmt::D)] = Some(Limits { magnitude, smallest_normal });
            }
        }
    }

    fn limits(&self, ty: Type) -> Option<Limits> {
        self.limits[usize::from(ty.lane_type() == types::F64)]
    }

    /// `all`, or its lane 0 if `ty` is that of a scalar.
    fn as_type(&mut self, ty: Type, all: Value) -> Value {
        if ty.is_vector() { all } else { self.b.ins().extractlane(all, 0) }
    }

    /// Clears the sign of a scalar or of each lane.
    pub(super) fn magnitude(&mut self, v: Value) -> Value {
        let ty = self.type_of(v);
        let mask = match self.limits(ty) {
            Some(limits) => limits.magnitude,
            None => {
                let fmt = if ty.lane_type() == types::F32 { Fmt::S } else { Fmt::D };
                let mask = self.vconst(signs(fmt) ^ u128::MAX);
                self.cast(vector_of(fmt), mask)
            }
        };
        let mask = self.as_type(ty, mask);
        self.b.ins().band(v, mask)
    }

    /// Truth (an integer that is 0 or not) that `r` is not to be trusted.
    fn suspicious(&mut self, check: Check, r: Value) -> Value {
        let ty = self.type_of(r);
        if check == Check::Nan {
            let nan = self.b.ins().fcmp(FloatCC::Unordered, r, r);
            return self.any(nan);
        }
        let limit = match self.limits(ty) {
            Some(limits) => self.as_type(ty, limits.smallest_normal),
            None => {
                let fmt = if ty.lane_type() == types::F32 { Fmt::S } else { Fmt::D };
                self.float_const(ty, smallest_normal(fmt))
            }
        };
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
