//! The folder where translations are kept: who gets which, and the stable addresses that images have with it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use jib_backend::cache_dir::DEFAULT_LIMIT;
use jib_testing::program::{self, Run};
use jib_testing::tools::{self, NOBODY, Scratch, is_root};
use jib_testing::{fetch, guest};

/// `jib` without the variables of whoever runs the tests.
fn jib() -> Command {
    let mut command = Command::new(program::under_test(env!("CARGO_BIN_EXE_jib")));
    command.env_remove("JIB_CACHE").env_remove("XDG_CACHE_HOME");
    command
}

fn run(command: &mut Command) -> Run {
    program::run(command, Duration::from_secs(60))
}

/// What it writes, having ended well and in silence.
fn says(command: &mut Command) -> String {
    let run = run(command);
    assert_eq!((run.code(), run.errors().as_str()), (0, ""), "{command:?}");
    run.text()
}

fn places(flags: &str) -> PathBuf {
    guest::compile(&tools::root().join("tests/guest/system/places.c"), flags)
}

/// The number after `name`.
fn address(text: &str, name: &str) -> u64 {
    let mut words = text.split_whitespace().skip_while(|word| *word != name);
    let number = words.nth(1).and_then(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok());
    number.unwrap_or_else(|| panic!("no {name} in {text:?}"))
}

const IMAGES: [&str; 5] = ["self", "linker", "libc", "libm", "late"];

#[test]
fn images_are_where_they_were() {
    let dir = Scratch::new("cache-places");
    let (program, other) = (places("-O1 -fno-builtin"), places("-O2 -fno-builtin"));
    let tell = |cache: &str, program: &Path, args: &[&str]| {
        says(jib().args(["run", "--cache"]).arg(dir.path().join(cache)).arg(program).args(args))
    };
    let first = tell("a", &program, &[]);
    assert!(first.ends_with("none 0\n"), "{first}");
    for name in IMAGES {
        let at = address(&first, name);
        assert!((0x6000_0000_0000..0x7000_0000_0000).contains(&at), "{name} in {first}");
    }
    assert_eq!(tell("a", &program, &[]), first);
    assert_eq!(tell("a", &program, &["exec"]), first, "an executed program");
    let by_variable = says(jib().env("JIB_CACHE", dir.path().join("a")).arg(&program));
    assert_eq!(by_variable, first);
    let by_default = says(jib().env("XDG_CACHE_HOME", dir.path()).arg(&program));
    assert_eq!(by_default, says(jib().args(["run", "--cache"]).arg(dir.path().join("jib")).arg(&program)));

    let another = tell("a", &other, &[]);
    assert_ne!(address(&another, "self"), address(&first, "self"));
    for name in &IMAGES[1..] {
        assert_eq!(address(&another, name), address(&first, name), "{name}: {another}{first}");
    }
    let elsewhere = tell("b", &program, &[]);
    for name in IMAGES {
        assert_ne!(address(&elsewhere, name), address(&first, name), "{name}: {elsewhere}{first}");
    }
}

#[test]
fn without_a_folder_addresses_are_random() {
    let dir = Scratch::new("cache-off");
    let program = places("-O1 -fno-builtin");
    let off: [fn(&mut Command) -> &mut Command; 3] = [
        |c| c.args(["run", "--cache", "off"]),
        |c| c.env("JIB_CACHE", "off").arg("run"),
        // There is no such home, and we do not make one.
        |c| c.env("HOME", "/nonexistent").arg("run"),
    ];
    for (i, off) in off.iter().enumerate() {
        for args in [&[][..], &["exec"]] {
            let mut command = jib();
            command.env("HOME", dir.path());
            let text = |command: &mut Command| says(command);
            off(&mut command).arg(&program).args(args);
            let seen: BTreeSet<u64> = (0..4).map(|_| address(&text(&mut command), "libc")).collect();
            assert!(seen.len() > 1, "way {i} {args:?}: libc is always at {seen:x?}");
            assert!(seen.iter().all(|at| !(0x6000_0000_0000..0x7000_0000_0000).contains(at)), "{seen:x?}");
        }
    }
    assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 0);
    assert!(!Path::new("/nonexistent").exists());
}

