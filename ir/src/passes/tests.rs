//! Random regions do the same before and after the passes; and what each pass is there for, it does.

use super::*;
use crate::interp::{self, Scratch};
use crate::op::{Effect, ExitKind, Op};
use crate::region::{Block, BlockId, InsnMark, Key, Region, Val};
use crate::runtime::{Access, Exit, Fault, Helper, RmwOp, Runtime};
use crate::state::{STATE_WORDS, Slot, State, slot};
use crate::text::parse;
use crate::text::tests::{Random, any_op};
use crate::ty::{Size, Ty};
use crate::verify::verify;

/// 256 bytes of memory, repeated throughout the address space but for some holes.
#[derive(Clone, PartialEq, Debug)]
struct Memory([u8; 256]);

impl Memory {
    fn check(addr: u64, access: Access) -> Result<(), Fault> {
        if addr & 0x700 == 0x700 { Err(Fault { addr, access, cause: 1 }) } else { Ok(()) }
    }
}

impl Runtime for Memory {
    fn load(&mut self, size: Size, addr: u64) -> Result<u128, Fault> {
        Memory::check(addr, Access::Read)?;
        let byte = |i: u64| u128::from(self.0[(addr.wrapping_add(i) & 255) as usize]) << (8 * i);
        Ok((0..size.bytes()).map(byte).sum())
    }
    fn store(&mut self, size: Size, addr: u64, v: u128) -> Result<(), Fault> {
        Memory::check(addr, Access::Write)?;
        for i in 0..size.bytes() {
            self.0[(addr.wrapping_add(i) & 255) as usize] = (v >> (8 * i)) as u8;
        }
        Ok(())
    }
    fn store_release(&mut self, size: Size, addr: u64, v: u128) -> Result<(), Fault> {
        self.store(size, addr, v)
    }
    fn rmw(&mut self, op: RmwOp, size: Size, addr: u64, v: u64) -> Result<u64, Fault> {
        let old = self.load(size, addr)? as u64;
        let new = if op == RmwOp::Xor { old ^ v } else { old.wrapping_add(v) };
        self.store(size, addr, new.into())?;
        Ok(old)
    }
    fn cas(&mut self, size: Size, addr: u64, expected: u128, new: u128) -> Result<u128, Fault> {
        let old = self.load(size, addr)?;
        if old == expected {
            self.store(size, addr, new)?;
        }
        Ok(old)
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

/// Changes state, and sometimes leaves.
fn scramble(state: &mut State, _: &mut dyn Runtime, args: [u64; 4]) -> Result<u64, Exit> {
    let sum = args.iter().fold(state.x(1), |s, a| s.wrapping_mul(31).wrapping_add(*a));
    state.set_x(0, sum);
    state.set_v(1, state.v(0) ^ u128::from(sum));
    if sum.is_multiple_of(7) { Err(Exit::Brk(7)) } else { Ok(sum ^ state.x(2)) }
}

const HELPERS: [Helper; 1] = [Helper { name: "scramble", run: scramble }];

/// Few enough slots for reads and writes to meet.
const SLOTS: [Slot; 10] =
    [Slot(0), Slot(1), Slot(2), slot::SP, slot::V0, Slot(34), Slot(33), slot::FLAGS, slot::FPSR, slot::FPCR];

fn region_of(ops: Vec<Op>) -> Region {
    let end = ops.len() as u32;
    Region {
        key: Key { pc: 0x1000, mode: 1 },
        blocks: vec![Block { pc: 0x1000, ops: 0..end, insns: 1 }],
        ops,
        marks: Vec::new(),
        entries: vec![BlockId(0)],
        code: Vec::new(),
    }
}

const END: Op = Op::Exit { pc: 0x2000, kind: ExitKind::Jump };

/// The name of a row, those about state and flags more often than their share.
fn any_row(random: &mut Random) -> &'static str {
    match random.below(8) {
        0 => ["Get", "Set", "Set", "Flags", "FlagsLogic", "Cond", "Select", "Ext"][random.below(8) as usize],
        1 => ["Bin", "Cmp", "BNot", "FromBool", "VZeroHi", "VGet", "BAnd", "Get"][random.below(8) as usize],
        _ => Op::DOCS[random.below(Op::DOCS.len() as u64) as usize].0,
    }
}

/// Appends a random op of a row that `row` chooses, one that the verifier takes, if one is found soon.
fn append(ops: &mut Vec<Op>, random: &mut Random, row: fn(&mut Random) -> &'static str) {
    for _ in 0..60 {
        let mut op = any_op(row(random), random);
        if op.effect() == Effect::End {
            continue;
        }
        let count = ops.len() as u64;
        let nearest = random.below(3) == 0;
        op.map_args(&mut |_| Val((count - 1 - if nearest { 0 } else { random.below(count.min(12)) }) as u32));
        let any_slot = SLOTS[random.below(10) as usize];
        match &mut op {
            Op::Get { slot, .. } | Op::Set { slot, .. } => *slot = any_slot,
            Op::Call { helper, .. } => *helper = 0,
            Op::Ext { bits, .. } => *bits = [1, 7, 8, 16, 31, 32, 33, 63, 64][random.below(9) as usize],
            Op::VZeroHi { bytes, .. } => *bytes = 1 << random.below(4),
            Op::VGet { idx, .. } | Op::VSet { idx, .. } => *idx &= 3,
            Op::Imm { v, .. } if random.below(2) == 0 => *v &= 0xff,
            _ => {}
        }
        let mut with_end = ops.clone();
        with_end.extend([op, END]);
        if verify(&region_of(with_end)).is_ok() {
            ops.push(op);
            return;
        }
    }
}

/// A value of every type.
fn random_base() -> Vec<Op> {
    let text = "region pc=0 mode=0\nb0: pc=0 insns=0
        v0 = Get I64 @x1\nv1 = Get I32 @x2\nv2 = Get V128 @v0\nv3 = Get Flags @flags\nv4 = Imm Bool v=1
        v5 = Imm I64 v=0\nv6 = Imm I32 v=0xff\nv7 = VImm lo=0 hi=0\nv8 = Cond Hi v3";
    parse(text).unwrap().ops
}

fn random_region(random: &mut Random) -> Region {
    let mut ops = random_base();
    for _ in 0..10 + random.below(40) {
        append(&mut ops, random, any_row);
    }
    ops.push(END);
    let mut region = region_of(ops);
    // A guest instruction every few ops.
    let end = region.ops.len() as u32;
    region.marks = (0..end).step_by(3).map(|op| InsnMark::new(op, 0x1000 + u64::from(op) * 4)).collect();
    region
}

/// State, memory and exit after running `region` from a state made of `seed`.
fn outcome(region: &Region, seed: u64) -> (Exit, Vec<u64>, u32, Memory) {
    let mut random = Random(seed);
    let mut state = State::default();
    for word in 0..slot::PC.0 {
        state.set(Slot(word), random.next() >> (random.next() % 64));
    }
    state.set_nzcv(random.next() as u32);
    state.set(slot::FPCR, u64::from([0, 0, 0x0300_0000, 0x0040_0000][random.below(4) as usize] as u32));
    let mut memory = Memory(std::array::from_fn(|_| random.next() as u8));
    let exit = interp::run(region, BlockId(0), &mut state, &mut memory, &HELPERS, &mut Scratch::default());
    let flags = usize::from(slot::FLAGS.0)..usize::from(slot::FLAGS.0) + 3;
    let words = (0..STATE_WORDS).filter(|w| !flags.contains(w)).map(|w| state.get(Slot(w as u16))).collect();
    (exit, words, state.nzcv(), memory)
}

fn check_same(before: &Region, after: &Region, name: &str, seed: u64) {
    assert_eq!(verify(after), Ok(()), "{name}\n{before}\n{after}");
    for seed in (0..6).map(|i| seed + i) {
        let (a, b) = (outcome(before, seed), outcome(after, seed));
        assert!(a == b, "{name} seed {seed}\n{before}\n{after}\n{:?}\n{:?}", a.0, b.0);
    }
}

#[test]
fn random_regions_do_the_same() {
    let mut random = Random(0x0dd_ba11_5eed);
    let mut room = Room::default();
    let (mut before, mut after) = (0, 0);
    for _ in 0..3000 {
        let region = random_region(&mut random);
        assert_eq!(verify(&region), Ok(()));
        let seed = random.next() | 1;
        for (name, pass) in PASSES {
            let mut one = region.clone();
            pass(&mut one, &mut room);
            check_same(&region, &one, name, seed);
        }
        let mut all = region.clone();
        run_in(&mut all, &mut room);
        check_same(&region, &all, "all", seed);
        before += region.ops.len();
        after += all.ops.len();
    }
    assert!(after * 10 < before * 9, "{before} ops became {after}");
}

/// An op that simplification looks at, on the value of any other: most of what `fold` does is about such pairs.
#[test]
fn pairs_of_ops_do_the_same() {
    const OUTER: [&str; 16] = [
        "Ext",
        "Ext",
        "Bin",
        "Un",
        "Cmp",
        "TestBit",
        "BNot",
        "BAnd",
        "Select",
        "VZeroHi",
        "VZeroHi",
        "VGet",
        "VDup",
        "VExt",
        "VXor",
        "FlagsPack",
    ];
    const INNER: [&str; 12] =
        ["Ext", "Ext", "FromBool", "Load", "VGet", "VSet", "Un", "VZeroHi", "VReduce", "VPair", "FCvt", "Imm"];
    let mut random = Random(0x5eed_0f9a_1250);
    let (mut pairs, mut changed) = (0u32, 0u32);
    while pairs < 6000 {
        let mut ops = random_base();
        let inner = ops.len();
        if random.below(2) == 0 {
            append(&mut ops, &mut random, |r| INNER[r.below(12) as usize]);
        } else {
            append(&mut ops, &mut random, any_row);
        }
        let outer = ops.len();
        append(&mut ops, &mut random, |r| OUTER[r.below(16) as usize]);
        let uses_inner = |op: &Op| {
            let mut uses = false;
            op.for_each_arg(&mut |v| uses |= v.index() == inner);
            uses
        };
        let Some(ty) = ops.get(outer).filter(|op| uses_inner(op)).and_then(|op| op.ty()) else { continue };
        let slot = [slot::X0, slot::V0, slot::FLAGS][usize::from(ty == Ty::V128) + 2 * usize::from(ty == Ty::Flags)];
        ops.extend([Op::Set { ty, slot, v: Val(outer as u32) }, END]);
        let before = region_of(ops);
        let mut after = before.clone();
        run(&mut after);
        check_same(&before, &after, "pair", random.next() | 1);
        pairs += 1;
        let mut swept = before.clone();
        dce::run(&mut swept, &mut Room::default());
        changed += u32::from(after.ops.len() < swept.ops.len());
    }
    assert!(changed > 500, "{changed}");
}

/// Every condition on every origin of flags, on operands near the edges.
#[test]
fn conditions_on_known_flags() {
    let edges = [0, 1, 2, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, i64::MAX as u64, i64::MIN as u64, u64::MAX];
    for cond in crate::ty::Cond::ALL {
        for origin in [
            "Flags Sub I64 v0 v1",
            "Flags Add I64 v0 v1",
            "Flags Sub I32 v2 v3",
            "Flags Add I32 v2 v3",
            "FlagsLogic I64 v0",
            "FlagsLogic I32 v2",
            "FlagsAdc I64 v0 v1 v4",
            "Select Flags v4 v5 v6",
            "Select Flags v4 v6 v5",
        ] {
            let text = format!(
                "region pc=0 mode=0\nentries b0\nb0: pc=0 insns=0
                v0 = Get I64 @x0\nv1 = Get I64 @x1\nv2 = Get I32 @x0\nv3 = Get I32 @x1\nv4 = Cmp Ult I64 v0 v1
                v5 = Flags Sub I64 v0 v1\nv6 = Imm Flags v=0x60000000\nv10 = Bin Sub I64 v0 v1
                v7 = {origin}\nv8 = Cond {cond:?} v7\nv9 = FromBool I64 v8\nSet I64 @x2 v9\nExit pc=0x0 Jump"
            );
            let region = parse(&text).unwrap();
            let mut after = region.clone();
            run(&mut after);
            assert_eq!(verify(&after), Ok(()));
            for a in edges {
                for b in edges {
                    let x2 = |region: &Region| {
                        let mut state = State::default();
                        state.set_x(0, a);
                        state.set_x(1, b);
                        let mut memory = Memory([0; 256]);
                        interp::run(region, BlockId(0), &mut state, &mut memory, &[], &mut Scratch::default());
                        state.x(2)
                    };
                    assert_eq!(x2(&region), x2(&after), "{a:#x} {b:#x}\n{region}\n{after}");
                }
            }
        }
    }
}

/// The ops that `body` becomes, without the head.
fn optimised(body: &str) -> String {
    let mut region = parse(&format!("region pc=0 mode=0\nentries b0\nb0: pc=0 insns=0\n{body}")).unwrap();
    assert_eq!(verify(&region), Ok(()));
    run(&mut region);
    let text = region.to_string();
    let (_, ops) = text.split_once("insns=0\n").unwrap();
    ops.lines().map(|l| l.trim().to_owned() + "\n").collect()
}

#[test]
fn compare_and_branch_become_one() {
    let ops = optimised(
        "v0 = Get I64 @x0\nv1 = Get I64 @x1\nv2 = Flags Sub I64 v0 v1\nSet Flags @flags v2
        v3 = Get Flags @flags\nv4 = Cond Hi v3\nv5 = BNot v4\nBranch v5 b0 b0\nb1: pc=0 insns=0\nExit pc=0 Jump",
    );
    let (block, _) = ops.split_once("b1:").unwrap();
    assert_eq!(block, "v0 = Get I64 @x0\nv1 = Get I64 @x1\nv2 = Flags Sub I64 v0 v1\nSet Flags @flags v2\nJump b0\n");
    let ops = optimised(
        "v0 = Get I64 @x0\nv2 = FlagsLogic I64 v0\nSet Flags @flags v2\nv3 = Get Flags @flags
        v4 = Cond Ne v3\nBranch v4 b0 b1\nb1: pc=0 insns=0\nExit pc=0 Jump",
    );
    let (block, _) = ops.split_once("b1:").unwrap();
    assert_eq!(
        block,
        "v0 = Get I64 @x0\nv1 = FlagsLogic I64 v0\nSet Flags @flags v1\nv3 = Imm I64 v=0x0
v4 = Cmp Ne I64 v0 v3\nBranch v4 b0 b1\n"
    );
}

#[test]
fn state_is_written_once_and_read_once() {
    let ops = optimised(
        "v0 = Get I64 @x0\nv1 = Imm I64 v=8\nv2 = Bin Add I64 v0 v1\nSet I64 @x0 v2\nv3 = Get I64 @x0
        v4 = Get I32 @x0\nv5 = Ext I64 signed=false bits=32 v4\nv6 = Bin Add I64 v3 v5\nSet I64 @x0 v6
        Exit pc=0 Jump",
    );
    assert_eq!(
        ops,
        "v0 = Get I64 @x0\nv1 = Imm I64 v=0x8\nv2 = Bin Add I64 v0 v1\nv3 = Ext I64 signed=false bits=32 v2
v4 = Bin Add I64 v2 v3\nSet I64 @x0 v4\nExit pc=0x0 Jump\n"
    );
}

#[test]
fn what_can_be_seen_stays() {
    let body = "v0 = Get I64 @x0\nv1 = Imm I64 v=0x1\nSet I64 @x1 v0\nv3 = Load I64 B8 Plain v0\nSet I64 @x1 v1
v5 = FUn Sqrt D Scalar v6\nExit pc=0x0 Jump\n";
    let body = body.replace("v5 = FUn", "v6 = Get V128 @v0\nv5 = FUn");
    let ops = optimised(&body);
    assert_eq!(ops.matches("Set").count(), 2);
    assert_eq!((ops.matches("Load").count(), ops.matches("FUn").count()), (1, 1));
    let request =
        "v0 = Get I64 @exit_request\nv1 = Get I64 @exit_request\nSet I64 @x0 v0\nSet I64 @x1 v1\nExit pc=0 Jump";
    assert_eq!(optimised(request).matches("Get").count(), 2, "other threads write it");
}

#[test]
fn marks_stay_with_their_instructions() {
    let mut region = parse(
        "region pc=0 mode=0\nentries b0\nb0: pc=0 insns=3
        ; pc 0x0\nv0 = Get I64 @x0
        ; pc 0x4\nv1 = Imm I64 v=1\nv2 = Imm I64 v=2\nv3 = Bin Add I64 v1 v2
        ; pc 0x8\nv4 = Load I64 B8 Plain v0\nExit pc=0xc Jump",
    )
    .unwrap();
    run(&mut region);
    assert_eq!(region.ops.len(), 3);
    assert_eq!([0, 1, 2].map(|i| region.pc_of(i)), [0, 8, 8]);
}
