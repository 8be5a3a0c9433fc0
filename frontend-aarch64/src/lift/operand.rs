//! Second operands: shifted and extended registers, bitmask immediates.

use jib_ir::op::BinOp;
use jib_ir::region::Val;
use jib_ir::ty::Ty;

use super::Lifter;
use crate::field::Reg;
use crate::field_enum;

field_enum! {
    /// The `shift` field of shifted-register operands.
    Shift: 2 { Lsl, Lsr, Asr, Ror }
}

field_enum! {
    /// The `option` field of extended-register operands.
    Extend: 3 { Uxtb, Uxth, Uxtw, Uxtx, Sxtb, Sxth, Sxtw, Sxtx }
}

impl Shift {
    /// The IR operation.
    pub(crate) const fn op(self) -> BinOp {
        match self {
            Shift::Lsl => BinOp::Shl,
            Shift::Lsr => BinOp::Shr,
            Shift::Asr => BinOp::Sar,
            Shift::Ror => BinOp::Ror,
        }
    }
}

impl Extend {
    /// Width of the part that is extended.
    const fn bits(self) -> u32 {
        8 << (self as u32 & 3)
    }
    /// Does it extend the sign?
    const fn signed(self) -> bool {
        self as u32 & 4 != 0
    }
}

/// Width of an integer type in bits.
pub(crate) fn width(ty: Ty) -> u32 {
    if ty == Ty::I32 { 32 } else { 64 }
}

impl Lifter {
    /// Register `r` shifted by a constant below the width.
    pub(crate) fn shifted(&mut self, ty: Ty, r: Reg, shift: Shift, amount: u32) -> Val {
        let v = self.x(ty, r);
        self.shift_imm(shift.op(), v, amount)
    }

    /// The low part of register `r`, extended to `ty` and shifted left.
    pub(crate) fn extended(&mut self, ty: Ty, r: Reg, ext: Extend, shift: u32) -> Val {
        let bits = ext.bits();
        let v = if bits >= width(ty) {
            self.x(ty, r)
        } else {
            let v = self.x(Ty::I32, r);
            if ext.signed() { self.sext(ty, bits, v) } else { self.zext(ty, bits, v) }
        };
        self.shift_imm(BinOp::Shl, v, shift)
    }
}

/// The value of a bitmask immediate (DecodeBitMasks); `None` if reserved.
pub(crate) fn bitmask(ty: Ty, n: bool, imms: u32, immr: u32) -> Option<u64> {
    if ty == Ty::I32 && n {
        return None;
    }
    let len = ((n as u32) << 6 | !imms & 0x3f).checked_ilog2()?;
    let levels = (1u32 << len) - 1;
    let (s, r) = (imms & levels, immr & levels);
    if len == 0 || s == levels {
        return None;
    }
    let esize = 1u32 << len;
    let ones = (1u64 << (s + 1)) - 1;
    let element = if r == 0 { ones } else { ones >> r | ones << (esize - r) };
    let element = element & (u64::MAX >> (64 - esize));
    let all = (0..64 / esize).fold(0, |v, i| v | element << (i * esize));
    Some(if ty == Ty::I32 { all & 0xffff_ffff } else { all })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitmasks() {
        assert_eq!(bitmask(Ty::I64, false, 0b111100, 0), Some(0x5555_5555_5555_5555));
        assert_eq!(bitmask(Ty::I64, true, 7, 60), Some(0xff0));
        assert_eq!(bitmask(Ty::I32, false, 0b000000, 1), Some(0x8000_0000));
        assert_eq!(bitmask(Ty::I64, true, 62, 0), Some(u64::MAX >> 1));
        assert_eq!(bitmask(Ty::I32, true, 0, 0), None);
        assert_eq!(bitmask(Ty::I64, true, 63, 0), None);
        assert_eq!(bitmask(Ty::I64, false, 63, 0), None);
    }
}
