//! The options of `jib run`, and those that other verbs share with it: engines, what is kept, told and shown, roots.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgGroup, Args, ValueEnum};
use jib_debug::address::Address;
use jib_frontend_aarch64::cpu::Profile;
use jib_linux_user::CallLog;

use super::Stage;
use super::values::{assignment, bind, cpu, not_empty};
use crate::profile::perf;

/// Where a debugger is waited for.
pub(super) const GDB: &str = "127.0.0.1:1234";

/// How system calls are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Strace {
    /// Thread, call, arguments, result
    Text,
    /// The same with the time of day (UTC) and how long the call took
    Time,
    /// An object of JSON per line: time, pid, tid, call, nr, args, result, errno, seconds; or signal, code, address
    Json,
}

impl Strace {
    /// What linux-user calls it.
    pub(crate) fn format(self) -> CallLog {
        match self {
            Strace::Text => CallLog::Text,
            Strace::Time => CallLog::Time,
            Strace::Json => CallLog::Json,
        }
    }
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
#[derive(Args, Clone)]
pub(crate) struct EngineArgs {
    /// Which executors to use
    #[arg(long, value_enum, default_value = "jit")]
    pub(crate) engine: Engine,
    /// The processor that the guest sees: default, v8.0, v8.2 or max (`jib cpu` lists them) [default: $JIB_CPU]
    #[arg(long, value_name = "NAME", value_parser = cpu)]
    pub(crate) cpu: Option<Profile>,
    /// Interpreted runs of a block before the quick tier translates it (4294967295: never)
    #[arg(long, value_name = "N")]
    pub(crate) quick: Option<u32>,
    /// Runs of a block before its region is optimised (4294967295: never)
    #[arg(long, value_name = "N")]
    pub(crate) threshold: Option<u32>,
    /// Wait for the compiler instead of interpreting on meanwhile
    #[arg(long)]
    pub(crate) sync: bool,
    /// Memory for translated code in MiB
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) code_cache: Option<u32>,
    /// Verify all generated code (slow)
    #[arg(long)]
    pub(crate) verify: bool,
    /// Let Linux perf know translated code, by the names of guest functions
    #[arg(long, value_enum, value_name = "map|jitdump")]
    pub(crate) perf: Option<perf::Kind>,
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
            ..jib_backend::Options::default()
        };
        o.quick = self.quick.unwrap_or(o.quick);
        o.threshold = self.threshold.unwrap_or(o.threshold);
        o.cache_bytes = self.code_cache.map_or(o.cache_bytes, |mib| (mib as usize) << 20);
        o
    }

    /// The processor: as said, else as the environment says.
    pub(crate) fn profile(&self) -> Result<Profile, String> {
        let variable = std::env::var_os("JIB_CPU").filter(|name| !name.is_empty());
        match (self.cpu, variable) {
            (Some(profile), _) => Ok(profile),
            (None, Some(name)) => cpu(&name.to_string_lossy()).map_err(|e| format!("JIB_CPU: {e}")),
            (None, None) => Ok(Profile::default()),
        }
    }

    /// The arguments that mean the same.
    pub(crate) fn to_args(&self) -> Vec<OsString> {
        // The variable may be another's, or gone, by the time that these are read.
        let profile = self.profile().unwrap_or_default();
        let mut args = vec![
            "--cpu".into(),
            profile.name().into(),
            "--engine".into(),
            match self.engine {
                Engine::Interp => "interp".into(),
                Engine::Jit => "jit".into(),
            },
        ];
        let mut number = |name: &str, n: Option<u32>| {
            args.extend(n.map(|n| [OsString::from(name), n.to_string().into()]).into_iter().flatten());
        };
        number("--quick", self.quick);
        number("--threshold", self.threshold);
        number("--code-cache", self.code_cache);
        for (name, on) in [("--sync", self.sync), ("--verify", self.verify)] {
            args.extend(on.then(|| name.into()));
        }
        let perf = self.perf.and_then(|kind| kind.to_possible_value());
        args.extend(perf.map(|kind| [OsString::from("--perf"), kind.get_name().into()]).into_iter().flatten());
        args
    }
}

