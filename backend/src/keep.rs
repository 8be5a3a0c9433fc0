//! Translations from other runs, and for them: the way from and to the [store](crate::store).

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use jib_ir::guest::Guest;
use jib_ir::region::Region;

use crate::cache::{Cache, Made, Subject, Thread, Tier, Unit};
use crate::entry;
use crate::store::{Image, Record};
use crate::translator::Translator;

impl<G: Guest> Translator<G> {
    /// Takes the code of `unit` from what was kept of its image, if the guest's code is the same. `thread` is the
    /// caller's.
    pub(crate) fn recall(&self, unit: &Unit, thread: &Thread) -> bool {
        let Some(store) = &self.store else { return false };
        if self.with_cache(|c| c.enter_module(unit)) {
            self.counters.recalled.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        let Some(image) = store.image(unit.at.key.pc) else { return false };
        let loaded = {
            let _pass = self.gate.pass();
            store.load(&self.options, image, self.stub)
        };
        let Some(module) = loaded else { return false };
        let lift = self.with_cache(Cache::begin_lift);
        let agrees = module.agrees(|pc, code| self.fetch.shows(pc, code));
        let recalled = self.with_cache(|c| {
            if c.end_lift(lift, &module.ranges()) && agrees {
                c.publish_module(unit.at, module, thread);
            }
            c.enter_module(unit)
        });
        if !agrees {
            let _pass = self.gate.pass();
            store.distrust(image);
        }
        self.counters.recalled.fetch_add(u64::from(recalled), Ordering::Relaxed);
        recalled
    }

    /// Writes what was translated since the last time to the store. Blocks that have only been interpreted are
    /// translated for it, as long as that takes less than a quarter of the process's time so far. A process that only
    /// shares its parent's memory leaves that to the parent.
    pub fn keep(&self) {
        let Some(store) = self.store.as_ref().filter(|_| self.owner.load(Ordering::Relaxed) == std::process::id())
        else {
            return;
        };
        let (lift, mut made) = self.with_cache(|c| (c.begin_lift(), c.take_unkept()));
        self.translate_interpreted(|unit| store.image(unit.at.key.pc).map(|_| Vec::new()), &mut made);
        let mut files: HashMap<Image, Vec<Record>> = HashMap::new();
        for made in made {
            let Some(image) = store.image(made.subject.at.key.pc) else { continue };
            files.entry(image).or_default().extend(self.record(made));
        }
        // What changed meanwhile may not be what it was made from.
        self.with_cache(|c| {
            for records in files.values_mut() {
                records.retain(|r| !c.changed_since(lift, r.ranges()));
            }
            c.end_lift(lift, &[]);
        });
        let _pass = self.gate.pass();
        for (image, records) in files {
            store.add(&self.options, image, records);
        }
    }

    fn record(&self, made: Made) -> Option<Record> {
        let Subject { at, ranges, .. } = made.subject;
        let words = ranges.iter().flat_map(|r| r.clone().step_by(4)).map(|pc| self.fetch.word(pc).ok());
        let words = words.collect::<Option<Vec<u32>>>()?;
        Some(Record::new(at.key, made.tier, (ranges, words), made.code))
    }

    /// Adds code of blocks that have none and are `wanted`: then with these words of their guest code, as far as they are
    /// noted.
    pub(crate) fn translate_interpreted(&self, wanted: impl Fn(&Unit) -> Option<Vec<u32>>, made: &mut Vec<Made>) {
        let units = self.with_cache(Cache::take_interpreted);
        let mut units = units.iter().filter_map(|unit| Some((unit, wanted(unit)?))).peekable();
        let Some(mut compiler) = units.peek().and_then(|_| self.quick_compiler()) else { return };
        let (start, budget) = (entry::thread_nanos(), entry::process_nanos() / 4);
        for (unit, words) in units {
            if entry::thread_nanos() - start > budget {
                return;
            }
            let Some(block) = self.block(unit) else { continue };
            let mut region = Region::clone(&block);
            compiler.optimize(&mut region);
            if let Some(code) = compiler.compile(&region, self.stub) {
                let subject = Subject { words, ..Subject::of(&region, unit.at.page) };
                made.push(Made { subject, tier: Tier::Quick, code });
            }
        }
    }
}
