//! Random straight pieces of code: several instructions that feed each other, with forward branches.
//!
//! Single instructions cannot show what an executor does between them: flags kept for later, registers in host
//! registers, passes over a block. No loads, stores or system instructions: those have their rows.

use std::sync::LazyLock;

use jib_frontend_aarch64::isa;
use jib_frontend_aarch64::lift::Lifted;
use jib_frontend_aarch64::pattern::{Pattern, Row};
use jib_ir::guest::{Guest, Limit};
use jib_ir::op::{Op, Trap};
use jib_ir::region::Key;

use crate::case::{CODE, Case, MAX_WORDS, PAGE, WINDOW};
use crate::interp::Memory;
use crate::random::Random;
use crate::{generate, known};

/// The name under which sequences are reported; as a row it can be asked for by `JIB_ROWS=sequences`.
pub static ROW: Row = Row {
    name: "sequences",
    pattern: Pattern::parse("--------------------------------"),
    lift: |_, _| Lifted::Undefined,
};

/// The name of sequences with an access that faults in the middle: all registers and flags must be those before it.
pub static FAULTS: Row = Row { name: "faults", pattern: ROW.pattern, lift: ROW.lift };

/// A register with an address of memory, in sequences with accesses.
const MAPPED: u32 = 27;
/// One with an address where there is none.
const UNMAPPED: u32 = 28;

/// The rows that sequences are drawn from: data processing of all kinds.
static ROWS: LazyLock<Vec<&'static Row>> = LazyLock::new(|| isa::rows().filter(|row| is_plain(row)).collect());

fn is_plain(row: &Row) -> bool {
    let group = |value: u32| row.pattern.mask >> 25 & 15 != 0 && row.pattern.value >> 25 & 15 == value;
    // 100x: immediate; x101: register; x111: FP and SIMD.
    [0b1000, 0b1001, 0b0101, 0b1101, 0b0111, 0b1111].into_iter().any(group)
}

/// A sequence of three to eight instructions on random registers.
pub fn case(r: &mut Random) -> Case {
    let n = 3 + r.below(MAX_WORDS as u64 - 2) as usize;
    let mut words = Vec::with_capacity(n);
    while words.len() < n {
        let left = (n - words.len()) as u64;
        let word = if left > 1 && r.chance(15) { branch(r, left) } else { plain(r) };
        words.push(word);
    }
    Case { words, regs: generate::registers(r), mem_seed: 1 }
}

/// A sequence around an access that faults, with stores that do not in front. What comes after the access would
/// overwrite what it must leave.
pub fn fault(r: &mut Random) -> Case {
    let mut case = case(r);
    case.regs.x[MAPPED as usize] = WINDOW + 16 * r.below(PAGE / 16 - 32);
    case.regs.x[UNMAPPED as usize] = 16 * r.below(64);
    let fault = r.below(case.words.len() as u64) as usize;
    for (i, word) in case.words.iter_mut().enumerate() {
        if i == fault {
            *word = access(r, UNMAPPED);
        } else if i < fault && r.chance(30) {
            *word = access(r, MAPPED);
        }
    }
    case
}

/// A load or store of a few registers at the address in register `base`.
fn access(r: &mut Random, base: u32) -> u32 {
    // LDR and STR of X, W, D and Q registers, with an offset or writing back.
    let forms =
        [0xf940_0000, 0xf900_0000, 0xb940_0000, 0xb900_0000, 0xfd40_0000, 0x3d80_0000, 0xf840_0400, 0xf800_0400];
    r.pick(&forms) | (r.u32() & 3) << 14 | base << 5 | r.u32() & 3
}

/// A defined word without a known difference, mostly on the first few registers.
pub(crate) fn plain(r: &mut Random) -> u32 {
    loop {
        let row = r.pick(&ROWS);
        let Some(word) = generate::word(r, row) else { continue };
        let word = if r.chance(80) { on_few_registers(row, word) } else { word };
        let set_aside = known::excluded(word).or(known::lacking(word)).or(known::qemu_wrong(word, u32::MAX));
        if set_aside.is_none() && is_defined(word) {
            return word;
        }
    }
}

/// `word` with register numbers 0 to 3 wherever its row has five free bits at a register's place.
fn on_few_registers(row: &Row, word: u32) -> u32 {
    let free = [0u32, 5, 16].into_iter().filter(|at| row.pattern.mask >> at & 31 == 0);
    free.fold(word, |w, at| w & !(28 << at))
}

fn is_defined(word: u32) -> bool {
    let registers = generate::registers(&mut Random::new(1));
    let case = Case { words: vec![word], regs: registers, mem_seed: 1 };
    let region =
        jib_frontend_aarch64::A64.lift(Key { pc: CODE, mode: 0 }, &Memory::of(&case), Limit { insns: 1, blocks: 1 });
    let undefined = |op: &Op| matches!(op, Op::Trap { trap: Trap::Undefined(_), .. });
    region.is_ok_and(|region| !region.ops.iter().any(undefined))
}

/// B.cond, CBZ, CBNZ, TBZ or TBNZ over at least one of the `left` words from here to the end.
fn branch(r: &mut Random, left: u64) -> u32 {
    let offset = 2 + r.below(left - 1) as u32;
    let register = r.u32() & 3;
    match r.below(4) {
        0 | 1 => 0x5400_0000 | offset << 5 | r.u32() & 15,
        2 => 0x3400_0000 | r.u32() & 0x8100_0000 | offset << 5 | register,
        _ => 0x3600_0000 | r.u32() & 0x81f8_0000 | offset << 5 | register,
    }
}
