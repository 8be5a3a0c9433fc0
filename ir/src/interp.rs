//! Runs a region op by op on a guest state: the reference executor and the first tier.

use crate::eval::{self, FpEnv};
use crate::op::{Align, Fence, Op, Order, Trap};
use crate::region::{BlockId, Region, Val};
use crate::runtime::{Access, Exit, Fault, Helper, Runtime};
use crate::state::{State, slot};
use crate::ty::{Size, Ty};

/// [`Fault::cause`] of an access that is not aligned as it must be.
pub const CAUSE_ALIGNMENT: u32 = u32::MAX;

/// Reusable room for a region's values.
#[derive(Default, Debug)]
pub struct Scratch {
    values: Vec<u128>,
}

/// How a block ended.
enum End {
    Block(BlockId),
    Exit(Exit),
}

/// Runs `region` from block `entry` until it leaves. `State::pc` is exact afterwards.
///
/// Jumps inside the region go on without leaving unless `EXIT_REQUEST` is set.
pub fn run<R: Runtime>(
    region: &Region,
    entry: BlockId,
    state: &mut State,
    rt: &mut R,
    helpers: &[Helper],
    scratch: &mut Scratch,
) -> Exit {
    if scratch.values.len() < region.ops.len() {
        scratch.values.resize(region.ops.len(), 0);
    }
    let mut block = entry;
    loop {
        match run_block(region, block, state, rt, helpers, &mut scratch.values) {
            End::Exit(e) => return e,
            End::Block(next) => {
                block = next;
                if state.get(slot::EXIT_REQUEST) != 0 {
                    state.set_pc(region.blocks[next.index()].pc);
                    return Exit::Interrupt;
                }
            }
        }
    }
}

/// One flat match: state access, values and ends of blocks here; memory and helpers in [`effect`].
fn run_block<R: Runtime>(
    region: &Region,
    block: BlockId,
    state: &mut State,
    rt: &mut R,
    helpers: &[Helper],
    vals: &mut [u128],
) -> End {
    let range = region.blocks[block.index()].ops.clone();
    for i in range {
        let op = &region.ops[i as usize];
        let value = match *op {
            Op::Get { ty, slot } => read_slot(state, ty, slot),
            Op::Set { ty, slot, v } => {
                write_slot(state, ty, slot, vals[v.index()]);
                continue;
            }
            Op::Load { .. }
            | Op::Store { .. }
            | Op::Rmw { .. }
            | Op::Cas { .. }
            | Op::CasIf { .. }
            | Op::CheckAlign { .. }
            | Op::Fence { .. }
            | Op::Call { .. } => match effect(op, state, rt, helpers, vals) {
                Ok(v) => v,
                Err(e) => return leave(state, region.pc_of(i), e),
            },
            Op::Jump { to } => return End::Block(to),
            Op::Branch { c, then, els } => return End::Block(if vals[c.index()] != 0 { then } else { els }),
            Op::Exit { pc, .. } => return leave(state, pc, Exit::Next),
            Op::ExitInd { addr, .. } => return leave(state, vals[addr.index()] as u64, Exit::Next),
            Op::Trap { trap, pc } => return leave(state, pc, exit_of(trap)),
            Op::Invalidate { addr, len, pc } => {
                let addr = vals[addr.index()] as u64;
                return leave(state, pc, Exit::InvalidateCode { addr, len });
            }
            _ => {
                let mut env = FpEnv { fpcr: state.fpcr(), fpsr: 0 };
                let v = eval::value(op, |v: Val| vals[v.index()], &mut env).unwrap_or(0);
                if env.fpsr != 0 {
                    let old = state.get(slot::FPSR);
                    state.set(slot::FPSR, old | env.fpsr as u64);
                }
                v
            }
        };
        vals[i as usize] = value;
    }
    // A block without a terminator does not pass the verifier.
    End::Exit(Exit::Next)
}

