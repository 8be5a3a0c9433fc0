//! Absolute addresses in compiled code, known by what they mean, so that the code can be used again in another process.

use crate::compile::Code;

/// Where an absolute address stands in compiled code, and what it is the address of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reloc {
    /// Offset of its eight bytes.
    pub(crate) at: u32,
    /// What it leads to.
    pub(crate) to: Target,
}

/// What compiled code refers to by address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// This many bytes into the code's link cells.
    Cells(u32),
    /// The op of this number among the code's own.
    Op(u32),
    /// The code's counter of executed instructions.
    Executed,
    /// A function or table of this program, by its address in this process.
    Program(u64),
}

impl Target {
    /// The function or table at `address`.
    pub(crate) fn program(address: usize) -> Target {
        Target::Program(address as u64)
    }
}

impl Code {
    /// Writes all absolute addresses into the bytes.
    pub(crate) fn relocate(&mut self) {
        for reloc in &self.relocs {
            let address = match reloc.to {
                Target::Cells(offset) => self.cells.as_ptr() as u64 + u64::from(offset),
                Target::Op(n) => std::ptr::from_ref(&*self.ops[n as usize]) as u64,
                Target::Executed => self.executed.as_ref().map_or(0, |n| n.as_ptr() as u64),
                Target::Program(address) => address,
            };
            let at = reloc.at as usize;
            self.bytes[at..at + 8].copy_from_slice(&address.to_le_bytes());
        }
    }
}
