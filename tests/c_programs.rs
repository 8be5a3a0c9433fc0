//! C programs at three levels of optimisation, on every engine: output and exit code as under `qemu-aarch64`.
//!
//! `cargo test --test c_programs sort` runs one of them.

use std::time::Duration;

use jib_testing::program::{self, ENGINES};
use jib_testing::{guest, tools};

const LIMIT: Duration = Duration::from_secs(300);
const LEVELS: [&str; 3] = ["-O0", "-O2", "-O3"];

fn check(name: &str) {
    let source = tools::root().join(format!("tests/guest/c/{name}.c"));
    let mut runs = 0;
    for level in LEVELS {
        let exe = guest::compile(&source, &format!("{level} -static -Wall -Wextra -Werror"));
        let wanted = program::run(&mut program::qemu(&exe), LIMIT);
        assert!(!wanted.stdout.is_empty(), "{name}{level}: qemu printed nothing: {}", wanted.errors());
        for (engine, options) in ENGINES {
            let jib = program::under_test(env!("CARGO_BIN_EXE_jib"));
            let run = program::run(&mut program::jib(jib, options, &exe), LIMIT);
            program::check(&format!("{name} {level}, {engine}"), &run, &wanted.stdout, wanted.code());
            runs += 1;
        }
    }
    println!("{name}: {runs} runs agree with qemu-aarch64");
}

macro_rules! programs {
    ($($name:ident)*) => { $(#[test] fn $name() { check(stringify!($name)); })* };
}

programs! {
    hello integer recursion indirect sort strings nbody mandelbrot floats neon vector sha256 setjmp varargs int128
    machine memory
}

/// What C does at compile time and the C library chooses at run time: other instruction sets of the same sources.
#[test]
fn other_instruction_choices() {
    let choices = ["-O2 -static -march=armv8.2-a+crypto+fp16+dotprod -mno-outline-atomics", "-O2 -static-pie -fPIE"];
    for name in ["integer", "vector", "sha256", "floats"] {
        let source = tools::root().join(format!("tests/guest/c/{name}.c"));
        for flags in choices {
            let exe = guest::compile(&source, flags);
            let wanted = program::run(&mut program::qemu(&exe), LIMIT);
            for (engine, options) in ENGINES {
                let run = program::run(
                    &mut program::jib(program::under_test(env!("CARGO_BIN_EXE_jib")), options, &exe),
                    LIMIT,
                );
                program::check(&format!("{name} {flags}, {engine}"), &run, &wanted.stdout, wanted.code());
            }
        }
    }
}

/// The dynamic linker and shared libraries of Debian's cross packages, found without being told.
#[test]
fn dynamically_linked() {
    for name in ["hello", "floats", "strings"] {
        let source = tools::root().join(format!("tests/guest/c/{name}.c"));
        let exe = guest::compile(&source, "-O2");
        let mut qemu = tools::command("qemu-aarch64");
        let wanted = program::run(qemu.args(["-L", "/usr/aarch64-linux-gnu"]).arg(&exe), LIMIT);
        for (engine, options) in ENGINES {
            let run =
                program::run(&mut program::jib(program::under_test(env!("CARGO_BIN_EXE_jib")), options, &exe), LIMIT);
            program::check(&format!("dynamic {name}, {engine}"), &run, &wanted.stdout, wanted.code());
        }
    }
}
