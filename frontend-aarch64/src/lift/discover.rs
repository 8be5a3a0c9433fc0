//! Which instructions make up a region: block boundaries found by following direct branches.

use std::collections::VecDeque;

use jib_ir::guest::{Fetch, Limit};
use jib_ir::runtime::Fault;
use smallvec::SmallVec;

use super::privileged;

/// The blocks of a region.
#[derive(Default)]
pub(super) struct Blocks {
    /// The entry first, the rest by address.
    pub(super) spans: SmallVec<[BlockSpan; 4]>,
    /// The words of all.
    words: Words,
}

/// Room for those of most single blocks without asking for memory.
type Words = SmallVec<[u32; 16]>;

/// A straight run of instruction words.
#[derive(Clone, Copy)]
pub(super) struct BlockSpan {
    pub(super) pc: u64,
    /// Index of the first among all words, and their number.
    start: u32,
    len: u32,
    /// May be entered from outside: the region's start, and where calls and exceptions return to.
    pub(super) entry: bool,
}

impl BlockSpan {
    pub(super) fn end(&self) -> u64 {
        self.pc.wrapping_add(4 * u64::from(self.len))
    }
}

impl Blocks {
    /// The words of `span`.
    pub(super) fn words(&self, span: &BlockSpan) -> &[u32] {
        &self.words[span.start as usize..][..span.len as usize]
    }

    /// Number of all instructions.
    pub(super) fn insns(&self) -> usize {
        self.words.len()
    }

    /// Index of the block that begins at `pc`.
    pub(super) fn at(&self, pc: u64) -> Option<usize> {
        let (first, rest) = self.spans.split_first()?;
        let found = || rest.binary_search_by_key(&pc, |s| s.pc).ok().map(|n| n + 1);
        if first.pc == pc { Some(0) } else { found() }
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

/// Finds the `blocks`, none so far, of the region that starts at `pc`; the first one is its entry.
pub(super) fn discover(blocks: &mut Blocks, pc: u64, code: &dyn Fetch, limit: Limit) -> Result<(), Fault> {
    let Blocks { spans, words } = blocks;
    let (first, mut next) = scan(pc, code, limit.insns, words, u64::MAX)?;
    spans.push(BlockSpan { entry: true, ..first });
    if limit.blocks <= 1 {
        return Ok(());
    }
    let (mut queue, mut entries) = (VecDeque::new(), vec![pc]);
    // By address, here.
    let mut end = first.end();
    loop {
        match next {
            Flow::Next | Flow::Stop => {}
            Flow::Jump(t) => queue.push_back(t),
            Flow::Cond(t) => queue.extend([end, t]),
            Flow::Return => {
                entries.push(end);
                queue.push_back(end);
            }
        }
        let Some(at) = queue.pop_front() else { break };
        next = Flow::Next;
        let place = match spans.binary_search_by_key(&at, |s| s.pc) {
            Ok(_) => continue,
            Err(place) => place,
        };
        // A place inside a known block is split off even at the limit: its instructions are in the region already.
        if split(spans, place, at) {
            continue;
        }
        let insns = words.len() as u32;
        if insns >= limit.insns || spans.len() as u32 >= limit.blocks || !code.follows(at) {
            continue;
        }
        let stop = spans.get(place).map_or(u64::MAX, |s| s.pc);
        let Ok((span, flow)) = scan(at, code, limit.insns - insns, words, stop) else { continue };
        spans.insert(place, span);
        (next, end) = (flow, span.end());
    }
    entries.sort_unstable();
    for span in spans.iter_mut() {
        span.entry = entries.binary_search(&span.pc).is_ok();
    }
    let first = spans.binary_search_by_key(&pc, |s| s.pc).unwrap_or(0);
    spans[..=first].rotate_right(1);
    Ok(())
}

/// Splits the block before `place` at `at` if that lies inside.
fn split(spans: &mut SmallVec<[BlockSpan; 4]>, place: usize, at: u64) -> bool {
    let Some(span) = place.checked_sub(1).map(|before| &mut spans[before]) else { return false };
    if at >= span.end() || !(at - span.pc).is_multiple_of(4) {
        return false;
    }
    let kept = ((at - span.pc) / 4) as u32;
    let rest = BlockSpan { pc: at, start: span.start + kept, len: span.len - kept, entry: false };
    span.len = kept;
    spans.insert(place, rest);
    true
}

/// Reads words from `pc` to the end of a block: a branch, a known block at `stop`, or `limit`. They are added to `words`.
fn scan(pc: u64, code: &dyn Fetch, limit: u32, words: &mut Words, stop: u64) -> Result<(BlockSpan, Flow), Fault> {
    // Most blocks are shorter.
    let mut ahead = [0; 8];
    let mut read = code.words(pc, &mut ahead)?;
    let start = words.len() as u32;
    let mut at = pc;
    let mut flow_at = || -> Flow {
        loop {
            for &word in &ahead[..read] {
                words.push(word);
                let next = flow(word, at);
                at = at.wrapping_add(4);
                if next != Flow::Next || words.len() as u32 - start >= limit || at == stop {
                    return next;
                }
            }
            match code.words(at, &mut ahead) {
                Ok(n) => read = n,
                Err(_) => return Flow::Next,
            }
        }
    };
    let flow = flow_at();
    Ok((BlockSpan { pc, start, len: words.len() as u32 - start, entry: false }, flow))
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
            let mut blocks = Blocks::default();
            discover(&mut blocks, 0, &code, limit).expect("readable");
            let spans = &blocks.spans;
            let starts: Vec<u64> = spans.iter().map(|s| s.pc).collect();
            assert!(starts.starts_with(&[0, 4]), "{starts:?}");
            let mut end = 0;
            for s in spans {
                assert_eq!(s.pc, end, "each instruction is there once");
                end = s.end();
            }
        }
    }
}
