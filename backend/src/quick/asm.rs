//! The encoder: a thin layer over Cranelift's assembler with one method per operation and width as a parameter.

use cranelift_assembler_x64::{
    Amode, AmodeOffset, AmodeOffsetPlusKnownOffset, CodeSink, DeferredTarget, KnownOffset, NonRspGpr, Registers, Scale,
    TrapCode,
};

use crate::reloc::{Reloc, Target};

/// A host register by its hardware number, of either class.
pub(super) type Reg = u8;

pub(super) const RAX: Reg = 0;
pub(super) const RCX: Reg = 1;
pub(super) const RDX: Reg = 2;
pub(super) const RBX: Reg = 3;
pub(super) const RBP: Reg = 5;
pub(super) const RSI: Reg = 6;
pub(super) const RDI: Reg = 7;

/// Registers are plain numbers.
pub(super) struct Regs;

impl Registers for Regs {
    type ReadGpr = u8;
    type ReadWriteGpr = u8;
    type WriteGpr = u8;
    type ReadXmm = u8;
    type ReadWriteXmm = u8;
    type WriteXmm = u8;
}

/// Emits `inst::$name` with the given operands.
macro_rules! i {
    ($asm:expr, $name:ident $(, $arg:expr)* $(,)?) => {
        cranelift_assembler_x64::inst::$name::<$crate::quick::asm::Regs>::new($($arg),*).encode(&mut $asm.sink)
    };
}
pub(super) use i;

/// Code bytes under construction.
#[derive(Default)]
pub(super) struct Sink(pub(super) Vec<u8>);

impl CodeSink for Sink {
    #[inline]
    fn put1(&mut self, v: u8) {
        self.0.push(v);
    }
    #[inline]
    fn put2(&mut self, v: u16) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }
    #[inline]
    fn put4(&mut self, v: u32) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }
    #[inline]
    fn put8(&mut self, v: u64) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }
    fn add_trap(&mut self, _: TrapCode) {}
    fn use_target(&mut self, _: DeferredTarget) {}
    fn known_offset(&self, _: KnownOffset) -> i32 {
        0
    }
}

/// A place in memory: `base + index + disp`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mem {
    pub(super) base: Reg,
    pub(super) index: Option<Reg>,
    pub(super) disp: i32,
}

impl Mem {
    /// `base + disp`.
    pub(super) const fn at(base: Reg, disp: i32) -> Mem {
        Mem { base, index: None, disp }
    }
}

impl From<Mem> for Amode<u8> {
    fn from(m: Mem) -> Self {
        match m.index {
            None => Amode::ImmReg {
                base: m.base,
                simm32: AmodeOffsetPlusKnownOffset { simm32: AmodeOffset::new(m.disp), offset: None },
                trap: None,
            },
            Some(index) => Amode::ImmRegRegShift {
                base: m.base,
                index: NonRspGpr::new(index),
                scale: Scale::One,
                simm32: AmodeOffset::new(m.disp),
                trap: None,
            },
        }
    }
}

/// Two-operand arithmetic, by the number that x86 gives each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alu {
    Add,
    Or,
    Adc,
    And,
    Sub,
    Xor,
    Cmp,
}

/// Shifts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shift {
    Shl,
    Shr,
    Sar,
    Ror,
}

/// Conditions on the host's flags, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Cc {
    O = 0,
    No = 1,
    B = 2,
    Ae = 3,
    E = 4,
    Ne = 5,
    Be = 6,
    A = 7,
    S = 8,
    Ns = 9,
    L = 12,
    Ge = 13,
    Le = 14,
    G = 15,
}

