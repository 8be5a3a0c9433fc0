//! A Debian arm64 root folder, made of packages without the rights of root.
//!
//! The host's `apt-get` downloads the essential packages and apt, `dpkg-deb` and `tar` unpack them; then the
//! guest's own `dpkg` installs the same packages properly, so that maintainer scripts run and files get their
//! owners, as far as the ids inside allow.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jib_machine::launch::apt::Apt;

use crate::report::tell;

/// What every root needs: patterns and packages of apt's.
const PACKAGES: &[&str] = &["?essential", "apt", "usr-is-merged", "debian-archive-keyring"];
/// Where the packages are inside.
const ARCHIVES: &str = "var/cache/apt/archives";
/// Folders of the root that are links into `/usr`.
const MERGED: &[&str] = &["bin", "sbin", "lib"];
/// Runs inside: installs what lies in the archives, then what else was asked for.
const SECOND_STAGE: &str = r#"set -e
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true LC_ALL=C
# There is no init: services are not to be started.
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
: > /var/lib/dpkg/status
cd /var/cache/apt/archives
# They depend on each other in circles, and all of them are here.
dpkg --force-depends --install *.deb 2>&1
rm -f *.deb
[ $# = 0 ] && exit
apt-get -q update 2>&1
apt-get -q -y install --no-install-recommends "$@" 2>&1
apt-get clean
"#;

/// Makes `folder`, which must be absent or empty.
pub(crate) fn make(folder: &Path, release: &str, more: &[String]) -> Result<(), String> {
    let io = |e: io::Error| e.to_string();
    fs::create_dir_all(folder).map_err(io)?;
    if fs::read_dir(folder).map_err(io)?.next().is_some() {
        return Err("is not empty; leave --debian out to enter it, or name another folder".into());
    }
    let folder = fs::canonicalize(folder).map_err(io)?;
    let state = folder.join(".apt");
    let apt = Apt::of_release(&state, Path::new("/etc/apt"), release).map_err(io)?;
    tell("fetching package lists and the essential packages for arm64 ...");
    apt.update()?;
    let files = apt.download(PACKAGES)?;
    if files.is_empty() {
        return Err("apt-get found no arm64 packages: the host's /etc/apt names no Debian archive".into());
    }
    tell(format_args!("unpacking {} packages ...", files.len()));
    unpack_merged(&files, &folder, MERGED)?;
    arrange(&apt, &files, &folder).map_err(io)?;
    fs::remove_dir_all(&state).map_err(io)?;
    tell("installing them inside (minutes) ...");
    inside(&folder, &[], SECOND_STAGE, more)
}

/// Unpacks packages into a folder in which `merged` become links into `/usr`.
pub(crate) fn unpack_merged(files: &[PathBuf], folder: &Path, merged: &[&str]) -> Result<(), String> {
    for name in merged {
        let made = fs::create_dir_all(folder.join("usr").join(name));
        made.and_then(|()| symlink(Path::new("usr").join(name), folder.join(name))).map_err(|e| e.to_string())?;
    }
    files.iter().try_for_each(|file| unpack(file, folder))
}

/// `dpkg-deb | tar`: owners are left to the second stage, links among the folders are followed.
fn unpack(file: &Path, folder: &Path) -> Result<(), String> {
    let start = |c: &mut Command| c.spawn().map_err(|e| format!("{}: {e}", c.get_program().to_string_lossy()));
    let mut deb = start(Command::new("dpkg-deb").arg("--fsys-tarfile").arg(file).stdout(Stdio::piped()))?;
    let mut tar = Command::new("tar");
    tar.args(["-x", "--no-same-owner", "--keep-directory-symlink", "-C"]).arg(folder);
    tar.stdin(deb.stdout.take().map_or(Stdio::null(), Stdio::from));
    let done = start(&mut tar)?.wait().is_ok_and(|s| s.success());
    let sent = deb.wait().is_ok_and(|s| s.success());
    if done && sent { Ok(()) } else { Err(format!("cannot unpack {}", file.display())) }
}

/// Puts the packages, the sources and a name where the second stage and its users look for them.
fn arrange(apt: &Apt, files: &[PathBuf], folder: &Path) -> io::Result<()> {
    let archives = folder.join(ARCHIVES);
    fs::create_dir_all(&archives)?;
    for file in files {
        fs::rename(file, archives.join(file.file_name().unwrap_or_default()))?;
    }
    let parts = folder.join("etc/apt/sources.list.d");
    fs::create_dir_all(&parts)?;
    for entry in fs::read_dir(apt.sources())? {
        let entry = entry?;
        fs::copy(entry.path(), parts.join(entry.file_name()))?;
    }
    fs::write(folder.join("etc/hostname"), "jib\n")?;
    fs::write(folder.join("etc/hosts"), "127.0.0.1 localhost jib\n::1 localhost\n")
}

/// Runs a script of `sh`'s inside, by a jib of its own; its talk is kept for the case of failure.
pub(crate) fn inside(folder: &Path, options: &[&str], script: &str, arguments: &[String]) -> Result<(), String> {
    let exe = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut command = Command::new(exe);
    command.args(["shell", "--bare"]).args(options).arg(folder);
    command.args(["--", "/bin/sh", "-c", script, "sh"]).args(arguments);
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(20)..].join("\n  ");
    Err(format!("a script inside failed; it said at last:\n  {last}"))
}
