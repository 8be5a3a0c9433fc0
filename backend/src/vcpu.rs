//! One guest thread's run loop: find the translation, interpret or enter it, act on how it ended.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use jib_ir::guest::Guest;
use jib_ir::interp::{self, Scratch};
use jib_ir::region::{BlockId, Key};
use jib_ir::runtime::{Exit, Runtime};
use jib_ir::state::{State, slot};

use crate::abi;
use crate::cache::{OUTSIDE, Thread, Unit};
use crate::options::EXITS;
use crate::translator::Translator;

/// Entries of the thread's own table of units.
const UNITS: usize = 4096;

/// One guest thread.
pub struct Vcpu<G: Guest> {
    /// Its state. Compiled code holds pointers to it, so the box must not be replaced while `run` is active.
    pub state: Box<State>,
    shared: Arc<Translator<G>>,
    thread: Arc<Thread>,
    units: Box<[Option<Arc<Unit>>]>,
    scratch: Scratch,
    runs: u64,
    hits: u64,
    misses: u64,
    exits: [u64; EXITS.len()],
}

impl<G: Guest> Vcpu<G> {
    /// A thread of `translator`'s guest with a fresh state.
    pub fn new(translator: &Arc<Translator<G>>) -> Self {
        let thread = Thread::new();
        translator.with_cache(|c| c.add_thread(&thread));
        Vcpu {
            state: Box::default(),
            shared: translator.clone(),
            thread,
            units: vec![None; UNITS].into_boxed_slice(),
            scratch: Scratch::default(),
            runs: 0,
            hits: 0,
            misses: 0,
            exits: [0; EXITS.len()],
        }
    }

    /// The translator that this thread shares.
    pub fn translator(&self) -> &Arc<Translator<G>> {
        &self.shared
    }

    /// Continues at `state.pc` until something needs the caller: every [`Exit`] but `Next` and `InvalidateCode`,
    /// which are acted on here. Clearing `EXIT_REQUEST` after an [`Exit::Interrupt`] is the caller's.
    pub fn run<R: Runtime>(&mut self, rt: &mut R) -> Exit {
        abi::set_table(&mut self.state, &self.thread.table);
        let exit = self.run_until_exit(rt);
        self.report();
        exit
    }

    /// Adds what this thread has counted to the counters of all.
    fn report(&mut self) {
        let all = &self.shared.counters;
        let exits = all.exits.iter().zip(&mut self.exits);
        let own = [(&all.block_runs, &mut self.runs), (&all.hits, &mut self.hits), (&all.misses, &mut self.misses)];
        for (sum, n) in own.into_iter().chain(exits).filter(|(_, n)| **n != 0) {
            sum.fetch_add(std::mem::take(n), Ordering::Relaxed);
        }
    }

    fn run_until_exit<R: Runtime>(&mut self, rt: &mut R) -> Exit {
        let mut interpret = false;
        let mut cell = None;
        loop {
            if self.state.get(slot::EXIT_REQUEST) != 0 {
                return Exit::Interrupt;
            }
            let key = self.shared.guest.key(&self.state);
            let unit = match self.find(key) {
                Ok(unit) => unit,
                Err(fault) => return Exit::Fault(fault),
            };
            if self.shared.options.threshold == 0 && !interpret && unit.code.load(Ordering::Relaxed) == 0 {
                self.shared.count(&unit);
            }
            let exit = if interpret {
                None
            } else {
                if let Some(cell) = cell.take()
                    && unit.code.load(Ordering::Relaxed) != 0
                {
                    self.shared.with_cache(|c| c.link(cell, key));
                }
                self.enter(&unit, rt)
            };
            interpret = false;
            match exit {
                Some(Left::Exit(exit)) => match self.act(exit) {
                    None => {}
                    Some(exit) => return exit,
                },
                Some(Left::Link) => cell = Some(abi::link_cell(&self.state)),
                // Run what compiled code could not, and do not enter it again before.
                Some(Left::Fault) => interpret = true,
                None => {
                    cell = None;
                    let exit = self.interpret(&unit, rt);
                    if let Some(exit) = self.act(exit) {
                        return exit;
                    }
                }
            }
        }
    }

