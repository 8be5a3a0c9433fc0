//! Checks that a region is well formed: what every executor and pass takes for granted.
//!
//! The promise: [`verify`] never panics, whatever the region; one that passes has operands of the right types, each
//! defined earlier in the same block, one terminator at each block's end and nowhere else, and every index in range.

mod operands;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::op::Effect;
use crate::region::{Block, BlockId, Region};

/// What is wrong with a region, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyError {
    /// The block, if it is one's fault.
    pub block: Option<u32>,
    /// The op, if it is one's fault: its index and name.
    pub op: Option<(u32, &'static str)>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(block) = self.block {
            write!(f, "block {block}, ")?;
        }
        if let Some((index, name)) = self.op {
            write!(f, "op {index} ({name}): ")?;
        }
        f.write_str(&self.what)
    }
}

impl std::error::Error for VerifyError {}

/// Checks `region`; the first thing wrong with it is the error.
pub fn verify(region: &Region) -> Result<(), VerifyError> {
    let of_region = |what: String| VerifyError { block: None, op: None, what };
    structure(region).map_err(of_region)?;
    for (i, block) in region.blocks.iter().enumerate() {
        verify_block(region, i as u32, block)?;
    }
    Ok(())
}

/// Blocks, marks and entries, without looking at the ops.
fn structure(region: &Region) -> Result<(), String> {
    if region.blocks.is_empty() {
        return Err("no blocks".into());
    }
    let mut next = 0;
    for (i, block) in region.blocks.iter().enumerate() {
        if block.ops.start != next || block.ops.end <= next {
            return Err(format!("block {i} has ops {:?} where some from {next} on are due", block.ops));
        }
        next = block.ops.end;
    }
    if next as usize != region.ops.len() {
        return Err(format!("blocks end at op {next}, but there are {} ops", region.ops.len()));
    }
    if !region.marks.is_sorted_by_key(|m| m.op) || region.marks.last().is_some_and(|m| m.op >= next) {
        return Err("marks are not ascending, or beyond the ops".into());
    }
    if let Some(e) = region.entries.iter().find(|e| e.index() >= region.blocks.len()) {
        return Err(format!("entry {} is not a block", e.0));
    }
    if !region.entries.contains(&BlockId(0)) {
        return Err("block 0 is not an entry".into());
    }
    Ok(())
}

/// The ops of a block whose range is known to be good.
fn verify_block(region: &Region, id: u32, block: &Block) -> Result<(), VerifyError> {
    for index in block.ops.clone() {
        let op = &region.ops[index as usize];
        let is_last = index + 1 == block.ops.end;
        let ends = op.effect() == Effect::End;
        let checked = if ends && !is_last {
            Err("a terminator before the block's end".into())
        } else if !ends && is_last {
            Err("the block does not end in a terminator".into())
        } else {
            operands::Checker { region, start: block.ops.start, index }.op(op)
        };
        checked.map_err(|what| VerifyError { block: Some(id), op: Some((index, op.name())), what })?;
    }
    Ok(())
}
