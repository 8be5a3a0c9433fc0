//! A record as plain bytes, so that it is read quickly and its guest code can be looked at alone.
//!
//! Numbers come first, then the guest code, then the rest; all numbers are little-endian.

use std::ops::Range;
use std::sync::atomic::AtomicU64;

use jib_ir::op::Op;

use super::layout::{long, word};
use super::record::{Name, Record};
use crate::cache::Tier;
use crate::code_memory::FaultTable;
use crate::compile::Code;
use crate::quick;

/// Numbers in the head: pc (two), mode, tier, bytes of the guest code's part, and nine counts.
const HEAD: usize = 14;
/// Kinds of names.
const CELLS: u32 = 0;
const OP: u32 = 1;
const PROGRAM: u32 = 2;

/// Takes numbers off the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }
    fn items(&mut self, count: u32, len: usize) -> Option<std::slice::ChunksExact<'a, u8>> {
        Some(self.take((count as usize).checked_mul(len)?)?.chunks_exact(len))
    }
    fn skip(&mut self, count: u32, len: usize) -> Option<()> {
        self.items(count, len).map(drop)
    }
}

/// The guest code in a piece: its ranges, and the words there.
pub(crate) struct GuestCode<'a> {
    ranges: &'a [u8],
    words: &'a [u8],
}

impl GuestCode<'_> {
    /// Guest addresses.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ranges.chunks_exact(16).map(|r| long(r, 0)..long(r, 8))
    }

    /// Does `shows` say yes to each piece of code at its address?
    pub(crate) fn agrees(&self, shows: impl Fn(u64, &[u8]) -> bool) -> bool {
        let mut words = self.words;
        for r in self.ranges() {
            let Some((code, rest)) = r.end.checked_sub(r.start).and_then(|n| words.split_at_checked(n as usize)) else {
                return false;
            };
            if !shows(r.start, code) {
                return false;
            }
            words = rest;
        }
        words.is_empty()
    }
}

impl Record {
    /// The record as bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let ops = postcard::to_allocvec(&self.ops).unwrap_or_default();
        let mut out = Vec::with_capacity(self.weight() + 4 * HEAD);
        let counts = [
            self.pc as u32,
            (self.pc >> 32) as u32,
            self.mode,
            u32::from(self.optimized),
            self.ranges.len() as u32,
            self.words.len() as u32,
            self.entries.len() as u32,
            self.cells,
            self.targets.len() as u32,
            self.relocs.len() as u32,
            self.points.len() as u32,
            self.recipes.len() as u32,
            self.bytes.len() as u32,
            ops.len() as u32,
        ];
        let put4 = |out: &mut Vec<u8>, n: u32| out.extend_from_slice(&n.to_le_bytes());
        let put8 = |out: &mut Vec<u8>, n: u64| out.extend_from_slice(&n.to_le_bytes());
        counts.into_iter().for_each(|n| put4(&mut out, n));
        for r in &self.ranges {
            put8(&mut out, r.start);
            put8(&mut out, r.end);
        }
        self.words.iter().for_each(|w| put4(&mut out, *w));
        let entries: Vec<(u32, u64)> = self.entries.iter().map(|(pc, offset)| (*offset, *pc)).collect();
        for (n, pc) in entries.iter().chain(&self.targets).chain(&self.points) {
            put4(&mut out, *n);
            put8(&mut out, *pc);
        }
        for (at, name) in &self.relocs {
            let (kind, value) = match name {
                Name::Cells(n) => (CELLS, i64::from(*n)),
                Name::Op(n) => (OP, i64::from(*n)),
                Name::Program(distance) => (PROGRAM, *distance),
                Name::Whole(_) => unreachable!("records have their ops"),
            };
            put4(&mut out, *at);
            put4(&mut out, kind);
            put8(&mut out, value as u64);
        }
        self.recipes.iter().for_each(|n| put4(&mut out, *n));
        out.extend_from_slice(&self.bytes);
        out.extend_from_slice(&ops);
        out
    }

    /// The code of the record that became `bytes`: who made it, and itself, whose unlinked cells hold `stub`. `None` if
    /// no record did.
    pub(crate) fn code(bytes: &[u8], stub: u64) -> Option<(Tier, Code)> {
        let head = bytes.get(..4 * HEAD)?;
        let n = |i: usize| word(head, 4 * i);
        let mut r = Reader(&bytes[4 * HEAD..]);
        let pair = |b: &[u8]| (word(b, 0), long(b, 4));
        r.skip(n(4), 16)?;
        r.skip(n(5), 4)?;
        let entries: Vec<_> = r.items(n(6), 12)?.map(pair).map(|(offset, pc)| (pc, offset)).collect();
        r.skip(n(8), 12)?;
        let points = r.items(n(10), 12)?.map(pair).collect();
        let relocs = r.items(n(9), 16)?;
        let recipes = r.items(n(11), 4)?.map(|b| word(b, 0)).collect();
        let mut host = r.take(n(12) as usize)?.to_vec();
        if entries.iter().any(|(_, offset)| *offset as usize >= host.len()) {
            return None;
        }
        let ops: Vec<Op> = if n(13) == 1 { Vec::new() } else { postcard::from_bytes(r.take(n(13) as usize)?).ok()? };
        let ops: Vec<Box<Op>> = ops.into_iter().map(Box::new).collect();
        let (tier, count) = (if n(3) != 0 { Tier::Optimized } else { Tier::Quick }, n(7) as usize);
        if count > bytes.len() {
            return None;
        }
        let cells: Box<[AtomicU64]> = match tier {
            Tier::Quick => quick::new_cells(count / 2, stub, 1),
            Tier::Optimized => (0..count).map(|_| AtomicU64::new(stub)).collect(),
        };
        for b in relocs {
            let (at, value) = (word(b, 0) as usize, long(b, 8));
            let address = match word(b, 4) {
                CELLS => std::ptr::from_ref(cells.get(value as usize / 8)?) as u64,
                OP => std::ptr::from_ref(&**ops.get(value as usize)?) as u64,
                _ => Name::Program(value as i64).program()?,
            };
            host.get_mut(at..at + 8)?.copy_from_slice(&address.to_le_bytes());
        }
        let faults = Box::new(FaultTable { points, recipes, pc: long(head, 0) });
        Some((tier, Code { bytes: host, entries, faults, cells, ops, ..Code::default() }))
    }

    /// The guest code of the record that became `bytes`.
    pub(crate) fn guest_code(bytes: &[u8]) -> Option<GuestCode<'_>> {
        let head = bytes.get(..4 * HEAD)?;
        let mut r = Reader(&bytes[4 * HEAD..]);
        let ranges = r.take((word(head, 16) as usize).checked_mul(16)?)?;
        let words = r.take((word(head, 20) as usize).checked_mul(4)?)?;
        Some(GuestCode { ranges, words })
    }

    /// Were both records, as bytes, made from the same guest code?
    pub(crate) fn same_code(a: &[u8], b: &[u8]) -> bool {
        let code = |bytes| Record::guest_code(bytes).map(|code| (code.ranges, code.words));
        code(a) == code(b)
    }
}
