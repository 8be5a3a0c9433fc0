//! Guest state as the IR sees it: an array of 64-bit words, some with a fixed meaning.

use crate::eval::flags;

/// Number of 64-bit words in a guest state.
pub const STATE_WORDS: usize = 384;

/// A place in the guest state: the index of its first 64-bit word.
///
/// An `I64` takes one word, an `I32` the low half of one (the upper half is then unspecified and
/// must not be read), a `V128` two words (16-byte aligned), `Flags` three (see [`State::nzcv`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Slot(pub u16);

impl Slot {
    /// Byte offset from the start of the state.
    pub const fn offset(self) -> i32 {
        self.0 as i32 * 8
    }
}

/// Slots whose meaning the IR itself relies on. Frontends place their registers in the rest.
pub mod slot {
    use super::Slot;
    /// General registers: words 0 to 31 (31 is the stack pointer).
    pub const X0: Slot = Slot(0);
    /// The stack pointer.
    pub const SP: Slot = Slot(31);
    /// Vector registers: 32 pairs of words.
    pub const V0: Slot = Slot(32);
    /// Guest program counter; exact whenever the guest state can be looked at.
    pub const PC: Slot = Slot(96);
    /// Flags, three words: kind ([`super::FlagsKind`]), a, b.
    pub const FLAGS: Slot = Slot(97);
    /// FP control, bits as AArch64's FPCR.
    pub const FPCR: Slot = Slot(100);
    /// FP status, bits as AArch64's FPSR.
    pub const FPSR: Slot = Slot(101);
    /// Address of the exclusive monitor; `u64::MAX` when open.
    pub const EXCL_ADDR: Slot = Slot(102);
    /// User-mode thread pointer.
    pub const TPIDR: Slot = Slot(103);
    /// Value that the exclusive load saw (128 bits).
    pub const EXCL_VAL: Slot = Slot(104);
    /// Read-only user thread pointer.
    pub const TPIDRRO: Slot = Slot(106);
    /// Non-zero asks running code to leave at its next poll.
    pub const EXIT_REQUEST: Slot = Slot(107);
    /// Other user-visible mode bits (PSTATE.DIT, PSTATE.SSBS and the like), at their PSTATE places.
    pub const PSTATE: Slot = Slot(108);
    /// Size of the access that armed the exclusive monitor, in bytes.
    pub const EXCL_SIZE: Slot = Slot(109);
    /// First of 16 scratch words for compiled code.
    pub const SCRATCH: Slot = Slot(112);
    /// First of 32 words that belong to the backend (table bases, stub addresses).
    pub const BACKEND: Slot = Slot(128);
    /// First word free for a frontend's own use (system registers); up to [`SPILL`].
    pub const GUEST: Slot = Slot(160);
    /// First of 64 words where the backend keeps values that found no host register; up to the end.
    pub const SPILL: Slot = Slot(320);
}

/// How the three words of the flags slot are to be read.
///
/// There are short forms, of fewer words: beside the kind, the first one may hold the first operand of 32 bits (with
/// [`FIRST_ABOVE`]), and a small second one (with [`SECOND_INSIDE`]). What remains comes in the next word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[repr(u64)]
pub enum FlagsKind {
    /// `a` holds NZCV in bits 31:28.
    Packed = 0,
    /// Flags of the 32-bit `a + b`.
    Add32 = 1,
    /// Flags of the 64-bit `a + b`.
    Add64 = 2,
    /// Flags of the 32-bit `a - b`.
    Sub32 = 3,
    /// Flags of the 64-bit `a - b`.
    Sub64 = 4,
    /// N and Z of the 32-bit `a`, C and V clear.
    Logic32 = 5,
    /// N and Z of the 64-bit `a`, C and V clear.
    Logic64 = 6,
}

/// In the first word of flags: its upper half is the first operand.
pub const FIRST_ABOVE: u32 = 1 << 8;
/// In the first word of flags: bits 29:10 are the second operand.
pub const SECOND_INSIDE: u32 = 1 << 9;
/// The first number too large for there.
pub const INSIDE: u64 = 1 << 20;

