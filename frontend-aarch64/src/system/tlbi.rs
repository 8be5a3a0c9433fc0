//! What a TLBI instruction drops (Arm ARM C5.5, D8.17): EL1's forms, those by range and of the outer shareable domain
//! included.

use super::sysreg::Encoding;

/// Bytes that a page of the smallest granule has, as log2.
const PAGE_SHIFT: u32 = 12;

/// What is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    All,
    /// What belongs to an ASID.
    Asid(u16),
    /// Translations of a stretch of addresses: the first one, and the number of pages of 4 KiB; those of one ASID and
    /// of all, or of any.
    Pages(u64, u64, Option<u16>),
    /// Nothing: the operand names no granule.
    Nothing,
}

/// A TLBI instruction with its operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlbi {
    /// What is dropped.
    pub scope: Scope,
    /// On every CPU (there is one shareable domain, inner and outer alike), or on this one.
    pub everyone: bool,
}

impl Tlbi {
    /// The instruction `encoding` (op1 0, CRn 8) with `operand` in its register; `None` if there is none.
    pub fn of(encoding: Encoding, operand: u64) -> Option<Tlbi> {
        let scope = match (encoding.crm(), encoding.op2()) {
            // VMALLE1
            (1 | 3 | 7, 0) => Scope::All,
            // ASIDE1
            (1 | 3 | 7, 2) => Scope::Asid((operand >> 48) as u16),
            // VAE1, VAAE1, VALE1, VAALE1
            (1 | 3 | 7, op2 @ (1 | 3 | 5 | 7)) => {
                Scope::Pages(sign_extend(operand, 44) << PAGE_SHIFT, 1, asid(op2, operand))
            }
            // RVAE1, RVAAE1, RVALE1, RVAALE1
            (2 | 5 | 6, op2 @ (1 | 3 | 5 | 7)) => range(operand, asid(op2, operand)),
            _ => return None,
        };
        Some(Tlbi { scope, everyone: !matches!(encoding.crm(), 6 | 7) })
    }
}

/// The ASID in `operand`, if one is meant.
fn asid(op2: u16, operand: u64) -> Option<u16> {
    (op2 & 2 == 0).then_some((operand >> 48) as u16)
}

/// The operand of TLBI by range: ASID, TG, SCALE, NUM, TTL, BaseADDR.
fn range(operand: u64, asid: Option<u16>) -> Scope {
    let shift = match operand >> 46 & 3 {
        0 => return Scope::Nothing,
        1 => 12,
        2 => 14,
        _ => 16,
    };
    let (scale, num) = (operand >> 44 & 3, operand >> 39 & 31);
    let granules = (num + 1) << (5 * scale + 1);
    Scope::Pages(sign_extend(operand, 37) << shift, granules << (shift - PAGE_SHIFT), asid)
}

/// The low `bits` bits of `v`, the others copies of the highest of them.
fn sign_extend(v: u64, bits: u32) -> u64 {
    ((v << (64 - bits)) as i64 >> (64 - bits)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tlbi(crm: u16, op2: u16, operand: u64) -> Option<Tlbi> {
        Tlbi::of(Encoding::new(1, 0, 8, crm, op2), operand)
    }

    #[test]
    fn each_form_and_who_obeys() {
        for (crm, everyone) in [(1, true), (3, true), (7, false)] {
            assert_eq!(tlbi(crm, 0, 5), Some(Tlbi { scope: Scope::All, everyone }));
            assert_eq!(tlbi(crm, 2, 7 << 48 | 5), Some(Tlbi { scope: Scope::Asid(7), everyone }));
            for (op2, asid) in [(1, Some(9)), (3, None), (5, Some(9)), (7, None)] {
                let upper = Scope::Pages(0xffff_8000_0000_0000, 1, asid);
                assert_eq!(tlbi(crm, op2, 9 << 48 | 0xff8_0000_0000), Some(Tlbi { scope: upper, everyone }));
            }
            assert_eq!((tlbi(crm, 4, 0), tlbi(crm, 6, 0)), (None, None));
        }
        let one = 1 << 46 | 0x12;
        for (crm, everyone) in [(2, true), (5, true), (6, false)] {
            for (op2, asid) in [(1, Some(9)), (3, None), (5, Some(9)), (7, None)] {
                let scope = Scope::Pages(0x12000, 2, asid);
                assert_eq!(tlbi(crm, op2, 9 << 48 | one), Some(Tlbi { scope, everyone }));
            }
            assert_eq!((tlbi(crm, 0, one), tlbi(crm, 2, one)), (None, None));
        }
        assert_eq!((tlbi(0, 0, 0), tlbi(4, 1, 0)), (None, None));
    }

    #[test]
    fn ranges_grow_with_scale_and_granule() {
        let pages = |operand| tlbi(2, 3, operand).map(|t| t.scope);
        assert_eq!(pages(0x12), Some(Scope::Nothing));
        assert_eq!(pages(1 << 46 | 3 << 39 | 0x12), Some(Scope::Pages(0x12000, 8, None)));
        assert_eq!(pages(1 << 46 | 1 << 44 | 0x12), Some(Scope::Pages(0x12000, 64, None)));
        assert_eq!(pages(2 << 46 | 0x12), Some(Scope::Pages(0x48000, 8, None)));
        assert_eq!(pages(3 << 46 | 3 << 44 | 31 << 39 | 1), Some(Scope::Pages(0x10000, 32 << 20, None)));
        assert_eq!(pages(1 << 46 | 0x1f_8000_0000), Some(Scope::Pages(0xffff_f800_0000_0000, 2, None)));
    }
}
