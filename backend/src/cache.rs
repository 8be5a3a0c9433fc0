//! What has been translated: units by key, regions by id, who links to whom, and what may be thrown away when.
//!
//! Everything here is behind the translator's lock. Lock-free readers are the threads that run: they read a unit's
//! code address, link cells and their own indirect table. Code that died is kept until each thread that was inside
//! compiled code at that time has left it.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use jib_ir::region::{Key, Region};

use crate::abi::{CELL_BYTES, TABLE_ENTRIES, Tag};
use crate::code_memory::CodeMemory;
use crate::compile::Code;
use crate::perf::PerfMap;

/// Guest pages by which translations are found again.
const PAGE: u64 = 4096;

/// One guest address in one mode: its interpretable block and its code, if any.
pub(crate) struct Unit {
    pub(crate) key: Key,
    /// The single block for the interpreter, lifted when first wanted.
    pub(crate) block: OnceLock<Region>,
    /// Address of compiled code, or 0.
    pub(crate) code: AtomicU64,
    /// Runs in the interpreter.
    pub(crate) runs: AtomicU32,
    /// Compilation has been asked for.
    pub(crate) queued: AtomicBool,
    /// The guest code changed: look the key up again.
    pub(crate) dead: AtomicBool,
}

impl Unit {
    fn new(key: Key) -> Arc<Unit> {
        Arc::new(Unit {
            key,
            block: OnceLock::new(),
            code: AtomicU64::new(0),
            runs: AtomicU32::new(0),
            queued: AtomicBool::new(false),
            dead: AtomicBool::new(false),
        })
    }
}

/// The part of a running thread that others look at.
pub(crate) struct Thread {
    /// The epoch at which the thread entered compiled code, or [`OUTSIDE`].
    pub(crate) inside_since: AtomicU64,
    /// Pairs of tag and code address, searched by compiled code at indirect exits. Its own thread fills it;
    /// others only clear entries.
    pub(crate) table: Box<[AtomicU64]>,
}

/// The thread is not inside compiled code.
pub(crate) const OUTSIDE: u64 = u64::MAX;

impl Thread {
    pub(crate) fn new() -> Arc<Thread> {
        let table = (0..TABLE_ENTRIES * 2).map(|i| AtomicU64::new(if i % 2 == 0 { Tag::EMPTY } else { 0 })).collect();
        Arc::new(Thread { inside_since: AtomicU64::new(OUTSIDE), table })
    }

    /// Makes indirect exits find `code` for `key`.
    pub(crate) fn fill(&self, key: Key, code: u64) {
        let at = 2 * Tag::slot(key);
        // Nobody may see the new tag with the old address.
        self.table[at].store(Tag::EMPTY, Ordering::Release);
        self.table[at + 1].store(code, Ordering::Release);
        self.table[at].store(Tag::of(key), Ordering::Release);
    }

    fn clear(&self, key: Key) {
        let tag = &self.table[2 * Tag::slot(key)];
        let _ = tag.compare_exchange(Tag::of(key), Tag::EMPTY, Ordering::AcqRel, Ordering::Relaxed);
    }
}

/// A compiled region.
struct Compiled {
    key: Key,
    /// Guest bytes it was made from.
    ranges: Vec<Range<u64>>,
    /// Keys whose unit may point here.
    keys: Vec<Key>,
    address: u64,
    code: Code,
    /// Cells of other regions that lead here: region id and cell number.
    incoming: Vec<(u64, usize)>,
}

/// See the module documentation.
pub(crate) struct Cache {
    units: HashMap<Key, Arc<Unit>>,
    unit_pages: HashMap<u64, Vec<Key>>,
    regions: HashMap<u64, Compiled>,
    region_pages: HashMap<u64, Vec<u64>>,
    /// Region of each code address.
    by_code: HashMap<u64, u64>,
    /// Region of each cell array, by its address.
    by_cell: BTreeMap<u64, u64>,
    next_id: u64,
    memory: CodeMemory,
    /// What unlinked cells hold.
    stub: u64,
    /// Dead regions with the epoch after their death.
    limbo: Vec<(u64, Compiled)>,
    /// Grows with each death.
    epoch: Arc<AtomicU64>,
    threads: Vec<Arc<Thread>>,
    /// Ranges invalidated while lifts were under way.
    log: Vec<Range<u64>>,
    lifts: usize,
    /// Units to be compiled.
    wanted: Vec<Arc<Unit>>,
    /// Where to tell `perf` of new code.
    perf: Option<PerfMap>,
    /// No code may be added.
    closed: bool,
    /// Counters.
    pub(crate) invalidated: u64,
    pub(crate) evicted: u64,
    pub(crate) links: u64,
}

