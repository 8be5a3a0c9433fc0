//! Values of options, as they are written.

use std::ffi::OsString;
use std::ops::Range;
use std::path::PathBuf;

use jib_frontend_aarch64::cpu::Profile;

/// `VAR=VALUE`.
pub(super) fn assignment(text: &str) -> Result<(OsString, OsString), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("needs the form VAR=VALUE".into()),
    }
}

/// A name that is not empty.
pub(super) fn not_empty(text: OsString) -> Result<OsString, &'static str> {
    if text.is_empty() { Err("needs a place, or off") } else { Ok(text) }
}

/// The name of a processor.
pub(super) fn cpu(name: &str) -> Result<Profile, String> {
    let names = || Profile::ALL.map(Profile::name).join(", ");
    Profile::named(name).ok_or_else(|| format!("there is no processor {name}; there are {}", names()))
}

/// A number of bytes: `123`, `8K`, `8M`, `1G`.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.chars().last() {
        Some('k' | 'K') => (&text[..text.len() - 1], 10),
        Some('m' | 'M') => (&text[..text.len() - 1], 20),
        Some('g' | 'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let bytes = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift));
    bytes.ok_or_else(|| "needs a number of bytes, or one with K, M or G".into())
}

/// `HOST[:INSIDE]`, both absolute in the end.
pub(super) fn bind(text: &str) -> Result<(PathBuf, PathBuf), String> {
    let (from, to) = text.split_once(':').unwrap_or((text, text));
    let from = std::path::absolute(from).map_err(|e| e.to_string())?;
    let to = std::path::absolute(to).map_err(|e| e.to_string())?;
    Ok((from, to))
}

/// The addresses of `ADDR` or `ADDR..ADDR`; `None` if it is neither.
pub(crate) fn addresses(text: &str) -> Option<Range<u64>> {
    let number = |t: &str| match t.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => t.parse().ok(),
    };
    match text.split_once("..") {
        Some((a, b)) => Some(number(a)?..number(b)?),
        None => number(text).map(|a| a..a),
    }
}