    /// Handles what the run loop handles itself.
    fn act(&mut self, exit: Exit) -> Option<Exit> {
        match exit {
            Exit::Next => None,
            Exit::InvalidateCode { addr, len } => {
                self.shared.invalidate(addr..addr.saturating_add(len));
                None
            }
            exit => Some(exit),
        }
    }

    /// The unit of `key`, from the thread's own table if it is there.
    fn find(&mut self, key: Key) -> Result<Arc<Unit>, jib_ir::runtime::Fault> {
        let at = (key.pc >> 2) as usize % UNITS;
        if let Some(unit) = &self.units[at]
            && unit.key == key
            && !unit.dead.load(Ordering::Acquire)
        {
            self.hits += 1;
            return Ok(unit.clone());
        }
        self.misses += 1;
        let unit = self.shared.unit(key)?;
        self.units[at] = Some(unit.clone());
        Ok(unit)
    }

    fn interpret<R: Runtime>(&mut self, unit: &Arc<Unit>, rt: &mut R) -> Exit {
        let Some(block) = unit.block.get() else {
            // Compiled before it was ever interpreted.
            return match self.shared.lift_block(unit) {
                Ok(_) => Exit::Next,
                Err(fault) => Exit::Fault(fault),
            };
        };
        self.runs += 1;
        let helpers = self.shared.guest.helpers();
        let exit = interp::run(block, BlockId(0), &mut self.state, rt, helpers, &mut self.scratch);
        if unit.code.load(Ordering::Relaxed) == 0 {
            self.shared.count(unit);
        }
        exit
    }

    /// Enters the code of `unit`; `None` if it has none.
    fn enter<R: Runtime>(&mut self, unit: &Unit, rt: &mut R) -> Option<Left> {
        if unit.code.load(Ordering::Relaxed) == 0 {
            return None;
        }
        // From here on code that we may come upon is kept. The address must be read after this.
        self.thread.inside_since.store(self.shared.epoch.load(Ordering::SeqCst), Ordering::SeqCst);
        let code = unit.code.load(Ordering::SeqCst);
        let left = (code != 0).then(|| {
            self.thread.fill(unit.key, code);
            self.enter_code(unit.key.pc, code, rt)
        });
        self.thread.inside_since.store(OUTSIDE, Ordering::Release);
        left
    }

    fn enter_code<R: Runtime>(&mut self, pc: u64, code: u64, rt: &mut R) -> Left {
        let mut failed = None;
        abi::lend(&mut self.state, rt, &mut failed);
        let code =
            crate::fault::guarded(&mut self.state, self.shared.view, |state| crate::entry::enter(state, pc, code));
        self.exits[abi::cause(code)] += 1;
        match code {
            abi::EXIT_NEXT => Left::Exit(Exit::Next),
            abi::EXIT_LINK => Left::Link,
            abi::EXIT_INTERRUPT => Left::Exit(Exit::Interrupt),
            abi::EXIT_HELPER => Left::Exit(failed.unwrap_or(Exit::Next)),
            abi::EXIT_INVALIDATE => {
                let (addr, len) = abi::invalidated(&self.state);
                Left::Exit(Exit::InvalidateCode { addr, len })
            }
            abi::EXIT_FAULT => {
                self.shared.counters.faults.fetch_add(1, Ordering::Relaxed);
                Left::Fault
            }
            trap => Left::Exit(abi::decode_trap(trap)),
        }
    }
}

/// How compiled code was left.
enum Left {
    /// As the interpreter would leave.
    Exit(Exit),
    /// Through an unlinked cell.
    Link,
    /// By a fault: interpret from the checkpoint.
    Fault,
}

impl<G: Guest> Drop for Vcpu<G> {
    fn drop(&mut self) {
        self.shared.with_cache(|c| c.remove_thread(&self.thread));
    }
}