/// Where translations are kept.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct CacheArgs {
    /// Keep translations in this folder for the next time, or `off` [default: $JIB_CACHE, $XDG_CACHE_HOME/jib or
    /// ~/.cache/jib]
    #[arg(long, value_name = "DIR|off", value_parser = OsStringValueParser::new().try_map(not_empty))]
    pub(crate) cache: Option<OsString>,
}

/// `jib run`
#[derive(Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    /// Keep translations in this open folder
    #[arg(long, value_name = "FD", hide = true)]
    pub(crate) cache_fd: Option<i32>,
    /// Look absolute paths up under ROOT first
    #[arg(short = 'L', long, value_name = "ROOT")]
    pub(crate) sysroot: Option<PathBuf>,
    /// Make ROOT the program's `/`, with /proc, /dev, /sys, the home and the current folder in it
    #[arg(long, value_name = "ROOT", conflicts_with = "sysroot")]
    pub(crate) root: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) inside: RootArgs,
    /// Set an environment variable of the program
    #[arg(short = 'E', long = "env", value_name = "VAR=VALUE", value_parser = assignment)]
    pub(crate) env: Vec<(OsString, OsString)>,
    /// Remove an environment variable
    #[arg(short = 'U', long = "unset", value_name = "VAR")]
    pub(crate) unset: Vec<OsString>,
    /// Run in this directory
    #[arg(short = 'C', long = "directory", value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// The name that the program sees as its own, argument zero
    #[arg(long, value_name = "NAME")]
    pub(crate) argv0: Option<OsString>,
    /// The kernel release that the program sees
    #[arg(long, value_name = "NAME")]
    pub(crate) release: Option<OsString>,
    /// The program is this open file; PROG is only its name
    #[arg(long, value_name = "FD", hide = true)]
    pub(crate) program_fd: Option<i32>,
    /// The process is traced, and its tracer waits for the program to begin
    #[arg(long, hide = true)]
    pub(crate) traced: bool,
    /// Begin with the system call filters in this open file
    #[arg(long, value_name = "FD", hide = true)]
    pub(crate) filters_fd: Option<i32>,
    /// Pretend to have these ids: user and group, each real, effective, saved, file system
    #[arg(long, value_name = "ID,...", hide = true, value_delimiter = ',', num_args = 1)]
    pub(crate) ids: Vec<u32>,
    /// Where the core of a program goes that dies of a signal, `%p` being its number; or off [default: where the
    /// kernel's would go, by `ulimit -c` and /proc/sys/kernel/core_pattern]
    #[arg(long, value_name = "FILE|off", value_parser = OsStringValueParser::new().try_map(not_empty))]
    pub(crate) core: Option<OsString>,
    /// Panic at the system call of this number, as a test of reports
    #[arg(long, value_name = "NR", hide = true)]
    pub(crate) panic_at: Option<u32>,
    /// Size of the main thread's stack in KiB
    #[arg(short = 's', long, value_name = "KIB", value_parser = clap::value_parser!(u64).range(64..=1 << 30))]
    pub(crate) stack: Option<u64>,
    /// Log every system call and signal to standard error; with times, or as an object of JSON a line
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    pub(crate) strace: Option<Strace>,
    /// Wait for GDB before the first instruction (at 127.0.0.1:1234 unless said otherwise) and obey it
    #[arg(long, value_name = "[HOST]:PORT|unix:PATH", num_args = 0..=1, require_equals = true, default_missing_value = GDB)]
    pub(crate) gdb: Option<Address>,
    /// Write down each instruction as it is executed (slow)
    #[arg(long)]
    pub(crate) trace: bool,
    /// Write the trace to this file instead of standard error
    #[arg(long, value_name = "FILE", requires = "trace")]
    pub(crate) log_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) stats: StatsArgs,
    #[command(flatten)]
    pub(crate) emit: EmitArgs,
    /// Tell what is not supported when the program meets it
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "PROG [ARGS]...")]
    pub(crate) command: Vec<OsString>,
}

