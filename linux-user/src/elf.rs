//! Reads the headers of a program file and says in one line why it cannot be run.
//!
//! Nothing here maps memory; every number of the file is checked before it is believed.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use goblin::container::{Container, Ctx, Endian};
use goblin::elf::Elf;
use goblin::elf::header::{self, Header, header64};
use goblin::elf::program_header::{self as ph, ProgramHeader};

/// Guest page size.
pub(crate) const PAGE: u64 = 4096;
/// End of the address space that the host gives to processes.
pub(crate) const TASK_SIZE: u64 = 0x7fff_ffff_f000;
/// Bytes of a file that hold its headers as linkers lay it out.
pub(crate) const USUAL_HEAD: usize = 4096;
/// Most bytes of a file that are looked at for its headers.
pub(crate) const MAX_HEAD: usize = 1 << 20;

/// A loadable segment; addresses are the file's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// First byte in memory.
    pub addr: u64,
    /// Bytes in memory.
    pub memory: u64,
    /// First byte in the file.
    pub offset: u64,
    /// Bytes in the file, at most `memory`.
    pub file: u64,
    /// `PROT_*`.
    pub prot: i32,
}

/// What a program file asks for.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// Entry point, before any relocation.
    pub entry: u64,
    /// Can it be placed anywhere?
    pub relocatable: bool,
    /// Segments in ascending order, at least one.
    pub segments: Vec<Segment>,
    /// The program interpreter's path.
    pub interpreter: Option<PathBuf>,
    /// Address of the program headers in memory (0 when not loaded).
    pub phdr: u64,
    /// Number of program headers.
    pub phnum: u16,
    /// Does it want an executable stack?
    pub exec_stack: bool,
    /// Largest segment alignment, a power of two of at least a page.
    pub align: u64,
}

impl Image {
    /// All pages that the segments touch.
    pub(crate) fn span(&self) -> Range<u64> {
        let first = self.segments.first().map_or(0, |s| s.addr & !(PAGE - 1));
        let last = self.segments.last().map_or(0, |s| page_up(s.addr + s.memory));
        first..last
    }

    /// From the first executable byte to the last, when loaded with `bias`.
    pub(crate) fn code(&self, bias: u64) -> (u64, u64) {
        let code = || self.segments.iter().filter(|s| s.prot & libc::PROT_EXEC != 0);
        let (first, last) = (code().next(), code().next_back());
        let place = |v: Option<u64>| v.unwrap_or(self.entry).wrapping_add(bias);
        (place(first.map(|s| s.addr)), place(last.map(|s| s.addr + s.memory)))
    }
}

/// `addr` rounded up to a page; callers have made sure that it is far from the end.
pub(crate) const fn page_up(addr: u64) -> u64 {
    (addr + PAGE - 1) & !(PAGE - 1)
}

/// Why a file is no program that can be run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElfError {
    /// Not an ELF file at all.
    NotElf,
    /// A file of no bytes.
    Empty,
    /// ELF of another machine; the text names it.
    Machine(String),
    /// An AArch64 file of the wrong byte order.
    BigEndian,
    /// Ends before its headers or segments do.
    Truncated(&'static str),
    /// Contradicts itself.
    Malformed(&'static str),
    /// A relocatable object, a core file, or the like.
    NotExecutable(&'static str),
}

impl fmt::Display for ElfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ElfError::NotElf => f.write_str("not an ELF program; jib runs AArch64 Linux programs"),
            ElfError::Empty => f.write_str("the file is empty"),
            ElfError::Machine(m) => write!(f, "this is a program for {m}; jib runs AArch64 (ARM64) programs"),
            ElfError::BigEndian => f.write_str("a big-endian AArch64 program; jib runs little-endian ones"),
            ElfError::Truncated(what) => write!(f, "the ELF file is cut off: {what}; copy or build it again"),
            ElfError::Malformed(what) => write!(f, "the ELF file is damaged: {what}"),
            ElfError::NotExecutable(what) => write!(f, "the ELF file is {what}; link it into an executable first"),
        }
    }
}

/// Is this the beginning of a little-endian 64-bit AArch64 ELF file?
pub(crate) fn is_guest(head: &[u8]) -> bool {
    head.starts_with(header::ELFMAG) && check_identity(head).is_ok()
}

