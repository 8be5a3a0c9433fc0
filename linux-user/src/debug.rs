//! Debugging and tracing of a process: what its threads do besides running, and what the debugger asks of it.
//!
//! A thread without [`Debug`] runs as if this file did not exist.

use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jib_debug::address::Listener;
use jib_debug::engine::{BLOCK, CAUSE_WATCHPOINT, Engine, Watched, is_cache_maintenance};
use jib_debug::log::Sink;
use jib_debug::points::{Hit, Watch};
use jib_debug::server::{self, Times};
use jib_debug::session::{Ended as DebugEnd, Session};
use jib_debug::thread::{Debugged, Go};
use jib_debug::trace::Tracer;
use jib_debug::{Debuggee, ThreadId};
use jib_frontend_aarch64::A64;
use jib_ir::guest::Fetch;
use jib_ir::runtime::{Exit, Fault};
use jib_ir::state::{State, slot};

use crate::ExitStatus;
use crate::error::Error;
use crate::host::{self, try_call};
use crate::mem;
use crate::own;
use crate::process::Process;
use crate::run::Ended;
use crate::runtime::Code;
use crate::signal::SigInfo;
use crate::signal::frame::FaultRecord;
use crate::signal::host::{Seen, see_deadly_signals};
use crate::thread::Thread;

/// A thread that is debugged, traced, or both.
pub(crate) struct Debug {
    debugged: Option<Debugged>,
    tracer: Option<Tracer>,
    engine: Engine,
}

/// What a debugged run came to.
pub(crate) enum Ran {
    /// It ended like any other.
    Exit(Exit),
    /// The debugger wants this signal delivered.
    Signal(i32),
}

fn thread_id(tid: i32) -> ThreadId {
    NonZeroUsize::new(tid as usize).unwrap_or(NonZeroUsize::MIN)
}

impl Debug {
    fn new(session: Option<&Arc<Session>>, sink: Option<&Arc<Sink>>, tid: i32, state: &State) -> Debug {
        Debug {
            debugged: session.map(|s| Debugged::join(s, thread_id(tid), state, false)),
            tracer: sink.map(|s| Tracer::new(s.clone(), tid.to_string())),
            engine: Engine::default(),
        }
    }

    /// The same for a new thread of the process.
    pub(crate) fn for_thread(&self) -> Inherited {
        let session = self.debugged.as_ref().map(|d| d.session().clone());
        Inherited { session, sink: self.tracer.as_ref().map(|t| t.sink().clone()) }
    }
}

/// What a new thread takes over from the one that made it.
#[derive(Clone)]
pub(crate) struct Inherited {
    session: Option<Arc<Session>>,
    sink: Option<Arc<Sink>>,
}

impl Inherited {
    /// Begins with it, on the new thread.
    pub(crate) fn begin(&self, state: &State) -> Box<Debug> {
        Box::new(Debug::new(self.session.as_ref(), self.sink.as_ref(), host::gettid(), state))
    }
}

/// Sets the first thread up for a debugger at `gdb` and a trace to `trace`. All signals are blocked.
pub(crate) fn begin(gdb: Option<&Arc<Listener>>, trace: Option<&Arc<Sink>>, t: &mut Thread) -> Result<(), Error> {
    if gdb.is_none() && trace.is_none() {
        return Ok(());
    }
    let session = gdb.map(|_| Session::new(true));
    let debug = Debug::new(session.as_ref(), trace, host::gettid(), &t.vcpu.state);
    t.debug = Some(Box::new(debug));
    if let (Some(listener), Some(session)) = (gdb, session) {
        see_deadly_signals(&t.actions, Seen::All);
        serve(listener, &session, &t.process).map_err(|e| Error::Debugger(e.to_string()))?;
    }
    Ok(())
}

fn serve(listener: &Arc<Listener>, session: &Arc<Session>, process: &Arc<Process>) -> std::io::Result<()> {
    server::start(listener.clone(), session.clone(), Arc::new(Guest::new(process.clone())), Times::Once)
}

