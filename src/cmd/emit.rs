//! Guest code in the stages of its translation, for `jib translate` and `jib run --emit`.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use capstone::arch::BuildsCapstone;
use capstone::{Capstone, arch};
use jib_backend::{Emit, RegionInfo, Translator};
use jib_debug::log::Sink;
use jib_frontend_aarch64::A64;
use jib_ir::region::Key;

use super::program::Program;
use crate::cli::{EmitArgs, Stage, addresses};
use crate::report;

/// The stages of the translation at `key`. `code` is what the instructions are shown of; of its start a few if it is
/// empty.
pub(crate) fn stages(t: &Translator<A64>, key: Key, code: &[Range<u64>], stages: &[Stage]) -> Result<String> {
    let mut out = String::new();
    for stage in stages {
        let text = match stage {
            Stage::Insn => instructions(t, code)?,
            Stage::Ir => t.emit(key, Emit::Ir).map_err(|e| anyhow!("{e}"))?,
            Stage::Opt => t.emit(key, Emit::Opt).map_err(|e| anyhow!("{e}"))?,
            Stage::Quick => t.emit(key, Emit::Quick).map_err(|e| anyhow!("{e}"))?,
            Stage::Clif => t.emit(key, Emit::Clif).map_err(|e| anyhow!("{e}"))?,
            Stage::Asm => t.emit(key, Emit::Asm).map_err(|e| anyhow!("{e}"))?,
        };
        let _ = write!(out, "=== {}\n{}\n", title(*stage), text.trim_end());
    }
    Ok(out)
}

fn title(stage: Stage) -> &'static str {
    match stage {
        Stage::Insn => "insn: A64",
        Stage::Ir => "ir: as lifted",
        Stage::Opt => "opt: after the passes",
        Stage::Quick => "quick: x86-64 of the quick tier",
        Stage::Clif => "clif: Cranelift's input",
        Stage::Asm => "asm: x86-64",
    }
}

/// Disassembly of `code`.
fn instructions(t: &Translator<A64>, code: &[Range<u64>]) -> Result<String> {
    const SOME: u64 = 16 * 4;
    let capstone = Capstone::new().arm64().mode(arch::arm64::ArchMode::Arm).build();
    let capstone = capstone.map_err(|e| anyhow!("disassembler: {e}"))?;
    let mut out = String::new();
    for range in code {
        let end = if range.end > range.start { range.end } else { range.start.saturating_add(SOME) };
        for pc in (range.start..end).step_by(4) {
            let Some(word) = t.word(pc) else { break };
            let text = capstone.disasm_count(&word.to_le_bytes(), pc, 1).ok().and_then(|insns| {
                let insn = insns.iter().next()?;
                Some(format!("{} {}", insn.mnemonic()?, insn.op_str().unwrap_or("")))
            });
            let _ = writeln!(out, "{pc:10x}  {word:08x}  {}", text.as_deref().unwrap_or(".inst").trim_end());
        }
    }
    Ok(out)
}

/// What is to be shown when a program ends.
pub(crate) struct AtEnd {
    stages: Vec<Stage>,
    /// Address in memory, or `None` for the hottest regions.
    place: Option<Place>,
    hot: usize,
    program: Program,
    /// Where the program is, whatever folder it ends in.
    path: PathBuf,
    out: Arc<Sink>,
}

enum Place {
    Addresses(Range<u64>),
    /// At link time.
    Symbol(Range<u64>),
}

