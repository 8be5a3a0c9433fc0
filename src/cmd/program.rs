//! Guest code for `jib translate`: a program file's segments, or a few words.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, bail};
use goblin::elf::{Elf, header, program_header::PT_LOAD};
use jib_ir::guest::Fetch;
use jib_ir::runtime::{Access, Fault};

/// Code at its link addresses.
#[derive(Clone, Default)]
pub(crate) struct Program {
    segments: Vec<(u64, Vec<u8>)>,
    /// Address and file offset of the first segment, from the start of its page.
    first_page: Option<(u64, u64)>,
    symbols: Vec<(String, Range<u64>)>,
    /// Where execution starts.
    pub(crate) entry: u64,
}

impl Program {
    /// Reads an AArch64 ELF file.
    pub(crate) fn open(path: &Path) -> Result<Program> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        let elf = Elf::parse(&bytes).map_err(|e| anyhow::anyhow!("{}: not an ELF file: {e}", path.display()))?;
        if elf.header.e_machine != header::EM_AARCH64 || !elf.is_64 {
            bail!("{}: not an AArch64 program", path.display());
        }
        let mut program = Program { entry: elf.entry, ..Program::default() };
        for p in elf.program_headers.iter().filter(|p| p.p_type == PT_LOAD) {
            let range = p.p_offset as usize..p.p_offset.saturating_add(p.p_filesz) as usize;
            let Some(data) = bytes.get(range) else { bail!("{}: truncated", path.display()) };
            program.first_page.get_or_insert((p.p_vaddr & !0xfff, p.p_offset & !0xfff));
            program.segments.push((p.p_vaddr, data.to_vec()));
        }
        for s in elf.syms.iter().filter(|s| s.st_value != 0) {
            if let Some(name) = elf.strtab.get_at(s.st_name) {
                program.symbols.push((name.to_string(), s.st_value..s.st_value.saturating_add(s.st_size)));
            }
        }
        Ok(program)
    }

    /// Words given in hexadecimal, at address 0x1000.
    pub(crate) fn of_words(text: &str) -> Result<Program> {
        const BASE: u64 = 0x1000;
        let mut bytes = Vec::new();
        for word in text.split_whitespace() {
            let digits = word.strip_prefix("0x").unwrap_or(word);
            let word = u32::from_str_radix(digits, 16).with_context(|| format!("{word} is no hexadecimal word"))?;
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        Ok(Program { segments: vec![(BASE, bytes)], entry: BASE, ..Program::default() })
    }

    /// The addresses of a symbol.
    pub(crate) fn symbol(&self, name: &str) -> Option<Range<u64>> {
        self.symbols.iter().find(|(n, _)| n == name).map(|(_, at)| at.clone())
    }

    /// The symbol that `pc` is in, with the offset there.
    pub(crate) fn name(&self, pc: u64) -> Option<String> {
        let (name, at) =
            self.symbols.iter().find(|(n, at)| at.contains(&pc) && !n.is_empty() && !n.starts_with('$'))?;
        Some(if pc == at.start { name.clone() } else { format!("{name}+{:#x}", pc - at.start) })
    }

    /// Address and file offset at which the program's first segment is mapped.
    pub(crate) fn first_page(&self) -> Option<(u64, u64)> {
        self.first_page
    }
}

impl Fetch for Program {
    fn word(&self, pc: u64) -> Result<u32, Fault> {
        let found = self.segments.iter().find_map(|(base, bytes)| {
            let at = usize::try_from(pc.checked_sub(*base)?).ok()?;
            bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
        });
        found.ok_or(Fault { addr: pc, access: Access::Fetch, cause: 0 })
    }
}
