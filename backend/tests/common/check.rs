//! One op compiled and interpreted from the same states.

use jib_ir::builder::Builder;
use jib_ir::op::Op;
use jib_ir::region::Val;
use jib_ir::state::{Slot, State, slot};
use jib_ir::ty::Ty;

use super::*;

pub const INTS: [u64; 14] = [
    0,
    1,
    2,
    31,
    0x7f,
    0x8000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_ffff,
    0x0123_4567_89ab_cdef,
];

pub fn v(n: u16) -> Slot {
    Slot(slot::V0.0 + 2 * n)
}

/// How operands of a type are read from state.
pub fn operand(b: &mut Builder, ty: Ty, n: u16) -> Val {
    match ty {
        Ty::V128 => b.get(Ty::V128, v(n)),
        Ty::Flags => b.get_flags(),
        ty => b.get(ty, Slot(n)),
    }
}

/// A region that computes one op from state and puts its result into state.
pub fn region_of(pc: u64, make: &dyn Fn(&mut Builder) -> Op) -> jib_ir::region::Region {
    let mut b = begin(pc);
    let op = make(&mut b);
    let result = b.push(op);
    match op.ty() {
        Some(Ty::V128) => b.set(v(5), result),
        Some(Ty::Flags) => b.set_flags(result),
        Some(Ty::Bool) => {
            let wide = b.from_bool(Ty::I64, result);
            b.set(Slot(5), wide);
        }
        Some(_) => b.set(Slot(5), result),
        None => {}
    }
    b.end_block(stop(pc + 4));
    finish(b, pc, &[0])
}

pub struct Check {
    program: Program,
    next: u64,
    cases: Vec<(u64, String)>,
}

impl Check {
    pub fn new() -> Check {
        Check { program: Program::default(), next: 0x10000, cases: Vec::new() }
    }

    pub fn op(&mut self, make: impl Fn(&mut Builder) -> Op) {
        let pc = self.next;
        self.next += 0x100;
        let region = region_of(pc, &make);
        let name = region.ops.iter().map(|o| format!("{o:?}")).collect::<Vec<_>>().join("; ");
        self.program.put(region);
        self.cases.push((pc, name));
    }

    /// Runs all cases from all states, with and without FPCR bits: as quick code, compiled, and compiled with optimisation.
    pub fn run(&self, states: &[State]) {
        let mut failures = Vec::new();
        let mut count = 0u64;
        let quick = jib_backend::Options { quick: 0, threshold: u32::MAX, ..eager() };
        for options in [quick, eager(), jib_backend::Options { optimize: true, ..eager() }] {
            let (jit, reference) = (translator(&self.program, options), translator(&self.program, interp()));
            for (pc, name) in &self.cases {
                for s in states {
                    count += 1;
                    let (got, want) = (run(&jit, s, *pc), run(&reference, s, *pc));
                    if (got.0, visible(&got.1)) != (want.0, visible(&want.1)) {
                        failures.push(describe(name, s, &got.1, &want.1));
                        break;
                    }
                }
            }
            let stats = jit.stats();
            assert_eq!(stats.discarded, 0, "all must compile");
            let modes = if states.iter().any(|s| s.fpcr() != 0) { 2 } else { 1 };
            let pieces = stats.regions + stats.quick_blocks;
            assert!((self.cases.len() as u64..=modes * self.cases.len() as u64).contains(&pieces), "{stats:?}");
            assert_eq!(stats.block_runs, 0, "all must run compiled");
        }
        println!("{} ops, {count} comparisons, {} failures", self.cases.len(), failures.len());
        assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures[..failures.len().min(12)].join("\n"));
    }
}

pub fn describe(name: &str, s: &State, got: &State, want: &State) -> String {
    let show = |s: &State| format!("x5={:#x} v5={:#034x} nzcv={:#x} fpsr={:#x}", s.x(5), s.v(5), s.nzcv(), s.fpsr());
    format!(
        "{name}\n  x0={:#x} x1={:#x} x2={:#x} v0={:#034x} v1={:#034x} v2={:#034x} nzcv={:#x} fpcr={:#x}\n  got  {}\n  want {}",
        s.x(0),
        s.x(1),
        s.x(2),
        s.v(0),
        s.v(1),
        s.v(2),
        s.nzcv(),
        s.fpcr(),
        show(got),
        show(want)
    )
}

/// States with all pairs of integer edge values in x0 and x1.
pub fn int_states() -> Vec<State> {
    let mut states = Vec::new();
    for (i, &a) in INTS.iter().enumerate() {
        for (j, &b) in INTS.iter().enumerate() {
            let mut s = State::default();
            s.set_x(0, a);
            s.set_x(1, b);
            s.set_x(2, INTS[(i + j) % INTS.len()] ^ (i as u64 & 1));
            s.set_nzcv(((i * 5 + j) as u32) << 28);
            states.push(s);
        }
    }
    states
}

pub struct Rng(pub u64);
impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    pub fn wide(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }
}

/// Lanes of edge values, and random bits.
pub fn vector_states() -> Vec<State> {
    let mut r = Rng(0x1234_5678_9abc_def1);
    let edges = |r: &mut Rng| {
        let mut v = 0u128;
        let lane = [8, 16, 32, 64][r.next() as usize % 4];
        for i in 0..128 / lane {
            let top = 1u64 << (lane - 1);
            let e = [0, 1, top, top - 1, top | (top - 1), 2, top + 1, r.next(), r.next() % 64][r.next() as usize % 9];
            let e = u128::from(if lane == 64 { e } else { e & ((1 << lane) - 1) });
            v |= e << (i * lane);
        }
        v
    };
    let mut states = vec![State::default()];
    for i in 0..60 {
        let mut s = State::default();
        for n in 0..4 {
            let value = if i % 5 == 4 { r.wide() } else { edges(&mut r) };
            s.set_v(n, value);
        }
        s.set_x(0, r.next());
        s.set_x(1, r.next());
        if i % 7 == 0 {
            let same = s.v(0);
            s.set_v(1, same);
        }
        states.push(s);
    }
    states
}
