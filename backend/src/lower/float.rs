//! FP ops.

use jib_ir::op::Op;

use super::{Lowerer, Repr};

impl Lowerer<'_, '_> {
    pub(super) fn float_op(&mut self, op: Op) -> Repr {
        self.evaluate(op)
    }
}