/// Parses the first bytes of a file that is `len` bytes long.
pub(crate) fn parse(head: &[u8], len: u64) -> Result<Image, ElfError> {
    let header = parse_header(head)?;
    let headers = program_headers(&header, head)?;
    let segments = segments(&headers, len)?;
    let span_of = |addr: u64| segments.iter().any(|s| (s.addr..s.addr + s.memory).contains(&addr));
    let relocatable = header.e_type == header::ET_DYN;
    if !span_of(header.e_entry) {
        return Err(ElfError::Malformed("the entry point lies outside of every segment"));
    }
    Ok(Image {
        entry: header.e_entry,
        relocatable,
        interpreter: interpreter(&headers, head)?,
        phdr: phdr_address(&headers, &segments, header.e_phoff),
        phnum: headers.len() as u16,
        exec_stack: headers.iter().any(|p| p.p_type == ph::PT_GNU_STACK && p.p_flags & ph::PF_X != 0),
        align: alignment(&headers),
        segments,
    })
}

fn parse_header(head: &[u8]) -> Result<Header, ElfError> {
    if head.is_empty() {
        return Err(ElfError::Empty);
    }
    if !head.starts_with(header::ELFMAG) {
        return Err(ElfError::NotElf);
    }
    check_identity(head)?;
    if head.len() < header64::SIZEOF_EHDR {
        return Err(ElfError::Truncated("its header is incomplete"));
    }
    let header = Elf::parse_header(head).map_err(|_| ElfError::Malformed("its header cannot be read"))?;
    match header.e_type {
        header::ET_EXEC | header::ET_DYN => Ok(header),
        header::ET_REL => Err(ElfError::NotExecutable("a relocatable object")),
        header::ET_CORE => Err(ElfError::NotExecutable("a core dump")),
        _ => Err(ElfError::NotExecutable("of an unknown type")),
    }
}

/// Machine, class and byte order, from the first 20 bytes.
fn check_identity(head: &[u8]) -> Result<(), ElfError> {
    let Some(&[class, order]) = head.get(4..6) else { return Err(ElfError::Truncated("its header is incomplete")) };
    let Some(&[a, b]) = head.get(18..20) else { return Err(ElfError::Truncated("its header is incomplete")) };
    let big = order == header::ELFDATA2MSB;
    let machine = if big { u16::from_be_bytes([a, b]) } else { u16::from_le_bytes([a, b]) };
    match (machine, class) {
        (header::EM_AARCH64, header::ELFCLASS64) if big => Err(ElfError::BigEndian),
        (header::EM_AARCH64, header::ELFCLASS64) => Ok(()),
        (header::EM_AARCH64, _) => Err(ElfError::Machine("AArch64 ILP32".into())),
        _ => Err(ElfError::Machine(machine_name(machine, class))),
    }
}

fn machine_name(machine: u16, class: u8) -> String {
    match machine {
        header::EM_X86_64 => "x86-64 (it runs without jib)".into(),
        header::EM_386 => "i386 (it runs without jib)".into(),
        header::EM_ARM => "32-bit ARM".into(),
        header::EM_RISCV => if class == header::ELFCLASS64 { "64-bit RISC-V" } else { "32-bit RISC-V" }.into(),
        header::EM_PPC64 => "64-bit PowerPC".into(),
        header::EM_S390 => "S/390".into(),
        header::EM_MIPS => "MIPS".into(),
        other => format!("ELF machine {other}"),
    }
}

fn program_headers(header: &Header, head: &[u8]) -> Result<Vec<ProgramHeader>, ElfError> {
    if header.e_phnum == 0 {
        return Err(ElfError::Malformed("it has no program headers"));
    }
    if header.e_phnum == 0xffff || header.e_phnum > 4096 {
        return Err(ElfError::Malformed("it has too many program headers"));
    }
    if header.e_phentsize as usize != ph::program_header64::SIZEOF_PHDR {
        return Err(ElfError::Malformed("its program headers have a wrong size"));
    }
    let size = header.e_phnum as u64 * header.e_phentsize as u64;
    let end = header.e_phoff.checked_add(size).ok_or(ElfError::Malformed("its program headers are out of range"))?;
    if end > head.len() as u64 {
        return Err(ElfError::Truncated("its program headers are missing"));
    }
    let ctx = Ctx::new(Container::Big, Endian::Little);
    ProgramHeader::parse(head, header.e_phoff as usize, header.e_phnum as usize, ctx)
        .map_err(|_| ElfError::Malformed("its program headers cannot be read"))
}

