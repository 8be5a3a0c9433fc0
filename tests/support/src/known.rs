//! What is not compared, and why. Short, explicit and printed: nothing is left out silently.

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
];

/// Features that qemu 7.2 lacks: it calls their words undefined. Own unit tests check them.
pub const LACKING: &[Excluded] = &[
    Excluded { mask: 0x7fff_fc00, value: 0x5ac0_1800, reason: "CSSC: CTZ" },
    Excluded { mask: 0x7fff_fc00, value: 0x5ac0_1c00, reason: "CSSC: CNT" },
    Excluded { mask: 0x7fff_fc00, value: 0x5ac0_2000, reason: "CSSC: ABS" },
    Excluded { mask: 0x7fe0_f000, value: 0x1ac0_6000, reason: "CSSC: SMAX, UMAX, SMIN, UMIN (register)" },
    Excluded { mask: 0x7ff0_0000, value: 0x11c0_0000, reason: "CSSC: SMAX, UMAX, SMIN, UMIN (immediate)" },
    Excluded { mask: 0x3b20_0c00, value: 0x1900_0400, reason: "MOPS: CPYF*, CPY*, SET*" },
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
pub const QEMU_WRONG: &[Wrong] = &[];

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
