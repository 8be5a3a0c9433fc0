//! Boots Debian's arm64 kernel (fetched by apt-get into the cache) to userspace and works there.

mod common;

use std::sync::Arc;
use std::time::Duration;

use jib_backend::EngineKind;
use jib_backend::cache_dir::CacheDir;
use jib_frontend_aarch64::cpu::Profile;
use jib_machine::devices::gic::Version;
use jib_machine::launch::End;
use jib_machine::launch::options::Options;
use jib_machine::machine::Engine;
use jib_testing::tools::Scratch;

use common::{Done, boot};

/// SHA-256 of 1 MiB of zeroes.
const SHA256: &str = "30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58";
/// What every boot does.
const SCRIPT: &str = "uname -sm; nproc; head -c 1048576 /dev/zero | sha256sum; \
    i=0; while [ $i -lt 40 ]; do /bin/busybox true || echo bad; i=$((i+1)); done; echo forks $i";

fn check(output: &str, cpus: u32) {
    for expected in ["Linux aarch64", &cpus.to_string(), &format!("{SHA256}  -"), "forks 40"] {
        assert!(output.lines().any(|line| line.trim_end() == expected), "no {expected:?} in:\n{output}");
    }
    assert!(!output.lines().any(|line| line.trim_end() == "bad"), "{output}");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn one_cpu_to_a_shell_and_power_off() {
    let Done { report, output, .. } = boot(Options::default(), &[("", &format!("{SCRIPT}\npoweroff\n"))]);
    check(&output, 1);
    assert_eq!(report.end, End::PowerOff, "{output}");
}

/// The kernel finds what the processor has, and uses it: with `max` it signs its own return addresses.
#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn smaller_and_larger_processors() {
    for cpu in [Profile::V80, Profile::Max] {
        let command = ["sh".into(), "-c".into(), format!("{SCRIPT}; grep -m1 Features /proc/cpuinfo").into()];
        let Done { report, output, .. } = boot(Options { cpu, command: command.into(), ..Options::default() }, &[]);
        check(&output, 1);
        let line = output.lines().find_map(|l| l.strip_prefix("Features\t: ")).expect("features");
        let seen: Vec<&str> = line.split(' ').filter(|f| *f != "evtstrm").collect();
        let mut wanted = cpu.names();
        // What the kernel makes of it: it shows no capability that it was built without.
        wanted.retain(|name| seen.contains(name) || !["cssc", "mops", "hbc"].contains(name));
        let (mut seen, mut wanted) = (seen.clone(), wanted);
        seen.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(seen, wanted, "{}", cpu.name());
        assert_eq!(report.end, End::Status(0), "{output}");
    }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn one_cpu_by_the_interpreter_alone() {
    let engine = Engine { engine: EngineKind::Interp, ..Engine::default() };
    let typed = format!("{SCRIPT}\npoweroff\n");
    let Done { report, output, .. } = boot(Options { engine, ..Options::default() }, &[("", &typed)]);
    check(&output, 1);
    assert_eq!(report.end, End::PowerOff, "{output}");
    assert_eq!(report.stats.regions, 0);
}

/// What other implementations print for [`WORK`]: SHA-256 of 32 MiB of zeroes, of the numbers to 100,000, and of these
/// as busybox's gzip packs them; a sum.
const RESULTS: [&str; 5] = [
    "83ee47245398adee79bd9c0a8bc57b821e92aba10f5f9ade8a5d1fae4d8c4302  -",
    "b2bc7d3f8b652d2ec96865b68ad8f80e22cca174abe1aed7889e242a747d590f  -",
    "same",
    "143493e5459a1f56499b49f2ad148c32ee896162d58f4562e7a716f57b6f4835  -",
    "933429",
];
/// Work that is worth compiling.
const WORK: &str = "cd /tmp; head -c 33554432 /dev/zero | sha256sum; seq 1 100000 > text; sha256sum < text; \
    gzip -nc text > packed; gunzip -c < packed | cmp - text && echo same; sha256sum < packed; \
    awk 'BEGIN { for (i = 0; i < 100000; i++) s = (s * 31 + i) % 1000003; print s }'";

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn work_gives_the_results_of_other_implementations() {
    let command = ["sh".into(), "-c".into(), WORK.into()];
    let Done { report, output, .. } = boot(Options { cpus: 2, command: command.into(), ..Options::default() }, &[]);
    assert_eq!(output.lines().collect::<Vec<_>>(), RESULTS);
    assert_eq!(report.end, End::Status(0));
    assert!(report.stats.regions > 0);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn two_cpus_run_a_command() {
    let command = ["sh".into(), "-c".into(), format!("{SCRIPT}; echo careful >&2; cat; exit 7").into()];
    let options = Options { cpus: 2, command: command.into(), ..Options::default() };
    let Done { report, output, errors } = boot(options, &[("", "typed\x04\x03\x7f\n")]);
    check(&output, 2);
    assert!(output.ends_with("forks 40\ntyped\x04\x03\x7f\n") && !output.contains('\r'), "{output:?}");
    assert_eq!(errors, "careful\n");
    assert_eq!(report.end, End::Status(7), "{output}");
}

/// Input follows the prompts: what a kernel that restarts has read is lost.
#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn restarts_and_panics_with_the_older_interrupt_controller() {
    let options = Options { gic: Version::V2, append: Some("marker=7".to_string()), ..Options::default() };
    let first = format!("{SCRIPT}; grep -o marker=7 /proc/cmdline; grep -c GICv3 /proc/interrupts; reboot\n");
    let panic = "echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger\n";
    let Done { report, output, .. } = boot(options, &[("/root # ", &first), ("/root # ", panic)]);
    check(&output, 1);
    let lines = |text: &str| output.lines().filter(|line| line.trim_end() == text).count();
    assert_eq!((report.end, report.restarts, lines("marker=7")), (End::Panic, 1, 1), "{output}");
    assert!(output.matches("Linux version").count() == 2 && lines("0") == 1, "{output}");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn a_guest_that_waits_for_ever_is_stopped() {
    let done = boot(Options { timeout: Some(Duration::from_millis(1500)), ..Options::default() }, &[]);
    assert_eq!(done.report.end, End::TimedOut, "{}", done.output);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn the_next_boot_finds_the_kernel_where_it_was_and_its_translations() {
    let dir = Scratch::new("kept-boot");
    let run = |folder: &str| {
        let cache = Some(Arc::new(CacheDir::make(&dir.path().join(folder)).expect("a folder")));
        let command = ["sh".into(), "-c".into(), format!("grep -w _stext /proc/kallsyms; {SCRIPT}").into()];
        let Done { report, output, .. } = boot(Options { cache, command: command.into(), ..Options::default() }, &[]);
        check(&output, 1);
        assert_eq!(report.end, End::Status(0), "{output}");
        (output, report.stats)
    };
    let (first, cold) = run("a");
    assert!(first.starts_with("ffff") && cold.recalled == 0, "{first}");
    let (second, warm) = run("a");
    assert_eq!(second, first);
    // What ran once is not kept.
    assert!(warm.recalled > 8_000 && warm.blocks_lifted < cold.blocks_lifted / 2, "{warm:?}");
    assert!(warm.quick_insns < cold.quick_insns / 10, "{warm:?}");
    assert_ne!(run("b").0, first, "another user's kernel is elsewhere");
}
