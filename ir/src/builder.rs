//! Appends ops to a region under construction: the lifter's vocabulary.

use std::ops::Range;

use crate::op::*;
use crate::region::{Block, BlockId, InsnMark, Key, Region, Val};
use crate::softfloat::Fmt;
use crate::state::{Slot, slot};
use crate::ty::*;

/// Builds a [`Region`] block by block.
#[derive(Debug)]
pub struct Builder {
    region: Region,
    /// First op of the block being built.
    start: u32,
    block_pc: u64,
    insns: u32,
}

impl Builder {
    /// Starts a region for `key`, with room for the ops of `insns` guest instructions to begin with.
    pub fn new(key: Key, insns: usize) -> Builder {
        Builder::reusing(Region::default(), key, insns)
    }

    /// The same in the memory of `region`, which is not wanted any more.
    pub fn reusing(mut region: Region, key: Key, insns: usize) -> Builder {
        region.key = key;
        region.blocks.clear();
        region.ops.clear();
        region.ops.reserve(5 * insns + 4);
        region.marks.clear();
        region.marks.reserve(insns);
        Builder { region, start: 0, block_pc: key.pc, insns: 0 }
    }

    /// Opens the next block, for guest address `pc`. Blocks get ids in order.
    #[inline]
    pub fn begin_block(&mut self, pc: u64) {
        debug_assert_eq!(self.start as usize, self.region.ops.len(), "the block before must be ended");
        self.block_pc = pc;
        self.insns = 0;
    }

    /// Marks the start of the guest instruction at `pc`.
    #[inline]
    pub fn begin_insn(&mut self, pc: u64) {
        self.insns += 1;
        let op = self.region.ops.len() as u32;
        self.region.marks.push(InsnMark::new(op, pc));
    }

    /// Closes the block with its terminator.
    #[inline]
    pub fn end_block(&mut self, end: Op) {
        debug_assert_eq!(end.effect(), Effect::End);
        self.region.ops.push(end);
        let stop = self.region.ops.len() as u32;
        self.region.blocks.push(Block { pc: self.block_pc, ops: self.start..stop, insns: self.insns });
        self.start = stop;
    }

    /// Has the block being built been closed already?
    #[inline]
    pub fn ended(&self) -> bool {
        self.start as usize == self.region.ops.len()
    }

    /// The finished region; `entries` and the `code` of its blocks as the lifter knows them.
    pub fn finish(
        mut self,
        entries: impl IntoIterator<Item = BlockId>,
        code: impl IntoIterator<Item = Range<u64>>,
    ) -> Region {
        self.region.entries.clear();
        self.region.entries.extend(entries);
        let ranges = &mut self.region.code;
        ranges.clear();
        ranges.extend(code);
        ranges.sort_unstable_by_key(|r| r.start);
        ranges.dedup_by(|next, prev| {
            let touches = next.start <= prev.end;
            if touches {
                prev.end = prev.end.max(next.end);
            }
            touches
        });
        self.region
    }

    /// Appends `op`; its value, if it has one.
    #[inline]
    pub fn push(&mut self, op: Op) -> Val {
        let v = Val(self.region.ops.len() as u32);
        self.region.ops.push(op);
        v
    }

    /// The op that defines `v`.
    #[inline]
    pub fn op(&self, v: Val) -> &Op {
        &self.region.ops[v.index()]
    }

    /// The constant behind `v`, if it is an integer constant.
    #[inline]
    pub fn const_of(&self, v: Val) -> Option<u64> {
        match *self.op(v) {
            Op::Imm { v, .. } => Some(v),
            _ => None,
        }
    }

    /// The type of `v`.
    #[inline]
    pub fn ty(&self, v: Val) -> Ty {
        self.op(v).ty().unwrap_or(Ty::I64)
    }
}

/// Constants and state.
impl Builder {
    /// An integer constant.
    #[inline]
    pub fn imm(&mut self, ty: Ty, v: u64) -> Val {
        self.push(Op::Imm { ty, v: if ty == Ty::I32 { v & 0xffff_ffff } else { v } })
    }
    /// A 64-bit constant.
    #[inline]
    pub fn imm64(&mut self, v: u64) -> Val {
        self.imm(Ty::I64, v)
    }
    /// A vector constant.
    pub fn vimm(&mut self, v: u128) -> Val {
        self.push(Op::VImm { lo: v as u64, hi: (v >> 64) as u64 })
    }
    /// Reads state.
    #[inline]
    pub fn get(&mut self, ty: Ty, slot: Slot) -> Val {
        self.push(Op::Get { ty, slot })
    }
    /// Writes state with the value's own type.
    #[inline]
    pub fn set(&mut self, slot: Slot, v: Val) {
        let ty = self.ty(v);
        self.push(Op::Set { ty, slot, v });
    }
    /// The current flags.
    #[inline]
    pub fn get_flags(&mut self) -> Val {
        self.get(Ty::Flags, slot::FLAGS)
    }
    /// Replaces the flags.
    #[inline]
    pub fn set_flags(&mut self, f: Val) {
        self.set(slot::FLAGS, f);
    }
}

