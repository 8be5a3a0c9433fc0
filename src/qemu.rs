//! Invoked as `qemu-aarch64` or `qemu-aarch64-static`: that program's options and variables, so that what was
//! set up for it (binfmt entries, container builds, cross tools, test runners) takes jib instead.
//!
//! Options come first, then `QEMU_*` variables where an option is absent. What has no meaning here is accepted
//! and without effect, or refused where ignoring it would mislead.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use jib_frontend_aarch64::cpu::Profile;

use crate::cli;

/// The names under which we speak so.
const NAMES: [&str; 2] = ["qemu-aarch64", "qemu-aarch64-static"];
/// Where distributions put a root for that program.
const PREFIXES: [&str; 2] = ["/etc/qemu-binfmt/aarch64", "/usr/gnemul/qemu-aarch64"];

/// What is asked for, as `jib run` has it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    /// Options of `jib run`.
    pub(crate) options: Vec<OsString>,
    /// The program and its arguments.
    pub(crate) command: Vec<OsString>,
}

/// What to do instead of running a program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Other {
    /// Print this, and be done.
    Say(String),
    /// Refuse.
    Refuse(String),
}

/// Is `name`, an argument zero, one of that program's?
pub(crate) fn is_meant(name: &OsStr) -> bool {
    Path::new(name).file_name().is_some_and(|n| NAMES.iter().any(|own| n == OsStr::new(own)))
}

