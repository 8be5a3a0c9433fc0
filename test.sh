#!/usr/bin/env bash
# Passes all of jib's checks: format, lints, documentation, tests. Installs the Debian packages that
# the tests compare with or build guests by, and says so. Guest programs are fetched by the tests
# themselves, through apt-get, npm and pip, and cached under ~/.cache/jib-tests.
#
# ./test.sh --heavy [NAME...] runs the second tier instead: a whole Debian arm64 userland, made from packages and
# put to use (tests/heavy.rs), and whole guests (tests/heavy_guests.rs). It takes hours.
set -euo pipefail
cd "$(dirname "$0")"

declare -A package=(
  [qemu-aarch64]=qemu-user
  [aarch64-linux-gnu-gcc]=gcc-aarch64-linux-gnu
  [aarch64-linux-gnu-objdump]=binutils-aarch64-linux-gnu
  [gcc]=gcc
  [gdb-multiarch]=gdb-multiarch
  [cpio]=cpio
  [xz]=xz-utils
  [mke2fs]=e2fsprogs
  [npm]=npm
  [pip]=python3-pip
  [unzip]=unzip
)
missing=()
for tool in "${!package[@]}"; do
  PATH="$PATH:/usr/sbin:/sbin" command -v "$tool" >/dev/null || missing+=("${package[$tool]}")
done
[ -e /usr/aarch64-linux-gnu/lib/libc.a ] || missing+=(libc6-dev-arm64-cross)
if [ ${#missing[@]} -gt 0 ]; then
  echo "test.sh: installing ${missing[*]}"
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  "${as_root[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

step() {
  echo "== $*"
  "$@"
}
# The `jib` that is tested is the one that everybody uses; the tests themselves need not be optimised as a whole.
step cargo build --release --locked
export JIB_UNDER_TEST="${CARGO_TARGET_DIR:-$PWD/target}/release/jib"
if [ "${1-}" = --heavy ]; then
  shift
  step cargo test --profile checked --locked --test heavy --test heavy_guests -- --ignored --nocapture "$@"
  exit
fi
# One profile for everything else: the code generator is compiled once.
step cargo fmt --all --check
step cargo clippy --profile checked --workspace --all-targets --locked -- -D warnings
RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" step cargo doc --profile checked --workspace --no-deps --locked
step cargo test --profile checked --workspace --locked
