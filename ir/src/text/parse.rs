//! From text to a region.
//!
//! The promise: what parses has its blocks laid out in order and its values resolved, but nothing else is checked (the
//! verifier does that); what does not parse gives an error that names the line.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::str::SplitAsciiWhitespace;

use super::field::{Field, Fields, number};
use crate::op::Op;
use crate::region::{Block, BlockId, InsnMark, Key, Region, Val};

/// Why text is not a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Number of the line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for ParseError {}

/// The region that `text` describes. See the module documentation for the form.
pub fn parse(text: &str) -> Result<Region, ParseError> {
    let mut parser = Parser {
        region: Region {
            key: Key { pc: 0, mode: 0 },
            blocks: Vec::new(),
            ops: Vec::new(),
            marks: Vec::new(),
            entries: Vec::new(),
            code: Vec::new(),
        },
        values: HashMap::new(),
    };
    for (i, line) in text.lines().enumerate() {
        parser.line(line).map_err(|what| ParseError { line: i + 1, what })?;
    }
    Ok(parser.region)
}

struct Parser {
    region: Region,
    /// The ops of the values by their number in the text.
    values: HashMap<u32, Val>,
}

impl Parser {
    fn line(&mut self, line: &str) -> Result<(), String> {
        let (line, comment) = line.split_once(';').unwrap_or((line, ""));
        if let Some(pc) = comment.trim().strip_prefix("pc ") {
            let pc = number(pc.trim()).ok_or("a mark wants a guest address")?;
            self.region.marks.push(InsnMark::new(self.region.ops.len() as u32, pc));
        }
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            None => Ok(()),
            Some("region") => {
                self.region.key = Key { pc: named(&mut words, "pc")?, mode: named(&mut words, "mode")? };
                finished(words)
            }
            Some("entries") => words.try_for_each(|word| {
                self.region.entries.push(BlockId::read(word).ok_or_else(|| format!("{word} is no block"))?);
                Ok(())
            }),
            Some("code") => words.try_for_each(|word| {
                self.region.code.push(range(word).ok_or_else(|| format!("{word} is no range"))?);
                Ok(())
            }),
            Some(word) => match word.strip_suffix(':') {
                Some(label) => self.block(label, words),
                None => self.op(word, words),
            },
        }
    }

    fn block(&mut self, label: &str, mut words: SplitAsciiWhitespace<'_>) -> Result<(), String> {
        let due = BlockId(self.region.blocks.len() as u32);
        if BlockId::read(label) != Some(due) {
            return Err(format!("block b{} is due", due.0));
        }
        let (pc, insns) = (named(&mut words, "pc")?, named(&mut words, "insns")?);
        let at = self.region.ops.len() as u32;
        self.region.blocks.push(Block { pc, ops: at..at, insns });
        finished(words)
    }

    fn op(&mut self, first: &str, mut words: SplitAsciiWhitespace<'_>) -> Result<(), String> {
        let (result, name) = match Val::read(first) {
            Some(v) if words.next() == Some("=") => (Some(v), words.next().ok_or("an op is due")?),
            Some(_) => return Err("a = is due".into()),
            None => (None, first),
        };
        let mut fields = TextFields { words, values: &self.values };
        let op = Op::read(name, &mut fields)?;
        finished(fields.words)?;
        let block = self.region.blocks.last_mut().ok_or("an op outside any block")?;
        let index = self.region.ops.len() as u32;
        match (result, op.ty()) {
            (Some(v), Some(_)) => {
                self.values.insert(v.0, Val(index));
            }
            (Some(_), None) => return Err(format!("{name} has no value")),
            (None, _) => {}
        }
        self.region.ops.push(op);
        block.ops.end = index + 1;
        Ok(())
    }
}

/// The fields of one op, in their order.
struct TextFields<'a> {
    words: SplitAsciiWhitespace<'a>,
    values: &'a HashMap<u32, Val>,
}

impl Fields for TextFields<'_> {
    fn field<T: Field>(&mut self, name: &str) -> Result<T, String> {
        let word = self.words.next().ok_or_else(|| format!("{name} is missing"))?;
        let text = word.strip_prefix(name).and_then(|w| w.strip_prefix('=')).unwrap_or(word);
        let value = match Val::read(text) {
            Some(v) if v != Val::NONE => {
                let v = self.values.get(&v.0).ok_or_else(|| format!("{text} is not defined"))?;
                T::read(&format!("v{}", v.0))
            }
            _ => T::read(text),
        };
        value.ok_or_else(|| format!("{word} is no {name}"))
    }
}

fn finished(mut words: SplitAsciiWhitespace<'_>) -> Result<(), String> {
    words.next().map_or(Ok(()), |word| Err(format!("{word} is too much")))
}

fn named<T: Field>(words: &mut SplitAsciiWhitespace<'_>, name: &str) -> Result<T, String> {
    let text = words.next().and_then(|w| w.strip_prefix(name)?.strip_prefix('='));
    text.and_then(T::read).ok_or_else(|| format!("{name}= is missing"))
}

fn range(text: &str) -> Option<Range<u64>> {
    let (start, end) = text.split_once("..")?;
    Some(number(start)?..number(end)?)
}
