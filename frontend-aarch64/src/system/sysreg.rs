//! System registers of a whole system, one row each: encoding, who may touch it, what it is.
//!
//! Registers that are plain storage live in the guest state; those that belong to the board go
//! through [`jib_ir::runtime::Runtime::system`] under their encoding as number.

use jib_ir::state::{Slot, slot};

use super::state;
use crate::cpu;

/// The encoding of a system register or instruction: op0 (2 bits), op1 (3), CRn (4), CRm (4), op2 (3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Encoding(pub u16);

impl Encoding {
    /// The register `S<op0>_<op1>_C<crn>_C<crm>_<op2>`.
    pub const fn new(op0: u16, op1: u16, crn: u16, crm: u16, op2: u16) -> Encoding {
        Encoding(op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2)
    }
    /// CRn.
    pub const fn crn(self) -> u16 {
        self.0 >> 7 & 15
    }
    /// CRm.
    pub const fn crm(self) -> u16 {
        self.0 >> 3 & 15
    }
    /// op2.
    pub const fn op2(self) -> u16 {
        self.0 & 7
    }
}

impl std::fmt::Display for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (op0, op1) = (self.0 >> 14, self.0 >> 11 & 7);
        write!(f, "S{op0}_{op1}_C{}_C{}_{}", self.crn(), self.crm(), self.op2())
    }
}

/// Who may access a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// EL1 reads.
    El1Ro,
    /// EL1 writes.
    El1Wo,
    /// EL1 reads and writes.
    El1Rw,
    /// EL0 reads, EL1 reads.
    El0Ro,
    /// EL0 and EL1 write.
    El0Wo,
    /// EL0 reads, EL1 reads and writes.
    El0RoEl1Rw,
    /// EL0 and EL1 read and write.
    El0Rw,
}

impl Rights {
    /// May a read be made?
    pub const fn read(self, el1: bool) -> bool {
        match self {
            Rights::El1Ro | Rights::El1Rw => el1,
            Rights::El1Wo | Rights::El0Wo => false,
            Rights::El0Ro | Rights::El0RoEl1Rw | Rights::El0Rw => true,
        }
    }
    /// May a write be made?
    pub const fn write(self, el1: bool) -> bool {
        match self {
            Rights::El1Ro | Rights::El0Ro => false,
            Rights::El1Wo | Rights::El1Rw | Rights::El0RoEl1Rw => el1,
            Rights::El0Rw | Rights::El0Wo => true,
        }
    }
}

/// What stands behind a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// A word of guest state; only the bits of the mask are kept when written.
    Word(Slot, u64),
    /// A word that decides how code is translated or memory is reached: the board is told of a write.
    Control(Slot, u64),
    /// Always this value; writes are ignored.
    Const(u64),
    /// The board's.
    Board,
    /// The processor's own rules, in the lifter.
    Own,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct SysReg {
    /// Name in the Arm ARM.
    pub name: &'static str,
    /// Where it stands.
    pub encoding: Encoding,
    /// Who may touch it.
    pub rights: Rights,
    /// What it is.
    pub store: Store,
}

const ALL: u64 = u64::MAX;
/// SCTLR_EL1 bits that read as one.
pub const SCTLR_RES1: u64 = 1 << 29 | 1 << 28 | 1 << 22 | 1 << 20 | 1 << 11;
/// TCR_EL1 bits that we act on or that are plain hints.
const TCR_BITS: u64 = 0x0180_07ff_ffff_ffff & !(1 << 35);

macro_rules! sysregs {
    ($($name:ident = $op0:literal $op1:literal $crn:literal $crm:literal $op2:literal, $rights:ident, $store:expr;)*) => {
        /// The encodings of the registers that have a row.
        #[allow(missing_docs, non_upper_case_globals, reason = "the names are the Arm ARM's")]
        pub mod reg {
            use super::Encoding;
            $(pub const $name: Encoding = Encoding::new($op0, $op1, $crn, $crm, $op2);)*
        }
        /// Every register with a row, ascending by encoding.
        pub static SYSREGS: &[SysReg] = &sort([$(SysReg {
            name: stringify!($name),
            encoding: reg::$name,
            rights: Rights::$rights,
            store: $store,
        }),*]);
    };
}

const fn sort<const N: usize>(mut rows: [SysReg; N]) -> [SysReg; N] {
    let mut i = 1;
    while i < N {
        let mut j = i;
        while j > 0 && rows[j - 1].encoding.0 > rows[j].encoding.0 {
            let row = rows[j];
            rows[j] = rows[j - 1];
            rows[j - 1] = row;
            j -= 1;
        }
        i += 1;
    }
    rows
}

