//! What each stage of translation costs, on a loop of ordinary code. `cargo bench --bench stages`.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use jib_backend::{Emit, Options, Translator};
use jib_frontend_aarch64::A64;
use jib_frontend_aarch64::decode::decode;
use jib_ir::guest::{Fetch, Guest, Limit};
use jib_ir::region::{BlockId, Key};
use jib_ir::runtime::{Access, Fault};
use jib_ir::{interp, passes};
use jib_testing::case::Case;
use jib_testing::generate;
use jib_testing::interp::Memory;
use jib_testing::random::Random;

/// A loop with loads, stores, flags, a call-free body and some floating point; 16 instructions.
const CODE: [u32; 16] = [
    0x8b02_0c20, // add  x0, x1, x2, lsl #3
    0xf940_0003, // ldr  x3, [x0]
    0xca03_0084, // eor  x4, x4, x3
    0xd342_fc65, // lsr  x5, x3, #2
    0x9b05_1086, // madd x6, x4, x5, x4
    0xf900_0406, // str  x6, [x0, #8]
    0x1e61_2800, // fadd d0, d0, d1
    0x1e60_0842, // fmul d2, d2, d0
    0x4ea1_8463, // add  v3.4s, v3.4s, v1.4s
    0x6e23_1c84, // eor  v4.16b, v4.16b, v3.16b
    0xeb06_00bf, // cmp  x5, x6
    0x9a86_30a7, // csel x7, x5, x6, cc
    0x9100_0442, // add  x2, x2, #1
    0xf240_1c5f, // tst  x2, #0xff
    0x54ff_fe41, // b.ne -56
    0xd65f_03c0, // ret
];
const BASE: u64 = 0x1000;

#[derive(Clone)]
struct Words;

impl Fetch for Words {
    fn word(&self, pc: u64) -> Result<u32, Fault> {
        let at = pc.wrapping_sub(BASE) as usize / 4;
        CODE.get(at).copied().ok_or(Fault { addr: pc, access: Access::Fetch, cause: 0 })
    }
}

fn stages(c: &mut Criterion) {
    let key = Key { pc: BASE, mode: 0 };
    let limit = Limit { insns: 400, blocks: 100 };
    let lifted = A64.lift(key, &Words, limit).expect("the code is there");
    let mut group = c.benchmark_group("stage");
    group.throughput(Throughput::Elements(CODE.len() as u64));
    group.bench_function("decode", |b| b.iter(|| CODE.iter().filter(|&&w| decode(w).is_some()).count()));
    group.bench_function("lift", |b| b.iter(|| A64.lift(key, &Words, limit)));
    group.bench_function("passes", |b| b.iter_batched_ref(|| lifted.clone(), passes::run, BatchSize::SmallInput));
    let translator = Translator::new(A64, Box::new(Words), Options::default()).expect("a translator");
    group.bench_function("lift, passes, lower to CLIF, print", |b| b.iter(|| translator.emit(key, Emit::Clif)));
    group.bench_function("lift, passes, lower, compile, disassemble", |b| b.iter(|| translator.emit(key, Emit::Asm)));
    group.finish();
}

fn interpret(c: &mut Criterion) {
    let mut random = Random::new(1);
    let case = Case { words: vec![0xd503_201f], regs: generate::registers(&mut random), mem_seed: 1 };
    let mut memory = Memory::of(&case);
    let mut state = jib_testing::interp::state_of(&case);
    // One round of the loop: its back edge is not taken.
    let region =
        A64.lift(Key { pc: BASE, mode: 0 }, &Words, Limit { insns: 14, blocks: 1 }).expect("the code is there");
    let mut scratch = interp::Scratch::default();
    let mut group = c.benchmark_group("interpreter");
    group.throughput(Throughput::Elements(14));
    group.bench_function("one block", |b| {
        b.iter(|| {
            state.set_x(1, jib_testing::case::WINDOW);
            state.set_x(2, 0);
            interp::run(&region, BlockId(0), &mut state, &mut memory, A64.helpers(), &mut scratch)
        })
    });
    group.finish();
}

criterion_group!(benches, stages, interpret);
criterion_main!(benches);
