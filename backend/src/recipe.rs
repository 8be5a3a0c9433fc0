//! Recipes for flags: which guest registers in memory the guest's flags can be made from.
//!
//! Flags that the code overwrites before anything reads them are not worth three stores; yet whoever looks at a fault
//! in between must see them. A recipe is one constant, kept beside the checkpoint, or stored in the place of the flags'
//! kind where a join makes it depend on the way taken. It is followed when compiled code has been left.

use jib_ir::state::{FlagsKind, Slot, State, slot};

/// What the operands of an operation are made from. A slot's number stands for its word in the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recipe {
    /// The operation.
    pub(crate) kind: Kind,
    /// The slot of the first operand, or of the result.
    pub(crate) slot: Slot,
    /// Which of them it is.
    pub(crate) holds: Holds,
    /// The second operand.
    pub(crate) b: Second,
}

/// An operation that makes flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One of integers.
    Lazy(FlagsKind),
    /// None: the second operand is NZCV.
    Known,
    /// A comparison of singles.
    Single,
    /// A comparison of doubles.
    Double,
}

/// What a recipe's slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// The first operand.
    First,
    /// The operation's result, from which the first operand follows.
    Result,
}

/// Where a second operand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Second {
    /// In a slot.
    Slot(Slot),
    /// It is this constant, from [`Second::constant`].
    Imm(u64),
}

impl Second {
    /// The constant `v`, if a recipe can hold it: a small number, or one of eight bits with zeroes behind it.
    pub(crate) fn constant(v: u64) -> Option<Second> {
        (v < SMALL || v >> v.trailing_zeros() <= 0xff).then_some(Second::Imm(v))
    }
}

/// The first number that is not small.
const SMALL: u64 = 1 << 14;

/// Marks a word as a recipe; no first word of flags has this bit. An instruction's signed 32-bit constant can hold it.
const MARK: u32 = 1 << 30;

impl Recipe {
    /// As one word.
    pub(crate) const fn encode(self) -> u32 {
        let kind = match self.kind {
            Kind::Lazy(kind) => kind as u32,
            Kind::Known => 7,
            Kind::Single => 8,
            Kind::Double => 9,
        };
        let (form, b) = match self.b {
            Second::Slot(s) => (0, s.0 as u32),
            Second::Imm(v) if v < SMALL => (1, v as u32),
            Second::Imm(v) => (2, (v >> v.trailing_zeros()) as u32 | v.trailing_zeros() << 8),
        };
        MARK | kind | (self.holds as u32) << 4 | form << 5 | (self.slot.0 as u32) << 7 | b << 16
    }

    const fn decode(word: u32) -> Recipe {
        let kind = match word & 15 {
            1 => Kind::Lazy(FlagsKind::Add32),
            2 => Kind::Lazy(FlagsKind::Add64),
            3 => Kind::Lazy(FlagsKind::Sub32),
            4 => Kind::Lazy(FlagsKind::Sub64),
            5 => Kind::Lazy(FlagsKind::Logic32),
            6 => Kind::Lazy(FlagsKind::Logic64),
            7 => Kind::Known,
            8 => Kind::Single,
            _ => Kind::Double,
        };
        let b = word >> 16 & 0x3fff;
        Recipe {
            kind,
            slot: Slot((word >> 7 & 0x1ff) as u16),
            holds: if word >> 4 & 1 == 0 { Holds::First } else { Holds::Result },
            b: match word >> 5 & 3 {
                0 => Second::Slot(Slot(b as u16)),
                1 => Second::Imm(b as u64),
                _ => Second::Imm(((b & 0xff) as u64) << (b >> 8)),
            },
        }
    }
}

/// If the state's flags are a recipe, replaces them by what it says. All that it reads must be in memory.
#[inline]
pub(crate) fn follow(state: &mut State) {
    let at = slot::FLAGS.0 as usize;
    if state.0[at] & u64::from(MARK) != 0 {
        make(state, Recipe::decode(state.0[at] as u32));
    }
}

