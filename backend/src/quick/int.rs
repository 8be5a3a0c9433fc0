//! Integers and truth values.

use jib_ir::op::{BinOp, Op, UnOp};
use jib_ir::region::Val;
use jib_ir::ty::{Cc as IrCc, Ty};

use super::asm::{Alu, Cc, Mem, RAX, RCX, RDX, Reg, Shift, i};
use super::regs::Loc;
use super::{Quick, TooHard};

/// How a truth value comes out of the host's flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    /// True under this condition.
    Cc(Cc),
    /// Known already.
    Known(bool),
}

impl Test {
    pub(super) fn not(self) -> Test {
        match self {
            Test::Cc(cc) => Test::Cc(cc.not()),
            Test::Known(b) => Test::Known(!b),
        }
    }
}

impl Quick<'_> {
    pub(super) fn int_op(&mut self, op: Op) -> Result<(), TooHard> {
        match op {
            Op::Bin { op: bin, ty, a, b } => {
                // Left to be folded into addresses, or to one LEA.
                if ty == Ty::I64 && self.address_like(bin, b) {
                    self.defer(&op);
                    return Ok(());
                }
                self.bin(op, bin, ty == Ty::I64, a, b)
            }
            Op::Un { op: un, ty, a } => self.un(op, un, ty == Ty::I64, a),
            Op::Ext { ty, signed, bits, a } => self.ext(ty, signed, bits, a),
            Op::Cmp { .. } | Op::TestBit { .. } | Op::BNot { .. } => {
                self.defer(&op);
                Ok(())
            }
            Op::BAnd { a, b } => {
                let b = self.gpr(b)?;
                let d = self.gpr_for_result(a, true)?;
                self.asm.alu(Alu::And, false, d, b);
                self.put_result(d)
            }
            Op::FromBool { c, .. } => {
                self.alias(c)?;
                self.vals[self.at as usize].clean = true;
                Ok(())
            }
            Op::Select { ty, c, a, b } => self.select(ty, c, a, b),
            _ => Err(TooHard),
        }
    }

    fn put_result(&mut self, d: Reg) -> Result<(), TooHard> {
        self.put_gpr(self.at, d);
        self.vals[self.at as usize].clean = true;
        Ok(())
    }

    /// Is `a op b` something that an addressing mode computes?
    fn address_like(&self, op: BinOp, b: Val) -> bool {
        match op {
            BinOp::Add => self.imm(b).is_none() || self.small_imm(b, true).is_some(),
            BinOp::Sub => self.small_imm(b, true).is_some_and(|v| v != i32::MIN),
            _ => false,
        }
    }

    /// Computes a deferred value into a new register.
    pub(super) fn materialize(&mut self, v: Val) -> Result<Reg, TooHard> {
        match self.region.ops[v.index()] {
            Op::Imm { ty, v: imm } => {
                let r = self.new_gpr()?;
                self.asm.mov_imm(r, if ty == Ty::I32 { u64::from(imm as u32) } else { imm });
                self.vals[v.index()].clean = true;
                Ok(r)
            }
            Op::Bin { op, a, b, .. } => {
                let (base, sum) = (self.gpr(a)?, self.small_imm(b, true));
                let place = match (op, sum) {
                    (BinOp::Sub, Some(k)) => Mem::at(base, -k),
                    (_, Some(k)) => Mem::at(base, k),
                    (_, None) => Mem { base, index: Some(self.gpr(b)?), disp: 0 },
                };
                let r = self.new_gpr()?;
                self.asm.lea(r, place);
                Ok(r)
            }
            Op::Cmp { .. } | Op::TestBit { .. } | Op::BNot { .. } | Op::Cond { .. } => {
                let test = self.test(v)?;
                let r = self.new_gpr()?;
                match test {
                    Test::Cc(cc) => self.asm.setcc(cc, r),
                    Test::Known(b) => self.asm.mov_imm(r, u64::from(b)),
                }
                Ok(r)
            }
            Op::Flags { .. } | Op::FlagsAdc { .. } | Op::FlagsLogic { .. } | Op::FlagsPack { .. } => self.packed(v),
            _ => Err(TooHard),
        }
    }

    /// Sets the host's flags by the truth value `v`. Nothing may be emitted between this and their use but moves.
    pub(super) fn test(&mut self, v: Val) -> Result<Test, TooHard> {
        if self.vals[v.index()].loc == Loc::Lazy {
            match self.region.ops[v.index()] {
                Op::Imm { v, .. } => return Ok(Test::Known(v & 1 != 0)),
                Op::Cmp { cc, ty, a, b } => return self.compare(cc, ty == Ty::I64, a, b),
                Op::TestBit { ty, a, bit } => {
                    let r = self.gpr(a)?;
                    if ty == Ty::I64 {
                        i!(self.asm, btq_mi, r, bit)
                    } else {
                        i!(self.asm, btl_mi, r, bit)
                    }
                    return Ok(Test::Cc(Cc::B));
                }
                Op::BNot { c } => return Ok(self.test(c)?.not()),
                Op::Cond { cond, f } => return self.condition(cond, f),
                _ => {}
            }
        }
        let r = self.gpr(v)?;
        self.asm.test(false, r, r);
        Ok(Test::Cc(Cc::Ne))
    }

    fn compare(&mut self, cc: IrCc, wide: bool, a: Val, b: Val) -> Result<Test, TooHard> {
        let ra = self.gpr(a)?;
        match self.small_imm(b, wide) {
            Some(0) if matches!(cc, IrCc::Eq | IrCc::Ne) => self.asm.test(wide, ra, ra),
            Some(k) => self.asm.alu_imm(Alu::Cmp, wide, ra, k),
            None => {
                let rb = self.gpr(b)?;
                self.asm.alu(Alu::Cmp, wide, ra, rb);
            }
        }
        Ok(Test::Cc(match cc {
            IrCc::Eq => Cc::E,
            IrCc::Ne => Cc::Ne,
            IrCc::Slt => Cc::L,
            IrCc::Sle => Cc::Le,
            IrCc::Ult => Cc::B,
            IrCc::Ule => Cc::Be,
        }))
    }

    fn bin(&mut self, whole: Op, op: BinOp, wide: bool, a: Val, b: Val) -> Result<(), TooHard> {
        let alu = match op {
            BinOp::Add => Alu::Add,
            BinOp::Sub => Alu::Sub,
            BinOp::And => Alu::And,
            BinOp::Or => Alu::Or,
            BinOp::Xor => Alu::Xor,
            _ => return self.other_bin(whole, op, wide, a, b),
        };
        if let Some(k) = self.small_imm(b, wide) {
            let d = self.gpr_for_result(a, wide)?;
            self.asm.alu_imm(alu, wide, d, k);
            return self.put_result(d);
        }
        let rb = self.gpr(b)?;
        let d = self.gpr_for_result(a, wide)?;
        self.asm.alu(alu, wide, d, rb);
        self.put_result(d)
    }

    fn other_bin(&mut self, whole: Op, op: BinOp, wide: bool, a: Val, b: Val) -> Result<(), TooHard> {
        match op {
            BinOp::AndNot => {
                let rb = self.gpr(b)?;
                self.asm.mov(true, RAX, rb);
                i!(self.asm, notq_m, RAX);
                let d = self.gpr_for_result(a, wide)?;
                self.asm.alu(Alu::And, wide, d, RAX);
                self.put_result(d)
            }
            BinOp::Mul => {
                let rb = self.gpr(b)?;
                let d = self.gpr_for_result(a, wide)?;
                if wide {
                    i!(self.asm, imulq_rm, d, rb)
                } else {
                    i!(self.asm, imull_rm, d, rb)
                }
                self.put_result(d)
            }
            BinOp::UMulHi | BinOp::SMulHi if wide => {
                let (ra, rb) = (self.gpr(a)?, self.gpr(b)?);
                let d = self.new_gpr()?;
                self.asm.mov(true, RAX, ra);
                if op == BinOp::UMulHi {
                    i!(self.asm, mulq_m, RAX, RDX, rb);
                } else {
                    i!(self.asm, imulq_m, RAX, RDX, rb);
                }
                self.asm.mov(true, d, RDX);
                self.put_result(d)
            }
            BinOp::UDiv | BinOp::SDiv => self.divide(op == BinOp::SDiv, wide, a, b),
            BinOp::Shl => self.shift(Shift::Shl, wide, a, b),
            BinOp::Shr => self.shift(Shift::Shr, wide, a, b),
            BinOp::Sar => self.shift(Shift::Sar, wide, a, b),
            BinOp::Ror => self.shift(Shift::Ror, wide, a, b),
            _ => self.evaluate(whole),
        }
    }

    fn shift(&mut self, op: Shift, wide: bool, a: Val, b: Val) -> Result<(), TooHard> {
        if let Some(n) = self.imm(b) {
            let d = self.gpr_for_result(a, wide)?;
            self.asm.shift_imm(op, wide, d, n as u8 & if wide { 63 } else { 31 });
            // A count of zero leaves even the upper half alone.
            self.put_gpr(self.at, d);
            self.vals[self.at as usize].clean = wide || n & 31 != 0;
            return Ok(());
        }
        let rb = self.gpr(b)?;
        self.asm.mov(false, RCX, rb);
        if !wide {
            // So that the result is clean for a count of zero, too.
            let ra = self.gpr(a)?;
            let d = self.new_gpr()?;
            self.asm.mov(false, d, ra);
            self.asm.shift_cl(op, false, d);
            return self.put_result(d);
        }
        let d = self.gpr_for_result(a, true)?;
        self.asm.shift_cl(op, true, d);
        self.put_result(d)
    }

    /// Quotients are 0 for a divisor of 0; the host's instruction never sees it, nor an overflow.
    fn divide(&mut self, signed: bool, wide: bool, a: Val, b: Val) -> Result<(), TooHard> {
        let (ra, rb) = (self.gpr(a)?, self.gpr(b)?);
        let d = self.new_gpr()?;
        let (zero, done) = (self.asm.label(), self.asm.label());
        self.asm.mov(wide, RAX, ra);
        self.asm.test(wide, rb, rb);
        self.asm.jcc(Cc::E, zero);
        let trap = trap_code();
        if signed {
            let divide = self.asm.label();
            self.asm.alu_imm(Alu::Cmp, wide, rb, -1);
            self.asm.jcc(Cc::Ne, divide);
            if wide {
                i!(self.asm, negq_m, RAX)
            } else {
                i!(self.asm, negl_m, RAX)
            }
            self.asm.jmp(done);
            self.asm.bind(divide);
            if wide {
                i!(self.asm, cqto_zo, RDX, RAX);
                i!(self.asm, idivq_m, RAX, RDX, rb, trap);
            } else {
                i!(self.asm, cltd_zo, RDX, RAX);
                i!(self.asm, idivl_m, RAX, RDX, rb, trap);
            }
        } else {
            self.asm.alu(Alu::Xor, false, RDX, RDX);
            if wide {
                i!(self.asm, divq_m, RAX, RDX, rb, trap);
            } else {
                i!(self.asm, divl_m, RAX, RDX, rb, trap);
            }
        }
        self.asm.jmp(done);
        self.asm.bind(zero);
        self.asm.alu(Alu::Xor, false, RAX, RAX);
        self.asm.bind(done);
        self.asm.mov(wide, d, RAX);
        self.put_result(d)
    }

    fn un(&mut self, whole: Op, op: UnOp, wide: bool, a: Val) -> Result<(), TooHard> {
        match op {
            UnOp::Not | UnOp::Neg | UnOp::Rev => {
                let d = self.gpr_for_result(a, wide)?;
                match (op, wide) {
                    (UnOp::Not, true) => i!(self.asm, notq_m, d),
                    (UnOp::Not, false) => i!(self.asm, notl_m, d),
                    (UnOp::Neg, true) => i!(self.asm, negq_m, d),
                    (UnOp::Neg, false) => i!(self.asm, negl_m, d),
                    (_, true) => i!(self.asm, bswapq_o, d),
                    (_, false) => i!(self.asm, bswapl_o, d),
                }
                self.put_result(d)
            }
            UnOp::Clz if self.host.lzcnt => {
                let r = self.gpr(a)?;
                let d = self.new_gpr()?;
                if wide {
                    i!(self.asm, lzcntq_rm, d, r)
                } else {
                    i!(self.asm, lzcntl_rm, d, r)
                }
                self.put_result(d)
            }
            UnOp::Ctz if self.host.bmi1 => {
                let r = self.gpr(a)?;
                let d = self.new_gpr()?;
                if wide {
                    i!(self.asm, tzcntq_a, d, r)
                } else {
                    i!(self.asm, tzcntl_a, d, r)
                }
                self.put_result(d)
            }
            UnOp::Popcnt if self.host.popcnt => {
                let r = self.gpr(a)?;
                let d = self.new_gpr()?;
                if wide {
                    i!(self.asm, popcntq_rm, d, r)
                } else {
                    i!(self.asm, popcntl_rm, d, r)
                }
                self.put_result(d)
            }
            UnOp::Rbit => self.reverse_bits(wide, a),
            _ => self.evaluate(whole),
        }
    }

    /// Bytes reversed, then nibbles, pairs and single bits within each byte swapped.
    fn reverse_bits(&mut self, wide: bool, a: Val) -> Result<(), TooHard> {
        let d = self.gpr_for_result(a, wide)?;
        if wide {
            i!(self.asm, bswapq_o, d)
        } else {
            i!(self.asm, bswapl_o, d)
        }
        for (mask, n) in [(0x0f0f_0f0f_0f0f_0f0f_u64, 4), (0x3333_3333_3333_3333, 2), (0x5555_5555_5555_5555, 1)] {
            self.asm.mov_imm(RCX, if wide { mask } else { mask & 0xffff_ffff });
            self.asm.mov(wide, RAX, d);
            self.asm.shift_imm(Shift::Shr, wide, RAX, n);
            self.asm.alu(Alu::And, wide, RAX, RCX);
            self.asm.alu(Alu::And, wide, d, RCX);
            self.asm.shift_imm(Shift::Shl, wide, d, n);
            self.asm.alu(Alu::Or, wide, d, RAX);
        }
        self.put_result(d)
    }

    fn ext(&mut self, ty: Ty, signed: bool, bits: u8, a: Val) -> Result<(), TooHard> {
        let wide = ty == Ty::I64;
        let from32 = self.ty(a) == Some(Ty::I32);
        if (wide && bits == 64) || (!wide && bits >= 32) {
            let clean = from32 && self.vals[a.index()].clean;
            self.alias(a)?;
            self.vals[self.at as usize].clean = clean;
            return Ok(());
        }
        if wide && bits == 32 && !signed && from32 {
            let r = self.gpr(a)?;
            if self.vals[a.index()].clean {
                return self.alias(a);
            }
            let d = self.new_gpr()?;
            self.asm.mov(false, d, r);
            return self.put_result(d);
        }
        let r = self.gpr(a)?;
        let d = self.new_gpr()?;
        match (bits, signed) {
            (8, false) => i!(self.asm, movzbl_rm, d, r),
            (16, false) => i!(self.asm, movzwl_rm, d, r),
            (32, false) => self.asm.mov(false, d, r),
            (8, true) if wide => i!(self.asm, movsbq_rm, d, r),
            (8, true) => i!(self.asm, movsbl_rm, d, r),
            (16, true) if wide => i!(self.asm, movswq_rm, d, r),
            (16, true) => i!(self.asm, movswl_rm, d, r),
            (32, true) => i!(self.asm, movslq_rm, d, r),
            (n, false) if n < 32 => {
                self.asm.mov(false, d, r);
                self.asm.alu_imm(Alu::And, false, d, (u32::MAX >> (32 - n)) as i32);
            }
            (n, signed) => {
                let width = if wide { 64 } else { 32 };
                self.asm.mov(wide, d, r);
                self.asm.shift_imm(Shift::Shl, wide, d, width - n);
                self.asm.shift_imm(if signed { Shift::Sar } else { Shift::Shr }, wide, d, width - n);
            }
        }
        self.put_result(d)
    }

    fn select(&mut self, ty: Ty, c: Val, a: Val, b: Val) -> Result<(), TooHard> {
        if ty == Ty::V128 {
            let (ra, rb) = (self.xmm(a)?, self.xmm(b)?);
            let d = self.new_xmm()?;
            let done = self.asm.label();
            let test = self.test(c)?;
            self.asm.movdqa(d, ra);
            match test {
                Test::Cc(cc) => self.asm.jcc(cc, done),
                Test::Known(true) => self.asm.jmp(done),
                Test::Known(false) => {}
            }
            self.asm.movdqa(d, rb);
            self.asm.bind(done);
            self.put_xmm(self.at, d);
            return Ok(());
        }
        let (ra, rb) = (self.gpr(a)?, self.gpr(b)?);
        let d = self.new_gpr()?;
        let clean = self.vals[a.index()].clean && self.vals[b.index()].clean;
        let test = self.test(c)?;
        match test {
            Test::Cc(cc) => {
                self.asm.mov(true, d, rb);
                self.asm.cmov(cc, d, ra);
            }
            Test::Known(t) => self.asm.mov(true, d, if t { ra } else { rb }),
        }
        self.put_gpr(self.at, d);
        self.vals[self.at as usize].clean = clean;
        Ok(())
    }
}

/// The assembler wants a reason for divisions to trap; ours never do.
fn trap_code() -> cranelift_assembler_x64::TrapCode {
    cranelift_assembler_x64::TrapCode(std::num::NonZeroU8::MIN)
}
