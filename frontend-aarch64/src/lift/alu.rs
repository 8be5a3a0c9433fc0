//! Integer data processing (Arm ARM C4.1.93, C4.1.95).

use jib_ir::op::FlagOp;
use jib_ir::ty::Ty;

use super::{Lifted, Lifter};
use crate::field::{Imm, Reg};
use crate::field_enum;

field_enum! {
    /// The `op` bit of the add/subtract classes.
    AddSub: 1 { Add, Sub }
}

/// ADD, ADDS, SUB, SUBS (immediate). `Rn` may be SP; `Rd` only when the flags are left alone.
pub(crate) fn addsub_imm(
    l: &mut Lifter,
    ty: Ty,
    op: AddSub,
    s: bool,
    sh12: bool,
    imm: Imm<12>,
    rn: Reg,
    rd: Reg,
) -> Lifted {
    let n = l.xsp(ty, rn);
    let m = l.imm(ty, imm.zext() << if sh12 { 12 } else { 0 });
    let (r, flag_op) = match op {
        AddSub::Add => (l.add(n, m), FlagOp::Add),
        AddSub::Sub => (l.sub(n, m), FlagOp::Sub),
    };
    if s {
        let f = l.flags(flag_op, n, m);
        l.set_flags(f);
        l.set_x(rd, r);
    } else {
        l.set_xsp(rd, r);
    }
    Lifted::Next
}
