//! Charts as inline SVG. Each is 400 units wide, so that it can be read on a phone and stands beside others elsewhere;
//! colours are classes of the page's style sheet.

use maud::{Markup, html};

use super::engines::Engine;
use super::figures::{Report, Row};
use crate::cmd::stats::{Moment, Split};

/// Width of every chart.
const WIDTH: f64 = 400.0;
/// Where plots begin, right of the names, and where they end.
const LEFT: f64 = 96.0;
const RIGHT: f64 = WIDTH - 14.0;
/// Height of a row.
const ROW: f64 = 26.0;

/// A logarithmic axis.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogAxis {
    low: f64,
    high: f64,
}

impl LogAxis {
    /// One that has room for all of `values` and for 1.
    pub(crate) fn around(values: impl Iterator<Item = f64>) -> LogAxis {
        let values = values.filter(|v| v.is_finite() && *v > 0.0);
        let (low, high) = values.fold((1.0_f64, 1.0_f64), |(low, high), v| (low.min(v), high.max(v)));
        LogAxis { low: low / 1.3, high: high * 1.3 }
    }

    /// The place of a value.
    pub(crate) fn x(&self, v: f64) -> f64 {
        let part = (v.clamp(self.low, self.high) / self.low).ln() / (self.high / self.low).ln();
        LEFT + part * (RIGHT - LEFT)
    }

    /// The powers of ten inside, with 2s and 5s where there is room.
    fn ticks(&self) -> Vec<f64> {
        let decades = (self.high / self.low).log10();
        let steps: &[f64] = if decades < 1.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let first = self.low.log10().floor() as i32;
        let all = (first..first + decades.ceil() as i32 + 2).flat_map(|d| steps.iter().map(move |s| s * 10f64.powi(d)));
        all.filter(|t| (self.low..=self.high).contains(t)).collect()
    }
}

/// A number without needless digits.
pub(crate) fn number(v: f64) -> String {
    let text = match v {
        v if v >= 100.0 => return format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v if v >= 0.095 => format!("{v:.2}"),
        v => format!("{v:.3}"),
    };
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// Coordinates with a tenth of a unit.
fn at(v: f64) -> String {
    format!("{v:.1}")
}

fn svg(height: f64, label: &str, body: &Markup) -> Markup {
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {}", at(height))) role="img" aria-label=(label) { (body) }
    }
}

/// Each row's speeds relative to `base`, on a line: further to the right is faster.
pub(crate) fn speeds(rows: &[&Row], base: Engine, axis: LogAxis, label: &str) -> Markup {
    let (top, bottom) = (8.0, 8.0 + ROW * rows.len() as f64);
    let body = html! {
        @for t in axis.ticks() {
            line.grid.base[t == 1.0] x1=(at(axis.x(t))) x2=(at(axis.x(t))) y1=(at(top)) y2=(at(bottom)) {}
            text.tick x=(at(axis.x(t))) y=(at(bottom + 14.0)) { (number(t)) "×" }
        }
        @for (i, row) in rows.iter().enumerate() {
            @let y = top + ROW * (i as f64 + 0.5);
            @let points: Vec<(Engine, f64)> = row.costs.keys().filter_map(|e| Some((*e, row.ratio(base, *e)?))).collect();
            @let xs = points.iter().map(|(_, v)| axis.x(*v));
            @let (low, high) = xs.fold((f64::MAX, f64::MIN), |(l, h), x| (l.min(x), h.max(x)));
            text.name x=(at(LEFT - 8.0)) y=(at(y + 4.0)) { (row.name) }
            @if !points.is_empty() {
                line.span x1=(at(low)) x2=(at(high)) y1=(at(y)) y2=(at(y)) {}
            }
            @for (e, v) in &points {
                circle class=(format!("dot {}", e.name())) cx=(at(axis.x(*v))) cy=(at(y)) r=(if *e == Engine::Jib { "6.5" } else { "4.5" }) {
                    title { (format!("{}: {}, {} times as fast as {}", row.name, e.name(), number(*v), base.name())) }
                }
            }
        }
    };
    svg(bottom + 20.0, label, &body)
}