/// Integers.
impl Builder {
    /// Any two-operand integer op, typed by its first operand.
    #[inline]
    pub fn bin(&mut self, op: BinOp, a: Val, b: Val) -> Val {
        let ty = self.ty(a);
        self.push(Op::Bin { op, ty, a, b })
    }
    /// Any one-operand integer op.
    pub fn un(&mut self, op: UnOp, a: Val) -> Val {
        let ty = self.ty(a);
        self.push(Op::Un { op, ty, a })
    }
    /// `a + b`.
    #[inline]
    pub fn add(&mut self, a: Val, b: Val) -> Val {
        self.bin(BinOp::Add, a, b)
    }
    /// `a + imm`; `a` itself when `imm` is 0.
    #[inline]
    pub fn add_imm(&mut self, a: Val, imm: i64) -> Val {
        if imm == 0 {
            return a;
        }
        let ty = self.ty(a);
        let b = self.imm(ty, imm as u64);
        self.add(a, b)
    }
    /// `a - b`.
    pub fn sub(&mut self, a: Val, b: Val) -> Val {
        self.bin(BinOp::Sub, a, b)
    }
    /// `a * b`.
    pub fn mul(&mut self, a: Val, b: Val) -> Val {
        self.bin(BinOp::Mul, a, b)
    }
    /// `a & b`.
    pub fn and(&mut self, a: Val, b: Val) -> Val {
        self.bin(BinOp::And, a, b)
    }
    /// `a & imm`.
    pub fn and_imm(&mut self, a: Val, imm: u64) -> Val {
        let ty = self.ty(a);
        let b = self.imm(ty, imm);
        self.and(a, b)
    }
    /// `a | b`.
    pub fn or(&mut self, a: Val, b: Val) -> Val {
        self.bin(BinOp::Or, a, b)
    }
    /// `a ^ b`.
    pub fn xor(&mut self, a: Val, b: Val) -> Val {
        self.bin(BinOp::Xor, a, b)
    }
    /// `!a`.
    pub fn not(&mut self, a: Val) -> Val {
        self.un(UnOp::Not, a)
    }
    /// Shift or rotate by a constant; `a` itself for 0.
    #[inline]
    pub fn shift_imm(&mut self, op: BinOp, a: Val, count: u32) -> Val {
        if count == 0 {
            return a;
        }
        let ty = self.ty(a);
        let b = self.imm(ty, count as u64);
        self.bin(op, a, b)
    }
    /// Zero-extends (or truncates) the low `bits` of `a` to `ty`.
    #[inline]
    pub fn zext(&mut self, ty: Ty, bits: u32, a: Val) -> Val {
        self.push(Op::Ext { ty, signed: false, bits: bits as u8, a })
    }
    /// Sign-extends the low `bits` of `a` to `ty`.
    pub fn sext(&mut self, ty: Ty, bits: u32, a: Val) -> Val {
        self.push(Op::Ext { ty, signed: true, bits: bits as u8, a })
    }
    /// `a` as `ty`: zero-extended or truncated; unchanged if it has that type.
    #[inline]
    pub fn to_ty(&mut self, ty: Ty, a: Val) -> Val {
        match (self.ty(a), ty) {
            (x, y) if x == y => a,
            _ => self.zext(ty, 32, a),
        }
    }
    /// Compares two integers.
    pub fn cmp(&mut self, cc: Cc, a: Val, b: Val) -> Val {
        let ty = self.ty(a);
        self.push(Op::Cmp { cc, ty, a, b })
    }
    /// Is `a` zero?
    pub fn is_zero(&mut self, a: Val) -> Val {
        let ty = self.ty(a);
        let z = self.imm(ty, 0);
        self.cmp(Cc::Eq, a, z)
    }
    /// Is bit `bit` of `a` set?
    pub fn test_bit(&mut self, a: Val, bit: u8) -> Val {
        let ty = self.ty(a);
        self.push(Op::TestBit { ty, a, bit })
    }
    /// `!c`.
    pub fn bnot(&mut self, c: Val) -> Val {
        self.push(Op::BNot { c })
    }
    /// 1 or 0.
    pub fn from_bool(&mut self, ty: Ty, c: Val) -> Val {
        self.push(Op::FromBool { ty, c })
    }
    /// `c ? a : b`.
    pub fn select(&mut self, c: Val, a: Val, b: Val) -> Val {
        let ty = self.ty(a);
        self.push(Op::Select { ty, c, a, b })
    }
    /// Flags of `op(a, b)`.
    pub fn flags(&mut self, op: FlagOp, a: Val, b: Val) -> Val {
        let ty = self.ty(a);
        self.push(Op::Flags { op, ty, a, b })
    }
    /// Flags of a logical result.
    pub fn flags_logic(&mut self, a: Val) -> Val {
        let ty = self.ty(a);
        self.push(Op::FlagsLogic { ty, a })
    }
    /// A condition on the current flags.
    #[inline]
    pub fn cond(&mut self, cond: Cond) -> Val {
        if matches!(cond, Cond::Al | Cond::Nv) {
            return self.push(Op::Imm { ty: Ty::Bool, v: 1 });
        }
        let f = self.get_flags();
        self.push(Op::Cond { cond, f })
    }
}

