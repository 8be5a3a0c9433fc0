//! The instruction table against itself and against Arm's machine-readable specification.
//!
//! The specification comes from the crate `aarchmrs-instructions`, which has masks and values of every
//! encoding but not the conditions on other fields. Where we call a word undefined that it lists,
//! objdump decides.

mod encodings;
mod encodings_simd;

use jib_frontend_aarch64::decode::decode;
use jib_frontend_aarch64::{A64, isa};
use jib_ir::guest::{Fetch, Guest, Limit};
use jib_ir::op::{Op, Trap};
use jib_ir::region::Key;
use jib_ir::runtime::Fault;
use jib_testing::disasm;
use jib_testing::random::Random;

/// One encoding of the specification.
pub(crate) struct Encoding {
    name: &'static str,
    class: &'static str,
    /// The feature that we lack; `""` if we implement it, `"some"` if in part.
    feature: &'static str,
    mask: u32,
    value: u32,
    /// Bits of `mask` that a processor may ignore.
    should_be: u32,
}

/// Makes [`Encoding`]s of modules of the crate.
macro_rules! list {
    ($($feature:literal: $group:ident::$class:ident { $($name:ident)* })*) => {
        pub(crate) const ENCODINGS: &[Encoding] = &[$($({
            use aarchmrs_instructions::A64::$group::$class::$name as e;
            Encoding {
                name: e::NAME,
                class: stringify!($class),
                feature: $feature,
                mask: e::OPCODE_MASK,
                value: e::OPCODE,
                should_be: e::SHOULD_BE_MASK,
            }
        }),*),*];
    };
}
pub(crate) use list;

/// What the specification says of a word.
enum Spec {
    /// No encoding.
    Nothing,
    /// This encoding, the narrowest that matches.
    Is(&'static Encoding),
    /// Only if should-be bits are ignored.
    Loose,
}

/// The specification, by bits 28:24 of the word.
struct Table(Vec<Vec<&'static Encoding>>);

impl Table {
    fn new() -> Table {
        let all = || encodings::ENCODINGS.iter().chain(encodings_simd::ENCODINGS);
        assert_eq!(all().count(), 2241, "encodings of the crate but for SVE and SME");
        let bucket = |b: u32| {
            let mut list: Vec<_> = all().filter(|e| (b << 24 ^ e.value) & e.mask & 31 << 24 == 0).collect();
            list.sort_by_key(|e| std::cmp::Reverse(e.mask.count_ones()));
            list
        };
        Table((0..32).map(bucket).collect())
    }

    fn find(&self, word: u32) -> Spec {
        let list = &self.0[(word >> 24 & 31) as usize];
        if let Some(e) = list.iter().find(|e| word & e.mask == e.value) {
            return Spec::Is(e);
        }
        let loose = |e: &&&Encoding| (word ^ e.value) & e.mask & !e.should_be == 0;
        if list.iter().any(|e| loose(&e)) { Spec::Loose } else { Spec::Nothing }
    }

    fn implemented(&self) -> impl Iterator<Item = &'static Encoding> {
        let all = encodings::ENCODINGS.iter().chain(encodings_simd::ENCODINGS);
        all.filter(|e| e.feature.is_empty())
    }
}

struct OneWord(u32);

impl Fetch for OneWord {
    fn word(&self, _: u64) -> Result<u32, Fault> {
        Ok(self.0)
    }
}

/// Does the frontend, at EL0, give `word` a meaning?
fn defined(word: u32) -> bool {
    let key = Key { pc: 0x1_0000, mode: 0 };
    let region = A64.lift(key, &OneWord(word), Limit { insns: 1, blocks: 1 }).expect("the word can be read");
    !matches!(region.ops.last(), Some(Op::Trap { trap: Trap::Undefined(_), .. }))
}

/// Is row `row` named after `class`, perhaps with a suffix?
fn is_of_class(row: &str, class: &str) -> bool {
    let row = row.to_lowercase();
    let plain = |s: &str| s.replace('_', "");
    plain(&row) == plain(class) || row.strip_prefix(class).is_some_and(|rest| rest.starts_with('_'))
}

/// What came of comparing words.
#[derive(Default)]
struct Tally {
    words: usize,
    defined: usize,
    undefined: usize,
    partly: usize,
    should_be: usize,
    /// Words that we call undefined against the specification's masks: for objdump to decide.
    doubtful: Vec<(u32, &'static str)>,
    wrong: Vec<String>,
}

impl Tally {
    fn compare(&mut self, table: &Table, word: u32) {
        self.words += 1;
        let ours = defined(word);
        match table.find(word) {
            Spec::Loose => self.should_be += 1,
            Spec::Is(e) if e.feature == "some" => self.partly += 1,
            Spec::Is(e) if e.feature.is_empty() => self.listed(word, e, ours),
            Spec::Is(_) | Spec::Nothing if !ours => self.undefined += 1,
            Spec::Is(e) => self.wrong.push(format!("{word:08x} defined, but is {} of {}", e.name, e.feature)),
            Spec::Nothing => self.wrong.push(format!("{word:08x} defined, but unallocated")),
        }
    }

