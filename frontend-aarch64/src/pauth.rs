//! Pointer authentication (FEAT_PAuth): what the codes are, and where they go in a pointer.

use jib_ir::state::State;

use crate::system::state::{SCTLR, TCR, key};

/// A key by its number in [`key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Key {
    Ia = 0,
    Ib = 1,
    Da = 2,
    Db = 3,
    Ga = 4,
}

impl Key {
    pub(crate) const fn from_number(n: u64) -> Key {
        match n {
            0 => Key::Ia,
            1 => Key::Ib,
            2 => Key::Da,
            3 => Key::Db,
            _ => Key::Ga,
        }
    }

    const fn is_data(self) -> bool {
        matches!(self, Key::Da | Key::Db)
    }

    /// The bit of SCTLR_EL1 that makes instructions with this key do something.
    pub(crate) const fn enable(self) -> u64 {
        match self {
            Key::Ia => 1 << 31,
            Key::Ib => 1 << 30,
            Key::Da => 1 << 27,
            Key::Db => 1 << 13,
            Key::Ga => 0,
        }
    }

    fn halves(self, state: &State) -> [u64; 2] {
        [state.get(key(self as u16, 1)), state.get(key(self as u16, 0))]
    }
}

/// TCR_EL1: top byte ignored, for both halves, and the same only for data.
const TBI: [u64; 2] = [1 << 37, 1 << 38];
const TBID: [u64; 2] = [1 << 51, 1 << 52];

/// Where the code is in a pointer whose bit 55 is `upper`.
#[derive(Clone, Copy)]
struct Layout {
    /// The lowest bit of it.
    bottom: u32,
    /// Bits 63:56 are no part of it.
    tagged: bool,
}

impl Layout {
    fn of(state: &State, upper: bool, data: bool) -> Layout {
        let tcr = state.get(TCR);
        let i = usize::from(upper);
        let size = (tcr >> (16 * i) & 0x3f).clamp(16, 39) as u32;
        let tagged = tcr & TBI[i] != 0 && (data || tcr & TBID[i] == 0);
        Layout { bottom: 64 - size, tagged }
    }

    /// Bits that hold the code: bit 55 tells the half instead.
    const fn mask(self) -> u64 {
        let low = !0u64 << self.bottom & !(1 << 55);
        if self.tagged { low & ((1 << 55) - 1) } else { low }
    }

    /// `ptr` with the code's bits (and bit 55) as those of a proper address of the half.
    const fn extended(self, ptr: u64, upper: bool) -> u64 {
        let all = self.mask() | 1 << 55;
        if upper { ptr | all } else { ptr & !all }
    }
}

/// PACIA and its like.
pub(crate) fn sign(state: &State, key: Key, ptr: u64, modifier: u64) -> u64 {
    if state.get(SCTLR) & key.enable() == 0 {
        return ptr;
    }
    let tcr = state.get(TCR);
    let counts = |i: usize| tcr & TBI[i] != 0 && (key.is_data() || tcr & TBID[i] == 0);
    let upper = if counts(0) || counts(1) { ptr >> 55 & 1 == 1 } else { ptr >> 63 == 1 };
    let layout = Layout::of(state, upper, key.is_data());
    let extended = layout.extended(ptr, upper);
    let mut code = code_of(extended, modifier, key.halves(state));
    // A pointer that was none gets a code that will not do.
    let top = if layout.tagged { 55 } else { 63 };
    let extension = ((ptr << (63 - top)) as i64) >> (63 - top) >> layout.bottom;
    if extension != 0 && extension != -1 {
        code ^= 1 << (top - 1);
    }
    let mask = layout.mask();
    extended & !mask | code & mask
}

/// AUTIA and its like: the pointer without its code, or one that cannot be used.
pub(crate) fn authenticate(state: &State, key: Key, ptr: u64, modifier: u64) -> u64 {
    if state.get(SCTLR) & key.enable() == 0 {
        return ptr;
    }
    let upper = ptr >> 55 & 1 == 1;
    let layout = Layout::of(state, upper, key.is_data());
    let original = layout.extended(ptr, upper);
    let code = code_of(original, modifier, key.halves(state));
    if (code ^ ptr) & layout.mask() == 0 {
        return original;
    }
    let error = if matches!(key, Key::Ia | Key::Da) { 0b01 } else { 0b10 };
    let at = if layout.tagged { 53 } else { 61 };
    original & !(3 << at) | error << at
}

/// XPACI, XPACD.
pub(crate) fn strip(state: &State, ptr: u64, data: bool) -> u64 {
    let upper = ptr >> 55 & 1 == 1;
    Layout::of(state, upper, data).extended(ptr, upper)
}

/// PACGA.
pub(crate) fn generic(state: &State, value: u64, modifier: u64) -> u64 {
    code_of(value, modifier, Key::Ga.halves(state)) & 0xffff_ffff_0000_0000
}

/// Gives a Linux process keys (ten words, as in [`crate::system::state::KEYS`]), and enables all: addresses of 48 bits,
/// with tags.
pub fn begin(state: &mut State, keys: &[u64; 10]) {
    keys.iter().enumerate().for_each(|(i, k)| state.set(key(i as u16 / 2, i as u16 % 2), *k));
    state.set(SCTLR, ENABLED.iter().fold(0, |bits, k| bits | k.enable()));
    state.set(TCR, TBI[0] | 16);
}