impl Cc {
    /// The opposite condition.
    pub(super) const fn not(self) -> Cc {
        match self {
            Cc::O => Cc::No,
            Cc::No => Cc::O,
            Cc::B => Cc::Ae,
            Cc::Ae => Cc::B,
            Cc::E => Cc::Ne,
            Cc::Ne => Cc::E,
            Cc::Be => Cc::A,
            Cc::A => Cc::Be,
            Cc::S => Cc::Ns,
            Cc::Ns => Cc::S,
            Cc::L => Cc::Ge,
            Cc::Ge => Cc::L,
            Cc::Le => Cc::G,
            Cc::G => Cc::Le,
        }
    }
}

/// A place in the code that jumps go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(u32);

const UNBOUND: u32 = u32::MAX;

/// The assembler: bytes, labels and the jumps to them.
#[derive(Default)]
pub(super) struct Asm {
    pub(super) sink: Sink,
    labels: Vec<u32>,
    /// Offsets of 32-bit displacements, and the label each wants.
    fixups: Vec<(u32, Label)>,
    /// Absolute addresses.
    pub(super) relocs: Vec<Reloc>,
}

impl Asm {
    /// Empties it, keeping its memory.
    pub(super) fn clear(&mut self) {
        self.sink.0.clear();
        self.labels.clear();
        self.fixups.clear();
        self.relocs.clear();
    }

    /// Number of bytes so far.
    pub(super) fn offset(&self) -> u32 {
        self.sink.0.len() as u32
    }

    /// A label that is not bound yet.
    pub(super) fn label(&mut self) -> Label {
        self.labels.push(UNBOUND);
        Label(self.labels.len() as u32 - 1)
    }

    /// Binds `label` here.
    pub(super) fn bind(&mut self, label: Label) {
        self.labels[label.0 as usize] = self.offset();
    }

    /// Fills in all jumps. Every label that is used must be bound.
    pub(super) fn finish(&mut self) -> &[u8] {
        for (at, label) in self.fixups.drain(..) {
            let target = self.labels[label.0 as usize];
            debug_assert_ne!(target, UNBOUND);
            let disp = target.wrapping_sub(at + 4);
            self.sink.0[at as usize..at as usize + 4].copy_from_slice(&disp.to_le_bytes());
        }
        &self.sink.0
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.sink.0.extend_from_slice(bytes);
    }

    fn use_label(&mut self, label: Label) {
        self.fixups.push((self.offset(), label));
        self.raw(&[0; 4]);
    }

    /// Jumps to `label`.
    pub(super) fn jmp(&mut self, label: Label) {
        self.raw(&[0xe9]);
        self.use_label(label);
    }

    /// Jumps to `label` if `cc`.
    pub(super) fn jcc(&mut self, cc: Cc, label: Label) {
        self.raw(&[0x0f, 0x80 | cc as u8]);
        self.use_label(label);
    }

    /// `LAHF`: SF, ZF, AF, PF, CF to AH.
    pub(super) fn lahf(&mut self) {
        self.raw(&[0x9f]);
    }

    /// EAX = AH.
    pub(super) fn movzx_ah(&mut self) {
        self.raw(&[0x0f, 0xb6, 0xc4]);
    }

    /// Jumps to `label` if PF is set: the comparison before was of a NaN.
    pub(super) fn jp(&mut self, label: Label) {
        self.raw(&[0x0f, 0x8a]);
        self.use_label(label);
    }

    /// `COMISD` or `COMISS`: sets ZF, PF and CF; any NaN is an invalid operation.
    pub(super) fn comis(&mut self, double: bool, a: Reg, b: Reg) {
        if double {
            self.raw(&[0x66]);
        }
        self.raw(&[0x40 | a >> 3 << 2 | b >> 3, 0x0f, 0x2f, 0xc0 | (a & 7) << 3 | b & 7]);
    }

    /// `dst` = the low 64 bits of `src`, with zeroes above.
    pub(super) fn movq_low(&mut self, dst: Reg, src: Reg) {
        self.raw(&[0xf3, 0x40 | dst >> 3 << 2 | src >> 3, 0x0f, 0x7e, 0xc0 | (dst & 7) << 3 | src & 7]);
    }

