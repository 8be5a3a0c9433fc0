//! Every instruction as it is executed, disassembled.

use std::sync::Arc;

use capstone::Capstone;
use capstone::arch::{self, BuildsCapstone};

use crate::log::Sink;

/// One guest thread's trace.
pub struct Tracer {
    sink: Arc<Sink>,
    who: String,
    capstone: Option<Capstone>,
}

impl Tracer {
    /// A trace to `sink` whose lines begin with `who`.
    pub fn new(sink: Arc<Sink>, who: String) -> Tracer {
        let capstone = Capstone::new().arm64().mode(arch::arm64::ArchMode::Arm).build().ok();
        Tracer { sink, who, capstone }
    }

    /// Where it goes.
    pub fn sink(&self) -> &Arc<Sink> {
        &self.sink
    }

    /// `word` at `pc` is about to be executed.
    pub fn insn(&self, pc: u64, word: u32) {
        self.sink.line(format_args!("{} {pc:016x}: {word:08x}  {}", self.who, self.text(pc, word)));
    }

    /// The instruction as text.
    fn text(&self, pc: u64, word: u32) -> String {
        let bytes = word.to_le_bytes();
        let insns = self.capstone.as_ref().and_then(|c| c.disasm_count(&bytes, pc, 1).ok());
        let text = insns.as_ref().and_then(|insns| {
            let insn = insns.iter().next()?;
            Some(format!("{} {}", insn.mnemonic()?, insn.op_str().unwrap_or_default()).trim_end().to_string())
        });
        text.unwrap_or_else(|| format!(".inst {word:#010x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::tests::Shared;

    #[test]
    fn lines() {
        let out = Shared::default();
        let tracer = Tracer::new(Sink::to(Box::new(out.clone())), "cpu0".to_string());
        tracer.insn(0x1000, 0x9100_0400);
        tracer.insn(0x1004, 0x17ff_ffff);
        tracer.insn(0x1008, 0);
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "cpu0 0000000000001000: 91000400  add x0, x0, #1");
        assert_eq!(lines[1], "cpu0 0000000000001004: 17ffffff  b #0x1000");
        assert!(lines[2].contains("00000000  "), "{text}");
    }
}
