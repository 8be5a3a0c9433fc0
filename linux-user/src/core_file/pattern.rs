//! `/proc/sys/kernel/core_pattern`: what the name of a core file is made of.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::host::{self, call};

/// A pattern for names.
pub(super) struct Pattern(Vec<u8>);

impl Pattern {
    pub(super) fn new(text: &OsStr) -> Pattern {
        Pattern(text.as_bytes().to_vec())
    }

    /// `/proc/sys/kernel/core_uses_pid`: the number of the process at the end, unless it is in there.
    pub(super) fn add_pid(&mut self, wanted: bool) {
        if wanted && !self.0.windows(2).any(|w| w == b"%p") {
            self.0.extend(b".%p");
        }
    }

    /// The file's name.
    pub(super) fn expand(&self, signal: i32, limit: u64, program: &Path) -> PathBuf {
        let mut out = Vec::new();
        let mut bytes = self.0.iter().copied();
        while let Some(b) = bytes.next() {
            if b != b'%' {
                out.push(b);
                continue;
            }
            let id = |nr| call(nr, &[]).to_string().into_bytes();
            // A lone % at the end, and what has no meaning, vanish, as in the kernel.
            match bytes.next() {
                Some(b'%') => out.push(b'%'),
                Some(b'p' | b'P') => out.extend(host::getpid().to_string().bytes()),
                Some(b'i' | b'I') => out.extend(host::gettid().to_string().bytes()),
                Some(b'u') => out.extend(id(libc::SYS_getuid)),
                Some(b'g') => out.extend(id(libc::SYS_getgid)),
                Some(b'd') => out.push(b'1'),
                Some(b's') => out.extend(signal.to_string().bytes()),
                Some(b'c') => out.extend(limit.to_string().bytes()),
                Some(b't') => {
                    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                    out.extend(now.as_secs().to_string().bytes());
                }
                Some(b'h') => out.extend(plain(&read("/proc/sys/kernel/hostname"))),
                Some(b'e' | b'f') => out.extend(plain(&read("/proc/thread-self/comm"))),
                Some(b'E') => out.extend(plain(program.as_os_str().as_bytes())),
                _ => {}
            }
        }
        PathBuf::from(OsString::from_vec(out))
    }
}

/// The file's first line.
fn read(path: &str) -> Vec<u8> {
    let text = std::fs::read(path).unwrap_or_default();
    text.split(|b| *b == b'\n').next().unwrap_or_default().to_vec()
}

/// As part of a name: without slashes.
fn plain(text: &[u8]) -> Vec<u8> {
    text.iter().map(|b| if *b == b'/' { b'!' } else { *b }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_as_the_kernel_makes_them() {
        let name = |text: &str, uses_pid| {
            let mut pattern = Pattern::new(text.as_ref());
            pattern.add_pid(uses_pid);
            pattern.expand(11, 4096, Path::new("/bin/a")).display().to_string()
        };
        let pid = std::process::id();
        assert_eq!(name("core", false), "core");
        assert_eq!(name("core", true), format!("core.{pid}"));
        assert_eq!(name("/var/%E-%p.%s.%c%%%", true), format!("/var/!bin!a-{pid}.11.4096%"));
        assert_eq!(name("%q%d", false), "1");
    }
}