    /// `CMC`: CF inverted.
    pub(super) fn cmc(&mut self) {
        self.raw(&[0xf5]);
    }

    /// `dst = op(dst, src)`; `Cmp` only sets flags.
    pub(super) fn alu(&mut self, op: Alu, wide: bool, dst: Reg, src: Reg) {
        match (op, wide) {
            (Alu::Add, true) => i!(self, addq_rm, dst, src),
            (Alu::Add, false) => i!(self, addl_rm, dst, src),
            (Alu::Or, true) => i!(self, orq_rm, dst, src),
            (Alu::Or, false) => i!(self, orl_rm, dst, src),
            (Alu::Adc, true) => i!(self, adcq_rm, dst, src),
            (Alu::Adc, false) => i!(self, adcl_rm, dst, src),
            (Alu::And, true) => i!(self, andq_rm, dst, src),
            (Alu::And, false) => i!(self, andl_rm, dst, src),
            (Alu::Sub, true) => i!(self, subq_rm, dst, src),
            (Alu::Sub, false) => i!(self, subl_rm, dst, src),
            (Alu::Xor, true) => i!(self, xorq_rm, dst, src),
            (Alu::Xor, false) => i!(self, xorl_rm, dst, src),
            (Alu::Cmp, true) => i!(self, cmpq_rm, dst, src),
            (Alu::Cmp, false) => i!(self, cmpl_rm, dst, src),
        }
    }

    /// The same with a constant, sign-extended if `wide`.
    pub(super) fn alu_imm(&mut self, op: Alu, wide: bool, dst: Reg, imm: i32) {
        if let Ok(small) = i8::try_from(imm) {
            return match (op, wide) {
                (Alu::Add, true) => i!(self, addq_mi_sxb, dst, small),
                (Alu::Add, false) => i!(self, addl_mi_sxb, dst, small),
                (Alu::Or, true) => i!(self, orq_mi_sxb, dst, small),
                (Alu::Or, false) => i!(self, orl_mi_sxb, dst, small),
                (Alu::Adc, true) => i!(self, adcq_mi_sxb, dst, small),
                (Alu::Adc, false) => i!(self, adcl_mi_sxb, dst, small),
                (Alu::And, true) => i!(self, andq_mi_sxb, dst, small),
                (Alu::And, false) => i!(self, andl_mi_sxb, dst, small),
                (Alu::Sub, true) => i!(self, subq_mi_sxb, dst, small),
                (Alu::Sub, false) => i!(self, subl_mi_sxb, dst, small),
                (Alu::Xor, true) => i!(self, xorq_mi_sxb, dst, small),
                (Alu::Xor, false) => i!(self, xorl_mi_sxb, dst, small),
                (Alu::Cmp, true) => i!(self, cmpq_mi_sxb, dst, small),
                (Alu::Cmp, false) => i!(self, cmpl_mi_sxb, dst, small),
            };
        }
        match (op, wide) {
            (Alu::Add, true) => i!(self, addq_mi_sxl, dst, imm),
            (Alu::Add, false) => i!(self, addl_mi, dst, imm as u32),
            (Alu::Or, true) => i!(self, orq_mi_sxl, dst, imm),
            (Alu::Or, false) => i!(self, orl_mi, dst, imm as u32),
            (Alu::Adc, true) => i!(self, adcq_mi_sxl, dst, imm),
            (Alu::Adc, false) => i!(self, adcl_mi, dst, imm as u32),
            (Alu::And, true) => i!(self, andq_mi_sxl, dst, imm),
            (Alu::And, false) => i!(self, andl_mi, dst, imm as u32),
            (Alu::Sub, true) => i!(self, subq_mi_sxl, dst, imm),
            (Alu::Sub, false) => i!(self, subl_mi, dst, imm as u32),
            (Alu::Xor, true) => i!(self, xorq_mi_sxl, dst, imm),
            (Alu::Xor, false) => i!(self, xorl_mi, dst, imm as u32),
            (Alu::Cmp, true) => i!(self, cmpq_mi, dst, imm),
            (Alu::Cmp, false) => i!(self, cmpl_mi, dst, imm as u32),
        }
    }

