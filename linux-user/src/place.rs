//! Where images go: the same file at the same address in every process of a user, elsewhere for everybody else.
//!
//! An image is a program, a dynamic linker or a shared library. Translations contain guest addresses, so they can be
//! used again only if the code is where it was. The address that an image prefers is a hash of what it is and of a
//! secret of the user's; it is a hint, and if the place is taken, the kernel chooses as always.

use jib_backend::cache_dir::Salt;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::host::try_call;
use crate::syscall::HostStat;

/// The first address of the places. The kernel puts nothing here by itself: programs, heaps, mappings and stacks are
/// below 0x57.. and above 0x7e.., also with randomised layout.
const FIRST: u64 = 0x6000_0000_0000;
/// How many places there are.
const PLACES: u64 = 1 << 23;
/// Their distance, and so the alignment of all images: that of huge pages.
const DISTANCE: u64 = 2 << 20;
/// Bytes at the beginning of a file that tell what it is: the headers and mostly the build id.
const HEAD: usize = 4096;

/// Chooses places.
#[derive(Debug)]
pub(crate) struct Places {
    salt: Salt,
}

impl Places {
    /// Those of the user with this salt.
    pub(crate) fn new(salt: Salt) -> Places {
        Places { salt }
    }

    /// The address that an image prefers.
    pub(crate) fn of(&self, identity: u128) -> u64 {
        let mut hash = Xxh3::new();
        hash.update(&self.salt);
        hash.update(&identity.to_le_bytes());
        FIRST + hash.digest() % PLACES * DISTANCE
    }
}

/// What tells the file behind `fd` from others: a hash of its size and its first bytes. `None` if it is no regular file
/// or cannot be read. Files of the same identity may still differ further on.
pub(crate) fn identity(fd: i32) -> Option<u128> {
    let mut stat: HostStat = [0; 18];
    try_call(libc::SYS_fstat, &[fd as u64, stat.as_mut_ptr() as u64]).ok()?;
    let (mode, size) = (stat[3] as u32, stat[6]);
    if mode & libc::S_IFMT != libc::S_IFREG {
        return None;
    }
    let mut bytes = [0; 8 + HEAD];
    let (length, head) = bytes.split_at_mut(8);
    length.copy_from_slice(&size.to_le_bytes());
    let n = try_call(libc::SYS_pread64, &[fd as u64, head.as_mut_ptr() as u64, HEAD as u64, 0]).ok()?;
    Some(xxh3_128(&bytes[..8 + n as usize]))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn places_are_aligned_in_range_and_differ() {
        let (mine, theirs) = (Places::new([1; 32]), Places::new([2; 32]));
        let mut seen = std::collections::BTreeSet::new();
        for identity in 0..1000 {
            let at = mine.of(identity);
            assert!((0x6000_0000_0000..0x7000_0000_0000).contains(&at) && at.is_multiple_of(2 << 20), "{at:#x}");
            assert_eq!(at, mine.of(identity));
            seen.extend([at, theirs.of(identity)]);
        }
        // Of two thousand among eight million, hardly any agree.
        assert!(seen.len() >= 1990, "{}", seen.len());
    }

    #[test]
    fn an_identity_is_of_size_and_head() {
        let path = std::env::temp_dir().join(format!("jib-identity-{}", std::process::id()));
        let of = |bytes: &[u8]| {
            let mut file =
                File::options().read(true).write(true).create(true).truncate(true).open(&path).expect("a file");
            file.write_all(bytes).expect("room");
            identity(file.as_raw_fd()).expect("a regular file")
        };
        let long = vec![5; 5000];
        let all = [of(b""), of(b"a"), of(b"b"), of(b"a\0"), of(&long), of(&long[1..])];
        for (i, a) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|b| a != b), "{i}");
        }
        assert_eq!(of(&long), all[4]);
        std::fs::remove_file(&path).expect("removed");
        let (reader, _writer) = std::io::pipe().expect("a pipe");
        assert_eq!((identity(reader.as_raw_fd()), identity(-1)), (None, None));
    }
}
