//! One experiment: instruction words and the state they start from; and what came of it.

use std::fmt;

/// The page of guest memory, seen again and again in [`WINDOW`]. `tests/guest/oracle.c` has the same map.
pub const PAGE: u64 = 4096;
/// First address of the window of memory.
pub const WINDOW: u64 = 0x10_0000_0000;
/// Its length.
pub const WINDOW_LEN: u64 = 0x20_0000;
/// Address of the first instruction word: a page in the middle of the window, filled with BRK.
pub const CODE: u64 = WINDOW + WINDOW_LEN / 2;
/// What follows the case's words.
pub const FILLER: u32 = 0xd420_0000;
/// Most words of a case.
pub const MAX_WORDS: usize = 8;

/// Registers before or after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registers {
    /// X0 to X30, then SP.
    pub x: [u64; 32],
    /// V0 to V31.
    pub v: [u128; 32],
    /// NZCV, bits 31:28.
    pub nzcv: u32,
    /// FPCR.
    pub fpcr: u32,
    /// FPSR.
    pub fpsr: u32,
    /// TPIDR_EL0.
    pub tpidr: u64,
}

/// An experiment.
#[derive(Clone, Debug)]
pub struct Case {
    /// The instruction words, laid at [`CODE`].
    pub words: Vec<u32>,
    /// Registers before.
    pub regs: Registers,
    /// Memory before: see [`fill`].
    pub mem_seed: u64,
}

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The words ran; the program counter is where they led.
    Done,
    /// Undefined instruction.
    Undefined,
    /// BRK among the words.
    Breakpoint,
    /// A data access failed at this page.
    Fault(u64),
    /// A data access was not aligned as it must be.
    Alignment,
    /// The oracle itself died of the case.
    Crashed,
    /// Anything else, to be looked at.
    Other(u32),
}

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub stop: Stop,
    /// Program counter then.
    pub pc: u64,
    /// Registers then.
    pub regs: Registers,
    /// The page of memory then.
    pub memory: Vec<u8>,
}

/// The page of memory that `seed` stands for.
pub fn fill(seed: u64) -> Vec<u8> {
    let mut s = seed | 1;
    let mut page = Vec::with_capacity(PAGE as usize);
    while page.len() < PAGE as usize {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        page.extend_from_slice(&s.to_le_bytes());
    }
    page
}

/// Names the parts in which `ours` differs from `theirs`, one per line.
pub struct Difference<'a> {
    /// The start of both.
    pub case: &'a Case,
    /// Our result.
    pub ours: &'a Outcome,
    /// The oracle's.
    pub theirs: &'a Outcome,
}

impl fmt::Display for Difference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (a, b, r) = (self.ours, self.theirs, &self.case.regs);
        if a.stop != b.stop {
            writeln!(f, "      stop    ours {:x?}  qemu {:x?}", a.stop, b.stop)?;
        }
        let mut line = |name: &str, before: u128, ours: u128, qemu: u128, width: usize| {
            if ours == qemu {
                return Ok(());
            }
            writeln!(f, "      {name:<7} ours {ours:0width$x}  qemu {qemu:0width$x}  before {before:0width$x}")
        };
        line("pc", CODE as u128, a.pc as u128, b.pc as u128, 16)?;
        for i in 0..32 {
            let name = if i == 31 { "sp".to_string() } else { format!("x{i}") };
            line(&name, r.x[i] as u128, a.regs.x[i] as u128, b.regs.x[i] as u128, 16)?;
        }
        for i in 0..32 {
            line(&format!("v{i}"), r.v[i], a.regs.v[i], b.regs.v[i], 32)?;
        }
        line("nzcv", r.nzcv as u128, a.regs.nzcv as u128, b.regs.nzcv as u128, 8)?;
        line("fpcr", r.fpcr as u128, a.regs.fpcr as u128, b.regs.fpcr as u128, 8)?;
        line("fpsr", r.fpsr as u128, a.regs.fpsr as u128, b.regs.fpsr as u128, 8)?;
        line("tpidr", r.tpidr as u128, a.regs.tpidr as u128, b.regs.tpidr as u128, 16)?;
        if a.memory != b.memory {
            let at = a.memory.iter().zip(&b.memory).position(|(x, y)| x != y).unwrap_or(0) & !15;
            let old = fill(self.case.mem_seed);
            let end = at + 16;
            let (o, q, was) = (&a.memory[at..end], &b.memory[at..end], &old[at..end]);
            writeln!(
                f,
                "      memory at page offset {at:#x}\n        ours {o:02x?}\n        qemu {q:02x?}\n        was  {was:02x?}"
            )?;
        }
        Ok(())
    }
}
