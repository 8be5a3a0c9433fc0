//! Which instructions make up a region: block boundaries found by following direct branches.

use std::collections::{BTreeMap, VecDeque};

use jib_ir::guest::{Fetch, Limit};
use jib_ir::runtime::Fault;

use super::privileged;

/// A straight run of instruction words.
pub(super) struct BlockSpan {
    pub(super) pc: u64,
    pub(super) words: Vec<u32>,
    /// May be entered from outside: the region's start, and where calls and exceptions return to.
    pub(super) entry: bool,
    /// May be its own successor.
    pub(super) loops: bool,
}

impl BlockSpan {
    pub(super) fn end(&self) -> u64 {
        self.pc.wrapping_add(4 * self.words.len() as u64)
    }
}

/// Where control goes after an instruction, as far as block boundaries are concerned.
#[derive(Debug, PartialEq, Eq)]
enum Flow {
    Next,
    /// Jumps to the address.
    Jump(u64),
    /// Jumps there or goes on.
    Cond(u64),
    /// Leaves, and is expected back at the next instruction.
    Return,
    /// Leaves for good.
    Stop,
}

/// Classifies `word` (Arm ARM C4.1.94, Branches, Exception Generating and System instructions).
fn flow(word: u32, pc: u64) -> Flow {
    let offset = |shift: u32, width: u32| {
        let v = (word >> shift) << (32 - width);
        pc.wrapping_add_signed(((v as i32) >> (32 - width)) as i64 * 4)
    };
    match word >> 24 {
        0x14..=0x17 => Flow::Jump(offset(0, 26)),
        0x94..=0x97 => Flow::Return,                               // BL
        0x54 => Flow::Cond(offset(5, 19)),                         // B.cond
        0x34 | 0x35 | 0xb4 | 0xb5 => Flow::Cond(offset(5, 19)),    // CBZ, CBNZ
        0x36 | 0x37 | 0xb6 | 0xb7 => Flow::Cond(offset(5, 14)),    // TBZ, TBNZ
        0xd6 if word & 0xffff_fc1f == 0xd63f_0000 => Flow::Return, // BLR
        0xd6 if word & 0xffff_f81f == 0xd63f_081f => Flow::Return, // BLRAAZ, BLRABZ
        0xd7 if word & 0xffff_f800 == 0xd73f_0800 => Flow::Return, // BLRAA, BLRAB
        0xd6 | 0xd7 => Flow::Stop,                                 // BR, RET, ERET and their like
        0xd4 if word & 0xffe0_0003 != 0xd400_0000 => Flow::Return, // SVC, HVC, SMC
        0xd4 => Flow::Stop,                                        // BRK, HLT
        0xd5 => system_flow(word),
        0x00 => Flow::Stop, // UDF
        _ => Flow::Next,
    }
}

/// System instructions after which the rest must be translated anew or looked at by the runtime.
fn system_flow(word: u32) -> Flow {
    match word {
        0xd503_203f | 0xd503_205f | 0xd503_207f => Flow::Return, // YIELD, WFE, WFI
        0xd503_3fdf => Flow::Return,                             // ISB
        _ if word & 0xffff_ffe0 == 0xd50b_7520 => Flow::Return,  // IC IVAU
        _ if word & 0xffff_ffe0 == 0xd51b_4400 => Flow::Return,  // MSR FPCR
        _ if privileged::resyncs(word) => Flow::Return,
        _ => Flow::Next,
    }
}

