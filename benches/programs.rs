//! `cargo bench --bench programs [-- ARGS]` is `jib bench [ARGS]`, of the `jib` that is built here.

use std::os::unix::process::CommandExt;
use std::process::Command;

fn main() {
    // `cargo bench` adds an argument of its own.
    let args = std::env::args_os().skip(1).filter(|arg| arg != "--bench");
    let error = Command::new(env!("CARGO_BIN_EXE_jib")).arg("bench").args(args).exec();
    panic!("cannot start jib: {error}");
}
