//! What translated code may ask of the board: memory, interrupt controller, timers, TLB maintenance.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jib_backend::Translator;
use jib_debug::log::{Category, Log};
use jib_frontend_aarch64::A64System;
use jib_frontend_aarch64::system::debug;
use jib_frontend_aarch64::system::exception::{ec, syndrome};
use jib_frontend_aarch64::system::mmu::Kind;
use jib_frontend_aarch64::system::state::{self, pstate};
use jib_frontend_aarch64::system::sysreg::{Encoding, find, reg};
use jib_ir::eval::int;
use jib_ir::runtime::{Access, Exit, Fault, Location, RmwOp, Runtime};
use jib_ir::state::{State, slot};
use jib_ir::ty::Size;

use super::alarm::Alarms;
use super::memory::Memory;
use super::shootdown::{Request, Shootdown};
use super::signals::Signals;
use super::spaces::{UpperHalves, upper_half};
use super::tlb::{Found, PAGE_SHIFT, Rights};
use crate::clock::{COUNTER_HZ, Clock, ticks};
use crate::devices::gic::Gic;
use crate::devices::gic::icc::Icc;
use crate::irq::IrqLine;
use crate::timer::{GenericTimer, Timer};

/// Interrupt outputs of a CPU's timers.
pub struct TimerLines {
    /// Physical timer (CNTP).
    pub physical: IrqLine,
    /// Virtual timer (CNTV).
    pub virt: IrqLine,
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
    /// Outputs of its timers.
    pub lines: TimerLines,
    /// Who wakes it for them.
    pub alarms: Arc<Alarms>,
    /// What CPUs ask of each other.
    pub shootdown: Arc<Shootdown>,
    /// Upper halves seen.
    pub upper: Arc<UpperHalves>,
    /// Translations of code.
    pub translator: Arc<Translator<A64System>>,
    /// What is logged.
    pub log: Option<Log>,
    /// Tell of what is missing.
    pub verbose: bool,
}

