//! What the root folder gets from the host: `/proc`, `/sys`, devices, the home, the name servers.
//!
//! Targets are resolved as the guest would: a link in the folder never leads out of it.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::{Root, RootError, change_root, step};
use crate::host::{Errno, try_call};

/// Devices that any program may expect, and some that a few use.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty", "fuse", "net/tun"];
/// Folders of `/dev` that come from the host.
const DEVICE_FOLDERS: &[&str] = &["shm", "mqueue"];
const DEVICE_LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];
/// First parts of paths that belong to the system: the host's would hide the guest's.
const SYSTEM: &[&str] = &["bin", "sbin", "usr", "etc", "var", "boot", "dev", "proc", "sys", "run", "opt", "srv"];

/// A path for system calls. Paths hold no null bytes; one that did would end there.
pub(crate) fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}

/// Is a file or a folder to be mounted?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Node {
    File,
    Folder,
}

/// Mounts everything and makes `path` the root.
pub(super) fn all(root: &Root, path: &Path, here: Option<&Path>, notes: &mut Vec<String>) -> Result<(), RootError> {
    // Nothing that we mount is seen outside; what is mounted outside later is seen here.
    mount::<Path>(None, Path::new("/"), None, libc::MS_REC | libc::MS_SLAVE, None).map_err(step("mount namespace"))?;
    let inner = Inner { path: path.to_path_buf() };
    bind(path, path).map_err(step(format_args!("bind {}", path.display())))?;
    let mut note = |what: &Path, e: Errno| notes.push(format!("{} is not there: {e}", what.display()));
    for folder in ["/proc", "/sys"] {
        inner.bind(Path::new(folder), Path::new(folder)).unwrap_or_else(|e| note(Path::new(folder), e));
    }
    devices(&inner).unwrap_or_else(|e| note(Path::new("/dev"), e));
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let mut shown: Vec<(PathBuf, PathBuf)> = Vec::new();
    if !root.bare {
        let own = [Some(PathBuf::from("/tmp")), home, here.map(Path::to_path_buf)];
        for folder in own.into_iter().flatten().filter(|p| may_show(p) && !p.starts_with(path)) {
            if !shown.iter().any(|(s, _)| folder.starts_with(s)) {
                shown.push((folder.clone(), folder));
            }
        }
    }
    shown.extend(root.binds.iter().cloned());
    for (from, to) in shown {
        inner.bind(&from, &to).unwrap_or_else(|e| note(&to, e));
    }
    let names = Path::new("/etc/resolv.conf");
    if let Ok(real) = fs::canonicalize(names) {
        inner.bind(&real, names).unwrap_or_else(|e| note(names, e));
    }
    pivot(path)
}

/// May a folder of the host appear under its own name?
fn may_show(path: &Path) -> bool {
    let mut parts = path.components();
    if parts.next() != Some(Component::RootDir) {
        return false;
    }
    match parts.next() {
        Some(Component::Normal(first)) => {
            let first = first.to_string_lossy();
            !SYSTEM.contains(&first.as_ref()) && !first.starts_with("lib")
        }
        _ => false,
    }
}

fn devices(inner: &Inner) -> Result<(), Errno> {
    let dev = inner.place(Path::new("/dev"), Node::Folder)?;
    mount(Some("tmpfs"), &dev.path(), Some("tmpfs"), libc::MS_NOSUID | libc::MS_NOEXEC, Some("mode=755"))?;
    for name in DEVICES {
        let path = Path::new("/dev").join(name);
        if path.exists() {
            // One that cannot be had is missing, as on a system without it.
            _ = inner.bind(&path, &path);
        }
    }
    for name in DEVICE_FOLDERS {
        let path = Path::new("/dev").join(name);
        if path.is_dir() {
            inner.bind(&path, &path)?;
        }
    }
    // Without them the rest is still of use.
    let terminals = terminals(inner);
    let dev = inner.place(Path::new("/dev"), Node::Folder)?;
    for (name, target) in DEVICE_LINKS {
        let (target, name) = (CString::new(*target).unwrap_or_default(), CString::new(*name).unwrap_or_default());
        try_call(libc::SYS_symlinkat, &[target.as_ptr() as u64, dev.0 as u64, name.as_ptr() as u64])?;
    }
    terminals
}

/// Terminals of our own: the kernel finds the file system of `/dev/ptmx` beside it, so that the host's cannot be
/// shown here. The terminal that we run in belongs to the host's; the C library finds its name as `/dev/console`.
fn terminals(inner: &Inner) -> Result<(), Errno> {
    let pts = inner.place(Path::new("/dev/pts"), Node::Folder)?;
    let flags = libc::MS_NOSUID | libc::MS_NOEXEC;
    mount(Some("devpts"), &pts.path(), Some("devpts"), flags, Some("newinstance,ptmxmode=0666,mode=620"))?;
    if let Ok(own) = fs::read_link("/proc/self/fd/0")
        && (own.starts_with("/dev/pts") || own.to_string_lossy().starts_with("/dev/tty"))
    {
        inner.bind(&own, Path::new("/dev/console"))?;
    }
    Ok(())
}

