//! Loads and stores of one register, in every addressing mode (Arm ARM C4.1.96).
//!
//! The access comes before any register is set, so that a fault leaves them as they were; the base's
//! write-back comes last and wins when it is also the register loaded.
#![allow(clippy::too_many_arguments, reason = "one per field of the encoding")]

use jib_ir::op::{Op, Order};
use jib_ir::region::Val;
use jib_ir::ty::{Size, Ty};

use super::operand::Extend;
use super::{Lifted, Lifter, privileged};
use crate::field::{Imm, Reg, VReg};
use crate::field_enum;

field_enum! {
    /// The `opc` field of the literal loads.
    Literal: 2 { W, X, Sw, Prefetch }
}

/// What `size` and `opc` of a general register say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// A load: memory size, register width, sign extension.
    Load(Size, Ty, bool),
    /// A store.
    Store(Size),
    /// PRFM and PRFUM.
    Prefetch,
}

impl Access {
    /// Decodes the fields; `None` is unallocated.
    pub(super) fn decode(size: Imm<2>, opc: Imm<2>) -> Option<Access> {
        let mem = Size::ALL[size.0 as usize];
        Some(match (opc.0, mem) {
            (0, _) => Access::Store(mem),
            (1, _) => Access::Load(mem, if mem == Size::B8 { Ty::I64 } else { Ty::I32 }, false),
            (2, Size::B8) => Access::Prefetch,
            (2, _) => Access::Load(mem, Ty::I64, true),
            (_, Size::B1 | Size::B2) => Access::Load(mem, Ty::I32, true),
            _ => return None,
        })
    }
}

/// How the address comes from the base.
enum Mode {
    Offset(i64),
    Pre(i64),
    Post(i64),
}

/// The address of an access and, if the base is to be written back, its new value.
fn address(l: &mut Lifter, rn: Reg, mode: Mode) -> (Val, Option<Val>) {
    let base = l.xsp(Ty::I64, rn);
    match mode {
        Mode::Offset(imm) => (l.add_imm(base, imm), None),
        Mode::Pre(imm) => {
            let addr = l.add_imm(base, imm);
            (addr, Some(addr))
        }
        Mode::Post(imm) => (base, Some(l.add_imm(base, imm))),
    }
}

/// Loads `size` bytes as `ty`, extended as asked for.
pub(super) fn load_extended(l: &mut Lifter, size: Size, ty: Ty, signed: bool, order: Order, addr: Val) -> Val {
    // What is extended further need not be loaded wide.
    let loaded = if size == Size::B8 { Ty::I64 } else { Ty::I32 };
    let v = l.push(Op::Load { ty: loaded, size, order, addr });
    match signed {
        true => l.sext(ty, 8 * size.bytes() as u32, v),
        false => v,
    }
}

/// The low `size` bytes' worth of register `r`.
pub(super) fn x_for(l: &mut Lifter, size: Size, r: Reg) -> Val {
    l.x(if size == Size::B8 { Ty::I64 } else { Ty::I32 }, r)
}

/// Performs `access` between `rt` and memory, then the write-back.
fn transfer(l: &mut Lifter, access: Access, (addr, back): (Val, Option<Val>), rn: Reg, rt: Reg) -> Lifted {
    match access {
        Access::Load(size, ty, signed) => {
            let v = load_extended(l, size, ty, signed, Order::Plain, addr);
            l.set_x(rt, v);
        }
        Access::Store(size) => {
            let v = x_for(l, size, rt);
            l.store(size, addr, v);
        }
        Access::Prefetch => return Lifted::Next,
    }
    if let Some(back) = back {
        l.set_xsp(rn, back);
    }
    Lifted::Next
}

/// Size of a vector register access and whether it loads; `None` is unallocated.
fn simd_access(size: Imm<2>, opc: Imm<2>) -> Option<(Size, bool)> {
    let load = opc.0 & 1 == 1;
    match (size.0, opc.0 & 2) {
        (n, 0) => Some((Size::ALL[n as usize], load)),
        (0, _) => Some((Size::B16, load)),
        _ => None,
    }
}

