//! Guest memory: guest addresses are host addresses; what faults goes back to its instruction.

use cranelift_assembler_x64::Amode;
use jib_ir::op::{Align, BinOp, Fence, Op, Order};
use jib_ir::region::Val;
use jib_ir::runtime::RmwOp;
use jib_ir::state::{Slot, slot};
use jib_ir::ty::{Size, Ty};

use super::asm::{Alu, Cc, Label, Mem, RAX, RCX, RDX, RSI, Reg, Shift, i};
use super::regs::{Loc, XTMP, state};
use super::{Cold, Quick, TooHard};
use crate::reloc::Target;
use crate::{abi, tlb};

impl Quick<'_> {
    pub(super) fn memory_op(&mut self, op: Op) -> Result<(), TooHard> {
        match op {
            Op::Load { ty, size, order, addr } => self.load(ty, size, order, addr),
            Op::Store { ty, size, order, addr, v } => self.store(ty, size, order, addr, v),
            Op::Rmw { op, ty, size, addr, v } => self.rmw(op, ty, size, addr, v),
            Op::Cas { ty: Ty::V128, addr, expected, new, .. } => self.cas16(addr, expected, new),
            Op::Cas { size, addr, expected, new, .. } => {
                self.cas(size, addr, expected, new)?;
                self.old_value(size)
            }
            Op::CasIf { ty, size, c, addr, expected, new } => self.cas_if(ty, size, c, addr, expected, new),
            Op::CheckAlign { rule, size, addr, .. } => self.check_align(rule, size, addr),
            Op::Fence { kind } => {
                if kind == Fence::Full {
                    self.full_fence();
                }
                Ok(())
            }
            _ => Err(TooHard),
        }
    }

    /// `addr` as an operand; a deferred sum is folded into it.
    fn address(&mut self, addr: Val) -> Result<Mem, TooHard> {
        if self.vals[addr.index()].loc == Loc::Lazy
            && let Op::Bin { op, a, b, .. } = self.region.ops[addr.index()]
        {
            let (base, k) = (self.gpr(a)?, self.small_imm(b, true));
            return Ok(match (op, k) {
                (BinOp::Sub, Some(k)) => Mem::at(base, -k),
                (_, Some(k)) => Mem::at(base, k),
                (_, None) => Mem { base, index: Some(self.gpr(b)?), disp: 0 },
            });
        }
        Ok(Mem::at(self.gpr(addr)?, 0))
    }

    /// Where the host makes a guest access: the place itself, or (in RSI) what the table has for it, see
    /// [`crate::tlb`]. Changes RAX, RCX and RDX then.
    fn host_address(&mut self, addr: Val, size: Size, write: bool, order: Order) -> Result<Mem, TooHard> {
        let m = self.address(addr)?;
        Ok(self.host_place(m, size, write, order))
    }

    fn host_place(&mut self, m: Mem, size: Size, write: bool, order: Order) -> Mem {
        if !self.table {
            return m;
        }
        let unprivileged = order == Order::Unprivileged;
        let (from, on) = (self.asm.label(), self.asm.label());
        self.asm.lea(RSI, m);
        self.asm.mov(true, RDX, RSI);
        self.asm.shift_imm(Shift::Shr, true, RDX, tlb::INDEX_SHIFT as u8);
        self.asm.alu_imm(Alu::And, false, RDX, tlb::INDEX_MASK as i32);
        i!(self.asm, addq_rm, RDX, Amode::from(state(if unprivileged { abi::TLB_UNPRIVILEGED } else { abi::TLB })));
        self.asm.lea(RAX, Mem::at(RSI, size.bytes() as i32 - 1));
        self.asm.alu_imm(Alu::And, true, RAX, !0xfff);
        let tag = Mem::at(RDX, if write { tlb::WRITE } else { tlb::READ });
        i!(self.asm, cmpq_rm, RAX, Amode::from(tag));
        self.asm.jcc(Cc::Ne, from);
        i!(self.asm, addq_rm, RSI, Amode::from(Mem::at(RDX, tlb::ADDEND)));
        self.asm.bind(on);
        let info = abi::encode_access(write, size.bytes() as i32, unprivileged);
        self.cold.push(Cold::Miss { from, on, info, pc: self.pc });
        Mem::at(RSI, 0)
    }

    /// Asks the runtime for the host address of what missed the table; what it refuses is the interpreter's.
    pub(super) fn miss(&mut self, on: Label, info: u64, pc: u64) {
        self.asm.mov_imm(RDX, info);
        self.asm.address(RCX, Target::program(abi::tlb_miss_preserving()));
        self.asm.call_reg(RCX);
        self.asm.load(RSI, state(abi::TLB_FOUND));
        self.asm.test(true, RSI, RSI);
        self.asm.jcc(Cc::Ne, on);
        self.leave(pc, abi::EXIT_FAULT);
    }

    /// `dst` = `size` bytes (up to 8) at `m`, zero-extended.
    fn load_int(&mut self, size: Size, dst: Reg, m: Mem) {
        let m = Amode::from(m);
        match size {
            Size::B1 => i!(self.asm, movzbl_rm, dst, m),
            Size::B2 => i!(self.asm, movzwl_rm, dst, m),
            Size::B4 => i!(self.asm, movl_rm, dst, m),
            Size::B8 | Size::B16 => i!(self.asm, movq_rm, dst, m),
        }
    }

    fn store_int(&mut self, size: Size, m: Mem, src: Reg) {
        let m = Amode::from(m);
        match size {
            Size::B1 => i!(self.asm, movb_mr, m, src),
            Size::B2 => i!(self.asm, movw_mr, m, src),
            Size::B4 => i!(self.asm, movl_mr, m, src),
            Size::B8 | Size::B16 => i!(self.asm, movq_mr, m, src),
        }
    }

    fn load(&mut self, ty: Ty, size: Size, order: Order, addr: Val) -> Result<(), TooHard> {
        let m = self.host_address(addr, size, false, order)?;
        if ty != Ty::V128 {
            let d = self.new_gpr()?;
            self.load_int(size, d, m);
            self.put_gpr(self.at, d);
            self.vals[self.at as usize].clean = true;
            return Ok(());
        }
        let d = self.new_xmm()?;
        match size {
            Size::B16 => self.asm.load_vec(d, m),
            Size::B8 => i!(self.asm, movq_a, d, Amode::from(m)),
            Size::B4 => i!(self.asm, movd_a, d, Amode::from(m)),
            Size::B1 | Size::B2 => {
                self.load_int(size, RAX, m);
                i!(self.asm, movd_a, d, RAX);
            }
        }
        self.put_xmm(self.at, d);
        Ok(())
    }

    fn store(&mut self, ty: Ty, size: Size, order: Order, addr: Val, v: Val) -> Result<(), TooHard> {
        if ty == Ty::V128 {
            let r = self.xmm(v)?;
            let m = self.host_address(addr, size, true, order)?;
            match size {
                Size::B16 => self.asm.store_vec(m, r),
                Size::B8 => i!(self.asm, movq_b, Amode::from(m), r),
                Size::B4 => i!(self.asm, movd_b, Amode::from(m), r),
                Size::B1 | Size::B2 => {
                    i!(self.asm, movd_b, RAX, r);
                    self.store_int(size, m, RAX);
                }
            }
            if order == Order::AcqRel {
                self.full_fence();
            }
            return Ok(());
        }
        let r = self.gpr(v)?;
        let m = self.host_address(addr, size, true, order)?;
        match order {
            Order::Plain | Order::Unprivileged => self.store_int(size, m, r),
            // A locked exchange orders it before later acquire loads, which a plain store does not.
            Order::AcqRel => {
                self.asm.mov(true, RAX, r);
                self.exchange(size, m);
            }
        }
        Ok(())
    }

    /// Exchanges RAX with memory.
    fn exchange(&mut self, size: Size, m: Mem) {
        let m = Amode::from(m);
        match size {
            Size::B1 => i!(self.asm, xchgb_rm, RAX, m),
            Size::B2 => i!(self.asm, xchgw_rm, RAX, m),
            Size::B4 => i!(self.asm, xchgl_rm, RAX, m),
            Size::B8 | Size::B16 => i!(self.asm, xchgq_rm, RAX, m),
        }
    }

    /// The op's value is the low `size` bytes of RAX.
    fn old_value(&mut self, size: Size) -> Result<(), TooHard> {
        let d = self.new_gpr()?;
        match size {
            Size::B1 => i!(self.asm, movzbl_rm, d, RAX),
            Size::B2 => i!(self.asm, movzwl_rm, d, RAX),
            Size::B4 => self.asm.mov(false, d, RAX),
            Size::B8 | Size::B16 => self.asm.mov(true, d, RAX),
        }
        self.put_gpr(self.at, d);
        self.vals[self.at as usize].clean = true;
        Ok(())
    }

    fn rmw(&mut self, op: RmwOp, ty: Ty, size: Size, addr: Val, v: Val) -> Result<(), TooHard> {
        let r = self.gpr(v)?;
        let m = self.host_address(addr, size, true, Order::Plain)?;
        match op {
            RmwOp::Add => {
                self.asm.mov(true, RAX, r);
                let m = Amode::from(m);
                match size {
                    Size::B1 => i!(self.asm, lock_xaddb_mr, m, RAX),
                    Size::B2 => i!(self.asm, lock_xaddw_mr, m, RAX),
                    Size::B4 => i!(self.asm, lock_xaddl_mr, m, RAX),
                    Size::B8 | Size::B16 => i!(self.asm, lock_xaddq_mr, m, RAX),
                }
            }
            RmwOp::Swap => {
                self.asm.mov(true, RAX, r);
                self.exchange(size, m);
            }
            _ => self.rmw_loop(op, ty, size, m, r),
        }
        self.old_value(size)
    }

    /// Compare-and-swap until nobody came between; the old value in RAX.
    fn rmw_loop(&mut self, op: RmwOp, _ty: Ty, size: Size, m: Mem, r: Reg) {
        let again = self.asm.label();
        self.load_int(size, RAX, m);
        self.asm.bind(again);
        self.asm.mov(true, RDX, RAX);
        match op {
            RmwOp::Clr => {
                self.asm.mov(true, RCX, r);
                i!(self.asm, notq_m, RCX);
                self.asm.alu(Alu::And, true, RDX, RCX);
            }
            RmwOp::Xor => self.asm.alu(Alu::Xor, true, RDX, r),
            RmwOp::Or => self.asm.alu(Alu::Or, true, RDX, r),
            RmwOp::SMax | RmwOp::SMin | RmwOp::UMax | RmwOp::UMin => self.choose(op, size, r),
            RmwOp::Add | RmwOp::Swap => unreachable!("has an instruction of its own"),
        }
        self.compare_exchange(size, m, RDX);
        self.asm.jcc(Cc::Ne, again);
    }

    /// RDX (the old value, also in RAX) becomes the maximum or minimum of it and `r`.
    fn choose(&mut self, op: RmwOp, size: Size, r: Reg) {
        let signed = matches!(op, RmwOp::SMax | RmwOp::SMin);
        // Both extended to 64 bits; RAX must stay.
        self.extend_to(signed, size, RCX, r);
        self.extend_to(signed, size, RDX, RAX);
        self.asm.alu(Alu::Cmp, true, RDX, RCX);
        let cc = match op {
            RmwOp::SMax => Cc::L,
            RmwOp::SMin => Cc::G,
            RmwOp::UMax => Cc::B,
            _ => Cc::A,
        };
        self.asm.cmov(cc, RDX, RCX);
    }

    fn extend_to(&mut self, signed: bool, size: Size, d: Reg, r: Reg) {
        match (size, signed) {
            (Size::B1, false) => i!(self.asm, movzbl_rm, d, r),
            (Size::B1, true) => i!(self.asm, movsbq_rm, d, r),
            (Size::B2, false) => i!(self.asm, movzwl_rm, d, r),
            (Size::B2, true) => i!(self.asm, movswq_rm, d, r),
            (Size::B4, false) => self.asm.mov(false, d, r),
            (Size::B4, true) => i!(self.asm, movslq_rm, d, r),
            (Size::B8 | Size::B16, _) => self.asm.mov(true, d, r),
        }
    }

    /// `LOCK CMPXCHG`: RAX is expected and becomes the old value; ZF tells of success.
    fn compare_exchange(&mut self, size: Size, m: Mem, new: Reg) {
        let m = Amode::from(m);
        match size {
            Size::B1 => i!(self.asm, lock_cmpxchgb_mr, m, new, RAX),
            Size::B2 => i!(self.asm, lock_cmpxchgw_mr, m, new, RAX),
            Size::B4 => i!(self.asm, lock_cmpxchgl_mr, m, new, RAX),
            Size::B8 | Size::B16 => i!(self.asm, lock_cmpxchgq_mr, m, new, RAX),
        }
    }

    fn cas(&mut self, size: Size, addr: Val, expected: Val, new: Val) -> Result<(), TooHard> {
        let (e, n) = (self.gpr(expected)?, self.gpr(new)?);
        let m = self.host_address(addr, size, true, Order::Plain)?;
        self.asm.mov(true, RAX, e);
        self.compare_exchange(size, m, n);
        Ok(())
    }

    /// Calls the runtime for 16 bytes; the old value is in the first scratch words afterwards.
    fn call_cas16(&mut self, addr: Val, expected: Val, new: Val) -> Result<(), TooHard> {
        let at = slot::SCRATCH.offset();
        let (a, e, n) = (self.gpr(addr)?, self.xmm(expected)?, self.xmm(new)?);
        self.asm.store_vec(state(at), e);
        self.asm.store_vec(state(at + 16), n);
        self.asm.mov(true, RSI, a);
        self.before_call(false, false)?;
        self.call_may_exit(abi::cas16 as *const () as usize);
        Ok(())
    }

    fn cas16(&mut self, addr: Val, expected: Val, new: Val) -> Result<(), TooHard> {
        self.call_cas16(addr, expected, new)?;
        let d = self.new_xmm()?;
        self.asm.load_vec(d, state(slot::SCRATCH.offset()));
        self.put_xmm(self.at, d);
        Ok(())
    }

    fn cas_if(&mut self, ty: Ty, size: Size, c: Val, addr: Val, expected: Val, new: Val) -> Result<(), TooHard> {
        if ty == Ty::V128 {
            return self.cas16_if(c, addr, expected, new);
        }
        // Everything that only one of the two ways would compute is computed before they part.
        let (e, n, c) = (self.gpr(expected)?, self.gpr(new)?, self.gpr(c)?);
        let place = self.gpr(addr)?;
        let d = self.new_gpr()?;
        let done = self.asm.label();
        self.asm.alu(Alu::Xor, false, d, d);
        self.asm.test(false, c, c);
        self.asm.jcc(Cc::E, done);
        let m = self.host_place(Mem::at(place, 0), size, true, Order::Plain);
        self.asm.mov(true, RAX, e);
        self.compare_exchange(size, m, n);
        self.asm.setcc(Cc::E, d);
        self.asm.bind(done);
        self.put_gpr(self.at, d);
        Ok(())
    }

    fn cas16_if(&mut self, c: Val, addr: Val, expected: Val, new: Val) -> Result<(), TooHard> {
        let at = slot::SCRATCH.offset();
        let (a, e, n, c) = (self.gpr(addr)?, self.xmm(expected)?, self.xmm(new)?, self.gpr(c)?);
        self.asm.store_vec(state(at), e);
        self.asm.store_vec(state(at + 16), n);
        // Kept for the comparison; the call may change registers.
        self.asm.store_vec(state(at + 32), e);
        self.asm.mov(true, RSI, a);
        self.asm.mov(true, RCX, c);
        self.before_call(false, false)?;
        let d = self.new_gpr()?;
        let done = self.asm.label();
        self.asm.alu(Alu::Xor, false, d, d);
        self.asm.test(false, RCX, RCX);
        self.asm.jcc(Cc::E, done);
        self.call_may_exit(abi::cas16 as *const () as usize);
        self.asm.load_vec(XTMP, state(at));
        i!(self.asm, pxor_a, XTMP, Amode::from(state(at + 32)));
        i!(self.asm, ptest_rm, XTMP, XTMP);
        self.asm.setcc(Cc::E, d);
        self.asm.bind(done);
        self.put_gpr(self.at, d);
        Ok(())
    }

    fn check_align(&mut self, rule: Align, size: Size, addr: Val) -> Result<(), TooHard> {
        if size == Size::B1 {
            return Ok(());
        }
        let m = self.address(addr)?;
        self.asm.lea(RAX, m);
        let from = self.asm.label();
        self.asm.alu_imm(Alu::And, false, RAX, if rule == Align::Natural { size.bytes() as i32 - 1 } else { 15 });
        match rule {
            Align::Natural => self.asm.jcc(Cc::Ne, from),
            Align::Within16 => {
                self.asm.alu_imm(Alu::Cmp, false, RAX, 16 - size.bytes() as i32);
                self.asm.jcc(Cc::A, from);
            }
        }
        // As after a host fault: the interpreter meets it.
        self.cold.push(Cold::Leave { from, pc: self.pc, code: abi::EXIT_FAULT });
        Ok(())
    }

    /// A locked operation on a word of our own: the cheapest full barrier of the host.
    fn full_fence(&mut self) {
        let m = state(Slot(slot::SCRATCH.0 + 15).offset());
        i!(self.asm, lock_orq_mi_sxb, Amode::from(m), 0_i8);
    }
}
