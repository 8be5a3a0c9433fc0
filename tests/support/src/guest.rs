//! Guest programs: C sources compiled by the cross compiler, kept between runs.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use crate::tools;

/// Flags for programs without an operating system, for the board: it loads them at 2 MiB above its memory's start.
pub const BARE: &str = "-nostdlib -static -Wl,-Ttext=0x40200000 -Wl,--build-id=none";

/// The AArch64 executable of `source`, compiled with `flags` (separated by spaces) unless the same text was before.
///
/// # Panics
/// If the cross compiler is missing or finds errors.
pub fn compile(source: &Path, flags: &str) -> PathBuf {
    let text = std::fs::read(source).unwrap_or_else(|e| panic!("cannot read {}: {e}", source.display()));
    let mut hash = DefaultHasher::new();
    (text, flags).hash(&mut hash);
    let name = source.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let target = tools::cache().join(format!("{name}-{:016x}", hash.finish()));
    if !target.exists() {
        // Several tests may do so at once: the rename makes it appear whole.
        let temporary = tools::unique(&target);
        let mut gcc = tools::command("aarch64-linux-gnu-gcc");
        let (libraries, options): (Vec<&str>, Vec<&str>) = flags.split_whitespace().partition(|f| f.starts_with("-l"));
        gcc.args(options).arg(source).arg("-o").arg(&temporary).args(["-lm", "-lpthread"]).args(libraries);
        tools::output(&mut gcc);
        std::fs::rename(&temporary, &target).expect("cannot rename a compiled program");
    }
    target
}
