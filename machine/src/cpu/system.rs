//! What translated code may ask of the board: memory, interrupt controller, timers, TLB maintenance.
//!
//! Here is what it is made of, and how it keeps up with registers, time and other CPUs; [`registers`] has the system
//! registers and instructions, [`runtime`] what translated code calls.

mod registers;
mod runtime;

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use jib_backend::Translator;
use jib_debug::log::{Category, Log};
use jib_frontend_aarch64::A64System;
use jib_frontend_aarch64::cpu::Profile;
use jib_frontend_aarch64::system::exception::{ec, syndrome};
use jib_frontend_aarch64::system::mmu::Kind;
use jib_frontend_aarch64::system::state::{self, pstate};
use jib_frontend_aarch64::system::sysreg::{self, Encoding};
use jib_ir::runtime::{Access, Exit, Fault};
use jib_ir::state::{State, slot};

use super::alarm::Alarms;
use super::memory::Memory;
use super::semihosting::Console;
use super::shootdown::{Request, Shootdown};
use super::signals::Signals;
use super::spaces::{UpperHalves, upper_half};
use super::tlb::{Found, PAGE_SHIFT, Rights};
use crate::clock::{Clock, NANOS_PER_TICK, ticks};
use crate::devices::gic::Gic;
use crate::irq::IrqLine;
use crate::pmu::{Pmu, Totals};
use crate::timer::GenericTimer;

/// Most pages of a TLBI by range that are looked at for code; in more there is taken to be some.
const PAGES_LOOKED_AT: u64 = 512;

/// A CPU's own interrupt outputs.
pub struct OwnLines {
    /// Physical timer (CNTP).
    pub physical: IrqLine,
    /// Virtual timer (CNTV).
    pub virt: IrqLine,
    /// Performance monitors.
    pub pmu: IrqLine,
}

/// What a CPU's view of the board is made of.
pub struct Parts {
    /// Memory.
    pub memory: Memory,
    /// The interrupt controller.
    pub gic: Arc<Gic>,
    /// The CPU's inputs.
    pub signals: Arc<Signals>,
    /// The system counter.
    pub clock: Clock,
    /// Outputs of its timers and monitors.
    pub lines: OwnLines,
    /// Who wakes it for them.
    pub alarms: Arc<Alarms>,
    /// What CPUs ask of each other.
    pub shootdown: Arc<Shootdown>,
    /// Upper halves seen.
    pub upper: Arc<UpperHalves>,
    /// Translations of code.
    pub translator: Arc<Translator<A64System>>,
    /// What the CPU can.
    pub cpu: Profile,
    /// Where semihosting writes, if there is any.
    pub semihosting: Option<Console>,
    /// What is logged.
    pub log: Option<Log>,
    /// Tell of what is missing.
    pub verbose: bool,
}

/// One CPU's view of the board.
pub struct System {
    parts: Parts,
    timer: GenericTimer,
    pmu: Pmu,
    /// Nanoseconds slept.
    slept: u64,
    /// Requests of other CPUs carried out.
    done: u64,
    /// The last request of this CPU that it has not waited for; 0 if none.
    awaited: u64,
    parked: bool,
    /// The key mode bits of EL1 code.
    mode: u32,
}

impl Deref for System {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.parts
    }
}
impl DerefMut for System {
    fn deref_mut(&mut self) -> &mut Parts {
        &mut self.parts
    }
}

impl System {
    /// Puts a CPU's view together.
    pub fn new(parts: Parts) -> System {
        let done = parts.shootdown.issued();
        System {
            parts,
            timer: GenericTimer::default(),
            pmu: Pmu::default(),
            slept: 0,
            done,
            awaited: 0,
            parked: true,
            mode: 0,
        }
    }

    /// Takes over the translation registers after a reset.
    pub fn refresh(&mut self, s: &State) {
        self.timer = GenericTimer::default();
        self.pmu = Pmu::default();
        self.memory.flush();
        self.sync_regime(s);
        self.tick(s);
    }

    /// Takes over registers and tables that a debugger may have changed.
    pub fn resync(&mut self, s: &State) {
        self.carry_out(Request::All);
        self.sync_regime(s);
    }

    /// Writes down what the guest does to translation.
    fn log_mmu(&self, name: std::fmt::Arguments<'_>, v: u64) {
        if let Some(log) = &self.log {
            log.write(Category::Mmu, self.memory.cpu, format_args!("{name} {v:#x}"));
        }
    }

