//! The foreign programs that tests need. A missing one fails the test with the command that installs it.

use std::path::PathBuf;
use std::process::Command;

/// Programs and the Debian packages that hold them.
const PACKAGES: &[(&str, &str)] = &[
    ("qemu-aarch64", "qemu-user"),
    ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"),
    ("aarch64-linux-gnu-objdump", "binutils-aarch64-linux-gnu"),
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
    if let Some(found) = std::env::split_paths(&path).map(|d| d.join(program)).find(|p| p.is_file()) {
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

/// The root of the checkout.
pub fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A directory of this test run's own, made anew; `name` tells them apart.
///
/// # Panics
/// If it cannot be made.
pub fn scratch(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("jib-test-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("cannot make {}: {e}", dir.display()));
    dir
}
