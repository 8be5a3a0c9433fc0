//! The meaning of the vector ops.
use super::FpEnv;
use crate::op::Op;
use crate::region::Val;
/// stub
#[inline(always)]
pub fn value(_op: &Op, _get: impl Fn(Val) -> u128, _env: &mut FpEnv) -> Option<u128> {
    None
}
