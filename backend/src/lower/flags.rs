//! Flags are kept as the operands that make them; a condition becomes one comparison where the host has it.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, Value, types};
use jib_ir::op::{FlagOp, Op};
use jib_ir::state::{FIRST_ABOVE, FlagsKind, INSIDE, SECOND_INSIDE};
use jib_ir::ty::Cond;

use super::{Lowerer, Repr};

/// NZCV not yet computed. The width is that of the operands.
#[derive(Clone, Copy)]
pub(super) enum Flags {
    /// Of `a + b`.
    Add { a: Value, b: Value },
    /// Of `a - b`.
    Sub { a: Value, b: Value },
    /// N and Z of `a`.
    Logic { a: Value },
    /// Of `a + b + c`, `c` an `i8` of 0 or 1.
    Adc { a: Value, b: Value, c: Value },
    /// Of the comparison of two floats of which neither is a signalling NaN.
    Float { a: Value, b: Value },
    /// NZCV in bits 31:28 of an `i32`.
    Packed(Value),
    /// If `c`, the flags number `x` of the lowerer's choices, else `y`.
    Select { c: Value, x: u32, y: u32 },
    /// The three words of the flags slot.
    Stored { kind: Value, a: Value, b: Value },
}

impl Lowerer<'_, '_> {
    pub(super) fn flag_op(&mut self, op: Op) -> Repr {
        match op {
            Op::Flags { op, a, b, .. } => {
                let (a, b) = (self.int(a), self.int(b));
                Repr::Flags(if op == FlagOp::Add { Flags::Add { a, b } } else { Flags::Sub { a, b } })
            }
            Op::FlagsAdc { a, b, c, .. } => Repr::Flags(Flags::Adc { a: self.int(a), b: self.int(b), c: self.int(c) }),
            Op::FlagsLogic { a, .. } => Repr::Flags(Flags::Logic { a: self.int(a) }),
            Op::FlagsPack { a } => {
                let a = self.int(a);
                Repr::Flags(Flags::Packed(self.b.ins().band_imm_u(a, 0xf000_0000)))
            }
            Op::FlagsUnpack { f } => {
                let f = self.flags(f);
                Repr::Int(self.pack(f))
            }
            Op::Cond { cond, f } => {
                let f = self.flags(f);
                Repr::Int(self.holds(cond, f))
            }
            _ => unreachable!("not a flag op"),
        }
    }

    pub(super) fn flags(&self, v: jib_ir::region::Val) -> Flags {
        match self.vals[v.index()] {
            Repr::Flags(f) => f,
            Repr::Int(packed) => Flags::Packed(packed),
            _ => unreachable!("verified IR: op {} wants flags", self.at),
        }
    }

    /// `c ? x : y` for flags: operand by operand where both are of one form.
    pub(super) fn select_flags(&mut self, c: Value, x: Flags, y: Flags) -> Flags {
        let same = |s: &Self, p: Value, q: Value| s.type_of(p) == s.type_of(q);
        match (x, y) {
            (Flags::Sub { a, b }, Flags::Sub { a: a2, b: b2 }) if same(self, a, a2) => {
                Flags::Sub { a: self.b.ins().select(c, a, a2), b: self.b.ins().select(c, b, b2) }
            }
            (Flags::Add { a, b }, Flags::Add { a: a2, b: b2 }) if same(self, a, a2) => {
                Flags::Add { a: self.b.ins().select(c, a, a2), b: self.b.ins().select(c, b, b2) }
            }
            _ => {
                let n = self.choices.len() as u32;
                self.choices.extend([x, y]);
                Flags::Select { c, x: n, y: n + 1 }
            }
        }
    }

    pub(super) fn choice(&self, n: u32) -> Flags {
        self.choices[n as usize]
    }

    /// `c ? x : y` for truth values, of which one is often a constant.
    fn select_truth(&mut self, c: Value, x: Value, y: Value) -> Value {
        match (self.const_of(x), self.const_of(y)) {
            (_, Some(0)) => self.b.ins().band(c, x),
            (_, Some(_)) => {
                let not = self.invert(c);
                self.b.ins().bor(not, x)
            }
            _ => self.b.ins().select(c, x, y),
        }
    }

