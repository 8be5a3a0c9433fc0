//! Round trips over every op, and what must not parse.

use super::*;
use crate::region::{Block, BlockId, InsnMark, Key, Val};

/// Small xorshift generator.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    /// A number below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }
}

impl Fields for Random {
    fn field<T: Field>(&mut self, _name: &str) -> Result<T, String> {
        Ok(T::sample(self.next() >> 3))
    }
}

/// Any op of row `name`, its fields at random.
pub(crate) fn any_op(name: &str, random: &mut Random) -> Op {
    Op::read(name, random).unwrap()
}

/// A region with one block of `ops`.
fn region_of(ops: Vec<Op>) -> Region {
    let end = ops.len() as u32;
    Region {
        key: Key { pc: 0x1000, mode: 3 },
        blocks: vec![Block { pc: 0x1000, ops: 0..end, insns: 2 }],
        ops,
        marks: vec![InsnMark::new(0, 0x1000), InsnMark::new(end - 1, 0x1004)],
        entries: vec![BlockId(0)],
        code: vec![0x1000..0x1008, 0x2000..0x2004],
    }
}

#[test]
fn every_op_survives_the_round_trip() {
    let mut random = Random(0x1234_5678_9abc_def1);
    // Values 0 to 6, of which the samples' operands are.
    let base: Vec<Op> = (0..7).map(|v| Op::Imm { ty: crate::ty::Ty::I64, v }).collect();
    for (name, _) in Op::DOCS {
        for _ in 0..200 {
            let mut ops = base.clone();
            ops.push(any_op(name, &mut random));
            let region = region_of(ops);
            let text = region.to_string();
            assert_eq!(parse(&text).as_ref(), Ok(&region), "{text}");
            assert_eq!(parse(&text).unwrap().to_string(), text);
        }
    }
}

#[test]
fn several_blocks_and_free_numbering() {
    let text = "\
region pc=0x1000 mode=0
entries b0 b1
code 0x1000..0x1008
b0: pc=0x1000 insns=1 ; a comment
  ; pc 0x1000
  v10 = Get I64 @x0
  v3 = Bin Add I64 v10 v10
  Set I64 @sp v3
  Jump b1
b1: pc=0x1004 insns=1
  ; pc 0x1004
  v3 = Imm I64 v=16
  v4 = Call helper=1 v3 - - -
  ExitInd v4 Ret
";
    let region = parse(text).unwrap();
    assert_eq!(region.blocks[1].ops, 4..7);
    assert_eq!(region.ops[5], Op::Call { helper: 1, a: Val(4), b: Val::NONE, c: Val::NONE, d: Val::NONE });
    assert_eq!(region.marks[1], InsnMark::new(4, 0x1004));
    assert_eq!(parse(&region.to_string()), Ok(region));
}

#[test]
fn what_is_wrong_is_told() {
    let error = |line: &str| {
        let text = format!("region pc=0 mode=0\nb0: pc=0 insns=1\n  v0 = Imm I64 v=1\n{line}\n");
        parse(&text).unwrap_err().to_string()
    };
    assert_eq!(error("v1 = Bin Add I64 v0 v7"), "line 4: v7 is not defined");
    assert_eq!(error("v1 = Bin Plus I64 v0 v0"), "line 4: Plus is no op");
    assert_eq!(error("v1 = Bin Add I64 v0"), "line 4: b is missing");
    assert_eq!(error("v1 = Bin Add I64 v0 v0 v0"), "line 4: v0 is too much");
    assert_eq!(error("v1 = Nothing"), "line 4: there is no op Nothing");
    assert_eq!(error("v1 = Jump b0"), "line 4: Jump has no value");
    assert_eq!(error("v1 = TestBit I64 v0 bit=256"), "line 4: bit=256 is no bit");
    assert_eq!(error("b2: pc=0 insns=0"), "line 4: block b1 is due");
    assert_eq!(error("Set I64 @x31 v0"), "line 4: @x31 is no slot");
    assert_eq!(parse("Fence Full").unwrap_err().to_string(), "line 1: an op outside any block");
}

#[test]
fn garbage_does_not_panic() {
    let mut random = Random(77);
    let words =
        ["v0", "=", "b0:", "pc=0x1", "insns=1", "Bin", "Add", "I64", "-", "@", "@v", "()", "Svc(", "é", ";", "\n"];
    for _ in 0..2000 {
        let text: String = (0..random.below(30)).map(|_| words[random.below(16) as usize].to_owned() + " ").collect();
        let _ = parse(&text);
    }
}
