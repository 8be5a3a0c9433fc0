//! The command line: the verbs, the small ones' options, and how a command line becomes one of them. [`run`] and [`boot`]
//! have the options of theirs.

mod boot;
mod run;
mod values;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};
use jib_linux_user::BinfmtStart;

use crate::bench::engines::Engine as BenchEngine;
use crate::cmd::binfmt;
use crate::{qemu, report};
pub(crate) use boot::BootArgs;
pub(crate) use run::{CacheArgs, EmitArgs, EngineArgs, RootArgs, RunArgs, StatsArgs, Strace};
pub(crate) use values::{addresses, size};
use values::{assignment, not_empty};

const EXAMPLES: &str = "\
Examples:
  jib ./hello world                    run an AArch64 program (short for `jib run`)
  jib run -L /opt/arm64-root ./app     look absolute paths up there first: dynamic linker, libraries, /etc
  jib run --strace=time ./app          log system calls and how long each takes
  jib run --engine interp ./app        interpreter only
  jib run --gdb ./app                  wait for `gdb-multiarch -ex 'target remote :1234'`
  jib run --cpu v8.0 ./app             as on an older processor (`jib cpu` lists them)
  jib run --stats ./app                what the translator did, at the end
  jib run --profile app.svg ./app      where the time goes, as a flame graph
  jib bench --html report.html         jib, its tiers, qemu and native compared (`jib bench --help`)
  jib shell ./root                     a shell in an arm64 root folder as / (`jib shell --help`)
  jib boot                             start Debian's arm64 kernel to a shell (`jib boot --help`)
  jib run --emit opt,asm ./app         at the end, the hottest code: IR and x86-64
  jib translate ./app main             a function: A64, IR, optimised IR, CLIF, x86-64
  jib translate --emit ir,asm ./app 0x400580..0x4005a0

The exit status is the program's; if a signal killed it, jib dies of that signal, too. 126: cannot be run,
127: not found, 2: wrong usage, 70: a bug of jib's.";

const BINFMT_HELP: &str = "\
Flags of an entry:
  P  the program sees the name that it was called by, not its path
  O  the kernel opens the program: one that may be executed but not read runs, too
  C  set-user-id programs get their rights (sudo, su, ping); jib then runs with those rights
  F  the kernel keeps jib open: it also works in containers and chroots, where its path does not exist

Children of what jib runs need no entry. Docker, Podman and buildx use the host's entry: with F, nothing has to
be put into an image. systemd makes the entries in /etc/binfmt.d anew at boot (--boot writes one);
`systemctl restart systemd-binfmt` does so at once. Of two entries for AArch64, the one made last counts.";

const SHELL_EXAMPLES: &str = "\
Examples:
  jib shell ./root                                a shell with ./root as /
  jib shell ./root -- gcc --version               one command
  jib shell --debian ./root                       make ./root of the host's Debian release, then a shell
  jib shell --debian=bookworm --include=gcc,git ./root -- true
  jib shell --bare --bind /data:/mnt ./root       neither home nor /tmp of the host, but /data

No rights are needed: user and group 0 inside are you outside. With subordinate ids for you in /etc/subuid and
/etc/subgid (packages `uidmap`), the others are those; without, files given to others stay yours and becoming
another user is pretended, as fakeroot does. As root, the ids are the real ones.";

const CACHE_EXAMPLES: &str = "\
Examples:
  jib cache stat                                  where translations are kept, and their size
  jib cache gc --max-size 100M                    remove the oldest
  jib cache clear                                 remove them all; only time is lost
  jib cache --cache /var/tmp/mine stat            another folder
  jib run --cache off ./app                       neither use nor keep translations

The folder is used only if it is yours and nobody else can write to it, and never by programs with more rights
than their caller. With it, libraries have the same addresses in all your processes, as on no other machine.";

