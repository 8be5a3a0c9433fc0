//! Translations of whole systems from other boots, and for them: the way from and to [`PageStore`].
//!
//! What the guest's code was is noted as it is lifted: at the end most of it is gone, since kernels change and free the
//! code that they start with.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jib_ir::guest::{Fetch, Guest};
use jib_ir::region::{Key, Region};
use jib_ir::runtime::Fault;

use crate::cache::{At, Cache, Made, PAGE, Subject, Tier, Unit, virtual_page};
use crate::store::{Kept, PageStore, Piece, Record};
use crate::translator::Translator;

/// The words of a page that a lift has read.
#[derive(Default)]
pub(crate) struct WordsRead(RefCell<Read>);

#[derive(Default)]
struct Read {
    /// By offset in the page, in words.
    words: Vec<Option<u32>>,
    /// One was another the next time.
    unsteady: bool,
}

impl WordsRead {
    /// Notes that the word at `offset` in the page was read as `word`.
    pub(crate) fn note(&self, offset: u64, word: u32) {
        let mut read = self.0.borrow_mut();
        let n = (offset / 4) as usize;
        if read.words.len() <= n {
            read.words.resize(n + 1, None);
        }
        read.unsteady |= read.words[n].is_some_and(|known| known != word);
        read.words[n] = Some(word);
    }

    /// The words of `region`'s code, if all of them were read and stayed what they were.
    pub(crate) fn of(&self, region: &Region) -> Option<Vec<u32>> {
        let read = self.0.borrow();
        let all = region.code.iter().flat_map(|r| r.clone().step_by(4));
        let words = all.map(|at| read.words.get((at % PAGE / 4) as usize).copied().flatten());
        words.collect::<Option<Vec<u32>>>().filter(|_| !read.unsteady)
    }
}

impl<G: Guest> Translator<G> {
    /// The unit of `at` with code from what is kept, if there is some of the guest's code.
    pub(crate) fn recall_page_at(&self, at: At) -> Option<Arc<Unit>> {
        self.kept_pages(at.key)?.find(at.key).next()?;
        let (unit, _) = self.with_cache(|c| c.unit(at));
        (unit.code.load(Ordering::Acquire) != 0 || self.recall_page(&unit)).then_some(unit)
    }

    /// What is kept, if code at `key` may be there.
    fn kept_pages(&self, key: Key) -> Option<Arc<Kept>> {
        self.pages.as_ref().filter(|_| PageStore::takes(key.pc)).and_then(|p| p.kept(&self.options))
    }

    /// Takes the code of `unit` from what is kept, if there is some of the guest's code.
    pub(crate) fn recall_page(&self, unit: &Unit) -> bool {
        let key = unit.at.key;
        let Some(kept) = self.kept_pages(key) else { return false };
        let mut lift = None;
        for piece in kept.find(key) {
            let begun = *lift.get_or_insert_with(|| self.with_cache(Cache::begin_lift));
            let Some((subject, tier, code)) = self.fitting(unit, &piece) else { continue };
            self.pages_seen.add(virtual_page(key.pc));
            let recalled = self.with_cache(|c| c.recall(begun, unit, subject, code, tier));
            if recalled {
                kept.note_use(&piece);
                self.counters.recalled.fetch_add(1, Ordering::Relaxed);
            }
            return recalled;
        }
        if lift.is_some() {
            self.with_cache(Cache::forget_lift);
        }
        false
    }

    /// The code of `piece` for `unit`, if the guest's is what it was made from.
    fn fitting(&self, unit: &Unit, piece: &Piece<'_>) -> Option<(Subject, Tier, crate::compile::Code)> {
        let (at, guest) = (unit.at, Record::guest_code(piece.bytes)?);
        let base = at.key.pc & !(PAGE - 1);
        let inside = |pc: u64, len: usize| pc.wrapping_sub(base) < PAGE && pc.wrapping_sub(base) + len as u64 <= PAGE;
        let shows = |pc: u64, code: &[u8]| inside(pc, code.len()) && self.fetch.shows(pc - base + at.page, code);
        guest.agrees(shows).then_some(())?;
        let ranges = guest.ranges().map(|r| r.start - base + at.page..r.end - base + at.page).collect();
        let (tier, code) = Record::code(piece.bytes, self.stub)?;
        Some((Subject { at, ranges, words: Vec::new() }, tier, code))
    }

    /// Writes what was translated since the last time to the store. Not what ran once: to look for it, compare it and copy
    /// it costs what lifting it again does.
    pub fn keep_pages(&self) {
        let Some(pages) = &self.pages else { return };
        let made = self.with_cache(Cache::take_unkept);
        let records: Vec<Record> = made.into_iter().map(record).collect();
        pages.add(&self.options, &records);
    }
}

/// As it is kept: with guest addresses, not physical ones.
fn record(made: Made) -> Record {
    let Subject { at, ranges, words } = made.subject;
    let base = at.key.pc & !(PAGE - 1);
    let ranges = ranges.into_iter().map(|r| r.start - at.page + base..r.end - at.page + base).collect();
    Record::new(at.key, made.tier, (ranges, words), made.code)
}

/// Reads words and notes them.
pub(crate) struct Noting<'a> {
    pub(crate) fetch: &'a dyn Fetch,
    pub(crate) read: &'a WordsRead,
}

impl Fetch for Noting<'_> {
    fn word(&self, pc: u64) -> Result<u32, Fault> {
        let word = self.fetch.word(pc)?;
        self.read.note(pc % PAGE, word);
        Ok(word)
    }
}
