//! One guest thread's run loop: find the translation, interpret or enter it, act on how it ended.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use jib_ir::guest::Guest;
use jib_ir::interp::{self, Scratch};
use jib_ir::region::{BlockId, Region};
use jib_ir::runtime::{Exit, Fault, Location, Runtime};
use jib_ir::state::State;

use crate::abi;
use crate::cache::{At, Cache, OUTSIDE, Thread, Unit};
use crate::kick::{self, Kicker};
use crate::options::{EXITS, Memory};
use crate::quick::QuickCompiler;
use crate::translator::{Found, Translator};

/// Entries of the thread's own table of units, in pieces that are made when wanted.
const UNITS: usize = 1 << 17;
/// Entries of a piece.
const PIECE: usize = 1 << 7;
/// Interpreted blocks after which all may know of them, in a thread that stays in its run loop.
const REPORT: u64 = 1024;
/// Calls of [`Vcpu::run`] after which all may know of them.
const EXITS_TO_REPORT: u32 = 64;
/// An interpreted run takes as long as about so many of quick code.
const INTERPRETING: u32 = 32;
/// Indirect tables where each mode and address space has its own.
const TABLES: usize = 12;

/// One guest thread.
pub struct Vcpu<G: Guest> {
    /// Its state. Compiled code holds pointers to it, so the box must not be replaced while `run` is active.
    pub state: Box<State>,
    shared: Arc<Translator<G>>,
    thread: Arc<Thread>,
    kicker: Kicker,
    tables: Tables,
    units: Units,
    /// Epoch at which compiled code was entered last.
    entered: u64,
    /// A block that runs once.
    once: Region,
    scratch: Scratch,
    quick: Option<QuickCompiler>,
    /// Exits since the last report.
    unreported: u32,
    runs: u64,
    /// Guest instructions interpreted.
    interpreted: u64,
    hits: u64,
    misses: u64,
    exits: [u64; EXITS.len()],
}

impl<G: Guest> Vcpu<G> {
    /// A thread of `translator`'s guest with a fresh state.
    pub fn new(translator: &Arc<Translator<G>>) -> Self {
        let many = translator.options.memory == Memory::Table;
        let Idle { thread, units, scratch, quick } = translator.with_cache(Cache::take_idle).unwrap_or_else(|| {
            let thread = Thread::new(if many { TABLES } else { 1 }, !many);
            translator.with_cache(|c| c.add_thread(&thread));
            let units = (0..UNITS / PIECE).map(|_| None).collect();
            Idle { thread, units, scratch: Scratch::default(), quick: translator.quick_compiler() }
        });
        let mut state = Box::<State>::default();
        Vcpu {
            kicker: Kicker::new(&mut state),
            state,
            shared: translator.clone(),
            tables: Tables::new(thread.tables.len()),
            thread,
            units,
            entered: 0,
            once: Region::default(),
            scratch,
            quick,
            unreported: 0,
            runs: 0,
            interpreted: 0,
            hits: 0,
            misses: 0,
            exits: [0; EXITS.len()],
        }
    }

    /// The translator that this thread shares.
    pub fn translator(&self) -> &Arc<Translator<G>> {
        &self.shared
    }

    /// What makes this thread leave its code from another thread.
    pub fn kicker(&self) -> Kicker {
        self.kicker.clone()
    }

    /// Clears `EXIT_REQUEST`; what its [`Kicker`] did before is seen from here on. True if it was set.
    pub fn take_request(&mut self) -> bool {
        kick::take(&mut self.state)
    }

