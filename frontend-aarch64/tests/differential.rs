//! Every row of the instruction table, our interpreter against `qemu-aarch64 -cpu max`.
//!
//! Random words of each row with random registers, flags, FPCR, FPSR and memory; all of it compared
//! afterwards, with faults and undefined instructions. Then sequences of up to eight instructions that feed each
//! other (the row `sequences`, twenty times as many). One chapter or row:
//!
//! ```text
//! JIB_ROWS='AddSub|logical' JIB_CASES=2000 cargo test -p jib-frontend-aarch64 --test differential -- --nocapture
//! ```
//!
//! | variable    | meaning                                                       | default |
//! |-------------|---------------------------------------------------------------|---------|
//! | `JIB_ROWS`  | row names: any of these substrings, separated by a bar        | all     |
//! | `JIB_CASES` | cases of each row                                             | 200     |
//! | `JIB_SEED`  | seed; a row's cases depend on it and on the row's name alone  | 1       |
//! | `JIB_SHOW`  | differences printed of each row                               | 2       |
//!
//! What is not compared, and why, is in `tests/support/src/known.rs`. A failing case prints its word,
//! its disassembly and each register that differs: ours, qemu's, and what it was before.

use jib_testing::differential::{self, Options};
use jib_testing::interp::Interpreter;

#[test]
fn every_row_agrees_with_qemu() {
    let mut interpreter = Interpreter::default();
    differential::check(&Options::from_env(200), "interpreter", &mut |case| interpreter.run(case));
}
