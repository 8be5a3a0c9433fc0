//! What has been translated: units by key, regions by id, who links to whom, and what may be thrown away when.
//!
//! Everything here is behind the translator's lock. Lock-free readers are the threads that run: they read a unit's
//! code address, link cells and their own indirect table. Code that died is kept until each thread that was inside
//! compiled code at that time has left it.

mod keeping;
mod links;
mod room;
mod seen;
mod thread;
mod unit;

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jib_ir::region::{Key, Region};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::code_memory::CodeMemory;
use crate::compile::Code;
use crate::options::{CodeListener, Published};
use crate::store::Module;
use crate::vcpu::Idle;
use keeping::MOST_BURIED;
pub(crate) use keeping::{Keeping, Made};
use seen::Seen;
pub(crate) use thread::{OUTSIDE, Table, Thread};
pub(crate) use unit::{At, Unit};

/// Guest pages by which translations are found again.
pub(crate) const PAGE: u64 = 4096;

/// Most ended threads whose tables are kept for others.
const MOST_IDLE: usize = 8;

/// A bit for each instruction word of a page.
pub(crate) type PageWords = [u64; PAGE as usize / 256];
/// All of them.
pub(crate) const ALL_WORDS: PageWords = [u64::MAX; PAGE as usize / 256];

/// Who made a piece of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    /// [`crate::quick`]: cells are followed by their count-downs.
    Quick,
    /// Cranelift.
    Optimized,
}

/// What a piece of code is a translation of.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) at: At,
    /// Guest bytes it was made from.
    pub(crate) ranges: Vec<Range<u64>>,
    /// The instruction words that it was made from, if it is to be kept with them.
    pub(crate) words: Vec<u32>,
}

impl Subject {
    /// That of code made from `region`, in physical page `page`.
    pub(crate) fn of(region: &Region, page: u64) -> Subject {
        Subject { at: At { key: region.key, page }, ranges: region.code.clone(), words: Vec::new() }
    }
}

/// A compiled region.
struct Compiled {
    tier: Tier,
    subject: Subject,
    /// Units that may point here.
    units: Vec<At>,
    /// It is all that was kept of an image.
    module: Option<Box<Module>>,
    /// Guest address of the page that the code lies in, as it was seen when compiled.
    virtual_page: u64,
    address: u64,
    /// Its bytes are in the code memory only.
    code: Code,
    /// Number of those bytes.
    len: usize,
    /// Cells of other regions that lead here: region id and cell number.
    incoming: Vec<(u64, usize)>,
}

impl Compiled {
    /// Its link cells.
    fn cells(&self) -> &[AtomicU64] {
        self.module.as_ref().map_or(&self.code.cells, |m| m.cells())
    }

    /// Cell `number`, if it is a count-down.
    fn counter(&self, number: usize) -> Option<&AtomicU64> {
        let counts = self.module.as_ref().map_or(self.tier == Tier::Quick, |m| m.counts(number));
        self.cells().get(number).filter(|_| counts)
    }

    /// Is host address `code` in it?
    fn holds(&self, code: u64) -> bool {
        self.module.as_ref().map_or(self.addresses().contains(&code), |m| m.holds(code))
    }

    /// Host addresses of its own code.
    fn addresses(&self) -> Range<u64> {
        self.address..self.address + self.len as u64
    }
}