/// A bar for each engine of how fast it is, relative to `base`; the figure beside it.
pub(crate) fn bars(r: &Report, class: super::Class, base: Engine, axis: LogAxis) -> Markup {
    const BAR: f64 = 20.0;
    let values: Vec<(Engine, f64)> =
        r.engines.iter().filter_map(|e| Some((*e, r.mean(Some(class), base, *e)?))).collect();
    let (top, bottom) = (6.0, 6.0 + BAR * values.len() as f64);
    let zero = axis.x(1.0);
    let body = html! {
        line.grid.base x1=(at(zero)) x2=(at(zero)) y1="2" y2=(at(bottom + 2.0)) {}
        @for (i, (e, v)) in values.iter().enumerate() {
            @let y = top + BAR * i as f64;
            @let x = axis.x(*v);
            @let (from, to) = (x.min(zero), x.max(zero));
            // Inside, where there is no room beside the bar.
            @let inside = *v >= 1.0 && x > RIGHT - 36.0 || *v < 1.0 && x < LEFT + 36.0;
            @let (anchor, tx) = match (*v >= 1.0, inside) {
                (true, false) => ("start", x + 5.0),
                (true, true) => ("end", x - 5.0),
                (false, false) => ("end", x - 5.0),
                (false, true) => ("start", x + 5.0),
            };
            text.name x=(at(LEFT - 8.0)) y=(at(y + 13.0)) { (e.name()) }
            rect class=(format!("bar {}", e.name())) x=(at(from)) y=(at(y + 2.0)) width=(at((to - from).max(1.5))) height="14" rx="3" {
                title { (format!("{}: {} times as fast as {}", e.name(), number(*v), base.name())) }
            }
            text.value.inside[inside] x=(at(tx)) y=(at(y + 13.0)) text-anchor=(anchor) { (number(*v)) "×" }
        }
    };
    svg(bottom + 6.0, &format!("speed on {} programs", class.name()), &body)
}

/// Where the time of each row went, as parts of a whole.
pub(crate) fn splits(rows: &[(&str, Split, f64)]) -> Markup {
    let (top, bottom) = (4.0, 4.0 + ROW * rows.len() as f64);
    let room = RIGHT - 46.0 - LEFT;
    let body = html! {
        @for (i, (name, split, seconds)) in rows.iter().enumerate() {
            @let y = top + ROW * i as f64;
            @let parts = [("translate", split.translate_s), ("execute", split.execute_s), ("runtime", split.runtime_s)];
            @let whole = parts.iter().map(|p| p.1).sum::<f64>().max(1e-9);
            text.name x=(at(LEFT - 8.0)) y=(at(y + 17.0)) { (name) }
            @for (k, (part, s)) in parts.iter().enumerate() {
                @let before: f64 = parts[..k].iter().map(|p| p.1).sum();
                rect class=(part) x=(at(LEFT + room * before / whole)) y=(at(y + 4.0)) width=(at(room * s / whole)) height="18" {
                    title { (format!("{name}: {part} {} ms, {:.0} %", number(s * 1e3), 100.0 * s / whole)) }
                }
            }
            text.value x=(at(RIGHT)) y=(at(y + 17.0)) text-anchor="end" { (super::table::seconds(*seconds)) (if *seconds < 0.1 { "" } else { " s" }) }
        }
    };
    svg(bottom + 4.0, "where the time goes", &body)
}

/// Guest instructions per second of processor time, over that time (so that other work of the machine does not show), by the tier that executed them; areas one on the other.
pub(crate) fn tiers(name: &str, timeline: &[Moment]) -> Markup {
    const HEIGHT: f64 = 150.0;
    let (left, top, bottom) = (46.0, 12.0, HEIGHT - 22.0);
    let rates = rates(timeline);
    let end = timeline.last().map_or(1e-3, |m| m.cpu_s).max(1e-3);
    let highest = rates.iter().map(|r| r.1.iter().sum::<f64>()).fold(1e6, f64::max);
    let x = |t: f64| left + (t / end).clamp(0.0, 1.0) * (RIGHT - left);
    let y = |v: f64| bottom - v / highest * (bottom - top);
    // The upper edge of the areas up to tier `k`: steps, as each rate is that of a piece of time.
    let edge = |k: usize| -> Vec<(f64, f64)> {
        let sum = |r: &[f64; 3]| y(r[..k].iter().sum());
        let steps = rates.iter().flat_map(|(span, r)| [(x(span.0), sum(r)), (x(span.1), sum(r))]);
        steps.collect()
    };
    let area = |k: usize| {
        let (upper, lower) = (edge(k + 1), edge(k));
        let points = upper.into_iter().chain(lower.into_iter().rev());
        points.map(|(x, y)| format!("{},{}", at(x), at(y))).collect::<Vec<_>>().join(" ")
    };
    let body = html! {
        line.grid x1=(at(left)) x2=(at(RIGHT)) y1=(at(y(highest))) y2=(at(y(highest))) {}
        line.grid x1=(at(left)) x2=(at(RIGHT)) y1=(at(y(highest / 2.0))) y2=(at(y(highest / 2.0))) {}
        text.value x=(at(left - 5.0)) y=(at(y(highest) + 4.0)) text-anchor="end" { (number(highest / 1e6)) }
        text.value x=(at(left - 5.0)) y=(at(y(highest / 2.0) + 4.0)) text-anchor="end" { (number(highest / 2e6)) }
        @for (k, tier) in ["interpreter", "quick", "optimized"].into_iter().enumerate() {
            polygon class=(format!("area {tier}")) points=(area(k)) { title { (tier) } }
        }
        line.grid.base x1=(at(left)) x2=(at(RIGHT)) y1=(at(bottom)) y2=(at(bottom)) {}
        text.tick x=(at(left)) y=(at(HEIGHT - 6.0)) { "0" }
        text.value x=(at(RIGHT)) y=(at(HEIGHT - 6.0)) text-anchor="end" { (super::table::seconds(end)) (if end < 0.1 { "" } else { " s" }) }
    };
    svg(HEIGHT, &format!("{name}: million instructions per second over time"), &body)
}

