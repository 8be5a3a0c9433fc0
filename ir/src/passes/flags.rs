//! Conditions on flags whose origin is known become comparisons of the operands.
//!
//! The promise: what is left alone are overflow, the carry and order of additions, and flags read from state.

use super::{Room, fold, renumber};
use crate::op::{BinOp, FlagOp, Op};
use crate::region::{Region, Val};
use crate::ty::{Cc, Cond, Ty};

/// Ops to be put in, in the order of their places. The value of the n-th one is written as `Val(ops.len() + n)`.
struct Insertions<'a> {
    ops: &'a [Op],
    new: Vec<(u32, Op)>,
    /// The op that they are put before.
    at: u32,
    /// First op of its block.
    start: u32,
}

/// Runs the pass.
pub(super) fn run(region: &mut Region, room: &mut Room) {
    let mut replaced = std::mem::take(&mut room.replaced);
    let mut insertions = Insertions { ops: &region.ops, new: std::mem::take(&mut room.inserted), at: 0, start: 0 };
    for block in &region.blocks {
        insertions.start = block.ops.start;
        for at in block.ops.clone() {
            if let Op::Cond { cond, f } = region.ops[at as usize] {
                insertions.at = at;
                replaced.extend(insertions.condition(cond, f).map(|op| (at, op)));
            }
        }
    }
    let mut new = insertions.new;
    for &(at, op) in &replaced {
        region.ops[at as usize] = op;
    }
    insert(region, &new, room);
    // What has come may be simpler still, and so may what follows, which is mostly what uses it.
    for &(at, _) in &replaced {
        let at = if new.is_empty() { at } else { room.index[at as usize] } as usize;
        for i in at..region.ops.len().min(at + 2) {
            let (before, rest) = region.ops.split_at_mut(i);
            fold::step(before, &mut rest[0]);
        }
    }
    new.clear();
    replaced.clear();
    (room.inserted, room.replaced) = (new, replaced);
}

/// The width's sign bit.
fn sign_bit(ty: Ty) -> u8 {
    if ty == Ty::I32 { 31 } else { 63 }
}

