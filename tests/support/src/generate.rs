//! Random cases for a row of the instruction table: free bits at random, operands that matter.

use jib_frontend_aarch64::decode::decode;
use jib_frontend_aarch64::pattern::Row;

use crate::case::{CODE, Case, PAGE, Registers, WINDOW, WINDOW_LEN, fill};
use crate::random::Random;
use crate::values;

/// How often a word is drawn again because a narrower row claimed it.
const DRAWS: u32 = 64;

/// A case of `row`; `None` if no word of it could be drawn that may be run.
pub fn case(r: &mut Random, row: &'static Row) -> Option<Case> {
    let word = word(r, row)?;
    // Few seeds, so that neither side fills its page for each case.
    let mut case = Case { words: vec![word], regs: registers(r), mem_seed: 1 + 2 * r.below(16) };
    if is_load_store(word) {
        aim(r, &mut case);
        if is_store_exclusive(word) {
            case.words.insert(0, load_exclusive_for(word));
        }
    }
    if is_branch_register(word) && r.chance(75) {
        case.regs.x[reg(word, 5)] = CODE + 4 * (1 + r.below(64));
    }
    Some(case)
}

/// A word of `row` that decodes to it and can be run alone.
pub fn word(r: &mut Random, row: &'static Row) -> Option<u32> {
    for _ in 0..DRAWS {
        let mut word = row.pattern.value | r.u32() & !row.pattern.mask;
        if r.chance(25) {
            word = share_register(r, row, word);
        }
        let mine = decode(word).is_some_and(|found| std::ptr::eq(found, row));
        if mine && !branches_to_itself(word) {
            return Some(word);
        }
    }
    None
}

/// Makes two register fields equal, where the row has five-bit fields at the usual places.
fn share_register(r: &mut Random, row: &'static Row, word: u32) -> u32 {
    let places = [0u32, 5, 16];
    let (from, to) = (r.pick(&places), r.pick(&places));
    if row.pattern.mask >> to & 31 != 0 {
        return word;
    }
    word & !(31 << to) | (word >> from & 31) << to
}

/// Random registers. The stack pointer is always aligned: Linux has its alignment checked.
pub fn registers(r: &mut Random) -> Registers {
    let mut x = [0u64; 32];
    for x in &mut x {
        *x = values::general(r);
    }
    x[31] &= !15;
    let mut v = [0u128; 32];
    for v in &mut v {
        *v = values::vector(r);
    }
    let nzcv = r.u32() & 0xf000_0000;
    let fpsr = if r.chance(50) { 0 } else { r.u32() & 0x0800_009f };
    Registers { x, v, nzcv, fpcr: values::fpcr(r), fpsr, tpidr: r.u64() }
}

/// Register number in the five bits from `shift`.
fn reg(word: u32, shift: u32) -> usize {
    (word >> shift & 31) as usize
}

/// The load and store group, or DC ZVA and the like.
fn is_load_store(word: u32) -> bool {
    word >> 25 & 5 == 4 || word >> 24 == 0xd5
}

fn is_branch_register(word: u32) -> bool {
    word >> 25 == 0b110_1011
}

/// STXR, STLXR, STXP, STLXP.
fn is_store_exclusive(word: u32) -> bool {
    word & 0x3fc0_0000 == 0x0800_0000 && word >> 21 & 1 == word >> 21 & 1 & word >> 31
}

/// The load that arms the monitor for store `word`, into registers that the store does not address with.
fn load_exclusive_for(word: u32) -> u32 {
    let base = word >> 5 & 31;
    let free = |n: u32| if n % 31 == base { (n + 2) % 31 } else { n % 31 };
    word & 0xffe0_83e0
        | 1 << 22
        | 31 << 16
        | free(base + 3) << 10
        | free(base + 5)
        | if word >> 21 & 1 == 0 { 31 << 10 } else { 0 }
}

/// Would the word jump to itself and never come back?
fn branches_to_itself(word: u32) -> bool {
    let imm26 = word & 0x03ff_ffff;
    let imm19 = word >> 5 & 0x7_ffff;
    let imm14 = word >> 5 & 0x3fff;
    match word >> 24 & 0x7f {
        0x14..=0x17 => imm26 == 0,
        0x54 | 0x34 | 0x35 => imm19 == 0,
        0x36 | 0x37 => imm14 == 0,
        _ => false,
    }
}

/// Points the base register into the window, makes an index small, and lets comparisons succeed at times.
fn aim(r: &mut Random, case: &mut Case) {
    let word = case.words[0];
    let (rn, rm) = (reg(word, 5), reg(word, 16));
    if r.chance(70) && rm != 31 {
        case.regs.x[rm] = match r.below(4) {
            0 => r.below(256),
            1 => r.below(256).wrapping_neg(),
            // Garbage above a small word: only SXTW and UXTW make it an index.
            2 => r.u64() << 32 | r.below(512),
            _ => (r.below(256) as u32).wrapping_neg() as u64 | r.u64() << 32,
        };
    }
    // DC ZVA and its like name their address in Rt.
    let base = if word >> 24 == 0xd5 { reg(word, 0) } else { rn };
    if r.chance(3) {
        return;
    }
    let addr = address(r);
    case.regs.x[base] = if base == 31 { addr & !15 } else { addr };
    if r.chance(30) {
        expect_memory(case, rn, rm);
    }
}

fn address(r: &mut Random) -> u64 {
    // Pages in the middle, not the code page, so that every offset stays in the window.
    let page = WINDOW + PAGE * (16 + r.below(200)) + if r.chance(50) { WINDOW_LEN / 2 } else { 0 };
    match r.below(20) {
        0..=12 => page + 16 * r.below(256),
        13..=15 => page + 8 * r.below(512),
        16..=17 => page + r.below(4096),
        18 => WINDOW + r.below(64) - 32,
        _ => WINDOW + WINDOW_LEN - r.below(64),
    }
}

/// Sets Rs (the place of Rm) and its partner to what memory holds at Rn: compare-and-swap then swaps.
fn expect_memory(case: &mut Case, rn: usize, rs: usize) {
    let page = fill(case.mem_seed);
    let width = 1usize << (case.words[0] >> 30);
    let at = |n: usize| {
        let from = (case.regs.x[rn] as usize).wrapping_add(n * width);
        (0..8).fold(0u64, |v, i| v | (page[from.wrapping_add(i) % PAGE as usize] as u64) << (8 * i))
    };
    let (first, second) = (at(0), at(1));
    if rs != rn && rs < 31 {
        case.regs.x[rs] = first;
    }
    if rs + 1 != rn && rs + 1 < 31 {
        case.regs.x[rs + 1] = second;
    }
}
