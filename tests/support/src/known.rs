//! What is not compared, and why. Short, explicit and printed: nothing is left out silently.

use crate::case::Stop;

/// Words that are not run in the oracle.
pub struct Excluded {
    /// Bits that tell.
    pub mask: u32,
    /// What they are.
    pub value: u32,
    /// Why.
    pub reason: &'static str,
}

/// Words that end in the outside world or read what differs between any two machines.
pub const EXCLUDED: &[Excluded] = &[
    Excluded { mask: 0xffe0_001f, value: 0xd400_0001, reason: "SVC: a system call of the oracle process" },
    Excluded { mask: 0xffff_ffff, value: 0xd45e_0000, reason: "HLT #0xf000: qemu's semihosting" },
    Excluded { mask: 0xffff_f000, value: 0xd538_0000, reason: "ID registers: another processor" },
    Excluded { mask: 0xffff_ff80, value: 0xd53b_0000, reason: "CTR_EL0, DCZID_EL0: another processor" },
    Excluded { mask: 0xffff_ffc0, value: 0xd53b_2400, reason: "RNDR, RNDRRS: random" },
    Excluded { mask: 0xffff_ff00, value: 0xd53b_e000, reason: "counters: time" },
    Excluded { mask: 0xffff_ffe0, value: 0xd50b_7420, reason: "DC ZVA: 512 bytes there, 64 here (own test)" },
    Excluded { mask: 0xfe40_0000, value: 0x6800_0000, reason: "STGP: qemu has MTE" },
    Excluded { mask: 0xffff_ffe0, value: 0xd53b_9e00, reason: "PMUSERENR_EL0: qemu has a PMU" },
    Excluded { mask: 0xffff_ffe0, value: 0xd533_0100, reason: "MDCCSR_EL0: Linux has it trapped" },
    Excluded { mask: 0xffff_f0ff, value: 0xd503_409f, reason: "MSR TCO: qemu has MTE" },
    Excluded { mask: 0xffdf_ffe0, value: 0xd51b_42e0, reason: "MSR TCO: qemu has MTE" },
    Excluded { mask: 0xffff_f0e0, value: 0xd50b_7060, reason: "DC of tags: qemu has MTE" },
    Excluded { mask: 0xffff_f0c0, value: 0xd50b_7080, reason: "DC of tags: qemu has MTE" },
    Excluded { mask: 0xffff_ffe0, value: 0xd53b_9e00, reason: "PMUSERENR_EL0: qemu has a PMU" },
    Excluded { mask: 0xffff_ffe0, value: 0xd533_0100, reason: "MDCCSR_EL0: Linux has it trapped" },
    Excluded { mask: 0xffff_f0ff, value: 0xd503_409f, reason: "MSR TCO, #imm: qemu has MTE" },
    Excluded { mask: 0xffff_fc00, value: 0x1e63_4000, reason: "BF16: qemu has it, we do not" },
    Excluded { mask: 0xbfff_fc00, value: 0x0ea1_6800, reason: "BF16: qemu has it, we do not" },
    Excluded { mask: 0xffe0_fc00, value: 0x6e40_ec00, reason: "BF16: qemu has it, we do not" },
    Excluded { mask: 0xbf60_fc00, value: 0x2e40_fc00, reason: "BF16: qemu has it, we do not" },
    Excluded { mask: 0xbf40_f400, value: 0x0f40_f000, reason: "BF16: qemu has it, we do not" },
];

/// Features that qemu 7.2 lacks: it calls their words undefined. Own unit tests check them.
pub const LACKING: &[Excluded] = &[
    Excluded { mask: 0x7fff_fc00, value: 0x5ac0_1800, reason: "CSSC: CTZ" },
    Excluded { mask: 0x7fff_fc00, value: 0x5ac0_1c00, reason: "CSSC: CNT" },
    Excluded { mask: 0x7fff_fc00, value: 0x5ac0_2000, reason: "CSSC: ABS" },
    Excluded { mask: 0x7fe0_f000, value: 0x1ac0_6000, reason: "CSSC: SMAX, UMAX, SMIN, UMIN (register)" },
    Excluded { mask: 0x7ff0_0000, value: 0x11c0_0000, reason: "CSSC: SMAX, UMAX, SMIN, UMIN (immediate)" },
    Excluded { mask: 0x3b20_0c00, value: 0x1900_0400, reason: "MOPS: CPYF*, CPY*, SET*" },
    Excluded { mask: 0xff00_0010, value: 0x5400_0010, reason: "HBC: BC.cond" },
    Excluded { mask: 0xffff_fee0, value: 0xd50b_7c20, reason: "DPB: DC CVAP, DC CVADP (qemu's user mode)" },
    Excluded { mask: 0xffff_ffe0, value: 0xd50b_7c20, reason: "DC CVAP: only in system mode" },
    Excluded { mask: 0xffff_ffe0, value: 0xd50b_7d20, reason: "DC CVADP: only in system mode" },
];

