//! Regions as text, one op a line, and back.
//!
//! The promise: parsing what was displayed gives the same region; parsing anything else gives an error, never a panic.
//!
//! ```text
//! region pc=0x1000 mode=0
//! entries b0
//! code 0x1000..0x1008
//! b0: pc=0x1000 insns=2
//!   ; pc 0x1000
//!   v0 = Get I64 @x0
//!   v1 = Imm I64 v=0x1
//!   v2 = Bin Add I64 v0 v1
//!   Set I64 @x0 v2
//!   ; pc 0x1004
//!   Exit pc=0x1008 Jump
//! ```
//!
//! A value is named after the index of its op; in text to be parsed any numbers do. `-` is an absent operand. Fields
//! come in the order of the op's row: numbers and truth values with their names, the rest without. A line from `;` on is
//! a comment, but for `; pc`, which marks a guest instruction.

mod field;
mod parse;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;

use crate::op::Op;
use crate::region::Region;

pub(crate) use field::{Field, Fields};
pub use parse::{ParseError, parse};

impl fmt::Display for Op {
    /// The op without the name of its value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        let mut result = Ok(());
        self.for_each_field(&mut |name, field| {
            if result.is_ok() {
                let eq = if field.named() { "=" } else { "" };
                result = write!(f, " {}{eq}", if field.named() { name } else { "" }).and_then(|()| field.write(f));
            }
        });
        result
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "region pc={:#x} mode={}", self.key.pc, self.key.mode)?;
        f.write_str("entries")?;
        self.entries.iter().try_for_each(|e| write!(f, " b{}", e.0))?;
        f.write_str("\ncode")?;
        self.code.iter().try_for_each(|c| write!(f, " {:#x}..{:#x}", c.start, c.end))?;
        f.write_str("\n")?;
        let mut marks = self.marks.iter().peekable();
        for (i, block) in self.blocks.iter().enumerate() {
            writeln!(f, "b{i}: pc={:#x} insns={}", block.pc, block.insns)?;
            for index in block.ops.clone() {
                while let Some(mark) = marks.next_if(|m| m.op <= index) {
                    writeln!(f, "  ; pc {:#x}", mark.pc)?;
                }
                let Some(op) = self.ops.get(index as usize) else { break };
                match op.ty() {
                    Some(_) => writeln!(f, "  v{index} = {op}")?,
                    None => writeln!(f, "  {op}")?,
                }
            }
        }
        Ok(())
    }
}