const CPU_HELP: &str = "\
Choose one by --cpu of `jib run`, `jib shell` and `jib boot`, or by the variable JIB_CPU. The hardware capabilities
(AT_HWCAP), the ID registers, /proc/cpuinfo and the instructions that exist always agree with it: an instruction of a
feature that is not listed is SIGILL. Under the name qemu-aarch64, -cpu and QEMU_CPU choose by qemu's names.
SVE, SME, MTE, BTI and BF16 are in none of them. Pointer authentication (paca, pacg) costs time at each call.";

const BENCH_EXAMPLES: &str = "\
Examples:
  jib bench                                       jib's own programs on every engine; some minutes
  jib bench integer FP --runs 3                   some of them
  jib bench real                                  python, node, cc1, git, ...: fetched from Debian, npm and PyPI
  jib bench --html report.html --json all.json    with charts, and for other programs
  jib bench --native /usr/bin/xz -- ./xz -9k f    an AArch64 program and its native counterpart

Times are user and system time of all threads. Engines take turns, so that a busy machine hits all alike; each must
print the same and end the same way, else that is said and the exit status is 1. Ctrl-C shows what there is by then.
Engines: native, qemu (qemu-aarch64, package qemu-user), interpreter, quick (the quick tier alone), optimized
(Cranelift alone, for everything and at once), jib (all tiers, as `jib run`). jib's own programs are compiled when
they are first wanted, by aarch64-linux-gnu-gcc and gcc.";

/// Runs ARM64 programs on x86-64 Linux.
#[derive(Parser)]
#[command(name = "jib", version, after_help = EXAMPLES, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run an AArch64 Linux program
    #[command(after_help = EXAMPLES)]
    Run(RunArgs),
    /// Run a command, or a shell, in an arm64 root folder as `/`
    #[command(after_help = SHELL_EXAMPLES)]
    Shell(ShellArgs),
    /// Let the kernel start AArch64 programs by jib, for every process of the system
    #[command(after_help = BINFMT_HELP)]
    Binfmt(BinfmtArgs),
    /// Tell what of this system matters to jib
    Doctor(DoctorArgs),
    /// Look at the folder where translations are kept, or make it smaller
    #[command(after_help = CACHE_EXAMPLES)]
    Cache(CacheCommand),
    /// List the processors that guests can be given (`--cpu`), and what each can do
    #[command(after_help = CPU_HELP)]
    Cpu,
    /// Start an ARM64 Linux kernel, or another system, on a virtual board
    #[command(after_help = boot::EXAMPLES)]
    Boot(BootArgs),
    /// Compare jib's speed with qemu's and the host's, tier by tier
    #[command(after_help = BENCH_EXAMPLES)]
    Bench(BenchArgs),
    /// Show how a piece of a program is translated, without running it
    Translate(TranslateArgs),
}

/// `jib binfmt`
#[derive(Args)]
pub(crate) struct BinfmtArgs {
    #[command(subcommand)]
    pub(crate) action: BinfmtAction,
}

/// What to do with the kernel's entry.
#[derive(Subcommand)]
pub(crate) enum BinfmtAction {
    /// Make the entry, in place of an older one of jib's
    Install {
        /// Flags of the entry, explained below
        #[arg(long, default_value = "POCF", value_parser = binfmt::flags)]
        flags: String,
        /// Make it anew at each boot, too, by systemd-binfmt
        #[arg(long)]
        boot: bool,
        /// The program to start instead of this one
        #[arg(long, value_name = "FILE")]
        interpreter: Option<PathBuf>,
    },
    /// Remove the entry, now and for the next boot
    Remove,
    /// List the entries for AArch64 programs; fails unless jib's is in force
    Status,
}

/// `jib cache`
#[derive(Args)]
pub(crate) struct CacheCommand {
    #[command(flatten)]
    pub(crate) place: CacheArgs,
    #[command(subcommand)]
    pub(crate) action: CacheAction,
}

/// What to do with the folder.
#[derive(Subcommand)]
pub(crate) enum CacheAction {
    /// Tell where it is, and how many files of what size are in it
    Stat,
    /// Remove all translations
    Clear,
    /// Remove the translations that were written longest ago until the rest is small enough
    Gc {
        /// Small enough, with K, M or G [default: 512M]
        #[arg(long, value_name = "SIZE", value_parser = size)]
        max_size: Option<u64>,
    },
}

