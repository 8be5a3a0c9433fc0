//! `jib bench`: programs on every engine there is, measured in turns, as a table, JSON and a report to look at.
//!
//! [`catalog`] is what is measured, [`build`] compiles it, [`real`] fetches real programs, [`engines`] are the ways to run it, [`measure`] runs one;
//! [`figures`] is what comes out, [`table`] shows it on a terminal, [`html`] with [`chart`] in a browser.

mod build;
mod catalog;
mod chart;
pub(crate) mod engines;
mod figures;
mod html;
mod measure;
mod real;
mod table;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, anyhow, bail};

use crate::cli::BenchArgs;
use crate::cmd::stats::{Figures, Moment};
use crate::report;
use catalog::{Class, PROGRAMS, Program};
use engines::{Engine, Runnable, Tools};
use figures::{Report, Row};
use measure::{Cost, Outcome};
use real::Real;

/// What takes longer than this many seconds is run once: a second time would not tell more.
const LONG_S: f64 = 5.0;
/// How often start-up is measured for each run of others.
const STARTS: usize = 4;
/// Moments of a timeline.
const MOMENTS: f64 = 150.0;
/// Runs that fill what [`Engine::Warm`] finds: each keeps a part of what it interpreted.
const FILLING: usize = 4;
/// The exit code after an interruption, as shells have it.
const INTERRUPTED: u8 = 130;

/// Measures and shows. The exit code tells whether all engines agreed.
pub(crate) fn main(args: &BenchArgs) -> ExitCode {
    match bench(args) {
        Ok(code) => code,
        Err(e) => report::fail(report::CANNOT_RUN, format_args!("{e:#}")),
    }
}

fn bench(args: &BenchArgs) -> Result<ExitCode> {
    let tools = Tools::find(args.sysroot.clone()).map_err(|e| anyhow!("{e}"))?;
    let wanted = |engine: &Engine| args.engines.is_empty() || args.engines.contains(engine);
    let engines: Vec<Engine> = Engine::ALL.into_iter().filter(|e| wanted(e) && tools.has(*e)).collect();
    if engines.is_empty() {
        bail!("qemu-aarch64 is not installed: sudo apt-get install -y qemu-user");
    }
    let subjects = subjects(args, engines.contains(&Engine::Native))?;
    for path in [&args.json, &args.html].into_iter().flatten() {
        // Not after all the work.
        fs::write(path, "").with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut bench = Bench {
        tools,
        engines,
        runs: usize::from(args.runs),
        detailed: args.json.is_some() || args.html.is_some(),
        stop: Arc::default(),
        progress: Progress::new(),
        problems: Vec::new(),
    };
    signal_hook::flag::register_conditional_shutdown(libc::SIGINT, INTERRUPTED.into(), bench.stop.clone())
        .and_then(|_| signal_hook::flag::register(libc::SIGINT, bench.stop.clone()))
        .context("cannot handle Ctrl-C")?;
    let mut report = Report::new(&bench.tools, bench.engines.clone(), bench.runs);
    table::say_missing(&bench.tools, &subjects);
    print!("{}", table::heading(&report));
    for subject in subjects {
        let row = bench.measure(&subject)?;
        if !row.costs.is_empty() {
            bench.progress.clear();
            anstream::print!("{}", table::line(&report, &row));
            report.rows.push(row);
        }
        if bench.stopped() {
            break;
        }
    }
    bench.progress.clear();
    report.interrupted = bench.stopped();
    report.problems = bench.problems;
    anstream::print!("{}", table::end(&report));
    write(args.json.as_deref(), || Ok(serde_json::to_string_pretty(&report)? + "\n"))?;
    write(args.html.as_deref(), || Ok(html::page(&report)))?;
    Ok(match (report.problems.is_empty(), report.interrupted) {
        (false, _) => ExitCode::FAILURE,
        (true, true) => ExitCode::from(INTERRUPTED),
        (true, false) => ExitCode::SUCCESS,
    })
}

fn write(path: Option<&Path>, text: impl Fn() -> Result<String>) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    fs::write(path, text()?).with_context(|| format!("cannot write {}", path.display()))
}

/// Something to measure.
struct Subject {
    name: String,
    class: Class,
    /// Its arguments, for people.
    arguments: String,
    runnable: Runnable,
}

