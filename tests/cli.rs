//! The command line: what it passes on, how it ends, and one clear line for everything that cannot be run.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use jib_testing::guest;
use jib_testing::program::{self, Run};
use jib_testing::tools::{self, Scratch};

fn exe() -> Command {
    let mut command = Command::new(program::under_test(env!("CARGO_BIN_EXE_jib")));
    // What is told must not depend on earlier runs.
    command.env("JIB_CACHE", "off");
    command
}

fn run(command: &mut Command) -> Run {
    program::run(command, Duration::from_secs(60))
}

fn show() -> PathBuf {
    guest::compile(&tools::root().join("tests/guest/system/show.c"), "-O1 -static")
}

/// One line, ours, without a panic in it.
fn refused(what: &str, run: &Run, code: i32, says: &str) {
    let text = run.errors();
    assert_eq!(run.code(), code, "{what}: exit code; it said {text:?}");
    assert!(text.starts_with("jib: ") && text.lines().count() == 1, "{what}: not one line of ours: {text:?}");
    assert!(text.contains(says), "{what}: does not say {says:?}: {text:?}");
    assert!(run.stdout.is_empty(), "{what}: wrote to standard output");
}

#[test]
fn what_cannot_be_run_is_refused_in_one_line() {
    let dir = Scratch::new("cli");
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).expect("cannot write");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("cannot chmod");
        path
    };
    let good = fs::read(show()).expect("no program");
    let mut arm32 = good.clone();
    (arm32[4], arm32[18]) = (1, 40);
    let mut big_endian = good.clone();
    big_endian[5] = 2;
    let cases: Vec<(&str, PathBuf, i32, &str)> = vec![
        ("no such file", dir.path().join("absent"), 127, "absent"),
        ("a path through a file", file("plain", b"x").join("x"), 127, "plain"),
        ("a directory", dir.path().into(), 126, "regular file"),
        ("a text", file("text", b"hello there, this is no program at all\n"), 126, "text"),
        ("an empty file", file("empty", b""), 126, "empty"),
        ("an x86-64 program", "/bin/true".into(), 126, "x86"),
        ("a 32-bit Arm program", file("arm32", &arm32), 126, "arm32"),
        ("a big-endian program", file("big", &big_endian), 126, "big"),
        ("half a header", file("half", &good[..40]), 126, "half"),
        ("a truncated program", file("cut", &good[..good.len() / 3]), 126, "cut"),
        ("a script for nothing", file("script", b"#!/nonexistent/interpreter\n"), 126, "nonexistent"),
    ];
    for (what, path, code, says) in cases {
        refused(what, &run(exe().arg("run").arg(&path)), code, says);
        refused(what, &run(exe().arg(&path)), code, says);
    }
    let c = guest::compile(&tools::root().join("tests/guest/c/hello.c"), "-O2 -Wl,--dynamic-linker=/nonexistent/ld.so");
    refused("a missing dynamic linker", &run(exe().arg(&c)), 126, "/nonexistent/ld.so");
}

#[test]
fn damaged_programs_never_make_us_panic() {
    let dir = Scratch::new("damaged");
    let good = fs::read(guest::compile(&tools::root().join("tests/guest/c/hello.c"), "-O2")).expect("no program");
    let mut random = jib_testing::random::Random::new(1);
    for i in 0..150 {
        let mut bytes = good.clone();
        for _ in 0..1 + random.below(4) {
            // The header and the program headers are what the loader believes.
            let at = random.below(64 + 56 * 9) as usize;
            bytes[at] = if random.chance(50) { random.u64() as u8 } else { 0xff };
        }
        let path = dir.path().join(format!("p{i}"));
        fs::write(&path, &bytes).expect("cannot write");
        let run = run(exe().args(["run", "--engine", "interp"]).arg(&path));
        let text = run.errors();
        assert!(!text.contains("internal error") && run.code() != 70, "damaged program {i}: {text}");
        fs::remove_file(path).expect("cannot remove");
    }
}

#[test]
fn a_file_that_may_not_be_read() {
    let dir = Scratch::new("secret");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("cannot chmod");
    let jib = dir.path().join("jib");
    fs::copy(program::under_test(env!("CARGO_BIN_EXE_jib")), &jib).expect("cannot copy");
    let secret = dir.path().join("secret");
    fs::copy(show(), &secret).expect("cannot copy");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).expect("cannot chmod");
    let mut command = Command::new(&jib);
    // Root may read everything.
    tools::without_rights(&mut command);
    refused("no permission", &run(command.arg(&secret).current_dir("/")), 126, "ermission denied");
}