    /// Follows a write to a register that controls translation.
    fn sync_regime(&mut self, s: &State) {
        let (old, new) = (self.memory.regime, state::regime(s));
        if (old.sctlr, old.tcr, old.mair) != (new.sctlr, new.tcr, new.mair) {
            self.memory.flush();
        }
        // Kernels may keep the ASID in TTBR1_EL1: a context switch writes it, and the upper half stays what it was.
        if upper_half(&old) != upper_half(&new) {
            self.memory.spaces.upper_changed();
            self.mode = self.upper.mode(&new);
        } else if (old.ttbr0, old.ttbr1) != (new.ttbr0, new.ttbr1) {
            self.memory.spaces.lower_changed();
        }
        self.memory.regime = new;
        self.memory.asid = new.asid();
        let asid = self.memory.asid;
        self.memory.fast.set_asid(asid);
    }

    /// Drives the CPU's own interrupt lines, and has itself woken when they are to change.
    pub fn tick(&mut self, s: &State) {
        let now = self.clock.now();
        self.lines.physical.set(self.timer.physical.level(now));
        self.lines.virt.set(self.timer.virt.level(now));
        let mut deadline = self.timer.deadline(now);
        if self.pmu.is_counting() {
            self.catch_up_counters(s);
            let overflow = self.pmu.deadline().map(|cycles| now.saturating_add(cycles / NANOS_PER_TICK + 1));
            deadline = deadline.into_iter().chain(overflow).min();
        }
        self.lines.pmu.set(self.pmu.level());
        self.alarms.set(self.memory.cpu, deadline);
    }

    /// Brings the performance monitors up to now, and to the exception level from now on.
    fn catch_up_counters(&mut self, s: &State) {
        let cycles = self.clock.nanos().saturating_sub(self.slept);
        let totals = Totals { cycles, instructions: s.get(state::RETIRED) };
        self.pmu.catch_up(totals, state::el(s) == 0);
    }

    /// Whatever was done since the last look was done at the other exception level.
    #[cold]
    fn change_level_counted(&mut self, s: &State) {
        self.catch_up_counters(s);
    }

    /// The CPU sleeps while `sleep` runs: no cycle is counted.
    pub fn asleep<R>(&mut self, sleep: impl FnOnce() -> R) -> R {
        let before = self.clock.nanos();
        let result = sleep();
        self.slept += self.clock.nanos() - before;
        result
    }

    /// Time until a timer fires by itself.
    pub fn next_timer(&self) -> Option<Duration> {
        let now = self.clock.now();
        self.timer.deadline(now).map(|at| ticks(at - now))
    }

    /// Carries out what other CPUs asked for. Called between translations: then no access through an old translation
    /// is under way.
    #[inline]
    pub fn acknowledge(&mut self) {
        if self.parked {
            self.parked = false;
            // Before the look at what is asked: who asks sees it, or is seen.
            self.shootdown.report(self.memory.cpu, self.done);
        }
        if self.shootdown.issued() != self.done {
            self.catch_up();
        }
    }

    #[cold]
    fn catch_up(&mut self) {
        let (issued, requests) = self.shootdown.after(self.done);
        match requests {
            Some(requests) => requests.into_iter().for_each(|r| self.carry_out(r)),
            None => {
                self.memory.flush();
                self.translator.unlink_all();
            }
        }
        self.done = issued;
        self.shootdown.report(self.memory.cpu, issued);
    }

    fn carry_out(&mut self, request: Request) {
        let memory = &mut self.parts.memory;
        match request {
            Request::All => {
                memory.flush();
                self.translator.unlink_all();
            }
            Request::Asid(asid) => {
                memory.tlb.flush_asid(asid);
                memory.fast.flush_asid(asid);
                memory.spaces.forget_asid(asid);
            }
            Request::Pages(va, pages, asid) => {
                memory.tlb.flush_pages(va, pages, asid);
                memory.fast.flush_pages(va, pages, asid);
                if self.may_hold_code(va, pages) {
                    self.code_moved(va, pages, asid);
                }
            }
            Request::Code(host) => memory.fast.forbid_writes(host),
        }
    }

    /// May there be translated code in `pages` pages from `va` on?
    fn may_hold_code(&self, va: u64, pages: u64) -> bool {
        self.is_much(va, pages) || page_addresses(va, pages).any(|page| self.translator.has_code_at(page))
    }

    /// Are pages not to be looked at one by one?
    fn is_much(&self, va: u64, pages: u64) -> bool {
        pages > PAGES_LOOKED_AT || self.memory.large_code.overlaps(va, pages)
    }

    /// `pages` pages from `va` on, which hold code, mean something else.
    fn code_moved(&mut self, va: u64, pages: u64, asid: Option<u16>) {
        if is_lower(va, pages) {
            // No translation goes to another page there without asking.
            return self.memory.spaces.forget_lower(asid);
        }
        if self.is_much(va, pages) {
            self.memory.spaces.forget();
            return self.translator.unlink_all();
        }
        self.memory.spaces.forget_upper();
        page_addresses(va, pages).for_each(|page| self.translator.unlink_page(page));
    }

