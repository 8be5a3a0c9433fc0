//! The table, its means, and the same as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use crate::catalog::Class;
use crate::measure::Cost;

/// What was measured of one program.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) class: Class,
    pub(crate) size: &'static str,
    pub(crate) jit: Cost,
    pub(crate) qemu: Cost,
    pub(crate) native: Option<Cost>,
    pub(crate) interp: Cost,
}

impl Row {
    /// qemu/jit, interp/jit, jit/native; of processor time.
    pub(crate) fn ratios(&self) -> [Option<f64>; 3] {
        let ratio = |a: Cost, b: Cost| a.cpu.as_secs_f64() / b.cpu.as_secs_f64().max(1e-6);
        [Some(ratio(self.qemu, self.jit)), Some(ratio(self.interp, self.jit)), self.native.map(|n| ratio(self.jit, n))]
    }
}

/// Start-up of a static program.
pub(crate) struct Startup {
    pub(crate) jit: Cost,
    pub(crate) interp: Cost,
    pub(crate) qemu: Cost,
    pub(crate) native: Cost,
}

fn seconds(d: Duration) -> String {
    format!("{:.3}", d.as_secs_f64())
}

fn ratio(r: Option<f64>) -> String {
    r.map_or("n/a".into(), |r| format!("{r:.2}"))
}

/// The heading of the programs' table.
pub(crate) fn heading() -> String {
    let mut out = format!("{:31} {:^31} {:^15} {:^24}\n", "", "CPU s (user+sys)", "wall s", "ratios of CPU time");
    let _ = write!(
        out,
        "{:11} {:11} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>8} {:>10} {:>10}",
        "program",
        "class",
        "size",
        "jit",
        "qemu",
        "native",
        "interp",
        "jit",
        "qemu",
        "qemu/jit",
        "interp/jit",
        "jit/native"
    );
    out
}

/// One program's line.
pub(crate) fn line(r: &Row) -> String {
    let [qemu, interp, native] = r.ratios().map(ratio);
    format!(
        "{:11} {:11} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {qemu:>8} {interp:>10} {native:>10}",
        r.name,
        r.class.name(),
        r.size,
        seconds(r.jit.cpu),
        seconds(r.qemu.cpu),
        r.native.map_or("n/a".into(), |n| seconds(n.cpu)),
        seconds(r.interp.cpu),
        seconds(r.jit.wall),
        seconds(r.qemu.wall),
    )
}

/// The geometric means of each class that has rows, and of all.
pub(crate) fn means(rows: &[Row]) -> Vec<(&'static str, [Option<f64>; 3])> {
    let mean = |of: &dyn Fn(&Row) -> bool| {
        [0, 1, 2].map(|column| {
            let logs: Vec<f64> =
                rows.iter().filter(|r| of(r)).filter_map(|r| r.ratios()[column]).map(f64::ln).collect();
            (!logs.is_empty()).then(|| (logs.iter().sum::<f64>() / logs.len() as f64).exp())
        })
    };
    let of_class = Class::ALL.map(|class| (class.name(), mean(&|r| r.class == class)));
    let present = of_class.into_iter().filter(|(_, m)| m[0].is_some());
    present.chain([("all", mean(&|_| true))]).collect()
}

/// The lines of means.
pub(crate) fn mean_lines(rows: &[Row]) -> String {
    let mut out = String::new();
    for (class, means) in means(rows) {
        let [qemu, interp, native] = means.map(ratio);
        let _ = writeln!(out, "{:102} {qemu:>8} {interp:>10} {native:>10}", format!("geometric mean, {class}"));
    }
    out
}

/// The lines of start-up.
pub(crate) fn startup_lines(s: &Startup) -> String {
    let mut out = String::from("start-up, static hello: wall ms, CPU ms, most resident MiB\n");
    for (name, c) in [("jit", s.jit), ("interp", s.interp), ("qemu", s.qemu), ("native", s.native)] {
        let ms = |d: Duration| d.as_secs_f64() * 1e3;
        let _ = writeln!(out, "  {name:8} {:7.2} {:7.2} {:7.1}", ms(c.wall), ms(c.cpu), c.rss_kib as f64 / 1024.0);
    }
    out
}

/// All of it for other programs.
pub(crate) fn json(machine: &str, runs: usize, rows: &[Row], startup: Option<&Startup>) -> String {
    let rows: Vec<String> = rows.iter().map(json_row).collect();
    let startup = startup.map_or("null".into(), |s| {
        let [jit, interp, qemu, native] = [s.jit, s.interp, s.qemu, s.native].map(|c| json_cost(Some(c)));
        format!("{{\"jit\": {jit}, \"interp\": {interp}, \"qemu\": {qemu}, \"native\": {native}}}")
    });
    let head = format!("\"machine\": {machine:?},\n  \"runs\": {runs},\n  \"startup\": {startup}");
    format!("{{\n  {head},\n  \"programs\": [\n    {}\n  ]\n}}\n", rows.join(",\n    "))
}

fn json_row(r: &Row) -> String {
    format!(
        "{{\"name\": {:?}, \"class\": {:?}, \"size\": {:?}, \"jit\": {}, \"qemu\": {}, \"native\": {}, \
         \"interp\": {}}}",
        r.name,
        r.class.name(),
        r.size,
        json_cost(Some(r.jit)),
        json_cost(Some(r.qemu)),
        json_cost(r.native),
        json_cost(Some(r.interp)),
    )
}

fn json_cost(c: Option<Cost>) -> String {
    c.map_or("null".into(), |c| {
        let (wall, cpu) = (c.wall.as_secs_f64(), c.cpu.as_secs_f64());
        format!("{{\"wall_s\": {wall:.6}, \"cpu_s\": {cpu:.6}, \"rss_kib\": {}}}", c.rss_kib)
    })
}
