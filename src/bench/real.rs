//! Programs that people run, from packages for both machines: Debian's, npm's and PyPI's.
//!
//! They are fetched when first wanted, and kept in the user's cache folder: for each machine a folder that serves as its
//! root. Nothing of them is installed, nothing runs as root. The host's versions are started by the dynamic linker of
//! their own folder, so that both are the same releases, whatever the host has.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};
use jib_machine::launch::apt::Apt;

use super::build;
use super::engines::{Runnable, find};
use crate::cmd::debian;
use crate::report;

/// A program and its work.
pub(crate) struct Real {
    /// Its name in tables.
    pub(crate) name: &'static str,
    /// Its path in a root, whose folders may be `*`; without a `/` it is not Debian's.
    program: &'static str,
    /// Its arguments. They name files of [`write_work`].
    pub(crate) args: &'static [&'static str],
    /// Can the host's version be run where it is?
    native: bool,
}

const fn real(name: &'static str, program: &'static str, args: &'static [&'static str]) -> Real {
    Real { name, program, args, native: true }
}

/// All of them.
pub(crate) const PROGRAMS: &[Real] = &[
    real("python", "usr/bin/python3", &["-I", "-S", "work.py"]),
    // Debian's has parts of itself in /usr/share.
    Real { native: false, ..real("node", "usr/bin/node", &["work.js"]) },
    real("perl", "usr/bin/perl", &["work.pl"]),
    real("lua", "usr/bin/lua5.4", &["work.lua"]),
    real("gawk", "usr/bin/gawk", &["-f", "work.awk", "text"]),
    real("sqlite", "usr/bin/sqlite3", &[":memory:", ".read work.sql"]),
    real("openssl", "usr/bin/openssl", &["dgst", "-sha512", "data"]),
    real("xz", "usr/bin/xz", &["-6", "-T1", "-c", "text"]),
    real("zstd", "usr/bin/zstd", &["-9", "-q", "--single-thread", "-c", "data"]),
    // What the host's makes of the same text is for the host.
    Real { native: false, ..real("cc1", "usr/lib/gcc/*/*/cc1", &["-O2", "-quiet", "work.i", "-o", "/dev/stdout"]) },
    real("git", "usr/bin/git", &["diff", "--no-index", "--word-diff", "text", "text2"]),
    real("bash", "usr/bin/bash", &["work.sh"]),
    real("esbuild", "esbuild", &["work.ts", "--minify", "--sourcemap=inline", "--target=es2017"]),
    real(
        "ruff",
        "ruff",
        &["check", "--isolated", "--no-cache", "--select=E,F,W,B,UP", "--output-format=concise", "lint.py"],
    ),
];

/// The packages that have them.
const PACKAGES: &[&str] = &[
    "python3",
    "nodejs",
    "perl-base",
    "lua5.4",
    "gawk",
    "sqlite3",
    "openssl",
    "xz-utils",
    "zstd",
    "cpp",
    "git",
    "bash",
];

/// A machine: as Debian, npm and PyPI call it, and links among the folders of a root.
struct Machine {
    debian: &'static str,
    npm: &'static str,
    wheels: &'static str,
    merged: &'static [&'static str],
}

const GUEST: Machine = Machine {
    debian: "arm64",
    npm: "@esbuild/linux-arm64",
    wheels: "musllinux_1_2_aarch64",
    merged: &["bin", "sbin", "lib"],
};
const HOST: Machine = Machine {
    debian: "amd64",
    npm: "@esbuild/linux-x64",
    wheels: "musllinux_1_2_x86_64",
    merged: &["bin", "sbin", "lib", "lib64"],
};

/// Both versions of a program, with the folder to run it in.
pub(crate) fn prepare(p: &Real, native: bool) -> Result<Runnable> {
    let base = build::folder()?.join("real");
    let work = base.join("work");
    if !work.exists() {
        let partial = base.join(format!("work.{}", std::process::id()));
        fs::create_dir_all(&partial).with_context(|| format!("cannot make {}", partial.display()))?;
        write_work(&partial).context("cannot write what programs work on")?;
        whole(&partial, &work)?;
    }
    let command = |m: &Machine| -> Result<(PathBuf, Vec<OsString>)> {
        let root = root(&base, m)?;
        let program = program(&root, p.program).with_context(|| format!("no {} in {}", p.name, root.display()))?;
        Ok((root, std::iter::once(program.into()).chain(p.args.iter().map(OsString::from)).collect()))
    };
    let (sysroot, guest) = command(&GUEST)?;
    let native = match native && p.native {
        true => {
            let (root, line) = command(&HOST)?;
            Some(if p.program.contains('/') { by_linker(&root, line) } else { line })
        }
        false => None,
    };
    Ok(Runnable { guest, native, sysroot: Some(sysroot), folder: Some(work) })
}

