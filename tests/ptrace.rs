//! Guest programs that trace guest programs: they see what the same source, compiled for the host, sees natively.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use jib_testing::program::{self, ENGINES};
use jib_testing::tools::Scratch;
use jib_testing::{guest, tools};

const LIMIT: Duration = Duration::from_secs(120);

fn source(name: &str) -> PathBuf {
    tools::root().join("tests/guest/ptrace").join(name)
}

/// Flags for a program; what it includes is named by its content, so that it is compiled anew when that changes.
fn flags(more: &str) -> String {
    let mut hash = DefaultHasher::new();
    fs::read(source("common.h")).expect("no header").hash(&mut hash);
    format!("-O1 -w -static -DCOMMON={:x} {more}", hash.finish())
}

fn jib(options: &[&str], exe: &Path) -> Command {
    program::jib(program::under_test(env!("CARGO_BIN_EXE_jib")), options, exe)
}

/// Under each engine as natively.
fn as_native(name: &str) {
    let dir = Scratch::new(name);
    let native = dir.path().join(name);
    let source = source(&format!("{name}.c"));
    tools::output(Command::new("cc").args(["-O1", "-w", "-pthread", "-o"]).arg(&native).arg(&source));
    let wanted = program::run(&mut Command::new(&native), LIMIT);
    assert!(wanted.code() == 0 && wanted.stdout.len() > 500, "{name}, natively: {}", wanted.errors());
    let exe = guest::compile(&source, &flags(""));
    for (engine, options) in ENGINES {
        program::check(&format!("{name}, {engine}"), &program::run(&mut jib(options, &exe), LIMIT), &wanted.stdout, 0);
    }
}

#[test]
fn requests() {
    as_native("stops");
}

#[test]
fn events() {
    as_native("events");
}

#[test]
fn births() {
    as_native("births");
}

#[test]
fn supervisors_of_system_calls() {
    as_native("supervisor");
}

/// Breakpoint and watchpoint registers, and the other sets that only AArch64 has; worked out by hand.
#[test]
fn registers_of_aarch64() {
    let exe = guest::compile(&source("aarch64.c"), &flags(""));
    let wanted = fs::read(source("aarch64.expected")).expect("no expected output");
    for (engine, options) in ENGINES {
        program::check(engine, &program::run(&mut jib(options, &exe), LIMIT), &wanted, 0);
    }
}
