//! A guest at work on our JIT, without and with kept translations, our interpreter and `qemu-system-aarch64`: Debian's kernel to the first line of
//! userspace, then one stage after the other.
//!
//! `cargo bench --bench boot [-- --runs N --interp-runs N --cpus N]`. Runs of the engines take turns; figures are
//! medians; all must print the same. It takes some ten minutes, most of them the interpreter's.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use jib_machine::initramfs::Archive;
use jib_machine::launch::fetch::{self, Package};
use jib_testing::{host, tools};

/// Compares a guest's speed on jib with that on QEMU.
#[derive(Parser)]
struct Args {
    /// Runs of which the median is taken
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// The interpreter's runs
    #[arg(long, default_value_t = 1)]
    interp_runs: u16,
    /// CPUs of the guest
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=8))]
    cpus: u16,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// What runs the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    Qemu,
    /// Nothing is kept.
    Jit,
    /// With what earlier runs have kept.
    Warm,
    Interp,
}

impl Engine {
    /// In the order of the tables.
    const ALL: [Engine; 4] = [Engine::Qemu, Engine::Jit, Engine::Warm, Engine::Interp];
}

/// Begins a line that ends a stage.
const MARK: &str = "@@";
/// Stages as the guest names them, and as the table does.
const STAGES: [(&str, &str); 6] = [
    ("boot", "boot to the first line of userspace"),
    ("sha256", "`sha256sum` of 32 MiB"),
    ("shell", "shell loop, 40,000 rounds"),
    ("gzip", "`gzip` and back, 2 MB"),
    ("awk", "`awk` loop, 300,000 rounds"),
    ("fork", "200 × fork and exec"),
];
/// Process 1. What lies between a stage and the next one's beginning belongs to none.
const INIT: &str = r#"#!/bin/busybox sh
echo @@boot
/bin/busybox mkdir -p /proc /tmp
/bin/busybox mount -t proc proc /proc
/bin/busybox --install -s /bin
export PATH=/bin
cd /tmp
echo @@-
head -c 33554432 /dev/zero | sha256sum
echo @@sha256
i=0; s=0; while [ $i -lt 40000 ]; do s=$(((s * 31 + i) % 1000003)); i=$((i + 1)); done; echo $s
echo @@shell
seq 1 300000 > text
echo @@-
gzip -c text > packed; gunzip -c packed | cmp - text && echo same
echo @@gzip
awk 'BEGIN { for (i = 0; i < 300000; i++) s = (s * 31 + i) % 1000003; print s }'
echo @@awk
i=0; while [ $i -lt 200 ]; do /bin/busybox true; i=$((i + 1)); done; echo $i
echo @@fork
poweroff -f
"#;

/// Seconds of processor time, of all the process's threads, and of the clock.
#[derive(Clone, Copy, Default)]
struct Time {
    cpu: f64,
    wall: f64,
}

/// What a run took for each stage, and what the guest printed besides.
struct Run {
    stages: BTreeMap<String, Time>,
    output: Vec<String>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let guest = fetch::guest(&Package::cloud(), &mut |line| eprintln!("{line}")).map_err(anyhow::Error::msg)?;
    let scratch = tools::Scratch::new("bench");
    let initrd = scratch.path().join("initrd");
    let mut archive = Archive::new();
    archive.folder("dev", 0o755).device("dev/console", 0o600, 5, 1).device("dev/zero", 0o666, 1, 5);
    archive.file("bin/busybox", 0o755, &guest.busybox).file("init", 0o755, INIT.as_bytes());
    fs::write(&initrd, archive.finish())?;
    println!("{}", host::describe(&["qemu-system-aarch64"]));
    println!("medians of {} runs, of {} for the interpreter; {} CPU(s)\n", args.runs, args.interp_runs, args.cpus);
    let kept = scratch.path().join("kept");
    let kept = kept.to_str().context("the folder's name is no text")?;
    let start = |options: &[&str]| jib(options, &guest.kernel, &initrd, args.cpus);
    let command = |engine| match engine {
        Engine::Qemu => qemu(&guest.kernel, &initrd, args.cpus),
        Engine::Jit => start(&["--cache", "off"]),
        Engine::Warm => start(&["--cache", kept]),
        Engine::Interp => start(&["--engine", "interp", "--cache", "off"]),
    };
    for round in 1..=2 {
        once(&mut command(Engine::Warm)).with_context(|| format!("run {round} to be kept"))?;
    }
    let mut runs: [Vec<Run>; 4] = Default::default();
    for round in 1..=args.runs.max(args.interp_runs) {
        for engine in Engine::ALL {
            let most = if engine == Engine::Interp { args.interp_runs } else { args.runs };
            if round <= most {
                let run = once(&mut command(engine)).with_context(|| format!("run {round} of {engine:?}"))?;
                runs[engine as usize].push(run);
            }
        }
    }
    let first = &runs[0][0].output;
    for run in runs.iter().flatten() {
        ensure!(run.output == *first, "one printed\n{:?}\nand another\n{:?}", first, run.output);
    }
    print!("{}", table("CPU", &runs, |time| time.cpu));
    print!("\n{}", table("wall", &runs, |time| time.wall));
    Ok(())
}

