//! Real AArch64 programs from the package registries that developers have anyway, fetched once and kept.

use std::path::{Path, PathBuf};

use crate::tools::{self, Scratch, command, output};

/// Debian's static busybox.
///
/// # Panics
/// If it cannot be fetched; so do all of this module.
pub fn busybox() -> PathBuf {
    kept("busybox", |dir| {
        let unpacked = unpacked(dir, "busybox-static");
        let inside = ["bin/busybox", "usr/bin/busybox"].map(|p| unpacked.join(p));
        inside.into_iter().find(|p| p.exists()).expect("no busybox in the package")
    })
}

/// One file of a Debian package, `path` in there.
pub fn file(package: &str, path: &str) -> PathBuf {
    kept(&path.replace('/', "-"), |dir| unpacked(dir, package).join(path))
}

/// Fetches a Debian package and unpacks it in `dir`.
fn unpacked(dir: &Path, package: &str) -> PathBuf {
    let apt = Scratch::new("apt");
    let unpacked = dir.join("unpacked");
    debian_package(apt.path(), package);
    output(command("dpkg-deb").arg("-x").arg(single(apt.path(), ".deb")).arg(&unpacked));
    unpacked
}

/// esbuild: a Go program of 10 MB.
pub fn esbuild() -> PathBuf {
    kept("esbuild", |dir| {
        output(command("npm").args(["pack", "--silent", "@esbuild/linux-arm64@0.25.9"]).current_dir(dir));
        output(command("tar").arg("-xzf").arg(single(dir, ".tgz")).current_dir(dir));
        dir.join("package/bin/esbuild")
    })
}

/// ruff: a Rust program of 30 MB, linked with musl.
pub fn ruff() -> PathBuf {
    kept("ruff", |dir| {
        let platform = ["--platform", "musllinux_1_2_aarch64"];
        let mut pip = command("pip");
        pip.args(["download", "--quiet", "--no-deps", "--only-binary=:all:"]).args(platform).arg("ruff==0.12.11");
        output(pip.current_dir(dir));
        // A wheel is a zip file.
        let script = "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall('.')";
        output(command("python3").args(["-c", script]).arg(single(dir, ".whl")).current_dir(dir));
        let data = single(dir, ".data");
        data.join("scripts/ruff")
    })
}

/// The cached program `name`; `make` fetches it into a directory and tells which file it is.
fn kept(name: &str, make: impl FnOnce(&Path) -> PathBuf) -> PathBuf {
    // Busybox goes by its own name.
    let fetched = tools::cache().join("fetched");
    std::fs::create_dir_all(&fetched).expect("cannot make a directory");
    let target = fetched.join(name);
    if target.exists() {
        return target;
    }
    let dir = Scratch::new(name);
    let program = make(dir.path());
    let temporary = tools::unique(&target);
    std::fs::copy(&program, &temporary).unwrap_or_else(|e| panic!("cannot copy {}: {e}", program.display()));
    output(command("chmod").arg("755").arg(&temporary));
    std::fs::rename(&temporary, &target).expect("cannot rename a fetched program");
    target
}

/// Downloads an arm64 package with lists and caches of its own: the host's package state stays as it is.
fn debian_package(dir: &Path, package: &str) {
    for sub in ["lists/partial", "cache/archives/partial"] {
        std::fs::create_dir_all(dir.join(sub)).expect("cannot make apt's directories");
    }
    std::fs::write(dir.join("status"), "").expect("cannot write");
    let options = [
        ("Dir::State::lists", dir.join("lists").display().to_string()),
        ("Dir::State::status", dir.join("status").display().to_string()),
        ("Dir::Cache", dir.join("cache").display().to_string()),
        ("APT::Architecture", "arm64".into()),
        ("APT::Architectures", "arm64".into()),
        ("APT::Sandbox::User", "root".into()),
        ("Acquire::Languages", "none".into()),
    ];
    let apt = || {
        let mut c = command("apt-get");
        c.args(options.iter().flat_map(|(k, v)| ["-o".to_string(), format!("{k}={v}")])).current_dir(dir);
        c
    };
    output(apt().args(["-qq", "update"]));
    output(apt().args(["-qq", "download", package]));
}

/// The one entry of `dir` whose name ends so.
fn single(dir: &Path, end: &str) -> PathBuf {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("cannot list {}: {e}", dir.display()));
    let mut found = entries.flatten().map(|e| e.path()).filter(|p| p.to_string_lossy().ends_with(end));
    found.next().unwrap_or_else(|| panic!("nothing ending in {end} was fetched"))
}
