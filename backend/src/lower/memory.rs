//! Guest memory: guest addresses are host addresses, and what faults is caught by [`crate::fault`]; or the host
//! addresses come from a table, see [`super::probe`].

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{AtomicRmwOp, InstBuilder, MemFlagsData, Type, Value, types};
use jib_ir::op::{Align, BinOp, Fence, Op, Order};
use jib_ir::region::{Region, Val};
use jib_ir::runtime::RmwOp;
use jib_ir::state::{Slot, slot};
use jib_ir::ty::{Lane, Size, Ty};

use super::{Lowerer, Repr, clif};
use crate::abi;

/// A guest address in the form of the host's instructions.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) base: Value,
    pub(super) offset: i32,
}

/// The general register before the link register: by convention the frame pointer.
const FP: Slot = Slot(29);

impl Lowerer<'_, '_> {
    pub(super) fn memory_op(&mut self, op: Op) -> Repr {
        match op {
            Op::Load { ty: Ty::V128, size: Size::B16, order: Order::Plain, addr }
                if self.halves[self.at as usize] && self.on_stack(addr) =>
            {
                let at = self.place(addr, Size::B16, false, Order::Plain);
                let flags = self.guest_flags();
                let lo = self.b.ins().load(types::I64, flags, at.base, at.offset);
                Repr::Pair(lo, self.b.ins().load(types::I64, flags, at.base, at.offset + 8))
            }
            Op::Load { ty, size, order: Order::AcqRel, addr } => {
                let addr = self.int(addr);
                let addr = self.place_of(addr, size, false);
                self.load_acquire(ty, size, addr)
            }
            Op::Load { ty, size, order, addr } => {
                let at = self.place(addr, size, false, order);
                self.load(ty, size, at)
            }
            Op::Store { size: Size::B16, order: Order::Plain, addr, v, .. }
                if matches!(self.vals[v.index()], Repr::Pair(..)) && self.on_stack(addr) =>
            {
                let Repr::Pair(lo, hi) = self.vals[v.index()] else { unreachable!("just matched") };
                let at = self.place(addr, Size::B16, true, Order::Plain);
                let flags = self.guest_flags();
                self.b.ins().store(flags, lo, at.base, at.offset);
                self.b.ins().store(flags, hi, at.base, at.offset + 8);
                Repr::None
            }
            Op::Store { ty, size, order, addr, v } => {
                let at = self.place(addr, size, true, order);
                self.store(ty, size, order, at, v);
                Repr::None
            }
            Op::Rmw { op, ty, size, addr, v } => {
                let (addr, v) = (self.int(addr), self.int(v));
                Repr::Int(self.rmw(op, ty, size, addr, v))
            }
            Op::Cas { ty: Ty::V128, addr, expected, new, .. } => {
                let addr = self.int(addr);
                self.cas16(addr, expected, new)
            }
            Op::Cas { ty, size, addr, expected, new } => {
                let (addr, expected, new) = (self.int(addr), self.int(expected), self.int(new));
                let old = self.cas(size, addr, expected, new);
                Repr::Int(self.widen(ty, old))
            }
            Op::CasIf { ty, size, c, addr, expected, new } => self.cas_if(ty, size, c, addr, expected, new),
            Op::CheckAlign { rule, size, write, addr } => {
                let addr = self.int(addr);
                self.check_align(rule, size, write, addr);
                Repr::None
            }
            Op::Fence { kind } => {
                match kind {
                    Fence::Full => self.full_fence(),
                    Fence::Compiler => {
                        self.b.ins().sequence_point();
                    }
                }
                Repr::None
            }
            _ => unreachable!("not a memory op"),
        }
    }

    /// `addr` as a base and a constant offset that fits an instruction.
    pub(super) fn root(&self, addr: Val) -> (Val, i32) {
        let (mut base, mut offset) = (addr, 0i32);
        loop {
            let (a, step) = match self.region.ops[base.index()] {
                Op::Bin { op: BinOp::Add, ty: Ty::I64, a, b } => (a, self.imm(b)),
                Op::Bin { op: BinOp::Sub, ty: Ty::I64, a, b } => (a, self.imm(b).map(|v| v.wrapping_neg())),
                _ => break,
            };
            // Room is left for the second half of a pair.
            let sum = step.and_then(|s| i32::try_from(s as i64).ok()).and_then(|s| offset.checked_add(s));
            match sum.filter(|s| s.checked_add(16).is_some()) {
                Some(sum) => (base, offset) = (a, sum),
                None => break,
            }
        }
        (base, offset)
    }

    /// The constant that op `v` is.
    fn imm(&self, v: Val) -> Option<u64> {
        match self.region.ops[v.index()] {
            Op::Imm { v, .. } => Some(v),
            _ => None,
        }
    }

    /// Is `addr` the stack or frame pointer plus a constant? A thread's own frame is no place where others could
    /// tell one access of 16 bytes from two of 8.
    fn on_stack(&self, addr: Val) -> bool {
        let mut addr = addr;
        loop {
            match self.region.ops[addr.index()] {
                Op::Get { slot, .. } => return slot == slot::SP || slot == FP,
                Op::Bin { op: BinOp::Add | BinOp::Sub, a, b, .. }
                    if matches!(self.region.ops[b.index()], Op::Imm { .. }) =>
                {
                    addr = a;
                }
                _ => return false,
            }
        }
    }

