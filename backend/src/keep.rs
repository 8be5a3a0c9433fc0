//! Translations from other runs, and for them: the way from and to the [store](crate::store).

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::Ordering;

use jib_ir::guest::Guest;
use jib_ir::region::Region;

use crate::cache::{At, Cache, Made, PAGE, Subject, Tier, Unit, virtual_page};
use crate::entry;
use crate::options::Memory;
use crate::store::{Image, Record};
use crate::translator::{Translator, cut_loops};

impl<G: Guest> Translator<G> {
    /// Takes the code of `unit` from the store, if it is there and the guest's code is the same.
    pub(crate) fn recall(&self, unit: &Unit) -> bool {
        let Some((store, image)) = self.store.as_ref().and_then(|s| Some((s, s.image(unit.at.key.pc)?))) else {
            return false;
        };
        let lift = self.with_cache(Cache::begin_lift);
        let find = |nth| {
            let _pass = self.gate.pass();
            store.find(&self.options, image, unit.at.key, nth)
        };
        let found = (0..).map_while(find).find(|record| self.shows(record, unit.at));
        let Some(record) = found else {
            self.with_cache(|c| c.end_lift(lift, &[]));
            return false;
        };
        let tier = record.tier();
        let subject = Subject {
            at: At { key: record.key(), ..unit.at },
            ranges: record
                .ranges
                .iter()
                .map(|r| self.physical(r.start, unit.at)..self.physical(r.start, unit.at) + r.end - r.start)
                .collect(),
            entries: record.entries.clone(),
            insns: record.insns,
        };
        let code = record.code(self.stub);
        self.pages_seen.add(virtual_page(unit.at.key.pc));
        let published = self.with_cache(|c| {
            let fresh = c.end_lift(lift, &subject.ranges) && !unit.dead.load(Ordering::Relaxed);
            if fresh && self.options.memory == Memory::Table {
                c.note_extent(unit, &subject.ranges);
            }
            fresh && c.publish(subject, code, tier, true)
        });
        self.counters.recalled.fetch_add(u64::from(published), Ordering::Relaxed);
        published
    }

    /// Is the guest's code at `at` what `record` was made from?
    fn shows(&self, record: &Record, at: At) -> bool {
        record.code_words().all(|(pc, word)| self.fetch.word(self.physical(pc, at)) == Ok(word))
    }

    /// The address by which the code at `pc`, near `at`, is fetched.
    fn physical(&self, pc: u64, at: At) -> u64 {
        match self.options.memory {
            Memory::Host => pc,
            Memory::Table => pc.wrapping_sub(at.key.pc & !(PAGE - 1)).wrapping_add(at.page),
        }
    }

    /// The address at which the guest sees the code that is fetched by `physical`, near `at`.
    fn seen(&self, physical: u64, at: At) -> u64 {
        match self.options.memory {
            Memory::Host => physical,
            Memory::Table => physical.wrapping_sub(at.page).wrapping_add(at.key.pc & !(PAGE - 1)),
        }
    }

    /// Writes what was translated since the last time to the store. Blocks that have only been interpreted are
    /// translated for it, as long as that takes less than a quarter of the process's time so far.
    pub fn keep(&self) {
        let Some(store) = &self.store else { return };
        let (lift, mut made) = self.with_cache(|c| (c.begin_lift(), c.take_unkept()));
        self.translate_interpreted(&mut made);
        let mut files: HashMap<Image, Vec<(Vec<Range<u64>>, Record)>> = HashMap::new();
        for made in made {
            let Some(image) = store.image(made.subject.at.key.pc) else { continue };
            if let Some(record) = self.record(&made) {
                files.entry(image).or_default().push((made.subject.ranges, record));
            }
        }
        // What changed meanwhile may not be what it was made from.
        self.with_cache(|c| {
            for records in files.values_mut() {
                records.retain(|(ranges, _)| !c.changed_since(lift, ranges));
            }
            c.end_lift(lift, &[]);
        });
        let _pass = self.gate.pass();
        for (image, records) in files {
            store.add(&self.options, image, records.into_iter().map(|(_, r)| r).collect());
        }
    }

    fn record(&self, made: &Made) -> Option<Record> {
        let Subject { at, ranges, entries, insns } = &made.subject;
        let words = ranges.iter().flat_map(|r| r.clone().step_by(4)).map(|pc| self.fetch.word(pc).ok());
        let words = words.collect::<Option<Vec<u32>>>()?;
        let ranges =
            ranges.iter().map(|r| self.seen(r.start, *at)..self.seen(r.start, *at) + r.end - r.start).collect();
        Some(Record::new(at.key, made.tier, *insns, (ranges, words), entries.clone(), &made.code))
    }

    /// Adds code of blocks that have none.
    fn translate_interpreted(&self, made: &mut Vec<Made>) {
        let Some(mut compiler) = self.quick_compiler() else { return };
        let (start, budget) = (entry::thread_nanos(), entry::process_nanos() / 4);
        for unit in self.with_cache(|c| c.interpreted()) {
            if entry::thread_nanos() - start > budget {
                return;
            }
            let Some(block) = self.block(&unit) else { continue };
            let mut region = Region::clone(&block);
            jib_ir::passes::run(&mut region);
            cut_loops(&mut region);
            if let Some(code) = compiler.compile(&region, self.stub) {
                made.push(Made { subject: Subject::of(&region, unit.at.page), tier: Tier::Quick, code });
            }
        }
    }
}