/// One CPU's view of the board.
pub struct System {
    parts: Parts,
    timer: GenericTimer,
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
        System { parts, timer: GenericTimer::default(), done, awaited: 0, parked: true, mode: 0 }
    }

    /// Takes over the translation registers after a reset.
    pub fn refresh(&mut self, s: &State) {
        self.timer = GenericTimer::default();
        self.memory.flush();
        self.sync_regime(s);
        self.tick();
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

    /// Drives the timers' interrupt lines, and has itself woken when they are to change.
    pub fn tick(&mut self) {
        let now = self.clock.now();
        self.lines.physical.set(self.timer.physical.level(now));
        self.lines.virt.set(self.timer.virt.level(now));
        self.alarms.set(self.memory.cpu, self.timer.deadline(now));
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
            Request::Page(va) => {
                memory.tlb.flush_page(va);
                memory.fast.flush_page(va);
                if memory.large_code.contains(va) {
                    memory.spaces.forget();
                    self.parts.translator.unlink_all();
                } else if self.parts.translator.has_code_at(va) {
                    memory.spaces.forget();
                    self.parts.translator.unlink_page(va);
                }
            }
            Request::Code(host) => memory.fast.forbid_writes(host),
        }
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
        let shared = match request {
            Request::Page(va) => self.memory.large_code.contains(va) || self.translator.has_code_at(va),
            Request::All => true,
            Request::Asid(_) | Request::Code(_) => false,
        };
        if (everyone || shared) && self.shootdown.several() {
            self.awaited = self.shootdown.issue(request, Some(self.memory.cpu));
            if self.awaited == self.done + 1 {
                // Nothing of others in between: it is done here.
                self.done = self.awaited;
                self.shootdown.report(self.memory.cpu, self.done);
            }
        }
    }

    /// Names what the guest used and we do not have, with `-v`.
    pub fn report_undefined(&self, exit: &Exit, pc: u64) {
        if let (true, Exit::Undefined(word)) = (self.verbose, exit) {
            eprintln!("jib: cpu {}: undefined instruction {word:#010x} at {pc:#x}", self.memory.cpu);
        }
    }

    fn undefined(&self, op: u32) -> Exit {
        let encoding = Encoding(op as u16);
        if self.verbose {
            let name = find(encoding).map_or("no row", |r| r.name);
            eprintln!("jib: cpu {}: system register {encoding} ({name}) is not implemented", self.memory.cpu);
        }
        Exit::Undefined(0)
    }

    /// Writes down which interrupt was acknowledged.
    fn log_acknowledged(&self, encoding: Encoding, v: u64) {
        if let (Some(log), reg::ICC_IAR0_EL1 | reg::ICC_IAR1_EL1) = (&self.log, encoding) {
            log.write(Category::Irq, self.memory.cpu, format_args!("acknowledged {v}"));
        }
    }

    fn read(&mut self, op: u32) -> Result<u64, Exit> {
        let now = self.clock.now();
        Ok(match Encoding(op as u16) {
            reg::CNTP_TVAL_EL0 => self.timer.physical.tval(now),
            reg::CNTP_CTL_EL0 => self.timer.physical.ctl(now),
            reg::CNTP_CVAL_EL0 => self.timer.physical.cval(),
            reg::CNTV_TVAL_EL0 => self.timer.virt.tval(now),
            reg::CNTV_CTL_EL0 => self.timer.virt.ctl(now),
            reg::CNTV_CVAL_EL0 => self.timer.virt.cval(),
            reg::ISR_EL1 => (self.signals.irq() as u64) << 7 | (self.signals.fiq() as u64) << 6,
            encoding => match icc(encoding) {
                Some(reg) if reg.readable() => {
                    let v = self.gic.read_icc(self.memory.cpu, reg);
                    self.log_acknowledged(encoding, v);
                    v
                }
                _ => return Err(self.undefined(op)),
            },
        })
    }

    fn write(&mut self, s: &mut State, op: u32, v: u64) -> Result<(), Exit> {
        let encoding = Encoding(op as u16);
        match encoding {
            reg::CNTP_TVAL_EL0 | reg::CNTP_CTL_EL0 | reg::CNTP_CVAL_EL0 => self.write_timer(encoding, v, false),
            reg::CNTV_TVAL_EL0 | reg::CNTV_CTL_EL0 | reg::CNTV_CVAL_EL0 => self.write_timer(encoding, v, true),
            reg::SCTLR_EL1 | reg::TCR_EL1 | reg::MAIR_EL1 | reg::TTBR0_EL1 | reg::TTBR1_EL1 => {
                self.log_mmu(format_args!("{}", find(encoding).map_or("", |r| r.name)), v);
                self.sync_regime(s);
            }
            // Read where they matter.
            reg::CPACR_EL1 | reg::MDSCR_EL1 => {}
            // Breakpoints and watchpoints.
            _ if op >> 14 == 2 => {}
            _ if op >> 14 == 1 => return self.instruction(s, encoding, v),
            _ => match icc(encoding) {
                Some(reg) if reg.writable() => self.gic.write_icc(self.memory.cpu, reg, v),
                _ => return Err(self.undefined(op)),
            },
        }
        Ok(())
    }

    fn write_timer(&mut self, encoding: Encoding, v: u64, virt: bool) {
        let now = self.clock.now();
        let timer: &mut Timer = if virt { &mut self.timer.virt } else { &mut self.timer.physical };
        match encoding.op2() {
            0 => timer.set_tval(now, v),
            1 => timer.set_ctl(v),
            _ => timer.set_cval(v),
        }
        self.tick();
    }

    /// TLBI, AT, IC.
    fn instruction(&mut self, s: &mut State, encoding: Encoding, v: u64) -> Result<(), Exit> {
        match encoding.crn() {
            8 => self.tlbi(encoding, v),
            7 if encoding.crm() >= 8 => self.address_translate(s, encoding, v),
            // IC IALLUIS, IC IALLU
            _ => self.translator.invalidate_all(),
        }
        Ok(())
    }

    fn tlbi(&mut self, encoding: Encoding, v: u64) {
        self.log_mmu(format_args!("TLBI {encoding}"), v);
        let request = match encoding.op2() {
            // VMALLE1
            0 => Request::All,
            // ASIDE1
            2 => Request::Asid((v >> 48) as u16),
            // VAE1, VAAE1, VALE1, VAALE1
            _ => Request::Page(v << 12),
        };
        // CRm 3 and 1 are the inner and outer shareable forms.
        self.invalidate(request, matches!(encoding.crm(), 1 | 3));
    }

    /// AT S1E1R, S1E1W, S1E0R, S1E0W, S1E1RP, S1E1WP: PAR_EL1 tells what a translation finds.
    fn address_translate(&mut self, s: &mut State, encoding: Encoding, va: u64) {
        let op2 = encoding.op2();
        let kind = if op2 & 1 == 1 { Kind::Write } else { Kind::Read };
        let rights = Rights { el0: op2 & 2 != 0, pan: encoding.crm() == 9 && self.memory.rights.pan };
        let par = match self.memory.translate(va, kind, rights) {
            Ok(Found { pa, entry }) => {
                let attributes = if entry.device { 0x04u64 } else { 0xff } << 56;
                attributes | pa & 0x0000_ffff_ffff_f000 | 1 << 11 | 3 << 7
            }
            Err(fsc) => 1 << 11 | (fsc.0 as u64) << 1 | 1,
        };
        s.set(state::PAR, par);
    }
}

/// The interrupt controller's register at `encoding`.
fn icc(encoding: Encoding) -> Option<Icc> {
    let e = encoding.0;
    Icc::at((e >> 14) as u8, (e >> 11 & 7) as u8, encoding.crn() as u8, encoding.crm() as u8, encoding.op2() as u8)
}

