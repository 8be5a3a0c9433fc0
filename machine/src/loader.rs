//! Puts a kernel, an initrd and a device tree into RAM.
//!
//! Kernels may be arm64 `Image` files (Documentation/arch/arm64/booting.rst), ELF files, EFI zboot
//! images, and any of these compressed by gzip, zstd or xz. Inputs may be anything: what is no
//! kernel is an error that says in one line what is wrong.

use std::fmt;
use std::io::Read;
use std::ops::Range;

use goblin::container::{Container, Ctx};
use goblin::elf::Elf;
use goblin::elf::header::{EM_AARCH64, Header};
use goblin::elf::program_header::{PT_LOAD, ProgramHeader};
use vm_memory::{Bytes, GuestAddress};

use crate::ram::Ram;

/// Why something could not be loaded, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError(String);

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LoadError {}

fn error<T>(text: impl Into<String>) -> Result<T, LoadError> {
    Err(LoadError(text.into()))
}

/// What kind of kernel was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An arm64 `Image`: booted by Linux's protocol.
    Image,
    /// An ELF file: entered with the device tree in x0 as well.
    Elf,
}

/// A kernel in RAM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// What it was.
    pub kind: Kind,
    /// Where it is entered.
    pub entry: u64,
    /// The memory it takes.
    pub memory: Range<u64>,
}

/// Where everything else went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The initrd's memory.
    pub initrd: Option<Range<u64>>,
    /// Where the device tree goes; [`DTB_ROOM`] bytes are free there.
    pub dtb: u64,
}

const MIB: u64 = 1 << 20;
/// Linux wants its device tree inside one such block, and its own base aligned to one.
const BLOCK: u64 = 2 * MIB;
/// Largest device tree.
pub const DTB_ROOM: u64 = BLOCK;
/// Largest kernel after unpacking.
const MOST_UNPACKED: u64 = 1 << 30;
const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const ELF: &[u8] = b"\x7fELF";
/// Offset and value of an arm64 Image's magic.
const IMAGE_MAGIC: (usize, &[u8]) = (56, b"ARM\x64");
/// text_offset of kernels from before the header told.
const OLD_TEXT_OFFSET: u64 = 0x8_0000;

/// Unpacks `file` as often as needed and puts the kernel into RAM. `name` is for messages.
pub fn load_kernel(ram: &Ram, name: &str, file: &[u8]) -> Result<Kernel, LoadError> {
    let unpacked = unpack(name, file)?;
    let bytes = unpacked.as_deref().unwrap_or(file);
    if field(bytes, IMAGE_MAGIC.0, 4) == Some(IMAGE_MAGIC.1) {
        return load_image(ram, name, bytes);
    }
    if bytes.starts_with(ELF) {
        return load_elf(ram, name, bytes);
    }
    if field(bytes, 0x202, 4) == Some(b"HdrS") {
        return error(format!("{name}: this is an x86 kernel, not an arm64 one"));
    }
    error(format!("{name}: neither an arm64 Image nor an ELF file (nor one compressed by gzip, zstd or xz)"))
}

/// Chooses places for an initrd and the device tree behind or around `kernel`, and copies the initrd.
pub fn place(ram: &Ram, kernel: &Kernel, initrd: Option<&[u8]>) -> Result<Layout, LoadError> {
    let (base, end) = (ram.base(), ram.base() + ram.size());
    let after_kernel = kernel.memory.end.next_multiple_of(BLOCK);
    let too_small = |what: &str| error(format!("{} MiB of memory are too little for the {what}", ram.size() / MIB));
    let mut next = after_kernel;
    let mut range = None;
    if let Some(bytes) = initrd {
        let len = bytes.len() as u64;
        // Away from the kernel if there is room, for kernels that use more than they say.
        let preferred = base + (ram.size() / 2).min(128 * MIB).next_multiple_of(BLOCK);
        let fits = |start: u64| start.checked_add(len).is_some_and(|stop| stop + DTB_ROOM + BLOCK <= end);
        let start = match after_kernel.max(preferred) {
            start if fits(start) => start,
            _ => after_kernel,
        };
        if !fits(start) {
            return too_small("initrd");
        }
        ram.dma().write_slice(bytes, GuestAddress(start)).map_err(|e| LoadError(e.to_string()))?;
        next = (start + len).next_multiple_of(BLOCK);
        range = Some(start..start + len);
    }
    // Firmware and bare-metal programs look for it at the start of memory.
    let first = kernel.kind == Kind::Elf && kernel.memory.start >= base + DTB_ROOM;
    let dtb = if first { base } else { next };
    if dtb + DTB_ROOM > end {
        return too_small("kernel");
    }
    Ok(Layout { initrd: range, dtb })
}

