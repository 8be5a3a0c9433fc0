//! Operand kinds as types: what a field of an instruction word can be.

use jib_ir::ty::{Cond, Lane, Ty};

use crate::pattern::Field;

/// A general register number; 31 is XZR or SP, as the accessor decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reg(pub u8);

/// A vector register number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VReg(pub u8);

/// An unsigned field of `N` bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imm<const N: u8>(pub u32);

impl<const N: u8> Imm<N> {
    /// Zero-extended.
    pub fn zext(self) -> u64 {
        self.0 as u64
    }
    /// Sign-extended.
    pub fn sext(self) -> i64 {
        ((self.0 as i64) << (64 - N)) >> (64 - N)
    }
}

impl<const N: u8> Field for Imm<N> {
    const WIDTH: u8 = N;
    fn from_bits(bits: u32) -> Self {
        Imm(bits)
    }
}
impl Field for bool {
    const WIDTH: u8 = 1;
    fn from_bits(bits: u32) -> bool {
        bits != 0
    }
}
impl Field for Reg {
    const WIDTH: u8 = 5;
    fn from_bits(bits: u32) -> Self {
        Reg(bits as u8)
    }
}
impl Field for VReg {
    const WIDTH: u8 = 5;
    fn from_bits(bits: u32) -> Self {
        VReg(bits as u8)
    }
}
impl Field for Cond {
    const WIDTH: u8 = 4;
    fn from_bits(bits: u32) -> Self {
        Cond::ALL[bits as usize & 15]
    }
}
/// The `sf` bit: operand width.
impl Field for Ty {
    const WIDTH: u8 = 1;
    fn from_bits(bits: u32) -> Self {
        if bits == 0 { Ty::I32 } else { Ty::I64 }
    }
}
/// The two-bit `size` field of AdvSIMD.
impl Field for Lane {
    const WIDTH: u8 = 2;
    fn from_bits(bits: u32) -> Self {
        Lane::ALL[bits as usize & 3]
    }
}

/// Declares an enum that is a field: variants in the order of their encoding.
#[macro_export]
macro_rules! field_enum {
    ($(#[$m:meta])* $name:ident : $width:literal { $($(#[$d:meta])* $v:ident),* $(,)? }) => {
        $(#[$m])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the names are the Arm ARM's")]
        pub(crate) enum $name { $($(#[$d])* $v),* }
        impl $crate::pattern::Field for $name {
            const WIDTH: u8 = $width;
            fn from_bits(bits: u32) -> Self {
                const ALL: [$name; 1 << $width] = [$($name::$v),*];
                ALL[bits as usize]
            }
        }
    };
}
