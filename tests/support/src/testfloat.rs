//! Berkeley TestFloat vectors through whole instructions: each line by every scalar and vector form that computes it.
//!
//! A file is named OPERATION.ROUNDING (`f32_mul.min`); a line holds the operands, the result and the exceptions. A
//! vector form takes as many lines at once as it has lanes. What has no instruction (`roundToInt_x.near_maxMag`) has
//! no form.

use std::fmt::Write as _;
use std::path::Path;

use crate::case::{Case, Outcome, Registers, Stop};
use crate::disasm;

/// What came of the vectors.
#[derive(Debug, Default)]
pub struct Report {
    /// Files read.
    pub files: usize,
    /// Files with no form.
    pub skipped: usize,
    /// Instructions executed.
    pub cases: usize,
    /// Those that differed.
    pub differences: usize,
    /// The first differences of each form.
    pub text: String,
}

/// Differences printed of each form.
const SHOWN: usize = 2;

/// One line of a file.
#[derive(Clone, Debug)]
struct Line {
    operands: Vec<u64>,
    result: u64,
    flags: u32,
}

/// Where a form takes its operand from or leaves its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Lanes of this many bits.
    Lanes(u32),
    /// A general register.
    General,
    /// All ones or zeroes in lanes of this many bits.
    Mask(u32),
    /// The condition "equal", "less" or "less or equal" on the flags.
    Condition(Relation),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Eq,
    Lt,
    Le,
}

/// An instruction that computes what a file is about, on V1 and V2 (or X1), the addend in V3 and V0.
#[derive(Clone, Copy, Debug)]
struct Form {
    word: u32,
    lanes: usize,
    from: Place,
    to: Place,
    fpcr: u32,
}

/// Runs every file of `dir` on `engine`.
///
/// # Panics
/// If a file cannot be read or understood.
pub fn check(dir: &Path, engine: &mut dyn FnMut(&Case) -> Outcome) -> Report {
    let mut report = Report::default();
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap_or_else(|e| panic!("cannot read {}: {e}", dir.display()))
        .map(|entry| entry.expect("a directory entry").path())
        .collect();
    files.sort();
    for path in files {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
        let lines: Vec<Line> = text.lines().map(|l| line(l).unwrap_or_else(|| panic!("{name}: {l}"))).collect();
        let forms = forms(&name);
        report.files += 1;
        report.skipped += usize::from(forms.is_empty());
        for form in forms {
            run(&name, form, &lines, engine, &mut report);
        }
    }
    report
}

fn line(text: &str) -> Option<Line> {
    let mut fields: Vec<u64> =
        text.split_whitespace().map(|f| u64::from_str_radix(f, 16)).collect::<Result<_, _>>().ok()?;
    let (flags, result) = (fields.pop()?, fields.pop()?);
    // TestFloat's order of the exceptions is FPSR's reversed.
    Some(Line { operands: fields, result, flags: (flags as u32).reverse_bits() >> 27 })
}

fn run(name: &str, form: Form, lines: &[Line], engine: &mut dyn FnMut(&Case) -> Outcome, report: &mut Report) {
    let mut shown = 0;
    for group in lines.chunks(form.lanes) {
        let case = case(form, group);
        let outcome = engine(&case);
        report.cases += 1;
        let Some(what) = difference(name, form, group, &outcome) else { continue };
        report.differences += 1;
        if shown < SHOWN {
            shown += 1;
            let _ =
                writeln!(report.text, "{name}: {:08x} {}\n  {what}", form.word, disasm::words(&[form.word]).join(" "));
        }
    }
}

/// The case of `group`; lanes without a line repeat the first.
fn case(form: Form, group: &[Line]) -> Case {
    let operand = |n: usize| match form.from {
        Place::Lanes(bits) => (0..form.lanes).fold(0u128, |v, i| {
            let line = group.get(i).unwrap_or(&group[0]);
            v | u128::from(line.operands.get(n).copied().unwrap_or(0)) << (i as u32 * bits)
        }),
        _ => u128::from(group[0].operands.get(n).copied().unwrap_or(0)),
    };
    let mut regs = Registers { x: [0; 32], v: [0; 32], nzcv: 0, fpcr: form.fpcr, fpsr: 0, tpidr: 0 };
    let last = operand(2);
    regs.v[..4].copy_from_slice(&[last, operand(0), operand(1), last]);
    regs.x[1] = group[0].operands[0];
    Case { words: vec![form.word], regs, mem_seed: 1 }
}

