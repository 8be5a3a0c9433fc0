//! `--stats` and `--stats-json`: what the translator did, by tier, and where the time went.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jib_backend::{EXITS, Options, ReadStats, Stats};
use jib_debug::log::Sink;
use jib_machine::machine::Misses;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::cli::StatsArgs;
use crate::report;

/// Counters of a run; times in seconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// From start to end.
    pub(crate) wall_s: f64,
    /// Processor time of the whole process.
    pub(crate) cpu_s: f64,
    /// Where that went.
    pub(crate) split: Split,
    pub(crate) interpreter: Interpreter,
    pub(crate) quick: Tier,
    pub(crate) optimized: Tier,
    pub(crate) dispatch: Dispatch,
    /// How often compiled code was left, by cause.
    pub(crate) exits: BTreeMap<String, u64>,
    /// Of whole systems.
    pub(crate) tlb: Option<Tlb>,
    /// The counters as they grew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) timeline: Vec<Moment>,
}

/// Parts of the processor time.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Split {
    /// Lifting, optimising, generating code, in whatever thread.
    pub(crate) translate_s: f64,
    /// Running guest code, interpreted or compiled.
    pub(crate) execute_s: f64,
    /// Everything else: loading, system calls, exceptions, devices.
    pub(crate) runtime_s: f64,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Interpreter {
    /// Blocks lifted.
    pub(crate) blocks: u64,
    pub(crate) lift_s: f64,
    /// Blocks run.
    pub(crate) runs: u64,
    /// Guest instructions executed.
    pub(crate) executed: u64,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tier {
    pub(crate) regions: u64,
    pub(crate) guest_insns: u64,
    pub(crate) host_bytes: u64,
    pub(crate) translate_s: f64,
    /// Translated in vain: too late, too large.
    pub(crate) discarded: u64,
    /// Guest instructions executed, if they were counted.
    pub(crate) executed: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Dispatch {
    /// Translations that the run loops looked for.
    pub(crate) lookups: u64,
    /// Found in the thread's own table.
    pub(crate) hits: u64,
    /// Entered for the first time in what earlier runs kept.
    pub(crate) recalled: u64,
    pub(crate) links: u64,
    pub(crate) invalidated: u64,
    pub(crate) evicted: u64,
    /// Faults of the host in compiled code, taken back to the interpreter.
    pub(crate) host_faults: u64,
}

/// Addresses not found, by compiled code in its table, then in the TLB.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tlb {
    pub(crate) fast_misses: u64,
    pub(crate) misses: u64,
}

/// What had been executed by a moment, and translated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Moment {
    pub(crate) at_s: f64,
    /// Processor time of the process.
    pub(crate) cpu_s: f64,
    /// Guest instructions, by interpreter, quick and optimised code.
    pub(crate) executed: [u64; 3],
    /// Guest instructions translated, by the quick tier and by Cranelift.
    pub(crate) translated: [u64; 2],
}

impl Figures {
    /// Of the counters at the end of a process.
    pub(crate) fn new(s: &Stats, misses: Option<Misses>, wall: Duration, counted: bool) -> Figures {
        let seconds = |ns: u64| ns as f64 / 1e9;
        let cpu_s = processor_s();
        // Lifting and the quick tier's work are done in the run loops, Cranelift's in a thread of its own.
        let here_s = seconds(s.lift_ns + s.quick_ns);
        let execute_s = (seconds(s.guest_ns) - here_s).max(0.0);
        let translate_s = here_s + seconds(s.compile_ns);
        let executed = |tier: usize| counted.then_some(s.executed[tier]);
        Figures {
            wall_s: wall.as_secs_f64(),
            cpu_s,
            split: Split { translate_s, execute_s, runtime_s: (cpu_s - translate_s - execute_s).max(0.0) },
            interpreter: Interpreter {
                blocks: s.blocks_lifted,
                lift_s: seconds(s.lift_ns),
                runs: s.block_runs,
                executed: s.executed[0],
            },
            quick: Tier {
                regions: s.quick_blocks,
                guest_insns: s.quick_insns,
                host_bytes: s.quick_bytes,
                translate_s: seconds(s.quick_ns),
                discarded: 0,
                executed: executed(1),
            },
            optimized: Tier {
                regions: s.regions,
                guest_insns: s.guest_insns,
                host_bytes: s.host_bytes,
                translate_s: seconds(s.compile_ns),
                discarded: s.discarded,
                executed: executed(2),
            },
            dispatch: Dispatch {
                lookups: s.hits + s.misses,
                hits: s.hits,
                recalled: s.recalled,
                links: s.links,
                invalidated: s.invalidated,
                evicted: s.evicted,
                host_faults: s.faults,
            },
            exits: EXITS.iter().zip(s.exits).map(|(cause, n)| (cause.to_string(), n)).collect(),
            tlb: misses.map(|m| Tlb { fast_misses: m.fast, misses: m.tlb }),
            timeline: Vec::new(),
        }
    }

