//! Kernels made by hand, whole and damaged.

use super::*;
use crate::testing::Rng;
use std::io::Write;

const BASE: u64 = 0x4000_0000;

fn ram(mib: u64) -> Ram {
    Ram::new(BASE, mib * MIB).unwrap()
}

fn image(text_offset: u64, size: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0xaa; len];
    bytes[8..16].copy_from_slice(&text_offset.to_le_bytes());
    bytes[16..24].copy_from_slice(&size.to_le_bytes());
    bytes[24..32].copy_from_slice(&10u64.to_le_bytes());
    bytes[56..60].copy_from_slice(b"ARM\x64");
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn zboot(method: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..8].copy_from_slice(b"MZ\0\0zimg");
    bytes[8..12].copy_from_slice(&64u32.to_le_bytes());
    bytes[12..16].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    bytes[24..24 + method.len()].copy_from_slice(method.as_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// An ELF file with one segment of eight bytes, 16 in memory.
fn elf(machine: u16, entry: u64, vaddr: u64, paddr: u64) -> Vec<u8> {
    let mut bytes = vec![0; 64 + 56];
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    bytes[16] = 2;
    bytes[18..20].copy_from_slice(&machine.to_le_bytes());
    bytes[20] = 1;
    bytes[24..32].copy_from_slice(&entry.to_le_bytes());
    bytes[32] = 64;
    bytes[52..58].copy_from_slice(&[64, 0, 56, 0, 1, 0]);
    let words = [1 | 7 << 32, 120, vaddr, paddr, 8, 16, 4096];
    for (at, word) in (64..).step_by(8).zip(words) {
        bytes[at..at + 8].copy_from_slice(&u64::to_le_bytes(word));
    }
    bytes.extend_from_slice(b"\xde\xad\xbe\xef\x01\x02\x03\x04");
    bytes
}

fn fails(ram: &Ram, file: &[u8]) -> String {
    load_kernel(ram, "k", file).unwrap_err().to_string()
}

#[test]
fn an_image_in_every_wrapping() {
    let ram = ram(64);
    let plain = image(0, 0x30_0000, 5000);
    let expected = Kernel { kind: Kind::Image, entry: BASE, memory: BASE..BASE + 0x30_0000 };
    let zstd = ruzstd::encoding::compress_to_vec(&plain[..], ruzstd::encoding::CompressionLevel::Fastest);
    let files = [plain.clone(), gzip(&plain), zstd.clone(), zboot("gzip", &gzip(&plain)), zboot("zstd22", &zstd)];
    for file in files {
        ram.dma().write_slice(&[0; 64], GuestAddress(BASE)).unwrap();
        assert_eq!(load_kernel(&ram, "k", &file), Ok(expected.clone()));
        assert_eq!(ram.dma().read_obj::<u32>(GuestAddress(BASE + 56)).unwrap(), 0x644d_5241);
    }
}

#[test]
fn xz_kernels() {
    let plain = image(0x8_0000, 0x10_0000, 70_000);
    let mut tool = match std::process::Command::new("xz")
        .args(["-c", "--check=crc32"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
    {
        Ok(tool) => tool,
        // Without the tool there is nothing to unpack.
        Err(_) => return,
    };
    tool.stdin.take().unwrap().write_all(&plain).unwrap();
    let packed = tool.wait_with_output().unwrap().stdout;
    let ram = ram(64);
    for file in [packed.clone(), zboot("xzkern", &packed)] {
        assert_eq!(load_kernel(&ram, "k", &file).unwrap().entry, BASE + 0x8_0000);
    }
}

#[test]
fn old_images_and_too_little_memory() {
    let old = load_kernel(&ram(64), "k", &image(0, 0, 9000)).unwrap();
    assert_eq!(old.memory, BASE + 0x8_0000..BASE + 0x8_0000 + 9000);
    let text = fails(&ram(2), &image(0, 64 * MIB, 9000));
    assert_eq!(text, "k: needs 64 MiB of memory at offset 0x0, there are 2 MiB");
    assert!(fails(&ram(2), &image(u64::MAX - 100, 1, 100)).contains("needs"));
    let mut big_endian = image(0, MIB, 100);
    big_endian[24] = 1;
    assert!(fails(&ram(2), &big_endian).contains("big-endian"));
}

#[test]
fn elf_files() {
    let ram = ram(16);
    let k = load_kernel(&ram, "k", &elf(183, BASE + 0x20_0004, BASE + 0x20_0000, BASE + 0x20_0000)).unwrap();
    assert_eq!((k.kind, k.entry, k.memory), (Kind::Elf, BASE + 0x20_0004, BASE + 0x20_0000..BASE + 0x20_0010));
    assert_eq!(ram.dma().read_obj::<u32>(GuestAddress(BASE + 0x20_0000)).unwrap(), 0xefbe_adde);
    let high = 0xffff_8000_0000_0000;
    assert_eq!(load_kernel(&ram, "k", &elf(183, high + 4, high, BASE)).unwrap().entry, BASE + 4);
    assert!(fails(&ram, &elf(62, BASE, BASE, BASE)).contains("machine 62"));
    assert!(fails(&ram, &elf(183, BASE, BASE, 0x1000)).contains("0x1000 is outside of RAM"));
    assert!(fails(&ram, &elf(183, 0, BASE, BASE)).contains("entry point"));
    assert!(fails(&ram, &elf(183, BASE, BASE, BASE)[..124]).contains("cut short"));
}

#[test]
fn what_is_no_kernel() {
    let ram = ram(16);
    assert!(fails(&ram, b"").contains("neither"));
    assert!(fails(&ram, &[0x1f, 0x8b, 8, 0, 0]).contains("corrupt gzip"));
    let mut cut = gzip(&image(0, MIB, 9000));
    cut.truncate(60);
    assert!(fails(&ram, &cut).contains("corrupt gzip"));
    assert!(fails(&ram, &gzip(b"text")).contains("neither"));
    assert!(fails(&ram, &zboot("lz4", b"\x02\x21\x4c\x18")).contains("\"lz4\" is not supported"));
    let mut x86 = vec![0; 0x300];
    x86[0x202..0x206].copy_from_slice(b"HdrS");
    assert!(fails(&ram, &x86).contains("x86"));
}

#[test]
fn places_for_initrd_and_device_tree() {
    let big = ram(512);
    let kernel = load_kernel(&big, "k", &image(0, 40 * MIB, 100)).unwrap();
    let layout = place(&big, &kernel, Some(&[7; 3000])).unwrap();
    let initrd = BASE + 128 * MIB..BASE + 128 * MIB + 3000;
    assert_eq!(layout, Layout { initrd: Some(initrd), dtb: BASE + 130 * MIB });
    assert_eq!(place(&big, &kernel, None).unwrap().dtb, BASE + 40 * MIB);
    write_dtb(&big, &layout, &[1, 2, 3]).unwrap();
    assert!(write_dtb(&big, &layout, &vec![0; 3 << 20]).is_err());
    let small = ram(16);
    let kernel = load_kernel(&small, "k", &image(0, 6 * MIB, 100)).unwrap();
    let layout = place(&small, &kernel, Some(&vec![0; 5 << 20])).unwrap();
    assert_eq!((layout.initrd.unwrap().start, layout.dtb), (BASE + 6 * MIB, BASE + 12 * MIB));
    let text = place(&small, &kernel, Some(&vec![0; 9 << 20])).unwrap_err().to_string();
    assert_eq!(text, "16 MiB of memory are too little for the initrd");
    let program = Kernel { kind: Kind::Elf, entry: BASE + 4 * MIB, memory: BASE + 4 * MIB..BASE + 5 * MIB };
    assert_eq!(place(&small, &program, None).unwrap().dtb, BASE);
}

#[test]
fn damaged_files_are_errors() {
    let ram = ram(16);
    let mut rng = Rng::new(8);
    let plain = image(0, MIB, 300);
    let seeds = [plain.clone(), gzip(&plain), zboot("gzip", &gzip(&plain)), elf(183, BASE, BASE, BASE)];
    for _ in 0..20_000 {
        let mut file = seeds[rng.below(4) as usize].clone();
        for _ in 0..=rng.below(4) {
            let at = rng.below(file.len() as u64) as usize;
            file[at] = rng.value() as u8;
        }
        if rng.below(4) == 0 {
            file.truncate(rng.below(file.len() as u64) as usize);
        }
        if let Ok(kernel) = load_kernel(&ram, "k", &file) {
            let _ = place(&ram, &kernel, Some(&[0; 100]));
        }
    }
}
