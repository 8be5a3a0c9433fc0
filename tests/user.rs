//! What user mode owes its programs besides system calls that work: the processor they were promised, a core when they
//! die, the truth about other programs, and a translator that no system call can break.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use jib_testing::guest;
use jib_testing::program::{self, ENGINES, Run};
use jib_testing::tools::{self, Scratch};

const LIMIT: Duration = Duration::from_secs(120);

fn compiled(name: &str, flags: &str) -> PathBuf {
    guest::compile(&tools::root().join("tests/guest/user").join(name), &format!("-static -Wall {flags}"))
}

fn exe() -> &'static Path {
    program::under_test(env!("CARGO_BIN_EXE_jib"))
}

fn jib(options: &[&str], program: &Path, args: &[&str]) -> Run {
    program::run(program::jib(exe(), options, program).args(args), LIMIT)
}

/// The line of `text` that begins with `start`, without that.
fn line<'a>(text: &'a str, start: &str) -> &'a str {
    text.lines().find_map(|l| l.strip_prefix(start)).unwrap_or_else(|| panic!("no line {start:?} in:\n{text}")).trim()
}

#[test]
fn a_processor_is_what_it_says_and_no_more() {
    let cpu = compiled("cpu.c", "-O1");
    let list = program::run(Command::new(exe()).arg("cpu"), LIMIT);
    assert_eq!(list.code(), 0);
    let profiles: Vec<String> = line(&list.text(), "feature").split_whitespace().map(String::from).collect();
    assert_eq!(profiles, ["v8.0", "v8.2", "default", "max"]);
    for (column, profile) in profiles.iter().enumerate() {
        for (engine, options) in ENGINES {
            let run = jib(&[options, ["--cpu", profile].as_slice()].concat(), &cpu, &[]);
            let text = run.text();
            assert_eq!(run.code(), 0, "{profile}, {engine}: {}", run.errors());
            let words: Vec<&str> = line(&text, "hwcap").split(' ').collect();
            let told = list.text();
            let told =
                told.lines().find(|l| l.starts_with(profile.as_str()) && l.contains("AT_HWCAP")).expect("its line");
            assert!(
                told.ends_with(&format!("AT_HWCAP {:#x}, AT_HWCAP2 {:#x}", hex(words[0]), hex(words[1]))),
                "{told}"
            );
            let features = text.lines().find(|l| l.starts_with("fp ")).expect("features");
            for name in ["atomics", "lrcpc", "asimddp", "fphp", "flagm", "cssc", "paca", "crc32"] {
                let listed = line(&list.text(), name).split_whitespace().nth(column) == Some("yes");
                let seen = features.split(' ').any(|f| f == name);
                assert_eq!((line(&text, name) == "yes", seen), (listed, listed), "{name} on {profile}, {engine}");
            }
        }
    }
    // By the environment, and by the name and names of qemu.
    let by_variable = program::run(program::jib(exe(), &[], &cpu).env("JIB_CPU", "v8.0"), LIMIT);
    assert_eq!(line(&by_variable.text(), "hwcap"), "8fb 0");
    let dir = Scratch::new("cpu");
    let qemu = dir.path().join("qemu-aarch64");
    std::os::unix::fs::symlink(exe(), &qemu).expect("cannot link");
    let by_name = program::run(Command::new(&qemu).args(["-cpu", "cortex-a53"]).arg(&cpu), LIMIT);
    assert_eq!(line(&by_name.text(), "hwcap"), "8fb 0", "{}", by_name.errors());
    let wrong = jib(&["--cpu", "z80"], &cpu, &[]);
    assert!(wrong.code() == 2 && wrong.errors().contains("v8.0, v8.2, default, max"), "{}", wrong.errors());
}

fn hex(text: &str) -> u64 {
    u64::from_str_radix(text, 16).expect("a number")
}

/// Translations that were kept for one processor are none of another's.
#[test]
fn processors_do_not_share_translations() {
    let (cpu, dir) = (compiled("cpu.c", "-O1"), Scratch::new("cpu-kept"));
    let folder = dir.path().display().to_string();
    for profile in ["default", "v8.0", "default", "v8.0"] {
        let run = jib(&["--cache", &folder, "--cpu", profile, "--quick", "0"], &cpu, &[]);
        let has = if profile == "default" { "yes" } else { "no" };
        assert_eq!(line(&run.text(), "atomics"), has, "{profile}: {}", run.errors());
    }
}

#[test]
fn signed_return_addresses() {
    let pac = compiled("pac.c", "-O1 -march=armv8.3-a -mbranch-protection=standard");
    let wanted = "37507500\n7\n175\n1 1 1\n1 11\n0\n15 0\n1 0\n";
    for (engine, options) in ENGINES {
        let run = jib(&[options, ["--cpu", "max"].as_slice()].concat(), &pac, &[]);
        program::check(engine, &run, wanted.as_bytes(), 0);
    }
}

