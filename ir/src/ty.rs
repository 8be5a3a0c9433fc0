//! Types of IR values, lane widths, memory sizes and conditions.

use crate::softfloat::Fmt;

/// The type of an IR value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Ty {
    /// A truth value.
    Bool,
    /// 32 bits. As a `u128` carrier the upper bits are zero.
    I32,
    /// 64 bits.
    I64,
    /// 128 bits: a vector register, or a scalar FP value with zeroes above it.
    V128,
    /// The four condition flags; as a carrier, NZCV in bits 31:28 (a 32-bit word).
    Flags,
}

impl Ty {
    /// Width in bits of an integer type; `None` for the others.
    pub const fn int_bits(self) -> Option<u32> {
        match self {
            Ty::I32 => Some(32),
            Ty::I64 => Some(64),
            Ty::Bool | Ty::V128 | Ty::Flags => None,
        }
    }
}

/// The width of one vector lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Lane {
    /// 8 bits.
    B,
    /// 16 bits.
    H,
    /// 32 bits.
    S,
    /// 64 bits.
    D,
}

impl Lane {
    /// All lanes, narrowest first: indexed by the two-bit `size` field.
    pub const ALL: [Lane; 4] = [Lane::B, Lane::H, Lane::S, Lane::D];

    /// Lane width in bits.
    pub const fn bits(self) -> u32 {
        8 << self as u32
    }
    /// Lane width in bytes.
    pub const fn bytes(self) -> u32 {
        1 << self as u32
    }
    /// Number of lanes in 128 bits.
    pub const fn count(self) -> u32 {
        16 >> self as u32
    }
    /// The lane of twice the width, if there is one.
    pub const fn wider(self) -> Option<Lane> {
        match self {
            Lane::B => Some(Lane::H),
            Lane::H => Some(Lane::S),
            Lane::S => Some(Lane::D),
            Lane::D => None,
        }
    }
    /// The lane of half the width, if there is one.
    pub const fn narrower(self) -> Option<Lane> {
        match self {
            Lane::B => None,
            Lane::H => Some(Lane::B),
            Lane::S => Some(Lane::H),
            Lane::D => Some(Lane::S),
        }
    }
    /// The FP format of this width; bytes have none.
    pub const fn fmt(self) -> Option<Fmt> {
        match self {
            Lane::B => None,
            Lane::H => Some(Fmt::H),
            Lane::S => Some(Fmt::S),
            Lane::D => Some(Fmt::D),
        }
    }
    /// A mask of one lane's bits.
    pub const fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits())
    }
}

/// The lane that holds a value of FP format `fmt`.
pub const fn lane_of(fmt: Fmt) -> Lane {
    match fmt {
        Fmt::H => Lane::H,
        Fmt::S => Lane::S,
        Fmt::D => Lane::D,
    }
}

/// The size of a memory access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Size {
    /// 1 byte.
    B1,
    /// 2 bytes.
    B2,
    /// 4 bytes.
    B4,
    /// 8 bytes.
    B8,
    /// 16 bytes.
    B16,
}

impl Size {
    /// All sizes, smallest first.
    pub const ALL: [Size; 5] = [Size::B1, Size::B2, Size::B4, Size::B8, Size::B16];
    /// The size in bytes.
    pub const fn bytes(self) -> u64 {
        1 << self as u64
    }
    /// The access of one lane.
    pub const fn of_lane(lane: Lane) -> Size {
        Size::ALL[lane as usize]
    }
}

/// How many lanes of a vector an FP op computes; the lanes above become zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Shape {
    /// Lane 0 alone.
    Scalar,
    /// The lanes of the low 64 bits.
    Half,
    /// All 128 bits.
    Full,
}

impl Shape {
    /// Vector shape from the `Q` bit.
    pub const fn of_q(q: bool) -> Shape {
        if q { Shape::Full } else { Shape::Half }
    }
    /// Number of active lanes of width `lane`.
    pub const fn lanes(self, lane: Lane) -> u32 {
        match self {
            Shape::Scalar => 1,
            Shape::Half => lane.count() / 2,
            Shape::Full => lane.count(),
        }
    }
}

/// Integer comparison of two values of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Cc {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Signed less than.
    Slt,
    /// Signed less than or equal.
    Sle,
    /// Unsigned less than.
    Ult,
    /// Unsigned less than or equal.
    Ule,
}

/// A condition on the flags, in the order of the four-bit condition field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Cond {
    /// Z
    Eq,
    /// !Z
    Ne,
    /// C
    Cs,
    /// !C
    Cc,
    /// N
    Mi,
    /// !N
    Pl,
    /// V
    Vs,
    /// !V
    Vc,
    /// C && !Z
    Hi,
    /// !C || Z
    Ls,
    /// N == V
    Ge,
    /// N != V
    Lt,
    /// !Z && N == V
    Gt,
    /// Z || N != V
    Le,
    /// Always.
    Al,
    /// Always, too.
    Nv,
}

impl Cond {
    /// All conditions by number.
    pub const ALL: [Cond; 16] = {
        use Cond::*;
        [Eq, Ne, Cs, Cc, Mi, Pl, Vs, Vc, Hi, Ls, Ge, Lt, Gt, Le, Al, Nv]
    };
    /// The opposite condition; `Al` and `Nv` have none and map to each other.
    pub const fn negate(self) -> Cond {
        Cond::ALL[self as usize ^ 1]
    }
    /// Does NZCV (bits 31:28 of `nzcv`) satisfy the condition?
    pub const fn holds(self, nzcv: u32) -> bool {
        let n = nzcv >> 31 & 1 == 1;
        let z = nzcv >> 30 & 1 == 1;
        let c = nzcv >> 29 & 1 == 1;
        let v = nzcv >> 28 & 1 == 1;
        match self {
            Cond::Eq => z,
            Cond::Ne => !z,
            Cond::Cs => c,
            Cond::Cc => !c,
            Cond::Mi => n,
            Cond::Pl => !n,
            Cond::Vs => v,
            Cond::Vc => !v,
            Cond::Hi => c && !z,
            Cond::Ls => !c || z,
            Cond::Ge => n == v,
            Cond::Lt => n != v,
            Cond::Gt => !z && n == v,
            Cond::Le => z || n != v,
            Cond::Al | Cond::Nv => true,
        }
    }
}
