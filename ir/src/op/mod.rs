//! Every IR op, one documented row each: fields, result type, effect.
//!
//! Widths and lanes are fields of an op, never part of its name. Ops of one shape share a row and
//! take their operation as a field ([`BinOp`], [`VBinOp`], ...), each documented at its variant.
//! What a pure op computes is defined once, in [`crate::eval`].

mod control;
mod float;
mod scalar;
mod vector;

pub use control::{Align, ExitKind, Fence, Order, Trap};
pub use float::{FBinOp, FMaskOp, FSignOp, FUnOp, Rm};
pub use scalar::{BinOp, FlagOp, UnOp};
pub use vector::{CryptoOp, DotSigns, VBinOp, VReduceOp, VSatNarrowOp, VSatOp, VSatShiftOp, VShiftOp, VUnOp};

use crate::region::{BlockId, Val};
use crate::runtime::RmwOp;
use crate::softfloat::Fmt;
use crate::state::Slot;
use crate::text::{Field, Fields};
use crate::ty::{Cc, Cond, Lane, Shape, Size, Ty};

/// What an op does beyond its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: may be dropped, duplicated, moved.
    Pure,
    /// Reads guest state.
    Read,
    /// Writes guest state.
    Write,
    /// Reads FPCR and accumulates into FPSR; not to be dropped.
    Fp,
    /// Reads guest memory; may fault.
    Load,
    /// Writes guest memory or orders accesses; may fault.
    Store,
    /// May do anything to state and memory, and may leave.
    Call,
    /// Ends the block.
    End,
}

/// Lets the op table reach the values among an op's fields.
trait Arg: Copy {
    #[inline(always)]
    fn visit(self, _f: &mut impl FnMut(Val)) {}
    #[inline(always)]
    fn map(&mut self, _f: &mut impl FnMut(Val) -> Val) {}
}
impl Arg for Val {
    #[inline(always)]
    fn visit(self, f: &mut impl FnMut(Val)) {
        if self != Val::NONE {
            f(self);
        }
    }
    #[inline(always)]
    fn map(&mut self, f: &mut impl FnMut(Val) -> Val) {
        if *self != Val::NONE {
            *self = f(*self);
        }
    }
}
macro_rules! not_args { ($($t:ty),* $(,)?) => { $( impl Arg for $t {} )* } }
not_args!(
    Ty,
    Slot,
    u64,
    u32,
    u16,
    u8,
    bool,
    BinOp,
    UnOp,
    FlagOp,
    VBinOp,
    VUnOp,
    VShiftOp,
    VSatOp,
    VSatShiftOp,
    VSatNarrowOp,
    VReduceOp,
    DotSigns,
    FBinOp,
    FUnOp,
    FSignOp,
    FMaskOp,
    Rm,
    CryptoOp,
    Order,
    Fence,
    Align,
    ExitKind,
    Trap,
    Cc,
    Cond,
    Lane,
    Shape,
    Size,
    Fmt,
    RmwOp,
    BlockId,
);

