//! Runs guest code: interprets what is cold, compiles what is hot.
//!
//! The backend knows no guest. It sees [`jib_ir`] regions, guest state as slots, a [`Guest`] that lifts, a
//! [`Fetch`] that reads code and a [`Runtime`] that answers for memory and the outside world.
#![deny(unsafe_code)]

mod options;

use std::ops::Range;
use std::sync::Arc;

use jib_ir::guest::{Fetch, Guest};
use jib_ir::region::Key;
use jib_ir::runtime::{Exit, Runtime};
use jib_ir::state::State;

pub use options::{Emit, EngineKind, Error, Options, Stats};

/// Translations of one guest address space, shared by all its threads.
pub struct Translator<G: Guest> {
    guest: G,
    fetch: Box<dyn Fetch + Send + Sync>,
    options: Options,
}

impl<G: Guest> Translator<G> {
    /// A translator without translations.
    pub fn new(guest: G, fetch: Box<dyn Fetch + Send + Sync>, options: Options) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Translator { guest, fetch, options }))
    }
    /// Kills all translations made from guest bytes in `range`. Any thread may call this.
    pub fn invalidate(&self, _range: Range<u64>) {}
    /// Kills all translations.
    pub fn invalidate_all(&self) {}
    /// Counters so far.
    pub fn stats(&self) -> Stats {
        Stats::default()
    }
    /// Takes the locks, so that a fork finds consistent data.
    pub fn before_fork(&self) {}
    /// Releases them in the parent.
    pub fn after_fork_parent(&self) {}
    /// Releases them in the child, which has one thread and needs code memory of its own.
    pub fn after_fork_child(&self) {}
    /// Text of the translation at `key`.
    pub fn emit(&self, _key: Key, _what: Emit) -> Result<String, Error> {
        Ok(String::new())
    }
}

/// One guest thread.
pub struct Vcpu<G: Guest> {
    /// Its state. Never moves while the thread lives.
    pub state: Box<State>,
    shared: Arc<Translator<G>>,
}

impl<G: Guest> Vcpu<G> {
    /// A thread of `translator`'s guest with a fresh state.
    pub fn new(translator: &Arc<Translator<G>>) -> Self {
        Vcpu { state: Box::default(), shared: translator.clone() }
    }
    /// Continues at `state.pc` until something needs the caller: every [`Exit`] but `Next` and `InvalidateCode`.
    pub fn run<R: Runtime>(&mut self, rt: &mut R) -> Exit {
        let mut scratch = jib_ir::interp::Scratch::default();
        loop {
            let key = self.shared.guest.key(&self.state);
            let region = match self.shared.guest.lift(key, &*self.shared.fetch, jib_ir::guest::Limit::BLOCK) {
                Ok(r) => r,
                Err(f) => return Exit::Fault(f),
            };
            let helpers = self.shared.guest.helpers();
            let entry = jib_ir::region::BlockId(0);
            match jib_ir::interp::run(&region, entry, &mut self.state, rt, helpers, &mut scratch) {
                Exit::Next => {}
                Exit::InvalidateCode { addr, len } => self.shared.invalidate(addr..addr + len),
                e => return e,
            }
        }
    }
}

/// Host faults inside compiled code.
pub mod fault {
    /// Called from the host's SIGSEGV/SIGBUS handler. If the host pc is inside compiled code, rewrites the
    /// context so that the thread leaves it with guest state at the last checkpoint, and returns true.
    pub fn recover(_ucontext: *mut libc::c_void) -> bool {
        false
    }
}