    /// The CPU runs no code, and its timers are its own business, from now until its next [`System::acknowledge`].
    pub fn park(&mut self) {
        self.parked = true;
        self.shootdown.park(self.memory.cpu);
        self.alarms.set(self.memory.cpu, None);
    }

    /// Does here what TLBI asks for, and has it done by the other CPUs if it is for `everyone`.
    fn invalidate(&mut self, request: Request, everyone: bool) {
        self.carry_out(request);
        // Links between translations are shared by all.
        let shared = || match request {
            Request::Pages(va, pages, _) => !is_lower(va, pages) && self.may_hold_code(va, pages),
            Request::All => true,
            Request::Asid(_) | Request::Code(_) => false,
        };
        if self.shootdown.several() && (everyone || shared()) {
            self.awaited = self.shootdown.issue(request, Some(self.memory.cpu));
            if self.awaited == self.done + 1 {
                // Nothing of others in between: it is done here.
                self.done = self.awaited;
                self.shootdown.report(self.memory.cpu, self.done);
            }
        }
    }

    /// Where the next instruction lies; from now on accesses have its rights. An error is the fault of its fetch.
    #[inline]
    pub(super) fn fetch(&mut self, s: &State) -> Result<Found, Exit> {
        let (pc, p) = (s.pc(), s.get(slot::PSTATE));
        let el0 = p & pstate::EL == 0;
        self.memory.rights = Rights { el0, pan: p & pstate::PAN != 0 };
        if self.pmu.is_counting() && !self.pmu.is_at(el0) {
            self.change_level_counted(s);
        }
        let fault = |cause| Exit::Fault(Fault { addr: pc, access: Access::Fetch, cause });
        if pc & 3 != 0 {
            return Err(fault(0));
        }
        let found = self.memory.translate(pc, Kind::Fetch, Rights { el0, pan: false });
        found.map_err(|fsc| fault(fsc.0 as u32))
    }

    /// Names what the guest used and we do not have, with `-v`.
    pub fn report_undefined(&self, exit: &Exit, pc: u64) {
        if let (true, Exit::Undefined(word)) = (self.verbose, exit) {
            let what = undefined_name(*word);
            eprintln!("jib: cpu {}: undefined {what} ({word:#010x}) at {pc:#x}", self.memory.cpu);
        }
    }
}

/// Do `pages` pages from `va` on lie in the lower half of the address space?
fn is_lower(va: u64, pages: u64) -> bool {
    let last = va.saturating_add(pages.saturating_mul(1 << PAGE_SHIFT)) - 1;
    (va | last) >> 55 == 0
}

/// The addresses of `pages` pages from `va` on.
fn page_addresses(va: u64, pages: u64) -> impl Iterator<Item = u64> {
    (0..pages).map(move |i| va.wrapping_add(i << PAGE_SHIFT))
}

/// What an undefined instruction is called: the system register or instruction that it names, if it does.
fn undefined_name(word: u32) -> String {
    let encoding = Encoding((word >> 5) as u16);
    let name = sysreg::find(encoding).map_or(String::new(), |row| format!(", {}", row.name));
    match (word & 0xffc0_0000, encoding.0 >> 14) {
        (0xd500_0000, 1) => format!("system instruction {encoding}"),
        (0xd500_0000, 2 | 3) => format!("system register {encoding}{name}"),
        _ => "instruction".to_string(),
    }
}

/// Illegal execution state: comes after faults of the fetch and breakpoints (Arm ARM D1, "Prioritization of Synchronous
/// exceptions").
#[inline]
pub(super) fn legal(s: &State) -> Result<(), Exit> {
    match s.get(slot::PSTATE) & pstate::IL {
        0 => Ok(()),
        _ => Err(Exit::Syndrome(syndrome(ec::ILLEGAL, 0))),
    }
}

#[cfg(test)]
mod tests {
    use super::undefined_name;

    #[test]
    fn what_is_missing_has_a_name() {
        let cases = [
            // MRS X0, HCR_EL2; MSR MPIDR_EL1, X0; TLBI ALLE2; UDF #1
            (0xd53c_1100, "system register S3_4_C1_C1_0"),
            (0xd518_00a0, "system register S3_0_C0_C0_5, MPIDR_EL1"),
            (0xd50c_871f, "system instruction S1_4_C8_C7_0"),
            (1, "instruction"),
        ];
        for (word, name) in cases {
            assert_eq!(undefined_name(word), name);
        }
    }
}
