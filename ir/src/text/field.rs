//! The fields of ops as text.
//!
//! The promise: every field type reads what it writes; enumerations by the names of their variants.

use std::fmt::{self, Write};

use crate::op::*;
use crate::region::{BlockId, Val};
use crate::runtime::{RmwOp, Wait};
use crate::softfloat::Fmt;
use crate::state::{Slot, slot};
use crate::ty::*;

/// A type of op fields.
pub(crate) trait Field {
    /// Is it written with the field's name?
    fn named(&self) -> bool;
    /// Writes the value.
    fn write(&self, f: &mut dyn Write) -> fmt::Result;
    /// The value that was written as `text`, without the name.
    fn read(text: &str) -> Option<Self>
    where
        Self: Sized;
    /// Any value, chosen by `random`.
    #[cfg(test)]
    fn sample(random: u64) -> Self
    where
        Self: Sized;
}

/// Where the fields of an op come from.
pub(crate) trait Fields {
    /// The next field, `name`.
    fn field<T: Field>(&mut self, name: &str) -> Result<T, String>;
}

macro_rules! variants {
    ($($t:ident: $($v:ident)*;)*) => { $(
        impl Field for $t {
            fn named(&self) -> bool {
                false
            }
            fn write(&self, f: &mut dyn Write) -> fmt::Result {
                f.write_str(match self { $( $t::$v => stringify!($v) ),* })
            }
            fn read(text: &str) -> Option<$t> {
                match text { $( stringify!($v) => Some($t::$v), )* _ => None }
            }
            #[cfg(test)]
            fn sample(random: u64) -> $t {
                let all = [$( $t::$v ),*];
                all[(random % all.len() as u64) as usize]
            }
        }
    )* };
}
variants! {
    Ty: Bool I32 I64 V128 Flags;
    Lane: B H S D;
    Size: B1 B2 B4 B8 B16;
    Shape: Scalar Half Full;
    Cc: Eq Ne Slt Sle Ult Ule;
    Cond: Eq Ne Cs Cc Mi Pl Vs Vc Hi Ls Ge Lt Gt Le Al Nv;
    Fmt: H S D;
    RmwOp: Add Clr Xor Or SMax SMin UMax UMin Swap;
    Wait: Interrupt Event Yield;
    BinOp: Add Sub Mul UMulHi SMulHi UDiv SDiv And Or Xor AndNot Shl Shr Sar Ror;
    UnOp: Not Neg Clz Ctz Cls Rbit Rev Rev16 Rev32 Popcnt;
    FlagOp: Add Sub;
    VBinOp: Add Sub Mul PMul SMin UMin SMax UMax CmpEq CmpGt CmpGe CmpHi CmpHs CmpTst SHAdd UHAdd SHSub UHSub SRHAdd
        URHAdd SAbd UAbd SShl UShl SRShl URShl AddP SMaxP SMinP UMaxP UMinP Zip1 Zip2 Uzp1 Uzp2 Trn1 Trn2;
    VUnOp: Abs Neg Clz Cls Cnt Rbit Rev16 Rev32 Rev64 SAddLP UAddLP URecpe URsqrte;
    VShiftOp: Shl SShr UShr SRShr URShr;
    VSatOp: SQAdd UQAdd SQSub UQSub SUQAdd USQAdd SQShl UQShl SQRShl UQRShl SQDMulH SQRDMulH SQDMulL SQAbs SQNeg;
    VSatShiftOp: SQShl UQShl SQShlu;
    VSatNarrowOp: SQXtn UQXtn SQXtun;
    VReduceOp: Add SAddL UAddL SMax SMin UMax UMin;
    DotSigns: SS UU US;
    FBinOp: Add Sub Mul MulX Div Max Min MaxNm MinNm Abd RecpS RsqrtS;
    FUnOp: Sqrt Recpe Rsqrte Recpx;
    FSignOp: Neg Abs;
    FMaskOp: Eq Ge Gt AbsGe AbsGt;
    Rm: Fpcr TieEven PlusInf MinusInf Zero TieAway Odd;
    CryptoOp: AesE AesD AesMc AesImc Sha1C Sha1P Sha1M Sha1H Sha1Su0 Sha1Su1 Sha256H Sha256H2 Sha256Su0 Sha256Su1
        Sha512H Sha512H2 Sha512Su0 Sha512Su1 PMull64 PMull8;
    Order: Plain AcqRel Unprivileged;
    Fence: Full Compiler;
    Align: Natural Within16;
}

