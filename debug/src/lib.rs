//! Debugging of guests: stopping and stepping their threads, and the server that GDB talks to.
//!
//! [`session`] holds who stops and who runs; [`thread`] is its side in each guest thread, with
//! [`engine`], the executor that can stop anywhere; [`points`] are breakpoints and watchpoints.
//! [`server`] speaks GDB's protocol through the crate `gdbstub`, [`registers`] is what it shows.
//! [`trace`] and [`log`] write down what a guest does.
//!
//! Nothing here knows a system call, a device or the host's instructions: memory and files are reached through
//! [`Debuggee`], which user mode and the board implement.
#![forbid(unsafe_code)]

pub mod address;
pub mod engine;
pub mod log;
pub mod points;
pub mod registers;
pub mod server;
pub mod session;
pub mod signals;
pub mod thread;
pub mod trace;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use jib_ir::state::State;

/// A thread's number as GDB sees it: a Linux thread id, or a CPU's number plus one.
pub type ThreadId = NonZeroUsize;

/// What the server must know of what it debugs beyond its threads.
pub trait Debuggee: Send + Sync {
    /// Is it a whole system (system registers, physical memory), or a process?
    fn is_system(&self) -> bool;
    /// Reads memory as the thread of `state` sees it (physical memory if `physical`); gives the number of bytes read.
    fn read(&self, state: &State, addr: u64, out: &mut [u8], physical: bool) -> usize;
    /// Writes memory in the same sense, whatever its protection; true if all was written.
    fn write(&self, state: &State, addr: u64, bytes: &[u8], physical: bool) -> bool;
    /// Where `addr` is in physical memory, for a system.
    fn translate(&self, state: &State, addr: u64) -> Option<u64>;
    /// What is to be told of a thread in a list of them.
    fn describe(&self, thread: ThreadId, state: &State) -> String;
    /// The auxiliary vector of a process.
    fn auxv(&self) -> Option<&[u8]>;
    /// The program file of a process.
    fn program(&self) -> Option<&Path>;
    /// Which file of the host a path of the guest means; `None` if the debugger may not read files.
    fn file(&self, path: &Path) -> Option<PathBuf>;
    /// Ends the guest at once: the debugger asked for it. For a process this does not return.
    fn kill(&self);
    /// The debugger has stopped the guest (`true`) or lets it go on: clocks may be held.
    fn held(&self, held: bool);
}
