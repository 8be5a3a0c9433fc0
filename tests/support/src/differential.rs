//! Every row of the instruction table, an engine against `qemu-aarch64`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jib_frontend_aarch64::isa;
use jib_frontend_aarch64::pattern::Row;

use crate::case::{CODE, Case, Difference, Outcome, Stop, fill};
use crate::random::Random;
use crate::{disasm, generate, known, oracle, sequence};

/// Sequences compared for each case of a row.
const SEQUENCES: usize = 20;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Seed of everything random (`JIB_SEED`).
    pub seed: u64,
    /// Cases of each row (`JIB_CASES`).
    pub cases: usize,
    /// Substrings of row names, separated by `|`; empty for all rows (`JIB_ROWS`).
    pub rows: String,
    /// Differences printed of each row (`JIB_SHOW`).
    pub show: usize,
}

impl Options {
    /// From the environment, with `cases` a row as the default.
    pub fn from_env(cases: usize) -> Options {
        let var = |name: &str| std::env::var(name).ok();
        let number = |name: &str, default: u64| {
            let Some(text) = var(name) else { return default };
            let parsed = match text.strip_prefix("0x") {
                Some(hex) => u64::from_str_radix(hex, 16),
                None => text.parse(),
            };
            parsed.unwrap_or_else(|e| panic!("{name}={text}: {e}"))
        };
        Options {
            seed: number("JIB_SEED", 1),
            cases: number("JIB_CASES", cases as u64) as usize,
            rows: var("JIB_ROWS").unwrap_or_default(),
            show: number("JIB_SHOW", 2) as usize,
        }
    }

    /// Is a row of this name asked for?
    pub fn wants(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.rows.is_empty() || self.rows.to_ascii_lowercase().split('|').any(|part| name.contains(part))
    }
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// Rows that were compared.
    pub rows: usize,
    /// Cases that were compared.
    pub cases: usize,
    /// Differences that nothing explains.
    pub differences: usize,
    /// Cases left out or differences explained, by reason.
    pub set_aside: BTreeMap<&'static str, usize>,
    /// What to print.
    pub text: String,
}

