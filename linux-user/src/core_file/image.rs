//! The file itself: headers, notes, and the guest's memory, as `/proc/self/coredump_filter` chooses it.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::{Registers, notes};
use crate::process::Process;
use crate::signal::SigInfo;
use crate::vma::Kind;

/// Bytes of a page.
pub(super) const PAGE: u64 = 4096;
const EHDR: u64 = 64;
const PHDR: u64 = 56;
const ET_CORE: u16 = 4;
const EM_AARCH64: u16 = 183;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
/// Bytes read at a time.
const CHUNK: u64 = 256 << 10;

/// What of the memory is written, as bits of the filter.
const ANONYMOUS_PRIVATE: u64 = 1 << 0;
const ANONYMOUS_SHARED: u64 = 1 << 1;
const FILE_PRIVATE: u64 = 1 << 2;
const FILE_SHARED: u64 = 1 << 3;
const ELF_HEADERS: u64 = 1 << 4;
const DEFAULT_FILTER: u64 = ANONYMOUS_PRIVATE | ANONYMOUS_SHARED | ELF_HEADERS | 1 << 5;

/// A piece of guest memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) range: Range<u64>,
    prot: i32,
    shared: bool,
    pub(super) offset: u64,
    inode: u64,
    pub(super) name: String,
    /// Something of it is in memory, or swapped out; and pages of its own, if it is of a file.
    present: bool,
    changed: bool,
    /// `MADV_DONTDUMP`
    excluded: bool,
    special: bool,
}

impl Mapping {
    pub(super) fn is_file(&self) -> bool {
        self.inode != 0 && self.name.starts_with('/') && !self.special
    }

    /// How many bytes of it are written.
    fn dumped(&self, filter: u64, mem: &File) -> u64 {
        let all = self.range.end - self.range.start;
        let wanted = |bit: u64, bytes: u64| if filter & bit != 0 { bytes } else { 0 };
        if self.special {
            return all;
        }
        if self.excluded {
            return 0;
        }
        if self.inode == 0 || self.name.ends_with(" (deleted)") && self.shared {
            // What was never touched has nothing to be written, however much was reserved.
            let all = if self.present { all } else { 0 };
            return wanted(if self.shared { ANONYMOUS_SHARED } else { ANONYMOUS_PRIVATE }, all);
        }
        if self.shared {
            return wanted(FILE_SHARED, all);
        }
        if self.changed && filter & ANONYMOUS_PRIVATE != 0 {
            return all;
        }
        let mut magic = [0; 4];
        let is_elf =
            self.offset == 0 && mem.read_exact_at(&mut magic, self.range.start).is_ok() && &magic == b"\x7fELF";
        wanted(FILE_PRIVATE, all).max(if is_elf { wanted(ELF_HEADERS, PAGE) } else { 0 })
    }
}

/// The guest's mappings: the kernel's list, cut to what is the guest's, with the guest's protections.
fn mappings(process: &Process) -> Vec<Mapping> {
    let text = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let inner = process.space.lock();
    let mut out = Vec::new();
    for host in parse(&text) {
        for (range, vma) in inner.vmas.overlapping(host.range.clone()) {
            let skipped = if host.inode == 0 { 0 } else { range.start - host.range.start };
            let special = matches!(vma.kind, Kind::Vdso | Kind::Vvar);
            out.push(Mapping { range, prot: vma.prot, offset: host.offset + skipped, special, ..host.clone() });
        }
    }
    out
}

/// The entries of a file like `/proc/self/smaps`.
fn parse(text: &str) -> Vec<Mapping> {
    let mut out: Vec<Mapping> = Vec::new();
    for line in text.lines() {
        let head = line.split_whitespace().next().unwrap_or("");
        let value = || line.split_whitespace().nth(1).and_then(|v| v.parse::<u64>().ok()).unwrap_or(0);
        match (head, out.last_mut()) {
            ("Rss:" | "Swap:", Some(m)) => m.present |= value() > 0,
            ("Anonymous:", Some(m)) => m.changed = value() > 0,
            ("VmFlags:", Some(m)) => m.excluded = line.split_whitespace().any(|flag| flag == "dd"),
            _ => out.extend(parse_head(line)),
        }
    }
    out
}

fn parse_head(line: &str) -> Option<Mapping> {
    let hex = |s: &str| u64::from_str_radix(s, 16).ok();
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let range = hex(start)?..hex(end)?;
    let shared = fields.next()?.ends_with('s');
    let offset = hex(fields.next()?)?;
    let inode = fields.nth(1)?.parse().ok()?;
    let name = fields.next().unwrap_or("").trim_start().to_string();
    Some(Mapping {
        range,
        prot: 0,
        shared,
        offset,
        inode,
        name,
        present: false,
        changed: false,
        excluded: false,
        special: false,
    })
}

/// A file that ends at a limit: what does not fit is not written.
struct Limited<'a> {
    file: &'a File,
    limit: u64,
}

impl Limited<'_> {
    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let room = self.limit.saturating_sub(at).min(bytes.len() as u64) as usize;
        self.file.write_all_at(&bytes[..room], at)
    }
}

