//! The spine: key, lift, passes, compile, publish.

use std::fmt::Write as _;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use jib_ir::guest::{Fetch, Guest, Limit};
use jib_ir::region::{Key, Region};
use jib_ir::runtime::Fault;

use crate::cache::{
    ALL_WORDS, At, Cache, Keeping, OUTSIDE, PAGE, PageWords, Subject, Thread, Tier, Unit, virtual_page,
};
use crate::code_memory::{CodeMemory, CodeView};
use crate::compile::{Code, Compiler};
use crate::cut_loops::cut_loops;
use crate::fork_gate::ForkGate;
use crate::keep_pages::{Noting, WordsRead};
use crate::options::{EXITS, Emit, EngineKind, Error, Memory, Options, RegionInfo, Stats, Watcher};
use crate::page::{Following, OnePage, PageSet};
use crate::quick::{self, QuickCompiler};
use crate::sample;
use crate::store::{PageStore, Store};
use crate::worker::Worker;

/// Most that the quick tier translates at once.
const QUICK: Limit = Limit { insns: 200, blocks: 24 };
/// For how many runs each one counts that begins at an exit of optimised code, through the run loop.
const WAY_OUT: u32 = 64;

/// Translations of one guest address space, shared by all its threads.
pub struct Translator<G: Guest> {
    pub(crate) guest: G,
    pub(crate) fetch: Box<dyn Fetch + Send + Sync>,
    pub(crate) options: Options,
    pub(crate) gate: ForkGate,
    cache: Mutex<Cache>,
    /// Made when first wanted, as most short runs need none.
    compiler: Mutex<Option<Compiler>>,
    worker: Mutex<Option<Worker>>,
    /// What the fault handler needs.
    pub(crate) view: CodeView,
    /// What unlinked cells hold.
    pub(crate) stub: u64,
    /// Guest pages that code was compiled for.
    pub(crate) pages_seen: PageSet,
    /// Grows with each death of a region.
    pub(crate) epoch: Arc<AtomicU64>,
    pub(crate) counters: Counters,
    /// See [`Translator::is_young`].
    youth: AtomicU32,
    /// See [`Translator::set_alone`].
    alone: AtomicBool,
    /// Keeps this value's own address known to the worker.
    me: Weak<Translator<G>>,
    /// The process whose translations these are.
    pub(crate) owner: AtomicU32,
    /// Where translations are kept, if those made here can be.
    pub(crate) store: Option<Arc<Store>>,
    /// The same where addresses are translated.
    pub(crate) pages: Option<Arc<PageStore>>,
}

/// Counters that are kept without the lock.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) blocks_lifted: AtomicU64,
    pub(crate) lift_ns: AtomicU64,
    pub(crate) block_runs: AtomicU64,
    pub(crate) quick_blocks: AtomicU64,
    pub(crate) quick_insns: AtomicU64,
    pub(crate) quick_bytes: AtomicU64,
    pub(crate) quick_ns: AtomicU64,
    pub(crate) regions: AtomicU64,
    pub(crate) guest_insns: AtomicU64,
    pub(crate) host_bytes: AtomicU64,
    pub(crate) compile_ns: AtomicU64,
    pub(crate) discarded: AtomicU64,
    pub(crate) faults: AtomicU64,
    pub(crate) hits: AtomicU64,
    pub(crate) misses: AtomicU64,
    pub(crate) recalled: AtomicU64,
    pub(crate) exits: [AtomicU64; EXITS.len()],
    pub(crate) interpreted: AtomicU64,
    pub(crate) guest_ns: AtomicU64,
}

/// What the run loop goes on with.
pub(crate) enum Found {
    /// A unit, with code or without.
    Unit(Arc<Unit>),
    /// A block that runs for the first time, with nothing kept of it.
    New,
}

