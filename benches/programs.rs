//! Whole programs, timed side by side: our interpreter, our compiler, `qemu-aarch64`, and the same C source native.
//!
//! `cargo bench --bench programs [NAME…]` prints one table: medians in seconds, ratios, geometric means. All
//! programs are `tests/guest/c/*.c` with `-O2`. The interpreter gets a smaller size; its time is scaled up.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use jib_testing::{guest, program, tools};

/// A program, its argument, and for the interpreter another argument with the factor between them.
struct Job {
    what: &'static str,
    source: &'static str,
    size: &'static str,
    small: &'static str,
    factor: f64,
}

const fn job(what: &'static str, source: &'static str, size: &'static str, small: &'static str, factor: f64) -> Job {
    Job { what, source, size, small, factor }
}

const JOBS: &[Job] = &[
    job("integer mix", "integer", "3000", "100", 30.0),
    job("recursion", "recursion", "36", "29", 29.03),
    job("indirect calls", "indirect", "2000000", "50000", 40.0),
    job("state machine", "machine", "3000", "100", 30.0),
    job("sort", "sort", "300000", "300000", 1.0),
    job("memory", "memory", "100", "4", 25.0),
    job("n-body (double)", "nbody", "1000000", "40000", 25.0),
    job("mandelbrot", "mandelbrot", "600", "120", 25.0),
    job("vectors", "vector", "8000", "200", 40.0),
    job("SHA-256 in C", "sha256", "16000", "500", 32.0),
    job("hello (start-up)", "hello", "x", "x", 1.0),
];

const ROUNDS: usize = 5;

/// Seconds of one run.
fn time(mut command: Command) -> f64 {
    let started = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    assert!(status.is_ok_and(|s| s.success()), "{command:?} failed");
    started.elapsed().as_secs_f64()
}

/// Median of several runs.
fn median(rounds: usize, command: impl Fn() -> Command) -> f64 {
    let mut times: Vec<f64> = (0..rounds).map(|_| time(command())).collect();
    times.sort_by(f64::total_cmp);
    times[rounds / 2]
}

fn native(job: &Job, source: &Path) -> PathBuf {
    let exe = tools::cache().join(format!("native-{}", job.source));
    tools::output(tools::command("gcc").args(["-O2", "-w"]).arg(source).arg("-o").arg(&exe).args(["-lm", "-lpthread"]));
    exe
}

/// Times of one program: interpreter, compiler, qemu, native.
fn row(job: &Job) -> [f64; 4] {
    let source = tools::root().join(format!("tests/guest/c/{}.c", job.source));
    let exe = guest::compile(&source, "-O2 -static -w");
    let native = native(job, &source);
    let jib = Path::new(env!("CARGO_BIN_EXE_jib"));
    let with = |mut c: Command, size: &str| {
        c.arg(size);
        c
    };
    [
        median(3, || with(program::jib(jib, &["--engine", "interp"], &exe), job.small)) * job.factor,
        median(ROUNDS, || with(program::jib(jib, &[], &exe), job.size)),
        median(ROUNDS, || with(program::qemu(&exe), job.size)),
        median(ROUNDS, || with(Command::new(&native), job.size)),
    ]
}

fn main() {
    let names: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let wanted = |j: &&Job| names.is_empty() || names.iter().any(|n| j.what.contains(n) || j.source.contains(n));
    println!("| program | interpreter | compiler | qemu-aarch64 | native | compiler/native | qemu/compiler |");
    println!("|---|---|---|---|---|---|---|");
    let (mut slower, mut faster, mut count) = (0.0, 0.0, 0.0);
    for job in JOBS.iter().filter(wanted) {
        let [interp, jit, qemu, native] = row(job);
        println!(
            "| {} | {interp:.3} | {jit:.3} | {qemu:.3} | {native:.3} | {:.2} | {:.2} |",
            job.what,
            jit / native,
            qemu / jit
        );
        slower += (jit / native).ln();
        faster += (qemu / jit).ln();
        count += 1.0;
    }
    if count > 0.0 {
        let mean = |sum: f64| (sum / count).exp();
        println!("| geometric mean | | | | | {:.2} | {:.2} |", mean(slower), mean(faster));
    }
}
