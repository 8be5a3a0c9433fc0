//! A guest whose code is ready-made regions, and a runtime on plain host memory.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(unreachable_pub, reason = "part of each test crate")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "guest memory is what the tests pass")]

pub mod check;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use jib_backend::{EngineKind, Options, Translator, Vcpu};
use jib_ir::builder::Builder;
use jib_ir::guest::{Fetch, Guest, Limit};
use jib_ir::op::{ExitKind, Op, Trap};
use jib_ir::region::{BlockId, Key, Region};
use jib_ir::runtime::{Access, Exit, Fault, Helper, Runtime};
use jib_ir::state::{State, slot};
use jib_testing::memory::Bytes;

/// Regions by guest address.
#[derive(Clone, Default)]
pub struct Program(pub Arc<Mutex<HashMap<u64, Region>>>);

impl Program {
    pub fn put(&self, region: Region) {
        jib_ir::verify::verify(&region).unwrap_or_else(|e| panic!("{e}\n{region}"));
        self.0.lock().unwrap().insert(region.key.pc, region);
    }
}

fn fail(_: &mut State, _: &mut dyn Runtime, args: [u64; 4]) -> Result<u64, Exit> {
    Err(Exit::Brk(args[0] as u32))
}
fn sum(state: &mut State, _: &mut dyn Runtime, args: [u64; 4]) -> Result<u64, Exit> {
    let x5 = state.x(5);
    state.set_x(5, x5 + 1);
    Ok(args.iter().sum())
}
pub static HELPERS: [Helper; 2] = [Helper { name: "fail", run: fail }, Helper { name: "sum", run: sum }];

impl Guest for Program {
    fn lift_into(&self, region: &mut Region, key: Key, _: &dyn Fetch, _: Limit) -> Result<(), Fault> {
        let regions = self.0.lock().unwrap();
        let inside = || regions.values().find_map(|r| starting_at(r, key.pc));
        let none = Fault { addr: key.pc, access: Access::Fetch, cause: 1 };
        *region = regions.get(&key.pc).cloned().or_else(inside).ok_or(none)?;
        region.key.mode = key.mode;
        Ok(())
    }
    fn key(&self, state: &State) -> Key {
        Key { pc: state.pc(), mode: (state.fpcr() != 0) as u32 }
    }
    fn helpers(&self) -> &'static [Helper] {
        &HELPERS
    }
}

/// `region` with the block at `pc` in the first place.
fn starting_at(region: &Region, pc: u64) -> Option<Region> {
    let n = region.blocks.iter().position(|b| b.pc == pc)? as u32;
    let mut region = region.clone();
    region.key.pc = pc;
    region.blocks.swap(0, n as usize);
    let rename = |b: &mut BlockId| {
        *b = BlockId(if b.0 == n {
            0
        } else if b.0 == 0 {
            n
        } else {
            b.0
        });
    };
    for op in &mut region.ops {
        match op {
            Op::Jump { to } => rename(to),
            Op::Branch { then, els, .. } => {
                rename(then);
                rename(els);
            }
            _ => {}
        }
    }
    region.entries = vec![BlockId(0)];
    Some(region)
}

/// No words: regions are ready-made.
pub struct NoFetch;
impl Fetch for NoFetch {
    fn word(&self, pc: u64) -> Result<u32, Fault> {
        Err(Fault { addr: pc, access: Access::Fetch, cause: 1 })
    }
}

/// Guest memory is host memory; addresses in the first pages fail.
pub struct Flat;

/// Addresses below this fault.
pub const FIRST: u64 = 0x10000;

fn check(addr: u64, access: Access) -> Result<(), Fault> {
    if addr < FIRST { Err(Fault { addr, access, cause: 11 }) } else { Ok(()) }
}

impl Bytes for Flat {
    fn byte(&mut self, addr: u64, access: Access) -> Result<u8, Fault> {
        check(addr, access)?;
        // SAFETY: the tests use no address from FIRST on that they have not mapped; lower ones were refused.
        Ok(unsafe { (addr as *const u8).read_volatile() })
    }
    fn set_byte(&mut self, addr: u64, v: u8) -> Result<(), Fault> {
        check(addr, Access::Write)?;
        // SAFETY: as above.
        unsafe { (addr as *mut u8).write_volatile(v) };
        Ok(())
    }
}
jib_testing::runtime_of_bytes!(Flat);

/// Everything compiled before it runs, on this thread.
pub fn eager() -> Options {
    Options {
        engine: EngineKind::Jit,
        threshold: 0,
        background: false,
        verify: true,
        cache_bytes: 16 << 20,
        ..Options::default()
    }
}

/// Only the interpreter.
pub fn interp() -> Options {
    Options { engine: EngineKind::Interp, threshold: u32::MAX, ..eager() }
}

pub fn translator(program: &Program, options: Options) -> Arc<Translator<Program>> {
    Translator::new(program.clone(), Box::new(NoFetch), options).expect("translator")
}

/// Runs from `pc` on a copy of `state` until a trap; the exit and the state then.
pub fn run(t: &Arc<Translator<Program>>, state: &State, pc: u64) -> (Exit, State) {
    let mut vcpu = Vcpu::new(t);
    *vcpu.state = state.clone();
    vcpu.state.set_pc(pc);
    let exit = vcpu.run(&mut Flat);
    (exit, (*vcpu.state).clone())
}

/// The part of a state that a guest can see.
pub fn visible(s: &State) -> Vec<u64> {
    let mut words = s.0[..slot::FLAGS.0 as usize].to_vec();
    words.push(s.nzcv() as u64);
    words.extend(&s.0[slot::FPCR.0 as usize..slot::SCRATCH.0 as usize]);
    words.extend(&s.0[slot::GUEST.0 as usize..slot::SPILL.0 as usize]);
    words
}

/// A region builder at `pc` with its first block and instruction begun.
pub fn begin(pc: u64) -> Builder {
    let mut b = Builder::new(Key { pc, mode: 0 }, 4);
    b.begin_block(pc);
    b.begin_insn(pc);
    b
}

/// The region of `b`, all blocks in `entries`, made from one page.
pub fn finish(b: Builder, pc: u64, entries: &[u32]) -> Region {
    b.finish(entries.iter().map(|e| BlockId(*e)), std::iter::once(pc..pc + 64))
}

pub fn exit(pc: u64) -> Op {
    Op::Exit { pc, kind: ExitKind::Jump }
}

pub fn stop(pc: u64) -> Op {
    Op::Trap { trap: Trap::Svc(1), pc }
}

/// Installs a SIGSEGV handler that asks the backend first.
pub fn catch_faults() {
    extern "C" fn handler(_: i32, _: *mut libc::siginfo_t, ctx: *mut libc::c_void) {
        if !jib_backend::fault::recover(ctx) {
            // SAFETY: ends the process; may be called from a signal handler.
            unsafe { libc::abort() }
        }
    }
    // SAFETY: an all-zero sigaction is a valid one, and the handler does only what a handler may.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGSEGV, &action, std::ptr::null_mut());
    }
}
