//! Arguments of system calls as text, by the kinds that [`table`](crate::syscall::table) gives.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::names;
use crate::mem;
use crate::syscall::{Args, copy_in, string_in, word_in};

/// Most bytes of a string or buffer that are shown.
const SHOWN: usize = 64;
/// Most strings of a list that are shown.
const LISTED: usize = 32;

/// The arguments of a call, each as text. `result` is known once it has been made.
pub(super) fn arguments(kinds: &str, args: &Args, result: Option<i64>) -> Vec<String> {
    let one = |(i, kind)| {
        let mut text = String::new();
        let next = args.get(i + 1).copied().unwrap_or(0);
        argument(&mut text, kind, args[i], next, result);
        text
    };
    kinds.chars().take(args.len()).enumerate().map(one).collect()
}

fn argument(line: &mut String, kind: char, v: u64, next: u64, result: Option<i64>) {
    let names = match kind {
        'D' if v as i32 == libc::AT_FDCWD => return line.push_str("AT_FDCWD"),
        'D' | 'd' => return push(line, format_args!("{}", v as i32)),
        'n' => return push(line, format_args!("{}", v as i64)),
        'o' => return push(line, format_args!("0{:o}", v as u32)),
        's' => return string(line, v),
        'w' => return buffer(line, v, next),
        'r' if result.is_some_and(|r| (0..=i64::from(i32::MAX)).contains(&r)) => {
            return buffer(line, v, result.unwrap_or(0) as u64);
        }
        'T' | 'Q' | 'V' | 'E' | 'a' | '2' | '3' if v != 0 => return behind(line, kind, v, next, result),
        'O' => &names::OPEN_FLAGS,
        'f' => &names::NEW_FD,
        'R' => &names::PROT,
        'M' => &names::MAP,
        'z' => &names::MREMAP,
        'Y' => &names::MSYNC,
        'v' => &names::ADVICE,
        'C' => &names::CLONE_FLAGS,
        'u' => &names::NAMESPACES,
        'S' => &names::SIGNAL,
        'F' => &names::FUTEX,
        'A' => &names::AT,
        'U' => &names::UNLINK,
        'm' => &names::ACCESS,
        'K' => &names::CLOCK,
        'b' => &names::TIMER,
        'W' => &names::WAIT,
        'i' => &names::ID_TYPE,
        'k' => &names::FAMILY,
        't' => &names::SOCKET,
        'L' => &names::LEVEL,
        'y' => &names::MESSAGE,
        'H' => &names::SHUT,
        'N' => &names::FCNTL,
        'I' => &names::IOCTL,
        'h' => &names::HOW,
        'l' => &names::LIMIT,
        'J' => &names::WHO,
        'q' => &names::WHENCE,
        'e' => &names::EPOLL,
        'P' => &names::PRCTL,
        'g' => &names::RANDOM,
        'B' => &names::MOUNT,
        'x' => return push(line, format_args!("{v:#x}")),
        _ => return pointer(line, v),
    };
    // The kernel takes 32 bits of the others.
    names.write(line, if matches!(kind, 'R' | 'M' | 'C') { v } else { v & 0xffff_ffff });
}

/// What a pointer leads to; the pointer itself if nothing can be read there.
fn behind(line: &mut String, kind: char, at: u64, next: u64, result: Option<i64>) {
    let done = match kind {
        'T' => time(line, at),
        'Q' => signals(line, at),
        'V' => strings(line, at),
        'E' => count(line, at),
        'a' => address(line, at, next),
        '2' if result == Some(0) => pair(line, at),
        '3' => clone3(line, at),
        _ => None,
    };
    if done.is_none() {
        pointer(line, at);
    }
}

fn push(line: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    _ = line.write_fmt(text);
}

fn pointer(line: &mut String, v: u64) {
    match v {
        0 => line.push_str("NULL"),
        v => push(line, format_args!("{v:#x}")),
    }
}

fn string(line: &mut String, addr: u64) {
    match string_in(addr, 4096) {
        Ok(s) => quoted(line, &s[..s.len().min(SHOWN * 4)], s.len() > SHOWN * 4),
        Err(_) => pointer(line, addr),
    }
}

fn buffer(line: &mut String, addr: u64, len: u64) {
    let mut bytes = vec![0; len.min(SHOWN as u64) as usize];
    match mem::read(addr, &mut bytes) {
        Ok(()) => quoted(line, &bytes, len > SHOWN as u64),
        Err(_) => pointer(line, addr),
    }
}