impl<G: Guest> Translator<G> {
    /// A translator without translations.
    pub fn new(guest: G, fetch: Box<dyn Fetch + Send + Sync>, options: Options) -> Result<Arc<Self>, Error> {
        let mut memory = CodeMemory::new(options.cache_bytes, options.listener.is_some())?;
        let stub = memory
            .add(&quick::link_stub(), std::ptr::null(), 0)
            .ok_or_else(|| Error::Codegen("no room for the link stub".into()))?;
        // The stub lives for ever, outside the ring of segments that are reused.
        memory.seal();
        let epoch = Arc::new(AtomicU64::new(0));
        let view = memory.view();
        let paged = options.memory == Memory::Table;
        let store = options.store.clone().filter(|s| s.serves(&options));
        let pages = options.pages.clone().filter(|p| p.serves(&options));
        let keeping =
            if pages.is_some() { Keeping::Pages } else { store.as_ref().map_or(Keeping::No, |_| Keeping::Images) };
        let mut cache = Cache::new(memory, stub, epoch.clone(), paged, keeping);
        if let Some(listener) = &options.listener {
            cache.tell(listener.clone());
        }
        let watcher = options.watcher.clone();
        let translator = Arc::new_cyclic(|me| Translator {
            guest,
            fetch,
            gate: ForkGate::default(),
            view,
            cache: Mutex::new(cache),
            compiler: Mutex::new(None),
            worker: Mutex::new(None),
            stub,
            pages_seen: PageSet::default(),
            epoch,
            options,
            youth: AtomicU32::new(0),
            alone: AtomicBool::new(false),
            counters: Counters::default(),
            me: me.clone(),
            store,
            pages,
            owner: AtomicU32::new(std::process::id()),
        });
        if let Some(Watcher(watch)) = watcher {
            let weak = Arc::downgrade(&translator);
            watch(Box::new(move || weak.upgrade().map(|t: Arc<Translator<G>>| t.stats()).unwrap_or_default()));
        }
        Ok(translator)
    }

    /// Kills all translations made from guest bytes in `range`. Any thread may call this.
    pub fn invalidate(&self, range: Range<u64>) {
        self.with_cache(|c| c.invalidate(range));
    }

    /// Kills all translations.
    pub fn invalidate_all(&self) {
        self.with_cache(Cache::invalidate_all);
    }

    /// Kills all translations and gives their memory back. No thread may run meanwhile.
    pub fn reset(&self) {
        self.with_cache(Cache::reset);
        crate::code_memory::trim();
    }

    /// Number of guest addresses of which anything is known.
    pub fn known(&self) -> usize {
        self.with_cache(|c| c.size())
    }

    /// Is there code that was seen in the page at guest address `addr`? Only where addresses are translated.
    pub fn has_code_at(&self, addr: u64) -> bool {
        let page = virtual_page(addr);
        self.pages_seen.may_contain(page) && self.with_cache(|c| c.has_code_at(page))
    }

    /// The page at guest address `addr` may be mapped elsewhere from now on: other pages' ways to it are cut. Any
    /// thread may call this.
    pub fn unlink_page(&self, addr: u64) {
        let page = virtual_page(addr);
        if self.pages_seen.may_contain(page) {
            self.with_cache(|c| c.unlink_virtual_page(page));
        }
    }

    /// Any page may be mapped elsewhere from now on.
    pub fn unlink_all(&self) {
        self.with_cache(Cache::unlink_all);
    }

    /// Counters so far.
    pub fn stats(&self) -> Stats {
        let c = &self.counters;
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let (links, invalidated, evicted) = self.with_cache(|c| (c.links, c.invalidated, c.evicted));
        let [quick, optimized] = if self.options.count { self.with_cache(|c| c.executed()) } else { [0; 2] };
        Stats {
            blocks_lifted: get(&c.blocks_lifted),
            lift_ns: get(&c.lift_ns),
            block_runs: get(&c.block_runs),
            quick_blocks: get(&c.quick_blocks),
            quick_insns: get(&c.quick_insns),
            quick_bytes: get(&c.quick_bytes),
            quick_ns: get(&c.quick_ns),
            regions: get(&c.regions),
            guest_insns: get(&c.guest_insns),
            host_bytes: get(&c.host_bytes),
            compile_ns: get(&c.compile_ns),
            discarded: get(&c.discarded),
            links,
            invalidated,
            evicted,
            faults: get(&c.faults),
            hits: get(&c.hits),
            misses: get(&c.misses),
            recalled: get(&c.recalled),
            exits: std::array::from_fn(|i| get(&c.exits[i])),
            executed: [get(&c.interpreted), quick, optimized],
            guest_ns: get(&c.guest_ns),
        }
    }

