//! Where we and the masks of the specification differ on purpose.

/// Words, and why they are not compared.
struct Explained {
    mask: u32,
    value: u32,
    reason: &'static str,
}

const EXPLAINED: &[Explained] = &[];

/// Why `word` is not compared, if there is a reason.
pub(crate) fn reason(word: u32) -> Option<&'static str> {
    EXPLAINED.iter().find(|e| word & e.mask == e.value).map(|e| e.reason)
}
