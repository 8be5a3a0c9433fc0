//! The file of one image: a head, an index by key, the records.
//!
//! Files are never changed: a new one takes the old one's name. Who has the old one open goes on with it.

use std::collections::HashMap;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use jib_ir::region::Key;
use rustix::fs::{Mode, OFlags};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::record::Record;
use crate::cache::Tier;

/// First bytes of each file.
const MAGIC: &[u8; 8] = b"jibcache";
/// Bytes of the head: magic, key (16), number of index entries (8), hash of key and index (16).
const HEAD: usize = 48;
/// Bytes of an index entry.
const ENTRY: usize = 40;
/// Most records for one key: the same address may show different code.
const ALTERNATIVES: usize = 4;

/// Where the record of one key lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    pc: u64,
    mode: u32,
    /// 0 for optimised code, which is wanted first.
    rank: u32,
    offset: u64,
    len: u64,
    hash: u64,
}

impl Entry {
    fn order(&self) -> (u64, u32, u32, u64) {
        (self.pc, self.mode, self.rank, self.offset)
    }

    fn to_bytes(self) -> [u8; ENTRY] {
        let mut b = [0; ENTRY];
        b[..8].copy_from_slice(&self.pc.to_le_bytes());
        b[8..12].copy_from_slice(&self.mode.to_le_bytes());
        b[12..16].copy_from_slice(&self.rank.to_le_bytes());
        b[16..24].copy_from_slice(&self.offset.to_le_bytes());
        b[24..32].copy_from_slice(&self.len.to_le_bytes());
        b[32..].copy_from_slice(&self.hash.to_le_bytes());
        b
    }

    fn from_bytes(b: &[u8]) -> Entry {
        let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| b[at + i]));
        let short = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| b[at + i]));
        Entry { pc: long(0), mode: short(8), rank: short(12), offset: long(16), len: long(24), hash: long(32) }
    }
}

/// A file whose head and index are whole. Its descriptor is closed: numbers of open files are the guest's.
pub(super) struct File {
    bytes: memmap2::Mmap,
    entries: usize,
}

/// The name of the file known by `key`.
fn name(key: u128) -> String {
    format!("{key:032x}.jibcache")
}

impl File {
    /// Opens the file known by `key`, if there is one that belongs to us alone and is whole.
    pub(super) fn open(folder: BorrowedFd<'_>, key: u128) -> Option<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = fs::File::from(rustix::fs::openat(folder, name(key), flags, Mode::empty()).ok()?);
        let stat = rustix::fs::fstat(&file).ok()?;
        let ours = stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & 0o022 == 0;
        if !ours || stat.st_mode & libc::S_IFMT != libc::S_IFREG {
            return None;
        }
        let bytes = super::map::file(&file).ok()?;
        let head = bytes.get(..HEAD)?;
        let entries = usize::try_from(u64::from_le_bytes(std::array::from_fn(|i| head[24 + i]))).ok()?;
        let index = bytes.get(HEAD..HEAD.checked_add(entries.checked_mul(ENTRY)?)?)?;
        (head == self::head(key, index)).then_some(())?;
        Some(File { entries, bytes })
    }

    /// Bytes in the file.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Entry number `n` of the index, which ascends by [`Entry::order`].
    fn entry(&self, n: usize) -> Option<Entry> {
        let at = HEAD + ENTRY * n;
        (n < self.entries).then(|| Entry::from_bytes(&self.bytes[at..at + ENTRY]))
    }

    /// The record number `nth` for `key`, if it is whole.
    pub(super) fn find(&self, key: Key, nth: usize) -> Option<Record> {
        let (mut low, mut high) = (0, self.entries);
        while low < high {
            let middle = low.midpoint(high);
            let entry = self.entry(middle)?;
            if (entry.pc, entry.mode) < (key.pc, key.mode) { low = middle + 1 } else { high = middle }
        }
        let entry = self.entry(low + nth).filter(|e| (e.pc, e.mode) == (key.pc, key.mode))?;
        self.record(&entry)
    }

