//! The run loop of one guest thread: runs code, and sees to whatever stopped it.

use std::sync::atomic::Ordering;

use jib_ir::runtime::{Exit, Wait};

use crate::ExitStatus;
use crate::debug::Ran;
use crate::host;
use crate::ptrace::is_whole;
use crate::signal::frame::FaultRecord;
use crate::signal::{SigInfo, TRAP_BRKPT};
use crate::syscall;
use crate::thread::Thread;

/// How a thread's run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// `exit`: this thread alone.
    Thread(i32),
    /// `exit_group`, or death by a signal.
    Process(ExitStatus),
}

/// `si_code` of SIGILL for an undefined instruction.
const ILL_ILLOPC: i32 = 1;

impl Thread {
    /// Runs until the thread or the process ends.
    pub(crate) fn run(&mut self) -> Ended {
        loop {
            if let Some(end) = self.step() {
                return end;
            }
            if self.process.dying.load(Ordering::Relaxed) {
                self.await_death();
            }
            if (self.context.is_due() || self.restart)
                && let Some(end) = self.deliver_signals()
            {
                return end;
            }
        }
    }

    fn step(&mut self) -> Option<Ended> {
        if self.context.door().is_watched() {
            return match self.run_watched() {
                Ok(exit) => self.act_and_step(exit),
                Err(end) => end,
            };
        }
        match self.debug.take() {
            None => {
                match self.vcpu.run(&mut self.runtime) {
                    // The most frequent one, and nobody looks on.
                    Exit::Svc(_) => syscall::dispatch(self),
                    exit => self.act(exit),
                }
            }
            Some(debug) => match self.run_debugged(debug) {
                Ran::Exit(exit) => self.act(exit),
                Ran::Signal(signal) => self.debug_inject(signal),
            },
        }
    }

    /// Sees to what ended an instruction that may be a tracer's step.
    fn act_and_step(&mut self, exit: Exit) -> Option<Ended> {
        let before = self.vcpu.state.pc();
        let call = matches!(exit, Exit::Svc(_));
        let whole = is_whole(&exit);
        let end = self.act(exit);
        // A system call that was put off has not been executed.
        let put_off = call && self.vcpu.state.pc() == before.wrapping_sub(4);
        if end.is_none() && whole && !put_off && self.is_stepped() { self.stepped() } else { end }
    }

    fn act(&mut self, exit: Exit) -> Option<Ended> {
        match exit {
            Exit::Svc(_) if self.debug.is_some() => {
                self.debug_away();
                let end = syscall::dispatch(self);
                if end.is_none() {
                    self.debug_back();
                }
                end
            }
            Exit::Svc(_) => syscall::dispatch(self),
            Exit::Fault(f) => self.deliver_fault(f),
            // The only syndromes that user code can raise tell of undefined or trapped instructions.
            Exit::Undefined(_) | Exit::Syndrome(_) => self.illegal(0),
            // At user level these trap as undefined, and their pc is the instruction after them.
            Exit::Hvc(_) | Exit::Smc(_) => self.illegal(4),
            Exit::Hlt(_) => self.illegal(0),
            Exit::Brk(_) => {
                let info = SigInfo::fault(libc::SIGTRAP, TRAP_BRKPT, self.vcpu.state.pc());
                self.force(&info, FaultRecord::default())
            }
            Exit::Wait(wait) => {
                match wait {
                    Wait::Yield => std::hint::spin_loop(),
                    Wait::Event | Wait::Interrupt => drop(host::call(libc::SYS_sched_yield, &[])),
                }
                None
            }
            Exit::InvalidateCode { addr, len } => {
                self.process.translator.invalidate(addr..addr.saturating_add(len));
                None
            }
            Exit::Interrupt => {
                self.context.acknowledge_exit();
                None
            }
            Exit::Next => None,
        }
    }

    /// SIGILL for the instruction `back` bytes before the pc.
    fn illegal(&mut self, back: u64) -> Option<Ended> {
        let pc = self.vcpu.state.pc().wrapping_sub(back);
        self.vcpu.state.set_pc(pc);
        self.force(&SigInfo::fault(libc::SIGILL, ILL_ILLOPC, pc), FaultRecord::default())
    }
}
