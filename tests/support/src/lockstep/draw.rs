//! Draws programs.

use std::sync::LazyLock;

use jib_frontend_aarch64::isa;
use jib_frontend_aarch64::pattern::Row;

use super::{DEEPEST, Item, Program};
use crate::random::Random;
use crate::{generate, known, sequence};

/// About so many instructions are executed at most by one program.
const LONGEST: u64 = 6_000;

/// Loads and stores, without those that address by the program counter.
static MEMORY: LazyLock<Vec<&'static Row>> = LazyLock::new(|| {
    let group = |row: &Row| row.pattern.mask >> 25 & 5 == 5 && row.pattern.value >> 25 & 5 == 4;
    isa::rows().filter(|row| group(row) && row.pattern.value & 0x3b00_0000 != 0x1800_0000).collect()
});

/// A random program.
pub fn program(r: &mut Random) -> Program {
    let count = 1 + r.below(5) as usize;
    let mut functions: Vec<Vec<Item>> = Vec::new();
    // What a call of each costs; callees come first.
    let mut costs: Vec<u64> = Vec::new();
    for left in (0..count).rev() {
        let budget = LONGEST >> left.min(4);
        let mut draw = Draw { r, callees: &costs, count };
        let (body, cost) = draw.body(budget, 0, 3 + 3 * u64::from(left == 0));
        functions.insert(0, body);
        costs.insert(0, cost + 10);
    }
    Program { functions }
}

struct Draw<'a> {
    r: &'a mut Random,
    /// What the functions that may be called cost; they are the last of `count`.
    callees: &'a [u64],
    count: usize,
}

