//! Host code as text.

use std::fmt::Write as _;

use capstone::arch::x86;
use capstone::prelude::*;

use crate::code_memory::FaultTable;
use crate::options::Error;

/// Disassembles `code`, with the guest pc of each checkpoint before the code that falls back to it.
pub(crate) fn disassemble(code: &[u8], faults: &FaultTable) -> Result<String, Error> {
    let fail = |e: capstone::Error| Error::Codegen(e.to_string());
    let engine =
        Capstone::new().x86().mode(x86::ArchMode::Mode64).syntax(x86::ArchSyntax::Intel).build().map_err(fail)?;
    let mut out = String::new();
    let mut point = None;
    for insn in engine.disasm_all(code, 0).map_err(fail)?.iter() {
        let now = faults.find(insn.address() as u32);
        if now != point {
            let _ = writeln!(out, "  ; checkpoint {:#x}", now.map_or(0, |(pc, _)| pc));
            point = now;
        }
        let (name, operands) = (insn.mnemonic().unwrap_or("?"), insn.op_str().unwrap_or(""));
        let _ = writeln!(out, "{:6x}: {name} {operands}", insn.address());
    }
    Ok(out)
}
