//! Finds the row of an instruction word.

use std::sync::LazyLock;

use crate::isa;
use crate::pattern::Row;

/// Rows are first told apart by bits 28:23, 21 and 13:10: those that vary most between rows.
const BUCKETS: usize = 1 << 11;

const fn bucket(word: u32) -> usize {
    ((word >> 23 & 0x3f) << 5 | (word >> 21 & 1) << 4 | word >> 10 & 15) as usize
}

/// Buckets that words of `row` can fall into: every value of the bucket bits that the row leaves open.
fn buckets_of(row: &Row) -> impl Iterator<Item = usize> {
    let fixed = bucket(row.pattern.value);
    let open = !bucket(row.pattern.mask) & (BUCKETS - 1);
    let mut next = Some(0usize);
    std::iter::from_fn(move || {
        let subset = next?;
        // Counts through the subsets of `open` in ascending order.
        next = Some((subset.wrapping_sub(open)) & open).filter(|&n| n != 0);
        Some(fixed | subset)
    })
}

struct Table {
    /// For each bucket, where its rows begin in `rows`; one more at the end.
    starts: Vec<u32>,
    rows: Vec<(u32, u32, &'static Row)>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut sorted: Vec<&'static Row> = isa::rows().collect();
    // More fixed bits first: where rows overlap the narrower one wins.
    sorted.sort_by_key(|r| std::cmp::Reverse(r.pattern.mask.count_ones()));
    let mut starts = vec![0u32; BUCKETS + 1];
    for b in sorted.iter().flat_map(|r| buckets_of(r)) {
        starts[b + 1] += 1;
    }
    for b in 0..BUCKETS {
        starts[b + 1] += starts[b];
    }
    let mut fill = starts.clone();
    let filler = sorted.first().map_or_else(Vec::new, |r| vec![(0, 0, *r); starts[BUCKETS] as usize]);
    let mut table = Table { starts, rows: filler };
    for row in sorted {
        for b in buckets_of(row) {
            table.rows[fill[b] as usize] = (row.pattern.mask, row.pattern.value, row);
            fill[b] += 1;
        }
    }
    table
});

/// The row that `word` matches, if any.
pub fn decode(word: u32) -> Option<&'static Row> {
    let table = &*TABLE;
    let b = bucket(word);
    let range = table.starts[b] as usize..table.starts[b + 1] as usize;
    table.rows[range].iter().find(|(mask, value, _)| word & mask == *value).map(|&(_, _, row)| row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_the_open_bits() {
        for row in isa::rows() {
            let p = &row.pattern;
            for fill in [0, u32::MAX, 0x5555_5555, 0x1234_5678] {
                let word = p.value | (fill & !p.mask);
                assert!(buckets_of(row).any(|b| b == bucket(word)), "{} {word:#x}", row.name);
            }
        }
    }
}
