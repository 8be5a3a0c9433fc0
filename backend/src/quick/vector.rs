//! Vectors: moving parts, bitwise operations; what has no template goes to the evaluator.

use jib_ir::op::Op;
use jib_ir::region::Val;
use jib_ir::ty::Lane;

use super::asm::{RAX, Reg, i};
use super::regs::XTMP;
use super::{Quick, TooHard};

impl Quick<'_> {
    pub(super) fn vector_op(&mut self, op: Op) -> Result<(), TooHard> {
        match op {
            Op::VGet { lane, idx, v } => self.get_lane(lane, idx, v),
            Op::VSet { lane, idx, v, x } => self.set_lane(lane, idx, v, x),
            Op::VDup { lane, x } => self.duplicate(lane, x),
            Op::VDupLane { lane, idx, v } => self.duplicate_lane(lane, idx, v),
            Op::VMovLane { lane, dst, v, src, from } => self.move_lane(lane, dst, v, src, from),
            Op::VPair { lo, hi } => {
                let (l, h) = (self.gpr(lo)?, self.gpr(hi)?);
                let d = self.new_xmm()?;
                i!(self.asm, movq_a, d, l);
                i!(self.asm, pinsrq_a, d, h, 1_u8);
                self.put(d)
            }
            Op::VZeroHi { bytes, v } => self.zero_high(bytes, v),
            Op::VHigh { v } => {
                let d = self.xmm_for_result(v)?;
                i!(self.asm, pxor_a, XTMP, XTMP);
                i!(self.asm, punpckhqdq_a, d, XTMP);
                self.put(d)
            }
            Op::VExt { a, b, imm } => {
                let ra = self.xmm(a)?;
                let d = self.xmm_for_result(b)?;
                i!(self.asm, palignr_a, d, ra, imm);
                self.put(d)
            }
            Op::VAnd { a, b } => self.bitwise(a, b, |s, d, r| i!(s.asm, pand_a, d, r)),
            Op::VOr { a, b } => self.bitwise(a, b, |s, d, r| i!(s.asm, por_a, d, r)),
            Op::VXor { a, b } => self.bitwise(a, b, |s, d, r| i!(s.asm, pxor_a, d, r)),
            // The host inverts its first operand.
            Op::VAndNot { a, b } => self.bitwise(b, a, |s, d, r| i!(s.asm, pandn_a, d, r)),
            Op::VNot { a } => {
                i!(self.asm, pcmpeqd_a, XTMP, XTMP);
                let d = self.xmm_for_result(a)?;
                i!(self.asm, pxor_a, d, XTMP);
                self.put(d)
            }
            Op::VBsl { mask, a, b } => {
                let (ra, rm) = (self.xmm(a)?, self.xmm(mask)?);
                let d = self.xmm_for_result(b)?;
                // b ^ ((a ^ b) & mask)
                self.asm.movdqa(XTMP, ra);
                i!(self.asm, pxor_a, XTMP, d);
                i!(self.asm, pand_a, XTMP, rm);
                i!(self.asm, pxor_a, d, XTMP);
                self.put(d)
            }
            Op::VBin { op: bin, lane, a, b } => self.lanes_op(op, bin, lane, a, b),
            Op::VShift { op: shift, lane, imm, a } => self.lanes_shift(op, shift, lane, imm, a),
            Op::VNarrow { lane: Lane::B, a } => {
                // The low bytes of the halves, by a shuffle that zeroes the rest.
                let d = self.xmm_for_result(a)?;
                self.vector_constant(XTMP, 0x0e0c_0a08_0604_0200, u64::MAX);
                i!(self.asm, pshufb_a, d, XTMP);
                self.put(d)
            }
            _ => self.evaluate(op),
        }
    }

    pub(super) fn put(&mut self, d: Reg) -> Result<(), TooHard> {
        self.put_xmm(self.at, d);
        Ok(())
    }

    /// `d = f(a, b)`, where the host replaces its first operand.
    pub(super) fn bitwise(&mut self, a: Val, b: Val, f: impl FnOnce(&mut Self, Reg, Reg)) -> Result<(), TooHard> {
        let rb = self.xmm(b)?;
        let d = self.xmm_for_result(a)?;
        f(self, d, rb);
        self.put(d)
    }

    /// `d` = the constant `hi:lo`.
    pub(super) fn vector_constant(&mut self, d: Reg, lo: u64, hi: u64) {
        match (lo, hi) {
            (0, 0) => i!(self.asm, pxor_a, d, d),
            (u64::MAX, u64::MAX) => i!(self.asm, pcmpeqd_a, d, d),
            _ => {
                self.asm.mov_imm(RAX, lo);
                i!(self.asm, movq_a, d, RAX);
                if hi == lo {
                    i!(self.asm, punpcklqdq_a, d, d);
                } else if hi != 0 {
                    self.asm.mov_imm(RAX, hi);
                    i!(self.asm, pinsrq_a, d, RAX, 1_u8);
                }
            }
        }
    }

    fn get_lane(&mut self, lane: Lane, idx: u8, v: Val) -> Result<(), TooHard> {
        let r = self.xmm(v)?;
        let d = self.new_gpr()?;
        match (lane, idx) {
            (Lane::B, _) => i!(self.asm, pextrb_a, d, r, idx),
            (Lane::H, _) => i!(self.asm, pextrw_a, d, r, idx),
            (Lane::S, 0) => i!(self.asm, movd_b, d, r),
            (Lane::S, _) => i!(self.asm, pextrd_a, d, r, idx),
            (Lane::D, 0) => i!(self.asm, movq_b, d, r),
            (Lane::D, _) => i!(self.asm, pextrq_a, d, r, idx),
        }
        self.put_gpr(self.at, d);
        Ok(())
    }

    fn set_lane(&mut self, lane: Lane, idx: u8, v: Val, x: Val) -> Result<(), TooHard> {
        let r = self.gpr(x)?;
        let d = self.xmm_for_result(v)?;
        match lane {
            Lane::B => i!(self.asm, pinsrb_a, d, r, idx),
            Lane::H => i!(self.asm, pinsrw_a, d, r, idx),
            Lane::S => i!(self.asm, pinsrd_a, d, r, idx),
            Lane::D => i!(self.asm, pinsrq_a, d, r, idx),
        }
        self.put(d)
    }

    fn duplicate(&mut self, lane: Lane, x: Val) -> Result<(), TooHard> {
        let r = self.gpr(x)?;
        let d = self.new_xmm()?;
        match lane {
            Lane::B => {
                i!(self.asm, movd_a, d, r);
                i!(self.asm, pxor_a, XTMP, XTMP);
                i!(self.asm, pshufb_a, d, XTMP);
            }
            Lane::H => {
                i!(self.asm, movd_a, d, r);
                i!(self.asm, pshuflw_a, d, d, 0_u8);
                i!(self.asm, punpcklqdq_a, d, d);
            }
            Lane::S => {
                i!(self.asm, movd_a, d, r);
                i!(self.asm, pshufd_a, d, d, 0_u8);
            }
            Lane::D => {
                i!(self.asm, movq_a, d, r);
                i!(self.asm, punpcklqdq_a, d, d);
            }
        }
        self.put(d)
    }

    fn zero_high(&mut self, bytes: u8, v: Val) -> Result<(), TooHard> {
        if bytes == 8 {
            let d = self.xmm_for_result(v)?;
            i!(self.asm, pxor_a, XTMP, XTMP);
            i!(self.asm, punpcklqdq_a, d, XTMP);
            return self.put(d);
        }
        let r = self.xmm(v)?;
        let d = self.new_xmm()?;
        match bytes {
            4 => {
                i!(self.asm, movd_b, RAX, r);
                i!(self.asm, movd_a, d, RAX);
            }
            2 => {
                i!(self.asm, pextrw_a, RAX, r, 0_u8);
                i!(self.asm, movd_a, d, RAX);
            }
            _ => {
                i!(self.asm, pextrb_a, RAX, r, 0_u8);
                i!(self.asm, movd_a, d, RAX);
            }
        }
        self.put(d)
    }
}
