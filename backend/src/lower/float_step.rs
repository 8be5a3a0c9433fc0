//! FMULX, FRECPS and FRSQRTS: products whose infinity times 0 is no invalid operation, and Newton steps.
//!
//! They differ from the host's operations only for infinities and NaNs, which the evaluator gets before the host can
//! report anything: the operands are looked at as integers.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use jib_ir::op::{FBinOp, Op};
use jib_ir::softfloat::Fmt;
use jib_ir::ty::Shape;

use super::float_check::{Check, Operand, vector_of};
use super::{Lowerer, Repr};

/// The bits of infinity.
fn infinity(fmt: Fmt) -> u64 {
    if fmt == Fmt::S { u64::from(f32::INFINITY.to_bits()) } else { f64::INFINITY.to_bits() }
}

/// The bits of a small number.
fn number(fmt: Fmt, v: f64) -> u64 {
    if fmt == Fmt::S { u64::from((v as f32).to_bits()) } else { v.to_bits() }
}

/// The bits of the smallest number whose half is normal.
fn twice_smallest_normal(fmt: Fmt) -> u64 {
    if fmt == Fmt::S { 2 << 23 } else { 2 << 52 }
}

impl Lowerer<'_, '_> {
    /// One of the three.
    pub(super) fn step(&mut self, row: Op, op: FBinOp, fmt: Fmt, shape: Shape, x: Operand, y: Operand) -> Repr {
        if op != FBinOp::MulX && !self.env.host.fma {
            return self.evaluate(row);
        }
        // Half of a number that counts must be exact, so lanes that do not count get one.
        let x = if op == FBinOp::RsqrtS && shape == Shape::Half { Operand { v: self.with_ones_above(x.v) } } else { x };
        let least = if op == FBinOp::RsqrtS { twice_smallest_normal(fmt) } else { 0 };
        let (odd_x, odd_y) = (self.outside(fmt, x.v, least), self.outside(fmt, y.v, 0));
        let odd = self.b.ins().bor(odd_x, odd_y);
        let odd = self.any(odd);
        let ty = self.type_of(x.v);
        let r = self.hot_or_cold(odd, ty, |l| l.step_of_numbers(op, fmt, ty, x.v, y.v), |l| l.exact(row, &[x, y], ty));
        let r = if op == FBinOp::MulX { self.checked(Check::NanOrTiny, row, &[x, y], r) } else { r };
        if shape == Shape::Half && op != FBinOp::MulX {
            let r = self.cast(types::F64X2, r);
            return Repr::Scalar(self.b.ins().extractlane(r, 0));
        }
        self.float_result(r)
    }

    /// Of operands that are neither infinite nor NaN. The steps' results are far from the smallest normal number.
    fn step_of_numbers(&mut self, op: FBinOp, fmt: Fmt, ty: Type, x: Value, y: Value) -> Value {
        if op == FBinOp::MulX {
            return self.b.ins().fmul(x, y);
        }
        let minus = self.b.ins().fneg(x);
        if op == FBinOp::RecpS {
            let two = self.float_const(ty, number(fmt, 2.0));
            return self.b.ins().fma(minus, y, two);
        }
        // (3 - xy) / 2, rounded once: an operand is halved, not the result.
        let half = self.float_const(ty, number(fmt, 0.5));
        let (x, three_halves) = (self.b.ins().fmul(minus, half), self.float_const(ty, number(fmt, 1.5)));
        self.b.ins().fma(x, y, three_halves)
    }

    /// Where the magnitude of `v` is not from the number with the bits `least` to the largest finite one, as a mask or
    /// truth value.
    fn outside(&mut self, fmt: Fmt, v: Value, least: u64) -> Value {
        let size = self.magnitude(v);
        let ty = self.type_of(size);
        let ints = ty.as_int();
        let size = if ty.is_vector() { self.cast(ints, size) } else { self.bits(ints, size) };
        let limit = |l: &mut Self, bits: u64| match ty.is_vector() {
            true => {
                let c = l.float_const(ty, bits);
                l.cast(ints, c)
            }
            false => l.b.ins().iconst(ints, bits as i64),
        };
        let most = limit(self, infinity(fmt) - 1);
        let above = self.b.ins().icmp(IntCC::SignedGreaterThan, size, most);
        if least == 0 {
            return above;
        }
        let least = limit(self, least);
        let below = self.b.ins().icmp(IntCC::SignedGreaterThan, least, size);
        self.b.ins().bor(above, below)
    }

    /// `v`, the upper half of which is 0, with ones there.
    pub(super) fn with_ones_above(&mut self, v: Value) -> Value {
        let ones = self.vconst(u128::from(1f32.to_bits()) << 64 | u128::from(1f32.to_bits()) << 96);
        let ones = self.cast(vector_of(Fmt::S), ones);
        self.b.ins().bor(v, ones)
    }
}