/// How an option is understood.
#[derive(Clone, Copy)]
enum Meaning {
    /// The option of `jib run` with the same argument.
    Same(&'static str),
    /// A list of assignments or names, separated by commas.
    List(&'static str),
    /// Stack size in bytes, or with K, M or G.
    Stack,
    /// A processor by that program's name.
    Cpu,
    /// The option of `jib run` without argument.
    Flag(&'static str),
    /// Takes an argument, and changes nothing here.
    Ignored,
    /// Takes none, and changes nothing here.
    IgnoredFlag,
    /// Would mislead if ignored; the text says what to do.
    Refused(&'static str),
    Version,
    Help,
}

use Meaning::{Cpu, Flag, Help, Ignored, IgnoredFlag, List, Refused, Same, Stack, Version};

/// Option, variable, meaning.
const OPTIONS: &[(&str, &str, Meaning)] = &[
    ("h", "", Help),
    ("help", "", Help),
    ("version", "QEMU_VERSION", Version),
    ("L", "QEMU_LD_PREFIX", Same("-L")),
    ("0", "QEMU_ARGV0", Same("--argv0")),
    ("r", "QEMU_UNAME", Same("--release")),
    ("E", "QEMU_SET_ENV", List("-E")),
    ("U", "QEMU_UNSET_ENV", List("-U")),
    ("s", "QEMU_STACK_SIZE", Stack),
    ("strace", "QEMU_STRACE", Flag("--strace")),
    ("perfmap", "QEMU_PERFMAP", Flag("--perf=map")),
    ("cpu", "QEMU_CPU", Cpu),
    ("B", "QEMU_GUEST_BASE", Ignored),
    ("R", "QEMU_RESERVED_VA", Ignored),
    ("p", "QEMU_PAGESIZE", Ignored),
    ("t", "QEMU_RTSIG_MAP", Ignored),
    ("tb-size", "QEMU_TB_SIZE", Ignored),
    ("seed", "QEMU_RAND_SEED", Ignored),
    ("d", "QEMU_LOG", Ignored),
    ("dfilter", "QEMU_DFILTER", Ignored),
    ("D", "QEMU_LOG_FILENAME", Ignored),
    ("trace", "QEMU_TRACE", Ignored),
    ("one-insn-per-tb", "QEMU_ONE_INSN_PER_TB", IgnoredFlag),
    ("singlestep", "QEMU_SINGLESTEP", IgnoredFlag),
    ("jitdump", "QEMU_JITDUMP", Flag("--perf=jitdump")),
    ("g", "QEMU_GDB", Refused("waits for a debugger; start jib under its own name for that, see `jib run --help`")),
    ("plugin", "QEMU_PLUGIN", Refused("loads plugins of QEMU's; jib has none")),
];

/// Understands the arguments after the name; `variable` looks one up in the environment.
pub(crate) fn parse(args: Vec<OsString>, variable: impl Fn(&str) -> Option<OsString>) -> Result<Request, Other> {
    let mut request = Request::default();
    let mut seen: Vec<&str> = Vec::new();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let bytes = arg.as_bytes();
        if bytes.first() != Some(&b'-') || bytes == b"-" {
            request.command.push(arg);
            break;
        }
        let name = bytes.strip_prefix(b"--").unwrap_or(&bytes[1..]);
        if name.is_empty() {
            break;
        }
        let known = OPTIONS.iter().find(|(option, ..)| option.as_bytes() == name);
        let Some(&(option, _, meaning)) = known else {
            return Err(Other::Refuse(format!(
                "unknown option {}; `-help` lists those of qemu-aarch64",
                arg.display()
            )));
        };
        seen.push(option);
        let value = match meaning {
            Flag(_) | IgnoredFlag | Version | Help => OsString::new(),
            _ => args.next().ok_or_else(|| Other::Refuse(format!("{} needs an argument", arg.display())))?,
        };
        apply(&mut request, &format!("-{option}"), meaning, value)?;
    }
    request.command.extend(args);
    for &(_, name, meaning) in OPTIONS.iter().filter(|(option, name, _)| !seen.contains(option) && !name.is_empty()) {
        if let Some(value) = variable(name) {
            apply(&mut request, name, meaning, value)?;
        }
    }
    if !request.options.iter().any(|o| o == "-L")
        && let Some(prefix) = PREFIXES.iter().find(|p| Path::new(p).is_dir())
    {
        request.options.extend(["-L".into(), OsString::from(prefix)]);
    }
    if request.command.is_empty() {
        return Err(Other::Refuse("which program? Try `-help`".into()));
    }
    Ok(request)
}

fn apply(request: &mut Request, said: &str, meaning: Meaning, value: OsString) -> Result<(), Other> {
    match meaning {
        Same(option) => request.options.extend([option.into(), value]),
        List(option) => {
            for item in value.as_bytes().split(|b| *b == b',').filter(|item| !item.is_empty()) {
                request.options.extend([option.into(), OsStr::from_bytes(item).to_os_string()]);
            }
        }
        Stack => {
            let bytes = value.to_str().and_then(|v| cli::size(v).ok());
            let bytes = bytes.ok_or_else(|| Other::Refuse(format!("{said}: {} is no size", value.display())))?;
            request.options.extend(["-s".into(), (bytes >> 10).max(64).to_string().into()]);
        }
        Cpu => match cpu(&value.to_string_lossy()) {
            Ok(profile) => request.options.extend(["--cpu".into(), profile.name().into()]),
            Err(other) => return Err(other),
        },
        Flag(option) => request.options.push(option.into()),
        Ignored | IgnoredFlag => {}
        Refused(why) => return Err(Other::Refuse(format!("{said} {why}"))),
        Version => return Err(Other::Say(format!("qemu-aarch64 version 8.2.0 (jib {})", env!("CARGO_PKG_VERSION")))),
        Help => return Err(Other::Say(help())),
    }
    Ok(())
}

/// Its processors, and which of ours has what programs can count on there.
const CPUS: &[(&str, Profile)] = &[
    ("cortex-a35", Profile::V80),
    ("cortex-a53", Profile::V80),
    ("cortex-a57", Profile::V80),
    ("cortex-a72", Profile::V80),
    ("cortex-a55", Profile::V82),
    ("cortex-a76", Profile::V82),
    ("cortex-a78ae", Profile::V82),
    ("neoverse-n1", Profile::V82),
    ("a64fx", Profile::V82),
    ("cortex-a710", Profile::Default),
    ("neoverse-n2", Profile::Default),
    ("neoverse-v1", Profile::Default),
    ("max", Profile::Max),
];

/// The processor of `-cpu NAME[,PROPERTY=VALUE...]`. Of the properties only those matter that take pointer
/// authentication away.
fn cpu(value: &str) -> Result<Profile, Other> {
    let (name, properties) = value.split_once(',').unwrap_or((value, ""));
    if matches!(name, "help" | "?") {
        let list: Vec<String> = CPUS.iter().map(|(name, p)| format!("  {name:<16} jib's {}", p.name())).collect();
        return Err(Other::Say(format!("Available CPUs:\n{}", list.join("\n"))));
    }
    let found = CPUS.iter().find(|(known, _)| *known == name).map(|(_, profile)| *profile);
    let without = properties.split(',').any(|p| p == "pauth=off" || p == "pauth=false");
    match found.or_else(|| Profile::named(name)) {
        Some(Profile::Max) if without => Ok(Profile::Default),
        Some(profile) => Ok(profile),
        None => Err(Other::Refuse(format!("there is no CPU {name}; `-cpu help` lists those there are"))),
    }
}

fn help() -> String {
    let mut text =
        String::from("usage: qemu-aarch64 [options] program [arguments...]\nThis is jib. Options and variables:\n");
    for (option, name, meaning) in OPTIONS {
        let what = match meaning {
            Same(o) | List(o) | Flag(o) => format!("jib run {o}"),
            Stack => "stack size in bytes".into(),
            Cpu => "the processor; `-cpu help` lists them".into(),
            Ignored | IgnoredFlag => "without effect".into(),
            Refused(_) => "refused".into(),
            Version => "version".into(),
            Help => "this text".into(),
        };
        text += &format!("  -{option:<16} {name:<20} {what}\n");
    }
    text.trim_end().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    fn parsed(text: &str, env: &[(&str, &str)]) -> Result<Request, Other> {
        parse(words(text), |name| env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).into()))
    }

    #[test]
    fn names() {
        assert!(is_meant(OsStr::new("/usr/bin/qemu-aarch64-static")) && is_meant(OsStr::new("qemu-aarch64")));
        assert!(!is_meant(OsStr::new("jib")) && !is_meant(OsStr::new("/x/qemu-aarch64/jib")));
    }

    #[test]
    fn options_become_ours() {
        let r = parsed("-L /root -E A=1,B=2 -cpu max -0 me --strace -s 8M ./prog -L x", &[]).expect("fine");
        assert_eq!(r.options, words("-L /root -E A=1 -E B=2 --cpu max --argv0 me --strace -s 8192"));
        assert_eq!(r.command, words("./prog -L x"));
    }

    #[test]
    fn variables_stand_in_for_absent_options() {
        let env = [("QEMU_LD_PREFIX", "/a"), ("QEMU_STRACE", "1"), ("QEMU_CPU", "max")];
        assert_eq!(parsed("prog", &env).expect("fine").options, words("-L /a --strace --cpu max"));
        assert_eq!(parsed("-L /b prog", &env).expect("fine").options, words("-L /b --strace --cpu max"));
    }

    #[test]
    fn processors_have_a_counterpart() {
        let cpu = |text: &str| parsed(&format!("-cpu {text} prog"), &[]).map(|r| r.options);
        assert_eq!(cpu("cortex-a53"), Ok(words("--cpu v8.0")));
        assert_eq!(cpu("neoverse-n1,pmu=off"), Ok(words("--cpu v8.2")));
        assert_eq!(cpu("max,sve=off,pauth=off"), Ok(words("--cpu default")));
        assert!(matches!(cpu("z80"), Err(Other::Refuse(_))) && matches!(cpu("help"), Err(Other::Say(_))));
    }

    #[test]
    fn refusals() {
        assert!(matches!(parsed("-g 1234 prog", &[]), Err(Other::Refuse(_))));
        assert!(matches!(parsed("-frob prog", &[]), Err(Other::Refuse(_))));
        assert!(matches!(parsed("-L", &[]), Err(Other::Refuse(_))));
        assert!(matches!(parsed("", &[]), Err(Other::Refuse(_))));
        assert!(matches!(parsed("--version", &[]), Err(Other::Say(_))));
    }
}
