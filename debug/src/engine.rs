//! The executor of debugged guests: the interpreter on single blocks, cut where a breakpoint is, with every data
//! access checked against watched addresses.
//!
//! Translations need no invalidation: the words that a block was made from are compared before each run.

use std::collections::HashMap;
use std::rc::Rc;

use jib_ir::guest::{Fetch, Guest, Limit};
use jib_ir::interp::{self, Scratch};
use jib_ir::passes;
use jib_ir::region::{BlockId, Key, Region};
use jib_ir::runtime::{Access, Exit, Fault, Location, RmwOp, Runtime};
use jib_ir::state::{State, slot};
use jib_ir::ty::Size;

use crate::points::{self, Hit, Watch};

/// [`Fault::cause`] of an access that a watchpoint stopped.
pub const CAUSE_WATCHPOINT: u32 = u32::MAX - 1;
/// Most instructions of a block.
pub const BLOCK: u32 = Limit::BLOCK.insns;
/// Most blocks kept; all are dropped when there are more.
const CAPACITY: usize = 1 << 16;

struct Block {
    words: Vec<u32>,
    region: Region,
}

/// Blocks and room for values of one guest thread.
#[derive(Default)]
pub struct Engine {
    blocks: HashMap<(Key, u32), Rc<Block>>,
    scratch: Scratch,
}

impl Engine {
    /// Runs `most` instructions at most, to the end of the block if that is nearer. `State::EXIT_REQUEST` is set
    /// afterwards: the caller clears it when it has looked at what else may have set it.
    pub fn run<G: Guest, R: Runtime>(
        &mut self,
        guest: &G,
        code: &dyn Fetch,
        state: &mut State,
        rt: &mut R,
        most: u32,
    ) -> Exit {
        let block = match self.find(guest, guest.key(state), code, most) {
            Ok(block) => block,
            Err(fault) => return Exit::Fault(fault),
        };
        // Jumps inside the block leave it.
        state.set(slot::EXIT_REQUEST, 1);
        let exit = interp::run(&block.region, BlockId(0), state, rt, guest.helpers(), &mut self.scratch);
        if exit == Exit::Interrupt { Exit::Next } else { exit }
    }

    fn find<G: Guest>(&mut self, guest: &G, key: Key, code: &dyn Fetch, most: u32) -> Result<Rc<Block>, Fault> {
        let same = |block: &Block| {
            let mut pc = key.pc;
            block.words.iter().all(|&word| {
                let now = code.word(pc);
                pc = pc.wrapping_add(4);
                now == Ok(word)
            })
        };
        if let Some(block) = self.blocks.get(&(key, most))
            && same(block)
        {
            return Ok(block.clone());
        }
        if self.blocks.len() >= CAPACITY {
            self.blocks.clear();
        }
        let mut region = guest.lift(key, code, Limit { insns: most, blocks: 1 })?;
        passes::run(&mut region);
        let insns = region.insns().max(1) as u64;
        // Words that cannot be read were not lifted either.
        let words = (0..insns).map_while(|i| code.word(key.pc.wrapping_add(4 * i)).ok()).collect();
        let block = Rc::new(Block { words, region });
        self.blocks.insert((key, most), block.clone());
        Ok(block)
    }
}

/// Is `word` DC CVAC, CVAU, CVAP, CVADP or CIVAC? They are lifted as loads, for their faults, but watch nothing
/// (Arm ARM D2, "Watchpoint exceptions").
pub const fn is_cache_maintenance(word: u32) -> bool {
    matches!(word & 0xffff_ffe0, 0xd50b_7a20 | 0xd50b_7b20 | 0xd50b_7c20 | 0xd50b_7d20 | 0xd50b_7e20)
}

/// A runtime whose data accesses are checked first. A watched one fails with [`CAUSE_WATCHPOINT`] and is not made.
pub struct Watched<'a, R> {
    inner: &'a mut R,
    watches: &'a [Watch],
    /// Do ordinary accesses have EL0's rights?
    el0: bool,
    /// What stopped the run.
    pub hit: Option<Hit>,
}

impl<'a, R: Runtime> Watched<'a, R> {
    /// Checks the accesses that go to `inner`; `el0` tells that ordinary ones have EL0's rights.
    pub fn new(inner: &'a mut R, watches: &'a [Watch], el0: bool) -> Self {
        Watched { inner, watches, el0, hit: None }
    }

    fn check(&mut self, addr: u64, size: Size, access: &[Access], el0: bool) -> Result<(), Fault> {
        let find = |&access| points::find(self.watches, addr, size.bytes(), access, el0);
        match access.iter().find_map(find) {
            None => Ok(()),
            Some(hit) => {
                self.hit = Some(hit);
                Err(Fault { addr: hit.addr, access: hit.access, cause: CAUSE_WATCHPOINT })
            }
        }
    }
}

const UPDATE: &[Access] = &[Access::Read, Access::Write];

impl<R: Runtime> Runtime for Watched<'_, R> {
    fn load(&mut self, size: Size, addr: u64) -> Result<u128, Fault> {
        self.check(addr, size, &[Access::Read], self.el0)?;
        self.inner.load(size, addr)
    }
    fn store(&mut self, size: Size, addr: u64, v: u128) -> Result<(), Fault> {
        self.check(addr, size, &[Access::Write], self.el0)?;
        self.inner.store(size, addr, v)
    }
    fn store_release(&mut self, size: Size, addr: u64, v: u128) -> Result<(), Fault> {
        self.check(addr, size, &[Access::Write], self.el0)?;
        self.inner.store_release(size, addr, v)
    }
    fn rmw(&mut self, op: RmwOp, size: Size, addr: u64, v: u64) -> Result<u64, Fault> {
        self.check(addr, size, UPDATE, self.el0)?;
        self.inner.rmw(op, size, addr, v)
    }
    fn cas(&mut self, size: Size, addr: u64, expected: u128, new: u128) -> Result<u128, Fault> {
        self.check(addr, size, UPDATE, self.el0)?;
        self.inner.cas(size, addr, expected, new)
    }
    fn fence(&mut self) {
        self.inner.fence();
    }
    fn counter(&mut self) -> u64 {
        self.inner.counter()
    }
    fn counter_hz(&self) -> u64 {
        self.inner.counter_hz()
    }
    fn random(&mut self) -> Option<u64> {
        self.inner.random()
    }
    fn load_unprivileged(&mut self, size: Size, addr: u64) -> Result<u128, Fault> {
        self.check(addr, size, &[Access::Read], true)?;
        self.inner.load_unprivileged(size, addr)
    }
    fn store_unprivileged(&mut self, size: Size, addr: u64, v: u128) -> Result<(), Fault> {
        self.check(addr, size, &[Access::Write], true)?;
        self.inner.store_unprivileged(size, addr, v)
    }
    fn synchronize(&mut self) {
        self.inner.synchronize();
    }
    fn send_event(&mut self) {
        self.inner.send_event();
    }
    fn locate(&mut self, state: &State) -> Result<Location, Exit> {
        self.inner.locate(state)
    }
    fn code_changed(&mut self, addr: u64, len: u64) -> bool {
        self.inner.code_changed(addr, len)
    }
    fn system(&mut self, state: &mut State, op: u32, v: Option<u64>) -> Result<u64, Exit> {
        self.inner.system(state, op, v)
    }
}

#[cfg(test)]
mod tests;
