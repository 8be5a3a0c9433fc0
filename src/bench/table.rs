//! The figures on a terminal.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::catalog::Class;
use super::engines::{Engine, Tools};
use super::figures::{Report, Row};
use super::{Subject, build, engines};
use crate::report;

const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// Ratios of the table: how many times the first is of the second, and whether more is better.
const RATIOS: [(Engine, Engine, bool); 4] = [
    (Engine::Qemu, Engine::Jib, true),
    (Engine::Qemu, Engine::Warm, true),
    (Engine::Interpreter, Engine::Jib, true),
    (Engine::Jib, Engine::Native, false),
];

/// Says what cannot be compared for want of a package.
pub(crate) fn say_missing(tools: &Tools, subjects: &[Subject]) {
    if tools.qemu().is_none() {
        report::tell("without qemu-aarch64: sudo apt-get install -y qemu-user");
    }
    let own = subjects.iter().any(|s| !matches!(s.class, Class::Command | Class::Real));
    if own && engines::find("gcc").or_else(|| engines::find("cc")).is_none() {
        report::tell(format_args!("without native programs: sudo apt-get install -y gcc (beside {})", build::CROSS.1));
    }
}

/// Says that engines do not agree.
pub(crate) fn shout(text: &str) {
    anstream::eprintln!("{BAD}jib: ERROR: {text}{BAD:#}");
}

/// The ratios whose engines are compared.
fn ratios(r: &Report) -> impl Iterator<Item = (Engine, Engine, bool)> {
    RATIOS.into_iter().filter(|(a, b, _)| r.engines.contains(a) && r.engines.contains(b))
}

/// How often everything was run.
pub(crate) fn runs(r: &Report) -> String {
    if r.runs == 1 { "one run each".to_string() } else { format!("medians of {} runs in turns", r.runs) }
}

/// The machine, and the heads of columns.
pub(crate) fn heading(r: &Report) -> String {
    let mut out = format!("{}\n{}; processor seconds, user and system\n\n", r.machine.line(), runs(r));
    let _ = write!(out, "{:<12}{:<12}", "program", "class");
    for e in &r.engines {
        let _ = write!(out, "{:>12}", e.name());
    }
    for (a, b, _) in ratios(r) {
        let (a, b) = (short(a), short(b));
        let _ = write!(out, "{:>13}", format!("{a}/{b}"));
    }
    out + "\n"
}

fn short(e: Engine) -> &'static str {
    if e == Engine::Interpreter { "interp" } else { e.name() }
}

/// One program.
pub(crate) fn line(r: &Report, row: &Row) -> String {
    let mut out = format!("{BOLD}{:<12.12}{BOLD:#}{:<12}", row.name, row.class.name());
    for e in &r.engines {
        let cell = row.cost(*e).map_or("-".to_string(), |c| seconds(c.cpu_s));
        let style = if *e == Engine::Jib { BOLD } else { Style::new() };
        let _ = write!(out, "{style}{cell:>12}{style:#}");
    }
    for (a, b, more) in ratios(r) {
        out += &ratio(row.ratio(a, b), more);
    }
    out + "\n"
}

/// Seconds, or milliseconds where that says more.
pub(crate) fn seconds(s: f64) -> String {
    if s < 0.1 { format!("{:.1} ms", s * 1e3) } else { format!("{s:.3}") }
}

fn ratio(value: Option<f64>, more_is_better: bool) -> String {
    let Some(value) = value else { return format!("{:>13}", "-") };
    let style = match more_is_better {
        true if value >= 1.0 => GOOD,
        true => BAD,
        false => Style::new(),
    };
    format!("{style}{value:>13.2}{style:#}")
}

/// Means, start-up, and whether all is well.
pub(crate) fn end(r: &Report) -> String {
    let mut out = String::new();
    let width = 24 + 12 * r.engines.len();
    if ratios(r).next().is_some() && r.rows_of(None).count() > 1 {
        let mut mean = |name: &str, class| {
            let label = format!("geometric mean, {name}");
            let _ = write!(out, "{DIM}{label:<width$}{DIM:#}");
            for (a, b, more) in ratios(r) {
                out += &ratio(r.mean(class, a, b), more);
            }
            out += "\n";
        };
        for class in r.classes().into_iter().filter(|c| *c != Class::Startup) {
            mean(class.name(), Some(class));
        }
        mean("all", None);
    }
    for row in r.rows.iter().filter(|row| matches!(row.class, Class::Startup | Class::Command)) {
        let _ = writeln!(out, "\n{BOLD}{}{BOLD:#} {}: wall time, most memory", row.name, row.arguments);
        for (e, c) in &row.costs {
            let _ = writeln!(out, "  {:<12}{:>12}{:>10.1} MiB", e.name(), seconds(c.wall_s), c.rss_kib as f64 / 1024.0);
        }
    }
    if r.interrupted {
        let _ = writeln!(out, "\ninterrupted: the rest was not measured");
    }
    if !r.problems.is_empty() {
        let _ = writeln!(out, "\n{BAD}ERROR: engines do not agree:{BAD:#}");
        for p in &r.problems {
            let _ = writeln!(out, "  {p}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::example;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn columns_are_aligned() {
        let r = example();
        let head = heading(&r);
        let head = head.lines().last().expect("a head");
        for row in &r.rows {
            assert_eq!(plain(&line(&r, row)).trim_end_matches('\n').len(), head.len(), "{}", row.name);
        }
        let end = plain(&end(&r));
        let all = end.lines().find(|l| l.contains("mean, all")).expect("means");
        assert_eq!(all.len(), head.len());
        assert!(all.contains("8.00") && all.ends_with("2.00"), "{all}");
        assert!(end.contains("hello <1>: wall time"), "{end}");
    }

    #[test]
    fn what_is_missing_is_a_dash() {
        let r = example();
        let text = plain(&line(&r, &r.rows[1]));
        assert_eq!(text.split_whitespace().nth(2), Some("-"), "{text}");
        assert_eq!(text.split_whitespace().last(), Some("-"), "{text}");
    }

    #[test]
    fn disagreement_is_loud() {
        let r = Report { problems: vec!["x differs".to_string()], ..example() };
        assert!(plain(&end(&r)).contains("ERROR: engines do not agree:\n  x differs"));
    }
}
