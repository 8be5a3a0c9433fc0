//! What the cache and others reach of a running thread: since when it is inside compiled code, and the tables that
//! compiled code searches at indirect exits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jib_ir::region::Key;

use super::Unit;
use crate::abi::{self, Tag};
use crate::code_memory::Zeroed;

/// The part of a running thread that others look at.
pub(crate) struct Thread {
    /// The epoch at which the thread entered compiled code, or [`OUTSIDE`].
    pub(crate) inside_since: AtomicU64,
    /// Searched by compiled code at indirect exits; which one, its own thread decides.
    pub(crate) tables: Box<[Table]>,
}

/// Pairs of tag and code address. The owning thread fills it; others only clear entries.
pub(crate) struct Table {
    pub(crate) words: Zeroed,
    /// Tags hold the mode: the table serves all modes.
    tagged: bool,
}

/// The thread is not inside compiled code.
pub(crate) const OUTSIDE: u64 = u64::MAX;

impl Thread {
    /// A thread with `tables` tables, `tagged` by mode or not.
    pub(crate) fn new(tables: usize, tagged: bool) -> Arc<Thread> {
        let tables = (0..tables).map(|_| Table::new(tagged)).collect();
        Arc::new(Thread { inside_since: AtomicU64::new(OUTSIDE), tables })
    }

    pub(super) fn clear(&self, key: Key) {
        self.tables.iter().for_each(|t| t.clear(key));
    }
}

impl Table {
    fn new(tagged: bool) -> Table {
        // Most of it is never touched.
        let words = Zeroed::new(2 * abi::table_entries(!tagged));
        words[0].store(Tag::empty(0), Ordering::Relaxed);
        Table { words, tagged }
    }

    fn tag(&self, key: Key) -> u64 {
        if self.tagged { Tag::of(key) } else { key.pc }
    }

    fn entry(&self, key: Key) -> usize {
        Tag::entry(key, self.words.len() / 2)
    }

    /// Makes indirect exits find `code` for `key`, if the place is free. Whoever takes the code away must wait.
    pub(super) fn offer(&self, key: Key, code: u64) {
        let entry = self.entry(key);
        if self.words[2 * entry].load(Ordering::Relaxed) == Tag::empty(entry) {
            self.words[2 * entry + 1].store(code, Ordering::Release);
            self.words[2 * entry].store(self.tag(key), Ordering::SeqCst);
        }
    }

    /// Makes indirect exits find `code` for the key of `unit`, unless the unit has lost it meanwhile.
    pub(crate) fn fill(&self, unit: &Unit, code: u64) {
        let key = unit.at.key;
        let entry = self.entry(key);
        let at = 2 * entry;
        if self.words[at].load(Ordering::Relaxed) == self.tag(key) && self.words[at + 1].load(Ordering::Relaxed) == code
        {
            return;
        }
        // Nobody may see the new tag with the old address.
        self.words[at].store(Tag::empty(entry), Ordering::Release);
        self.words[at + 1].store(code, Ordering::Release);
        self.words[at].store(self.tag(key), Ordering::SeqCst);
        // Who takes code away clears the unit first and tables then.
        if unit.code.load(Ordering::SeqCst) != code {
            self.clear(key);
        }
    }

    pub(super) fn clear(&self, key: Key) {
        let entry = self.entry(key);
        let tag = &self.words[2 * entry];
        let _ = tag.compare_exchange(self.tag(key), Tag::empty(entry), Ordering::SeqCst, Ordering::Relaxed);
    }

    /// Forgets everything.
    pub(crate) fn clear_all(&self) {
        let tags = self.words.iter().step_by(2).enumerate();
        // What is zero has never been used, and is not to be given memory.
        let used = tags.filter(|(_, tag)| tag.load(Ordering::Relaxed) != 0);
        used.for_each(|(entry, tag)| tag.store(Tag::empty(entry), Ordering::Release));
    }
}
