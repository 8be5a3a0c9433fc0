//! The vDSO's ELF image: four functions of AArch64 code and the tables by which C libraries find them.
//!
//! Layout as Linux has it (`arch/arm64/kernel/vdso`): a page of data, then a page with everything else, read and
//! executed. Source of the tables: System V gABI chapters 4 and 5, and the GNU symbol versions of LSB.

/// Bytes of the data page and of the image.
pub(crate) const PAGE: usize = 4096;

/// Stands for `adr x9, DATA`, whose word depends on where it is.
const ADR_DATA: u32 = 0;

/// `__kernel_clock_gettime(clock, time)`: the monotonic clock is the counter; the real one is it and an offset,
/// as long as that is known to be right; others, and null pointers, are the kernel's.
const CLOCK_GETTIME: [u32; 21] = [
    0x7100_041f, // cmp   w0, #1
    0x5400_0228, // b.hi  kernel
    0xb400_0201, // cbz   x1, kernel
    ADR_DATA,
    0xd53b_e042, // mrs   x2, cntvct_el0
    0x3500_00c0, // cbnz  w0, monotonic
    0xc8df_fd23, // ldar  x3, [x9]
    0xeb03_005f, // cmp   x2, x3
    0x5400_0142, // b.hs  kernel
    0xf940_0524, // ldr   x4, [x9, #8]
    0x8b04_0042, // add   x2, x2, x4
    0xd299_4003, // monotonic: mov x3, #0xca00
    0xf2a7_7343, // movk  x3, #0x3b9a, lsl #16
    0x9ac3_0844, // udiv  x4, x2, x3
    0x9b03_8885, // msub  x5, x4, x3, x2
    0xa900_1424, // stp   x4, x5, [x1]
    0xaa1f_03e0, // mov   x0, xzr
    0xd65f_03c0, // ret
    0xd280_0e28, // kernel: mov x8, #113
    0xd400_0001, // svc   #0
    0xd65f_03c0, // ret
];

/// `__kernel_gettimeofday(time, zone)`
const GETTIMEOFDAY: [u32; 21] = [
    0xb400_0240, // cbz   x0, kernel
    0xb500_0221, // cbnz  x1, kernel
    ADR_DATA,
    0xd53b_e042, // mrs   x2, cntvct_el0
    0xc8df_fd23, // ldar  x3, [x9]
    0xeb03_005f, // cmp   x2, x3
    0x5400_0182, // b.hs  kernel
    0xf940_0524, // ldr   x4, [x9, #8]
    0x8b04_0042, // add   x2, x2, x4
    0xd299_4003, // mov   x3, #0xca00
    0xf2a7_7343, // movk  x3, #0x3b9a, lsl #16
    0x9ac3_0844, // udiv  x4, x2, x3
    0x9b03_8885, // msub  x5, x4, x3, x2
    0xd280_7d06, // mov   x6, #1000
    0x9ac6_08a5, // udiv  x5, x5, x6
    0xa900_1404, // stp   x4, x5, [x0]
    0xaa1f_03e0, // mov   x0, xzr
    0xd65f_03c0, // ret
    0xd280_1528, // kernel: mov x8, #169
    0xd400_0001, // svc   #0
    0xd65f_03c0, // ret
];

/// `__kernel_clock_getres(clock, time)`
const CLOCK_GETRES: [u32; 3] = [
    0xd280_0e48, // mov   x8, #114
    0xd400_0001, // svc   #0
    0xd65f_03c0, // ret
];

/// `__kernel_rt_sigreturn`: what a signal handler returns to. Unwinders look at the instruction before it.
const RT_SIGRETURN: [u32; 3] = [
    0xd503_201f, // nop
    0xd280_1168, // mov   x8, #139
    0xd400_0001, // svc   #0
];

/// Names, code, and the word at which each begins.
const FUNCTIONS: [(&str, &[u32], usize); 4] = [
    ("__kernel_clock_gettime", &CLOCK_GETTIME, 0),
    ("__kernel_gettimeofday", &GETTIMEOFDAY, 0),
    ("__kernel_clock_getres", &CLOCK_GETRES, 0),
    ("__kernel_rt_sigreturn", &RT_SIGRETURN, 1),
];

const SONAME: &str = "linux-vdso.so.1";
const VERSION: &str = "LINUX_2.6.39";

/// The finished image.
#[derive(Debug)]
pub(crate) struct Image {
    /// Its bytes, less than a page.
    pub bytes: Vec<u8>,
    /// Offset of the signal return.
    pub sigreturn: u64,
}

/// Little-endian bytes, appended to.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn half(&mut self, v: u16) {
        self.0.extend(v.to_le_bytes());
    }

    fn word(&mut self, v: u32) {
        self.0.extend(v.to_le_bytes());
    }

    fn long(&mut self, v: u64) {
        self.0.extend(v.to_le_bytes());
    }

    /// Where the next thing goes, aligned.
    fn here(&mut self, align: usize) -> u64 {
        self.0.resize(self.0.len().next_multiple_of(align), 0);
        self.0.len() as u64
    }
}

/// `adr x9, DATA` at an offset of the image: the data page lies before it.
fn adr_data(offset: u64) -> u32 {
    let distance = (-(PAGE as i64) - offset as i64) as u32;
    0x1000_0000 | (distance & 3) << 29 | (distance >> 2 & 0x7_ffff) << 5 | 9
}

