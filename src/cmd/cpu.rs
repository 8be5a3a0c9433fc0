//! `jib cpu`: the processors that guests can be given.

use std::fmt::Write as _;
use std::process::ExitCode;

use jib_frontend_aarch64::cpu::{Profile, ROWS};

use crate::report;

/// Lists them: which has what, and what a guest reads of each.
pub(crate) fn main() -> ExitCode {
    report::print(text().trim_end());
    ExitCode::SUCCESS
}

fn text() -> String {
    let mut out = format!("{:<12}", "feature");
    let columns = |out: &mut String, cell: &dyn Fn(Profile) -> String| {
        let cells = Profile::ALL.map(|p| format!("{:<10}", cell(p)));
        // Writing to a string cannot fail.
        _ = writeln!(out, "{}", cells.concat().trim_end());
    };
    columns(&mut out, &|p| p.name().into());
    for row in ROWS {
        for (_, name) in row.hwcap.iter().chain(row.hwcap2) {
            _ = write!(out, "{name:<12}");
            columns(&mut out, &|p| if p.has(row.feature) { "yes".into() } else { "-".into() });
        }
    }
    out.push('\n');
    for p in Profile::ALL {
        _ = writeln!(out, "{:<12}AT_HWCAP {:#x}, AT_HWCAP2 {:#x}", p.name(), p.hwcap(), p.hwcap2());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_and_profiles_are_listed() {
        let text = text();
        let line = |name: &str| text.lines().find(|l| l.starts_with(name)).map(|l| l.split_whitespace().collect());
        assert_eq!(line("feature"), Some(vec!["feature", "v8.0", "v8.2", "default", "max"]));
        assert_eq!(line("atomics"), Some(vec!["atomics", "-", "yes", "yes", "yes"]));
        assert_eq!(line("paca"), Some(vec!["paca", "-", "-", "-", "yes"]));
        assert!(text.contains("v8.0        AT_HWCAP 0x8fb, AT_HWCAP2 0x0\n"));
    }
}
