//! Which blocks have run once: a bit for each, by page. Most code of a short run is never run again, so nothing else is
//! kept of it: what is run a second time is translated.

use std::ops::Range;

use jib_ir::region::Key;
use rustc_hash::FxHashMap;

use super::{At, PAGE, PageWords};

/// See the module documentation.
#[derive(Default)]
pub(super) struct Seen {
    pages: FxHashMap<At, Page>,
    /// The modes there are among them.
    modes: Vec<u32>,
}

/// Bits for the first instructions of blocks.
#[derive(Default)]
struct Page {
    run: PageWords,
    /// Those that [`Seen::take`] gave.
    given: PageWords,
}

/// The page of `at`, and where in it: index of a word of bits, and the bit.
fn place(at: At) -> (At, usize, u64) {
    let word = at.key.pc % PAGE / 4;
    (at.to(at.key.pc & !(PAGE - 1)), word as usize / 64, 1 << (word % 64))
}

impl Seen {
    /// Notes that the block at `at` runs. Is that new?
    #[inline]
    pub(super) fn add(&mut self, at: At) -> bool {
        let (page, n, bit) = place(at);
        let page = self.pages.entry(page).or_insert_with(|| {
            if !self.modes.contains(&at.key.mode) {
                self.modes.push(at.key.mode);
            }
            Page::default()
        });
        let new = page.run[n] & bit == 0;
        page.run[n] |= bit;
        new
    }

    /// Has the block at `at` run?
    #[inline]
    pub(super) fn contains(&self, at: At) -> bool {
        let (page, n, bit) = place(at);
        self.pages.get(&page).is_some_and(|p| p.run[n] & bit != 0)
    }

    /// The blocks that were not given before.
    pub(super) fn take(&mut self) -> Vec<At> {
        let mut blocks = Vec::new();
        for (base, page) in &mut self.pages {
            for word in 0..PAGE / 4 {
                let (n, bit) = (word as usize / 64, 1 << (word % 64));
                if page.run[n] & !page.given[n] & bit != 0 {
                    blocks.push(base.to(base.key.pc + 4 * word));
                }
            }
            page.given = page.run;
        }
        blocks
    }

    /// [`Seen::take`] need not give those that are known now.
    pub(super) fn set_given(&mut self) {
        self.pages.values_mut().for_each(|page| page.given = page.run);
    }

    /// Forgets the blocks at guest addresses in `range`, of which the page is known by no other.
    pub(super) fn forget(&mut self, range: &Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (first, last) = (range.start / PAGE, (range.end - 1) / PAGE);
        if last - first >= self.pages.len() as u64 {
            return self.pages.retain(|at, _| !(first..=last).contains(&(at.key.pc / PAGE)));
        }
        for (base, &mode) in (first..=last).flat_map(|page| self.modes.iter().map(move |mode| (page * PAGE, mode))) {
            let at = At { key: Key { pc: base, mode }, page: 0 };
            let Some(page) = self.pages.get_mut(&at) else { continue };
            for pc in (base..base + PAGE).step_by(4).filter(|pc| range.contains(pc)) {
                let (_, n, bit) = place(at.to(pc));
                page.run[n] &= !bit;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_given_once_and_forgotten_by_page() {
        let at = |pc, mode| At { key: Key { pc, mode }, page: 0 };
        let mut seen = Seen::default();
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
}
