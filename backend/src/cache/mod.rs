//! What has been translated: units by key, regions by id, who links to whom, and what may be thrown away when.
//!
//! Everything here is behind the translator's lock. Lock-free readers are the threads that run: they read a unit's
//! code address, link cells and their own indirect table. Code that died is kept until each thread that was inside
//! compiled code at that time has left it.

mod thread;
mod unit;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jib_ir::region::{Key, Region};
use rustc_hash::FxHashMap;

use crate::abi::CELL_BYTES;
use crate::code_memory::CodeMemory;
use crate::compile::Code;
use crate::options::{CodeListener, Published};
use crate::quick;
use crate::store::Module;
pub(crate) use thread::{OUTSIDE, Table, Thread};
pub(crate) use unit::{At, Unit};

/// Guest pages by which translations are found again.
pub(crate) const PAGE: u64 = 4096;

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
    /// Guest addresses at which it may be entered.
    pub(crate) entries: Vec<u64>,
}

impl Subject {
    /// That of code made from `region`, in physical page `page`.
    pub(crate) fn of(region: &Region, page: u64) -> Subject {
        Subject {
            at: At { key: region.key, page },
            ranges: region.code.clone(),
            entries: region.entries.iter().map(|e| region.blocks[e.index()].pc).collect(),
        }
    }
}

/// A translation as the cache has it, to be kept.
pub(crate) struct Made {
    pub(crate) subject: Subject,
    pub(crate) tier: Tier,
    pub(crate) code: Code,
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

