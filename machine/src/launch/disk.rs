//! A disk that was named instead of a kernel: which partition holds a system, and that system's own kernel.
//!
//! Only ext2, ext3 and ext4 are looked into; a journal that was not played back is honoured.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use ext4_view::{Ext4, Ext4Error, Ext4Read};

const SECTOR: u64 = 512;
/// Where a superblock has its magic, and what that is (Linux, fs/ext4/ext4.h).
const SUPERBLOCK_MAGIC: (u64, [u8; 2]) = (0x438, [0x53, 0xef]);
/// Most partitions that are looked at: what partition tables usually have room for.
const MOST_PARTITIONS: u32 = 128;
/// Longest kernel or initrd.
const MOST_BYTES: u64 = 1 << 30;

/// A system on a disk.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct System {
    /// Its partition as Linux numbers it; `None` if the disk has none.
    pub(super) partition: Option<u32>,
    /// Its own kernel and initrd, if there are.
    pub(super) kernel: Option<OwnKernel>,
}

/// What a system would be booted by.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OwnKernel {
    /// Path of the kernel inside.
    pub(super) path: String,
    pub(super) kernel: Vec<u8>,
    pub(super) initrd: Option<Vec<u8>>,
}

impl System {
    /// The name of its device, if the disk is the first one.
    pub(super) fn device(&self) -> String {
        format!("vda{}", self.partition.map_or(String::new(), |n| n.to_string()))
    }
}

/// Is this a disk, rather than a kernel? A disk has a file system or a partition table.
pub(super) fn is_disk(path: &Path) -> io::Result<bool> {
    let file = File::open(path)?;
    let mut start = [0; 2];
    if read_exact(&file, 0, &mut start)? && &start == b"MZ" {
        // An EFI program: a kernel.
        return Ok(false);
    }
    Ok(is_extended(&file, 0)? || has_table(&file)?)
}

/// The system on the disk, or why none can be found.
pub(super) fn system(path: &Path) -> Result<System, String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    let mut found = None;
    for (number, start) in partitions(&file).map_err(|e| e.to_string())? {
        if !is_extended(&file, start).map_err(|e| e.to_string())? {
            continue;
        }
        let reader = Part { file: file.try_clone().map_err(|e| e.to_string())?, start };
        let files = Ext4::load(Box::new(reader)).map_err(|e| e.to_string())?;
        if exists(&files, "/sbin/init") {
            found = Some((number, files));
            break;
        }
    }
    let Some((partition, files)) = found else {
        return Err("no ext4 file system with /sbin/init on it; name a kernel, and this with --disk".to_string());
    };
    Ok(System { partition, kernel: own_kernel(&files).map_err(|e| e.to_string())? })
}

/// A system's kernel: what its boot loader's links lead to, else the last one by name.
fn own_kernel(files: &Ext4) -> Result<Option<OwnKernel>, Ext4Error> {
    let links = [("/vmlinuz", "/initrd.img"), ("/boot/vmlinuz", "/boot/initrd.img")];
    let mut pairs: Vec<(String, String)> = links.map(|(k, i)| (k.to_string(), i.to_string())).into();
    let mut versions = Vec::new();
    if exists(files, "/boot") {
        for entry in files.read_dir("/boot")? {
            let name = String::from_utf8_lossy(entry?.file_name().as_ref()).into_owned();
            versions.extend(name.strip_prefix("vmlinuz-").map(str::to_string));
        }
    }
    versions.sort();
    pairs.extend(versions.last().map(|v| (format!("/boot/vmlinuz-{v}"), format!("/boot/initrd.img-{v}"))));
    let Some((path, initrd)) = pairs.into_iter().find(|(kernel, _)| exists(files, kernel)) else { return Ok(None) };
    let kernel = read(files, &path)?;
    let initrd = exists(files, &initrd).then(|| read(files, &initrd)).transpose()?;
    Ok(Some(OwnKernel { path, kernel, initrd }))
}

