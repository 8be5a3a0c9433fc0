//! A whole machine: the board with its CPUs, each on a thread of its own.

use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, OnceLock};
use std::thread;

use jib_backend::{Memory, Stats, Translator};
use jib_debug::address::Listener;
use jib_debug::log::{Log, Sink};
use jib_debug::server::{self, Times};
use jib_debug::session::{Ended, Session};
use jib_frontend_aarch64::A64System;

use crate::board::{Board, BuildError, Config, cpu_input, entropy};
use crate::cpu::alarm::Alarms;
use crate::cpu::debug::Observers;
use crate::cpu::memory::{Code, Memory as CpuMemory};
use crate::cpu::semihosting::Console;
use crate::cpu::shootdown::{Request, Shootdown};
use crate::cpu::signals::{FIQ, IRQ, Power as CpuPower, Signals, Start};
use crate::cpu::spaces::UpperHalves;
use crate::cpu::system::{OwnLines, Parts, System};
use crate::cpu::{Stop, Vcpu};
use crate::gdb::Guest;
use crate::irq::IrqSink;
use crate::psci::{Affinity, Power, Status};

/// How the CPUs' code is run.
pub use jib_backend::Options as Engine;

/// MPIDR_EL1 bits beside the affinity: bit 31 reads as one.
const MPIDR_RES1: u64 = 1 << 31;
/// The affinity fields of MPIDR_EL1.
const AFFINITY: u64 = 0xff_00ff_ffff;

/// A machine that can be booted.
pub struct Machine {
    board: Arc<Board>,
    cpus: Arc<Cpus>,
    translator: Arc<Translator<A64System>>,
    shootdown: Arc<Shootdown>,
    verbose: bool,
    observers: Observers,
}

/// What happened when a machine stopped.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Why.
    pub stop: Stop,
    /// What the translator did, since the machine was built.
    pub stats: Stats,
    /// What the CPUs' TLBs missed in this run.
    pub misses: Misses,
}

/// How often addresses were looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Misses {
    /// By compiled code, not found in its own table.
    pub fast: u64,
    /// Not found in the TLB: walks of the guest's tables.
    pub tlb: u64,
}

impl std::ops::AddAssign for Misses {
    fn add_assign(&mut self, other: Misses) {
        self.fast += other.fast;
        self.tlb += other.tlb;
    }
}

/// Every CPU's inputs, as the interrupt controller and firmware calls reach them.
struct Cpus {
    signals: Vec<Arc<Signals>>,
    affinities: OnceLock<Vec<u64>>,
    /// Where each finds its stolen time.
    stolen_time: OnceLock<Vec<u64>>,
}

impl IrqSink for Cpus {
    fn set(&self, id: u32, level: bool) {
        let (cpu, fiq) = cpu_input(id);
        if let Some(signals) = self.signals.get(cpu) {
            signals.set(if fiq { FIQ } else { IRQ }, level);
        }
    }
}

impl Cpus {
    fn affinities(&self) -> &[u64] {
        self.affinities.get().map_or(&[], Vec::as_slice)
    }

    fn start(&self, cpu: usize, entry: u64, context: u64) -> bool {
        let mpidr = MPIDR_RES1 | self.affinities()[cpu];
        self.signals[cpu].start(Start { entry, context, mpidr })
    }

    /// Makes every CPU leave its code and look around.
    fn kick(&self) {
        self.signals.iter().for_each(|s| s.kick());
    }

    /// Tells every CPU's thread to end.
    fn quit(&self) {
        self.signals.iter().for_each(|s| s.quit());
    }
}

impl Power for Cpus {
    fn cpu_on(&self, target: u64, entry: u64, context: u64) -> Status {
        let Some(cpu) = self.affinities().iter().position(|&a| a == target & AFFINITY) else {
            return Status::InvalidParameters;
        };
        if self.start(cpu, entry, context) {
            return Status::Success;
        }
        match self.signals[cpu].power() {
            CpuPower::Pending => Status::OnPending,
            CpuPower::On | CpuPower::Off => Status::AlreadyOn,
        }
    }

    fn affinity(&self, target: u64, level: u64) -> Option<Affinity> {
        let shift = if level >= 3 { 32 } else { 8 * level };
        let group = |a: u64| (a & AFFINITY) >> shift;
        let states = self.affinities().iter().zip(&self.signals);
        let states: Vec<CpuPower> =
            states.filter(|(a, _)| group(**a) == group(target)).map(|(_, s)| s.power()).collect();
        if states.is_empty() {
            None
        } else if states.contains(&CpuPower::On) {
            Some(Affinity::On)
        } else if states.contains(&CpuPower::Pending) {
            Some(Affinity::OnPending)
        } else {
            Some(Affinity::Off)
        }
    }

    fn entropy(&self) -> u64 {
        let mut bytes = [0; 8];
        entropy(&mut bytes);
        u64::from_ne_bytes(bytes)
    }

    fn stolen_time(&self, cpu: usize) -> Option<u64> {
        self.stolen_time.get()?.get(cpu).copied()
    }
}