#[test]
fn usage_errors_say_what_to_try() {
    refused("nothing", &run(&mut exe()), 2, "--help");
    refused("an unknown option", &run(exe().args(["--frobnicate", "x"])), 2, "--frobnicate");
    refused("an unknown engine", &run(exe().args(["run", "--engine", "warp", "x"])), 2, "warp");
    refused("no program", &run(exe().args(["run", "--strace"])), 2, "--help");
    refused("a bad assignment", &run(exe().args(["run", "-E", "nothing", "x"])), 2, "VAR=VALUE");
    refused("a bad number", &run(exe().args(["run", "--threshold", "many", "x"])), 2, "many");
    refused("a missing directory", &run(exe().args(["run", "-C", "/nonexistent"]).arg(show())), 126, "/nonexistent");
}

#[test]
fn help_and_version() {
    for args in [&["--help"][..], &["run", "--help"], &["translate", "--help"], &["--version"]] {
        let run = run(exe().args(args).env("NO_COLOR", "1"));
        assert_eq!((run.code(), run.errors().as_str()), (0, ""), "{args:?}");
        assert!(run.text().contains("jib") && !run.text().contains('\u{1b}'), "{args:?}: {}", run.text());
    }
    assert!(run(exe().arg("--help")).text().contains("Examples:"));
}

#[test]
fn arguments_environment_directory() {
    let out = |command: &mut Command| run(command).text();
    let show = show();
    let name = show.display().to_string();
    let text = out(exe().arg(&show).args(["-v", "--strace", "--", "", "a b"]).env("A", "1").current_dir("/usr"));
    assert_eq!(text, format!("[{name}][-v][--strace][--][][a b] in /usr, A=1, HOME set\n"));
    let text = out(exe().args(["run", "-E", "A=x=y", "-U", "HOME", "-C", "/", "--argv0", "me"]).arg(&show));
    assert_eq!(text, "[me] in /, A=x=y, HOME unset\n");
    let text = out(exe().args(["run", "-E", "A=1", "-E", "A=2"]).arg(&show).current_dir("/"));
    assert!(text.contains("A=2"), "the last assignment counts: {text}");
}

#[test]
fn along_path() {
    let show = show();
    let (dir, name) = (show.parent().expect("has a parent"), show.file_name().expect("has a name"));
    let run = run(exe().arg(name).current_dir("/").env("PATH", dir));
    assert_eq!(run.code(), 0, "{}", run.errors());
}

#[test]
fn exit_codes_and_deaths_are_the_guests() {
    for code in [0, 1, 42, 126, 255] {
        let run = run(exe().arg(show()).args(["exit", &code.to_string()]));
        assert_eq!((run.code(), run.errors().as_str()), (code, ""));
    }
    for signal in [1, 2, 6, 9, 11, 13, 15] {
        let run = run(exe().arg(show()).args(["die", &signal.to_string()]));
        assert_eq!(run.status.signal(), Some(signal), "signal {signal}: {:?} {}", run.status, run.errors());
    }
}

#[test]
fn pipes_pass_through() {
    let mut child = exe().arg(show()).arg("copy").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("no jib");
    let text: Vec<u8> = (0..100_000u32).flat_map(|i| i.to_le_bytes()).collect();
    let mut stdin = child.stdin.take().expect("stdin was piped");
    let copy = text.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&copy));
    let out = child.wait_with_output().expect("cannot wait");
    writer.join().expect("writer died").expect("cannot write");
    assert!(out.stdout == text, "a copy differs");
    // A closed pipe kills the guest, as it would any program.
    let mut child = exe().arg(show()).arg("flood").stdout(Stdio::piped()).spawn().expect("no jib");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("cannot wait").signal(), Some(13), "SIGPIPE");
}

#[test]
fn our_words_are_apart_from_the_guests() {
    let hello = guest::compile(&tools::root().join("tests/guest/c/hello.c"), "-O2 -static");
    let run = run(exe().args(["run", "--strace", "--stats", "-v"]).arg(&hello));
    assert_eq!((run.code(), run.text().as_str()), (0, "hello, world\n"));
    let errors = run.errors();
    assert!(errors.contains("write(1, ") && errors.contains("jib: interpreter  "), "{errors}");
    assert!(!errors.contains('\u{1b}'), "colours in a file");
}

