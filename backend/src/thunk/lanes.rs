//! Integer lanes: variable shifts, leading bits, dot products.

use jib_ir::eval::vec;
use jib_ir::op::{DotSigns, VBinOp, VUnOp};
use jib_ir::ty::Lane;

use super::thunk;
use crate::abi::HostFeatures;

/// One of four functions, by lane.
macro_rules! by_lane {
    ($host:expr, $lane:expr, $f:path, $op:expr, |$($a:ident),+|) => {
        match $lane {
            Lane::B => thunk!($host, |$($a),+| $f($op, Lane::B, $($a),+)),
            Lane::H => thunk!($host, |$($a),+| $f($op, Lane::H, $($a),+)),
            Lane::S => thunk!($host, |$($a),+| $f($op, Lane::S, $($a),+)),
            Lane::D => thunk!($host, |$($a),+| $f($op, Lane::D, $($a),+)),
        }
    };
}

/// Shifts by lanes. For hosts without such instructions, the host's compiler multiplies by powers of two that it makes
/// as floats, which raises flags.
#[inline(always)]
fn shift(op: VBinOp, lane: Lane, a: u128, b: u128) -> u128 {
    let word = crate::entry::fp_word();
    let v = vec::vbin(op, lane, a, b);
    crate::entry::put_back(word);
    v
}

/// Of two vectors.
pub(super) fn binary(host: &HostFeatures, op: VBinOp, lane: Lane) -> Option<usize> {
    Some(match op {
        VBinOp::SShl => by_lane!(host, lane, shift, VBinOp::SShl, |a, b|),
        VBinOp::UShl => by_lane!(host, lane, shift, VBinOp::UShl, |a, b|),
        VBinOp::SRShl => by_lane!(host, lane, shift, VBinOp::SRShl, |a, b|),
        VBinOp::URShl => by_lane!(host, lane, shift, VBinOp::URShl, |a, b|),
        VBinOp::PMul => thunk!(host, |a, b| vec::vbin(VBinOp::PMul, Lane::B, a, b)),
        _ => return None,
    })
}

/// Of one vector.
pub(super) fn unary(host: &HostFeatures, op: VUnOp, lane: Lane) -> Option<usize> {
    Some(match op {
        VUnOp::Clz => by_lane!(host, lane, vec::vun, VUnOp::Clz, |a|),
        VUnOp::Cls => by_lane!(host, lane, vec::vun, VUnOp::Cls, |a|),
        VUnOp::Rbit => thunk!(host, |a| vec::vun(VUnOp::Rbit, Lane::B, a)),
        VUnOp::URecpe => thunk!(host, |a| vec::vun(VUnOp::URecpe, Lane::S, a)),
        VUnOp::URsqrte => thunk!(host, |a| vec::vun(VUnOp::URsqrte, Lane::S, a)),
        _ => return None,
    })
}

/// Dot products of four bytes each: `acc`, `a`, `b`.
pub(super) fn dot(host: &HostFeatures, signs: DotSigns) -> usize {
    match signs {
        DotSigns::SS => thunk!(host, |acc, a, b| vec::vdot(DotSigns::SS, acc, a, b)),
        DotSigns::UU => thunk!(host, |acc, a, b| vec::vdot(DotSigns::UU, acc, a, b)),
        DotSigns::US => thunk!(host, |acc, a, b| vec::vdot(DotSigns::US, acc, a, b)),
    }
}

/// Matrix products: `acc`, `a`, `b`.
pub(super) fn mmla(host: &HostFeatures, signs: DotSigns) -> usize {
    match signs {
        DotSigns::SS => thunk!(host, |acc, a, b| vec::vmmla(DotSigns::SS, acc, a, b)),
        DotSigns::UU => thunk!(host, |acc, a, b| vec::vmmla(DotSigns::UU, acc, a, b)),
        DotSigns::US => thunk!(host, |acc, a, b| vec::vmmla(DotSigns::US, acc, a, b)),
    }
}