/// See the module documentation.
pub(crate) struct Cache {
    units: FxHashMap<At, Arc<Unit>>,
    unit_pages: FxHashMap<u64, Vec<At>>,
    regions: FxHashMap<u64, Box<Compiled>>,
    region_pages: FxHashMap<u64, Vec<u64>>,
    /// Regions by the guest address of their page, where that is not the address they are invalidated by.
    by_virtual_page: Option<FxHashMap<u64, Vec<u64>>>,
    /// Region of each cell array, by its address.
    by_cell: BTreeMap<u64, u64>,
    next_id: u64,
    memory: CodeMemory,
    /// What unlinked cells hold.
    stub: u64,
    /// Dead regions with the epoch after their death.
    limbo: Vec<(u64, Box<Compiled>)>,
    /// Grows with each death.
    epoch: Arc<AtomicU64>,
    threads: Vec<Arc<Thread>>,
    /// Of ended threads; their tables are among those of `threads`.
    idle: Vec<Idle>,
    /// Ranges invalidated while lifts were under way.
    log: Vec<Range<u64>>,
    lifts: usize,
    /// Units to be compiled.
    wanted: Vec<Arc<Unit>>,
    listener: Option<CodeListener>,
    /// Guest instructions executed in code that is gone, by the quick tier and by Cranelift's.
    executed: [u64; 2],
    /// No code may be added.
    closed: bool,
    keeping: Keeping,
    /// Regions that [`Cache::take_unkept`] has not given yet.
    unkept: Vec<u64>,
    /// Those of them that died, and about how many bytes they take.
    buried: Vec<Made>,
    buried_bytes: usize,
    /// Blocks that have run once without a unit.
    seen: Seen,
    /// Host addresses of modules' code.
    modules: Vec<(Range<u64>, u64)>,
    /// About how many bytes of blocks there are, and how many there may be.
    lifted_bytes: usize,
    most_lifted_bytes: usize,
    /// Counters.
    pub(crate) invalidated: u64,
    pub(crate) evicted: u64,
    pub(crate) links: u64,
}

/// A lift under way: where the log of invalidations stood when it began.
#[derive(Clone, Copy)]
pub(crate) struct Lift(usize);

impl Cache {
    pub(crate) fn new(memory: CodeMemory, stub: u64, epoch: Arc<AtomicU64>, paged: bool, keeping: Keeping) -> Cache {
        let most_lifted_bytes = memory.len() / 2;
        Cache {
            units: FxHashMap::default(),
            unit_pages: FxHashMap::default(),
            regions: FxHashMap::default(),
            region_pages: FxHashMap::default(),
            by_virtual_page: paged.then(FxHashMap::default),
            by_cell: BTreeMap::new(),
            next_id: 0,
            memory,
            stub,
            limbo: Vec::new(),
            epoch,
            idle: Vec::new(),
            threads: Vec::new(),
            log: Vec::new(),
            lifts: 0,
            wanted: Vec::new(),
            listener: None,
            executed: [0; 2],
            closed: false,
            keeping,
            unkept: Vec::new(),
            buried: Vec::new(),
            buried_bytes: 0,
            seen: Seen::new(paged),
            modules: Vec::new(),
            lifted_bytes: 0,
            most_lifted_bytes,
            invalidated: 0,
            evicted: 0,
            links: 0,
        }
    }

    /// Tells `listener` of all code from now on.
    pub(crate) fn tell(&mut self, listener: CodeListener) {
        self.listener = Some(listener);
    }

    pub(crate) fn memory(&mut self) -> &mut CodeMemory {
        &mut self.memory
    }

    pub(crate) fn add_thread(&mut self, thread: &Arc<Thread>) {
        self.threads.push(thread.clone());
    }

    /// A thread has ended. What is not to be kept for another one is given back to be dropped.
    pub(crate) fn leave_idle(&mut self, idle: Idle, keep: bool) -> Option<Idle> {
        if keep && self.idle.len() < MOST_IDLE {
            self.idle.push(idle);
            return None;
        }
        self.threads.retain(|t| !Arc::ptr_eq(t, &idle.thread));
        Some(idle)
    }

    /// What an ended thread has left, if there is something. Its tables are those of a running thread.
    pub(crate) fn take_idle(&mut self) -> Option<Idle> {
        self.idle.pop()
    }

    /// Forgets the threads that a fork did not copy.
    pub(crate) fn keep_only(&mut self, thread: impl Fn(&Thread) -> bool) {
        self.threads.retain(|t| thread(t));
        self.lifts = 0;
        self.log.clear();
        // The parent keeps what it has made.
        self.unkept.clear();
        self.seen.set_given();
        for unit in self.wanted.drain(..) {
            unit.queued.store(false, Ordering::Relaxed);
        }
    }

