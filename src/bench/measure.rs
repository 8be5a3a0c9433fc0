//! Runs a command and tells what it cost: wall time, processor time of all its threads, most memory.
#![allow(unsafe_code, reason = "wait4: the standard library does not tell a child's resources")]

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The cost of a run, or the median of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// Seconds from start to end.
    pub(crate) wall_s: f64,
    /// Seconds of user and system time.
    pub(crate) cpu_s: f64,
    /// Most resident memory in KiB. (The kernel does not tell less than what our own process had when it started the
    /// program.)
    pub(crate) rss_kib: i64,
    /// Runs of which this is the median.
    pub(crate) runs: usize,
}

/// What a run did.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Standard output.
    pub(crate) output: Vec<u8>,
    /// Standard error.
    pub(crate) errors: Vec<u8>,
    /// How it ended.
    pub(crate) status: ExitStatus,
}

/// Runs `command` to its end with nothing on standard input.
pub(crate) fn once(command: &mut Command) -> Result<(Cost, Outcome)> {
    let started = Instant::now();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    let (output, errors) = std::thread::scope(|scope| {
        let errors = scope.spawn(|| read(errors));
        (read(output), errors.join().unwrap_or_default())
    });
    let (status, usage) = wait(child.id()).with_context(|| format!("cannot wait for {command:?}"))?;
    let wall_s = started.elapsed().as_secs_f64();
    let cpu_s = (duration(usage.ru_utime) + duration(usage.ru_stime)).as_secs_f64();
    Ok((Cost { wall_s, cpu_s, rss_kib: usage.ru_maxrss, runs: 1 }, Outcome { output, errors, status }))
}

/// All that comes out of a pipe, up to an error.
fn read(pipe: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What cannot be read is missing: that is a difference.
    _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
    bytes
}

/// The median of several costs, each figure for itself; `None` of none.
pub(crate) fn median(costs: &[Cost]) -> Option<Cost> {
    let middle = |of: &dyn Fn(&Cost) -> f64| {
        let mut all: Vec<f64> = costs.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        let (low, high) = (all.get(all.len().checked_sub(1)? / 2)?, all.get(all.len() / 2)?);
        Some((low + high) / 2.0)
    };
    Some(Cost {
        wall_s: middle(&|c| c.wall_s)?,
        cpu_s: middle(&|c| c.cpu_s)?,
        rss_kib: middle(&|c| c.rss_kib as f64)? as i64,
        runs: costs.len(),
    })
}

/// The geometric mean; `None` of nothing.
pub(crate) fn geometric_mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let logs: Vec<f64> = values.map(f64::ln).collect();
    (!logs.is_empty()).then(|| (logs.iter().sum::<f64>() / logs.len() as f64).exp())
}

fn wait(pid: u32) -> std::io::Result<(ExitStatus, libc::rusage)> {
    let mut status = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: both pointers are to live values of the types that wait4 fills in.
        let got = unsafe { libc::wait4(pid as libc::pid_t, &mut status, 0, usage.as_mut_ptr()) };
        if got >= 0 {
            break;
        }
        let e = std::io::Error::last_os_error();
        if e.kind() != std::io::ErrorKind::Interrupted {
            return Err(e);
        }
    }
    // SAFETY: all its fields are integers, so zeroes are a value already before wait4 fills it.
    Ok((ExitStatus::from_raw(status), unsafe { usage.assume_init() }))
}

fn duration(t: libc::timeval) -> Duration {
    Duration::from_secs(t.tv_sec as u64) + Duration::from_micros(t.tv_usec as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_means() {
        let cost = |s: f64| Cost { wall_s: s, cpu_s: 10.0 - s, rss_kib: s as i64, runs: 1 };
        let m = median(&[cost(5.0), cost(1.0), cost(2.0)]).expect("a median");
        assert_eq!((m.wall_s, m.cpu_s, m.rss_kib, m.runs), (2.0, 8.0, 2, 3));
        assert_eq!(median(&[cost(1.0), cost(3.0)]).map(|m| m.wall_s), Some(2.0));
        assert_eq!(median(&[]), None);
        assert!((geometric_mean([2.0, 8.0].into_iter()).expect("a mean") - 4.0).abs() < 1e-12);
        assert_eq!(geometric_mean(std::iter::empty()), None);
    }

    #[test]
    fn a_run_costs_what_it_costs() {
        let (cost, outcome) = once(Command::new("sh").args(["-c", "echo hi; echo oh >&2; exit 3"])).expect("a shell");
        assert_eq!((outcome.output.as_slice(), outcome.status.code()), (&b"hi\n"[..], Some(3)));
        assert_eq!(outcome.errors, b"oh\n");
        assert!(cost.wall_s > 0.0 && cost.rss_kib > 0);
        assert!(once(&mut Command::new("/nonexistent/program")).is_err());
    }
}
