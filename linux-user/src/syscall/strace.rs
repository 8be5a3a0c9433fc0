//! The system call log: one readable line per call.

use std::fmt::Write;

use super::{Args, string_in, table};
use crate::host;
use crate::mem;
use crate::thread::Thread;

/// Most bytes of a string or buffer that are shown.
const SHOWN: usize = 64;

/// Logs a call, with its result if it has one already.
pub(crate) fn log(t: &Thread, nr: u32, args: &Args, result: Option<i64>) {
    let Some(fd) = t.process.own.log else { return };
    let mut line = format!("{} ", host::gettid());
    match table::find(nr) {
        Some(row) => {
            line.push_str(row.name);
            line.push('(');
            arguments(&mut line, row.args, args);
        }
        None => push(&mut line, format_args!("syscall_{nr}({:#x}, {:#x}, {:#x}", args[0], args[1], args[2])),
    }
    line.push(')');
    match result {
        None => {}
        Some(host::ERESTARTSYS | host::ERESTARTNOINTR) => line.push_str(" = ? (interrupted by a signal)"),
        Some(e @ -4095..=-1) => push(&mut line, format_args!(" = -1 {}", error(-e as i32))),
        Some(v @ 0..=0xffff) => push(&mut line, format_args!(" = {v}")),
        Some(v) => push(&mut line, format_args!(" = {v:#x}")),
    }
    line.push('\n');
    host::print(fd, &line);
}

fn push(line: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    _ = line.write_fmt(text);
}

fn error(number: i32) -> String {
    let e = syscalls::Errno::new(number);
    match (e.name(), e.description()) {
        (Some(name), Some(text)) => format!("{name} ({text})"),
        _ => format!("errno {number}"),
    }
}

fn arguments(line: &mut String, kinds: &str, args: &Args) {
    for (i, (kind, &v)) in kinds.chars().zip(args).enumerate() {
        if i > 0 {
            line.push_str(", ");
        }
        match kind {
            'D' if v as i32 == libc::AT_FDCWD => line.push_str("AT_FDCWD"),
            'D' | 'd' => push(line, format_args!("{}", v as i32)),
            'o' => push(line, format_args!("0{:o}", v as u32)),
            's' => string(line, v),
            'w' => buffer(line, v, args.get(i + 1).copied().unwrap_or(0)),
            'p' if v == 0 => line.push_str("NULL"),
            _ => push(line, format_args!("{v:#x}")),
        }
    }
}

fn string(line: &mut String, addr: u64) {
    match string_in(addr, 4096) {
        Ok(s) => quoted(line, &s[..s.len().min(SHOWN * 4)], s.len() > SHOWN * 4),
        Err(_) if addr == 0 => line.push_str("NULL"),
        Err(_) => push(line, format_args!("{addr:#x}")),
    }
}

fn buffer(line: &mut String, addr: u64, len: u64) {
    let mut bytes = vec![0; len.min(SHOWN as u64) as usize];
    match mem::read(addr, &mut bytes) {
        Ok(()) => quoted(line, &bytes, len > SHOWN as u64),
        Err(_) => push(line, format_args!("{addr:#x}")),
    }
}

fn quoted(line: &mut String, bytes: &[u8], more: bool) {
    push(line, format_args!("\"{}\"{}", bytes.escape_ascii(), if more { "..." } else { "" }));
}
