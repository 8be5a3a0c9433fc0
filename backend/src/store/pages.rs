//! Translations of a whole system, kept for its next boot.
//!
//! There is one file for what is booted: a kernel or firmware. It holds pieces of code, each found by guest address and
//! mode, with the guest code that it was made from; a piece is used where the guest shows just that code, in whatever
//! physical page. Several pieces may be about one address, since kernels change their code as they start, and programs
//! share addresses. Pieces are copied into the code memory as if they had just been made.
//!
//! Kept is only code at addresses that may come again: the kernel's, and those below 4 GiB, where programs are linked to
//! and firmware runs. What a guest's kernel places at random is elsewhere each time.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jib_ir::region::Key;
use memmap2::Mmap;
use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::layout::{self, Layout, Section, long, word};
use super::record::Record;
use super::{SMALL, WORTH_WRITING, common, folder, map};
use crate::cache::Tier;
use crate::cache_dir::{self, CacheDir};
use crate::options::{Memory, Options};

/// About what a file may hold, in bytes.
const MAX_FILE: usize = 64 << 20;
/// Most pieces of one tier for one key.
const VARIANTS: usize = 6;
/// Bytes of an entry of the index: pc, mode, tier, offset and length of the piece.
const ENTRY: usize = 24;

/// Where a system's translations are kept, given to [`Options`] of a translator.
pub struct PageStore {
    folder: Arc<CacheDir>,
    /// A digest of what is booted.
    identity: u128,
    /// What the guest's translations depend on besides its code.
    guest: Vec<u8>,
    /// What there is, once it has been looked for.
    kept: Mutex<Option<Option<Arc<Kept>>>>,
}

impl PageStore {
    /// A store in `folder` for the system that `boots` from these bytes. `guest` as for [`super::Store::new`].
    pub fn new(folder: Arc<CacheDir>, boots: &[u8], guest: &[u8]) -> PageStore {
        PageStore { folder, identity: xxh3_128(boots), guest: guest.to_vec(), kept: Mutex::default() }
    }

    /// A number for `purpose` that is the same each time this is booted with this folder, and that nobody else knows;
    /// `None` if the folder has no salt.
    pub fn number(&self, purpose: &str) -> Option<u64> {
        let mut hash = Xxh3::new();
        hash.update(&self.folder.salt().ok()?);
        hash.update(&self.identity.to_le_bytes());
        hash.update(purpose.as_bytes());
        Some(hash.digest())
    }

    /// Can translations made under `options` be kept?
    pub(crate) fn serves(&self, options: &Options) -> bool {
        options.memory == Memory::Table && super::can_keep(options)
    }

    /// May code at `pc` be found there again?
    pub(crate) fn takes(pc: u64) -> bool {
        pc >> 63 != 0 || pc >> 32 == 0
    }

    /// What is kept.
    pub(crate) fn kept(&self, options: &Options) -> Option<Arc<Kept>> {
        self.lock().get_or_insert_with(|| self.load(options).map(Arc::new)).clone()
    }

    fn load(&self, options: &Options) -> Option<Kept> {
        let key = self.key(options);
        let file = folder::open(self.folder.as_fd(), key)?;
        let kept = Kept::new(Layout::new(map(&file)?, key)?)?;
        folder::touch(&file);
        Some(kept)
    }

    /// Adds `records`, later ones newer, if that is worth while.
    pub(crate) fn add(&self, options: &Options, records: &[Record]) {
        let used = self.kept(options);
        // Another process may have been here meanwhile.
        let old = self.load(options);
        let mut made = Made::default();
        for record in records.iter().rev() {
            made.offer(record.key(), record.tier(), record.to_bytes());
        }
        if let Some(old) = &old {
            made.pieces.retain(|(key, tier, piece)| !old.has(*key, *tier, piece));
        }
        let (added, len) = (made.bytes(), old.as_ref().map_or(0, |old| old.layout.len()));
        if added == 0 || (len > SMALL && added * WORTH_WRITING < len) {
            return;
        }
        if let Some(old) = &old {
            // What was of use just now comes first.
            let was_used = |n: usize| used.as_ref().is_some_and(|u| u.layout.len() == len && u.is_used(n));
            for wanted in [true, false] {
                for piece in old.pieces().filter(|p| was_used(p.number) == wanted) {
                    made.offer(piece.key, piece.tier, piece.bytes.to_vec());
                }
            }
        }
        // A failure costs only time, the next time.
        let written = folder::replace(self.folder.as_fd(), self.key(options), &made.file(self.key(options)));
        let _ = written.map(|()| self.folder.collect(cache_dir::DEFAULT_LIMIT));
        *self.lock() = None;
    }