fn segments(headers: &[ProgramHeader], len: u64) -> Result<Vec<Segment>, ElfError> {
    let mut list = Vec::new();
    for p in headers.iter().filter(|p| p.p_type == ph::PT_LOAD && p.p_memsz != 0) {
        if p.p_filesz > p.p_memsz {
            return Err(ElfError::Malformed("a segment is larger in the file than in memory"));
        }
        if p.p_filesz != 0 && p.p_vaddr % PAGE != p.p_offset % PAGE {
            return Err(ElfError::Malformed("a segment's address and file offset disagree"));
        }
        let in_file = p.p_offset.checked_add(p.p_filesz).is_some_and(|end| end <= len);
        if p.p_filesz != 0 && !in_file {
            return Err(ElfError::Truncated("a segment lies past the end of the file"));
        }
        if p.p_vaddr.checked_add(p.p_memsz).is_none_or(|end| end >= TASK_SIZE) {
            return Err(ElfError::Malformed("a segment lies outside of the address space"));
        }
        list.push(Segment {
            addr: p.p_vaddr,
            memory: p.p_memsz,
            offset: p.p_offset,
            file: p.p_filesz,
            prot: prot_of(p.p_flags),
        });
    }
    if list.is_empty() {
        return Err(ElfError::Malformed("it has nothing to load"));
    }
    list.sort_by_key(|s| s.addr);
    if list.windows(2).any(|w| w[0].addr + w[0].memory > w[1].addr) {
        return Err(ElfError::Malformed("its segments overlap"));
    }
    Ok(list)
}

fn prot_of(flags: u32) -> i32 {
    let bit = |flag: u32, prot: i32| if flags & flag != 0 { prot } else { 0 };
    bit(ph::PF_R, libc::PROT_READ) | bit(ph::PF_W, libc::PROT_WRITE) | bit(ph::PF_X, libc::PROT_EXEC)
}

/// The largest alignment of a segment that makes sense.
fn alignment(headers: &[ProgramHeader]) -> u64 {
    let sane = |a: &u64| a.is_power_of_two() && (PAGE..=1 << 30).contains(a);
    headers.iter().filter(|p| p.p_type == ph::PT_LOAD).map(|p| p.p_align).filter(sane).max().unwrap_or(PAGE)
}

fn interpreter(headers: &[ProgramHeader], head: &[u8]) -> Result<Option<PathBuf>, ElfError> {
    let Some(p) = headers.iter().find(|p| p.p_type == ph::PT_INTERP) else { return Ok(None) };
    let end = p.p_offset.checked_add(p.p_filesz).filter(|&e| e <= head.len() as u64);
    let Some(end) = end else { return Err(ElfError::Truncated("its interpreter's name is missing")) };
    let name = &head[p.p_offset as usize..end as usize];
    match name.split_last() {
        Some((0, path)) if !path.is_empty() && path.len() < 4096 && !path.contains(&0) => {
            use std::os::unix::ffi::OsStrExt;
            Ok(Some(std::ffi::OsStr::from_bytes(path).into()))
        }
        _ => Err(ElfError::Malformed("its interpreter's name is not a string")),
    }
}

/// Where the program headers are in memory: where `PT_PHDR` says, or wherever a segment holds them.
fn phdr_address(headers: &[ProgramHeader], segments: &[Segment], offset: u64) -> u64 {
    if let Some(p) = headers.iter().find(|p| p.p_type == ph::PT_PHDR) {
        return p.p_vaddr;
    }
    let holds = |s: &&Segment| offset >= s.offset && offset - s.offset < s.file;
    segments.iter().find(holds).map_or(0, |s| s.addr + (offset - s.offset))
}

#[cfg(test)]
#[path = "elf_tests.rs"]
pub(crate) mod tests;
