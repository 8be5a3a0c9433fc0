//! AdvSIMD modified immediate (Arm ARM C4.1.96): constants, and bits set or cleared by one.

use jib_ir::ty::Lane;

use super::simd_shift::splat;
use super::{Lifted, Lifter};
use crate::field::{Imm, VReg};

/// The constant of `abcdefgh`, as `cmode` and `op` expand it (AdvSIMDExpandImm).
fn expand(op: bool, cmode: u32, imm8: u64) -> u128 {
    match cmode {
        0b0000..=0b0111 => splat(Lane::S, imm8 << (8 * (cmode >> 1))),
        0b1000..=0b1011 => splat(Lane::H, imm8 << (8 * (cmode >> 1 & 1))),
        0b1100 => splat(Lane::S, imm8 << 8 | 0xff),
        0b1101 => splat(Lane::S, imm8 << 16 | 0xffff),
        0b1110 if op => splat(Lane::D, byte_mask(imm8)),
        0b1110 => splat(Lane::B, imm8),
        _ if op => splat(Lane::D, fp_imm(Lane::D, imm8)),
        _ => splat(Lane::S, fp_imm(Lane::S, imm8)),
    }
}

/// A byte of ones for each bit.
fn byte_mask(imm8: u64) -> u64 {
    (0..8).filter(|i| imm8 >> i & 1 != 0).fold(0, |m, i| m | 0xff << (8 * i))
}

/// The FP number of width `lane` that `imm8` stands for (VFPExpandImm): sign, exponent of three bits, fraction
/// of four.
fn fp_imm(lane: Lane, imm8: u64) -> u64 {
    let (bits, exponent) = match lane {
        Lane::D => (64, 11),
        Lane::S => (32, 8),
        _ => (16, 5),
    };
    let b = imm8 >> 6 & 1;
    let repeated = if b == 1 { (1 << (exponent - 3)) - 1 } else { 0 };
    let exp = (b ^ 1) << (exponent - 1) | repeated << 2 | imm8 >> 4 & 3;
    (imm8 >> 7) << (bits - 1) | exp << (bits - 1 - exponent) | (imm8 & 15) << (bits - 5 - exponent)
}

/// MOVI, MVNI, ORR and BIC (immediate), FMOV (vector, immediate)
pub(crate) fn modified_imm(
    l: &mut Lifter,
    q: bool,
    op: bool,
    abc: Imm<3>,
    cmode: Imm<4>,
    defgh: Imm<5>,
    rd: VReg,
) -> Lifted {
    let (cmode, imm8) = (cmode.0, abc.zext() << 5 | defgh.zext());
    if cmode == 0b1111 && op && !q {
        return Lifted::Undefined;
    }
    let active = if q { u128::MAX } else { u64::MAX as u128 };
    let imm = expand(op, cmode, imm8);
    let r = if cmode < 0b1100 && cmode & 1 == 1 {
        let d = l.v(rd);
        if op {
            let m = l.vimm(!imm & active);
            l.vand(d, m)
        } else {
            let m = l.vimm(imm);
            let r = l.vor(d, m);
            l.vzero_hi(if q { 16 } else { 8 }, r)
        }
    } else {
        let inverted = op && cmode < 0b1110;
        l.vimm(if inverted { !imm } else { imm } & active)
    };
    l.set_v(rd, r);
    Lifted::Next
}

/// FMOV (vector, immediate), half precision
pub(crate) fn fmov_imm_half(l: &mut Lifter, q: bool, abc: Imm<3>, defgh: Imm<5>, rd: VReg) -> Lifted {
    let imm8 = abc.zext() << 5 | defgh.zext();
    let r = l.vimm(splat(Lane::H, fp_imm(Lane::H, imm8)));
    l.set_vq(rd, q, r);
    Lifted::Next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floating_point_immediates() {
        assert_eq!(fp_imm(Lane::H, 0x70), 0x3c00);
        assert_eq!(fp_imm(Lane::S, 0x70), 0x3f80_0000);
        assert_eq!(fp_imm(Lane::D, 0x70), 1.0f64.to_bits());
        assert_eq!(fp_imm(Lane::D, 0xff), (-1.9375f64).to_bits());
        assert_eq!(fp_imm(Lane::S, 0x00), 2.0f32.to_bits().into());
        assert_eq!(fp_imm(Lane::S, 0x3f), 31.0f32.to_bits().into());
    }

    #[test]
    fn expansions() {
        assert_eq!(expand(false, 0b0110, 0xab), splat(Lane::S, 0xab00_0000));
        assert_eq!(expand(false, 0b1010, 0xab), splat(Lane::H, 0xab00));
        assert_eq!(expand(false, 0b1101, 0xab), splat(Lane::S, 0x00ab_ffff));
        assert_eq!(expand(true, 0b1110, 0b1000_0001), splat(Lane::D, 0xff00_0000_0000_00ff));
        assert_eq!(expand(false, 0b1110, 0xab), u128::from_le_bytes([0xab; 16]));
    }
}
