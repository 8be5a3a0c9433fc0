//! `jib binfmt`: lets the kernel start AArch64 programs by jib, for every process of the system.
//!
//! jib needs no such entry for the children of what it runs; it is for programs started by x86-64
//! ones: `./hello` in a shell, containers, builds. The kernel keeps entries in a file system of
//! its own (`Documentation/admin-guide/binfmt-misc.rst`); `systemd-binfmt` makes them anew at boot.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::cli::{BinfmtAction, BinfmtArgs};
use crate::report::{self, CANNOT_RUN};

/// Where the kernel keeps its entries.
const ENTRIES: &str = "/proc/sys/fs/binfmt_misc";
/// Our entry's name.
const NAME: &str = "jib-aarch64";
/// Read by systemd at boot.
const AT_BOOT: &str = "/etc/binfmt.d/jib-aarch64.conf";
/// First bytes of a little-endian 64-bit AArch64 program, static or PIE, and which bits of them count.
const MAGIC: &str = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00";
const MASK: &str = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff";
/// The same magic as the kernel shows it.
const SHOWN_MAGIC: &str = "7f454c460201010000000000000000000200b700";

/// Does what `args` says; `status` fails unless programs are started by jib.
pub(crate) fn main(args: &BinfmtArgs) -> ExitCode {
    let done = match &args.action {
        BinfmtAction::Install { flags, boot, interpreter } => install(flags, *boot, interpreter.as_deref()),
        BinfmtAction::Remove => remove(),
        BinfmtAction::Status => return status(),
    };
    match done {
        Ok(text) => {
            report::print(text);
            ExitCode::SUCCESS
        }
        Err(why) => report::fail(CANNOT_RUN, why),
    }
}

/// Checks what `--flags` says.
pub(crate) fn flags(text: &str) -> Result<String, String> {
    match text.chars().find(|c| !"POCF".contains(*c)) {
        Some(c) => Err(format!("{c} is no flag; choose of P, O, C and F")),
        None => Ok(text.to_string()),
    }
}

fn entry(interpreter: &Path, flags: &str) -> String {
    format!(":{NAME}:M::{MAGIC}:{MASK}:{}:{flags}", interpreter.display())
}

fn install(flags: &str, boot: bool, interpreter: Option<&Path>) -> Result<String, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let interpreter = interpreter.map_or(Ok(own), std::path::absolute).map_err(|e| e.to_string())?;
    let length = interpreter.as_os_str().len();
    if length > 127 {
        return Err(format!("{}: the kernel takes at most 127 bytes; copy jib elsewhere", interpreter.display()));
    }
    let entry = entry(&interpreter, flags);
    mounted()?;
    let old = Path::new(ENTRIES).join(NAME);
    if old.exists() {
        fs::write(&old, "-1").map_err(|e| refused(&old, &e))?;
    }
    let register = Path::new(ENTRIES).join("register");
    fs::write(&register, &entry).map_err(|e| refused(&register, &e))?;
    if boot {
        let dir = Path::new(AT_BOOT).parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(dir).map_err(|e| refused(dir, &e))?;
        fs::write(AT_BOOT, entry + "\n").map_err(|e| refused(Path::new(AT_BOOT), &e))?;
    }
    let later = if boot { "also after a reboot" } else { "until the next reboot; add --boot for longer" };
    Ok(format!("AArch64 programs are started by {} (flags {flags}), {later}", interpreter.display()))
}

