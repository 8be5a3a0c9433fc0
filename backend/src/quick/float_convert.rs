//! FP conversions and rounding to integral values by the host's FPU.

use jib_ir::op::{Op, Rm};
use jib_ir::region::Val;
use jib_ir::softfloat::Fmt;
use jib_ir::ty::{Lane, Shape};

use super::asm::{Alu, Cc, RAX, Reg, i};
use super::float::{Check, fp};
use super::regs::{XTMP, XTMP2};
use super::{Quick, TooHard};

/// Of ROUNDSS and its like: reports no inexactness.
const QUIET: u8 = 8;

/// How ROUNDSS and its like round; `None` for what they cannot. (FPCR says to nearest, else nothing is native.)
const fn rounding(rm: Rm) -> Option<u8> {
    match rm {
        Rm::Fpcr | Rm::TieEven => Some(0),
        Rm::MinusInf => Some(1),
        Rm::PlusInf => Some(2),
        Rm::Zero => Some(3),
        Rm::TieAway | Rm::Odd => None,
    }
}

impl Quick<'_> {
    pub(super) fn convert(&mut self, row: Op) -> Result<(), TooHard> {
        match row {
            Op::FRound { fmt: fmt @ (Fmt::S | Fmt::D), shape, rm, exact, int: 0, a } => match rounding(rm) {
                Some(mode) => self.round(row, fmt, shape, if exact { mode } else { mode | QUIET }, a),
                None => self.evaluate(row),
            },
            Op::FCvt { from, to, lanes, rm: Rm::Fpcr | Rm::TieEven, a } if from != Fmt::H && to != Fmt::H => {
                self.between_formats(row, to, lanes, a)
            }
            Op::FToInt {
                fmt: fmt @ (Fmt::S | Fmt::D),
                to: to @ (Lane::S | Lane::D),
                signed,
                rm,
                fbits: 0,
                lanes: 1,
                a,
            } => match rounding(rm) {
                Some(mode) if signed => self.int_of(row, fmt, to, mode, a),
                Some(3) => self.unsigned_of(row, fmt, to, a),
                _ => self.evaluate(row),
            },
            Op::IntToF {
                fmt: fmt @ (Fmt::S | Fmt::D),
                from: from @ (Lane::S | Lane::D),
                signed,
                fbits: 0,
                lanes,
                a,
            } => self.float_of(row, fmt, from, signed, lanes, a),
            _ => self.evaluate(row),
        }
    }

    fn round(&mut self, row: Op, fmt: Fmt, shape: Shape, mode: u8, a: Val) -> Result<(), TooHard> {
        let ra = self.xmm(a)?;
        let d = self.new_xmm()?;
        self.active(d, ra, fmt, shape);
        fp!(self, fmt, shape == Shape::Scalar, [roundss_rmi, roundsd_rmi, roundps_rmi, roundpd_rmi], d, d, mode);
        self.finish(Check::Nan, row, &[ra], fmt, shape, d)
    }

    fn between_formats(&mut self, row: Op, to: Fmt, lanes: u8, a: Val) -> Result<(), TooHard> {
        let ra = self.xmm(a)?;
        let d = self.new_xmm()?;
        i!(self.asm, pxor_a, d, d);
        match (to, lanes) {
            (Fmt::D, 1) => i!(self.asm, cvtss2sd_a, d, ra),
            (Fmt::D, _) => i!(self.asm, cvtps2pd_a, d, ra),
            (_, 1) => i!(self.asm, cvtsd2ss_a, d, ra),
            (_, _) => i!(self.asm, cvtpd2ps_a, d, ra),
        }
        let check = if to == Fmt::D { Check::Nan } else { Check::NanOrTiny };
        let shape = if lanes == 1 { Shape::Scalar } else { Shape::Full };
        self.finish(check, row, &[ra], to, shape, d)
    }

    /// RAX = the float in `r` towards zero; the host marks what is out of range, and reports it.
    fn truncate(&mut self, fmt: Fmt, wide: bool, r: Reg) {
        match (fmt, wide) {
            (Fmt::D, true) => i!(self.asm, cvttsd2si_aq, RAX, r),
            (Fmt::D, false) => i!(self.asm, cvttsd2si_a, RAX, r),
            (_, true) => i!(self.asm, cvttss2si_aq, RAX, r),
            (_, false) => i!(self.asm, cvttss2si_a, RAX, r),
        }
    }

    /// `d` = RAX or EAX, with zeroes above.
    fn take_result(&mut self, wide: bool, d: Reg) {
        if wide { i!(self.asm, movq_a, d, RAX) } else { i!(self.asm, movd_a, d, RAX) }
    }

    /// To a signed integer. Other modes than towards zero round first, quietly: only of numbers in range inexactness is
    /// reported.
    fn int_of(&mut self, row: Op, fmt: Fmt, to: Lane, mode: u8, a: Val) -> Result<(), TooHard> {
        let wide = to == Lane::D;
        let ra = self.xmm(a)?;
        let d = self.new_xmm()?;
        let from = self.asm.label();
        let towards_zero = mode == 3;
        if !towards_zero {
            fp!(self, fmt, true, [roundss_rmi, roundsd_rmi, roundps_rmi, roundpd_rmi], XTMP, ra, mode | QUIET);
        }
        self.truncate(fmt, wide, if towards_zero { ra } else { XTMP });
        // Only the mark, the lowest integer, minus 1 overflows.
        self.asm.alu_imm(Alu::Cmp, wide, RAX, 1);
        self.asm.jcc(Cc::O, from);
        if !towards_zero {
            fp!(self, fmt, true, [roundss_rmi, roundsd_rmi, roundps_rmi, roundpd_rmi], XTMP, ra, mode);
        }
        self.take_result(wide, d);
        self.exactly(from, row, &[ra], d);
        self.put(d)
    }

    /// To an unsigned integer, towards zero.
    fn unsigned_of(&mut self, row: Op, fmt: Fmt, to: Lane, a: Val) -> Result<(), TooHard> {
        let wide = to == Lane::D;
        let ra = self.xmm(a)?;
        let d = self.new_xmm()?;
        let from = self.asm.label();
        self.leave_unless_unsigned(fmt, wide, ra, from);
        self.truncate(fmt, true, ra);
        self.take_result(wide, d);
        self.exactly(from, row, &[ra], d);
        self.put(d)
    }

    fn float_of(&mut self, row: Op, fmt: Fmt, from: Lane, signed: bool, lanes: u8, a: Val) -> Result<(), TooHard> {
        let wide = from == Lane::D;
        match (lanes, from, fmt) {
            (1, _, _) => {}
            (2 | 4, Lane::S, Fmt::S) if signed => {
                let ra = self.xmm(a)?;
                let d = self.new_xmm()?;
                self.active(d, ra, fmt, if lanes == 4 { Shape::Full } else { Shape::Half });
                i!(self.asm, cvtdq2ps_a, d, d);
                return self.put(d);
            }
            (2, Lane::D, Fmt::D) if signed => {
                let ra = self.xmm(a)?;
                let d = self.new_xmm()?;
                i!(self.asm, pxor_a, d, d);
                i!(self.asm, pxor_a, XTMP, XTMP);
                i!(self.asm, movq_b, RAX, ra);
                i!(self.asm, cvtsi2sdq_a, d, RAX);
                i!(self.asm, pextrq_a, RAX, ra, 1_u8);
                i!(self.asm, cvtsi2sdq_a, XTMP, RAX);
                i!(self.asm, unpcklpd_a, d, XTMP);
                return self.put(d);
            }
            _ => return self.evaluate(row),
        }
        let ra = self.xmm(a)?;
        let d = self.new_xmm()?;
        if wide {
            i!(self.asm, movq_b, RAX, ra)
        } else {
            i!(self.asm, movd_b, RAX, ra)
        }
        i!(self.asm, pxor_a, d, d);
        let cold = self.asm.label();
        if wide && !signed {
            self.asm.test(true, RAX, RAX);
            self.asm.jcc(Cc::S, cold);
        }
        // A zero-extended word is a positive doubleword.
        match (fmt, wide || !signed) {
            (Fmt::D, true) => i!(self.asm, cvtsi2sdq_a, d, RAX),
            (Fmt::D, false) => i!(self.asm, cvtsi2sdl_a, d, RAX),
            (_, true) => i!(self.asm, cvtsi2ssq_a, d, RAX),
            (_, false) => i!(self.asm, cvtsi2ssl_a, d, RAX),
        }
        if wide && !signed {
            self.exactly(cold, row, &[ra], d);
        }
        self.put(d)
    }

    /// Copies of one lane, and lanes between vectors.
    pub(super) fn duplicate_lane(&mut self, lane: Lane, idx: u8, v: Val) -> Result<(), TooHard> {
        let ra = self.xmm(v)?;
        let d = self.new_xmm()?;
        match lane {
            Lane::S => i!(self.asm, pshufd_a, d, ra, idx * 0x55),
            Lane::D => i!(self.asm, pshufd_a, d, ra, if idx == 0 { 0x44_u8 } else { 0xee }),
            Lane::B | Lane::H => {
                let byte = u64::from(idx) * u64::from(lane.bytes());
                let pattern = if lane == Lane::B { byte } else { byte | (byte + 1) << 8 };
                let all = pattern * if lane == Lane::B { 0x0101_0101_0101_0101 } else { 0x0001_0001_0001_0001 };
                self.vector_constant(XTMP, all, all);
                self.asm.movdqa(d, ra);
                i!(self.asm, pshufb_a, d, XTMP);
            }
        }
        self.put(d)
    }

    /// `v` with lane `dst` replaced by lane `src` of `from`.
    pub(super) fn move_lane(&mut self, lane: Lane, dst: u8, v: Val, src: u8, from: Val) -> Result<(), TooHard> {
        let (rv, rf) = (self.xmm(v)?, self.xmm(from)?);
        let d = self.new_xmm()?;
        self.asm.movdqa(d, rv);
        match lane {
            Lane::S => i!(self.asm, insertps_a, d, rf, src << 6 | dst << 4),
            Lane::D if dst == 1 => i!(self.asm, shufpd_a, d, rf, src << 1),
            Lane::D => {
                self.asm.movdqa(XTMP2, rf);
                i!(self.asm, shufpd_a, XTMP2, rv, src | 2);
                self.asm.movdqa(d, XTMP2);
            }
            Lane::H => {
                i!(self.asm, pextrw_a, RAX, rf, src);
                i!(self.asm, pinsrw_a, d, RAX, dst);
            }
            Lane::B => {
                i!(self.asm, pextrb_a, RAX, rf, src);
                i!(self.asm, pinsrb_a, d, RAX, dst);
            }
        }
        self.put(d)
    }
}
