//! The traced thread's side: it stops where its tracer wants to see it, and does what it says.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use jib_debug::engine::Engine;
use jib_debug::points::Watch;
use jib_ir::runtime::{Exit, Wait};
use jib_ir::state::slot;

use super::door::{BREAKS, INFO_WORDS, Kind, NO_CALL, STEP, SYSCALL, WATCHES, word};
use super::request::{OPTION_EXIT, OPTION_SECCOMP};
use crate::ExitStatus;
use crate::host::{self, ERESTARTNOINTR, Errno, try_call};
use crate::run::Ended;
use crate::signal::frame::FaultRecord;
use crate::signal::{SigInfo, TRAP_HWBKPT, TRAP_TRACE};
use crate::thread::Thread;

/// Ranges that a [`Ledger`] holds.
pub(super) const ROOM: usize = 64;

/// Where the tracer writes down which memory it has changed: code may have been translated from it.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// How many ranges were ever written, then start and end of the last [`ROOM`] of them.
    words: Box<[AtomicU64; 1 + 2 * ROOM]>,
    seen: Mutex<u64>,
}

impl Default for Ledger {
    fn default() -> Ledger {
        Ledger { words: Box::new(std::array::from_fn(|_| AtomicU64::new(0))), seen: Mutex::new(0) }
    }
}

impl Ledger {
    fn address(&self) -> u64 {
        self.words.as_ptr() as u64
    }

    /// Calls `f` for each range that was changed since the last time.
    fn take(&self, mut f: impl FnMut(std::ops::Range<u64>)) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let count = self.words[0].load(Ordering::Acquire);
        if count - *seen > ROOM as u64 {
            f(0..u64::MAX);
        } else {
            for i in *seen..count {
                let at = 1 + 2 * (i as usize % ROOM);
                f(self.words[at].load(Ordering::Relaxed)..self.words[at + 1].load(Ordering::Relaxed));
            }
        }
        *seen = count;
    }
}

/// Control bits of a breakpoint or watchpoint register (Arm ARM D24.3, DBGBCR_EL1 and DBGWCR_EL1).
const ENABLED: u64 = 1;

impl Thread {
    /// Is there a tracer, as far as is known?
    #[inline]
    pub(crate) fn is_traced(&self) -> bool {
        self.context.door().is_traced()
    }

    /// `PTRACE_TRACEME`
    pub(crate) fn trace_me(&mut self) -> Result<i64, Errno> {
        try_call(libc::SYS_ptrace, &[libc::PTRACE_TRACEME as u64, 0, 0, 0])?;
        self.context.door().set(word::TRACED, 1);
        self.process.translator.set_alone(true);
        Ok(0)
    }

    /// Stops at the door, until the tracer lets the thread go on. Without a tracer it goes on at once.
    fn stop(&mut self, kind: Kind, message: u64) {
        self.process.translator.set_alone(true);
        let door = self.context.door();
        door.set(word::KIND, kind as u64);
        door.set(word::MESSAGE, message);
        door.set(word::LEDGER, self.process.ledger.address());
        if !host::stop(door) {
            door.forget_tracer();
            self.process.translator.set_alone(false);
        }
        if door.get(word::REMASK) != 0 {
            door.set(word::REMASK, 0);
            self.context.set_mask(self.context.mask());
        }
        self.take_changes();
    }

    /// Drops translations of code that the tracer changed.
    fn take_changes(&self) {
        self.process.ledger.take(|range| self.process.translator.invalidate(range));
    }

    /// Stops if the tracer asked for it, and tells whether it did. The registers are as before the next instruction,
    /// and the host's signal mask is the guest's.
    pub(crate) fn traced_boundary(&mut self) -> bool {
        let called = self.context.door().get(word::CALLED) != 0;
        if called {
            self.context.door().set(word::CALLED, 0);
            self.context.acknowledge_exit();
            self.stop(Kind::Called, 0);
        }
        called
    }

