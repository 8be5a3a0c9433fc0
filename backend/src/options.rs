//! What a user of the translator may choose, and what it can tell about its work.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use jib_ir::region::Key;

use crate::sample::Sampler;
use crate::store::{PageStore, Store};

/// Which executors may run guest code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// Only the interpreter.
    Interp,
    /// The interpreter for cold code, compiled code for hot code.
    Jit,
}

/// What guest addresses are to compiled code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Host addresses; what must not be accessed faults on the host.
    Host,
    /// Virtual addresses, translated by [`crate::tlb`]. Code is known by its physical page, too: the translator's
    /// [`Fetch`](jib_ir::guest::Fetch) and [`crate::Translator::invalidate`] take physical addresses.
    Table,
}

/// Settings of a [`crate::Translator`].
#[derive(Clone, Debug)]
pub struct Options {
    /// Which executors to use.
    pub engine: EngineKind,
    /// What guest addresses are.
    pub memory: Memory,
    /// Interpreted runs of a block before the quick tier translates it; 0 translates before the first, `u32::MAX` never.
    pub quick: u32,
    /// Runs of a block before Cranelift compiles the region that begins there (counted each while it is interpreted, by
    /// samples afterwards); 0 compiles before the first, `u32::MAX` never.
    pub threshold: u32,
    /// Most guest instructions in a compiled region.
    pub region_insns: u32,
    /// Most blocks in a compiled region.
    pub region_blocks: u32,
    /// Compile on a thread of its own; otherwise the guest thread waits.
    pub background: bool,
    /// Size of the code cache in bytes.
    pub cache_bytes: usize,
    /// Let Cranelift optimise (`opt_level=speed`). For experiments: it moves and merges FP operations, which take FPSR's
    /// flags for side effects of nobody's.
    pub optimize: bool,
    /// Run Cranelift's verifier on all generated code.
    pub verify: bool,
    /// Where translations are kept for other runs.
    pub store: Option<Arc<Store>>,
    /// Where a system's translations are kept for other boots.
    pub pages: Option<Arc<PageStore>>,
    /// Hears of all code as it is published.
    pub listener: Option<CodeListener>,
    /// Count the guest instructions that each tier executes, for [`Stats::executed`] and [`crate::Translator::regions`].
    pub count: bool,
    /// Measure the processor time of guest code and of lifting, for [`Stats::guest_ns`] and [`Stats::lift_ns`]; costs two system calls each time that a
    /// thread's run loop is entered.
    pub measure: bool,
    /// Is given the means to read the counters at any time.
    pub watcher: Option<Watcher>,
    /// Samples what guest threads do.
    pub sampler: Option<&'static Sampler>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            engine: EngineKind::Jit,
            memory: Memory::Host,
            quick: 1,
            threshold: 50_000,
            region_insns: 400,
            region_blocks: 100,
            background: true,
            cache_bytes: 256 << 20,
            optimize: false,
            verify: false,
            store: None,
            pages: None,
            listener: None,
            count: false,
            measure: false,
            watcher: None,
            sampler: None,
        }
    }
}

/// Code that has just been put where it runs.
#[derive(Clone, Copy, Debug)]
pub struct Published<'a> {
    /// Guest address at which it begins.
    pub pc: u64,
    /// Host address.
    pub address: u64,
    /// The code.
    pub bytes: &'a [u8],
    /// Cranelift made it, not the quick tier.
    pub optimized: bool,
}

/// Hears of published code, under the cache's lock: it must not use the translator.
#[derive(Clone)]
pub struct CodeListener(pub Arc<dyn Fn(&Published<'_>) + Send + Sync>);

impl fmt::Debug for CodeListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeListener")
    }
}

/// Reads a translator's counters; not to be called on a guest's thread.
pub type ReadStats = Box<dyn Fn() -> Stats + Send>;

/// Called once with the means to read a translator's counters.
#[derive(Clone)]
pub struct Watcher(pub Arc<dyn Fn(ReadStats) + Send + Sync>);

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watcher")
    }
}

/// What [`crate::Translator::emit`] shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    /// The region as lifted.
    Ir,
    /// The region after the passes.
    Opt,
    /// Host code of the quick tier, for the first block.
    Quick,
    /// Cranelift's input.
    Clif,
    /// Host code.
    Asm,
}

/// Counters of a translator's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Blocks lifted for the interpreter and the quick tier.
    pub blocks_lifted: u64,
    /// Nanoseconds spent lifting them; with [`Options::measure`] only.
    pub lift_ns: u64,
    /// Runs of interpreted blocks.
    pub block_runs: u64,
    /// Blocks translated by the quick tier.
    pub quick_blocks: u64,
    /// Guest instructions in them.
    pub quick_insns: u64,
    /// Host code bytes of them.
    pub quick_bytes: u64,
    /// Nanoseconds spent optimising, translating and publishing them, after lifting.
    pub quick_ns: u64,
    /// Regions compiled.
    pub regions: u64,
    /// Guest instructions in them.
    pub guest_insns: u64,
    /// Host code bytes of them.
    pub host_bytes: u64,
    /// Nanoseconds of processor time spent lifting and compiling them.
    pub compile_ns: u64,
    /// Compilations that failed or came too late.
    pub discarded: u64,
    /// Exits linked straight to another region.
    pub links: u64,
    /// Regions and blocks killed by invalidation.
    pub invalidated: u64,
    /// Regions evicted for room.
    pub evicted: u64,
    /// Host faults in compiled code taken back to the interpreter.
    pub faults: u64,
    /// Translations that the run loop found in its thread's own table.
    pub hits: u64,
    /// Translations that it had to look for elsewhere.
    pub misses: u64,
    /// Translations taken from the store.
    pub recalled: u64,
    /// How often compiled code was left, by the causes of [`EXITS`].
    pub exits: [u64; EXITS.len()],
    /// Guest instructions executed by each of [`TIERS`]; with [`Options::count`] only. Threads that run the same code at
    /// once may lose some.
    pub executed: [u64; TIERS.len()],
    /// Nanoseconds of processor time in the run loops of guest threads: executing, and translating on their own; with
    /// [`Options::measure`] only.
    pub guest_ns: u64,
}

/// The executors, in the order of [`Stats::executed`].
pub const TIERS: [&str; 3] = ["interpreter", "quick", "optimized"];

/// Why compiled code is left, in the order of [`Stats::exits`].
pub const EXITS: [&str; 8] =
    ["indirect or new mode", "not linked", "interrupted", "helper", "code changed", "fault", "trap", "counted down"];

/// A compiled region that is in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionInfo {
    /// Its key.
    pub key: Key,
    /// Guest bytes it was made from.
    pub code: Vec<Range<u64>>,
    /// Bytes of host code.
    pub host_bytes: usize,
    /// Guest instructions executed in it; 0 without [`Options::count`]. Threads that run it at once may lose some.
    pub executed: u64,
}

/// Why the translator could not do something: a failure of the host or a bug, never the guest's doing.
#[derive(Debug)]
pub enum Error {
    /// The host refused memory or a thread.
    Io(std::io::Error),
    /// Cranelift has no code generator for this host, or rejected the code.
    Codegen(String),
    /// Guest code could not be read.
    Fetch(jib_ir::runtime::Fault),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(e) => write!(f, "{e}"),
            Error::Codegen(e) => write!(f, "code generation: {e}"),
            Error::Fetch(e) => write!(f, "cannot read guest code at {:#x}", e.addr),
        }
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        Error::Io(e)
    }
}
