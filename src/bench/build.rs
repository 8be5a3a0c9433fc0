//! Compiles jib's own programs for both machines, once: the results are kept in the user's cache folder.

use std::collections::hash_map::DefaultHasher;
use std::ffi::OsString;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::catalog::Program;
use super::engines::{self, Runnable};

/// The guest's compiler, and the Debian packages that have it.
pub(crate) const CROSS: (&str, &str) = ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu libc6-dev-arm64-cross");

/// Both versions of a program. Without a native compiler there is none for the host.
pub(crate) fn build(p: &Program, native: bool) -> Result<Runnable> {
    let Some(cross) = engines::find(CROSS.0) else {
        bail!("jib's own programs need {}: sudo apt-get install -y {}; or name a program after `--`", CROSS.0, CROSS.1)
    };
    let with_size = |exe: PathBuf| -> Vec<OsString> {
        std::iter::once(exe.into()).chain(p.size.split_whitespace().map(OsString::from)).collect()
    };
    let guest = with_size(compile(p, &cross, p.guest_flags)?);
    let flags = p.native_flags.filter(|_| native);
    let native = match (flags, engines::find("gcc").or_else(|| engines::find("cc"))) {
        (Some(flags), Some(gcc)) => Some(with_size(compile(p, &gcc, flags)?)),
        _ => None,
    };
    Ok(Runnable { guest, native, sysroot: None, folder: None })
}

/// Where compiled programs are kept: `jib/bench` under `$XDG_CACHE_HOME` or `~/.cache`.
pub(super) fn folder() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let folder = base.context("neither HOME nor XDG_CACHE_HOME says where programs may be kept")?.join("jib/bench");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// The executable of `p` by `compiler`, made unless it is there.
fn compile(p: &Program, compiler: &Path, flags: &str) -> Result<PathBuf> {
    let mut hash = DefaultHasher::new();
    (p.source, flags, compiler).hash(&mut hash);
    let target = folder()?.join(format!("{}-{:016x}", p.name, hash.finish()));
    if target.exists() {
        return Ok(target);
    }
    let beside = |suffix: &str| target.with_file_name(format!("{}.{}{suffix}", p.name, std::process::id()));
    let (source, made) = (beside(".c"), beside(".out"));
    fs::write(&source, p.source).with_context(|| format!("cannot write {}", source.display()))?;
    let mut command = Command::new(compiler);
    command.args(flags.split_whitespace()).arg(&source).arg("-o").arg(&made).arg("-lm");
    let output = command.output().with_context(|| format!("cannot start {}", compiler.display()));
    let _ = fs::remove_file(&source);
    let output = output?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let line = text.lines().find(|l| l.contains("error")).or(text.lines().next()).unwrap_or("no reason given");
        bail!("{} cannot compile {}: {line}", compiler.display(), p.name);
    }
    // Whole, whoever else compiles it now.
    fs::rename(&made, &target).with_context(|| format!("cannot rename {}", made.display()))?;
    Ok(target)
}
