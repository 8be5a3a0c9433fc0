//! One file per verb of the command line.

pub(crate) mod boot;
pub(crate) mod debugger;
pub(crate) mod program;
pub(crate) mod run;
pub(crate) mod stats;
pub(crate) mod translate;
