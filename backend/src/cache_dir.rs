//! The folder in which translations outlive the process: who may use it, its secret, what is in it.
//!
//! It holds code that we will run, so it is used only if it is the effective user's and nobody else can write to it.
//! What is checked is the open folder, not its name, and everything in it is reached through that descriptor: a link
//! may lead there, but only to a folder of ours, and a change of root or working folder does not matter.

use std::ffi::CString;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::process::geteuid;
use rustix::rand::{GetRandomFlags, getrandom};

/// How the names of our files end, but for the salt's.
pub const SUFFIX: &str = ".jibcache";
/// The salt's name.
const SALT: &str = "salt";
/// How large the folder may become if nobody says otherwise, in bytes.
pub const DEFAULT_LIMIT: u64 = 512 << 20;

/// Bytes that no other user or machine has.
pub type Salt = [u8; 32];

/// Why a folder is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The kernel says no, to this.
    Failed(&'static str, Errno),
    /// It is somebody else's: the owner's id.
    Foreign(u32),
    /// Others may write to it: its permissions.
    Open(u32),
    /// Another process keeps replacing the salt.
    Salt,
}

impl std::error::Error for Refused {}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Failed(what, e) => write!(f, "{what}: {}", std::io::Error::from(*e)),
            Refused::Foreign(uid) => write!(f, "it belongs to user {uid}, not to you"),
            Refused::Open(mode) => write!(f, "others may write to it (mode {mode:04o}); chmod go-w"),
            Refused::Salt => f.write_str("its salt cannot be agreed on; remove the file `salt`"),
        }
    }
}

fn failed(what: &'static str) -> impl FnOnce(Errno) -> Refused {
    move |e| Refused::Failed(what, e)
}

/// A number of files, and their size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many files.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
}

impl Amount {
    fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}

/// An open folder that was found good.
#[derive(Debug)]
pub struct CacheDir {
    fd: OwnedFd,
}

impl AsFd for CacheDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// One of our files.
struct Entry {
    name: CString,
    bytes: u64,
    /// When it was last written: seconds, nanoseconds.
    modified: (i64, i64),
}