/// An open place; closed when dropped.
struct Place(i32);

impl Place {
    /// A path to it, for calls that take no descriptor.
    fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0).into()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        _ = try_call(libc::SYS_close, &[self.0 as u64]);
    }
}

/// The folder that becomes the root.
struct Inner {
    path: PathBuf,
}

impl Inner {
    /// Shows `from` of the host at `to`.
    fn bind(&self, from: &Path, to: &Path) -> Result<(), Errno> {
        let node = match fs::metadata(from) {
            Ok(m) if m.is_dir() => Node::Folder,
            Ok(_) => Node::File,
            Err(e) => return Err(Errno(e.raw_os_error().unwrap_or(libc::EIO))),
        };
        bind(from, &self.place(to, node)?.path())
    }

    /// Opens `path` inside, and makes it first if it does not exist.
    fn place(&self, path: &Path, node: Node) -> Result<Place, Errno> {
        match self.open(path, libc::O_PATH, 0) {
            Err(Errno(libc::ENOENT)) => self.make(path, node, 8),
            other => other,
        }
    }

    fn open(&self, path: &Path, flags: i32, mode: u64) -> Result<Place, Errno> {
        const OPENAT2: i64 = 437;
        const RESOLVE_IN_ROOT: u64 = 0x10;
        let base = c_path(&self.path);
        let how = (libc::O_PATH | libc::O_CLOEXEC | libc::O_DIRECTORY) as u64;
        let base = try_call(libc::SYS_openat, &[libc::AT_FDCWD as u64, base.as_ptr() as u64, how, 0])?;
        let base = Place(base as i32);
        let how = [(flags | libc::O_CLOEXEC) as u64, mode, RESOLVE_IN_ROOT];
        let path = c_path(path);
        let args = [base.0 as u64, path.as_ptr() as u64, how.as_ptr() as u64, size_of_val(&how) as u64];
        try_call(OPENAT2, &args).map(|fd| Place(fd as i32))
    }

    fn make(&self, path: &Path, node: Node, links: u32) -> Result<Place, Errno> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(Errno(libc::ENOENT)) };
        let folder = self.place(parent, Node::Folder)?;
        // A link that leads nowhere: what it names is made.
        if let Ok(link) = fs::read_link(folder.path().join(name)) {
            let target = parent.join(link);
            return match self.open(&target, libc::O_PATH, 0) {
                Err(Errno(libc::ENOENT)) if links > 0 => self.make(&target, node, links - 1),
                other => other,
            };
        }
        let c_name = c_path(Path::new(name));
        if node == Node::Folder {
            try_call(libc::SYS_mkdirat, &[folder.0 as u64, c_name.as_ptr() as u64, 0o755])?;
        } else {
            drop(self.open(path, libc::O_CREAT | libc::O_WRONLY, 0o644)?);
        }
        self.open(path, libc::O_PATH, 0)
    }
}

fn bind(from: &Path, to: &Path) -> Result<(), Errno> {
    mount(Some(from), to, None, libc::MS_BIND | libc::MS_REC, None)
}

/// `mount`, what is not needed being absent.
fn mount<P: AsRef<Path> + ?Sized>(
    source: Option<&P>,
    target: &Path,
    kind: Option<&str>,
    flags: u64,
    data: Option<&str>,
) -> Result<(), Errno> {
    let text = |t: Option<&str>| t.map(|t| c_path(Path::new(t)));
    let (source, target) = (source.map(|s| c_path(s.as_ref())), c_path(target));
    let (kind, data) = (text(kind), text(data));
    let at = |s: &Option<CString>| s.as_ref().map_or(0, |s| s.as_ptr() as u64);
    try_call(libc::SYS_mount, &[at(&source), target.as_ptr() as u64, at(&kind), flags, at(&data)]).map(drop)
}

/// Makes `path`, which is a mount, the root, and takes the old one away.
fn pivot(path: &Path) -> Result<(), RootError> {
    let (there, dot) = (c_path(path), c".".as_ptr() as u64);
    try_call(libc::SYS_chdir, &[there.as_ptr() as u64]).map_err(step(path.display()))?;
    // The old root is put upon the new one, and then taken off. The first root of all cannot be moved.
    match try_call(libc::SYS_pivot_root, &[dot, dot]) {
        Ok(_) => {
            try_call(libc::SYS_umount2, &[dot, libc::MNT_DETACH as u64]).map_err(step("the old root"))?;
            try_call(libc::SYS_chdir, &[c"/".as_ptr() as u64]).map(drop).map_err(step("chdir /"))
        }
        Err(Errno(libc::EINVAL)) => change_root(path),
        Err(e) => Err(step("pivot_root")(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_the_system_are_not_shown() {
        for (path, shown) in [("/home/me", true), ("/tmp", true), ("/root", true), ("/data/x", true), ("/", false)] {
            assert_eq!(may_show(Path::new(path)), shown, "{path}");
        }
        for path in ["/usr", "/usr/src", "/etc", "/lib64", "/var/lib/x", "relative"] {
            assert!(!may_show(Path::new(path)), "{path}");
        }
    }
}
