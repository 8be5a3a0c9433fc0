//! A userland of its own: `jib shell` and `--root`, entries for the kernel, and the name `qemu-aarch64`.
//!
//! The root here is Debian's static busybox and little else; `tests/heavy.rs` has whole systems.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use jib_testing::program::{self, Run};
use jib_testing::tools::{self, Scratch};
use jib_testing::{fetch, guest};

/// A scratch folder with a jib and a root that anybody may use.
struct Place {
    dir: Scratch,
}

impl Place {
    fn new(name: &str) -> Place {
        let dir = Scratch::new(name);
        let place = Place { dir };
        for sub in ["root/bin", "root/etc", "root/home"] {
            fs::create_dir_all(place.at(sub)).expect("cannot make a folder");
        }
        // By a process of its own: were it written by this one, a child just being started by another test could still
        // have it open for writing, and it could not be executed.
        let jib = program::under_test(env!("CARGO_BIN_EXE_jib"));
        tools::output(Command::new("cp").arg(jib).arg(place.at("jib")));
        fs::copy(fetch::busybox(), place.at("root/bin/busybox")).expect("cannot copy");
        for applet in
            ["sh", "ls", "cat", "id", "chown", "readlink", "mkdir", "stat", "su", "uname", "touch", "sed", "wc"]
        {
            symlink("busybox", place.at("root/bin").join(applet)).expect("cannot link");
        }
        fs::write(place.at("root/etc/passwd"), "root:x:0:0::/:/bin/sh\nother:x:7:8::/:/bin/sh\n")
            .expect("cannot write");
        tools::output(Command::new("chmod").args(["-R", "a+rwX"]).arg(place.at("")));
        place
    }

    fn at(&self, sub: &str) -> PathBuf {
        self.dir.path().join(sub)
    }

    /// `jib ARGS` by a user without rights, in the scratch folder.
    fn jib(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.at("jib"));
        command.args(args).current_dir(self.dir.path()).env("HOME", "/nonexistent");
        tools::without_rights(&mut command);
        command
    }

    fn shell(&self, options: &[&str], script: &str) -> Run {
        let root = self.at("root").display().to_string();
        let args = [&["shell"], options, &[&root, "--", "/bin/sh", "-c", script]].concat();
        run(&mut self.jib(&args))
    }
}

fn run(command: &mut Command) -> Run {
    program::run(command, Duration::from_secs(120))
}

/// What `script` writes inside.
fn says(place: &Place, options: &[&str], script: &str, text: &str) {
    let run = place.shell(options, script);
    assert_eq!((run.text().as_str(), run.code()), (text, 0), "{script}\n{}", run.errors());
}

#[test]
fn a_folder_becomes_the_root() {
    let place = Place::new("shell");
    says(&place, &["--bare"], "pwd; ls -d /bin /work 2>/dev/null; echo $0; exit 0", "/\n/bin\n/bin/sh\n");
    says(&place, &[], "pwd", &format!("{}\n", place.dir.path().display()));
    says(&place, &[], "cat /etc/passwd | /bin/cat | wc -l", "2\n");
    says(&place, &[], "readlink /proc/self/exe; uname -m", "/bin/busybox\naarch64\n");
    says(
        &place,
        &[],
        "echo x > /dev/null; cat /dev/zero | cat /proc/self/comm; ls -d /dev/pts /dev/shm /sys/kernel",
        "cat\n/dev/pts\n/dev/shm\n/sys/kernel\n",
    );
    let names = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    says(&place, &[], "[ ! -e /etc/resolv.conf ] || cat /etc/resolv.conf", &names);
    let core =
        "sh -c 'kill -s SEGV $$' 2>/dev/null; cd /home; ls; cat core.here | wc -c | sed 's/[0-9][0-9][0-9]*/many/'";
    says(&place, &["--bare", "--core", "/home/core.here"], core, "core.here\nmany\n");
    let code = place.shell(&[], "exit 7").code();
    assert_eq!(code, 7);
}

