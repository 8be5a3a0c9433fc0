//! Tests of the ELF reader: every error by name, and 20 000 mutations of a valid file.

use super::*;

fn put(v: &mut [u8], at: usize, bytes: &[u8]) {
    v[at..at + bytes.len()].copy_from_slice(bytes);
}

/// A valid static program: headers and code in one segment, data and bss in another.
pub(crate) fn minimal() -> Vec<u8> {
    let mut v = vec![0u8; 0x1100];
    put(&mut v, 0, b"\x7fELF\x02\x01\x01");
    put(&mut v, 16, &2u16.to_le_bytes());
    put(&mut v, 18, &183u16.to_le_bytes());
    put(&mut v, 20, &1u32.to_le_bytes());
    put(&mut v, 24, &0x40_0100u64.to_le_bytes());
    put(&mut v, 32, &64u64.to_le_bytes());
    put(&mut v, 52, &64u16.to_le_bytes());
    put(&mut v, 54, &56u16.to_le_bytes());
    put(&mut v, 56, &2u16.to_le_bytes());
    segment(&mut v, 0, 5, [0, 0x40_0000, 0x200, 0x200]);
    segment(&mut v, 1, 6, [0x1000, 0x41_1000, 0x100, 0x3000]);
    v
}

fn segment(v: &mut [u8], index: usize, flags: u32, [offset, addr, file, memory]: [u64; 4]) {
    let at = 64 + 56 * index;
    put(v, at, &1u32.to_le_bytes());
    put(v, at + 4, &flags.to_le_bytes());
    for (i, x) in [offset, addr, addr, file, memory, 0x1000].into_iter().enumerate() {
        put(v, at + 8 + 8 * i, &x.to_le_bytes());
    }
}

fn error_after(change: impl Fn(&mut Vec<u8>)) -> String {
    let mut v = minimal();
    change(&mut v);
    parse(&v, v.len() as u64).unwrap_err().to_string()
}

#[test]
fn a_valid_file_is_understood() {
    let v = minimal();
    let image = parse(&v, v.len() as u64).unwrap();
    assert_eq!((image.entry, image.phdr, image.phnum), (0x40_0100, 0x40_0040, 2));
    assert_eq!(image.span(), 0x40_0000..0x41_4000);
    assert_eq!(image.segments[1].prot, libc::PROT_READ | libc::PROT_WRITE);
    assert!(!image.relocatable && image.interpreter.is_none() && !image.exec_stack);
}

#[test]
fn every_error_says_what_is_wrong() {
    let says = |text: String, part: &str| assert!(text.contains(part), "{text:?} lacks {part:?}");
    says(error_after(|v| v.clear()), "empty");
    says(error_after(|v| v[0] = b'#'), "not an ELF");
    says(error_after(|v| put(v, 18, &62u16.to_le_bytes())), "x86-64");
    says(error_after(|v| put(v, 18, &3u16.to_le_bytes())), "i386");
    says(error_after(|v| put(v, 18, &40u16.to_le_bytes())), "32-bit ARM");
    says(error_after(|v| put(v, 18, &243u16.to_le_bytes())), "64-bit RISC-V");
    says(error_after(|v| put(v, 18, &999u16.to_le_bytes())), "ELF machine 999");
    says(error_after(|v| v[4] = 1), "ILP32");
    says(error_after(|v| (v[5], v[18], v[19]) = (2, 0, 183)), "big-endian");
    says(error_after(|v| v.truncate(30)), "cut off");
    says(error_after(|v| v.truncate(100)), "program headers are missing");
    says(error_after(|v| v.truncate(0x1080)), "past the end");
    says(error_after(|v| put(v, 16, &1u16.to_le_bytes())), "relocatable object");
    says(error_after(|v| put(v, 16, &4u16.to_le_bytes())), "core dump");
    says(error_after(|v| put(v, 56, &0u16.to_le_bytes())), "no program headers");
    says(error_after(|v| put(v, 56, &0xffffu16.to_le_bytes())), "too many");
    says(error_after(|v| put(v, 24, &0x99_0000u64.to_le_bytes())), "entry point");
    says(error_after(|v| segment(v, 1, 6, [0x1000, 0x40_0000, 0x100, 0x100])), "overlap");
    says(error_after(|v| segment(v, 1, 6, [0x1000, u64::MAX - 0xfff, 0x100, 0x2000])), "address space");
    says(error_after(|v| segment(v, 1, 6, [0x1000, 0x41_1000, 0x100, 0x50])), "larger in the file");
    says(error_after(|v| segment(v, 1, 6, [0x1008, 0x41_1000, 0x8, 0x50])), "disagree");
}

#[test]
fn mutated_files_never_panic() {
    let base = minimal();
    let mut x = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x
    };
    let interesting = [0u64, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, u64::MAX, u64::MAX >> 1, 1 << 63, 0xfff];
    let mut accepted = 0;
    for _ in 0..20_000 {
        let mut v = base.clone();
        for _ in 0..1 + next() % 4 {
            // The identification stays, so that most mutants get past it.
            let at = 6 + (next() % 170) as usize;
            let value = if next() % 2 == 0 { next() } else { interesting[(next() % 10) as usize] };
            let n = [1, 2, 4, 8][(next() % 4) as usize];
            put(&mut v, at, &value.to_le_bytes()[..n]);
        }
        if next() % 8 == 0 {
            v.truncate((next() % 0x1100) as usize);
        }
        if let Ok(image) = parse(&v, v.len() as u64) {
            accepted += 1;
            let span = image.span();
            assert!(span.start < span.end && span.end <= TASK_SIZE);
        }
    }
    assert!(accepted > 100, "only {accepted} mutants were accepted");
}
