//! A CPU of the board: runs guest code at EL0 and EL1, takes exceptions and interrupts.
//!
//! [`memory`] and [`tlb`] are its way to memory, [`system`] what translated code may ask of the
//! board, [`blocks`] its translated code, [`signals`] how the rest of the machine reaches it.

mod blocks;
pub mod debug;
pub mod memory;
pub mod signals;
pub mod system;
pub mod tlb;

use std::sync::Arc;
use std::time::Duration;

use jib_debug::log::Category;
use jib_frontend_aarch64::A64System;
use jib_frontend_aarch64::system::exception::{self, Vector, ec, syndrome};
use jib_frontend_aarch64::system::mmu::Kind;
use jib_frontend_aarch64::system::state::{self, pstate};
use jib_ir::guest::Guest;
use jib_ir::interp::{self, Scratch};
use jib_ir::region::BlockId;
use jib_ir::runtime::{Access, Exit, Fault, Wait};
use jib_ir::state::{State, slot};

use crate::psci::{self, Outcome, Power};
use blocks::Blocks;
use signals::{Command, Signals};
use system::System;
use tlb::Rights;

/// Blocks run between two looks at the clock.
const BLOCKS_PER_TICK: u32 = 256;
/// Longest sleep of WFE, and of WFI when no timer is set.
const WFE_SLEEP: Duration = Duration::from_micros(50);
const WFI_SLEEP: Duration = Duration::from_millis(100);

/// Why a CPU stopped for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The guest powered the machine off.
    PowerOff,
    /// The guest asked for a restart.
    Reset,
    /// The host asked for an end.
    Quit,
}

/// One CPU with its thread's state.
pub struct Vcpu {
    /// Architectural state.
    pub state: State,
    system: System,
    power: Arc<dyn Power + Send + Sync>,
    signals: Arc<Signals>,
    blocks: Blocks,
    scratch: Scratch,
    /// Blocks until the next look at the clock.
    countdown: u32,
    /// Who observes it.
    debug: debug::Debug,
    /// Blocks run, for statistics.
    pub executed: u64,
}

impl Vcpu {
    /// A CPU that is off.
    pub fn new(system: System, power: Arc<dyn Power + Send + Sync>, signals: Arc<Signals>) -> Vcpu {
        Vcpu {
            state: State::default(),
            system,
            power,
            signals,
            blocks: Blocks::default(),
            scratch: Scratch::default(),
            countdown: 0,
            debug: debug::Debug::default(),
            executed: 0,
        }
    }

    /// Runs until the machine stops: waits to be switched on, runs, may be off again.
    pub fn run(&mut self) -> Stop {
        loop {
            match self.signals.wait_for_start() {
                Command::Start(start) => {
                    state::reset(&mut self.state, start.mpidr);
                    self.state.set_pc(start.entry);
                    self.state.set_x(0, start.context);
                    self.system.refresh(&self.state);
                    self.debug_back();
                }
                Command::Quit => return Stop::Quit,
            }
            if let Some(stop) = self.run_until_off() {
                return stop;
            }
        }
    }

    /// Runs until the CPU is switched off (`None`) or the machine stops.
    fn run_until_off(&mut self) -> Option<Stop> {
        loop {
            if self.countdown == 0 {
                self.countdown = BLOCKS_PER_TICK;
                self.system.tick();
            }
            self.countdown -= 1;
            if self.signals.quitting() {
                return Some(Stop::Quit);
            }
            self.system.acknowledge();
            let exit = if self.debug.is_needed(&self.state) {
                self.run_observed()
            } else {
                self.take_interrupt();
                self.run_block()
            };
            self.executed += 1;
            match self.handle(exit) {
                After::Continue => {}
                After::Off => return None,
                After::Stop(stop) => return Some(stop),
            }
        }
    }

    /// Enters the vector of a pending interrupt that is not masked.
    fn take_interrupt(&mut self) {
        let p = self.state.get(slot::PSTATE);
        let vector = if self.signals.fiq() && p & pstate::F == 0 {
            Vector::Fiq
        } else if self.signals.irq() && p & pstate::I == 0 {
            Vector::Irq
        } else {
            return;
        };
        let (cpu, pc) = (self.system.memory.cpu, self.state.pc());
        self.debug.log(Category::Irq, cpu, format_args!("{vector:?} taken at {pc:#x}"));
        self.debug.exception_taken();
        exception::enter(&mut self.state, vector, None, None);
    }