    /// The record at `entry`, if it is whole.
    fn record(&self, entry: &Entry) -> Option<Record> {
        let start = usize::try_from(entry.offset).ok()?;
        // A copy: nobody can change it once it has been checked.
        let bytes = self.bytes.get(start..start.checked_add(usize::try_from(entry.len).ok()?)?)?.to_vec();
        if xxh3_64(&bytes) == entry.hash { Record::decode(&bytes) } else { None }
    }

    /// All whole records, in the order of the file.
    fn records(&self) -> Vec<Record> {
        let mut entries: Vec<Entry> = (0..self.entries).filter_map(|n| self.entry(n)).collect();
        entries.sort_unstable_by_key(|e| e.offset);
        entries.dedup_by_key(|e| e.offset);
        entries.iter().filter_map(|e| self.record(e)).collect()
    }
}

/// The head of a file with this key and index.
fn head(key: u128, index: &[u8]) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(MAGIC);
    head[8..24].copy_from_slice(&key.to_le_bytes());
    head[24..32].copy_from_slice(&((index.len() / ENTRY) as u64).to_le_bytes());
    let hash = xxh3_128(index) ^ xxh3_128(&head[..32]);
    head[32..].copy_from_slice(&hash.to_le_bytes());
    head
}

/// Writes the file known by `key`: `new` records, and those of `old` that they do not replace, `max` bytes at most.
pub(super) fn write(
    folder: BorrowedFd<'_>,
    key: u128,
    old: Option<File>,
    new: Vec<Record>,
    max: usize,
) -> io::Result<()> {
    let mut records = old.map_or_else(Vec::new, |old| old.records());
    records.extend(new);
    let kept = kept(&records);
    let (mut bodies, mut index, mut size) = (Vec::new(), Vec::new(), 0);
    for record in kept {
        let Some(body) = record.encode().filter(|b| size + b.len() <= max) else { continue };
        let mut pcs = record.entries.clone();
        pcs.sort_unstable();
        pcs.dedup();
        for pc in pcs {
            index.push(Entry {
                pc,
                mode: record.key().mode,
                rank: u32::from(record.tier() == Tier::Quick),
                offset: size as u64,
                len: body.len() as u64,
                hash: xxh3_64(&body),
            });
        }
        size += body.len();
        bodies.push(body);
    }
    index.sort_unstable_by_key(Entry::order);
    let first = (HEAD + index.len() * ENTRY) as u64;
    let index: Vec<u8> = index.iter().flat_map(|e| Entry { offset: e.offset + first, ..*e }.to_bytes()).collect();
    replace(folder, &name(key), |out| {
        out.write_all(&head(key, &index))?;
        out.write_all(&index)?;
        bodies.iter().try_for_each(|b| out.write_all(b))
    })
}

/// Of `records`, later ones newer, those worth keeping, in the same order. What an optimised one covers is not, nor what
/// a newer one of the same tier does.
fn kept(records: &[Record]) -> Vec<&Record> {
    let mut by_key: HashMap<(u64, u32), Vec<usize>> = HashMap::new();
    for tier in [Tier::Optimized, Tier::Quick] {
        for (n, record) in records.iter().enumerate().rev().filter(|(_, r)| r.tier() == tier) {
            let same = by_key.entry((record.key().pc, record.key().mode)).or_default();
            if same.len() < ALTERNATIVES && !same.iter().any(|&n| records[n].covers(record)) {
                same.push(n);
            }
        }
    }
    let mut kept: Vec<usize> = by_key.into_values().flatten().collect();
    kept.sort_unstable();
    kept.into_iter().map(|n| &records[n]).collect()
}

/// Writes a file under a name of its own, and gives it the name `name` when it is whole.
fn replace(
    folder: BorrowedFd<'_>,
    name: &str,
    contents: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let temporary = format!(".{name}.{}.{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file: OwnedFd = rustix::fs::openat(folder, &temporary, flags, Mode::RUSR | Mode::WUSR)?;
    let mut out = BufWriter::new(fs::File::from(file));
    let written = contents(&mut out).and_then(|()| out.flush());
    let named = written.and_then(|()| Ok(rustix::fs::renameat(folder, &temporary, folder, name)?));
    if named.is_err() {
        let _ = rustix::fs::unlinkat(folder, &temporary, rustix::fs::AtFlags::empty());
    }
    named
}
