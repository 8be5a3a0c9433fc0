//! A CPU under observation: by a debugger, by a trace or log, or by the guest's own debug exceptions.
//!
//! Then the interpreter runs, by single instructions where need be. A CPU that nobody observes comes here only to find
//! that out.

use std::sync::Arc;

use jib_debug::engine::{BLOCK, CAUSE_WATCHPOINT, Engine, Watched, is_cache_maintenance};
use jib_debug::log::{Category, Log, Sink};
use jib_debug::points::{Hit, Watch};
use jib_debug::session::Session;
use jib_debug::thread::{Debugged, Go};
use jib_debug::trace::Tracer;
use jib_frontend_aarch64::A64System;
use jib_frontend_aarch64::system::debug as own;
use jib_frontend_aarch64::system::mmu::{Fsc, Kind};
use jib_frontend_aarch64::system::state::{self, pstate};
use jib_ir::guest::Fetch;
use jib_ir::runtime::{Access, Exit, Fault, Runtime, Wait};
use jib_ir::state::{State, slot};

use super::Vcpu;
use super::system::legal;
use super::tlb::Rights;
use crate::gdb::cpu_thread;
use crate::space::AddressSpace;

/// How a machine's CPUs are observed.
#[derive(Clone, Default)]
pub struct Observers {
    /// The debugger's session.
    pub session: Option<Arc<Session>>,
    /// What is logged.
    pub log: Option<Log>,
    /// Where each instruction is written down.
    pub trace: Option<Arc<Sink>>,
}

/// What a CPU knows of those who observe it.
#[derive(Default)]
pub(super) struct Debug {
    debugged: Option<Debugged>,
    tracer: Option<Tracer>,
    pub(super) log: Option<Log>,
    engine: Engine,
    /// The last instruction was executed in a step of the guest's own; was it a load-exclusive?
    stepped: Option<bool>,
}

impl Debug {
    /// For CPU `cpu`, which is off.
    pub(super) fn new(observers: &Observers, cpu: usize, state: &State) -> Debug {
        Debug {
            debugged: observers.session.as_ref().map(|s| Debugged::join(s, cpu_thread(cpu), state, true)),
            tracer: observers.trace.as_ref().map(|s| Tracer::new(s.clone(), format!("cpu{cpu}"))),
            log: observers.log.clone(),
            engine: Engine::default(),
            stepped: None,
        }
    }

    /// Must the next instructions be observed?
    #[inline]
    pub(super) fn is_needed(&self, s: &State) -> bool {
        own::is_active(s)
            || self.tracer.is_some()
            || self.debugged.as_ref().is_some_and(|d| d.is_active() || d.is_called())
            || self.log.as_ref().is_some_and(|l| l.has(Category::Exec))
    }

    /// The guest's own step is over: an exception was taken.
    pub(super) fn exception_taken(&mut self) {
        self.stepped = None;
    }

    /// The CPU sleeps or is off from now on.
    pub(super) fn away(&mut self, s: &mut State) {
        if let Some(d) = &mut self.debugged {
            d.away(s);
        }
    }

    /// It runs again; the debugger may want it to wait. True if its registers may have been changed.
    pub(super) fn back(&mut self, s: &mut State) -> bool {
        self.debugged.as_mut().is_some_and(|d| d.look(s))
    }

    /// A line of the log.
    pub(super) fn log(&self, category: Category, cpu: usize, text: std::fmt::Arguments<'_>) {
        if let Some(log) = &self.log {
            log.write(category, cpu, text);
        }
    }
}

impl Vcpu {
    /// Observes this CPU, which is off.
    pub fn observe(&mut self, observers: &Observers) {
        self.debug = Debug::new(observers, self.system.memory.cpu, &self.cpu.state);
    }

    /// Back from sleep, or switched on.
    pub(super) fn debug_back(&mut self) {
        if self.debug.back(&mut self.cpu.state) {
            self.debug_resync();
        }
    }