    /// The unit of `at`, made if need be; whether it was.
    #[inline]
    pub(crate) fn unit(&mut self, at: At) -> (Arc<Unit>, bool) {
        match self.units.entry(at) {
            Entry::Occupied(known) => (known.get().clone(), false),
            Entry::Vacant(new) => (new.insert(Unit::new(at)).clone(), true),
        }
    }

    /// The unit of `at`, if there is one; and whether the block there runs for the first time, which is noted. `once`:
    /// that is of interest. Units of what runs for the first time are not looked for: there is hardly ever one, unless it is
    /// from another boot.
    #[inline]
    pub(crate) fn known(&mut self, at: At, once: bool) -> (Option<Arc<Unit>>, bool) {
        let first = once && self.seen.add(at);
        let rare = first && self.keeping != Keeping::Pages;
        let unit = if rare { None } else { self.units.get(&at).cloned() };
        (unit, first)
    }

    /// Has the block at `at` been interpreted, and not been translated?
    pub(crate) fn is_interpreted(&self, at: At) -> bool {
        let Some(unit) = self.units.get(&at) else { return self.seen.contains(at) };
        let new = unit.code.load(Ordering::Relaxed) == 0 && !unit.too_hard.load(Ordering::Relaxed);
        new && (unit.extent.get().is_some() || self.seen.contains(at))
    }

    /// Drops the blocks at guest addresses `pcs`, as `first` sees them: they are translated. Whoever wants them again
    /// lifts them again.
    pub(crate) fn drop_blocks(&self, first: At, pcs: impl Iterator<Item = u64>) {
        pcs.filter_map(|pc| self.units.get(&first.to(pc))).for_each(|u| u.drop_block());
    }

    /// Puts `unit` among those to be compiled.
    pub(crate) fn want(&mut self, unit: &Arc<Unit>) {
        self.wanted.push(unit.clone());
    }

    /// Takes the unit to be compiled that has run most often by now.
    pub(crate) fn take_hottest(&mut self) -> Option<Arc<Unit>> {
        // Meanwhile another region may have made code for it, as an entry of its own.
        self.wanted.retain(|u| !u.optimized.load(Ordering::Relaxed) && !u.dead.load(Ordering::Relaxed));
        let (at, _) = self.wanted.iter().enumerate().max_by_key(|(_, u)| u.runs.load(Ordering::Relaxed))?;
        Some(self.wanted.swap_remove(at))
    }

    /// The words of the page of `at` that have run, or are in code with such, and that at its start.
    pub(crate) fn words_run(&self, at: At) -> PageWords {
        let mut words = [0; PAGE as usize / 256];
        let mut mark = |address: u64| {
            let word = address % PAGE / 4;
            words[word as usize / 64] |= 1 << (word % 64);
        };
        mark(at.key.pc);
        let units = self.unit_pages.get(&(at.page / PAGE)).into_iter().flatten();
        let blocks = units.filter_map(|at| self.units.get(at)?.extent.get());
        // Blocks that ran once before they were translated have no units.
        let regions = self.region_pages.get(&(at.page / PAGE)).into_iter().flatten();
        let regions = regions.filter_map(|id| Some(&self.regions.get(id)?.subject.ranges));
        for ranges in blocks.chain(regions) {
            ranges.iter().flat_map(|r| r.clone().step_by(4)).for_each(&mut mark);
        }
        words
    }

    /// Notes that a lift begins, so that it can be told whether its guest code changed meanwhile.
    pub(crate) fn begin_lift(&mut self) -> Lift {
        self.lifts += 1;
        Lift(self.log.len())
    }

    /// Ends a lift; false if guest code in `ranges` changed since it began.
    pub(crate) fn end_lift(&mut self, lift: Lift, ranges: &[Range<u64>]) -> bool {
        let good = !self.changed_since(lift, ranges);
        self.forget_lift();
        good
    }

