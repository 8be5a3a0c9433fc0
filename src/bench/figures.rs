//! What was measured, and the ratios that matter.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::catalog::Class;
use super::engines::{Engine, Tools};
use super::measure::{Cost, geometric_mean};
use crate::cmd::stats::{Figures, Moment};

/// All of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    /// Runs of which medians are, but for what takes long.
    pub(crate) runs: usize,
    pub(crate) engines: Vec<Engine>,
    pub(crate) rows: Vec<Row>,
    /// Where engines did not agree.
    pub(crate) problems: Vec<String>,
    /// Somebody stopped it before all was measured.
    pub(crate) interrupted: bool,
}

/// What else the figures depend on.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cpus: usize,
    /// Processes that wanted to run as we began.
    pub(crate) load: String,
    pub(crate) kernel: String,
    pub(crate) jib: String,
    pub(crate) qemu: Option<String>,
    pub(crate) cross_compiler: Option<String>,
    pub(crate) compiler: Option<String>,
    pub(crate) date: String,
}

/// One program.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) class: Class,
    pub(crate) arguments: String,
    /// Medians, by engine.
    pub(crate) costs: BTreeMap<Engine, Cost>,
    /// What jib tells of a run with all tiers.
    pub(crate) inside: Option<Figures>,
    /// The counters of another run as they grew.
    pub(crate) timeline: Vec<Moment>,
}

impl Row {
    /// The cost of one engine.
    pub(crate) fn cost(&self, engine: Engine) -> Option<Cost> {
        self.costs.get(&engine).copied()
    }

    /// How many times as much processor time `a` takes as `b`.
    pub(crate) fn ratio(&self, a: Engine, b: Engine) -> Option<f64> {
        Some(self.cost(a)?.cpu_s.max(1e-6) / self.cost(b)?.cpu_s.max(1e-6))
    }
}

impl Report {
    /// Nothing measured yet.
    pub(crate) fn new(tools: &Tools, engines: Vec<Engine>, runs: usize) -> Report {
        Report {
            machine: Machine::this(tools),
            runs,
            engines,
            rows: Vec::new(),
            problems: Vec::new(),
            interrupted: false,
        }
    }

    /// The classes that have rows.
    pub(crate) fn classes(&self) -> Vec<Class> {
        Class::ALL.into_iter().filter(|c| self.rows.iter().any(|r| r.class == *c)).collect()
    }

    /// The rows of a class; without one all but start-up, which is too short to be compared with others.
    pub(crate) fn rows_of(&self, class: Option<Class>) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |r| class.map_or(r.class != Class::Startup, |c| r.class == c))
    }

    /// The geometric mean of [`Row::ratio`].
    pub(crate) fn mean(&self, class: Option<Class>, a: Engine, b: Engine) -> Option<f64> {
        geometric_mean(self.rows_of(class).filter_map(|r| r.ratio(a, b)))
    }

    /// What others are compared with: qemu, or the host, or ourselves.
    pub(crate) fn baseline(&self) -> Engine {
        let there = |e: &Engine| self.rows.iter().any(|r| r.cost(*e).is_some());
        [Engine::Qemu, Engine::Native].into_iter().find(there).unwrap_or(Engine::Jib)
    }
}

impl Machine {
    fn this(tools: &Tools) -> Machine {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or("unknown");
        Machine {
            processor: model.trim_matches([' ', '\t', ':']).to_string(),
            cpus: cpuinfo.lines().filter(|l| l.starts_with("processor")).count(),
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_string(),
            kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
            jib: env!("CARGO_PKG_VERSION").to_string(),
            qemu: tools.qemu().and_then(|path| first_line(Command::new(path).arg("--version"))),
            cross_compiler: first_line(Command::new(super::build::CROSS.0).arg("--version")),
            compiler: first_line(Command::new("gcc").arg("--version")),
            date: first_line(Command::new("date").arg("-I")).unwrap_or_default(),
        }
    }

    /// All in a line.
    pub(crate) fn line(&self) -> String {
        let plural = if self.cpus == 1 { "" } else { "s" };
        let mut parts = vec![
            format!("{}, {} CPU{plural}, load {}", self.processor, self.cpus, self.load),
            self.kernel.clone(),
            format!("jib {}", self.jib),
        ];
        parts.extend([&self.qemu, &self.cross_compiler, &self.compiler].into_iter().flatten().cloned());
        parts.join("; ")
    }
}

/// The first line of what a command prints, if it can be run.
fn first_line(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?.stdout;
    String::from_utf8_lossy(&output).lines().next().map(str::to_string)
}

/// Figures for the tests of what shows them.
#[cfg(test)]
pub(crate) fn example() -> Report {
    let cost = |cpu_s: f64| Cost { wall_s: cpu_s * 1.1, cpu_s, rss_kib: 9000, runs: 5 };
    let row = |name: &str, class, seconds: [f64; 7]| {
        let moment = |i: u64| Moment {
            at_s: i as f64 / 10.0,
            cpu_s: i as f64 / 11.0,
            executed: [50 * i, i * i * 300, i * i * i * 700],
            translated: [i, i],
        };
        let mut inside = Figures { cpu_s: 1.0, wall_s: 1.0, ..Figures::default() };
        inside.split = crate::cmd::stats::Split { translate_s: 0.2, execute_s: 0.7, runtime_s: 0.1 };
        Row {
            name: name.to_string(),
            class,
            arguments: "<1>".to_string(),
            costs: Engine::ALL.into_iter().zip(seconds.map(cost)).filter(|(_, c)| c.cpu_s > 0.0).collect(),
            inside: Some(inside),
            timeline: (0..30).map(moment).collect(),
        }
    };
    Report {
        machine: Machine { processor: "A & B".to_string(), cpus: 2, ..Machine::default() },
        runs: 5,
        engines: Engine::ALL.to_vec(),
        rows: vec![
            row("sort", Class::Integer, [0.1, 0.8, 5.0, 0.4, 0.3, 0.2, 0.2]),
            row("fma", Class::Float, [0.0, 3.2, 9.0, 1.0, 0.9, 0.2, 0.2]),
            row("hello", Class::Startup, [0.001, 0.016, 0.005, 0.005, 0.1, 0.004, 0.002]),
        ],
        problems: Vec::new(),
        interrupted: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_geometric_and_leave_start_up_out() {
        let r = example();
        let all = r.mean(None, Engine::Qemu, Engine::Jib).expect("a mean");
        assert!((all - 8.0).abs() < 1e-9, "{all}");
        let native = r.mean(None, Engine::Jib, Engine::Native).expect("of those that have one");
        assert!((native - 2.0).abs() < 1e-9, "{native}");
        assert!((r.mean(Some(Class::Startup), Engine::Qemu, Engine::Jib).expect("a mean") - 4.0).abs() < 1e-9);
        assert_eq!(r.mean(Some(Class::Memory), Engine::Qemu, Engine::Jib), None);
        assert_eq!(r.classes(), [Class::Integer, Class::Float, Class::Startup]);
    }

    #[test]
    fn json_survives_a_round_trip() {
        let text = serde_json::to_string(&example()).expect("JSON");
        let again: Report = serde_json::from_str(&text).expect("the same");
        assert_eq!(serde_json::to_string(&again).expect("JSON"), text);
        assert!(text.contains("\"costs\":{\"native\":{\"wall_s\":") && text.contains("\"class\":\"FP\""), "{text}");
    }
}
