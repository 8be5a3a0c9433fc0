//! One translation as it is kept: what it was made from, and the code with its addresses named.

use std::ops::Range;
use std::sync::atomic::AtomicU64;

use jib_ir::op::Op;
use jib_ir::region::Key;
use serde::{Deserialize, Serialize};

use crate::cache::Tier;
use crate::code_memory::FaultTable;
use crate::compile::Code;
use crate::quick;
use crate::reloc::{Reloc, Target};

/// See the module documentation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pc: u64,
    mode: u32,
    optimized: bool,
    /// Guest instructions.
    pub(crate) insns: u32,
    /// Guest addresses of the code that it was made from.
    pub(crate) ranges: Vec<Range<u64>>,
    /// The instruction words there.
    pub(crate) words: Vec<u32>,
    /// Guest addresses at which it may be entered.
    pub(crate) entries: Vec<u64>,
    cells: u32,
    bytes: Vec<u8>,
    relocs: Vec<(u32, Name)>,
    points: Vec<(u32, u64)>,
    recipes: Vec<u32>,
    ops: Vec<Op>,
}

/// A [`Target`] that means the same in every process.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Name {
    Cells(u32),
    Op(u32),
    /// Distance from [`anchor`].
    Program(i64),
}

/// An address in this program from which all others have a fixed distance.
fn anchor() -> u64 {
    crate::abi::call_helper as *const () as u64
}

impl Record {
    /// The record of `code` for `key`, made by `tier` from `words` in `ranges`.
    pub(crate) fn new(
        key: Key,
        tier: Tier,
        insns: u32,
        (ranges, words): (Vec<Range<u64>>, Vec<u32>),
        entries: Vec<u64>,
        code: &Code,
    ) -> Record {
        let name = |r: &Reloc| {
            let name = match r.to {
                Target::Cells(offset) => Name::Cells(offset),
                Target::Op(n) => Name::Op(n),
                Target::Program(address) => Name::Program(address.wrapping_sub(anchor()) as i64),
                Target::Executed => unreachable!("code that counts is not kept"),
            };
            (r.at, name)
        };
        Record {
            pc: key.pc,
            mode: key.mode,
            optimized: tier == Tier::Optimized,
            insns,
            ranges,
            words,
            entries,
            cells: code.cells.len() as u32,
            bytes: code.bytes.clone(),
            relocs: code.relocs.iter().map(name).collect(),
            points: code.faults.points.clone(),
            recipes: code.faults.recipes.clone(),
            ops: code.ops.iter().map(|op| **op).collect(),
        }
    }

    /// What it is a translation of.
    pub(crate) fn key(&self) -> Key {
        Key { pc: self.pc, mode: self.mode }
    }

    /// Who made it.
    pub(crate) fn tier(&self) -> Tier {
        if self.optimized { Tier::Optimized } else { Tier::Quick }
    }

    /// The instruction word at guest address `pc`.
    fn word(&self, pc: u64) -> Option<u32> {
        let mut before = 0;
        for r in &self.ranges {
            if r.contains(&pc) {
                return self.words.get(before + (pc - r.start) as usize / 4).copied();
            }
            before += (r.end - r.start) as usize / 4;
        }
        None
    }

    /// The guest addresses of the code that it was made from, with the words there.
    pub(crate) fn code_words(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        let pcs = self.ranges.iter().flat_map(|r| r.clone().step_by(4));
        pcs.zip(self.words.iter().copied())
    }

    /// Serves wherever `other` does.
    pub(super) fn covers(&self, other: &Record) -> bool {
        other.code_words().all(|(pc, word)| self.word(pc) == Some(word))
    }

    /// About how many bytes it takes.
    pub(super) fn weight(&self) -> usize {
        self.bytes.len() + 4 * self.words.len() + 8 * (self.points.len() + self.relocs.len()) + 24 * self.ops.len()
    }

    /// Everything that a file needs to hold.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        postcard::to_allocvec(self).ok()
    }

    /// What [`Record::encode`] gave; `None` if it cannot have been that.
    pub(super) fn decode(bytes: &[u8]) -> Option<Record> {
        let record: Record = postcard::from_bytes(bytes).ok()?;
        let op_fits = |to: &Name| match to {
            Name::Op(n) => (*n as usize) < record.ops.len(),
            Name::Cells(offset) => *offset as usize / 8 < record.cells as usize,
            Name::Program(_) => true,
        };
        let fits = |(at, to): &(u32, Name)| *at as usize + 8 <= record.bytes.len() && op_fits(to);
        let whole = record.ranges.iter().all(|r| r.start < r.end && (r.start | r.end).is_multiple_of(4));
        let bytes: u64 = record.ranges.iter().map(|r| r.end.saturating_sub(r.start)).sum();
        let good = whole && bytes == 4 * record.words.len() as u64 && record.relocs.iter().all(fits);
        (good && record.entries.contains(&record.pc)).then_some(record)
    }

    /// The code for this process; its cells first hold `stub`.
    pub(crate) fn code(self, stub: u64) -> Code {
        let tier = self.tier();
        let relocs = self.relocs.iter().map(|&(at, to)| {
            let to = match to {
                Name::Cells(offset) => Target::Cells(offset),
                Name::Op(n) => Target::Op(n),
                Name::Program(distance) => Target::Program(anchor().wrapping_add(distance as u64)),
            };
            Reloc { at, to }
        });
        let mut code = Code {
            relocs: relocs.collect(),
            bytes: self.bytes,
            faults: Box::new(FaultTable { points: self.points, recipes: self.recipes }),
            cells: new_cells(tier, self.cells as usize, stub),
            executed: Box::default(),
            ops: self.ops.into_iter().map(Box::new).collect(),
        };
        code.relocate();
        // It is in the store already.
        code.relocs = Vec::new();
        code
    }
}

/// The link cells of new code.
fn new_cells(tier: Tier, cells: usize, stub: u64) -> Box<[AtomicU64]> {
    match tier {
        Tier::Quick => quick::new_cells(cells / 2, stub),
        Tier::Optimized => (0..cells).map(|_| AtomicU64::new(stub)).collect(),
    }
}
