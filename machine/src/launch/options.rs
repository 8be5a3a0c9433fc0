//! What a boot can be told, and how its parts are written on a command line.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use jib_backend::cache_dir::CacheDir;
use jib_debug::address::Listener;
use jib_debug::log::{Log, Sink};
use jib_frontend_aarch64::cpu::Profile;

use super::fetch::Package;
use crate::devices::gic::Version;
use crate::machine::Engine;

const MIB: u64 = 1 << 20;

/// Everything `jib boot` can be told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The kernel, or a disk with a system on it; Debian's kernel if absent.
    pub kernel: Option<PathBuf>,
    /// The kernel package to fetch instead of the default one.
    pub package: Option<Package>,
    /// The initrd; ours if there is neither this nor a kernel.
    pub initrd: Option<PathBuf>,
    /// Added to the kernel's command line.
    pub append: Option<String>,
    /// Firmware that is started instead of a kernel; it gets kernel, initrd and command line to start, if there are any.
    pub bios: Option<PathBuf>,
    /// Content of the second bank of flash, where firmware keeps its variables.
    pub flash: Option<DiskSpec>,
    /// A device tree instead of the board's own.
    pub dtb: Option<PathBuf>,
    /// Disks, in order.
    pub disks: Vec<DiskSpec>,
    /// Folders to share.
    pub shares: Vec<PathBuf>,
    /// Bytes of RAM.
    pub memory: u64,
    /// Number of CPUs.
    pub cpus: usize,
    /// TCP ports of the host that lead into the guest.
    pub forwards: Vec<PortForward>,
    /// Which interrupt controller.
    pub gic: Version,
    /// True if there is a network.
    pub net: bool,
    /// What the CPUs can.
    pub cpu: Profile,
    /// HLT 0xF000 is semihosting.
    pub semihosting: bool,
    /// The guest is stopped after this time.
    pub timeout: Option<Duration>,
    /// How the CPUs' code is run.
    pub engine: Engine,
    /// Where translations are kept.
    pub cache: Option<Arc<CacheDir>>,
    /// Tell what is used and what the guest asks for in vain.
    pub verbose: bool,
    /// Where a debugger is waited for.
    pub gdb: Option<Arc<Listener>>,
    /// What is logged.
    pub log: Option<Log>,
    /// Where each instruction is written down.
    pub trace: Option<Arc<Sink>>,
    /// A command to run in the guest; empty for a shell.
    pub command: Vec<OsString>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            kernel: None,
            package: None,
            initrd: None,
            append: None,
            bios: None,
            flash: None,
            dtb: None,
            disks: Vec::new(),
            shares: Vec::new(),
            memory: 1 << 30,
            cpus: 1,
            forwards: Vec::new(),
            gic: Version::V3,
            net: true,
            cpu: Profile::default(),
            semihosting: false,
            timeout: None,
            engine: Engine::default(),
            cache: None,
            verbose: false,
            gdb: None,
            log: None,
            trace: None,
            command: Vec::new(),
        }
    }
}

/// What becomes of a disk's changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskMode {
    /// They vanish when the machine stops.
    Snapshot,
    /// There are none.
    ReadOnly,
    /// They are kept.
    ReadWrite,
}

/// A disk: `FILE`, `FILE,ro` or `FILE,rw`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskSpec {
    /// The image.
    pub path: PathBuf,
    /// What becomes of changes.
    pub mode: DiskMode,
}

impl From<&Path> for DiskSpec {
    /// A disk's name where commas may be a part of it: of a file that is there they are.
    fn from(path: &Path) -> Self {
        let text = path.to_str().filter(|_| !path.exists());
        let spec = text.and_then(|text| text.parse().ok());
        spec.unwrap_or_else(|| DiskSpec { path: path.to_path_buf(), mode: DiskMode::Snapshot })
    }
}

