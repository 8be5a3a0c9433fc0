//! Our interpreter as an engine for cases: one region, a flat test memory.

use jib_frontend_aarch64::A64;
use jib_frontend_aarch64::cpu::Profile;
use jib_ir::guest::{Fetch, Guest, Limit};
use jib_ir::interp::{self, CAUSE_ALIGNMENT, Scratch};
use jib_ir::region::BlockId;
use jib_ir::runtime::{Access, Exit, Fault};
use jib_ir::state::{State, slot};

use crate::case::{CODE, Case, FILLER, Outcome, PAGE, Registers, Stop, WINDOW, WINDOW_LEN, fill};
use crate::memory::Bytes;
use crate::oracle::fault_page;

/// Runs cases by the interpreter.
#[derive(Default, Debug)]
pub struct Interpreter {
    scratch: Scratch,
    /// The processor that cases see.
    pub profile: Profile,
}

impl Interpreter {
    /// Runs one case until its words are left.
    pub fn run(&mut self, case: &Case) -> Outcome {
        let mut memory = Memory::of(case);
        let mut state = state_of(case);
        self.profile.apply(&mut state);
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
    fn at(&mut self, addr: u64, access: Access) -> Result<&mut u8, Fault> {
        let addr = ((addr << 8) as i64 >> 8) as u64;
        if !(WINDOW..WINDOW + WINDOW_LEN).contains(&addr) {
            return Err(Fault { addr, access, cause: 0 });
        }
        let at = (addr % PAGE) as usize;
        Ok(if addr - addr % PAGE == CODE { &mut self.code[at] } else { &mut self.page[at] })
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

impl Bytes for Memory {
    fn byte(&mut self, addr: u64, access: Access) -> Result<u8, Fault> {
        self.at(addr, access).copied()
    }
    fn set_byte(&mut self, addr: u64, v: u8) -> Result<(), Fault> {
        *self.at(addr, Access::Write)? = v;
        Ok(())
    }
    fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }
}
crate::runtime_of_bytes!(Memory);