    /// The compiled regions that are in the cache.
    pub fn regions(&self) -> Vec<RegionInfo> {
        self.with_cache(|c| c.regions())
    }

    /// The guest instruction word at `pc`, if it can be read.
    pub fn word(&self, pc: u64) -> Option<u32> {
        self.fetch.word(pc).ok()
    }

    /// Works on the cache under its lock.
    #[inline]
    pub(crate) fn with_cache<T>(&self, f: impl FnOnce(&mut Cache) -> T) -> T {
        let _pass = self.gate.pass();
        f(&mut lock(&self.cache))
    }

    /// What there is for `at`; `thread` is the caller's. A new block is lifted into `room`.
    pub(crate) fn find(&self, at: At, thread: &Thread, room: &mut Region) -> Result<Found, Fault> {
        let once = self.quick_wanted() && self.options.quick > 0 && self.options.threshold > 0;
        let (known, first) = self.with_cache(|c| c.known(at, once));
        if let Some(unit) = known.filter(|u| u.code.load(Ordering::Acquire) != 0).or_else(|| self.recall(at, thread)) {
            return Ok(Found::Unit(unit));
        }
        if first {
            if let Some(unit) = self.recall_page_at(at) {
                return Ok(Found::Unit(unit));
            }
            let _sampled = sample::translating();
            self.lift_once(room, at)?;
            return Ok(Found::New);
        }
        let (unit, _) = self.with_cache(|c| c.unit(at));
        if once {
            unit.runs.fetch_max(1, Ordering::Relaxed);
        }
        self.recall_page(&unit);
        Ok(Found::Unit(unit))
    }

    /// The block at `at`, in the place of `region`, to be run once or translated: no more is known of it than before.
    pub(crate) fn lift_once(&self, region: &mut Region, at: At) -> Result<(), Fault> {
        let start = self.options.measure.then(std::time::Instant::now);
        self.lift(region, at, Limit::BLOCK, &ALL_WORDS, &|_| true, None)?;
        cut_loops(region);
        self.counters.blocks_lifted.fetch_add(1, Ordering::Relaxed);
        let spent = start.map_or(0, |start| start.elapsed().as_nanos() as u64);
        self.counters.lift_ns.fetch_add(spent, Ordering::Relaxed);
        Ok(())
    }

    /// The block of `unit`, if it is there.
    pub(crate) fn block(&self, unit: &Unit) -> Option<Arc<Region>> {
        let _pass = self.gate.pass();
        unit.block()
    }

    /// Lifts the block of `unit` for the interpreter. False if it went stale meanwhile.
    pub(crate) fn lift_block(&self, unit: &Arc<Unit>) -> Result<bool, Fault> {
        let (_sampled, start) = (sample::translating(), self.options.measure.then(std::time::Instant::now));
        let lift = self.with_cache(Cache::begin_lift);
        let mut region = Region::default();
        match self.lift(&mut region, unit.at, Limit::BLOCK, &ALL_WORDS, &|_| true, None) {
            Ok(()) => {
                // Most blocks run once or twice; the quick tier optimises what it translates.
                if !self.quick_wanted() {
                    jib_ir::passes::run(&mut region);
                }
                cut_loops(&mut region);
                // Thousands of them are kept.
                region.ops.shrink_to_fit();
                self.counters.blocks_lifted.fetch_add(1, Ordering::Relaxed);
                let good = self.with_cache(|c| c.set_block(lift, unit, region));
                let spent = start.map_or(0, |start| start.elapsed().as_nanos() as u64);
                self.counters.lift_ns.fetch_add(spent, Ordering::Relaxed);
                Ok(good)
            }
            Err(fault) => {
                self.with_cache(|c| c.end_lift(lift, &[]));
                Err(fault)
            }
        }
    }

