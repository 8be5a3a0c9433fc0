//! The default guest's initramfs: busybox, modules, and the script that is process 1.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use super::fetch::Guest;
use super::io::Terminals;
use crate::initramfs::Archive;

const INIT: &[u8] = include_bytes!("init.sh");
const PROFILE: &[u8] = include_bytes!("profile.sh");
const UDHCPC: &[u8] = include_bytes!("udhcpc.sh");

/// What the script is told.
#[derive(Clone, Debug)]
pub(super) struct Settings<'a> {
    /// Marks lines for the host.
    pub(super) token: &'a str,
    /// What to run; empty for a shell.
    pub(super) command: &'a [OsString],
    /// Number of shared folders.
    pub(super) shares: usize,
    /// The device whose system takes over, below `/dev`; empty if none does.
    pub(super) root: &'a str,
    pub(super) terminals: Terminals,
}

/// The initramfs. Without `modules` for another kernel than the fetched one.
pub(super) fn initramfs(guest: &Guest, modules: bool, settings: &Settings<'_>) -> Vec<u8> {
    let mut archive = Archive::new();
    for (folder, mode) in [
        ("proc", 0o555),
        ("sys", 0o555),
        ("dev", 0o755),
        ("tmp", 0o1777),
        ("root", 0o700),
        ("mnt", 0o755),
        ("run", 0o755),
    ] {
        archive.folder(folder, mode);
    }
    archive.device("dev/console", 0o600, 5, 1).device("dev/null", 0o666, 1, 3);
    archive.file("bin/busybox", 0o755, &guest.busybox).symlink("bin/sh", "busybox");
    archive.file("init", 0o755, INIT).file("etc/jib/udhcpc", 0o755, UDHCPC);
    archive.file("etc/profile", 0o644, PROFILE).file("etc/jib/settings", 0o644, &text(settings));
    archive.file("etc/passwd", 0o644, b"root::0:0:root:/root:/bin/sh\n").file("etc/group", 0o644, b"root:x:0:\n");
    if !settings.command.is_empty() {
        archive.file("etc/jib/command", 0o644, &command(settings.command));
    }
    for (number, module) in guest.modules.iter().enumerate().filter(|_| modules) {
        archive.file(&format!("lib/modules/{number:02}-{}.ko", module.name), 0o644, &module.content);
    }
    archive.finish()
}

/// The settings as the script reads them.
fn text(settings: &Settings<'_>) -> Vec<u8> {
    let flag = |on: bool| if on { "1" } else { "" };
    let t = &settings.terminals;
    let term = std::env::var("TERM").ok().filter(|term| t.output && term.chars().all(|c| c.is_ascii_graphic()));
    let lines = [
        ("TOKEN", settings.token.to_string()),
        ("COMMAND", flag(!settings.command.is_empty()).to_string()),
        ("SHARES", settings.shares.to_string()),
        ("ROOT", settings.root.to_string()),
        ("INPUT_TTY", flag(t.input).to_string()),
        ("OUTPUT_TTY", flag(t.output).to_string()),
        ("ERROR_TTY", flag(t.errors).to_string()),
        ("COLUMNS", t.size.0.to_string()),
        ("ROWS", t.size.1.to_string()),
        ("TERM", term.unwrap_or_else(|| "vt100".to_string())),
    ];
    let mut text = Vec::new();
    for (name, value) in lines {
        text.extend_from_slice(name.as_bytes());
        text.push(b'=');
        text.extend(quoted(value.as_bytes()));
        text.push(b'\n');
    }
    text
}

/// A script that becomes the command.
fn command(words: &[OsString]) -> Vec<u8> {
    let mut text = b"exec".to_vec();
    for word in words {
        text.push(b' ');
        text.extend(quoted(word.as_bytes()));
    }
    text.push(b'\n');
    text
}

/// One word of a shell's, whatever is in it.
fn quoted(word: &[u8]) -> Vec<u8> {
    let mut text = vec![b'\''];
    for &byte in word {
        match byte {
            b'\'' => text.extend_from_slice(b"'\\''"),
            _ => text.push(byte),
        }
    }
    text.push(b'\'');
    text
}

#[cfg(test)]
mod tests {
    use super::super::modules::Module;
    use super::*;
    use std::process::Command;

    fn sample(command: &[OsString], modules: bool) -> String {
        let guest = Guest {
            dir: Default::default(),
            kernel: Default::default(),
            busybox: b"BUSYBOX".to_vec(),
            modules: vec![Module { name: "virtio".to_string(), content: b"MODULE".to_vec() }],
        };
        let settings = Settings { token: "secret", command, shares: 2, root: "", terminals: Terminals::default() };
        String::from_utf8_lossy(&initramfs(&guest, modules, &settings)).into_owned()
    }

    #[test]
    fn a_shell_or_a_command() {
        let shell = sample(&[], true);
        assert!(shell.contains("TOKEN='secret'\nCOMMAND=''\nSHARES='2'\nROOT=''\n") && !shell.contains("exec '"));
        assert!(shell.contains("lib/modules/00-virtio.ko") && shell.contains("BUSYBOX"));
        let command = sample(&["echo".into(), "it's".into()], false);
        assert!(command.contains("exec 'echo' 'it'\\''s'\n") && !command.contains("MODULE"));
    }

    #[test]
    fn shells_read_back_what_was_quoted() {
        let words: Vec<OsString> = ["printf", "%s|", "a b", "", "it's", "$HOME `x` \\ \"", "\n"].map(Into::into).into();
        let text = command(&words);
        let out = Command::new("sh").arg("-c").arg(std::ffi::OsStr::from_bytes(&text)).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&out.stdout), "a b||it's|$HOME `x` \\ \"|\n|");
    }
}
