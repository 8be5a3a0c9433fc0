//! Where values are: host registers, the spill area, or nowhere until somebody wants them.
//!
//! State is written through: a `Set` stores at once, so memory is exact at every guest instruction and a register may
//! be forgotten at any time. Registers only cache slots, and hold the values of ops still to be used.

use jib_ir::op::Op;
use jib_ir::region::Val;
use jib_ir::state::{STATE_WORDS, Slot, slot};
use jib_ir::ty::Ty;

use super::asm::{Mem, RBP, RBX, Reg};
use super::{BIAS, Quick, TooHard};

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loc {
    /// Computed where it is used: its op says how.
    Lazy,
    /// In a general register.
    Gpr(Reg),
    /// In a vector register.
    Xmm(Reg),
    /// In the spill area, from this state word on.
    Spill(u16),
}

/// What is known of a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value {
    pub(super) loc: Loc,
    /// Index of the last op that uses it; 0 if none does.
    pub(super) last_use: u32,
    /// An `I32` whose register has zeroes above it.
    pub(super) clean: bool,
}

/// One host register.
#[derive(Clone, Copy, Debug)]
struct Host {
    /// The slot whose content it holds, or [`NO_SLOT`].
    slot: u16,
    /// Index of the last op that uses a value in it.
    until: u32,
}

const NO_SLOT: u16 = u16::MAX;
/// `slot_reg` of a slot that is not in a register.
const NO_REG: u8 = u8::MAX;
/// Vector registers follow the general ones in [`Registers::host`].
const XMM: u8 = 16;

/// General registers that hold values. RAX, RCX, RDX and RSI are scratch, RBP and RDI the state.
const GPR_POOL: [Reg; 9] = [RBX, 8, 9, 10, 11, 12, 13, 14, 15];
/// Vector registers that hold values; the last two are scratch.
const XMM_POOL: [Reg; 14] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13];
/// Scratch vector registers.
pub(super) const XTMP: Reg = 15;
/// The other one.
pub(super) const XTMP2: Reg = 14;
/// Pool registers that a called function may change (all vector registers, too).
const CALLER_SAVED: [Reg; 4] = [8, 9, 10, 11];

/// State words for values that found no register.
const SPILL: std::ops::Range<u16> = slot::SPILL.0..STATE_WORDS as u16;

/// The registers and what they hold.
pub(super) struct Registers {
    host: [Host; 32],
    /// Host register of each cached slot.
    slot_reg: [u8; STATE_WORDS],
    /// Registers that the op being emitted works with.
    locked: u32,
    /// Those that have been taken since everything was forgotten.
    used: u32,
    /// For each word of the spill area, the last use of what is there.
    spill: [u32; SPILL.end as usize - SPILL.start as usize],
    /// Where the search for a victim goes on.
    hand: usize,
    /// Something has been put into the spill area since everything was forgotten.
    spilled: bool,
}

impl Default for Registers {
    fn default() -> Self {
        Registers {
            host: [Host { slot: NO_SLOT, until: 0 }; 32],
            slot_reg: [NO_REG; STATE_WORDS],
            locked: 0,
            used: 0,
            spill: [0; SPILL.end as usize - SPILL.start as usize],
            hand: 0,
            spilled: false,
        }
    }
}

impl Registers {
    /// Forgets everything, at the start of a block.
    pub(super) fn clear(&mut self) {
        while self.used != 0 {
            let host = self.used.trailing_zeros() as u8;
            self.drop_slot(host);
            self.host[host as usize].until = 0;
            self.used &= self.used - 1;
        }
        if std::mem::take(&mut self.spilled) {
            self.spill.fill(0);
        }
        self.locked = 0;
    }

    /// Lets go of the operands of the op before.
    pub(super) fn unlock(&mut self) {
        self.locked = 0;
    }

    fn drop_slot(&mut self, host: u8) {
        let h = &mut self.host[host as usize];
        if h.slot != NO_SLOT {
            self.slot_reg[h.slot as usize] = NO_REG;
            h.slot = NO_SLOT;
        }
    }
}

/// The address of state word `offset` bytes into the state.
pub(super) const fn state(offset: i32) -> Mem {
    Mem::at(RBP, offset - BIAS)
}