    /// Keeps the block of `unit`, lifted from `region.code`, unless it is stale.
    pub(crate) fn set_block(&mut self, lift: Lift, unit: &Arc<Unit>, region: Region) -> bool {
        if !self.end_lift(lift, &region.code) || unit.dead.load(Ordering::Relaxed) {
            return false;
        }
        // Its pages know it already if this is not the first time.
        if unit.extent.get().is_none() {
            self.register(unit, &region.code);
        }
        self.lifted_bytes += unit::weight(&region);
        unit.set_block(region);
        if self.lifted_bytes > self.most_lifted_bytes {
            self.sweep();
        }
        true
    }

    /// Makes `unit` known as made from guest bytes in `ranges`.
    fn register(&mut self, unit: &Unit, ranges: &[Range<u64>]) {
        for page in pages(ranges) {
            self.unit_pages.entry(page).or_default().push(unit.at);
        }
    }

    /// Takes `code` of `subject` into the cache. False if there is no room now.
    ///
    /// Optimised code takes the place of quick code, never the other way. Indirect exits of `thread`, which if given is the
    /// calling one and runs no code now, find it.
    pub(crate) fn publish(&mut self, subject: Subject, mut code: Code, tier: Tier, thread: Option<&Thread>) -> bool {
        if self.closed {
            return false;
        }
        let id = self.next_id;
        self.next_id += 1;
        let Some(address) = self.place(&code, id) else { return false };
        if let Some(CodeListener(tell)) = &self.listener {
            let optimized = tier == Tier::Optimized;
            tell(&Published { pc: subject.at.key.pc, address, bytes: &code.bytes, optimized });
        }
        for page in pages(&subject.ranges) {
            self.region_pages.entry(page).or_default().push(id);
        }
        let len = std::mem::take(&mut code.bytes).len();
        let mut units = Vec::with_capacity(code.entries.len());
        let mut incoming = Vec::new();
        for &(pc, offset) in &code.entries {
            let address = address + u64::from(offset);
            let key = Key { pc, mode: subject.at.key.mode };
            let (unit, _) = self.unit(At { key, ..subject.at });
            let old = unit.code.load(Ordering::Relaxed);
            let quick = old != 0 && !unit.optimized.load(Ordering::Relaxed) && tier == Tier::Optimized;
            if quick {
                self.inherit(old, address, &mut incoming);
                self.take_from(&unit, old);
            }
            if key == subject.at.key || old == 0 || quick {
                unit.optimized.store(tier == Tier::Optimized, Ordering::Relaxed);
                unit.code.store(address, Ordering::Release);
                units.push(unit.at);
                thread.iter().for_each(|t| t.tables[0].offer(key, address));
            }
        }
        let virtual_page = virtual_page(subject.at.key.pc);
        if self.by_virtual_page.is_none() {
            self.link_ahead(id, &subject, &code, tier, (address..address + len as u64, &mut incoming));
        }
        if let Some(pages) = &mut self.by_virtual_page {
            pages.entry(virtual_page).or_default().push(id);
        }
        if !code.cells.is_empty() {
            self.by_cell.insert(code.cells.as_ptr() as u64, id);
        }
        let unkept = match self.keeping {
            Keeping::No => false,
            Keeping::Images => true,
            Keeping::Pages => !subject.words.is_empty(),
        };
        if !unkept {
            (code.relocs, code.targets) = (Vec::new(), Vec::new());
        }
        let module = None;
        let compiled = Compiled { tier, subject, units, module, virtual_page, address, code, len, incoming };
        self.unkept.extend(unkept.then_some(id));
        if self.unkept.len() > 2 * self.regions.len() + PAGE as usize {
            self.unkept.retain(|id| self.regions.contains_key(id));
        }
        self.regions.insert(id, Box::new(compiled));
        true
    }

