//! Kernel modules of a package: which files, in which order they have to be loaded.
//!
//! Packages come without `modules.dep` (it is made at installation), so each module's own
//! `depends=` tells what it needs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A module ready to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Module {
    pub(super) name: String,
    pub(super) content: Vec<u8>,
}

/// `wanted` and all they need from the modules below `tree`, in loading order. What is not there is
/// taken to be built into the kernel.
pub(super) fn in_order(tree: &Path, wanted: &[&str]) -> io::Result<Vec<Module>> {
    let mut files = BTreeMap::new();
    collect(tree, &mut files)?;
    let mut order = Order { files, seen: BTreeSet::new(), modules: Vec::new() };
    for name in wanted {
        order.add(&normal(name))?;
    }
    Ok(order.modules)
}

struct Order {
    files: BTreeMap<String, PathBuf>,
    seen: BTreeSet<String>,
    modules: Vec<Module>,
}

impl Order {
    fn add(&mut self, name: &str) -> io::Result<()> {
        let Some(path) = self.files.get(name) else { return Ok(()) };
        // Marked first: a cycle must not recurse for ever.
        if !self.seen.insert(name.to_string()) {
            return Ok(());
        }
        let content = read(path)?;
        for needed in depends(&content) {
            self.add(&needed)?;
        }
        self.modules.push(Module { name: name.to_string(), content });
        Ok(())
    }
}

/// Module files below `dir` by name.
fn collect(dir: &Path, files: &mut BTreeMap<String, PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let name = entry.file_name().to_string_lossy().into_owned();
        if kind.is_dir() {
            collect(&path, files)?;
        } else if let Some((stem, "ko" | "ko.xz" | "ko.gz" | "ko.zst")) = name.split_once('.') {
            files.insert(normal(stem), path);
        }
    }
    Ok(())
}

/// A module's content, unpacked.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let packed = fs::read(path)?;
    crate::loader::decompress(&packed)
        .map_or(Ok(packed), |unpacked| unpacked.map_err(|why| io::Error::other(format!("{}: {why}", path.display()))))
}

/// Names that the module's information section says it depends on.
fn depends(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else { return Vec::new() };
    let value = module[at + KEY.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    let value = String::from_utf8_lossy(value);
    value.split(',').filter(|name| !name.is_empty()).map(normal).collect()
}

/// Modules are named with either dash or underscore.
fn normal(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(dir: &Path, name: &str, depends: &str) {
        fs::write(dir.join(name), format!("\x7fELF\0license=GPL\0depends={depends}\0name=x\0")).unwrap();
    }

    #[test]
    fn what_is_needed_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        let sub = dir.path().join("kernel/drivers");
        fs::create_dir_all(&sub).unwrap();
        module(&sub, "virtio_net.ko", "virtio,net_failover");
        module(&sub, "net-failover.ko", "failover");
        module(dir.path(), "failover.ko", "");
        module(&sub, "virtio.ko", "loop");
        module(&sub, "loop.ko", "virtio");
        module(&sub, "other.ko", "");
        fs::write(sub.join("modules.order"), "x").unwrap();
        let names = |wanted: &[&str]| -> Vec<String> {
            in_order(dir.path(), wanted).unwrap().into_iter().map(|m| m.name).collect()
        };
        assert_eq!(names(&["virtio_net"]), ["loop", "virtio", "failover", "net_failover", "virtio_net"]);
        assert_eq!(names(&["net-failover", "built_in", "failover"]), ["failover", "net_failover"]);
        assert!(in_order(Path::new("/nonexistent"), &[]).is_err());
    }

    #[test]
    fn compressed_modules_are_unpacked() {
        use std::io::Write;
        let dir = tempfile::tempdir().unwrap();
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(b"\x7fELF\0depends=\0").unwrap();
        fs::write(dir.path().join("a.ko.gz"), packer.finish().unwrap()).unwrap();
        assert_eq!(in_order(dir.path(), &["a"]).unwrap()[0].content, b"\x7fELF\0depends=\0");
        fs::write(dir.path().join("b.ko"), [0x1f, 0x8b, 8, 0]).unwrap();
        assert!(in_order(dir.path(), &["b"]).is_err());
    }
}
