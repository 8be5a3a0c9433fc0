//! The report as one page that needs nothing else: no scripts, no fonts, no network.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::catalog::Class;
use super::chart::{self, LogAxis, number};
use super::engines::Engine;
use super::figures::{Report, Row};
use super::table::seconds;

const STYLE: &str = include_str!("style.css");

/// The page.
pub(crate) fn page(r: &Report) -> String {
    let base = r.baseline();
    let values = r.rows.iter().flat_map(|row| row.costs.keys().filter_map(move |e| row.ratio(base, *e)));
    let axis = LogAxis::around(values);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "jib bench" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { "jib: how fast ARM64 programs run here" }
                    p { (what_was_run(r)) }
                    @if !r.problems.is_empty() {
                        div.bad { strong { "Engines do not agree" } @for p in &r.problems { div { (p) } } }
                    }
                    (hero(r))
                    @if r.engines.len() > 1 {
                        (by_class(r, base, axis))
                        (by_program(r, base, axis))
                    }
                    (inside(r))
                    (over_time(r))
                    (figures(r))
                    (machine(r))
                }
            }
        }
    };
    page.into_string()
}

fn what_was_run(r: &Report) -> String {
    let n = r.rows.len();
    let programs = if n == 1 { "One program".to_string() } else { format!("{n} programs") };
    let date = if r.machine.date.is_empty() { String::new() } else { format!(" on {}", r.machine.date) };
    let broken_off = if r.interrupted { " It was interrupted: not all was measured." } else { "" };
    format!(
        "{programs} on {}{date}. Times are processor time of all threads, user and system; {}.{broken_off}",
        r.machine.processor,
        super::table::runs(r)
    )
}

/// The figures to remember.
fn hero(r: &Report) -> Markup {
    let pairs = [
        (Engine::Qemu, Engine::Jib, "as fast as QEMU"),
        (Engine::Jib, Engine::Native, "the time of native programs"),
        (Engine::Interpreter, Engine::Jib, "as fast as interpreting"),
    ];
    let of = if r.rows_of(None).count() > 1 { "geometric mean of programs" } else { "this program" };
    html! {
        div.hero {
            @for (i, (a, b, what)) in pairs.into_iter().enumerate() {
                @if let Some(v) = r.mean(None, a, b) {
                    div.card.first[i == 0] { div.big { (number(v)) "×" } div.what { (what) ", " (of) } }
                }
            }
            @for row in r.rows_of(Some(Class::Startup)) {
                @if let Some(cost) = row.cost(Engine::Jib) {
                    div.card {
                        div.big { (number(cost.wall_s * 1e3)) " ms" }
                        div.what { "from start to end of a program that says hello" }
                    }
                }
            }
        }
    }
}

fn legend(names: &[(&str, &str)]) -> Markup {
    html! { ul.legend { @for (class, text) in names { li { i class=(class) {} (text) } } } }
}

fn engines(r: &Report) -> Markup {
    let text = |e: &Engine| match e {
        Engine::Native => "native: compiled for this machine",
        Engine::Qemu => "qemu-aarch64",
        Engine::Interpreter => "jib's interpreter",
        Engine::Quick => "jib's quick tier alone",
        Engine::Optimized => "jib's optimizing tier alone, at once",
        Engine::Jib => "jib, all tiers, for the first time",
        Engine::Warm => "jib, with what earlier runs kept",
    };
    legend(&r.engines.iter().map(|e| (e.name(), text(e))).collect::<Vec<_>>())
}

fn by_class(r: &Report, base: Engine, axis: LogAxis) -> Markup {
    html! {
        h2 { "Speed by kind of work" }
        p { "Relative to " (base.name()) ", to the right is faster; logarithmic, geometric means." }
        (engines(r))
        div.cards {
            @for class in r.classes() {
                div.card { h3 { (class.name()) } (chart::bars(r, class, base, axis)) }
            }
        }
    }
}

fn by_program(r: &Report, base: Engine, axis: LogAxis) -> Markup {
    html! {
        @if r.rows.len() > 1 {
            h2 { "Every program" }
            p { "The same scale for all: 1× is " (base.name()) "." }
            (engines(r))
            div.cards {
                @for class in r.classes() {
                    @let rows: Vec<&Row> = r.rows_of(Some(class)).collect();
                    div.card { h3 { (class.name()) } (chart::speeds(&rows, base, axis, class.name())) }
                }
            }
        }
    }
}

fn inside(r: &Report) -> Markup {
    let of = |class| -> Vec<_> {
        let rows = r.rows_of(Some(class));
        rows.filter_map(|row| row.inside.as_ref().map(|f| (row.name.as_str(), f.split, f.cpu_s))).collect()
    };
    let classes: Vec<_> = r.classes().into_iter().filter(|c| !of(*c).is_empty()).collect();
    html! {
        @if !classes.is_empty() {
            h2 { "Where jib's time goes" }
            p { "Parts of the processor time with all tiers, which stands at the right; optimizing is done by a thread of its own, meanwhile." }
            (legend(&[("translate", "translating"), ("execute", "running guest code"), ("runtime", "everything else: start, system calls")]))
            div.cards {
                @for class in classes {
                    div.card { h3 { (class.name()) } (chart::splits(&of(class))) }
                }
            }
        }
    }
}

