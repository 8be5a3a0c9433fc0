//! The frame that a signal puts on the guest's stack: `struct rt_sigframe` of AArch64 Linux.

use jib_ir::state::{State, slot};

use super::{AltStack, SigInfo};
use crate::mem;

/// Bytes of `struct rt_sigframe`: siginfo, ucontext with its 4096 reserved bytes.
pub(crate) const FRAME_SIZE: u64 = 128 + UCONTEXT_SIZE;
const UCONTEXT_SIZE: u64 = MCONTEXT + 288 + 4096;
/// Offset of the siginfo's end, where the ucontext begins.
pub(crate) const UCONTEXT: u64 = 128;
/// Offsets in the ucontext.
const UC_STACK: u64 = 16;
const UC_SIGMASK: u64 = 40;
const MCONTEXT: u64 = 176;
/// Offsets in the mcontext.
const MC_REGS: u64 = 8;
const MC_RECORDS: u64 = 288;

const FPSIMD_MAGIC: u32 = 0x4650_8001;
const FPSIMD_SIZE: u32 = 528;
const ESR_MAGIC: u32 = 0x4553_5201;
const ESR_SIZE: u32 = 16;

/// `PSTATE` bits besides NZCV that a program may hold: DIT and SSBS.
pub(crate) const PSTATE_BITS: u64 = 1 << 24 | 1 << 12;

/// The fault that caused a signal, as the frame shows it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FaultRecord {
    /// `fault_address`
    pub addr: u64,
    /// Exception syndrome; zero leaves the record out.
    pub esr: u64,
}

/// A growing image of the frame.
struct Image(Vec<u8>);

impl Image {
    fn u64(&mut self, v: u64) -> &mut Image {
        self.0.extend(v.to_le_bytes());
        self
    }
    fn u32(&mut self, v: u32) -> &mut Image {
        self.0.extend(v.to_le_bytes());
        self
    }
    fn pad_to(&mut self, at: u64) -> &mut Image {
        debug_assert!(self.0.len() as u64 <= at);
        self.0.resize(at as usize, 0);
        self
    }
}

/// The used bytes of a frame for `state` as it is.
fn image(state: &State, info: &SigInfo, stack: AltStack, mask: u64, fault: FaultRecord) -> Vec<u8> {
    let mut im = Image(Vec::with_capacity(1200));
    im.0.extend(info.0);
    im.pad_to(UCONTEXT + UC_STACK).0.extend(stack.to_bytes(state.x(31)));
    im.pad_to(UCONTEXT + UC_SIGMASK).u64(mask);
    im.pad_to(UCONTEXT + MCONTEXT).u64(fault.addr);
    for n in 0..32 {
        im.u64(state.x(n));
    }
    let pstate = state.nzcv() as u64 | state.get(slot::PSTATE) & PSTATE_BITS;
    im.u64(state.pc()).u64(pstate).pad_to(UCONTEXT + MCONTEXT + MC_RECORDS);
    im.u32(FPSIMD_MAGIC).u32(FPSIMD_SIZE).u32(state.fpsr()).u32(state.fpcr());
    for n in 0..32 {
        im.0.extend(state.v(n).to_le_bytes());
    }
    if fault.esr != 0 {
        im.u32(ESR_MAGIC).u32(ESR_SIZE).u64(fault.esr);
    }
    im.u64(0).u64(0);
    im.0
}

/// Where a frame was put.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    /// Its address, the handler's stack pointer.
    pub frame: u64,
    /// Address of the frame record {fp, lr} above it.
    pub record: u64,
}

/// Writes a frame below `top`; `None` if the memory is not there or lies under `floor`.
pub(crate) fn push(
    state: &State,
    top: u64,
    floor: u64,
    info: &SigInfo,
    stack: AltStack,
    mask: u64,
    fault: FaultRecord,
) -> Option<Placed> {
    let record = top.checked_sub(16)? & !15;
    let frame = record.checked_sub(FRAME_SIZE)? & !15;
    if frame < floor {
        return None;
    }
    let mut link = [0; 16];
    link[..8].copy_from_slice(&state.x(29).to_le_bytes());
    link[8..].copy_from_slice(&state.x(30).to_le_bytes());
    mem::write(record, &link).ok()?;
    mem::write(frame, &image(state, info, stack, mask, fault)).ok()?;
    Some(Placed { frame, record })
}