    /// Flags of `a & b`.
    pub(super) fn test(&mut self, wide: bool, a: Reg, b: Reg) {
        if wide { i!(self, testq_mr, a, b) } else { i!(self, testl_mr, a, b) }
    }

    /// `dst = src`; 32 bits are zero-extended.
    pub(super) fn mov(&mut self, wide: bool, dst: Reg, src: Reg) {
        if wide { i!(self, movq_mr, dst, src) } else { i!(self, movl_mr, dst, src) }
    }

    /// `dst = v`, leaving flags alone.
    pub(super) fn mov_imm(&mut self, dst: Reg, v: u64) {
        if let Ok(v) = u32::try_from(v) {
            i!(self, movl_oi, dst, v);
        } else if let Ok(v) = i32::try_from(v as i64) {
            i!(self, movq_mi_sxl, dst, v);
        } else {
            i!(self, movabsq_oi, dst, v);
        }
    }

    /// `dst = *m`, 64 bits.
    pub(super) fn load(&mut self, dst: Reg, m: Mem) {
        i!(self, movq_rm, dst, Amode::from(m));
    }

    /// `*m = src`, 64 bits.
    pub(super) fn store(&mut self, m: Mem, src: Reg) {
        i!(self, movq_mr, Amode::from(m), src);
    }

    /// `*m = v`, 64 bits from a sign-extended constant.
    pub(super) fn store_imm(&mut self, m: Mem, v: i32) {
        i!(self, movq_mi_sxl, Amode::from(m), v);
    }

    /// `*m += v`, 64 bits.
    pub(super) fn add_to(&mut self, m: Mem, v: i32) {
        i!(self, addq_mi_sxl, Amode::from(m), v);
    }

    /// `dst` = the address `m`.
    pub(super) fn lea(&mut self, dst: Reg, m: Mem) {
        i!(self, leaq_rm, dst, Amode::from(m));
    }

    /// `dst` shifted by the constant `n`.
    pub(super) fn shift_imm(&mut self, op: Shift, wide: bool, dst: Reg, n: u8) {
        match (op, wide) {
            (Shift::Shl, true) => i!(self, shlq_mi, dst, n),
            (Shift::Shl, false) => i!(self, shll_mi, dst, n),
            (Shift::Shr, true) => i!(self, shrq_mi, dst, n),
            (Shift::Shr, false) => i!(self, shrl_mi, dst, n),
            (Shift::Sar, true) => i!(self, sarq_mi, dst, n),
            (Shift::Sar, false) => i!(self, sarl_mi, dst, n),
            (Shift::Ror, true) => i!(self, rorq_mi, dst, n),
            (Shift::Ror, false) => i!(self, rorl_mi, dst, n),
        }
    }

    /// `dst` shifted by CL modulo the width.
    pub(super) fn shift_cl(&mut self, op: Shift, wide: bool, dst: Reg) {
        match (op, wide) {
            (Shift::Shl, true) => i!(self, shlq_mc, dst, RCX),
            (Shift::Shl, false) => i!(self, shll_mc, dst, RCX),
            (Shift::Shr, true) => i!(self, shrq_mc, dst, RCX),
            (Shift::Shr, false) => i!(self, shrl_mc, dst, RCX),
            (Shift::Sar, true) => i!(self, sarq_mc, dst, RCX),
            (Shift::Sar, false) => i!(self, sarl_mc, dst, RCX),
            (Shift::Ror, true) => i!(self, rorq_mc, dst, RCX),
            (Shift::Ror, false) => i!(self, rorl_mc, dst, RCX),
        }
    }