impl Thread {
    /// Runs a piece of code under the debugger, or by the usual means if there is none any more.
    pub(crate) fn run_debugged(&mut self, mut debug: Box<Debug>) -> Ran {
        let most = match debug.debugged.as_mut().map(|d| d.before(&mut self.vcpu.state)) {
            None => BLOCK,
            Some(Go::Run(most)) => most,
            Some(Go::Free) => {
                debug.debugged = None;
                BLOCK
            }
        };
        if debug.debugged.is_none() && debug.tracer.is_none() {
            return Ran::Exit(self.vcpu.run(&mut self.runtime));
        }
        let ran = match debug.debugged.as_mut().and_then(Debugged::injected) {
            Some(signal) => Ran::Signal(signal),
            None if self.vcpu.state.get(slot::EXIT_REQUEST) != 0 => Ran::Exit(Exit::Interrupt),
            None => Ran::Exit(self.run_piece(&mut debug, most)),
        };
        self.debug = Some(debug);
        ran
    }

    fn run_piece(&mut self, debug: &mut Debug, most: u32) -> Exit {
        let most = if debug.tracer.is_some() { 1 } else { most };
        let pc = self.vcpu.state.pc();
        if let Some(tracer) = &debug.tracer
            && let Ok(word) = self.process.space.word(pc)
        {
            tracer.insn(pc, word);
        }
        let points = debug.debugged.as_ref().map(|d| d.points().clone()).unwrap_or_default();
        let (exit, hit) = self.run_piece_watched(&mut debug.engine, points.watches(), most);
        match (&mut debug.debugged, exit, hit) {
            (Some(d), Exit::Fault(Fault { cause: CAUSE_WATCHPOINT, .. }), Some(hit)) => {
                d.watched(&mut self.vcpu.state, &hit);
                Exit::Next
            }
            (Some(d), exit, _) => {
                d.moved();
                exit
            }
            (None, exit, _) => exit,
        }
    }

    /// Runs `most` instructions at most, each access checked against `watches`.
    pub(crate) fn run_piece_watched(
        &mut self,
        engine: &mut Engine,
        watches: &[Watch],
        most: u32,
    ) -> (Exit, Option<Hit>) {
        let code = Code(self.process.space.clone());
        let state = &mut *self.vcpu.state;
        let maintains = || most == 1 && code.word(state.pc()).is_ok_and(is_cache_maintenance);
        let watches = if !watches.is_empty() && maintains() { &[] } else { watches };
        let mut watched = Watched::new(&mut self.runtime, watches, true);
        let exit = engine.run(&A64, &code, state, &mut watched, most);
        let hit = watched.hit;
        // The engine has set the request to leave; what a signal handler wants is kept.
        self.context.acknowledge_exit();
        (exit, hit)
    }

    /// A system call begins: it may take its time.
    pub(crate) fn debug_away(&mut self) {
        if let Some(d) = self.debug.as_mut().and_then(|d| d.debugged.as_mut()) {
            d.away(&mut self.vcpu.state);
        }
    }

    /// It has ended.
    pub(crate) fn debug_back(&mut self) {
        if let Some(d) = self.debug.as_mut().and_then(|d| d.debugged.as_mut()) {
            d.back(&mut self.vcpu.state);
        }
    }

    /// What the debugger makes of a signal that is about to be delivered.
    pub(crate) fn debug_signal(&mut self, info: &SigInfo) -> Option<SigInfo> {
        let Some(d) = self.debug.as_mut().and_then(|d| d.debugged.as_mut()) else { return Some(*info) };
        let pc = self.vcpu.state.pc();
        let wanted = d.signal(&mut self.vcpu.state, info.signal());
        if self.vcpu.state.pc() != pc {
            // The debugger sent the thread elsewhere: the interrupted system call is not made again.
            self.restart = false;
        }
        match wanted? {
            signal if signal == info.signal() => Some(*info),
            signal => Some(SigInfo::user(signal)),
        }
    }

