//! Load-exclusive and store-exclusive (Arm ARM C4.1.96, B2.12).
//!
//! The monitor is an address, a size and the value that was loaded; a store-exclusive stores if memory
//! still holds that value. (An A-B-A change in between goes unseen; compilers' loops do not mind.)

use jib_ir::op::{Align, Op, Order};
use jib_ir::region::Val;
use jib_ir::state::slot;
use jib_ir::ty::{Cc, Size, Ty};

use super::load_store::x_for;
use super::load_store_pair::{join, joined, split};
use super::system::clear_monitor;
use super::{Lifted, Lifter};
use crate::field::{Imm, Reg};

/// Loads `size` bytes as `ty` and arms the monitor.
fn load_and_arm(l: &mut Lifter, ty: Ty, size: Size, rn: Reg) -> Val {
    let addr = l.xsp(Ty::I64, rn);
    l.push(Op::CheckAlign { rule: Align::Natural, size, write: false, addr });
    let v = l.push(Op::Load { ty, size, order: Order::AcqRel, addr });
    l.set(slot::EXCL_ADDR, addr);
    let bytes = l.imm64(size.bytes());
    l.set(slot::EXCL_SIZE, bytes);
    l.set(slot::EXCL_VAL, v);
    v
}

/// Stores `new` if the monitor allows, opens it, and sets `rs` to 0 if it stored, else to 1.
fn store_if_armed(l: &mut Lifter, size: Size, rn: Reg, new: Val, rs: Reg) -> Lifted {
    let ty = l.ty(new);
    let addr = l.xsp(Ty::I64, rn);
    l.push(Op::CheckAlign { rule: Align::Natural, size, write: true, addr });
    let armed_addr = l.get(Ty::I64, slot::EXCL_ADDR);
    let same_addr = l.cmp(Cc::Eq, armed_addr, addr);
    let armed_size = l.get(Ty::I64, slot::EXCL_SIZE);
    let bytes = l.imm64(size.bytes());
    let same_size = l.cmp(Cc::Eq, armed_size, bytes);
    let c = l.push(Op::BAnd { a: same_addr, b: same_size });
    let expected = l.get(ty, slot::EXCL_VAL);
    let stored = l.push(Op::CasIf { ty, size, c, addr, expected, new });
    clear_monitor(l);
    let failed = l.bnot(stored);
    let status = l.from_bool(Ty::I32, failed);
    l.set_x(rs, status);
    Lifted::Next
}

/// LDXR, LDAXR
pub(crate) fn load_exclusive(l: &mut Lifter, size: Imm<2>, _acquire: bool, rn: Reg, rt: Reg) -> Lifted {
    let size = Size::ALL[size.0 as usize];
    let ty = if size == Size::B8 { Ty::I64 } else { Ty::I32 };
    let v = load_and_arm(l, ty, size, rn);
    l.set_x(rt, v);
    Lifted::Next
}

/// STXR, STLXR
pub(crate) fn store_exclusive(l: &mut Lifter, size: Imm<2>, rs: Reg, _release: bool, rn: Reg, rt: Reg) -> Lifted {
    let size = Size::ALL[size.0 as usize];
    let new = x_for(l, size, rt);
    store_if_armed(l, size, rn, new, rs)
}

/// LDXP, LDAXP
pub(crate) fn load_exclusive_pair(l: &mut Lifter, ty: Ty, _acquire: bool, rt2: Reg, rn: Reg, rt: Reg) -> Lifted {
    let (both, size) = joined(ty);
    let v = load_and_arm(l, both, size, rn);
    let (lo, hi) = split(l, ty, v);
    l.set_x(rt, lo);
    l.set_x(rt2, hi);
    Lifted::Next
}

/// STXP, STLXP
pub(crate) fn store_exclusive_pair(
    l: &mut Lifter,
    ty: Ty,
    rs: Reg,
    _release: bool,
    rt2: Reg,
    rn: Reg,
    rt: Reg,
) -> Lifted {
    let (lo, hi) = (l.x(ty, rt), l.x(ty, rt2));
    let new = join(l, ty, lo, hi);
    let (_, size) = joined(ty);
    store_if_armed(l, size, rn, new, rs)
}