fn remove() -> Result<String, String> {
    let old = Path::new(ENTRIES).join(NAME);
    let there = old.exists();
    if there {
        fs::write(&old, "-1").map_err(|e| refused(&old, &e))?;
    }
    match fs::remove_file(AT_BOOT) {
        Ok(()) => Ok("removed, also for the next boot".into()),
        Err(e) if e.kind() == ErrorKind::NotFound && there => Ok("removed".into()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok("there was no entry of jib's".into()),
        Err(e) => Err(refused(Path::new(AT_BOOT), &e)),
    }
}

/// Mounts the kernel's file system if it is not there.
fn mounted() -> Result<(), String> {
    if Path::new(ENTRIES).join("register").exists() {
        return Ok(());
    }
    let mount = Command::new("mount").args(["-t", "binfmt_misc", "binfmt_misc", ENTRIES]).output();
    match mount {
        Ok(out) if out.status.success() => Ok(()),
        Ok(out) => {
            let text = String::from_utf8_lossy(&out.stderr);
            let why = text.lines().next().unwrap_or("mount failed");
            Err(format!("no binfmt_misc here ({why}); load the kernel's module `binfmt_misc`, as root"))
        }
        Err(e) => Err(format!("mount: {e}")),
    }
}

fn refused(path: &Path, e: &io::Error) -> String {
    match e.kind() {
        ErrorKind::PermissionDenied => format!("{}: only root may do that; use sudo", path.display()),
        _ => format!("{}: {e}", path.display()),
    }
}

/// One entry of the kernel's for AArch64 programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name.
    pub(crate) name: String,
    /// What it starts.
    pub(crate) interpreter: PathBuf,
    /// Its flags.
    pub(crate) flags: String,
    /// Is it in force?
    pub(crate) enabled: bool,
}

impl Entry {
    /// Does it start jib?
    pub(crate) fn is_ours(&self) -> bool {
        self.name == NAME
    }
}

/// All entries for AArch64 programs.
pub(crate) fn entries() -> Vec<Entry> {
    let Ok(list) = fs::read_dir(ENTRIES) else { return Vec::new() };
    let mut found: Vec<Entry> = list.flatten().filter_map(|e| read(&e.path())).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn read(path: &Path) -> Option<Entry> {
    parse(&path.file_name()?.to_string_lossy(), &fs::read_to_string(path).ok()?)
}

fn parse(name: &str, text: &str) -> Option<Entry> {
    let value = |key: &str| text.lines().find_map(|l| l.strip_prefix(key)).map(str::trim);
    // Others may look at fewer bytes, or take any version of the ABI.
    let magic = value("magic ")?;
    let arm = magic.len() >= 40 && magic[..14] == SHOWN_MAGIC[..14] && magic[32..40] == SHOWN_MAGIC[32..40];
    arm.then(|| Entry {
        name: name.to_string(),
        interpreter: value("interpreter ").unwrap_or_default().into(),
        flags: value("flags:").unwrap_or_default().to_string(),
        enabled: text.lines().next() == Some("enabled"),
    })
}

fn status() -> ExitCode {
    let all = entries();
    if all.is_empty() {
        report::print(
            "no entry: AArch64 programs are started by jib only when jib runs them; `jib binfmt install` changes that",
        );
    }
    for e in &all {
        let state = if e.enabled { "enabled" } else { "disabled" };
        report::print(format_args!("{}: {} {} (flags {})", e.name, state, e.interpreter.display(), e.flags));
        if !e.interpreter.exists() && !e.flags.contains('F') {
            report::print(format_args!("  {} does not exist: programs will not start", e.interpreter.display()));
        }
    }
    let switched_off = fs::read_to_string(Path::new(ENTRIES).join("status")).is_ok_and(|s| s.trim() == "disabled");
    if switched_off && !all.is_empty() {
        report::print(format_args!("but all entries of the system are switched off: echo 1 > {ENTRIES}/status"));
    }
    let ours = all.iter().any(|e| e.is_ours() && e.enabled) && !switched_off;
    if ours { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_entries_are_read() {
        let text = "enabled\ninterpreter /usr/bin/jib\nflags: POCF\noffset 0\nmagic 7f454c460201010000000000000000000200b700\nmask ffff\n";
        let e = parse("jib-aarch64", text).expect("an entry");
        assert!(e.enabled && e.is_ours());
        assert_eq!((e.interpreter.to_str(), e.flags.as_str()), (Some("/usr/bin/jib"), "POCF"));
        assert_eq!(parse("x", &text.replace("0200b7", "02003e")), None);
        assert_eq!(parse("status", "enabled\n"), None);
        assert!(!parse("qemu-aarch64", &text.replace("enabled", "disabled")).expect("an entry").enabled);
    }

    #[test]
    fn an_entry_fits_the_kernels_form() {
        let e = entry(Path::new("/usr/bin/jib"), "POCF");
        assert_eq!(e.split(':').count(), 8);
        assert_eq!(MAGIC.matches(r"\x").count() + 3, 20, "ELF is written as letters");
        assert_eq!(MASK.matches(r"\x").count(), 20);
        assert!(flags("PF").is_ok() && flags("PX").is_err());
    }
}
