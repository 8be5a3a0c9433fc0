//! Runs guest code: interprets what is cold, compiles what is hot.
//!
//! The backend knows no guest. It sees [`jib_ir`] regions, guest state as slots, a [`Guest`](jib_ir::guest::Guest)
//! that lifts, a [`Fetch`](jib_ir::guest::Fetch) that reads code and a [`Runtime`](jib_ir::runtime::Runtime) that
//! answers for memory and the outside world.
//!
//! # Life of a region
//! A thread's run loop ([`Vcpu`]) finds the unit of its key and interprets the unit's block, counting. After a few runs
//! the thread translates the block itself, in one pass (`quick`). When that is hot, the key goes to the worker, which lifts a region of many blocks, runs the passes, lowers it to Cranelift's IR
//! and compiles it (the spine is in `translator`). The cache publishes the code: from then on the run loop enters it,
//! other regions link to it, and indirect jumps find it in a table. When guest code changes, what was made from it is
//! unlinked and kept until no thread can be inside.
//!
//! Guest state is exact whenever somebody can look at it, see `lower::state` for how faults keep that promise.
//!
//! Reading order: [`options`](Options), `translator`, `vcpu`, `cache`, `quick`, `lower`, `compile`, `code_memory`,
//! `abi`, `entry`, [`fault`]; for whole systems [`tlb`]; for profiles [`sample`].
#![deny(unsafe_code)]

mod abi;
mod cache;
pub mod cache_dir;
mod code_memory;
mod compile;
mod cut_loops;
mod dump;
mod entry;
pub mod fault;
mod fork_gate;
mod keep;
mod keep_pages;
mod kick;
mod lower;
mod options;
mod page;
mod quick;
mod recipe;
mod reloc;
pub mod sample;
mod store;
mod thunk;
pub mod tlb;
mod translator;
mod vcpu;
mod worker;

pub use kick::Kicker;
pub use options::{
    CodeListener, EXITS, Emit, EngineKind, Error, Memory, Options, Published, ReadStats, RegionInfo, Stats, TIERS,
    Watcher,
};
pub use store::{Image, Images, PageStore, Store};
pub use translator::Translator;
pub use vcpu::Vcpu;
pub use worker::WORKER;

/// What of the host's processor translations make use of, for a report.
pub fn host_features() -> String {
    format!("{:?}", abi::HostFeatures::detect())
}
