//! The instruction set: one row per Arm encoding class, a file per chapter of the manual's tables.
//!
//! A row's function may still find a combination of fields unallocated and say so
//! ([`crate::lift::Lifted::Undefined`]). Where two classes overlap, the one with more fixed bits wins.

pub(crate) mod branch;
pub(crate) mod dp_imm;
pub(crate) mod dp_reg;
pub(crate) mod fp;
pub(crate) mod gates;
pub(crate) mod load_store;
pub(crate) mod simd;
pub(crate) mod simd_fp;
pub(crate) mod simd_load_store;
pub(crate) mod system;

use crate::pattern::Row;

/// Every chapter's rows.
pub static CHAPTERS: &[&[Row]] = &[
    dp_imm::ROWS,
    branch::ROWS,
    system::ROWS,
    load_store::ROWS,
    simd_load_store::ROWS,
    dp_reg::ROWS,
    fp::ROWS,
    simd_fp::ROWS,
    simd::ROWS,
];

/// All rows, in order.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    CHAPTERS.iter().flat_map(|c| c.iter())
}
