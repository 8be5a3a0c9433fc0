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
use jib_ir::runtime::{Access, Exit, Fault, RmwOp, Runtime};
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
/// (Arm ARM D2.10.5).
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
    fn system(&mut self, state: &mut State, op: u32, v: Option<u64>) -> Result<u64, Exit> {
        self.inner.system(state, op, v)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jib_frontend_aarch64::A64;
    use std::cell::RefCell;

    struct Code(RefCell<Vec<u32>>);
    impl Fetch for Code {
        fn word(&self, pc: u64) -> Result<u32, Fault> {
            let fault = Fault { addr: pc, access: Access::Fetch, cause: 0 };
            self.0.borrow().get((pc.wrapping_sub(0x1000) / 4) as usize).copied().ok_or(fault)
        }
    }

    /// Memory that is nowhere.
    struct Nothing;
    impl Runtime for Nothing {
        fn load(&mut self, _: Size, _: u64) -> Result<u128, Fault> {
            Ok(7)
        }
        fn store(&mut self, _: Size, _: u64, _: u128) -> Result<(), Fault> {
            Ok(())
        }
        fn store_release(&mut self, _: Size, _: u64, _: u128) -> Result<(), Fault> {
            Ok(())
        }
        fn rmw(&mut self, _: RmwOp, _: Size, _: u64, _: u64) -> Result<u64, Fault> {
            Ok(0)
        }
        fn cas(&mut self, _: Size, _: u64, _: u128, _: u128) -> Result<u128, Fault> {
            Ok(0)
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

    // add x0, x0, #1; b . - 4; ldr x1, [x2]; str x1, [x3]
    const PROGRAM: [u32; 4] = [0x9100_0400, 0x17ff_ffff, 0xf940_0041, 0xf900_0061];

    fn at(pc: u64) -> State {
        let mut s = State::default();
        s.set_pc(pc);
        s
    }

    #[test]
    fn one_instruction_or_one_round_of_a_loop() {
        let (code, mut engine, mut s) = (Code(RefCell::new(PROGRAM.to_vec())), Engine::default(), at(0x1000));
        assert_eq!(engine.run(&A64, &code, &mut s, &mut Nothing, 1), Exit::Next);
        assert_eq!((s.x(0), s.pc()), (1, 0x1004));
        assert_eq!(engine.run(&A64, &code, &mut s, &mut Nothing, 1), Exit::Next);
        assert_eq!((s.x(0), s.pc()), (1, 0x1000));
        assert_eq!(engine.run(&A64, &code, &mut s, &mut Nothing, BLOCK), Exit::Next);
        assert_eq!((s.x(0), s.pc()), (2, 0x1000));
    }

    #[test]
    fn changed_code_is_seen_without_being_announced() {
        let (code, mut engine, mut s) = (Code(RefCell::new(PROGRAM.to_vec())), Engine::default(), at(0x1000));
        engine.run(&A64, &code, &mut s, &mut Nothing, 1);
        code.0.borrow_mut()[0] = 0x9100_1400; // add x0, x0, #5
        s.set_pc(0x1000);
        engine.run(&A64, &code, &mut s, &mut Nothing, 1);
        assert_eq!(s.x(0), 6);
    }

    #[test]
    fn a_watched_access_is_not_made() {
        let (code, mut engine, mut s) = (Code(RefCell::new(PROGRAM.to_vec())), Engine::default(), at(0x1008));
        s.set_x(3, 0x2004);
        let watches = [Watch { addr: 0x2008, len: 4, read: false, write: true, el0: true, el1: false }];
        let mut nothing = Nothing;
        let mut rt = Watched::new(&mut nothing, &watches, true);
        let exit = engine.run(&A64, &code, &mut s, &mut rt, BLOCK);
        let fault = Fault { addr: 0x2008, access: Access::Write, cause: CAUSE_WATCHPOINT };
        assert_eq!(exit, Exit::Fault(fault));
        assert_eq!((s.pc(), s.x(1)), (0x100c, 7));
        assert_eq!(rt.hit, Some(Hit { index: 0, addr: 0x2008, access: Access::Write, el0: true }));
        let mut rt = Watched::new(&mut nothing, &watches, false);
        s.set_pc(0x100c);
        engine.run(&A64, &code, &mut s, &mut rt, 1);
        assert_eq!(rt.hit, None, "EL1 is not watched");
    }
}