    /// Delivers a signal that the debugger made up.
    pub(crate) fn debug_inject(&mut self, signal: i32) -> Option<Ended> {
        self.deliver(&SigInfo::user(signal), FaultRecord::default())
    }

    /// The thread ends as `end` says; returns when the debugger knows.
    pub(crate) fn debug_end(&mut self, end: Ended) {
        let Some(debugged) = self.debug.take().and_then(|d| d.debugged) else { return };
        let session = debugged.session().clone();
        drop(debugged);
        match end {
            Ended::Process(ExitStatus::Exited(code)) => session.ended(DebugEnd::Exited(code as u8)),
            Ended::Process(ExitStatus::Signaled(signal)) => session.ended(DebugEnd::Signaled(signal)),
            Ended::Thread(_) => {}
        }
    }

    /// In a forked child, which nobody debugs; the session's lock may be held by a thread that is not here.
    pub(crate) fn debug_forked(&mut self) {
        std::mem::forget(self.debug.take());
    }
}

/// The process as the debugger sees it.
struct Guest {
    process: Arc<Process>,
    /// Path of the program.
    program: PathBuf,
    /// `/proc/self/mem`: reads and writes whatever the protection is.
    memory: Option<u64>,
}

impl Guest {
    fn new(process: Arc<Process>) -> Guest {
        let memory = own::open(c"/proc/self/mem", libc::O_RDWR).map(|fd| fd as u64);
        Guest { program: process.program(), process, memory }
    }

    /// Bytes from `addr` on that belong to the guest, `len` at most.
    fn mapped(&self, addr: u64, len: usize) -> usize {
        let end = addr.saturating_add(len as u64);
        (self.process.space.lock().vmas.mapped_prefix(addr..end).saturating_sub(addr)) as usize
    }
}

impl Debuggee for Guest {
    fn is_system(&self) -> bool {
        false
    }

    fn read(&self, _: &State, addr: u64, out: &mut [u8], _: bool) -> usize {
        let len = self.mapped(addr, out.len());
        let out = &mut out[..len];
        match self.memory {
            Some(fd) => {
                let args = [fd, out.as_mut_ptr() as u64, len as u64, addr];
                try_call(libc::SYS_pread64, &args).unwrap_or(0) as usize
            }
            None => mem::read(addr, out).map_or(0, |()| len),
        }
    }

    fn write(&self, _: &State, addr: u64, bytes: &[u8], _: bool) -> bool {
        let len = bytes.len();
        if self.mapped(addr, len) != len {
            return false;
        }
        let done = match self.memory {
            Some(fd) => try_call(libc::SYS_pwrite64, &[fd, bytes.as_ptr() as u64, len as u64, addr]) == Ok(len as u64),
            None => mem::write(addr, bytes).is_ok(),
        };
        self.process.translator.invalidate(addr..addr.saturating_add(len as u64));
        done
    }

    fn translate(&self, _: &State, _: u64) -> Option<u64> {
        None
    }

    fn describe(&self, thread: ThreadId, _: &State) -> String {
        let name = std::fs::read_to_string(format!("/proc/self/task/{thread}/comm"));
        name.map(|n| n.trim_end().to_string()).unwrap_or_default()
    }

    fn auxv(&self) -> Option<&[u8]> {
        Some(&self.process.facts.auxv)
    }

    fn program(&self) -> Option<&Path> {
        Some(&self.program)
    }

    fn file(&self, path: &Path) -> Option<PathBuf> {
        Some(self.process.in_sysroot(path.as_os_str().as_bytes()).unwrap_or_else(|| path.to_path_buf()))
    }

    fn kill(&self) {
        host::call(libc::SYS_kill, &[host::getpid() as u64, libc::SIGKILL as u64]);
    }

    fn held(&self, _: bool) {}
}