/// Finds the blocks of the region that starts at `pc`; the first one is its entry.
pub(super) fn discover(pc: u64, code: &dyn Fetch, limit: Limit) -> Result<Vec<BlockSpan>, Fault> {
    if limit.blocks <= 1 {
        let (span, _) = scan(pc, code, limit.insns, &|_| false)?;
        return Ok(vec![BlockSpan { entry: true, ..span }]);
    }
    let mut leaders: BTreeMap<u64, bool> = BTreeMap::from([(pc, true)]);
    let mut queue = VecDeque::from([pc]);
    let mut blocks: BTreeMap<u64, BlockSpan> = BTreeMap::new();
    let mut insns = 0;
    while let Some(at) = queue.pop_front() {
        // A place inside a known block is split off even at the limit: its instructions are in the region already.
        if blocks.contains_key(&at) || split(&mut blocks, at) {
            continue;
        }
        if insns >= limit.insns || blocks.len() as u32 >= limit.blocks || at != pc && !code.follows(at) {
            continue;
        }
        let scanned = scan(at, code, limit.insns - insns, &|p| blocks.contains_key(&p));
        let Ok((span, next)) = scanned else {
            if at == pc {
                return Err(scanned.err().unwrap_or_else(|| unreachable!("just matched")));
            }
            continue;
        };
        insns += span.words.len() as u32;
        let mut add = |target: u64, entry: bool| {
            *leaders.entry(target).or_insert(false) |= entry;
            queue.push_back(target);
        };
        match next {
            Flow::Next => {}
            Flow::Jump(t) => add(t, false),
            Flow::Cond(t) => {
                add(span.end(), false);
                add(t, false);
            }
            Flow::Return => add(span.end(), true),
            Flow::Stop => {}
        }
        blocks.insert(at, span);
    }
    Ok(order(pc, blocks, &leaders))
}

/// Splits a known block at `at` if it lies inside one.
fn split(blocks: &mut BTreeMap<u64, BlockSpan>, at: u64) -> bool {
    let Some((_, span)) = blocks.range_mut(..at).next_back() else { return false };
    if at >= span.end() || !(at - span.pc).is_multiple_of(4) {
        return false;
    }
    let words = span.words.split_off((at - span.pc) as usize / 4);
    blocks.insert(at, BlockSpan { pc: at, words, entry: false, loops: true });
    true
}

/// Reads words from `pc` to the end of a block: a branch, a known block, or `limit`.
fn scan(pc: u64, code: &dyn Fetch, limit: u32, known: &dyn Fn(u64) -> bool) -> Result<(BlockSpan, Flow), Fault> {
    // Most blocks are shorter.
    let mut ahead = [0; 8];
    let mut read = code.words(pc, &mut ahead)?;
    let mut words = Vec::with_capacity(ahead.len());
    let mut at = pc;
    loop {
        for &word in &ahead[..read] {
            words.push(word);
            let next = flow(word, at);
            at = at.wrapping_add(4);
            let full = words.len() as u32 >= limit || known(at);
            if next != Flow::Next || full {
                return Ok((BlockSpan { pc, words, entry: false, loops: true }, next));
            }
        }
        match code.words(at, &mut ahead) {
            Ok(n) => read = n,
            Err(_) => return Ok((BlockSpan { pc, words, entry: false, loops: true }, Flow::Next)),
        }
    }
}

/// The blocks with the entry first, the rest by address.
fn order(pc: u64, mut blocks: BTreeMap<u64, BlockSpan>, leaders: &BTreeMap<u64, bool>) -> Vec<BlockSpan> {
    for (at, span) in &mut blocks {
        span.entry = leaders.get(at).copied().unwrap_or(false);
    }
    let first = blocks.remove(&pc);
    first.into_iter().chain(blocks.into_values()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Words(&'static [u32]);

    impl Fetch for Words {
        fn word(&self, pc: u64) -> Result<u32, Fault> {
            let word = self.0.get(pc as usize / 4).copied();
            word.ok_or(Fault { addr: pc, access: jib_ir::runtime::Access::Fetch, cause: 0 })
        }
    }

    #[test]
    fn a_jump_into_a_known_block_splits_it_even_at_the_limit() {
        const NOP: u32 = 0xd503_201f;
        // Four instructions, the last of which goes back to the second: CBNZ X0, .-8.
        let code = Words(&[NOP, NOP, NOP, 0xb5ff_ffc0, NOP, NOP]);
        for limit in [Limit { insns: 4, blocks: 100 }, Limit { insns: 100, blocks: 2 }] {
            let spans = discover(0, &code, limit).expect("readable");
            let starts: Vec<u64> = spans.iter().map(|s| s.pc).collect();
            assert!(starts.starts_with(&[0, 4]), "{starts:?}");
            let mut end = 0;
            for s in &spans {
                assert_eq!(s.pc, end, "each instruction is there once");
                end = s.end();
            }
        }
    }
}
