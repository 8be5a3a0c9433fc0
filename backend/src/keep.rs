//! Translations from other runs, and for them: the way from and to the [store](crate::store).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jib_ir::guest::Guest;
use jib_ir::region::Region;

use crate::cache::{At, Cache, Made, Subject, Thread, Tier, Unit};
use crate::entry;
use crate::store::{Image, Record};
use crate::translator::Translator;

impl<G: Guest> Translator<G> {
    /// The unit of `at` with its code from what was kept of its image, if the guest's code is the same. `thread` is the
    /// caller's.
    pub(crate) fn recall(&self, at: At, thread: &Thread) -> Option<Arc<Unit>> {
        let store = self.store.as_ref()?;
        if let Some(unit) = self.with_cache(|c| c.enter_module(at)) {
            self.counters.recalled.fetch_add(1, Ordering::Relaxed);
            return Some(unit);
        }
        let image = store.image(at.key.pc)?;
        let loaded = {
            let _pass = self.gate.pass();
            store.load(&self.options, image, self.stub)
        };
        let module = loaded?;
        let lift = self.with_cache(Cache::begin_lift);
        let agrees = module.agrees(|pc, code| self.fetch.shows(pc, code));
        let recalled = self.with_cache(|c| {
            if c.end_lift(lift, &module.ranges()) && agrees {
                c.publish_module(at, module, thread);
            }
            c.enter_module(at)
        });
        if !agrees {
            let _pass = self.gate.pass();
            store.distrust(image);
        }
        self.counters.recalled.fetch_add(u64::from(recalled.is_some()), Ordering::Relaxed);
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
        let (begun, mut made) = self.with_cache(|c| (c.begin_lift(), c.take_unkept()));
        let run = self.with_cache(Cache::take_run).into_iter().filter(|at| store.image(at.key.pc).is_some());
        let lift = |at| -> Option<(At, Region)> {
            let mut region = Region::default();
            self.lift_once(&mut region, at).ok()?;
            Some((at, region))
        };
        self.translate_interpreted(run.filter_map(lift), &mut made);
        let mut files: HashMap<Image, Vec<Record>> = HashMap::new();
        for made in made {
            let Some(image) = store.image(made.subject.at.key.pc) else { continue };
            files.entry(image).or_default().extend(self.record(made));
        }
        // What changed meanwhile may not be what it was made from.
        self.with_cache(|c| {
            for records in files.values_mut() {
                records.retain(|r| !c.changed_since(begun, r.ranges()));
            }
            c.end_lift(begun, &[]);
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

    /// Adds code of `blocks` that have none.
    fn translate_interpreted(&self, mut blocks: impl Iterator<Item = (At, Region)>, made: &mut Vec<Made>) {
        let Some(mut compiler) = self.quick_compiler() else { return };
        let (start, budget) = (entry::thread_nanos(), entry::process_nanos() / 4);
        while entry::thread_nanos() - start <= budget {
            let Some((at, mut region)) = blocks.next() else { return };
            compiler.optimize(&mut region);
            if let Some(code) = compiler.compile(&region, self.stub) {
                made.push(Made { subject: Subject::of(&region, at.page), tier: Tier::Quick, code });
            }
        }
    }
}
