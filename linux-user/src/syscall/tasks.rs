//! Threads of jib's own, which the guest does not see: not in `/proc/PID/task`, not in counts of threads.
//!
//! They are told by their names, in processes that run jib; so it works for any process that the guest looks at.

use std::path::Path;

use super::{Answer, Args, copy_out};
use crate::host::{self, Errno};
use crate::mem;
use crate::own::same_file;
use crate::thread::Thread;

/// Names of the threads that are none of the guest's.
const NAMES: [&str; 4] = ["jib-compile", "jib-lender", "jib-gdb", "jib-gdb-input"];

/// Does the process run jib, as we do?
fn is_jib(t: &Thread, process: &str) -> bool {
    process == "self"
        || process == "thread-self"
        || t.process
            .own
            .exe
            .is_some_and(|fd| same_file(&format!("/proc/self/fd/{fd}"), &format!("/proc/{process}/exe")))
}

/// Has thread `task` of `process` such a name? The first thread is always the guest's.
fn has_own_name(process: &str, task: &str) -> bool {
    let first = if process.starts_with(|c: char| c.is_ascii_digit()) { process } else { &host::getpid().to_string() };
    let comm = Path::new("/proc").join(process).join("task").join(task).join("comm");
    task != first && std::fs::read_to_string(comm).is_ok_and(|name| NAMES.contains(&name.trim_end()))
}

/// Is thread `task` of `process` (as in a path in `/proc`) none of the guest's?
pub(super) fn is_hidden(t: &Thread, process: &str, task: &str) -> bool {
    has_own_name(process, task) && is_jib(t, process)
}

/// How many threads of `process` are none of the guest's.
pub(super) fn count_hidden(t: &Thread, process: &str) -> u64 {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{process}/task")) else { return 0 };
    let own = tasks
        .flatten()
        .filter(|task| task.file_name().to_str().is_some_and(|name| has_own_name(process, name)))
        .count() as u64;
    if own != 0 && is_jib(t, process) { own } else { 0 }
}

/// The text of `/proc/PID/status` with `hidden` threads less.
pub(super) fn without_in_status(text: &str, hidden: u64) -> String {
    let line = |line: &str| match line.strip_prefix("Threads:\t").and_then(|n| n.trim_end().parse::<u64>().ok()) {
        Some(n) => format!("Threads:\t{}\n", n.saturating_sub(hidden)),
        None => line.to_string(),
    };
    text.split_inclusive('\n').map(line).collect()
}

/// The text of `/proc/PID/stat` with `hidden` threads less: field 20 counts them.
pub(super) fn without_in_stat(text: &str, hidden: u64) -> String {
    // The name before may hold anything.
    let Some((name, rest)) = text.rsplit_once(") ") else { return text.to_string() };
    const THREADS: usize = 20 - 3;
    let field = |(i, field): (usize, &str)| match field.parse::<u64>() {
        Ok(n) if i == THREADS => n.saturating_sub(hidden).to_string(),
        _ => field.to_string(),
    };
    let fields: Vec<String> = rest.split(' ').enumerate().map(field).collect();
    format!("{name}) {}", fields.join(" "))
}

/// The process whose threads the directory behind `fd` lists.
fn listed(fd: u64) -> Option<String> {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", fd as i32)).ok()?;
    let process = link.to_str()?.strip_prefix("/proc/")?.strip_suffix("/task")?;
    (!process.contains('/')).then(|| process.to_string())
}

pub(crate) fn getdents64(t: &mut Thread, a: &Args) -> Answer {
    loop {
        let n = t.pass(libc::SYS_getdents64, *a);
        let Some(process) = (n > 0).then(|| listed(a[0])).flatten() else { return Ok(n) };
        let mut bytes = vec![0; n as usize];
        mem::read(a[1], &mut bytes).map_err(|_| Errno(libc::EFAULT))?;
        let kept = without(&bytes, |name| is_hidden(t, &process, name));
        if !kept.is_empty() {
            copy_out(a[1], &kept)?;
            return Ok(kept.len() as i64);
        }
        // Nothing would mean the end.
    }
}

/// The entries of `bytes` (`struct linux_dirent64`) whose names are not `hidden`.
fn without(bytes: &[u8], hidden: impl Fn(&str) -> bool) -> Vec<u8> {
    const LENGTH: usize = 16;
    const NAME: usize = 19;
    let mut kept = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while rest.len() > NAME {
        let len = u16::from_le_bytes([rest[LENGTH], rest[LENGTH + 1]]) as usize;
        let Some((entry, after)) = rest.split_at_checked(len.max(NAME + 1)) else { break };
        let name = entry[NAME..].split(|&c| c == 0).next().and_then(|n| std::str::from_utf8(n).ok());
        if !name.is_some_and(&hidden) {
            kept.extend(entry);
        }
        rest = after;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> Vec<u8> {
        let len = (19 + name.len() + 1).next_multiple_of(8);
        let mut e = vec![0; len];
        e[16..18].copy_from_slice(&(len as u16).to_le_bytes());
        e[19..19 + name.len()].copy_from_slice(name.as_bytes());
        e
    }

    #[test]
    fn entries_are_taken_out() {
        let all = [entry("."), entry(".."), entry("12"), entry("1234567890")].concat();
        assert_eq!(without(&all, |_| false), all);
        assert_eq!(without(&all, |n| n == "12"), [entry("."), entry(".."), entry("1234567890")].concat());
        assert!(without(&all, |_| true).is_empty());
    }

    #[test]
    fn counts_are_corrected() {
        assert_eq!(without_in_status("Tgid:\t1\nThreads:\t3\nx\n", 1), "Tgid:\t1\nThreads:\t2\nx\n");
        let stat = "7 (a) b) S 1 7 7 0 -1 4 5 6 7 8 9 10 11 12 13 14 3 16 17\n";
        assert_eq!(without_in_stat(stat, 1), stat.replace(" 3 ", " 2 "));
    }
}