impl Machine {
    /// Builds the board and its CPUs, all off, whose code `engine` runs. `verbose` names on stderr what guests use and
    /// we lack.
    pub fn new(config: Config, engine: Engine, verbose: bool) -> Result<Machine, BuildError> {
        let signals = (0..config.cpus).map(|_| Arc::default()).collect();
        let cpus = Arc::new(Cpus { signals, affinities: OnceLock::new(), stolen_time: OnceLock::new() });
        let board = Arc::new(Board::build(config, cpus.clone())?);
        let _ = cpus.affinities.set(board.affinities.clone());
        if let Some(at) = &board.stolen_time {
            let _ = cpus.stolen_time.set(at.clone());
        }
        let shootdown = Arc::new(Shootdown::new(cpus.signals.clone()));
        let asking = shootdown.clone();
        let appeared = Box::new(move |host| _ = asking.issue(Request::Code(host), None));
        let code = Code { space: board.space.clone(), appeared };
        let options = Engine { memory: Memory::Table, ..engine };
        let translator = Translator::new(A64System, Box::new(code), options).map_err(|e| BuildError::new(&e))?;
        let (weak, told) = (Arc::downgrade(&translator), cpus.clone());
        let base = board.space.ram().base();
        board.space.ram().pages().listen(move |range| {
            if let Some(translator) = weak.upgrade() {
                translator.invalidate(base + range.start..base + range.end);
                told.kick();
            }
        });
        Ok(Machine { board, cpus, translator, shootdown, verbose, observers: Observers::default() })
    }

    /// Has it observed from its next run on; `debugger` is where one is waited for before the first instruction.
    pub fn observe(
        &mut self,
        log: Option<Log>,
        trace: Option<Arc<Sink>>,
        debugger: Option<&Arc<Listener>>,
    ) -> std::io::Result<()> {
        if let Some(log) = &log {
            self.board.space.set_log(log);
        }
        let session = debugger.map(|_| {
            let cpus = self.cpus.clone();
            // Compiled code looks at no session.
            Session::with_caller(true, Box::new(move || cpus.kick()))
        });
        self.observers = Observers { session, log, trace };
        if let (Some(listener), Some(session)) = (debugger, &self.observers.session) {
            let stop = Box::new(self.stopper());
            let guest = Guest { space: self.board.space.clone(), clock: self.board.clock, stop };
            server::start(listener.clone(), session.clone(), Arc::new(guest), Times::Again)?;
        }
        Ok(())
    }

    /// Tells the debugger, if there is one, that the machine stopped for good with this exit code.
    pub fn ended(&self, code: u8) {
        if let Some(session) = &self.observers.session {
            session.ended(Ended::Exited(code));
        }
    }

    /// The board: memory to load, consoles to feed.
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Something that stops the machine from any thread.
    pub fn stopper(&self) -> impl Fn() + Send + Sync + 'static {
        let (cpus, session) = (self.cpus.clone(), self.observers.session.clone());
        move || {
            cpus.quit();
            if let Some(session) = &session {
                session.release();
            }
        }
    }

    /// After [`Machine::run`]: writes translations for the next time, if they are to be kept.
    pub fn keep(&self) {
        self.translator.keep_pages();
    }

    /// Number of guest addresses of which translations are remembered.
    pub fn known(&self) -> usize {
        self.translator.known()
    }

    /// After [`Machine::run`]: returns the devices to their state at power-on, ready to run again. RAM
    /// keeps its content.
    pub fn reset(&self) {
        self.board.reset();
        self.keep();
        self.translator.reset();
        self.cpus.signals.iter().for_each(|s| s.rearm());
    }

    /// Starts CPU 0 at `entry` with `context` in x0, and runs until the machine stops.
    pub fn run(&self, entry: u64, context: u64) -> Outcome {
        let (sender, stops) = mpsc::channel();
        let alarms = Arc::new(Alarms::new(self.board.clock, self.cpus.signals.clone()));
        let upper = Arc::new(UpperHalves::default());
        self.cpus.start(0, entry, context);
        thread::scope(|scope| {
            for cpu in 0..self.cpus.signals.len() {
                let (sender, alarms, upper) = (sender.clone(), alarms.clone(), upper.clone());
                scope.spawn(move || self.run_cpu(cpu, alarms, upper, sender));
            }
            let waking = alarms.clone();
            scope.spawn(move || waking.run());
            drop(sender);
            let (mut stop, mut misses) = (Stop::Quit, Misses::default());
            for (one, missed) in stops {
                misses += missed;
                if one != Stop::Quit {
                    stop = one;
                }
                self.cpus.quit();
                if let Some(session) = &self.observers.session {
                    session.release();
                }
            }
            alarms.stop();
            Outcome { stop, stats: self.translator.stats(), misses }
        })
    }

    fn run_cpu(&self, cpu: usize, alarms: Arc<Alarms>, upper: Arc<UpperHalves>, done: Sender<(Stop, Misses)>) {
        let (board, signals) = (&self.board, self.cpus.signals[cpu].clone());
        let pins = &board.pins[cpu];
        let system = System::new(Parts {
            memory: CpuMemory::new(cpu, board.space.clone()),
            gic: board.gic.clone(),
            signals: signals.clone(),
            clock: board.clock,
            lines: OwnLines {
                physical: pins.physical_timer.clone(),
                virt: pins.virtual_timer.clone(),
                pmu: pins.pmu.clone(),
            },
            alarms,
            shootdown: self.shootdown.clone(),
            upper,
            translator: self.translator.clone(),
            cpu: board.cpu,
            semihosting: board.semihosting.then(|| {
                let board = board.clone();
                Box::new(move |bytes: &[u8]| board.write_to_console(bytes)) as Console
            }),
            log: self.observers.log.clone(),
            verbose: self.verbose,
        });
        let mut vcpu = Vcpu::new(system, self.cpus.clone(), signals);
        vcpu.observe(&self.observers);
        let stop = vcpu.run();
        self.shootdown.park(cpu);
        // The receiver outlives every CPU's thread.
        let _ = done.send((stop, vcpu.misses()));
    }
}