    /// The three words to store.
    pub(super) fn flag_words(&mut self, f: Flags) -> (Value, Value, Value) {
        let (kind32, kind64, a, b) = match f {
            Flags::Stored { kind, a, b } => return (kind, a, b),
            Flags::Add { a, b } => (FlagsKind::Add32, FlagsKind::Add64, a, b),
            Flags::Sub { a, b } => (FlagsKind::Sub32, FlagsKind::Sub64, a, b),
            Flags::Logic { a } => (FlagsKind::Logic32, FlagsKind::Logic64, a, a),
            Flags::Select { c, x, y } => {
                let (k, a, b) = self.flag_words(self.choice(x));
                let (k2, a2, b2) = self.flag_words(self.choice(y));
                let mut select = |x, y| if x == y { x } else { self.b.ins().select(c, x, y) };
                return (select(k, k2), select(a, a2), select(b, b2));
            }
            Flags::Packed(_) | Flags::Adc { .. } | Flags::Float { .. } => {
                let p = self.pack(f);
                (FlagsKind::Packed, FlagsKind::Packed, p, p)
            }
        };
        let kind = if self.type_of(a) == types::I32 { kind32 } else { kind64 };
        let kind = self.const64(kind as u64);
        (kind, self.to64(a), self.to64(b))
    }

    /// In how many words `f` has a short form, see [`FlagsKind`], and what the first of them is without an operand.
    fn short_form(&self, f: Flags) -> Option<(u32, u64)> {
        let (kind32, kind64, a, b) = match f {
            Flags::Add { a, b } => (FlagsKind::Add32, FlagsKind::Add64, a, Some(b)),
            Flags::Sub { a, b } => (FlagsKind::Sub32, FlagsKind::Sub64, a, Some(b)),
            Flags::Logic { a } => (FlagsKind::Logic32, FlagsKind::Logic64, a, None),
            _ => return None,
        };
        let narrow = self.type_of(a) == types::I32;
        let small = b.map_or(Some(0), |b| self.const_of(b)).filter(|b| *b < INSIDE);
        let word = if narrow { kind32 as u32 | FIRST_ABOVE } else { kind64 as u32 };
        let word = small.map_or(word, |b| word | SECOND_INSIDE | (b as u32) << 10);
        match (narrow, small) {
            (true, Some(_)) => Some((1, u64::from(word))),
            (true, None) | (false, Some(_)) => Some((2, u64::from(word))),
            (false, None) => None,
        }
    }

    /// In how many stores `f` goes to memory, if that is less than three.
    pub(super) fn short_stores(&self, f: Flags) -> Option<usize> {
        self.short_form(f).map(|(stores, _)| stores as usize)
    }

    /// Stores the short form of `f`; false if it has none.
    pub(super) fn store_short_flags(&mut self, f: Flags, at: i32) -> bool {
        let Some((stores, word)) = self.short_form(f) else { return false };
        let (Flags::Add { a, .. } | Flags::Sub { a, .. } | Flags::Logic { a }) = f else { return false };
        let narrow = self.type_of(a) == types::I32;
        let first = match (narrow, self.const_of(a)) {
            (false, _) => self.const64(word),
            (true, Some(a)) => self.const64(word | a << 32),
            (true, None) => {
                let wide = self.to64(a);
                let above = self.b.ins().ishl_imm_u(wide, 32);
                self.b.ins().bor_imm_u(above, word as i64)
            }
        };
        self.store_state(first, at);
        if stores == 2 {
            let second = match f {
                Flags::Add { b, .. } | Flags::Sub { b, .. } if narrow => b,
                _ => a,
            };
            let second = self.to64(second);
            self.store_state(second, at + 8);
        }
        true
    }

    /// NZCV in bits 31:28 of an `i32`.
    pub(super) fn pack(&mut self, f: Flags) -> Value {
        match f {
            Flags::Packed(v) => return v,
            Flags::Stored { kind, a, b } => return self.resolve(kind, a, b),
            Flags::Select { c, x, y } => {
                let (x, y) = (self.choice(x), self.choice(y));
                let (x, y) = (self.pack(x), self.pack(y));
                return self.b.ins().select(c, x, y);
            }
            _ => {}
        }
        let mut packed = None;
        for (cond, bit) in [(Cond::Mi, 31), (Cond::Eq, 30), (Cond::Cs, 29), (Cond::Vs, 28)] {
            let one = self.holds(cond, f);
            let wide = self.b.ins().uextend(types::I32, one);
            let placed = self.b.ins().ishl_imm_u(wide, bit);
            packed = Some(match packed {
                None => placed,
                Some(p) => self.b.ins().bor(p, placed),
            });
        }
        packed.unwrap_or_else(|| self.b.ins().iconst(types::I32, 0))
    }

    /// NZCV of stored words whose kind is only known now: rare, so a call.
    fn resolve(&mut self, kind: Value, a: Value, b: Value) -> Value {
        let packed = self.call_plain(crate::abi::nzcv as *const () as usize, &[kind, a, b]);
        self.b.ins().ireduce(types::I32, packed)
    }

