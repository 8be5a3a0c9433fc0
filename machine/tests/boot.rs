//! Boots Debian's arm64 kernel (fetched by apt-get into the cache) to userspace and works there.

use std::io::Cursor;
use std::time::Duration;

use jib_machine::host::Capture;
use jib_machine::launch::io::{Streams, Terminals};
use jib_machine::launch::options::Options;
use jib_machine::launch::{self, End, Report};

/// SHA-256 of 1 MiB of zeroes.
const SHA256: &str = "30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58";
/// What every boot does.
const SCRIPT: &str = "uname -sm; nproc; head -c 1048576 /dev/zero | sha256sum; \
    i=0; while [ $i -lt 40 ]; do /bin/busybox true || echo bad; i=$((i+1)); done; echo forks $i";

/// Runs a boot; gives its end, standard output and standard error.
fn boot(options: Options, input: &str) -> (Report, String, String) {
    let (output, errors) = (Capture::default(), Capture::default());
    let streams = Streams {
        input: Box::new(Cursor::new(input.as_bytes().to_vec())),
        output: Box::new(output.clone()),
        errors: Box::new(errors.clone()),
        terminals: Terminals::default(),
    };
    // Generous: hosts may be busy.
    let options = Options { timeout: Some(Duration::from_secs(600)), ..options };
    let report = launch::run(&options, streams, &mut |line| eprintln!("{line}")).expect("the machine runs");
    let text = |c: Capture| String::from_utf8_lossy(&c.take()).into_owned();
    (report, text(output), text(errors))
}

fn check(output: &str, cpus: u32) {
    for expected in ["Linux aarch64", &cpus.to_string(), &format!("{SHA256}  -"), "forks 40"] {
        assert!(output.lines().any(|line| line.trim_end() == expected), "no {expected:?} in:\n{output}");
    }
    assert!(!output.lines().any(|line| line.trim_end() == "bad"), "{output}");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn one_cpu_to_a_shell_and_power_off() {
    let (report, output, _) = boot(Options::default(), &format!("{SCRIPT}\npoweroff\n"));
    check(&output, 1);
    assert_eq!(report.end, End::PowerOff, "{output}");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn two_cpus_run_a_command() {
    let command = ["sh".into(), "-c".into(), format!("{SCRIPT}; echo careful >&2; cat; exit 7").into()];
    let options = Options { cpus: 2, command: command.into(), ..Options::default() };
    let (report, output, errors) = boot(options, "typed\x04\x03\x7f\n");
    check(&output, 2);
    assert!(output.ends_with("forks 40\ntyped\x04\x03\x7f\n") && !output.contains('\r'), "{output:?}");
    assert_eq!(errors, "careful\n");
    assert_eq!(report.end, End::Status(7), "{output}");
}