/// As the dynamic linkers of musl, older and newer glibc do it.
#[test]
fn first_mappings_of_a_library() {
    let dir = Scratch::new("cache-mappings");
    let (library, cache) = (dir.path().join("library"), dir.path().join("cache"));
    fs::write(&library, [&b"\x7fELF"[..], &[7; 5000]].concat()).expect("cannot write");
    let program = places("-O1 -fno-builtin");
    let text = says(jib().args(["run", "--cache"]).args([&cache, &program, &library]));
    let place = address(&text, "code");
    assert!((0x6000_0000_0000..0x7000_0000_0000).contains(&place) && place.is_multiple_of(2 << 20), "{text}");
    for (name, there) in [("data", false), ("first", true), ("room", true), ("more", false)] {
        assert_eq!(address(&text, name) == place, there, "{name}: {text}");
    }
}

#[test]
fn in_another_root() {
    let dir = Scratch::new("cache-root");
    let at = |sub: &str| dir.path().join(sub);
    fs::create_dir_all(at("root/bin")).expect("cannot make a folder");
    fs::copy(fetch::busybox(), at("root/bin/sh")).expect("cannot copy");
    fs::copy(places("-O1 -static-pie -DALONE"), at("root/bin/places")).expect("cannot copy");
    let tell = |cache: &str| {
        // The folder is named as seen from outside.
        let options = ["run", "--cache", cache, "--bare", "--root", "root"];
        let script = ["/bin/sh", "-c", "places; places exec; exit"];
        says(jib().args(options).args(script).env("PATH", "/bin").current_dir(dir.path()))
    };
    let first = tell("a");
    assert_eq!(first.lines().next(), first.lines().nth(1));
    assert_eq!((first.clone(), first == tell("b")), (tell("a"), false));
    assert!(at("a/salt").exists());
}

/// Why `jib run -v OPTIONS` keeps nothing.
fn refusal(command: &mut Command) -> String {
    refusal_of(command, &[])
}

fn refusal_of(command: &mut Command, args: &[&str]) -> String {
    let run = run(command.arg(places("-O1 -static-pie -DALONE")).args(args));
    assert_eq!(run.code(), 0, "{command:?}");
    let at = address(&run.text(), "self");
    assert!(!(0x6000_0000_0000..0x7000_0000_0000).contains(&at), "{command:?}: {}", run.text());
    assert_eq!(run.errors().lines().count(), 1, "{}", run.errors());
    run.errors()
}

#[test]
fn folders_that_are_not_ours_alone_are_not_used() {
    let dir = Scratch::new("cache-rules");
    let at = |sub: &str| dir.path().join(sub);
    for (name, mode) in [("group", 0o770), ("others", 0o707), ("theirs", 0o700)] {
        fs::create_dir(at(name)).expect("cannot make a folder");
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).expect("cannot chmod");
    }
    fs::write(at("file"), "").expect("cannot write");
    symlink("/usr", at("link")).expect("cannot link");
    symlink("/nonexistent/folder", at("dangling")).expect("cannot link");
    let mut cases = vec![
        ("group", "others may write to it (mode 0770)"),
        ("others", "others may write to it (mode 0707)"),
        ("file", "cannot be opened: Not a directory"),
        ("dangling", "cannot be opened: No such file"),
        ("absent/folder", "cannot be made: No such file"),
    ];
    if is_root() {
        chown(at("theirs"), Some(NOBODY), Some(NOBODY)).expect("cannot chown");
        fs::remove_file(at("link")).expect("cannot remove");
        symlink("theirs", at("link")).expect("cannot link");
        cases.extend([("theirs", "it belongs to user 65534"), ("link", "it belongs to user 65534")]);
    } else {
        cases.push(("link", "it belongs to user 0"));
    }
    for (name, why) in cases {
        let text = refusal(jib().args(["run", "-v", "--cache"]).arg(at(name)));
        assert!(text.contains(why) && text.contains(&at(name).display().to_string()), "{name}: {text}");
    }
    let text = refusal(jib().args(["run", "-v"]).env_remove("HOME"));
    assert!(text.contains("neither --cache nor HOME"), "{text}");
    assert_eq!(run(jib().args(["run", "--cache", ""]).arg("x")).code(), 2);
}

