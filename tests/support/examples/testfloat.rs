//! Floating point against Berkeley TestFloat: independent of qemu, so it settles what the two of us dispute.
//!
//! ```text
//! cargo run --release -p jib-testing --example testfloat DIRECTORY
//! ```
//!
//! The directory holds files named OPERATION.ROUNDING as `testfloat_gen` writes them, tininess before rounding.

use std::path::Path;
use std::process::ExitCode;

use jib_testing::interp::Interpreter;
use jib_testing::testfloat;

fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1) else {
        eprintln!("usage: testfloat DIRECTORY");
        return ExitCode::from(2);
    };
    let mut interpreter = Interpreter::default();
    let report = testfloat::check(Path::new(&dir), &mut |case| interpreter.run(case));
    print!("{}", report.text);
    println!(
        "interpreter against TestFloat: {} files ({} without an instruction), {} cases, {} differences",
        report.files, report.skipped, report.cases, report.differences
    );
    if report.differences == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
