//! Makes the sections of a file from records: all code in one piece, its addresses relative to itself.

use std::collections::{BTreeMap, HashMap, HashSet};

use rustc_hash::FxHashMap;

use jib_ir::region::Key;

use super::layout::{self, ALIGN, COUNT, Entry, LEADS, PATIENT, Point, STUB};
use super::record::{Name, Record};
use crate::cache::Tier;

/// Code begins at multiples of this.
const CODE_ALIGN: usize = 16;

/// The contents of the file known by `key` that holds `records`, later ones newer; about `max` bytes at most.
pub(super) fn file(key: u128, records: &[Record], max: usize) -> Option<Vec<u8>> {
    let kept = kept(records, max);
    let mut m = Made::default();
    for record in &kept {
        m.add(record)?;
    }
    m.resolve(&kept)?;
    let records = postcard::to_allocvec(&kept).ok()?;
    let names = postcard::to_allocvec(&m.names).ok()?;
    let entries = m.entries.iter().flat_map(|(&(pc, mode), e)| {
        Entry { pc, mode, offset: e.offset, optimized: e.tier == Tier::Optimized }.to_bytes()
    });
    let entries = entries.collect();
    let cells = m.cells.iter().flat_map(|c| c.to_le_bytes()).collect();
    let points = m.points.iter().flat_map(|p| p.to_bytes()).collect();
    let (ranges, words) = guest_code(&kept);
    Some(layout::file(key, &[entries, cells, points, ranges, words, names, m.code, records]))
}

/// Of `records` those worth keeping, in the same order: as long as there is room, those that agree with newer ones
/// about the guest's code and that no optimised one makes superfluous.
fn kept(records: &[Record], max: usize) -> Vec<&Record> {
    let mut words: FxHashMap<u64, u32> = FxHashMap::default();
    let mut keys = HashSet::new();
    let (mut kept, mut size) = (Vec::new(), 0);
    for tier in [Tier::Optimized, Tier::Quick] {
        for (n, record) in records.iter().enumerate().rev().filter(|(_, r)| r.tier() == tier) {
            let Key { pc, mode } = record.key();
            let agrees = record.code_words().all(|(pc, word)| words.get(&pc).is_none_or(|w| *w == word));
            if !agrees || keys.contains(&(pc, mode)) || size + record.weight() > max {
                continue;
            }
            size += record.weight();
            words.extend(record.code_words());
            keys.insert((pc, mode));
            kept.push(n);
        }
    }
    kept.sort_unstable();
    kept.into_iter().map(|n| &records[n]).collect()
}

/// The sections of the guest's code.
fn guest_code(records: &[&Record]) -> (Vec<u8>, Vec<u8>) {
    let code: BTreeMap<u64, u32> = records.iter().flat_map(|r| r.code_words()).collect();
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for &pc in code.keys() {
        match ranges.last_mut() {
            Some((start, len)) if *start + *len == pc => *len += 4,
            _ => ranges.push((pc, 4)),
        }
    }
    let ranges = ranges.iter().flat_map(|(start, len)| [start.to_le_bytes(), len.to_le_bytes()]).flatten();
    (ranges.collect(), code.values().flat_map(|w| w.to_le_bytes()).collect())
}

/// Where code is entered.
struct Place {
    offset: u32,
    tier: Tier,
    /// The code is that of its own region, not of one that has the place in its middle.
    own: bool,
}

#[derive(Default)]
struct Made {
    entries: BTreeMap<(u64, u32), Place>,
    cells: Vec<u32>,
    points: Vec<Point>,
    names: Vec<Name>,
    code: Vec<u8>,
    /// Offset of each record's code, and its first cell.
    starts: Vec<(usize, usize)>,
}

