//! The processor that a guest sees: feature bits and identification registers, kept in one place so
//! that HWCAP, emulated ID registers and what we implement agree.

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

/// A feature that a guest can find in an ID register, and its HWCAP bits.
struct Feature {
    /// The ID register: `CRm`, `op2`.
    reg: (u8, u8),
    /// Lowest bit of the four-bit field.
    field: u8,
    /// The field's value.
    value: u64,
    /// Bits of AT_HWCAP that tell the same.
    hwcap: u64,
    /// Bits of AT_HWCAP2 that tell the same.
    hwcap2: u64,
}

const PFR0: (u8, u8) = (4, 0);
const PFR1: (u8, u8) = (4, 1);
const DFR0: (u8, u8) = (5, 0);
const ISAR0: (u8, u8) = (6, 0);
const ISAR1: (u8, u8) = (6, 1);
const ISAR2: (u8, u8) = (6, 2);
const MMFR0: (u8, u8) = (7, 0);
const MMFR2: (u8, u8) = (7, 2);

macro_rules! features {
    ($($(#[doc = $doc:literal])* $reg:ident[$field:literal] = $value:literal, [$($cap:literal),*], [$($cap2:literal),*];)*) => {
        /// Every field of an ID register that is not zero. (Linux hides some fields from EL0 and shows
        /// fixed values there: EL0 and EL1 are AArch64 only, Debug v8, no granule of 4K or 64K.)
        const FEATURES: &[Feature] = &[$(Feature {
            reg: $reg,
            field: $field,
            value: $value,
            hwcap: 0 $(| 1 << $cap)*,
            hwcap2: 0 $(| 1 << $cap2)*,
        }),*];
    };
}

features! {
    /// EL0, EL1: AArch64 only
    PFR0[0] = 1, [], [];
    PFR0[4] = 1, [], [];
    /// FP, FPHP
    PFR0[16] = 1, [0, 9], [];
    /// ASIMD, ASIMDHP
    PFR0[20] = 1, [1, 10], [];
    /// DIT
    PFR0[48] = 1, [24], [];
    /// SSBS, with MSR and MRS
    PFR1[4] = 2, [28], [];
    /// Debug architecture v8
    DFR0[0] = 6, [], [];
    /// AES, PMULL
    ISAR0[4] = 2, [3, 4], [];
    /// SHA1
    ISAR0[8] = 1, [5], [];
    /// SHA2, SHA512
    ISAR0[12] = 2, [6, 21], [];
    /// CRC32
    ISAR0[16] = 1, [7], [];
    /// ATOMICS
    ISAR0[20] = 2, [8], [];
    /// ASIMDRDM
    ISAR0[28] = 1, [12], [];
    /// SHA3
    ISAR0[32] = 1, [17], [];
    /// ASIMDDP
    ISAR0[44] = 1, [20], [];
    /// ASIMDFHM
    ISAR0[48] = 1, [23], [];
    /// FLAGM, FLAGM2
    ISAR0[52] = 2, [27], [7];
    /// RNG
    ISAR0[60] = 1, [], [16];
    /// DCPOP, DCPODP
    ISAR1[0] = 2, [16], [0];
    /// JSCVT
    ISAR1[12] = 1, [13], [];
    /// FCMA
    ISAR1[16] = 1, [14], [];
    /// LRCPC, ILRCPC
    ISAR1[20] = 2, [15, 26], [];
    /// FRINT
    ISAR1[32] = 1, [], [8];
    /// SB
    ISAR1[36] = 1, [29], [];
    /// I8MM
    ISAR1[52] = 1, [], [13];
    /// MOPS
    ISAR2[16] = 1, [], [43];
    /// HBC
    ISAR2[20] = 1, [], [44];
    /// CSSC
    ISAR2[52] = 1, [], [34];
    /// No 64K granule, no 4K granule
    MMFR0[24] = 15, [], [];
    MMFR0[28] = 15, [], [];
    /// ECV: CNTVCTSS_EL0
    MMFR0[60] = 1, [], [19];
    /// USCAT
    MMFR2[32] = 1, [25], [];
}

/// HWCAP_CPUID: the ID registers may be read.
const HWCAP_CPUID: u64 = 1 << 11;

/// HWCAP of the auxiliary vector (Linux `asm/hwcap.h`).
pub fn hwcap() -> u64 {
    FEATURES.iter().fold(HWCAP_CPUID, |h, f| h | f.hwcap)
}

/// HWCAP2 of the auxiliary vector.
pub fn hwcap2() -> u64 {
    FEATURES.iter().fold(0, |h, f| h | f.hwcap2)
}

/// The identification register `S3_0_C0_C<crm>_<op2>` as Linux lets EL0 read it: features that are not
/// there and registers without a name read as zero; `None` where Linux emulates nothing.
pub fn id_register(crm: u8, op2: u8) -> Option<u64> {
    match (crm, op2) {
        (0, 0) => Some(MIDR_EL1),
        (0, 5) => Some(MPIDR_EL1),
        (0, 6) => Some(0), // REVIDR_EL1
        (2..=7, _) => Some(FEATURES.iter().filter(|f| f.reg == (crm, op2)).fold(0, |v, f| v | f.value << f.field)),
        _ => None,
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
            assert_eq!(id_register(crm, op2), Some(value), "C{crm}_{op2}");
        }
        assert_eq!(id_register(0, 1), None);
        assert_eq!(id_register(1, 0), None);
    }

    #[test]
    fn each_hwcap_bit_comes_from_one_field() {
        let mut seen = (HWCAP_CPUID, 0);
        for f in FEATURES {
            assert_eq!((seen.0 & f.hwcap, seen.1 & f.hwcap2), (0, 0), "{:?}[{}]", f.reg, f.field);
            seen = (seen.0 | f.hwcap, seen.1 | f.hwcap2);
        }
        assert_eq!(seen, (hwcap(), hwcap2()));
        assert_eq!(hwcap(), 0x3fb3_fffb);
    }

    #[test]
    fn the_line_is_what_the_cache_registers_say() {
        assert_eq!(4 << (CTR_EL0 & 15), LINE);
        assert_eq!(4 << (CTR_EL0 >> 16 & 15), LINE);
        assert_eq!(4 << DCZID_EL0, LINE);
    }
}
