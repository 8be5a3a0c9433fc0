//! Whole programs: run one under jib or qemu with a time limit, and compare what they say.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::tools;

/// The ways to run a program: name, options of `jib run` and `jib boot`. By the last one, what the one before kept is
/// found.
pub const ENGINES: &[(&str, &[&str])] = &[
    ("interp", &["--engine", "interp"]),
    ("quick at once", &["--quick", "0", "--threshold", "4294967295"]),
    ("jit at once", &["--quick", "4294967295", "--threshold", "1", "--sync"]),
    ("jit", &["--engine", "jit"]),
    ("jit again", &["--engine", "jit"]),
];

/// The `jib` to be tested: what `JIB_UNDER_TEST` names, else `built`, which cargo has made for the tests.
pub fn under_test(built: &'static str) -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| std::env::var_os("JIB_UNDER_TEST").map_or_else(|| built.into(), PathBuf::from))
}

/// What a program left.
#[derive(Clone, Debug)]
pub struct Run {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// How it ended.
    pub status: ExitStatus,
    /// How long it took.
    pub time: Duration,
}

impl Run {
    /// Exit code, or the signal as a shell tells it.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
    /// Standard error as text.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

/// Runs `command` to its end with nothing on standard input.
///
/// # Panics
/// If it cannot be started or takes longer than `limit`.
pub fn run(command: &mut Command, limit: Duration) -> Run {
    let started = Instant::now();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    let (stdout, stderr) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let status = wait(&mut child, started, limit);
    let time = started.elapsed();
    let status = status.unwrap_or_else(|| {
        // Its children may hold the pipes: what they said is lost with the thread that reads it.
        panic!("{command:?} did not end within {limit:?}")
    });
    let join = |t: JoinHandle<Vec<u8>>| t.join().unwrap_or_default();
    Run { stdout: join(stdout), stderr: join(stderr), status, time }
}

fn reader<R: Read + Send + 'static>(pipe: Option<R>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn wait(child: &mut Child, started: Instant, limit: Duration) -> Option<ExitStatus> {
    let mut nap = Duration::from_micros(200);
    while started.elapsed() < limit {
        if let Some(status) = child.try_wait().expect("cannot wait for a child") {
            return Some(status);
        }
        std::thread::sleep(nap);
        nap = (nap * 2).min(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// `jib run OPTIONS PROGRAM`, to be given arguments.
///
/// What it translates is kept for other runs by the same tests, unless the options say where else.
pub fn jib(exe: &Path, options: &[&str], program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(exe);
    command.arg("run").args(options);
    if !options.contains(&"--cache") {
        command.arg("--cache").arg(kept());
    }
    command.arg("--").arg(program);
    command
}

/// A folder for translations of this process's programs. Those of processes that are gone are removed.
fn kept() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let prefix = "jib-tests-kept-";
        let all = std::env::temp_dir();
        for entry in std::fs::read_dir(&all).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let pid = name.to_str().and_then(|n| n.strip_prefix(prefix));
            if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let folder = all.join(format!("{prefix}{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("cannot make a folder");
        std::fs::set_permissions(&folder, Permissions::from_mode(0o700)).expect("chmod");
        folder
    })
}

/// `qemu-aarch64 PROGRAM`, to be given arguments.
pub fn qemu(program: impl AsRef<OsStr>) -> Command {
    let mut command = tools::command("qemu-aarch64");
    command.arg(program);
    command
}

/// Fails unless `run` wrote `stdout` and ended with `code`; names the first line that differs.
///
/// # Panics
/// That is its purpose.
pub fn check(what: &str, run: &Run, stdout: &[u8], code: i32) {
    if run.stdout != stdout {
        let (ours, theirs) = (run.text(), String::from_utf8_lossy(stdout).into_owned());
        let line = ours.lines().zip(theirs.lines()).position(|(a, b)| a != b);
        let line = line.unwrap_or(ours.lines().count().min(theirs.lines().count()));
        let show = |t: &str| t.lines().nth(line).unwrap_or("(nothing)").chars().take(300).collect::<String>();
        panic!(
            "{what}: line {} of its output is\n  {}\nand should be\n  {}\nexit code {}, standard error:\n{}",
            line + 1,
            show(&ours),
            show(&theirs),
            run.code(),
            run.errors()
        );
    }
    assert_eq!(run.code(), code, "{what}: exit code; standard error:\n{}", run.errors());
}
