//! Any code lifts to regions that the verifier accepts, as they are and after each pass.
#![no_main]

use jib_frontend_aarch64::{A64, A64System};
use jib_ir::guest::{Fetch, Guest, Limit};
use jib_ir::passes::{PASSES, Room};
use jib_ir::region::Key;
use jib_ir::runtime::{Access, Fault};
use jib_ir::verify::verify;
use libfuzzer_sys::fuzz_target;

/// Code from [`BASE`] on, and nothing else.
struct Code<'a>(&'a [u8]);

const BASE: u64 = 0x40_0000;

impl Fetch for Code<'_> {
    fn word(&self, pc: u64) -> Result<u32, Fault> {
        let at = pc.checked_sub(BASE).and_then(|at| usize::try_from(at).ok());
        let bytes = at.and_then(|at| self.0.get(at..at.checked_add(4)?));
        let word = bytes.and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
        word.ok_or(Fault { addr: pc, access: Access::Fetch, cause: 0 })
    }
}

fn check(guest: &impl Guest, key: Key, code: &Code, limit: Limit) {
    let Ok(mut region) = guest.lift(key, code, limit) else { return };
    verify(&region).unwrap_or_else(|e| panic!("as lifted: {e}"));
    let mut room = Room::default();
    for (name, pass) in PASSES {
        pass(&mut region, &mut room);
        verify(&region).unwrap_or_else(|e| panic!("after {name}: {e}"));
    }
}

// Limits, mode, the word to begin at, and code.
fuzz_target!(|input: (u8, u8, u32, u8, &[u8])| {
    let (insns, blocks, mode, start, code) = input;
    let limit = Limit { insns: u32::from(insns) + 1, blocks: u32::from(blocks) + 1 };
    let pc = BASE + 4 * u64::from(start);
    check(&A64, Key { pc, mode: mode & Key::FPCR_SET }, &Code(code), limit);
    check(&A64System, Key { pc, mode }, &Code(code), limit);
});
