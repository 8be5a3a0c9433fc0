//! What the oracle cannot check: CSSC, MOPS, ID registers, DC ZVA and the exclusive monitor, each
//! against what the Arm ARM says.

use jib_frontend_aarch64::{A64, cpu};
use jib_ir::guest::{Fetch, Guest, Limit};
use jib_ir::interp::{self, Scratch};
use jib_ir::region::BlockId;
use jib_ir::runtime::{Access, Exit, Fault, RmwOp, Runtime};
use jib_ir::state::State;
use jib_ir::ty::Size;

const CODE: u64 = 0x1000;
const DATA: u64 = 0x10_0000;

/// One processor, some code, and `DATA..DATA + data.len()`.
struct Machine {
    state: State,
    memory: Memory,
    /// How often the code was left and entered again.
    entries: u32,
}

struct Memory {
    code: Vec<u32>,
    data: Vec<u8>,
    random: Option<u64>,
}

impl Machine {
    fn new(len: usize) -> Machine {
        let data = (0..len).map(|i| (i ^ i >> 8) as u8).collect();
        let memory = Memory { code: Vec::new(), data, random: Some(7) };
        Machine { state: State::default(), memory, entries: 0 }
    }

    /// Runs `words` to their end or to an exit that is not "go on".
    fn run(&mut self, words: &[u32]) -> Exit {
        self.memory.code = words.to_vec();
        self.state.set_pc(CODE);
        self.resume()
    }

    fn resume(&mut self) -> Exit {
        let end = CODE + 4 * self.memory.code.len() as u64;
        let limit = Limit { insns: self.memory.code.len() as u32, blocks: 1 };
        while self.state.pc() < end {
            self.entries += 1;
            let region = A64.lift(A64.key(&self.state), &self.memory, limit).expect("the code can be read");
            let exit = interp::run(
                &region,
                BlockId(0),
                &mut self.state,
                &mut self.memory,
                A64.helpers(),
                &mut Scratch::default(),
            );
            if exit != Exit::Next {
                return exit;
            }
        }
        Exit::Next
    }

    /// X0 after `word` with X1 and X2 given.
    fn compute(word: u32, x1: u64, x2: u64) -> u64 {
        let mut m = Machine::new(0);
        m.state.set_x(1, x1);
        m.state.set_x(2, x2);
        assert_eq!(m.run(&[word]), Exit::Next, "{word:#x}");
        m.state.x(0)
    }
}

impl Memory {
    fn at(&mut self, size: Size, addr: u64, access: Access) -> Result<&mut [u8], Fault> {
        let from = addr.wrapping_sub(DATA) as usize;
        let to = from.checked_add(size.bytes() as usize);
        to.and_then(|to| self.data.get_mut(from..to)).ok_or(Fault { addr, access, cause: 1 })
    }
}

impl Fetch for Memory {
    fn word(&self, pc: u64) -> Result<u32, Fault> {
        let word = self.code.get((pc - CODE) as usize / 4).copied();
        word.ok_or(Fault { addr: pc, access: Access::Fetch, cause: 1 })
    }
}

impl Runtime for Memory {
    fn load(&mut self, size: Size, addr: u64) -> Result<u128, Fault> {
        let mut v = [0; 16];
        let bytes = self.at(size, addr, Access::Read)?;
        v[..bytes.len()].copy_from_slice(bytes);
        Ok(u128::from_le_bytes(v))
    }
    fn store(&mut self, size: Size, addr: u64, v: u128) -> Result<(), Fault> {
        let bytes = self.at(size, addr, Access::Write)?;
        bytes.copy_from_slice(&v.to_le_bytes()[..size.bytes() as usize]);
        Ok(())
    }
    fn store_release(&mut self, size: Size, addr: u64, v: u128) -> Result<(), Fault> {
        self.store(size, addr, v)
    }
    fn rmw(&mut self, _: RmwOp, size: Size, addr: u64, v: u64) -> Result<u64, Fault> {
        let old = self.load(size, addr)?;
        self.store(size, addr, v as u128)?;
        Ok(old as u64)
    }
    fn cas(&mut self, size: Size, addr: u64, expected: u128, new: u128) -> Result<u128, Fault> {
        let old = self.load(size, addr)?;
        if old == expected {
            self.store(size, addr, new)?;
        }
        Ok(old)
    }
    fn fence(&mut self) {}
    fn counter(&mut self) -> u64 {
        99
    }
    fn counter_hz(&self) -> u64 {
        1000
    }
    fn random(&mut self) -> Option<u64> {
        self.random
    }
}

