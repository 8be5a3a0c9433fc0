//! The run loop of one guest thread: runs code, and sees to whatever stopped it.

use jib_ir::runtime::{Exit, Wait};

use crate::ExitStatus;
use crate::debug::Ran;
use crate::host;
use crate::signal::SigInfo;
use crate::signal::frame::FaultRecord;
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

/// `si_code` values.
const ILL_ILLOPC: i32 = 1;
const TRAP_BRKPT: i32 = 1;

impl Thread {
    /// Runs until the thread or the process ends.
    pub(crate) fn run(&mut self) -> Ended {
        loop {
            if let Some(end) = self.step() {
                return end;
            }
            if (self.context.is_pending() || self.restart)
                && let Some(end) = self.deliver_signals()
            {
                return end;
            }
        }
    }

    fn step(&mut self) -> Option<Ended> {
        let exit = match self.debug.take() {
            None => self.vcpu.run(&mut self.runtime),
            Some(debug) => match self.run_debugged(debug) {
                Ran::Exit(exit) => exit,
                Ran::Signal(signal) => return self.debug_inject(signal),
            },
        };
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
