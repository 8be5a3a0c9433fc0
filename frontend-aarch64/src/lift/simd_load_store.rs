//! AdvSIMD load/store structures (Arm ARM C4.1.94): LD1-LD4, ST1-ST4, and LD1R-LD4R.
//!
//! Structures move as whole vectors that are interleaved in registers, not element by element. Registers are set
//! only after the last access, so that a fault leaves them as they were.

use jib_ir::op::{Op, VBinOp};
use jib_ir::region::Val;
use jib_ir::ty::{Lane, Size, Ty};

use super::{Lifted, Lifter};
use crate::field::{Imm, Reg, VReg};

/// Write-back of the base register.
#[derive(Clone, Copy)]
enum Index {
    None,
    /// By the size of the transfer (register 31), or by a register.
    Post(Reg),
}

/// A multiple-structures transfer.
#[derive(Clone, Copy)]
struct Transfer {
    /// Bytes of each register: 16 or 8.
    bytes: u32,
    lane: Lane,
    /// Number of registers.
    count: u32,
    /// Elements of one structure; 1 when the registers' contents simply follow each other.
    selem: u32,
}

/// Register `i` of a list, which wraps at 32.
fn nth(first: VReg, i: u32) -> VReg {
    VReg((first.0 + i as u8) % 32)
}

/// LD1-LD4, ST1-ST4 (multiple structures), no offset
pub(crate) fn multiple(l: &mut Lifter, q: bool, load: bool, opcode: Imm<4>, lane: Lane, rn: Reg, rt: VReg) -> Lifted {
    multiple_indexed(l, q, load, Index::None, (opcode, lane), rn, rt)
}

/// The same, post-indexed
#[allow(clippy::too_many_arguments, reason = "one per field")]
pub(crate) fn multiple_post(
    l: &mut Lifter,
    q: bool,
    load: bool,
    rm: Reg,
    opcode: Imm<4>,
    lane: Lane,
    rn: Reg,
    rt: VReg,
) -> Lifted {
    multiple_indexed(l, q, load, Index::Post(rm), (opcode, lane), rn, rt)
}

fn multiple_indexed(
    l: &mut Lifter,
    q: bool,
    load: bool,
    index: Index,
    (opcode, lane): (Imm<4>, Lane),
    rn: Reg,
    first: VReg,
) -> Lifted {
    let (count, selem) = match opcode.0 {
        0b0000 => (4, 4),
        0b0010 => (4, 1),
        0b0100 => (3, 3),
        0b0110 => (3, 1),
        0b0111 => (1, 1),
        0b1000 => (2, 2),
        0b1010 => (2, 1),
        _ => return Lifted::Undefined,
    };
    if lane == Lane::D && !q && selem != 1 {
        return Lifted::Undefined;
    }
    let t = Transfer { bytes: if q { 16 } else { 8 }, lane, count, selem };
    let base = l.xsp(Ty::I64, rn);
    if load {
        let parts = load_parts(l, base, t.bytes * t.count);
        let regs = deinterleave(l, t, &parts);
        write_back(l, index, rn, base, t.bytes * t.count);
        for (i, v) in regs.into_iter().enumerate() {
            l.set_vq(nth(first, i as u32), q, v);
        }
    } else {
        let regs: Vec<Val> = (0..count).map(|i| l.v(nth(first, i))).collect();
        let parts = interleave(l, t, &regs);
        store_parts(l, base, t.bytes * t.count, &parts);
        write_back(l, index, rn, base, t.bytes * t.count);
    }
    Lifted::Next
}

fn write_back(l: &mut Lifter, index: Index, rn: Reg, base: Val, bytes: u32) {
    let next = match index {
        Index::None => return,
        Index::Post(Reg(31)) => l.add_imm(base, bytes as i64),
        Index::Post(rm) => {
            let offset = l.x(Ty::I64, rm);
            l.add(base, offset)
        }
    };
    l.set_xsp(rn, next);
}

/// `bytes` (a multiple of 8) of memory as vectors; a last half has zeroes above.
fn load_parts(l: &mut Lifter, base: Val, bytes: u32) -> Vec<Val> {
    let at = |l: &mut Lifter, offset: u32| {
        let size = if bytes - offset >= 16 { Size::B16 } else { Size::B8 };
        let addr = l.add_imm(base, offset as i64);
        l.load(Ty::V128, size, addr)
    };
    (0..bytes).step_by(16).map(|offset| at(l, offset)).collect()
}