impl Draw<'_> {
    /// Up to `most` items that cost no more than `budget` instructions, inside of `depth` loops; and what they cost.
    fn body(&mut self, budget: u64, depth: u32, most: u64) -> (Vec<Item>, u64) {
        let (mut items, mut cost) = (Vec::new(), 0);
        for _ in 0..1 + self.r.below(most) {
            let (item, more) = self.item(budget.saturating_sub(cost), depth);
            if cost + more > budget {
                break;
            }
            cost += more;
            items.push(item);
        }
        (items, cost)
    }

    fn item(&mut self, budget: u64, depth: u32) -> (Item, u64) {
        match self.r.below(24) {
            0..=6 => self.straight(),
            7..=9 => self.accesses(),
            10..=12 => {
                let branch = self.branch();
                let (body, cost) = self.body(budget / 2, depth, 3);
                (Item::If(branch, body), cost + 1)
            }
            13..=16 if depth < DEEPEST && budget > 60 => {
                let (body, cost) = self.body(budget / 4, depth + 1, 4);
                let most = (budget / (cost + 2)).clamp(1, 400);
                let times = 1 + self.r.below(most);
                let item = Item::Loop { depth, times: times as u16, flags: self.r.chance(50), body };
                (item, times * (cost + 2) + 1)
            }
            17 | 18 if !self.callees.is_empty() => {
                let (function, cost) = self.callee();
                (Item::Call(function), cost + 1)
            }
            19 if !self.callees.is_empty() => {
                let four = std::array::from_fn(|_| self.callee());
                let most = four.iter().map(|(_, cost)| *cost).max().unwrap_or(0);
                (Item::CallOne(self.register(), four.map(|(f, _)| f)), most + 6)
            }
            20 => {
                let four = std::array::from_fn(|_| self.body(budget / 3, depth, 2));
                let most = four.iter().map(|(_, cost)| *cost).max().unwrap_or(0);
                (Item::Switch(self.register(), four.map(|(body, _)| body)), most + 6)
            }
            21 => {
                let words = [self.plain(), self.plain()];
                (Item::Patch(words[0], words[1]), 60)
            }
            22 => (Item::Straight(self.control()), 3),
            _ => (Item::Compare(self.r.below(256) as u16), 20),
        }
    }

    fn callee(&mut self) -> (usize, u64) {
        let n = self.r.below(self.callees.len() as u64) as usize;
        (self.count - self.callees.len() + n, self.callees[n])
    }

    /// A register with data.
    fn register(&mut self) -> u32 {
        self.r.u32() & 15
    }

    fn straight(&mut self) -> (Item, u64) {
        let n = 1 + self.r.below(8);
        (Item::Straight((0..n).map(|_| self.plain()).collect()), n)
    }

    /// Data processing on registers with data.
    fn plain(&mut self) -> u32 {
        let word = sequence::plain(self.r);
        let Some(row) = jib_frontend_aarch64::decode::decode(word) else { return word };
        let free = |at: u32| row.pattern.mask >> at & 31 == 0;
        // Three sources have their third where others have part of a number.
        let places = if word >> 24 & 0x1f == 0x1b { &[0, 5, 16, 10][..] } else { &[0, 5, 16] };
        let mut word = places.iter().filter(|at| free(**at)).fold(word, |w, at| w & !(16 << at));
        for at in [5, 16].into_iter().filter(|at| free(*at)) {
            if self.r.chance(6) {
                word |= 31 << at;
            }
        }
        if discards(word) && free(0) && self.r.chance(25) {
            word |= 31;
        }
        word
    }

    /// Accesses near one address, which may be where no memory is.
    fn accesses(&mut self) -> (Item, u64) {
        let base = if self.r.chance(4) { 25 } else { 19 };
        // ADD X28, base, #offset
        let offset = if self.r.chance(80) { 16 * self.r.below(200) } else { self.r.below(3000) };
        let mut words = vec![0x9100_001c | base << 5 | (offset as u32) << 10];
        // AND X16, register, #0xff8
        words.push(0x927d_2010 | self.register() << 5);
        for _ in 0..1 + self.r.below(4) {
            words.extend(self.access());
        }
        let cost = words.len() as u64;
        (Item::Straight(words), cost)
    }

    /// A load or store at X28, with an index in X16. `None` if the word drawn is not for us.
    fn access(&mut self) -> Option<u32> {
        let row = self.r.pick(&MEMORY);
        let word = generate::word(self.r, row)?;
        if known::excluded(word).or(known::lacking(word)).is_some() {
            return None;
        }
        let free = |at: u32| row.pattern.mask >> at & 31 == 0;
        if !free(5) || !free(0) {
            return None;
        }
        let mut word = word & !(31 << 5) & !16 | 28 << 5;
        if free(16) {
            word = word & !(31 << 16) | 16 << 16;
        }
        if free(10) {
            word &= !(16 << 10);
        }
        Some(word)
    }

    /// B.cond, CBZ, CBNZ, TBZ or TBNZ without its offset.
    fn branch(&mut self) -> u32 {
        let (register, bits) = (self.register(), self.r.u32());
        match self.r.below(4) {
            0 | 1 => 0x5400_0000 | bits & 15,
            2 => 0x3400_0000 | bits & 0x8100_0000 | register,
            _ => 0x3600_0000 | bits & 0x81f8_0000 | register,
        }
    }

    /// Modes and flags: FPCR, FPSR, NZCV.
    fn control(&mut self) -> Vec<u32> {
        let register = self.register();
        match self.r.below(6) {
            // MOVZ X16, #modes, LSL #16; MSR FPCR, X16: rounding, flushing, default NaNs; half of the time none.
            0 | 1 => {
                let modes = if self.r.chance(50) { 0 } else { self.r.u32() & 0x03c8 };
                vec![0xd2a0_0010 | modes << 5, 0xd51b_4410]
            }
            2 => vec![0xd51b_443f],
            3 => vec![0xd53b_4420 | register],
            4 => vec![0xd53b_4200 | register],
            _ => vec![0xd51b_4200 | register],
        }
    }
}

/// Does the instruction set flags, so that it may go without a destination?
fn discards(word: u32) -> bool {
    match word >> 24 & 0x1f {
        0x11 | 0x0b => word >> 29 & 1 == 1,
        0x0a | 0x12 => word >> 29 & 3 == 3,
        _ => false,
    }
}