#[cold]
fn make(state: &mut State, r: Recipe) {
    let word = |s: Slot| state.0[usize::from(s.0) % state.0.len()];
    let first = word(r.slot);
    let b = match r.b {
        Second::Slot(s) => word(s),
        Second::Imm(v) => v,
    };
    let kind = match r.kind {
        Kind::Lazy(kind) => kind,
        Kind::Known => return state.set_nzcv((b as u32) << 28),
        Kind::Single => {
            return state.set_nzcv(compared(f32::from_bits(first as u32).partial_cmp(&f32::from_bits(b as u32))));
        }
        Kind::Double => return state.set_nzcv(compared(f64::from_bits(first).partial_cmp(&f64::from_bits(b)))),
    };
    let a = match (r.holds, kind) {
        (Holds::First, _) => first,
        (Holds::Result, FlagsKind::Sub32 | FlagsKind::Sub64) => first.wrapping_add(b),
        (Holds::Result, _) => first.wrapping_sub(b),
    };
    let at = slot::FLAGS.0 as usize;
    (state.0[at], state.0[at + 1], state.0[at + 2]) = (kind as u64, a, b);
}

/// NZCV of a comparison of floats.
const fn compared(order: Option<std::cmp::Ordering>) -> u32 {
    use std::cmp::Ordering;
    match order {
        Some(Ordering::Less) => 0x8000_0000,
        Some(Ordering::Equal) => 0x6000_0000,
        Some(Ordering::Greater) => 0x2000_0000,
        None => 0x3000_0000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Recipe> {
        use FlagsKind::*;
        let kinds = [Add32, Add64, Sub32, Sub64, Logic32, Logic64].map(Kind::Lazy);
        let mut out = Vec::new();
        for kind in kinds.into_iter().chain([Kind::Known, Kind::Single, Kind::Double]) {
            for holds in [Holds::First, Holds::Result] {
                for b in [
                    Second::Slot(Slot(2)),
                    Second::Slot(Slot(319)),
                    Second::Imm(0),
                    Second::Imm(SMALL - 1),
                    Second::Imm(0xff << 56),
                    Second::Imm(SMALL),
                ] {
                    out.push(Recipe { kind, slot: Slot(94), holds, b });
                }
            }
        }
        out
    }

    #[test]
    fn a_word_holds_a_recipe() {
        for r in all() {
            assert_eq!(Recipe::decode(r.encode()), r);
            assert!(r.encode() as i32 > 0, "a signed constant of 32 bits");
        }
    }

    #[test]
    fn flags_come_out_as_from_the_operands() {
        let mut s = State::default();
        for (kind, a, b, result) in [
            (FlagsKind::Sub64, 5u64, 7u64, 5u64.wrapping_sub(7)),
            (FlagsKind::Sub32, 0x8000_0000, 1, 0x7fff_ffff),
            (FlagsKind::Add64, u64::MAX, 1, 0),
            (FlagsKind::Add32, 0x7fff_ffff, 1, 0x8000_0000),
        ] {
            let mut want = State::default();
            let at = slot::FLAGS.0 as usize;
            (want.0[at], want.0[at + 1], want.0[at + 2]) = (kind as u64, a, b);
            s.set_x(1, a);
            s.set_x(2, b);
            s.set_x(3, result);
            for (slot, holds) in [(1, Holds::First), (3, Holds::Result)] {
                for second in [Second::Slot(Slot(2)), Second::Imm(b)] {
                    let r = Recipe { kind: Kind::Lazy(kind), slot: Slot(slot), holds, b: second };
                    s.set(slot::FLAGS, u64::from(r.encode()));
                    follow(&mut s);
                    assert_eq!(s.nzcv(), want.nzcv(), "{r:?}");
                }
            }
        }
    }

    #[test]
    fn floats_compare() {
        let mut s = State::default();
        for (a, b, want) in [(1.0, 2.0, 8), (2.0, 2.0, 6), (3.0, 2.0, 2), (f64::NAN, 2.0, 3)] {
            s.set_v(1, u128::from(f64::to_bits(a)));
            s.set_v(2, u128::from(f64::to_bits(b)));
            let v = |n: u16| Slot(slot::V0.0 + 2 * n);
            let r = Recipe { kind: Kind::Double, slot: v(1), holds: Holds::First, b: Second::Slot(v(2)) };
            s.set(slot::FLAGS, u64::from(r.encode()));
            follow(&mut s);
            assert_eq!(s.nzcv() >> 28, want);
        }
    }
}
