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

use std::ops::{Deref, DerefMut, Range};

use jib_ir::builder::Builder;
use jib_ir::guest::{Fetch, Limit};
use jib_ir::op::{ExitKind, Op, Trap};
use jib_ir::region::{BlockId, Key, Region, Val};
use jib_ir::runtime::Fault;

use crate::cpu::Profile;
use crate::decode::decode;
use crate::isa::gates;
use crate::system::state::MODE_FP_OFF;
use discover::{BlockSpan, discover};

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

/// Translates the code at `key.pc`, following direct branches as far as `limit` allows.
pub fn lift(key: Key, code: &dyn Fetch, limit: Limit) -> Result<Region, Fault> {
    let spans = discover(key.pc, code, limit)?;
    let insns = spans.iter().map(|s| s.words.len()).sum();
    let mut l = Lifter { b: Builder::new(key, insns), pc: key.pc, word: 0, mode: key.mode };
    // Targets outside the region get a block of their own that leaves for them.
    let mut outside: Vec<u64> = Vec::new();
    for span in &spans {
        lift_block(&mut l, span, &spans, &mut outside);
    }
    for pc in outside {
        l.begin_block(pc);
        l.end_block(Op::Exit { pc, kind: ExitKind::Jump });
    }
    let entries = (0..spans.len()).filter(|&i| spans[i].entry).map(|i| BlockId(i as u32)).collect();
    Ok(l.b.finish(entries, code_ranges(&spans)))
}

fn lift_block(l: &mut Lifter, span: &BlockSpan, spans: &[BlockSpan], outside: &mut Vec<u64>) {
    l.begin_block(span.pc);
    for (i, &word) in span.words.iter().enumerate() {
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
            Lifted::Jump(target) => goto(target, spans),
            Lifted::Branch { c, taken } => {
                let then = block_for(taken, spans, outside);
                let els = block_for(l.pc.wrapping_add(4), spans, outside);
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
    l.end_block(goto(span.end(), spans));
}

/// The terminator that continues at `target`.
fn goto(target: u64, spans: &[BlockSpan]) -> Op {
    match find(target, spans) {
        Some(to) => Op::Jump { to },
        None => Op::Exit { pc: target, kind: ExitKind::Jump },
    }
}

/// The block that continues at `target`, inside the region or leaving it.
fn block_for(target: u64, spans: &[BlockSpan], outside: &mut Vec<u64>) -> BlockId {
    if let Some(id) = find(target, spans) {
        return id;
    }
    let i = outside.iter().position(|&pc| pc == target).unwrap_or_else(|| {
        outside.push(target);
        outside.len() - 1
    });
    BlockId((spans.len() + i) as u32)
}

fn find(target: u64, spans: &[BlockSpan]) -> Option<BlockId> {
    // A single block is never its own successor: the interpreter counts executions at its entry.
    if spans.len() == 1 && !spans[0].loops {
        return None;
    }
    spans.iter().position(|s| s.pc == target).map(|i| BlockId(i as u32))
}

/// The code bytes of all blocks, as merged ascending ranges.
fn code_ranges(spans: &[BlockSpan]) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = spans.iter().map(|s| s.pc..s.end()).collect();
    ranges.sort_by_key(|r| r.start);
    ranges.dedup_by(|next, prev| {
        let touches = next.start <= prev.end;
        if touches {
            prev.end = prev.end.max(next.end);
        }
        touches
    });
    ranges
}
