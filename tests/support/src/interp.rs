//! Our interpreter as an engine for cases: one region, a flat test memory.

use jib_frontend_aarch64::A64;
use jib_ir::eval::int;
use jib_ir::guest::{Fetch, Guest, Limit};
use jib_ir::interp::{self, CAUSE_ALIGNMENT, Scratch};
use jib_ir::region::BlockId;
use jib_ir::runtime::{Access, Exit, Fault, RmwOp, Runtime};
use jib_ir::state::{State, slot};
use jib_ir::ty::Size;

use crate::case::{CODE, Case, FILLER, Outcome, PAGE, Registers, Stop, WINDOW, WINDOW_LEN, fill};
use crate::oracle::fault_page;

/// Runs cases by the interpreter.
#[derive(Default, Debug)]
pub struct Interpreter {
    scratch: Scratch,
}

impl Interpreter {
    /// Runs one case until its words are left.
    pub fn run(&mut self, case: &Case) -> Outcome {
        let mut memory = Memory::of(case);
        let mut state = state_of(case);
        let end = CODE + 4 * case.words.len() as u64;
        let limit = Limit { insns: case.words.len() as u32, blocks: 1 };
        // Enough for the loops that a case may hold; a longer one shows as a difference.
        for _ in 0..64 {
            let region = match A64.lift(A64.key(&state), &memory, limit) {
                Ok(region) => region,
                Err(_) => return outcome(&state, Stop::Done, memory.page),
            };
            let exit = interp::run(&region, BlockId(0), &mut state, &mut memory, A64.helpers(), &mut self.scratch);
            match exit {
                Exit::Next | Exit::Wait(_) | Exit::Interrupt | Exit::InvalidateCode { .. } => {}
                // The exit tells the instruction after; at EL0 the call is undefined.
                Exit::Hvc(_) | Exit::Smc(_) => {
                    state.set_pc(state.pc().wrapping_sub(4));
                    return outcome(&state, Stop::Undefined, memory.page);
                }
                other => return outcome(&state, stop_of(other), memory.page),
            }
            if !(CODE..end).contains(&state.pc()) {
                break;
            }
        }
        outcome(&state, Stop::Done, memory.page)
    }
}

/// The guest state that a case starts from.
pub fn state_of(case: &Case) -> State {
    let r = &case.regs;
    let mut s = State::default();
    for (i, x) in r.x.iter().enumerate() {
        s.set_x(i, *x);
    }
    for (i, v) in r.v.iter().enumerate() {
        s.set_v(i, *v);
    }
    s.set_nzcv(r.nzcv);
    s.set(slot::FPCR, r.fpcr as u64);
    s.set(slot::FPSR, r.fpsr as u64);
    s.set(slot::TPIDR, r.tpidr);
    s.set_pc(CODE);
    s
}

/// What a guest state tells at the end.
pub fn outcome(s: &State, stop: Stop, memory: Vec<u8>) -> Outcome {
    let regs = Registers {
        x: std::array::from_fn(|i| s.x(i)),
        v: std::array::from_fn(|i| s.v(i)),
        nzcv: s.nzcv(),
        fpcr: s.fpcr(),
        fpsr: s.fpsr(),
        tpidr: s.get(slot::TPIDR),
    };
    Outcome { stop, pc: s.pc(), regs, memory }
}

/// An exit that ends a case, in the oracle's terms. At EL0 HVC, SMC and HLT are undefined.
pub fn stop_of(exit: Exit) -> Stop {
    match exit {
        Exit::Undefined(_) | Exit::Hvc(_) | Exit::Smc(_) | Exit::Hlt(_) => Stop::Undefined,
        Exit::Brk(_) => Stop::Breakpoint,
        Exit::Fault(Fault { cause: CAUSE_ALIGNMENT, .. }) => Stop::Alignment,
        Exit::Fault(f) => Stop::Fault(fault_page(f.addr)),
        Exit::Svc(_) | Exit::Syndrome(_) => Stop::Other(0),
        Exit::Next | Exit::Wait(_) | Exit::Interrupt | Exit::InvalidateCode { .. } => Stop::Done,
    }
}

/// The case's memory: one page all over the window, and the code page.
#[derive(Debug)]
pub struct Memory {
    /// The page.
    pub page: Vec<u8>,
    code: Vec<u8>,
    ticks: u64,
}

impl Memory {
    /// Memory as `case` starts with it.
    pub fn of(case: &Case) -> Memory {
        let words = case.words.iter().copied().chain(std::iter::repeat(FILLER)).take(PAGE as usize / 4);
        Memory { page: fill(case.mem_seed), code: words.flat_map(u32::to_le_bytes).collect(), ticks: 0 }
    }

    /// The byte at `addr`, whose top byte Linux has ignored (TBI).
    fn byte(&mut self, addr: u64, access: Access) -> Result<&mut u8, Fault> {
        let addr = ((addr << 8) as i64 >> 8) as u64;
        if !(WINDOW..WINDOW + WINDOW_LEN).contains(&addr) {
            return Err(Fault { addr, access, cause: 0 });
        }
        let at = (addr % PAGE) as usize;
        Ok(if addr - addr % PAGE == CODE { &mut self.code[at] } else { &mut self.page[at] })
    }

    fn read(&mut self, size: Size, addr: u64, access: Access) -> Result<u128, Fault> {
        let mut v = 0;
        for i in 0..size.bytes() {
            v |= (*self.byte(addr.wrapping_add(i), access)? as u128) << (8 * i);
        }
        Ok(v)
    }
}

impl Fetch for Memory {
    fn word(&self, pc: u64) -> Result<u32, Fault> {
        let at = pc.wrapping_sub(CODE) as usize;
        let bytes = self.code.get(at..at.wrapping_add(4)).filter(|_| at < PAGE as usize);
        let word = bytes.and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
        word.ok_or(Fault { addr: pc, access: Access::Fetch, cause: 0 })
    }
}

impl Runtime for Memory {
    fn load(&mut self, size: Size, addr: u64) -> Result<u128, Fault> {
        self.read(size, addr, Access::Read)
    }
    fn store(&mut self, size: Size, addr: u64, v: u128) -> Result<(), Fault> {
        self.read(size, addr, Access::Write)?;
        for i in 0..size.bytes() {
            *self.byte(addr.wrapping_add(i), Access::Write)? = (v >> (8 * i)) as u8;
        }
        Ok(())
    }
    fn store_release(&mut self, size: Size, addr: u64, v: u128) -> Result<(), Fault> {
        self.store(size, addr, v)
    }
    fn rmw(&mut self, op: RmwOp, size: Size, addr: u64, v: u64) -> Result<u64, Fault> {
        let old = self.read(size, addr, Access::Write)? as u64;
        let new = int::rmw(op, size, old, v);
        self.store(size, addr, new as u128)?;
        Ok(old)
    }
    fn cas(&mut self, size: Size, addr: u64, expected: u128, new: u128) -> Result<u128, Fault> {
        let old = self.read(size, addr, Access::Write)?;
        if old == expected & interp::size_mask(size) {
            self.store(size, addr, new)?;
        }
        Ok(old)
    }
    fn fence(&mut self) {}
    fn counter(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }
    fn counter_hz(&self) -> u64 {
        1_000_000_000
    }
    fn random(&mut self) -> Option<u64> {
        Some(4)
    }
}
