//! One file per verb of the command line.

pub mod program;
pub mod run;
pub mod stats;
pub mod translate;
