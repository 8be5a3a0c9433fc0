//! The meaning of every op that computes a value, on concrete operands.
//!
//! The interpreter, the constant folder and the compiled code's out-of-line paths all call these
//! functions, so an op means one thing. Values travel as `u128` with unused upper bits zero.

pub mod crypto;
pub mod flags;
pub mod float;
pub mod int;
pub mod vec;

use crate::op::{FlagOp, Op};
use crate::region::Val;
use crate::ty::Ty;

/// The FP environment of an evaluation: FPCR is read, FPSR accumulates.
#[derive(Debug)]
pub struct FpEnv {
    /// FPCR.
    pub fpcr: u32,
    /// FPSR; flags are ORed in.
    pub fpsr: u32,
}

/// Evaluates `op`, whose operands `get` supplies. `None` for ops that touch state, memory or
/// control flow: those belong to the executor.
#[inline(always)]
pub fn value(op: &Op, get: impl Fn(Val) -> u128, env: &mut FpEnv) -> Option<u128> {
    let g64 = |v: Val| get(v) as u64;
    let gb = |v: Val| get(v) != 0;
    Some(match *op {
        Op::Imm { ty: Ty::I32 | Ty::Flags, v } => (v as u32) as u128,
        Op::Imm { v, .. } => v as u128,
        Op::VImm { lo, hi } => lo as u128 | (hi as u128) << 64,
        Op::Bin { op, ty, a, b } => int::bin(op, ty, g64(a), g64(b)) as u128,
        Op::Un { op, ty, a } => int::un(op, ty, g64(a)) as u128,
        Op::Ext { ty, signed, bits, a } => int::ext(ty, signed, bits, g64(a)) as u128,
        Op::Cmp { cc, ty, a, b } => int::cmp(cc, ty, g64(a), g64(b)) as u128,
        Op::TestBit { a, bit, .. } => (g64(a) >> bit & 1) as u128,
        Op::BNot { c } => !gb(c) as u128,
        Op::BAnd { a, b } => (gb(a) && gb(b)) as u128,
        Op::FromBool { c, .. } => gb(c) as u128,
        Op::Select { c, a, b, .. } => get(if gb(c) { a } else { b }),
        Op::Crc32 { c, size, acc, v } => int::crc32(c, size, g64(acc) as u32, g64(v)) as u128,
        Op::Flags { op, ty, a, b } => {
            let (a, b) = (g64(a), g64(b));
            (match (op, ty) {
                (FlagOp::Add, Ty::I32) => flags::add32(a as u32, b as u32),
                (FlagOp::Add, _) => flags::add64(a, b),
                (FlagOp::Sub, Ty::I32) => flags::sub32(a as u32, b as u32),
                (FlagOp::Sub, _) => flags::sub64(a, b),
            }) as u128
        }
        Op::FlagsAdc { ty: Ty::I32, a, b, c } => flags::adc32(g64(a) as u32, g64(b) as u32, gb(c)) as u128,
        Op::FlagsAdc { a, b, c, .. } => flags::adc64(g64(a), g64(b), gb(c)) as u128,
        Op::FlagsLogic { ty: Ty::I32, a } => flags::logic32(g64(a) as u32) as u128,
        Op::FlagsLogic { a, .. } => flags::logic64(g64(a)) as u128,
        Op::FlagsPack { a } => get(a) & 0xf000_0000,
        Op::FlagsUnpack { f } => get(f) & 0xf000_0000,
        Op::Cond { cond, f } => cond.holds(get(f) as u32) as u128,
        Op::VCrypto { op, a, b, c } => {
            let opt = |v: Val| if v == Val::NONE { 0 } else { get(v) };
            crypto::eval(op, opt(a), opt(b), opt(c))
        }
        Op::Get { .. }
        | Op::Set { .. }
        | Op::Load { .. }
        | Op::Store { .. }
        | Op::Rmw { .. }
        | Op::Cas { .. }
        | Op::CasIf { .. }
        | Op::CheckAlign { .. }
        | Op::Fence { .. }
        | Op::Call { .. }
        | Op::Jump { .. }
        | Op::Branch { .. }
        | Op::Exit { .. }
        | Op::ExitInd { .. }
        | Op::Trap { .. }
        | Op::Invalidate { .. } => return None,
        _ => return vec::value(op, get, env),
    })
}
