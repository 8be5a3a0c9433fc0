//! Writes initramfs archives: cpio in the "newc" format that Linux unpacks at boot
//! (Documentation/driver-api/early-userspace/buffer-format.rst).

/// Kinds of file, as `st_mode` has them.
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHARACTER: u32 = 0o020_000;
const TRAILER: &str = "TRAILER!!!";

/// An archive in the making. Everything belongs to root; parents come before what is in them,
/// which is the caller's to see to (or [`Archive::parents`]').
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    inode: u32,
    made: std::collections::BTreeSet<String>,
}

/// What an entry's header says besides its name and length.
#[derive(Default)]
struct Entry {
    mode: u32,
    links: u32,
    device: (u32, u32),
}

impl Archive {
    /// An empty archive.
    pub fn new() -> Self {
        Archive::default()
    }

    /// A folder with these permissions.
    pub fn folder(&mut self, path: &str, permissions: u32) -> &mut Self {
        if self.made.insert(normal(path).to_string()) {
            self.entry(path, Entry { mode: DIRECTORY | permissions & 0o7777, links: 2, ..Entry::default() }, &[]);
        }
        self
    }

    /// Every folder on the way to `path` that is not there yet.
    pub fn parents(&mut self, path: &str) -> &mut Self {
        let path = normal(path).to_string();
        for (at, _) in path.match_indices('/') {
            self.folder(&path[..at], 0o755);
        }
        self
    }

    /// A regular file with this content.
    pub fn file(&mut self, path: &str, permissions: u32, content: &[u8]) -> &mut Self {
        self.parents(path);
        self.entry(path, Entry { mode: REGULAR | permissions & 0o7777, links: 1, ..Entry::default() }, content);
        self
    }

    /// A symbolic link to `target`.
    pub fn symlink(&mut self, path: &str, target: &str) -> &mut Self {
        self.parents(path);
        self.entry(path, Entry { mode: SYMLINK | 0o777, links: 1, ..Entry::default() }, target.as_bytes());
        self
    }

    /// A character device.
    pub fn device(&mut self, path: &str, permissions: u32, major: u32, minor: u32) -> &mut Self {
        self.parents(path);
        let mode = CHARACTER | permissions & 0o7777;
        self.entry(path, Entry { mode, links: 1, device: (major, minor) }, &[]);
        self
    }

    /// The finished archive, padded as an initrd may be appended to it.
    pub fn finish(mut self) -> Vec<u8> {
        self.inode = 0;
        self.entry(TRAILER, Entry { links: 1, ..Entry::default() }, &[]);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self.bytes
    }

    fn entry(&mut self, path: &str, entry: Entry, content: &[u8]) {
        let name = normal(path);
        let fields = [
            self.inode,
            entry.mode,
            0,
            0,
            entry.links,
            0,
            // The format has no room for more; neither has any initramfs.
            content.len().min(u32::MAX as usize) as u32,
            0,
            0,
            entry.device.0,
            entry.device.1,
            name.len() as u32 + 1,
            0,
        ];
        self.inode += 1;
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(&content[..content.len().min(u32::MAX as usize)]);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// Archives hold paths without a leading slash.
fn normal(path: &str) -> &str {
    path.trim_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    fn sample() -> Vec<u8> {
        let mut a = Archive::new();
        a.folder("/proc", 0o555).file("/bin/sub/busybox", 0o755, b"hello").symlink("bin/sh", "busybox");
        a.file("/bin/x", 0o644, b"").device("dev/console", 0o600, 5, 1);
        a.finish()
    }

    #[test]
    fn layout_of_an_entry() {
        let bytes = sample();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.starts_with("07070100000000000041"), "{}", &text[..110]);
        assert_eq!(&bytes[110..115], b"proc\0");
        assert_eq!(bytes.len() % 512, 0);
        assert!(text.contains(TRAILER) && text.matches("bin/sub\0").count() == 1);
        let at = text.find("bin/sub/busybox\0").unwrap();
        assert_eq!(&bytes[at - 110..at - 104], b"070701");
        assert_eq!((at - 110) % 4, 0);
    }

    #[test]
    fn cpio_reads_it() {
        let tool = Command::new("cpio").args(["-itv", "--quiet"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        // Without the tool there is nothing to compare with.
        let Ok(mut tool) = tool else { return };
        tool.stdin.take().unwrap().write_all(&sample()).unwrap();
        let out = tool.wait_with_output().unwrap();
        let list = String::from_utf8(out.stdout).unwrap();
        assert!(out.status.success() && list.contains("bin/sh -> busybox") && list.contains("crw-------"), "{list}");
        assert_eq!(list.lines().count(), 8, "{list}");
    }
}
