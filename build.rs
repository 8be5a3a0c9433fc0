//! Links the `jib` program statically where the host's C library can do that.
//!
//! In a root folder of its own a guest sees no x86-64 dynamic linker, and jib must be able to start itself there.
//! A static program also starts in half the time. `-C target-feature=+crt-static` would say the same, but for every
//! crate and procedural macro; here only the last link step changes: the libraries that rustc names are found in our
//! folder first, where each is a linker script that leads to the static one.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What rustc asks for, and the archives that stand for it.
const LIBRARIES: &[(&str, &[&str])] = &[
    ("gcc_s", &["libgcc_eh.a", "libgcc.a"]),
    ("c", &["libc.a", "libgcc_eh.a", "libgcc.a"]),
    ("m", &["libm.a"]),
    ("util", &["libutil.a"]),
    ("rt", &["librt.a"]),
    ("pthread", &["libpthread.a"]),
    ("dl", &["libdl.a"]),
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    if (var("CARGO_CFG_TARGET_ENV"), var("CARGO_CFG_TARGET_ARCH")) != ("gnu".into(), "x86_64".into()) {
        return;
    }
    let dir = PathBuf::from(var("OUT_DIR")).join("static");
    match scripts(&dir) {
        Some(()) => {
            println!("cargo:rustc-link-arg-bin=jib=-static-pie");
            println!("cargo:rustc-link-arg-bin=jib=-L{}", dir.display());
        }
        None => println!("cargo:warning=no static C library: `jib shell` will not work; install libc6-dev"),
    }
}

/// Writes the linker scripts; `None` if an archive is missing.
fn scripts(dir: &Path) -> Option<()> {
    std::fs::create_dir_all(dir).ok()?;
    for (name, archives) in LIBRARIES {
        let found = archives.iter().map(|a| archive(a)).collect::<Option<Vec<_>>>()?;
        std::fs::write(dir.join(format!("lib{name}.so")), format!("GROUP({})\n", found.join(" "))).ok()?;
    }
    Some(())
}

/// The full path of an archive, as the C compiler finds it.
fn archive(name: &str) -> Option<String> {
    let out = Command::new("cc").arg(format!("-print-file-name={name}")).output().ok()?;
    let path = String::from_utf8(out.stdout).ok()?.trim().to_string();
    path.starts_with('/').then_some(path)
}