/// Ops that reach memory or helpers; the value of those that have none is 0.
#[inline(always)]
fn effect<R: Runtime>(op: &Op, state: &mut State, rt: &mut R, helpers: &[Helper], vals: &[u128]) -> Result<u128, Exit> {
    let get = |v: Val| vals[v.index()];
    let g64 = |v: Val| vals[v.index()] as u64;
    match *op {
        Op::Load { size, order: Order::Unprivileged, addr, .. } => Ok(rt.load_unprivileged(size, g64(addr))?),
        Op::Load { size, addr, .. } => Ok(rt.load(size, g64(addr))?),
        Op::Store { size, order, addr, v, .. } => {
            let (addr, v) = (g64(addr), get(v));
            match order {
                Order::Plain => rt.store(size, addr, v)?,
                Order::AcqRel => rt.store_release(size, addr, v)?,
                Order::Unprivileged => rt.store_unprivileged(size, addr, v)?,
            }
            Ok(0)
        }
        Op::Rmw { op, size, addr, v, .. } => Ok(rt.rmw(op, size, g64(addr), g64(v))? as u128),
        Op::Cas { size, addr, expected, new, .. } => {
            Ok(rt.cas(size, g64(addr), get(expected) & size_mask(size), get(new))?)
        }
        Op::CasIf { c, .. } if get(c) == 0 => Ok(0),
        Op::CasIf { size, addr, expected, new, .. } => {
            let expected = get(expected) & size_mask(size);
            Ok((rt.cas(size, g64(addr), expected, get(new))? == expected) as u128)
        }
        Op::CheckAlign { rule, size, write, addr } => {
            let addr = g64(addr);
            if aligned(rule, size, addr) {
                return Ok(0);
            }
            let access = if write { Access::Write } else { Access::Read };
            Err(Exit::Fault(Fault { addr, access, cause: CAUSE_ALIGNMENT }))
        }
        Op::Fence { kind } => {
            if kind == Fence::Full {
                rt.fence();
            }
            Ok(0)
        }
        Op::Call { helper, a, b, c, d } => {
            let arg = |v: Val| if v == Val::NONE { 0 } else { g64(v) };
            let args = [arg(a), arg(b), arg(c), arg(d)];
            Ok((helpers[helper as usize].run)(state, rt, args)? as u128)
        }
        _ => Ok(0),
    }
}

impl From<Fault> for Exit {
    fn from(f: Fault) -> Exit {
        Exit::Fault(f)
    }
}

fn leave(state: &mut State, pc: u64, exit: Exit) -> End {
    state.set_pc(pc);
    End::Exit(exit)
}

/// What a trap tells the runtime.
pub const fn exit_of(trap: Trap) -> Exit {
    match trap {
        Trap::Svc(n) => Exit::Svc(n as u32),
        Trap::Hvc(n) => Exit::Hvc(n as u32),
        Trap::Smc(n) => Exit::Smc(n as u32),
        Trap::Brk(n) => Exit::Brk(n as u32),
        Trap::Hlt(n) => Exit::Hlt(n as u32),
        Trap::Undefined(w) => Exit::Undefined(w),
        Trap::Wait(w) => Exit::Wait(w),
        Trap::Syndrome(esr) => Exit::Syndrome(esr),
    }
}

/// All ones over the low bytes of an access.
pub const fn size_mask(size: Size) -> u128 {
    u128::MAX >> (128 - 8 * size.bytes())
}

/// Does an access of `size` at `addr` satisfy `rule`?
pub const fn aligned(rule: Align, size: Size, addr: u64) -> bool {
    match rule {
        Align::Natural => addr & (size.bytes() - 1) == 0,
        Align::Within16 => (addr & 15) + size.bytes() <= 16,
    }
}

#[inline(always)]
fn read_slot(state: &State, ty: Ty, slot: crate::state::Slot) -> u128 {
    match ty {
        Ty::I64 => state.get(slot) as u128,
        Ty::I32 => state.get(slot) as u32 as u128,
        Ty::V128 => state.get128(slot),
        Ty::Flags => state.nzcv() as u128,
        Ty::Bool => (state.get(slot) & 1) as u128,
    }
}

#[inline(always)]
fn write_slot(state: &mut State, ty: Ty, slot: crate::state::Slot, v: u128) {
    match ty {
        Ty::V128 => state.set128(slot, v),
        Ty::Flags => state.set_nzcv(v as u32),
        Ty::I64 | Ty::I32 | Ty::Bool => state.set(slot, v as u64),
    }
}
