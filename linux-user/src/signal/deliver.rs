//! Delivery: turns a noted signal or a fault of guest code into a call of the guest's handler.

use jib_ir::interp::CAUSE_ALIGNMENT;
use jib_ir::runtime::{Access, Fault};
use jib_ir::state::slot;

use super::action::{Action, DefaultAction, IGNORE, SA_RESTORER, default_action};
use super::frame::{self, FaultRecord};
use super::{AltStack, SS_AUTODISARM, SigInfo, bit, host};
use crate::mem::SEGV_MAPERR;
use crate::run::Ended;
use crate::syscall::strace;
use crate::thread::Thread;
use crate::{ExitStatus, host::Errno};

/// Bytes of an AArch64 instruction.
pub(crate) const INSN: u64 = 4;

impl Thread {
    /// Delivers what is pending, then lets signals in again.
    pub(crate) fn deliver_signals(&mut self) -> Option<Ended> {
        loop {
            while let Some(info) = self.context.take() {
                let Some(info) = self.debug_signal(&info).and_then(|info| self.traced_signal(&info)) else { continue };
                if let Some(end) = self.deliver(&info, FaultRecord::default()) {
                    return Some(end);
                }
            }
            if std::mem::take(&mut self.restart) {
                // No handler ran: the system call is simply made again.
                self.step_back();
            }
            self.temporary_mask = None;
            self.context.set_mask(self.context.mask());
            // While a tracer had it, anything may have come.
            if !self.context.is_pending() && !self.traced_boundary() {
                return None;
            }
        }
    }

    /// Makes the system call at hand again.
    pub(crate) fn step_back(&mut self) {
        let pc = self.vcpu.state.pc();
        self.vcpu.state.set_pc(pc.wrapping_sub(INSN));
    }

    /// Undoes [`Thread::step_back`].
    pub(crate) fn step_forth(&mut self) {
        let pc = self.vcpu.state.pc();
        self.vcpu.state.set_pc(pc.wrapping_add(INSN));
    }

    /// Acts on one signal that was sent to us.
    pub(crate) fn deliver(&mut self, info: &SigInfo, fault: FaultRecord) -> Option<Ended> {
        let signal = info.signal();
        let action = self.actions.get(signal);
        if action.handler != IGNORE {
            strace::signal(&self.process, info);
        }
        if action.is_handler() {
            return self.call_handler(info, &action, fault);
        }
        if action.handler == IGNORE {
            return None;
        }
        match default_action(signal) {
            DefaultAction::Ignore => None,
            DefaultAction::Stop => {
                host::stop_by(signal);
                None
            }
            DefaultAction::Terminate => {
                self.death = Some(*info);
                Some(Ended::Process(ExitStatus::Signaled(signal)))
            }
        }
    }

    /// A signal that guest code brought upon itself: blocking or ignoring it does not help.
    pub(crate) fn force(&mut self, info: &SigInfo, fault: FaultRecord) -> Option<Ended> {
        let own = info.signal();
        let Some(info) = &self.debug_signal(info).and_then(|info| self.traced_signal(&info)) else { return None };
        let signal = info.signal();
        if signal != own {
            // A debugger's choice is a signal like any other.
            return self.deliver(info, FaultRecord::default());
        }
        let blocked = self.context.mask() & bit(signal) != 0;
        let end = if blocked || !self.actions.get(signal).is_handler() {
            strace::signal(&self.process, info);
            self.report_death(signal, fault.addr);
            self.death = Some(*info);
            Some(Ended::Process(ExitStatus::Signaled(signal)))
        } else {
            self.deliver(info, fault)
        };
        if end.is_none() {
            self.context.set_mask(self.context.mask());
        }
        end
    }

    /// Tells where the program died and with which registers, if asked to be talkative.
    fn report_death(&self, signal: i32, addr: u64) {
        if !self.process.verbose {
            return;
        }
        let s = &self.vcpu.state;
        let mut text =
            format!("jib: the program dies of signal {signal} at pc {:#x}, address {addr:#x}; registers:\n", s.pc());
        for n in 0..32 {
            let end = if n % 4 == 3 { '\n' } else { ' ' };
            text += &format!("x{n:<2} {:016x}{end}", s.x(n));
        }
        crate::host::print(2, &text);
    }

    /// A failed memory access or instruction fetch.
    pub(crate) fn deliver_fault(&mut self, f: Fault) -> Option<Ended> {
        let alignment = f.cause == CAUSE_ALIGNMENT;
        let (signal, code) = match f.cause {
            CAUSE_ALIGNMENT => (libc::SIGBUS, libc::BUS_ADRALN as u32),
            c if matches!((c >> 16) as i32, libc::SIGSEGV | libc::SIGBUS) => ((c >> 16) as i32, c & 0xffff),
            _ => (libc::SIGSEGV, SEGV_MAPERR),
        };
        let info = SigInfo::fault(signal, code as i32, f.addr);
        self.force(&info, FaultRecord { addr: f.addr, esr: syndrome(&f, signal, code, alignment) })
    }

