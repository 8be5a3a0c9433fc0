//! An AArch64 root folder as `/`: a user and mount namespace of our own, as any user may make one.
//!
//! With the rights of root the mount namespace suffices; where neither can be had (a container that
//! forbids them) but `chroot` can, the folder is used as it is. [`enter`] must be called while the
//! process has one thread.

mod ids;
mod mounts;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::host::{Errno, try_call};
pub(crate) use mounts::c_path;

/// What [`enter`] is to do.
#[derive(Clone, Debug, Default)]
pub struct Root {
    /// The folder.
    pub path: PathBuf,
    /// Be oneself inside, rather than root.
    pub as_user: bool,
    /// Leave out the user's home, the current folder and `/tmp`.
    pub bare: bool,
    /// More of the host to show: what, and where.
    pub binds: Vec<(PathBuf, PathBuf)>,
}

/// What [`enter`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entered {
    /// Only one user id exists inside: changes of owner and user can only be pretended.
    pub single_id: bool,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

/// Why a root folder cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootError {
    /// It is no folder, or cannot be reached.
    Folder(PathBuf, i32),
    /// Neither namespaces nor `chroot` are to be had.
    NotAllowed(i32),
    /// A step that should not fail did.
    Step(String, i32),
}

impl std::error::Error for RootError {}

impl fmt::Display for RootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RootError::Folder(path, e) => {
                write!(f, "{}: {}; name the root folder of an arm64 system", path.display(), Errno(*e))
            }
            RootError::NotAllowed(e) => write!(
                f,
                "this system gives no user namespaces ({}); allow them (`jib doctor` says how), be root, \
                 or use `jib run -L ROOT`",
                Errno(*e)
            ),
            RootError::Step(what, e) => write!(f, "{what}: {}", Errno(*e)),
        }
    }
}

/// How far the kernel lets us go.
enum Means {
    /// Mounts with the rights that we have.
    Mounts,
    /// Mounts in a user namespace; are there several ids in it?
    UserNamespace { several: bool },
    /// `chroot` alone.
    Chroot,
}

/// Makes `root.path` the `/` of this process and its children.
pub fn enter(root: &Root) -> Result<Entered, RootError> {
    let here = std::env::current_dir().ok();
    let path = std::fs::canonicalize(&root.path)
        .and_then(|p| std::fs::read_dir(&p).map(|_| p))
        .map_err(|e| RootError::Folder(root.path.clone(), e.raw_os_error().unwrap_or(libc::EIO)))?;
    let mut notes = Vec::new();
    let means = means(root)?;
    match means {
        Means::Chroot => {
            notes.push("no rights to mount: /proc, /dev and /sys are as the folder has them".to_string());
            change_root(&path)?;
        }
        _ => mounts::all(root, &path, here.as_deref(), &mut notes)?,
    }
    arrive(here.as_deref().map(|h| h.strip_prefix(&path).map_or(h.to_path_buf(), |p| Path::new("/").join(p))));
    Ok(Entered { single_id: matches!(means, Means::UserNamespace { several: false }) && !root.as_user, notes })
}

fn means(root: &Root) -> Result<Means, RootError> {
    let unshare = |flags: i32| try_call(libc::SYS_unshare, &[flags as u64]);
    if !root.as_user && try_call(libc::SYS_geteuid, &[]) == Ok(0) && unshare(libc::CLONE_NEWNS).is_ok() {
        return Ok(Means::Mounts);
    }
    let ids = ids::Ids::prepare(root.as_user);
    match unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS) {
        Ok(_) => Ok(Means::UserNamespace { several: ids.map()? }),
        Err(e) => {
            ids.forget();
            // Is it allowed at all?
            let probe = try_call(libc::SYS_chroot, &[c"/".as_ptr() as u64]);
            if probe.is_ok() { Ok(Means::Chroot) } else { Err(RootError::NotAllowed(e.0)) }
        }
    }
}

fn step(what: impl fmt::Display) -> impl FnOnce(Errno) -> RootError {
    move |e| RootError::Step(what.to_string(), e.0)
}

fn change_root(path: &Path) -> Result<(), RootError> {
    let c = c_path(path);
    try_call(libc::SYS_chroot, &[c.as_ptr() as u64]).map_err(step(format_args!("chroot {}", path.display())))?;
    try_call(libc::SYS_chdir, &[c"/".as_ptr() as u64]).map(drop).map_err(step("chdir /"))
}

/// Goes to the folder that we came from, to the home, or stays.
fn arrive(here: Option<PathBuf>) {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let go = |p: &PathBuf| std::env::set_current_dir(p).is_ok();
    let arrived = here.as_ref().is_some_and(go) || home.as_ref().is_some_and(go) || go(&PathBuf::from("/"));
    debug_assert!(arrived, "there is always a root");
}

/// Makes a user and a mount namespace for the calling process, as a trial; the error number, or 0.
pub fn try_namespaces() -> i32 {
    let flags = (libc::CLONE_NEWUSER | libc::CLONE_NEWNS) as u64;
    try_call(libc::SYS_unshare, &[flags]).map_or_else(|e| e.0, |_| 0)
}