/// `sf` set in a 32-bit instruction.
const X: u32 = 1 << 31;

#[test]
fn cssc_one_source() {
    const CTZ: u32 = 0x5ac0_1820;
    const CNT: u32 = 0x5ac0_1c20;
    const ABS: u32 = 0x5ac0_2020;
    assert_eq!(Machine::compute(CTZ, 0xffff_0000_0000_0000, 0), 32);
    assert_eq!(Machine::compute(CTZ | X, 0xffff_0000_0000_0000, 0), 48);
    assert_eq!(Machine::compute(CTZ | X, 0, 0), 64);
    assert_eq!(Machine::compute(CNT, u64::MAX, 0), 32);
    assert_eq!(Machine::compute(CNT | X, u64::MAX - 1, 0), 63);
    assert_eq!(Machine::compute(ABS, 0xffff_ffff, 0), 1);
    assert_eq!(Machine::compute(ABS, 0x8000_0000, 0), 0x8000_0000);
    assert_eq!(Machine::compute(ABS | X, -5i64 as u64, 0), 5);
    assert_eq!(Machine::compute(ABS | X, i64::MIN as u64, 0), i64::MIN as u64);
}

#[test]
fn cssc_minima_and_maxima() {
    // SMAX, UMAX, SMIN, UMIN W0, W1, W2 and W0, W1, #-1 (#255 unsigned).
    let register = |op: u32| 0x1ac2_6020 | op << 10;
    let immediate = |op: u32| 0x11c3_fc20 | op << 18;
    let (small, big) = (3u64, 0xffff_fff0u64);
    let expected = [small, big, big, small];
    for (op, want) in expected.into_iter().enumerate() {
        assert_eq!(Machine::compute(register(op as u32), small, big), want, "{op}");
        assert_eq!(Machine::compute(register(op as u32), big, small), want, "{op}");
        // At 64 bits `big` is positive.
        let wide = if op < 2 { big } else { small };
        assert_eq!(Machine::compute(register(op as u32) | X, small, big), wide, "{op}");
    }
    let expected = [3, 255, 0xffff_ffff, 3];
    for (op, want) in expected.into_iter().enumerate() {
        assert_eq!(Machine::compute(immediate(op as u32), 3, 0), want, "{op}");
    }
    assert_eq!(Machine::compute(immediate(2) | X, 3, 0), u64::MAX);
}

const SETP: u32 = 0x19c2_0420;
const SETM: u32 = 0x19c2_4420;
const SETE: u32 = 0x19c2_8420;
const CPYFP: u32 = 0x1901_0440;
const CPYFM: u32 = 0x1941_0440;
const CPYFE: u32 = 0x1981_0440;
const CPYP: u32 = 0x1d01_0440;
const CPYM: u32 = 0x1d41_0440;
const CPYE: u32 = 0x1d81_0440;

#[test]
fn mops_set_fills_exactly_and_leaves_the_option_a_registers() {
    for len in [0, 1, 2, 15, 16, 17, 31, 100, 1000] {
        for skew in 0..4 {
            let mut m = Machine::new(2048);
            let before = m.memory.data.clone();
            m.state.set_x(0, DATA + skew);
            m.state.set_x(1, len);
            m.state.set_x(2, 0xabcd);
            m.state.set_nzcv(0xf000_0000);
            assert_eq!(m.run(&[SETP, SETM, SETE]), Exit::Next);
            let (from, to) = (skew as usize, (skew + len) as usize);
            assert!(m.memory.data[from..to].iter().all(|&b| b == 0xcd));
            assert_eq!(m.memory.data[..from], before[..from]);
            assert_eq!(m.memory.data[to..], before[to..]);
            assert_eq!((m.state.x(0), m.state.x(1), m.state.nzcv()), (DATA + skew + len, 0, 0));
        }
    }
}

