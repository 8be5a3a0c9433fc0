//! Bit patterns: one string per encoding, parsed at compile time.
//!
//! `0` and `1` must match, `-` is ignored, spaces are for the eye, and a run of one letter is a field.
//! Fields are numbered from the most significant bit down and handed to the row's function in that order.

/// A parsed pattern: which bits are fixed, and where each field sits.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    /// Bits that must match.
    pub mask: u32,
    /// What they must be.
    pub value: u32,
    /// (shift, width) of each field.
    pub fields: [(u8, u8); MAX_FIELDS],
    /// Number of fields.
    pub nfields: usize,
}

/// Most fields a pattern may have.
pub const MAX_FIELDS: usize = 12;

impl Pattern {
    /// Parses `text`; a wrong length is a compile-time error.
    pub const fn parse(text: &str) -> Pattern {
        let s = text.as_bytes();
        let mut p = Pattern { mask: 0, value: 0, fields: [(0, 0); MAX_FIELDS], nfields: 0 };
        let (mut i, mut bit, mut prev) = (0, 32u32, b' ');
        while i < s.len() {
            let c = s[i];
            i += 1;
            if c == b' ' {
                continue;
            }
            assert!(bit > 0, "a pattern has 32 bits: too many");
            bit -= 1;
            match c {
                b'0' => p.mask |= 1 << bit,
                b'1' => {
                    p.mask |= 1 << bit;
                    p.value |= 1 << bit;
                }
                b'-' => {}
                _ if c == prev => {
                    let f = &mut p.fields[p.nfields - 1];
                    *f = (bit as u8, f.1 + 1);
                }
                _ => {
                    assert!(c.is_ascii_alphabetic(), "a field is a letter");
                    p.fields[p.nfields] = (bit as u8, 1);
                    p.nfields += 1;
                }
            }
            prev = c;
        }
        assert!(bit == 0, "a pattern has 32 bits: too few");
        p
    }

    /// Does `word` match the fixed bits?
    pub const fn matches(&self, word: u32) -> bool {
        word & self.mask == self.value
    }

    /// Field `i` of `word`.
    pub const fn field(&self, i: usize, word: u32) -> u32 {
        let (shift, width) = self.fields[i];
        (word >> shift) & ((1u64 << width) - 1) as u32
    }
}

/// A value that can be cut out of an instruction word.
pub trait Field: Sized {
    /// Width in bits.
    const WIDTH: u8;
    /// The value of these bits (only the low [`Field::WIDTH`] may be set).
    fn from_bits(bits: u32) -> Self;
}

/// One row of the instruction table.
pub struct Row {
    /// Name: the Arm ARM's encoding class.
    pub name: &'static str,
    /// The encoding.
    pub pattern: Pattern,
    /// Lifts a word that matches.
    pub lift: fn(&mut crate::lift::Lifter, u32) -> crate::lift::Lifted,
}

/// Declares rows: `NAME = "pattern" (field: Type, ...) => function;` The function is called with the
/// [`crate::lift::Lifter`] and one argument per field. Number and width of fields are checked at compile time.
#[macro_export]
macro_rules! rows {
    ($($(#[$doc:meta])* $name:ident = $pat:literal ( $($f:ident : $t:ty),* $(,)? ) => $sem:path;)*) => {
        /// The rows of this chapter.
        pub(crate) static ROWS: &[$crate::pattern::Row] = &[$({
            const P: $crate::pattern::Pattern = $crate::pattern::Pattern::parse($pat);
            const _: () = {
                let widths: &[u8] = &[$(<$t as $crate::pattern::Field>::WIDTH),*];
                assert!(widths.len() == P.nfields, concat!(stringify!($name), ": number of fields"));
                let mut i = 0;
                while i < P.nfields {
                    assert!(widths[i] == P.fields[i].1, concat!(stringify!($name), ": width of a field"));
                    i += 1;
                }
            };
            fn lift(l: &mut $crate::lift::Lifter, _word: u32) -> $crate::lift::Lifted {
                let mut _i = 0;
                $(
                    let $f = <$t as $crate::pattern::Field>::from_bits(P.field(_i, _word));
                    _i += 1;
                )*
                $sem(l, $($f),*)
            }
            $crate::pattern::Row { name: stringify!($name), pattern: P, lift }
        }),*];
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_cut_from_the_top() {
        const P: Pattern = Pattern::parse("zoS 100010 h iiiiiiiiiiii nnnnn ddddd");
        assert_eq!(P.nfields, 7);
        assert!(P.matches(0x9100_0421));
        assert_eq!(P.field(0, 0x9100_0421), 1);
        assert_eq!(P.field(4, 0x9100_0421), 1);
        assert_eq!(P.field(6, 0x9100_0421), 1);
    }
}