/// A number, decimal or (after `0x`) hexadecimal.
pub(super) fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

macro_rules! numbers {
    ($($t:ident $format:literal)*) => { $(
        impl Field for $t {
            fn named(&self) -> bool {
                true
            }
            fn write(&self, f: &mut dyn Write) -> fmt::Result {
                write!(f, $format, self)
            }
            fn read(text: &str) -> Option<$t> {
                number(text)?.try_into().ok()
            }
            #[cfg(test)]
            fn sample(random: u64) -> $t {
                (random >> (random % 61)) as $t
            }
        }
    )* };
}
numbers!(u8 "{}" u16 "{}" u32 "{:#x}" u64 "{:#x}");

impl Field for bool {
    fn named(&self) -> bool {
        true
    }
    fn write(&self, f: &mut dyn Write) -> fmt::Result {
        write!(f, "{self}")
    }
    fn read(text: &str) -> Option<bool> {
        text.parse().ok()
    }
    #[cfg(test)]
    fn sample(random: u64) -> bool {
        random.is_multiple_of(2)
    }
}

impl Field for Val {
    fn named(&self) -> bool {
        false
    }
    fn write(&self, f: &mut dyn Write) -> fmt::Result {
        if *self == Val::NONE { f.write_str("-") } else { write!(f, "v{}", self.0) }
    }
    fn read(text: &str) -> Option<Val> {
        if text == "-" { Some(Val::NONE) } else { text.strip_prefix('v')?.parse().ok().map(Val) }
    }
    #[cfg(test)]
    fn sample(random: u64) -> Val {
        if random.is_multiple_of(5) { Val::NONE } else { Val((random % 7) as u32) }
    }
}

impl Field for BlockId {
    fn named(&self) -> bool {
        false
    }
    fn write(&self, f: &mut dyn Write) -> fmt::Result {
        write!(f, "b{}", self.0)
    }
    fn read(text: &str) -> Option<BlockId> {
        text.strip_prefix('b')?.parse().ok().map(BlockId)
    }
    #[cfg(test)]
    fn sample(random: u64) -> BlockId {
        BlockId((random % 4) as u32)
    }
}

/// Slots with a name of their own.
const SLOTS: [(Slot, &str); 10] = [
    (slot::SP, "sp"),
    (slot::PC, "pc"),
    (slot::FLAGS, "flags"),
    (slot::FPCR, "fpcr"),
    (slot::FPSR, "fpsr"),
    (slot::EXCL_ADDR, "excl_addr"),
    (slot::EXCL_VAL, "excl_val"),
    (slot::EXCL_SIZE, "excl_size"),
    (slot::TPIDR, "tpidr"),
    (slot::EXIT_REQUEST, "exit_request"),
];

/// Numbered registers: the letter, the first slot, the words of each, how many.
const BANKS: [(char, u16, u16, u16); 2] = [('x', slot::X0.0, 1, 31), ('v', slot::V0.0, 2, 32)];