/// How `outcome` differs from what `group` says, if it does.
fn difference(name: &str, form: Form, group: &[Line], outcome: &Outcome) -> Option<String> {
    let regs = &outcome.regs;
    let flags = group.iter().fold(0, |f, line| f | line.flags);
    let same = match form.to {
        Place::Lanes(bits) => lanes_agree(name.contains("mulAdd"), bits, form.lanes, group, regs.v[0]),
        Place::Mask(bits) => {
            let as_masks: Vec<Line> = group
                .iter()
                .map(|l| Line { result: if l.result != 0 { ones(bits) } else { 0 }, ..l.clone() })
                .collect();
            lanes_agree(false, bits, form.lanes, &as_masks, regs.v[0])
        }
        Place::General => regs.x[0] == group[0].result,
        Place::Condition(relation) => holds(relation, regs.nzcv) == (group[0].result != 0),
    };
    if same && regs.fpsr == flags && outcome.stop == Stop::Done {
        return None;
    }
    let (v, x, nzcv, fpsr) = (regs.v[0], regs.x[0], regs.nzcv, regs.fpsr);
    Some(format!("{group:x?}: v0 {v:032x} x0 {x:016x} nzcv {nzcv:08x} fpsr {fpsr:x}, not {flags:x} {:?}", outcome.stop))
}

/// Do the lanes of `v` hold the results, with zeroes above? A NaN of a fused operation may be any (`any_nan`).
fn lanes_agree(any_nan: bool, bits: u32, lanes: usize, group: &[Line], v: u128) -> bool {
    let each = |i: usize| (v >> (i as u32 * bits)) as u64 & ones(bits);
    let used = lanes as u32 * bits;
    (used == 128 || v >> used == 0)
        && group
            .iter()
            .enumerate()
            .all(|(i, l)| l.result == each(i) || any_nan && is_nan(bits, l.result) && is_nan(bits, each(i)))
}

const fn ones(bits: u32) -> u64 {
    u64::MAX >> (64 - bits)
}

fn is_nan(bits: u32, v: u64) -> bool {
    let infinity = match bits {
        16 => 0x7c00,
        32 => 0x7f80_0000,
        _ => 0x7ff0 << 48,
    };
    v & ones(bits) >> 1 > infinity
}

fn holds(relation: Relation, nzcv: u32) -> bool {
    let (n, z) = (nzcv >> 31 & 1 == 1, nzcv >> 30 & 1 == 1);
    match relation {
        Relation::Eq => z,
        Relation::Lt => n,
        Relation::Le => n || z,
    }
}

/// A rounding: the number of its `RMode`, none for ties away.
type Rounding = Option<u32>;

/// Every instruction that computes what the file `name` holds.
fn forms(name: &str) -> Vec<Form> {
    let Some((operation, rounding)) = name.split_once('.') else { return Vec::new() };
    let Some((from, rest)) = operation.split_once('_') else { return Vec::new() };
    let rounding = ["near_even", "max", "min", "minMag"].iter().position(|r| *r == rounding).map(|n| n as u32);
    let (kind, bits) = number(from);
    if let Some(to) = rest.strip_prefix("to_") {
        let (to_kind, to_bits) = number(to.trim_end_matches("_rx"));
        return match (kind, to_kind) {
            ('f', 'f') => between(bits, to_bits, rounding),
            ('f', _) => to_int(bits, to_bits, to_kind == 'u', rounding),
            _ => from_int(bits, to_bits, kind == 'u', rounding),
        };
    }
    arithmetic(rest, bits, rounding)
}

/// `f32`, `i64`, `ui32`: kind and width.
fn number(name: &str) -> (char, u32) {
    let digits = name.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    (name.chars().next().unwrap_or('?'), digits.parse().unwrap_or(0))
}