/// Loads or stores the low `size` bytes of `rt`, then writes back.
fn transfer_simd(l: &mut Lifter, (size, load): (Size, bool), at: (Val, Option<Val>), rn: Reg, rt: VReg) -> Lifted {
    let (addr, back) = at;
    if load {
        let v = l.load(Ty::V128, size, addr);
        l.set_v(rt, v);
    } else {
        let v = l.v(rt);
        l.store(size, addr, v);
    }
    if let Some(back) = back {
        l.set_xsp(rn, back);
    }
    Lifted::Next
}

fn general(l: &mut Lifter, size: Imm<2>, opc: Imm<2>, mode: Mode, rn: Reg, rt: Reg) -> Lifted {
    let Some(access) = Access::decode(size, opc) else { return Lifted::Undefined };
    if access == Access::Prefetch {
        return match mode {
            Mode::Offset(_) => Lifted::Next,
            Mode::Pre(_) | Mode::Post(_) => Lifted::Undefined,
        };
    }
    let at = address(l, rn, mode);
    transfer(l, access, at, rn, rt)
}

fn vector(l: &mut Lifter, size: Imm<2>, opc: Imm<2>, mode: Mode, rn: Reg, rt: VReg) -> Lifted {
    let Some(access) = simd_access(size, opc) else { return Lifted::Undefined };
    let at = address(l, rn, mode);
    transfer_simd(l, access, at, rn, rt)
}

/// LDR, STR and their kin, unsigned immediate; PRFM
pub(crate) fn unsigned(l: &mut Lifter, size: Imm<2>, opc: Imm<2>, imm: Imm<12>, rn: Reg, rt: Reg) -> Lifted {
    general(l, size, opc, Mode::Offset((imm.zext() << size.0) as i64), rn, rt)
}

/// LDR, STR (SIMD&FP), unsigned immediate
pub(crate) fn unsigned_simd(l: &mut Lifter, size: Imm<2>, opc: Imm<2>, imm: Imm<12>, rn: Reg, rt: VReg) -> Lifted {
    let Some((bytes, _)) = simd_access(size, opc) else { return Lifted::Undefined };
    vector(l, size, opc, Mode::Offset((imm.zext() * bytes.bytes()) as i64), rn, rt)
}

/// LDUR, STUR and their kin; PRFUM
pub(crate) fn unscaled(l: &mut Lifter, size: Imm<2>, opc: Imm<2>, imm: Imm<9>, rn: Reg, rt: Reg) -> Lifted {
    general(l, size, opc, Mode::Offset(imm.sext()), rn, rt)
}

/// LDUR, STUR (SIMD&FP)
pub(crate) fn unscaled_simd(l: &mut Lifter, size: Imm<2>, opc: Imm<2>, imm: Imm<9>, rn: Reg, rt: VReg) -> Lifted {
    vector(l, size, opc, Mode::Offset(imm.sext()), rn, rt)
}

/// LDTR, STTR and their kin: at EL0 as LDUR, STUR; at EL1 with EL0's rights.
pub(crate) fn unprivileged(l: &mut Lifter, size: Imm<2>, opc: Imm<2>, imm: Imm<9>, rn: Reg, rt: Reg) -> Lifted {
    let access = match Access::decode(size, opc) {
        None | Some(Access::Prefetch) => return Lifted::Undefined,
        Some(access) => access,
    };
    let (addr, _) = address(l, rn, Mode::Offset(imm.sext()));
    match access {
        Access::Load(size, ty, signed) => {
            let order = privileged::unprivileged(l);
            let v = load_extended(l, size, ty, signed, order, addr);
            l.set_x(rt, v);
        }
        Access::Store(size) => {
            let v = x_for(l, size, rt);
            let (ty, order) = (if size == Size::B8 { Ty::I64 } else { Ty::I32 }, privileged::unprivileged(l));
            l.push(Op::Store { ty, size, order, addr, v });
        }
        Access::Prefetch => {}
    }
    Lifted::Next
}

/// LDR, STR and their kin, post-indexed
pub(crate) fn post_index(l: &mut Lifter, size: Imm<2>, opc: Imm<2>, imm: Imm<9>, rn: Reg, rt: Reg) -> Lifted {
    general(l, size, opc, Mode::Post(imm.sext()), rn, rt)
}