impl AtEnd {
    /// From the command line, for the program at `path`, to `out`.
    pub(crate) fn new(args: &EmitArgs, path: &Path, out: Arc<Sink>) -> Result<AtEnd> {
        // A program that cannot be read is told of when it is run.
        let program = Program::open(path).unwrap_or_default();
        let place = match &args.emit_range {
            None => None,
            Some(text) => Some(match addresses(text) {
                Some(range) => Place::Addresses(range),
                None => Place::Symbol(program.symbol(text).with_context(|| {
                    format!("--emit-range {text}: no such symbol in {}, and no ADDR or ADDR..ADDR", path.display())
                })?),
            }),
        };
        Ok(AtEnd {
            stages: args.emit.clone(),
            place,
            hot: args.emit_hot.map_or(3, |n| n as usize),
            program,
            path: std::fs::canonicalize(path).unwrap_or(path.to_path_buf()),
            out,
        })
    }

    /// Writes it.
    pub(crate) fn show(&self, t: &Translator<A64>) {
        let text = self.text(t).unwrap_or_else(|e| format!("jib: --emit: {e:#}\n"));
        if let Err(e) = self.out.write(&text) {
            report::tell(format_args!("--emit: {e}"));
        }
    }

    fn text(&self, t: &Translator<A64>) -> Result<String> {
        let bias = bias(&self.path, &self.program);
        let mut regions = t.regions();
        let total = regions.iter().map(|r| r.executed).sum::<u64>().max(1);
        regions.sort_by_key(|r| (std::cmp::Reverse(r.executed), r.key.pc));
        let mut out = String::new();
        match &self.place {
            Some(place) => {
                let range = match place {
                    Place::Addresses(range) => range.clone(),
                    Place::Symbol(range) => range.start.wrapping_add(bias)..range.end.wrapping_add(bias),
                };
                let end = range.end.max(range.start.saturating_add(1));
                regions.retain(|r| r.code.iter().any(|c| c.start < end && range.start < c.end));
                if regions.is_empty() {
                    t.word(range.start).with_context(|| format!("{:#x}: no code there", range.start))?;
                    out += &format!("jib: nothing at {:#x} was compiled; it would be so:\n", range.start);
                    out += &stages(t, Key { pc: range.start, mode: 0 }, &[range], &self.stages)?;
                }
            }
            None => {
                out += &self.table(&regions, total, bias);
                regions.truncate(self.hot);
            }
        }
        if self.stages.is_empty() {
            return Ok(out);
        }
        for r in &regions {
            let _ = writeln!(out, "##### {}", self.describe(r, total, bias));
            out += &stages(t, r.key, &r.code, &self.stages)?;
        }
        Ok(out)
    }

    /// The hottest regions, a line each.
    fn table(&self, regions: &[RegionInfo], total: u64, bias: u64) -> String {
        let mut out = format!("jib: {} compiled regions executed {total} guest instructions\n", regions.len());
        for r in regions.iter().take(self.hot) {
            let _ = writeln!(out, "jib:   {}", self.describe(r, total, bias));
        }
        out
    }

    fn describe(&self, r: &RegionInfo, total: u64, bias: u64) -> String {
        let insns: u64 = r.code.iter().map(|c| (c.end - c.start) / 4).sum();
        let name = self.program.name(r.key.pc.wrapping_sub(bias)).unwrap_or_default();
        let mode = if r.key.mode == 0 { String::new() } else { format!(", mode {:#x}", r.key.mode) };
        format!(
            "{:#x} {name}{mode}: {:.1}% ({} executed), {insns} instructions, {} host bytes",
            r.key.pc,
            r.executed as f64 * 100.0 / total as f64,
            r.executed,
            r.host_bytes
        )
    }
}

/// How far from its link address the program was loaded: guest addresses are the host's, so the map of this process
/// tells.
fn bias(path: &Path, program: &Program) -> u64 {
    let Some(first) = program.first_page() else { return 0 };
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let start = maps.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        let (range, offset) = (fields.next()?, fields.nth(1)?);
        let file = fields.nth(2)?;
        let at = u64::from_str_radix(range.split('-').next()?, 16).ok()?;
        (u64::from_str_radix(offset, 16) == Ok(first.1) && Path::new(file) == path).then_some(at)
    });
    start.map_or(0, |at| at.wrapping_sub(first.0))
}