    /// A quick compiler for one thread, if that tier is wanted and the host can.
    pub(crate) fn quick_compiler(&self) -> Option<QuickCompiler> {
        let make = || QuickCompiler::new(self.guest.helpers(), &self.options);
        self.quick_wanted().then(make).flatten()
    }

    fn quick_wanted(&self) -> bool {
        self.options.engine == EngineKind::Jit && self.options.quick != u32::MAX
    }

    /// Translates the block of `unit`, and what follows and has been interpreted, by the quick tier. `thread` is the
    /// caller's.
    pub(crate) fn quick_compile(&self, compiler: &mut QuickCompiler, unit: &Unit, thread: &Thread) {
        if unit.too_hard.load(Ordering::Relaxed) {
            return;
        }
        let (_sampled, start) = (sample::translating(), self.options.measure.then(std::time::Instant::now));
        let lift = self.with_cache(Cache::begin_lift);
        // As much as has been interpreted; less, where that is too much at once.
        let mut region = compiler.room();
        let made = [QUICK, Limit::BLOCK].into_iter().find_map(|limit| {
            let follows = |pc| self.with_cache(|c| c.is_interpreted(unit.at.to(pc)));
            let read = self.words_read(unit.at);
            self.lift(&mut region, unit.at, limit, &ALL_WORDS, &follows, read.as_ref()).ok()?;
            compiler.optimize(&mut region);
            let words = read.and_then(|read| read.of(&region)).unwrap_or_default();
            Some((compiler.compile(&region, self.stub)?, words))
        });
        let Some((code, words)) = made else {
            self.with_cache(|c| c.end_lift(lift, &[]));
            unit.too_hard.store(true, Ordering::Relaxed);
            return;
        };
        let (bytes, insns) = (code.bytes.len() as u64, region.insns());
        self.pages_seen.add(virtual_page(unit.at.key.pc));
        let published = self.with_cache(|c| {
            let free = unit.code.load(Ordering::Relaxed) == 0 && !unit.dead.load(Ordering::Relaxed);
            let good = c.end_lift(lift, &region.code) && free;
            // With tables for each mode and address space, only the run loop knows which one it is.
            let thread = Some(thread).filter(|t| t.tables.len() == 1);
            let subject = Subject { words, ..Subject::of(&region, unit.at.page) };
            let published = good && c.publish(subject, code, Tier::Quick, thread);
            if published {
                c.drop_blocks(unit.at, region.blocks.iter().map(|b| b.pc));
            }
            published
        });
        compiler.give_back(region);
        if !published {
            // No room now, or too late: not again at the very next run.
            unit.runs.store(0, Ordering::Relaxed);
            return;
        }
        let c = &self.counters;
        c.quick_blocks.fetch_add(1, Ordering::Relaxed);
        c.quick_insns.fetch_add(u64::from(insns), Ordering::Relaxed);
        c.quick_bytes.fetch_add(bytes, Ordering::Relaxed);
        let spent = start.map_or(0, |start| start.elapsed().as_nanos() as u64);
        c.quick_ns.fetch_add(spent, Ordering::Relaxed);
    }

    /// Quick code counted down at the exit of link cell `cell`, which leads to `unit`.
    pub(crate) fn credit(&self, unit: &Arc<Unit>, cell: u64) {
        if !unit.optimized.load(Ordering::Relaxed) {
            self.count(unit, quick::FIRST_COUNT as u32);
        }
        self.with_cache(|c| c.recount(cell, unit.is_settled()));
    }