fn arithmetic(op: &str, bits: u32, rounding: Rounding) -> Vec<Form> {
    match op {
        "mul" => binary(0, (true, false, 3), bits, rounding),
        "div" => binary(1, (true, false, 7), bits, rounding),
        "add" => binary(2, (false, false, 2), bits, rounding),
        "sub" => binary(3, (false, true, 2), bits, rounding),
        "sqrt" => unary(3, (true, true, 0b11111), bits, fpcr(rounding)),
        "mulAdd" => {
            let scalar = 0x1f00_0000 | ptype(bits) << 22 | 2 << 16 | 3 << 10 | 1 << 5;
            let word = same(false, false, 1, bits) | 2 << 16 | 1 << 5;
            with_vectors(scalar, word, bits, Place::Lanes(bits), fpcr(rounding))
        }
        "roundToInt_r" => round(bits, rounding),
        "roundToInt_x" if rounding.is_some() => unary(14, (true, false, 0b11001), bits, fpcr(rounding)),
        "eq" | "eq_signaling" | "le" | "le_quiet" | "lt" | "lt_quiet" => compare(op, bits),
        _ => Vec::new(),
    }
}

fn fpcr(rounding: Rounding) -> u32 {
    rounding.unwrap_or(0) << 22
}

/// FPCR for an instruction that has a rounding of its own: another one than that.
fn other_fpcr(rounding: Rounding) -> u32 {
    fpcr(Some(3 - rounding.unwrap_or(0)))
}

const fn ptype(bits: u32) -> u32 {
    match bits {
        16 => 3,
        32 => 0,
        _ => 1,
    }
}

/// A three-same word: `U`, `a`, the low opcode bits.
fn same(u: bool, a: bool, op: u32, bits: u32) -> u32 {
    let class = if bits == 16 { 0x0e40_0400 } else { 0x0e20_c400 | ptype(bits) << 22 };
    class | u32::from(u) << 29 | u32::from(a) << 23 | op << 11
}

/// A two-register miscellaneous word.
fn misc(u: bool, a: bool, opcode: u32, bits: u32) -> u32 {
    let class = if bits == 16 { 0x0e78_0800 } else { 0x0e20_0800 | ptype(bits) << 22 };
    class | u32::from(u) << 29 | u32::from(a) << 23 | opcode << 12 | 1 << 5
}

/// The scalar word, and the vector word in both widths that there are.
fn with_vectors(scalar: u32, vector: u32, bits: u32, to: Place, fpcr: u32) -> Vec<Form> {
    let from = Place::Lanes(bits);
    let mut forms = vec![Form { word: scalar, lanes: 1, from, to, fpcr }];
    forms.extend(vectors(vector, bits, to, fpcr));
    forms
}

fn vectors(word: u32, bits: u32, to: Place, fpcr: u32) -> Vec<Form> {
    let from = Place::Lanes(bits);
    let of = |q: u32| Form { word: word | q << 30, lanes: ((64 << q) / bits) as usize, from, to, fpcr };
    if bits == 64 { vec![of(1)] } else { vec![of(0), of(1)] }
}

fn binary(opcode: u32, (u, a, op): (bool, bool, u32), bits: u32, rounding: Rounding) -> Vec<Form> {
    let scalar = 0x1e20_0800 | ptype(bits) << 22 | 2 << 16 | opcode << 12 | 1 << 5;
    let vector = same(u, a, op, bits) | 2 << 16 | 1 << 5;
    with_vectors(scalar, vector, bits, Place::Lanes(bits), fpcr(rounding))
}

fn unary(opcode: u32, (u, a, op): (bool, bool, u32), bits: u32, fpcr: u32) -> Vec<Form> {
    let scalar = 0x1e20_4000 | ptype(bits) << 22 | opcode << 15 | 1 << 5;
    with_vectors(scalar, misc(u, a, op, bits), bits, Place::Lanes(bits), fpcr)
}