impl Runtime for System {
    #[inline]
    fn load(&mut self, size: Size, addr: u64) -> Result<u128, Fault> {
        let rights = self.memory.rights;
        self.memory.load(size, addr, rights)
    }
    #[inline]
    fn store(&mut self, size: Size, addr: u64, v: u128) -> Result<(), Fault> {
        let rights = self.memory.rights;
        self.memory.store(size, addr, v, rights)
    }
    fn store_release(&mut self, size: Size, addr: u64, v: u128) -> Result<(), Fault> {
        self.store(size, addr, v)?;
        self.fence();
        Ok(())
    }
    fn rmw(&mut self, op: RmwOp, size: Size, addr: u64, v: u64) -> Result<u64, Fault> {
        self.memory.update(size, addr, |old| int::rmw(op, size, old, v))
    }
    fn cas(&mut self, size: Size, addr: u64, expected: u128, new: u128) -> Result<u128, Fault> {
        self.memory.cas(size, addr, expected, new)
    }
    fn fence(&mut self) {
        std::sync::atomic::fence(Ordering::SeqCst);
    }
    fn counter(&mut self) -> u64 {
        self.clock.now()
    }
    fn counter_hz(&self) -> u64 {
        COUNTER_HZ
    }
    fn random(&mut self) -> Option<u64> {
        crate::host::entropy()
    }
    fn synchronize(&mut self) {
        self.fence();
        while self.awaited != 0 {
            if self.shootdown.complete(self.awaited) || self.signals.quitting() {
                self.awaited = 0;
                return;
            }
            // Others may be waiting for this CPU meanwhile.
            self.acknowledge();
            std::thread::yield_now();
        }
    }
    fn send_event(&mut self) {
        let me = self.memory.cpu;
        self.shootdown.others(Some(me)).for_each(|(_, signals)| signals.send_event());
    }
    #[inline]
    fn locate(&mut self, s: &State) -> Result<Location, Exit> {
        self.acknowledge();
        let p = s.get(slot::PSTATE);
        if (self.signals.irq() && p & pstate::I == 0) || (self.signals.fiq() && p & pstate::F == 0) {
            return Err(Exit::Interrupt);
        }
        if debug::is_active(s) {
            // The next instructions are to be observed, and not by compiled code.
            return Err(Exit::Interrupt);
        }
        if p & pstate::IL != 0 {
            return Err(Exit::Syndrome(syndrome(ec::ILLEGAL, 0)));
        }
        let (pc, el0) = (s.pc(), p & pstate::EL == 0);
        let memory = &mut self.parts.memory;
        memory.rights = Rights { el0, pan: p & pstate::PAN != 0 };
        let fault = |cause| Err(Exit::Fault(Fault { addr: pc, access: Access::Fetch, cause }));
        if pc & 3 != 0 {
            return fault(0);
        }
        let found = match memory.translate(pc, Kind::Fetch, Rights { el0, pan: false }) {
            Ok(found) => found,
            Err(fsc) => return fault(fsc.0 as u32),
        };
        if found.entry.shift > PAGE_SHIFT {
            memory.large_code.add(pc, found.entry.shift);
        }
        Ok(Location {
            page: found.pa & !0xfff,
            mode: if el0 { 0 } else { self.mode },
            space: memory.spaces.number(el0, memory.asid, pc),
            tlb: memory.fast.address(memory.rights),
            tlb_unprivileged: memory.fast.address(Rights { el0: true, pan: false }),
        })
    }
    fn host_address(&mut self, access: Access, addr: u64, unprivileged: bool) -> Option<u64> {
        let rights = if unprivileged { Rights { el0: true, pan: false } } else { self.memory.rights };
        self.memory.direct(access, addr, rights)
    }
    fn code_changed(&mut self, addr: u64, len: u64) -> bool {
        let rights = self.memory.rights;
        if let Ok(found) = self.memory.translate(addr, Kind::Read, rights)
            && let Some(offset) = self.memory.space.ram().offset(found.pa, len)
        {
            self.memory.space.ram().pages().written(offset, len);
        }
        true
    }
    fn load_unprivileged(&mut self, size: Size, addr: u64) -> Result<u128, Fault> {
        self.memory.load(size, addr, Rights { el0: true, pan: false })
    }
    fn store_unprivileged(&mut self, size: Size, addr: u64, v: u128) -> Result<(), Fault> {
        self.memory.store(size, addr, v, Rights { el0: true, pan: false })
    }
    fn system(&mut self, state: &mut State, op: u32, v: Option<u64>) -> Result<u64, Exit> {
        match v {
            None => self.read(op),
            Some(v) => self.write(state, op, v).map(|()| 0),
        }
    }
}
