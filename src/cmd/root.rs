//! An arm64 root folder as `/`, for `jib run --root` and `jib shell`.

use std::path::Path;
use std::process::ExitCode;

use jib_linux_user::root::{Entered, Root, enter as enter_root};

use crate::cli::RootArgs;
use crate::report::{self, CANNOT_RUN};

/// Makes `folder` our `/`; on `Err` everything has been said and this is the exit code.
pub(crate) fn enter(folder: &Path, args: &RootArgs, verbose: bool) -> Result<Entered, ExitCode> {
    let root = Root { path: folder.to_path_buf(), as_user: args.as_user, bare: args.bare, binds: args.binds.clone() };
    let entered = enter_root(&root).map_err(|e| report::fail(CANNOT_RUN, e))?;
    if verbose {
        for note in &entered.notes {
            report::tell(note);
        }
    }
    Ok(entered)
}
