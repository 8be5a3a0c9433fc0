//! Integer data processing: products, quotients, CRC (Arm ARM C4.1.95).

use jib_ir::op::{BinOp, Op};
use jib_ir::region::Val;
use jib_ir::ty::{Size, Ty};

use super::{Lifted, Lifter};
use crate::field::{Imm, Reg};

/// UDIV, SDIV
pub(crate) fn div(l: &mut Lifter, ty: Ty, rm: Reg, signed: bool, rn: Reg, rd: Reg) -> Lifted {
    let n = l.x(ty, rn);
    let m = l.x(ty, rm);
    let r = l.bin(if signed { BinOp::SDiv } else { BinOp::UDiv }, n, m);
    l.set_x(rd, r);
    Lifted::Next
}

/// CRC32B, CRC32H, CRC32W, CRC32X and the CRC32C ones
pub(crate) fn crc32(l: &mut Lifter, ty: Ty, rm: Reg, castagnoli: bool, sz: Imm<2>, rn: Reg, rd: Reg) -> Lifted {
    let size = Size::ALL[sz.0 as usize];
    if (size == Size::B8) != (ty == Ty::I64) {
        return Lifted::Undefined;
    }
    let acc = l.x(Ty::I32, rn);
    let v = l.x(Ty::I64, rm);
    let r = l.push(Op::Crc32 { c: castagnoli, size, acc, v });
    l.set_x(rd, r);
    Lifted::Next
}

/// `Ra` plus or minus `product`; the product alone, negated if `sub`, for XZR.
fn accumulate(l: &mut Lifter, sub: bool, ra: Reg, product: Val, rd: Reg) -> Lifted {
    let r = if ra.0 == 31 && !sub {
        product
    } else {
        let ty = l.ty(product);
        let a = l.x(ty, ra);
        if sub { l.sub(a, product) } else { l.add(a, product) }
    };
    l.set_x(rd, r);
    Lifted::Next
}

/// MADD, MSUB
pub(crate) fn madd(l: &mut Lifter, ty: Ty, rm: Reg, sub: bool, ra: Reg, rn: Reg, rd: Reg) -> Lifted {
    let n = l.x(ty, rn);
    let m = l.x(ty, rm);
    let product = l.mul(n, m);
    accumulate(l, sub, ra, product, rd)
}

/// SMADDL, SMSUBL, UMADDL, UMSUBL
pub(crate) fn maddl(l: &mut Lifter, unsigned: bool, rm: Reg, sub: bool, ra: Reg, rn: Reg, rd: Reg) -> Lifted {
    let mut wide = |r| {
        let v = l.x(Ty::I32, r);
        if unsigned { l.zext(Ty::I64, 32, v) } else { l.sext(Ty::I64, 32, v) }
    };
    let (n, m) = (wide(rn), wide(rm));
    let product = l.mul(n, m);
    accumulate(l, sub, ra, product, rd)
}

/// SMULH, UMULH
pub(crate) fn mulh(l: &mut Lifter, unsigned: bool, rm: Reg, rn: Reg, rd: Reg) -> Lifted {
    let n = l.x(Ty::I64, rn);
    let m = l.x(Ty::I64, rm);
    let r = l.bin(if unsigned { BinOp::UMulHi } else { BinOp::SMulHi }, n, m);
    l.set_x(rd, r);
    Lifted::Next
}
