//! FP arithmetic and comparisons by the host's FPU, as exactly as compiled code (see `lower::float_check`).
//!
//! A result that is no NaN and, of products, not of the smallest normal magnitude is the guest's; for others the evaluator
//! is asked out of line, with the operands still in their registers. Scalars leave zeroes above them.

use cranelift_assembler_x64::Amode;
use jib_ir::op::{FBinOp, FMaskOp, FSignOp, FUnOp, Op};
use jib_ir::region::{Key, Val};
use jib_ir::softfloat::Fmt;
use jib_ir::state::slot;
use jib_ir::ty::{Cond, Shape};

use super::asm::{Alu, Cc, Label, Mem, RAX, RCX, Reg, Shift, i};
use super::int::Test;
use super::regs::{Loc, XTMP, XTMP2, state};
use super::{Cold, Quick, TooHard};
use crate::reloc::Target;

/// Constants that quick code reads, in each lane of singles and of doubles.
#[repr(C, align(16))]
struct Table {
    /// All but the sign.
    magnitude: [[u64; 2]; 2],
    /// The smallest normal number.
    tiny: [[u64; 2]; 2],
    sign: [[u64; 2]; 2],
    /// Zeroes in the lower half, ones in the singles above.
    ones_above: [u64; 2],
    /// The first number that is no unsigned word, and no signed doubleword.
    too_big: [[u64; 2]; 2],
    /// NZCV of a comparison, by what LAHF gives of ZF, PF and CF.
    nzcv: [u8; 0x48],
}

const fn singles(v: u32) -> [u64; 2] {
    [v as u64 | (v as u64) << 32; 2]
}

static TABLE: Table = Table {
    magnitude: [singles(0x7fff_ffff), [0x7fff_ffff_ffff_ffff; 2]],
    tiny: [singles(1 << 23), [1 << 52; 2]],
    sign: [singles(1 << 31), [1 << 63; 2]],
    ones_above: [0, singles(1f32.to_bits())[0]],
    too_big: [
        [4_294_967_296f32.to_bits() as u64, 4_294_967_296f64.to_bits()],
        [9_223_372_036_854_775_808f32.to_bits() as u64, 9_223_372_036_854_775_808f64.to_bits()],
    ],
    nzcv: {
        let mut all = [2; 0x48];
        all[0x01] = 8;
        all[0x40] = 6;
        all[0x45] = 3;
        all
    },
};

/// A constant of [`Table`] behind its address in `base`.
macro_rules! at {
    ($base:expr, $field:ident, $fmt:expr) => {
        Amode::from(Mem::at($base, std::mem::offset_of!(Table, $field) as i32 + 16 * i32::from($fmt == Fmt::D)))
    };
}

/// The instruction for a format and for scalars or vectors: single, double, singles, doubles.
macro_rules! fp {
    ($self:expr, $fmt:expr, $scalar:expr, [$ss:ident, $sd:ident, $ps:ident, $pd:ident] $(, $arg:expr)*) => {
        match ($fmt == Fmt::D, $scalar) {
            (false, true) => i!($self.asm, $ss $(, $arg)*),
            (true, true) => i!($self.asm, $sd $(, $arg)*),
            (false, false) => i!($self.asm, $ps $(, $arg)*),
            (true, false) => i!($self.asm, $pd $(, $arg)*),
        }
    };
}
pub(super) use fp;

/// What must be checked of a result.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    Nan,
    NanOrTiny,
}

/// Predicates of CMPPS and CMPPD.
const EQ: u8 = 0;
const LT: u8 = 1;
const LE: u8 = 2;
const UNORDERED: u8 = 3;