/// What is to be measured, compiled.
fn subjects(args: &BenchArgs, native: bool) -> Result<Vec<Subject>> {
    match args.command.split_first() {
        Some((program, rest)) => {
            if !args.filters.is_empty() {
                bail!("either some of jib's own programs, or a command after `--`");
            }
            Ok(vec![command(program, rest, args.native.as_deref())?])
        }
        None => {
            let named = |name: &str, class: Class| {
                args.filters.iter().any(|f| name.contains(f.as_str()) || class.name().contains(f.as_str()))
            };
            let wanted = |p: &&Program| args.filters.is_empty() || named(p.name, p.class);
            let chosen: Vec<&Program> = PROGRAMS.iter().filter(wanted).collect();
            let reals: Vec<&Real> = real::PROGRAMS.iter().filter(|p| named(p.name, Class::Real)).collect();
            if chosen.is_empty() && reals.is_empty() {
                let names: Vec<&str> =
                    PROGRAMS.iter().map(|p| p.name).chain(real::PROGRAMS.iter().map(|p| p.name)).collect();
                bail!("no program is called so; there are: {}", names.join(", "));
            }
            let own = chosen.into_iter().map(|p| own(p, native));
            own.chain(reals.into_iter().map(|p| foreign(p, native))).collect()
        }
    }
}

fn own(p: &Program, native: bool) -> Result<Subject> {
    let runnable = build::build(p, native)?;
    Ok(Subject { name: p.name.to_string(), class: p.class, arguments: p.size.to_string(), runnable })
}

fn foreign(p: &Real, native: bool) -> Result<Subject> {
    let runnable = real::prepare(p, native)?;
    Ok(Subject { name: p.name.to_string(), class: Class::Real, arguments: p.args.join(" "), runnable })
}

fn command(program: &OsString, rest: &[OsString], native: Option<&str>) -> Result<Subject> {
    let path = Path::new(program);
    let found = match path.exists() || program.to_string_lossy().contains('/') {
        true => Some(path.to_path_buf()).filter(|p| p.exists()),
        false => engines::find(&program.to_string_lossy()),
    };
    let guest = found.with_context(|| format!("{}: no such program", path.display()))?;
    let native = native.map(|line| {
        let words = shlex::split(line).filter(|words| !words.is_empty());
        let words = words.with_context(|| format!("--native {line}: quotes do not match, or nothing is there"))?;
        let mut words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
        if words.len() == 1 {
            words.extend(rest.iter().cloned());
        }
        anyhow::Ok(words)
    });
    let arguments: Vec<String> = rest.iter().map(|a| a.to_string_lossy().into_owned()).collect();
    Ok(Subject {
        name: path.file_name().unwrap_or(program).to_string_lossy().into_owned(),
        class: Class::Command,
        arguments: arguments.join(" "),
        runnable: Runnable {
            guest: std::iter::once(guest.into()).chain(rest.iter().cloned()).collect(),
            native: native.transpose()?,
            sysroot: None,
            folder: None,
        },
    })
}

struct Bench {
    tools: Tools,
    engines: Vec<Engine>,
    runs: usize,
    /// Also find out where jib's time goes.
    detailed: bool,
    stop: Arc<AtomicBool>,
    progress: Progress,
    problems: Vec<String>,
}