/// Does the path lead to something, links followed? Where that cannot be told, it does not.
fn exists(files: &Ext4, path: &str) -> bool {
    files.exists(path).unwrap_or(false)
}

fn read(files: &Ext4, path: &str) -> Result<Vec<u8>, Ext4Error> {
    if files.metadata(path)?.len() > MOST_BYTES {
        return Err(Ext4Error::Io(Box::new(io::Error::other(format!("{path} is too long")))));
    }
    files.read(path)
}

/// A file system inside a disk.
struct Part {
    file: File,
    /// Its first byte.
    start: u64,
}

impl Ext4Read for Part {
    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        let at = self.start.checked_add(at).ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        Ok(self.file.read_exact_at(into, at)?)
    }
}

/// Fills `into` from `at`; false if the file is shorter.
fn read_exact(file: &File, at: u64, into: &mut [u8]) -> io::Result<bool> {
    match file.read_exact_at(into, at) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

fn is_extended(file: &File, start: u64) -> io::Result<bool> {
    let mut magic = [0; 2];
    let at = start.saturating_add(SUPERBLOCK_MAGIC.0);
    Ok(read_exact(file, at, &mut magic)? && magic == SUPERBLOCK_MAGIC.1)
}

/// Does the first sector have a table of partitions?
fn has_table(file: &File) -> io::Result<bool> {
    let mut magic = [0; 2];
    Ok(read_exact(file, 510, &mut magic)? && magic == [0x55, 0xaa])
}

/// The partitions' numbers and first bytes; the disk as a whole if it has no table.
fn partitions(file: &File) -> io::Result<Vec<(Option<u32>, u64)>> {
    let mut header = [0; 92];
    if is_extended(file, 0)? || !has_table(file)? {
        return Ok(vec![(None, 0)]);
    }
    if read_exact(file, SECTOR, &mut header)? && header.starts_with(b"EFI PART") {
        return from_gpt(file, &header);
    }
    let mut table = [0; 64];
    read_exact(file, 446, &mut table)?;
    let entries = (1..).zip(table.chunks_exact(16)).filter(|(_, entry)| entry[4] != 0);
    Ok(entries.map(|(n, entry)| (Some(n), u64::from(le32(&entry[8..])) * SECTOR)).collect())
}

/// The used entries of a GUID partition table (UEFI specification, 5.3).
fn from_gpt(file: &File, header: &[u8]) -> io::Result<Vec<(Option<u32>, u64)>> {
    let (first, count, size) = (le64(&header[72..]), le32(&header[80..]), le32(&header[84..]));
    let mut found = Vec::new();
    for number in 0..count.min(MOST_PARTITIONS) {
        let mut entry = [0; 40];
        let at = first.saturating_mul(SECTOR).saturating_add(u64::from(number) * u64::from(size));
        // Without a type it is unused.
        if read_exact(file, at, &mut entry)? && entry[..16] != [0; 16] {
            found.push((Some(number + 1), le64(&entry[32..]).saturating_mul(SECTOR)));
        }
    }
    Ok(found)
}

fn le32(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).rev().fold(0, |n, b| n << 8 | u32::from(*b))
}