#[test]
fn translate_shows_every_stage() {
    let hello = guest::compile(&tools::root().join("tests/guest/c/hello.c"), "-O2 -static");
    let run_main = run(exe().arg("translate").arg(&hello).arg("main"));
    assert_eq!(run_main.code(), 0, "{}", run_main.errors());
    for section in ["=== insn", "=== ir", "=== opt", "=== quick", "=== clif", "=== asm"] {
        assert!(run_main.text().contains(section), "{section} is missing:\n{}", run_main.text());
    }
    let words = run(exe().args(["translate", "--emit", "insn,ir", "--words", "f1000484 54ffffe1"]));
    assert!(words.text().contains("subs") && !words.text().contains("=== asm"), "{}{}", words.text(), words.errors());
    refused("no such symbol", &run(exe().arg("translate").arg(&hello).arg("nope")), 126, "nope");
    refused("no code there", &run(exe().arg("translate").arg(&hello).arg("0x10")), 126, "0x10");
    refused("not ours", &run(exe().args(["translate", "/bin/true"])), 126, "AArch64");
    refused("no words", &run(exe().args(["translate", "--words", "xyz"])), 126, "xyz");
}

#[test]
fn what_ran_is_shown_on_demand_and_not_on_standard_output() {
    let exe_path = guest::compile(&tools::root().join("tests/guest/c/integer.c"), "-O2 -static-pie");
    let plain = run(exe().args(["run"]).arg(&exe_path).arg("20"));
    let shown = run(exe()
        .args(["run", "--sync", "--threshold", "20", "--stats", "--emit", "insn,ir,opt,quick,clif,asm"])
        .args(["--emit-hot", "1"])
        .arg(&exe_path)
        .arg("20"));
    assert_eq!(shown.stdout, plain.stdout);
    let text = shown.errors();
    for part in [
        "=== insn",
        "=== ir",
        "=== opt",
        "=== quick",
        "=== clif",
        "=== asm",
        "executed",
        "compiled code left",
        "not linked",
    ] {
        assert!(text.contains(part), "{part} is missing");
    }
    assert_eq!(text.matches("#####").count(), 1, "one region was asked for");

    let dir = Scratch::new("emit");
    let file = dir.path().join("emitted");
    let quiet = run(exe()
        .args(["run", "--emit", "insn", "--emit-range", "main", "--emit-file"])
        .args([file.as_os_str(), exe_path.as_os_str()])
        .arg("20"));
    assert_eq!((quiet.errors().as_str(), &quiet.stdout), ("", &plain.stdout));
    let text = fs::read_to_string(&file).expect("no file");
    assert!(text.contains("=== insn") && text.contains("  stp "), "{text}");
    assert_eq!(run(exe().args(["run", "--emit-file"]).args([file, exe_path.clone()])).code(), 2, "a file for nothing");

    let wrong = run(exe().args(["run", "--emit", "insn", "--emit-range", "nothing_of_that_name"]).arg(&exe_path));
    refused("a symbol that is not there", &wrong, 2, "nothing_of_that_name");
}

#[test]
fn what_ran_is_shown_wherever_the_program_went() {
    let dir = Scratch::new("emit-away");
    let show = guest::compile(&tools::root().join("tests/guest/system/show.c"), "-O1 -static-pie");
    fs::copy(show, dir.path().join("show")).expect("a copy");
    let options = ["run", "--emit", "insn", "--emit-range", "main", "--emit-file", "emitted", "./show", "away"];
    let away = run(exe().args(options).current_dir(dir.path()));
    assert_eq!((away.code(), away.errors().as_str()), (0, ""));
    let text = fs::read_to_string(dir.path().join("emitted")).expect("no file");
    assert!(text.contains("=== insn") && text.contains("  stp "), "{text}");
}

#[test]
fn a_reader_may_leave() {
    for args in [&["doctor"][..], &["binfmt", "status"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let left = exe().args(args).stdout(writer).output().expect("it starts");
        assert_eq!(String::from_utf8_lossy(&left.stderr), "", "{args:?}");
    }
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let status = exe().arg("/nonexistent").stderr(writer).status().expect("it starts");
    assert_eq!(status.code(), Some(127));
}

#[test]
fn disks_that_cannot_be_made_or_booted() {
    let dir = Scratch::new("cli");
    let disk = dir.path().join("disk");
    // A file system's magic, and nothing else of one.
    let mut bytes = vec![0; 4096];
    bytes[0x438..0x43a].copy_from_slice(&[0x53, 0xef]);
    fs::write(&disk, bytes).expect("cannot write");
    let rw = format!("{},rw", disk.display());
    refused("made twice", &run(exe().args(["boot", "--debian", &rw])), 1, "disk: is there already");
    refused("damaged", &run(exe().args(["boot", &rw])), 1, "disk: ");
    fs::write(&disk, "text").expect("cannot write");
    refused("neither", &run(exe().args(["boot"]).arg(&disk)), 1, "neither an arm64 Image nor");
    let nowhere = dir.path().join("none/disk");
    refused("no folder", &run(exe().args(["boot", "--debian"]).arg(&nowhere)), 1, "cannot make");
    refused("none", &run(exe().args(["boot"]).arg(&nowhere)), 1, "No such file");
}
