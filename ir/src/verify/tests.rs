//! What passes, what does not and why, and that nothing panics.

use super::*;
use crate::op::Op;
use crate::region::{InsnMark, Key};
use crate::text::parse;
use crate::text::tests::{Random, any_op};

fn check(body: &str) -> Result<(), String> {
    let text = format!("region pc=0 mode=0\nentries b0\nb0: pc=0 insns=1\n{body}\n");
    verify(&parse(&text).expect("the text is good")).map_err(|e| e.to_string())
}

const END: &str = "Exit pc=0x4 Jump";

#[test]
fn good_regions_pass() {
    let body = "v0 = Get I64 @x0
        v1 = Imm I32 v=3
        v2 = Ext I64 signed=true bits=8 v1
        v3 = Bin Add I64 v0 v2
        v4 = Flags Sub I64 v3 v0
        Set Flags @flags v4
        v5 = Cond Ge v4
        v6 = Call helper=9 v0 - - -
        v7 = VDup H v6
        v8 = VCrypto AesMc v7 - -
        Set V128 @v3 v8
        Branch v5 b0 b1
        b1: pc=4 insns=0
        Trap Svc(0) pc=0x4";
    assert_eq!(check(body), Ok(()));
}

#[test]
fn bad_ops_are_told() {
    let bad = |op: &str, what: &str| {
        let body = format!("v0 = Imm I64 v=0\nv1 = Imm I32 v=0\nv2 = VImm lo=0 hi=0\nFence Full\n{op}\n{END}");
        let error = check(&body).unwrap_err();
        assert!(error.starts_with("block 0, op 4 (") && error.ends_with(what), "{op}: {error}");
    };
    bad("v4 = Bin Add I32 v0 v1", "operand v0 is I64, not I32");
    bad("v4 = Bin Add V128 v2 v2", "type must be I32 or I64");
    bad("v4 = Un Rev32 I32 v1", "Rev32 is for I64");
    bad("v4 = Imm V128 v=0", "a vector constant is a VImm");
    bad("v4 = Imm Bool v=2", "a truth value is 0 or 1");
    bad("v4 = Ext I64 signed=true bits=0 v0", "bits 0 is not in 1..=64");
    bad("v4 = TestBit I32 v1 bit=32", "bit 32 is not in 0..=31");
    bad("v4 = BNot v0", "operand v0 is I64, not Bool");
    bad("v4 = Load I32 B8 Plain v0", "access is wider than its type");
    bad("v4 = Get V128 @33", "vector slot is not aligned");
    bad("v4 = Get I64 @384", "slot is outside the state");
    bad("v4 = Get Flags @x3", "flags live in their own slot only");
    bad("v4 = VGet S idx=4 v2", "lane index 4 is not in 0..=3");
    bad("v4 = VBin PMul H v2 v2", "lane H is not one of [B]");
    bad("v4 = VShift UShr B imm=9 v2", "count 9 is not in 1..=8");
    bad("v4 = VMulL signed=true D v2 v2", "lane D is not one of [B, H, S]");
    bad("v4 = VZeroHi bytes=3 v2", "bytes must be 1, 2, 4 or 8");
    bad("v4 = VCrypto AesE v2 - -", "wrong number of operands");
    bad("v4 = VNot -", "an operand is missing");
    bad("v4 = FCvt H D lanes=3 Fpcr v2", "lanes 3 is not in 1..=2");
    bad("v4 = FRound S Full Zero exact=false int=16 v2", "int must be 0, 32 or 64");
    bad("v4 = Call helper=0 - v0 - -", "an operand after an absent one");
    bad("Jump b0", "a terminator before the block's end");
    bad("v4 = Cas V128 B8 v0 v2 v2", "vectors are compared whole");
}

#[test]
fn operands_are_of_the_same_block_and_earlier() {
    let error = check(&format!("v0 = Imm Bool v=0\nJump b1\nb1: pc=0 insns=0\nv1 = BNot v0\n{END}")).unwrap_err();
    assert_eq!(error, "block 1, op 2 (BNot): operand v0 is not defined earlier in the block");
    let error = check("v0 = Imm Bool v=0").unwrap_err();
    assert_eq!(error, "block 0, op 0 (Imm): the block does not end in a terminator");
    let error = check("v0 = Imm Bool v=0\nBranch v0 b0 b1").unwrap_err();
    assert_eq!(error, "block 0, op 1 (Branch): there is no block 1");
}

#[test]
fn structure_is_checked() {
    let good = parse(&format!("region pc=0 mode=0\nentries b0\nb0: pc=0 insns=0\n{END}")).unwrap();
    let error = |change: &dyn Fn(&mut Region)| {
        let mut region = good.clone();
        change(&mut region);
        verify(&region).unwrap_err().to_string()
    };
    assert_eq!(verify(&good), Ok(()));
    assert_eq!(error(&|r| r.blocks.clear()), "no blocks");
    assert_eq!(error(&|r| r.entries.clear()), "block 0 is not an entry");
    assert_eq!(error(&|r| r.entries.push(BlockId(1))), "entry 1 is not a block");
    assert_eq!(error(&|r| r.blocks[0].ops = 0..2), "blocks end at op 2, but there are 1 ops");
    assert_eq!(error(&|r| r.blocks[0].ops = 1..1), "block 0 has ops 1..1 where some from 0 on are due");
    let marks = |ops: [u32; 2]| error(&|r| r.marks = ops.map(|op| InsnMark::new(op, 0)).to_vec());
    assert_eq!(marks([1, 0]), "marks are not ascending, or beyond the ops");
    assert_eq!(marks([0, 1]), "marks are not ascending, or beyond the ops");
}

#[test]
fn nothing_panics() {
    let mut random = Random(0xfeed_beef_1234_5678);
    let mut passed = 0;
    for _ in 0..20_000 {
        let count = random.below(12) as u32 + 1;
        let row = |random: &mut Random| Op::DOCS[random.below(Op::DOCS.len() as u64) as usize].0;
        let mut range = || random.below(u64::from(count) + 1) as u32..random.below(u64::from(count) + 2) as u32;
        let mut blocks: Vec<_> = (0..3).map(|_| Block { pc: 0, ops: range(), insns: 0 }).collect();
        if !random.below(4).is_multiple_of(4) {
            blocks = vec![Block { pc: 0, ops: 0..count, insns: 0 }];
        }
        let ops = (0..count)
            .map(|_| {
                let name = row(&mut random);
                any_op(name, &mut random)
            })
            .collect();
        let key = Key { pc: 0, mode: 0 };
        let region = Region { key, blocks, ops, marks: vec![], entries: vec![BlockId(0)], code: vec![] };
        passed += u32::from(verify(&region).is_ok());
    }
    assert!(passed > 0);
}
