//! A CPU of the board: runs guest code at EL0 and EL1, takes exceptions and interrupts.
//!
//! [`memory`] and [`tlb`] are its way to memory, [`fast`] the way of compiled code; [`system`] is what translated code
//! may ask of the board, [`spaces`] how code is told apart; [`signals`] is how the rest of the machine reaches it,
//! [`shootdown`] how CPUs reach each other, [`alarm`] how time does.

pub mod alarm;
pub mod debug;
pub mod fast;
pub mod memory;
pub mod semihosting;
pub mod shootdown;
pub mod signals;
pub mod spaces;
pub mod system;
pub mod tlb;

use std::sync::Arc;
use std::time::Duration;

use jib_debug::log::Category;
use jib_frontend_aarch64::A64System;
use jib_frontend_aarch64::system::exception::{self, Vector, ec, syndrome};
use jib_frontend_aarch64::system::state::{self, pstate};
use jib_ir::runtime::{Exit, Wait};
use jib_ir::state::slot;

use crate::devices::gic::Version;
use crate::machine::Misses;
use crate::psci::{self, Outcome, Power};
use signals::{Command, Signals};
use system::System;

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
    /// The guest ended with this status, by semihosting.
    Exit(u8),
    /// The host asked for an end.
    Quit,
}

/// One CPU with its thread's state.
pub struct Vcpu {
    /// Architectural state, and what runs it.
    cpu: jib_backend::Vcpu<A64System>,
    system: System,
    power: Arc<dyn Power + Send + Sync>,
    signals: Arc<Signals>,
    /// Who observes it.
    debug: debug::Debug,
}

impl Vcpu {
    /// A CPU that is off.
    pub fn new(system: System, power: Arc<dyn Power + Send + Sync>, signals: Arc<Signals>) -> Vcpu {
        let cpu = jib_backend::Vcpu::new(&system.translator);
        signals.attach(cpu.kicker());
        Vcpu { cpu, system, power, signals, debug: debug::Debug::default() }
    }

    /// What its TLBs missed so far.
    pub fn misses(&self) -> Misses {
        Misses { fast: self.system.memory.fast_misses, tlb: self.system.memory.tlb.misses }
    }

    /// Runs until the machine stops: waits to be switched on, runs, may be off again.
    pub fn run(&mut self) -> Stop {
        loop {
            match self.signals.wait_for_start() {
                Command::Start(start) => {
                    self.reset(start.mpidr);
                    self.cpu.state.set_pc(start.entry);
                    self.cpu.state.set_x(0, start.context);
                    self.system.refresh(&self.cpu.state);
                    self.debug_back();
                }
                Command::Quit => return Stop::Quit,
            }
            if let Some(stop) = self.run_until_off() {
                return stop;
            }
        }
    }

    fn reset(&mut self, mpidr: u64) {
        let gic_registers = self.system.gic.version() == Version::V3;
        self.system.cpu.apply(&mut self.cpu.state);
        state::reset(&mut self.cpu.state, mpidr, gic_registers);
    }

    /// Runs until the CPU is switched off (`None`) or the machine stops.
    fn run_until_off(&mut self) -> Option<Stop> {
        loop {
            let exit = if self.debug.is_needed(&self.cpu.state) {
                self.run_observed()
            } else {
                self.cpu.run(&mut self.system)
            };
            match self.handle(exit) {
                After::Continue => {}
                After::Off => return None,
                After::Stop(stop) => {
                    self.cpu.report();
                    return Some(stop);
                }
            }
        }
    }

    /// Looks at what a kick was for.
    fn attend(&mut self) -> After {
        self.cpu.take_request();
        if self.signals.quitting() {
            return After::Stop(Stop::Quit);
        }
        self.system.tick(&self.cpu.state);
        self.take_interrupt();
        After::Continue
    }

    /// Enters the vector of a pending interrupt that is not masked.
    fn take_interrupt(&mut self) {
        let p = self.cpu.state.get(slot::PSTATE);
        let vector = if self.signals.fiq() && p & pstate::F == 0 {
            Vector::Fiq
        } else if self.signals.irq() && p & pstate::I == 0 {
            Vector::Irq
        } else {
            return;
        };
        let (cpu, pc) = (self.system.memory.cpu, self.cpu.state.pc());
        self.debug.log(Category::Irq, cpu, format_args!("{vector:?} taken at {pc:#x}"));
        self.debug.exception_taken();
        exception::enter(&mut self.cpu.state, vector, None, None);
    }

