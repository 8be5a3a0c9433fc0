//! What `--gdb`, `--trace` and `--log-file` ask for.

use std::path::Path;
use std::sync::Arc;

use jib_debug::address::{Address, Listener};
use jib_debug::log::Sink;

use crate::report;

/// Listens for a debugger and says so; the error is one line.
pub(crate) fn listen(address: &Address) -> Result<Arc<Listener>, String> {
    let listener = Listener::bind(address).map_err(|e| format!("cannot listen at {address}: {e}; choose another"))?;
    let at = &listener.address;
    report::tell(format_args!("waiting for a debugger: gdb-multiarch -ex 'target remote {at}'"));
    Ok(Arc::new(listener))
}

/// Where traces and logs go: standard error, or a new file.
pub(crate) fn sink(file: Option<&Path>) -> Result<Arc<Sink>, String> {
    match file {
        None => Ok(Sink::stderr()),
        Some(path) => Sink::file(path).map_err(|e| format!("{}: {e}", path.display())),
    }
}
