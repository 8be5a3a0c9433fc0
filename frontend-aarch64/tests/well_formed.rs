//! Every row lifts to well-formed IR, and a fault finds the registers untouched: no register of an instruction is
//! set before its last access to memory.

use jib_frontend_aarch64::{A64, isa};
use jib_ir::guest::{Fetch, Guest, Limit};
use jib_ir::op::{Effect, Op};
use jib_ir::region::{Key, Region};
use jib_ir::runtime::Fault;
use jib_ir::state::slot;
use jib_ir::verify::verify;
use jib_testing::random::Random;

/// Words of each row.
const WORDS: usize = 2000;

struct Word(u32);

impl Fetch for Word {
    fn word(&self, _pc: u64) -> Result<u32, Fault> {
        Ok(self.0)
    }
}

fn lift(word: u32) -> Region {
    A64.lift(Key { pc: 0x1000, mode: 0 }, &Word(word), Limit { insns: 1, blocks: 1 }).expect("the word can be fetched")
}

fn each_word(mut f: impl FnMut(&str, u32)) {
    let mut random = Random::new(1);
    for row in isa::rows() {
        for _ in 0..WORDS {
            f(row.name, random.u32() & !row.pattern.mask | row.pattern.value);
        }
    }
}

#[test]
fn every_row_passes_the_verifier() {
    each_word(|name, word| {
        if let Err(e) = verify(&lift(word)) {
            panic!("{name} {word:08x}: {e}");
        }
    });
}

/// General and vector registers; the monitor and other state may change between accesses.
fn sets_register(op: &Op) -> bool {
    matches!(*op, Op::Set { slot, .. } if slot.0 < slot::PC.0)
}

#[test]
fn registers_are_set_after_the_last_access() {
    each_word(|name, word| {
        let region = lift(word);
        let set = region.ops.iter().position(sets_register).unwrap_or(region.ops.len());
        let late = region.ops[set.min(region.ops.len())..]
            .iter()
            .find(|op| matches!(op.effect(), Effect::Load | Effect::Store) && !matches!(op, Op::Fence { .. }));
        assert!(late.is_none(), "{name} {word:08x}: {late:?} after a register was set");
    });
}
