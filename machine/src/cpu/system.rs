//! What translated code may ask of the board: memory, interrupt controller, timers, TLB maintenance.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jib_debug::log::{Category, Log};
use jib_frontend_aarch64::system::mmu::Kind;
use jib_frontend_aarch64::system::state;
use jib_frontend_aarch64::system::sysreg::{Encoding, find, reg};
use jib_ir::eval::int;
use jib_ir::runtime::{Exit, Fault, RmwOp, Runtime};
use jib_ir::state::State;
use jib_ir::ty::Size;

use super::memory::Memory;
use super::signals::Signals;
use super::tlb::Rights;
use crate::clock::{COUNTER_HZ, Clock, ticks};
use crate::devices::gic::Gic;
use crate::devices::gic::icc::Icc;
use crate::irq::IrqLine;
use crate::timer::{GenericTimer, Timer};

/// TLB maintenance that reaches every CPU: who has done what of it.
pub struct Shootdown {
    /// Number of broadcast invalidations so far.
    issued: AtomicU64,
    /// Per CPU, how many of them it has carried out; `u64::MAX` while it runs no code.
    done: Vec<AtomicU64>,
}

impl Shootdown {
    /// For `cpus` CPUs, all off.
    pub fn new(cpus: usize) -> Shootdown {
        Shootdown { issued: AtomicU64::new(0), done: (0..cpus).map(|_| AtomicU64::new(u64::MAX)).collect() }
    }
}

/// Interrupt outputs of a CPU's timers.
pub struct TimerLines {
    /// Physical timer (CNTP).
    pub physical: IrqLine,
    /// Virtual timer (CNTV).
    pub virt: IrqLine,
}

/// One CPU's view of the board.
pub struct System {
    /// Memory.
    pub memory: Memory,
    gic: Arc<Gic>,
    signals: Arc<Signals>,
    clock: Clock,
    timer: GenericTimer,
    lines: TimerLines,
    shootdown: Arc<Shootdown>,
    /// Broadcast invalidations carried out.
    done: u64,
    verbose: bool,
    /// What is logged.
    pub log: Option<Log>,
}

impl System {
    /// Puts a CPU's view together.
    pub fn new(
        memory: Memory,
        gic: Arc<Gic>,
        signals: Arc<Signals>,
        clock: Clock,
        lines: TimerLines,
        shootdown: Arc<Shootdown>,
        verbose: bool,
    ) -> System {
        let timer = GenericTimer::default();
        System { memory, gic, signals, clock, timer, lines, shootdown, done: 0, verbose, log: None }
    }

    /// Takes over the translation registers after a reset.
    pub fn refresh(&mut self, s: &State) {
        self.timer = GenericTimer::default();
        self.memory.tlb.flush();
        self.sync_regime(s);
    }

    /// Takes over registers that a debugger may have changed.
    pub fn resync(&mut self, s: &State) {
        self.memory.tlb.flush();
        self.sync_regime(s);
    }

    /// Writes down what the guest does to translation.
    fn log_mmu(&self, name: &str, v: u64) {
        if let Some(log) = &self.log {
            log.write(Category::Mmu, self.memory.cpu, format_args!("{name} {v:#x}"));
        }
    }

    fn sync_regime(&mut self, s: &State) {
        self.memory.regime = state::regime(s);
        self.memory.asid = self.memory.regime.asid();
    }

    /// Drives the timers' interrupt lines.
    pub fn tick(&mut self) {
        let now = self.clock.now();
        self.lines.physical.set(self.timer.physical.level(now));
        self.lines.virt.set(self.timer.virt.level(now));
    }

    /// Time until a timer fires by itself.
    pub fn next_timer(&self) -> Option<Duration> {
        let now = self.clock.now();
        self.timer.deadline(now).map(|at| ticks(at - now))
    }

    /// Carries out broadcast TLB maintenance of other CPUs. Called between blocks: then no access
    /// through an old translation is under way.
    #[inline]
    pub fn acknowledge(&mut self) {
        let issued = self.shootdown.issued.load(Ordering::Acquire);
        let mine = &self.shootdown.done[self.memory.cpu];
        if self.done != issued {
            self.memory.tlb.flush();
            self.done = issued;
        }
        if mine.load(Ordering::Relaxed) != issued {
            mine.store(issued, Ordering::Release);
        }
    }

    /// The CPU runs no code from now until its next [`System::acknowledge`].
    pub fn park(&self) {
        self.shootdown.done[self.memory.cpu].store(u64::MAX, Ordering::Release);
    }

    /// Makes every other CPU drop its translations, and waits until all have.
    fn shoot_down(&mut self) {
        let number = self.shootdown.issued.fetch_add(1, Ordering::AcqRel) + 1;
        loop {
            // Others may be waiting for this CPU meanwhile.
            self.acknowledge();
            let behind = |d: &AtomicU64| d.load(Ordering::Acquire) < number;
            if !self.shootdown.done.iter().any(behind) || self.signals.quitting() {
                return;
            }
            std::thread::yield_now();
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
            reg::SCTLR_EL1 | reg::TCR_EL1 | reg::MAIR_EL1 => {
                self.log_mmu(find(encoding).map_or("", |r| r.name), v);
                self.memory.tlb.flush();
                self.sync_regime(s);
            }
            reg::TTBR0_EL1 | reg::TTBR1_EL1 => {
                self.log_mmu(find(encoding).map_or("", |r| r.name), v);
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
            // IC IALLU: code is found again by the version of its page.
            _ => {}
        }
        Ok(())
    }

    fn tlbi(&mut self, encoding: Encoding, v: u64) {
        if self.log.is_some() {
            self.log_mmu(&format!("TLBI {encoding}"), v);
        }
        let tlb = &mut self.memory.tlb;
        match encoding.op2() {
            // VMALLE1
            0 => tlb.flush(),
            // ASIDE1
            2 => tlb.flush_asid((v >> 48) as u16),
            // VAE1, VAAE1, VALE1, VAALE1
            _ => tlb.flush_page(v << 12),
        }
        // CRm 3 and 1 are the inner and outer shareable forms.
        if matches!(encoding.crm(), 1 | 3) && self.shootdown.done.len() > 1 {
            self.shoot_down();
        }
    }

    /// AT S1E1R, S1E1W, S1E0R, S1E0W, S1E1RP, S1E1WP: PAR_EL1 tells what a translation finds.
    fn address_translate(&mut self, s: &mut State, encoding: Encoding, va: u64) {
        let op2 = encoding.op2();
        let kind = if op2 & 1 == 1 { Kind::Write } else { Kind::Read };
        let rights = Rights { el0: op2 & 2 != 0, pan: encoding.crm() == 9 && self.memory.rights.pan };
        let par = match self.memory.translate(va, kind, rights) {
            Ok((pa, device)) => {
                let attributes = if device { 0x04u64 } else { 0xff } << 56;
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
