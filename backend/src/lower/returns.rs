//! Returns of calls that a region makes to itself: they stay inside, as the calls do.

use jib_ir::op::{ExitKind, Op};
use jib_ir::region::{Block, BlockId, Region, Val};
use jib_ir::state::{Slot, slot};
use jib_ir::ty::{Cc, Ty};

/// Most return addresses that a return is compared with.
const MOST: usize = 2;

/// Makes each return of `region` look first whether it goes to one of the return addresses `inner`, of calls that have
/// become jumps.
pub(super) fn keep_inside(region: &mut Region, inner: &[u64]) {
    let mut targets: Vec<(u64, BlockId)> = Vec::new();
    for &pc in inner {
        let block = region.blocks.iter().position(|b| b.pc == pc && b.insns > 0);
        if let Some(block) = block.filter(|_| targets.iter().all(|t| t.0 != pc) && targets.len() < MOST) {
            targets.push((pc, BlockId(block as u32)));
        }
    }
    if targets.is_empty() {
        return;
    }
    for b in 0..region.blocks.len() {
        let last = region.blocks[b].ops.end as usize - 1;
        let Op::ExitInd { addr, kind: ExitKind::Ret } = region.ops[last] else { continue };
        if super::exit::mode_may_change(region, &region.blocks[b]) {
            continue;
        }
        // Values do not cross blocks, so the address must be in a register.
        let Some(register) = register_of(region, b, addr) else { continue };
        let mut from = last;
        for &(pc, to) in &targets {
            let next = append(region, b, register, pc, to);
            region.ops[from] = match region.ops[from] {
                Op::Branch { c, then, .. } => Op::Branch { c, then, els: next },
                _ => Op::Jump { to: next },
            };
            from = region.ops.len() - 1;
        }
        let pc = region.blocks[b].pc;
        let start = region.ops.len() as u32;
        region.ops.push(Op::Get { ty: Ty::I64, slot: register });
        region.ops.push(Op::ExitInd { addr: Val(start), kind: ExitKind::Ret });
        region.blocks.push(Block { pc, ops: start..start + 2, insns: 0 });
        let leave = BlockId(region.blocks.len() as u32 - 1);
        if let Op::Branch { els, .. } = &mut region.ops[from] {
            *els = leave;
        }
    }
}

/// A block, after block `b`, that goes to `to` if `register` holds `pc`; where else is to be filled in. The way to `to`
/// is a block of its own: it may be left there for a request, at `pc`.
fn append(region: &mut Region, b: usize, register: Slot, pc: u64, to: BlockId) -> BlockId {
    let way = BlockId(region.blocks.len() as u32);
    let start = region.ops.len() as u32;
    region.ops.push(Op::Jump { to });
    region.blocks.push(Block { pc, ops: start..start + 1, insns: 0 });
    let id = BlockId(region.blocks.len() as u32);
    let start = region.ops.len() as u32;
    region.ops.extend([
        Op::Get { ty: Ty::I64, slot: register },
        Op::Imm { ty: Ty::I64, v: pc },
        Op::Cmp { cc: Cc::Eq, ty: Ty::I64, a: Val(start), b: Val(start + 1) },
        Op::Branch { c: Val(start + 2), then: way, els: id },
    ]);
    region.blocks.push(Block { pc: region.blocks[b].pc, ops: start..start + 4, insns: 0 });
    id
}

/// The general register that holds `v` at the end of block `b`.
fn register_of(region: &Region, b: usize, v: Val) -> Option<Slot> {
    let range = region.blocks[b].ops.clone();
    let mut written = [false; slot::SP.0 as usize];
    for i in range.rev() {
        match region.ops[i as usize] {
            Op::Set { slot, v: set, ty: Ty::I64 } if usize::from(slot.0) < written.len() => {
                if set == v && !written[usize::from(slot.0)] {
                    return Some(slot);
                }
                written[usize::from(slot.0)] = true;
            }
            Op::Set { slot, .. } if usize::from(slot.0) < written.len() => written[usize::from(slot.0)] = true,
            Op::Get { slot, ty: Ty::I64 } if Val(i) == v => {
                return written.get(usize::from(slot.0)).is_some_and(|w| !w).then_some(slot);
            }
            _ => {}
        }
    }
    None
}