/// Keys that can be enabled, in the order of `PR_PAC_AP*KEY`.
const ENABLED: [Key; 4] = [Key::Ia, Key::Ib, Key::Da, Key::Db];

/// Those that are, as a mask of `PR_PAC_AP*KEY`.
pub fn enabled(state: &State) -> u64 {
    let sctlr = state.get(SCTLR);
    (0..4).filter(|i| sctlr & ENABLED[*i].enable() != 0).fold(0, |mask, i| mask | 1 << i)
}

/// Enables or disables the keys of `mask`.
pub fn enable(state: &mut State, mask: u64, on: u64) {
    for (i, key) in ENABLED.iter().enumerate().filter(|(i, _)| mask >> i & 1 == 1) {
        let rest = state.get(SCTLR) & !key.enable();
        state.set(SCTLR, rest | if on >> i & 1 == 1 { key.enable() } else { 0 });
    }
}

/// The bits of a code in addresses of the lower half, for debuggers: data, code.
pub fn masks(state: &State) -> [u64; 2] {
    [true, false].map(|data| Layout::of(state, false, data).mask())
}

/// The code of a value: the algorithm that the architecture leaves to implementations. Whoever does not know the key
/// has to guess; it is no cipher, and needs a few nanoseconds.
fn code_of(value: u64, modifier: u64, [a, b]: [u64; 2]) -> u64 {
    const ODD: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93];
    let folded = |x: u64, y: u64| {
        let product = u128::from(x) * u128::from(y);
        product as u64 ^ (product >> 64) as u64
    };
    folded(folded(value ^ a, ODD[0]) ^ modifier.rotate_left(32) ^ b, ODD[1] ^ a)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each bit of value, modifier and key changes each bit of the code about every other time.
    #[test]
    fn codes_depend_on_everything() {
        let (mut changed, mut seed) = ([0u32; 64], 1u64);
        let mut random = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed ^ seed >> 29
        };
        const ROUNDS: u32 = 16;
        for _ in 0..ROUNDS {
            let input: [u64; 4] = std::array::from_fn(|_| random());
            let code = |w: [u64; 4]| code_of(w[0], w[1], [w[2], w[3]]);
            for bit in 0..256 {
                let mut other = input;
                other[bit / 64] ^= 1 << (bit % 64);
                let difference = code(input) ^ code(other);
                assert_ne!(difference, 0, "bit {bit}");
                changed.iter_mut().enumerate().for_each(|(i, n)| *n += (difference >> i & 1) as u32);
            }
        }
        let (most, least) = (changed.iter().max().copied(), changed.iter().min().copied());
        assert!(least >= Some(ROUNDS * 256 / 3) && most <= Some(ROUNDS * 256 * 2 / 3), "{changed:?}");
    }

    fn process() -> State {
        let mut s = State::default();
        let keys = std::array::from_fn(|i| 0x1234_5678_9abc_def0 << i);
        begin(&mut s, &keys);
        s
    }

    #[test]
    fn signed_pointers_come_back_and_others_do_not() {
        let s = process();
        let ptr = 0x5a00_7fff_1234_5678;
        for key in [Key::Ia, Key::Ib, Key::Da, Key::Db] {
            let signed = sign(&s, key, ptr, 99);
            assert_eq!(signed & !(0x7f << 48), ptr, "only the code's bits change");
            assert_eq!(authenticate(&s, key, signed, 99), ptr);
            assert_eq!(strip(&s, signed, key.is_data()), ptr);
            let bad = authenticate(&s, key, signed ^ 1 << 50, 99);
            let code = if matches!(key, Key::Ia | Key::Da) { 0b01 } else { 0b10 };
            assert_eq!(bad, ptr | code << 53);
        }
        // What was no pointer does not become one.
        let broken = sign(&s, Key::Ia, ptr | 1 << 50, 99);
        assert_ne!(authenticate(&s, Key::Ia, broken, 99), ptr);
        assert_eq!(masks(&s), [0x7f << 48; 2]);
        assert_eq!(generic(&s, 1, 2) as u32, 0);
    }

    #[test]
    fn without_its_enable_bit_a_key_does_nothing() {
        let mut s = process();
        enable(&mut s, 0b1110, 0);
        assert_eq!(enabled(&s), 1);
        assert_eq!((sign(&s, Key::Ib, 7, 8), authenticate(&s, Key::Ib, 7, 8)), (7, 7));
        assert_ne!(sign(&s, Key::Ia, 7, 8), 7);
    }

    #[test]
    fn untagged_upper_addresses_have_the_code_in_the_top_byte_too() {
        let mut s = process();
        s.set(TCR, 16 | 16 << 16);
        let ptr = 0xffff_8000_0000_1000;
        let signed = sign(&s, Key::Ia, ptr, 1);
        assert_eq!((signed >> 55 & 1, signed & 0xffff_ffff_ffff), (1, ptr & 0xffff_ffff_ffff));
        assert_eq!((authenticate(&s, Key::Ia, signed, 1), strip(&s, signed, false)), (ptr, ptr));
        assert_eq!(authenticate(&s, Key::Ia, signed ^ 1 << 60, 1), ptr & !(3 << 61) | 1 << 61);
    }
}
