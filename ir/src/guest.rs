//! What a frontend owes the rest: lifting, and helpers.

use crate::region::{Key, Region};
use crate::runtime::{Fault, Helper};
use crate::state::State;

/// Reads guest code.
pub trait Fetch {
    /// The instruction word at `pc` (4-byte aligned).
    fn word(&self, pc: u64) -> Result<u32, Fault>;

    /// Reads the words from `pc` (4-byte aligned) on into `room`, which is not empty: at least one of them, and as many
    /// more as come easily. How many.
    fn words(&self, pc: u64, room: &mut [u32]) -> Result<usize, Fault> {
        room[0] = self.word(pc)?;
        Ok(1)
    }

    /// May a region that begins elsewhere go on at `pc`?
    fn follows(&self, _pc: u64) -> bool {
        true
    }

    /// Are the code bytes at `pc` (4-byte aligned, whole instructions) these?
    fn shows(&self, pc: u64, code: &[u8]) -> bool {
        let mut words = code.chunks_exact(4).zip((pc..).step_by(4));
        words.all(|(word, pc)| self.word(pc).is_ok_and(|w| w.to_le_bytes() == *word))
    }
}

/// How far a lift may go.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Most guest instructions in the region.
    pub insns: u32,
    /// Most blocks in the region; 1 lifts a single block.
    pub blocks: u32,
}

impl Limit {
    /// One block, as the interpreter wants it.
    pub const BLOCK: Limit = Limit { insns: 64, blocks: 1 };
}

/// A guest architecture.
pub trait Guest: Send + Sync + 'static {
    /// Translates the code at `key.pc`. The first instruction's fetch may fail; a later one that
    /// fails ends the region before it.
    fn lift(&self, key: Key, code: &dyn Fetch, limit: Limit) -> Result<Region, Fault> {
        let mut region = Region::default();
        self.lift_into(&mut region, key, code, limit)?;
        Ok(region)
    }
    /// The same in the place of `region`, which is not wanted any more.
    fn lift_into(&self, region: &mut Region, key: Key, code: &dyn Fetch, limit: Limit) -> Result<(), Fault>;
    /// The key under which `state` continues.
    fn key(&self, state: &State) -> Key;
    /// Out-of-line semantics, by number.
    fn helpers(&self) -> &'static [Helper];
}