    /// What the tracer makes of a signal that is about to be delivered.
    pub(crate) fn traced_signal(&mut self, info: &SigInfo) -> Option<SigInfo> {
        if !self.is_traced() {
            return Some(*info);
        }
        let door = self.context.door();
        if door.get(word::SKIP) == info.signal() as u64 {
            door.set(word::SKIP, 0);
            return Some(*info);
        }
        for (i, w) in info.words().into_iter().enumerate() {
            door.set(word::INFO + i, w);
        }
        door.set(word::SIGNAL, info.signal() as u64);
        // As in Linux, the tracer sees a call that is to be made again as not yet made.
        let restart = self.restart;
        if restart {
            self.step_back();
        }
        let pc = self.vcpu.state.pc();
        self.stop(Kind::Signal, 0);
        if self.vcpu.state.pc() != pc {
            self.restart = false;
        } else if restart {
            self.step_forth();
        }
        let door = self.context.door();
        let info = SigInfo::from_words(&std::array::from_fn::<u64, INFO_WORDS, _>(|i| door.get(word::INFO + i)));
        match door.get(word::SIGNAL) as i32 {
            0 => None,
            signal if signal == info.signal() => Some(info),
            signal => Some(SigInfo::user(signal)),
        }
    }

    /// A handler was entered: a step ends here.
    pub(crate) fn traced_handler(&mut self) -> Option<Ended> {
        if self.context.door().get(word::MODE) == STEP { self.stepped() } else { None }
    }

    /// A system call begins. Gives its number, which the tracer may change.
    pub(crate) fn traced_entry(&mut self, nr: u32) -> u32 {
        let door = self.context.door();
        door.set(word::CALL, nr as u64);
        if door.get(word::MODE) == SYSCALL {
            self.stop(Kind::Entry, 0);
        }
        self.context.door().get(word::CALL) as u32
    }

    /// A system call has ended; `result` is how it shows that it was interrupted, or 0.
    pub(crate) fn traced_exit(&mut self, result: i64) {
        let door = self.context.door();
        let mode = door.get(word::MODE);
        if mode == SYSCALL && door.get(word::CALL) != NO_CALL {
            match result {
                0 => self.stop(Kind::Exit, 0),
                _ => self.show_restart(result),
            }
        }
        self.context.door().set(word::CALL, NO_CALL);
        // Other threads of the process may have been stopped longer than this one.
        self.take_changes();
    }

    /// The tracer sees an interrupted call as ended with an error that no program gets to see.
    fn show_restart(&mut self, result: i64) {
        let (x0, back) = (self.vcpu.state.x(0), result == ERESTARTNOINTR);
        self.vcpu.state.set_x(0, result as u64);
        if back {
            self.step_forth();
        }
        let pc = self.vcpu.state.pc();
        self.stop(Kind::Exit, 0);
        if self.vcpu.state.pc() != pc {
            self.restart = false;
        } else if back {
            self.step_back();
        }
        if self.vcpu.state.x(0) == result as u64 {
            self.vcpu.state.set_x(0, x0);
        }
    }

    /// A filter wants the tracer asked. `None` if there is none that listens, else the number of the call.
    pub(crate) fn traced_filter(&mut self, nr: u32, datum: u16) -> Option<u32> {
        let door = self.context.door();
        if !door.is_traced() || door.get(word::OPTIONS) & OPTION_SECCOMP == 0 {
            return None;
        }
        door.set(word::CALL, nr as u64);
        self.stop(Kind::Seccomp, datum as u64);
        Some(self.context.door().get(word::CALL) as u32)
    }

    /// The program is about to begin, after an `execve` by a traced thread.
    pub(crate) fn traced_exec(&mut self) {
        const EXECVE: u64 = 221;
        let door = self.context.door();
        door.set(word::TRACED, 1);
        door.set(word::CALL, EXECVE);
        self.stop(Kind::Exec, 0);
        self.traced_exit(0);
    }

    /// A thread or process is about to be made.
    pub(crate) fn traced_cloning(&mut self, flags: u64) {
        if self.is_traced() {
            self.stop(Kind::Cloning, flags);
        }
    }

    /// A thread or process has been made, and this is it. It has seen no system call begin.
    pub(crate) fn traced_born(&mut self) {
        self.context.door().set(word::CALL, NO_CALL);
        if self.is_traced() {
            self.stop(Kind::Born, 0);
        }
    }

    /// The thread is about to end.
    pub(crate) fn traced_end(&mut self, end: Ended) {
        if self.is_traced() && self.context.door().get(word::OPTIONS) & OPTION_EXIT != 0 {
            let status = match end {
                Ended::Thread(code) | Ended::Process(ExitStatus::Exited(code)) => (code as u64 & 0xff) << 8,
                Ended::Process(ExitStatus::Signaled(signal)) => signal as u64,
            };
            self.stop(Kind::End, status);
        }
    }

