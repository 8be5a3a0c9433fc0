//! `jib boot`: a guest from what the user names, or the default one, run with the user's terminal.
//!
//! [`options`] is what can be said; [`fetch`] gets the default guest, [`guest`] makes its initramfs, [`disk`] finds the
//! system on a disk; [`session`] runs the machine, [`watch`] listens to it; [`terminal`] and [`io`] are the user's side.

pub mod apt;
mod disk;
pub mod fetch;
mod guest;
pub mod io;
mod modules;
pub mod options;
mod session;
mod terminal;
mod watch;

use std::fs;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use crate::board::Config;
use crate::devices::fw_cfg;
use crate::host::disk::{Disk, Overlay, RawFile};
use crate::host::{Capture, Stream};
use crate::loader;
use disk::System;
use fetch::{Guest, Package};
use guest::Settings;
use io::{Streams, Terminals};
use options::{DiskMode, DiskSpec, Options};
pub use session::{End, Report};
use session::{Events, Payload, Plan};

/// Why a machine was not run, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// What was asked for makes no sense.
    Usage(String),
    /// Something is missing or damaged.
    Failed(String),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Error::Usage(text) | Error::Failed(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for Error {}

impl Error {
    /// The exit code that goes with it.
    pub fn code(&self) -> u8 {
        match self {
            Error::Usage(_) => 2,
            Error::Failed(_) => 1,
        }
    }
}

impl From<String> for Error {
    fn from(text: String) -> Self {
        Error::Failed(text)
    }
}

/// Runs a guest on the process's own standard streams; gives the exit code. If a signal ended the
/// run, the process dies of it here. `show` gets what happened.
pub fn main(options: &Options, show: &dyn Fn(&Report)) -> Result<u8, Error> {
    check(options)?;
    let terminals = Terminals {
        input: std::io::stdin().is_terminal(),
        output: std::io::stdout().is_terminal(),
        errors: std::io::stderr().is_terminal(),
        size: crate::host::terminal::size(std::io::stdout()),
    };
    let streams = Streams {
        input: Box::new(std::io::stdin()),
        output: Box::new(Stream(std::io::stdout())),
        errors: Box::new(Stream(std::io::stderr())),
        terminals,
    };
    let tell = |text: &str| eprintln!("jib: {text}");
    let prepared = prepare(options, terminals, &mut |text| tell(text))?;
    if terminals.input && options.command.is_empty() {
        tell("Ctrl-A x leaves, Ctrl-A h helps");
    }
    let events = Arc::new(Events::default());
    let guard = terminal::take(std::io::stdin()).map_err(|e| format!("terminal: {e}"))?;
    let ending = events.clone();
    terminal::on_signal(move |signal| ending.end(End::Signal(signal))).map_err(|e| format!("signals: {e}"))?;
    let plan = Plan { process_ends: true, ..prepared.plan };
    let report = session::run(prepared.config, plan, streams, &events);
    drop(guard);
    let report = report?;
    show(&report);
    match report.end {
        End::Signal(signal) => terminal::die_of(signal),
        End::TimedOut => tell("the time is up"),
        _ => {}
    }
    Ok(report.end.code())
}

/// Runs a guest on these streams.
pub fn run(options: &Options, streams: Streams, tell: &mut dyn FnMut(&str)) -> Result<Report, Error> {
    check(options)?;
    let prepared = prepare(options, streams.terminals, tell)?;
    Ok(session::run(prepared.config, prepared.plan, streams, &Arc::new(Events::default()))?)
}

/// What excludes each other.
fn check(options: &Options) -> Result<(), Error> {
    let usage = |text: &str| Err(Error::Usage(text.to_string()));
    if options.dtb.is_some() && (options.append.is_some() || options.initrd.is_some() || !options.command.is_empty()) {
        return usage("a device tree of your own says itself what --append, --initrd and a command would put into it");
    }
    if options.initrd.is_some() && !options.command.is_empty() {
        return usage("a command runs in jib's own initramfs: leave --initrd out");
    }
    if options.bios.is_none() && options.flash.is_some() {
        return usage("flash is for firmware's variables: name the firmware with --bios");
    }
    if options.bios.is_some() && !options.command.is_empty() {
        return usage("a command needs jib's own initramfs and kernel: leave --bios out");
    }
    if options.bios.is_some() && options.package.is_some() {
        return usage("firmware starts what is on the disks, or a kernel file: leave --package out");
    }
    if options.bios.is_some() && options.kernel.is_none() && (options.initrd.is_some() || options.append.is_some()) {
        return usage("an initrd and a command line are a kernel's: name one");
    }
    if !options.net && !options.forwards.is_empty() {
        return usage("ports are forwarded into a network: leave --no-net out");
    }
    Ok(())
}

/// Everything read and decided, nothing started.
struct Prepared {
    config: Config,
    plan: Plan,
}

fn prepare(options: &Options, terminals: Terminals, tell: &mut dyn FnMut(&str)) -> Result<Prepared, Error> {
    // What can be wrong is looked at before anything is fetched.
    let named = options.kernel.as_deref().map(named).transpose()?;
    excluded(options, named.as_ref())?;
    let mut config = config(options, named.as_ref())?;
    if let Some(bios) = &options.bios {
        config.firmware = Some(read(bios)?);
        config.flash = options.flash.as_ref().map(flash).transpose()?;
        if let Some(Named::Kernel(kernel)) = named {
            config.payload = Some(firmware_payload(options, kernel)?);
        }
        let dtb = options.dtb.as_deref().map(read).transpose()?;
        let plan = plan(options, Payload { name: bios.display().to_string(), dtb, ..Payload::default() }, None);
        return Ok(Prepared { config, plan });
    }
    let (payload, token) = payload(options, named, terminals, tell)?;
    if options.verbose {
        tell(&format!("kernel {}, command line: {}", payload.name, payload.arguments));
    }
    Ok(Prepared { config, plan: plan(options, payload, token) })
}

/// What the firmware is to start.
fn firmware_payload(options: &Options, kernel: Vec<u8>) -> Result<fw_cfg::Payload, Error> {
    let initrd = options.initrd.as_deref().map(read).transpose()?;
    let name = options.kernel.as_ref().map_or(String::new(), |path| path.display().to_string());
    let kernel = loader::for_firmware(&name, kernel).map_err(|e| Error::Failed(e.to_string()))?;
    Ok(fw_cfg::Payload { kernel, initrd: initrd.unwrap_or_default(), arguments: arguments(options, &[]) })
}

/// The second bank's content: whole blocks.
fn flash(spec: &DiskSpec) -> Result<Box<dyn Disk>, Error> {
    let content = open_disk(spec)?;
    let (len, block) = (content.len(), crate::devices::flash::BLOCK);
    if len == 0 || !len.is_multiple_of(block) {
        let name = spec.path.display();
        return Err(Error::Failed(format!("{name}: {len} bytes are no whole number of blocks of {} KiB", block >> 10)));
    }
    Ok(content)
}

fn plan(options: &Options, payload: Payload, token: Option<String>) -> Plan {
    Plan {
        payload,
        token,
        command: !options.command.is_empty(),
        timeout: options.timeout,
        process_ends: false,
        verbose: options.verbose,
        engine: options.engine.clone(),
        cache: options.cache.clone(),
        gdb: options.gdb.clone(),
        log: options.log.clone(),
        trace: options.trace.clone(),
    }
}

/// What goes into memory, with what is fetched for it; and the mark of the guest's lines, if it is ours.
fn payload(
    options: &Options,
    named: Option<Named>,
    terminals: Terminals,
    tell: &mut dyn FnMut(&str),
) -> Result<(Payload, Option<String>), Error> {
    let own_initrd = options.initrd.as_deref().map(read).transpose()?;
    let dtb = options.dtb.as_deref().map(read).transpose()?;
    let path = options.kernel.as_deref().map_or(String::new(), |path| path.display().to_string());
    let (mut device, mut words) = (String::new(), Vec::new());
    // A kernel that is there, and the initrd that it comes with.
    let there = match named {
        Some(Named::Kernel(bytes)) => Some((path, bytes, None)),
        Some(Named::Disk(_, system)) => {
            device = system.device();
            let own = system.kernel.filter(|_| options.package.is_none());
            own.map(|own| {
                words.push(format!("root=/dev/{device}"));
                (format!("{path}:{}", own.path), own.kernel, own.initrd)
            })
        }
        None => None,
    };
    let fetches = there.is_none();
    let needed = fetches || !options.command.is_empty();
    let fetched = if needed { Some(fetch::guest(&package(options), tell)?) } else { None };
    let token = format!("{:016x}", crate::host::entropy().unwrap_or_default());
    let ours = fetched.as_ref().filter(|_| own_initrd.is_none() && dtb.is_none());
    let initrd = ours.map(|guest: &Guest| {
        let (command, shares) = (&*options.command, options.shares.len());
        let settings = Settings { token: &token, command, shares, root: &device, terminals };
        guest::initramfs(guest, fetches, &settings)
    });
    // A system that takes over says nothing to us.
    let token = (ours.is_some() && device.is_empty()).then_some(token);
    let (name, kernel, with_it) = match (there, fetched) {
        (Some(there), _) => there,
        (None, Some(guest)) => (guest.kernel.display().to_string(), read(&guest.kernel)?, None),
        (None, None) => return Err(Error::Usage("which kernel?".to_string())),
    };
    let arguments = arguments(options, &words);
    let initrd = own_initrd.or(initrd).or(with_it);
    Ok((Payload { name, kernel: Some(kernel), initrd, dtb, arguments }, token))
}

/// What the user named to be booted.
enum Named {
    /// A kernel file.
    Kernel(Vec<u8>),
    /// A disk with a system on it.
    Disk(DiskSpec, System),
}

/// Reads what was named. Of a disk's name the end may be `,ro` or `,rw`, unless that belongs to the name.
fn named(path: &Path) -> Result<Named, Error> {
    let failed = |path: &Path, e: &dyn std::fmt::Display| Error::Failed(format!("{}: {e}", path.display()));
    let spec = DiskSpec::from(path);
    match disk::is_disk(&spec.path).map_err(|e| failed(&spec.path, &e))? {
        true => {
            let system = disk::system(&spec.path).map_err(|e| failed(&spec.path, &e))?;
            Ok(Named::Disk(spec, system))
        }
        false => Ok(Named::Kernel(read(path)?)),
    }
}

/// What excludes each other, depending on what was named.
fn excluded(options: &Options, named: Option<&Named>) -> Result<(), Error> {
    let usage = |text: &str| Err(Error::Usage(text.to_string()));
    match named {
        Some(Named::Disk(..)) if !options.command.is_empty() => {
            usage("a command runs in jib's own initramfs: attach the disk with --disk")
        }
        Some(Named::Kernel(_)) if options.package.is_some() => usage("there can be one kernel: a file or a package"),
        _ => Ok(()),
    }
}

/// The kernel to fetch: shared folders need 9p, which the kernel for virtual machines does not have.
fn package(options: &Options) -> Package {
    let default = || if options.shares.is_empty() { Package::cloud() } else { Package::standard() };
    options.package.clone().unwrap_or_else(default)
}

/// The kernel's command line, with these words before the user's.
fn arguments(options: &Options, more: &[String]) -> String {
    let mut words = vec!["console=ttyAMA0", "panic=-1"];
    match (options.verbose, options.command.is_empty()) {
        (true, _) => words.push("earlycon"),
        (false, false) => words.push("quiet loglevel=0"),
        (false, true) => {}
    }
    words.extend(more.iter().map(String::as_str));
    words.extend(options.append.as_deref());
    words.join(" ")
}

/// The board that the options describe, with the disk that is booted as the first one; its consoles are still to come.
fn config(options: &Options, named: Option<&Named>) -> Result<Config, Error> {
    let booted = named.and_then(|named| match named {
        Named::Disk(spec, _) => Some(spec),
        Named::Kernel(_) => None,
    });
    let disks = booted.into_iter().chain(&options.disks).zip(0..);
    let shares = options.shares.iter().zip(0..).map(|(path, n): (_, usize)| (path.clone(), format!("share{n}")));
    let forwards = options.forwards.iter().map(|forward| (forward.host, forward.guest)).collect();
    Ok(Config {
        cpus: options.cpus,
        ram: options.memory,
        gic: options.gic,
        cpu: options.cpu,
        semihosting: options.semihosting,
        disks: disks
            .map(|(spec, n): (_, usize)| Ok((open_disk(spec)?, format!("disk{n}"))))
            .collect::<Result<_, Error>>()?,
        net: options.net.then_some(forwards),
        shares: shares.collect(),
        ..Config::new(Box::new(Capture::default()))
    })
}

fn open_disk(spec: &DiskSpec) -> Result<Box<dyn Disk>, Error> {
    let open = || -> std::io::Result<Box<dyn Disk>> {
        let file = Box::new(RawFile::open(&spec.path, spec.mode != DiskMode::ReadWrite)?);
        match spec.mode {
            DiskMode::Snapshot => Ok(Box::new(Overlay::new(file)?)),
            DiskMode::ReadOnly | DiskMode::ReadWrite => Ok(file),
        }
    };
    open().map_err(|e| Error::Failed(format!("{}: {e}", spec.path.display())))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|e| Error::Failed(format!("{}: {e}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(options: &Options) -> Option<(u8, String)> {
        let streams = Streams {
            input: Box::new(std::io::empty()),
            output: Box::new(Capture::default()),
            errors: Box::new(Capture::default()),
            terminals: Terminals::default(),
        };
        run(options, streams, &mut |_| {}).err().map(|e| (e.code(), e.to_string()))
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        let command = Options { command: vec!["ls".into()], ..Options::default() };
        let file = tempfile::NamedTempFile::new().unwrap();
        let kernel = Some(file.path().to_path_buf());
        let cases = [
            Options { kernel, package: Some(Package::cloud()), ..Options::default() },
            Options { initrd: Some("x".into()), ..command.clone() },
            Options { dtb: Some("x".into()), ..command },
            Options { dtb: Some("x".into()), append: Some("x".to_string()), ..Options::default() },
            Options { net: false, forwards: vec!["1:1".parse().unwrap()], ..Options::default() },
        ];
        for options in cases {
            assert!(fails(&options).is_some_and(|(code, text)| code == 2 && !text.contains('\n')), "{options:?}");
        }
    }

    #[test]
    fn bad_files_are_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            fs::write(dir.path().join(name), bytes).unwrap();
            Some(dir.path().join(name))
        };
        let kernel = |kernel| Options { kernel, net: false, ..Options::default() };
        let good = |size: u64| {
            let mut image = vec![0; 64];
            image[16..24].copy_from_slice(&size.to_le_bytes());
            image[56..60].copy_from_slice(b"ARM\x64");
            image
        };
        let cases = [
            (kernel(Some("/nonexistent/kernel".into())), "No such file"),
            (kernel(file("gzip", b"\x1f\x8b\x08\x00corrupt")), "corrupt gzip"),
            (kernel(file("text", b"hello")), "neither an arm64 Image"),
            (kernel(file("x86", &std::fs::read("/proc/self/exe").unwrap())), "not for little-endian arm64"),
            (kernel(file("big", &good(1 << 31))), "needs 2048 MiB"),
            (Options { initrd: Some("/nonexistent/i".into()), ..kernel(file("a", &good(64))) }, "No such file"),
            (
                Options { disks: vec!["/nonexistent/d".parse().unwrap()], ..kernel(file("b", &good(64))) },
                "No such file",
            ),
            (Options { shares: vec!["/nonexistent/s".into()], ..kernel(file("c", &good(64))) }, "not a folder"),
            (Options { cpus: 200, ..kernel(file("d", &good(64))) }, "200 CPUs"),
            (Options { memory: 2 << 20, ..kernel(file("e", &good(64))) }, "too little"),
        ];
        for (options, expected) in cases {
            let (code, text) = fails(&options).unwrap_or_else(|| panic!("{expected}: it ran"));
            assert!(code == 1 && text.contains(expected) && !text.contains('\n'), "{expected}: {text}");
        }
    }

    #[test]
    fn command_lines() {
        let mut options = Options { append: Some("a b".to_string()), ..Options::default() };
        assert_eq!(arguments(&options, &[]), "console=ttyAMA0 panic=-1 a b");
        options.command = vec!["ls".into()];
        assert_eq!(arguments(&options, &[]), "console=ttyAMA0 panic=-1 quiet loglevel=0 a b");
        options.verbose = true;
        let more = ["root=x".to_string()];
        assert_eq!(arguments(&options, &more), "console=ttyAMA0 panic=-1 earlycon root=x a b");
    }

    #[test]
    fn ends_have_exit_codes() {
        let ends = [End::PowerOff, End::Status(7), End::Panic, End::Left, End::TimedOut, End::Signal(15)];
        assert_eq!(ends.map(End::code), [0, 7, 101, 0, 124, 143]);
    }
}