impl CacheDir {
    /// Opens a folder that exists.
    pub fn open(path: &Path) -> Result<CacheDir, Refused> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        CacheDir::from_fd(fs::open(path, flags, Mode::empty()).map_err(failed("cannot be opened"))?)
    }

    /// Opens a folder; makes it, for its user alone, if there is none. The folder above it must exist.
    pub fn make(path: &Path) -> Result<CacheDir, Refused> {
        match fs::mkdir(path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => CacheDir::open(path),
            Err(e) => Err(Refused::Failed("cannot be made", e)),
        }
    }

    /// A folder that is open already.
    pub fn from_fd(fd: OwnedFd) -> Result<CacheDir, Refused> {
        let stat = fs::fstat(&fd).map_err(failed("cannot be looked at"))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Err(Refused::Failed("cannot be used", Errno::NOTDIR));
        }
        if stat.st_uid != geteuid().as_raw() {
            return Err(Refused::Foreign(stat.st_uid));
        }
        if stat.st_mode & 0o022 != 0 {
            return Err(Refused::Open(stat.st_mode & 0o7777));
        }
        Ok(CacheDir { fd })
    }

    /// The folder's salt, made when it is first asked for. All processes get the same: the first one to make it wins.
    pub fn salt(&self) -> Result<Salt, Refused> {
        // Two rounds are enough unless somebody damages it at this very moment.
        for _ in 0..4 {
            match self.read_salt() {
                Ok(Some(salt)) => return Ok(salt),
                Ok(None) => self.write_salt(true)?,
                Err(Errno::NOENT) => self.write_salt(false)?,
                // A link where the salt should be.
                Err(Errno::LOOP) => self.write_salt(true)?,
                Err(e) => return Err(Refused::Failed("its salt cannot be read", e)),
            }
        }
        Err(Refused::Salt)
    }

    /// `None` if it is no file that we would have made.
    fn read_salt(&self) -> Result<Option<Salt>, Errno> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = fs::openat(&self.fd, SALT, flags, Mode::empty())?;
        let stat = fs::fstat(&file)?;
        let mut salt = [0; 32];
        let good = is_ours(&stat) && stat.st_mode & 0o077 == 0 && stat.st_size == salt.len() as i64;
        Ok(if good && rustix::io::pread(&file, &mut salt, 0)? == salt.len() { Some(salt) } else { None })
    }

    /// Makes a salt under another name and gives it the right one, in place of a damaged one or not at all.
    fn write_salt(&self, replace: bool) -> Result<(), Refused> {
        let mut random = [0; 40];
        let n = getrandom(&mut random[..], GetRandomFlags::empty()).map_err(failed("no random numbers"))?;
        if n != random.len() {
            return Err(Refused::Failed("no random numbers", Errno::AGAIN));
        }
        let (salt, unique) = random.split_at(32);
        let hex: String = unique.iter().map(|b| format!("{b:02x}")).collect();
        // Ends like our other files, so that it is found if we die here.
        let name = format!("salt-{hex}{SUFFIX}");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = fs::openat(&self.fd, &*name, flags, Mode::RUSR | Mode::WUSR).and_then(|file| {
            if rustix::io::write(&file, salt)? != salt.len() {
                return Err(Errno::NOSPC);
            }
            if replace {
                return fs::renameat(&self.fd, &*name, &self.fd, SALT);
            }
            match fs::linkat(&self.fd, &*name, &self.fd, SALT, AtFlags::empty()) {
                Err(Errno::EXIST) => Ok(()),
                linked => linked,
            }
        });
        // Gone already if it was renamed.
        _ = fs::unlinkat(&self.fd, &*name, AtFlags::empty());
        made.map_err(failed("its salt cannot be written"))
    }

    /// What is in it.
    pub fn amount(&self) -> Result<Amount, Refused> {
        let mut amount = Amount::default();
        self.entries()?.iter().for_each(|e| amount.add(e.bytes));
        Ok(amount)
    }

    /// Removes all our files and the salt, nothing else; tells how much that was.
    pub fn clear(&self) -> Result<Amount, Refused> {
        let removed = self.remove(&self.entries()?)?;
        match fs::unlinkat(&self.fd, SALT, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(removed),
            Err(e) => Err(Refused::Failed("its salt cannot be removed", e)),
        }
    }

    /// Removes the files that were written longest ago until the rest has at most `limit` bytes; tells how much that was.
    pub fn collect(&self, limit: u64) -> Result<Amount, Refused> {
        let mut entries = self.entries()?;
        entries.sort_by_key(|e| e.modified);
        let mut bytes: u64 = entries.iter().map(|e| e.bytes).sum();
        let surplus = entries.iter().take_while(|e| {
            let over = bytes > limit;
            bytes -= e.bytes;
            over
        });
        let n = surplus.count();
        self.remove(&entries[..n])
    }

    fn remove(&self, entries: &[Entry]) -> Result<Amount, Refused> {
        let mut removed = Amount::default();
        for e in entries {
            match fs::unlinkat(&self.fd, &*e.name, AtFlags::empty()) {
                Ok(()) => removed.add(e.bytes),
                // Somebody else was faster.
                Err(Errno::NOENT) => {}
                Err(e) => return Err(Refused::Failed("a file cannot be removed", e)),
            }
        }
        Ok(removed)
    }

    /// Our files, but for the salt.
    fn entries(&self) -> Result<Vec<Entry>, Refused> {
        let mut entries = Vec::new();
        for entry in Dir::read_from(&self.fd).map_err(failed("cannot be listed"))? {
            let entry = entry.map_err(failed("cannot be listed"))?;
            let name = entry.file_name();
            if !name.to_bytes().ends_with(SUFFIX.as_bytes()) {
                continue;
            }
            match fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if is_ours(&stat) => entries.push(Entry {
                    name: name.to_owned(),
                    bytes: stat.st_size.max(0) as u64,
                    modified: (stat.st_mtime, stat.st_mtime_nsec as i64),
                }),
                Ok(_) | Err(Errno::NOENT) => {}
                Err(e) => return Err(Refused::Failed("a file cannot be looked at", e)),
            }
        }
        Ok(entries)
    }
}