/// The kind and operands that flag words tell of.
#[inline]
pub const fn flag_words(words: [u64; 3]) -> [u64; 3] {
    let [first, second, _] = words;
    let (above, inside) = (first as u32 & FIRST_ABOVE != 0, first as u32 & SECOND_INSIDE != 0);
    match (above, inside) {
        (false, false) => words,
        (true, false) => [first & 7, first >> 32, second],
        (true, true) => [first & 7, first >> 32, first >> 10 & (INSIDE - 1)],
        (false, true) => [first & 7, second, first >> 10 & (INSIDE - 1)],
    }
}

/// The guest state of one hardware thread.
#[derive(Clone)]
#[repr(C, align(64))]
pub struct State(pub [u64; STATE_WORDS]);

impl Default for State {
    fn default() -> Self {
        let mut s = State([0; STATE_WORDS]);
        s.set(slot::EXCL_ADDR, u64::MAX);
        s
    }
}

impl State {
    /// Reads a 64-bit slot.
    #[inline]
    pub fn get(&self, s: Slot) -> u64 {
        self.0[s.0 as usize]
    }
    /// Writes a 64-bit slot.
    #[inline]
    pub fn set(&mut self, s: Slot, v: u64) {
        self.0[s.0 as usize] = v;
    }
    /// Reads a 128-bit slot.
    #[inline]
    pub fn get128(&self, s: Slot) -> u128 {
        let i = s.0 as usize;
        self.0[i] as u128 | (self.0[i + 1] as u128) << 64
    }
    /// Writes a 128-bit slot.
    #[inline]
    pub fn set128(&mut self, s: Slot, v: u128) {
        let i = s.0 as usize;
        self.0[i] = v as u64;
        self.0[i + 1] = (v >> 64) as u64;
    }
    /// General register `n` (31 is SP).
    #[inline]
    pub fn x(&self, n: usize) -> u64 {
        self.0[n]
    }
    /// Sets general register `n` (31 is SP).
    #[inline]
    pub fn set_x(&mut self, n: usize, v: u64) {
        self.0[n] = v;
    }
    /// Vector register `n`.
    #[inline]
    pub fn v(&self, n: usize) -> u128 {
        self.get128(Slot(slot::V0.0 + 2 * n as u16))
    }
    /// Sets vector register `n`.
    #[inline]
    pub fn set_v(&mut self, n: usize, v: u128) {
        self.set128(Slot(slot::V0.0 + 2 * n as u16), v);
    }
    /// The program counter.
    #[inline]
    pub fn pc(&self) -> u64 {
        self.get(slot::PC)
    }
    /// Sets the program counter.
    #[inline]
    pub fn set_pc(&mut self, pc: u64) {
        self.set(slot::PC, pc);
    }
    /// NZCV in bits 31:28, computed from the lazy form if need be.
    #[inline]
    pub fn nzcv(&self) -> u32 {
        let i = slot::FLAGS.0 as usize;
        let [kind, a, b] = flag_words([self.0[i], self.0[i + 1], self.0[i + 2]]);
        match kind {
            1 => flags::add32(a as u32, b as u32),
            2 => flags::add64(a, b),
            3 => flags::sub32(a as u32, b as u32),
            4 => flags::sub64(a, b),
            5 => flags::logic32(a as u32),
            6 => flags::logic64(a),
            _ => a as u32 & 0xf000_0000,
        }
    }
    /// Sets NZCV from bits 31:28 of `nzcv`.
    #[inline]
    pub fn set_nzcv(&mut self, nzcv: u32) {
        let i = slot::FLAGS.0 as usize;
        self.0[i] = FlagsKind::Packed as u64;
        self.0[i + 1] = (nzcv & 0xf000_0000) as u64;
    }
    /// FPCR.
    #[inline]
    pub fn fpcr(&self) -> u32 {
        self.get(slot::FPCR) as u32
    }
    /// FPSR as kept in memory (running compiled code may hold newer bits in the host's MXCSR).
    #[inline]
    pub fn fpsr(&self) -> u32 {
        self.get(slot::FPSR) as u32
    }
}
