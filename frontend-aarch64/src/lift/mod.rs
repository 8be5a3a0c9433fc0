//! From instruction words to a region: where blocks begin and end, and how they are linked.

pub(crate) mod access;
pub(crate) mod alu;
pub(crate) mod alu_bits;
pub(crate) mod alu_flags;
pub(crate) mod alu_mul;
pub(crate) mod atomic;
pub(crate) mod atomic_exclusive;
pub(crate) mod branch;
pub(crate) mod crypto;
mod discover;
pub(crate) mod fp;
pub(crate) mod fp_convert;
pub(crate) mod load_store;
pub(crate) mod load_store_pair;
pub(crate) mod mops;
pub(crate) mod operand;
pub(crate) mod pauth;
pub(crate) mod privileged;
pub(crate) mod simd;
pub(crate) mod simd_element;
pub(crate) mod simd_fp;
pub(crate) mod simd_fp_complex;
pub(crate) mod simd_fp_element;
pub(crate) mod simd_fp_misc;
pub(crate) mod simd_imm;
pub(crate) mod simd_load_store;
pub(crate) mod simd_long;
pub(crate) mod simd_misc;
pub(crate) mod simd_permute;
pub(crate) mod simd_shift;
pub(crate) mod simd_three;
pub(crate) mod system;
pub(crate) mod system_reg;

use std::ops::{Deref, DerefMut};

use jib_ir::builder::Builder;
use jib_ir::guest::{Fetch, Limit};
use jib_ir::op::{ExitKind, Op, Trap};
use jib_ir::region::{BlockId, Key, Region, Val};
use jib_ir::runtime::Fault;

use crate::cpu::Profile;
use crate::decode::decode;
use crate::isa::gates;
use crate::system::state::MODE_FP_OFF;
use discover::{BlockSpan, Blocks, discover};

/// What lifting one instruction came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lifted {
    /// Goes on with the next instruction.
    Next,
    /// Jumps to a known address.
    Jump(u64),
    /// Jumps to `taken` if `c`, else goes on.
    Branch {
        /// The condition.
        c: Val,
        /// Target when it holds.
        taken: u64,
    },
    /// Ends the block with this terminator.
    End(Op),
    /// Unallocated: raises Undefined. Nothing that was built for the instruction may have an effect.
    Undefined,
}

/// The builder as instruction semantics see it: with the instruction's own address and mode.
/// Dereferences to [`Builder`].
#[derive(Debug)]
pub struct Lifter {
    b: Builder,
    /// Address of the instruction being lifted.
    pub pc: u64,
    /// The instruction word.
    pub word: u32,
    /// Mode of the translation ([`Key::mode`]).
    pub mode: u32,
}

impl Deref for Lifter {
    type Target = Builder;
    fn deref(&self) -> &Builder {
        &self.b
    }
}
impl DerefMut for Lifter {
    fn deref_mut(&mut self) -> &mut Builder {
        &mut self.b
    }
}

impl Lifter {
    /// The processor that the translation is for.
    pub(crate) fn profile(&self) -> Profile {
        Profile::of_mode(self.mode)
    }
}

/// Translates the code at `key.pc`, following direct branches as far as `limit` allows, in the place of `region`.
pub fn lift(region: &mut Region, key: Key, code: &dyn Fetch, limit: Limit) -> Result<(), Fault> {
    let mut blocks = Blocks::default();
    discover(&mut blocks, key.pc, code, limit)?;
    let room = std::mem::take(region);
    let mut l = Lifter { b: Builder::reusing(room, key, blocks.insns()), pc: key.pc, word: 0, mode: key.mode };
    // Targets outside the region get a block of their own that leaves for them.
    let mut outside: Vec<u64> = Vec::new();
    for span in &blocks.spans {
        lift_block(&mut l, span, &blocks, &mut outside);
    }
    for pc in outside {
        l.begin_block(pc);
        l.end_block(Op::Exit { pc, kind: ExitKind::Jump });
    }
    let spans = blocks.spans.iter().enumerate();
    let entries = spans.filter(|(_, span)| span.entry).map(|(i, _)| BlockId(i as u32));
    *region = l.b.finish(entries, blocks.spans.iter().map(|s| s.pc..s.end()));
    Ok(())
}

fn lift_block(l: &mut Lifter, span: &BlockSpan, blocks: &Blocks, outside: &mut Vec<u64>) {
    l.begin_block(span.pc);
    for (i, &word) in blocks.words(span).iter().enumerate() {
        l.pc = span.pc + 4 * i as u64;
        l.word = word;
        let pc = l.pc;
        l.begin_insn(pc);
        let lifted = match decode(word) {
            _ if l.mode & MODE_FP_OFF != 0 && privileged::uses_fp(word) => Lifted::End(privileged::fp_trap(l)),
            Some(row) if !gates::lacks(l.profile(), word) => (row.lift)(l, word),
            _ => Lifted::Undefined,
        };
        let end = match lifted {
            Lifted::Next => {
                privileged::count(l);
                continue;
            }
            Lifted::Jump(target) => goto(target, blocks),
            Lifted::Branch { c, taken } => {
                let then = block_for(taken, blocks, outside);
                let els = block_for(l.pc.wrapping_add(4), blocks, outside);
                Op::Branch { c, then, els }
            }
            Lifted::End(op) => op,
            Lifted::Undefined => Op::Trap { trap: Trap::Undefined(word), pc: l.pc },
        };
        if privileged::completes(&end) {
            privileged::count(l);
        }
        l.end_block(end);
        return;
    }
    l.end_block(goto(span.end(), blocks));
}

/// The terminator that continues at `target`.
fn goto(target: u64, blocks: &Blocks) -> Op {
    match blocks.at(target) {
        Some(to) => Op::Jump { to: BlockId(to as u32) },
        None => Op::Exit { pc: target, kind: ExitKind::Jump },
    }
}

/// The block that continues at `target`, inside the region or leaving it.
fn block_for(target: u64, blocks: &Blocks, outside: &mut Vec<u64>) -> BlockId {
    let inside = blocks.at(target).map(|to| to as u32);
    let index = inside.unwrap_or_else(|| {
        let known = outside.iter().position(|&pc| pc == target);
        let i = known.unwrap_or_else(|| {
            outside.push(target);
            outside.len() - 1
        });
        (blocks.spans.len() + i) as u32
    });
    BlockId(index)
}