/// Is it a file of the effective user's?
fn is_ours(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_uid == geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::sync::{Arc, Barrier};

    use jib_testing::tools::{NOBODY, Scratch, is_root};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).expect("it is there").mode() & 0o7777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
    }

    #[test]
    fn a_folder_is_made_for_its_user_alone() {
        let dir = Scratch::new("cache-dir");
        let path = dir.path().join("cache");
        assert!(matches!(CacheDir::open(&path), Err(Refused::Failed(_, Errno::NOENT))));
        CacheDir::make(&path).expect("it can be made");
        assert_eq!(mode(&path), 0o700);
        CacheDir::make(&path).expect("it is there already");
        assert!(matches!(CacheDir::make(&dir.path().join("a/b")), Err(Refused::Failed(_, Errno::NOENT))));
    }

    #[test]
    fn what_others_can_write_to_is_refused() {
        let dir = Scratch::new("cache-dir-rules");
        let path = dir.path().join("cache");
        CacheDir::make(&path).expect("it can be made");
        for (bits, good) in [(0o755, true), (0o770, false), (0o702, false), (0o1777, false), (0o700, true)] {
            set_mode(&path, bits);
            match CacheDir::open(&path) {
                Ok(_) => assert!(good, "{bits:o}"),
                Err(e) => assert_eq!((good, e), (false, Refused::Open(bits))),
            }
        }
        fs::write(dir.path().join("file"), "").expect("a file");
        assert!(matches!(CacheDir::open(&dir.path().join("file")), Err(Refused::Failed(_, Errno::NOTDIR))));
    }

    #[test]
    fn links_lead_to_folders_of_ours_only() {
        let dir = Scratch::new("cache-dir-links");
        let (link, foreign) = (dir.path().join("link"), dir.path().join("foreign"));
        CacheDir::make(&dir.path().join("cache")).expect("it can be made");
        symlink("cache", &link).expect("a link");
        CacheDir::make(&link).expect("it leads to ours");
        symlink("nowhere", dir.path().join("dangling")).expect("a link");
        assert!(CacheDir::make(&dir.path().join("dangling")).is_err());
        // Somebody else's: one that we make so if we may, else the system's.
        let owner = if is_root() {
            fs::create_dir(dir.path().join("theirs")).expect("a folder");
            std::os::unix::fs::chown(dir.path().join("theirs"), Some(NOBODY), None).expect("chown");
            symlink("theirs", &foreign).expect("a link");
            NOBODY
        } else {
            symlink("/usr", &foreign).expect("a link");
            0
        };
        assert_eq!(CacheDir::make(&foreign).expect_err("not ours"), Refused::Foreign(owner));
    }

    #[test]
    fn all_agree_on_one_salt() {
        let dir = Scratch::new("cache-dir-salt");
        let path = dir.path().join("cache");
        CacheDir::make(&path).expect("it can be made");
        let start = Arc::new(Barrier::new(8));
        let racers: Vec<_> = (0..8)
            .map(|_| {
                let (start, path) = (start.clone(), path.clone());
                std::thread::spawn(move || {
                    let dir = CacheDir::open(&path).expect("it is there");
                    start.wait();
                    dir.salt().expect("a salt")
                })
            })
            .collect();
        let salts: Vec<Salt> = racers.into_iter().map(|t| t.join().expect("no panic")).collect();
        assert!(salts.iter().all(|s| *s == salts[0]) && salts[0] != [0; 32]);
        assert_eq!(mode(&path.join("salt")), 0o600);
        assert_eq!(fs::read_dir(&path).expect("a folder").count(), 1, "something is left over");

        let dir = CacheDir::open(&path).expect("it is there");
        for damage in ["short", "long", "open", "link", "gone"] {
            let before = dir.salt().expect("a salt");
            match damage {
                "short" => fs::write(path.join("salt"), [1; 31]).expect("a file"),
                "long" => fs::write(path.join("salt"), [1; 33]).expect("a file"),
                "open" => set_mode(&path.join("salt"), 0o644),
                _ => fs::remove_file(path.join("salt")).expect("removed"),
            }
            if damage == "link" {
                symlink("/etc/passwd", path.join("salt")).expect("a link");
            }
            let salt = dir.salt().expect("a salt");
            assert_ne!(salt, before, "{damage}");
            assert_eq!((dir.salt(), mode(&path.join("salt"))), (Ok(salt), 0o600), "{damage}");
        }
    }

    #[test]
    fn only_our_files_are_counted_and_removed() {
        let dir = Scratch::new("cache-dir-clear");
        let path = dir.path().join("cache");
        let cache = CacheDir::make(&path).expect("it can be made");
        cache.salt().expect("a salt");
        fs::write(dir.path().join("outside"), "x").expect("a file");
        for name in ["linux-image", "a.jibcache.txt", "lock"] {
            fs::write(path.join(name), "not ours").expect("a file");
        }
        fs::create_dir(path.join("d.jibcache")).expect("a folder");
        symlink("../outside", path.join("l.jibcache")).expect("a link");
        let times: Vec<_> = (0..4).map(|i| std::time::UNIX_EPOCH + std::time::Duration::from_secs(1000 + i)).collect();
        // Written in another order than their names have.
        for (name, time) in ["2", "0", "3", "1"].iter().zip(&times) {
            let file = fs::File::create(path.join(format!("{name:0>32}.jibcache"))).expect("a file");
            std::io::Write::write_all(&mut &file, &[7; 8192]).expect("room");
            file.set_modified(*time).expect("a time");
        }
        let all = cache.amount().expect("it can be listed");
        assert_eq!(all, Amount { files: 4, bytes: 4 * 8192 });
        let there = |n: u32| path.join(format!("{n:0>32}.jibcache")).exists();
        assert_eq!(cache.collect(all.bytes).expect("nothing to do"), Amount::default());
        let one = all.bytes / 4;
        assert_eq!(cache.collect(all.bytes - 1).expect("one goes"), Amount { files: 1, bytes: one });
        assert_eq!([0, 1, 2, 3].map(there), [true, true, false, true]);
        assert_eq!(cache.collect(one).expect("two go").files, 2);
        assert_eq!([0, 1, 2, 3].map(there), [false, true, false, false]);
        assert_eq!(cache.clear().expect("all go"), Amount { files: 1, bytes: one });
        let mut left: Vec<_> = fs::read_dir(&path)
            .expect("a folder")
            .flatten()
            .map(|e| e.file_name().into_string().expect("text"))
            .collect();
        left.sort();
        assert_eq!(left, ["a.jibcache.txt", "d.jibcache", "l.jibcache", "linux-image", "lock"]);
        assert!(dir.path().join("outside").exists());
    }
}