macro_rules! ops {
    ($( $(#[doc = $doc:literal])+ $name:ident { $($f:ident : $t:ty),* } -> $ty:expr, $eff:ident; )*) => {
        /// One operation. See the module documentation.
        #[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[allow(missing_docs, reason = "fields are explained in each op's sentence")]
        pub enum Op { $( $(#[doc = $doc])+ $name { $($f: $t),* } ),* }

        impl Op {
            /// What the op does beyond its result.
            #[inline]
            pub const fn effect(&self) -> Effect {
                match self { $( Op::$name { .. } => Effect::$eff ),* }
            }
            /// Type of the result, if there is one.
            #[inline]
            #[allow(unused_variables, reason = "most rows do not look at their fields")]
            pub const fn ty(&self) -> Option<Ty> {
                match *self { $( Op::$name { $($f),* } => $ty ),* }
            }
            /// Name of the row.
            pub const fn name(&self) -> &'static str {
                match self { $( Op::$name { .. } => stringify!($name) ),* }
            }
            /// Calls `f` on each operand in order.
            #[inline]
            pub fn for_each_arg(&self, f: &mut impl FnMut(Val)) {
                match *self { $( Op::$name { $($f),* } => { $( Arg::visit($f, f); )* } ),* }
            }
            /// Replaces each operand by `f` of it.
            #[inline]
            pub fn map_args(&mut self, f: &mut impl FnMut(Val) -> Val) {
                match self { $( Op::$name { $($f),* } => { $( Arg::map($f, f); )* } ),* }
            }
            /// Calls `f` on each field's name and value in order.
            pub(crate) fn for_each_field(&self, f: &mut dyn FnMut(&'static str, &dyn Field)) {
                match self { $( Op::$name { $($f),* } => { $( f(stringify!($f), $f); )* } ),* }
            }
            /// Row `name`, made of the fields that `from` supplies.
            pub(crate) fn read(name: &str, from: &mut impl Fields) -> Result<Op, String> {
                Ok(match name {
                    $( stringify!($name) => Op::$name { $($f: from.field(stringify!($f))?),* }, )*
                    _ => return Err(format!("there is no op {name}")),
                })
            }
            /// Every row's name and documentation.
            pub const DOCS: &'static [(&'static str, &'static str)] =
                &[$((stringify!($name), concat!($($doc),+))),*];
        }
    }
}

ops! {
    // Constants and guest state.
    /// The constant `v` (truncated to `ty`; `Bool` 0 or 1; `Flags` NZCV in bits 31:28).
    Imm { ty: Ty, v: u64 } -> Some(ty), Pure;
    /// The vector constant `hi:lo`.
    VImm { lo: u64, hi: u64 } -> Some(Ty::V128), Pure;
    /// Reads guest state.
    Get { ty: Ty, slot: Slot } -> Some(ty), Read;
    /// Writes guest state; `v` has type `ty`. An `I32` is zero-extended to the whole word.
    Set { ty: Ty, slot: Slot, v: Val } -> None, Write;

    // Integers.
    /// `op(a, b)`.
    Bin { op: BinOp, ty: Ty, a: Val, b: Val } -> Some(ty), Pure;
    /// `op(a)`.
    Un { op: UnOp, ty: Ty, a: Val } -> Some(ty), Pure;
    /// The low `bits` (1 to 64) of `a` (`I32` or `I64`), sign- or zero-extended or truncated to `ty`.
    Ext { ty: Ty, signed: bool, bits: u8, a: Val } -> Some(ty), Pure;
    /// Compares two values of type `ty` (`I32`, `I64`).
    Cmp { cc: Cc, ty: Ty, a: Val, b: Val } -> Some(Ty::Bool), Pure;
    /// Is bit `bit` of `a` (of type `ty`) set?
    TestBit { ty: Ty, a: Val, bit: u8 } -> Some(Ty::Bool), Pure;
    /// `!c`.
    BNot { c: Val } -> Some(Ty::Bool), Pure;
    /// `a && b`.
    BAnd { a: Val, b: Val } -> Some(Ty::Bool), Pure;
    /// 1 if `c`, else 0, as `ty`.
    FromBool { ty: Ty, c: Val } -> Some(ty), Pure;
    /// `a` if `c`, else `b`, both of type `ty` (any type).
    Select { ty: Ty, c: Val, a: Val, b: Val } -> Some(ty), Pure;
    /// CRC-32 (CRC-32C if `c`) of the low `size` bytes of `v` (`I64`), continuing from `acc` (`I32`).
    Crc32 { c: bool, size: Size, acc: Val, v: Val } -> Some(Ty::I32), Pure;

    // Flags.
    /// NZCV of `op(a, b)`.
    Flags { op: FlagOp, ty: Ty, a: Val, b: Val } -> Some(Ty::Flags), Pure;
    /// NZCV of `a + b + c` with `c` a `Bool` (subtract with carry: pass `!b`).
    FlagsAdc { ty: Ty, a: Val, b: Val, c: Val } -> Some(Ty::Flags), Pure;
    /// N and Z of `a`; C and V clear.
    FlagsLogic { ty: Ty, a: Val } -> Some(Ty::Flags), Pure;
    /// Flags from bits 31:28 of `a` (`I32`).
    FlagsPack { a: Val } -> Some(Ty::Flags), Pure;
    /// NZCV in bits 31:28 of an `I32`, the rest zero.
    FlagsUnpack { f: Val } -> Some(Ty::I32), Pure;
    /// Do the flags `f` satisfy `cond`?
    Cond { cond: Cond, f: Val } -> Some(Ty::Bool), Pure;

    // Memory.
    /// Loads `size` bytes at `addr`, zero-extended to `ty` (`I32`, `I64`, `V128`).
    Load { ty: Ty, size: Size, order: Order, addr: Val } -> Some(ty), Load;
    /// Stores the low `size` bytes of `v` (of type `ty`).
    Store { ty: Ty, size: Size, order: Order, addr: Val, v: Val } -> None, Store;
    /// Atomic read-modify-write; gives the old value, zero-extended. `v` has type `ty` (`I32`, `I64`).
    Rmw { op: RmwOp, ty: Ty, size: Size, addr: Val, v: Val } -> Some(ty), Store;
    /// Atomic compare-and-swap of the low `size` bytes; gives the old value, zero-extended.
    /// `ty` is `I32`, `I64`, or `V128` (size 16).
    Cas { ty: Ty, size: Size, addr: Val, expected: Val, new: Val } -> Some(ty), Store;
    /// If `c`: compare-and-swap, giving whether it stored. If not `c`: no access, false.
    CasIf { ty: Ty, size: Size, c: Val, addr: Val, expected: Val, new: Val } -> Some(Ty::Bool), Store;
    /// Faults (alignment) unless an access of `size` at `addr` satisfies `rule`. `write` tells the
    /// kind of access to report.
    CheckAlign { rule: Align, size: Size, write: bool, addr: Val } -> None, Load;
    /// Memory barrier.
    Fence { kind: Fence } -> None, Store;

    // Out of line.
    /// Calls helper number `helper` with up to four `I64` operands (absent ones `Val::NONE`); the
    /// result (`I64`) may be ignored.
    Call { helper: u16, a: Val, b: Val, c: Val, d: Val } -> Some(Ty::I64), Call;

    // Vectors: moving parts.
    /// Lane `idx` of `v`, zero-extended to `I64`.
    VGet { lane: Lane, idx: u8, v: Val } -> Some(Ty::I64), Pure;
    /// `v` with lane `idx` replaced by the low bits of `x` (`I64`).
    VSet { lane: Lane, idx: u8, v: Val, x: Val } -> Some(Ty::V128), Pure;
    /// Every lane the low bits of `x` (`I64`).
    VDup { lane: Lane, x: Val } -> Some(Ty::V128), Pure;
    /// Every lane a copy of lane `idx` of `v`.
    VDupLane { lane: Lane, idx: u8, v: Val } -> Some(Ty::V128), Pure;
    /// `v` with lane `dst` replaced by lane `src` of `from`.
    VMovLane { lane: Lane, dst: u8, v: Val, src: u8, from: Val } -> Some(Ty::V128), Pure;
    /// `hi:lo` from two `I64`.
    VPair { lo: Val, hi: Val } -> Some(Ty::V128), Pure;
    /// Keeps the low `bytes` (1, 2, 4, 8), zeroes the rest.
    VZeroHi { bytes: u8, v: Val } -> Some(Ty::V128), Pure;
    /// The high 64 bits moved low; high 64 zero.
    VHigh { v: Val } -> Some(Ty::V128), Pure;
    /// Bytes `imm` to `imm + 15` of `b:a` (`a` is the low part), imm 0 to 15.
    VExt { a: Val, b: Val, imm: u8 } -> Some(Ty::V128), Pure;
    /// Byte i is `table[idx[i]]` where `idx[i] < 16`, else byte i of `acc`.
    VTbx { acc: Val, table: Val, idx: Val } -> Some(Ty::V128), Pure;

    // Vectors: bitwise.
    /// `a & b`.
    VAnd { a: Val, b: Val } -> Some(Ty::V128), Pure;
    /// `a | b`.
    VOr { a: Val, b: Val } -> Some(Ty::V128), Pure;
    /// `a ^ b`.
    VXor { a: Val, b: Val } -> Some(Ty::V128), Pure;
    /// `a & !b`.
    VAndNot { a: Val, b: Val } -> Some(Ty::V128), Pure;
    /// `!a`.
    VNot { a: Val } -> Some(Ty::V128), Pure;
    /// `(a & mask) | (b & !mask)`.
    VBsl { mask: Val, a: Val, b: Val } -> Some(Ty::V128), Pure;

    // Vectors: integer lanes.
    /// `op` of each lane pair.
    VBin { op: VBinOp, lane: Lane, a: Val, b: Val } -> Some(Ty::V128), Pure;
    /// `op` of each lane.
    VUn { op: VUnOp, lane: Lane, a: Val } -> Some(Ty::V128), Pure;
    /// Each lane shifted by `imm`.
    VShift { op: VShiftOp, lane: Lane, imm: u8, a: Val } -> Some(Ty::V128), Pure;
    /// The low 64 bits' lanes of width `lane`, extended to twice the width.
    VWiden { signed: bool, lane: Lane, a: Val } -> Some(Ty::V128), Pure;
    /// Lanes of twice `lane` truncated to `lane`, in the low 64 bits; high 64 zero.
    VNarrow { lane: Lane, a: Val } -> Some(Ty::V128), Pure;
    /// Products of the low 64 bits' lanes (B, H, S) in lanes of twice the width.
    VMulL { signed: bool, lane: Lane, a: Val, b: Val } -> Some(Ty::V128), Pure;
    /// `op` over the lanes of the low half (`Shape::Half`) or the whole, in lane 0; the rest zero.
    VReduce { op: VReduceOp, lane: Lane, shape: Shape, a: Val } -> Some(Ty::V128), Pure;
    /// Each S lane of `acc` plus the dot product of the four bytes of `a` and `b` there.
    VDot { signs: DotSigns, acc: Val, a: Val, b: Val } -> Some(Ty::V128), Pure;
    /// 2x2 S lanes of `acc` plus the product of 2x8 bytes `a` and the transposed 2x8 `b` (SMMLA).
    VMmla { signs: DotSigns, acc: Val, a: Val, b: Val } -> Some(Ty::V128), Pure;
    /// Saturating `op` of each lane pair; sets FPSR.QC.
    VSat { op: VSatOp, lane: Lane, a: Val, b: Val } -> Some(Ty::V128), Fp;
    /// SQRDMLAH (SQRDMLSH if `sub`) of lanes H, S; sets FPSR.QC.
    VSatMla { sub: bool, lane: Lane, acc: Val, a: Val, b: Val } -> Some(Ty::V128), Fp;
    /// Saturating shift left by `imm`; sets FPSR.QC.
    VSatShift { op: VSatShiftOp, lane: Lane, imm: u8, a: Val } -> Some(Ty::V128), Fp;
    /// Saturating narrowing from twice `lane` to `lane`, low 64 bits; sets FPSR.QC.
    VSatNarrow { op: VSatNarrowOp, lane: Lane, a: Val } -> Some(Ty::V128), Fp;
    /// Cryptographic `op`; operands it does not take are `Val::NONE`.
    VCrypto { op: CryptoOp, a: Val, b: Val, c: Val } -> Some(Ty::V128), Pure;

    // Floating point: lanes of `fmt` as `shape` says; lanes above become zero.
    /// `op(a, b)` in each active lane.
    FBin { op: FBinOp, fmt: Fmt, shape: Shape, a: Val, b: Val } -> Some(Ty::V128), Fp;
    /// `op(a)` in each active lane.
    FUn { op: FUnOp, fmt: Fmt, shape: Shape, a: Val } -> Some(Ty::V128), Fp;
    /// Sign operation in each active lane.
    FSign { op: FSignOp, fmt: Fmt, shape: Shape, a: Val } -> Some(Ty::V128), Pure;
    /// Fused `acc + a * b` in each active lane (FPMulAdd).
    FMulAdd { fmt: Fmt, shape: Shape, acc: Val, a: Val, b: Val } -> Some(Ty::V128), Fp;
    /// Fused `acc + a * b`: lanes S of `acc` as `shape` says, factors from as many low H lanes (FMLAL).
    FMulAddHS { shape: Shape, acc: Val, a: Val, b: Val } -> Some(Ty::V128), Fp;
    /// Rounds to an integral value. `exact` reports inexactness (FRINTX). `int` 0, or 32/64 for FRINT32/64.
    FRound { fmt: Fmt, shape: Shape, rm: Rm, exact: bool, int: u8, a: Val } -> Some(Ty::V128), Fp;
    /// Compares lane 0 (FCMP; FCMPE if `signal`).
    FCmp { fmt: Fmt, signal: bool, a: Val, b: Val } -> Some(Ty::Flags), Fp;
    /// All ones in each active lane where the comparison holds.
    FMask { op: FMaskOp, fmt: Fmt, shape: Shape, a: Val, b: Val } -> Some(Ty::V128), Fp;
    /// Converts the `lanes` lowest lanes between formats; the rest zero.
    FCvt { from: Fmt, to: Fmt, lanes: u8, rm: Rm, a: Val } -> Some(Ty::V128), Fp;
    /// Converts the `lanes` lowest lanes to integers (fixed point with `fbits`) of width `to`, saturating;
    /// the rest zero.
    FToInt { fmt: Fmt, to: Lane, signed: bool, rm: Rm, fbits: u8, lanes: u8, a: Val } -> Some(Ty::V128), Fp;
    /// Converts the `lanes` lowest integer lanes of width `from` (fixed point with `fbits`); rounding by
    /// FPCR; the rest zero.
    IntToF { fmt: Fmt, from: Lane, signed: bool, fbits: u8, lanes: u8, a: Val } -> Some(Ty::V128), Fp;
    /// FJCVTZS of the double in lane 0: the result in bits 31:0, the Z flag in bit 32.
    FJcvt { a: Val } -> Some(Ty::I64), Fp;

    // Ends of a block.
    /// Continues at a block of this region.
    Jump { to: BlockId } -> None, End;
    /// Continues at `then` if `c`, else at `els`.
    Branch { c: Val, then: BlockId, els: BlockId } -> None, End;
    /// Leaves the region for guest address `pc`.
    Exit { pc: u64, kind: ExitKind } -> None, End;
    /// Leaves the region for the guest address in `addr` (`I64`).
    ExitInd { addr: Val, kind: ExitKind } -> None, End;
    /// Leaves to the runtime with `pc` as the guest pc.
    Trap { trap: Trap, pc: u64 } -> None, End;
    /// Tells the runtime that code at `[addr, addr + len)` changed, then continues at `pc`.
    Invalidate { addr: Val, len: u64, pc: u64 } -> None, End;
}