fn quoted(line: &mut String, bytes: &[u8], more: bool) {
    push(line, format_args!("\"{}\"{}", bytes.escape_ascii(), if more { "..." } else { "" }));
}

/// `struct timespec`.
fn time(line: &mut String, at: u64) -> Option<()> {
    let (seconds, rest) = (word_in(at).ok()? as i64, word_in(at.wrapping_add(8)).ok()? as i64);
    push(line, format_args!("{{{seconds}.{rest:09}}}"));
    Some(())
}

/// A set of 64 signals.
fn signals(line: &mut String, at: u64) -> Option<()> {
    let set = word_in(at).ok()?;
    line.push('[');
    // Of more than half of all, those that are missing are told.
    let (not, set) = if set.count_ones() > 32 { ("~", !set) } else { ("", set) };
    line.insert_str(line.len() - 1, not);
    let mut first = true;
    for n in (1..=64u64).filter(|n| set >> (n - 1) & 1 == 1) {
        if !std::mem::take(&mut first) {
            line.push(' ');
        }
        names::SIGNAL.write(line, n);
    }
    line.push(']');
    Some(())
}

/// Strings of a list that a null pointer ends.
fn strings(line: &mut String, at: u64) -> Option<()> {
    word_in(at).ok()?;
    line.push('[');
    for i in 0..=LISTED as u64 {
        let Ok(s @ 1..) = word_in(at.wrapping_add(8 * i)) else { break };
        if i > 0 {
            line.push_str(", ");
        }
        if i == LISTED as u64 {
            line.push_str("...");
        } else {
            string(line, s);
        }
    }
    line.push(']');
    Some(())
}

/// How many strings such a list has.
fn count(line: &mut String, at: u64) -> Option<()> {
    word_in(at).ok()?;
    let n = (0..1 << 16).take_while(|i| matches!(word_in(at.wrapping_add(8 * i)), Ok(1..))).count();
    push(line, format_args!("{at:#x} /* {n} variables */"));
    Some(())
}

/// `struct sockaddr` of `len` bytes.
fn address(line: &mut String, at: u64, len: u64) -> Option<()> {
    let mut bytes = vec![0; len.min(128) as usize];
    mem::read(at, &mut bytes).ok()?;
    let family = u16::from_le_bytes(*bytes.first_chunk()?);
    let port = || Some(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?));
    match i32::from(family) {
        libc::AF_UNIX => {
            let path = &bytes[2..];
            // A name that begins with a zero is no file.
            let (mark, path) = path.strip_prefix(&[0]).map_or(("", path), |rest| ("@", rest));
            let end = path.iter().position(|&b| b == 0 && mark.is_empty()).unwrap_or(path.len());
            push(line, format_args!("{{AF_UNIX, \"{mark}{}\"}}", path[..end].escape_ascii()));
        }
        libc::AF_INET => {
            let ip = Ipv4Addr::from(*bytes.get(4..)?.first_chunk::<4>()?);
            push(line, format_args!("{{AF_INET, {ip}:{}}}", port()?));
        }
        libc::AF_INET6 => {
            let ip = Ipv6Addr::from(*bytes.get(8..)?.first_chunk::<16>()?);
            push(line, format_args!("{{AF_INET6, [{ip}]:{}}}", port()?));
        }
        other => {
            line.push('{');
            names::FAMILY.write(line, other as u64);
            line.push_str(", ");
            quoted(line, &bytes[2..], false);
            line.push('}');
        }
    }
    Some(())
}

/// Two descriptors that the call made.
fn pair(line: &mut String, at: u64) -> Option<()> {
    let b: [u8; 8] = copy_in(at).ok()?;
    let word = u64::from_le_bytes(b);
    push(line, format_args!("[{}, {}]", word as i32, (word >> 32) as i32));
    Some(())
}

/// `struct clone_args`: flags, and the signal of the end, which is its fifth word.
fn clone3(line: &mut String, at: u64) -> Option<()> {
    let (flags, signal) = (word_in(at).ok()?, word_in(at.wrapping_add(32)).ok()?);
    line.push_str("{flags=");
    names::NAMESPACES.write(line, flags);
    line.push_str(", exit_signal=");
    names::SIGNAL.write(line, signal);
    line.push('}');
    Some(())
}
