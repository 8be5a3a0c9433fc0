//! Classic BPF as seccomp allows it: checking a program once, and running it on one system call.
//!
//! Source: Linux `Documentation/userspace-api/seccomp_filter.rst`, `include/uapi/linux/bpf_common.h`.

/// Bytes of one instruction: code, two jump distances, a constant.
pub(crate) const INSN: usize = 8;
/// Most instructions of a program.
pub(crate) const MAX_INSNS: usize = 4096;
/// 32-bit words that a program sees of a system call: `struct seccomp_data`.
pub(crate) const DATA_WORDS: usize = 16;
/// Words of scratch memory.
const MEMORY: usize = 16;

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Insn {
    code: u16,
    jt: u8,
    jf: u8,
    k: u32,
}

impl Insn {
    /// From the bytes of `struct sock_filter`.
    pub(crate) fn from_bytes(b: [u8; INSN]) -> Insn {
        Insn {
            code: u16::from_le_bytes([b[0], b[1]]),
            jt: b[2],
            jf: b[3],
            k: u32::from_le_bytes([b[4], b[5], b[6], b[7]]),
        }
    }

    /// The bytes again.
    pub(crate) fn to_bytes(self) -> [u8; INSN] {
        let (c, k) = (self.code.to_le_bytes(), self.k.to_le_bytes());
        [c[0], c[1], self.jt, self.jf, k[0], k[1], k[2], k[3]]
    }
}

// Codes: class, then operation or addressing mode, then source (0: the constant, 8: the index register).
const LD_IMM: u16 = 0x00;
const LD_WORD: u16 = 0x20;
const LD_MEM: u16 = 0x60;
const LD_LEN: u16 = 0x80;
const LDX_IMM: u16 = 0x01;
const LDX_MEM: u16 = 0x61;
const LDX_LEN: u16 = 0x81;
const ST: u16 = 0x02;
const STX: u16 = 0x03;
const ALU: u16 = 0x04;
const JMP: u16 = 0x05;
const JMP_ALWAYS: u16 = 0x05;
const RET_K: u16 = 0x06;
const RET_A: u16 = 0x16;
const TAX: u16 = 0x07;
const TXA: u16 = 0x87;
const INDEX: u16 = 0x08;
const DIV: u16 = 0x30;
const LSH: u16 = 0x60;
const RSH: u16 = 0x70;
const NEG: u16 = 0x80;

/// May `program` be a filter? As the kernel, for which such a program ends always and reads only what exists.
pub(crate) fn acceptable(program: &[Insn]) -> bool {
    let len = program.len();
    let last_returns = program.last().is_some_and(|i| matches!(i.code, RET_K | RET_A));
    (1..=MAX_INSNS).contains(&len) && last_returns && program.iter().enumerate().all(|(at, i)| allowed(i, len - at - 1))
}

/// `after`: how many instructions follow.
fn allowed(i: &Insn, after: usize) -> bool {
    match i.code {
        // The other half of the code means nothing.
        0x100.. => false,
        LD_WORD => i.k.is_multiple_of(4) && (i.k as usize) < 4 * DATA_WORDS,
        LD_MEM | LDX_MEM | ST | STX => (i.k as usize) < MEMORY,
        LD_IMM | LD_LEN | LDX_IMM | LDX_LEN | RET_K | RET_A | TAX | TXA => true,
        JMP_ALWAYS => (i.k as usize) < after,
        code if code & 7 == ALU => match code & 0xf0 {
            // With the constant: never by zero, never by more bits than there are.
            DIV => code & INDEX != 0 || i.k != 0,
            LSH | RSH => code & INDEX != 0 || i.k < 32,
            NEG => code & INDEX == 0,
            operation => operation <= 0x70 || operation == 0xa0,
        },
        code if code & 7 == JMP => {
            let operation = code & 0xf0;
            (0x10..=0x40).contains(&operation) && (i.jt.max(i.jf) as usize) < after
        }
        _ => false,
    }
}