/// A lift under way: where the log of invalidations stood when it began.
#[derive(Clone, Copy)]
pub(crate) struct Lift(usize);

impl Cache {
    pub(crate) fn new(memory: CodeMemory, stub: u64, epoch: Arc<AtomicU64>) -> Cache {
        Cache {
            units: HashMap::new(),
            unit_pages: HashMap::new(),
            regions: HashMap::new(),
            region_pages: HashMap::new(),
            by_code: HashMap::new(),
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
            perf: None,
            closed: false,
            invalidated: 0,
            evicted: 0,
            links: 0,
        }
    }

    /// Writes a map for `perf` from now on.
    pub(crate) fn map_for_perf(&mut self) {
        self.perf = PerfMap::open();
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
        for unit in self.wanted.drain(..) {
            unit.queued.store(false, Ordering::Relaxed);
        }
    }

    /// The unit of `key`, made if need be.
    pub(crate) fn unit(&mut self, key: Key) -> Arc<Unit> {
        self.units.entry(key).or_insert_with(|| Unit::new(key)).clone()
    }

    /// Puts `unit` among those to be compiled.
    pub(crate) fn want(&mut self, unit: &Arc<Unit>) {
        self.wanted.push(unit.clone());
    }

    /// Takes the unit to be compiled that has run most often by now.
    pub(crate) fn take_hottest(&mut self) -> Option<Arc<Unit>> {
        // Meanwhile another region may have made code for it, as an entry of its own.
        self.wanted.retain(|u| u.code.load(Ordering::Relaxed) == 0 && !u.dead.load(Ordering::Relaxed));
        let (at, _) = self.wanted.iter().enumerate().max_by_key(|(_, u)| u.runs.load(Ordering::Relaxed))?;
        Some(self.wanted.swap_remove(at))
    }

    /// Notes that a lift begins, so that it can be told whether its guest code changed meanwhile.
    pub(crate) fn begin_lift(&mut self) -> Lift {
        self.lifts += 1;
        Lift(self.log.len())
    }

    /// Ends a lift; false if guest code in `ranges` changed since it began.
    pub(crate) fn end_lift(&mut self, lift: Lift, ranges: &[Range<u64>]) -> bool {
        let begun = lift.0.min(self.log.len());
        let good = !self.log[begun..].iter().any(|r| ranges.iter().any(|s| overlap(r, s)));
        self.lifts = self.lifts.saturating_sub(1);
        if self.lifts == 0 {
            self.log.clear();
        }
        good
    }

    /// Keeps the block of `unit`, lifted from `region.code`, unless it is stale.
    pub(crate) fn set_block(&mut self, lift: Lift, unit: &Unit, region: Region) -> bool {
        if !self.end_lift(lift, &region.code) || unit.dead.load(Ordering::Relaxed) {
            return false;
        }
        for page in pages(&region.code) {
            self.unit_pages.entry(page).or_default().push(unit.key);
        }
        let _ = unit.block.set(region);
        true
    }

    /// Takes `code` of `region` into the cache. False if there is no room now.
    pub(crate) fn publish(&mut self, region: &Region, code: Code) -> bool {
        if self.closed {
            return false;
        }
        let Some(address) = self.place(&code) else { return false };
        if let Some(perf) = &mut self.perf {
            perf.add(region, address, code.bytes.len());
        }
        let id = self.next_id;
        self.next_id += 1;
        for page in pages(&region.code) {
            self.region_pages.entry(page).or_default().push(id);
        }
        let mut keys = Vec::with_capacity(region.entries.len());
        for e in &region.entries {
            let key = Key { pc: region.blocks[e.index()].pc, mode: region.key.mode };
            let unit = self.unit(key);
            if key == region.key || unit.code.load(Ordering::Relaxed) == 0 {
                unit.code.store(address, Ordering::Release);
                keys.push(key);
            }
        }
        self.by_code.insert(address, id);
        if !code.cells.is_empty() {
            self.by_cell.insert(code.cells.as_ptr() as u64, id);
        }
        let compiled =
            Compiled { key: region.key, ranges: region.code.clone(), keys, address, code, incoming: Vec::new() };
        self.regions.insert(id, compiled);
        true
    }

