//! Integer ops.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use jib_ir::op::{BinOp, Op, UnOp};
use jib_ir::ty::{Cc, Size, Ty};

use super::{Lowerer, Repr, clif};
use crate::reloc::Target;

impl Lowerer<'_, '_> {
    pub(super) fn int_op(&mut self, op: Op) -> Value {
        match op {
            Op::Imm { ty: Ty::Bool, v } => self.b.ins().iconst(types::I8, (v & 1) as i64),
            Op::Imm { ty: Ty::I64, v } => self.const64(v),
            Op::Imm { v, .. } => self.b.ins().iconst(types::I32, v as u32 as i64),
            Op::Bin { op, ty, a, b } => {
                let (a, b) = (self.int(a), self.int(b));
                self.bin(op, ty, a, b)
            }
            Op::Un { op, ty, a } => {
                let a = self.int(a);
                self.un(op, ty, a)
            }
            Op::Ext { ty, signed, bits, a } => {
                let a = self.int(a);
                self.ext(ty, signed, bits, a)
            }
            Op::Cmp { cc, a, b, .. } => {
                let (a, b) = (self.int(a), self.int(b));
                self.b.ins().icmp(int_cc(cc), a, b)
            }
            Op::TestBit { a, bit, .. } => {
                let a = self.int(a);
                self.test_bit(a, bit)
            }
            Op::BNot { c } => {
                let c = self.int(c);
                self.invert(c)
            }
            Op::BAnd { a, b } => {
                let (a, b) = (self.int(a), self.int(b));
                self.b.ins().band(a, b)
            }
            Op::FromBool { ty, c } => {
                let c = self.int(c);
                self.b.ins().uextend(clif(ty), c)
            }
            Op::Crc32 { c, size, acc, v } => {
                let (acc, v) = (self.int(acc), self.int(v));
                self.crc32(c, size, acc, v)
            }
            _ => unreachable!("not an integer op"),
        }
    }

    pub(super) fn select_op(
        &mut self,
        ty: Ty,
        c: jib_ir::region::Val,
        a: jib_ir::region::Val,
        b: jib_ir::region::Val,
    ) -> Repr {
        let c = self.int(c);
        match ty {
            Ty::Flags => {
                let (x, y) = (self.flags(a), self.flags(b));
                Repr::Flags(self.select_flags(c, x, y))
            }
            Ty::V128 => {
                if let (Repr::Scalar(x), Repr::Scalar(y)) = (self.vals[a.index()], self.vals[b.index()])
                    && self.type_of(x) == self.type_of(y)
                {
                    return Repr::Scalar(self.b.ins().select(c, x, y));
                }
                let (x, y) = (self.vec(a), self.vec(b));
                Repr::Vec(self.b.ins().select(c, x, y))
            }
            Ty::Bool | Ty::I32 | Ty::I64 => {
                let (x, y) = (self.int(a), self.int(b));
                Repr::Int(self.b.ins().select(c, x, y))
            }
        }
    }

    fn bin(&mut self, op: BinOp, ty: Ty, a: Value, b: Value) -> Value {
        match op {
            BinOp::Add => self.b.ins().iadd(a, b),
            BinOp::Sub => self.b.ins().isub(a, b),
            BinOp::Mul => self.b.ins().imul(a, b),
            BinOp::UMulHi => self.b.ins().umulhi(a, b),
            BinOp::SMulHi => self.b.ins().smulhi(a, b),
            BinOp::UDiv => self.udiv(a, b),
            BinOp::SDiv => self.sdiv(ty, a, b),
            BinOp::And => self.b.ins().band(a, b),
            BinOp::Or => self.b.ins().bor(a, b),
            BinOp::Xor => self.b.ins().bxor(a, b),
            BinOp::AndNot => {
                let n = self.b.ins().bnot(b);
                self.b.ins().band(a, n)
            }
            BinOp::Shl => self.b.ins().ishl(a, b),
            BinOp::Shr => self.b.ins().ushr(a, b),
            BinOp::Sar => self.b.ins().sshr(a, b),
            BinOp::Ror => self.b.ins().rotr(a, b),
        }
    }

    /// A divisor that the host can divide by where `bad`, the quotient then being replaced by `instead`.
    fn guarded(&mut self, bad: Value, instead: Value, b: Value, div: impl FnOnce(&mut Self, Value) -> Value) -> Value {
        let ty = self.type_of(b);
        let one = self.b.ins().iconst(ty, 1);
        let safe = self.b.ins().select(bad, one, b);
        let q = div(self, safe);
        self.b.ins().select(bad, instead, q)
    }

    fn udiv(&mut self, a: Value, b: Value) -> Value {
        let ty = self.type_of(b);
        let zero = self.b.ins().iconst(ty, 0);
        let bad = self.b.ins().icmp_imm_u(IntCC::Equal, b, 0);
        self.guarded(bad, zero, b, |l, safe| l.b.ins().udiv(a, safe))
    }

    /// Division by 0 gives 0; by -1 the negation, which is MIN for MIN.
    fn sdiv(&mut self, ty: Ty, a: Value, b: Value) -> Value {
        let next = self.b.ins().iadd_imm_s(b, 1);
        let bad = self.b.ins().icmp_imm_u(IntCC::UnsignedLessThanOrEqual, next, 1);
        let neg = self.b.ins().ineg(a);
        let zero = self.b.ins().iconst(clif(ty), 0);
        let instead = self.b.ins().select(b, neg, zero);
        self.guarded(bad, instead, b, |l, safe| l.b.ins().sdiv(a, safe))
    }

