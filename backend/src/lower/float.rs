//! FP arithmetic and comparisons. See [`super::float_check`] for what makes them exact.

use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use jib_ir::op::{FBinOp, FMaskOp, FSignOp, FUnOp, Op};
use jib_ir::region::Val;
use jib_ir::softfloat::Fmt;
use jib_ir::ty::{Cond, Shape, lane_of};

use super::flags::Flags;
use super::float_check::{Check, Operand, signs};
use super::{Lowerer, Repr};

impl Lowerer<'_, '_> {
    pub(super) fn float_op(&mut self, op: Op) -> Repr {
        if let Op::FSign { op, fmt, shape, a } = op {
            return self.sign_op(op, fmt, shape, a);
        }
        if !self.native_fp {
            return self.evaluate(op);
        }
        match op {
            Op::FBin { op: bin, fmt: fmt @ (Fmt::S | Fmt::D), shape, a, b } => self.fbin(op, bin, fmt, shape, a, b),
            Op::FUn { op: FUnOp::Sqrt, fmt: fmt @ (Fmt::S | Fmt::D), shape, a } => {
                let x = self.operand(fmt, shape, a);
                let r = self.b.ins().sqrt(x.v);
                let r = self.checked(Check::Nan, op, &[x], r);
                self.float_result(r)
            }
            Op::FMulAdd { fmt: fmt @ (Fmt::S | Fmt::D), shape, acc, a, b } if self.env.host.fma => {
                let c = self.operand(fmt, shape, acc);
                let (x, y) = (self.operand(fmt, shape, a), self.operand(fmt, shape, b));
                let r = self.b.ins().fma(x.v, y.v, c.v);
                let r = self.checked(Check::NanOrTiny, op, &[c, x, y], r);
                self.float_result(r)
            }
            Op::FCmp { fmt: fmt @ (Fmt::S | Fmt::D), signal, a, b } => self.fcmp(op, fmt, signal, a, b),
            Op::FMask { op: mask, fmt: fmt @ (Fmt::S | Fmt::D), shape, a, b } => self.fmask(mask, fmt, shape, a, b),
            Op::FRound { .. } | Op::FCvt { .. } | Op::FToInt { .. } | Op::IntToF { .. } => self.convert(op),
            _ => self.evaluate(op),
        }
    }

    fn fbin(&mut self, row: Op, op: FBinOp, fmt: Fmt, shape: Shape, a: Val, b: Val) -> Repr {
        let (x, y) = (self.operand(fmt, shape, a), self.operand(fmt, shape, b));
        let (check, r) = match op {
            FBinOp::Add => (Check::Nan, self.b.ins().fadd(x.v, y.v)),
            FBinOp::Sub => (Check::Nan, self.b.ins().fsub(x.v, y.v)),
            FBinOp::Mul => (Check::NanOrTiny, self.b.ins().fmul(x.v, y.v)),
            FBinOp::Div => (Check::NanOrTiny, self.divide(shape, x, y)),
            FBinOp::Abd => {
                let r = self.b.ins().fsub(x.v, y.v);
                (Check::Nan, self.magnitude(r))
            }
            FBinOp::Max | FBinOp::Min | FBinOp::MaxNm | FBinOp::MinNm => return self.extreme(row, op, x, y),
            FBinOp::MulX | FBinOp::RecpS | FBinOp::RsqrtS => return self.step(row, op, fmt, shape, x, y),
        };
        let r = self.checked(check, row, &[x, y], r);
        self.float_result(r)
    }

    /// Lanes that do not count must not divide 0 by 0.
    fn divide(&mut self, shape: Shape, x: Operand, y: Operand) -> Value {
        if shape != Shape::Half {
            return self.b.ins().fdiv(x.v, y.v);
        }
        let y = self.with_ones_above(y.v);
        self.b.ins().fdiv(x.v, y)
    }

    /// Maximum or minimum: the host's order of zeroes is put right, NaNs go the cold way before anything else, for
    /// the host would report quiet ones.
    fn extreme(&mut self, row: Op, op: FBinOp, x: Operand, y: Operand) -> Repr {
        let ty = self.type_of(x.v);
        let nan = self.b.ins().fcmp(FloatCC::Unordered, x.v, y.v);
        let bad = self.any(nan);
        let r = self.hot_or_cold(
            bad,
            ty,
            |l| match op {
                FBinOp::Max | FBinOp::MaxNm => l.b.ins().fmax(x.v, y.v),
                _ => l.b.ins().fmin(x.v, y.v),
            },
            |l| l.exact(row, &[x, y], ty),
        );
        self.float_result(r)
    }

