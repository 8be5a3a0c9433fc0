//! Whole programs under our JIT, our interpreter, `qemu-aarch64`, and compiled for the host itself.
//!
//! `cargo bench --bench programs [-- FILTER... --runs N --json FILE]`. Each engine's figure is the median of N runs;
//! the interpreter runs once. All engines must print the same. It takes some five minutes, most of them the interpreter's.

mod catalog;
mod measure;
mod report;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use jib_testing::{guest, host, program, tools};

use catalog::{HELLO, PROGRAMS, Program};
use measure::median;
use report::{Row, Startup};

/// Compares jib's speed with qemu's and the host's.
#[derive(Parser)]
struct Args {
    /// Programs whose name or class contains one of these; all if none
    filters: Vec<String>,
    /// Runs of which the median is taken
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Write the figures here, too
    #[arg(long)]
    json: Option<PathBuf>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// Runs of the start-up row.
const STARTS: usize = 20;

fn main() -> Result<()> {
    let args = Args::parse();
    let wanted = |name: &str, class: &str| {
        args.filters.is_empty() || args.filters.iter().any(|f| name.contains(f.as_str()) || class.contains(f.as_str()))
    };
    let (machine, runs) = (host::describe(&["qemu-aarch64", "aarch64-linux-gnu-gcc", "gcc"]), usize::from(args.runs));
    println!("{machine}\nmedian of {runs} runs, the interpreter once\n\n{}", report::heading());
    let mut rows = Vec::new();
    for p in PROGRAMS.iter().filter(|p| wanted(p.name, p.class.name())) {
        let row = measure_program(p, runs).with_context(|| format!("program {}", p.name))?;
        println!("{}", report::line(&row));
        rows.push(row);
    }
    if !rows.is_empty() {
        println!("{}", report::mean_lines(&rows));
    }
    let startup = wanted("hello", "start-up").then(measure_startup).transpose()?;
    print!("{}", startup.as_ref().map_or(String::new(), report::startup_lines));
    if let Some(file) = &args.json {
        let text = report::json(&machine, runs, &rows, startup.as_ref());
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// A program built for both machines.
struct Built {
    guest: PathBuf,
    native: Option<PathBuf>,
    /// Holds the native one.
    _scratch: tools::Scratch,
}

fn build(p: &Program) -> Built {
    let source = tools::root().join(p.source);
    let scratch = tools::Scratch::new("bench");
    let native = p.native_flags.map(|flags| {
        let exe = scratch.path().join(p.name);
        tools::output(tools::command("gcc").args(flags.split(' ')).arg(&source).arg("-o").arg(&exe).arg("-lm"));
        exe
    });
    Built { guest: guest::compile(&source, p.guest_flags), native, _scratch: scratch }
}

fn jib(options: &[&str], exe: &Path, argument: &str) -> Command {
    // Every run is the first.
    let options = [options, &["--cache", "off"]].concat();
    let mut command = program::jib(Path::new(env!("CARGO_BIN_EXE_jib")), &options, exe);
    command.arg(argument);
    command
}

fn qemu(exe: &Path, argument: &str) -> Command {
    let mut command = program::qemu(exe);
    command.arg(argument);
    command
}

fn native(exe: &Path, argument: &str) -> Command {
    let mut command = Command::new(exe);
    command.arg(argument);
    command
}

const INTERP: &[&str] = &["--engine", "interp"];

fn measure_program(p: &Program, runs: usize) -> Result<Row> {
    let built = build(p);
    let exe = &built.guest;
    let (on_qemu, wanted) = median(runs, || qemu(exe, p.size))?;
    let (on_jit, output) = median(runs, || jib(&[], exe, p.size))?;
    agree("jit", &output, &wanted)?;
    let (on_interp, output) = median(1, || jib(INTERP, exe, p.size))?;
    agree("interp", &output, &wanted)?;
    let on_host = built.native.as_deref().map(|exe| median(runs, || native(exe, p.size))).transpose()?;
    if let Some((_, output)) = &on_host {
        agree("native", output, &wanted)?;
    }
    Ok(Row {
        name: p.name,
        class: p.class,
        size: p.size,
        jit: on_jit,
        qemu: on_qemu,
        native: on_host.map(|(cost, _)| cost),
        interp: on_interp,
    })
}

fn measure_startup() -> Result<Startup> {
    let built = build(&HELLO);
    let (exe, argument) = (&built.guest, HELLO.size);
    let host = built.native.as_deref().context("hello has no native version")?;
    let (on_qemu, wanted) = median(STARTS, || qemu(exe, argument))?;
    let (on_jit, output) = median(STARTS, || jib(&[], exe, argument))?;
    agree("jit", &output, &wanted)?;
    let (on_interp, output) = median(STARTS, || jib(INTERP, exe, argument))?;
    agree("interp", &output, &wanted)?;
    let (on_host, output) = median(STARTS, || native(host, argument))?;
    agree("native", &output, &wanted)?;
    Ok(Startup { jit: on_jit, interp: on_interp, qemu: on_qemu, native: on_host })
}

fn agree(engine: &str, output: &[u8], wanted: &[u8]) -> Result<()> {
    let text = String::from_utf8_lossy;
    ensure!(output == wanted, "{engine} printed\n{}\nand not\n{}", text(output), text(wanted));
    Ok(())
}