    /// Links the exit behind `cell` with the code of `unit`, or counts how often it is taken, for a thread that entered
    /// code at the epoch `since`.
    pub(crate) fn link(&self, cell: u64, unit: &Arc<Unit>, since: u64) {
        let counted = self.options.threshold != u32::MAX;
        if self.with_cache(|c| c.link(cell, unit.at, since, counted)) {
            self.count(unit, WAY_OUT);
        }
    }

    /// Counts `n` runs of `unit` and asks for its compilation when it is hot.
    pub(crate) fn count(&self, unit: &Arc<Unit>, n: u32) {
        let runs = unit.runs.load(Ordering::Relaxed).saturating_add(n);
        unit.runs.store(runs, Ordering::Relaxed);
        if runs < self.options.threshold
            || self.options.threshold == u32::MAX
            || self.options.engine != EngineKind::Jit
            || unit.queued.swap(true, Ordering::Relaxed)
        {
            return;
        }
        if self.options.background && self.enqueue(unit) {
            return;
        }
        let _sampled = sample::translating();
        // Past the gate all the way: a fork waits until the compiler is free.
        let _pass = self.gate.pass();
        let mut compiler = lock(&self.compiler);
        if compiler.is_none() {
            *compiler = Compiler::new(&self.options, self.guest.helpers()).ok();
        }
        if let Some(compiler) = &mut *compiler {
            self.compile(compiler, unit.at, |f| f(&mut lock(&self.cache)));
        }
    }

    /// Leaves `unit` to the worker, started if need be; false if the host gives us no thread.
    fn enqueue(&self, unit: &Arc<Unit>) -> bool {
        self.with_cache(|c| c.want(unit));
        let _pass = self.gate.pass();
        let mut worker = lock(&self.worker);
        if self.alone.load(Ordering::SeqCst) {
            return false;
        }
        if worker.is_none() {
            let me = self.me.clone();
            let (options, helpers) = (self.options.clone(), self.guest.helpers());
            let make = move || Compiler::new(&options, helpers).ok();
            *worker = Worker::start(make, move |compiler| {
                let Some(t) = me.upgrade() else { return false };
                if let Some(unit) = t.with_cache(Cache::take_hottest) {
                    t.compile(compiler, unit.at, |f| t.with_cache(f));
                }
                true
            });
        }
        worker.as_ref().is_some_and(Worker::call)
    }