    /// Sign ops are bitwise, in every mode.
    fn sign_op(&mut self, op: FSignOp, fmt: Fmt, shape: Shape, a: Val) -> Repr {
        if shape == Shape::Scalar && fmt != Fmt::H {
            let x = self.float(fmt, a);
            return Repr::Scalar(match op {
                FSignOp::Neg => self.b.ins().fneg(x),
                FSignOp::Abs => self.magnitude(x),
            });
        }
        let active = match shape {
            Shape::Scalar => u128::from(lane_of(fmt).mask()),
            Shape::Half => u128::from(u64::MAX),
            Shape::Full => u128::MAX,
        };
        let x = self.vec(a);
        let r = match op {
            FSignOp::Abs => {
                let mask = self.vconst(active & !signs(fmt));
                self.b.ins().band(x, mask)
            }
            FSignOp::Neg => {
                let mask = self.vconst(signs(fmt));
                let flipped = self.b.ins().bxor(x, mask);
                if active == u128::MAX {
                    flipped
                } else {
                    let active = self.vconst(active);
                    self.b.ins().band(flipped, active)
                }
            }
        };
        Repr::Vec(r)
    }

    /// The flags stay a comparison of floats. The host's reports NaNs as a quiet one of Arm's does, if it is made at
    /// all; else the evaluator reports them.
    fn fcmp(&mut self, row: Op, fmt: Fmt, signal: bool, a: Val, b: Val) -> Repr {
        let (x, y) = (self.float(fmt, a), self.float(fmt, b));
        if !signal && self.decides_branch() {
            return Repr::Flags(Flags::Float { a: x, b: y });
        }
        let nan = self.b.ins().fcmp(FloatCC::Unordered, x, y);
        let (cold, on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(cold);
        self.b.ins().brif(nan, cold, &[], on, &[]);
        self.b.switch_to_block(cold);
        self.exact(row, &[Operand { v: x }, Operand { v: y }], types::I32);
        self.b.ins().jump(on, &[]);
        self.b.switch_to_block(on);
        Repr::Flags(Flags::Float { a: x, b: y })
    }

    /// Does the block's branch look at the flags that this op makes?
    fn decides_branch(&self) -> bool {
        let last = self.region.blocks[self.block].ops.end as usize - 1;
        let Op::Branch { c, .. } = self.region.ops[last] else { return false };
        let flags = Val(self.at);
        matches!(self.region.ops[c.index()], Op::Cond { cond, f } if f == flags && !matches!(cond, Cond::Al | Cond::Nv))
    }

    /// Lane comparisons: the host's report NaNs exactly as Arm's do.
    fn fmask(&mut self, op: FMaskOp, fmt: Fmt, shape: Shape, a: Val, b: Val) -> Repr {
        // Also scalars are compared as vectors, for the mask; what is above is 0.
        let whole = |l: &mut Self, v| {
            let o = l.operand(fmt, shape, v).v;
            if l.type_of(o).is_vector() {
                return o;
            }
            let v = l.whole(o);
            l.cast(super::float_check::vector_of(fmt), v)
        };
        let (mut x, mut y) = (whole(self, a), whole(self, b));
        if matches!(op, FMaskOp::AbsGe | FMaskOp::AbsGt) {
            (x, y) = (self.magnitude(x), self.magnitude(y));
        }
        let cc = match op {
            FMaskOp::Eq => FloatCC::Equal,
            FMaskOp::Ge | FMaskOp::AbsGe => FloatCC::GreaterThanOrEqual,
            FMaskOp::Gt | FMaskOp::AbsGt => FloatCC::GreaterThan,
        };
        let mask = self.b.ins().fcmp(cc, x, y);
        self.loud.push(mask);
        let mask = self.cast(types::I8X16, mask);
        let bytes = match shape {
            Shape::Full => return Repr::Vec(mask),
            Shape::Half => 8,
            Shape::Scalar => fmt.bits() / 8,
        };
        let ty = if bytes == 8 { types::F64X2 } else { types::F32X4 };
        let mask = self.cast(ty, mask);
        Repr::Scalar(self.b.ins().extractlane(mask, 0))
    }
}