/// Where firmware looks for the device tree: at the start of memory.
pub fn place_for_firmware(ram: &Ram) -> Result<Layout, LoadError> {
    match ram.size() {
        size if size < DTB_ROOM => error(format!("{} MiB of memory are too little for firmware", size / MIB)),
        _ => Ok(Layout { initrd: None, dtb: ram.base() }),
    }
}

/// The kernel in `file` as firmware takes it: unpacked, if it is packed.
pub fn for_firmware(name: &str, file: Vec<u8>) -> Result<Vec<u8>, LoadError> {
    // Firmware starts EFI programs, and compressed ones know themselves how.
    if file.starts_with(b"MZ") { Ok(file) } else { Ok(unpack(name, &file)?.unwrap_or(file)) }
}

/// Puts the device tree where `layout` has room for it.
pub fn write_dtb(ram: &Ram, layout: &Layout, dtb: &[u8]) -> Result<(), LoadError> {
    if dtb.len() as u64 > DTB_ROOM {
        return error("the device tree is larger than 2 MiB");
    }
    ram.dma().write_slice(dtb, GuestAddress(layout.dtb)).map_err(|e| LoadError(e.to_string()))
}

/// The content of compressed files and EFI zboot images; `None` if `file` is neither.
fn unpack(name: &str, file: &[u8]) -> Result<Option<Vec<u8>>, LoadError> {
    let payload = match zboot_payload(name, file)? {
        Some(payload) => payload,
        None => file,
    };
    match decompress(payload) {
        Some(unpacked) => unpacked.map(Some).map_err(|why| LoadError(format!("{name}: {why}"))),
        None => Ok(None),
    }
}

/// The content of gzip, zstd or xz data, or why it cannot be had; `None` if `packed` is none of these.
pub(crate) fn decompress(packed: &[u8]) -> Option<Result<Vec<u8>, String>> {
    if packed.starts_with(GZIP) {
        Some(inflate(flate2::read::GzDecoder::new(packed), "gzip"))
    } else if packed.starts_with(ZSTD) {
        Some(match ruzstd::decoding::StreamingDecoder::new(packed) {
            Ok(decoder) => inflate(decoder, "zstd"),
            Err(e) => Err(format!("corrupt zstd data: {e}")),
        })
    } else if packed.starts_with(XZ) {
        Some(inflate(lzma_rust2::XzReader::new_mem_limit(packed, true, 256 * 1024), "xz"))
    } else {
        None
    }
}

fn inflate(from: impl Read, what: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    from.take(MOST_UNPACKED + 1).read_to_end(&mut bytes).map_err(|e| format!("corrupt {what} data: {e}"))?;
    if bytes.len() as u64 > MOST_UNPACKED {
        return Err(format!("unpacks to more than {} MiB", MOST_UNPACKED / MIB));
    }
    Ok(bytes)
}

/// The compressed kernel inside an EFI zboot image (linux/drivers/firmware/efi/libstub/zboot-header.S).
fn zboot_payload<'a>(name: &str, file: &'a [u8]) -> Result<Option<&'a [u8]>, LoadError> {
    if !file.starts_with(b"MZ") || field(file, 4, 4) != Some(b"zimg") {
        return Ok(None);
    }
    let (Some(offset), Some(size)) = (le32(file, 8), le32(file, 12)) else {
        return error(format!("{name}: the EFI zboot header is cut short"));
    };
    let Some(payload) = field(file, offset as usize, size as usize) else {
        return error(format!("{name}: the EFI zboot image is cut short"));
    };
    let packed = [GZIP, ZSTD, XZ].iter().any(|magic| payload.starts_with(magic));
    if !packed {
        let method = field(file, 24, 32).unwrap_or_default();
        let method: String = method.iter().take_while(|c| c.is_ascii_graphic()).map(|c| *c as char).collect();
        return error(format!("{name}: EFI zboot compression {method:?} is not supported (gzip, zstd and xz are)"));
    }
    Ok(Some(payload))
}

