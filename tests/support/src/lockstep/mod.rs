//! Random whole programs: loops, calls, indirect branches, memory, faults, modes of floating point, code that rewrites
//! itself. They always end, so that executors can be compared all the way.
//!
//! A [`Program`] is a tree, so that [`shrink`] can take parts out of it; [`Program::words`] is its code, [`draw`] makes
//! one.
//!
//! | registers | what for |
//! |---|---|
//! | X0 to X15, all V, NZCV, FPCR, FPSR | data |
//! | X16, X17, X18 | addresses and indices, for a moment |
//! | X19, X25, X28 | memory that is there; memory that is not; an address in one of them |
//! | X20 to X23 | counts of loops |
//! | X29, X30, SP | frames |

mod draw;
mod shrink;

pub use draw::program;
pub use shrink::shrink;

/// The number of the system call that ends a program.
pub const END: u32 = 0xffff;
/// Loops around each other within one function.
pub const DEEPEST: u32 = 4;

/// A part of a function.
#[derive(Clone, Debug)]
pub enum Item {
    /// Instructions one after the other, wherever they lie.
    Straight(Vec<u32>),
    /// A conditional branch, without its offset, over the body.
    If(u32, Vec<Item>),
    /// The body so many times.
    Loop {
        /// Which of the counting registers counts it.
        depth: u32,
        /// At least 1.
        times: u16,
        /// Counted with flags.
        flags: bool,
        /// What is repeated.
        body: Vec<Item>,
    },
    /// A call of the function of this number.
    Call(usize),
    /// A call of one of four functions, as a register says.
    CallOne(u32, [usize; 4]),
    /// One of four bodies, as a register says.
    Switch(u32, [Vec<Item>; 4]),
    /// The instruction behind changes from one of these two to the other; then it is executed.
    Patch(u32, u32),
    /// A system call of this number: executors are compared.
    Compare(u16),
}

/// A program: the first function begins, and calls only later ones.
#[derive(Clone, Debug)]
pub struct Program {
    /// The bodies of its functions.
    pub functions: Vec<Vec<Item>>,
}

const SAVE: [u32; 3] = [0xa9bd_7bfd, 0xa901_57f4, 0xa902_5ff6];
const RESTORE: [u32; 4] = [0xa942_5ff6, 0xa941_57f4, 0xa8c3_7bfd, 0xd65f_03c0];
const SVC: u32 = 0xd400_0001;
const B: u32 = 0x1400_0000;
const BL: u32 = 0x9400_0000;
const ADR_X17: u32 = 0x1000_0011;
const ADR_X18: u32 = 0x1000_0012;

/// Code as it grows.
#[derive(Default)]
struct Code {
    words: Vec<u32>,
    /// Places of calls, and the functions.
    calls: Vec<(usize, usize)>,
}

impl Program {
    /// Its code, to be laid at any address.
    pub fn words(&self) -> Vec<u32> {
        let mut code = Code::default();
        let mut starts = Vec::new();
        for (n, body) in self.functions.iter().enumerate() {
            starts.push(code.words.len());
            if n == 0 {
                code.items(body);
                code.words.push(SVC | END << 5);
            } else if code.calls.iter().any(|(_, function)| *function == n) {
                code.words.extend(SAVE);
                code.items(body);
                code.words.extend(RESTORE);
            }
        }
        for (at, function) in code.calls {
            code.words[at] |= offset26(at, starts[function]);
        }
        code.words
    }
}

fn offset26(from: usize, to: usize) -> u32 {
    (to as i32 - from as i32) as u32 & 0x3ff_ffff
}