    /// Continues at `state.pc` until something needs the caller: every [`Exit`] but `Next` and `InvalidateCode`,
    /// which are acted on here. Clearing `EXIT_REQUEST` after an [`Exit::Interrupt`] is the caller's.
    pub fn run<R: Runtime>(&mut self, rt: &mut R) -> Exit {
        abi::set_table(&mut self.state, &self.thread.tables[self.tables.current].words);
        if let Some(sampler) = self.shared.options.sampler {
            sampler.enter(&mut self.state);
        }
        let before = self.shared.options.measure.then(crate::entry::thread_nanos);
        let exit = self.run_until_exit(rt);
        if let Some(before) = before {
            let spent = crate::entry::thread_nanos() - before;
            self.shared.counters.guest_ns.fetch_add(spent, Ordering::Relaxed);
        }
        if self.shared.options.sampler.is_some() {
            crate::sample::leave();
        }
        self.unreported += 1;
        if self.unreported >= EXITS_TO_REPORT {
            self.report();
        }
        exit
    }

    /// Adds what this thread has counted to the counters of all: now and then, and before somebody reads them.
    pub fn report(&mut self) {
        self.unreported = 0;
        let all = &self.shared.counters;
        let exits = all.exits.iter().zip(&mut self.exits);
        let own = [
            (&all.block_runs, &mut self.runs),
            (&all.interpreted, &mut self.interpreted),
            (&all.hits, &mut self.hits),
            (&all.misses, &mut self.misses),
        ];
        for (sum, n) in own.into_iter().chain(exits).filter(|(_, n)| **n != 0) {
            sum.fetch_add(std::mem::take(n), Ordering::Relaxed);
        }
    }

    fn run_until_exit<R: Runtime>(&mut self, rt: &mut R) -> Exit {
        let mut replays = false;
        let exit = self.run_loop(rt, &mut replays);
        if replays {
            rt.replay(false);
        }
        exit
    }

    /// `replays` while [`Runtime::replay`] is on.
    fn run_loop<R: Runtime>(&mut self, rt: &mut R, replays: &mut bool) -> Exit {
        let mut interpret = false;
        let mut cell = None;
        let mut hot = None;
        loop {
            if kick::requested(&mut self.state) {
                return Exit::Interrupt;
            }
            let location = match rt.locate(&self.state) {
                Ok(location) => location,
                Err(exit) => return exit,
            };
            let mut key = self.shared.guest.key(&self.state);
            key.mode |= location.mode;
            let unit = match self.find(At { key, page: location.page }) {
                Ok(Found::Unit(unit)) => unit,
                Ok(Found::New) => {
                    (interpret, cell) = (false, None);
                    if let Some(cell) = hot.take() {
                        self.shared.with_cache(|c| c.recount(cell, false));
                    }
                    let block = std::mem::take(&mut self.once);
                    let exit = self.run_block(&block, rt);
                    self.once = block;
                    match self.act(exit, rt) {
                        None => continue,
                        Some(exit) => return exit,
                    }
                }
                Err(fault) => return Exit::Fault(fault),
            };
            if self.shared.options.threshold == 0 && !interpret && unit.code.load(Ordering::Relaxed) == 0 {
                self.shared.count(&unit, 1);
            }
            if let Some(cell) = hot.take() {
                self.shared.credit(&unit, cell);
            }
            if !interpret
                && unit.code.load(Ordering::Relaxed) == 0
                && unit.runs.load(Ordering::Relaxed) >= self.shared.options.quick
                && !self.shared.is_young()
            {
                self.quick_compile(&unit);
            }
            let exit = if interpret {
                None
            } else {
                if let Some(cell) = cell.take()
                    && unit.code.load(Ordering::Relaxed) != 0
                {
                    self.shared.link(cell, &unit, self.entered);
                }
                self.enter(&unit, &location, rt)
            };
            interpret = false;
            match exit {
                Some(Left::Exit(exit)) => match self.act(exit, rt) {
                    None => {}
                    Some(exit) => return exit,
                },
                Some(Left::Link) => cell = Some(abi::link_cell(&self.state)),
                Some(Left::Hot) => hot = Some(abi::link_cell(&self.state)),
                // Run what compiled code could not, and do not enter it again before.
                Some(Left::Fault) => {
                    interpret = true;
                    *replays = true;
                    rt.replay(true);
                }
                None => {
                    cell = None;
                    let exit = self.interpret(&unit, rt);
                    if std::mem::take(replays) {
                        rt.replay(false);
                    }
                    if let Some(exit) = self.act(exit, rt) {
                        return exit;
                    }
                }
            }
        }
    }