    /// Takes quick code at host address `old` from `unit`, which gets better code.
    fn take_from(&mut self, unit: &Unit, old: u64) {
        let Some(id) = self.region_at(old) else { return };
        unit.code.store(0, Ordering::SeqCst);
        if let Some(region) = self.regions.get_mut(&id).filter(|r| r.module.is_none()) {
            if region.units.iter().all(|at| *at == unit.at) {
                // It is not worth keeping.
                region.subject.words = Vec::new();
                return self.retire(id);
            }
            region.units.retain(|at| *at != unit.at);
        }
        for thread in &self.threads {
            thread.clear(unit.at.key);
        }
        // The rest goes on, but nothing may lead to the old code: neither from inside nor from outside.
        for cell in self.regions[&id].cells().iter().filter(|c| c.load(Ordering::Relaxed) == old) {
            cell.store(self.stub, Ordering::SeqCst);
        }
        for (from, number) in &self.regions[&id].incoming {
            if let Some(cell) = self.regions.get(from).map(|r| &r.cells()[*number])
                && cell.load(Ordering::Relaxed) == old
            {
                cell.store(self.stub, Ordering::SeqCst);
            }
        }
    }

    /// The region that host address `code`, which some unit has, is an entry of.
    fn region_at(&self, code: u64) -> Option<u64> {
        let module = || self.modules.iter().find(|(range, _)| range.contains(&code)).map(|(_, id)| *id);
        self.memory.owner(code).or_else(module)
    }

    /// Unlinks region `id` from everything that leads to it, and keeps it until no thread can be inside.
    fn retire(&mut self, id: u64) {
        let Some(mut dead) = self.regions.remove(&id) else { return };
        if self.keeping == Keeping::Pages && !dead.subject.words.is_empty() && self.buried_bytes < MOST_BURIED {
            let made = self.made(&mut dead);
            self.buried_bytes += 2 * made.code.bytes.len();
            self.buried.push(made);
        }
        for at in &dead.units {
            if let Some(unit) = self.units.get(at)
                && dead.holds(unit.code.load(Ordering::Relaxed))
            {
                unit.code.store(0, Ordering::SeqCst);
                unit.optimized.store(false, Ordering::Relaxed);
                unit.runs.store(0, Ordering::Relaxed);
                unit.queued.store(false, Ordering::Relaxed);
            }
            for thread in &self.threads {
                thread.clear(at.key);
            }
        }
        if let Some(pages) = &mut self.by_virtual_page
            && let Some(ids) = pages.get_mut(&dead.virtual_page)
        {
            ids.retain(|i| *i != id);
            if ids.is_empty() {
                pages.remove(&dead.virtual_page);
            }
        }
        if dead.module.is_some() {
            // Also what no unit has been made for.
            self.threads.iter().flat_map(|t| &t.tables).for_each(Table::clear_all);
        }
        for (from, number) in &dead.incoming {
            let region = if *from == id { Some(&dead) } else { self.regions.get(from) };
            if let Some(region) = region {
                // It may lead elsewhere by now.
                let cell = &region.cells()[*number];
                if dead.holds(cell.load(Ordering::Relaxed)) {
                    cell.store(self.stub, Ordering::SeqCst);
                }
            }
        }
        self.modules.retain(|(_, i)| *i != id);
        if !dead.cells().is_empty() {
            self.by_cell.remove(&(dead.cells().as_ptr() as u64));
        }
        for page in pages(&dead.subject.ranges) {
            if let Some(ids) = self.region_pages.get_mut(&page) {
                ids.retain(|i| *i != id);
                if ids.is_empty() {
                    self.region_pages.remove(&page);
                }
            }
        }
        let after = self.epoch.fetch_add(1, Ordering::SeqCst) + 1;
        self.limbo.push((after, dead));
        if self.limbo.len() >= 256 && self.limbo.len().is_power_of_two() {
            self.collect();
        }
    }