    /// The debugger may have changed registers and memory.
    fn debug_resync(&mut self) {
        self.system.resync(&self.cpu.state);
        // With its registers the CPU got an old request back, in the place of newer ones.
        self.cpu.state.set(slot::EXIT_REQUEST, 1);
    }

    /// Runs an instruction, or a block if nothing can happen within; interrupts included. Leaves `EXIT_REQUEST` set.
    pub(super) fn run_observed(&mut self) -> Exit {
        let exit = self.observe_next();
        // The engine sets it, so that it is not known whether others did. Whatever runs next looks at what they want.
        self.cpu.state.set(slot::EXIT_REQUEST, 1);
        match exit {
            Exit::InvalidateCode { addr, len } => {
                self.system.code_changed(addr, len);
                Exit::Next
            }
            exit => exit,
        }
    }

    fn observe_next(&mut self) -> Exit {
        self.cpu.take_request();
        self.system.acknowledge();
        self.system.tick(&self.cpu.state);
        if self.signals.quitting() {
            return Exit::Interrupt;
        }
        if own::is_step_pending(&self.cpu.state) {
            let stepped = self.debug.stepped.take();
            return Exit::Syndrome(own::step_syndrome(&self.cpu.state, stepped));
        }
        // The debugger's steps are not led astray by interrupts.
        if !self.debug.debugged.as_ref().is_some_and(|d| d.is_active() && d.is_stepping()) {
            self.take_interrupt();
        }
        let most = match self.stop_if_due() {
            Some(most) => most,
            None => BLOCK,
        };
        if self.signals.quitting() {
            return Exit::Interrupt;
        }
        self.run_piece(most)
    }

    /// Waits if the debugger wants it; gives how many instructions may run, `None` for any number.
    fn stop_if_due(&mut self) -> Option<u32> {
        let d = self.debug.debugged.as_mut()?;
        // Others need not wait for a CPU that waits itself.
        self.system.park();
        let go = d.before(&mut self.cpu.state);
        if d.take_waited() {
            self.debug_resync();
        }
        self.system.acknowledge();
        match go {
            Go::Free => None,
            Go::Run(most) => Some(most),
        }
    }

    fn run_piece(&mut self, most: u32) -> Exit {
        let guest_debug = own::is_active(&self.cpu.state);
        let stepping = own::is_stepping(&self.cpu.state);
        let pa = match self.system.fetch(&self.cpu.state) {
            Ok(found) => found.pa,
            Err(exit) => return exit,
        };
        let (pc, el0) = (self.cpu.state.pc(), self.system.memory.rights.el0);
        if guest_debug && own::is_breakpoint(&self.cpu.state, pc) {
            return Exit::Syndrome(own::breakpoint_syndrome(&self.cpu.state));
        }
        if let Err(exit) = legal(&self.cpu.state) {
            return exit;
        }
        let space = self.system.memory.space.clone();
        let code = CodePage { space: &space, va: pc & !0xfff, pa: pa & !0xfff };
        let single = guest_debug || self.debug.tracer.is_some();
        let word = if single || most == 1 { code.word(pc).ok() } else { None };
        self.write_down(pc, pa, word);
        let most = if single { 1 } else { most };
        let watches = if word.is_some_and(is_cache_maintenance) { Vec::new() } else { self.watches(guest_debug) };
        let debuggers = self.debug.debugged.as_ref().map_or(0, |d| d.points().watches().len());
        let mut watched = Watched::new(&mut self.system, &watches, el0);
        let exit = self.debug.engine.run(&A64System, &code, &mut self.cpu.state, &mut watched, most);
        let hit = watched.hit;
        if let (Exit::Fault(Fault { cause: CAUSE_WATCHPOINT, .. }), Some(hit)) = (exit, hit) {
            return self.watch_hit(&hit, debuggers);
        }
        if exit == Exit::Wait(Wait::Event) {
            // It sleeps, and the same instruction runs again.
            return exit;
        }
        if let Some(d) = &mut self.debug.debugged {
            d.moved();
        }
        self.debug.stepped = None;
        if stepping && completes(&exit) {
            let p = self.cpu.state.get(slot::PSTATE);
            self.cpu.state.set(slot::PSTATE, p & !pstate::SS);
            self.debug.stepped = Some(word.is_some_and(own::is_load_exclusive));
        }
        exit
    }