impl Code {
    fn items(&mut self, items: &[Item]) {
        items.iter().for_each(|item| self.item(item));
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Straight(words) => self.words.extend(words),
            Item::If(branch, body) => {
                let at = self.push(*branch);
                self.items(body);
                let distance = (self.words.len() - at) as u32;
                // TBZ and TBNZ reach less far.
                let reach = if branch >> 25 & 0x3f == 0x1b { 0x1fff } else { 0x3_ffff };
                assert!(distance <= reach, "bodies are short");
                self.words[at] |= distance << 5;
            }
            Item::Loop { depth, times, flags, body } => {
                let register = 20 + depth;
                self.push(0xd280_0000 | u32::from(*times) << 5 | register);
                let start = self.words.len();
                self.items(body);
                let subtract = if *flags { 0xf100_0400 } else { 0xd100_0400 };
                let at = self.push(subtract | register << 5 | register) + 1;
                let back = (start as i32 - at as i32) as u32 & 0x7_ffff;
                self.push(if *flags { 0x5400_0001 } else { 0xb500_0000 | register } | back << 5);
            }
            Item::Call(function) => self.call(BL, *function),
            Item::CallOne(register, functions) => {
                self.choose(*register, 0xd63f_0220);
                let over = self.push(B);
                functions.iter().for_each(|f| self.call(B, *f));
                self.land(over);
            }
            Item::Switch(register, bodies) => {
                self.choose(*register, 0xd61f_0220);
                let table = self.words.len();
                // What `choose` skips for calls.
                let skipped = self.push(B);
                self.words[skipped] |= offset26(skipped, table + 1);
                let entries: Vec<usize> = bodies.iter().map(|_| self.push(B)).collect();
                let mut ends = Vec::new();
                for (entry, body) in entries.into_iter().zip(bodies) {
                    self.land(entry);
                    self.items(body);
                    ends.push(self.push(B));
                }
                ends.into_iter().for_each(|end| self.land(end));
            }
            Item::Patch(one, other) => {
                let change = one ^ other;
                let at = self.push(ADR_X18);
                self.push(0x5280_0011 | (change & 0xffff) << 5);
                self.push(0x72a0_0011 | (change >> 16) << 5);
                // LDR, EOR, STR, DC CVAU, DSB ISH, IC IVAU, DSB ISH, ISB
                self.words.extend([0xb940_0250, 0x4a11_0210, 0xb900_0250, 0xd50b_7b32, 0xd503_3b9f]);
                self.words.extend([0xd50b_7532, 0xd503_3b9f, 0xd503_3fdf]);
                self.words[at] |= ((self.words.len() - at) as u32) << 5;
                self.push(*one);
            }
            Item::Compare(number) => drop(self.push(SVC | u32::from(*number) << 5)),
        }
    }

    /// Pushes a word; its index.
    fn push(&mut self, word: u32) -> usize {
        self.words.push(word);
        self.words.len() - 1
    }

    /// The branch at `at` leads here.
    fn land(&mut self, at: usize) {
        let here = self.words.len();
        self.words[at] |= offset26(at, here);
    }

    fn call(&mut self, branch: u32, function: usize) {
        let at = self.push(branch);
        self.calls.push((at, function));
    }

    /// Branches by `branch` to one of the four words after the next one.
    fn choose(&mut self, register: u32, branch: u32) {
        // AND X16, register, #3; ADR X17, table; ADD X17, X17, X16, LSL #2
        self.words.extend([0x9240_0410 | register << 5, ADR_X17 | 4 << 5, 0x8b10_0a31, branch]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn branches_lead_where_they_should() {
        let straight = |w| vec![Item::Straight(vec![w])];
        let bodies = [straight(1), straight(2), straight(3), straight(4)];
        let program = Program {
            functions: vec![
                vec![Item::Switch(5, bodies), Item::Call(1)],
                vec![Item::Loop { depth: 1, times: 7, flags: false, body: straight(9) }],
            ],
        };
        let w = program.words();
        // The branch behind the table's address is four words before its first entry.
        assert_eq!(w[..5], [0x9240_04b0, 0x1000_0091, 0x8b10_0a31, 0xd61f_0220, B | 1]);
        assert_eq!(w[5..9], [B | 4, B | 5, B | 6, B | 7]);
        assert_eq!(w[9..17], [1, B | 7, 2, B | 5, 3, B | 3, 4, B | 1]);
        assert_eq!(w[17..19], [BL | 2, SVC | END << 5]);
        assert_eq!(w[19..22], SAVE);
        assert_eq!(w[22..26], [0xd280_00f5, 9, 0xd100_06b5, 0xb5ff_ffd5]);
        assert_eq!(w[26..], RESTORE);
    }

    #[test]
    fn the_same_seed_is_the_same_program() {
        let words = |seed| program(&mut Random::new(seed)).words();
        assert_eq!(words(3), words(3));
        assert_ne!(words(3), words(4));
    }

    #[test]
    fn shrinking_finds_the_one_word_that_matters() {
        const CULPRIT: u32 = 0x1234_5678;
        let mut r = Random::new(5);
        let mut big = program(&mut r);
        big.functions[0].push(Item::If(0x5400_0000, vec![Item::Straight(vec![0, CULPRIT, 0])]));
        let small = shrink(&big, &mut |p| p.words().contains(&CULPRIT));
        assert_eq!(small.words(), [CULPRIT, SVC | END << 5]);
    }
}
