//! Finds the row of an instruction word.

use std::sync::LazyLock;

use crate::isa;
use crate::pattern::Row;

/// Rows are first told apart by bits 28:23, 21 and 13:10: those that vary most between rows.
const BUCKETS: usize = 1 << 11;

const fn bucket(word: u32) -> usize {
    ((word >> 23 & 0x3f) << 5 | (word >> 21 & 1) << 4 | word >> 10 & 15) as usize
}

/// The word whose bits at the bucket's places are those of bucket `i`.
const fn unbucket(i: usize) -> u32 {
    let i = i as u32;
    (i >> 5) << 23 | (i >> 4 & 1) << 21 | (i & 15) << 10
}

const BUCKET_BITS: u32 = unbucket(BUCKETS - 1);

struct Table {
    /// For each bucket, where its rows begin in `rows`; one more at the end.
    starts: Vec<u32>,
    rows: Vec<(u32, u32, &'static Row)>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut sorted: Vec<&'static Row> = isa::rows().collect();
    // More fixed bits first: where rows overlap the narrower one wins.
    sorted.sort_by_key(|r| std::cmp::Reverse(r.pattern.mask.count_ones()));
    let mut lists: Vec<Vec<&'static Row>> = vec![Vec::new(); BUCKETS];
    for row in sorted {
        let p = &row.pattern;
        for (i, list) in lists.iter_mut().enumerate() {
            if (unbucket(i) ^ p.value) & p.mask & BUCKET_BITS == 0 {
                list.push(row);
            }
        }
    }
    let mut table = Table { starts: Vec::with_capacity(BUCKETS + 1), rows: Vec::new() };
    for list in lists {
        table.starts.push(table.rows.len() as u32);
        table.rows.extend(list.into_iter().map(|r| (r.pattern.mask, r.pattern.value, r)));
    }
    table.starts.push(table.rows.len() as u32);
    table
});

/// The row that `word` matches, if any.
pub fn decode(word: u32) -> Option<&'static Row> {
    let table = &*TABLE;
    let b = bucket(word);
    let range = table.starts[b] as usize..table.starts[b + 1] as usize;
    table.rows[range].iter().find(|(mask, value, _)| word & mask == *value).map(|&(_, _, row)| row)
}