/// A command by the dynamic linker of its root.
fn by_linker(root: &Path, line: Vec<OsString>) -> Vec<OsString> {
    let mut start: Vec<OsString> = vec![root.join("lib64/ld-linux-x86-64.so.2").into(), "--library-path".into()];
    start.push(root.join("usr/lib/x86_64-linux-gnu").into());
    start.into_iter().chain(line).collect()
}

/// The file that `pattern` names in `root`: the last, if there are several.
fn program(root: &Path, pattern: &str) -> Option<PathBuf> {
    let step = |at: PathBuf, part: &str| match part {
        "*" => fs::read_dir(at).ok()?.flatten().map(|e| e.path()).filter(|p| p.is_dir()).max(),
        part => Some(at.join(part)),
    };
    pattern.split('/').try_fold(root.to_path_buf(), step).filter(|p| p.exists())
}

/// The root of a machine, fetched unless it is there.
fn root(base: &Path, m: &Machine) -> Result<PathBuf> {
    let root = base.join(m.debian);
    if root.exists() {
        return Ok(root);
    }
    report::tell(format_args!("fetching real programs for {} ...", m.debian));
    let partial = base.join(format!("{}.{}", m.debian, std::process::id()));
    fs::create_dir_all(&partial).with_context(|| format!("cannot make {}", partial.display()))?;
    let state = partial.join(".fetch");
    let apt = Apt::of_machine(&state, Path::new("/etc/apt"), m.debian).context("apt's sources")?;
    apt.update()
        .and_then(|()| apt.download(PACKAGES))
        .and_then(|files| debian::unpack_merged(&files, &partial, m.merged))
        .map_err(|e| anyhow!("{e}"))?;
    fetch("npm", &["pack", "--silent", &format!("{}@0.25.9", m.npm)], &state)?;
    fetch("tar", &["-xzf", &single(&state, ".tgz")?], &state)?;
    fs::rename(state.join("package/bin/esbuild"), partial.join("esbuild")).context("no esbuild in its package")?;
    let wheel = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--platform", m.wheels, "ruff==0.12.11"];
    fetch("pip", &wheel, &state)?;
    fetch("unzip", &["-q", &single(&state, ".whl")?], &state)?;
    let data = single(&state, ".data")?;
    fs::rename(Path::new(&data).join("scripts/ruff"), partial.join("ruff")).context("no ruff in its package")?;
    fetch("chmod", &["755", "esbuild", "ruff"], &partial)?;
    fs::remove_dir_all(&state).context("cannot clean up")?;
    whole(&partial, &root)?;
    Ok(root)
}

/// Gives a finished folder its name, unless somebody else was faster.
fn whole(partial: &Path, name: &Path) -> Result<()> {
    if fs::rename(partial, name).is_err() && !name.exists() {
        bail!("cannot rename {}", partial.display());
    }
    Ok(())
}

fn fetch(tool: &str, args: &[&str], folder: &Path) -> Result<()> {
    let Some(path) = find(tool) else {
        bail!("real programs need {tool}: sudo apt-get install -y npm python3-pip unzip")
    };
    let output =
        Command::new(path).args(args).current_dir(folder).output().with_context(|| format!("cannot start {tool}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        bail!("{tool} failed: {}", text.lines().last().unwrap_or("no reason given"));
    }
    Ok(())
}

/// The one entry of `folder` whose name ends so.
fn single(folder: &Path, end: &str) -> Result<String> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut names = entries.flatten().map(|e| e.path().display().to_string());
    names.find(|n| n.ends_with(end)).with_context(|| format!("nothing ending in {end} was fetched"))
}