impl Bench {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// All engines in turns. What had been measured when it was interrupted counts.
    fn measure(&mut self, subject: &Subject) -> Result<Row> {
        let runs = if subject.class == Class::Startup { self.runs * STARTS } else { self.runs };
        let mut costs: BTreeMap<Engine, Vec<Cost>> = BTreeMap::new();
        let mut reference: Option<(Engine, Outcome)> = None;
        let mut wrong: Vec<Engine> = Vec::new();
        self.fill(subject)?;
        'all: for run in 0..runs {
            for engine in self.engines.clone() {
                let known = costs.get(&engine).and_then(|c| c.first());
                if wrong.contains(&engine) || known.is_some_and(|c| c.wall_s > LONG_S) {
                    continue;
                }
                let Some(mut command) = self.tools.command(engine, &subject.runnable, &[]) else { continue };
                self.progress.show(format_args!("{}: {}, run {} of {runs}", subject.name, engine.name(), run + 1));
                let (cost, outcome) = measure::once(&mut command)?;
                if self.stopped() {
                    break 'all;
                }
                let (first, expected) = reference.get_or_insert_with(|| (engine, outcome.clone()));
                if let Some(difference) = difference(&outcome, expected) {
                    let who = if engine == *first { "an earlier run" } else { first.name() };
                    let text = format!("{}: {} differs from {who}: {difference}", subject.name, engine.name());
                    self.progress.clear();
                    table::shout(&text);
                    self.problems.push(text);
                    wrong.push(engine);
                    continue;
                }
                costs.entry(engine).or_default().push(cost);
            }
        }
        let costs: BTreeMap<Engine, Cost> = costs
            .into_iter()
            .filter(|(engine, _)| !wrong.contains(engine))
            .filter_map(|(engine, costs)| Some((engine, measure::median(&costs)?)))
            .collect();
        let mut row = Row {
            name: subject.name.clone(),
            class: subject.class,
            arguments: subject.arguments.clone(),
            costs,
            inside: None,
            timeline: Vec::new(),
        };
        if let (true, false, Some(cost)) = (self.detailed, self.stopped(), row.cost(Engine::Jib)) {
            let inside = self.look_inside(subject, cost)?;
            (row.inside, row.timeline) = (Some(inside.0), inside.1);
        }
        Ok(row)
    }

    /// Runs it until translations have been kept for [`Engine::Warm`].
    fn fill(&self, subject: &Subject) -> Result<()> {
        for _ in 0..FILLING {
            let warm = self.engines.contains(&Engine::Warm) && !self.stopped();
            let Some(mut command) = self.tools.command(Engine::Warm, &subject.runnable, &[]).filter(|_| warm) else {
                return Ok(());
            };
            self.progress.show(format_args!("{}: keeping translations", subject.name));
            if measure::once(&mut command)?.0.wall_s > LONG_S {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Where jib's time goes, and what has been executed by when: from two runs of their own, since counting costs.
    fn look_inside(&self, subject: &Subject, cost: Cost) -> Result<(Figures, Vec<Moment>)> {
        let file = std::env::temp_dir().join(format!("jib-bench-{}.json", std::process::id()));
        let run = |more: &[OsString]| -> Result<Figures> {
            let mut options: Vec<OsString> = vec!["--stats-json".into(), file.clone().into()];
            options.extend_from_slice(more);
            let command = self.tools.command(Engine::Jib, &subject.runnable, &options);
            measure::once(&mut command.context("no jib")?)?;
            let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            serde_json::from_str(&text).with_context(|| format!("{}: jib told nothing of itself", subject.name))
        };
        self.progress.show(format_args!("{}: where the time goes", subject.name));
        let figures = run(&[]);
        let every = (cost.wall_s * 1e3 / MOMENTS).clamp(1.0, 1000.0) as u32;
        let counted = run(&["--stats-every".into(), every.to_string().into()]);
        let _ = fs::remove_file(&file);
        Ok((figures?, counted?.timeline))
    }
}

/// What is different between two runs, if anything is.
fn difference(a: &Outcome, b: &Outcome) -> Option<String> {
    if a.status != b.status {
        let said = String::from_utf8_lossy(&a.errors);
        let said = said.lines().last().map(|line| format!(" (it said: {line})")).unwrap_or_default();
        return Some(format!("{}, not {}{said}", a.status, b.status));
    }
    if a.output == b.output {
        return None;
    }
    let text = |o: &Outcome| String::from_utf8_lossy(&o.output).into_owned();
    let (a, b) = (text(a), text(b));
    let line = a.lines().zip(b.lines()).take_while(|(a, b)| a == b).count();
    let show = |t: &str| t.lines().nth(line).map_or("nothing".to_string(), |l| format!("{:.80?}", l));
    Some(format!("line {} of its output is {}, not {}", line + 1, show(&a), show(&b)))
}

/// A line on standard error that tells what is being done, if somebody looks.
struct Progress {
    seen: bool,
}

impl Progress {
    fn new() -> Progress {
        Progress { seen: std::io::stderr().is_terminal() }
    }

    fn show(&self, text: std::fmt::Arguments<'_>) {
        if self.seen {
            let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
        }
    }

    fn clear(&self) {
        self.show(format_args!(""));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    #[test]
    fn differences_are_named() {
        let outcome = |text: &str, raw| Outcome {
            output: text.into(),
            errors: b"x\nwhy\n".to_vec(),
            status: ExitStatus::from_raw(raw),
        };
        let good = outcome("a\nb\n", 0);
        assert_eq!(difference(&good, &good.clone()), None);
        assert_eq!(
            difference(&outcome("a\nc\n", 0), &good).as_deref(),
            Some("line 2 of its output is \"c\", not \"b\"")
        );
        assert_eq!(
            difference(&outcome("a\n", 0), &good).as_deref(),
            Some("line 2 of its output is nothing, not \"b\"")
        );
        assert!(
            difference(&outcome("a\nb\n", 11), &good)
                .is_some_and(|d| d.contains("SIGSEGV") && d.ends_with("(it said: why)"))
        );
    }

    #[test]
    fn counterparts_get_the_same_arguments_or_their_own() {
        let native = |line: &str| {
            let subject = command(&"/bin/sh".into(), &["-c".into(), "true".into()], Some(line));
            subject.map(|s| s.runnable.native.expect("a native one"))
        };
        assert_eq!(native("/bin/dash").expect("words"), ["/bin/dash", "-c", "true"]);
        assert_eq!(native("dash -c 'exit 0'").expect("words"), ["dash", "-c", "exit 0"]);
        assert!(native("'x").is_err() && native("").is_err());
        assert!(command(&"/nonexistent/x".into(), &[], None).is_err());
    }
}
