//! One translation as it is kept: what it was made from, and the code with its addresses named.

use std::ops::Range;

use jib_ir::op::Op;
use jib_ir::region::Key;
use serde::{Deserialize, Serialize};

use crate::cache::Tier;
use crate::compile::Code;
use crate::reloc::{Reloc, Target};

/// See the module documentation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(super) pc: u64,
    pub(super) mode: u32,
    pub(super) optimized: bool,
    /// Guest addresses of the code that it was made from.
    pub(super) ranges: Vec<Range<u64>>,
    /// The instruction words there.
    pub(super) words: Vec<u32>,
    /// Guest addresses at which it may be entered, and the offset of the code there.
    pub(super) entries: Vec<(u64, u32)>,
    /// Number of link cells and count-downs.
    pub(super) cells: u32,
    /// Cells that lead to a fixed guest address, and that address.
    pub(super) targets: Vec<(u32, u64)>,
    pub(super) bytes: Vec<u8>,
    /// Offsets of absolute addresses.
    pub(super) relocs: Vec<(u32, Name)>,
    /// As in [`FaultTable`](crate::code_memory::FaultTable).
    pub(super) points: Vec<(u32, u64)>,
    pub(super) recipes: Vec<u32>,
    pub(super) ops: Vec<Op>,
}

/// A [`Target`] that means the same in every process.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Name {
    /// This many bytes into the cells.
    Cells(u32),
    /// The op of this number among the record's.
    Op(u32),
    /// An op.
    Whole(Op),
    /// Distance from [`anchor`].
    Program(i64),
}

/// An address in this program from which all others have a fixed distance.
fn anchor() -> u64 {
    crate::abi::call_helper as *const () as u64
}

impl Name {
    /// Its address, if it is in this program.
    pub(super) fn program(&self) -> Option<u64> {
        match self {
            Name::Program(distance) => Some(anchor().wrapping_add(*distance as u64)),
            _ => None,
        }
    }
}

impl Record {
    /// The record of `code` for `key`, made by `tier` from `words` in `ranges`.
    pub(crate) fn new(key: Key, tier: Tier, (ranges, words): (Vec<Range<u64>>, Vec<u32>), code: Code) -> Record {
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
            ranges,
            words,
            entries: code.entries,
            cells: code.cells.len() as u32,
            targets: code.targets,
            bytes: code.bytes,
            relocs: code.relocs.iter().map(name).collect(),
            points: code.faults.points,
            recipes: code.faults.recipes,
            ops: code.ops.iter().map(|op| **op).collect(),
        }
    }

    /// What it is a translation of.
    pub(super) fn key(&self) -> Key {
        Key { pc: self.pc, mode: self.mode }
    }

    /// Who made it.
    pub(super) fn tier(&self) -> Tier {
        if self.optimized { Tier::Optimized } else { Tier::Quick }
    }

    /// Guest addresses of the code that it was made from.
    pub(crate) fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// The guest addresses of the code that it was made from, with the words there.
    pub(super) fn code_words(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        self.ranges.iter().flat_map(|r| r.clone().step_by(4)).zip(self.words.iter().copied())
    }

    /// About how many bytes it takes in a file.
    pub(super) fn weight(&self) -> usize {
        2 * self.bytes.len() + 4 * self.words.len() + 24 * (self.points.len() + self.relocs.len()) + 32 * self.ops.len()
    }

    /// Can it be what [`Record::new`] made?
    pub(super) fn is_sound(&self) -> bool {
        let whole = self.ranges.iter().all(|r| r.start < r.end && (r.start | r.end).is_multiple_of(4));
        let bytes: u64 = self.ranges.iter().map(|r| r.end.saturating_sub(r.start)).sum();
        let cell = |n: usize| n < self.cells as usize;
        let fits = |(at, to): &(u32, Name)| {
            *at as usize + 8 <= self.bytes.len()
                && match to {
                    Name::Cells(offset) => cell(*offset as usize / 8),
                    name => self.whole_name(*name).is_some(),
                }
        };
        let entries = self.entries.iter().all(|(_, offset)| (*offset as usize) < self.bytes.len());
        let targets = self.targets.iter().all(|(n, _)| cell(*n as usize));
        whole && bytes == 4 * self.words.len() as u64 && targets && entries && self.relocs.iter().all(fits)
    }

    /// `name` so that it needs nothing else of the record.
    pub(super) fn whole_name(&self, name: Name) -> Option<Name> {
        match name {
            Name::Op(n) => self.ops.get(n as usize).copied().map(Name::Whole),
            name @ Name::Program(_) => Some(name),
            Name::Cells(_) | Name::Whole(_) => None,
        }
    }
}