/// Root alone can become somebody else.
#[test]
fn folders_do_not_go_from_user_to_user() {
    if !is_root() {
        return;
    }
    let dir = Scratch::new("cache-secure");
    // A program that gives its rights up, and one that has more than its caller.
    let mut command = jib();
    command.args(["run", "-v", "--cache"]).arg(dir.path().join("roots"));
    let text = refusal_of(&mut command, &["drop"]);
    assert!(text.contains("it belongs to user 0"), "{text}");
    let script = "import os, sys; os.setresuid(65534, 0, 0); os.execv(sys.argv[1], sys.argv[1:])";
    let cache = dir.path().join("cache");
    let mut python = tools::command("python3");
    python.args(["-c", script]).arg(program::under_test(env!("CARGO_BIN_EXE_jib")));
    let text = refusal(python.args(["run", "-v", "--cache"]).arg(&cache));
    assert!(text.contains("more rights than its caller") && !cache.exists(), "{text}");
}

#[test]
fn the_folder_is_looked_at_and_emptied() {
    let dir = Scratch::new("cache-verb");
    let cache = dir.path().join("jib");
    let name = cache.display().to_string();
    let verb = |args: &[&str]| says(jib().arg("cache").args(args).env("XDG_CACHE_HOME", dir.path()));
    assert_eq!(verb(&["stat"]), format!("{name}: 0 files, 0.0 MiB\n"));
    assert_eq!(verb(&["clear"]), format!("{name}: 0 files, 0.0 MiB\n"));
    assert!(!cache.exists(), "looking changes something");
    // Nothing is translated, so that the folder is made and no more.
    let options = ["run", "--engine", "interp"];
    says(jib().args(options).arg(places("-O1 -static-pie -DALONE")).env("XDG_CACHE_HOME", dir.path()));
    assert_eq!(fs::metadata(&cache).expect("a folder").mode() & 0o7777, 0o700);
    fs::write(cache.join("lock"), "not ours").expect("cannot write");
    for i in 1..=4 {
        let file = fs::File::create(cache.join(format!("{i:032x}.jibcache"))).expect("cannot write");
        file.set_len(1 << 20).expect("cannot grow");
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1000 * i)).expect("cannot date");
    }
    assert_eq!(verb(&["stat"]), format!("{name}: 4 files, 4.0 MiB\n"));
    let doctor = run(jib().arg("doctor").env("XDG_CACHE_HOME", dir.path())).text();
    assert!(doctor.contains(&format!("ok   translations are kept in {name}: 4 files, 4.0 MiB\n")), "{doctor}");
    let gc_help = says(jib().args(["cache", "gc", "--help"]));
    assert!(gc_help.contains(&format!("[default: {}M]", DEFAULT_LIMIT >> 20)), "{gc_help}");
    assert_eq!(verb(&["gc"]), format!("{name}: 0 files, 0.0 MiB removed, 4 files, 4.0 MiB left\n"));
    assert_eq!(
        verb(&["gc", "--max-size", "3000K"]),
        format!("{name}: 2 files, 2.0 MiB removed, 2 files, 2.0 MiB left\n")
    );
    assert!(!cache.join(format!("{:032x}.jibcache", 2)).exists() && cache.join("salt").exists());
    assert_eq!(verb(&["clear"]), format!("{name}: 2 files, 2.0 MiB removed, 0 files, 0.0 MiB left\n"));
    assert!(!cache.join("salt").exists() && cache.join("lock").exists());

    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).expect("cannot chmod");
    let refused = [
        (vec!["--cache", &name, "clear"], 1, "others may write to it"),
        (vec!["--cache", "off", "stat"], 1, "the cache is off"),
        (vec!["gc", "--max-size", "1T"], 2, "K, M or G"),
    ];
    for (args, code, why) in refused {
        let run = run(jib().arg("cache").args(&args));
        assert_eq!((run.code(), run.errors().contains(why)), (code, true), "{args:?}: {}", run.errors());
    }
    let doctor = run(jib().arg("doctor").env("XDG_CACHE_HOME", dir.path())).text();
    assert!(doctor.contains(&format!("note translations are not kept in {name}: others may write")), "{doctor}");
    assert!(says(jib().args(["cache", "--help"])).contains("Examples:"));
}
