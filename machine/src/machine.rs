//! A whole machine: the board with its CPUs, each on a thread of its own.

use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, OnceLock};
use std::thread;

use jib_debug::address::Listener;
use jib_debug::log::{Log, Sink};
use jib_debug::server::{self, Times};
use jib_debug::session::{Ended, Session};

use crate::board::{Board, BuildError, Config, cpu_input, entropy};
use crate::cpu::debug::Observers;
use crate::cpu::memory::Memory;
use crate::cpu::signals::{FIQ, IRQ, Power as CpuPower, Signals, Start};
use crate::cpu::system::{Shootdown, System, TimerLines};
use crate::cpu::tlb::{Rights, Tlb};
use crate::cpu::{Stop, Vcpu};
use crate::gdb::Guest;
use crate::irq::IrqSink;
use crate::psci::{Affinity, Power, Status};

/// MPIDR_EL1 bits beside the affinity: bit 31 reads as one.
const MPIDR_RES1: u64 = 1 << 31;
/// The affinity fields of MPIDR_EL1.
const AFFINITY: u64 = 0xff_00ff_ffff;

/// A machine that can be booted.
pub struct Machine {
    board: Arc<Board>,
    cpus: Arc<Cpus>,
    verbose: bool,
    observers: Observers,
}

/// What happened when a machine stopped.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Why.
    pub stop: Stop,
    /// Blocks that all CPUs ran.
    pub blocks: u64,
}

/// Every CPU's inputs, as the interrupt controller and firmware calls reach them.
struct Cpus {
    signals: Vec<Arc<Signals>>,
    affinities: OnceLock<Vec<u64>>,
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

    fn stolen_time(&self, _cpu: usize) -> Option<u64> {
        None
    }
}

impl Machine {
    /// Builds the board and its CPUs, all off. `verbose` names on stderr what guests use and we lack.
    pub fn new(config: Config, verbose: bool) -> Result<Machine, BuildError> {
        let signals = (0..config.cpus).map(|_| Arc::default()).collect();
        let cpus = Arc::new(Cpus { signals, affinities: OnceLock::new() });
        let board = Arc::new(Board::build(config, cpus.clone())?);
        let _ = cpus.affinities.set(board.affinities.clone());
        Ok(Machine { board, cpus, verbose, observers: Observers::default() })
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
        self.observers = Observers { session: debugger.map(|_| Session::new(true)), log, trace };
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

    /// After [`Machine::run`]: returns the devices to their state at power-on, ready to run again. RAM
    /// keeps its content.
    pub fn reset(&self) {
        self.board.reset();
        self.cpus.signals.iter().for_each(|s| s.rearm());
    }

    /// Starts CPU 0 at `entry` with `context` in x0, and runs until the machine stops.
    pub fn run(&self, entry: u64, context: u64) -> Outcome {
        let (sender, stops) = mpsc::channel();
        let shootdown = Arc::new(Shootdown::new(self.cpus.signals.len()));
        self.cpus.start(0, entry, context);
        thread::scope(|scope| {
            for cpu in 0..self.cpus.signals.len() {
                let (sender, shootdown) = (sender.clone(), shootdown.clone());
                scope.spawn(move || self.run_cpu(cpu, shootdown, sender));
            }
            drop(sender);
            let mut outcome = Outcome { stop: Stop::Quit, blocks: 0 };
            for (stop, blocks) in stops {
                outcome.blocks += blocks;
                if stop != Stop::Quit {
                    outcome.stop = stop;
                }
                self.cpus.quit();
                if let Some(session) = &self.observers.session {
                    session.release();
                }
            }
            outcome
        })
    }

    fn run_cpu(&self, cpu: usize, shootdown: Arc<Shootdown>, done: Sender<(Stop, u64)>) {
        let (board, signals) = (&self.board, self.cpus.signals[cpu].clone());
        let memory = Memory {
            cpu,
            space: board.space.clone(),
            regime: Default::default(),
            asid: 0,
            rights: Rights { el0: false, pan: false },
            tlb: Tlb::default(),
        };
        let pins = &board.pins[cpu];
        let lines = TimerLines { physical: pins.physical_timer.clone(), virt: pins.virtual_timer.clone() };
        let gic = board.gic.clone();
        let system = System::new(memory, gic, signals.clone(), board.clock, lines, shootdown, self.verbose);
        let mut vcpu = Vcpu::new(system, self.cpus.clone(), signals);
        vcpu.observe(&self.observers);
        let stop = vcpu.run();
        // The receiver outlives every CPU's thread.
        let _ = done.send((stop, vcpu.executed));
    }
}