    /// Handles what the run loop handles itself.
    fn act<R: Runtime>(&mut self, exit: Exit, rt: &mut R) -> Option<Exit> {
        match exit {
            Exit::Next => None,
            Exit::InvalidateCode { addr, len } => {
                if !rt.code_changed(addr, len) {
                    self.shared.invalidate(addr..addr.saturating_add(len));
                }
                None
            }
            exit => Some(exit),
        }
    }

    /// The place of `at` in the thread's own table of units.
    fn entry(&mut self, at: At) -> &mut Option<Entry> {
        let n = (at.key.pc >> 2) as usize % UNITS;
        &mut self.units[n / PIECE].get_or_insert_with(|| Box::new([const { None }; PIECE]))[n % PIECE]
    }

    /// What there is for `wanted`, from the thread's own table if it is there.
    fn find(&mut self, wanted: At) -> Result<Found, Fault> {
        if let Some(entry) = self.entry(wanted)
            && entry.unit.at == wanted
            && !entry.unit.dead.load(Ordering::Acquire)
        {
            if entry.block.is_some() && entry.unit.code.load(Ordering::Relaxed) != 0 {
                entry.block = None;
            }
            let unit = entry.unit.clone();
            self.hits += 1;
            return Ok(Found::Unit(unit));
        }
        self.misses += 1;
        let found = self.shared.find(wanted, &self.thread, &mut self.once)?;
        if let Found::Unit(unit) = &found {
            *self.entry(wanted) = Some(Entry { unit: unit.clone(), block: None });
        }
        Ok(found)
    }

    fn interpret<R: Runtime>(&mut self, unit: &Arc<Unit>, rt: &mut R) -> Exit {
        let block = match self.block(unit) {
            Ok(Some(block)) => block,
            // Went stale meanwhile.
            Ok(None) => return Exit::Next,
            Err(fault) => return Exit::Fault(fault),
        };
        let exit = self.run_block(&block, rt);
        if unit.code.load(Ordering::Relaxed) == 0 {
            // Where the quick tier cannot help, interpreting goes on until the code is optimised.
            let helpless = self.shared.options.quick != u32::MAX
                && (self.quick.is_none() || unit.too_hard.load(Ordering::Relaxed));
            self.shared.count(unit, if helpless { INTERPRETING } else { 1 });
        }
        exit
    }

    fn run_block<R: Runtime>(&mut self, block: &Region, rt: &mut R) -> Exit {
        self.runs += 1;
        self.interpreted += u64::from(block.insns());
        if self.runs >= REPORT {
            self.report();
        }
        let helpers = self.shared.guest.helpers();
        interp::run(block, BlockId(0), &mut self.state, rt, helpers, &mut self.scratch)
    }

    /// The block of `unit`: the one this thread has at hand, else the unit's own, lifted anew if it was translated
    /// and dropped. `None` if its guest code changed.
    fn block(&mut self, unit: &Arc<Unit>) -> Result<Option<Arc<Region>>, Fault> {
        if let Some(Entry { unit: own, block: Some(block) }) = self.entry(unit.at)
            && Arc::ptr_eq(own, unit)
        {
            return Ok(Some(block.clone()));
        }
        let mut block = self.shared.block(unit);
        if block.is_none() && self.shared.lift_block(unit)? {
            block = self.shared.block(unit);
        }
        if let Some(entry) = self.entry(unit.at) {
            entry.block = block.clone().filter(|_| Arc::ptr_eq(&entry.unit, unit));
        }
        Ok(block)
    }

    fn quick_compile(&mut self, unit: &Unit) {
        // What the translator gets need not be copied then.
        if let Some(entry) = self.entry(unit.at) {
            entry.block = None;
        }
        if let Some(compiler) = &mut self.quick {
            self.shared.quick_compile(compiler, unit, &self.thread);
        }
    }