impl Insertions<'_> {
    fn put(&mut self, op: Op) -> Val {
        self.new.push((self.at, op));
        Val((self.ops.len() + self.new.len() - 1) as u32)
    }

    fn zero(&mut self, ty: Ty) -> Val {
        self.put(Op::Imm { ty, v: 0 })
    }

    /// The result of `op`, from close to the flags `f` that were made with it if it is there.
    fn result(&mut self, op: Op, f: Val) -> Val {
        let near = f.0.saturating_sub(4).max(self.start)..(f.0 + 4).min(self.at);
        match near.into_iter().find(|&i| self.ops[i as usize] == op) {
            Some(i) => Val(i),
            None => self.put(op),
        }
    }

    /// The op that tells whether `f` satisfies `cond`.
    fn condition(&mut self, cond: Cond, f: Val) -> Option<Op> {
        if matches!(cond, Cond::Al | Cond::Nv) {
            return Some(constant(true));
        }
        match self.ops[f.index()] {
            Op::Flags { op: FlagOp::Sub, ty, a, b } => self.after_sub(cond, ty, (a, b), f),
            Op::Flags { op: FlagOp::Add, ty, a, b } => self.after_add(cond, ty, (a, b), f),
            Op::FlagsLogic { ty, a } => self.after_logic(cond, ty, a),
            Op::Select { c, a, b, .. } => self.after_select(cond, c, [a, b]),
            Op::Imm { v, .. } => Some(constant(cond.holds(v as u32))),
            _ => None,
        }
    }

    fn after_sub(&mut self, cond: Cond, ty: Ty, (a, b): (Val, Val), f: Val) -> Option<Op> {
        let (cc, a, b) = match cond {
            Cond::Eq => (Cc::Eq, a, b),
            Cond::Ne => (Cc::Ne, a, b),
            Cond::Cs => (Cc::Ule, b, a),
            Cond::Cc => (Cc::Ult, a, b),
            Cond::Hi => (Cc::Ult, b, a),
            Cond::Ls => (Cc::Ule, a, b),
            Cond::Ge => (Cc::Sle, b, a),
            Cond::Lt => (Cc::Slt, a, b),
            Cond::Gt => (Cc::Slt, b, a),
            Cond::Le => (Cc::Sle, a, b),
            Cond::Mi | Cond::Pl => {
                let r = self.result(Op::Bin { op: BinOp::Sub, ty, a, b }, f);
                return self.after_logic(cond, ty, r);
            }
            Cond::Vs | Cond::Vc | Cond::Al | Cond::Nv => return None,
        };
        Some(Op::Cmp { cc, ty, a, b })
    }

    fn after_add(&mut self, cond: Cond, ty: Ty, (a, b): (Val, Val), f: Val) -> Option<Op> {
        if !matches!(cond, Cond::Eq | Cond::Ne | Cond::Mi | Cond::Pl | Cond::Cs | Cond::Cc) {
            return None;
        }
        let r = self.result(Op::Bin { op: BinOp::Add, ty, a, b }, f);
        match cond {
            Cond::Cs => Some(Op::Cmp { cc: Cc::Ult, ty, a: r, b: a }),
            Cond::Cc => Some(Op::Cmp { cc: Cc::Ule, ty, a, b: r }),
            _ => self.after_logic(cond, ty, r),
        }
    }

    /// Of a result `a`; C and V are clear.
    fn after_logic(&mut self, cond: Cond, ty: Ty, a: Val) -> Option<Op> {
        let cmp = |cc, a, b| Op::Cmp { cc, ty, a, b };
        Some(match cond {
            Cond::Eq => cmp(Cc::Eq, a, self.zero(ty)),
            Cond::Ne => cmp(Cc::Ne, a, self.zero(ty)),
            Cond::Mi | Cond::Lt => Op::TestBit { ty, a, bit: sign_bit(ty) },
            Cond::Pl | Cond::Ge => cmp(Cc::Sle, self.zero(ty), a),
            Cond::Gt => cmp(Cc::Slt, self.zero(ty), a),
            Cond::Le => cmp(Cc::Sle, a, self.zero(ty)),
            Cond::Cs | Cond::Hi | Cond::Vs => constant(false),
            Cond::Cc | Cond::Ls | Cond::Vc | Cond::Al | Cond::Nv => constant(true),
        })
    }

    /// Of one of two flags, as a conditional compare leaves them: the condition of each, selected.
    fn after_select(&mut self, cond: Cond, c: Val, arms: [Val; 2]) -> Option<Op> {
        // Flags chosen among chosen ones are not looked into, lest the work grow with the square of the chain.
        if arms.iter().any(|v| matches!(self.ops[v.index()], Op::Select { .. })) {
            return None;
        }
        let known = arms.map(|f| self.condition(cond, f));
        if known == [None, None] {
            return None;
        }
        let [a, b] = [0, 1].map(|i| known[i].unwrap_or(Op::Cond { cond, f: arms[i] }));
        let is_false = b == constant(false);
        let a = self.put(a);
        if is_false {
            return Some(Op::BAnd { a: c, b: a });
        }
        let b = self.put(b);
        Some(Op::Select { ty: Ty::Bool, c, a, b })
    }
}

const fn constant(c: bool) -> Op {
    Op::Imm { ty: Ty::Bool, v: c as u64 }
}

/// Puts `new` ops in their places.
fn insert(region: &mut Region, new: &[(u32, Op)], room: &mut Room) {
    let Some(&(first, _)) = new.first() else { return };
    let Room { ops: old, index, place, .. } = room;
    old.clear();
    std::mem::swap(old, &mut region.ops);
    region.ops.reserve(old.len() + new.len());
    region.ops.extend_from_slice(&old[..first as usize]);
    // Where each old op, then each new one, went.
    index.clear();
    index.extend(0..first);
    index.resize(old.len() + new.len(), 0);
    // Where what was before each old op went.
    place.clear();
    place.extend(0..first);
    let mut pending = new.iter().enumerate().peekable();
    for (at, op) in old.iter().enumerate().skip(first as usize) {
        place.push(region.ops.len() as u32);
        let mut append = |mut op: Op, number: usize| {
            op.map_args(&mut |v| Val(index[v.index()]));
            index[number] = region.ops.len() as u32;
            region.ops.push(op);
        };
        while let Some((n, (_, op))) = pending.next_if(|(_, (before, _))| *before as usize == at) {
            append(*op, old.len() + n);
        }
        append(*op, at);
    }
    renumber(region, place);
}
