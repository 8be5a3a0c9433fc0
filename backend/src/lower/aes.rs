//! AES rounds: AESE and AESMC (AESD and AESIMC), which programs write in pairs, are one instruction of the host.

use jib_ir::op::{CryptoOp, Op};
use jib_ir::region::{Region, Val};

use super::{Lowerer, Repr};

/// For each op: is it the first half of a round, used by the second half only?
pub(super) fn first_halves(region: &Region) -> Vec<bool> {
    let mut uses = vec![0u8; region.ops.len()];
    for op in &region.ops {
        op.for_each_arg(&mut |v| uses[v.index()] = uses[v.index()].saturating_add(1));
    }
    let mut halves = vec![false; region.ops.len()];
    for op in &region.ops {
        if let Op::VCrypto { op: second, a, .. } = *op
            && let Op::VCrypto { op: first, .. } = region.ops[a.index()]
            && matches!((first, second), (CryptoOp::AesE, CryptoOp::AesMc) | (CryptoOp::AesD, CryptoOp::AesImc))
            && uses[a.index()] == 1
        {
            halves[a.index()] = true;
        }
    }
    halves
}

impl Lowerer<'_, '_> {
    /// A cryptographic op; the first half of a round waits for the second.
    pub(super) fn crypto_op(&mut self, row: Op, op: CryptoOp, operands: [Val; 3]) -> Repr {
        let round = crate::thunk::aes_round(self.env.host, op);
        if self.first_halves[self.at as usize] && round.is_some() {
            return Repr::None;
        }
        let [first, ..] = operands;
        if let (Some(round), Op::VCrypto { a, b, .. }) = (round, self.region.ops[first.index()])
            && self.first_halves[first.index()]
        {
            let args = [self.vec(a), self.vec(b)];
            return Repr::Vec(self.call_vector(round, &args));
        }
        let args: Vec<Val> = operands.into_iter().filter(|v| *v != Val::NONE).collect();
        self.by_thunk(row, &args)
    }
}
