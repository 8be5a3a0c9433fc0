//! What some instructions become, stage by stage, as files to read and to compare with: `tests/golden/*.txt`.
//!
//! `JIB_BLESS=1 cargo test --release -p jib-backend --test golden` writes them anew; review the difference then.

use std::fmt::Write as _;
use std::path::Path;

use jib_backend::{Emit, Options, Translator};
use jib_frontend_aarch64::A64;
use jib_ir::guest::Fetch;
use jib_ir::region::Key;
use jib_ir::runtime::{Access, Fault};

const BASE: u64 = 0x40_0000;

/// Stages whose text is the same whatever the host's processor can do, if the instructions are integer ones.
const ALL: &[(&str, Emit)] =
    &[("ir", Emit::Ir), ("opt", Emit::Opt), ("quick", Emit::Quick), ("clif", Emit::Clif), ("asm", Emit::Asm)];

/// Name, words, number of stages of [`ALL`].
const CASES: &[(&str, &[u32], usize)] = &[
    ("add", &[0x8b03_0041, 0xd65f_03c0], 5),                 // add x1, x2, x3; ret
    ("subs_branch", &[0x7100_1420, 0x5400_0041], 5),         // subs w0, w1, #5; b.ne .+8
    ("load_store", &[0xf940_0420, 0xf801_0420], 5),          // ldr x0, [x1, #8]; str x0, [x1], #16
    ("pair", &[0xa8c1_7bfd, 0xd65f_03c0], 5),                // ldp x29, x30, [sp], #16; ret
    ("select", &[0xeb01_001f, 0x9a82_0020, 0xd65f_03c0], 5), // cmp x0, x1; csel x0, x1, x2, eq; ret
    ("loop", &[0x8b01_0000, 0xf100_0442, 0x54ff_ffc1], 5),   // add x0, x0, x1; subs x2, x2, #1; b.ne .-8
    ("call", &[0x9400_0002, 0xd65f_03c0], 5),                // bl .+8; ret
    ("exclusive", &[0xc85f_7c20, 0xc802_7c20], 2),           // ldxr x0, [x1]; stxr w2, x0, [x1]
    ("atomic", &[0xf821_0040], 5),                           // ldadd x1, x0, [x2]
    ("system_call", &[0xd400_0001], 5),                      // svc #0
    ("double", &[0x1e62_2820], 2),                           // fadd d0, d1, d2
    ("saturating", &[0x0e22_0c20], 2),                       // sqadd v0.8b, v1.8b, v2.8b
];

struct Words(&'static [u32]);

impl Fetch for Words {
    fn word(&self, pc: u64) -> Result<u32, Fault> {
        let index = pc.wrapping_sub(BASE) / 4;
        let word = self.0.get(index as usize).filter(|_| pc.is_multiple_of(4));
        word.copied().ok_or(Fault { addr: pc, access: Access::Fetch, cause: 0 })
    }
}

/// `text` with numbers of more than 32 bits, which are addresses of this process, made the same in all of them.
fn without_addresses(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("0x") {
        let digits = rest[at + 2..].find(|c: char| !c.is_ascii_hexdigit() && c != '_').unwrap_or(rest.len() - at - 2);
        let (number, after) = rest[at..].split_at(digits + 2);
        let long = number.chars().filter(char::is_ascii_hexdigit).count() > 9;
        out += &rest[..at];
        out += if long { "ADDRESS" } else { number };
        rest = after;
    }
    out + rest
}

#[test]
fn translations_are_as_reviewed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let bless = std::env::var_os("JIB_BLESS").is_some();
    let mut different = Vec::new();
    for (name, words, stages) in CASES {
        let t = Translator::new(A64, Box::new(Words(words)), Options::default()).expect("a translator");
        let mut text = String::new();
        for (title, stage) in &ALL[..*stages] {
            let shown = t.emit(Key { pc: BASE, mode: 0 }, *stage).expect("the stage's text");
            let _ = write!(text, "=== {title}\n{}\n", without_addresses(&shown).trim_end());
        }
        let file = folder.join(format!("{name}.txt"));
        if bless {
            std::fs::create_dir_all(&folder).expect("a folder for the files");
            std::fs::write(&file, &text).expect("a file to write");
        }
        if std::fs::read_to_string(&file).ok().as_deref() != Some(&text) {
            different.push(format!("{name}:\n{text}"));
        }
    }
    assert!(
        different.is_empty(),
        "not as in {} (JIB_BLESS=1 writes the files anew):\n{}",
        folder.display(),
        different.join("\n")
    );
}