#[test]
fn pretended_groups_are_shown() {
    let groups = compiled("groups.c", "-O1");
    let path = groups.display().to_string();
    // As in a root where there is one id only.
    let run = jib(&["--ids", "0,0,0,0,0,0,0,0"], &groups, &[&path, "first"]);
    assert_eq!(run.text(), "3: 4 9 20\n3 -1 22\n3: 4 9 20\n0:\n", "{}", run.errors());
}

/// Of its own mappings, a forked child's and another program's, a guest sees what the same program sees natively.
#[test]
fn mappings_of_guests() {
    let source = tools::root().join("tests/guest/user/maps.c");
    let dir = Scratch::new("maps");
    let native = dir.path().join("maps");
    tools::output(Command::new("cc").args(["-O1", "-w", "-static", "-o"]).arg(&native).arg(&source));
    let wanted = program::run(&mut Command::new(&native), LIMIT);
    assert!(wanted.code() == 0 && wanted.text().contains("child smaps: r-xs, code yes"), "{}", wanted.text());
    let maps = compiled("maps.c", "-O1 -w");
    for (engine, options) in ENGINES {
        program::check(engine, &jib(options, &maps, &[]), &wanted.stdout, 0);
    }
}

fn gdb(program: &Path, core: &Path, commands: &[&str]) -> String {
    let mut gdb = tools::command("gdb-multiarch");
    gdb.args(["-nx", "-batch", "-ex", "set pagination off", "-ex", "set width 0"]);
    gdb.arg("-ex").arg(format!("core-file {}", core.display()));
    for command in commands {
        gdb.args(["-ex", command]);
    }
    let run = program::run(gdb.arg(program), LIMIT);
    run.text() + &run.errors()
}

#[test]
fn a_core_that_gdb_opens() {
    let crash = compiled("crash.c", "-O1 -g -pthread");
    for (engine, options) in ENGINES {
        let dir = Scratch::new("core");
        let pattern = dir.path().join("core.%s").display().to_string();
        let run = jib(&[options, ["--core", &pattern].as_slice()].concat(), &crash, &["segv"]);
        assert_eq!(run.status.signal(), Some(11), "{engine}: {}", run.errors());
        let core = dir.path().join("core.11");
        let said = gdb(
            &crash,
            &core,
            &[
                "bt",
                "p/x $x21",
                "p $d8.f",
                "p message",
                "p approximately",
                "info threads",
                "info auxv",
                "p $_siginfo.si_signo",
                "thread apply all bt",
            ],
        );
        for text in [
            "Program terminated with signal SIGSEGV",
            "#0  0x",
            "crash_here (where=",
            "= 0x1122334455667788",
            "= 1.5",
            "\"what was in memory\"",
            "= 2.5",
            "AT_HWCAP",
            "spin_here",
            "pause",
        ] {
            assert!(said.contains(text), "{engine}: gdb does not say {text:?}:\n{said}\n{}", run.errors());
        }
        assert!(said.contains("Thread 3 "), "{engine}: three threads:\n{said}");
        // What was reserved, but never used, takes no room.
        use std::os::unix::fs::MetadataExt;
        let about = fs::metadata(&core).expect("a core");
        assert!(about.blocks() * 512 < 4 << 20, "{} bytes on disk", about.blocks() * 512);
    }
}

/// A child that borrows its parent's memory leaves a core, and the parent lives on.
#[test]
fn a_core_of_a_vfork_child() {
    let (crash, dir) = (compiled("crash.c", "-O1 -g -pthread"), Scratch::new("core-vfork"));
    let pattern = dir.path().join("core").display().to_string();
    let run = jib(&["--core", &pattern], &crash, &["vfork"]);
    assert_eq!((run.text().as_str(), run.code()), ("alive, the child died of 11\n", 0), "{}", run.errors());
    assert!(gdb(&crash, Path::new(&pattern), &["bt"]).contains("in main"));
}

