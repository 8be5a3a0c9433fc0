//! The processor that a guest sees: what it can do under each profile, kept in one table so that HWCAP, the words
//! of `/proc/cpuinfo`, emulated ID registers and what decodes agree.

use jib_ir::state::State;

use crate::system::state::PROFILE;

/// FPCR bits that change FP results: AHP, DN, FZ, RMode, FZ16. The others read as zero.
pub const FPCR_MODES: u32 = 1 << 26 | 1 << 25 | 1 << 24 | 3 << 22 | 1 << 19;
/// FPSR bits: QC, IDC, IXC, UFC, OFC, DZC, IOC. The others read as zero.
pub const FPSR_BITS: u32 = 1 << 27 | 1 << 7 | 0x1f;
/// PSTATE.DIT.
pub const PSTATE_DIT: u64 = 1 << 24;
/// PSTATE.SSBS.
pub const PSTATE_SSBS: u64 = 1 << 12;

/// Bytes in a cache line, and what DC ZVA zeroes.
pub const LINE: u64 = 64;
/// Cache type: 64-byte lines; IDC and DIC clear, so that guests announce changed code by IC IVAU.
pub const CTR_EL0: u64 = 0x8444_c004;
/// DC ZVA zeroes 64 bytes.
pub const DCZID_EL0: u64 = 4;
/// Main ID: implementer 0 (reserved for software), architecture "see the ID registers", part of our own.
pub const MIDR_EL1: u64 = 0x000f_6a10;
/// The affinity that Linux shows to EL0: only the RES1 bit.
pub const MPIDR_EL1: u64 = 1 << 31;

/// A processor to choose. Each has what the one before it has, in the order of [`Profile::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Profile {
    /// Everything that runs fast.
    #[default]
    Default = 0,
    /// Armv8.0 with its cryptography, as Cortex-A53, A57 and A72.
    V80 = 1,
    /// Armv8.2, as Cortex-A76 and Neoverse N1.
    V82 = 2,
    /// Everything that there is.
    Max = 3,
}

impl Profile {
    /// All of them, each with what the one before it has.
    pub const ALL: [Profile; 4] = [Profile::V80, Profile::V82, Profile::Default, Profile::Max];

    /// As it is called on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Profile::Default => "default",
            Profile::V80 => "v8.0",
            Profile::V82 => "v8.2",
            Profile::Max => "max",
        }
    }

    /// The profile of that name.
    pub fn named(name: &str) -> Option<Profile> {
        Profile::ALL.into_iter().find(|p| p.name() == name)
    }

    /// Place in [`Profile::ALL`].
    const fn level(self) -> u8 {
        match self {
            Profile::V80 => 0,
            Profile::V82 => 1,
            Profile::Default => 2,
            Profile::Max => 3,
        }
    }

    /// Is there something in `feature` for the guest?
    pub const fn has(self, feature: Feature) -> bool {
        self.level() >= ROWS[feature as usize].since.level()
    }

    /// Are instructions missing that the default profile has?
    pub(crate) const fn is_reduced(self) -> bool {
        self.level() < Profile::Default.level()
    }

    const MODE_SHIFT: u32 = 29;

    /// The profile in a translation's mode ([`jib_ir::region::Key::mode`]).
    pub const fn of_mode(mode: u32) -> Profile {
        Profile::from_number(mode >> Profile::MODE_SHIFT & 3)
    }

    /// The bits of a translation's mode that tell the profile.
    pub const fn mode(self) -> u32 {
        (self as u32) << Profile::MODE_SHIFT
    }

    const fn from_number(n: u32) -> Profile {
        match n & 3 {
            0 => Profile::Default,
            1 => Profile::V80,
            2 => Profile::V82,
            _ => Profile::Max,
        }
    }

    /// The profile that `state` runs under.
    pub fn of(state: &State) -> Profile {
        Profile::from_number(state.get(PROFILE) as u32)
    }

    /// Makes it the one that `state` runs under.
    pub fn apply(self, state: &mut State) {
        state.set(PROFILE, self as u64);
    }
}

