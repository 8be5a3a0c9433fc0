//! Where translations are kept, and `jib cache`.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use jib_backend::cache_dir::{Amount, CacheDir, DEFAULT_LIMIT, Refused};
use jib_linux_user::has_borrowed_rights;

use crate::cli::{CacheAction, CacheArgs, CacheCommand};
use crate::report;

/// What was chosen.
#[derive(Debug, PartialEq, Eq)]
enum Choice {
    /// Nothing is kept.
    Off,
    /// Nobody said where, and there is no home.
    Nowhere,
    /// This folder.
    Folder(PathBuf),
}

/// What the option says, else the variables.
fn choose(args: &CacheArgs, variable: impl Fn(&str) -> Option<OsString>) -> Choice {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    if let Some(said) = args.cache.clone().or_else(|| set("JIB_CACHE")) {
        return if said == "off" { Choice::Off } else { Choice::Folder(said.into()) };
    }
    let absolute = |name| set(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    base.map_or(Choice::Nowhere, |base| Choice::Folder(base.join("jib")))
}

/// The folder, open and good, made if need be; with `verbose` we say why there is none.
pub(crate) fn open(args: &CacheArgs, verbose: bool) -> Option<Arc<CacheDir>> {
    // What a user chooses is nothing to a program with more rights than the user.
    if has_borrowed_rights() {
        if verbose {
            report::tell("translations are not kept: this process has more rights than its caller");
        }
        return None;
    }
    match choose(args, |name| std::env::var_os(name)) {
        Choice::Off => None,
        Choice::Nowhere => {
            if verbose {
                report::tell("translations are not kept: neither --cache nor HOME says where");
            }
            None
        }
        Choice::Folder(path) => match make(&path) {
            Ok(dir) => Some(Arc::new(dir)),
            Err(why) => {
                if verbose {
                    report::tell(format_args!("translations are not kept in {}: {why}", path.display()));
                }
                None
            }
        },
    }
}

fn make(path: &Path) -> Result<CacheDir, Refused> {
    // At most `.cache` and the folder in it: a home that does not exist is not ours to make.
    if let Some(parent) = path.parent().filter(|p| p.ends_with(".cache")) {
        // If that fails, so does the next step, which says why.
        _ = DirBuilder::new().mode(0o700).create(parent);
    }
    let dir = CacheDir::make(path)?;
    dir.salt()?;
    Ok(dir)
}

/// How the folder is.
pub(crate) enum State {
    /// Not wanted.
    Off,
    /// Nobody said where.
    Nowhere,
    /// To be made when it is needed.
    Absent(PathBuf),
    /// Not to be used.
    Refused(PathBuf, Refused),
    /// In use.
    There(PathBuf, Amount),
}

/// Looks at the folder, and changes nothing.
pub(crate) fn state(args: &CacheArgs) -> State {
    let path = match choose(args, |name| std::env::var_os(name)) {
        Choice::Off => return State::Off,
        Choice::Nowhere => return State::Nowhere,
        Choice::Folder(path) => path,
    };
    match path.symlink_metadata() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => State::Absent(path),
        _ => match CacheDir::open(&path).and_then(|dir| dir.amount()) {
            Ok(amount) => State::There(path, amount),
            Err(why) => State::Refused(path, why),
        },
    }
}

/// "3 files, 1.5 MiB"
pub(crate) fn words(amount: Amount) -> String {
    let files = if amount.files == 1 { "file" } else { "files" };
    format!("{} {files}, {:.1} MiB", amount.files, amount.bytes as f64 / f64::from(1 << 20))
}

/// `jib cache`
pub(crate) fn main(args: &CacheCommand) -> ExitCode {
    let path = match state(&args.place) {
        State::Off => return report::fail(1, "translations are not kept: the cache is off"),
        State::Nowhere => return report::fail(1, "translations are not kept: neither --cache nor HOME says where"),
        State::Refused(path, why) => return report::fail(1, format_args!("{}: {why}", path.display())),
        State::Absent(path) => {
            report::print(format_args!("{}: {}", path.display(), words(Amount::default())));
            return ExitCode::SUCCESS;
        }
        State::There(path, amount) => {
            if matches!(args.action, CacheAction::Stat) {
                report::print(format_args!("{}: {}", path.display(), words(amount)));
                return ExitCode::SUCCESS;
            }
            path
        }
    };
    match shrink(&path, &args.action) {
        Ok((removed, left)) => {
            report::print(format_args!("{}: {} removed, {} left", path.display(), words(removed), words(left)));
            ExitCode::SUCCESS
        }
        Err(why) => report::fail(1, format_args!("{}: {why}", path.display())),
    }
}

/// Does what makes the folder smaller: what was removed, and what is left.
fn shrink(path: &Path, action: &CacheAction) -> Result<(Amount, Amount), Refused> {
    let dir = CacheDir::open(path)?;
    let removed = match action {
        CacheAction::Stat => Amount::default(),
        CacheAction::Clear => dir.clear()?,
        CacheAction::Gc { max_size } => dir.collect(max_size.unwrap_or(DEFAULT_LIMIT))?,
    };
    Ok((removed, dir.amount()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(option: Option<&str>, variables: &[(&str, &str)]) -> Choice {
        let args = CacheArgs { cache: option.map(OsString::from) };
        choose(&args, |name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).into()))
    }

    fn folder(path: &str) -> Choice {
        Choice::Folder(path.into())
    }

    #[test]
    fn the_option_counts_before_the_variables() {
        let all = [("JIB_CACHE", "/j"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(choice(Some("/o"), &all), folder("/o"));
        assert_eq!(choice(Some("off"), &all), Choice::Off);
        assert_eq!(choice(None, &all), folder("/j"));
        assert_eq!(choice(None, &all[1..]), folder("/x/jib"));
        assert_eq!(choice(None, &all[2..]), folder("/h/.cache/jib"));
        assert_eq!(choice(None, &[]), Choice::Nowhere);
        assert_eq!(choice(None, &[("JIB_CACHE", "off"), ("HOME", "/h")]), Choice::Off);
        assert_eq!(
            choice(None, &[("JIB_CACHE", ""), ("XDG_CACHE_HOME", "x"), ("HOME", "/h")]),
            folder("/h/.cache/jib")
        );
        assert_eq!(choice(None, &[("HOME", "h")]), Choice::Nowhere);
    }
}
