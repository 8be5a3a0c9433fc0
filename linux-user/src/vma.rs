//! The list of guest mappings: what the guest has mapped where, and with which protection.
//!
//! Pure bookkeeping on page-aligned ranges; [`crate::space`] keeps it in step with the host.
//! A mapping costs one entry however large it is.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::journal::{self, Journal};

/// One mapping without its start, which is its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vma {
    /// First address after it.
    pub end: u64,
    /// Guest protection: `PROT_READ | PROT_WRITE | PROT_EXEC`.
    pub prot: i32,
    /// What it is, for `/proc/self/maps`.
    pub kind: Kind,
}

/// What a mapping is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Anything that was mapped with `mmap` or comes from the program file.
    Plain,
    /// Code of an image, with the image's identity: pages of a file that the guest has not been able to change.
    Image(u128),
    /// Grown by `brk`.
    Heap,
    /// The first thread's stack.
    Stack,
    /// The vDSO's code.
    Vdso,
    /// The vDSO's data.
    Vvar,
}

/// All mappings, disjoint, by start address.
#[derive(Default, Debug)]
pub(crate) struct VmaList {
    map: BTreeMap<u64, Vma>,
    /// Where changes are written down for others.
    journal: Option<Journal>,
}

impl VmaList {
    /// The mapping that holds `addr`, with its start.
    pub(crate) fn find(&self, addr: u64) -> Option<(u64, Vma)> {
        let (&start, &vma) = self.map.range(..=addr).next_back()?;
        (addr < vma.end).then_some((start, vma))
    }

    /// Is `addr` in a mapping, and not its start?
    pub(crate) fn is_inside(&self, addr: u64) -> bool {
        self.find(addr).is_some_and(|(start, _)| start != addr)
    }