/// Runs an [`acceptable`] program on a system call.
pub(crate) fn run(program: &[Insn], data: &[u32; DATA_WORDS]) -> u32 {
    let (mut a, mut x) = (0u32, 0u32);
    let mut memory = [0u32; MEMORY];
    let mut at = 0usize;
    while let Some(i) = program.get(at) {
        at += 1;
        let slot = i.k as usize % MEMORY;
        let operand = if i.code & INDEX != 0 { x } else { i.k };
        match i.code {
            LD_WORD => a = data[i.k as usize / 4 % DATA_WORDS],
            LD_IMM => a = i.k,
            LD_MEM => a = memory[slot],
            LD_LEN => a = 4 * DATA_WORDS as u32,
            LDX_IMM => x = i.k,
            LDX_MEM => x = memory[slot],
            LDX_LEN => x = 4 * DATA_WORDS as u32,
            ST => memory[slot] = a,
            STX => memory[slot] = x,
            RET_K => return i.k,
            RET_A => return a,
            TAX => x = a,
            TXA => a = x,
            JMP_ALWAYS => at += i.k as usize,
            code if code & 7 == ALU => match alu(code & 0xf0, a, operand) {
                Some(v) => a = v,
                // As in the kernel, division by zero ends the program with 0.
                None => return 0,
            },
            code => {
                let holds = match code & 0xf0 {
                    0x10 => a == operand,
                    0x20 => a > operand,
                    0x30 => a >= operand,
                    _ => a & operand != 0,
                };
                at += if holds { i.jt } else { i.jf } as usize;
            }
        }
    }
    // An acceptable program returns before.
    0
}

fn alu(operation: u16, a: u32, v: u32) -> Option<u32> {
    Some(match operation {
        0x00 => a.wrapping_add(v),
        0x10 => a.wrapping_sub(v),
        0x20 => a.wrapping_mul(v),
        DIV => a.checked_div(v)?,
        0x40 => a | v,
        0x50 => a & v,
        LSH => a.wrapping_shl(v),
        RSH => a.wrapping_shr(v),
        NEG => a.wrapping_neg(),
        _ => a ^ v,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insn(code: u16, jt: u8, jf: u8, k: u32) -> Insn {
        Insn { code, jt, jf, k }
    }

    #[test]
    fn a_usual_filter() {
        // Number 63 gives 5, number 64 gives the low half of its first argument, others 7.
        let program = [
            insn(LD_WORD, 0, 0, 0),
            insn(0x15, 0, 1, 63),
            insn(RET_K, 0, 0, 5),
            insn(0x15, 0, 2, 64),
            insn(LD_WORD, 0, 0, 16),
            insn(RET_A, 0, 0, 0),
            insn(RET_K, 0, 0, 7),
        ];
        assert!(acceptable(&program));
        let mut data = [0; DATA_WORDS];
        for (nr, result) in [(63, 5), (64, 99), (65, 7)] {
            (data[0], data[4]) = (nr, 99);
            assert_eq!(run(&program, &data), result, "number {nr}");
        }
    }

    #[test]
    fn arithmetic_and_memory() {
        let ret = insn(RET_A, 0, 0, 0);
        let of = |body: &[Insn]| {
            let program = [body, &[ret]].concat();
            assert!(acceptable(&program), "{body:?}");
            run(&program, &[3; DATA_WORDS])
        };
        assert_eq!(of(&[insn(LD_IMM, 0, 0, 40), insn(ALU, 0, 0, 2)]), 42);
        assert_eq!(of(&[insn(LD_IMM, 0, 0, 7), insn(ST, 0, 0, 3), insn(LDX_MEM, 0, 0, 3), insn(TXA, 0, 0, 0)]), 7);
        assert_eq!(of(&[insn(LD_LEN, 0, 0, 0)]), 64);
        assert_eq!(of(&[insn(LD_IMM, 0, 0, 1), insn(0x3c, 0, 0, 0)]), 0, "division by a zero index");
        assert_eq!(of(&[insn(LD_IMM, 0, 0, 6), insn(0xa4, 0, 0, 3)]), 5);
        assert_eq!(of(&[insn(LD_IMM, 0, 0, 6), insn(0x84, 0, 0, 0)]), 6u32.wrapping_neg());
    }

    #[test]
    fn what_could_go_wrong_is_refused() {
        let ret = insn(RET_K, 0, 0, 0);
        for bad in [
            insn(LD_WORD, 0, 0, 64),
            insn(LD_WORD, 0, 0, 2),
            insn(0x28, 0, 0, 0),
            insn(ST, 0, 0, 16),
            insn(0x34, 0, 0, 0),
            insn(0x64, 0, 0, 32),
            insn(0x15, 1, 0, 0),
            insn(JMP_ALWAYS, 0, 0, 1),
            insn(0x94, 0, 0, 3),
            insn(0x134, 0, 0, 3),
            insn(0x1a4, 0, 0, 3),
            insn(0x115, 0, 0, 0),
        ] {
            assert!(!acceptable(&[bad, ret]), "{bad:?}");
        }
        assert!(!acceptable(&[]) && !acceptable(&[insn(LD_IMM, 0, 0, 0)]));
        let b = [0x15, 0, 1, 2, 0x78, 0x56, 0x34, 0x12];
        assert_eq!(Insn::from_bytes(b).to_bytes(), b);
    }
}