fn over_time(r: &Report) -> Markup {
    let rows: Vec<&Row> = r.rows.iter().filter(|row| row.timeline.len() > 2).collect();
    html! {
        @if !rows.is_empty() {
            h2 { "As the tiers come in" }
            p { "Million guest instructions per second from the start to the end of a run, by the tier that executed them; both seconds are of processor time, jib's own work included. Counting slows this run somewhat." }
            (legend(&[("interpreter", "interpreter"), ("quick", "quick tier"), ("optimized", "optimizing tier")]))
            div.cards {
                @for row in rows {
                    div.card { h3 { (row.name) } (chart::tiers(&row.name, &row.timeline)) }
                }
            }
        }
    }
}

fn figures(r: &Report) -> Markup {
    let time = |s: f64| if s < 0.1 { seconds(s) } else { format!("{} s", seconds(s)) };
    let ratio = |v: Option<f64>| v.map_or("–".to_string(), |v| format!("{v:.2}"));
    let ahead = |v: Option<f64>| v.is_some_and(|v| v >= 1.0);
    let behind = |v: Option<f64>| v.is_some_and(|v| v < 1.0);
    html! {
        h2 { "All figures" }
        p { "Processor time by engine; how many times as long QEMU and the interpreter take as jib, and jib as native; wall time and memory of jib." }
        div.card.scroll {
            table {
                thead {
                    tr {
                        th { "program" } th { "class" }
                        @for e in &r.engines { th { (e.name()) } }
                        th { "qemu/jib" } th { "interp/jib" } th { "jib/native" } th { "wall" } th { "memory" }
                    }
                }
                tbody {
                    @for row in &r.rows {
                        @let qemu = row.ratio(Engine::Qemu, Engine::Jib);
                        tr {
                            td title=(row.arguments) { (row.name) } td { (row.class.name()) }
                            @for e in &r.engines { td { (row.cost(*e).map_or("–".to_string(), |c| time(c.cpu_s))) } }
                            td.ahead[ahead(qemu)].behind[behind(qemu)] { (ratio(qemu)) }
                            td { (ratio(row.ratio(Engine::Interpreter, Engine::Jib))) }
                            td { (ratio(row.ratio(Engine::Jib, Engine::Native))) }
                            td { (row.cost(Engine::Jib).map_or("–".to_string(), |c| time(c.wall_s))) }
                            td { (row.cost(Engine::Jib).map_or("–".to_string(), |c| format!("{:.1} MiB", c.rss_kib as f64 / 1024.0))) }
                        }
                    }
                    @if r.rows_of(None).count() > 1 {
                        @let mean = |a, b| ratio(r.mean(None, a, b));
                        tr.mean {
                            td { "geometric mean" } td {}
                            @for _ in &r.engines { td {} }
                            td { (mean(Engine::Qemu, Engine::Jib)) }
                            td { (mean(Engine::Interpreter, Engine::Jib)) }
                            td { (mean(Engine::Jib, Engine::Native)) }
                            td {} td {}
                        }
                    }
                }
            }
        }
    }
}

fn machine(r: &Report) -> Markup {
    let m = &r.machine;
    let none = "none".to_string();
    let lines = [
        ("processor", format!("{}, {} CPUs", m.processor, m.cpus)),
        ("load before", m.load.clone()),
        ("kernel", m.kernel.clone()),
        ("jib", m.jib.clone()),
        ("qemu", m.qemu.clone().unwrap_or(none.clone())),
        ("guest's compiler", m.cross_compiler.clone().unwrap_or(none.clone())),
        ("host's compiler", m.compiler.clone().unwrap_or(none)),
    ];
    html! {
        h2 { "The machine" }
        p { "What takes more than five seconds on an engine is run there once. Output and exit status were the same on all engines" (if r.problems.is_empty() { "." } else { ", but for what stands at the top." }) }
        div.card { dl { @for (name, text) in lines { dt { (name) } dd { (text) } } } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::example;

    #[test]
    fn the_page_needs_nothing_else_and_escapes_names() {
        let page = page(&example());
        for foreign in ["http://", "https://", "<script", "@import", "src=", "url("] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(page.contains("A &amp; B") && page.contains("title=\"&lt;1&gt;\""));
        for tag in ["svg", "div", "table", "tr", "td", "main", "text", "title"] {
            let (open, close) = (page.matches(&format!("<{tag}")).count(), page.matches(&format!("</{tag}>")).count());
            assert_eq!(open, close, "{tag}");
        }
        assert!(page.contains("8×") && page.contains("Where jib's time goes") && page.contains("As the tiers come in"));
    }

    #[test]
    fn one_program_without_qemu() {
        let mut r = example();
        r.rows.truncate(1);
        r.engines.retain(|e| *e != Engine::Qemu);
        r.rows[0].costs.remove(&Engine::Qemu);
        r.rows[0].class = Class::Command;
        let page = page(&r);
        assert!(page.contains("Relative to native") && !page.contains("as fast as QEMU") && !page.contains("NaN"));
    }
}