    /// A line for each counter.
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut line = |name: &str, value: String| lines.push(format!("{name:<24} {value}"));
        line("time", format!("{:.3} s, {:.3} s of processors", self.wall_s, self.cpu_s));
        let part = |s: f64| format!("{:.1} ms ({:.0} %)", s * 1e3, 100.0 * s / self.cpu_s.max(1e-9));
        line("  translating", part(self.split.translate_s));
        line("  executing", part(self.split.execute_s));
        line("  everything else", part(self.split.runtime_s));
        line(
            "interpreter",
            format!("{} blocks lifted in {:.1} ms", self.interpreter.blocks, self.interpreter.lift_s * 1e3),
        );
        line("  ran", format!("{} blocks, {} guest instructions", self.interpreter.runs, self.interpreter.executed));
        for (name, tier) in [("quick tier", &self.quick), ("optimizing tier", &self.optimized)] {
            let insns = tier.guest_insns.max(1) as f64;
            let discarded = if tier.discarded > 0 { format!(", {} discarded", tier.discarded) } else { String::new() };
            line(name, format!("{} regions of {} guest instructions{discarded}", tier.regions, tier.guest_insns));
            line(
                "  host bytes",
                format!("{} ({:.1} per instruction)", tier.host_bytes, tier.host_bytes as f64 / insns),
            );
            let (ms, us) = (tier.translate_s * 1e3, tier.translate_s * 1e6 / insns);
            line("  time translating", format!("{ms:.1} ms ({us:.2} us per instruction)"));
            if let Some(executed) = tier.executed {
                line("  ran", format!("{executed} guest instructions"));
            }
        }
        let d = &self.dispatch;
        line("translations looked up", format!("{} ({} in the thread's own table)", d.lookups, d.hits));
        line("translations recalled", d.recalled.to_string());
        line("links made", d.links.to_string());
        line("invalidated", d.invalidated.to_string());
        line("evicted", d.evicted.to_string());
        line("host faults", d.host_faults.to_string());
        if let Some(tlb) = &self.tlb {
            line("TLB misses", format!("{} of compiled code's table, {} of the TLB", tlb.fast_misses, tlb.misses));
        }
        line("compiled code left", format!("{} times", self.exits.values().sum::<u64>()));
        for cause in EXITS {
            line(&format!("  {cause}"), self.exits.get(cause).copied().unwrap_or(0).to_string());
        }
        lines
    }
}

/// Seconds of processor time that the process has used.
fn processor_s() -> f64 {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
}

/// What is told at the end of a run, and what has to be kept for it.
pub(crate) struct AtEnd {
    text: bool,
    json: Option<Arc<Sink>>,
    counted: bool,
    started: Instant,
    every: Option<Duration>,
    timeline: Arc<Timeline>,
}

#[derive(Default)]
struct Timeline {
    moments: Mutex<Vec<Moment>>,
    over: AtomicBool,
}

impl AtEnd {
    /// As the options say; the file is opened now.
    pub(crate) fn new(args: &StatsArgs) -> Result<AtEnd, String> {
        let open = |path: &Path| Sink::file(path).map_err(|e| format!("{}: {e}", path.display()));
        Ok(AtEnd {
            text: args.stats,
            json: args.stats_json.as_deref().map(open).transpose()?,
            counted: args.stats_every.is_some(),
            started: Instant::now(),
            every: args.stats_every.map(|ms| Duration::from_millis(ms.into())),
            timeline: Arc::default(),
        })
    }

    /// Is there anything to tell?
    pub(crate) fn is_wanted(&self) -> bool {
        self.text || self.json.is_some()
    }

    /// What the translator has to keep.
    pub(crate) fn prepare(&self, options: &mut Options) {
        options.measure |= self.is_wanted();
        options.count |= self.counted;
    }

    /// Who writes the counters down while the guest runs, if somebody shall: to be called with what reads them.
    pub(crate) fn watcher(&self) -> Option<jib_backend::Watcher> {
        let every = self.every?;
        let (started, timeline) = (self.started, self.timeline.clone());
        let watch = move |read: ReadStats| {
            let timeline = timeline.clone();
            let body = move || {
                while !timeline.over.load(Ordering::Relaxed) {
                    timeline.add(started.elapsed(), &read());
                    std::thread::sleep(every);
                }
            };
            // Without a thread there is no timeline.
            _ = std::thread::Builder::new().name("jib-stats".into()).spawn(body);
        };
        Some(jib_backend::Watcher(Arc::new(watch)))
    }

    /// Tells the counters.
    pub(crate) fn tell(&self, stats: &Stats, misses: Option<Misses>) {
        let wall = self.started.elapsed();
        let mut figures = Figures::new(stats, misses, wall, self.counted);
        if self.every.is_some() {
            self.timeline.over.store(true, Ordering::Relaxed);
            self.timeline.add(wall, stats);
            figures.timeline = self.timeline.moments.lock().unwrap_or_else(PoisonError::into_inner).clone();
        }
        if self.text {
            figures.lines().iter().for_each(report::tell);
        }
        if let Some(json) = &self.json {
            let text = serde_json::to_string_pretty(&figures).unwrap_or_default() + "\n";
            if let Err(e) = json.write(&text) {
                report::tell(format_args!("cannot write the counters: {e}"));
            }
        }
    }
}

impl Timeline {
    fn add(&self, at: Duration, s: &Stats) {
        let moment = Moment {
            at_s: at.as_secs_f64(),
            cpu_s: processor_s(),
            executed: s.executed,
            translated: [s.quick_insns, s.guest_insns],
        };
        self.moments.lock().unwrap_or_else(PoisonError::into_inner).push(moment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_the_whole() {
        let stats = Stats { lift_ns: 1000, quick_ns: 2000, compile_ns: 4000, guest_ns: 10_000, ..Stats::default() };
        let f = Figures::new(&stats, None, Duration::from_secs(1), true);
        assert!((f.split.translate_s - 7e-6).abs() < 1e-12 && (f.split.execute_s - 7e-6).abs() < 1e-12);
        let sum = f.split.translate_s + f.split.execute_s + f.split.runtime_s;
        assert!((sum - f.cpu_s).abs() < 1e-9, "{f:?}");
        let again: Figures = serde_json::from_str(&serde_json::to_string(&f).expect("JSON")).expect("the same");
        assert_eq!(again.lines(), f.lines());
        assert!(f.lines().iter().all(|l| !l.contains('\n')));
    }
}