#[test]
fn a_core_where_the_kernel_would_put_it() {
    let crash = compiled("crash.c", "-O1 -g -pthread");
    let place = fs::read_to_string("/proc/sys/kernel/core_pattern").expect("no pattern");
    let dir = Scratch::new("core-kernel");
    let with_limit = |limit: &str, option: &str| {
        let script = format!("ulimit -c {limit}; exec \"$0\" run -v --cache off {option} \"$1\" abort");
        let mut sh = Command::new("bash");
        sh.args(["-c", &script]).arg(exe()).arg(&crash).current_dir(dir.path());
        program::run(&mut sh, LIMIT)
    };
    let cores = || -> Vec<PathBuf> {
        let all = fs::read_dir(dir.path()).expect("a folder");
        all.map(|e| e.expect("an entry").path()).collect()
    };
    for (limit, option) in [("0", ""), ("unlimited", "--core off")] {
        let run = with_limit(limit, option);
        assert_eq!((run.code(), run.status.signal()), (134, Some(6)), "{}", run.errors());
        assert!(cores().is_empty(), "none with {limit} {option}: {:?}", cores());
    }
    let run = with_limit("unlimited", "");
    assert_eq!(run.status.signal(), Some(6), "{}", run.errors());
    if place.starts_with('|') {
        assert!(run.errors().contains("`--core FILE`"), "{}", run.errors());
        return;
    }
    if place.contains('/') {
        // Somebody else's folder: what matters is that it was tried there.
        assert!(run.errors().contains("core"), "{}", run.errors());
        return;
    }
    let all = cores();
    assert_eq!(all.len(), 1, "{all:?} {}", run.errors());
    let said = gdb(&crash, &all[0], &["bt"]);
    assert!(said.contains("SIGABRT") && said.contains("in main"), "{said}");
    fs::remove_file(&all[0]).expect("cannot remove");
    // In units of 1024 bytes.
    with_limit("64", "");
    assert!(cores().iter().all(|c| fs::metadata(c).is_ok_and(|m| m.len() <= 64 << 10)) && cores().len() == 1);
}

#[test]
fn an_internal_error_leaves_a_report() {
    let (unknown, dir) = (compiled("unknown.c", "-O1"), Scratch::new("report"));
    let mut command = program::jib(exe(), &["--panic-at", "9999"], &unknown);
    let run = program::run(command.env("TMPDIR", dir.path()), LIMIT);
    let text = run.errors();
    assert_eq!((run.code(), text.lines().count()), (70, 1), "{text}");
    let entry = fs::read_dir(dir.path()).expect("a folder").next().expect("a report").expect("an entry");
    assert!(
        text.starts_with("jib: internal error: as asked for") && text.contains(&*entry.path().display().to_string()),
        "{text}"
    );
    let report = fs::read_to_string(entry.path()).expect("readable");
    for part in [
        "--panic-at 9999",
        "guest pc: 0x",
        "unknown-",
        "x8  000000000000270f",
        "> 0x",
        "getpid = ",
        "host stack:",
        "sse42: ",
    ] {
        assert!(report.contains(part), "no {part:?} in:\n{report}");
    }
    assert!(report.contains("syscall") || report.contains("ask"), "no symbol in:\n{report}");
}

/// Hostile system calls: a few seconds with the same seeds each time, or `JIB_FUZZ_MINUTES` with new ones.
#[test]
fn hostile_system_calls_break_nothing() {
    let source = tools::root().join("tests/guest/fuzz/syscalls.c");
    let fuzz = guest::compile(&source, "-O2 -static -Wall");
    let minutes = std::env::var("JIB_FUZZ_MINUTES").ok().and_then(|m| m.parse::<u64>().ok());
    let until = Instant::now() + Duration::from_secs(60 * minutes.unwrap_or(0));
    let mut seed = match minutes {
        Some(_) => std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |t| t.as_secs() << 20),
        None => 1,
    };
    loop {
        for (engine, options) in [ENGINES[3], ENGINES[1]] {
            let dir = Scratch::new("hostile");
            tools::output(Command::new("chmod").arg("777").arg(dir.path()));
            let place = dir.path();
            tools::output(Command::new("cp").arg(exe()).arg(&fuzz).arg(place));
            let program = place.join(fuzz.file_name().expect("a name"));
            let mut command = Command::new(place.join("jib"));
            command.args(["run", "--cache", "off"]).args(options).arg(program);
            command.args([&seed.to_string(), "24", "400"]).current_dir(place);
            command.env("HOME", "/nonexistent").env("TMPDIR", place);
            tools::without_rights(&mut command);
            let run = program::run(&mut command, Duration::from_secs(600));
            let told = run.errors();
            let at = told.find("jib: ").map_or("", |at| &told[at..]);
            assert!(at.is_empty(), "seed {seed}, {engine}: {}\n{}", at.lines().next().unwrap_or(""), run.text());
            // It may have closed standard error before.
            let named = |e: &fs::DirEntry| e.file_name().to_string_lossy().starts_with("jib-report");
            let reports = fs::read_dir(place).expect("a folder").flatten().filter(named).count();
            assert_eq!(reports, 0, "seed {seed}, {engine}: a report of an internal error");
            assert_eq!(run.code(), 0, "seed {seed}, {engine}: {}", run.text());
            println!("seed {seed}, {engine}: {}", run.text().lines().last().unwrap_or(""));
            seed += 1000;
        }
        if Instant::now() >= until {
            break;
        }
    }
}