    /// Room for `code`; makes the next segment of the arena free if the current one is full.
    fn place(&mut self, code: &Code) -> Option<u64> {
        if let Some(at) = self.memory.add(&code.bytes, &*code.faults) {
            return Some(at);
        }
        let next = self.memory.following_segment();
        let old: Vec<u64> =
            self.regions.iter().filter(|(_, r)| self.memory.segment_of(r.address) == next).map(|(id, _)| *id).collect();
        self.evicted += old.len() as u64;
        for id in old {
            self.retire(id);
        }
        self.collect();
        if self.limbo.iter().any(|(_, r)| self.memory.segment_of(r.address) == next) {
            return None;
        }
        self.memory.advance();
        self.memory.add(&code.bytes, &*code.faults)
    }

    /// Makes the exit behind cell address `cell` go straight to `key`, if both are alive.
    pub(crate) fn link(&mut self, cell: u64, key: Key) {
        let Some((&base, &from)) = self.by_cell.range(..=cell).next_back() else { return };
        let Some(code) = self.units.get(&key).map(|u| u.code.load(Ordering::Relaxed)).filter(|c| *c != 0) else {
            return;
        };
        let Some(&to) = self.by_code.get(&code) else { return };
        let number = (cell - base) as usize / CELL_BYTES;
        let Some(slot) = self.regions.get(&from).and_then(|r| r.code.cells.get(number)) else { return };
        slot.store(code, Ordering::Release);
        self.links += 1;
        if let Some(target) = self.regions.get_mut(&to) {
            target.incoming.push((from, number));
        }
    }

    /// Unlinks region `id` from everything that leads to it, and keeps it until no thread can be inside.
    fn retire(&mut self, id: u64) {
        let Some(dead) = self.regions.remove(&id) else { return };
        for key in &dead.keys {
            if let Some(unit) = self.units.get(key)
                && unit.code.load(Ordering::Relaxed) == dead.address
            {
                unit.code.store(0, Ordering::SeqCst);
                unit.runs.store(0, Ordering::Relaxed);
                unit.queued.store(false, Ordering::Relaxed);
            }
            for thread in &self.threads {
                thread.clear(*key);
            }
        }
        for (from, number) in &dead.incoming {
            if let Some(region) = self.regions.get(from) {
                region.code.cells[*number].store(self.stub, Ordering::SeqCst);
            }
        }
        self.by_code.remove(&dead.address);
        if !dead.code.cells.is_empty() {
            self.by_cell.remove(&(dead.code.cells.as_ptr() as u64));
        }
        for page in pages(&dead.ranges) {
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
        self.limbo.retain(|(after, _)| *after > oldest);
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
                if self.regions[id].ranges.iter().any(|r| overlap(r, &range)) {
                    dead_regions.push(*id);
                }
            }
            if let Some(keys) = self.unit_pages.get_mut(&page) {
                keys.retain(|key| {
                    let hit = self
                        .units
                        .get(key)
                        .is_none_or(|u| u.block.get().is_none_or(|b| b.code.iter().any(|r| overlap(r, &range))));
                    if hit {
                        dead_units.push(*key);
                    }
                    !hit
                });
                if keys.is_empty() {
                    self.unit_pages.remove(&page);
                }
            }
        }
        self.invalidated += (dead_regions.len() + dead_units.len()) as u64;
        for id in dead_regions {
            self.retire(id);
        }
        for key in dead_units {
            self.kill_unit(key);
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
    fn kill_unit(&mut self, key: Key) {
        if let Some(unit) = self.units.remove(&key) {
            unit.dead.store(true, Ordering::SeqCst);
            unit.code.store(0, Ordering::SeqCst);
            for thread in &self.threads {
                thread.clear(key);
            }
        }
    }

    /// All regions that may run.
    pub(crate) fn regions(&self) -> Vec<crate::options::RegionInfo> {
        let info = |r: &Compiled| crate::options::RegionInfo {
            key: r.key,
            code: r.ranges.clone(),
            host_bytes: r.code.bytes.len(),
            executed: r.code.executed.load(Ordering::Relaxed),
        };
        self.regions.values().map(info).collect()
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