    fn key(&self, options: &Options) -> u128 {
        xxh3_128(format!("system {} {:x}", common(options, &self.guest), self.identity).as_bytes())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Option<Arc<Kept>>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for PageStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PageStore").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// One piece of a file.
pub(crate) struct Piece<'a> {
    number: usize,
    key: Key,
    tier: Tier,
    /// A record.
    pub(crate) bytes: &'a [u8],
}

/// A file that was found whole.
pub(crate) struct Kept {
    layout: Layout<Mmap>,
    /// A bit for each piece: it has been used.
    used: Box<[AtomicU64]>,
}

impl Kept {
    fn new(layout: Layout<Mmap>) -> Option<Kept> {
        layout.section(Section::Records)?;
        let entries = layout.section(Section::Entries)?.len() / ENTRY;
        Some(Kept { layout, used: (0..entries.div_ceil(64)).map(|_| AtomicU64::new(0)).collect() })
    }

    fn index(&self) -> &[u8] {
        self.layout.place(Section::Entries).map_or(&[], |(_, bytes)| bytes)
    }

    fn piece(&self, number: usize) -> Option<Piece<'_>> {
        let e = self.index().get(number * ENTRY..(number + 1) * ENTRY)?;
        let (start, len) = (word(e, 16) as usize, word(e, 20) as usize);
        let bytes = self.layout.place(Section::Records)?.1.get(start..start.checked_add(len)?)?;
        let tier = if word(e, 12) == 0 { Tier::Optimized } else { Tier::Quick };
        Some(Piece { number, key: Key { pc: long(e, 0), mode: word(e, 8) }, tier, bytes })
    }

    fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        (0..self.index().len() / ENTRY).map_while(|n| self.piece(n))
    }

    /// The pieces for `key`, better ones first.
    pub(crate) fn find(&self, key: Key) -> impl Iterator<Item = Piece<'_>> {
        let wanted = (key.pc, key.mode);
        let first = layout::partition_point(self.index(), ENTRY, |e| (long(e, 0), word(e, 8)) < wanted);
        (first..).map_while(move |n| self.piece(n).filter(|p| p.key == key))
    }

    /// Notes that `piece` was of use.
    pub(crate) fn note_use(&self, piece: &Piece<'_>) {
        self.used[piece.number / 64].fetch_or(1 << (piece.number % 64), Ordering::Relaxed);
    }

    fn is_used(&self, number: usize) -> bool {
        self.used.get(number / 64).is_some_and(|word| word.load(Ordering::Relaxed) >> (number % 64) & 1 != 0)
    }

    /// Is there a piece as good as `record` from the same guest code?
    fn has(&self, key: Key, tier: Tier, record: &[u8]) -> bool {
        self.find(key).any(|p| p.tier == tier && Record::same_code(p.bytes, record))
    }
}

/// A file in the making.
#[derive(Default)]
struct Made {
    pieces: Vec<(Key, Tier, Vec<u8>)>,
    /// Places in there.
    by_key: FxHashMap<(Key, bool), Vec<usize>>,
    size: usize,
}

impl Made {
    /// Takes a piece, unless there is one from the same code, or enough.
    fn offer(&mut self, key: Key, tier: Tier, piece: Vec<u8>) {
        let known = self.by_key.entry((key, tier == Tier::Optimized)).or_default();
        let same = known.iter().any(|n| Record::same_code(&self.pieces[*n].2, &piece));
        if !same && known.len() < VARIANTS && self.size + piece.len() <= MAX_FILE {
            known.push(self.pieces.len());
            self.size += piece.len();
            self.pieces.push((key, tier, piece));
        }
    }

    /// Of all pieces together.
    fn bytes(&self) -> usize {
        self.pieces.iter().map(|(_, _, piece)| piece.len()).sum()
    }

    fn file(mut self, file_key: u128) -> Vec<u8> {
        // Stable: of the same key, those that came first.
        self.pieces.sort_by_key(|(key, tier, _)| (key.pc, key.mode, *tier != Tier::Optimized));
        let (mut index, mut records) = (Vec::new(), Vec::with_capacity(self.size));
        for (key, tier, piece) in &self.pieces {
            let numbers = [key.mode, u32::from(*tier != Tier::Optimized), records.len() as u32, piece.len() as u32];
            index.extend_from_slice(&key.pc.to_le_bytes());
            numbers.iter().for_each(|n| index.extend_from_slice(&n.to_le_bytes()));
            records.extend_from_slice(piece);
        }
        let empty = Vec::new;
        layout::file(file_key, &[index, empty(), empty(), empty(), empty(), empty(), empty(), records])
    }
}
