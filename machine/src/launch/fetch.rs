//! The default guest's files: fetched once, kept in a cache.
//!
//! Everything is prepared in a temporary folder beside its final place and renamed when it is
//! complete, so an interrupted fetch leaves nothing that looks like a guest.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::apt::Apt;
use super::modules::{self, Module};

/// What to say where nothing can be fetched.
const INSTEAD: &str = "name a kernel (and --initrd) instead";
/// Prefix of folders in the making.
const PARTIAL: &str = ".partial-";
/// Modules that the default guest loads where its kernel has them as modules.
const WANTED: [&str; 9] = [
    "virtio_mmio",
    "virtio_console",
    "virtio_blk",
    "virtio_net",
    "virtio_rng",
    "crc32c_generic",
    "ext4",
    "9p",
    "9pnet_virtio",
];

/// A package of Debian's with a kernel, as apt writes it: `NAME` or `NAME/RELEASE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// The package, or a metapackage that depends on it.
    pub name: String,
    /// The release; the host's if empty.
    pub release: String,
}

impl Package {
    /// For virtual machines: small.
    pub fn cloud() -> Package {
        Package { name: "linux-image-cloud-arm64".to_string(), release: String::new() }
    }

    /// With every driver and file system.
    pub fn standard() -> Package {
        Package { name: "linux-image-arm64".to_string(), release: String::new() }
    }

    /// What its folder in the cache is called.
    fn folder(&self) -> String {
        match self.release.is_empty() {
            true => self.name.clone(),
            false => format!("{}_{}", self.name, self.release),
        }
    }
}

impl FromStr for Package {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, release) = text.split_once('/').unwrap_or((text, ""));
        // As Debian allows them (policy manual, 5.6.1): nothing that apt could take for an option or a path.
        let good = |word: &str| {
            word.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c))
        };
        if !good(name) || text.contains('/') && !good(release) {
            return Err("needs the form PACKAGE or PACKAGE/RELEASE".to_string());
        }
        Ok(Package { name: name.to_string(), release: release.to_string() })
    }
}

/// The default guest.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Where its files are.
    pub dir: PathBuf,
    /// The kernel.
    pub kernel: PathBuf,
    /// The statically linked busybox.
    pub busybox: Vec<u8>,
    pub(super) modules: Vec<Module>,
}

/// The cache's folder: `$XDG_CACHE_HOME/jib` or `~/.cache/jib`.
pub fn cache_dir() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache"))).map(|dir| dir.join("jib"))
}

/// The default guest from the cache, fetched if it is not there. `tell` hears of progress.
pub fn guest(package: &Package, tell: &mut dyn FnMut(&str)) -> Result<Guest, String> {
    let cache = cache_dir().ok_or_else(|| format!("no home folder to keep a fetched kernel in: {INSTEAD}"))?;
    let dir = cache.join(package.folder());
    if !dir.is_dir() {
        fetch(package, &cache, &dir, tell)?;
    }
    open(&dir).map_err(|e| format!("{}: {e} (remove the folder to fetch it again)", dir.display()))
}

/// Reads what [`fetch`] left.
fn open(dir: &Path) -> io::Result<Guest> {
    let mut names: Vec<_> = fs::read_dir(dir.join("modules"))?.flatten().map(|entry| entry.path()).collect();
    names.sort();
    let module = |path: &PathBuf| -> io::Result<Module> {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        // The number before the dash is there for the order.
        let name = stem.split_once('-').map_or(&*stem, |(_, name)| name).to_string();
        Ok(Module { name, content: fs::read(path)? })
    };
    Ok(Guest {
        dir: dir.to_path_buf(),
        kernel: dir.join("vmlinuz"),
        busybox: fs::read(dir.join("busybox"))?,
        modules: names.iter().map(module).collect::<io::Result<_>>()?,
    })
}

fn fetch(package: &Package, cache: &Path, dir: &Path, tell: &mut dyn FnMut(&str)) -> Result<(), String> {
    let io = |e: io::Error| format!("{}: {e}", cache.display());
    fs::create_dir_all(cache).map_err(io)?;
    // One at a time: whoever waited here finds the work done.
    let lock = File::create(cache.join("lock")).map_err(io)?;
    lock.lock().map_err(io)?;
    if dir.is_dir() {
        return Ok(());
    }
    clean(cache).map_err(io)?;
    let partial = tempfile::Builder::new().prefix(PARTIAL).tempdir_in(cache).map_err(io)?;
    let made = make(package, partial.path(), tell).map_err(|why| format!("cannot fetch a kernel: {why}; {INSTEAD}"))?;
    fs::rename(&made, dir).map_err(io)
}