impl FromStr for DiskSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (path, mode) = match text.rsplit_once(',') {
            Some((path, "ro")) => (path, DiskMode::ReadOnly),
            Some((path, "rw")) => (path, DiskMode::ReadWrite),
            // A comma may be a part of the name.
            _ => (text, DiskMode::Snapshot),
        };
        match path {
            "" => Err("needs the form FILE, FILE,ro or FILE,rw".to_string()),
            path => Ok(DiskSpec { path: path.into(), mode }),
        }
    }
}

/// A forwarded TCP port: `HOSTPORT:GUESTPORT` or `ADDRESS:HOSTPORT:GUESTPORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortForward {
    /// Where the host listens.
    pub host: SocketAddrV4,
    /// The guest's port.
    pub guest: u16,
}

impl FromStr for PortForward {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "needs the form HOST:GUEST or ADDRESS:HOST:GUEST".to_string();
        let port = |text: &str| text.parse().ok().filter(|port| *port != 0);
        let (host, guest) = text.rsplit_once(':').ok_or_else(wrong)?;
        let (address, host) = match host.rsplit_once(':') {
            Some((address, host)) => (address.parse().map_err(|_| wrong())?, host),
            None => (Ipv4Addr::LOCALHOST, host),
        };
        match (port(host), port(guest)) {
            (Some(host), Some(guest)) => Ok(PortForward { host: SocketAddrV4::new(address, host), guest }),
            _ => Err(wrong()),
        }
    }
}

/// An amount of memory: `512M`, `2G`, or a plain number of MiB.
pub fn parse_memory(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "k" | "kib" => 1 << 10,
        "" | "m" | "mib" => MIB,
        "g" | "gib" => 1 << 30,
        _ => return Err("needs a number and K, M or G".to_string()),
    };
    let number: u64 = digits.parse().map_err(|_| "needs a number and K, M or G".to_string())?;
    let bytes = number.checked_mul(unit).filter(|bytes| *bytes <= 1 << 38);
    match bytes {
        Some(bytes) if bytes >= MIB => Ok(bytes / MIB * MIB),
        Some(_) => Err("at least 1M is needed".to_string()),
        None => Err("at most 256G are possible".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory() {
        let good = [("1G", 1 << 30), ("512m", 512 << 20), ("64", 64 << 20), ("2048K", 2 << 20), ("256G", 1 << 38)];
        for (text, bytes) in good {
            assert_eq!(parse_memory(text), Ok(bytes), "{text}");
        }
        for text in ["", "G", "0", "1K", "257G", "99999999999999999999", "1T", "-1", "1.5G", "1GG", "ü"] {
            assert!(parse_memory(text).is_err(), "{text}");
        }
    }

    #[test]
    fn disks() {
        let disk = |text: &str| text.parse::<DiskSpec>().map(|d| (d.path.display().to_string(), d.mode));
        assert_eq!(disk("a.img"), Ok(("a.img".to_string(), DiskMode::Snapshot)));
        assert_eq!(disk("a,b,ro"), Ok(("a,b".to_string(), DiskMode::ReadOnly)));
        assert_eq!(disk("a,rw"), Ok(("a".to_string(), DiskMode::ReadWrite)));
        assert_eq!(disk("a,b"), Ok(("a,b".to_string(), DiskMode::Snapshot)));
        assert!(disk("").is_err() && disk(",rw").is_err());
    }

    #[test]
    fn ports() {
        let forward = |text: &str| text.parse::<PortForward>().map(|f| (f.host.to_string(), f.guest));
        assert_eq!(forward("2222:22"), Ok(("127.0.0.1:2222".to_string(), 22)));
        assert_eq!(forward("0.0.0.0:80:8080"), Ok(("0.0.0.0:80".to_string(), 8080)));
        for text in ["", "22", ":", "a:b", "0:22", "22:0", "70000:1", "1:2:3", "::1:22:22"] {
            assert!(forward(text).is_err(), "{text}");
        }
    }
}
