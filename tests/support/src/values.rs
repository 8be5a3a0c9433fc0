//! Operand values that find bugs: edges of integers, and every class of floating-point number.

use crate::random::Random;

/// An integer of `bits` bits, often an edge.
pub fn int(r: &mut Random, bits: u32) -> u64 {
    let mask = u64::MAX >> (64 - bits);
    let top = 1u64 << (bits - 1);
    let v = match r.below(12) {
        0 => 0,
        1 => 1,
        2 => mask,
        3 => top,
        4 => top - 1,
        5 => r.below(64),
        6 => r.below(64).wrapping_neg(),
        7 => 1 << r.below(bits as u64),
        8 => (1u64 << r.below(bits as u64)).wrapping_sub(1 + r.below(2)),
        _ => r.u64(),
    };
    v & mask
}

/// A general register: a 64-bit value, now and then made of 32-bit edges.
pub fn general(r: &mut Random) -> u64 {
    if r.chance(40) { int(r, 32) | int(r, 32) << 32 } else { int(r, 64) }
}

/// A floating-point number of `bits` bits (16, 32, 64) of any class.
pub fn float(r: &mut Random, bits: u32) -> u64 {
    let (exp_bits, man_bits) = match bits {
        16 => (5, 10),
        32 => (8, 23),
        _ => (11, 52),
    };
    let exp_max = (1u64 << exp_bits) - 1;
    let man_max = (1u64 << man_bits) - 1;
    let bias = exp_max / 2;
    let (exp, man) = match r.below(16) {
        0 => (0, 0),
        1 => (exp_max, 0),
        2 => (exp_max, r.u64() & man_max >> 1 | 1),
        3 => (exp_max, r.u64() | 1 << (man_bits - 1)),
        4 => (0, r.u64()),
        5 => (0, 1 + r.below(2)),
        6 => (0, man_max),
        7 => (1 + r.below(2), r.u64() & r.u64()),
        8 => (exp_max - 1 - r.below(2), if r.chance(50) { man_max } else { r.u64() }),
        9 => (bias, 0),
        // Near the edges of integers, with halves and sticky bits.
        10 => (bias + r.pick(&[7, 8, 15, 16, 30, 31, 32, 62, 63, 64]), r.u64() & r.u64() & r.u64()),
        11 => (bias + man_bits - 2 + r.below(4), r.u64()),
        12 => (bias - 2 + r.below(5), r.u64() & r.u64()),
        13 => (bias - man_bits / 2 + r.below(man_bits), r.u64()),
        _ => (r.below(exp_max), r.u64()),
    };
    (r.u64() & 1) << (bits - 1) | (exp & exp_max) << man_bits | man & man_max
}

/// A vector: lanes of one width, integers or floating-point numbers, or plain noise.
pub fn vector(r: &mut Random) -> u128 {
    let bits = r.pick(&[8u32, 16, 16, 32, 32, 32, 64, 64, 64]);
    let kind = r.below(10);
    let mut v = 0u128;
    for at in (0..128).step_by(bits as usize) {
        let lane = match kind {
            0..=5 if bits > 8 => float(r, bits),
            0..=8 => int(r, bits),
            _ => r.u64() & u64::MAX >> (64 - bits),
        };
        v |= (lane as u128) << at;
    }
    v
}

/// FPCR: reset in half of the cases, else any mix of AHP, DN, FZ, RMode, FZ16.
pub fn fpcr(r: &mut Random) -> u32 {
    if r.chance(50) {
        return 0;
    }
    let mode = r.u32() & 3 << 22;
    let rare = r.u32() & (1 << 26 | 1 << 19);
    mode | rare | r.u32() & (1 << 25 | 1 << 24)
}
