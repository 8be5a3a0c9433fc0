//! Instruction words as text, by the cross binutils: a second opinion on what a word is.

use crate::tools;

/// One line of assembly for each word; `.inst … ; undefined` for those objdump does not know.
///
/// # Panics
/// If objdump is missing or fails.
pub fn words(words: &[u32]) -> Vec<String> {
    let dir = tools::Scratch::new("disasm");
    let file = dir.path().join("words");
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    std::fs::write(&file, bytes).expect("cannot write words for objdump");
    let mut objdump = tools::command("aarch64-linux-gnu-objdump");
    objdump.args(["-D", "-z", "-b", "binary", "-m", "aarch64"]).arg(&file);
    let text = String::from_utf8_lossy(&tools::output(&mut objdump)).into_owned();
    text.lines().filter_map(|l| Some(l.split_once(":\t")?.1.split_once('\t')?.1.replace('\t', " "))).collect()
}