#[test]
fn mops_copies_are_memmove() {
    for (to, from) in [(0u64, 512u64), (512, 0), (100, 101), (101, 100), (100, 107), (107, 100), (64, 64), (90, 60)] {
        for len in [0u64, 1, 5, 16, 33, 200] {
            let mut m = Machine::new(1024);
            let mut expected = m.memory.data.clone();
            expected.copy_within(from as usize..(from + len) as usize, to as usize);
            m.state.set_x(0, DATA + to);
            m.state.set_x(1, DATA + from);
            m.state.set_x(2, len);
            assert_eq!(m.run(&[CPYP, CPYM, CPYE]), Exit::Next);
            assert!(m.memory.data == expected, "{len} bytes from {from} to {to}");
            let backward = from < to && to < from + len;
            let end = if backward { 0 } else { len };
            let regs = (m.state.x(0), m.state.x(1), m.state.x(2));
            assert_eq!(regs, (DATA + to + end, DATA + from + end, 0), "{len} bytes from {from} to {to}");
        }
    }
}

#[test]
fn mops_forward_copy_goes_forward() {
    let mut m = Machine::new(256);
    let mut expected = m.memory.data.clone();
    expected.copy_within(50..150, 10);
    m.state.set_x(0, DATA + 10);
    m.state.set_x(1, DATA + 50);
    m.state.set_x(2, 100);
    assert_eq!(m.run(&[CPYFP, CPYFM, CPYFE]), Exit::Next);
    assert!(m.memory.data == expected);
}

#[test]
fn mops_sizes_saturate() {
    let mut m = Machine::new(0);
    m.state.set_x(0, 0x1_0000);
    m.state.set_x(1, u64::MAX);
    assert_eq!(m.run(&[SETP]), Exit::Next);
    assert_eq!(m.state.x(1), 0x8000_0000_0000_0001);
    m.state.set_x(0, 1 << 40);
    m.state.set_x(1, 0);
    m.state.set_x(2, u64::MAX);
    assert_eq!(m.run(&[CPYP]), Exit::Next);
    // The destination lies in the source: backwards, and the size stays as it is.
    assert_eq!(m.state.x(2), 0x007f_ffff_ffff_ffff);
}

#[test]
fn mops_faults_are_exact_and_restartable() {
    let mut m = Machine::new(4096);
    m.state.set_x(0, DATA + 4096 - 100);
    m.state.set_x(1, 164);
    m.state.set_x(2, 0x55);
    let exit = m.run(&[SETP, SETM, SETE]);
    // 100 bytes fit: six chunks of 16, then one that does not.
    let first_bad = DATA + 4096 - 4;
    assert_eq!(exit, Exit::Fault(Fault { addr: first_bad, access: Access::Write, cause: 1 }));
    assert_eq!(m.state.pc(), CODE + 4);
    assert_eq!(m.state.x(0).wrapping_add(m.state.x(1)), first_bad);
    m.memory.data.resize(8192, 0);
    assert_eq!(m.resume(), Exit::Next);
    assert!(m.memory.data[4096 - 100..4096 + 64].iter().all(|&b| b == 0x55));
    assert_eq!(m.memory.data[4096 + 64], 0);
    assert_eq!(m.state.x(1), 0);
}

#[test]
fn mops_gives_the_runtime_a_chance() {
    let len = 3 << 20;
    let mut m = Machine::new(len);
    m.state.set_x(0, DATA);
    m.state.set_x(1, len as u64);
    m.state.set_x(2, 1);
    assert_eq!(m.run(&[SETP, SETM, SETE]), Exit::Next);
    assert!(m.memory.data.iter().all(|&b| b == 1));
    assert_eq!(m.entries, 3);
}