/// Removes what interrupted fetches left. Only with the lock held.
fn clean(cache: &Path) -> io::Result<()> {
    for entry in fs::read_dir(cache)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(PARTIAL) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Fetches and arranges everything below `work`; gives the finished folder.
fn make(package: &Package, work: &Path, tell: &mut dyn FnMut(&str)) -> Result<PathBuf, String> {
    let apt = Apt::of_release(&work.join("apt"), Path::new("/etc/apt"), &package.release).map_err(|e| e.to_string())?;
    tell("fetching Debian's package lists for arm64 (once) ...");
    apt.update()?;
    let kernel = apt.resolve(&package.name, "linux-image-")?;
    let root = work.join("root");
    for package in [kernel.as_str(), "busybox-static"] {
        tell(&format!("fetching {package} ..."));
        apt.unpack(package, &root)?;
    }
    arrange(&root, &work.join("guest")).map_err(|e| e.to_string())
}

/// Picks what the guest needs from the unpacked packages in `root`.
fn arrange(root: &Path, guest: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(guest.join("modules"))?;
    let kernel = fs::read_dir(root.join("boot"))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinu")));
    let kernel = kernel.ok_or_else(|| io::Error::other("no kernel in the package"))?;
    fs::rename(kernel, guest.join("vmlinuz"))?;
    let busybox = ["bin/busybox", "usr/bin/busybox"].map(|path| root.join(path));
    let busybox = busybox.into_iter().find(|path| path.is_file());
    fs::rename(busybox.ok_or_else(|| io::Error::other("no busybox in the package"))?, guest.join("busybox"))?;
    let tree = ["lib/modules", "usr/lib/modules"].map(|path| root.join(path)).into_iter().find(|path| path.is_dir());
    let tree = tree.ok_or_else(|| io::Error::other("no modules in the package"))?;
    for (number, module) in modules::in_order(&tree, &WANTED)?.iter().enumerate() {
        fs::write(guest.join("modules").join(format!("{number:02}-{}.ko", module.name)), &module.content)?;
    }
    Ok(guest.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(root: &Path) {
        for dir in ["boot", "bin", "lib/modules/6.1/kernel"] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        fs::write(root.join("boot/System.map-6.1"), "").unwrap();
        fs::write(root.join("boot/vmlinuz-6.1"), "kernel").unwrap();
        fs::write(root.join("bin/busybox"), "busybox").unwrap();
        fs::write(root.join("lib/modules/6.1/kernel/virtio_blk.ko"), "\0depends=virtio\0").unwrap();
        fs::write(root.join("lib/modules/6.1/kernel/virtio.ko"), "\0depends=\0").unwrap();
    }

    #[test]
    fn packages_become_a_guest() {
        let dir = tempfile::tempdir().unwrap();
        package(&dir.path().join("root"));
        let made = arrange(&dir.path().join("root"), &dir.path().join("guest")).unwrap();
        let guest = open(&made).unwrap();
        assert_eq!(fs::read(guest.kernel).unwrap(), b"kernel");
        assert_eq!(guest.busybox, b"busybox");
        let names: Vec<&str> = guest.modules.iter().map(|m| m.name.as_str()).collect();
        assert_eq!(names, ["virtio", "virtio_blk"]);
    }

    #[test]
    fn incomplete_packages_are_errors() {
        for missing in ["boot/vmlinuz-6.1", "bin/busybox"] {
            let dir = tempfile::tempdir().unwrap();
            package(&dir.path().join("root"));
            fs::remove_file(dir.path().join("root").join(missing)).unwrap();
            assert!(arrange(&dir.path().join("root"), &dir.path().join("guest")).is_err(), "{missing}");
        }
        assert!(open(Path::new("/nonexistent")).is_err());
    }

    #[test]
    fn names_of_packages() {
        let folder = |text: &str| text.parse::<Package>().map(|p| p.folder());
        assert_eq!(folder("linux-image-arm64"), Ok(Package::standard().name));
        assert_eq!(folder("linux-image-6.1.0+x/trixie").as_deref(), Ok("linux-image-6.1.0+x_trixie"));
        for wrong in ["", "-x", "a/", "a/b/c", "/x", "a/..", "A", "a b", "a/-b"] {
            assert!(folder(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn leftovers_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join(".partial-1/x")).unwrap();
        fs::create_dir(dir.path().join("kept")).unwrap();
        clean(dir.path()).unwrap();
        assert!(!dir.path().join(".partial-1").exists() && dir.path().join("kept").exists());
    }
}