/// The hash of symbol names in the gABI.
fn hash(name: &str) -> u32 {
    name.bytes().fold(0u32, |h, c| {
        let h = (h << 4).wrapping_add(c as u32);
        let top = h & 0xf000_0000;
        (h ^ top >> 24) & !top
    })
}

/// A string table, and where each name is in it.
fn strings(names: &[&str]) -> (Vec<u8>, Vec<u32>) {
    let mut table = vec![0];
    let places = names.iter().map(|name| {
        let at = table.len() as u32;
        table.extend(name.bytes());
        table.push(0);
        at
    });
    let places = places.collect();
    (table, places)
}

const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;

/// Puts the image together.
pub(crate) fn build() -> Image {
    let mut b = Bytes(vec![0; HEADER + 2 * PROGRAM_HEADER]);
    let code = b.here(16);
    let mut places = Vec::new();
    for (_, words, first) in FUNCTIONS {
        let at = b.here(16);
        places.push((at + 4 * first as u64, 4 * (words.len() - first) as u64));
        for (i, word) in words.iter().enumerate() {
            b.word(if *word == ADR_DATA { adr_data(at + 4 * i as u64) } else { *word });
        }
    }
    let names: Vec<&str> = FUNCTIONS.iter().map(|f| f.0).chain([SONAME, VERSION]).collect();
    let (table, at_name) = strings(&names);
    let [.., soname, version] = at_name[..] else { unreachable!("two names were added") };
    let strtab = b.here(8);
    b.0.extend(&table);

    let symtab = b.here(8);
    b.0.extend([0; 24]);
    for (name, (value, size)) in at_name.iter().zip(&places) {
        b.word(*name);
        // A global function, in some section.
        b.half(0x12);
        b.half(1);
        b.long(*value);
        b.long(*size);
    }
    let count = FUNCTIONS.len() as u32 + 1;
    // One bucket: each symbol leads to the next.
    let hashes = b.here(8);
    for v in [1, count, 1, 0].into_iter().chain(2..count).chain([0]) {
        b.word(v);
    }
    let versym = b.here(8);
    (0..count).for_each(|i| b.half(if i == 0 { 0 } else { 2 }));
    let verdef = b.here(8);
    for (flags, index, name, at, next) in [(1, 1, SONAME, soname, 28), (0, 2, VERSION, version, 0)] {
        [1, flags, index, 1].into_iter().for_each(|v| b.half(v));
        b.word(hash(name));
        // Its only name follows at once.
        [20, next, at, 0].into_iter().for_each(|v| b.word(v));
    }
    let dynamic = b.here(8);
    let entries: [(u64, u64); 10] = [
        (14, soname as u64),
        (4, hashes),
        (5, strtab),
        (6, symtab),
        (10, table.len() as u64),
        (11, 24),
        (0x6fff_fff0, versym),
        (0x6fff_fffc, verdef),
        (0x6fff_fffd, 2),
        (0, 0),
    ];
    entries.iter().for_each(|(tag, value)| [*tag, *value].into_iter().for_each(|v| b.long(v)));
    let end = b.here(8);
    let headers = headers(code, dynamic, end);
    b.0[..headers.len()].copy_from_slice(&headers);
    Image { bytes: b.0, sigreturn: places[3].0 }
}

/// ELF header and two program headers: everything, and the dynamic section.
fn headers(entry: u64, dynamic: u64, end: u64) -> Vec<u8> {
    let mut b = Bytes(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec());
    // A shared object for AArch64, version 1.
    [3, 183].into_iter().for_each(|v| b.half(v));
    b.word(1);
    [entry, HEADER as u64, 0].into_iter().for_each(|v| b.long(v));
    b.word(0);
    [HEADER as u16, PROGRAM_HEADER as u16, 2, 64, 0, 0].into_iter().for_each(|v| b.half(v));
    for (kind, flags, at, size, align) in [(1, 5, 0, end, PAGE as u64), (2, 4, dynamic, end - dynamic, 8)] {
        b.word(kind);
        b.word(flags);
        [at, at, at, size, size, align].into_iter().for_each(|v| b.long(v));
    }
    b.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use goblin::elf::Elf;

    #[test]
    fn a_linker_finds_the_functions() {
        let image = build();
        assert!(image.bytes.len() <= PAGE);
        let elf = Elf::parse(&image.bytes).expect("an ELF image");
        assert_eq!((elf.soname, elf.header.e_machine), (Some(SONAME), 183));
        let names: Vec<&str> = elf.dynsyms.iter().skip(1).map(|s| elf.dynstrtab.get_at(s.st_name).unwrap()).collect();
        assert_eq!(names, FUNCTIONS.map(|f| f.0));
        for (s, (_, words, first)) in elf.dynsyms.iter().skip(1).zip(FUNCTIONS) {
            assert!(s.is_function() && s.st_value % 4 == 0);
            let code = &image.bytes[s.st_value as usize..][..s.st_size as usize];
            assert_eq!(code.len(), 4 * (words.len() - first));
            assert_eq!(code[..4], words[first].to_le_bytes());
        }
        assert_eq!(hash(VERSION), 0x75fcb89);
    }

    #[test]
    fn the_data_page_is_before_the_image() {
        // adr x9, . - 0x100c
        assert_eq!(adr_data(12) & 0x9f00_001f, 0x1000_0009);
        let imm = |w: u32| ((w >> 5 & 0x7_ffff) << 2 | w >> 29 & 3) << 11;
        assert_eq!((imm(adr_data(12)) as i32) >> 11, -0x100c);
    }
}