/// Spans of processor time with the instructions per second of each tier in them; none so short that it says only when
/// the counters happened to be read.
fn rates(timeline: &[Moment]) -> Vec<((f64, f64), [f64; 3])> {
    const SPANS: f64 = 120.0;
    let [first, .., last] = timeline else { return Vec::new() };
    let shortest = ((last.cpu_s - first.cpu_s) / SPANS).max(1e-6);
    let (mut out, mut from) = (Vec::new(), first);
    for m in &timeline[1..] {
        let span = m.cpu_s - from.cpu_s;
        if span >= shortest {
            // Threads that run the same code at once may take back what the others counted.
            let rate = |k: usize| m.executed[k].saturating_sub(from.executed[k]) as f64 / span;
            out.push(((from.cpu_s, m.cpu_s), [0, 1, 2].map(rate)));
            from = m;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::example;

    #[test]
    fn logarithmic_places() {
        let axis = LogAxis::around([0.1, 10.0].into_iter());
        assert!(axis.x(0.1) > LEFT && axis.x(10.0) < RIGHT);
        assert!((axis.x(1.0) * 2.0 - axis.x(0.1) - axis.x(10.0)).abs() < 1e-6, "1 is in the middle");
        assert_eq!(axis.ticks(), [0.1, 1.0, 10.0]);
        assert_eq!(LogAxis::around([4.0].into_iter()).ticks(), [1.0, 2.0, 5.0]);
        assert_eq!(axis.x(1e9), RIGHT, "never outside");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([123.4, 10.0, 1.234, 1.0, 0.5, 0.0123].map(number), ["123", "10", "1.23", "1", "0.5", "0.012"]);
    }

    #[test]
    fn rates_are_per_second() {
        let m = |cpu_s, quick| Moment { at_s: 9.0, cpu_s, executed: [0, quick, 0], translated: [0, 0] };
        let rates = rates(&[m(0.0, 0), m(0.5, 100), m(0.501, 100), m(1.0, 50)]);
        assert_eq!(rates, [((0.0, 0.5), [0.0, 200.0, 0.0]), ((0.5, 1.0), [0.0, 0.0, 0.0])]);
    }

    /// Every coordinate lies in the picture.
    fn inside(svg: &str) {
        let attribute = |name: &str| -> Vec<f64> {
            let pattern = format!(" {name}=\"");
            svg.split(&pattern).skip(1).filter_map(|rest| rest.split('"').next()?.parse().ok()).collect()
        };
        let size: Vec<f64> = svg
            .split("viewBox=\"")
            .nth(1)
            .and_then(|s| s.split('"').next())
            .expect("a box")
            .split(' ')
            .map(|n| n.parse().expect("a number"))
            .collect();
        for (names, limit) in [(["x", "x1", "x2", "cx"], size[2]), (["y", "y1", "y2", "cy"], size[3])] {
            for name in names {
                for v in attribute(name) {
                    assert!((0.0..=limit).contains(&v), "{name}={v} outside of {size:?}");
                }
            }
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{svg}");
        let points = svg.split("points=\"").skip(1).filter_map(|rest| rest.split('"').next());
        for (x, y) in points.flat_map(|p| p.split(' ')).filter_map(|p| p.split_once(',')) {
            let (x, y): (f64, f64) = (x.parse().expect("a number"), y.parse().expect("a number"));
            assert!((0.0..=size[2]).contains(&x) && (0.0..=size[3]).contains(&y), "{x},{y}");
        }
    }

    #[test]
    fn charts_stay_in_their_boxes() {
        let r = example();
        let rows: Vec<&Row> = r.rows.iter().collect();
        let values = || rows.iter().flat_map(|row| row.costs.keys().filter_map(|e| row.ratio(Engine::Qemu, *e)));
        let axis = LogAxis::around(values());
        inside(&speeds(&rows, Engine::Qemu, axis, "l").into_string());
        for class in r.classes() {
            inside(&bars(&r, class, Engine::Qemu, axis).into_string());
        }
        let split = r.rows[0].inside.as_ref().expect("figures").split;
        inside(&splits(&[("a", split, 1.0), ("b", Split::default(), 0.0)]).into_string());
        inside(&tiers("n", &r.rows[0].timeline).into_string());
        inside(&tiers("n", &[]).into_string());
    }

    #[test]
    fn the_faster_engine_is_further_right() {
        let r = example();
        let rows = [&r.rows[0]];
        let text = speeds(&rows, Engine::Qemu, LogAxis::around([0.1, 10.0].into_iter()), "l").into_string();
        let x = |class: &str| -> f64 {
            let dot = text.split(&format!("class=\"dot {class}\" cx=\"")).nth(1).expect("a dot");
            dot.split('"').next().expect("a place").parse().expect("a number")
        };
        assert!(
            x("interpreter") < x("qemu") && x("qemu") < x("quick") && x("quick") < x("jib") && x("jib") < x("native")
        );
    }
}
