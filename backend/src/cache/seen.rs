//! Which blocks have run once: a bit for each, by page. Most code of a short run is never run again, so nothing else is
//! kept of it: what is run a second time is translated.

use std::ops::Range;

use rustc_hash::FxHashMap;

use super::{At, PAGE, PageWords};

/// See the module documentation.
pub(super) struct Seen {
    /// By the number of the page that they are invalidated by: few modes see the same one, at few guest addresses.
    pages: FxHashMap<u64, Vec<Page>>,
    /// Addresses are translated: blocks are invalidated by physical page.
    paged: bool,
}

/// Bits for the first instructions of blocks.
struct Page {
    /// The page's first instruction.
    base: At,
    run: PageWords,
    /// Those that [`Seen::take`] gave.
    given: PageWords,
}

impl Page {
    fn new(base: At) -> Page {
        let none = [0; PAGE as usize / 256];
        Page { base, run: none, given: none }
    }
}

/// The page of `at`, and where in it: index of a word of bits, and the bit.
fn place(at: At) -> (At, usize, u64) {
    let word = at.key.pc % PAGE / 4;
    (at.to(at.key.pc & !(PAGE - 1)), word as usize / 64, 1 << (word % 64))
}

impl Seen {
    /// Nothing has run; `paged` where addresses are translated.
    pub(super) fn new(paged: bool) -> Seen {
        Seen { pages: FxHashMap::default(), paged }
    }

    /// The number of the page that `at` is invalidated by.
    fn number(&self, at: At) -> u64 {
        if self.paged { at.page / PAGE } else { at.key.pc / PAGE }
    }

    /// Notes that the block at `at` runs. Is that new?
    #[inline]
    pub(super) fn add(&mut self, at: At) -> bool {
        let (base, n, bit) = place(at);
        let pages = self.pages.entry(self.number(at)).or_default();
        let known = pages.iter().position(|p| p.base == base).unwrap_or_else(|| {
            pages.push(Page::new(base));
            pages.len() - 1
        });
        let run = &mut pages[known].run[n];
        let new = *run & bit == 0;
        *run |= bit;
        new
    }

    /// Has the block at `at` run?
    #[inline]
    pub(super) fn contains(&self, at: At) -> bool {
        let (base, n, bit) = place(at);
        let mut pages = self.pages.get(&self.number(at)).into_iter().flatten();
        pages.find(|p| p.base == base).is_some_and(|p| p.run[n] & bit != 0)
    }

    /// The blocks that were not given before.
    pub(super) fn take(&mut self) -> Vec<At> {
        let mut blocks = Vec::new();
        for page in self.pages.values_mut().flatten() {
            for word in 0..PAGE / 4 {
                let (n, bit) = (word as usize / 64, 1 << (word % 64));
                if page.run[n] & !page.given[n] & bit != 0 {
                    blocks.push(page.base.to(page.base.key.pc + 4 * word));
                }
            }
            page.given = page.run;
        }
        blocks
    }

    /// [`Seen::take`] need not give those that are known now.
    pub(super) fn set_given(&mut self) {
        self.pages.values_mut().flatten().for_each(|page| page.given = page.run);
    }

    /// Forgets the blocks that are made from bytes in `range`, as [`super::Cache::invalidate`] knows them.
    pub(super) fn forget(&mut self, range: &Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (first, last) = (range.start / PAGE, (range.end - 1) / PAGE);
        if last - first >= self.pages.len() as u64 {
            return self.pages.retain(|number, _| !(first..=last).contains(number));
        }
        for number in first..=last {
            let Some(pages) = self.pages.get_mut(&number) else { continue };
            let start = number * PAGE;
            for address in (start..start + PAGE).step_by(4).filter(|address| range.contains(address)) {
                let word = (address % PAGE / 4) as usize;
                pages.iter_mut().for_each(|page| page.run[word / 64] &= !(1 << (word % 64)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jib_ir::region::Key;

    #[test]
    fn blocks_are_given_once_and_forgotten_by_page() {
        let at = |pc, mode| At { key: Key { pc, mode }, page: 0 };
        let mut seen = Seen::new(false);
        assert!(seen.add(at(0x1ffc, 0)) && seen.add(at(0x2000, 1)) && !seen.add(at(0x2000, 1)));
        assert!(seen.contains(at(0x1ffc, 0)) && !seen.contains(at(0x1ffc, 1)) && !seen.contains(at(0x1ff8, 0)));
        let mut given = seen.take();
        given.sort_by_key(|at| at.key);
        assert_eq!(given, [at(0x1ffc, 0), at(0x2000, 1)]);
        assert_eq!(seen.take(), []);
        seen.add(at(0x1000, 0));
        seen.add(at(0x1ffc, 0));
        assert_eq!(seen.take(), [at(0x1000, 0)]);
        seen.forget(&(0x1800..0x2000));
        assert!(!seen.contains(at(0x1ffc, 0)) && seen.contains(at(0x1000, 0)) && seen.contains(at(0x2000, 1)));
        seen.forget(&(0..u64::MAX));
        assert!(!seen.contains(at(0x1000, 0)) && !seen.contains(at(0x2000, 1)));
    }

    #[test]
    fn where_addresses_are_translated_the_physical_page_counts() {
        let at = |pc, page| At { key: Key { pc, mode: 0 }, page };
        let mut seen = Seen::new(true);
        let blocks = [at(0xffff_8000, 0x5000), at(0x1008, 0x5000), at(0x1008, 0x6000)];
        assert!(blocks.into_iter().all(|at| seen.add(at)));
        assert!(!seen.contains(at(0xffff_8000, 0x6000)));
        seen.forget(&(0x1000..0x2000));
        assert_eq!(blocks.map(|at| seen.contains(at)), [true; 3]);
        seen.forget(&(0x5008..0x500c));
        assert_eq!(blocks.map(|at| seen.contains(at)), [true, false, true]);
        seen.forget(&(0..u64::MAX));
        assert_eq!(blocks.map(|at| seen.contains(at)), [false; 3]);
    }
}
