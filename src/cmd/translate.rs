//! `jib translate`: a piece of guest code in every stage of its translation.

use std::ops::Range;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use capstone::arch::BuildsCapstone;
use capstone::{Capstone, arch};
use jib_backend::{Emit, Translator};
use jib_frontend_aarch64::A64;
use jib_ir::guest::Fetch;
use jib_ir::region::Key;

use super::program::Program;
use crate::cli::{Stage, TranslateArgs, addresses};
use crate::report;

/// Prints the stages to standard output.
pub(crate) fn main(args: &TranslateArgs) -> ExitCode {
    match translate(args) {
        Ok(text) => {
            // A closed pipe is the reader's choice.
            let _ = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(e) => report::fail(report::CANNOT_RUN, format_args!("{e:#}")),
    }
}

fn translate(args: &TranslateArgs) -> Result<String> {
    let program = match args.words {
        true => Program::of_words(&args.program.to_string_lossy())?,
        false => Program::open(Path::new(&args.program))?,
    };
    let range = place(&program, args.place.as_deref())?;
    let mut options = args.engine.options();
    if range.end > range.start {
        options.region_insns = options.region_insns.min(((range.end - range.start) / 4).max(1) as u32);
    }
    let translator = Translator::new(A64, Box::new(program.clone()), options).map_err(|e| anyhow!("{e}"))?;
    let key = Key { pc: range.start, mode: 0 };
    let mut out = String::new();
    for stage in &args.emit {
        let text = match stage {
            Stage::Insn => instructions(&program, &range)?,
            Stage::Ir => translator.emit(key, Emit::Ir).map_err(|e| anyhow!("{e}"))?,
            Stage::Opt => translator.emit(key, Emit::Opt).map_err(|e| anyhow!("{e}"))?,
            Stage::Clif => translator.emit(key, Emit::Clif).map_err(|e| anyhow!("{e}"))?,
            Stage::Asm => translator.emit(key, Emit::Asm).map_err(|e| anyhow!("{e}"))?,
        };
        out += &format!("=== {}\n{}\n", title(*stage), text.trim_end());
    }
    Ok(out)
}

fn title(stage: Stage) -> &'static str {
    match stage {
        Stage::Insn => "insn: A64",
        Stage::Ir => "ir: as lifted",
        Stage::Opt => "opt: after the passes",
        Stage::Clif => "clif: Cranelift's input",
        Stage::Asm => "asm: x86-64",
    }
}

/// The addresses that a symbol, an address or a range stands for.
fn place(program: &Program, text: Option<&str>) -> Result<Range<u64>> {
    let Some(text) = text else { return Ok(program.entry..program.entry) };
    let range = addresses(text).or_else(|| program.symbol(text));
    let range = range.with_context(|| format!("{text}: no such symbol, and no ADDR or ADDR..ADDR"))?;
    program.word(range.start).map_err(|_| anyhow!("{:#x}: no code there", range.start))?;
    Ok(range)
}

/// Disassembly of `range`, or of a few instructions where it has no end.
fn instructions(program: &Program, range: &Range<u64>) -> Result<String> {
    const SOME: u64 = 16 * 4;
    let end = if range.end > range.start { range.end } else { range.start.saturating_add(SOME) };
    let capstone = Capstone::new().arm64().mode(arch::arm64::ArchMode::Arm).build();
    let capstone = capstone.map_err(|e| anyhow!("disassembler: {e}"))?;
    let mut out = String::new();
    for pc in (range.start..end).step_by(4) {
        let Ok(word) = program.word(pc) else { break };
        let text = capstone.disasm_count(&word.to_le_bytes(), pc, 1).ok().and_then(|insns| {
            let insn = insns.iter().next()?;
            Some(format!("{} {}", insn.mnemonic()?, insn.op_str().unwrap_or("")))
        });
        out += &format!("{pc:10x}  {word:08x}  {}\n", text.as_deref().unwrap_or(".inst").trim_end());
    }
    Ok(out)
}
