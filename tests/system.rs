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

/// Runs the program of many calls with its log in a format.
fn decoded(format: &str) -> Vec<String> {
    let exe = guest::compile(&tools::root().join("tests/guest/system/decoded.c"), "-O2 -static -w");
    let mut jib = program::jib(program::under_test(env!("CARGO_BIN_EXE_jib")), &[format, "--core=off"], &exe);
    let run = program::run(&mut jib, LIMIT);
    assert_eq!((run.code(), run.text().as_str()), (0, ""), "{}", run.errors());
    run.errors().lines().map(String::from).collect()
}

#[test]
fn the_log_of_calls_decodes_arguments() {
    let lines = decoded("--strace");
    for wanted in [
        r#"openat(AT_FDCWD, "/dev/null", O_WRONLY|O_DIRECTORY|O_CLOEXEC, 00) = -1 ENOTDIR (Not a directory)"#,
        r#"openat(AT_FDCWD, "/proc/self/comm", O_RDONLY|O_NOFOLLOW, 00) = "#,
        r#", "decoded"#,
        ", -3, SEEK_END) = ",
        ", F_DUPFD_CLOEXEC, 0x64) = 100",
        "mmap(NULL, 0x1000, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0x0) = 0x",
        ", 0x1000, 0) = 0",
        "rt_sigaction(SIGUSR1, 0x",
        " --- SIGUSR1 {code=SI_TKILL, from=",
        "rt_sigprocmask(SIG_BLOCK, [SIGINT SIGCHLD], NULL, 8) = 0",
        "], O_NONBLOCK|O_CLOEXEC) = 0",
        "socket(AF_INET, SOCK_DGRAM|SOCK_CLOEXEC, 0) = ",
        ", {AF_INET, 127.0.0.1:0}, 16) = 0",
        r#", {AF_UNIX, "/nowhere/at all"}, 110) = -1 ENOENT (No such file or directory)"#,
        "clock_nanosleep(CLOCK_MONOTONIC, 0, {0.002000000}, NULL) = 0",
        r#"execve("/nowhere/no such", ["no such", "program"], 0x"#,
        " /* 2 variables */) = -1 ENOENT",
        "clone(SIGCHLD|CLONE_",
        " --- SIGSEGV {code=SEGV_MAPERR, address=0x10} ---",
        "waitid(P_PID, ",
        ", WEXITED, NULL) = 0",
        "syscall_400(0x1, 0x2, 0x3) = -1 ENOSYS (",
        "exit_group(0) = ?",
    ] {
        assert!(lines.iter().any(|line| line.contains(wanted)), "no {wanted} in:\n{}", lines.join("\n"));
    }
    for line in decoded("--strace=time") {
        let (clock, rest) = line.split_once(' ').expect("no time");
        assert!(clock.len() == 15 && clock.as_bytes()[2] == b':', "{line}");
        if rest.contains(" clock_nanosleep(") {
            let took: f64 =
                rest.rsplit_once('<').and_then(|(_, t)| t.trim_end_matches('>').parse().ok()).expect("took");
            assert!((0.002..1.0).contains(&took), "{line}");
        }
    }
}

#[test]
fn the_log_of_calls_is_readable_by_programs() {
    let objects: Vec<serde_json::Value> =
        decoded("--strace=json").iter().map(|line| serde_json::from_str(line).expect(line)).collect();
    let of = |call: &str| objects.iter().find(|o| o["call"] == call).unwrap_or_else(|| panic!("no {call}"));
    let sleep = of("clock_nanosleep");
    assert_eq!(sleep["args"], serde_json::json!(["CLOCK_MONOTONIC", "0", "{0.002000000}", "NULL"]));
    assert_eq!((&sleep["result"], &sleep["nr"]), (&0.into(), &115.into()));
    assert!(sleep["seconds"].as_f64().is_some_and(|s| s >= 0.002) && sleep["pid"] == sleep["tid"], "{sleep}");
    assert_eq!((&of("connect")["result"], &of("connect")["errno"]), (&(-1).into(), &"ENOENT".into()));
    assert_eq!(of("exit_group").get("result"), None);
    let fault = objects.iter().find(|o| o["signal"] == "SIGSEGV").expect("no fault");
    assert_eq!((&fault["code"], &fault["address"]), (&"SEGV_MAPERR".into(), &"0x10".into()));
    let times = objects.iter().filter(|o| o["pid"] == sleep["pid"]).map(|o| o["time"].as_f64().expect("a time"));
    assert!(times.collect::<Vec<_>>().is_sorted_by(|a, b| *b > a - 0.001));
}

#[test]
fn rings_of_requests() {
    check("system/uring", "-O2 -static", 0);
}
