//! Names of guest addresses: ELF symbol tables, and the process's mappings that lead to the files.

use std::collections::HashMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use goblin::elf::Elf;
use goblin::elf::program_header::PT_LOAD;
use goblin::elf::sym::{STT_FUNC, STT_GNU_IFUNC, STT_NOTYPE};

/// Functions by address.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    /// Start, size (0: up to the next) and name, by start.
    list: Vec<(u64, u64, String)>,
}

impl Symbols {
    /// Of a list in any order; of several names for an address the first counts.
    pub(crate) fn new(mut list: Vec<(u64, u64, String)>) -> Symbols {
        list.sort_by_key(|s| s.0);
        list.dedup_by_key(|s| s.0);
        Symbols { list }
    }

    /// Of an ELF file's `.symtab` and `.dynsym`.
    fn of_elf(elf: &Elf<'_>) -> Symbols {
        let tables = [(&elf.syms, &elf.strtab), (&elf.dynsyms, &elf.dynstrtab)];
        let mut list = Vec::new();
        for (table, names) in tables {
            for s in table.iter().filter(|s| s.st_value != 0 && s.st_shndx != 0) {
                let named = names.get_at(s.st_name).filter(|n| !n.is_empty() && !n.starts_with('$'));
                // Labels of assembly have no type; those of data are not in the way, as nothing runs there.
                if let (STT_FUNC | STT_GNU_IFUNC | STT_NOTYPE, Some(name)) = (s.st_type(), named) {
                    list.push((s.st_value, s.st_size, demangled(name)));
                }
            }
        }
        // Of those at one address, that with a size.
        list.sort_by_key(|s| (s.0, s.1 == 0));
        Symbols::new(list)
    }

    /// The function that `address` is in.
    pub(crate) fn find(&self, address: u64) -> Option<&str> {
        let (start, size, name) = &self.list[..self.list.partition_point(|s| s.0 <= address)].last()?;
        (*size == 0 || address - start < *size).then_some(name)
    }

    /// Is there none?
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

/// The name as it stands in the source, where the compiler encoded it.
fn demangled(name: &str) -> String {
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        return format!("{rust:#}");
    }
    let cpp = name.starts_with("_Z").then(|| cpp_demangle::Symbol::new(name).ok()?.demangle().ok()).flatten();
    cpp.unwrap_or_else(|| name.to_string())
}

/// A file's symbols, and where its segments lie in it.
#[derive(Debug, Default)]
struct File {
    symbols: Symbols,
    /// File offsets and addresses of the loaded segments.
    segments: Vec<(Range<u64>, u64)>,
}

impl File {
    fn open(path: &Path) -> File {
        let bytes = fs::read(path).unwrap_or_default();
        let Ok(elf) = Elf::parse(&bytes) else { return File::default() };
        let segment = |p: &goblin::elf::ProgramHeader| (p.p_offset..p.p_offset.saturating_add(p.p_filesz), p.p_vaddr);
        File {
            symbols: Symbols::of_elf(&elf),
            segments: elf.program_headers.iter().filter(|p| p.p_type == PT_LOAD).map(segment).collect(),
        }
    }

    /// The function at a file offset.
    fn find(&self, offset: u64) -> Option<&str> {
        // A mapping begins at a page, a segment where it likes.
        let within = |r: &Range<u64>| (r.start & !0xfff..r.end).contains(&offset);
        let (range, address) = self.segments.iter().find(|(r, _)| within(r))?;
        self.symbols.find(address.wrapping_add(offset.wrapping_sub(range.start)))
    }
}

/// A mapping of a file.
#[derive(Clone, Debug)]
struct Mapping {
    addresses: Range<u64>,
    offset: u64,
    path: PathBuf,
}

/// The mapped files of this process, which are the guest's, too.
#[derive(Debug, Default)]
pub(crate) struct Mapped {
    mappings: Vec<Mapping>,
    files: HashMap<PathBuf, Arc<File>>,
}

impl Mapped {
    /// Reads the list of mappings anew.
    pub(crate) fn refresh(&mut self) {
        let text = fs::read_to_string("/proc/self/maps").unwrap_or_default();
        self.mappings = text.lines().filter_map(mapping).collect();
    }

    fn mapping(&self, address: u64) -> Option<&Mapping> {
        let at = self.mappings.partition_point(|m| m.addresses.end <= address);
        self.mappings.get(at).filter(|m| m.addresses.contains(&address))
    }

    /// Is it known what is mapped at `address`?
    pub(crate) fn knows(&self, address: u64) -> bool {
        self.mapping(address).is_some()
    }

    /// The function at `address`; in brackets the file, if it names none there.
    pub(crate) fn name(&mut self, address: u64) -> Option<String> {
        let Mapping { addresses, offset, path } = self.mapping(address)?.clone();
        let file = self.files.entry(path.clone()).or_insert_with_key(|path| Arc::new(File::open(path))).clone();
        let found = file.find(address - addresses.start + offset).map(str::to_string);
        found.or_else(|| Some(format!("[{}]", path.file_name()?.to_string_lossy())))
    }
}

/// A line of `/proc/self/maps` that is about a file.
fn mapping(line: &str) -> Option<Mapping> {
    let mut words = line.splitn(6, ' ');
    let (start, end) = words.next()?.split_once('-')?;
    let offset = words.nth(1)?;
    let path = words.nth(2)?.trim_start();
    let hex = |t: &str| u64::from_str_radix(t, 16).ok();
    let addresses = hex(start)?..hex(end)?;
    path.starts_with('/').then(|| Some(Mapping { addresses, offset: hex(offset)?, path: path.into() }))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_end_where_they_say() {
        let s = Symbols::new(vec![(0x2000, 0, "b".into()), (0x1000, 0x10, "a".into()), (0x1000, 4, "other".into())]);
        let at = |a| s.find(a);
        assert_eq!([at(0xfff), at(0x1000), at(0x100f), at(0x1010)], [None, Some("a"), Some("a"), None]);
        assert_eq!(at(0x9999), Some("b"), "one without size reaches to the next");
    }

    #[test]
    fn names_of_compilers() {
        assert_eq!(demangled("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE"), "core::fmt::Write::write_fmt");
        assert_eq!(demangled("_ZN3foo3barEi"), "foo::bar(int)");
        assert_eq!(demangled("main"), "main");
    }

    #[test]
    fn lines_of_maps() {
        let m = mapping("7f00-8f00 r-xp 00001000 08:01 12345                      /usr/lib/a b.so").expect("a file");
        assert_eq!((m.addresses, m.offset, m.path), (0x7f00..0x8f00, 0x1000, "/usr/lib/a b.so".into()));
        assert!(mapping("7f00-8f00 rw-p 00000000 00:00 0 ").is_none());
        assert!(mapping("7f00-8f00 rw-p 00000000 00:00 0                          [heap]").is_none());
    }

    #[test]
    fn our_own_functions_have_names() {
        let mut mapped = Mapped::default();
        mapped.refresh();
        let name = mapped.name(our_own_functions_have_names as *const () as u64).expect("a mapping");
        assert!(name.contains("our_own_functions_have_names"), "{name}");
    }
}