use Store::{Board, Const, Control, Own, Word};

sysregs! {
    // Debug.
    MDCCINT_EL1      = 2 0 0 2 0, El1Rw, Word(state::MDCCINT, 0);
    MDSCR_EL1        = 2 0 0 2 2, El1Rw, Control(state::MDSCR, 0xffff_ffff);
    OSDTRRX_EL1      = 2 0 0 0 2, El1Rw, Const(0);
    OSDTRTX_EL1      = 2 0 0 3 2, El1Rw, Const(0);
    MDRAR_EL1        = 2 0 1 0 0, El1Ro, Const(0);
    OSLAR_EL1        = 2 0 1 0 4, El1Wo, Own;
    OSLSR_EL1        = 2 0 1 1 4, El1Ro, Own;
    OSDLR_EL1        = 2 0 1 3 4, El1Rw, Const(0);
    DBGPRCR_EL1      = 2 0 1 4 4, El1Rw, Const(0);
    DBGCLAIMSET_EL1  = 2 0 7 8 6, El1Rw, Const(0xff);
    DBGCLAIMCLR_EL1  = 2 0 7 9 6, El1Rw, Const(0);
    DBGAUTHSTATUS_EL1 = 2 0 7 14 6, El1Ro, Const(0);
    MDCCSR_EL0       = 2 3 0 1 0, El0Ro, Const(0);
    DBGBVR0_EL1      = 2 0 0 0 4, El1Rw, Word(debug(state::BREAKPOINTS, 0), ALL);
    DBGBCR0_EL1      = 2 0 0 0 5, El1Rw, Control(debug(state::BREAKPOINTS, 1), 0x00ff_e1e6 | 1);
    DBGBVR1_EL1      = 2 0 0 1 4, El1Rw, Word(debug(state::BREAKPOINTS, 2), ALL);
    DBGBCR1_EL1      = 2 0 0 1 5, El1Rw, Control(debug(state::BREAKPOINTS, 3), 0x00ff_e1e6 | 1);
    DBGBVR2_EL1      = 2 0 0 2 4, El1Rw, Word(debug(state::BREAKPOINTS, 4), ALL);
    DBGBCR2_EL1      = 2 0 0 2 5, El1Rw, Control(debug(state::BREAKPOINTS, 5), 0x00ff_e1e6 | 1);
    DBGBVR3_EL1      = 2 0 0 3 4, El1Rw, Word(debug(state::BREAKPOINTS, 6), ALL);
    DBGBCR3_EL1      = 2 0 0 3 5, El1Rw, Control(debug(state::BREAKPOINTS, 7), 0x00ff_e1e6 | 1);
    DBGBVR4_EL1      = 2 0 0 4 4, El1Rw, Word(debug(state::BREAKPOINTS, 8), ALL);
    DBGBCR4_EL1      = 2 0 0 4 5, El1Rw, Control(debug(state::BREAKPOINTS, 9), 0x00ff_e1e6 | 1);
    DBGBVR5_EL1      = 2 0 0 5 4, El1Rw, Word(debug(state::BREAKPOINTS, 10), ALL);
    DBGBCR5_EL1      = 2 0 0 5 5, El1Rw, Control(debug(state::BREAKPOINTS, 11), 0x00ff_e1e6 | 1);
    DBGWVR0_EL1      = 2 0 0 0 6, El1Rw, Word(debug(state::WATCHPOINTS, 0), ALL);
    DBGWCR0_EL1      = 2 0 0 0 7, El1Rw, Control(debug(state::WATCHPOINTS, 1), 0x1f1f_ffff);
    DBGWVR1_EL1      = 2 0 0 1 6, El1Rw, Word(debug(state::WATCHPOINTS, 2), ALL);
    DBGWCR1_EL1      = 2 0 0 1 7, El1Rw, Control(debug(state::WATCHPOINTS, 3), 0x1f1f_ffff);
    DBGWVR2_EL1      = 2 0 0 2 6, El1Rw, Word(debug(state::WATCHPOINTS, 4), ALL);
    DBGWCR2_EL1      = 2 0 0 2 7, El1Rw, Control(debug(state::WATCHPOINTS, 5), 0x1f1f_ffff);
    DBGWVR3_EL1      = 2 0 0 3 6, El1Rw, Word(debug(state::WATCHPOINTS, 6), ALL);
    DBGWCR3_EL1      = 2 0 0 3 7, El1Rw, Control(debug(state::WATCHPOINTS, 7), 0x1f1f_ffff);

    // Identification beyond the CRm 2 to 7 space, which `id_register` answers.
    MIDR_EL1         = 3 0 0 0 0, El1Ro, Const(cpu::MIDR_EL1);
    MPIDR_EL1        = 3 0 0 0 5, El1Ro, Word(state::MPIDR, 0);
    REVIDR_EL1       = 3 0 0 0 6, El1Ro, Const(0);
    CCSIDR_EL1       = 3 1 0 0 0, El1Ro, Const(0);
    CLIDR_EL1        = 3 1 0 0 1, El1Ro, Const(0);
    AIDR_EL1         = 3 1 0 0 7, El1Ro, Const(0);
    CSSELR_EL1       = 3 2 0 0 0, El1Rw, Word(state::CSSELR, 0xf);
    CTR_EL0          = 3 3 0 0 1, El0Ro, Const(cpu::CTR_EL0);
    DCZID_EL0        = 3 3 0 0 7, El0Ro, Const(cpu::DCZID_EL0);

    // Control.
    SCTLR_EL1        = 3 0 1 0 0, El1Rw, Control(state::SCTLR, ALL);
    ACTLR_EL1        = 3 0 1 0 1, El1Rw, Word(state::ACTLR, 0);
    CPACR_EL1        = 3 0 1 0 2, El1Rw, Control(state::CPACR, 3 << 20);
    TTBR0_EL1        = 3 0 2 0 0, El1Rw, Control(state::TTBR0, ALL);
    TTBR1_EL1        = 3 0 2 0 1, El1Rw, Control(state::TTBR1, ALL);
    TCR_EL1          = 3 0 2 0 2, El1Rw, Control(state::TCR, TCR_BITS);
    MAIR_EL1         = 3 0 10 2 0, El1Rw, Control(state::MAIR, ALL);
    AMAIR_EL1        = 3 0 10 3 0, El1Rw, Word(state::AMAIR, ALL);
    CONTEXTIDR_EL1   = 3 0 13 0 1, El1Rw, Word(state::CONTEXTIDR, 0xffff_ffff);
    TPIDR_EL1        = 3 0 13 0 4, El1Rw, Word(state::TPIDR_EL1, ALL);
    TPIDR_EL0        = 3 3 13 0 2, El0Rw, Word(slot::TPIDR, ALL);
    TPIDRRO_EL0      = 3 3 13 0 3, El0RoEl1Rw, Word(slot::TPIDRRO, ALL);

    // Pointer authentication, of a processor that has it.
    APIAKeyLo_EL1    = 3 0 2 1 0, El1Rw, Word(state::key(0, 0), ALL);
    APIAKeyHi_EL1    = 3 0 2 1 1, El1Rw, Word(state::key(0, 1), ALL);
    APIBKeyLo_EL1    = 3 0 2 1 2, El1Rw, Word(state::key(1, 0), ALL);
    APIBKeyHi_EL1    = 3 0 2 1 3, El1Rw, Word(state::key(1, 1), ALL);
    APDAKeyLo_EL1    = 3 0 2 2 0, El1Rw, Word(state::key(2, 0), ALL);
    APDAKeyHi_EL1    = 3 0 2 2 1, El1Rw, Word(state::key(2, 1), ALL);
    APDBKeyLo_EL1    = 3 0 2 2 2, El1Rw, Word(state::key(3, 0), ALL);
    APDBKeyHi_EL1    = 3 0 2 2 3, El1Rw, Word(state::key(3, 1), ALL);
    APGAKeyLo_EL1    = 3 0 2 3 0, El1Rw, Word(state::key(4, 0), ALL);
    APGAKeyHi_EL1    = 3 0 2 3 1, El1Rw, Word(state::key(4, 1), ALL);

    // Exceptions.
    SPSR_EL1         = 3 0 4 0 0, El1Rw, Word(state::SPSR, 0xffff_ffff);
    ELR_EL1          = 3 0 4 0 1, El1Rw, Word(state::ELR, ALL);
    SP_EL0           = 3 0 4 1 0, El1Rw, Own;
    SPSel            = 3 0 4 2 0, El1Rw, Own;
    CurrentEL        = 3 0 4 2 2, El1Ro, Own;
    PAN              = 3 0 4 2 3, El1Rw, Own;
    UAO              = 3 0 4 2 4, El1Rw, Own;
    DAIF             = 3 3 4 2 1, El1Rw, Own;
    AFSR0_EL1        = 3 0 5 1 0, El1Rw, Word(state::AFSR0, 0);
    AFSR1_EL1        = 3 0 5 1 1, El1Rw, Word(state::AFSR1, 0);
    ESR_EL1          = 3 0 5 2 0, El1Rw, Word(state::ESR, 0xffff_ffff);
    FAR_EL1          = 3 0 6 0 0, El1Rw, Word(state::FAR, ALL);
    PAR_EL1          = 3 0 7 4 0, El1Rw, Word(state::PAR, ALL);
    VBAR_EL1         = 3 0 12 0 0, El1Rw, Word(state::VBAR, !0x7ff);
    ISR_EL1          = 3 0 12 1 0, El1Ro, Board;

    // Interrupt controller, CPU interface.
    ICC_PMR_EL1      = 3 0 4 6 0, El1Rw, Board;
    ICC_IAR0_EL1     = 3 0 12 8 0, El1Ro, Board;
    ICC_EOIR0_EL1    = 3 0 12 8 1, El1Wo, Board;
    ICC_HPPIR0_EL1   = 3 0 12 8 2, El1Ro, Board;
    ICC_BPR0_EL1     = 3 0 12 8 3, El1Rw, Board;
    ICC_AP0R0_EL1    = 3 0 12 8 4, El1Rw, Board;
    ICC_AP1R0_EL1    = 3 0 12 9 0, El1Rw, Board;
    ICC_DIR_EL1      = 3 0 12 11 1, El1Wo, Board;
    ICC_RPR_EL1      = 3 0 12 11 3, El1Ro, Board;
    ICC_SGI1R_EL1    = 3 0 12 11 5, El1Wo, Board;
    ICC_ASGI1R_EL1   = 3 0 12 11 6, El1Wo, Board;
    ICC_SGI0R_EL1    = 3 0 12 11 7, El1Wo, Board;
    ICC_IAR1_EL1     = 3 0 12 12 0, El1Ro, Board;
    ICC_EOIR1_EL1    = 3 0 12 12 1, El1Wo, Board;
    ICC_HPPIR1_EL1   = 3 0 12 12 2, El1Ro, Board;
    ICC_BPR1_EL1     = 3 0 12 12 3, El1Rw, Board;
    ICC_CTLR_EL1     = 3 0 12 12 4, El1Rw, Board;
    ICC_SRE_EL1      = 3 0 12 12 5, El1Rw, Board;
    ICC_IGRPEN0_EL1  = 3 0 12 12 6, El1Rw, Board;
    ICC_IGRPEN1_EL1  = 3 0 12 12 7, El1Rw, Board;

    // Generic timer.
    CNTKCTL_EL1      = 3 0 14 1 0, El1Rw, Word(state::CNTKCTL, 0x3ffff);
    CNTFRQ_EL0       = 3 3 14 0 0, El0Ro, Own;
    CNTPCT_EL0       = 3 3 14 0 1, El0Ro, Own;
    CNTVCT_EL0       = 3 3 14 0 2, El0Ro, Own;
    CNTPCTSS_EL0     = 3 3 14 0 5, El0Ro, Own;
    CNTVCTSS_EL0     = 3 3 14 0 6, El0Ro, Own;
    CNTP_TVAL_EL0    = 3 3 14 2 0, El0Rw, Board;
    CNTP_CTL_EL0     = 3 3 14 2 1, El0Rw, Board;
    CNTP_CVAL_EL0    = 3 3 14 2 2, El0Rw, Board;
    CNTV_TVAL_EL0    = 3 3 14 3 0, El0Rw, Board;
    CNTV_CTL_EL0     = 3 3 14 3 1, El0Rw, Board;
    CNTV_CVAL_EL0    = 3 3 14 3 2, El0Rw, Board;

    // Performance monitors.
    PMINTENSET_EL1   = 3 0 9 14 1, El1Rw, Board;
    PMINTENCLR_EL1   = 3 0 9 14 2, El1Rw, Board;
    PMCR_EL0         = 3 3 9 12 0, El0Rw, Board;
    PMCNTENSET_EL0   = 3 3 9 12 1, El0Rw, Board;
    PMCNTENCLR_EL0   = 3 3 9 12 2, El0Rw, Board;
    PMOVSCLR_EL0     = 3 3 9 12 3, El0Rw, Board;
    PMSWINC_EL0      = 3 3 9 12 4, El0Wo, Board;
    PMSELR_EL0       = 3 3 9 12 5, El0Rw, Board;
    PMCEID0_EL0      = 3 3 9 12 6, El0Ro, Board;
    PMCEID1_EL0      = 3 3 9 12 7, El0Ro, Board;
    PMCCNTR_EL0      = 3 3 9 13 0, El0Rw, Board;
    PMXEVTYPER_EL0   = 3 3 9 13 1, El0Rw, Board;
    PMXEVCNTR_EL0    = 3 3 9 13 2, El0Rw, Board;
    PMUSERENR_EL0    = 3 3 9 14 0, El0RoEl1Rw, Board;
    PMOVSSET_EL0     = 3 3 9 14 3, El0Rw, Board;
    PMEVCNTR0_EL0    = 3 3 14 8 0, El0Rw, Board;
    PMEVCNTR1_EL0    = 3 3 14 8 1, El0Rw, Board;
    PMEVCNTR2_EL0    = 3 3 14 8 2, El0Rw, Board;
    PMEVCNTR3_EL0    = 3 3 14 8 3, El0Rw, Board;
    PMEVCNTR4_EL0    = 3 3 14 8 4, El0Rw, Board;
    PMEVCNTR5_EL0    = 3 3 14 8 5, El0Rw, Board;
    PMEVTYPER0_EL0   = 3 3 14 12 0, El0Rw, Board;
    PMEVTYPER1_EL0   = 3 3 14 12 1, El0Rw, Board;
    PMEVTYPER2_EL0   = 3 3 14 12 2, El0Rw, Board;
    PMEVTYPER3_EL0   = 3 3 14 12 3, El0Rw, Board;
    PMEVTYPER4_EL0   = 3 3 14 12 4, El0Rw, Board;
    PMEVTYPER5_EL0   = 3 3 14 12 5, El0Rw, Board;
    PMCCFILTR_EL0    = 3 3 14 15 7, El0Rw, Board;
}