#[test]
fn root_inside_is_the_user_outside() {
    let place = Place::new("ids");
    says(&place, &[], "id -u; id -g", "0\n0\n");
    let own = fs::metadata("/proc/self").expect("no /proc").uid();
    let outside = if own == 0 { tools::NOBODY } else { own };
    says(&place, &["--as-user"], "id -u", &format!("{outside}\n"));
    // Owners and users are pretended, or are real where there are subordinate ids.
    says(&place, &["--bare"], "touch /f && chown 7:8 /f && echo given", "given\n");
    says(&place, &["--bare"], "su other -c 'id -u; id -g; touch /home/mine && stat -c %u /home/mine'", "7\n8\n7\n");
    let mine = fs::metadata(place.at("root/home/mine"));
    assert!(mine.is_ok(), "it is there outside, too");
}

#[test]
fn more_of_the_host() {
    let place = Place::new("binds");
    fs::write(place.at("file"), "text\n").expect("cannot write");
    let bind = format!("{}:/a/b/file", place.at("file").display());
    says(&place, &["--bare", "--bind", &bind], "cat /a/b/file", "text\n");
    // A link in the root leads nowhere outside of it.
    symlink("/etc/passwd", place.at("root/escape")).expect("cannot link");
    let bind = format!("{}:/escape", place.at("file").display());
    says(&place, &["--bare", "--bind", &bind], "cat /etc/passwd", "text\n");
    assert!(!fs::read_to_string("/etc/passwd").unwrap_or_default().starts_with("text"));
}

#[test]
fn terminals_inside() {
    let place = Place::new("pty");
    let pty = guest::compile(&tools::root().join("tests/guest/system/pty.c"), "-O1 -static -w");
    fs::copy(pty, place.at("root/bin/pty")).expect("cannot copy");
    says(&place, &["--bare"], "pty", "name: 1, terminal: 1\nsize: 25 81, read: keys\n");
}

#[test]
fn run_with_a_root() {
    let place = Place::new("run-root");
    let root = place.at("root").display().to_string();
    let run = run(&mut place.jib(&["run", "--bare", "--root", &root, "/bin/id", "-u"]));
    assert_eq!((run.text().as_str(), run.code()), ("0\n", 0), "{}", run.errors());
}

#[test]
fn refusals_are_one_line() {
    let place = Place::new("shell-refusals");
    for (args, code, says) in [
        (vec!["shell", "/nonexistent"], 126, "/nonexistent"),
        (vec!["shell", "jib"], 126, "root folder"),
        (vec!["shell"], 2, "ROOT"),
        (vec!["shell", "--debian", "root"], 126, "not empty"),
        (vec!["shell", "root", "--", "/bin/none"], 127, "/bin/none"),
        (vec!["binfmt", "install", "--flags", "X"], 2, "no flag"),
    ] {
        let run = run(&mut place.jib(&args));
        let text = run.errors();
        assert_eq!(run.code(), code, "{args:?}: {text}");
        assert!(text.starts_with("jib: ") && text.lines().count() == 1 && text.contains(says), "{args:?}: {text}");
    }
}

#[test]
fn the_doctor_speaks() {
    let place = Place::new("doctor");
    let run = run(&mut place.jib(&["doctor"]));
    assert!(run.text().lines().count() >= 10 && run.text().contains("ok   Linux "), "{}{}", run.text(), run.errors());
    assert!(run.text().lines().all(|l| ["ok   ", "note ", "BAD  "].iter().any(|mark| l.starts_with(mark))));
    assert_eq!(run.code() != 0, run.text().contains("BAD  "));
}

