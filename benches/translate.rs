//! What a guest instruction costs at each stage of its life, over a real program: decoding, lifting, passes,
//! interpretation, compilation.
//!
//! `cargo bench --bench translate [-- FILTER]`. Throughput is in guest instructions. Compilation is `jib`'s own count
//! of processor time for all that a program makes hot: lifting, passes, lowering, Cranelift, publishing.

use std::collections::HashMap;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use goblin::elf::Elf;
use jib_frontend_aarch64::{A64, decode};
use jib_ir::guest::{Fetch, Guest, Limit};
use jib_ir::interp::{self, Scratch};
use jib_ir::region::{BlockId, Key, Region};
use jib_ir::runtime::{Access, Exit, Fault, RmwOp, Runtime};
use jib_ir::state::State;
use jib_ir::ty::Size;
use jib_testing::{guest, program, tools};

/// A region as the compiler gets it by default.
const REGION: Limit = Limit { insns: 400, blocks: 100 };

/// A program's segments as they lie in memory, from the lowest address on.
struct Image {
    base: u64,
    bytes: Vec<u8>,
    entry: u64,
    /// Addresses and numbers of bytes of its functions.
    functions: Vec<(u64, u64)>,
}

impl Image {
    fn of(source: &str, flags: &str) -> Image {
        let exe = guest::compile(&tools::root().join(source), flags);
        let file = std::fs::read(&exe).expect("the program was just made");
        let elf = Elf::parse(&file).expect("the compiler makes ELF files");
        let loads = || elf.program_headers.iter().filter(|p| p.p_type == goblin::elf::program_header::PT_LOAD);
        let base = loads().map(|p| p.p_vaddr).min().expect("a program has segments");
        let end = loads().map(|p| p.p_vaddr + p.p_memsz).max().expect("a program has segments");
        let mut bytes = vec![0; (end - base) as usize];
        for p in loads().filter(|p| p.p_filesz != 0) {
            let at = (p.p_vaddr - base) as usize;
            bytes[at..at + p.p_filesz as usize].copy_from_slice(&file[p.file_range()]);
        }
        let symbols = elf.syms.iter().filter(|s| s.is_function() && s.st_size >= 4 && s.st_value >= base);
        let mut functions: Vec<(u64, u64)> = symbols.map(|s| (s.st_value, s.st_size)).collect();
        functions.sort_unstable();
        functions.dedup_by_key(|f| f.0);
        Image { base, bytes, entry: elf.entry, functions }
    }

    fn slice(&self, size: u64, addr: u64, access: Access) -> Result<std::ops::Range<usize>, Fault> {
        let at = addr.checked_sub(self.base).filter(|at| at.saturating_add(size) <= self.bytes.len() as u64);
        at.map(|at| at as usize..(at + size) as usize).ok_or(Fault { addr, access, cause: 0 })
    }
}

impl Fetch for Image {
    fn word(&self, pc: u64) -> Result<u32, Fault> {
        let bytes = &self.bytes[self.slice(4, pc, Access::Fetch)?];
        Ok(u32::from_le_bytes(bytes.try_into().expect("four bytes")))
    }
}

/// Plain memory: the kernel uses nothing else.
impl Runtime for Image {
    fn load(&mut self, size: Size, addr: u64) -> Result<u128, Fault> {
        let mut v = [0; 16];
        let n = size.bytes();
        v[..n as usize].copy_from_slice(&self.bytes[self.slice(n, addr, Access::Read)?]);
        Ok(u128::from_le_bytes(v))
    }
    fn store(&mut self, size: Size, addr: u64, v: u128) -> Result<(), Fault> {
        let n = size.bytes();
        let range = self.slice(n, addr, Access::Write)?;
        self.bytes[range].copy_from_slice(&v.to_le_bytes()[..n as usize]);
        Ok(())
    }
    fn store_release(&mut self, size: Size, addr: u64, v: u128) -> Result<(), Fault> {
        self.store(size, addr, v)
    }
    fn rmw(&mut self, _: RmwOp, _: Size, addr: u64, _: u64) -> Result<u64, Fault> {
        Err(Fault { addr, access: Access::Write, cause: 0 })
    }
    fn cas(&mut self, _: Size, addr: u64, _: u128, _: u128) -> Result<u128, Fault> {
        Err(Fault { addr, access: Access::Write, cause: 0 })
    }
    fn fence(&mut self) {}
    fn counter(&mut self) -> u64 {
        0
    }
    fn counter_hz(&self) -> u64 {
        1
    }
    fn random(&mut self) -> Option<u64> {
        None
    }
}