fn le64(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |n, b| n << 8 | u64::from(*b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// A file system with a system on it, with these files besides.
    fn image(dir: &Path, files: &[(&str, &str)]) -> Vec<u8> {
        let root = dir.join("root");
        fs::create_dir_all(root.join("usr/sbin")).unwrap();
        fs::create_dir_all(root.join("boot")).unwrap();
        symlink("usr/sbin", root.join("sbin")).unwrap();
        fs::write(root.join("usr/sbin/init"), "").unwrap();
        for (path, content) in files {
            match content.strip_prefix("-> ") {
                Some(target) => symlink(target, root.join(path)).unwrap(),
                None => fs::write(root.join(path), content).unwrap(),
            }
        }
        let out = dir.join("fs");
        let mut mke2fs = jib_testing::tools::command("mke2fs");
        jib_testing::tools::output(mke2fs.args(["-q", "-t", "ext4", "-d"]).arg(&root).arg(&out).arg("4M"));
        fs::remove_dir_all(&root).unwrap();
        fs::read(out).unwrap()
    }

    fn look(dir: &Path, bytes: &[u8]) -> (bool, Result<System, String>) {
        let path = dir.join("disk");
        fs::write(&path, bytes).unwrap();
        (is_disk(&path).unwrap(), system(&path))
    }

    #[test]
    fn a_system_with_a_kernel_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let files = [
            ("vmlinuz", "-> boot/vmlinuz-6.1"),
            ("initrd.img", "-> boot/initrd.img-6.1"),
            ("boot/vmlinuz-6.1", "kernel"),
            ("boot/initrd.img-6.1", "initrd"),
            ("boot/vmlinuz-9", "not linked"),
        ];
        let (disk, found) = look(dir.path(), &image(dir.path(), &files));
        let own = OwnKernel { path: "/vmlinuz".into(), kernel: b"kernel".into(), initrd: Some(b"initrd".into()) };
        assert_eq!((disk, found), (true, Ok(System { partition: None, kernel: Some(own) })));
    }

    #[test]
    fn without_links_the_last_kernel_counts() {
        let dir = tempfile::tempdir().unwrap();
        let files = [("boot/vmlinuz-5", "old"), ("boot/vmlinuz-6", "new"), ("boot/initrd.img-5", "other")];
        let (_, found) = look(dir.path(), &image(dir.path(), &files));
        let own = OwnKernel { path: "/boot/vmlinuz-6".into(), kernel: b"new".into(), initrd: None };
        assert_eq!(found, Ok(System { partition: None, kernel: Some(own) }));
    }

    #[test]
    fn partitions_are_numbered_as_linux_does() {
        let dir = tempfile::tempdir().unwrap();
        let system = image(dir.path(), &[]);
        // MBR: the second entry is the system; the first is no file system.
        let mut mbr = vec![0; 1 << 20];
        mbr[510..512].copy_from_slice(&[0x55, 0xaa]);
        for (n, sector) in [(0, 8u32), (1, 2048)] {
            mbr[446 + 16 * n + 4] = 0x83;
            mbr[446 + 16 * n + 8..][..4].copy_from_slice(&sector.to_le_bytes());
        }
        let mut gpt = mbr.clone();
        mbr.extend(&system);
        let expected = |n| (true, Ok(System { partition: Some(n), kernel: None }));
        assert_eq!(look(dir.path(), &mbr), expected(2));
        assert_eq!(System { partition: Some(2), kernel: None }.device(), "vda2");
        // GPT: entry 15 is the system, entries between are unused.
        gpt[512..520].copy_from_slice(b"EFI PART");
        gpt[512 + 72] = 2;
        gpt[512 + 80] = 128;
        gpt[512 + 84] = 128;
        gpt[1024 + 14 * 128] = 1;
        gpt[1024 + 14 * 128 + 32..][..2].copy_from_slice(&2048u16.to_le_bytes());
        gpt.extend(&system);
        assert_eq!(look(dir.path(), &gpt), expected(15));
    }

    #[test]
    fn what_is_no_disk_or_has_no_system() {
        let dir = tempfile::tempdir().unwrap();
        let mut kernel = vec![0; 4096];
        kernel[..2].copy_from_slice(b"MZ");
        kernel[510..512].copy_from_slice(&[0x55, 0xaa]);
        assert!(!look(dir.path(), &kernel).0);
        assert!(!look(dir.path(), b"").0);
        kernel[0] = 0;
        let (disk, found) = look(dir.path(), &kernel);
        assert!(disk && found.is_err_and(|why| why.contains("/sbin/init")));
        // Damage is an error, whatever is damaged.
        let good = image(dir.path(), &[("vmlinuz", "kernel")]);
        for at in (1024..3072).step_by(7) {
            let mut bytes = good.clone();
            bytes[at] ^= 0xff;
            let _ = look(dir.path(), &bytes);
        }
    }
}