/// A user namespace has entries of its own since Linux 6.7: nothing of the system is touched.
#[test]
fn the_kernel_starts_programs_by_an_entry() {
    let place = Place::new("binfmt");
    let show = place.at("show");
    fs::copy(guest::compile(&tools::root().join("tests/guest/system/show.c"), "-O1 -static"), &show)
        .expect("cannot copy");
    fs::set_permissions(&show, fs::Permissions::from_mode(0o755)).expect("cannot chmod");
    let script = |flags: &str| {
        format!(
            "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc || exit 50
             ./jib binfmt status > /dev/null && exit 51
             ./jib binfmt install --flags {flags} && ./jib binfmt status || exit 52
             perl -e 'exec {{\"./show\"}} \"name\", \"--strace\", \"-L\", \"run\"' || exit 53
             ./jib binfmt remove && ./jib binfmt remove"
        )
    };
    for (flags, name) in [("POCF", "name"), ("P", "name"), ("F", "./show"), ("OF", "./show")] {
        let mut command = Command::new("unshare");
        command.args(["-Urm", "sh", "-c", &script(flags)]).current_dir(place.dir.path()).env("A", "1");
        let run = run(&mut command);
        if run.code() == 50 {
            assert!(kernel() < (6, 7), "no entries of our own: {}", run.errors());
            return;
        }
        let text = run.text();
        assert_eq!(run.code(), 0, "{flags}: {text}{}", run.errors());
        assert!(text.contains(&format!("[{name}][--strace][-L][run] in ")), "{flags}: {text}");
        assert!(text.contains(&format!("jib-aarch64: enabled {} (flags {flags}", place.at("jib").display())), "{text}");
        assert!(text.ends_with("removed\nthere was no entry of jib's\n"), "{text}");
    }
}

fn kernel() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut parts = release.split('.').map(|p| p.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[test]
fn under_the_name_of_qemu() {
    let place = Place::new("qemu");
    let show = guest::compile(&tools::root().join("tests/guest/system/show.c"), "-O1 -static");
    symlink(program::under_test(env!("CARGO_BIN_EXE_jib")), place.at("qemu-aarch64-static")).expect("cannot link");
    let qemu = || {
        let mut command = Command::new(place.at("qemu-aarch64-static"));
        command.current_dir("/").env_remove("A").env("HOME", "/");
        command
    };
    let says = |command: &mut Command, text: &str| {
        let run = run(command);
        assert_eq!((run.text().as_str(), run.code()), (text, 0), "{}", run.errors());
    };
    says(
        qemu().args(["-0", "zero", "-E", "A=1", "-cpu", "max"]).arg(&show).arg("-L"),
        "[zero][-L] in /, A=1, HOME set\n",
    );
    says(
        qemu()
            .arg("--")
            .arg(&show)
            .env("QEMU_ARGV0", "me")
            .env("QEMU_SET_ENV", "A=2,B=3")
            .env("QEMU_UNSET_ENV", "HOME"),
        "[me] in /, A=2, HOME unset\n",
    );
    let strace = run(qemu().arg(&show).env("QEMU_STRACE", "1"));
    assert!(strace.errors().contains("write(1, "), "{}", strace.errors());
    let version = run(qemu().arg("--version"));
    assert!(
        version.text().starts_with("qemu-aarch64 version ") && version.text().contains("jib"),
        "{}",
        version.text()
    );
    let refused = run(qemu().args(["-g", "1234"]).arg(&show));
    assert_eq!((refused.code(), refused.stdout.len()), (2, 0), "{}", refused.errors());
    let busybox = fetch::busybox();
    says(qemu().args(["-r", "4.5.6"]).arg(busybox).args(["uname", "-rm"]), "4.5.6 aarch64\n");
}

/// `-L` and our own restarts keep working for programs that programs start.
#[test]
fn children_keep_the_release() {
    let jib = program::under_test(env!("CARGO_BIN_EXE_jib"));
    let busybox = fetch::busybox();
    let mut command = program::jib(jib, &["--release", "4.5.6"], &busybox);
    let run = run(command.args(["sh", "-c", "exec $0 uname -r"]).arg(&busybox));
    assert_eq!(run.text(), "4.5.6\n", "{}", run.errors());
}
