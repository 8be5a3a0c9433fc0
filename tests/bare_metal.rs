//! Programs without an operating system, on the board.
//!
//! The expected outputs in `tests/guest/bare/` are QEMU's (`qemu-system-aarch64 -M virt -cpu cortex-a57`), but where it
//! deviates from the Arm ARM: version 7.2 takes debug exceptions while the OS lock is set.

use std::process::Command;
use std::time::Duration;

use jib_testing::{guest, program, tools};

fn check(program: &str) {
    let base = tools::root().join("tests/guest/bare").join(program);
    let wanted = std::fs::read(base.with_extension("expected")).expect("no expected output");
    let kernel = guest::compile(&base.with_extension("S"), guest::BARE);
    for (name, engine) in program::ENGINES {
        let mut jib = Command::new(program::under_test(env!("CARGO_BIN_EXE_jib")));
        let jib = jib.args(["boot", "--timeout", "60"]).args(*engine).arg(&kernel);
        let run = program::run(jib, Duration::from_secs(90));
        program::check(&format!("{program}, {name}"), &run, &wanted, 0);
    }
}

#[test]
fn debug_exceptions() {
    check("debug");
}