    fn guest_flags(&self) -> MemFlagsData {
        MemFlagsData::new().with_alias_region(Some(self.regions.guest))
    }

    fn load(&mut self, ty: Ty, size: Size, at: Place) -> Repr {
        if ty == Ty::V128 {
            return self.load_vector(size, at);
        }
        let wide = self.load_wide(size, at);
        Repr::Int(if ty == Ty::I32 { self.b.ins().ireduce(types::I32, wide) } else { wide })
    }

    /// Loads up to 8 bytes, zero-extended to 64 bits.
    fn load_wide(&mut self, size: Size, at: Place) -> Value {
        let flags = self.guest_flags();
        let ins = self.b.ins();
        match size {
            Size::B1 => ins.uload8(types::I64, flags, at.base, at.offset),
            Size::B2 => ins.uload16(types::I64, flags, at.base, at.offset),
            Size::B4 => ins.uload32(flags, at.base, at.offset),
            Size::B8 | Size::B16 => ins.load(types::I64, flags, at.base, at.offset),
        }
    }

    fn load_vector(&mut self, size: Size, at: Place) -> Repr {
        let flags = self.guest_flags();
        match size {
            Size::B16 => Repr::Vec(self.b.ins().load(types::I8X16, flags, at.base, at.offset)),
            Size::B8 => Repr::Scalar(self.b.ins().load(types::F64, flags, at.base, at.offset)),
            Size::B4 => Repr::Scalar(self.b.ins().load(types::F32, flags, at.base, at.offset)),
            Size::B1 | Size::B2 => Repr::Scalar(self.load_wide(size, at)),
        }
    }

    /// An atomic load is a plain one on the host, but later loads stay behind it.
    fn load_acquire(&mut self, ty: Ty, size: Size, addr: Value) -> Repr {
        if size == Size::B16 || ty == Ty::V128 {
            let v = self.load_vector(size, Place { base: addr, offset: 0 });
            self.b.ins().sequence_point();
            return v;
        }
        let flags = self.guest_flags();
        let v = self.b.ins().atomic_load(access(size), flags, addr);
        Repr::Int(self.widen(ty, v))
    }

    /// Zero-extends to `ty`.
    fn widen(&mut self, ty: Ty, v: Value) -> Value {
        if self.type_of(v) == clif(ty) { v } else { self.b.ins().uextend(clif(ty), v) }
    }

    /// The low `size` bytes.
    fn narrow(&mut self, size: Size, v: Value) -> Value {
        if self.type_of(v) == access(size) { v } else { self.b.ins().ireduce(access(size), v) }
    }

    fn store(&mut self, ty: Ty, size: Size, order: Order, at: Place, v: Val) {
        let flags = self.guest_flags();
        if ty == Ty::V128 {
            self.store_vector(size, at, v);
            if order == Order::AcqRel {
                self.full_fence();
            }
            return;
        }
        let v = self.int(v);
        let v = self.narrow(size, v);
        match order {
            Order::Plain | Order::Unprivileged => {
                self.b.ins().store(flags, v, at.base, at.offset);
            }
            // A locked exchange orders it before later acquire loads, which a plain store does not.
            Order::AcqRel => {
                let addr = self.b.ins().iadd_imm_s(at.base, i64::from(at.offset));
                self.b.ins().atomic_rmw(access(size), flags, AtomicRmwOp::Xchg, addr, v);
            }
        }
    }

    fn store_vector(&mut self, size: Size, at: Place, v: Val) {
        let flags = self.guest_flags();
        let scalar = match (size, self.vals[v.index()]) {
            (size, Repr::Scalar(s)) if u64::from(self.type_of(s).bytes()) == size.bytes() => Some(s),
            _ => None,
        };
        let v = match (scalar, size) {
            (Some(s), _) => s,
            (None, Size::B16) => self.vec(v),
            (None, size) => {
                let (ty, lane) = match size {
                    Size::B8 => (types::F64X2, 0),
                    Size::B4 => (types::F32X4, 0),
                    Size::B2 => (types::I16X8, 0),
                    Size::B1 | Size::B16 => (types::I8X16, 0),
                };
                let v = self.vec_as(ty, v);
                self.b.ins().extractlane(v, lane)
            }
        };
        self.b.ins().store(flags, v, at.base, at.offset);
    }