    /// Finds or translates the block at the program counter and runs it.
    fn run_block(&mut self) -> Exit {
        let p = self.state.get(slot::PSTATE);
        if p & pstate::IL != 0 {
            return Exit::Syndrome(syndrome(ec::ILLEGAL, 0));
        }
        let el0 = p & pstate::EL == 0;
        self.system.memory.rights = Rights { el0, pan: p & pstate::PAN != 0 };
        let pc = self.state.pc();
        if pc & 3 != 0 {
            return Exit::Fault(Fault { addr: pc, access: Access::Fetch, cause: 0 });
        }
        let fetched = self.system.memory.translate(pc, Kind::Fetch, Rights { el0, pan: false });
        let pa = match fetched {
            Ok((pa, _)) => pa,
            Err(fsc) => return Exit::Fault(Fault { addr: pc, access: Access::Fetch, cause: fsc.0 as u32 }),
        };
        let key = A64System.key(&self.state);
        let region = match self.blocks.find(key, pa, &self.system.memory.space) {
            Ok(region) => region,
            Err(fault) => return Exit::Fault(fault),
        };
        let helpers = A64System.helpers();
        interp::run(region, BlockId(0), &mut self.state, &mut self.system, helpers, &mut self.scratch)
    }

    /// Writes an exception down where that is wanted.
    fn log_exception(&self, exit: &Exit, esr: u32, far: Option<u64>) {
        let cpu = self.system.memory.cpu;
        let (pc, el, class) = (self.state.pc(), state::el(&self.state), esr >> 26);
        let at = far.map(|far| format!(", address {far:#x}")).unwrap_or_default();
        if let Exit::Fault(f) = exit {
            let (access, cause) = (f.access, f.cause & 0x3f);
            self.debug.log(Category::Mmu, cpu, format_args!("{access:?} fault {cause:#04x} at pc {pc:#x}{at}"));
        }
        let name = ec::name(class);
        let text = format_args!("{name} (ESR {esr:#010x}) from EL{el} at {pc:#x}{at}");
        self.debug.log(Category::Exception, cpu, text);
    }

    fn handle(&mut self, exit: Exit) -> After {
        if let Some((esr, far)) = exception::of_exit(&self.state, &exit) {
            self.system.report_undefined(&exit, self.state.pc());
            self.log_exception(&exit, esr, far);
            self.debug.exception_taken();
            exception::enter(&mut self.state, Vector::Sync, Some(esr), far);
            return After::Continue;
        }
        match exit {
            Exit::Hvc(_) => return self.firmware_call(),
            Exit::Smc(_) => {
                // There is no EL3: SMC is undefined, at its own address.
                let pc = self.state.pc();
                self.state.set_pc(pc.wrapping_sub(4));
                exception::enter(&mut self.state, Vector::Sync, Some(syndrome(ec::UNKNOWN, 0)), None);
            }
            Exit::Wait(Wait::Interrupt) => self.sleep(WFI_SLEEP),
            Exit::Wait(Wait::Event) => self.sleep(WFE_SLEEP),
            Exit::Wait(Wait::Yield) => std::thread::yield_now(),
            _ => {}
        }
        After::Continue
    }

    /// Sleeps until an interrupt, a timer, or `longest`.
    fn sleep(&mut self, longest: Duration) {
        self.system.tick();
        let until = self.system.next_timer().unwrap_or(longest).min(longest);
        self.system.park();
        self.debug.away(&mut self.state);
        self.signals.wait_for_interrupt(until);
        self.debug_back();
        self.countdown = 0;
    }

    fn firmware_call(&mut self) -> After {
        let regs = [0, 1, 2, 3].map(|i| self.state.x(i));
        let outcome = psci::call(&*self.power, self.system.memory.cpu, regs);
        let name = psci::name(regs[0]);
        let text = format_args!("{name} ({:#x}) {:#x} {:#x} {:#x}: {outcome:x?}", regs[0], regs[1], regs[2], regs[3]);
        self.debug.log(Category::Psci, self.system.memory.cpu, text);
        match outcome {
            Outcome::Return(values) => {
                for (i, v) in values.into_iter().enumerate() {
                    self.state.set_x(i, v);
                }
            }
            Outcome::Standby => {
                self.sleep(WFI_SLEEP);
                self.state.set_x(0, 0);
            }
            Outcome::Suspend { entry, context } => {
                self.sleep(WFI_SLEEP);
                let mpidr = self.state.get(state::MPIDR);
                state::reset(&mut self.state, mpidr);
                self.state.set_pc(entry);
                self.state.set_x(0, context);
                self.system.refresh(&self.state);
            }
            Outcome::Off => {
                self.system.park();
                self.debug.away(&mut self.state);
                return After::Off;
            }
            Outcome::SystemOff => return After::Stop(Stop::PowerOff),
            Outcome::SystemReset => return After::Stop(Stop::Reset),
        }
        After::Continue
    }
}

/// What comes after an exit.
enum After {
    Continue,
    Off,
    Stop(Stop),
}