fn qemu(kernel: &Path, initrd: &Path, cpus: u16) -> Command {
    let mut command = tools::command("qemu-system-aarch64");
    command.args(["-M", "virt,gic-version=3", "-cpu", "cortex-a57", "-m", "1G", "-smp", &cpus.to_string()]);
    command.args(["-nographic", "-nic", "none", "-no-reboot", "-append", "console=ttyAMA0 panic=-1 quiet loglevel=0"]);
    command.arg("-kernel").arg(kernel).arg("-initrd").arg(initrd);
    command
}

fn jib(options: &[&str], kernel: &Path, initrd: &Path, cpus: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jib"));
    command.arg("boot").args(options).args(["-j", &cpus.to_string(), "--no-net", "--append", "quiet loglevel=0"]);
    command.arg(kernel).arg("--initrd").arg(initrd);
    command
}

/// Runs a guest to its end, with a look at the clocks at each mark.
fn once(command: &mut Command) -> Result<Run> {
    let started = Instant::now();
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    let output = BufReader::new(child.stdout.take().context("no pipe")?);
    let mut run = Run { stages: BTreeMap::new(), output: Vec::new() };
    let mut before = Time::default();
    for line in output.lines() {
        let line = line?;
        let line = line.trim();
        let Some(stage) = line.strip_prefix(MARK) else {
            run.output.push(line.to_string());
            continue;
        };
        let now = Time { cpu: cpu_seconds(child.id())?, wall: started.elapsed().as_secs_f64() };
        run.stages.insert(stage.to_string(), Time { cpu: now.cpu - before.cpu, wall: now.wall - before.wall });
        before = now;
    }
    let status = child.wait()?;
    ensure!(status.success(), "{command:?}: {status}");
    match STAGES.iter().find(|(name, _)| !run.stages.contains_key(*name)) {
        Some((name, _)) => bail!("{command:?} did not end its stage {name}: {:?}", run.output),
        None => Ok(run),
    }
}

/// Processor time of a process with all its threads: user and system, in clock ticks of 10 ms (proc(5)).
fn cpu_seconds(pid: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Behind the name, which may have spaces.
    let fields = text.rsplit_once(')').context("no name in stat")?.1.split_whitespace();
    let times: Vec<f64> = fields.skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(times.iter().sum::<f64>() / 100.0)
}

/// The median of what `pick` takes from a stage's times; `None` without runs.
fn median(runs: &[Run], stage: &str, pick: impl Fn(Time) -> f64) -> Option<f64> {
    let mut all: Vec<f64> = runs.iter().map(|run| pick(run.stages[stage])).collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied()
}

/// A table as in README.
fn table(what: &str, runs: &[Vec<Run>; 4], pick: impl Fn(Time) -> f64 + Copy) -> String {
    let mut text = format!(
        "| {what} seconds | QEMU | jib | warm | interpreter | QEMU / jib | QEMU / warm | interpreter / jib |\n"
    );
    text += "|---|---|---|---|---|---|---|---|\n";
    for (stage, title) in STAGES {
        let times = Engine::ALL.map(|engine| median(&runs[engine as usize], stage, pick));
        let ratio = |a: usize, b: usize| Some(times[a]? / times[b]?.max(0.01));
        let cells = times.into_iter().chain([ratio(0, 1), ratio(0, 2), ratio(3, 1)]);
        let cells: Vec<String> = cells.map(|c| c.map_or("–".to_string(), |c| format!("{c:.2}"))).collect();
        text += &format!("| {title} | {} |\n", cells.join(" | "));
    }
    text
}