/// What a run tells of itself.
#[derive(Args, Clone, Default)]
pub(crate) struct StatsArgs {
    /// Tell at the end what the translator did, and where the time went
    #[arg(long)]
    pub(crate) stats: bool,
    /// Write the same to FILE as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) stats_json: Option<PathBuf>,
    /// In there, the counters at each MS milliseconds, too. Code then counts the instructions that it executes
    #[arg(long, value_name = "MS", requires = "stats_json", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) stats_every: Option<u32>,
    /// Sample where the guest spends its time: NAME.svg gets a flame graph, NAME.folded folded stacks
    #[arg(long, value_name = "FILE")]
    pub(crate) profile: Option<PathBuf>,
    /// Files are for this process only: others that inherit these options write none
    #[arg(long, value_name = "PID", hide = true)]
    pub(crate) files_of: Option<u32>,
}

impl StatsArgs {
    /// What counts in this process.
    pub(crate) fn here(&self) -> StatsArgs {
        match self.files_of {
            Some(pid) if pid != std::process::id() => StatsArgs { stats: self.stats, ..StatsArgs::default() },
            _ => self.clone(),
        }
    }

    /// The arguments for what this process executes, and for what its children do.
    pub(crate) fn to_args(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> = Vec::new();
        args.extend(self.stats.then(|| "--stats".into()));
        let files = [("--stats-json", &self.stats_json), ("--profile", &self.profile)];
        for (name, path) in files.into_iter().filter_map(|(name, path)| Some((name, path.as_ref()?))) {
            args.extend([name.into(), std::path::absolute(path).unwrap_or(path.clone()).into()]);
        }
        if let Some(ms) = self.stats_every {
            args.extend(["--stats-every".into(), ms.to_string().into()]);
        }
        if self.stats_json.is_some() || self.profile.is_some() {
            let owner = self.files_of.unwrap_or_else(std::process::id);
            args.extend(["--files-of".into(), owner.to_string().into()]);
        }
        args
    }
}

/// What of the translations a run shows.
#[derive(Args, Clone, Default)]
#[command(group = ArgGroup::new("shown").args(["emit", "emit_hot"]).multiple(true))]
pub(crate) struct EmitArgs {
    /// At the end, show code that ran, in these stages: on standard error, the program's standard output is its own
    #[arg(long, value_enum, value_delimiter = ',', value_name = "STAGE,...")]
    pub(crate) emit: Vec<Stage>,
    /// Of what is compiled here, instead of the hottest regions
    #[arg(long, value_name = "SYMBOL|ADDR[..ADDR]", conflicts_with = "emit_hot", requires = "emit")]
    pub(crate) emit_range: Option<String>,
    /// Of this many of the hottest regions (3 if not said); alone, only list them. Compiled code then counts
    #[arg(long, value_name = "N")]
    pub(crate) emit_hot: Option<u32>,
    /// Write it to this file
    #[arg(long, value_name = "FILE", requires = "shown")]
    pub(crate) emit_file: Option<PathBuf>,
}

impl EmitArgs {
    /// Is anything to be shown?
    pub(crate) fn is_wanted(&self) -> bool {
        !self.emit.is_empty() || self.emit_hot.is_some()
    }
}

/// How a root folder becomes `/`.
#[derive(Args, Clone)]
pub(crate) struct RootArgs {
    /// Also show a file or folder of the host inside
    #[arg(long = "bind", value_name = "HOST[:INSIDE]", value_parser = bind)]
    pub(crate) binds: Vec<(PathBuf, PathBuf)>,
    /// Do not show the home, the current folder and /tmp of the host
    #[arg(long)]
    pub(crate) bare: bool,
    /// Be oneself inside, rather than root
    #[arg(long)]
    pub(crate) as_user: bool,
}