/// The counterpart of [`load_parts`].
fn store_parts(l: &mut Lifter, base: Val, bytes: u32, parts: &[Val]) {
    for (&v, offset) in parts.iter().zip((0..bytes).step_by(16)) {
        let size = if bytes - offset >= 16 { Size::B16 } else { Size::B8 };
        let addr = l.add_imm(base, offset as i64);
        l.store(size, addr, v);
    }
}

/// The registers' values from memory's; bits above a 64-bit register are unspecified.
fn deinterleave(l: &mut Lifter, t: Transfer, parts: &[Val]) -> Vec<Val> {
    match (t.selem, t.bytes) {
        (1, 16) => parts.to_vec(),
        (1, _) => (0..t.count).map(|i| half(l, parts, i)).collect(),
        (2, 16) => unzip(l, t.lane, parts[0], parts[1]).to_vec(),
        (2, _) => unzip(l, t.lane, parts[0], parts[0]).to_vec(),
        (3, _) => (0..3).map(|i| pick(l, parts, |byte| three_source(t, i, byte))).collect(),
        _ => {
            let [p, q] = unzip(l, t.lane, parts[0], parts[1]);
            let [p1, q1] = if t.bytes == 16 { unzip(l, t.lane, parts[2], parts[3]) } else { [p, q] };
            let [a, c] = unzip(l, t.lane, p, p1);
            let [b, d] = unzip(l, t.lane, q, q1);
            vec![a, b, c, d]
        }
    }
}

/// Memory's values from the registers'.
fn interleave(l: &mut Lifter, t: Transfer, regs: &[Val]) -> Vec<Val> {
    match (t.selem, t.bytes) {
        (1, 16) => regs.to_vec(),
        (1, _) => regs.chunks(2).map(|pair| if let &[a, b] = pair { l.vlows(a, b) } else { pair[0] }).collect(),
        (2, 16) => zip(l, t.lane, regs[0], regs[1]).to_vec(),
        (2, _) => vec![l.vbin(VBinOp::Zip1, t.lane, regs[0], regs[1])],
        (3, _) => {
            let parts = (3 * t.bytes).div_ceil(16);
            (0..parts).map(|part| pick(l, regs, |byte| three_target(t, 16 * part + byte))).collect()
        }
        (_, 16) => {
            let [p0, p1] = zip(l, t.lane, regs[0], regs[2]);
            let [q0, q1] = zip(l, t.lane, regs[1], regs[3]);
            let ([a, b], [c, d]) = (zip(l, t.lane, p0, q0), zip(l, t.lane, p1, q1));
            vec![a, b, c, d]
        }
        _ => {
            let p = l.vbin(VBinOp::Zip1, t.lane, regs[0], regs[2]);
            let q = l.vbin(VBinOp::Zip1, t.lane, regs[1], regs[3]);
            zip(l, t.lane, p, q).to_vec()
        }
    }
}

fn zip(l: &mut Lifter, lane: Lane, a: Val, b: Val) -> [Val; 2] {
    [l.vbin(VBinOp::Zip1, lane, a, b), l.vbin(VBinOp::Zip2, lane, a, b)]
}

fn unzip(l: &mut Lifter, lane: Lane, a: Val, b: Val) -> [Val; 2] {
    [l.vbin(VBinOp::Uzp1, lane, a, b), l.vbin(VBinOp::Uzp2, lane, a, b)]
}

/// The `i`-th 64 bits of `parts`.
fn half(l: &mut Lifter, parts: &[Val], i: u32) -> Val {
    let part = parts[i as usize / 2];
    if i.is_multiple_of(2) { part } else { l.vhigh(part) }
}

/// Where byte `byte` of register `reg` comes from in a three-element transfer, as an offset in memory.
fn three_source(t: Transfer, reg: u32, byte: u32) -> u32 {
    let size = t.lane.bytes();
    (byte / size * 3 + reg) * size + byte % size
}

/// Where byte `byte` of memory comes from in a three-element transfer, as an offset in the registers laid out 16
/// bytes apart.
fn three_target(t: Transfer, byte: u32) -> u32 {
    let size = t.lane.bytes();
    let element = byte / size;
    element % 3 * 16 + element / 3 * size + byte % size
}

