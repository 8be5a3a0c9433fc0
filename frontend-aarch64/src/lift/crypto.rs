//! Cryptographic instructions (Arm ARM C4.1.96): AES, SHA-1, SHA-256, SHA-512, SHA-3.

use jib_ir::op::{CryptoOp, Op, VShiftOp};
use jib_ir::region::Val;
use jib_ir::ty::Lane;

use super::{Lifted, Lifter};
use crate::field::{Imm, VReg};

fn set_crypto(l: &mut Lifter, rd: VReg, op: CryptoOp, a: Val, b: Val, c: Val) -> Lifted {
    let r = l.push(Op::VCrypto { op, a, b, c });
    l.set_v(rd, r);
    Lifted::Next
}

/// AESE, AESD, AESMC, AESIMC
pub(crate) fn aes(l: &mut Lifter, op: Imm<2>, rn: VReg, rd: VReg) -> Lifted {
    let n = l.v(rn);
    match op.0 {
        0 | 1 => {
            let d = l.v(rd);
            let op = if op.0 == 0 { CryptoOp::AesE } else { CryptoOp::AesD };
            set_crypto(l, rd, op, d, n, Val::NONE)
        }
        2 => set_crypto(l, rd, CryptoOp::AesMc, n, Val::NONE, Val::NONE),
        _ => set_crypto(l, rd, CryptoOp::AesImc, n, Val::NONE, Val::NONE),
    }
}

/// SHA1C, SHA1P, SHA1M, SHA1SU0, SHA256H, SHA256H2, SHA256SU1
pub(crate) fn sha_three(l: &mut Lifter, rm: VReg, opcode: Imm<3>, rn: VReg, rd: VReg) -> Lifted {
    let op = match opcode.0 {
        0 => CryptoOp::Sha1C,
        1 => CryptoOp::Sha1P,
        2 => CryptoOp::Sha1M,
        3 => CryptoOp::Sha1Su0,
        4 => CryptoOp::Sha256H,
        5 => CryptoOp::Sha256H2,
        6 => CryptoOp::Sha256Su1,
        _ => return Lifted::Undefined,
    };
    three(l, op, rm, rn, rd)
}

/// SHA512H, SHA512H2, SHA512SU1, RAX1
pub(crate) fn sha512_three(l: &mut Lifter, rm: VReg, opcode: Imm<2>, rn: VReg, rd: VReg) -> Lifted {
    match opcode.0 {
        0 => three(l, CryptoOp::Sha512H, rm, rn, rd),
        1 => three(l, CryptoOp::Sha512H2, rm, rn, rd),
        2 => three(l, CryptoOp::Sha512Su1, rm, rn, rd),
        _ => rax1(l, rm, rn, rd),
    }
}

fn three(l: &mut Lifter, op: CryptoOp, rm: VReg, rn: VReg, rd: VReg) -> Lifted {
    let (d, n, m) = (l.v(rd), l.v(rn), l.v(rm));
    set_crypto(l, rd, op, d, n, m)
}

/// SHA1H, SHA1SU1, SHA256SU0
pub(crate) fn sha_two(l: &mut Lifter, opcode: Imm<5>, rn: VReg, rd: VReg) -> Lifted {
    let op = match opcode.0 {
        0 => {
            let n = l.v(rn);
            return set_crypto(l, rd, CryptoOp::Sha1H, n, Val::NONE, Val::NONE);
        }
        1 => CryptoOp::Sha1Su1,
        2 => CryptoOp::Sha256Su0,
        _ => return Lifted::Undefined,
    };
    two(l, op, rn, rd)
}

/// SHA512SU0
pub(crate) fn sha512su0(l: &mut Lifter, rn: VReg, rd: VReg) -> Lifted {
    two(l, CryptoOp::Sha512Su0, rn, rd)
}

fn two(l: &mut Lifter, op: CryptoOp, rn: VReg, rd: VReg) -> Lifted {
    let (d, n) = (l.v(rd), l.v(rn));
    set_crypto(l, rd, op, d, n, Val::NONE)
}

/// EOR3
pub(crate) fn eor3(l: &mut Lifter, rm: VReg, ra: VReg, rn: VReg, rd: VReg) -> Lifted {
    let (n, m, a) = (l.v(rn), l.v(rm), l.v(ra));
    let r = l.vxor(n, m);
    let r = l.vxor(r, a);
    l.set_v(rd, r);
    Lifted::Next
}

/// BCAX
pub(crate) fn bcax(l: &mut Lifter, rm: VReg, ra: VReg, rn: VReg, rd: VReg) -> Lifted {
    let (n, m, a) = (l.v(rn), l.v(rm), l.v(ra));
    let r = l.push(Op::VAndNot { a: m, b: a });
    let r = l.vxor(n, r);
    l.set_v(rd, r);
    Lifted::Next
}

/// XAR
pub(crate) fn xar(l: &mut Lifter, rm: VReg, imm6: Imm<6>, rn: VReg, rd: VReg) -> Lifted {
    let (n, m) = (l.v(rn), l.v(rm));
    let x = l.vxor(n, m);
    let r = rotate_right(l, x, imm6.0);
    l.set_v(rd, r);
    Lifted::Next
}

fn rax1(l: &mut Lifter, rm: VReg, rn: VReg, rd: VReg) -> Lifted {
    let (n, m) = (l.v(rn), l.v(rm));
    let m = rotate_right(l, m, 63);
    let r = l.vxor(n, m);
    l.set_v(rd, r);
    Lifted::Next
}

/// Both doublewords rotated.
fn rotate_right(l: &mut Lifter, v: Val, count: u32) -> Val {
    if count == 0 {
        return v;
    }
    let low = l.vshift(VShiftOp::UShr, Lane::D, count, v);
    let high = l.vshift(VShiftOp::Shl, Lane::D, 64 - count, v);
    l.vor(low, high)
}
