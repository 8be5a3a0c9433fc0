//! AdvSIMD copy, permute, extract and table lookup (Arm ARM C4.1.96).

use jib_ir::op::{Op, VBinOp};
use jib_ir::ty::{Lane, Ty};

use super::simd::Form;
use super::simd_shift::splat;
use super::{Lifted, Lifter};
use crate::field::{Imm, Reg, VReg};

/// The lane width and index in `imm5`: the lowest set bit tells the width, the bits above it the index.
fn lane_index(imm5: Imm<5>) -> Option<(Lane, u32)> {
    let size = imm5.0.trailing_zeros();
    let lane = *Lane::ALL.get(size as usize)?;
    Some((lane, imm5.0 >> (size + 1)))
}

/// DUP (element)
pub(crate) fn dup_element(l: &mut Lifter, q: bool, imm5: Imm<5>, rn: VReg, rd: VReg) -> Lifted {
    let Some((lane, idx)) = lane_index(imm5) else {
        return Lifted::Undefined;
    };
    match Form::vector(q, lane) {
        Some(form) => dup(l, form, idx, rn, rd),
        None => Lifted::Undefined,
    }
}

/// DUP (element), scalar
pub(crate) fn dup_scalar(l: &mut Lifter, imm5: Imm<5>, rn: VReg, rd: VReg) -> Lifted {
    match lane_index(imm5) {
        Some((lane, idx)) => dup(l, Form::scalar(lane), idx, rn, rd),
        None => Lifted::Undefined,
    }
}

fn dup(l: &mut Lifter, form: Form, idx: u32, rn: VReg, rd: VReg) -> Lifted {
    let n = l.v(rn);
    let r = if form == Form::scalar(form.lane) && idx == 0 { n } else { l.vdup_lane(form.lane, idx, n) };
    l.set_active(form, rd, r);
    Lifted::Next
}

/// DUP (general)
pub(crate) fn dup_general(l: &mut Lifter, q: bool, imm5: Imm<5>, rn: Reg, rd: VReg) -> Lifted {
    let Some((lane, _)) = lane_index(imm5) else {
        return Lifted::Undefined;
    };
    let Some(form) = Form::vector(q, lane) else {
        return Lifted::Undefined;
    };
    let n = l.x(Ty::I64, rn);
    let r = l.vdup(lane, n);
    l.set_active(form, rd, r);
    Lifted::Next
}

/// SMOV: to W from B and H, to X from S as well
pub(crate) fn smov(l: &mut Lifter, to: Ty, imm5: Imm<5>, rn: VReg, rd: Reg) -> Lifted {
    let Some((lane, idx)) = lane_index(imm5) else {
        return Lifted::Undefined;
    };
    if lane == Lane::D || (lane == Lane::S && to == Ty::I32) {
        return Lifted::Undefined;
    }
    let n = l.v(rn);
    let x = l.vget(lane, idx, n);
    let r = l.sext(to, lane.bits(), x);
    l.set_x(rd, r);
    Lifted::Next
}

/// UMOV: to W from B, H and S, to X from D
pub(crate) fn umov(l: &mut Lifter, to: Ty, imm5: Imm<5>, rn: VReg, rd: Reg) -> Lifted {
    let Some((lane, idx)) = lane_index(imm5) else {
        return Lifted::Undefined;
    };
    if (lane == Lane::D) != (to == Ty::I64) {
        return Lifted::Undefined;
    }
    let n = l.v(rn);
    let r = l.vget(lane, idx, n);
    l.set_x(rd, r);
    Lifted::Next
}

/// INS (general)
pub(crate) fn ins_general(l: &mut Lifter, imm5: Imm<5>, rn: Reg, rd: VReg) -> Lifted {
    let Some((lane, idx)) = lane_index(imm5) else {
        return Lifted::Undefined;
    };
    let (d, n) = (l.v(rd), l.x(Ty::I64, rn));
    let r = l.vset(lane, idx, d, n);
    l.set_v(rd, r);
    Lifted::Next
}

/// INS (element)
pub(crate) fn ins_element(l: &mut Lifter, imm5: Imm<5>, imm4: Imm<4>, rn: VReg, rd: VReg) -> Lifted {
    let Some((lane, dst)) = lane_index(imm5) else {
        return Lifted::Undefined;
    };
    let (v, from) = (l.v(rd), l.v(rn));
    let src = (imm4.0 >> lane as u32) as u8;
    let r = l.push(Op::VMovLane { lane, dst: dst as u8, v, src, from });
    l.set_v(rd, r);
    Lifted::Next
}

/// UZP1, TRN1, ZIP1, UZP2, TRN2, ZIP2
pub(crate) fn permute(l: &mut Lifter, q: bool, lane: Lane, rm: VReg, opcode: Imm<3>, rn: VReg, rd: VReg) -> Lifted {
    let op = match opcode.0 {
        0b001 => VBinOp::Uzp1,
        0b010 => VBinOp::Trn1,
        0b011 => VBinOp::Zip1,
        0b101 => VBinOp::Uzp2,
        0b110 => VBinOp::Trn2,
        0b111 => VBinOp::Zip2,
        _ => return Lifted::Undefined,
    };
    if Form::vector(q, lane).is_none() {
        return Lifted::Undefined;
    }
    let (n, m) = (l.v(rn), l.v(rm));
    let r = match op {
        _ if q => l.vbin(op, lane, n, m),
        VBinOp::Zip2 => {
            // The high halves of the low halves are the second part of the low halves interleaved.
            let both = l.vbin(VBinOp::Zip1, lane, n, m);
            l.vhigh(both)
        }
        VBinOp::Uzp1 | VBinOp::Uzp2 => {
            let both = l.vlows(n, m);
            l.vbin(op, lane, both, both)
        }
        _ => l.vbin(op, lane, n, m),
    };
    l.set_vq(rd, q, r);
    Lifted::Next
}

/// EXT
pub(crate) fn ext(l: &mut Lifter, q: bool, rm: VReg, imm4: Imm<4>, rn: VReg, rd: VReg) -> Lifted {
    if !q && imm4.0 > 7 {
        return Lifted::Undefined;
    }
    let (n, m) = (l.v(rn), l.v(rm));
    let (a, b) = if q {
        (n, m)
    } else {
        let both = l.vlows(n, m);
        (both, both)
    };
    let r = l.push(Op::VExt { a, b, imm: imm4.0 as u8 });
    l.set_vq(rd, q, r);
    Lifted::Next
}

/// TBL, and TBX if `keep`, of `len + 1` consecutive table registers
pub(crate) fn table(l: &mut Lifter, q: bool, rm: VReg, len: Imm<2>, keep: bool, rn: VReg, rd: VReg) -> Lifted {
    let mut idx = l.v(rm);
    let acc = if keep { l.v(rd) } else { l.vimm(0) };
    let table = l.v(rn);
    let mut acc = l.push(Op::VTbx { acc, table, idx });
    if len.0 > 0 {
        // Each further table sees indices 16 lower; those served already wrap out of its range.
        let sixteen = l.vimm(splat(Lane::B, 16));
        for i in 1..=len.0 as u8 {
            idx = l.vbin(VBinOp::Sub, Lane::B, idx, sixteen);
            let table = l.v(VReg((rn.0 + i) % 32));
            acc = l.push(Op::VTbx { acc, table, idx });
        }
    }
    l.set_vq(rd, q, acc);
    Lifted::Next
}