/// LDR, STR (SIMD&FP), post-indexed
pub(crate) fn post_index_simd(l: &mut Lifter, size: Imm<2>, opc: Imm<2>, imm: Imm<9>, rn: Reg, rt: VReg) -> Lifted {
    vector(l, size, opc, Mode::Post(imm.sext()), rn, rt)
}

/// LDR, STR and their kin, pre-indexed
pub(crate) fn pre_index(l: &mut Lifter, size: Imm<2>, opc: Imm<2>, imm: Imm<9>, rn: Reg, rt: Reg) -> Lifted {
    general(l, size, opc, Mode::Pre(imm.sext()), rn, rt)
}

/// LDR, STR (SIMD&FP), pre-indexed
pub(crate) fn pre_index_simd(l: &mut Lifter, size: Imm<2>, opc: Imm<2>, imm: Imm<9>, rn: Reg, rt: VReg) -> Lifted {
    vector(l, size, opc, Mode::Pre(imm.sext()), rn, rt)
}

/// The address of a register-offset access; `None` is unallocated.
fn register_address(l: &mut Lifter, rn: Reg, rm: Reg, ext: Extend, shift: u32) -> Option<Val> {
    if !matches!(ext, Extend::Uxtw | Extend::Uxtx | Extend::Sxtw | Extend::Sxtx) {
        return None;
    }
    let base = l.xsp(Ty::I64, rn);
    let offset = l.extended(Ty::I64, rm, ext, shift);
    Some(l.add(base, offset))
}

/// LDR, STR and their kin, register offset; PRFM
pub(crate) fn register(
    l: &mut Lifter,
    size: Imm<2>,
    opc: Imm<2>,
    rm: Reg,
    ext: Extend,
    s: bool,
    rn: Reg,
    rt: Reg,
) -> Lifted {
    let Some(access) = Access::decode(size, opc) else { return Lifted::Undefined };
    let shift = if s { size.0 } else { 0 };
    let Some(addr) = register_address(l, rn, rm, ext, shift) else { return Lifted::Undefined };
    transfer(l, access, (addr, None), rn, rt)
}

/// LDR, STR (SIMD&FP), register offset
pub(crate) fn register_simd(
    l: &mut Lifter,
    size: Imm<2>,
    opc: Imm<2>,
    rm: Reg,
    ext: Extend,
    s: bool,
    rn: Reg,
    rt: VReg,
) -> Lifted {
    let Some(access) = simd_access(size, opc) else { return Lifted::Undefined };
    let shift = if s { access.0 as u32 } else { 0 };
    let Some(addr) = register_address(l, rn, rm, ext, shift) else { return Lifted::Undefined };
    transfer_simd(l, access, (addr, None), rn, rt)
}

fn literal_address(l: &mut Lifter, imm: Imm<19>) -> Val {
    let addr = l.pc.wrapping_add_signed(imm.sext() * 4);
    l.imm64(addr)
}

/// LDR, LDRSW, PRFM (literal)
pub(crate) fn literal(l: &mut Lifter, op: Literal, imm: Imm<19>, rt: Reg) -> Lifted {
    let (size, ty, signed) = match op {
        Literal::W => (Size::B4, Ty::I32, false),
        Literal::X => (Size::B8, Ty::I64, false),
        Literal::Sw => (Size::B4, Ty::I64, true),
        Literal::Prefetch => return Lifted::Next,
    };
    let addr = literal_address(l, imm);
    transfer(l, Access::Load(size, ty, signed), (addr, None), rt, rt)
}

/// LDR (literal, SIMD&FP)
pub(crate) fn literal_simd(l: &mut Lifter, opc: Imm<2>, imm: Imm<19>, rt: VReg) -> Lifted {
    let size = match opc.0 {
        0 => Size::B4,
        1 => Size::B8,
        2 => Size::B16,
        _ => return Lifted::Undefined,
    };
    let addr = literal_address(l, imm);
    let v = l.load(Ty::V128, size, addr);
    l.set_v(rt, v);
    Lifted::Next
}