    /// Lifts, optimises, compiles and publishes the region at `at`; `cache` gives access to the cache.
    fn compile(&self, compiler: &mut Compiler, at: At, cache: impl Fn(&mut dyn FnMut(&mut Cache))) {
        let start = crate::entry::thread_nanos();
        let mut begun = None;
        cache(&mut |c| begun = Some((c.begin_lift(), c.words_run(at))));
        let Some((lift, run)) = begun else { return };
        let read = self.words_read(at);
        let optimized = self.lift_region(at, &run, read.as_ref()).map(|mut region| {
            compiler.optimize(&mut region);
            region
        });
        let mut made = optimized.ok().and_then(|r| Some((self.compile_or_give_up(compiler, &r)?, r)));
        let mut published = None;
        cache(&mut |c| match made.take() {
            Some((code, region)) => {
                let size = (code.bytes.len() as u64, u64::from(region.insns()));
                let good = c.end_lift(lift, &region.code);
                self.pages_seen.add(virtual_page(region.key.pc));
                let words = read.as_ref().and_then(|read| read.of(&region)).unwrap_or_default();
                let subject = Subject { words, ..Subject::of(&region, at.page) };
                published = (good && c.publish(subject, code, Tier::Optimized, None)).then_some(size);
            }
            None => {
                c.end_lift(lift, &[]);
            }
        });
        let c = &self.counters;
        c.compile_ns.fetch_add(crate::entry::thread_nanos() - start, Ordering::Relaxed);
        match published {
            Some((bytes, insns)) => {
                c.regions.fetch_add(1, Ordering::Relaxed);
                c.host_bytes.fetch_add(bytes, Ordering::Relaxed);
                c.guest_insns.fetch_add(insns, Ordering::Relaxed);
            }
            None => {
                c.discarded.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The code of `region`. Should the code generator panic (its message is on stderr then), the guest goes on
    /// by the interpreter: a bug there must not end it.
    fn compile_or_give_up(&self, compiler: &mut Compiler, region: &Region) -> Option<Code> {
        let attempt = catch_unwind(AssertUnwindSafe(|| compiler.compile(region, self.stub)));
        match attempt {
            Ok(result) => result.ok(),
            Err(_) => {
                eprintln!(
                    "jib: cannot compile the code at {:#x} (a bug of jib's); it stays interpreted",
                    region.key.pc
                );
                // Whatever the panic left half-done goes with the old one.
                if let Ok(fresh) = Compiler::new(&self.options, self.guest.helpers()) {
                    *compiler = fresh;
                }
                None
            }
        }
    }

    /// The region at `at`, when of its page the words `run` have run: most code of a system runs a few times or never.
    fn lift_region(&self, at: At, run: &PageWords, read: Option<&WordsRead>) -> Result<Region, Fault> {
        let limit = Limit { insns: self.options.region_insns, blocks: self.options.region_blocks };
        let mut region = Region::default();
        self.lift(&mut region, at, limit, run, &|_| true, read)?;
        region.note_flag_reads();
        Ok(region)
    }

    /// Where the words that are read for a translation of `at` are noted, if it is to be kept with them.
    fn words_read(&self, at: At) -> Option<WordsRead> {
        (self.pages.is_some() && PageStore::takes(at.key.pc)).then(WordsRead::default)
    }

    /// Lifts what `follows`, and of a page no other words than `words`; the region's code ranges are such as
    /// [`Translator::invalidate`] takes. It takes the place of `region`. What is read of the page is noted in `read`.
    fn lift(
        &self,
        region: &mut Region,
        at: At,
        limit: Limit,
        words: &PageWords,
        follows: &dyn Fn(u64) -> bool,
        read: Option<&WordsRead>,
    ) -> Result<(), Fault> {
        if self.options.memory == Memory::Host {
            return self.guest.lift_into(region, at.key, &Following { fetch: &*self.fetch, follows }, limit);
        }
        let base = at.key.pc & !(PAGE - 1);
        let page = OnePage { fetch: &*self.fetch, base, page: at.page, words };
        let noting = read.map(|read| Noting { fetch: &page, read });
        let fetch = noting.as_ref().map_or(&page as &dyn Fetch, |noting| noting);
        self.guest.lift_into(region, at.key, &Following { fetch, follows }, limit)?;
        for range in &mut region.code {
            *range = range.start - base + at.page..range.end - base + at.page;
        }
        Ok(())
    }

    /// Calls `f` while the translator has no thread of its own, for what the host allows to processes of one
    /// thread only. One is made again when there is work for it. `f` must not run guest code.
    pub fn without_worker<T>(&self, f: impl FnOnce() -> T) -> T {
        loop {
            // Not past the gate while we wait: the worker may have to go through it.
            let old = {
                let _pass = self.gate.pass();
                lock(&self.worker).take()
            };
            if let Some(old) = old {
                old.stop();
            }
            let _pass = self.gate.pass();
            let worker = lock(&self.worker);
            if worker.is_none() {
                return f();
            }
        }
    }

    /// From now on the translator makes no thread of its own, and the one that it has ends soon; or it may again. A tracer
    /// of the process counts on the threads that it knows: a stop signal that another one takes is told by none of them.
    pub fn set_alone(&self, alone: bool) {
        if self.alone.swap(alone, Ordering::SeqCst) || !alone {
            return;
        }
        let _pass = self.gate.pass();
        drop(lock(&self.worker).take());
    }

    /// Stops all work on shared data, so that a fork finds it consistent. The calling thread must go on to fork and
    /// to one of the two functions below, without using the translator in between.
    pub fn before_fork(&self) {
        self.gate.close();
    }

    /// Goes on in the parent.
    pub fn after_fork_parent(&self) {
        lock(&self.cache).memory().forked(false);
        self.gate.open();
    }

    /// Goes on in the child, whose only thread is the caller: no worker, and code memory that it must not change, until
    /// it has code to add and gets some of its own. Most children have none.
    pub fn after_fork_child(&self) {
        if let Some(worker) = lock(&self.worker).take() {
            // Its thread does not exist here, so nobody must wait for it.
            worker.forget();
        }
        {
            let mut cache = lock(&self.cache);
            cache.memory().forked(true);
            // The forking thread is outside compiled code, so what was inside is gone.
            cache.keep_only(|t: &Thread| t.inside_since.load(Ordering::Relaxed) == OUTSIDE);
        }
        self.youth.store(YOUTH, Ordering::Relaxed);
        self.alone.store(false, Ordering::Relaxed);
        self.owner.store(std::process::id(), Ordering::Relaxed);
        self.gate.reopen();
    }

    /// Is this a forked child that has not yet run for long? Most execute a program or end soon, and have no use for code
    /// of their own, nor for the copy of the code memory that it takes. Each question makes it older.
    pub(crate) fn is_young(&self) -> bool {
        let left = self.youth.load(Ordering::Relaxed);
        if left != 0 {
            self.youth.store(left - 1, Ordering::Relaxed);
        }
        left != 0
    }

    /// A compiler of its own for a listing: it may be asked for while the others are at work.
    fn another_compiler(&self) -> Result<Compiler, Error> {
        Compiler::new(&Options { count: false, ..self.options.clone() }, self.guest.helpers())
    }

    /// Text of the translation at `key`.
    pub fn emit(&self, key: Key, what: Emit) -> Result<String, Error> {
        let at = At { key, page: 0 };
        let run = self.with_cache(|c| c.words_run(at));
        let optimized = || -> Result<Region, Error> {
            let mut region = self.lift_region(at, &run, None).map_err(Error::Fetch)?;
            jib_ir::passes::run(&mut region);
            Ok(region)
        };
        match what {
            Emit::Ir => Ok(region_text(&self.lift_region(at, &run, None).map_err(Error::Fetch)?)),
            Emit::Opt => Ok(region_text(&optimized()?)),
            Emit::Quick => {
                let mut region = Region::default();
                self.lift_once(&mut region, at).map_err(Error::Fetch)?;
                jib_ir::passes::run(&mut region);
                let options = Options { count: false, ..self.options.clone() };
                let compiler = QuickCompiler::new(self.guest.helpers(), &options);
                match compiler.and_then(|mut c| c.compile(&region, self.stub)) {
                    Some(code) => crate::dump::disassemble(&code.bytes, &code.faults),
                    None => Ok("not translated by the quick tier\n".into()),
                }
            }
            Emit::Clif => Ok(self.another_compiler()?.clif(&optimized()?)),
            Emit::Asm => {
                let region = optimized()?;
                let code = self.another_compiler()?.compile(&region, self.stub)?;
                crate::dump::disassemble(&code.bytes, &code.faults)
            }
        }
    }
}

/// How often a forked child interprets blocks that it would otherwise compile.
const YOUTH: u32 = 500;

/// Locks, also after a panic elsewhere: the data is consistent between calls.
fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

fn region_text(region: &Region) -> String {
    let mut out = String::new();
    for (n, block) in region.blocks.iter().enumerate() {
        let entry = if region.entries.iter().any(|e| e.index() == n) { " entry" } else { "" };
        let _ = writeln!(out, "b{n} {:#x}{entry}:", block.pc);
        for i in block.ops.clone() {
            for mark in region.marks.iter().filter(|m| m.op == i) {
                let _ = writeln!(out, "  ; {:#x}", mark.pc);
            }
            let _ = writeln!(out, "  v{i} = {:?}", region.ops[i as usize]);
        }
    }
    out
}
