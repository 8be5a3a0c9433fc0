//! Integer lanes with an instruction of the host's own.

use jib_ir::op::{Op, VBinOp, VShiftOp};
use jib_ir::region::Val;
use jib_ir::ty::Lane;

use super::asm::i;
use super::{Quick, TooHard};

/// `d = d op r` by the instruction named.
macro_rules! host {
    ($self:expr, $a:expr, $b:expr, $name:ident) => {
        $self.bitwise($a, $b, |s, d, r| i!(s.asm, $name, d, r))
    };
}

impl Quick<'_> {
    pub(super) fn lanes_op(&mut self, op: Op, bin: VBinOp, lane: Lane, a: Val, b: Val) -> Result<(), TooHard> {
        match (bin, lane) {
            (VBinOp::Add, Lane::B) => host!(self, a, b, paddb_a),
            (VBinOp::Add, Lane::H) => host!(self, a, b, paddw_a),
            (VBinOp::Add, Lane::S) => host!(self, a, b, paddd_a),
            (VBinOp::Add, Lane::D) => host!(self, a, b, paddq_a),
            (VBinOp::Sub, Lane::B) => host!(self, a, b, psubb_a),
            (VBinOp::Sub, Lane::H) => host!(self, a, b, psubw_a),
            (VBinOp::Sub, Lane::S) => host!(self, a, b, psubd_a),
            (VBinOp::Sub, Lane::D) => host!(self, a, b, psubq_a),
            (VBinOp::Mul, Lane::H) => host!(self, a, b, pmullw_a),
            (VBinOp::Mul, Lane::S) => host!(self, a, b, pmulld_a),
            (VBinOp::CmpEq, Lane::B) => host!(self, a, b, pcmpeqb_a),
            (VBinOp::CmpEq, Lane::H) => host!(self, a, b, pcmpeqw_a),
            (VBinOp::CmpEq, Lane::S) => host!(self, a, b, pcmpeqd_a),
            (VBinOp::CmpEq, Lane::D) => host!(self, a, b, pcmpeqq_a),
            (VBinOp::CmpGt, Lane::B) => host!(self, a, b, pcmpgtb_a),
            (VBinOp::CmpGt, Lane::H) => host!(self, a, b, pcmpgtw_a),
            (VBinOp::CmpGt, Lane::S) => host!(self, a, b, pcmpgtd_a),
            (VBinOp::CmpGt, Lane::D) if self.host.sse42 => host!(self, a, b, pcmpgtq_a),
            (VBinOp::SMin, Lane::B) => host!(self, a, b, pminsb_a),
            (VBinOp::SMin, Lane::H) => host!(self, a, b, pminsw_a),
            (VBinOp::SMin, Lane::S) => host!(self, a, b, pminsd_a),
            (VBinOp::UMin, Lane::B) => host!(self, a, b, pminub_a),
            (VBinOp::UMin, Lane::H) => host!(self, a, b, pminuw_a),
            (VBinOp::UMin, Lane::S) => host!(self, a, b, pminud_a),
            (VBinOp::SMax, Lane::B) => host!(self, a, b, pmaxsb_a),
            (VBinOp::SMax, Lane::H) => host!(self, a, b, pmaxsw_a),
            (VBinOp::SMax, Lane::S) => host!(self, a, b, pmaxsd_a),
            (VBinOp::UMax, Lane::B) => host!(self, a, b, pmaxub_a),
            (VBinOp::UMax, Lane::H) => host!(self, a, b, pmaxuw_a),
            (VBinOp::UMax, Lane::S) => host!(self, a, b, pmaxud_a),
            (VBinOp::URHAdd, Lane::B) => host!(self, a, b, pavgb_a),
            (VBinOp::URHAdd, Lane::H) => host!(self, a, b, pavgw_a),
            (VBinOp::Zip1, Lane::B) => host!(self, a, b, punpcklbw_a),
            (VBinOp::Zip1, Lane::H) => host!(self, a, b, punpcklwd_a),
            (VBinOp::Zip1, Lane::S) => host!(self, a, b, punpckldq_a),
            (VBinOp::Zip1 | VBinOp::Uzp1 | VBinOp::Trn1, Lane::D) => host!(self, a, b, punpcklqdq_a),
            (VBinOp::Zip2, Lane::B) => host!(self, a, b, punpckhbw_a),
            (VBinOp::Zip2, Lane::H) => host!(self, a, b, punpckhwd_a),
            (VBinOp::Zip2, Lane::S) => host!(self, a, b, punpckhdq_a),
            (VBinOp::Zip2 | VBinOp::Uzp2 | VBinOp::Trn2, Lane::D) => host!(self, a, b, punpckhqdq_a),
            (VBinOp::UMaxP, Lane::B) => self.pairwise_max(a, b),
            (VBinOp::AddP, Lane::B) => self.pairwise_add(a, b),
            _ => self.evaluate(op),
        }
    }

    /// Bytes: even and odd ones of both, and their maximum.
    fn pairwise_max(&mut self, a: Val, b: Val) -> Result<(), TooHard> {
        self.even_and_odd(a, b, |s, d| i!(s.asm, pmaxub_a, d, super::regs::XTMP2))
    }

    fn pairwise_add(&mut self, a: Val, b: Val) -> Result<(), TooHard> {
        self.even_and_odd(a, b, |s, d| i!(s.asm, paddb_a, d, super::regs::XTMP2))
    }

    /// `f` of the even bytes of `b:a` (in the register it gets) and the odd ones (in the second scratch register).
    fn even_and_odd(&mut self, a: Val, b: Val, f: impl FnOnce(&mut Self, u8)) -> Result<(), TooHard> {
        use super::regs::{XTMP, XTMP2};
        let (ra, rb) = (self.xmm(a)?, self.xmm(b)?);
        let d = self.new_xmm()?;
        // Odd bytes: each half shifted down, then packed.
        self.asm.movdqa(XTMP2, ra);
        self.asm.movdqa(XTMP, rb);
        i!(self.asm, psrlw_b, XTMP2, 8_u8);
        i!(self.asm, psrlw_b, XTMP, 8_u8);
        i!(self.asm, packuswb_a, XTMP2, XTMP);
        // Even bytes: the upper ones cleared, then packed.
        self.vector_constant(XTMP, 0x00ff_00ff_00ff_00ff, 0x00ff_00ff_00ff_00ff);
        self.asm.movdqa(d, ra);
        i!(self.asm, pand_a, d, XTMP);
        i!(self.asm, pand_a, XTMP, rb);
        i!(self.asm, packuswb_a, d, XTMP);
        f(self, d);
        self.put(d)
    }

    pub(super) fn lanes_shift(&mut self, op: Op, shift: VShiftOp, lane: Lane, n: u8, a: Val) -> Result<(), TooHard> {
        // Wider than any lane, which the host takes for "all bits out", as the guest does for a count of the width.
        match (shift, lane) {
            (_, Lane::B) | (VShiftOp::SRShr | VShiftOp::URShr, _) | (VShiftOp::SShr, Lane::D) => self.evaluate(op),
            _ => {
                let d = self.xmm_for_result(a)?;
                match (shift, lane) {
                    (VShiftOp::Shl, Lane::H) => i!(self.asm, psllw_b, d, n),
                    (VShiftOp::Shl, Lane::S) => i!(self.asm, pslld_b, d, n),
                    (VShiftOp::Shl, _) => i!(self.asm, psllq_b, d, n),
                    (VShiftOp::UShr, Lane::H) => i!(self.asm, psrlw_b, d, n),
                    (VShiftOp::UShr, Lane::S) => i!(self.asm, psrld_b, d, n),
                    (VShiftOp::UShr, _) => i!(self.asm, psrlq_b, d, n),
                    (_, Lane::H) => i!(self.asm, psraw_b, d, n),
                    (_, _) => i!(self.asm, psrad_b, d, n),
                }
                self.put(d)
            }
        }
    }
}