    /// Builds the frame and makes the handler the next thing to run.
    fn call_handler(&mut self, info: &SigInfo, action: &Action, fault: FaultRecord) -> Option<Ended> {
        let signal = info.signal();
        self.settle_restart(action.flags);
        if action.flags & libc::SA_RESETHAND as u32 as u64 != 0 {
            self.actions.set(signal, Action::default());
        }
        let (top, floor) = self.signal_stack(action.flags);
        let saved = self.context.mask();
        let Some(placed) = frame::push(&self.vcpu.state, top, floor, info, self.alt, saved, fault) else {
            return self.no_room(signal);
        };
        let own = if action.flags & libc::SA_NODEFER as u64 != 0 { 0 } else { bit(signal) };
        self.context.adopt_mask(self.temporary_mask.take().unwrap_or(saved) | action.mask | own);
        if self.alt.flags & SS_AUTODISARM != 0 {
            self.alt = AltStack::default();
        }
        let s = &mut self.vcpu.state;
        s.set_x(0, signal as u64);
        if action.flags & libc::SA_SIGINFO as u64 != 0 {
            s.set_x(1, placed.frame);
            s.set_x(2, placed.frame + frame::UCONTEXT);
        }
        s.set_x(29, placed.record);
        s.set_x(30, if action.flags & SA_RESTORER != 0 { action.restorer } else { self.process.vdso.sigreturn });
        s.set_x(31, placed.frame);
        s.set_pc(action.handler);
        s.set(slot::EXCL_ADDR, u64::MAX);
        self.traced_handler()
    }

    /// What an interrupted system call turns into, now that a handler runs.
    fn settle_restart(&mut self, flags: u64) {
        if std::mem::take(&mut self.restart) {
            if flags & libc::SA_RESTART as u64 != 0 {
                self.step_back();
            } else {
                self.vcpu.state.set_x(0, Errno(libc::EINTR).raw() as u64);
            }
        }
    }

    /// Where the frame goes, and below which address it may not reach.
    fn signal_stack(&self, flags: u64) -> (u64, u64) {
        let sp = self.vcpu.state.x(31);
        if self.alt.holds(sp) {
            (sp, self.alt.sp)
        } else if flags & libc::SA_ONSTACK as u64 != 0 && self.alt.enabled() {
            (self.alt.sp.wrapping_add(self.alt.size), self.alt.sp)
        } else {
            (sp, 0)
        }
    }

    /// The frame does not fit: SIGSEGV instead, unless it is that which does not fit.
    fn no_room(&mut self, signal: i32) -> Option<Ended> {
        if signal == libc::SIGSEGV {
            return Some(Ended::Process(ExitStatus::Signaled(signal)));
        }
        let info = SigInfo::fault(libc::SIGSEGV, SEGV_MAPERR as i32, self.vcpu.state.x(31));
        self.force(&info, FaultRecord::default())
    }

    /// `rt_sigreturn`
    pub(crate) fn signal_return(&mut self) -> Option<Ended> {
        let sp = self.vcpu.state.x(31);
        let Some(restored) = frame::pop(&mut self.vcpu.state, sp) else {
            let info = SigInfo::fault(libc::SIGSEGV, SEGV_MAPERR as i32, sp);
            return self.force(&info, FaultRecord::default());
        };
        self.vcpu.state.set(slot::EXCL_ADDR, u64::MAX);
        // As in Linux, a stack that would be refused now is silently kept as it is.
        if let Ok(alt) = AltStack::from_bytes(&restored.stack)
            && !self.alt.holds(self.vcpu.state.x(31))
        {
            self.alt = alt;
        }
        self.context.set_mask(restored.mask);
        None
    }
}

/// Exception syndrome of a fault from user level.
fn syndrome(f: &Fault, signal: i32, code: u32, alignment: bool) -> u64 {
    const IL: u64 = 1 << 25;
    let status = match (alignment, signal, code) {
        (true, ..) => 0x21,
        (_, libc::SIGBUS, _) => 0x10,
        (_, _, SEGV_MAPERR) => 0x07,
        _ => 0x0f,
    };
    match f.access {
        Access::Read => 0x24 << 26 | IL | status,
        Access::Write => 0x24 << 26 | IL | 1 << 6 | status,
        Access::Fetch => 0x20 << 26 | IL | status,
    }
}
