//! A real GDB on programs and on a kernel: it sees, stops, changes and ends them as on hardware.

use std::io::{BufRead, BufReader, Read};
use std::ops::{Deref, DerefMut};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jib_testing::{guest, tools};

/// Longest wait for either side.
const LIMIT: Duration = Duration::from_secs(1000);

/// A process that does not outlive its test, nor its files it.
struct Guard {
    child: Child,
    _files: Option<tools::Scratch>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Deref for Guard {
    type Target = Child;
    fn deref(&self) -> &Child {
        &self.child
    }
}

impl DerefMut for Guard {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.child
    }
}

/// A jib that has begun to wait for a debugger.
struct Waiting {
    child: Guard,
    /// What GDB's `target remote` wants.
    address: String,
    output: BufReader<ChildStdout>,
    errors: JoinHandle<String>,
}

fn drain<R: Read + Send + 'static>(pipe: R) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = { pipe }.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn start(command: &mut Command) -> Waiting {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Guard { child: command.spawn().expect("cannot start jib"), _files: None };
    let mut errors = BufReader::new(child.stderr.take().expect("stderr was piped"));
    let mut line = String::new();
    errors.read_line(&mut line).expect("cannot read");
    let address = line.split("target remote ").nth(1).unwrap_or_else(|| panic!("jib says {line:?}"));
    let address = address.trim_end().trim_end_matches('\'').to_string();
    // What guests write here fits the pipe.
    let output = BufReader::new(child.stdout.take().expect("stdout was piped"));
    Waiting { child, address, output, errors: drain(errors) }
}

fn exe() -> Command {
    Command::new(jib_testing::program::under_test(env!("CARGO_BIN_EXE_jib")))
}

fn run(program: &Path, args: &[&str]) -> Waiting {
    start(exe().args(["run", "--gdb=127.0.0.1:0", "--"]).arg(program).args(args))
}