/// Word `i` of a bank of debug registers.
const fn debug(first: Slot, i: u16) -> Slot {
    Slot(first.0 + i)
}

/// The row of `encoding`.
pub fn find(encoding: Encoding) -> Option<&'static SysReg> {
    SYSREGS.binary_search_by_key(&encoding, |r| r.encoding).ok().map(|i| &SYSREGS[i])
}

/// Fields of the ID registers that only a system sees, beside those of [`cpu::Profile::id_register`]:
/// (CRm, op2), lowest bit, value.
const SYSTEM_FIELDS: &[((u16, u16), u32, u64)] = &[
    ((4, 0), 56, 1), // CSV2
    ((4, 0), 60, 1), // CSV3
    ((5, 0), 8, 1),  // PMUv3
    ((5, 0), 12, 5), // six breakpoints
    ((5, 0), 20, 3), // four watchpoints
    ((5, 0), 28, 1), // the last two breakpoints compare contexts
    ((6, 0), 56, 2), // TLBI of the outer shareable domain, and by range
    ((7, 0), 0, 5),  // 48-bit physical addresses
    ((7, 0), 4, 2),  // 16-bit ASIDs
    ((7, 0), 20, 1), // 16K granule
    ((7, 1), 0, 2),  // access flag and dirty state in hardware
    ((7, 1), 12, 1), // hierarchical permissions can be disabled
    ((7, 1), 20, 2), // PAN, AT S1E1RP and S1E1WP
    ((7, 2), 0, 1),  // common-not-private
    ((7, 2), 4, 1),  // UAO
    ((7, 2), 60, 1), // E0PD
];

