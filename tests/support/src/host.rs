//! What measurements depend on: the machine and its programs.

use std::fs;
use std::process::Command;

/// One line about the machine, its load and kernel, and the versions of these programs.
pub fn describe(programs: &[&str]) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|l| l.strip_prefix("model name"))
        .map_or("unknown", |m| m.trim_matches([' ', '\t', ':']));
    let cpus = cpuinfo.lines().filter(|l| l.starts_with("processor")).count();
    let load = read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned();
    let mut parts = vec![
        format!("{model}, {cpus} CPUs, load {load}"),
        format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
    ];
    parts.extend(programs.iter().map(|p| version(p)));
    parts.join("; ")
}

/// The first line of `program --version`.
fn version(program: &str) -> String {
    let out = Command::new(program).arg("--version").output().map(|o| o.stdout).unwrap_or_default();
    String::from_utf8_lossy(&out).lines().next().unwrap_or(program).to_owned()
}