/// A vector whose byte `i` is byte `source(i)` of `vs`; what lies beyond them reads as zero.
fn pick(l: &mut Lifter, vs: &[Val], source: impl Fn(u32) -> u32) -> Val {
    let zero = l.vimm(0);
    let mut acc = zero;
    for (k, &table) in vs.iter().enumerate() {
        let index = |i: u32| match source(i).checked_sub(16 * k as u32) {
            Some(at @ 0..16) => at as u128,
            _ => 0xff,
        };
        let idx = (0..16).fold(0u128, |m, i| m | index(i) << (8 * i));
        if idx == u128::MAX {
            continue;
        }
        let idx = l.vimm(idx);
        // A lookup into zero and an OR: cheaper for the host than one into `acc`.
        let part = l.push(Op::VTbx { acc: zero, table, idx });
        acc = if acc == zero { part } else { l.vor(acc, part) };
    }
    acc
}

/// A single-structure transfer.
#[derive(Clone, Copy)]
enum Single {
    /// One lane of each register.
    Lane(Lane, u32),
    /// Every lane of each register.
    Replicate(Lane),
}

/// What `opcode<2:1>`, `S`, `size` and `Q` select.
fn single_form(q: bool, load: bool, scale: u32, s: bool, size: Imm<2>) -> Option<Single> {
    let index = (q as u32) << 3 | (s as u32) << 2 | size.0;
    Some(match (scale, size.0) {
        (0, _) => Single::Lane(Lane::B, index),
        (1, 0b00 | 0b10) => Single::Lane(Lane::H, index >> 1),
        (2, 0b00) => Single::Lane(Lane::S, index >> 2),
        (2, 0b01) if !s => Single::Lane(Lane::D, index >> 3),
        (3, size) if load && !s => Single::Replicate(Lane::ALL[size as usize]),
        _ => return None,
    })
}

/// LD1-LD4, ST1-ST4 (single structure), LD1R-LD4R, no offset. `opcode` holds `R` in its low bit.
#[allow(clippy::too_many_arguments, reason = "one per field")]
pub(crate) fn single(
    l: &mut Lifter,
    q: bool,
    load: bool,
    r: bool,
    opcode: Imm<3>,
    s: bool,
    size: Imm<2>,
    rn: Reg,
    rt: VReg,
) -> Lifted {
    let selem = ((opcode.0 & 1) << 1 | r as u32) + 1;
    match single_form(q, load, opcode.0 >> 1, s, size) {
        Some(form) => single_indexed(l, (q, load), Index::None, (form, selem), rn, rt),
        None => Lifted::Undefined,
    }
}

/// The same, post-indexed
#[allow(clippy::too_many_arguments, reason = "one per field")]
pub(crate) fn single_post(
    l: &mut Lifter,
    q: bool,
    load: bool,
    r: bool,
    rm: Reg,
    opcode: Imm<3>,
    s: bool,
    size: Imm<2>,
    rn: Reg,
    rt: VReg,
) -> Lifted {
    let selem = ((opcode.0 & 1) << 1 | r as u32) + 1;
    match single_form(q, load, opcode.0 >> 1, s, size) {
        Some(form) => single_indexed(l, (q, load), Index::Post(rm), (form, selem), rn, rt),
        None => Lifted::Undefined,
    }
}

fn single_indexed(
    l: &mut Lifter,
    (q, load): (bool, bool),
    index: Index,
    (form, selem): (Single, u32),
    rn: Reg,
    first: VReg,
) -> Lifted {
    let lane = match form {
        Single::Lane(lane, _) | Single::Replicate(lane) => lane,
    };
    let size = Size::of_lane(lane);
    let base = l.xsp(Ty::I64, rn);
    let at = |l: &mut Lifter, i: u32| l.add_imm(base, (i * lane.bytes()) as i64);
    if load {
        let elements: Vec<Val> = (0..selem)
            .map(|i| {
                let addr = at(l, i);
                l.load(Ty::I64, size, addr)
            })
            .collect();
        write_back(l, index, rn, base, selem * lane.bytes());
        for (i, x) in elements.into_iter().enumerate() {
            set_single(l, q, form, nth(first, i as u32), x);
        }
        return Lifted::Next;
    }
    if let Single::Lane(lane, idx) = form {
        for i in 0..selem {
            let v = l.v(nth(first, i));
            let x = l.vget(lane, idx, v);
            let addr = at(l, i);
            l.store(size, addr, x);
        }
    }
    write_back(l, index, rn, base, selem * lane.bytes());
    Lifted::Next
}

fn set_single(l: &mut Lifter, q: bool, form: Single, r: VReg, x: Val) {
    match form {
        Single::Lane(lane, idx) => {
            let v = l.v(r);
            let v = l.vset(lane, idx, v, x);
            l.set_v(r, v);
        }
        Single::Replicate(lane) => {
            let v = l.vdup(lane, x);
            l.set_vq(r, q, v);
        }
    }
}