/// The identification register `S3_0_C0_C<crm>_<op2>` as EL1 of a processor of `profile` reads it, but for [`state::GIC`]; every one of the space
/// exists.
pub fn id_register(profile: cpu::Profile, crm: u16, op2: u16) -> Option<u64> {
    if !(1..=7).contains(&crm) {
        return None;
    }
    // Linux shows EL0 "no 4K, no 64K granule"; here both are there: zero.
    let shown = match (crm, op2) {
        (7, 0) => profile.id_register(7, 0).unwrap_or(0) & !0xff00_0000,
        _ => profile.id_register(crm as u8, op2 as u8).unwrap_or(0),
    };
    Some(SYSTEM_FIELDS.iter().filter(|f| f.0 == (crm, op2)).fold(shown, |v, f| v | f.2 << f.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_unique_and_found() {
        assert!(SYSREGS.windows(2).all(|w| w[0].encoding < w[1].encoding));
        for row in SYSREGS {
            assert_eq!(find(row.encoding).map(|r| r.name), Some(row.name));
        }
        assert!(find(Encoding::new(3, 7, 15, 15, 7)).is_none());
    }

    #[test]
    fn memory_model_features_have_both_large_and_small_granules() {
        let mmfr0 = id_register(cpu::Profile::Default, 7, 0).expect("in the space");
        assert_eq!(mmfr0 & 0xf, 5);
        assert_eq!(mmfr0 >> 20 & 0xfff, 0x001);
    }
}
