//! Any word decodes and lifts to a region that the verifier accepts, at user and system level.
#![no_main]

use jib_frontend_aarch64::{A64, A64System};
use jib_ir::guest::{Fetch, Guest, Limit};
use jib_ir::region::Key;
use jib_ir::runtime::Fault;
use jib_ir::verify::verify;
use libfuzzer_sys::fuzz_target;

struct Word(u32);

impl Fetch for Word {
    fn word(&self, _pc: u64) -> Result<u32, Fault> {
        Ok(self.0)
    }
}

fn check(guest: &impl Guest, word: u32, mode: u32) {
    let key = Key { pc: 0x1000, mode };
    let mut region = guest.lift(key, &Word(word), Limit { insns: 1, blocks: 1 }).expect("the word can be fetched");
    verify(&region).unwrap_or_else(|e| panic!("{word:08x}, mode {mode:#x}: {e}"));
    jib_ir::passes::run(&mut region);
    verify(&region).unwrap_or_else(|e| panic!("{word:08x}, mode {mode:#x}, after the passes: {e}"));
}

fuzz_target!(|input: (u32, u32)| {
    let (word, mode) = input;
    check(&A64, word, mode & Key::FPCR_SET);
    check(&A64System, word, mode);
});