/// Compares `engine` with the oracle on every wanted row.
pub fn compare(options: &Options, engine: &mut dyn FnMut(&Case) -> Outcome) -> Report {
    let mut report = Report::default();
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    let mut batch: Vec<(&'static Row, Case)> = Vec::new();
    for row in isa::rows() {
        let nth = seen.entry(row.name).or_insert(0);
        *nth += 1;
        if options.wants(row.name) {
            batch.extend(cases_of(options, row, *nth, &mut report).into_iter().map(|case| (row, case)));
        }
        // Batches bound the memory that outcomes take.
        if batch.len() > 8192 {
            compare_batch(options, &batch, engine, &mut report);
            batch.clear();
        }
    }
    if options.wants(sequence::ROW.name) {
        let mut random = Random::new(options.seed);
        batch.extend((0..options.cases * SEQUENCES).map(|_| (&sequence::ROW, sequence::case(&mut random))));
        report.rows += 1;
    }
    if options.wants(sequence::FAULTS.name) {
        let mut random = Random::new(options.seed);
        batch.extend((0..options.cases * SEQUENCES / 4).map(|_| (&sequence::FAULTS, sequence::fault(&mut random))));
        report.rows += 1;
    }
    compare_batch(options, &batch, engine, &mut report);
    report
}

/// The cases of one row. Each row has its own seed: a filter does not change what a row is tested with.
fn cases_of(options: &Options, row: &'static Row, nth: u64, report: &mut Report) -> Vec<Case> {
    let name_hash = row.name.bytes().fold(nth, |h, b| (h ^ b as u64).wrapping_mul(0x100_0000_01b3));
    let mut random = Random::new(options.seed ^ name_hash);
    let mut cases = Vec::with_capacity(options.cases);
    for _ in 0..options.cases {
        let Some(case) = generate::case(&mut random, row) else { continue };
        let word = case.words.last().copied().unwrap_or(0);
        match known::excluded(word).or(known::lacking(word)) {
            Some(reason) => *report.set_aside.entry(reason).or_default() += 1,
            None => cases.push(case),
        }
    }
    report.rows += 1;
    if cases.is_empty() {
        let _ = writeln!(report.text, "{}: no case to compare", row.name);
    }
    cases
}

/// A row, how many of its cases were compared, and which differ: their indices and our outcomes.
type RowResult = (&'static Row, usize, Vec<(usize, Outcome)>);

fn compare_batch(
    options: &Options,
    batch: &[(&'static Row, Case)],
    engine: &mut dyn FnMut(&Case) -> Outcome,
    report: &mut Report,
) {
    let cases: Vec<Case> = batch.iter().map(|(_, case)| case.clone()).collect();
    let theirs = oracle::run(oracle::CPU_MAX, &cases);
    let mut by_row: Vec<RowResult> = Vec::new();
    for (i, (row, case)) in batch.iter().enumerate() {
        if by_row.last().is_none_or(|(last, ..)| !std::ptr::eq(*last, *row)) {
            by_row.push((row, 0, Vec::new()));
        }
        let Some((_, total, wrong)) = by_row.last_mut() else { continue };
        *total += 1;
        report.cases += 1;
        let ours = left_words(case, engine(case));
        if theirs[i].stop == Stop::Crashed && ours.stop == Stop::Undefined {
            *report.set_aside.entry("qemu aborts at an unallocated word that we call undefined").or_default() += 1;
            continue;
        }
        let whole = std::ptr::eq(*row, &sequence::FAULTS);
        if whole && ours == theirs[i] || !whole && same(case, &ours, &theirs[i]) {
            continue;
        }
        let word = case.words.last().copied().unwrap_or(0);
        let explained = known::qemu_wrong(word, case.regs.fpcr);
        let explained = explained.or(known::alignment(word, ours.stop, theirs[i].stop));
        match explained {
            Some(reason) => *report.set_aside.entry(reason).or_default() += 1,
            None => wrong.push((i, ours)),
        }
    }
    for (row, total, wrong) in by_row.into_iter().filter(|(_, _, wrong)| !wrong.is_empty()) {
        report.differences += wrong.len();
        let _ = writeln!(report.text, "{}: {} of {total} cases differ", row.name, wrong.len());
        for (i, ours) in wrong.iter().take(options.show) {
            describe(&cases[*i], ours, &theirs[*i], &mut report.text);
        }
    }
}

/// The breakpoint behind the words is the end, whichever executor runs into it.
fn left_words(case: &Case, mut ours: Outcome) -> Outcome {
    let words = CODE..CODE + 4 * case.words.len() as u64;
    if ours.stop == Stop::Breakpoint && !words.contains(&ours.pc) {
        ours.stop = Stop::Done;
    }
    ours
}

/// Equal in all that the architecture promises.
///
/// After a fault that is: registers as they were (we promise it, qemu does not for all), the same page.
/// What a store wrote before its other half faulted is open.
pub fn same(case: &Case, ours: &Outcome, theirs: &Outcome) -> bool {
    match ours.stop {
        Stop::Done | Stop::Breakpoint | Stop::Undefined | Stop::Crashed => {
            let pc = if same_target(ours.pc, theirs.pc) { theirs.pc } else { ours.pc };
            Outcome { pc, ..ours.clone() } == *theirs
        }
        Stop::Fault(_) | Stop::Alignment | Stop::Other(_) => {
            let untouched = case.words.len() > 1 || (ours.regs == case.regs);
            let whole = case.words.len() > 1 || partly_written(&ours.memory, &fill(case.mem_seed), &theirs.memory);
            ours.stop == theirs.stop && ours.pc == theirs.pc && untouched && whole
        }
    }
}

/// The same place outside of the code? Linux has the top byte of addresses ignored, and who faults there
/// may tell it with or without.
fn same_target(a: u64, b: u64) -> bool {
    a << 8 == b << 8
}

/// Is each byte what it was or what they wrote?
fn partly_written(ours: &[u8], before: &[u8], theirs: &[u8]) -> bool {
    ours.iter().zip(before).zip(theirs).all(|((o, b), t)| o == b || o == t)
}

fn describe(case: &Case, ours: &Outcome, theirs: &Outcome, text: &mut String) {
    let lines = disasm::words(&case.words);
    for (word, line) in case.words.iter().zip(lines) {
        let _ = writeln!(text, "    {word:08x}  {line}   (fpcr {:08x})", case.regs.fpcr);
    }
    let _ = write!(text, "{}", Difference { case, ours, theirs });
    if ours == theirs {
        let _ = writeln!(text, "      a fault did not leave registers and memory as they were");
    }
}

/// Runs [`compare`], prints the report, fails on any difference and gives the report. `engine_name` is for the print.
///
/// # Panics
/// If there is a difference, or nothing was compared.
pub fn check(options: &Options, engine_name: &str, engine: &mut dyn FnMut(&Case) -> Outcome) -> Report {
    let report = compare(options, engine);
    println!("{}", report.text);
    for (reason, n) in &report.set_aside {
        println!("  set aside {n:>6}: {reason}");
    }
    println!(
        "{engine_name} against qemu-aarch64: {} rows, {} cases, {} differences (JIB_SEED={})",
        report.rows, report.cases, report.differences, options.seed
    );
    assert!(report.cases > 0, "no row matches JIB_ROWS={}", options.rows);
    assert_eq!(report.differences, 0, "{engine_name} differs from qemu-aarch64");
    report
}