    /// Does `f` satisfy `cond`? As `i8`.
    pub(super) fn holds(&mut self, cond: Cond, f: Flags) -> Value {
        if matches!(cond, Cond::Al | Cond::Nv) {
            return self.b.ins().iconst(types::I8, 1);
        }
        match f {
            Flags::Sub { a, b } => self.holds_sub(cond, a, b),
            Flags::Add { a, b } => {
                let zero = self.b.ins().iconst(types::I8, 0);
                self.holds_adc(cond, a, b, zero, true)
            }
            Flags::Adc { a, b, c } => self.holds_adc(cond, a, b, c, false),
            Flags::Logic { a } => self.holds_logic(cond, a),
            Flags::Float { a, b } => self.b.ins().fcmp(float_cc(cond), a, b),
            Flags::Packed(p) => match self.const_of(p) {
                Some(nzcv) => self.b.ins().iconst(types::I8, i64::from(cond.holds(nzcv as u32))),
                None => self.holds_packed(cond, p),
            },
            Flags::Select { c, x, y } => {
                let (x, y) = (self.choice(x), self.choice(y));
                let (x, y) = (self.holds(cond, x), self.holds(cond, y));
                self.select_truth(c, x, y)
            }
            Flags::Stored { kind, a, b } => {
                let p = self.resolve(kind, a, b);
                self.holds_packed(cond, p)
            }
        }
    }

    fn holds_sub(&mut self, cond: Cond, a: Value, b: Value) -> Value {
        let cc = match cond {
            Cond::Eq => IntCC::Equal,
            Cond::Ne => IntCC::NotEqual,
            Cond::Cs => IntCC::UnsignedGreaterThanOrEqual,
            Cond::Cc => IntCC::UnsignedLessThan,
            Cond::Hi => IntCC::UnsignedGreaterThan,
            Cond::Ls => IntCC::UnsignedLessThanOrEqual,
            Cond::Ge => IntCC::SignedGreaterThanOrEqual,
            Cond::Lt => IntCC::SignedLessThan,
            Cond::Gt => IntCC::SignedGreaterThan,
            Cond::Le => IntCC::SignedLessThanOrEqual,
            Cond::Mi | Cond::Pl => {
                let r = self.b.ins().isub(a, b);
                return self.sign(r, cond == Cond::Mi);
            }
            Cond::Vs | Cond::Vc => {
                let v = self.b.ins().ssub_overflow(a, b).1;
                return if cond == Cond::Vs { v } else { self.invert(v) };
            }
            Cond::Al | Cond::Nv => return self.b.ins().iconst(types::I8, 1),
        };
        self.b.ins().icmp(cc, a, b)
    }

    fn holds_logic(&mut self, cond: Cond, a: Value) -> Value {
        let cc = match cond {
            Cond::Eq => IntCC::Equal,
            Cond::Ne => IntCC::NotEqual,
            Cond::Mi | Cond::Lt => IntCC::SignedLessThan,
            Cond::Pl | Cond::Ge => IntCC::SignedGreaterThanOrEqual,
            Cond::Gt => IntCC::SignedGreaterThan,
            Cond::Le => IntCC::SignedLessThanOrEqual,
            Cond::Cs | Cond::Vs | Cond::Hi => return self.b.ins().iconst(types::I8, 0),
            Cond::Cc | Cond::Vc | Cond::Ls | Cond::Al | Cond::Nv => return self.b.ins().iconst(types::I8, 1),
        };
        self.b.ins().icmp_imm_s(cc, a, 0)
    }

