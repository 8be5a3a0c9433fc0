//! The symbols that a Linux kernel keeps of itself in memory, found without knowing where.
//!
//! Tables as `scripts/kallsyms.c` of Linux writes them: names are strings of tokens, 256 of them, in
//! `kallsyms_token_table`, whose ends tell `kallsyms_token_index`; `kallsyms_markers` has the place of every 256th name.
//! Addresses are 32-bit offsets from `kallsyms_relative_base`, in front of the names or (since Linux 6.4) behind the tokens.
//! The kernel must have been running: it relocates the base itself.

use super::symbols::Symbols;

const TOKENS: usize = 256;
/// Names from one marker to the next.
const STEP: usize = 256;
/// Fewest markers: smaller kernels are not worth the risk of a mistake.
const MARKERS: usize = 8;
/// Most bytes of a name, and of the padding between tables.
const NAME: usize = 512;

/// The functions of the kernel whose memory this is; `None` if there are no such tables.
pub(crate) fn parse(memory: &[u8]) -> Option<Symbols> {
    let image = Image(memory);
    // An array of increasing numbers may look like the index: then the rest does not fit.
    let found = (0..memory.len() / 8).filter_map(|n| image.tokens(n * 8));
    found.filter_map(|(tokens, table, index)| image.symbols(&tokens, table, index)).next()
}

struct Image<'a>(&'a [u8]);