    /// Kills what was made from guest bytes in `range`.
    pub(crate) fn invalidate(&mut self, range: Range<u64>) {
        if self.lifts > 0 {
            self.log.push(range.clone());
        }
        self.seen.forget(&range);
        let mut dead_regions = Vec::new();
        let mut dead_units = Vec::new();
        for page in self.touched_pages(&range) {
            for id in self.region_pages.get(&page).into_iter().flatten() {
                if self.regions[id].subject.ranges.iter().any(|r| overlap(r, &range)) {
                    dead_regions.push(*id);
                }
            }
            if let Some(units) = self.unit_pages.get_mut(&page) {
                units.retain(|at| {
                    let hit = self.units.get(at).is_none_or(|u| u.lies_in(&range));
                    if hit {
                        dead_units.push(*at);
                    }
                    !hit
                });
                if units.is_empty() {
                    self.unit_pages.remove(&page);
                }
            }
        }
        self.invalidated += (dead_regions.len() + dead_units.len()) as u64;
        for id in dead_regions {
            self.retire(id);
        }
        for at in dead_units {
            self.kill_unit(at);
        }
        self.collect();
    }

    /// Kills everything.
    pub(crate) fn invalidate_all(&mut self) {
        self.invalidate(0..u64::MAX);
    }

    /// Pages in `range` that hold translations.
    fn touched_pages(&self, range: &Range<u64>) -> Vec<u64> {
        if range.is_empty() {
            return Vec::new();
        }
        let (first, last) = (range.start / PAGE, (range.end - 1) / PAGE);
        let known = self.unit_pages.len() + self.region_pages.len();
        if last - first < known as u64 {
            return (first..=last).collect();
        }
        let mut pages: Vec<u64> = self.unit_pages.keys().chain(self.region_pages.keys()).copied().collect();
        pages.retain(|p| (first..=last).contains(p));
        pages.sort_unstable();
        pages.dedup();
        pages
    }

    /// A unit that is entered by code still alive (a region elsewhere that does not contain the changed bytes cannot
    /// have it as an entry) goes with its block.
    fn kill_unit(&mut self, at: At) {
        if let Some(unit) = self.units.remove(&at) {
            unit.dead.store(true, Ordering::SeqCst);
            unit.code.store(0, Ordering::SeqCst);
            for thread in &self.threads {
                thread.clear(at.key);
            }
        }
    }

    /// Ends a lift that came to nothing.
    pub(crate) fn forget_lift(&mut self) {
        self.lifts = self.lifts.saturating_sub(1);
        if self.lifts == 0 {
            self.log.clear();
        }
    }

    /// Has guest code in `ranges` changed since `lift` began?
    pub(crate) fn changed_since(&self, lift: Lift, ranges: &[Range<u64>]) -> bool {
        let begun = lift.0.min(self.log.len());
        self.log[begun..].iter().any(|r| ranges.iter().any(|s| overlap(r, s)))
    }

    /// All optimised regions that may run.
    pub(crate) fn regions(&self) -> Vec<crate::options::RegionInfo> {
        let info = |r: &Compiled| crate::options::RegionInfo {
            key: r.subject.at.key,
            code: r.subject.ranges.clone(),
            host_bytes: r.len,
            executed: r.code.executed(),
        };
        self.regions.values().filter(|r| r.tier == Tier::Optimized).map(|r| info(r)).collect()
    }

    /// Guest instructions executed in code of the quick tier and of Cranelift's, as far as they are counted.
    pub(crate) fn executed(&self) -> [u64; 2] {
        let dead = self.limbo.iter().map(|(_, r)| r);
        let mut executed = self.executed;
        for r in self.regions.values().chain(dead) {
            executed[usize::from(r.tier == Tier::Optimized)] += r.code.executed();
        }
        executed
    }
}

/// Number of the page at guest address `addr`, whatever tag its ignored top byte holds.
pub(crate) fn virtual_page(addr: u64) -> u64 {
    (addr & 0x00ff_ffff_ffff_ffff) / PAGE
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

/// The pages that `ranges` touch, each once.
fn pages(ranges: &[Range<u64>]) -> SmallVec<[u64; 4]> {
    let mut pages: SmallVec<[u64; 4]> =
        ranges.iter().filter(|r| !r.is_empty()).flat_map(|r| r.start / PAGE..=(r.end - 1) / PAGE).collect();
    pages.sort_unstable();
    pages.dedup();
    pages
}