    fn rmw(&mut self, op: RmwOp, ty: Ty, size: Size, addr: Value, v: Value) -> Value {
        let v = self.narrow(size, v);
        let addr = self.place_of(addr, size, true);
        let (op, v) = match op {
            RmwOp::Add => (AtomicRmwOp::Add, v),
            RmwOp::Clr => (AtomicRmwOp::And, self.b.ins().bnot(v)),
            RmwOp::Xor => (AtomicRmwOp::Xor, v),
            RmwOp::Or => (AtomicRmwOp::Or, v),
            RmwOp::SMax => (AtomicRmwOp::Smax, v),
            RmwOp::SMin => (AtomicRmwOp::Smin, v),
            RmwOp::UMax => (AtomicRmwOp::Umax, v),
            RmwOp::UMin => (AtomicRmwOp::Umin, v),
            RmwOp::Swap => (AtomicRmwOp::Xchg, v),
        };
        let flags = self.guest_flags();
        let old = self.b.ins().atomic_rmw(access(size), flags, op, addr, v);
        self.widen(ty, old)
    }

    /// Compare-and-swap of 1 to 8 bytes; the old value as wide as the access.
    fn cas(&mut self, size: Size, addr: Value, expected: Value, new: Value) -> Value {
        let (e, n) = (self.narrow(size, expected), self.narrow(size, new));
        let addr = self.place_of(addr, size, true);
        let flags = self.guest_flags();
        self.b.ins().atomic_cas(flags, addr, e, n)
    }

    /// 16 bytes: by the runtime, which also catches the fault.
    fn cas16(&mut self, addr: Value, expected: Val, new: Val) -> Repr {
        let (e, n) = (self.vec(expected), self.vec(new));
        let at = slot::SCRATCH.offset();
        self.store_state(e, at);
        self.store_state(n, at + 16);
        let zero = self.const64(0);
        self.call_may_exit(abi::cas16 as *const () as usize, &[addr, zero, zero, zero, zero]);
        Repr::Vec(self.load_state(types::I8X16, at))
    }

    fn cas_if(&mut self, ty: Ty, size: Size, c: Val, addr: Val, expected: Val, new: Val) -> Repr {
        let c = self.int(c);
        let (try_it, done) = (self.b.create_block(), self.b.create_block());
        let result = self.b.append_block_param(done, types::I8);
        let no = self.b.ins().iconst(types::I8, 0);
        // Values made for one arm only must not be remembered for after it.
        let addr = self.int(addr);
        if ty == Ty::V128 {
            self.vec(expected);
            self.vec(new);
        }
        self.b.ins().brif(c, try_it, &[], done, &[no.into()]);
        self.b.switch_to_block(try_it);
        let stored = if ty == Ty::V128 {
            let Repr::Vec(old) = self.cas16(addr, expected, new) else { unreachable!("cas16 gives a vector") };
            let e = self.vec(expected);
            let same = self.b.ins().icmp(IntCC::Equal, old, e);
            self.b.ins().vall_true(same)
        } else {
            let (expected, new) = (self.int(expected), self.int(new));
            let e = self.narrow(size, expected);
            let old = self.cas(size, addr, expected, new);
            self.b.ins().icmp(IntCC::Equal, old, e)
        };
        self.b.ins().jump(done, &[stored.into()]);
        self.b.switch_to_block(done);
        Repr::Int(result)
    }

    fn check_align(&mut self, rule: Align, size: Size, write: bool, addr: Value) {
        if size == Size::B1 {
            return;
        }
        let bad = match rule {
            Align::Natural => {
                let low = self.b.ins().band_imm_u(addr, size.bytes() as i64 - 1);
                self.b.ins().icmp_imm_u(IntCC::NotEqual, low, 0)
            }
            Align::Within16 => {
                let low = self.b.ins().band_imm_u(addr, 15);
                self.b.ins().icmp_imm_u(IntCC::UnsignedGreaterThan, low, 16 - size.bytes() as i64)
            }
        };
        let (cold, on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(cold);
        self.b.ins().brif(bad, cold, &[], on, &[]);
        self.b.switch_to_block(cold);
        // As after a host fault: the interpreter goes on from the checkpoint and meets the fault.
        let _ = write;
        self.leave_to_checkpoint();
        self.b.switch_to_block(on);
    }

    /// A locked operation on a word of our own: the cheapest full barrier of the host.
    fn full_fence(&mut self) {
        let flags = self.state_flags();
        let at = self.b.ins().iadd_imm_s(self.st, slot::SCRATCH.offset() as i64 + 15 * 8);
        let zero = self.const64(0);
        self.b.ins().atomic_rmw(types::I64, flags, AtomicRmwOp::Or, at, zero);
        self.b.ins().sequence_point();
    }
}

/// For each op: is it a plain 16-byte load of which only the halves are used?
pub(super) fn loads_of_halves(region: &Region) -> Vec<bool> {
    let mut halves: Vec<bool> = region
        .ops
        .iter()
        .map(|op| matches!(op, Op::Load { ty: Ty::V128, size: Size::B16, order: Order::Plain, .. }))
        .collect();
    for op in &region.ops {
        if !matches!(op, Op::VGet { lane: Lane::D, .. }) {
            op.for_each_arg(&mut |v| halves[v.index()] = false);
        }
    }
    halves
}

/// The CLIF type of an integer access.
fn access(size: Size) -> Type {
    match size {
        Size::B1 => types::I8,
        Size::B2 => types::I16,
        Size::B4 => types::I32,
        Size::B8 => types::I64,
        Size::B16 => types::I128,
    }
}