    /// Trace and log of what is about to run.
    fn write_down(&self, pc: u64, pa: u64, word: Option<u32>) {
        if let (Some(tracer), Some(word)) = (&self.debug.tracer, word) {
            tracer.insn(pc, word);
        }
        let el = state::el(&self.cpu.state);
        self.debug.log(Category::Exec, self.system.memory.cpu, format_args!("{pc:#x} (physical {pa:#x}) at EL{el}"));
    }

    /// The debugger's watchpoints, then the guest's.
    fn watches(&self, guest_debug: bool) -> Vec<Watch> {
        let debuggers = self.debug.debugged.as_ref().map(|d| d.points().watches().to_vec());
        let mut all = debuggers.unwrap_or_default();
        if guest_debug {
            all.extend(own::watchpoints(&self.cpu.state).map(|w| Watch {
                addr: w.addr,
                len: w.len,
                read: w.load,
                write: w.store,
                el0: w.el0,
                el1: w.el1,
            }));
        }
        all
    }

    /// A watched access was about to be made. One that would fault faults first.
    fn watch_hit(&mut self, hit: &Hit, debuggers: usize) -> Exit {
        let kind = if hit.access == Access::Write { Kind::Write } else { Kind::Read };
        let rights = Rights { el0: hit.el0, ..self.system.memory.rights };
        if let Err(Fsc(cause)) = self.system.memory.translate(hit.addr, kind, rights) {
            return Exit::Fault(Fault { addr: hit.addr, access: hit.access, cause: cause as u32 });
        }
        if hit.index >= debuggers {
            self.cpu.state.set(state::FAR, hit.addr);
            return Exit::Syndrome(own::watchpoint_syndrome(&self.cpu.state, hit.access == Access::Write));
        }
        if let Some(d) = &mut self.debug.debugged {
            self.system.park();
            d.watched(&mut self.cpu.state, hit);
            self.debug_resync();
            self.system.acknowledge();
        }
        Exit::Next
    }
}

/// Reads code of one page, through a translation made once.
struct CodePage<'a> {
    space: &'a AddressSpace,
    /// First virtual address of the page.
    va: u64,
    /// First physical address of the page.
    pa: u64,
}

impl Fetch for CodePage<'_> {
    fn word(&self, pc: u64) -> Result<u32, Fault> {
        let fault = Fault { addr: pc, access: Access::Fetch, cause: Fsc::EXTERNAL.0 as u32 };
        let offset = pc.wrapping_sub(self.va);
        if offset >= 0x1000 {
            // A block stays in its page: the next one may be mapped elsewhere.
            return Err(fault);
        }
        let mut word = [0; 4];
        self.space.peek(self.pa + offset, &mut word).map_err(|_| fault)?;
        Ok(u32::from_le_bytes(word))
    }
}

/// Was the instruction executed, so that a step is done? Those that raise an exception of their own instead are not
/// (Arm ARM D2, "Software Step exceptions"); calls are, as their return address is behind them.
fn completes(exit: &Exit) -> bool {
    match exit {
        Exit::Next
        | Exit::Svc(_)
        | Exit::Hvc(_)
        | Exit::Smc(_)
        | Exit::Wait(_)
        | Exit::InvalidateCode { .. }
        | Exit::Interrupt => true,
        Exit::Brk(_) | Exit::Hlt(_) | Exit::Syndrome(_) | Exit::Undefined(_) | Exit::Fault(_) => false,
    }
}
