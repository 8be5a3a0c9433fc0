//! Hostile program files, loaded but not run: whatever they ask for, they get it inside their own memory or an error.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::*;
use crate::elf::TASK_SIZE;
use crate::elf::tests::minimal;
use crate::signal::host::install_fault_handlers;

/// Mutations that are tried.
const MUTANTS: u64 = 100_000;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// A file that is written anew for each mutant.
struct Reused(File, PathBuf);

impl Reused {
    fn new() -> Reused {
        let path = std::env::temp_dir().join(format!("jib-mutant-{}", std::process::id()));
        let file = File::options().write(true).create(true).truncate(true).open(&path).expect("a temporary file");
        Reused(file, path)
    }
    fn open(&self, content: &[u8]) -> Result<Program, Error> {
        self.0.set_len(content.len() as u64).expect("room");
        self.0.write_all_at(content, 0).expect("room");
        Program::open(&self.1)
    }
}

impl Drop for Reused {
    fn drop(&mut self) {
        _ = std::fs::remove_file(&self.1);
    }
}

/// Valid files that differ in kind: at fixed addresses, relocatable, with an interpreter.
fn seeds() -> Vec<Vec<u8>> {
    let fixed = minimal();
    let mut relocatable = fixed.clone();
    relocatable[16] = 3;
    let mut third = relocatable.clone();
    // A third program header over unused bytes: PT_INTERP.
    third[56] = 3;
    third[176] = 3;
    for (at, v) in [(8, 0x180u64), (16, 0x40_0180), (24, 0x40_0180), (32, 8), (40, 8), (48, 1)] {
        third[176 + at..184 + at].copy_from_slice(&v.to_le_bytes());
    }
    third[0x180..0x188].copy_from_slice(b"/lib/ld\0");
    vec![fixed, relocatable, third]
}

/// A seed with some fields overwritten, by anything or by what is close to a limit; sometimes cut.
fn mutate(r: &mut Random, seed: &[u8]) -> Vec<u8> {
    let mut v = seed.to_vec();
    for _ in 0..1 + r.below(4) {
        // The identification stays, so that most mutants get past it.
        let at = 6 + r.below(0xe8 - 6 - 8) as usize;
        let limits = [0, 1, 0xfff, 0x1000, 0xffff, 0x7fff_ffff, TASK_SIZE, TASK_SIZE - 1, u64::MAX, 1 << 63, 1 << 46];
        let value = match r.below(3) {
            0 => r.next(),
            1 => limits[r.below(limits.len() as u64) as usize].wrapping_sub(r.below(3)),
            _ => r.next() >> r.below(64) & !0xfff,
        };
        let n = [1, 2, 4, 8][r.below(4) as usize];
        v[at..at + n].copy_from_slice(&value.to_le_bytes()[..n]);
    }
    if r.below(8) == 0 {
        v.truncate(r.below(0x1100) as usize);
    }
    v
}

#[test]
fn hostile_files_are_loaded_or_refused() {
    install_fault_handlers();
    let _alone = crate::space::tests::FIXED_PLACES.lock();
    let file = Reused::new();
    let mut r = Random(0x9e37_79b9_7f4a_7c15);
    let seeds = seeds();
    let (mut refused, mut failed, mut loaded) = (0, 0, 0);
    for n in 0..MUTANTS {
        let program = match file.open(&mutate(&mut r, &seeds[n as usize % seeds.len()])) {
            Ok(program) => program,
            Err(e) => {
                assert!(!e.to_string().contains('\n'));
                refused += 1;
                continue;
            }
        };
        let space = AddressSpace::default();
        match program.load(None, &space) {
            Ok(at) => {
                loaded += 1;
                let image = &program.image;
                let bias = at.entry.wrapping_sub(image.entry);
                let inner = space.lock();
                for s in image.segments.iter().filter(|s| s.memory != 0) {
                    let start = s.addr.wrapping_add(bias);
                    assert!(inner.vmas.covers(start..start + s.memory), "{s:?} is not mapped");
                }
            }
            Err(e) => {
                assert!(!e.to_string().is_empty());
                failed += 1;
            }
        }
        // All that it mapped goes, for the next one.
        let mapped: Vec<Range<u64>> = space.lock().vmas.iter().map(|(range, _)| range).collect();
        for range in mapped {
            space.munmap(range.start, range.end - range.start).expect("its own memory");
        }
    }
    println!("{refused} refused, {failed} could not be mapped, {loaded} loaded");
    assert!(loaded > MUTANTS / 100, "only {loaded} mutants were loaded");
}