/// The text of a file of the source tree.
macro_rules! source {
    ($name:literal) => {
        ($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/real/", $name)))
    };
}

/// Writes what the programs work on.
fn write_work(folder: &Path) -> std::io::Result<()> {
    let scripts = [
        source!("work.py"),
        source!("work.js"),
        source!("work.pl"),
        source!("work.lua"),
        source!("work.awk"),
        source!("work.sql"),
        source!("work.sh"),
    ];
    for (name, text) in scripts {
        fs::write(folder.join(name), text)?;
    }
    let mut state = 1u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut text = String::new();
    for _ in 0..30_000 {
        let _ = writeln!(text, "{} {}\ta{}b word{}x", random(50), random(100_000), random(999), random(40));
    }
    fs::write(folder.join("text2"), text.replace("word7x", "other"))?;
    fs::write(folder.join("text"), &text)?;
    fs::write(folder.join("data"), text.repeat(12))?;
    fs::write(folder.join("work.i"), many(120, C))?;
    fs::write(folder.join("work.ts"), many(1500, TYPESCRIPT))?;
    fs::write(folder.join("lint.py"), many(400, PYTHON))
}

/// `text` again and again, each time with another number for `@`.
fn many(times: usize, text: &str) -> String {
    (0..times).map(|i| text.replace('@', &i.to_string())).collect()
}

const C: &str = "\
struct s@ { int a, b; double d; struct s@ *next; };
static int f@(const struct s@ *p, int n) {
    int sum = 0;
    for (; p; p = p->next) {
        switch (p->a & 7) {
        case 0: sum += p->b * n; break;
        case 1: sum ^= p->b << (n & 15); break;
        case 2: sum -= (int)(p->d * @); break;
        case 5: sum = sum / (n | 1); break;
        default: sum += @ + p->a;
        }
        for (int i = 0; i < n; i++) sum += (sum >> 3) ^ (i * p->b);
    }
    return sum;
}
double g@(double *v, const double *w, int n) {
    double t = 0;
    for (int i = 0; i < n; i++) { v[i] = v[i] * w[i] + @; t += v[i]; }
    struct s@ x = { n, (int)t, t, 0 }, y = { n + 1, 7, t * 2, &x };
    return t + f@(&y, n);
}
";

const TYPESCRIPT: &str = "\
export interface T@ { a: number, b?: string }
export enum E@ { A = @, B, C }
export class C@<X> { #p = @; static s = E@.B; constructor(public q: X) {} get p() { return this.#p ** 2 } }
export async function* f@(n: number): AsyncGenerator<T@> {
  for (const x of [...Array(n).keys()]) yield { a: x ?? @, b: `v${x}` }
}
";

const PYTHON: &str = "\
import os, sys
from typing import List, Optional
def f@(a, b = [], *args, **kw) :
    l = @
    if a == None : return b
    try:
        return {k: v for k, v in kw.items() if not k in args}
    except:
        pass
class c@(object):
    def m(self, v: Optional[List[int]] = None) -> 'str':
        return \"%s %d\" % (v, @)
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_by_pattern() {
        let base = std::env::temp_dir().join(format!("jib-real-{}", std::process::id()));
        fs::create_dir_all(base.join("usr/lib/gcc/x/12")).expect("folders");
        fs::write(base.join("usr/lib/gcc/x/12/cc1"), "").expect("a file");
        assert_eq!(program(&base, "usr/lib/gcc/*/*/cc1"), Some(base.join("usr/lib/gcc/x/12/cc1")));
        assert_eq!(program(&base, "usr/lib/*/cc1"), None);
        assert_eq!(program(&base, "usr/bin/cc1"), None);
        fs::remove_dir_all(&base).expect("gone");
    }

    #[test]
    fn work_is_the_same_each_time() {
        let folder = |n: &str| std::env::temp_dir().join(format!("jib-work-{n}-{}", std::process::id()));
        let [a, b] = [folder("a"), folder("b")];
        for f in [&a, &b] {
            fs::create_dir_all(f).expect("a folder");
            write_work(f).expect("written");
        }
        for name in ["text", "work.i", "lint.py", "work.py"] {
            assert_eq!(fs::read(a.join(name)).expect("read"), fs::read(b.join(name)).expect("read"), "{name}");
        }
        for folder in [a, b] {
            fs::remove_dir_all(folder).expect("gone");
        }
    }
}
