#!/bin/sh
# Runs a fuzz target for so many seconds: fuzz/run.sh TARGET [SECONDS [LIBFUZZER OPTIONS]]. The stable toolchain will do.
set -eu
target=$1
seconds=${2:-60}
shift
[ $# -eq 0 ] || shift
cd "$(dirname "$0")"
triple=$(rustc -vV | sed -n 's/^host: //p')
# What cargo-fuzz passes, without the address sanitizer, which only nightly has: the code is safe Rust.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks"
# With a target named, build scripts are not instrumented.
cargo build --quiet --release --target "$triple" --bin "$target"
mkdir -p "corpus/$target" "artifacts/$target"
exec "${CARGO_TARGET_DIR:-target}/$triple/release/$target" -max_total_time="$seconds" -artifact_prefix="artifacts/$target/" \
    "$@" "corpus/$target"
