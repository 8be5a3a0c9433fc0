//! Random code of many blocks lifts to regions that the verifier accepts, as they are and after each pass: the bounded
//! form of the fuzz targets `decode` and `lift_verify`.

use jib_frontend_aarch64::{A64, A64System, isa};
use jib_ir::guest::{Fetch, Guest, Limit};
use jib_ir::passes::{PASSES, Room};
use jib_ir::region::Key;
use jib_ir::runtime::{Access, Fault};
use jib_ir::verify::verify;
use jib_testing::random::Random;

const BASE: u64 = 0x40_0000;
/// Words of code in one case.
const WORDS: usize = 96;

/// Words from [`BASE`] on, and nothing else.
struct Code(Vec<u32>);

impl Fetch for Code {
    fn word(&self, pc: u64) -> Result<u32, Fault> {
        let word = self.0.get((pc.wrapping_sub(BASE) / 4) as usize).filter(|_| pc >= BASE).copied();
        word.ok_or(Fault { addr: pc, access: Access::Fetch, cause: 0 })
    }
}

/// Lifts what is at `pc`; true if it could be fetched.
fn check(guest: &impl Guest, key: Key, code: &Code, limit: Limit) -> bool {
    let Ok(mut region) = guest.lift(key, code, limit) else { return false };
    let complain = |when: &str, e| panic!("{when}: {e}\n{key:x?} {limit:?} {:08x?}", code.0);
    verify(&region).unwrap_or_else(|e| complain("as lifted", e));
    let mut room = Room::default();
    for (name, pass) in PASSES {
        pass(&mut region, &mut room);
        verify(&region).unwrap_or_else(|e| complain(name, e));
    }
    true
}

#[test]
fn any_word_of_any_mode() {
    let mut random = Random::new(11);
    for _ in 0..100_000 {
        let code = Code(vec![random.u32()]);
        let mode = random.u32();
        let limit = Limit { insns: 1, blocks: 1 };
        assert!(check(&A64, Key { pc: BASE, mode: mode & Key::FPCR_SET }, &code, limit));
        assert!(check(&A64System, Key { pc: BASE, mode }, &code, limit));
    }
}

/// A branch whose target is near: B, B.cond, CBZ, TBZ, BL.
fn branch(random: &mut Random) -> u32 {
    let offset = (random.below(64) as u32).wrapping_sub(32);
    let (opcode, width, shift) = random.pick(&[
        (0x1400_0000, 26, 0),
        (0x5400_0000, 19, 5),
        (0x3400_0000, 19, 5),
        (0xb500_0000, 19, 5),
        (0x3600_0000, 14, 5),
        (0x9400_0000, 26, 0),
    ]);
    let rest = if shift == 0 { 0 } else { random.below(15) as u32 };
    opcode | (offset & ((1 << width) - 1)) << shift | rest
}

/// Mostly instructions, some branches among them, some words of any kind.
fn word(random: &mut Random, rows: &[(u32, u32)]) -> u32 {
    match random.below(16) {
        0..=2 => branch(random),
        3 => random.u32(),
        _ => {
            let (mask, value) = random.pick(rows);
            random.u32() & !mask | value
        }
    }
}

#[test]
fn regions_of_many_blocks() {
    let rows: Vec<(u32, u32)> = isa::rows().map(|r| (r.pattern.mask, r.pattern.value)).collect();
    let mut random = Random::new(12);
    let mut lifted = 0;
    for _ in 0..30_000 {
        let code = Code((0..WORDS).map(|_| word(&mut random, &rows)).collect());
        let limit = Limit { insns: 1 + random.below(400) as u32, blocks: 1 + random.below(100) as u32 };
        let (pc, mode) = (BASE + 4 * random.below(WORDS as u64 + 1), random.u32());
        lifted += u32::from(check(&A64, Key { pc, mode: mode & Key::FPCR_SET }, &code, limit));
        lifted += u32::from(check(&A64System, Key { pc, mode }, &code, limit));
    }
    assert!(lifted > 57_000, "only {lifted} regions could be fetched");
}