    /// Is host address `code` an entry of it?
    fn holds(&self, code: u64) -> bool {
        self.module.as_ref().map_or(self.address == code, |m| m.holds(code))
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
    /// Region of each code address.
    by_code: FxHashMap<u64, u64>,
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
    /// Translations will be asked for by [`Cache::take_unkept`].
    keeping: bool,
    /// Regions that it has not given yet.
    unkept: Vec<u64>,
    /// Units lifted since [`Cache::take_interpreted`].
    lifted: Vec<Arc<Unit>>,
    /// Host addresses of modules' code.
    modules: Vec<(Range<u64>, u64)>,
    /// Counters.
    pub(crate) invalidated: u64,
    pub(crate) evicted: u64,
    pub(crate) links: u64,
}

/// A lift under way: where the log of invalidations stood when it began.
#[derive(Clone, Copy)]
pub(crate) struct Lift(usize);

impl Cache {
    pub(crate) fn new(memory: CodeMemory, stub: u64, epoch: Arc<AtomicU64>, paged: bool, keeping: bool) -> Cache {
        Cache {
            units: FxHashMap::default(),
            unit_pages: FxHashMap::default(),
            regions: FxHashMap::default(),
            region_pages: FxHashMap::default(),
            by_virtual_page: paged.then(FxHashMap::default),
            by_code: FxHashMap::default(),
            by_cell: BTreeMap::new(),
            next_id: 0,
            memory,
            stub,
            limbo: Vec::new(),
            epoch,
            threads: Vec::new(),
            log: Vec::new(),
            lifts: 0,
            wanted: Vec::new(),
            listener: None,
            executed: [0; 2],
            closed: false,
            keeping,
            unkept: Vec::new(),
            lifted: Vec::new(),
            modules: Vec::new(),
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

    pub(crate) fn remove_thread(&mut self, thread: &Arc<Thread>) {
        self.threads.retain(|t| !Arc::ptr_eq(t, thread));
    }

    /// Forgets the threads that a fork did not copy.
    pub(crate) fn keep_only(&mut self, thread: impl Fn(&Thread) -> bool) {
        self.threads.retain(|t| thread(t));
        self.lifts = 0;
        self.log.clear();
        // The parent keeps what it has made.
        self.unkept.clear();
        self.lifted.clear();
        for unit in self.wanted.drain(..) {
            unit.queued.store(false, Ordering::Relaxed);
        }
    }

    /// The unit of `at`, made if need be.
    pub(crate) fn unit(&mut self, at: At) -> Arc<Unit> {
        self.units.entry(at).or_insert_with(|| Unit::new(at)).clone()
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

    /// The words of the page of `at` that the interpreter has come to, with that at its start.
    pub(crate) fn words_run(&self, at: At) -> PageWords {
        let mut words = [0; PAGE as usize / 256];
        let mut mark = |address: u64| {
            let word = address % PAGE / 4;
            words[word as usize / 64] |= 1 << (word % 64);
        };
        mark(at.key.pc);
        let units = self.unit_pages.get(&(at.page / PAGE)).into_iter().flatten();
        for extent in units.filter_map(|at| self.units.get(at)?.extent.get()) {
            extent.iter().flat_map(|r| r.clone().step_by(4)).for_each(&mut mark);
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
        self.lifts = self.lifts.saturating_sub(1);
        if self.lifts == 0 {
            self.log.clear();
        }
        good
    }

    /// Keeps the block of `unit`, lifted from `region.code`, unless it is stale.
    pub(crate) fn set_block(&mut self, lift: Lift, unit: &Arc<Unit>, region: Region) -> bool {
        if !self.end_lift(lift, &region.code) || unit.dead.load(Ordering::Relaxed) {
            return false;
        }
        // Its pages know it already if this is not the first time.
        if unit.extent.get().is_none() {
            self.lifted.extend(self.keeping.then(|| unit.clone()));
            for page in pages(&region.code) {
                self.unit_pages.entry(page).or_default().push(unit.at);
            }
        }
        unit.set_block(region);
        true
    }

    /// Takes `code` of `subject` into the cache. False if there is no room now.
    ///
    /// Optimised code takes the place of quick code, never the other way.
    pub(crate) fn publish(&mut self, subject: Subject, mut code: Code, tier: Tier) -> bool {
        if self.closed {
            return false;
        }
        let Some(address) = self.place(&code) else { return false };
        if let Some(CodeListener(tell)) = &self.listener {
            let optimized = tier == Tier::Optimized;
            tell(&Published { pc: subject.at.key.pc, address, bytes: &code.bytes, optimized });
        }
        let id = self.next_id;
        self.next_id += 1;
        for page in pages(&subject.ranges) {
            self.region_pages.entry(page).or_default().push(id);
        }
        let mut units = Vec::with_capacity(subject.entries.len());
        for &pc in &subject.entries {
            let key = Key { pc, mode: subject.at.key.mode };
            let unit = self.unit(At { key, ..subject.at });
            let old = unit.code.load(Ordering::Relaxed);
            let quick = old != 0 && !unit.optimized.load(Ordering::Relaxed);
            if quick {
                self.take_from(&unit, old);
            }
            if key == subject.at.key || old == 0 || quick {
                unit.optimized.store(tier == Tier::Optimized, Ordering::Relaxed);
                unit.code.store(address, Ordering::Release);
                units.push(unit.at);
            }
        }
        let virtual_page = virtual_page(subject.at.key.pc);
        if let Some(pages) = &mut self.by_virtual_page {
            pages.entry(virtual_page).or_default().push(id);
        }
        self.by_code.insert(address, id);
        if !code.cells.is_empty() {
            self.by_cell.insert(code.cells.as_ptr() as u64, id);
        }
        let len = std::mem::take(&mut code.bytes).len();
        if !self.keeping {
            (code.relocs, code.targets) = (Vec::new(), Vec::new());
        }
        let incoming = Vec::new();
        let module = None;
        let compiled = Compiled { tier, subject, units, module, virtual_page, address, code, len, incoming };
        self.unkept.extend(self.keeping.then_some(id));
        self.regions.insert(id, Box::new(compiled));
        true
    }

    /// Takes quick code at host address `old` from `unit`, which gets better code.
    fn take_from(&mut self, unit: &Unit, old: u64) {
        let Some(id) = self.region_at(old) else { return };
        if self.regions[&id].module.is_none() {
            return self.retire(id);
        }
        unit.code.store(0, Ordering::SeqCst);
        for thread in &self.threads {
            thread.clear(unit.at.key);
        }
        // The rest of the module goes on, but nothing may lead to the old code: neither from inside nor from outside.
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

    /// The region that host address `code` is an entry of.
    fn region_at(&self, code: u64) -> Option<u64> {
        let module = || self.modules.iter().find(|(range, _)| range.contains(&code)).map(|(_, id)| *id);
        self.by_code.get(&code).copied().or_else(module)
    }

    /// Takes what was kept of an image into the cache; `at` is a key in it. The indirect exits of `thread`, which is the
    /// calling one and runs no code now, find all of it.
    pub(crate) fn publish_module(&mut self, at: At, module: Module, thread: &Thread) {
        let module = Box::new(module);
        if self.closed || !self.memory.add_module(&module) {
            return;
        }
        let id = self.next_id;
        self.next_id += 1;
        let ranges = module.ranges();
        for page in pages(&ranges) {
            self.region_pages.entry(page).or_default().push(id);
        }
        for (key, code) in module.entries() {
            // Better code may be there already.
            let unit = self.units.get(&At { key, ..at });
            if unit.is_none_or(|u| u.code.load(Ordering::Relaxed) == 0 && !u.dead.load(Ordering::Relaxed)) {
                thread.tables.iter().for_each(|t| t.offer(key, code));
            }
        }
        let address = module.address();
        self.modules.push((module.addresses(), id));
        if !module.cells().is_empty() {
            self.by_cell.insert(module.cells().as_ptr() as u64, id);
        }
        let compiled = Compiled {
            tier: Tier::Quick,
            subject: Subject { at, ranges, entries: Vec::new() },
            units: Vec::new(),
            module: Some(module),
            virtual_page: virtual_page(at.key.pc),
            address,
            code: Code::default(),
            len: 0,
            incoming: Vec::new(),
        };
        self.regions.insert(id, Box::new(compiled));
    }

    /// Gives `unit` its code from a module that has it; false if none does.
    pub(crate) fn enter_module(&mut self, unit: &Unit) -> bool {
        if unit.dead.load(Ordering::Relaxed) {
            return false;
        }
        for (_, id) in &self.modules {
            let Some(region) = self.regions.get_mut(id) else { continue };
            if let Some((code, tier)) = region.module.as_ref().and_then(|m| m.entry(unit.at.key)) {
                unit.optimized.store(tier == Tier::Optimized, Ordering::Relaxed);
                unit.code.store(code, Ordering::Release);
                region.units.push(unit.at);
                return true;
            }
        }
        false
    }

    /// Room for `code`; makes the next segment of the arena free if the current one is full.
    fn place(&mut self, code: &Code) -> Option<u64> {
        if let Some(at) = self.memory.add(&code.bytes, &*code.faults) {
            return Some(at);
        }
        let next = self.memory.following_segment();
        let old: Vec<u64> = self.regions.iter().filter(|(_, r)| self.lies_in(r, next)).map(|(id, _)| *id).collect();
        self.evicted += old.len() as u64;
        for id in old {
            self.retire(id);
        }
        self.collect();
        if self.limbo.iter().any(|(_, r)| self.lies_in(r, next)) {
            return None;
        }
        self.memory.advance();
        self.memory.add(&code.bytes, &*code.faults)
    }

    /// Does `region` lie in this segment of the code memory?
    fn lies_in(&self, region: &Compiled, segment: usize) -> bool {
        region.module.is_none() && self.memory.segment_of(region.address) == segment
    }

    /// Makes the exit behind cell address `cell` go straight to `at`, if both are alive.
    pub(crate) fn link(&mut self, cell: u64, at: At) {
        let Some((&base, &from)) = self.by_cell.range(..=cell).next_back() else { return };
        let Some(code) = self.units.get(&at).map(|u| u.code.load(Ordering::Relaxed)).filter(|c| *c != 0) else {
            return;
        };
        let Some(to) = self.region_at(code) else { return };
        let number = (cell - base) as usize / CELL_BYTES;
        let Some(slot) = self.regions.get(&from).and_then(|r| r.cells().get(number)) else { return };
        slot.store(code, Ordering::Release);
        self.links += 1;
        self.recount(cell, quick::FIRST_COUNT);
        if let Some(target) = self.regions.get_mut(&to) {
            target.incoming.push((from, number));
        }
    }

    /// Starts the count-down next to `cell` anew, if it has one.
    pub(crate) fn recount(&self, cell: u64, count: u64) {
        let Some((&base, id)) = self.by_cell.range(..=cell).next_back() else { return };
        let number = (cell - base) as usize / CELL_BYTES;
        if let Some(counter) = self.regions.get(id).and_then(|r| r.counter(number + 1)) {
            counter.store(count, Ordering::Relaxed);
        }
    }

    /// Unlinks region `id` from everything that leads to it, and keeps it until no thread can be inside.
    fn retire(&mut self, id: u64) {
        let Some(dead) = self.regions.remove(&id) else { return };
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
        }
        if dead.module.is_some() {
            // Also what no unit has been made for.
            self.threads.iter().flat_map(|t| &t.tables).for_each(Table::clear_all);
        }
        for (from, number) in &dead.incoming {
            if let Some(region) = self.regions.get(from) {
                // It may lead elsewhere by now, if this is a module.
                let cell = &region.cells()[*number];
                if dead.holds(cell.load(Ordering::Relaxed)) {
                    cell.store(self.stub, Ordering::SeqCst);
                }
            }
        }
        self.by_code.remove(&dead.address);
        self.modules.retain(|(_, i)| *i != id);
        if !dead.cells().is_empty() {
            self.by_cell.remove(&(dead.cells().as_ptr() as u64));
        }
        for page in pages(&dead.subject.ranges) {
            if let Some(ids) = self.region_pages.get_mut(&page) {
                ids.retain(|i| *i != id);
            }
        }
        let after = self.epoch.fetch_add(1, Ordering::SeqCst) + 1;
        self.limbo.push((after, dead));
    }

    /// Frees dead regions that no thread can be inside any more.
    fn collect(&mut self) {
        let oldest = self.threads.iter().map(|t| t.inside_since.load(Ordering::SeqCst)).min().unwrap_or(OUTSIDE);
        let (memory, executed) = (&self.memory, &mut self.executed);
        self.limbo.retain(|(after, dead)| {
            let kept = *after > oldest;
            if !kept {
                executed[usize::from(dead.tier == Tier::Optimized)] += dead.code.executed.load(Ordering::Relaxed);
            }
            if let Some(module) = dead.module.as_ref().filter(|_| !kept) {
                memory.remove_module(module);
            }
            kept
        });
    }

    /// Kills what was made from guest bytes in `range`.
    pub(crate) fn invalidate(&mut self, range: Range<u64>) {
        if self.lifts > 0 {
            self.log.push(range.clone());
        }
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

    /// Is there code that was seen in guest page `page`?
    pub(crate) fn has_code_at(&self, page: u64) -> bool {
        self.by_virtual_page.as_ref().and_then(|pages| pages.get(&page)).is_some_and(|ids| !ids.is_empty())
    }

    /// Undoes all links from other pages to code in guest page `page` (see [`virtual_page`]): it may be mapped
    /// elsewhere now.
    pub(crate) fn unlink_virtual_page(&mut self, page: u64) {
        let Some(ids) = self.by_virtual_page.as_ref().and_then(|pages| pages.get(&page)) else { return };
        for id in ids.clone() {
            let Some(target) = self.regions.get_mut(&id) else { continue };
            for (from, number) in std::mem::take(&mut target.incoming) {
                if let Some(region) = self.regions.get(&from) {
                    region.cells()[number].store(self.stub, Ordering::SeqCst);
                }
            }
        }
    }

    /// Undoes all links between pages.
    pub(crate) fn unlink_all(&mut self) {
        let pages: Vec<u64> = self.by_virtual_page.iter().flat_map(|pages| pages.keys().copied()).collect();
        for page in pages {
            self.unlink_virtual_page(page);
        }
    }

    /// All translations that the store does not have; it is taken to have them from now on.
    pub(crate) fn take_unkept(&mut self) -> Vec<Made> {
        let mut made = Vec::new();
        for id in std::mem::take(&mut self.unkept) {
            let Some(r) = self.regions.get_mut(&id) else { continue };
            let code = Code {
                bytes: self.memory.bytes(r.address, r.len),
                relocs: std::mem::take(&mut r.code.relocs),
                targets: std::mem::take(&mut r.code.targets),
                faults: r.code.faults.clone(),
                cells: r.code.cells.iter().map(|_| AtomicU64::new(0)).collect(),
                executed: Box::default(),
                ops: r.code.ops.clone(),
            };
            made.push(Made { subject: r.subject.clone(), tier: r.tier, code });
        }
        made
    }

    /// Units lifted since this was last asked that have no code.
    pub(crate) fn take_interpreted(&mut self) -> Vec<Arc<Unit>> {
        let mut units = std::mem::take(&mut self.lifted);
        units.retain(|u| u.code.load(Ordering::Relaxed) == 0 && !u.too_hard.load(Ordering::Relaxed));
        units
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
            executed: r.code.executed.load(Ordering::Relaxed),
        };
        self.regions.values().filter(|r| r.tier == Tier::Optimized).map(|r| info(r)).collect()
    }

    /// Guest instructions executed in code of the quick tier and of Cranelift's, as far as they are counted.
    pub(crate) fn executed(&self) -> [u64; 2] {
        let dead = self.limbo.iter().map(|(_, r)| r);
        let mut executed = self.executed;
        for r in self.regions.values().chain(dead) {
            executed[usize::from(r.tier == Tier::Optimized)] += r.code.executed.load(Ordering::Relaxed);
        }
        executed
    }

    /// Gives up all compiled code, and making any.
    pub(crate) fn abandon(&mut self) {
        let all: Vec<u64> = self.regions.keys().copied().collect();
        for id in all {
            self.retire(id);
        }
        self.closed = true;
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
fn pages(ranges: &[Range<u64>]) -> Vec<u64> {
    let mut pages: Vec<u64> =
        ranges.iter().filter(|r| !r.is_empty()).flat_map(|r| r.start / PAGE..=(r.end - 1) / PAGE).collect();
    pages.sort_unstable();
    pages.dedup();
    pages
}