    fn un(&mut self, op: UnOp, ty: Ty, a: Value) -> Value {
        match op {
            UnOp::Not => self.b.ins().bnot(a),
            UnOp::Neg => self.b.ins().ineg(a),
            UnOp::Clz => self.b.ins().clz(a),
            UnOp::Ctz => self.b.ins().ctz(a),
            UnOp::Cls => {
                // Leading bits equal to the sign: leading zeros of (a ^ (a >> 1)) less one, by setting the low bit.
                let half = self.b.ins().sshr_imm_u(a, 1);
                let x = self.b.ins().bxor(a, half);
                let n = self.b.ins().clz(x);
                self.b.ins().iadd_imm_s(n, -1)
            }
            UnOp::Rbit => self.b.ins().bitrev(a),
            UnOp::Rev => self.b.ins().bswap(a),
            UnOp::Rev16 => {
                let mask = if ty == Ty::I32 { 0x00ff_00ff } else { 0x00ff_00ff_00ff_00ff };
                self.swap_groups(a, mask, 8)
            }
            UnOp::Rev32 => {
                let v = self.b.ins().bswap(a);
                self.b.ins().rotr_imm_u(v, 32)
            }
            UnOp::Popcnt => self.b.ins().popcnt(a),
        }
    }

    /// Exchanges neighbouring groups of `bits` bits; `mask` has the low group of each pair.
    fn swap_groups(&mut self, a: Value, mask: i64, bits: i64) -> Value {
        let ty = self.type_of(a);
        let m = self.b.ins().iconst(ty, mask);
        let low = self.b.ins().band(a, m);
        let up = self.b.ins().ishl_imm_u(low, bits);
        let down = self.b.ins().ushr_imm_u(a, bits);
        let down = self.b.ins().band(down, m);
        self.b.ins().bor(up, down)
    }

    fn ext(&mut self, ty: Ty, signed: bool, bits: u8, a: Value) -> Value {
        let (from, to) = (self.type_of(a), clif(ty));
        let whole = match bits {
            8 => Some(types::I8),
            16 => Some(types::I16),
            32 => Some(types::I32),
            64 => Some(types::I64),
            _ => None,
        };
        let Some(part) = whole else { return self.ext_odd(ty, signed, bits, a) };
        let narrow = if part.bytes() < from.bytes() { self.b.ins().ireduce(part, a) } else { a };
        let have = self.type_of(narrow);
        if !signed && to == types::I64 && have == types::I32 {
            return self.to64(narrow);
        }
        if have.bytes() > to.bytes() {
            self.b.ins().ireduce(to, narrow)
        } else if have == to {
            narrow
        } else if signed && part.bytes() <= from.bytes() {
            self.b.ins().sextend(to, narrow)
        } else {
            self.b.ins().uextend(to, narrow)
        }
    }

    /// Widths that are no type of the host: shift up and back down, or mask.
    fn ext_odd(&mut self, ty: Ty, signed: bool, bits: u8, a: Value) -> Value {
        let have = self.type_of(a);
        let wide = if have == types::I64 || bits > 32 || ty == Ty::I64 { types::I64 } else { types::I32 };
        let a = if have == wide { a } else { self.b.ins().uextend(wide, a) };
        let v = if signed {
            let unused = (wide.bits() - bits as u32) as i64;
            let up = self.b.ins().ishl_imm_u(a, unused);
            self.b.ins().sshr_imm_u(up, unused)
        } else {
            let mask = self.b.ins().iconst(wide, (u64::MAX >> (64 - bits)) as i64);
            self.b.ins().band(a, mask)
        };
        if wide == clif(ty) { v } else { self.b.ins().ireduce(clif(ty), v) }
    }

    fn test_bit(&mut self, a: Value, bit: u8) -> Value {
        let ty = self.type_of(a);
        if bit as u32 == ty.bits() - 1 {
            return self.b.ins().icmp_imm_s(IntCC::SignedLessThan, a, 0);
        }
        let mask = self.b.ins().iconst(ty, 1i64 << bit);
        let v = self.b.ins().band(a, mask);
        self.b.ins().icmp_imm_u(IntCC::NotEqual, v, 0)
    }

    /// CRC by a thunk per kind and size.
    fn crc32(&mut self, c: bool, size: Size, acc: Value, v: Value) -> Value {
        let thunk = crate::thunk::crc32(self.env.host, c, size);
        let acc = self.b.ins().uextend(types::I64, acc);
        let sig = self.sigs.crc;
        let target = self.address(Target::program(thunk));
        let call = self.b.ins().call_indirect(sig, target, &[acc, v]);
        let r = self.b.inst_results(call)[0];
        self.b.ins().ireduce(types::I32, r)
    }
}

/// The host's comparison.
fn int_cc(cc: Cc) -> IntCC {
    match cc {
        Cc::Eq => IntCC::Equal,
        Cc::Ne => IntCC::NotEqual,
        Cc::Slt => IntCC::SignedLessThan,
        Cc::Sle => IntCC::SignedLessThanOrEqual,
        Cc::Ult => IntCC::UnsignedLessThan,
        Cc::Ule => IntCC::UnsignedLessThanOrEqual,
    }
}
