//! The command line: every option in one place.

use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::report;

const EXAMPLES: &str = "\
Examples:
  jib ./hello world                    run an AArch64 program (short for `jib run`)
  jib run -L /opt/arm64-root ./app     look absolute paths up there first: dynamic linker, libraries, /etc
  jib run --strace ./app               log system calls
  jib run --engine interp ./app        interpreter only
  jib run --stats ./app                what the translator did, at the end
  jib translate ./app main             a function: A64, IR, optimised IR, CLIF, x86-64
  jib translate --emit ir,asm ./app 0x400580..0x4005a0

The exit status is the program's; if a signal killed it, jib dies of that signal, too. 126: cannot be run,
127: not found, 2: wrong usage, 70: a bug of jib's.";

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
    /// Show how a piece of a program is translated, without running it
    Translate(TranslateArgs),
}

/// Which executors to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// Interpret everything
    Interp,
    /// Compile what is hot
    Jit,
}

/// Settings of the translator.
#[derive(Args)]
pub(crate) struct EngineArgs {
    /// Which executors to use
    #[arg(long, value_enum, default_value = "jit")]
    pub(crate) engine: Engine,
    /// Interpreted runs of a block before it is compiled
    #[arg(long, value_name = "N")]
    pub(crate) threshold: Option<u32>,
    /// Wait for the compiler instead of interpreting on meanwhile
    #[arg(long)]
    pub(crate) sync: bool,
    /// Code cache size in MiB
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) cache: Option<u32>,
    /// Verify all generated code (slow)
    #[arg(long)]
    pub(crate) verify: bool,
    /// Write /tmp/perf-PID.map, so that `perf` knows translated code
    #[arg(long)]
    pub(crate) perf_map: bool,
}

impl EngineArgs {
    /// As the backend wants them.
    pub(crate) fn options(&self) -> jib_backend::Options {
        let mut o = jib_backend::Options {
            engine: match self.engine {
                Engine::Interp => jib_backend::EngineKind::Interp,
                Engine::Jit => jib_backend::EngineKind::Jit,
            },
            background: !self.sync,
            verify: self.verify,
            perf_map: self.perf_map,
            ..jib_backend::Options::default()
        };
        o.threshold = self.threshold.unwrap_or(o.threshold);
        o.cache_bytes = self.cache.map_or(o.cache_bytes, |mib| (mib as usize) << 20);
        o
    }

    /// The arguments that mean the same.
    pub(crate) fn to_args(&self) -> Vec<OsString> {
        let mut args = vec!["--engine".into(), match self.engine {
            Engine::Interp => "interp".into(),
            Engine::Jit => "jit".into(),
        }];
        let mut number = |name: &str, n: Option<u32>| {
            args.extend(n.map(|n| [OsString::from(name), n.to_string().into()]).into_iter().flatten());
        };
        number("--threshold", self.threshold);
        number("--cache", self.cache);
        for (name, on) in [("--sync", self.sync), ("--verify", self.verify), ("--perf-map", self.perf_map)] {
            args.extend(on.then(|| name.into()));
        }
        args
    }
}

/// `jib run`
#[derive(Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    /// Look absolute paths up under ROOT first
    #[arg(short = 'L', long, value_name = "ROOT")]
    pub(crate) sysroot: Option<PathBuf>,
    /// Set an environment variable of the program
    #[arg(short = 'E', long = "env", value_name = "VAR=VALUE", value_parser = assignment)]
    pub(crate) env: Vec<(OsString, OsString)>,
    /// Remove an environment variable
    #[arg(short = 'U', long = "unset", value_name = "VAR")]
    pub(crate) unset: Vec<OsString>,
    /// Run in this directory
    #[arg(short = 'C', long = "directory", value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// The program's name as it sees it (argv[0])
    #[arg(long, value_name = "NAME")]
    pub(crate) argv0: Option<OsString>,
    /// Size of the main thread's stack in KiB
    #[arg(short = 's', long, value_name = "KIB", value_parser = clap::value_parser!(u64).range(64..=1 << 30))]
    pub(crate) stack: Option<u64>,
    /// Log every system call to standard error
    #[arg(long)]
    pub(crate) strace: bool,
    /// Tell at the end what the translator did
    #[arg(long)]
    pub(crate) stats: bool,
    /// Tell what is not supported when the program meets it
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "PROG [ARGS]...")]
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
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["insn", "ir", "opt", "clif", "asm"])]
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

/// Parses the command line; on `Err` everything has been said and this is the exit code.
pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<Command, ExitCode> {
    match Cli::try_parse_from(with_verb(args.collect())) {
        Ok(cli) => Ok(cli.command),
        Err(e) if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            // Nobody is left to tell if standard output is gone.
            let _ = e.print();
            Err(ExitCode::SUCCESS)
        }
        Err(e) => Err(report::fail(report::USAGE, usage_line(&e.to_string()))),
    }
}

/// `jib PROG` means `jib run PROG`.
fn with_verb(mut args: Vec<OsString>) -> Vec<OsString> {
    const OWN: [&str; 6] = ["run", "translate", "-h", "--help", "-V", "--version"];
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

fn assignment(text: &str) -> Result<(OsString, OsString), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("needs the form VAR=VALUE".into()),
    }
}

/// The addresses of `ADDR` or `ADDR..ADDR`; `None` if it is neither.
pub(crate) fn addresses(text: &str) -> Option<Range<u64>> {
    let number = |t: &str| match t.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => t.parse().ok(),
    };
    match text.split_once("..") {
        Some((a, b)) => Some(number(a)?..number(b)?),
        None => number(text).map(|a| a..a),
    }
}

#[cfg(test)]
mod tests {
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
        assert!(r.stats && !r.strace);
        assert_eq!(r.command, ["ls", "-l", "--strace", "--", "x"]);
        assert_eq!(run(&["jib", "run", "--", "run"]).command, ["run"]);
    }

    #[test]
    fn engine_arguments_survive_a_round_trip() {
        let r = run(&["jib", "run", "--engine", "interp", "--threshold", "3", "--cache", "8", "--sync", "x"]);
        let mut again: Vec<OsString> = vec!["jib".into(), "run".into()];
        again.extend(r.engine.to_args());
        again.push("x".into());
        let Ok(Command::Run(again)) = parse(again.into_iter()) else { panic!("no run") };
        let (a, b) = (again.engine.options(), r.engine.options());
        assert_eq!(format!("{a:?}"), format!("{b:?}"));
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