/// Instructions at which qemu 7.2 departs from the architecture. `fpcr` is the mode in which it does (0: any).
pub struct Wrong {
    /// Bits that tell.
    pub mask: u32,
    /// What they are.
    pub value: u32,
    /// Only when one of these FPCR bits is set; 0 for always.
    pub fpcr: u32,
    /// What the Arm ARM says.
    pub reason: &'static str,
}

/// Proved by the Arm ARM's pseudocode; each row with the sentence.
pub const QEMU_WRONG: &[Wrong] = &[
    // Advanced SIMD modified immediate: "cmode 1111, op 1, o2 1: Unallocated"; qemu takes it for FMOV 2D.
    Wrong { mask: 0xbff8_fc00, value: 0x2f00_fc00, fpcr: 0, reason: "FMOV (vector, immediate) with o2: unallocated" },
    // FPCR.Len and Stride: "no function in AArch64"; qemu keeps them for AArch32, which we do not have.
    Wrong { mask: 0xffff_ffe0, value: 0xd51b_4400, fpcr: 0, reason: "MSR FPCR: Len and Stride are kept" },
    // CASP: "X[s+1] = ..." with s = 30 is a write to XZR; qemu writes SP.
    Wrong { mask: 0xbfbf_7c00, value: 0x083e_7c00, fpcr: 0, reason: "CASP of X30 and XZR" },
    // FPToFixedJS: "elsif sign == '0' && value == 0.0 && !IsZero(op<51:0>) then Z = '0'": flushed inputs too.
    Wrong { mask: 0xffff_fc00, value: 0x1e7e_0000, fpcr: 1 << 24, reason: "FJCVTZS of a flushed denormal" },
    // FADDP, FMAXNMP and the like (scalar, half): "if sz == '1' then UNDEFINED".
    Wrong { mask: 0xff7e_0c00, value: 0x5e70_0800, fpcr: 0, reason: "FP16 scalar pairwise with sz = 1" },
    // FMAXNMV and the like (half): bit 22 is 0.
    Wrong { mask: 0xbf7e_0c00, value: 0x0e70_0800, fpcr: 0, reason: "FP16 across lanes with bit 22 set" },
    // Advanced SIMD scalar two-register miscellaneous FP16: U = 1, a = 1, opcode 11111 is unallocated.
    Wrong { mask: 0xffff_fc00, value: 0x7ef9_f800, fpcr: 0, reason: "FSQRT (scalar, FP16) in the SIMD table" },
    Wrong { mask: 0xffff_fc00, value: 0x7ef8_f800, fpcr: 0, reason: "FSQRT (scalar, FP16) in the SIMD table" },
    // FCVTZS (fixed, scalar, half) writes 16 bits and zeroes the rest; qemu sign-extends to 32 bits.
    Wrong { mask: 0xfff0_fc00, value: 0x5f10_fc00, fpcr: 0, reason: "FCVTZS Hd, Hn, #n: sign in bits 31:16" },
];

/// Why two outcomes of `word` differ in alignment faults, where qemu 7.2 has no FEAT_LSE2.
pub fn alignment(word: u32, ours: Stop, theirs: Stop) -> Option<&'static str> {
    let ordered = word & 0x3fa0_0000 == 0x0880_0000 || word & 0x3f20_0c00 == 0x1900_0000;
    let atomic = word & 0x3fa0_7c00 == 0x08a0_7c00 || word & 0x3f20_0c00 == 0x3820_0000;
    let ldapr = word & 0x3fff_fc00 == 0x38bf_c000;
    match (ours, theirs) {
        (Stop::Alignment, _) if ldapr => Some("LDAPR: qemu does not check its alignment"),
        (ours, Stop::Alignment) if ours != Stop::Alignment && (ordered || atomic) => {
            Some("LSE2: not aligned, but within 16 bytes")
        }
        _ => None,
    }
}

/// The reason not to compare `word`, if there is one.
pub fn excluded(word: u32) -> Option<&'static str> {
    EXCLUDED.iter().find(|e| word & e.mask == e.value).map(|e| e.reason)
}

/// The feature of `word` that the oracle lacks.
pub fn lacking(word: u32) -> Option<&'static str> {
    LACKING.iter().find(|e| word & e.mask == e.value).map(|e| e.reason)
}

/// Why a difference at `word` under `fpcr` is qemu's.
pub fn qemu_wrong(word: u32, fpcr: u32) -> Option<&'static str> {
    let applies = |w: &Wrong| word & w.mask == w.value && (w.fpcr == 0 || fpcr & w.fpcr != 0);
    QEMU_WRONG.iter().find(|w| applies(w)).map(|w| w.reason)
}