/// `jib doctor`
#[derive(Args)]
pub(crate) struct DoctorArgs {
    /// Only try to make namespaces
    #[arg(long, hide = true)]
    pub(crate) try_namespaces: bool,
}

/// `jib shell`
#[derive(Args)]
pub(crate) struct ShellArgs {
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    #[command(flatten)]
    pub(crate) root: RootArgs,
    /// Make the folder first, of Debian's packages: the host's release, or the one named
    #[arg(long, value_name = "RELEASE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) debian: Option<String>,
    /// With --debian: more packages
    #[arg(long, value_name = "PACKAGE,...", value_delimiter = ',', requires = "debian")]
    pub(crate) include: Vec<String>,
    /// Set an environment variable
    #[arg(short = 'E', long = "env", value_name = "VAR=VALUE", value_parser = assignment)]
    pub(crate) env: Vec<(OsString, OsString)>,
    /// Where in there the core of a program goes that dies of a signal, `%p` being its number; or off [default: where
    /// the kernel's would go, by `ulimit -c` and /proc/sys/kernel/core_pattern]
    #[arg(long, value_name = "FILE|off", value_parser = OsStringValueParser::new().try_map(not_empty))]
    pub(crate) core: Option<OsString>,
    /// Log every system call and signal to standard error; with times, or as an object of JSON a line
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    pub(crate) strace: Option<Strace>,
    /// Tell what is left out, and what is not supported when a program meets it
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// The root folder of an arm64 system
    #[arg(value_name = "ROOT")]
    pub(crate) folder: PathBuf,
    /// Run this instead of a shell; its exit code is jib's
    #[arg(last = true, value_name = "CMD [ARGS]")]
    pub(crate) command: Vec<OsString>,
}

/// A stage of translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stage {
    /// A64 instructions
    Insn,
    /// IR as lifted
    Ir,
    /// IR after the passes
    Opt,
    /// x86-64 code of the first block, by the quick tier
    Quick,
    /// Cranelift's input
    Clif,
    /// x86-64 code
    Asm,
}

/// `jib translate`
#[derive(Args)]
pub(crate) struct TranslateArgs {
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    /// Stages to show
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["insn", "ir", "opt", "quick", "clif", "asm"])]
    pub(crate) emit: Vec<Stage>,
    /// The program; or, with --words, instruction words in hexadecimal
    pub(crate) program: OsString,
    /// What to show: a symbol, an address, or ADDR..ADDR; the entry point if absent
    #[arg(value_name = "SYMBOL|ADDR[..ADDR]")]
    pub(crate) place: Option<String>,
    /// PROGRAM is not a file but the words themselves, as in "f1000484 54ffffe1"
    #[arg(long, conflicts_with = "place")]
    pub(crate) words: bool,
}

/// `jib bench`
#[derive(Args)]
pub(crate) struct BenchArgs {
    /// Programs of jib's own whose name or class contains one of these; all if none
    #[arg(value_name = "FILTER")]
    pub(crate) filters: Vec<String>,
    /// Runs of which the median is taken; of what takes long, one (see the table)
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) runs: u16,
    /// Only these engines
    #[arg(long, value_enum, value_delimiter = ',', value_name = "ENGINE,...")]
    pub(crate) engines: Vec<BenchEngine>,
    /// The native counterpart of the command: a program for the same arguments, or a whole command line
    #[arg(long, value_name = "CMD", requires = "command")]
    pub(crate) native: Option<String>,
    /// Look the guest's absolute paths up under ROOT first (/usr/aarch64-linux-gnu if it is there and nothing is said)
    #[arg(short = 'L', long, value_name = "ROOT")]
    pub(crate) sysroot: Option<PathBuf>,
    /// Write the figures to FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write a report to look at to FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Measure this AArch64 program instead of jib's own
    #[arg(last = true, value_name = "PROG [ARGS]")]
    pub(crate) command: Vec<OsString>,
}

