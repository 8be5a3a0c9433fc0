# needs: rustc cargo
set -e
rm -rf /tmp/crate && mkdir -p /tmp/crate/src && cd /tmp/crate
printf '[package]\nname = "crate1"\nversion = "0.1.0"\nedition = "2021"\n' > Cargo.toml
cat > src/main.rs <<'X'
fn main() {
    let threads: Vec<_> = (0..4).map(|i| std::thread::spawn(move || i * i)).collect();
    let sum: i32 = threads.into_iter().map(|t| t.join().unwrap()).sum();
    let panics = std::panic::catch_unwind(|| panic!("on purpose")).is_err();
    println!("rust {sum} {panics}");
}
X
HOME=/tmp cargo build -q --offline
./target/debug/crate1