#[test]
fn mops_constraints() {
    let undefined = [
        SETP | 3 << 14,                // no such stage
        SETP & !(31 << 16) | 1 << 16,  // Rs = Rn
        SETP | 31,                     // Rd = 31
        CPYP | 31 << 5,                // Rn = 31
        CPYP & !(31 << 16) | 31 << 16, // Rs = 31
        SETP | 1 << 26,                // SETGP: MTE
        SETP | 1 << 30,                // size
    ];
    for word in undefined {
        assert_eq!(Machine::new(0).run(&[word]), Exit::Undefined(word), "{word:#x}");
    }
    // A main instruction after the prologue of an "option B" processor.
    let mut m = Machine::new(64);
    m.state.set_x(0, DATA);
    m.state.set_x(1, 16);
    m.state.set_nzcv(0x2000_0000);
    assert_eq!(m.run(&[SETM]), Exit::Undefined(SETM));
    // XZR as the value.
    m.state.set_x(1, 16);
    let zero = |w: u32| w | 31 << 16;
    assert_eq!(m.run(&[zero(SETP), zero(SETM), zero(SETE)]), Exit::Next);
    assert_eq!(m.memory.data[..16], [0; 16]);
}

#[test]
fn id_registers_read_as_cpu_says() {
    let mrs = |crm: u32, op2: u32| 0xd538_0000 | crm << 8 | op2 << 5;
    for crm in 0..16 {
        for op2 in 0..8 {
            let word = mrs(crm, op2);
            let mut m = Machine::new(0);
            match cpu::Profile::Default.id_register(crm as u8, op2 as u8) {
                Some(v) => {
                    assert_eq!(m.run(&[word]), Exit::Next);
                    assert_eq!(m.state.x(0), v);
                }
                None => assert_eq!(m.run(&[word]), Exit::Undefined(word)),
            }
        }
    }
    assert_eq!(Machine::compute(0xd53b_0020, 0, 0), cpu::CTR_EL0);
    assert_eq!(Machine::compute(0xd53b_00e0, 0, 0), cpu::DCZID_EL0);
    assert_eq!(Machine::compute(0xd53b_e000, 0, 0), 1000, "CNTFRQ_EL0");
    assert_eq!(Machine::compute(0xd53b_e040, 0, 0), 99, "CNTVCT_EL0");
    assert_eq!(Machine::compute(0xd53b_e0c0, 0, 0), 99, "CNTVCTSS_EL0");
}

#[test]
fn random_numbers_tell_by_the_flags() {
    let mut m = Machine::new(0);
    m.state.set_nzcv(0xf000_0000);
    assert_eq!(m.run(&[0xd53b_2400]), Exit::Next);
    assert_eq!((m.state.x(0), m.state.nzcv()), (7, 0));
    m.memory.random = None;
    assert_eq!(m.run(&[0xd53b_2420]), Exit::Next);
    assert_eq!((m.state.x(0), m.state.nzcv()), (0, 0x4000_0000));
}

#[test]
fn dc_zva_zeroes_its_line() {
    let mut m = Machine::new(256);
    m.memory.data.fill(9);
    m.state.set_x(0, DATA + 64 + 37);
    assert_eq!(m.run(&[0xd50b_7420]), Exit::Next);
    let zeroes = m.memory.data.iter().map(|&b| b == 0);
    assert!(zeroes.enumerate().all(|(i, zero)| zero == (64..128).contains(&i)));
}

#[test]
fn ic_ivau_names_its_line() {
    let mut m = Machine::new(0);
    m.state.set_x(0, 0x1234_5678);
    assert_eq!(m.run(&[0xd50b_7520]), Exit::InvalidateCode { addr: 0x1234_5640, len: 64 });
    assert_eq!(m.state.pc(), CODE + 4);
}