/// Parses the command line; on `Err` everything has been said and this is the exit code.
pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<Command, ExitCode> {
    let args = translated(args.collect())?;
    match Cli::try_parse_from(args) {
        Ok(cli) => Ok(cli.command),
        Err(e) if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            // Nobody is left to tell if standard output is gone.
            let _ = e.print();
            Err(ExitCode::SUCCESS)
        }
        Err(e) => Err(report::fail(report::USAGE, usage_line(&e.to_string()))),
    }
}

/// The arguments as `jib VERB ...`, whoever put them together: a user, the kernel for a binfmt entry, or
/// somebody who means `qemu-aarch64`.
fn translated(args: Vec<OsString>) -> Result<Vec<OsString>, ExitCode> {
    let as_qemu = args.first().is_some_and(|name| qemu::is_meant(name));
    match (jib_linux_user::binfmt_start(), as_qemu) {
        (Some(start), _) => Ok(started_by_kernel(args, &start, as_qemu)),
        (None, true) => {
            let mut args = args.into_iter();
            let name = args.next();
            match qemu::parse(args.collect(), |name| std::env::var_os(name)) {
                Ok(request) => {
                    let verb = name.into_iter().chain(["run".into()]).chain(request.options);
                    Ok(verb.chain(["--".into()]).chain(request.command).collect())
                }
                Err(qemu::Other::Say(text)) => {
                    report::print(text);
                    Err(ExitCode::SUCCESS)
                }
                Err(qemu::Other::Refuse(why)) => Err(report::fail(report::USAGE, why)),
            }
        }
        (None, false) => Ok(with_verb(args)),
    }
}

/// `jib PATH [NAME] ARGS`, as the kernel starts it. No argument is an option; the variables of `qemu-aarch64`
/// count under its name, unless the program has more rights than its caller.
fn started_by_kernel(args: Vec<OsString>, start: &BinfmtStart, as_qemu: bool) -> Vec<OsString> {
    let mut args = args.into_iter();
    let mut out: Vec<OsString> = args.next().into_iter().chain(["run".into()]).collect();
    let path = args.next().unwrap_or_default();
    if as_qemu && !start.secure {
        let variables = qemu::parse(vec!["--".into(), path.clone()], |name| std::env::var_os(name));
        out.extend(variables.map(|request| request.options).unwrap_or_default());
    }
    if let Some(fd) = start.program {
        out.extend(["--program-fd".into(), fd.to_string().into()]);
    }
    if start.keeps_name {
        out.extend(["--argv0".into(), args.next().unwrap_or_default()]);
    }
    out.extend(["--".into(), path]);
    out.extend(args);
    out
}

/// `jib PROG` means `jib run PROG`.
fn with_verb(mut args: Vec<OsString>) -> Vec<OsString> {
    const OWN: [&str; 13] = [
        "run",
        "shell",
        "binfmt",
        "doctor",
        "cache",
        "cpu",
        "boot",
        "bench",
        "translate",
        "-h",
        "--help",
        "-V",
        "--version",
    ];
    if args.get(1).is_some_and(|first| !OWN.iter().any(|own| first == OsStr::new(own))) {
        args.insert(1, "run".into());
    }
    args
}