impl<'a> Image<'a> {
    fn u16(&self, at: usize) -> Option<usize> {
        Some(usize::from(u16::from_le_bytes(self.0.get(at..at + 2)?.try_into().ok()?)))
    }
    fn u32(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.0.get(at..at.checked_add(4)?)?.try_into().ok()?))
    }
    fn u64(&self, at: usize) -> Option<u64> {
        Some(u64::from_le_bytes(self.0.get(at..at.checked_add(8)?)?.try_into().ok()?))
    }

    /// The tokens, if `index` is where their index lies; and where the tokens and the index do.
    fn tokens(&self, index: usize) -> Option<(Vec<&'a [u8]>, usize, usize)> {
        if self.u16(index)? != 0 || self.u16(index + 2)? < 2 {
            return None;
        }
        let starts: Vec<usize> = (0..TOKENS).map(|i| self.u16(index + 2 * i)).collect::<Option<_>>()?;
        if !starts.windows(2).all(|w| w[0] + 1 < w[1]) {
            return None;
        }
        let last = starts[TOKENS - 1];
        // The last token's length is not told: the table ends with padding of unknown size.
        let tables = (last + 2..last + NAME).filter_map(|len| index.checked_sub(len));
        for table in tables.filter(|table| table % 4 == 0) {
            if (1..TOKENS).any(|i| self.0[table + starts[i] - 1] != 0) {
                continue;
            }
            let text = |i: usize| self.0[table + starts[i]..].split(|b| *b == 0).next().unwrap_or_default();
            let tokens: Vec<&[u8]> = (0..TOKENS).map(text).collect();
            if tokens.iter().all(|t| !t.is_empty() && t.iter().all(u8::is_ascii_graphic)) {
                return Some((tokens, table, index));
            }
        }
        None
    }

    fn symbols(&self, tokens: &[&[u8]], table: usize, index: usize) -> Option<Symbols> {
        // Markers begin with 0 and go up by the length of 256 names each.
        let steps = |at: usize, n: usize| {
            let step = self.u32(at + 4 * n + 4)?.checked_sub(self.u32(at + 4 * n)?)? as usize;
            (STEP * 2..STEP * NAME).contains(&step).then_some(())
        };
        let starts = (0..table / 4).rev().map(|n| n * 4).take_while(|at| table - at < 1 << 21);
        for markers in starts.filter(|&at| self.u32(at) == Some(0)) {
            let count = 1 + (0..).take_while(|n| steps(markers, *n).is_some()).count();
            if count >= MARKERS
                && let Some((names, number)) = self.names(markers, count)
                && let Some(symbols) = self.list(tokens, names, number, index)
            {
                return Some(symbols);
            }
        }
        None
    }

    /// Where the names begin and how many there are, if `count` markers of theirs are at `markers`.
    fn names(&self, markers: usize, count: usize) -> Option<(usize, usize)> {
        let last = self.u32(markers + 4 * (count - 1))? as usize;
        let first = self.u32(markers + 4)? as usize;
        let end = markers.checked_sub(last)?;
        let begin = end.saturating_sub(STEP * NAME);
        for names in (begin / 4 * 4..=end).rev().filter(|at| at % 4 == 0 && *at >= 8) {
            // Their number stands in front, padded to eight bytes or not.
            for number in [self.u32(names - 8)?, self.u32(names - 4)?].map(|n| n as usize) {
                let fits = number > (count - 1) * STEP && number <= count * STEP;
                if fits && self.skip(names, STEP) == Some(names + first) {
                    return Some((names, number));
                }
            }
        }
        None
    }

    /// The length of the name at `at`, and where its tokens begin.
    fn length(&self, at: usize) -> Option<(usize, usize)> {
        let low = usize::from(*self.0.get(at)?);
        if low & 0x80 == 0 {
            return Some((low, at + 1));
        }
        Some((low & 0x7f | usize::from(*self.0.get(at + 1)?) << 7, at + 2))
    }

    /// Where the name after `n` more begins.
    fn skip(&self, mut at: usize, n: usize) -> Option<usize> {
        for _ in 0..n {
            let (len, tokens) = self.length(at)?;
            at = tokens + len;
        }
        Some(at)
    }

    fn list(&self, tokens: &[&[u8]], names: usize, number: usize, index: usize) -> Option<Symbols> {
        let (base, offsets) = self.addresses(names, number, index)?;
        let (mut list, mut at) = (Vec::new(), names);
        for n in 0..number {
            let (len, first) = self.length(at)?;
            at = first + len;
            let text: Vec<u8> = self.0.get(first..at)?.iter().flat_map(|t| tokens[usize::from(*t)]).copied().collect();
            let (kind, name) = text.split_first()?;
            if matches!(kind, b't' | b'T' | b'w' | b'W') && !name.starts_with(b"$") {
                let address = base.wrapping_add(u64::from(self.u32(offsets + 4 * n)?));
                list.push((address, 0, String::from_utf8_lossy(name).into_owned()));
            }
        }
        Some(Symbols::new(list))
    }

    /// The base of addresses, and where their offsets lie.
    fn addresses(&self, names: usize, number: usize, index: usize) -> Option<(u64, usize)> {
        let len = (4 * number).next_multiple_of(8);
        let before = (names - 8).checked_sub(8).and_then(|base| Some((self.u64(base)?, base.checked_sub(len)?)));
        let behind = (index + 2 * TOKENS).next_multiple_of(8);
        let behind = self.u64(behind + len).map(|base| (base, behind));
        // Kernel addresses have all high bits set, and offsets go up.
        let plausible = |(base, offsets): &(u64, usize)| {
            base >> 47 == 0x1_ffff && (1..number).all(|n| self.u32(offsets + 4 * n) >= self.u32(offsets + 4 * n - 4))
        };
        [before, behind].into_iter().flatten().find(plausible)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tables of a kernel with `number` functions, `f0` and so on, 16 bytes each, and some data.
    fn image(number: usize, behind: bool) -> Vec<u8> {
        let mut tokens: Vec<Vec<u8>> = (0..TOKENS).map(|i| format!("tok{i}").into_bytes()).collect();
        for digit in b'0'..=b'9' {
            tokens[usize::from(digit)] = vec![digit];
        }
        tokens[1] = b"Tf".to_vec();
        tokens[2] = b"Df".to_vec();
        let (mut names, mut markers) = (Vec::new(), Vec::new());
        for n in 0..number {
            if n % STEP == 0 {
                markers.extend((names.len() as u32).to_le_bytes());
            }
            let mut entry = vec![if n % 10 == 7 { 2 } else { 1 }];
            entry.extend(format!("{n:05}").bytes());
            names.push(entry.len() as u8);
            names.extend(entry);
        }
        let offsets: Vec<u8> = (0..number as u32).flat_map(|n| (n * 16).to_le_bytes()).collect();
        let base = 0xffff_8000_1234_0000_u64.to_le_bytes().to_vec();
        let mut table = Vec::new();
        let mut index = Vec::new();
        for t in &tokens {
            index.extend((table.len() as u16).to_le_bytes());
            table.extend(t.iter().chain([&0]));
        }
        let number = (number as u32).to_le_bytes().to_vec();
        let mut parts = vec![vec![0x55; 4096], number, names, markers, table, index];
        let at = if behind { parts.len() } else { 1 };
        parts.splice(at..at, [offsets, base]);
        let mut out = Vec::new();
        for part in parts {
            out.resize(usize::next_multiple_of(out.len(), 8), 0);
            out.extend(part);
        }
        out.extend([0xaa; 100]);
        out
    }

    #[test]
    fn both_layouts_are_found() {
        for behind in [false, true] {
            let s = parse(&image(3000, behind)).expect("symbols");
            assert_eq!(s.find(0xffff_8000_1234_0000), Some("f00000"));
            assert_eq!(s.find(0xffff_8000_1234_0000 + 16 * 1234 + 5), Some("f01234"));
            assert_eq!(s.find(0xffff_8000_1234_0000 + 16 * 1237), Some("f01236"), "data is no function");
        }
    }

    #[test]
    fn anything_else_has_none() {
        assert!(parse(&[]).is_none() && parse(&vec![0; 1 << 16]).is_none());
        let mut cut = image(3000, false);
        for n in 0..cut.len() / 97 {
            cut[n * 97] ^= 0x40;
        }
        let _ = parse(&cut);
        let whole = image(3000, false);
        for len in (0..whole.len()).step_by(1009) {
            let _ = parse(&whole[..len]);
        }
    }
}
