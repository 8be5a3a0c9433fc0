//! The foreign programs that tests need. A missing one fails the test with the command that installs it.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Programs and the Debian packages that hold them.
const PACKAGES: &[(&str, &str)] = &[
    ("qemu-aarch64", "qemu-user"),
    ("qemu-system-aarch64", "qemu-system-arm"),
    ("mke2fs", "e2fsprogs"),
    ("e2fsck", "e2fsprogs"),
    ("debugfs", "e2fsprogs"),
    ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"),
    ("aarch64-linux-gnu-objdump", "binutils-aarch64-linux-gnu"),
    ("gdb-multiarch", "gdb-multiarch"),
    ("apt-get", "apt"),
    ("dpkg-deb", "dpkg"),
    ("npm", "npm"),
    ("pip", "python3-pip"),
];

/// The path of `program`.
///
/// # Panics
/// If it is not installed: a test that needs it must fail, not be skipped.
pub fn find(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Users' paths leave out where tools for disks are.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    if let Some(found) = folders.map(|d| d.join(program)).find(|p| p.is_file()) {
        return found;
    }
    let package = PACKAGES.iter().find(|(p, _)| *p == program).map_or(program, |(_, package)| package);
    panic!("{program} is not installed; this test needs it: sudo apt-get install -y {package}");
}

/// A command that starts `program`, found by [`find`].
pub fn command(program: &str) -> Command {
    Command::new(find(program))
}

/// Runs `command` and gives its standard output.
///
/// # Panics
/// If it cannot be started or fails, with what it wrote to standard error.
pub fn output(command: &mut Command) -> Vec<u8> {
    let out = command.output().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    assert!(out.status.success(), "{command:?}: {}\n{}", out.status, String::from_utf8_lossy(&out.stderr));
    out.stdout
}

/// The user and group without rights, as Linux numbers them.
pub const NOBODY: u32 = 65534;

/// Are we root?
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}

/// Has `command` run by a user without rights: by [`NOBODY`] if we are root.
pub fn without_rights(command: &mut Command) -> &mut Command {
    if is_root() { command.uid(NOBODY).gid(NOBODY) } else { command }
}

/// The root of the checkout.
pub fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Where compiled and fetched guests are kept: `$XDG_CACHE_HOME/jib-tests` or `~/.cache/jib-tests`.
///
/// # Panics
/// If it cannot be made.
pub fn cache() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let dir = base.unwrap_or_else(std::env::temp_dir).join("jib-tests");
    std::fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("cannot make {}: {e}", dir.display()));
    dir
}

/// A name beside `path` that nobody else has.
pub fn unique(path: &Path) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    PathBuf::from(name)
}

/// A directory that lives as long as this value.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new empty directory.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn new(name: &str) -> Scratch {
        let dir = unique(&std::env::temp_dir().join(format!("jib-{name}")));
        std::fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("cannot make {}: {e}", dir.display()));
        Scratch(dir)
    }
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
