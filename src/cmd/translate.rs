//! `jib translate`: a piece of guest code in every stage of its translation.

use std::ops::Range;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use jib_backend::Translator;
use jib_frontend_aarch64::A64;
use jib_ir::guest::Fetch;
use jib_ir::region::Key;

use super::emit;
use super::program::Program;
use crate::cli::{TranslateArgs, addresses};
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
    let profile = args.engine.profile().map_err(|e| anyhow!(e))?;
    let key = Key { pc: range.start, mode: profile.mode() };
    emit::stages(&translator, key, &[range], &args.emit)
}

/// The addresses that a symbol, an address or a range stands for.
fn place(program: &Program, text: Option<&str>) -> Result<Range<u64>> {
    let Some(text) = text else { return Ok(program.entry..program.entry) };
    let range = addresses(text).or_else(|| program.symbol(text));
    let range = range.with_context(|| format!("{text}: no such symbol, and no ADDR or ADDR..ADDR"))?;
    program.word(range.start).map_err(|_| anyhow!("{:#x}: no code there", range.start))?;
    Ok(range)
}
