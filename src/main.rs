//! `jib`: runs AArch64 Linux programs and systems on x86-64 Linux, and shows how it translates them.
//!
//! The command line is the only part of the project that parses arguments, reads environment variables and
//! writes to the terminal: the guest's output is the guest's alone, ours goes to standard error after `jib:`.
//! `unsafe` is in `profile/perf.rs` (a mapping that `perf` wants to see) and `bench/measure.rs` (`wait4`) only.
#![deny(unsafe_code)]

mod bench;
mod cli;
mod cmd;
mod profile;
mod qemu;
mod report;

use std::process::ExitCode;

/// A guest may take all mappings that a process can have.
#[global_allocator]
static ALLOCATOR: jib_linux_user::Allocator = jib_linux_user::Allocator;

fn main() -> ExitCode {
    report::on_panic();
    match cli::parse(std::env::args_os()) {
        Ok(cli::Command::Run(args)) => cmd::run::main(&args),
        Ok(cli::Command::Shell(args)) => cmd::shell::main(&args),
        Ok(cli::Command::Binfmt(args)) => cmd::binfmt::main(&args),
        Ok(cli::Command::Doctor(args)) => cmd::doctor::main(&args),
        Ok(cli::Command::Cpu) => cmd::cpu::main(),
        Ok(cli::Command::Cache(args)) => cmd::cache::main(&args),
        Ok(cli::Command::Bench(args)) => bench::main(&args),
        Ok(cli::Command::Boot(args)) => cmd::boot::main(&args),
        Ok(cli::Command::Translate(args)) => cmd::translate::main(&args),
        Err(code) => code,
    }
}