impl Field for Slot {
    fn named(&self) -> bool {
        false
    }
    fn write(&self, f: &mut dyn Write) -> fmt::Result {
        if let Some((_, name)) = SLOTS.iter().find(|(s, _)| s == self) {
            return write!(f, "@{name}");
        }
        for (letter, first, words, count) in BANKS {
            let n = self.0.wrapping_sub(first);
            if n < words * count && n.is_multiple_of(words) {
                return write!(f, "@{letter}{}", n / words);
            }
        }
        write!(f, "@{}", self.0)
    }
    fn read(text: &str) -> Option<Slot> {
        let text = text.strip_prefix('@')?;
        if let Some((slot, _)) = SLOTS.iter().find(|(_, name)| *name == text) {
            return Some(*slot);
        }
        for (letter, first, words, count) in BANKS {
            if let Some(n) = text.strip_prefix(letter) {
                return n.parse().ok().filter(|n| *n < count).map(|n: u16| Slot(first + n * words));
            }
        }
        text.parse().ok().map(Slot)
    }
    #[cfg(test)]
    fn sample(random: u64) -> Slot {
        Slot((random % 330) as u16)
    }
}

/// `name` and the text between its parentheses, if it has them.
fn call(text: &str) -> (&str, Option<&str>) {
    match text.strip_suffix(')').and_then(|t| t.split_once('(')) {
        Some((name, arg)) => (name, Some(arg)),
        None => (text, None),
    }
}

impl Field for ExitKind {
    fn named(&self) -> bool {
        false
    }
    fn write(&self, f: &mut dyn Write) -> fmt::Result {
        match self {
            ExitKind::Jump => f.write_str("Jump"),
            ExitKind::Call { ret } => write!(f, "Call({ret:#x})"),
            ExitKind::Ret => f.write_str("Ret"),
            ExitKind::Sync => f.write_str("Sync"),
        }
    }
    fn read(text: &str) -> Option<ExitKind> {
        Some(match call(text) {
            ("Jump", None) => ExitKind::Jump,
            ("Call", Some(ret)) => ExitKind::Call { ret: number(ret)? },
            ("Ret", None) => ExitKind::Ret,
            ("Sync", None) => ExitKind::Sync,
            _ => return None,
        })
    }
    #[cfg(test)]
    fn sample(random: u64) -> ExitKind {
        [ExitKind::Jump, ExitKind::Call { ret: random }, ExitKind::Ret, ExitKind::Sync][(random % 4) as usize]
    }
}

impl Field for Trap {
    fn named(&self) -> bool {
        false
    }
    fn write(&self, f: &mut dyn Write) -> fmt::Result {
        match self {
            Trap::Svc(n) => write!(f, "Svc({n})"),
            Trap::Hvc(n) => write!(f, "Hvc({n})"),
            Trap::Smc(n) => write!(f, "Smc({n})"),
            Trap::Brk(n) => write!(f, "Brk({n})"),
            Trap::Hlt(n) => write!(f, "Hlt({n})"),
            Trap::Undefined(word) => write!(f, "Undefined({word:#x})"),
            Trap::Syndrome(esr) => write!(f, "Syndrome({esr:#x})"),
            Trap::Wait(wait) => {
                f.write_str("Wait(")?;
                wait.write(f)?;
                f.write_str(")")
            }
        }
    }
    fn read(text: &str) -> Option<Trap> {
        let (name, Some(arg)) = call(text) else { return None };
        Some(match name {
            "Svc" => Trap::Svc(Field::read(arg)?),
            "Hvc" => Trap::Hvc(Field::read(arg)?),
            "Smc" => Trap::Smc(Field::read(arg)?),
            "Brk" => Trap::Brk(Field::read(arg)?),
            "Hlt" => Trap::Hlt(Field::read(arg)?),
            "Undefined" => Trap::Undefined(Field::read(arg)?),
            "Syndrome" => Trap::Syndrome(Field::read(arg)?),
            "Wait" => Trap::Wait(Field::read(arg)?),
            _ => return None,
        })
    }
    #[cfg(test)]
    fn sample(random: u64) -> Trap {
        let n = (random >> 8) as u16;
        let (word, wait) = (random as u32, Wait::sample(random >> 8));
        let all = [
            Trap::Svc(n),
            Trap::Hvc(n),
            Trap::Smc(n),
            Trap::Brk(n),
            Trap::Hlt(n),
            Trap::Undefined(word),
            Trap::Wait(wait),
            Trap::Syndrome(word),
        ];
        all[(random % 8) as usize]
    }
}