    /// Writes an exception down where that is wanted.
    fn log_exception(&self, exit: &Exit, esr: u32, far: Option<u64>) {
        let cpu = self.system.memory.cpu;
        let (pc, el, class) = (self.cpu.state.pc(), state::el(&self.cpu.state), esr >> 26);
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
        if exit == Exit::Hlt(semihosting::HLT) && self.system.semihosting.is_some() {
            return self.semihosting_call();
        }
        if let Some((esr, far)) = exception::of_exit(&self.cpu.state, &exit) {
            self.system.report_undefined(&exit, self.cpu.state.pc());
            self.log_exception(&exit, esr, far);
            self.debug.exception_taken();
            exception::enter(&mut self.cpu.state, Vector::Sync, Some(esr), far);
            return After::Continue;
        }
        match exit {
            Exit::Hvc(_) | Exit::Smc(_) if state::el(&self.cpu.state) == 0 => {
                // Undefined, at its own address.
                let pc = self.cpu.state.pc();
                self.cpu.state.set_pc(pc.wrapping_sub(4));
                exception::enter(&mut self.cpu.state, Vector::Sync, Some(syndrome(ec::UNKNOWN, 0)), None);
            }
            // There is neither EL2 nor EL3: both are how firmware is called.
            Exit::Hvc(_) | Exit::Smc(_) => return self.firmware_call(),
            Exit::Wait(Wait::Interrupt) => self.sleep(WFI_SLEEP, false),
            Exit::Interrupt => return self.attend(),
            Exit::Wait(Wait::Event) => {
                self.sleep(WFE_SLEEP, true);
                // The instruction runs again, and takes it.
                self.cpu.state.set(state::EVENT, 1);
            }
            Exit::Wait(Wait::Yield) => std::thread::yield_now(),
            _ => {}
        }
        After::Continue
    }

    /// Sleeps until an interrupt, a timer, an `event` if asked, or `longest`.
    fn sleep(&mut self, longest: Duration, event: bool) {
        self.system.tick(&self.cpu.state);
        let until = self.system.next_timer().unwrap_or(longest).min(longest);
        self.system.park();
        self.debug.away(&mut self.cpu.state);
        let signals = self.signals.clone();
        self.system.asleep(|| signals.wait_for_interrupt(until, event));
        self.debug_back();
        self.system.tick(&self.cpu.state);
    }

    fn semihosting_call(&mut self) -> After {
        let Some(console) = self.system.semihosting.take() else { return After::Continue };
        let (op, x1, pc) = (self.cpu.state.x(0) as u32, self.cpu.state.x(1), self.cpu.state.pc());
        let done = semihosting::call(&mut self.system, &*console, op, x1);
        self.system.semihosting = Some(console);
        match done {
            semihosting::Done::Return(v) => {
                self.cpu.state.set_x(0, v);
                self.cpu.state.set_pc(pc.wrapping_add(4));
                After::Continue
            }
            semihosting::Done::Exit(status) => After::Stop(Stop::Exit(status)),
        }
    }

    fn firmware_call(&mut self) -> After {
        let regs = [0, 1, 2, 3].map(|i| self.cpu.state.x(i));
        let outcome = psci::call(&*self.power, self.system.memory.cpu, regs);
        let name = psci::name(regs[0]);
        let text = format_args!("{name} ({:#x}) {:#x} {:#x} {:#x}: {outcome:x?}", regs[0], regs[1], regs[2], regs[3]);
        self.debug.log(Category::Psci, self.system.memory.cpu, text);
        match outcome {
            Outcome::Return(values) => {
                for (i, v) in values.into_iter().enumerate() {
                    self.cpu.state.set_x(i, v);
                }
            }
            Outcome::Standby => {
                self.sleep(WFI_SLEEP, false);
                self.cpu.state.set_x(0, 0);
            }
            Outcome::Suspend { entry, context } => {
                self.sleep(WFI_SLEEP, false);
                let mpidr = self.cpu.state.get(state::MPIDR);
                self.reset(mpidr);
                self.cpu.state.set_pc(entry);
                self.cpu.state.set_x(0, context);
                self.system.refresh(&self.cpu.state);
            }
            Outcome::Off => {
                self.system.park();
                self.debug.away(&mut self.cpu.state);
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
