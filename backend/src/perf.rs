//! A map of compiled code for `perf`: `/tmp/perf-PID.map`.

use std::fs::{File, OpenOptions};
use std::io::Write;

use jib_ir::region::Key;

/// The open map.
pub(crate) struct PerfMap(File);

impl PerfMap {
    /// The map of this process; `None` if it cannot be written, which is no reason to stop.
    pub(crate) fn open() -> Option<PerfMap> {
        let path = format!("/tmp/perf-{}.map", std::process::id());
        OpenOptions::new().create(true).append(true).open(path).ok().map(PerfMap)
    }

    /// Adds the code of `key` at `address`.
    pub(crate) fn add(&mut self, key: Key, address: u64, len: usize) {
        let _ = writeln!(self.0, "{address:x} {len:x} guest_{:x}", key.pc);
    }
}