    /// The mappings that overlap `range`, cut to it.
    pub(crate) fn overlapping(&self, range: Range<u64>) -> impl Iterator<Item = (Range<u64>, Vma)> + '_ {
        let first = self.find(range.start).map_or(range.start, |(start, _)| start);
        let end = range.end.max(first);
        self.map
            .range(first..end)
            .map(move |(&s, &v)| (s.max(range.start)..v.end.min(range.end), v))
            .filter(|(r, _)| r.start < r.end)
    }

    /// All mappings in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Range<u64>, Vma)> + '_ {
        self.map.iter().map(|(&s, &v)| (s..v.end, v))
    }

    /// The parts of `range` where nothing is mapped.
    pub(crate) fn gaps(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut gaps = Vec::new();
        let mut at = range.start;
        for (r, _) in self.overlapping(range.clone()) {
            if at < r.start {
                gaps.push(at..r.start);
            }
            at = r.end;
        }
        if at < range.end {
            gaps.push(at..range.end);
        }
        gaps
    }

    /// Is every byte of `range` mapped?
    pub(crate) fn covers(&self, range: Range<u64>) -> bool {
        self.mapped_prefix(range.clone()) == range.end
    }

    /// End of the mapped run that starts at `range.start`, at most `range.end`.
    pub(crate) fn mapped_prefix(&self, range: Range<u64>) -> u64 {
        let mut at = range.start;
        for (r, _) in self.overlapping(range) {
            if r.start != at {
                break;
            }
            at = r.end;
        }
        at
    }

    /// Is any page of `range` executable?
    pub(crate) fn any_exec(&self, range: Range<u64>) -> bool {
        self.overlapping(range).any(|(_, v)| v.prot & libc::PROT_EXEC != 0)
    }

    /// Maps `range`, replacing what was there.
    pub(crate) fn insert(&mut self, range: Range<u64>, prot: i32, kind: Kind) {
        if range.is_empty() {
            return;
        }
        self.note(journal::entry(range.start, range.end, Some((prot, kind))));
        self.take_out(range.clone());
        let (mut start, mut end) = (range.start, range.end);
        let same = |v: &Vma| v.prot == prot && v.kind == kind;
        if let Some((s, v)) = start.checked_sub(1).and_then(|a| self.find(a))
            && same(&v)
        {
            self.map.remove(&s);
            start = s;
        }
        if let Some(&v) = self.map.get(&end)
            && same(&v)
        {
            self.map.remove(&end);
            end = v.end;
        }
        self.map.insert(start, Vma { end, prot, kind });
    }

    /// Unmaps `range`.
    pub(crate) fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        self.note(journal::entry(range.start, range.end, None));
        self.take_out(range);
    }

    fn take_out(&mut self, range: Range<u64>) {
        self.split(range.start);
        self.split(range.end);
        let starts: Vec<u64> = self.map.range(range).map(|(&s, _)| s).collect();
        for s in starts {
            self.map.remove(&s);
        }
    }

    /// Changes the protection of what is mapped in `range`.
    pub(crate) fn protect(&mut self, range: Range<u64>, prot: i32) {
        let parts: Vec<_> = self.overlapping(range).collect();
        for (r, v) in parts {
            let kind = match v.kind {
                Kind::Image(_) if prot & libc::PROT_WRITE != 0 => Kind::Plain,
                kind => kind,
            };
            self.insert(r, prot, kind);
        }
    }

    /// The image whose code is at `pc`: its identity, and the executable pages of it around there.
    pub(crate) fn image_at(&self, pc: u64) -> Option<(u128, Range<u64>)> {
        match self.find(pc) {
            Some((start, Vma { end, prot, kind: Kind::Image(identity) })) if prot & libc::PROT_EXEC != 0 => {
                Some((identity, start..end))
            }
            _ => None,
        }
    }

    /// Has changes written down in `journal` from now on.
    pub(crate) fn publish(&mut self, mut journal: Journal) {
        if journal.rewrite(&self.entries()) {
            self.journal = Some(journal);
        }
    }

    /// The journal's descriptor.
    pub(crate) fn descriptor(&self) -> Option<i32> {
        self.journal.as_ref().map(Journal::descriptor)
    }

    /// In a forked process: what it changes is not its parent's.
    pub(crate) fn forked(&mut self) {
        let entries = self.entries();
        self.journal = self.journal.take().and_then(|journal| journal.renewed(&entries));
    }

    fn entries(&self) -> Vec<[u64; 3]> {
        self.iter().map(|(r, v)| journal::entry(r.start, r.end, Some((v.prot, v.kind)))).collect()
    }

    fn note(&mut self, entry: [u64; 3]) {
        let Some(mut journal) = self.journal.take() else { return };
        // Written before the list changes: what is dropped here comes with the next entry.
        let alive = journal.has_room() || journal.rewrite(&self.entries());
        if alive {
            journal.add(entry);
            self.journal = Some(journal);
        }
    }

    /// Makes `at` a boundary.
    fn split(&mut self, at: u64) {
        if let Some((start, vma)) = self.find(at)
            && start < at
        {
            self.map.insert(start, Vma { end: at, ..vma });
            self.map.insert(at, vma);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const R: i32 = libc::PROT_READ;
    const RX: i32 = libc::PROT_READ | libc::PROT_EXEC;

    fn list(l: &VmaList) -> Vec<(u64, u64, i32)> {
        l.iter().map(|(r, v)| (r.start, r.end, v.prot)).collect()
    }

    #[test]
    fn neighbours_merge_and_holes_split() {
        let mut l = VmaList::default();
        l.insert(0x1000..0x3000, R, Kind::Plain);
        l.insert(0x3000..0x5000, R, Kind::Plain);
        assert_eq!(list(&l), [(0x1000, 0x5000, R)]);
        l.remove(0x2000..0x3000);
        assert_eq!(list(&l), [(0x1000, 0x2000, R), (0x3000, 0x5000, R)]);
        assert_eq!(l.gaps(0..0x6000), [0..0x1000, 0x2000..0x3000, 0x5000..0x6000]);
        l.insert(0x2000..0x3000, R, Kind::Plain);
        assert_eq!(list(&l), [(0x1000, 0x5000, R)]);
    }

    #[test]
    fn protect_cuts_out_the_middle_and_heals() {
        let mut l = VmaList::default();
        l.insert(0x1000..0x9000, R, Kind::Plain);
        l.protect(0x3000..0x4000, RX);
        assert_eq!(list(&l), [(0x1000, 0x3000, R), (0x3000, 0x4000, RX), (0x4000, 0x9000, R)]);
        assert!(l.any_exec(0x3fff..0x5000) && !l.any_exec(0x4000..0x9000));
        assert!(l.covers(0x1000..0x9000) && !l.covers(0..0x2000) && !l.covers(0x8000..0xa000));
        assert_eq!(l.mapped_prefix(0x2000..0xa000), 0x9000);
        l.protect(0..0x10000, R);
        assert_eq!(list(&l), [(0x1000, 0x9000, R)]);
    }

    #[test]
    fn a_huge_reservation_is_one_entry() {
        let mut l = VmaList::default();
        l.insert(1 << 44..2 << 44, 0, Kind::Plain);
        l.protect(1 << 44..(1 << 44) + 0x1000, R);
        assert_eq!(l.iter().count(), 2);
        assert_eq!(l.find((1 << 44) + 0x1000).unwrap().1.prot, 0);
    }

    #[test]
    fn images_are_cut_and_end_when_they_become_writable() {
        let mut l = VmaList::default();
        l.insert(0x1000..0x9000, RX, Kind::Image(7));
        l.insert(0x9000..0xa000, RX, Kind::Image(8));
        assert_eq!(l.image_at(0x8fff), Some((7, 0x1000..0x9000)));
        assert_eq!(l.image_at(0x9000), Some((8, 0x9000..0xa000)));
        l.insert(0x3000..0x4000, RX, Kind::Plain);
        l.remove(0x8000..0x9000);
        assert_eq!(
            [0x2fff, 0x3000, 0x4000, 0x8000].map(|pc| l.image_at(pc)),
            [Some((7, 0x1000..0x3000)), None, Some((7, 0x4000..0x8000)), None,]
        );
        // Unreachable for a while is no change; writable for a while may be one.
        l.protect(0x4000..0x5000, 0);
        assert_eq!([0x4fff, 0x5000].map(|pc| l.image_at(pc)), [None, Some((7, 0x5000..0x8000))]);
        l.protect(0x4000..0x5000, RX);
        assert_eq!(l.image_at(0x4000), Some((7, 0x4000..0x8000)));
        l.protect(0x5000..0x6000, RX | libc::PROT_WRITE);
        l.protect(0x5000..0x6000, RX);
        assert_eq!([0x4fff, 0x5000].map(|pc| l.image_at(pc)), [Some((7, 0x4000..0x5000)), None]);
    }

    #[test]
    fn random_operations_agree_with_a_page_array() {
        let mut l = VmaList::default();
        let mut pages = [None; 64];
        let mut x = 1u64;
        for _ in 0..20_000 {
            x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let (a, b, prot) = ((x >> 33) % 64, (x >> 43) % 65, (x >> 53) as i32 & 7);
            let (a, b) = (a.min(b), a.max(b));
            let r = a << 12..b << 12;
            let slice = &mut pages[a as usize..b as usize];
            match x >> 60 & 3 {
                0 => (l.remove(r), slice.fill(None)).0,
                1 => (l.protect(r, prot), slice.iter_mut().flatten().for_each(|p| *p = prot)).0,
                _ => (l.insert(r, prot, Kind::Plain), slice.fill(Some(prot))).0,
            }
            for (i, p) in pages.iter().enumerate() {
                assert_eq!(l.find((i as u64) << 12).map(|(_, v)| v.prot), *p);
            }
        }
    }
}