fn program() -> Image {
    Image::of("tests/guest/c/sort.c", "-O2 -static")
}

fn lift_all(image: &Image) -> Vec<Region> {
    let lift = |&(pc, _): &(u64, u64)| A64.lift(Key { pc, mode: 0 }, image, REGION).expect("functions can be fetched");
    image.functions.iter().map(lift).collect()
}

fn insns(regions: &[Region]) -> u64 {
    regions.iter().map(|r| u64::from(r.insns())).sum()
}

fn front(c: &mut Criterion) {
    let image = program();
    let words: Vec<u32> = image
        .functions
        .iter()
        .flat_map(|&(start, size)| (start..start + size / 4 * 4).step_by(4))
        .map(|pc| image.word(pc).expect("functions can be fetched"))
        .collect();
    let regions = lift_all(&image);
    let mut group = c.benchmark_group("stage");
    group.sample_size(20).throughput(Throughput::Elements(words.len() as u64));
    group.bench_function("decode", |b| {
        b.iter(|| words.iter().filter(|&&w| decode::decode(black_box(w)).is_some()).count())
    });
    group.throughput(Throughput::Elements(insns(&regions)));
    group.bench_function("lift", |b| b.iter(|| lift_all(black_box(&image))));
    group.bench_function("passes", |b| {
        b.iter_batched(
            || regions.clone(),
            |mut all| {
                all.iter_mut().for_each(jib_ir::passes::run);
                all
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

/// Runs the kernel block by block, as the first tier does; the number of instructions.
fn interpret(image: &mut Image, blocks: &mut HashMap<u64, Region>, scratch: &mut Scratch) -> u64 {
    let mut state = State::default();
    state.set_pc(image.entry);
    let mut count = 0;
    loop {
        let pc = state.pc();
        let block = blocks
            .entry(pc)
            .or_insert_with(|| A64.lift(Key { pc, mode: 0 }, image, Limit::BLOCK).expect("the kernel can be fetched"));
        count += u64::from(block.insns());
        match interp::run(block, BlockId(0), &mut state, image, A64.helpers(), scratch) {
            Exit::Next => {}
            Exit::Brk(_) => return count,
            other => panic!("the kernel ended with {other:?}"),
        }
    }
}

fn interpreter(c: &mut Criterion) {
    let mut image = Image::of("benches/guest/kernel.c", "-O2 -static -nostdlib -ffreestanding");
    let (mut blocks, mut scratch) = (HashMap::new(), Scratch::default());
    let count = interpret(&mut image, &mut blocks, &mut scratch);
    let mut group = c.benchmark_group("stage");
    group.sample_size(20).throughput(Throughput::Elements(count));
    group.bench_function("interpret", |b| b.iter(|| interpret(&mut image, &mut blocks, &mut scratch)));
    group.finish();
}

/// Compiles all that a run of `exe` reaches: time, and guest instructions.
fn compile(exe: &Path) -> (Duration, u64) {
    let options = ["--stats", "--sync", "--threshold", "1"];
    let jib = Path::new(env!("CARGO_BIN_EXE_jib"));
    let run = program::run(program::jib(jib, &options, exe).arg("100"), Duration::from_secs(120));
    let text = run.errors();
    let figure = |label: &str| {
        let rest = text.lines().find_map(|l| l.split_once(label)).map(|(_, rest)| rest);
        let number = rest.and_then(|r| r.split_whitespace().next()).and_then(|n| n.parse::<f64>().ok());
        number.unwrap_or_else(|| panic!("`jib run --stats` does not tell {label:?}:\n{text}"))
    };
    (Duration::from_secs_f64(figure("time compiling") / 1e3), figure("guest instructions") as u64)
}

fn compiler(c: &mut Criterion) {
    let exe: PathBuf = guest::compile(&tools::root().join("tests/guest/c/sort.c"), "-O2 -static");
    let (_, count) = compile(&exe);
    let mut group = c.benchmark_group("stage");
    group.sample_size(10).throughput(Throughput::Elements(count));
    group.bench_function("compile", |b| b.iter_custom(|n| (0..n).map(|_| compile(&exe).0).sum()));
    group.finish();
}

criterion_group!(benches, front, interpreter, compiler);
criterion_main!(benches);