/// FRINTI, and the FRINT of the rounding's own.
fn round(bits: u32, rounding: Rounding) -> Vec<Form> {
    let own = match rounding {
        Some(r) => unary(8 + r, (false, r & 1 != 0, 0b11000 | r >> 1), bits, other_fpcr(rounding)),
        None => unary(12, (true, false, 0b11000), bits, other_fpcr(rounding)),
    };
    match rounding {
        Some(_) => [own, unary(15, (true, true, 0b11001), bits, fpcr(rounding))].concat(),
        None => own,
    }
}

fn compare(op: &str, bits: u32) -> Vec<Form> {
    let relation = match &op[..2] {
        "eq" => Relation::Eq,
        "lt" => Relation::Lt,
        _ => Relation::Le,
    };
    let signals = !op.contains("quiet") && op != "eq";
    let word = 0x1e20_2000 | ptype(bits) << 22 | 2 << 16 | 1 << 5 | u32::from(signals) << 4;
    let mut forms = vec![Form { word, lanes: 1, from: Place::Lanes(bits), to: Place::Condition(relation), fpcr: 0 }];
    // FCMEQ is quiet, FCMGE and FCMGT are not, and take the operands the other way around.
    let vector = match op {
        "eq" => Some(same(false, false, 4, bits) | 2 << 16 | 1 << 5),
        "le" => Some(same(true, false, 4, bits) | 1 << 16 | 2 << 5),
        "lt" => Some(same(true, true, 4, bits) | 1 << 16 | 2 << 5),
        _ => None,
    };
    if let Some(word) = vector {
        let scalar =
            Form { word: word | 0x5000_0000, lanes: 1, from: Place::Lanes(bits), to: Place::Mask(bits), fpcr: 0 };
        forms.push(scalar);
        forms.extend(vectors(word, bits, Place::Mask(bits), 0));
    }
    forms
}

/// FCVT, FCVTL, FCVTN
fn between(from: u32, to: u32, rounding: Rounding) -> Vec<Form> {
    let scalar = 0x1e22_4000 | ptype(from) << 22 | ptype(to) << 15 | 1 << 5;
    let form = |word, lanes| Form { word, lanes, from: Place::Lanes(from), to: Place::Lanes(to), fpcr: fpcr(rounding) };
    let mut forms = vec![form(scalar, 1)];
    let wide = u32::from(from.max(to) == 64) << 22 | 1 << 5;
    let lanes = 128 / from.max(to) as usize;
    if to == 2 * from {
        forms.push(form(0x0e21_7800 | wide, lanes));
    } else if from == 2 * to {
        forms.push(form(0x0e21_6800 | wide, lanes));
    }
    forms
}

/// FCVT{N,P,M,Z,A}{S,U}
fn to_int(bits: u32, to: u32, unsigned: bool, rounding: Rounding) -> Vec<Form> {
    let (sf, u) = (u32::from(to == 64) << 31, u32::from(unsigned));
    let (rmode, opcode) = rounding.map_or((0, 4), |r| (r, 0));
    let word = sf | 0x1e20_0000 | ptype(bits) << 22 | rmode << 19 | (opcode | u) << 16 | 1 << 5;
    let fpcr = other_fpcr(rounding);
    let mut forms = vec![Form { word, lanes: 1, from: Place::Lanes(bits), to: Place::General, fpcr }];
    if bits == to {
        let word = match rounding {
            Some(r) => misc(unsigned, r & 1 != 0, 0b11010 | r >> 1, bits),
            None => misc(unsigned, false, 0b11100, bits),
        };
        forms.extend(with_vectors(word | 0x5000_0000, word, bits, Place::Lanes(to), fpcr));
    }
    forms
}

/// SCVTF, UCVTF
fn from_int(bits: u32, to: u32, unsigned: bool, rounding: Rounding) -> Vec<Form> {
    let (sf, u) = (u32::from(bits == 64) << 31, u32::from(unsigned));
    let word = sf | 0x1e22_0000 | ptype(to) << 22 | u << 16 | 1 << 5;
    let fpcr = fpcr(rounding);
    let mut forms = vec![Form { word, lanes: 1, from: Place::General, to: Place::Lanes(to), fpcr }];
    if bits == to {
        let word = misc(unsigned, false, 0b11101, bits);
        forms.extend(with_vectors(word | 0x5000_0000, word, bits, Place::Lanes(to), fpcr));
    }
    forms
}
