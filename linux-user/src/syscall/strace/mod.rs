//! The log of system calls and signals: one line each, for people or for programs.

mod decode;
mod names;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{Args, table};
use crate::host;
use crate::process::Process;
use crate::signal::SigInfo;
use crate::thread::Thread;

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallLog {
    /// `TID call(arguments) = result`.
    Text,
    /// The same after the time of day, UTC, and before the seconds that the call took.
    Time,
    /// An object of JSON per line.
    Json,
}

/// When a call began, if that is wanted.
pub(crate) fn begin(process: &Process) -> Option<Instant> {
    process.own.log.is_some().then(Instant::now)
}

/// Logs a call, with its result if it returns.
pub(crate) fn log(t: &Thread, nr: u32, args: &Args, result: Option<i64>, began: Option<Instant>) {
    let Some(fd) = t.process.own.log else { return };
    let took = began.filter(|_| result.is_some()).map(|b| b.elapsed().as_secs_f64());
    let row = table::find(nr);
    let name = row.map_or_else(|| format!("syscall_{nr}"), |row| row.name.into());
    let arguments = decode::arguments(row.map_or("xxx", |row| row.args), args, result);
    let line = match t.process.log_format {
        CallLog::Json => {
            let mut object = head(began);
            object["call"] = name.into();
            object["nr"] = nr.into();
            object["args"] = arguments.into();
            match result {
                None => {}
                Some(host::ERESTARTSYS | host::ERESTARTNOINTR) => object["interrupted"] = true.into(),
                Some(e @ -4095..=-1) => {
                    object["result"] = (-1).into();
                    object["errno"] = error(-e as i32).0.into();
                }
                Some(v) => object["result"] = v.into(),
            }
            if let Some(took) = took {
                object["seconds"] = took.into();
            }
            format!("{object}\n")
        }
        format => {
            let result = match result {
                None => "?".into(),
                Some(host::ERESTARTSYS | host::ERESTARTNOINTR) => "? (interrupted by a signal)".into(),
                Some(e @ -4095..=-1) => match error(-e as i32) {
                    (name, Some(text)) => format!("-1 {name} ({text})"),
                    (name, None) => format!("-1 {name}"),
                },
                Some(v @ 0..=0xffff) => v.to_string(),
                Some(v) => format!("{v:#x}"),
            };
            let text = format!("{name}({}) = {result}", arguments.join(", "));
            match format {
                CallLog::Time => {
                    let took = took.map_or_else(String::new, |took| format!(" <{took:.6}>"));
                    format!("{} {text}{took}\n", clock(began))
                }
                _ => format!("{} {text}\n", host::gettid()),
            }
        }
    };
    host::print(fd, &line);
}

/// Logs a signal that reaches the guest: before its handler is called, or before it ends the program.
pub(crate) fn signal(process: &Process, info: &SigInfo) {
    let Some(fd) = process.own.log else { return };
    let mut name = String::new();
    names::SIGNAL.write(&mut name, info.signal() as u64);
    let code = names::signal_code(info.signal(), info.code());
    let code = code.map_or_else(|| info.code().to_string(), String::from);
    let synchronous =
        matches!(info.signal(), libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE | libc::SIGTRAP);
    let fault = synchronous && info.code() > 0;
    let of = if fault { format!("address={:#x}", info.address()) } else { format!("from={}", info.sender()) };
    let line = match process.log_format {
        CallLog::Json => {
            let mut object = head(None);
            object["signal"] = name.into();
            object["code"] = code.into();
            if fault {
                object["address"] = format!("{:#x}", info.address()).into();
            } else {
                object["from"] = info.sender().into();
            }
            format!("{object}\n")
        }
        CallLog::Time => format!("{} --- {name} {{code={code}, {of}}} ---\n", clock(None)),
        CallLog::Text => format!("{} --- {name} {{code={code}, {of}}} ---\n", host::gettid()),
    };
    host::print(fd, &line);
}

/// What each object begins with: when, in seconds since 1970, and who.
fn head(began: Option<Instant>) -> serde_json::Value {
    serde_json::json!({ "time": since_1970(began).as_secs_f64(), "pid": std::process::id(), "tid": host::gettid() })
}

/// Time of day and thread.
fn clock(began: Option<Instant>) -> String {
    let at = since_1970(began);
    let s = at.as_secs() % 86400;
    format!("{:02}:{:02}:{:02}.{:06} {}", s / 3600, s / 60 % 60, s % 60, at.subsec_micros(), host::gettid())
}

fn since_1970(began: Option<Instant>) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(began.map_or(Duration::ZERO, |b| b.elapsed()))
}

/// Name and meaning of an error.
fn error(number: i32) -> (String, Option<&'static str>) {
    let e = syscalls::Errno::new(number);
    match e.name() {
        Some(name) => (name.into(), e.description()),
        None => (format!("errno {number}"), None),
    }
}