impl Quick<'_> {
    /// May FP ops run on the host's FPU? FPCR is at its reset value, then.
    fn native_fp(&self) -> bool {
        self.region.key.mode & Key::FPCR_SET == 0
    }

    pub(super) fn float_op(&mut self, op: Op) -> Result<(), TooHard> {
        if let Op::FSign { op: sign, fmt: fmt @ (Fmt::S | Fmt::D), shape, a } = op {
            return self.sign_op(sign, fmt, shape, a);
        }
        if !self.native_fp() {
            return self.evaluate(op);
        }
        match op {
            Op::FBin { op: bin, fmt: fmt @ (Fmt::S | Fmt::D), shape, a, b } => match bin {
                FBinOp::Add | FBinOp::Sub | FBinOp::Mul | FBinOp::Div | FBinOp::Abd => {
                    self.arithmetic(op, bin, fmt, shape, a, b)
                }
                FBinOp::Max | FBinOp::Min | FBinOp::MaxNm | FBinOp::MinNm => self.extreme(op, bin, fmt, shape, a, b),
                FBinOp::MulX | FBinOp::RecpS | FBinOp::RsqrtS => self.evaluate(op),
            },
            Op::FUn { op: FUnOp::Sqrt, fmt: fmt @ (Fmt::S | Fmt::D), shape, a } => {
                let ra = self.xmm(a)?;
                let d = self.new_xmm()?;
                self.active(d, ra, fmt, shape);
                fp!(self, fmt, shape == Shape::Scalar, [sqrtss_a, sqrtsd_a, sqrtps_a, sqrtpd_a], d, d);
                self.finish(Check::Nan, op, &[ra], fmt, shape, d)
            }
            Op::FMulAdd { fmt: fmt @ (Fmt::S | Fmt::D), shape, acc, a, b } if self.host.fma => {
                let (rc, ra, rb) = (self.xmm(acc)?, self.xmm(a)?, self.xmm(b)?);
                let d = self.new_xmm()?;
                self.active(d, rc, fmt, shape);
                let (x, y) = match shape {
                    Shape::Half => {
                        self.active(XTMP, ra, fmt, shape);
                        self.active(XTMP2, rb, fmt, shape);
                        (XTMP, XTMP2)
                    }
                    _ => (ra, rb),
                };
                fp!(
                    self,
                    fmt,
                    shape == Shape::Scalar,
                    [vfmadd231ss_a, vfmadd231sd_a, vfmadd231ps_a, vfmadd231pd_a],
                    d,
                    x,
                    y
                );
                self.finish(Check::NanOrTiny, op, &[rc, ra, rb], fmt, shape, d)
            }
            Op::FCmp { fmt: fmt @ (Fmt::S | Fmt::D), signal, a, b } => self.compare_floats(fmt, signal, a, b),
            Op::FMask { op: mask, fmt: fmt @ (Fmt::S | Fmt::D), shape, a, b } => self.mask_op(mask, fmt, shape, a, b),
            Op::FRound { .. } | Op::FCvt { .. } | Op::FToInt { .. } | Op::IntToF { .. } => self.convert(op),
            _ => self.evaluate(op),
        }
    }

    /// `d` = the lanes of `r` that count, with zeroes above.
    pub(super) fn active(&mut self, d: Reg, r: Reg, fmt: Fmt, shape: Shape) {
        match shape {
            Shape::Full => self.asm.movdqa(d, r),
            Shape::Scalar if fmt == Fmt::S => i!(self.asm, insertps_a, d, r, 0x0e_u8),
            Shape::Scalar | Shape::Half => self.asm.movq_low(d, r),
        }
    }

    /// The address of [`TABLE`] to RAX.
    pub(super) fn constants(&mut self) {
        self.asm.address(RAX, Target::program(std::ptr::from_ref(&TABLE).addr()));
    }

    fn arithmetic(&mut self, row: Op, op: FBinOp, fmt: Fmt, shape: Shape, a: Val, b: Val) -> Result<(), TooHard> {
        let (ra, rb) = (self.xmm(a)?, self.xmm(b)?);
        let d = self.new_xmm()?;
        self.active(d, ra, fmt, shape);
        let mut y = rb;
        if shape == Shape::Half {
            y = XTMP;
            self.active(y, rb, fmt, shape);
            if op == FBinOp::Div {
                // Lanes that do not count must not divide 0 by 0.
                self.constants();
                i!(self.asm, orps_a, y, at!(RAX, ones_above, Fmt::S));
            }
        }
        let scalar = shape == Shape::Scalar;
        let check = match op {
            FBinOp::Add => {
                fp!(self, fmt, scalar, [addss_a, addsd_a, addps_a, addpd_a], d, y);
                Check::Nan
            }
            FBinOp::Mul => {
                fp!(self, fmt, scalar, [mulss_a, mulsd_a, mulps_a, mulpd_a], d, y);
                Check::NanOrTiny
            }
            FBinOp::Div => {
                fp!(self, fmt, scalar, [divss_a, divsd_a, divps_a, divpd_a], d, y);
                Check::NanOrTiny
            }
            _ => {
                fp!(self, fmt, scalar, [subss_a, subsd_a, subps_a, subpd_a], d, y);
                Check::Nan
            }
        };
        if op == FBinOp::Abd {
            self.constants();
            i!(self.asm, andps_a, d, at!(RAX, magnitude, fmt));
        }
        self.finish(check, row, &[ra, rb], fmt, shape, d)
    }

    /// Checks `d`, the host's result of `row` on `operands`, and makes it the op's value.
    pub(super) fn finish(
        &mut self,
        check: Check,
        row: Op,
        operands: &[Reg],
        fmt: Fmt,
        shape: Shape,
        d: Reg,
    ) -> Result<(), TooHard> {
        let from = self.asm.label();
        if shape == Shape::Scalar {
            if check == Check::Nan {
                self.compare_scalars(fmt, false, d, d);
                self.asm.jp(from);
            } else {
                self.constants();
                self.asm.movdqa(XTMP, d);
                i!(self.asm, andps_a, XTMP, at!(RAX, magnitude, fmt));
                match fmt {
                    Fmt::D => i!(self.asm, ucomisd_a, XTMP, at!(RAX, tiny, fmt)),
                    _ => i!(self.asm, ucomiss_a, XTMP, at!(RAX, tiny, fmt)),
                }
                // Equal or unordered.
                self.asm.jcc(Cc::E, from);
            }
        } else {
            self.asm.movdqa(XTMP, d);
            self.compare_lanes(fmt, XTMP, d, UNORDERED);
            if check == Check::NanOrTiny {
                self.constants();
                self.asm.movdqa(XTMP2, d);
                i!(self.asm, andps_a, XTMP2, at!(RAX, magnitude, fmt));
                match fmt {
                    Fmt::D => i!(self.asm, cmppd_a, XTMP2, at!(RAX, tiny, fmt), EQ),
                    _ => i!(self.asm, cmpps_a, XTMP2, at!(RAX, tiny, fmt), EQ),
                }
                i!(self.asm, orps_a, XTMP, XTMP2);
            }
            i!(self.asm, ptest_rm, XTMP, XTMP);
            self.asm.jcc(Cc::Ne, from);
        }
        self.exactly(from, row, operands, d);
        self.put(d)
    }

    /// `d` = the evaluator's result of `row` on `operands`, in the order of its fields, for whoever comes from `from`; it
    /// goes on here.
    pub(super) fn exactly(&mut self, from: Label, row: Op, operands: &[Reg], d: Reg) {
        let on = self.asm.label();
        self.asm.bind(on);
        let mut n = 0;
        let mut renamed = row;
        renamed.map_args(&mut |_| {
            n += 1;
            Val(n - 1)
        });
        let mut regs = [None; 3];
        for (to, r) in regs.iter_mut().zip(operands) {
            *to = Some(*r);
        }
        self.cold.push(Cold::Exact { from, on, op: renamed, operands: regs, d });
    }

    /// The code behind [`Cold::Exact`].
    pub(super) fn exact_code(&mut self, on: Label, op: Op, operands: [Option<Reg>; 3], d: Reg) {
        let at = slot::SCRATCH.offset();
        for (n, r) in operands.into_iter().flatten().enumerate() {
            self.asm.store_vec(state(at + 16 * n as i32), r);
        }
        self.evaluate_stored(op);
        self.rare += 1;
        self.asm.load_vec(d, state(at));
        self.asm.jmp(on);
    }

    /// The host's comparison of the floats in lane 0; `signal` reports any NaN.
    fn compare_scalars(&mut self, fmt: Fmt, signal: bool, a: Reg, b: Reg) {
        match (fmt, signal) {
            (Fmt::D, false) => i!(self.asm, ucomisd_a, a, b),
            (_, false) => i!(self.asm, ucomiss_a, a, b),
            (_, true) => self.asm.comis(fmt == Fmt::D, a, b),
        }
    }

    /// `d` = masks of where `predicate` holds between `d` and `r`.
    fn compare_lanes(&mut self, fmt: Fmt, d: Reg, r: Reg, predicate: u8) {
        match fmt {
            Fmt::D => i!(self.asm, cmppd_a, d, r, predicate),
            _ => i!(self.asm, cmpps_a, d, r, predicate),
        }
    }

    /// NaNs go out of line before the host can report quiet ones. The host gives its second operand for two zeroes, so
    /// both orders are tried and combined.
    fn extreme(&mut self, row: Op, op: FBinOp, fmt: Fmt, shape: Shape, a: Val, b: Val) -> Result<(), TooHard> {
        let (ra, rb) = (self.xmm(a)?, self.xmm(b)?);
        let d = self.new_xmm()?;
        self.active(d, ra, fmt, shape);
        self.active(XTMP, rb, fmt, shape);
        let from = self.asm.label();
        if shape == Shape::Scalar {
            self.compare_scalars(fmt, false, d, XTMP);
            self.asm.jp(from);
        } else {
            self.asm.movdqa(XTMP2, d);
            self.compare_lanes(fmt, XTMP2, XTMP, UNORDERED);
            i!(self.asm, ptest_rm, XTMP2, XTMP2);
            self.asm.jcc(Cc::Ne, from);
        }
        let scalar = shape == Shape::Scalar;
        self.asm.movdqa(XTMP2, XTMP);
        if matches!(op, FBinOp::Max | FBinOp::MaxNm) {
            fp!(self, fmt, scalar, [maxss_a, maxsd_a, maxps_a, maxpd_a], XTMP2, d);
            fp!(self, fmt, scalar, [maxss_a, maxsd_a, maxps_a, maxpd_a], d, XTMP);
            i!(self.asm, andps_a, d, XTMP2);
        } else {
            fp!(self, fmt, scalar, [minss_a, minsd_a, minps_a, minpd_a], XTMP2, d);
            fp!(self, fmt, scalar, [minss_a, minsd_a, minps_a, minpd_a], d, XTMP);
            i!(self.asm, orps_a, d, XTMP2);
        }
        self.exactly(from, row, &[ra, rb], d);
        self.put(d)
    }

    /// Bitwise, in every mode.
    fn sign_op(&mut self, op: FSignOp, fmt: Fmt, shape: Shape, a: Val) -> Result<(), TooHard> {
        let ra = self.xmm(a)?;
        let d = self.new_xmm()?;
        self.constants();
        self.asm.movdqa(XTMP, ra);
        match op {
            FSignOp::Abs => i!(self.asm, andps_a, XTMP, at!(RAX, magnitude, fmt)),
            FSignOp::Neg => i!(self.asm, xorps_a, XTMP, at!(RAX, sign, fmt)),
        }
        self.active(d, XTMP, fmt, shape);
        self.put(d)
    }

    /// The host reports NaNs as Arm does. NZCV goes to a register; [`Self::float_condition`] compares again.
    fn compare_floats(&mut self, fmt: Fmt, signal: bool, a: Val, b: Val) -> Result<(), TooHard> {
        let (ra, rb) = (self.xmm(a)?, self.xmm(b)?);
        let until = self.vals[self.at as usize].last_use;
        if until == 0 {
            self.compare_scalars(fmt, signal, ra, rb);
            return Ok(());
        }
        let d = self.new_gpr()?;
        self.asm.address(RCX, Target::program(std::ptr::from_ref(&TABLE.nzcv).addr()));
        self.compare_scalars(fmt, signal, ra, rb);
        self.asm.lahf();
        self.asm.movzx_ah();
        self.asm.alu_imm(Alu::And, false, RAX, 0x45);
        i!(self.asm, movzbl_rm, d, Amode::from(Mem { base: RCX, index: Some(RAX), disp: 0 }));
        self.asm.shift_imm(Shift::Shl, false, d, 28);
        self.put_gpr(self.at, d);
        self.vals[self.at as usize].clean = true;
        self.extend(a, until);
        self.extend(b, until);
        Ok(())
    }

    /// As [`Self::condition`](Quick::condition), of flags that a comparison of floats of this block made, where one
    /// condition of the host's tells it.
    pub(super) fn float_condition(&mut self, cond: Cond, f: Val) -> Result<Option<Test>, TooHard> {
        let Op::FCmp { fmt: fmt @ (Fmt::S | Fmt::D), a, b, .. } = self.region.ops[f.index()] else { return Ok(None) };
        // A second comparison reports no more than the first, unless what that reported has been taken away.
        let since = &self.region.ops[f.index()..self.at as usize];
        let synced = |op: &Op| matches!(*op, Op::Set { slot: slot::FPSR, .. } | Op::Call { .. });
        // Whoever is computed later than planned keeps the flags, not what they were made of.
        let alive = |v: Val| self.vals[v.index()].loc == Loc::Lazy || self.vals[v.index()].last_use >= self.at;
        if !self.native_fp() || since.iter().any(synced) || !alive(a) || !alive(b) {
            return Ok(None);
        }
        let (swapped, cc) = match cond {
            Cond::Mi | Cond::Cc => (true, Cc::A),
            Cond::Pl | Cond::Cs => (true, Cc::Be),
            Cond::Hi => (true, Cc::B),
            Cond::Ls => (true, Cc::Ae),
            Cond::Gt => (false, Cc::A),
            Cond::Ge => (false, Cc::Ae),
            Cond::Lt => (false, Cc::B),
            Cond::Le => (false, Cc::Be),
            Cond::Eq | Cond::Ne | Cond::Vs | Cond::Vc | Cond::Al | Cond::Nv => return Ok(None),
        };
        let (ra, rb) = (self.xmm(a)?, self.xmm(b)?);
        match swapped {
            true => self.compare_scalars(fmt, false, rb, ra),
            false => self.compare_scalars(fmt, false, ra, rb),
        }
        Ok(Some(Test::Cc(cc)))
    }

    /// Lane comparisons: the host's report NaNs as Arm's do.
    fn mask_op(&mut self, op: FMaskOp, fmt: Fmt, shape: Shape, a: Val, b: Val) -> Result<(), TooHard> {
        let (ra, rb) = (self.xmm(a)?, self.xmm(b)?);
        let d = self.new_xmm()?;
        self.active(XTMP, ra, fmt, shape);
        self.active(XTMP2, rb, fmt, shape);
        if matches!(op, FMaskOp::AbsGe | FMaskOp::AbsGt) {
            self.constants();
            i!(self.asm, andps_a, XTMP, at!(RAX, magnitude, fmt));
            i!(self.asm, andps_a, XTMP2, at!(RAX, magnitude, fmt));
        }
        let predicate = match op {
            FMaskOp::Eq => EQ,
            FMaskOp::Ge | FMaskOp::AbsGe => LE,
            FMaskOp::Gt | FMaskOp::AbsGt => LT,
        };
        self.compare_lanes(fmt, XTMP2, XTMP, predicate);
        self.active(d, XTMP2, fmt, shape);
        self.put(d)
    }

    /// Jumps to `from` unless the float in `r` is at least 0 and below the first number that is no unsigned word or, for a
    /// doubleword, no signed one.
    pub(super) fn leave_unless_unsigned(&mut self, fmt: Fmt, wide: bool, r: Reg, from: Label) {
        self.constants();
        let row = std::mem::offset_of!(Table, too_big) as i32 + 16 * i32::from(wide);
        let limit = Amode::from(Mem::at(RAX, row + 8 * i32::from(fmt == Fmt::D)));
        match fmt {
            Fmt::D => i!(self.asm, movsd_a_m, XTMP, limit),
            _ => i!(self.asm, movss_a_m, XTMP, limit),
        }
        self.compare_scalars(fmt, false, XTMP, r);
        self.asm.jcc(Cc::Be, from);
        i!(self.asm, pxor_a, XTMP, XTMP);
        self.compare_scalars(fmt, false, r, XTMP);
        self.asm.jcc(Cc::B, from);
    }
}
