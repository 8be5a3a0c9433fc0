//! Whole guests that take long: a Debian system with systemd on a disk, a kernel with pages of 16 KiB, fifty boots in
//! a row: a part of `./test.sh --heavy`.
//!
//! The disk is made once and kept (`~/.cache/jib-tests/debian.img`).

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use jib_testing::program;
use jib_testing::tools::{self, Scratch};

/// Longest that a guest may take for one thing.
const LIMIT: Duration = Duration::from_secs(600);
/// How the guest's shell asks.
const PROMPT: &str = "root@jib:~# ";

fn jib(args: &[&str]) -> Command {
    let mut command = Command::new(program::under_test(env!("CARGO_BIN_EXE_jib")));
    command.args(args);
    command
}

/// A user at the console of a running guest.
struct Console {
    child: Child,
    output: Receiver<Vec<u8>>,
    seen: String,
}

impl Console {
    fn new(command: &mut Command) -> Console {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("cannot start jib");
        let (sender, output) = mpsc::channel();
        let mut from: ChildStdout = child.stdout.take().expect("piped");
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Console { child, output, seen: String::new() }
    }

    /// What the guest says up to `text`, without it.
    fn expect(&mut self, text: &str) -> String {
        let end = Instant::now() + LIMIT;
        loop {
            if let Some((before, rest)) = self.seen.split_once(text) {
                let (before, rest) = (before.to_string(), rest.to_string());
                self.seen = rest;
                return before;
            }
            match self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("no {text:?} in:\n{}", self.seen),
            }
        }
    }

    fn send(&mut self, line: &str) {
        self.child.stdin.as_mut().expect("piped").write_all(format!("{line}\n").as_bytes()).expect("cannot write");
    }

    /// What the guest's shell answers, without the echo of the command.
    fn ask(&mut self, command: &str) -> Vec<String> {
        self.send(command);
        let answer = self.expect(PROMPT);
        // A terminal's settings may be among it.
        let lines = answer.lines().skip(1).map(|l| l.replace("\x1b[?2004l", "").replace("\x1b[?2004h", ""));
        lines.map(|l| l.trim().to_string()).filter(|l| !l.is_empty()).collect()
    }

    fn exit_code(mut self) -> i32 {
        // Reads to the end, lest the guest waits for room.
        while self.output.recv_timeout(LIMIT).is_ok() {}
        self.child.wait().expect("cannot wait").code().unwrap_or(-1)
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
    }
}

/// The disk with Debian, made if it is not there.
fn debian() -> PathBuf {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock();
    let disk = tools::cache().join("debian.img");
    if !disk.exists() {
        let made = program::run(
            &mut jib(&["boot", "--debian", &disk.display().to_string(), "--timeout", "1"]),
            Duration::from_secs(2 * 3600),
        );
        assert_eq!(made.code(), 124, "{}", made.errors());
    }
    disk
}

/// Boots the disk and logs in.
fn log_in(disk: &Path, options: &[&str]) -> Console {
    let disk = format!("{},rw", disk.display());
    let mut console = Console::new(jib(&["boot", &disk]).args(options));
    console.expect("jib login: ");
    console.send("root");
    console.expect(PROMPT);
    // A kernel on a busy host may warn of late timers, in the middle of an answer.
    console.ask("dmesg -n 1");
    console.ask("stty cols 200; export SYSTEMD_PAGER=cat PAGER=cat");
    console
}

fn debian_to_login(options: &[&str]) {
    let scratch = Scratch::new("debian");
    let disk = scratch.path().join("disk");
    // Most of it is holes.
    tools::output(Command::new("cp").arg("--sparse=always").arg(debian()).arg(&disk));
    let mut first = log_in(&disk, options);
    assert_eq!(first.ask("systemctl is-system-running --wait"), ["running"]);
    assert_eq!(first.ask("systemctl --failed --no-legend"), [""; 0]);
    assert_eq!(first.ask("id -un; uname -m; findmnt -no FSTYPE /"), ["root", "aarch64", "ext4"]);
    assert_eq!(first.ask("until ip -4 -br address | grep -o 10.0.2.15; do sleep 1; done"), ["10.0.2.15"]);
    assert_eq!(first.ask("ping -c 1 10.0.2.2 | grep -c '1 received'"), ["1"]);
    // Users and units of one's own.
    assert_eq!(first.ask("useradd -m guest && su - guest -c 'id -un'"), ["guest"]);
    assert_eq!(
        first.ask("systemd-run -q --wait -p User=guest sh -c 'echo kept > ~/file' && cat ~guest/file"),
        ["kept"]
    );
    first.send("reboot");
    // Again by itself, with what was written.
    first.expect("jib login: ");
    first.send("guest");
    first.expect("Password: ");
    first.send("wrong");
    first.expect("Login incorrect");
    first.expect("login: ");
    first.send("root");
    first.expect(PROMPT);
    assert_eq!(first.ask("cat ~guest/file; journalctl -q --list-boots | wc -l"), ["kept", "2"]);
    first.send("poweroff");
    assert_eq!(first.exit_code(), 0);
    // The host finds what the guest left.
    let checked = tools::command("e2fsck").args(["-f", "-n"]).arg(&disk).output().expect("cannot start");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

#[test]
#[ignore = "takes minutes: ./test.sh --heavy"]
fn debian_with_systemd_to_a_login() {
    debian_to_login(&["-j", "2"]);
}

#[test]
#[ignore = "takes minutes: ./test.sh --heavy"]
fn debian_with_systemd_by_another_kernel() {
    debian_to_login(&["--gic", "2", "--package", "linux-image-cloud-arm64/trixie"]);
}

#[test]
#[ignore = "fetches 100 MB: ./test.sh --heavy"]
fn pages_of_16_kib() {
    let script = "grep -m1 KernelPageSize /proc/self/smaps; i=0; while [ $i -lt 100 ]; do /bin/busybox true; i=$((i+1)); done; \
                  echo $i; head -c 33554432 /dev/zero | sha256sum";
    let args = ["boot", "--package", "linux-image-arm64-16k/trixie", "-j", "2", "--", "sh", "-c", script];
    let run = program::run(&mut jib(&args), LIMIT);
    let sum = "83ee47245398adee79bd9c0a8bc57b821e92aba10f5f9ade8a5d1fae4d8c4302  -";
    let words: Vec<Vec<&str>> = std::str::from_utf8(&run.stdout)
        .unwrap_or_default()
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let sum: Vec<&str> = sum.split_whitespace().collect();
    assert_eq!(words, [vec!["KernelPageSize:", "16", "kB"], vec!["100"], sum], "{}", run.errors());
    assert_eq!(run.code(), 0);
}

#[test]
#[ignore = "takes minutes: ./test.sh --heavy"]
fn fifty_boots_in_a_row() {
    for number in 1..=50 {
        let run = program::run(&mut jib(&["boot", "-j", "2", "--timeout", "300", "--", "nproc"]), LIMIT);
        assert_eq!((run.text().as_str(), run.code()), ("2\n", 0), "boot {number}: {}", run.errors());
    }
}
