//! Functions that compiled code calls for pure ops without a good inline form.

use jib_ir::eval::int;
use jib_ir::op::Rm;
use jib_ir::softfloat::Fmt;
use jib_ir::ty::Size;

use crate::abi::HostFeatures;

/// Address of the function for one kind and size of CRC: `(acc, value) -> acc`.
pub(crate) fn crc32(_host: &HostFeatures, c: bool, size: Size) -> usize {
    macro_rules! thunk {
        ($c:literal, $size:ident) => {{
            extern "sysv64" fn crc(acc: u64, v: u64) -> u64 {
                u64::from(int::crc32($c, Size::$size, acc as u32, v))
            }
            crc as *const () as usize
        }};
    }
    match (c, size) {
        (false, Size::B1) => thunk!(false, B1),
        (false, Size::B2) => thunk!(false, B2),
        (false, Size::B4) => thunk!(false, B4),
        (false, _) => thunk!(false, B8),
        (true, Size::B1) => thunk!(true, B1),
        (true, Size::B2) => thunk!(true, B2),
        (true, Size::B4) => thunk!(true, B4),
        (true, _) => thunk!(true, B8),
    }
}

/// Address of the function for vector op `op`, if it has one: as many vectors as operands to a vector.
pub(crate) fn vector(_host: &HostFeatures, _op: &jib_ir::op::Op) -> Option<usize> {
    None
}

/// Address of the function that rounds the floats of a vector (or the first alone) to integral values without
/// reporting inexactness, if the host has one.
pub(crate) fn round(_host: &HostFeatures, _fmt: Fmt, _scalar: bool, _rm: Rm) -> Option<usize> {
    None
}
