//! Floating point against Berkeley TestFloat: independent of qemu, so it settles what the two of us dispute.
//!
//! ```text
//! JIB_TESTFLOAT=directory cargo test -p jib-frontend-aarch64 --test testfloat -- --ignored --nocapture
//! ```
//!
//! The directory holds files named OPERATION.ROUNDING as `testfloat_gen` writes them, tininess before rounding.

use jib_testing::interp::Interpreter;
use jib_testing::testfloat;

#[test]
#[ignore = "needs JIB_TESTFLOAT, a directory of TestFloat vectors"]
fn every_form_agrees_with_testfloat() {
    let dir = std::env::var_os("JIB_TESTFLOAT").expect("JIB_TESTFLOAT names the directory of the vectors");
    let mut interpreter = Interpreter::default();
    let report = testfloat::check(dir.as_ref(), &mut |case| interpreter.run(case));
    print!("{}", report.text);
    println!(
        "interpreter against TestFloat: {} files ({} without an instruction), {} cases, {} differences",
        report.files, report.skipped, report.cases, report.differences
    );
    assert_eq!(report.differences, 0);
}