    /// Conditions on the flags of `a + b + c`.
    fn holds_adc(&mut self, cond: Cond, a: Value, b: Value, c: Value, no_carry_in: bool) -> Value {
        let s = self.b.ins().iadd(a, b);
        let r = if no_carry_in {
            s
        } else {
            let ty = self.type_of(a);
            let c = self.b.ins().uextend(ty, c);
            self.b.ins().iadd(s, c)
        };
        match cond {
            Cond::Eq => self.b.ins().icmp_imm_s(IntCC::Equal, r, 0),
            Cond::Mi => self.sign(r, true),
            Cond::Cs => {
                let first = self.b.ins().icmp(IntCC::UnsignedLessThan, s, a);
                if no_carry_in {
                    return first;
                }
                let second = self.b.ins().icmp(IntCC::UnsignedLessThan, r, s);
                self.b.ins().bor(first, second)
            }
            Cond::Vs => {
                let v = self.overflow(a, b, r);
                self.sign(v, true)
            }
            Cond::Lt => {
                let v = self.overflow(a, b, r);
                let n_xor_v = self.b.ins().bxor(v, r);
                self.sign(n_xor_v, true)
            }
            Cond::Hi | Cond::Gt => {
                let half = if cond == Cond::Hi { Cond::Cs } else { Cond::Ge };
                let x = self.holds_adc(half, a, b, c, no_carry_in);
                let nz = self.b.ins().icmp_imm_s(IntCC::NotEqual, r, 0);
                self.b.ins().band(x, nz)
            }
            Cond::Ne | Cond::Pl | Cond::Cc | Cond::Vc | Cond::Ge | Cond::Ls | Cond::Le | Cond::Al | Cond::Nv => {
                let opposite = self.holds_adc(cond.negate(), a, b, c, no_carry_in);
                self.invert(opposite)
            }
        }
    }

    /// A value whose sign bit is the V flag of `a + b (+ carry) = r`.
    fn overflow(&mut self, a: Value, b: Value, r: Value) -> Value {
        let x = self.b.ins().bxor(a, r);
        let y = self.b.ins().bxor(b, r);
        self.b.ins().band(x, y)
    }

    fn holds_packed(&mut self, cond: Cond, p: Value) -> Value {
        let bit = |n: u32| 1i64 << n;
        let ins = |l: &mut Self, mask: i64, cc| {
            let v = l.b.ins().band_imm_u(p, mask);
            l.b.ins().icmp_imm_u(cc, v, 0)
        };
        match cond {
            Cond::Eq => ins(self, bit(30), IntCC::NotEqual),
            Cond::Ne => ins(self, bit(30), IntCC::Equal),
            Cond::Cs => ins(self, bit(29), IntCC::NotEqual),
            Cond::Cc => ins(self, bit(29), IntCC::Equal),
            Cond::Vs => ins(self, bit(28), IntCC::NotEqual),
            Cond::Vc => ins(self, bit(28), IntCC::Equal),
            Cond::Mi | Cond::Pl => self.sign(p, cond == Cond::Mi),
            Cond::Hi | Cond::Ls => {
                let v = self.b.ins().band_imm_u(p, bit(30) | bit(29));
                let cc = if cond == Cond::Hi { IntCC::Equal } else { IntCC::NotEqual };
                self.b.ins().icmp_imm_u(cc, v, bit(29))
            }
            Cond::Ge | Cond::Lt | Cond::Gt | Cond::Le => {
                let v = self.b.ins().ishl_imm_u(p, 3);
                let mut x = self.b.ins().bxor(p, v);
                if matches!(cond, Cond::Gt | Cond::Le) {
                    let z = self.b.ins().ishl_imm_u(p, 1);
                    x = self.b.ins().bor(x, z);
                }
                self.sign(x, matches!(cond, Cond::Lt | Cond::Le))
            }
            Cond::Al | Cond::Nv => self.b.ins().iconst(types::I8, 1),
        }
    }

    /// Is the sign bit of `v` set (or clear)?
    fn sign(&mut self, v: Value, set: bool) -> Value {
        let cc = if set { IntCC::SignedLessThan } else { IntCC::SignedGreaterThanOrEqual };
        self.b.ins().icmp_imm_s(cc, v, 0)
    }

    /// The opposite truth value.
    pub(super) fn invert(&mut self, c: Value) -> Value {
        self.b.ins().bxor_imm_u(c, 1)
    }
}

/// The comparison that holds when the flags of an FP comparison satisfy `cond`.
fn float_cc(cond: Cond) -> FloatCC {
    match cond {
        Cond::Eq => FloatCC::Equal,
        Cond::Ne => FloatCC::NotEqual,
        Cond::Cs | Cond::Pl => FloatCC::UnorderedOrGreaterThanOrEqual,
        Cond::Cc | Cond::Mi => FloatCC::LessThan,
        Cond::Vs => FloatCC::Unordered,
        Cond::Vc => FloatCC::Ordered,
        Cond::Hi => FloatCC::UnorderedOrGreaterThan,
        Cond::Ls => FloatCC::LessThanOrEqual,
        Cond::Ge => FloatCC::GreaterThanOrEqual,
        Cond::Lt => FloatCC::UnorderedOrLessThan,
        Cond::Gt => FloatCC::GreaterThan,
        Cond::Le => FloatCC::UnorderedOrLessThanOrEqual,
        Cond::Al | Cond::Nv => FloatCC::Equal,
    }
}
