//! What translated code calls: [`Runtime`] by the CPU's memory and the board.

use std::sync::atomic::Ordering;

use jib_frontend_aarch64::system::debug;
use jib_frontend_aarch64::system::mmu::Kind;
use jib_frontend_aarch64::system::state::pstate;
use jib_ir::eval::int;
use jib_ir::runtime::{Access, Exit, Fault, Location, RmwOp, Runtime};
use jib_ir::state::{State, slot};
use jib_ir::ty::Size;

use super::{System, legal};
use crate::clock::COUNTER_HZ;
use crate::cpu::tlb::{PAGE_SHIFT, Rights};

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
        let found = self.fetch(s)?;
        legal(s)?;
        let (pc, memory) = (s.pc(), &mut self.parts.memory);
        let el0 = memory.rights.el0;
        if found.entry.shift > PAGE_SHIFT {
            memory.large_code.add(pc, found.entry.shift);
        }
        Ok(Location {
            page: found.pa & !0xfff,
            mode: if el0 { 0 } else { self.mode },
            space: memory.spaces.number(el0, memory.asid, pc, !found.entry.not_global),
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
            None => self.read(state, op),
            Some(v) => self.write(state, op, v).map(|()| 0),
        }
    }
}