/// Writes the core of `process`, whose first thread of `threads` died of `info`.
pub(super) fn write(
    file: &File,
    limit: u64,
    process: &Process,
    threads: &[Registers],
    info: &SigInfo,
) -> io::Result<()> {
    let mem = File::open("/proc/self/mem")?;
    let filter = std::fs::read_to_string("/proc/self/coredump_filter").ok();
    let filter = filter.and_then(|f| u64::from_str_radix(f.trim(), 16).ok()).unwrap_or(DEFAULT_FILTER);
    let mappings = mappings(process);
    let notes = notes::of(process, threads, info, &mappings);
    let lengths: Vec<u64> = mappings.iter().map(|m| m.dumped(filter, &mem)).collect();
    let out = Limited { file, limit };
    let count = mappings.len() as u64 + 1;
    let notes_at = EHDR + PHDR * count;
    let first = (notes_at + notes.len() as u64).next_multiple_of(PAGE);

    let mut head = header(count);
    let note =
        Segment { kind: PT_NOTE, flags: 0, offset: notes_at, address: 0, in_file: notes.len() as u64, in_memory: 0 };
    note.add(&mut head, 4);
    let mut at = first;
    for (m, &in_file) in mappings.iter().zip(&lengths) {
        let in_memory = m.range.end - m.range.start;
        let segment =
            Segment { kind: PT_LOAD, flags: flags(m.prot), offset: at, address: m.range.start, in_file, in_memory };
        segment.add(&mut head, PAGE);
        at += in_file;
    }
    head.extend(notes);
    out.write(&head, 0)?;

    let pages = File::open("/proc/self/pagemap").ok();
    let mut offset = first;
    for (m, &length) in mappings.iter().zip(&lengths) {
        copy(&out, &mem, pages.as_ref().filter(|_| m.inode == 0), m.range.start, length, offset)?;
        offset += length;
    }
    // Holes at the end count.
    file.set_len(offset.min(limit))
}

/// Copies `length` bytes of memory; pages that hold nothing become holes.
fn copy(out: &Limited<'_>, mem: &File, pages: Option<&File>, from: u64, length: u64, to: u64) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK as usize];
    let mut done = 0;
    while done < length && to + done < out.limit {
        let n = CHUNK.min(length - done);
        if pages.is_none_or(|pages| any_present(pages, from + done, n)) {
            let chunk = &mut buffer[..n as usize];
            read(mem, chunk, from + done);
            for (i, page) in chunk.chunks(PAGE as usize).enumerate().filter(|(_, page)| page.iter().any(|b| *b != 0)) {
                out.write(page, to + done + i as u64 * PAGE)?;
            }
        }
        done += n;
    }
    Ok(())
}

/// Reads memory; pages that cannot be read are zero.
fn read(mem: &File, chunk: &mut [u8], at: u64) {
    if mem.read_exact_at(chunk, at).is_ok() {
        return;
    }
    for (i, page) in chunk.chunks_mut(PAGE as usize).enumerate() {
        if mem.read_exact_at(page, at + i as u64 * PAGE).is_err() {
            page.fill(0);
        }
    }
}

/// Is any page of the range in memory or swapped out?
fn any_present(pages: &File, at: u64, length: u64) -> bool {
    const PRESENT_OR_SWAPPED: u64 = 3 << 62;
    let mut entries = vec![0; (length.div_ceil(PAGE) * 8) as usize];
    match pages.read_exact_at(&mut entries, at / PAGE * 8) {
        Ok(()) => entries.as_chunks::<8>().0.iter().any(|e| u64::from_le_bytes(*e) & PRESENT_OR_SWAPPED != 0),
        Err(_) => true,
    }
}

/// `PF_*` of a protection.
fn flags(prot: i32) -> u32 {
    let flag = |bit, value| if prot & bit != 0 { value } else { 0 };
    flag(libc::PROT_READ, 4) | flag(libc::PROT_WRITE, 2) | flag(libc::PROT_EXEC, 1)
}

fn header(segments: u64) -> Vec<u8> {
    let mut out = b"\x7fELF\x02\x01\x01".to_vec();
    out.resize(16, 0);
    out.extend(ET_CORE.to_le_bytes());
    out.extend(EM_AARCH64.to_le_bytes());
    out.extend(1u32.to_le_bytes());
    // No entry; segments behind the header; no sections.
    out.extend([0, EHDR, 0].iter().flat_map(|w: &u64| w.to_le_bytes()));
    out.extend(0u32.to_le_bytes());
    // `vm.max_map_count` has the kernel allow fewer mappings than a header can count.
    let counts = [EHDR, PHDR, segments, 64, 0, 0];
    out.extend(counts.iter().flat_map(|n| (*n as u16).to_le_bytes()));
    out
}

struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    in_file: u64,
    in_memory: u64,
}

impl Segment {
    fn add(&self, out: &mut Vec<u8>, align: u64) {
        out.extend([self.kind, self.flags].iter().flat_map(|w| w.to_le_bytes()));
        let words = [self.offset, self.address, 0, self.in_file, self.in_memory, align];
        out.extend(words.iter().flat_map(|w| w.to_le_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_list_is_understood() {
        let text = "00400000-00402000 r-xp 00001000 08:01 77                /bin/a b\nSize: 8 kB\nRss:  4 kB\n\
                    Anonymous: 0 kB\nSwap: 0 kB\nVmFlags: rd ex mr dd\n7f00-7f10 rw-s 00000000 00:00 0\nRss: 0 kB\n";
        let list = parse(text);
        assert_eq!(list.len(), 2);
        let a = &list[0];
        assert_eq!((a.range.clone(), a.offset, a.inode, a.name.as_str()), (0x400000..0x402000, 0x1000, 77, "/bin/a b"));
        assert!(a.present && !a.changed && a.excluded && !a.shared && a.is_file());
        assert!(list[1].shared && !list[1].present && !list[1].is_file());
    }

    #[test]
    fn a_limit_cuts_the_file() {
        let path = std::env::temp_dir().join(format!("jib-core-limit-{}", std::process::id()));
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).expect("a file");
        let out = Limited { file: &file, limit: 10 };
        out.write(&[1; 8], 0).expect("written");
        out.write(&[2; 8], 8).expect("written");
        out.write(&[3; 8], 16).expect("written");
        let _ = std::fs::remove_file(path);
        assert_eq!(file.metadata().expect("a size").len(), 10);
    }
}