/// Ends `child` if it takes too long.
fn finish(child: &mut Child, what: &str) -> ExitStatus {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("cannot wait") {
            return status;
        }
        if started.elapsed() > LIMIT {
            let _ = child.kill();
            panic!("{what} does not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What GDB says until its end.
fn said_by(mut gdb: Guard) -> String {
    let (out, err) = (gdb.stdout.take().expect("piped"), gdb.stderr.take().expect("piped"));
    let (out, err) = (drain(out), drain(err));
    finish(&mut gdb, "gdb");
    out.join().expect("reader") + &err.join().expect("reader")
}

impl Waiting {
    fn gdb(&self, symbols: Option<&Path>, script: &str) -> Guard {
        let dir = tools::Scratch::new("gdb");
        let file = dir.path().join("script");
        let head = "set pagination off\nset confirm off\nset width 0\nset architecture aarch64\n";
        std::fs::write(&file, format!("{head}target remote {}\n{script}", self.address)).expect("cannot write");
        let mut gdb = tools::command("gdb-multiarch");
        gdb.args(["-nx", "-batch", "-x"]).arg(&file).args(symbols);
        gdb.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Guard { child: gdb.spawn().expect("cannot start gdb"), _files: Some(dir) }
    }

    /// Runs GDB to its end, then jib; gives what GDB, the guest and jib said, and how jib ended.
    fn debug(self, symbols: Option<&Path>, script: &str) -> Session {
        let gdb = self.gdb(symbols, script);
        self.end(gdb)
    }

    fn end(mut self, gdb: Guard) -> Session {
        let text = said_by(gdb);
        let status = finish(&mut self.child, "jib");
        let errors = self.errors.join().expect("reader");
        let mut guest = String::new();
        self.output.read_to_string(&mut guest).expect("cannot read");
        Session { gdb: text, guest, errors, status }
    }
}

struct Session {
    gdb: String,
    guest: String,
    errors: String,
    status: ExitStatus,
}

impl Session {
    /// GDB must have said all of these, in this order.
    fn said(&self, expected: &[&str]) {
        let mut rest = self.gdb.as_str();
        for e in expected {
            match rest.find(e) {
                Some(at) => rest = &rest[at + e.len()..],
                None => panic!("gdb did not say {e:?} in its place:\n{}\njib:\n{}", self.gdb, self.errors),
            }
        }
    }
}

fn threads(flags: &str) -> PathBuf {
    guest::compile(&tools::root().join("tests/guest/debug/threads.c"), flags)
}

#[test]
fn breakpoints_steps_variables_and_the_end() {
    let program = threads("-g -O0 -static");
    let session = run(&program, &[]).debug(
        Some(&program),
        "break add\ncontinue\nbacktrace\ninfo args\nstepi\nnext\nnext\nprint sum\nfinish\n\
         set variable five = 40\nprint five\ndelete\ncontinue\n",
    );
    session.said(&[
        "Breakpoint 1, add (a=2, b=3)",
        "#0  add (a=2, b=3)",
        "#1  0x",
        "in main (argc=1",
        "a = 2",
        "$1 = 5",
        "Value returned is $2 = 5",
        "$3 = 40",
        "received signal SIGUSR1",
    ]);
    // GDB leaves at the signal, since its script ends: the program gets the signal and goes on.
    assert_eq!(session.guest, "counter 30, signal 10\n", "{}", session.gdb);
    assert_eq!(session.status.code(), Some(3));
}

#[test]
fn watchpoints() {
    let program = threads("-g -O0 -static");
    let session = run(&program, &[]).debug(
        Some(&program),
        "break main\ncontinue\nwatch watched[0]\nrwatch watched[0]\nawatch watched[1]\n\
         continue\ncontinue\ncontinue\ndelete\nhandle SIGUSR1 nostop noprint pass\ncontinue\n",
    );
    session.said(&[
        "Hardware watchpoint 2: watched[0]",
        "Hardware read watchpoint 3: watched[0]",
        "Hardware watchpoint 2: watched[0]",
        "Old value = 0",
        "New value = 5",
        "Hardware read watchpoint 3: watched[0]",
        "Value = 5",
        "Hardware access (read/write) watchpoint 4: watched[1]",
        "Old value = 0",
        "New value = 5",
        "exited with code 03",
    ]);
    assert_eq!(session.guest, "counter 30, signal 10\n");
}

/// GDB finds program and libraries by itself, and knows where they were loaded.
#[test]
fn position_independent_and_dynamically_linked() {
    let program = threads("-g -O0 -fPIE -pie");
    let session = run(&program, &[]).debug(
        None,
        "break worker\ncontinue\nprint (long)p\nprint $tpidr != 0\ninfo sharedlibrary\ninfo threads\n\
         continue\nbacktrace 1\nprint add(20, 22)\ndelete\n\
         handle SIGUSR1 stop print nopass\ncontinue\nsignal SIGTERM\n",
    );
    // Either thread may be the first.
    let first = if session.gdb.find("worker (p=0x1)") < session.gdb.find("worker (p=0x2)") { 1 } else { 2 };
    let [one, other] = [first, 3 - first].map(|n| format!("worker (p={n:#x})"));
    session.said(&[
        &format!("hit Breakpoint 1, {one}"),
        &format!("$1 = {first}"),
        "$2 = 1",
        "ld-linux-aarch64.so.1",
        "libc.so.6",
        "Thread 1.",
        "* 2",
        &one,
        &format!("hit Breakpoint 1, {other}"),
        &format!("#0  {other}"),
        "$3 = 42",
        "received signal SIGUSR1",
        "Program terminated with signal SIGTERM",
    ]);
}

#[test]
fn a_crash_is_seen_before_it_kills() {
    let program = threads("-g -O0 -static");
    let waiting = start(exe().args(["run", "--gdb=127.0.0.1:0", "-E", "CRASH=1", "--"]).arg(&program));
    let script = "handle SIGUSR1 nostop noprint pass\ncontinue\nprint counter\ninfo registers pc\ncontinue\n";
    let session = waiting.debug(Some(&program), script);
    session.said(&[
        "received signal SIGSEGV, Segmentation fault",
        "in main",
        "$1 = 30",
        "<main+",
        "Program terminated with signal SIGSEGV",
    ]);
    assert_eq!(session.status.signal(), Some(11));
}

/// Return addresses are signed; GDB finds its way through them all the same, and tells that they are.
#[test]
fn signed_return_addresses() {
    let program = threads("-g -O0 -static -mbranch-protection=pac-ret");
    let waiting = start(exe().args(["run", "--cpu=max", "--gdb=127.0.0.1:0", "--"]).arg(&program));
    let script = "info registers pauth_cmask\nbreak worker\ncontinue\nbreak add\nset scheduler-locking on\ncontinue\nbacktrace\nkill\n";
    let session = waiting.debug(Some(&program), script);
    session.said(&["pauth_cmask", "0x7f000000000000", "#0  add", "in worker", "#2  ", "[PAC] in start_thread"]);
}

/// A program that runs and one that waits in the kernel are both stopped by Ctrl-C, and `kill` ends them.
#[test]
fn interrupt_and_kill() {
    let program = threads("-g -O0 -static");
    let mut waiting = run(&program, &["spin"]);
    let script = "handle SIGUSR1 nostop noprint pass\ncontinue\ninfo threads\nthread 1\nbacktrace\nkill\n";
    let mut gdb = waiting.gdb(Some(&program), script);
    let out = drain(gdb.stdout.take().expect("piped"));
    let mut line = String::new();
    waiting.output.read_line(&mut line).expect("cannot read");
    assert_eq!(line, "counter 30, signal 10\n");
    // Next it makes the thread that spins, and waits.
    let spins = |pid: u32| std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count) >= 4;
    let started = Instant::now();
    while !spins(waiting.child.id()) && started.elapsed() < LIMIT {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(500));
    let interrupt = Command::new("kill").args(["-INT", &gdb.id().to_string()]).status();
    assert!(interrupt.is_ok_and(|s| s.success()));
    finish(&mut gdb, "gdb");
    let status = finish(&mut waiting.child, "jib");
    let text = out.join().expect("reader");
    for expected in ["received signal SIGINT", "spin (p=0x0)", "[in a system call]", "pause ()", "in main ("] {
        assert!(text.contains(expected), "{expected} is missing:\n{text}");
    }
    assert_eq!(status.signal(), Some(9), "{text}");
}

/// Each instruction is written down, with what it is.
#[test]
fn traces() {
    let hello = guest::compile(&tools::root().join("tests/guest/c/hello.c"), "-O2 -static");
    let dir = tools::Scratch::new("trace");
    let file = dir.path().join("trace");
    let mut command = exe();
    command.args(["run", "--trace", "--log-file"]).arg(&file).arg("--").arg(&hello);
    let out = command.output().expect("cannot run jib");
    assert_eq!(String::from_utf8_lossy(&out.stdout), "hello, world\n");
    let text = std::fs::read_to_string(&file).expect("no trace");
    assert!(text.lines().count() > 1000 && text.lines().any(|l| l.ends_with("svc #0")), "{}", text.len());
}

/// A program of the board's own, with symbols; what it does to its own breakpoints is no business of GDB's.
#[test]
fn a_machine_that_goes_on_without_its_debugger() {
    let base = tools::root().join("tests/guest/bare/debug");
    let kernel = guest::compile(&base.with_extension("S"), guest::BARE);
    let waiting = start(exe().args(["boot", "--gdb=127.0.0.1:0", "--timeout", "300"]).arg(&kernel));
    let script = "break *el0_both\nhbreak *puts\ncontinue\nprint $pc == &puts\nx/s $x0\ndelete 2\n\
                  continue\ninfo registers cpsr\nprint $DBGBVR0_EL1 == $pc\ndelete\ndetach\n";
    let session = waiting.debug(Some(&kernel), script);
    session.said(&["in puts ()", "$1 = 1", "BRK at EL1", "in el0_both ()", "EL=0", "$2 = 1", "detached"]);
    let wanted = std::fs::read_to_string(base.with_extension("expected")).expect("no expected output");
    assert_eq!((session.guest, session.status.code()), (wanted, Some(0)), "{}", session.gdb);
}

/// CPUs in compiled code that leaves for nothing stop when a debugger comes, and run what it writes there.
#[test]
fn a_debugger_comes_to_compiled_code_and_changes_it() {
    let kernel = guest::compile(&tools::root().join("tests/guest/bare/attach.S"), guest::BARE);
    for tier in [["--quick=0", "--threshold=4294967295"], ["--quick=4294967295", "--threshold=0"]] {
        let mut boot = exe();
        boot.args(["boot", "-j", "2", "--sync", "--gdb=127.0.0.1:0", "--timeout", "300"]).args(tier);
        let waiting = start(boot.arg(&kernel));
        let text = said_by(waiting.gdb(Some(&kernel), "hbreak *loop\ncontinue\ndelete\ndetach\n"));
        assert!(text.contains("in loop ()") && text.contains("detached"), "{text}");
        std::thread::sleep(Duration::from_millis(500));
        let change = "set $before = $x19\nstepi 5\nprint $x19 - $before\nprint $x19 > 1000000 && $x20 == 0\n\
                      thread 2\nprint $x19 > 1000000 && $x20 == 0\nset {int}&patch = 0x91000694\ndetach\n";
        let text = said_by(waiting.gdb(Some(&kernel), change));
        assert!(["$1 = 1\n", "$2 = 1\n", "$3 = 1\n", "detached"].iter().all(|s| text.contains(s)), "{text}");
        std::thread::sleep(Duration::from_millis(500));
        let end = "print $x20 > 1000000\nthread 2\nprint $x20 > 1000000\nhbreak *patch\ncontinue\n\
                   print $pc == &patch\ndelete\nset {int}&flag = 1\ndetach\n";
        let session = waiting.debug(Some(&kernel), end);
        session.said(&["$1 = 1\n", "$2 = 1\n", "in patch ()", "$3 = 1\n", "detached"]);
        assert_eq!((session.guest.as_str(), session.status.code()), ("done\n", Some(0)), "{}", session.gdb);
    }
}

/// Debian's kernel, fetched by the first test that needs it.
#[test]
fn a_kernel_from_its_first_instruction() {
    let dir = tools::Scratch::new("gdb-boot");
    let socket = dir.path().join("socket");
    let gdb = format!("--gdb=unix:{}", socket.display());
    let log = dir.path().join("log");
    let mut boot = exe();
    boot.args(["boot", "-j", "2", "--append", "nokaslr", "--timeout", "900", "--log", "psci,irq", &gdb, "--log-file"]);
    // It sees to the kernel first, and to the debugger then.
    let waiting = start(boot.arg(&log).args(["--", "uname", "-m"]));
    let script = "\
print/x $pc
print/x $SCTLR_EL1 & 1
stepi
stepi
python
import struct
memory = gdb.selected_inferior()
# The branch to the kernel's own addresses, when translation is on: `br x8` in the text that is mapped as it is.
start = int(gdb.parse_and_eval('$pc')) & ~0xfff
at = 0x40000000 + 0xb00000
text = bytes(memory.read_memory(at, 0x200000))
for i in range(0, len(text), 4):
    if struct.unpack_from('<I', text, i)[0] == 0xd61f0100:
        gdb.execute('hbreak *%#x' % (at + i), to_string=True)
end
continue
print $SCTLR_EL1 & 1
stepi
print/x (unsigned long)$pc >> 47
monitor phys
python
pc = int(gdb.parse_and_eval('$pc')) & (2**64 - 1)
pa = int(gdb.execute('monitor translate %#x' % pc, to_string=True), 16)
virtual = bytes(memory.read_memory(pc, 64))
gdb.execute('maintenance packet Qqemu.PhyMemMode:1')
gdb.execute('maintenance flush dcache')
print('the same memory:', bytes(memory.read_memory(pa, 64)) == virtual)
gdb.execute('maintenance packet Qqemu.PhyMemMode:0')
gdb.execute('maintenance flush dcache')
# To where the first stack is in use: `stp x29, x30, [sp, #-16]!`.
for n in range(100):
    pc = int(gdb.parse_and_eval('$pc')) & (2**64 - 1)
    if bytes(memory.read_memory(pc, 4)) == bytes([0xfd, 0x7b, 0xbf, 0xa9]):
        break
    gdb.execute('stepi', to_string=True)
end
delete
watch -l *(long *)($sp - 16)
continue
delete
tbreak *($VBAR_EL1 + 0x280)
continue
print $pc == $VBAR_EL1 + 0x280
info threads
kill
";
    let session = waiting.debug(None, script);
    session.said(&[
        "$1 = 0x40000000",
        "$2 = 0x0",
        "hit Breakpoint",
        "$3 = 1",
        "$4 = 0x1ffff",
        "the same memory: True",
        "Hardware watchpoint",
        "New value",
        "Temporary breakpoint",
        "$5 = 1",
        "CPU#0 EL1",
        "CPU#1",
    ]);
    assert_eq!(session.status.code(), Some(0), "{}", session.errors);
    assert!(session.gdb.contains("memory addresses are virtual"), "{}", session.gdb);
    let log = std::fs::read_to_string(&log).expect("no log");
    for expected in ["cpu0 psci: PSCI_VERSION", "cpu0 irq: Irq taken"] {
        assert!(log.contains(expected), "{expected} is missing in the log");
    }
}
