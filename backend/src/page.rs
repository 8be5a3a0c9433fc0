//! How lifts read guest code: how far, and one page alone where addresses are translated; and which pages have been
//! seen.

use std::sync::atomic::{AtomicU64, Ordering};

use jib_ir::guest::Fetch;
use jib_ir::runtime::{Access, Fault};

use crate::cache::{PAGE, PageWords};

/// Reads code by `fetch`, and goes on where `follows` says so.
pub(crate) struct Following<'a> {
    pub(crate) fetch: &'a dyn Fetch,
    pub(crate) follows: &'a dyn Fn(u64) -> bool,
}

impl Fetch for Following<'_> {
    fn word(&self, pc: u64) -> Result<u32, Fault> {
        self.fetch.word(pc)
    }

    fn words(&self, pc: u64, room: &mut [u32]) -> Result<usize, Fault> {
        self.fetch.words(pc, room)
    }

    fn follows(&self, pc: u64) -> bool {
        (self.follows)(pc)
    }
}

/// Reads the code of one page, seen at guest address `base`, from physical address `page`. A region stays in its page:
/// where the next one is mapped may change independently.
pub(crate) struct OnePage<'a> {
    pub(crate) fetch: &'a (dyn Fetch + Send + Sync),
    pub(crate) base: u64,
    pub(crate) page: u64,
    pub(crate) words: &'a PageWords,
}

impl Fetch for OnePage<'_> {
    fn word(&self, pc: u64) -> Result<u32, Fault> {
        let at = |fault| Fault { addr: pc, ..fault };
        let offset = pc.wrapping_sub(self.base);
        if offset >= PAGE || self.words[offset as usize / 256] >> (offset / 4 % 64) & 1 == 0 {
            return Err(Fault { addr: pc, access: Access::Fetch, cause: 0 });
        }
        self.fetch.word(self.page + offset).map_err(at)
    }
}

/// A set of pages that grows only and may contain more than was put in.
pub(crate) struct PageSet(Box<[AtomicU64]>);

impl Default for PageSet {
    fn default() -> Self {
        PageSet((0..PageSet::WORDS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl PageSet {
    const WORDS: usize = 2048;

    fn place(&self, page: u64) -> (&AtomicU64, u64) {
        let hash = page ^ page >> 17;
        (&self.0[(hash / 64) as usize % PageSet::WORDS], 1 << (hash % 64))
    }

    pub(crate) fn add(&self, page: u64) {
        let (word, bit) = self.place(page);
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::SeqCst);
        }
    }

    pub(crate) fn may_contain(&self, page: u64) -> bool {
        let (word, bit) = self.place(page);
        word.load(Ordering::SeqCst) & bit != 0
    }
}
