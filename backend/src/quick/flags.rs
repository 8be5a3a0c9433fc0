//! Guest flags: the host's own while a comparison is next to its user, else NZCV in bits 31:28 of a register.

use jib_ir::op::{FlagOp, Op};
use jib_ir::region::Val;
use jib_ir::state::{FlagsKind, Slot};
use jib_ir::ty::{Cond, Ty};

use super::asm::{Alu, Cc, RAX, RCX, Reg, Shift, i};
use super::int::Test;
use super::regs::{Loc, state};
use super::{Quick, TooHard};

impl Quick<'_> {
    pub(super) fn flags_op(&mut self, op: Op) -> Result<(), TooHard> {
        match op {
            Op::FlagsUnpack { f } => {
                let r = self.gpr(f)?;
                self.put_gpr(self.at, r);
                self.vals[self.at as usize].clean = true;
            }
            _ => self.defer(&op),
        }
        Ok(())
    }

    /// Sets the host's flags such that the result tells whether guest flags `f` satisfy `cond`.
    pub(super) fn condition(&mut self, cond: Cond, f: Val) -> Result<Test, TooHard> {
        if matches!(cond, Cond::Al | Cond::Nv) {
            return Ok(Test::Known(true));
        }
        if let Some(test) = self.float_condition(cond, f)? {
            return Ok(test);
        }
        if self.vals[f.index()].loc != Loc::Lazy {
            return self.packed_condition(cond, f);
        }
        match self.region.ops[f.index()] {
            Op::Imm { v, .. } => Ok(Test::Known(cond.holds(v as u32))),
            Op::Flags { op: FlagOp::Sub, ty, a, b } => {
                self.compare_operands(ty == Ty::I64, a, b)?;
                Ok(Test::Cc(after_sub(cond)))
            }
            Op::Flags { op: FlagOp::Add, ty, a, b } => {
                self.add_operands(ty == Ty::I64, a, b)?;
                Ok(self.after_add(cond))
            }
            Op::FlagsAdc { ty, a, b, c } => {
                self.adc_operands(ty == Ty::I64, a, b, c)?;
                Ok(self.after_add(cond))
            }
            Op::FlagsLogic { ty, a } => {
                let r = self.gpr(a)?;
                self.asm.test(ty == Ty::I64, r, r);
                Ok(match cond {
                    // C and V are clear.
                    Cond::Cs | Cond::Vs | Cond::Hi => Test::Known(false),
                    Cond::Cc | Cond::Vc | Cond::Ls => Test::Known(true),
                    _ => Test::Cc(after_sub(cond)),
                })
            }
            _ => self.packed_condition(cond, f),
        }
    }

    /// Looks `cond` up in a table of the sixteen values of NZCV.
    fn packed_condition(&mut self, cond: Cond, f: Val) -> Result<Test, TooHard> {
        let r = self.gpr(f)?;
        let holding = (0..16_u32).filter(|n| cond.holds(n << 28)).fold(0_u64, |m, n| m | 1 << n);
        self.asm.mov(false, RAX, r);
        self.asm.shift_imm(Shift::Shr, false, RAX, 28);
        self.asm.mov_imm(RCX, holding);
        i!(self.asm, btl_mr, RCX, RAX);
        Ok(Test::Cc(Cc::B))
    }

    fn compare_operands(&mut self, wide: bool, a: Val, b: Val) -> Result<(), TooHard> {
        let ra = self.gpr(a)?;
        match self.small_imm(b, wide) {
            Some(k) => self.asm.alu_imm(Alu::Cmp, wide, ra, k),
            None => {
                let rb = self.gpr(b)?;
                self.asm.alu(Alu::Cmp, wide, ra, rb);
            }
        }
        Ok(())
    }

    fn add_operands(&mut self, wide: bool, a: Val, b: Val) -> Result<(), TooHard> {
        let ra = self.gpr(a)?;
        match self.small_imm(b, wide) {
            Some(k) => {
                self.asm.mov(wide, RAX, ra);
                self.asm.alu_imm(Alu::Add, wide, RAX, k);
            }
            None => {
                let rb = self.gpr(b)?;
                self.asm.mov(wide, RAX, ra);
                self.asm.alu(Alu::Add, wide, RAX, rb);
            }
        }
        Ok(())
    }

    fn adc_operands(&mut self, wide: bool, a: Val, b: Val, c: Val) -> Result<(), TooHard> {
        let (ra, rb, rc) = (self.gpr(a)?, self.gpr(b)?, self.gpr(c)?);
        self.asm.mov(wide, RAX, ra);
        i!(self.asm, btl_mi, rc, 0);
        self.asm.alu(Alu::Adc, wide, RAX, rb);
        Ok(())
    }

    /// The host's condition after an addition, where C is the carry itself.
    fn after_add(&mut self, cond: Cond) -> Test {
        Test::Cc(match cond {
            Cond::Cs => Cc::B,
            Cond::Cc => Cc::Ae,
            Cond::Hi | Cond::Ls => {
                self.asm.cmc();
                after_sub(cond)
            }
            _ => after_sub(cond),
        })
    }

    /// NZCV of `f` in bits 31:28 of a new register, the rest zero.
    pub(super) fn packed(&mut self, f: Val) -> Result<Reg, TooHard> {
        let inverted = match self.region.ops[f.index()] {
            Op::Flags { op: FlagOp::Sub, ty, a, b } => {
                self.compare_operands(ty == Ty::I64, a, b)?;
                true
            }
            Op::Flags { op: FlagOp::Add, ty, a, b } => {
                self.add_operands(ty == Ty::I64, a, b)?;
                false
            }
            Op::FlagsAdc { ty, a, b, c } => {
                self.adc_operands(ty == Ty::I64, a, b, c)?;
                false
            }
            Op::FlagsLogic { ty, a } => {
                let r = self.gpr(a)?;
                self.asm.test(ty == Ty::I64, r, r);
                false
            }
            Op::FlagsPack { a } => {
                let r = self.gpr(a)?;
                let d = self.new_gpr()?;
                self.asm.mov(false, d, r);
                self.asm.alu_imm(Alu::And, false, d, 0xf000_0000_u32 as i32);
                return Ok(d);
            }
            _ => return Err(TooHard),
        };
        if inverted {
            self.asm.cmc();
        }
        let d = self.new_flags_register()?;
        self.pack_host_flags(d);
        Ok(d)
    }

    /// A register, without changing the host's flags: what may have to be spilled for it is stored by moves.
    fn new_flags_register(&mut self) -> Result<Reg, TooHard> {
        self.new_gpr()
    }

    /// SF, ZF, CF, OF as NZCV in `d`: they lie in AH and AL after LAHF and SETO, and one multiplication brings them
    /// together.
    fn pack_host_flags(&mut self, d: Reg) {
        self.asm.lahf();
        i!(self.asm, seto_m, RAX);
        self.asm.mov(false, d, RAX);
        self.asm.alu_imm(Alu::And, false, d, 0xc101);
        i!(self.asm, imull_rmi, d, d, 0x1021_0000_u32);
        self.asm.alu_imm(Alu::And, false, d, 0xf000_0000_u32 as i32);
    }

    /// Stores flags `v` to slot `s` in the lazy form that needs least work.
    pub(super) fn set_flags(&mut self, v: Val, s: Slot) -> Result<(), TooHard> {
        let lazy = self.vals[v.index()].loc == Loc::Lazy;
        let (kind, a, b) = match self.region.ops[v.index()] {
            Op::Imm { v: imm, .. } => {
                self.asm.store_imm(state(s.offset()), FlagsKind::Packed as i32);
                self.asm.mov_imm(RAX, imm & 0xf000_0000);
                self.asm.store(state(s.offset() + 8), RAX);
                return Ok(());
            }
            Op::Flags { op, ty, a, b } if lazy => {
                let kind = match (op, ty) {
                    (FlagOp::Add, Ty::I64) => FlagsKind::Add64,
                    (FlagOp::Add, _) => FlagsKind::Add32,
                    (FlagOp::Sub, Ty::I64) => FlagsKind::Sub64,
                    (FlagOp::Sub, _) => FlagsKind::Sub32,
                };
                (kind, a, Some(b))
            }
            Op::FlagsLogic { ty, a } if lazy => {
                (if ty == Ty::I64 { FlagsKind::Logic64 } else { FlagsKind::Logic32 }, a, None)
            }
            _ => {
                let r = self.gpr(v)?;
                self.asm.store_imm(state(s.offset()), FlagsKind::Packed as i32);
                self.asm.store(state(s.offset() + 8), r);
                return Ok(());
            }
        };
        self.asm.store_imm(state(s.offset()), kind as i32);
        self.store_flag_word(a, s.offset() + 8)?;
        if let Some(b) = b {
            self.store_flag_word(b, s.offset() + 16)?;
        }
        Ok(())
    }

    fn store_flag_word(&mut self, v: Val, at: i32) -> Result<(), TooHard> {
        match self.small_imm(v, true) {
            Some(k) => self.asm.store_imm(state(at), k),
            None => {
                let r = self.gpr(v)?;
                self.asm.store(state(at), r);
            }
        }
        Ok(())
    }

    /// `d` = NZCV of the flag words at slot `s`, resolved out of line.
    pub(super) fn load_flags(&mut self, d: Reg, s: Slot) {
        self.asm.lea(RAX, state(s.offset()));
        self.call_flags_stub();
        self.asm.mov(false, d, RAX);
    }
}

/// The host's condition after a comparison, where the host's carry is the guest's inverted.
fn after_sub(cond: Cond) -> Cc {
    match cond {
        Cond::Eq => Cc::E,
        Cond::Ne => Cc::Ne,
        Cond::Cs => Cc::Ae,
        Cond::Cc => Cc::B,
        Cond::Mi => Cc::S,
        Cond::Pl => Cc::Ns,
        Cond::Vs => Cc::O,
        Cond::Vc => Cc::No,
        Cond::Hi => Cc::A,
        Cond::Ls => Cc::Be,
        Cond::Ge => Cc::Ge,
        Cond::Lt => Cc::L,
        Cond::Gt => Cc::G,
        Cond::Le | Cond::Al | Cond::Nv => Cc::Le,
    }
}