/// Clap's several lines as one.
fn usage_line(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let text = text.split("\n\nUsage:").next().unwrap_or(text);
    let words: Vec<&str> = text.split_whitespace().collect();
    if text.starts_with("Runs ARM64") {
        return "which program? Try `jib --help`".to_string();
    }
    format!("{}; try `jib --help`", words.join(" "))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jib_debug::address::Address;
    use jib_machine::devices::gic::Version;

    use super::*;

    fn run(args: &[&str]) -> RunArgs {
        match parse(args.iter().map(OsString::from)) {
            Ok(Command::Run(run)) => run,
            _ => panic!("{args:?} is no run"),
        }
    }

    #[test]
    fn options_end_at_the_program() {
        let r = run(&["jib", "--stats", "ls", "-l", "--strace", "--", "x"]);
        assert!(r.stats.stats && r.strace.is_none());
        assert_eq!(r.command, ["ls", "-l", "--strace", "--", "x"]);
        assert_eq!(run(&["jib", "run", "--", "run"]).command, ["run"]);
    }

    #[test]
    fn engine_arguments_survive_a_round_trip() {
        let r = run(&[
            "jib",
            "run",
            "--engine",
            "interp",
            "--threshold",
            "3",
            "--code-cache",
            "8",
            "--cpu",
            "max",
            "--sync",
            "x",
        ]);
        let mut again: Vec<OsString> = vec!["jib".into(), "run".into()];
        again.extend(r.engine.to_args());
        again.push("x".into());
        let Ok(Command::Run(again)) = parse(again.into_iter()) else { panic!("no run") };
        let (a, b) = (again.engine.options(), r.engine.options());
        assert_eq!(format!("{a:?}"), format!("{b:?}"));
        assert_eq!(again.engine.cpu.map(|cpu| cpu.name()), Some("max"));
        assert!(parse(["jib", "run", "--cpu", "z80", "x"].into_iter().map(OsString::from)).is_err());
    }

    #[test]
    fn a_boot_and_its_command() {
        let line = "jib boot --engine interp -m 512M -j2 --gic 2 -p 2222:22 --disk a,rw Image --timeout 9 -- ls -l";
        let Ok(Command::Boot(boot)) = parse(line.split(' ').map(OsString::from)) else { panic!("no boot") };
        let o = boot.options();
        assert_eq!((o.memory, o.cpus, o.gic, o.timeout), (512 << 20, 2, Version::V2, Some(Duration::from_secs(9))));
        assert_eq!(o.engine.engine, jib_backend::EngineKind::Interp);
        assert_eq!((o.kernel, o.command), (Some("Image".into()), vec!["ls".into(), "-l".into()]));
        assert_eq!((o.forwards[0].guest, o.disks[0].path.clone()), (22, "a".into()));
        let line = "jib boot --debian=trixie --include=a,b --package c/d disk,rw";
        let Ok(Command::Boot(boot)) = parse(line.split(' ').map(OsString::from)) else { panic!("no boot") };
        assert_eq!((boot.debian.as_deref(), boot.include.len(), boot.size), (Some("trixie"), 2, 8 << 30));
        assert_eq!(boot.options().package.map(|p| p.release).as_deref(), Some("d"));
        let wrong = [
            "jib boot --gic 4",
            "jib boot -m x",
            "jib boot -p 22",
            "jib boot a b",
            "jib boot --debian",
            "jib boot --include x disk",
            "jib boot --size 4G disk",
            "jib boot --package -x",
            "jib boot --debian disk -- ls",
        ];
        for wrong in wrong {
            assert!(parse(wrong.split(' ').map(OsString::from)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn debuggers_and_logs() {
        let at = |args: &[&str]| run(args).gdb.map(|a| a.to_string());
        assert_eq!(at(&["jib", "run", "--gdb", "x"]).as_deref(), Some("127.0.0.1:1234"));
        assert_eq!(at(&["jib", "run", "--gdb=:9", "x", "--gdb"]).as_deref(), Some("127.0.0.1:9"));
        assert_eq!(at(&["jib", "x", "--gdb"]), None);
        let line = "jib boot --gdb=unix:/tmp/s --log irq,mmio --trace --log-file f Image";
        let Ok(Command::Boot(boot)) = parse(line.split(' ').map(OsString::from)) else { panic!("no boot") };
        assert_eq!(boot.gdb, Some(Address::Unix("/tmp/s".into())));
        assert!(boot.trace && boot.log == "mmio,irq".parse().ok());
        for wrong in ["jib boot --log x", "jib boot --gdb=x", "jib run --log-file f x"] {
            assert!(parse(wrong.split(' ').map(OsString::from)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn clap_accepts_its_own_definition() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn addresses_are_hexadecimal_or_decimal() {
        assert_eq!(addresses("0x10..0x20"), Some(16..32));
        assert_eq!(addresses("16"), Some(16..16));
        assert_eq!(addresses("main"), None);
    }
}
