//! The ways to run a program that are compared, and what each needs of the host.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// One way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Engine {
    /// The host itself, on a counterpart compiled for it
    Native,
    /// qemu-aarch64
    Qemu,
    /// jib's interpreter alone
    Interpreter,
    /// jib's quick tier alone, at once
    Quick,
    /// jib's Cranelift tier alone, at once
    Optimized,
    /// jib with all tiers, for the first time
    Jib,
    /// jib with what earlier runs have kept
    Warm,
}

impl Engine {
    /// All, in the order of tables.
    pub(crate) const ALL: [Engine; 7] = [
        Engine::Native,
        Engine::Qemu,
        Engine::Interpreter,
        Engine::Quick,
        Engine::Optimized,
        Engine::Jib,
        Engine::Warm,
    ];

    /// As tables and files have it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Engine::Native => "native",
            Engine::Qemu => "qemu",
            Engine::Interpreter => "interpreter",
            Engine::Quick => "quick",
            Engine::Optimized => "optimized",
            Engine::Jib => "jib",
            Engine::Warm => "warm",
        }
    }

    /// The options of `jib run` that make it this; `None` if it is no engine of jib's.
    fn options(self) -> Option<&'static [&'static str]> {
        match self {
            Engine::Native | Engine::Qemu => None,
            Engine::Interpreter => Some(&["--engine", "interp"]),
            Engine::Quick => Some(&["--quick", "0", "--threshold", "4294967295"]),
            Engine::Optimized => Some(&["--quick", "4294967295", "--threshold", "1", "--sync"]),
            Engine::Jib | Engine::Warm => Some(&[]),
        }
    }
}

/// Where Debian's cross libraries are, which `jib run` finds by itself.
const CROSS_SYSROOT: &str = "/usr/aarch64-linux-gnu";

/// What runs programs.
pub(crate) struct Tools {
    jib: PathBuf,
    qemu: Option<PathBuf>,
    sysroot: Option<PathBuf>,
    /// Where [`Engine::Warm`] keeps translations; gone at the end.
    kept: PathBuf,
}

impl Drop for Tools {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.kept);
    }
}

impl Tools {
    /// This `jib`, and what is along `PATH`; guests' absolute paths are looked up under `sysroot`.
    pub(crate) fn find(sysroot: Option<PathBuf>) -> Result<Tools, String> {
        let jib = std::env::current_exe().map_err(|e| format!("where am I? {e}"))?;
        let qemu = find("qemu-aarch64").or_else(|| find("qemu-aarch64-static"));
        let kept = std::env::temp_dir().join(format!("jib-bench-kept-{}", std::process::id()));
        Ok(Tools { jib, qemu, sysroot, kept })
    }

    /// Can programs be run by `engine`?
    pub(crate) fn has(&self, engine: Engine) -> bool {
        engine != Engine::Qemu || self.qemu.is_some()
    }

    /// `qemu-aarch64`, if it is there.
    pub(crate) fn qemu(&self) -> Option<&Path> {
        self.qemu.as_deref()
    }

    /// The command that runs `program` by `engine`, with more options of `jib run`. The native one is `native`.
    pub(crate) fn command(&self, engine: Engine, subject: &Runnable, more: &[OsString]) -> Option<Command> {
        let mut command = self.start(engine, subject, more)?;
        if let Some(folder) = &subject.folder {
            command.current_dir(folder);
        }
        Some(command)
    }

    fn start(&self, engine: Engine, subject: &Runnable, more: &[OsString]) -> Option<Command> {
        let sysroot = subject.sysroot.as_deref().or(self.sysroot.as_deref());
        let mut command = match engine {
            Engine::Native => {
                let (program, args) = subject.native.as_ref()?.split_first()?;
                let mut command = Command::new(program);
                command.args(args);
                return Some(command);
            }
            Engine::Qemu => {
                let mut command = Command::new(self.qemu.as_ref()?);
                let cross = Path::new(CROSS_SYSROOT);
                if let Some(root) = sysroot.or(cross.is_dir().then_some(cross)) {
                    command.arg("-L").arg(root);
                }
                command
            }
            jib => {
                let mut command = Command::new(&self.jib);
                let kept = if jib == Engine::Warm { self.kept.as_os_str() } else { "off".as_ref() };
                command.args(["run", "--cache"]).arg(kept).args(jib.options()?).args(more);
                if let Some(root) = sysroot {
                    command.arg("-L").arg(root);
                }
                command.arg("--");
                command
            }
        };
        command.args(&subject.guest);
        Some(command)
    }
}

/// A program with its arguments, for the guest's and the host's machine.
pub(crate) struct Runnable {
    pub(crate) guest: Vec<OsString>,
    pub(crate) native: Option<Vec<OsString>>,
    /// Where the guest's absolute paths are looked up first, if not as the user says.
    pub(crate) sysroot: Option<PathBuf>,
    /// The folder to run it in, if not the current one.
    pub(crate) folder: Option<PathBuf>,
}

/// The path of `program`, along `PATH`.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|p| p.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_engines() {
        let tools = Tools { jib: "/j".into(), qemu: None, sysroot: Some("/r".into()), kept: "/nowhere/k".into() };
        let subject = Runnable { guest: vec!["p".into(), "-x".into()], native: None, sysroot: None, folder: None };
        let line = |e| tools.command(e, &subject, &[]).map(|c| format!("{c:?}").replace('"', ""));
        assert_eq!(line(Engine::Jib).as_deref(), Some("/j run --cache off -L /r -- p -x"));
        assert_eq!(line(Engine::Interpreter).as_deref(), Some("/j run --cache off --engine interp -L /r -- p -x"));
        assert_eq!(line(Engine::Warm).as_deref(), Some("/j run --cache /nowhere/k -L /r -- p -x"));
        assert_eq!((line(Engine::Qemu), line(Engine::Native)), (None, None));
        assert!(!tools.has(Engine::Qemu) && tools.has(Engine::Native));
    }
}