impl Made {
    /// Adds the code of `record`, its cells and its points.
    fn add(&mut self, record: &Record) -> Option<()> {
        self.code.resize(self.code.len().next_multiple_of(CODE_ALIGN), 0xcc);
        let start = u32::try_from(self.code.len()).ok()?;
        self.starts.push((self.code.len(), self.cells.len()));
        self.code.extend_from_slice(&record.bytes);
        for (n, (offset, pc)) in record.points.iter().enumerate() {
            let recipe = record.recipes.get(n).copied().unwrap_or(0);
            self.points.push(Point { offset: start + offset, recipe, pc: *pc });
        }
        let counts = record.tier() == Tier::Quick;
        self.cells.extend((0..record.cells).map(|n| if counts && n % 2 == 1 { COUNT } else { STUB }));
        for &(pc, offset) in &record.entries {
            let Key { pc: first, mode } = record.key();
            let place = Place { offset: start + offset, tier: record.tier(), own: pc == first };
            let rank = |p: &Place| (p.tier == Tier::Optimized, p.own);
            let known = self.entries.get(&(pc, mode));
            if known.is_none_or(|known| rank(known) < rank(&place)) {
                self.entries.insert((pc, mode), place);
            }
        }
        Some(())
    }

    /// Makes all addresses relative, and cells lead to code that is there.
    fn resolve(&mut self, records: &[&Record]) -> Option<()> {
        let mut numbers: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut sites = Vec::new();
        for (record, &(start, first_cell)) in records.iter().zip(&self.starts) {
            for (at, name) in &record.relocs {
                let site = start + *at as usize;
                sites.push(match name {
                    Name::Cells(offset) => (site, None, first_cell + *offset as usize / 8),
                    name => {
                        let name = record.whole_name(*name)?;
                        let number = *numbers.entry(postcard::to_allocvec(&name).ok()?).or_insert_with(|| {
                            self.names.push(name);
                            self.names.len() - 1
                        });
                        (site, Some(number), 0)
                    }
                });
            }
            for (cell, pc) in &record.targets {
                if let Some(to) = self.entries.get(&(*pc, record.key().mode)) {
                    let cell = first_cell + *cell as usize;
                    self.cells[cell] = LEADS + to.offset;
                    if to.tier == Tier::Optimized && self.cells.get(cell + 1) == Some(&COUNT) {
                        self.cells[cell + 1] = PATIENT;
                    }
                }
            }
        }
        let data = self.code.len().next_multiple_of(ALIGN);
        for (site, name, cell) in sites {
            let target = data + 8 * name.unwrap_or(self.names.len() + cell);
            relative(&mut self.code, site, target, name.is_some())?;
        }
        Some(())
    }
}

/// Turns `movabs r, imm64`, whose immediate is at `site`, into the address of what lies at offset `target` (`lea`), or
/// into what is there (`mov`). Three bytes of no operation fill the rest.
fn relative(code: &mut [u8], site: usize, target: usize, load: bool) -> Option<()> {
    let at = site.checked_sub(2)?;
    let insn: &mut [u8] = code.get_mut(at..at + 10)?;
    let (rex, register) = (insn[0], insn[1].wrapping_sub(0xb8));
    if rex & 0xfe != 0x48 || register > 7 {
        return None;
    }
    // The register's high bit moves from REX.B to REX.R.
    insn[0] = 0x48 | (rex & 1) << 2;
    insn[1] = if load { 0x8b } else { 0x8d };
    insn[2] = 0x05 | register << 3;
    let displacement = i32::try_from(target as i64 - (at as i64 + 7)).ok()?;
    insn[3..7].copy_from_slice(&displacement.to_le_bytes());
    insn[7..].copy_from_slice(&[0x0f, 0x1f, 0x00]);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn immediates_become_relative() {
        let movabs = |rex, op| [0x90, rex, op, 1, 2, 3, 4, 5, 6, 7, 8].to_vec();
        let mut code = movabs(0x48, 0xba);
        relative(&mut code, 3, 0x1000, false).expect("rdx");
        assert_eq!(code, [0x90, 0x48, 0x8d, 0x15, 0xf8, 0x0f, 0, 0, 0x0f, 0x1f, 0]);
        let mut code = movabs(0x49, 0xbf);
        relative(&mut code, 3, 0x1000, true).expect("r15");
        assert_eq!(code, [0x90, 0x4c, 0x8b, 0x3d, 0xf8, 0x0f, 0, 0, 0x0f, 0x1f, 0]);
        assert_eq!(relative(&mut movabs(0x48, 0x8b), 3, 0x1000, true), None);
    }
}