    /// Is the thread to execute one instruction?
    pub(crate) fn is_stepped(&self) -> bool {
        self.context.door().get(word::MODE) == STEP
    }

    /// Executes one instruction, unless a breakpoint or watchpoint register forbids it: then `Err` is how it ended.
    pub(crate) fn run_watched(&mut self) -> Result<Exit, Option<Ended>> {
        if self.vcpu.state.get(slot::EXIT_REQUEST) != 0 {
            return Ok(Exit::Interrupt);
        }
        let pc = self.vcpu.state.pc();
        if self.breaks_at(pc) {
            return Err(self.trap(TRAP_HWBKPT, pc));
        }
        let watches = self.watches();
        let mut engine = self.stepper.take().unwrap_or_else(|| Box::new(Engine::default()));
        let (exit, hit) = self.run_piece_watched(&mut engine, &watches, 1);
        self.stepper = Some(engine);
        match hit {
            Some(hit) => Err(self.trap(TRAP_HWBKPT, hit.addr)),
            None => Ok(exit),
        }
    }

    fn trap(&mut self, code: i32, addr: u64) -> Option<Ended> {
        self.force(&SigInfo::fault(libc::SIGTRAP, code, addr), FaultRecord::default())
    }

    /// The thread has executed the one instruction that it was to.
    pub(crate) fn stepped(&mut self) -> Option<Ended> {
        self.trap(TRAP_TRACE, self.vcpu.state.pc())
    }

    fn breaks_at(&self, pc: u64) -> bool {
        let door = self.context.door();
        (0..BREAKS)
            .any(|i| door.get(word::BREAK + 2 * i + 1) & ENABLED != 0 && door.get(word::BREAK + 2 * i) == pc & !3)
    }

    fn watches(&self) -> Vec<Watch> {
        let door = self.context.door();
        let watch = |i: usize| watch(door.get(word::WATCH + 2 * i), door.get(word::WATCH + 2 * i + 1));
        (0..WATCHES).filter_map(watch).collect()
    }
}

/// What a watchpoint register watches: enabled, load and store bits, and the bytes of a double word.
fn watch(addr: u64, control: u64) -> Option<Watch> {
    let bytes = control >> 5 & 0xff;
    if control & ENABLED == 0 || bytes == 0 {
        return None;
    }
    let (first, len) = (bytes.trailing_zeros() as u64, bytes.count_ones() as u64);
    let (read, write) = (control >> 3 & 1 != 0, control >> 4 & 1 != 0);
    Some(Watch { addr: (addr & !7).wrapping_add(first), len, read, write, el0: true, el1: false })
}

/// Has an instruction been executed when a run of one ends so?
pub(crate) fn is_whole(exit: &Exit) -> bool {
    matches!(
        exit,
        Exit::Next
            | Exit::Svc(_)
            | Exit::InvalidateCode { .. }
            | Exit::Wait(Wait::Yield | Wait::Event | Wait::Interrupt)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_once_and_too_many_as_everything() {
        let ledger = Ledger::default();
        let write = |i: u64| {
            let at = 1 + 2 * (i as usize % ROOM);
            ledger.words[at].store(i, Ordering::Relaxed);
            ledger.words[at + 1].store(i + 4, Ordering::Relaxed);
            ledger.words[0].store(i + 1, Ordering::Release);
        };
        let taken = || {
            let mut out = Vec::new();
            ledger.take(|r| out.push(r));
            out
        };
        write(0);
        write(1);
        assert_eq!(taken(), [0..4, 1..5]);
        assert!(taken().is_empty());
        (2..3 + ROOM as u64).for_each(write);
        assert!(matches!(taken()[..], [std::ops::Range { start: 0, end: u64::MAX }]));
    }

    #[test]
    fn watchpoint_registers_watch_some_bytes() {
        let w = watch(0x1000, 0xf0 << 5 | 2 << 3 | 1).unwrap();
        assert_eq!((w.addr, w.len, w.read, w.write), (0x1004, 4, false, true));
        assert!(watch(0x1000, 0xf0 << 5 | 2 << 3).is_none());
    }
}