impl Quick<'_> {
    /// A general register for a new value, locked for this op.
    pub(super) fn new_gpr(&mut self) -> Result<Reg, TooHard> {
        self.take(&GPR_POOL, 0)
    }

    /// A vector register for a new value, locked for this op.
    pub(super) fn new_xmm(&mut self) -> Result<Reg, TooHard> {
        Ok(self.take(&XMM_POOL, XMM)? - XMM)
    }

    /// A register of `pool`: an empty one, else one that only caches, else one whose value is spilled.
    fn take(&mut self, pool: &[Reg], class: u8) -> Result<u8, TooHard> {
        let (now, locked) = (self.at, self.regs.locked);
        // Op 0 has no operands, so nothing lasts until there.
        let free = |h: &Host, r: u8| (h.until < now || h.until == 0) && locked >> r & 1 == 0;
        let (mut empty, mut victim) = (None, None);
        for (n, host) in pool.iter().map(|r| r + class).enumerate() {
            let h = &self.regs.host[host as usize];
            if !free(h, host) {
                continue;
            }
            if h.slot == NO_SLOT {
                empty = Some(host);
                break;
            }
            // The first one from the hand on.
            if victim.is_none_or(|(m, _)| m <= self.regs.hand && n > self.regs.hand) {
                victim = Some((n, host));
            }
        }
        let host = match (empty, victim) {
            (Some(host), _) => host,
            (None, Some((n, host))) => {
                self.regs.hand = n;
                host
            }
            (None, None) => {
                let furthest = pool
                    .iter()
                    .map(|r| r + class)
                    .filter(|h| locked >> h & 1 == 0)
                    .max_by_key(|h| self.regs.host[*h as usize].until);
                let host = furthest.ok_or(TooHard)?;
                self.spill(host)?;
                host
            }
        };
        self.regs.drop_slot(host);
        self.regs.host[host as usize].until = 0;
        self.regs.locked |= 1 << host;
        self.regs.used |= 1 << host;
        Ok(host)
    }

    /// Moves the values in register `host` to the spill area.
    fn spill(&mut self, host: u8) -> Result<(), TooHard> {
        let until = self.regs.host[host as usize].until;
        let width = if host >= XMM { 2 } else { 1 };
        let word = (0..self.regs.spill.len())
            .step_by(width)
            .find(|w| self.regs.spill[*w..*w + width].iter().all(|u| *u < self.at || *u == 0))
            .ok_or(TooHard)?;
        self.regs.spill[word..word + width].fill(until);
        self.regs.spilled = true;
        let word = SPILL.start + word as u16;
        let at = state(Slot(word).offset());
        let here = if host >= XMM {
            self.asm.store_vec(at, host - XMM);
            Loc::Xmm(host - XMM)
        } else {
            self.asm.store(at, host);
            Loc::Gpr(host)
        };
        let (start, now) = (self.block_start, self.at);
        for v in &mut self.vals[start as usize..now as usize] {
            if v.loc == here && v.last_use >= now {
                v.loc = Loc::Spill(word);
            }
        }
        self.regs.host[host as usize].until = 0;
        Ok(())
    }

    /// Says that value `v` is now in general register `r`.
    pub(super) fn put_gpr(&mut self, v: u32, r: Reg) {
        self.vals[v as usize].loc = Loc::Gpr(r);
        self.hold(r, self.vals[v as usize].last_use);
    }

    /// Says that value `v` is now in vector register `r`.
    pub(super) fn put_xmm(&mut self, v: u32, r: Reg) {
        self.vals[v as usize].loc = Loc::Xmm(r);
        self.hold(r + XMM, self.vals[v as usize].last_use);
    }

    fn hold(&mut self, host: u8, until: u32) {
        let h = &mut self.regs.host[host as usize];
        h.until = h.until.max(until);
        self.regs.locked |= 1 << host;
    }

    /// Says that the op's value is that of `v`.
    pub(super) fn alias(&mut self, v: Val) -> Result<(), TooHard> {
        let at = self.at;
        if self.ty(v) == Some(Ty::V128) {
            let r = self.xmm(v)?;
            self.put_xmm(at, r);
        } else {
            let r = self.gpr(v)?;
            self.put_gpr(at, r);
        }
        Ok(())
    }

    /// Keeps `v`, and what it will be computed from, until op `until`.
    pub(super) fn extend(&mut self, v: Val, until: u32) {
        let value = &mut self.vals[v.index()];
        if v == Val::NONE || value.last_use >= until {
            return;
        }
        value.last_use = until;
        match value.loc {
            Loc::Gpr(r) => self.regs.host[r as usize].until = self.regs.host[r as usize].until.max(until),
            Loc::Xmm(r) => {
                let h = &mut self.regs.host[(r + XMM) as usize];
                h.until = h.until.max(until);
            }
            Loc::Spill(w) => {
                let width = if self.ty(v) == Some(Ty::V128) { 2 } else { 1 };
                let at = (w - SPILL.start) as usize;
                for u in &mut self.regs.spill[at..at + width] {
                    *u = (*u).max(until);
                }
            }
            Loc::Lazy => {
                let op = self.region.ops[v.index()];
                op.for_each_arg(&mut |a| self.extend(a, until));
            }
        }
    }

    /// Leaves the op being emitted to be computed by its users: its operands must live as long as it does.
    pub(super) fn defer(&mut self, op: &Op) {
        let until = self.vals[self.at as usize].last_use;
        op.for_each_arg(&mut |a| self.extend(a, until));
    }

    /// The integer `v` in a general register, which must not be changed.
    pub(super) fn gpr(&mut self, v: Val) -> Result<Reg, TooHard> {
        let r = match self.vals[v.index()].loc {
            Loc::Gpr(r) => r,
            Loc::Spill(w) => {
                let r = self.new_gpr()?;
                self.asm.load(r, state(Slot(w).offset()));
                self.put_gpr(v.0, r);
                r
            }
            Loc::Lazy => {
                let r = self.materialize(v)?;
                self.put_gpr(v.0, r);
                r
            }
            Loc::Xmm(_) => return Err(TooHard),
        };
        self.regs.locked |= 1 << r;
        Ok(r)
    }

    /// The vector `v` in a vector register, which must not be changed.
    pub(super) fn xmm(&mut self, v: Val) -> Result<Reg, TooHard> {
        let r = match self.vals[v.index()].loc {
            Loc::Xmm(r) => r,
            Loc::Spill(w) => {
                let r = self.new_xmm()?;
                self.asm.load_vec(r, state(Slot(w).offset()));
                self.put_xmm(v.0, r);
                r
            }
            Loc::Lazy => {
                let Op::VImm { lo, hi } = self.region.ops[v.index()] else { return Err(TooHard) };
                let r = self.new_xmm()?;
                self.vector_constant(r, lo, hi);
                self.put_xmm(v.0, r);
                r
            }
            Loc::Gpr(_) => return Err(TooHard),
        };
        self.regs.locked |= 1 << (r + XMM);
        Ok(r)
    }

    /// A general register that holds `v` and may be changed to the op's value: `v`'s own if nobody wants it any more.
    pub(super) fn gpr_for_result(&mut self, v: Val, wide: bool) -> Result<Reg, TooHard> {
        let r = self.gpr(v)?;
        if self.dies_here(r) {
            self.regs.drop_slot(r);
            return Ok(r);
        }
        let d = self.new_gpr()?;
        self.asm.mov(wide, d, r);
        Ok(d)
    }

    /// The same for vectors.
    pub(super) fn xmm_for_result(&mut self, v: Val) -> Result<Reg, TooHard> {
        let r = self.xmm(v)?;
        if self.dies_here(r + XMM) {
            self.regs.drop_slot(r + XMM);
            return Ok(r);
        }
        let d = self.new_xmm()?;
        self.asm.movdqa(d, r);
        Ok(d)
    }

    /// Is this op the last use of register `host`, whose slot is not worth keeping?
    fn dies_here(&self, host: u8) -> bool {
        let h = &self.regs.host[host as usize];
        if h.until > self.at {
            return false;
        }
        h.slot == NO_SLOT
            || matches!(self.region.ops.get(self.at as usize + 1),
                Some(Op::Set { slot, v, .. }) if slot.0 == h.slot && v.0 == self.at)
    }

    /// `Get`.
    pub(super) fn get(&mut self, ty: Ty, s: Slot) -> Result<(), TooHard> {
        let at = self.at;
        match (ty, cached_class(s)) {
            (Ty::I32 | Ty::I64, Some(Class::Word)) => {
                let r = match self.regs.slot_reg[s.0 as usize] {
                    NO_REG => {
                        let r = self.new_gpr()?;
                        self.asm.load(r, state(s.offset()));
                        self.cache(r, s);
                        r
                    }
                    r => r,
                };
                self.put_gpr(at, r);
            }
            (Ty::V128, Some(Class::Vec)) => {
                let r = match self.regs.slot_reg[s.0 as usize] {
                    NO_REG => {
                        let r = self.new_xmm()?;
                        self.asm.load_vec(r, state(s.offset()));
                        self.cache(r + XMM, s);
                        r
                    }
                    host => host - XMM,
                };
                self.put_xmm(at, r);
            }
            (Ty::V128, _) => {
                let r = self.new_xmm()?;
                self.asm.load_vec(r, state(s.offset()));
                self.put_xmm(at, r);
            }
            (Ty::Flags, _) => {
                let r = self.new_gpr()?;
                self.load_flags(r, s);
                self.put_gpr(at, r);
            }
            (Ty::I32 | Ty::I64 | Ty::Bool, _) => {
                if s == slot::FPSR {
                    self.sync_fpsr()?;
                }
                let r = self.new_gpr()?;
                self.asm.load(r, state(s.offset()));
                if ty == Ty::Bool {
                    self.asm.alu_imm(super::asm::Alu::And, false, r, 1);
                }
                self.put_gpr(at, r);
            }
        }
        Ok(())
    }

    /// `Set`: stores, and remembers the register.
    pub(super) fn set(&mut self, ty: Ty, s: Slot, v: Val) -> Result<(), TooHard> {
        let place = state(s.offset());
        match ty {
            Ty::Flags => return self.set_flags(v, s),
            Ty::V128 => {
                let r = self.xmm(v)?;
                self.asm.store_vec(place, r);
                self.forget(s, 2);
                if cached_class(s) == Some(Class::Vec) {
                    self.cache(r + XMM, s);
                }
            }
            Ty::I32 | Ty::I64 | Ty::Bool => {
                if s == slot::FPSR {
                    self.sync_fpsr()?;
                }
                let small = self.imm(v).and_then(|v| i32::try_from(v as i64).ok());
                if let Some(small) = small.filter(|_| self.vals[v.index()].loc == Loc::Lazy) {
                    self.asm.store_imm(place, small);
                    self.forget(s, 1);
                    return Ok(());
                }
                let mut r = self.gpr(v)?;
                if ty == Ty::I32 && !self.vals[v.index()].clean {
                    let d = self.new_gpr()?;
                    self.asm.mov(false, d, r);
                    r = d;
                }
                self.asm.store(place, r);
                self.forget(s, 1);
                if cached_class(s) == Some(Class::Word) {
                    self.cache(r, s);
                }
            }
        }
        Ok(())
    }

    /// Remembers that register `host` holds slot `s`, unless it holds another.
    fn cache(&mut self, host: u8, s: Slot) {
        if self.regs.host[host as usize].slot == NO_SLOT {
            self.regs.host[host as usize].slot = s.0;
            self.regs.slot_reg[s.0 as usize] = host;
        }
    }

    /// Forgets registers that hold any of `words` state words from `s` on.
    fn forget(&mut self, s: Slot, words: u16) {
        // A vector slot begins one word before its second half.
        for w in s.0.saturating_sub(1)..s.0 + words {
            let host = self.regs.slot_reg[w as usize];
            if host != NO_REG && (w >= s.0 || host >= XMM) {
                self.regs.drop_slot(host);
            }
        }
    }

    /// Before a call that may change caller-saved registers: spills what is in them. `state_too`: it may change state, so
    /// nothing is cached across it. `operands_too`: this op's operands are wanted after it.
    pub(super) fn before_call(&mut self, state_too: bool, operands_too: bool) -> Result<(), TooHard> {
        for host in CALLER_SAVED.into_iter().chain(XMM..XMM + 16) {
            if self.regs.host[host as usize].until >= self.at + u32::from(!operands_too) {
                self.spill(host)?;
            }
            self.regs.drop_slot(host);
            self.regs.host[host as usize].until = 0;
        }
        if state_too {
            for host in GPR_POOL {
                self.regs.drop_slot(host);
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Word,
    Vec,
}

/// How `s` is cached: general and vector registers are, the rest is not.
fn cached_class(s: Slot) -> Option<Class> {
    match s.0 {
        0..=31 => Some(Class::Word),
        n if (slot::V0.0..slot::V0.0 + 64).contains(&n) && (n - slot::V0.0).is_multiple_of(2) => Some(Class::Vec),
        _ => None,
    }
}
