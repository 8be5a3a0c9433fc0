//! A whole Debian userland, made from packages and used by a user without rights: `./test.sh --heavy`.
//!
//! Each script in `tests/guest/heavy` runs inside, after the packages that it needs were installed inside by the
//! guest's own `apt-get`; what it writes must be what its `.expected` says. The root folder is made once and kept
//! (`~/.cache/jib-tests/debian`; `/var/tmp/jib-tests/debian` if root runs this, who becomes nobody for it). `JIB_HEAVY_HOURS` is the time that one step may take, 2 by default.
//! `JIB_SOAK_SECONDS` is how long `soak` goes on.
//!
//! `JIB_HEAVY_QEMU=PATH` has the scripts run by that `qemu-aarch64` instead, static, in the same root: as the kernel
//! leaves it, or with an entry of binfmt_misc if `JIB_HEAVY_ENTRY` is set. Each test tells its time.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jib_testing::program::{self, Run};
use jib_testing::tools;

/// One at a time: they share the root and its package system.
static TURN: Mutex<()> = Mutex::new(());

fn limit() -> Duration {
    let hours = std::env::var("JIB_HEAVY_HOURS").ok().and_then(|h| h.parse().ok()).unwrap_or(2);
    Duration::from_secs(3600 * hours)
}

/// Where the root and a copy of jib are; a place that a user without rights can reach.
fn base() -> PathBuf {
    if !tools::is_root() {
        return tools::cache();
    }
    let base = PathBuf::from("/var/tmp/jib-tests");
    fs::create_dir_all(&base).expect("cannot make a folder");
    std::os::unix::fs::chown(&base, Some(tools::NOBODY), Some(tools::NOBODY)).expect("cannot give it away");
    base
}

/// `jib ARGS` as a user without rights.
fn jib(args: &[&str]) -> Command {
    let base = base();
    let copy = base.join("jib");
    // Another jib may be running from the old one.
    let fresh = tools::unique(&copy);
    fs::copy(program::under_test(env!("CARGO_BIN_EXE_jib")), &fresh).expect("cannot copy");
    fs::rename(&fresh, &copy).expect("cannot rename");
    let mut command = Command::new(copy);
    command.args(args).current_dir(&base).env("HOME", "/root").env("LC_ALL", "C");
    tools::without_rights(&mut command);
    command
}

fn inside(script: &str) -> Run {
    let folder = base().join("debian").display().to_string();
    program::run(&mut jib(&["shell", "--bare", &folder, "--", "/bin/sh", "-c", script]), limit())
}

/// The same by `qemu`.
fn by_qemu(qemu: &str, script: &str) -> Run {
    let base = base();
    let copy = base.join("qemu");
    fs::copy(qemu, &copy).expect("cannot copy");
    let mut command = Command::new("/bin/sh");
    command.arg(tools::root().join("tests/guest/heavy/by-qemu")).arg(base.join("debian")).arg(copy).arg(script);
    command.args(std::env::var_os("JIB_HEAVY_ENTRY").map(|_| "entry"));
    command.current_dir(&base).env("HOME", "/root").env("LC_ALL", "C");
    program::run(tools::without_rights(&mut command), limit())
}

/// Processor time of all children that have ended, in seconds.
fn children() -> f64 {
    const TICKS: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").expect("no /proc");
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    fields[13..15].iter().filter_map(|f| f.parse::<f64>().ok()).sum::<f64>() / TICKS
}

fn check(name: &str) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let base = base();
    let ready = base.join("debian/.ready");
    if !ready.exists() {
        let partial = base.join("debian");
        let _ = fs::remove_dir_all(&partial);
        let folder = partial.display().to_string();
        let made = program::run(&mut jib(&["shell", "--debian", &folder, "--", "/bin/true"]), limit());
        assert_eq!(made.code(), 0, "cannot make a root: {}", made.errors());
        let updated = inside("apt-get -q update && touch /.ready");
        assert_eq!(updated.code(), 0, "apt-get update: {}{}", updated.text(), updated.errors());
    }
    let script = tools::root().join("tests/guest/heavy").join(name).with_extension("sh");
    let text = fs::read_to_string(&script).expect("no script");
    let needs = text.lines().find_map(|l| l.strip_prefix("# needs:")).unwrap_or_default().trim();
    if !needs.is_empty() {
        let install =
            format!("DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install {needs} 2>&1");
        let installed = inside(&install);
        assert_eq!(installed.code(), 0, "{install}:\n{}{}", installed.text(), installed.errors());
    }
    let wanted = fs::read(script.with_extension("expected")).expect("no expected output");
    let before = children();
    let run = match std::env::var("JIB_HEAVY_QEMU") {
        Ok(qemu) => by_qemu(&qemu, &text),
        Err(_) => inside(&text),
    };
    println!("{name}: {:.1} s, {:.1} s of processors", run.time.as_secs_f64(), children() - before);
    program::check(name, &run, &wanted, 0);
}

macro_rules! heavy {
    ($($name:ident)*) => {$(
        #[test]
        #[ignore = "takes minutes to hours: ./test.sh --heavy"]
        fn $name() {
            check(stringify!($name));
        }
    )*};
}

heavy! {
    apt compilers tools python_mmap python_signal python_threading python_socket python_asyncio
    python_multiprocessing_fork python_subprocess go rust node java redis postgres strace gdb soak
}

/// Each script is a test, and each test has a script.
#[test]
fn every_script_is_run() {
    let folder = tools::root().join("tests/guest/heavy");
    let own = fs::read_to_string(tools::root().join("tests/heavy.rs")).expect("no source");
    let list = own.split("\nheavy! {").nth(1).and_then(|t| t.split('}').next()).expect("no list");
    let mut named: Vec<String> = list.split_whitespace().map(str::to_string).collect();
    let entries = fs::read_dir(folder).expect("no folder").flatten().map(|e| e.path());
    let scripts = entries.filter(|p| p.extension().is_some_and(|e| e == "sh"));
    let mut there: Vec<String> = scripts.map(|p| p.file_stem().unwrap_or_default().to_string_lossy().into()).collect();
    named.sort();
    there.sort();
    assert_eq!(named, there);
}