/// A row of the table.
pub struct Row {
    /// What it is about.
    pub feature: Feature,
    /// The first profile that has it.
    since: Profile,
    /// The ID register: `CRm`, `op2`.
    reg: (u8, u8),
    /// Lowest bit of the four-bit field.
    field: u8,
    /// The field's value.
    value: u64,
    /// Bits of AT_HWCAP that tell the same, with their names in `/proc/cpuinfo`.
    pub hwcap: &'static [(u8, &'static str)],
    /// Bits of AT_HWCAP2.
    pub hwcap2: &'static [(u8, &'static str)],
}

const PFR0: (u8, u8) = (4, 0);
const PFR1: (u8, u8) = (4, 1);
const DFR0: (u8, u8) = (5, 0);
const ISAR0: (u8, u8) = (6, 0);
const ISAR1: (u8, u8) = (6, 1);
const ISAR2: (u8, u8) = (6, 2);
const MMFR0: (u8, u8) = (7, 0);
const MMFR1: (u8, u8) = (7, 1);
const MMFR2: (u8, u8) = (7, 2);

macro_rules! features {
    ($($(#[doc = $doc:literal])* $id:ident $since:ident $reg:ident[$field:literal] = $value:literal,
        [$($cap:literal $name:literal),*], [$($cap2:literal $name2:literal),*];)*) => {
        /// Something that processors have or have not.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Feature { $($(#[doc = $doc])* $id),* }
        /// Every field of an ID register that is not zero, by [`Feature`]. Of rows with the same field the highest
        /// value counts. (Linux hides some fields from EL0 and shows fixed values there: EL0 and EL1 are AArch64
        /// only, Debug v8, no granule of 4K or 64K.)
        pub const ROWS: &[Row] = &[$(Row {
            feature: Feature::$id,
            since: Profile::$since,
            reg: $reg,
            field: $field,
            value: $value,
            hwcap: &[$(($cap, $name)),*],
            hwcap2: &[$(($cap2, $name2)),*],
        }),*];
    };
}

features! {
    /// EL0 is AArch64 only.
    El0 V80 PFR0[0] = 1, [], [];
    /// EL1 is AArch64 only.
    El1 V80 PFR0[4] = 1, [], [];
    /// Floating point.
    Fp V80 PFR0[16] = 0, [0 "fp"], [];
    /// Half-precision arithmetic.
    Fp16 V82 PFR0[16] = 1, [9 "fphp"], [];
    /// Vectors.
    AdvSimd V80 PFR0[20] = 0, [1 "asimd"], [];
    /// Half-precision arithmetic on vectors.
    AdvSimdFp16 V82 PFR0[20] = 1, [10 "asimdhp"], [];
    /// Data-independent timing.
    Dit Default PFR0[48] = 1, [24 "dit"], [];
    /// Speculative store bypass safe, with MSR and MRS.
    Ssbs V82 PFR1[4] = 2, [28 "ssbs"], [];
    /// Debug architecture v8.
    Debug V80 DFR0[0] = 6, [], [];
    /// AES and PMULL of 64 bits.
    Aes V80 ISAR0[4] = 2, [3 "aes", 4 "pmull"], [];
    /// SHA-1.
    Sha1 V80 ISAR0[8] = 1, [5 "sha1"], [];
    /// SHA-256.
    Sha256 V80 ISAR0[12] = 1, [6 "sha2"], [];
    /// SHA-512.
    Sha512 Default ISAR0[12] = 2, [21 "sha512"], [];
    /// CRC-32.
    Crc32 V80 ISAR0[16] = 1, [7 "crc32"], [];
    /// Atomic operations on memory.
    Lse V82 ISAR0[20] = 2, [8 "atomics"], [];
    /// Rounding doubling multiply-accumulate.
    Rdm V82 ISAR0[28] = 1, [12 "asimdrdm"], [];
    /// SHA-3.
    Sha3 Default ISAR0[32] = 1, [17 "sha3"], [];
    /// Dot products.
    DotProd V82 ISAR0[44] = 1, [20 "asimddp"], [];
    /// Half-precision products added to single precision.
    Fhm Default ISAR0[48] = 1, [23 "asimdfhm"], [];
    /// RMIF, SETF8, SETF16, CFINV.
    FlagM Default ISAR0[52] = 1, [27 "flagm"], [];
    /// AXFLAG, XAFLAG.
    FlagM2 Default ISAR0[52] = 2, [], [7 "flagm2"];
    /// Random numbers.
    Rng Default ISAR0[60] = 1, [], [16 "rng"];
    /// DC CVAP.
    Dpb V82 ISAR1[0] = 1, [16 "dcpop"], [];
    /// DC CVADP.
    Dpb2 Default ISAR1[0] = 2, [], [0 "dcpodp"];
    /// Pointer authentication of addresses, by an algorithm of our own.
    Pauth Max ISAR1[8] = 1, [30 "paca"], [];
    /// FJCVTZS.
    Jscvt Default ISAR1[12] = 1, [13 "jscvt"], [];
    /// Complex numbers.
    Fcma Default ISAR1[16] = 1, [14 "fcma"], [];
    /// LDAPR.
    Lrcpc V82 ISAR1[20] = 1, [15 "lrcpc"], [];
    /// LDAPUR, STLUR.
    Lrcpc2 Default ISAR1[20] = 2, [26 "ilrcpc"], [];
    /// Pointer authentication of values, by the same.
    PauthGeneric Max ISAR1[28] = 1, [31 "pacg"], [];
    /// FRINT32, FRINT64.
    FrintTs Default ISAR1[32] = 1, [], [8 "frint"];
    /// SB.
    Sb Default ISAR1[36] = 1, [29 "sb"], [];
    /// Matrices of 8-bit integers.
    I8mm Default ISAR1[52] = 1, [], [13 "i8mm"];
    /// Memory copy and set.
    Mops Default ISAR2[16] = 1, [], [43 "mops"];
    /// BC.cond.
    Hbc Default ISAR2[20] = 1, [], [44 "hbc"];
    /// ABS, CNT, CTZ, minimum and maximum.
    Cssc Default ISAR2[52] = 1, [], [34 "cssc"];
    /// No 64K granule.
    Granule64 V80 MMFR0[24] = 15, [], [];
    /// No 4K granule.
    Granule4 V80 MMFR0[28] = 15, [], [];
    /// CNTVCTSS_EL0.
    Ecv Default MMFR0[60] = 1, [], [19 "ecv"];
    /// LDLAR, STLLR; without the registers that the field also promises, so that it stays zero.
    Lor V82 MMFR1[16] = 0, [], [];
    /// Unaligned atomic accesses within 16 bytes.
    Uscat Default MMFR2[32] = 1, [25 "uscat"], [];
}

/// HWCAP_CPUID: the ID registers may be read.
const CPUID: (u8, &str) = (11, "cpuid");

impl Profile {
    fn rows(self) -> impl Iterator<Item = &'static Row> {
        ROWS.iter().filter(move |row| self.has(row.feature))
    }

    /// HWCAP of the auxiliary vector (Linux `asm/hwcap.h`).
    pub fn hwcap(self) -> u64 {
        self.rows().flat_map(|f| f.hwcap).chain([&CPUID]).fold(0, |bits, (bit, _)| bits | 1 << bit)
    }

    /// HWCAP2 of the auxiliary vector.
    pub fn hwcap2(self) -> u64 {
        self.rows().flat_map(|f| f.hwcap2).fold(0, |bits, (bit, _)| bits | 1 << bit)
    }

    /// The names of those bits, in the order of `/proc/cpuinfo`.
    pub fn names(self) -> Vec<&'static str> {
        let mut first: Vec<_> = self.rows().flat_map(|f| f.hwcap).chain([&CPUID]).collect();
        let mut second: Vec<_> = self.rows().flat_map(|f| f.hwcap2).collect();
        first.sort();
        second.sort();
        first.into_iter().chain(second).map(|(_, name)| *name).collect()
    }

    /// The identification register `S3_0_C0_C<crm>_<op2>` as Linux lets EL0 read it: features that are not
    /// there and registers without a name read as zero; `None` where Linux emulates nothing.
    pub fn id_register(self, crm: u8, op2: u8) -> Option<u64> {
        match (crm, op2) {
            (0, 0) => Some(MIDR_EL1),
            (0, 5) => Some(MPIDR_EL1),
            (0, 6) => Some(0), // REVIDR_EL1
            (2..=7, _) => Some(self.fields(crm, op2)),
            _ => None,
        }
    }

    fn fields(self, crm: u8, op2: u8) -> u64 {
        let mut v = 0;
        for f in self.rows().filter(|f| f.reg == (crm, op2)) {
            let old = v >> f.field & 15;
            v = v & !(15 << f.field) | f.value.max(old) << f.field;
        }
        v
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values worked out by hand from the Arm ARM's register descriptions.
    #[test]
    fn id_registers() {
        let expected = [
            ((4, 0), 0x0001_0000_0011_0011),
            ((4, 1), 0x20),
            ((4, 4), 0),
            ((5, 0), 6),
            ((6, 0), 0x1021_1001_1021_2120),
            ((6, 1), 0x0010_0011_0021_1002),
            ((6, 2), 0x0010_0000_0011_0000),
            ((7, 0), 0x1000_0000_ff00_0000),
            ((7, 1), 0),
            ((7, 2), 0x0000_0001_0000_0000),
        ];
        for ((crm, op2), value) in expected {
            assert_eq!(Profile::Default.id_register(crm, op2), Some(value), "C{crm}_{op2}");
        }
        assert_eq!(Profile::Default.id_register(0, 1), None);
        assert_eq!(Profile::Default.id_register(1, 0), None);
        let v80 = [((4, 0), 0x11), ((4, 1), 0), ((6, 0), 0x1_1120), ((6, 1), 0), ((6, 2), 0), ((7, 2), 0)];
        for ((crm, op2), value) in v80 {
            assert_eq!(Profile::V80.id_register(crm, op2), Some(value), "C{crm}_{op2}");
        }
        assert_eq!(Profile::V82.id_register(6, 0), Some(0x1000_1021_1120));
        assert_eq!(Profile::Max.id_register(6, 1), Some(0x0010_0011_1021_1102));
    }

    #[test]
    fn each_hwcap_bit_comes_from_one_field() {
        let mut seen = (1 << CPUID.0, 0);
        for f in ROWS {
            let bits = |caps: &[(u8, &str)]| caps.iter().fold(0u64, |bits, (bit, _)| bits | 1 << bit);
            let (one, two) = (bits(f.hwcap), bits(f.hwcap2));
            assert_eq!((seen.0 & one, seen.1 & two), (0, 0), "{:?}", f.feature);
            seen = (seen.0 | one, seen.1 | two);
        }
        assert_eq!(seen, (Profile::Max.hwcap(), Profile::Max.hwcap2()));
        assert_eq!(Profile::Default.hwcap(), 0x3fb3_fffb);
        assert_eq!((Profile::V80.hwcap(), Profile::V80.hwcap2()), (0x8fb, 0));
    }

    #[test]
    fn names_and_modes_lead_back_to_the_profile() {
        for p in Profile::ALL {
            assert_eq!((Profile::named(p.name()), Profile::of_mode(p.mode())), (Some(p), p));
            let bits = p.hwcap().count_ones() + p.hwcap2().count_ones();
            assert_eq!(p.names().len(), bits as usize);
        }
        assert_eq!(Profile::named("z80"), None);
        assert_eq!(Profile::V80.names().join(" "), "fp asimd aes pmull sha1 sha2 crc32 cpuid");
        assert!(ROWS.iter().enumerate().all(|(i, row)| row.feature as usize == i));
    }

    #[test]
    fn the_line_is_what_the_cache_registers_say() {
        assert_eq!(4 << (CTR_EL0 & 15), LINE);
        assert_eq!(4 << (CTR_EL0 >> 16 & 15), LINE);
        assert_eq!(4 << DCZID_EL0, LINE);
    }
}
