//! One file per verb of the command line.

pub(crate) mod binfmt;
pub(crate) mod boot;
pub(crate) mod cache;
pub(crate) mod cpu;
pub(crate) mod debian;
pub(crate) mod debugger;
mod disk;
pub(crate) mod doctor;
pub(crate) mod emit;
pub(crate) mod program;
pub(crate) mod root;
pub(crate) mod run;
pub(crate) mod shell;
pub(crate) mod stats;
pub(crate) mod translate;