    /// `word` is encoding `e`, which we implement.
    fn listed(&mut self, word: u32, e: &'static Encoding, ours: bool) {
        let row = decode(word).map_or("no row", |row| row.name);
        if !ours {
            self.doubtful.push((word, e.name));
        } else if is_of_class(row, e.class) {
            self.defined += 1;
        } else {
            self.wrong.push(format!("{word:08x} is {}, but row {row}", e.name));
        }
    }

    /// Lets objdump decide on the doubtful words, and reports.
    fn finish(mut self, what: &str) {
        let words: Vec<u32> = self.doubtful.iter().map(|(word, _)| *word).collect();
        let mut conditions = 0;
        for ((word, name), line) in self.doubtful.iter().zip(disasm::words(&words)) {
            if line.contains("undefined") {
                conditions += 1;
            } else {
                self.wrong.push(format!("{word:08x} undefined, but is {name}: {line}"));
            }
        }
        println!(
            "{what}: {} words; {} defined and of one class, {} undefined, {conditions} undefined by a condition; \
             not compared: {} of encodings implemented in part, {} with should-be bits",
            self.words, self.defined, self.undefined, self.partly, self.should_be
        );
        for line in self.wrong.iter().take(40) {
            println!("  {line}");
        }
        assert!(self.wrong.is_empty(), "{what}: {} disagreements", self.wrong.len());
    }
}

#[test]
fn agrees_with_the_specification_inside_its_encodings() {
    let (table, mut random, mut tally) = (Table::new(), Random::new(1), Tally::default());
    for e in table.implemented() {
        let before = tally.defined;
        for _ in 0..200 {
            tally.compare(&table, e.value | random.u32() & !e.mask);
        }
        // Else objdump, older than some features, would excuse a missing one.
        assert!(tally.defined > before, "no word of {} is defined", e.name);
    }
    tally.finish("inside");
}

#[test]
fn agrees_with_the_specification_next_to_its_encodings() {
    let (table, mut random, mut tally) = (Table::new(), Random::new(2), Tally::default());
    for e in table.implemented() {
        for bit in (0..32).filter(|bit| e.mask >> bit & 1 == 1) {
            for _ in 0..8 {
                tally.compare(&table, (e.value | random.u32() & !e.mask) ^ 1 << bit);
            }
        }
    }
    tally.finish("next to");
}

#[test]
fn agrees_with_the_specification_anywhere() {
    let (table, mut random, mut tally) = (Table::new(), Random::new(3), Tally::default());
    for _ in 0..500_000 {
        tally.compare(&table, random.u32());
    }
    tally.finish("anywhere");
}

/// The narrower of two overlapping rows wins, so they must not be equally narrow.
#[test]
fn overlapping_rows_are_not_equally_narrow() {
    let rows: Vec<_> = isa::rows().collect();
    for (i, a) in rows.iter().enumerate() {
        for b in &rows[i + 1..] {
            let (p, q) = (&a.pattern, &b.pattern);
            let overlap = (p.value ^ q.value) & p.mask & q.mask == 0;
            let tie = p.mask.count_ones() == q.mask.count_ones();
            assert!(!(overlap && tie), "{} and {} both match {:08x}", a.name, b.name, p.value | q.value);
        }
    }
}

/// Each row has words of its own.
#[test]
fn every_row_can_be_reached() {
    let mut random = Random::new(4);
    for row in isa::rows() {
        let mut word = || row.pattern.value | random.u32() & !row.pattern.mask;
        let reached = (0..10_000).any(|_| decode(word()).is_some_and(|found| std::ptr::eq(found, row)));
        assert!(reached, "{} is never found", row.name);
    }
}

/// The table finds what a search through all rows finds.
#[test]
fn the_table_finds_the_narrowest_row() {
    let mut rows: Vec<_> = isa::rows().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.pattern.mask.count_ones()));
    let mut random = Random::new(5);
    for row in rows.clone() {
        for _ in 0..100 {
            let word = row.pattern.value | random.u32() & !row.pattern.mask;
            let narrowest = rows.iter().find(|row| row.pattern.matches(word)).map(|row| row.name);
            assert_eq!(decode(word).map(|row| row.name), narrowest, "{word:08x}");
        }
    }
}
