//! Runs a command and tells what it cost: wall time, processor time of all its threads, most memory.
//!
//! `unsafe` is the call of `wait4` only: the standard library does not tell a child's resources.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// The cost of a run, or the median of several.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// From start to end.
    pub(crate) wall: Duration,
    /// User and system time.
    pub(crate) cpu: Duration,
    /// Most resident memory in KiB.
    pub(crate) rss_kib: i64,
}

/// The median cost of `runs` runs, and what each of them printed.
pub(crate) fn median(runs: usize, command: impl Fn() -> Command) -> Result<(Cost, Vec<u8>)> {
    let (first, output) = once(&mut command())?;
    let mut costs = vec![first];
    for _ in 1..runs {
        let (cost, again) = once(&mut command())?;
        ensure!(again == output, "{:?} printed two different things", command());
        costs.push(cost);
    }
    let middle = |by: &dyn Fn(&Cost) -> Duration| {
        let mut all: Vec<Duration> = costs.iter().map(by).collect();
        all.sort();
        all[all.len() / 2]
    };
    let rss_kib = costs.iter().map(|c| c.rss_kib).max().unwrap_or(0);
    Ok((Cost { wall: middle(&|c| c.wall), cpu: middle(&|c| c.cpu), rss_kib }, output))
}

/// Runs `command` to its end; it must succeed.
fn once(command: &mut Command) -> Result<(Cost, Vec<u8>)> {
    let started = Instant::now();
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    let mut output = Vec::new();
    if let Some(mut pipe) = child.stdout.take() {
        pipe.read_to_end(&mut output)?;
    }
    let (status, usage) = wait(child.id()).with_context(|| format!("cannot wait for {command:?}"))?;
    ensure!(status == 0, "{command:?} failed: wait status {status:#x}");
    let cpu = duration(usage.ru_utime) + duration(usage.ru_stime);
    Ok((Cost { wall: started.elapsed(), cpu, rss_kib: usage.ru_maxrss }, output))
}

fn wait(pid: u32) -> std::io::Result<(i32, libc::rusage)> {
    let mut status = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are to live values of the types that wait4 fills in.
    let got = unsafe { libc::wait4(pid as libc::pid_t, &mut status, 0, usage.as_mut_ptr()) };
    if got < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: all its fields are integers, so zeroes are a value already before wait4 fills it.
    Ok((status, unsafe { usage.assume_init() }))
}

fn duration(t: libc::timeval) -> Duration {
    Duration::from_secs(t.tv_sec as u64) + Duration::from_micros(t.tv_usec as u64)
}