/// Memory and helpers.
impl Builder {
    /// Plain load.
    #[inline]
    pub fn load(&mut self, ty: Ty, size: Size, addr: Val) -> Val {
        self.push(Op::Load { ty, size, order: Order::Plain, addr })
    }
    /// Plain store.
    #[inline]
    pub fn store(&mut self, size: Size, addr: Val, v: Val) {
        let ty = self.ty(v);
        self.push(Op::Store { ty, size, order: Order::Plain, addr, v });
    }
    /// Calls helper `helper` with up to four `I64` arguments.
    pub fn call(&mut self, helper: u16, args: &[Val]) -> Val {
        let arg = |i: usize| args.get(i).copied().unwrap_or(Val::NONE);
        self.push(Op::Call { helper, a: arg(0), b: arg(1), c: arg(2), d: arg(3) })
    }
}

/// Vectors.
impl Builder {
    /// Lane `idx` of `v` as `I64`.
    pub fn vget(&mut self, lane: Lane, idx: u32, v: Val) -> Val {
        self.push(Op::VGet { lane, idx: idx as u8, v })
    }
    /// `v` with lane `idx` replaced by `x` (`I64`).
    pub fn vset(&mut self, lane: Lane, idx: u32, v: Val, x: Val) -> Val {
        self.push(Op::VSet { lane, idx: idx as u8, v, x })
    }
    /// `x` (`I64`) in every lane.
    pub fn vdup(&mut self, lane: Lane, x: Val) -> Val {
        self.push(Op::VDup { lane, x })
    }
    /// Lane `idx` of `v` in every lane.
    pub fn vdup_lane(&mut self, lane: Lane, idx: u32, v: Val) -> Val {
        self.push(Op::VDupLane { lane, idx: idx as u8, v })
    }
    /// Keeps the low `bytes` bytes; 16 keeps all.
    pub fn vzero_hi(&mut self, bytes: u32, v: Val) -> Val {
        if bytes == 16 { v } else { self.push(Op::VZeroHi { bytes: bytes as u8, v }) }
    }
    /// The high half moved low.
    pub fn vhigh(&mut self, v: Val) -> Val {
        self.push(Op::VHigh { v })
    }
    /// `hi:lo` of two `I64`.
    pub fn vpair(&mut self, lo: Val, hi: Val) -> Val {
        self.push(Op::VPair { lo, hi })
    }
    /// Lane-wise op of two vectors.
    pub fn vbin(&mut self, op: VBinOp, lane: Lane, a: Val, b: Val) -> Val {
        self.push(Op::VBin { op, lane, a, b })
    }
    /// Lane-wise op of one vector.
    pub fn vun(&mut self, op: VUnOp, lane: Lane, a: Val) -> Val {
        self.push(Op::VUn { op, lane, a })
    }
    /// Shift of each lane.
    pub fn vshift(&mut self, op: VShiftOp, lane: Lane, imm: u32, a: Val) -> Val {
        self.push(Op::VShift { op, lane, imm: imm as u8, a })
    }
    /// `a & b`.
    pub fn vand(&mut self, a: Val, b: Val) -> Val {
        self.push(Op::VAnd { a, b })
    }
    /// `a | b`.
    pub fn vor(&mut self, a: Val, b: Val) -> Val {
        self.push(Op::VOr { a, b })
    }
    /// `a ^ b`.
    pub fn vxor(&mut self, a: Val, b: Val) -> Val {
        self.push(Op::VXor { a, b })
    }
    /// `!a`.
    pub fn vnot(&mut self, a: Val) -> Val {
        self.push(Op::VNot { a })
    }
    /// Bitwise select.
    pub fn vbsl(&mut self, mask: Val, a: Val, b: Val) -> Val {
        self.push(Op::VBsl { mask, a, b })
    }
    /// FP op of two operands.
    pub fn fbin(&mut self, op: FBinOp, fmt: Fmt, shape: Shape, a: Val, b: Val) -> Val {
        self.push(Op::FBin { op, fmt, shape, a, b })
    }
    /// FP op of one operand.
    pub fn fun(&mut self, op: FUnOp, fmt: Fmt, shape: Shape, a: Val) -> Val {
        self.push(Op::FUn { op, fmt, shape, a })
    }
    /// FP sign op.
    pub fn fsign(&mut self, op: FSignOp, fmt: Fmt, shape: Shape, a: Val) -> Val {
        self.push(Op::FSign { op, fmt, shape, a })
    }
    /// Fused multiply-add.
    pub fn fmuladd(&mut self, fmt: Fmt, shape: Shape, acc: Val, a: Val, b: Val) -> Val {
        self.push(Op::FMulAdd { fmt, shape, acc, a, b })
    }
}