#[test]
fn writing_fpcr_changes_the_key() {
    let mut m = Machine::new(0);
    m.state.set_x(0, u64::MAX);
    let before = A64.key(&m.state).mode;
    assert_eq!(m.run(&[0xd51b_4400, 0xd53b_4401]), Exit::Next);
    assert_eq!(m.entries, 2, "the region ends behind MSR FPCR");
    assert_eq!(m.state.x(1), cpu::FPCR_MODES as u64);
    assert_ne!(A64.key(&m.state).mode, before);
}

#[test]
fn dit_and_ssbs_are_kept() {
    // MSR DIT, #1; MRS X0, DIT; MRS X1, SSBS; MSR SSBS, X2; MRS X3, SSBS; MSR DIT, #0; MRS X4, DIT
    let words = [0xd503_415f, 0xd53b_42a0, 0xd53b_42c1, 0xd51b_42c2, 0xd53b_42c3, 0xd503_405f, 0xd53b_42a4];
    let mut m = Machine::new(0);
    m.state.set_x(2, u64::MAX);
    assert_eq!(m.run(&words), Exit::Next);
    let x = |n| m.state.x(n);
    assert_eq!([x(0), x(1), x(3), x(4)], [1 << 24, 0, 1 << 12, 0]);
}

const LDXR: u32 = 0xc85f_7c20; // X0, [X1]
const STXR: u32 = 0xc802_7c24; // W2, X4, [X1]
const LDXP: u32 = 0xc87f_0c20; // X0, X3, [X1]
const STXP: u32 = 0xc822_1424; // W2, X4, X5, [X1]

/// Status and memory after `words`, with X1 at the data and X4, X5 new values.
fn exclusive(words: &[u32], skew: u64) -> (Exit, u64, u128) {
    let mut m = Machine::new(64);
    m.state.set_x(1, DATA + skew);
    m.state.set_x(2, 0xdead);
    m.state.set_x(4, 0x4444);
    m.state.set_x(5, 0x5555);
    let exit = m.run(words);
    (exit, m.state.x(2), m.memory.load(Size::B16, DATA).expect("in range"))
}

#[test]
fn exclusives() {
    let before = exclusive(&[], 0).2;
    let low = before & !(u64::MAX as u128) | 0x4444;
    assert_eq!(exclusive(&[LDXR, STXR], 0), (Exit::Next, 0, low));
    assert_eq!(exclusive(&[STXR], 0), (Exit::Next, 1, before), "the monitor is open at first");
    assert_eq!(exclusive(&[LDXR, STXR, STXR], 0), (Exit::Next, 1, low), "a store opens it");
    assert_eq!(exclusive(&[LDXR, 0xd503_3f5f, STXR], 0), (Exit::Next, 1, before), "CLREX opens it");
    assert_eq!(exclusive(&[LDXP, STXP], 0), (Exit::Next, 0, 0x5555 << 64 | 0x4444));
    assert_eq!(exclusive(&[LDXR, STXP], 0), (Exit::Next, 1, before), "another size");
    // STR X4, [X1] in between: the value is no longer what was loaded.
    assert_eq!(exclusive(&[LDXR, 0xf900_0024, STXR], 0), (Exit::Next, 1, low));
    let (exit, status, memory) = exclusive(&[LDXR], 4);
    assert!(matches!(exit, Exit::Fault(Fault { cause: interp::CAUSE_ALIGNMENT, .. })));
    assert_eq!((status, memory), (0xdead, before));
}

#[test]
fn lse2_allows_what_stays_within_16_bytes() {
    let ldar = 0xc8df_fc20; // X0, [X1]
    for skew in 0..16 {
        let exit = exclusive(&[ldar], skew).0;
        assert_eq!(exit == Exit::Next, skew <= 8, "{skew}");
    }
}

#[test]
fn hinted_conditional_branch() {
    // BC.EQ +8 over MOVZ X0, #1; then NOP
    let words = [0x5400_0050, 0xd280_0020, 0xd503_201f];
    for (nzcv, want) in [(0x4000_0000, 0), (0, 1)] {
        let mut m = Machine::new(0);
        m.state.set_nzcv(nzcv);
        assert_eq!(m.run(&words), Exit::Next);
        assert_eq!(m.state.x(0), want);
    }
}