/// What a frame says besides registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Restored {
    /// Signal mask to return to.
    pub mask: u64,
    /// `stack_t` bytes.
    pub stack: [u8; 24],
}

/// Reads the frame at `sp` back into `state`; `None` if it is not a valid one.
pub(crate) fn pop(state: &mut State, sp: u64) -> Option<Restored> {
    if !sp.is_multiple_of(16) {
        return None;
    }
    let mut b = vec![0; FRAME_SIZE as usize];
    mem::read(sp, &mut b).ok()?;
    let word = |at: u64| u64::from_le_bytes(std::array::from_fn(|i| b[at as usize + i]));
    let regs = UCONTEXT + MCONTEXT + MC_REGS;
    let pstate = word(regs + 33 * 8);
    if pstate & 0x1f != 0 {
        return None;
    }
    let records = &b[(UCONTEXT + MCONTEXT + MC_RECORDS) as usize..];
    restore_fpsimd(state, records)?;
    for n in 0..32 {
        state.set_x(n as usize, word(regs + n * 8));
    }
    state.set_pc(word(regs + 32 * 8));
    state.set_nzcv(pstate as u32);
    state.set(slot::PSTATE, pstate & PSTATE_BITS);
    let stack = std::array::from_fn(|i| b[(UCONTEXT + UC_STACK) as usize + i]);
    Some(Restored { mask: word(UCONTEXT + UC_SIGMASK), stack })
}

/// Finds the FPSIMD record, which must be there, and restores from it.
fn restore_fpsimd(state: &mut State, records: &[u8]) -> Option<()> {
    let mut at = 0;
    let mut found = None;
    loop {
        let head = records.get(at..at + 8)?;
        let word = |i: usize| u32::from_le_bytes(std::array::from_fn(|k| head[i + k]));
        let (magic, size) = (word(0), word(4) as usize);
        match (magic, size) {
            (0, 0) => break,
            _ if size < 16 || size % 16 != 0 => return None,
            (FPSIMD_MAGIC, 528) => found = records.get(at + 8..at + 528),
            _ => {}
        }
        at = at.checked_add(size)?;
    }
    let r = found?;
    let word = |i: usize| u32::from_le_bytes(std::array::from_fn(|k| r[i + k]));
    state.set(slot::FPSR, word(0) as u64);
    state.set(slot::FPCR, word(4) as u64);
    for n in 0..32 {
        let v = u128::from_le_bytes(std::array::from_fn(|k| r[8 + 16 * n + k]));
        state.set_v(n, v);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_restores_what_it_saved() {
        crate::signal::host::install_fault_handlers();
        let mut memory = vec![0u128; 1024];
        let top = memory.as_mut_ptr() as u64 + 16 * 1024;
        let mut a = State::default();
        for n in 0..32 {
            a.set_x(n, 0x1000 + n as u64);
            a.set_v(n, u128::MAX / (n as u128 + 1));
        }
        a.set_pc(0x4444);
        a.set_nzcv(0x9000_0000);
        a.set(slot::FPSR, 0x10);
        a.set(slot::FPCR, 0x40_0000);
        let fault = FaultRecord { addr: 8, esr: 0x9200_0046 };
        let p = push(&a, top, 0, &SigInfo::user(10), AltStack::default(), 0xff00, fault).unwrap();
        assert_eq!((top - p.frame, p.record), (FRAME_SIZE + 16, top - 16));
        let mut b = State::default();
        assert_eq!(pop(&mut b, p.frame).unwrap().mask, 0xff00);
        a.set_nzcv(0x9000_0000);
        assert_eq!(a.0, b.0);
        assert!(push(&a, top, top - 100, &SigInfo::user(10), AltStack::default(), 0, fault).is_none());
        assert!(push(&a, 0x2000, 0, &SigInfo::user(10), AltStack::default(), 0, fault).is_none());
        memory[0] = 0;
        assert!(pop(&mut b, p.frame + 8).is_none() && pop(&mut b, 0x2000).is_none());
        mem::write(p.frame + UCONTEXT + MCONTEXT + MC_RECORDS, &[0; 8]).unwrap();
        assert!(pop(&mut b, p.frame).is_none());
    }
}
