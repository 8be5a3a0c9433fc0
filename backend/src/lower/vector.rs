//! Vector ops.

use jib_ir::op::Op;

use super::{Lowerer, Repr};

impl Lowerer<'_, '_> {
    pub(super) fn vector_op(&mut self, op: Op) -> Repr {
        self.evaluate(op)
    }
}