    /// `dst = cc ? 1 : 0`, all 64 bits. Leaves the flags alone.
    pub(super) fn setcc(&mut self, cc: Cc, dst: Reg) {
        match cc {
            Cc::O => i!(self, seto_m, dst),
            Cc::No => i!(self, setno_m, dst),
            Cc::B => i!(self, setb_m, dst),
            Cc::Ae => i!(self, setae_m, dst),
            Cc::E => i!(self, sete_m, dst),
            Cc::Ne => i!(self, setne_m, dst),
            Cc::Be => i!(self, setbe_m, dst),
            Cc::A => i!(self, seta_m, dst),
            Cc::S => i!(self, sets_m, dst),
            Cc::Ns => i!(self, setns_m, dst),
            Cc::L => i!(self, setl_m, dst),
            Cc::Ge => i!(self, setge_m, dst),
            Cc::Le => i!(self, setle_m, dst),
            Cc::G => i!(self, setg_m, dst),
        }
        i!(self, movzbl_rm, dst, dst);
    }

    /// `if cc { dst = src }`, 64 bits.
    pub(super) fn cmov(&mut self, cc: Cc, dst: Reg, src: Reg) {
        match cc {
            Cc::O => i!(self, cmovoq_rm, dst, src),
            Cc::No => i!(self, cmovnoq_rm, dst, src),
            Cc::B => i!(self, cmovbq_rm, dst, src),
            Cc::Ae => i!(self, cmovaeq_rm, dst, src),
            Cc::E => i!(self, cmoveq_rm, dst, src),
            Cc::Ne => i!(self, cmovneq_rm, dst, src),
            Cc::Be => i!(self, cmovbeq_rm, dst, src),
            Cc::A => i!(self, cmovaq_rm, dst, src),
            Cc::S => i!(self, cmovsq_rm, dst, src),
            Cc::Ns => i!(self, cmovnsq_rm, dst, src),
            Cc::L => i!(self, cmovlq_rm, dst, src),
            Cc::Ge => i!(self, cmovgeq_rm, dst, src),
            Cc::Le => i!(self, cmovleq_rm, dst, src),
            Cc::G => i!(self, cmovgq_rm, dst, src),
        }
    }

    /// `dst` = the address of `to`, which [`Code::relocate`](crate::compile::Code) fills in.
    pub(super) fn address(&mut self, dst: Reg, to: Target) {
        i!(self, movabsq_oi, dst, u64::MAX);
        self.relocs.push(Reloc { at: self.offset() - 8, to });
    }

    /// Calls the function at a fixed address, through RAX.
    pub(super) fn call(&mut self, target: usize) {
        self.address(RAX, Target::program(target));
        self.call_reg(RAX);
    }

    /// Calls the address in `target`, one of the first eight registers.
    pub(super) fn call_reg(&mut self, target: Reg) {
        debug_assert!(target < 8);
        self.raw(&[0xff, 0xd0 | target]);
    }

    /// Jumps to the address at `base + disp`.
    pub(super) fn jmp_mem(&mut self, base: Reg, disp: u8) {
        debug_assert!(base < 8 && base != 4);
        self.raw(&[0xff, 0x60 | base, disp]);
    }

    /// `vd = vs`.
    pub(super) fn movdqa(&mut self, dst: Reg, src: Reg) {
        i!(self, movdqa_a, dst, src);
    }

    /// `vd = *m`, 128 bits at any address.
    pub(super) fn load_vec(&mut self, dst: Reg, m: Mem) {
        i!(self, movdqu_a, dst, Amode::from(m));
    }

    /// `*m = vs`, 128 bits at any address.
    pub(super) fn store_vec(&mut self, m: Mem, src: Reg) {
        i!(self, movdqu_b, Amode::from(m), src);
    }

    /// Returns to whoever entered.
    pub(super) fn ret(&mut self) {
        self.raw(&[0xc3]);
    }
}