    /// Enters the code of `unit`; `None` if it has none.
    fn enter<R: Runtime>(&mut self, unit: &Unit, location: &Location, rt: &mut R) -> Option<Left> {
        if unit.code.load(Ordering::Relaxed) == 0 {
            return None;
        }
        if self.shared.options.memory == Memory::Table {
            let (table, stale) = self.tables.find(unit.at.key.mode, location.space);
            let table = &self.thread.tables[table];
            if stale {
                table.clear_all();
            }
            abi::set_table(&mut self.state, &table.words);
            abi::set_tlb(&mut self.state, location.tlb, location.tlb_unprivileged);
        }
        // From here on code that we may come upon is kept. The address must be read after this.
        self.entered = self.shared.epoch.load(Ordering::SeqCst);
        self.thread.inside_since.store(self.entered, Ordering::SeqCst);
        let code = unit.code.load(Ordering::SeqCst);
        let left = (code != 0).then(|| {
            self.thread.tables[self.tables.current].fill(unit, code);
            self.enter_code(unit.at.key.pc, code, rt)
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
            abi::EXIT_HOT => Left::Hot,
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

/// Whose the thread's indirect tables are, where each mode and address space has its own.
struct Tables {
    /// Mode and address space of each, and when it was last chosen.
    owners: Vec<(u32, u64, u64)>,
    current: usize,
    clock: u64,
}

impl Tables {
    fn new(tables: usize) -> Tables {
        Tables { owners: vec![(u32::MAX, u64::MAX, 0); tables], current: 0, clock: 0 }
    }

    /// Chooses the table of `mode` and `space`; whether it was another's before.
    fn find(&mut self, mode: u32, space: u64) -> (usize, bool) {
        let wanted = |o: &(u32, u64, u64)| (o.0, o.1) == (mode, space);
        if wanted(&self.owners[self.current]) {
            return (self.current, false);
        }
        self.clock += 1;
        let found = self.owners.iter().position(wanted);
        let oldest = || self.owners.iter().enumerate().min_by_key(|(_, o)| o.2).map_or(0, |(i, _)| i);
        self.current = found.unwrap_or_else(oldest);
        self.owners[self.current] = (mode, space, self.clock);
        (self.current, found.is_none())
    }
}

/// A thread's own table of units.
type Units = Box<[Option<Box<[Option<Entry>; PIECE]>>]>;

/// What an ended thread leaves to the next one: tables that are filled and, like a running thread's, kept true.
pub(crate) struct Idle {
    pub(crate) thread: Arc<Thread>,
    units: Units,
    scratch: Scratch,
    quick: Option<QuickCompiler>,
}

/// What the thread keeps of a unit.
struct Entry {
    unit: Arc<Unit>,
    /// Its block, while the thread interprets it.
    block: Option<Arc<Region>>,
}

/// How compiled code was left.
enum Left {
    /// As the interpreter would leave.
    Exit(Exit),
    /// Through an unlinked cell.
    Link,
    /// At an exit that was counted down.
    Hot,
    /// By a fault: interpret from the checkpoint.
    Fault,
}

impl<G: Guest> Drop for Vcpu<G> {
    fn drop(&mut self) {
        crate::sample::forget(&mut self.state);
        self.kicker.retire();
        self.report();
        let (units, quick) = (std::mem::take(&mut self.units), self.quick.take());
        let idle = Idle { thread: self.thread.clone(), units, scratch: std::mem::take(&mut self.scratch), quick };
        // Where tables belong to address spaces, the next thread has other ones. What is dropped, is so outside of the lock.
        self.thread.inside_since.store(OUTSIDE, Ordering::Release);
        let keep = self.shared.options.memory != Memory::Table;
        drop(self.shared.with_cache(|c| c.leave_idle(idle, keep)));
    }
}