fn load_image(ram: &Ram, name: &str, bytes: &[u8]) -> Result<Kernel, LoadError> {
    let header = |offset| le64(bytes, offset).unwrap_or(0);
    let (offset, size, flags) = (header(8), header(16), header(24));
    if flags & 1 != 0 {
        return error(format!("{name}: big-endian kernels are not supported"));
    }
    let text_offset = if size == 0 { OLD_TEXT_OFFSET } else { offset };
    let size = size.max(bytes.len() as u64);
    let start = ram.base().next_multiple_of(BLOCK).checked_add(text_offset);
    let Some(start) = start.filter(|start| ram.offset(*start, size).is_some()) else {
        return error(format!(
            "{name}: needs {} MiB of memory at offset {text_offset:#x}, there are {} MiB",
            size.div_ceil(MIB),
            ram.size() / MIB
        ));
    };
    ram.dma().write_slice(bytes, GuestAddress(start)).map_err(|e| LoadError(e.to_string()))?;
    Ok(Kernel { kind: Kind::Image, entry: start, memory: start..start + size })
}

fn load_elf(ram: &Ram, name: &str, bytes: &[u8]) -> Result<Kernel, LoadError> {
    let (header, segments) = elf_segments(name, bytes)?;
    let mut memory: Option<Range<u64>> = None;
    let mut entry = header.e_entry;
    for segment in segments.iter().filter(|s| s.p_type == PT_LOAD && s.p_memsz > 0) {
        let at = segment.p_paddr;
        let data = field(bytes, segment.p_offset as usize, segment.p_filesz as usize);
        let Some(data) = data.filter(|data| data.len() as u64 <= segment.p_memsz) else {
            return error(format!("{name}: an ELF segment is cut short"));
        };
        if ram.offset(at, segment.p_memsz).is_none() {
            return error(format!("{name}: the ELF segment at {at:#x} is outside of RAM"));
        }
        ram.dma().write_slice(data, GuestAddress(at)).map_err(|e| LoadError(e.to_string()))?;
        zero(ram, at + segment.p_filesz, segment.p_memsz - segment.p_filesz)?;
        // An entry that is a virtual address means the physical one: the MMU is off.
        let inside = header.e_entry.checked_sub(segment.p_vaddr).filter(|offset| *offset < segment.p_memsz);
        if let Some(offset) = inside {
            entry = at + offset;
        }
        let end = at + segment.p_memsz;
        memory = Some(memory.map_or(at..end, |m| m.start.min(at)..m.end.max(end)));
    }
    match memory {
        Some(memory) if ram.offset(entry, 4).is_some() => Ok(Kernel { kind: Kind::Elf, entry, memory }),
        Some(_) => error(format!("{name}: the ELF entry point {entry:#x} is outside of RAM")),
        None => error(format!("{name}: the ELF file has nothing to load")),
    }
}

fn elf_segments(name: &str, bytes: &[u8]) -> Result<(Header, Vec<ProgramHeader>), LoadError> {
    let parsed = Elf::parse_header(bytes);
    let Ok(header) = parsed else { return error(format!("{name}: the ELF header is damaged")) };
    let little = header.endianness().is_ok_and(|e| e.is_little());
    let big_container = header.container().is_ok_and(|c| c == Container::Big);
    if header.e_machine != EM_AARCH64 || !little || !big_container {
        return error(format!("{name}: an ELF file, but not for little-endian arm64 (machine {})", header.e_machine));
    }
    let context = Ctx::new(Container::Big, goblin::container::Endian::Little);
    let table = header.e_phoff.checked_add(56 * u64::from(header.e_phnum)).filter(|end| *end <= bytes.len() as u64);
    let segments = table
        .and_then(|_| ProgramHeader::parse(bytes, header.e_phoff as usize, usize::from(header.e_phnum), context).ok());
    match segments {
        Some(segments) => Ok((header, segments)),
        None => error(format!("{name}: the ELF program headers are cut short")),
    }
}

fn zero(ram: &Ram, start: u64, len: u64) -> Result<(), LoadError> {
    const ZEROES: [u8; 4096] = [0; 4096];
    let mut at = start;
    while at < start + len {
        let count = (start + len - at).min(ZEROES.len() as u64);
        ram.dma().write_slice(&ZEROES[..count as usize], GuestAddress(at)).map_err(|e| LoadError(e.to_string()))?;
        at += count;
    }
    Ok(())
}

fn field(bytes: &[u8], at: usize, len: usize) -> Option<&[u8]> {
    bytes.get(at..at.checked_add(len)?)
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(field(bytes, at, 4)?.try_into().ok()?))
}

fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(field(bytes, at, 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests;
