//! The processor that a guest sees: feature bits and identification registers, kept in one place so
//! that HWCAP, emulated ID registers and what we implement agree.

/// FPCR bits that change FP results: AHP, DN, FZ, RMode, FZ16.
pub const FPCR_MODES: u32 = 1 << 26 | 1 << 25 | 1 << 24 | 3 << 22 | 1 << 19;

/// Cache type: 64-byte lines; IDC and DIC clear, so that guests announce changed code by IC IVAU.
pub const CTR_EL0: u64 = 0x8444_c004;
/// DC ZVA zeroes 64 bytes.
pub const DCZID_EL0: u64 = 4;
/// HWCAP of the auxiliary vector (Linux `asm/hwcap.h`).
pub fn hwcap() -> u64 {
    let bits = [
        0,  // FP
        1,  // ASIMD
        3,  // AES
        4,  // PMULL
        5,  // SHA1
        6,  // SHA2
        7,  // CRC32
        8,  // ATOMICS
        9,  // FPHP
        10, // ASIMDHP
        11, // CPUID
        12, // ASIMDRDM
        13, // JSCVT
        14, // FCMA
        15, // LRCPC
        17, // SHA3
        20, // ASIMDDP
        21, // SHA512
        23, // ASIMDFHM
        24, // DIT
        25, // USCAT
        26, // ILRCPC
        27, // FLAGM
        28, // SSBS
        29, // SB
    ];
    bits.iter().fold(0, |h, b| h | 1 << b)
}

/// HWCAP2 of the auxiliary vector.
pub fn hwcap2() -> u64 {
    let bits = [
        7,  // FLAGM2
        8,  // FRINT
        13, // I8MM
        16, // RNG
        42, // MOPS (not implied by anything older)
        44, // CSSC
    ];
    bits.iter().fold(0, |h, b| h | 1 << b)
}
