//! What programs ask of the system: threads, signals, faults, changing code, processes.
//!
//! The outputs are in `tests/guest/*/NAME.expected`, as Linux on AArch64 gives them; `qemu-aarch64` cannot be asked,
//! since it gets some of them wrong (stale code of mapped-twice memory, sequential consistency, `exec`).

use std::time::Duration;

use jib_testing::program::{self, ENGINES};
use jib_testing::{guest, tools};

const LIMIT: Duration = Duration::from_secs(120);

fn check(name: &str, flags: &str, code: i32) {
    let base = tools::root().join("tests/guest").join(name);
    let wanted = std::fs::read(base.with_extension("expected")).expect("no expected output");
    let exe = guest::compile(&base.with_extension("c"), flags);
    for (engine, options) in ENGINES {
        let run = program::run(&mut program::jib(program::under_test(env!("CARGO_BIN_EXE_jib")), options, &exe), LIMIT);
        program::check(&format!("{name}, {engine}, {flags}"), &run, &wanted, code);
    }
}

#[test]
fn mutexes_conditions_barriers() {
    check("threads/mutex", "-O2 -static", 0);
}

#[test]
fn atomics_by_lse() {
    check("threads/atomics", "-O2 -static -march=armv8.1-a -latomic", 0);
}

#[test]
fn atomics_by_exclusives() {
    check("threads/atomics", "-O2 -static -mno-outline-atomics -latomic", 0);
}

#[test]
fn signals_and_timers() {
    check("threads/signals", "-O2 -static", 0);
}

#[test]
fn one_process_with_the_translator() {
    check("system/threads", "-O2 -static -w", 0);
}

#[test]
fn faults_are_exact() {
    check("system/faults", "-O2 -static", 0);
}

#[test]
fn all_mappings_taken() {
    check("system/limits", "-O1 -static -w", 0);
}

#[test]
fn flags_of_faults_are_exact() {
    check("system/pstate", "-O2 -static", 0);
}

#[test]
fn code_that_changes() {
    check("system/code", "-O2 -static", 0);
}

#[test]
fn processes() {
    check("system/process", "-O2 -static -w", 9);
}

#[test]
fn families_share_translations() {
    check("system/forks", "-O2 -static", 0);
}

#[test]
fn programs_that_no_path_leads_to() {
    check("system/reach", "-O2 -static -w", 0);
}

#[test]
fn filters_of_system_calls() {
    check("system/seccomp", "-O2 -static -w", 0);
}

#[test]
fn clocks_agree() {
    check("system/clocks", "-O2 -static", 0);
    check("system/clocks", "-O2", 0);
}

#[test]
fn clocks_need_no_system_call() {
    let exe = guest::compile(&tools::root().join("tests/guest/system/clocks.c"), "-O2");
    let run =
        program::run(&mut program::jib(program::under_test(env!("CARGO_BIN_EXE_jib")), &["--strace"], &exe), LIMIT);
    let calls = run.errors().lines().filter(|l| l.contains(" clock_gettime(") || l.contains(" gettimeofday(")).count();
    // 40,000 readings, half of them by the kernel on purpose, and one for each millisecond.
    assert!((20_000..30_000).contains(&calls), "{calls} calls");
}

#[test]
fn rings_of_requests() {
    check("system/uring", "-O2 -static", 0);
}
