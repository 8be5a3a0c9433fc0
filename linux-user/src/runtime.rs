//! User-mode [`Runtime`]: memory is the host's, the counter is the host's monotonic clock.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use jib_backend::{Image, Images};
use jib_ir::guest::Fetch;
use jib_ir::runtime::{Access, Fault, RmwOp, Runtime};
use jib_ir::ty::Size;

use crate::host::{self, try_call};
use crate::mem;
use crate::signal::host::last_fault;
use crate::space::AddressSpace;

/// The runtime of every guest thread.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct UserRuntime {
    /// What the host said of the access at which compiled code faulted, while the interpreter comes to it again.
    /// Whatever another thread maps there meanwhile comes too late.
    expected: Option<Fault>,
}

impl UserRuntime {
    /// Is the access at `addr` the one that has faulted?
    #[inline]
    fn expected(&self, access: Access, size: Size, addr: u64) -> Result<(), Fault> {
        match self.expected {
            Some(f) if f.access == access && f.addr.wrapping_sub(addr) < size.bytes() => Err(f),
            _ => Ok(()),
        }
    }
}

/// `CNTFRQ_EL0`: the counter counts nanoseconds.
const COUNTER_HZ: u64 = 1_000_000_000;

impl Runtime for UserRuntime {
    #[inline]
    fn load(&mut self, size: Size, addr: u64) -> Result<u128, Fault> {
        self.expected(Access::Read, size, addr)?;
        mem::load(size, addr)
    }

    #[inline]
    fn store(&mut self, size: Size, addr: u64, v: u128) -> Result<(), Fault> {
        self.expected(Access::Write, size, addr)?;
        mem::store(size, addr, v)
    }

    fn store_release(&mut self, size: Size, addr: u64, v: u128) -> Result<(), Fault> {
        match size {
            Size::B16 => {
                mem::store(size, addr, v)?;
                fence(Ordering::SeqCst);
                Ok(())
            }
            _ => mem::swap(size, addr, v as u64).map(drop),
        }
    }

    fn rmw(&mut self, op: RmwOp, size: Size, addr: u64, v: u64) -> Result<u64, Fault> {
        match op {
            RmwOp::Add => mem::add(size, addr, v),
            RmwOp::Swap => mem::swap(size, addr, v),
            _ => {
                let mut old = mem::load(size, addr)? as u64;
                loop {
                    let new = combine(op, size, old, v);
                    let seen = mem::cas(size, addr, old as u128, new as u128)? as u64;
                    if seen == old {
                        return Ok(old);
                    }
                    old = seen;
                }
            }
        }
    }

    fn cas(&mut self, size: Size, addr: u64, expected: u128, new: u128) -> Result<u128, Fault> {
        mem::cas(size, addr, expected, new)
    }

    fn fence(&mut self) {
        fence(Ordering::SeqCst);
    }

    fn counter(&mut self) -> u64 {
        host::monotonic_ns()
    }

    fn counter_hz(&self) -> u64 {
        COUNTER_HZ
    }

    fn replay(&mut self, begins: bool) {
        self.expected = if begins { last_fault() } else { None };
    }

    fn random(&mut self) -> Option<u64> {
        let mut v = 0u64;
        (try_call(libc::SYS_getrandom, &[&raw mut v as u64, 8, 0]) == Ok(8)).then_some(v)
    }
}

/// `op(old, v)`, its upper bits being of no interest.
fn combine(op: RmwOp, size: Size, old: u64, v: u64) -> u64 {
    let unused = 64 - 8 * size.bytes().min(8) as u32;
    let signed = |x: u64| (x << unused) as i64;
    let unsigned = |x: u64| x << unused;
    match op {
        RmwOp::Add => old.wrapping_add(v),
        RmwOp::Clr => old & !v,
        RmwOp::Xor => old ^ v,
        RmwOp::Or => old | v,
        RmwOp::SMax => {
            if signed(old) >= signed(v) {
                old
            } else {
                v
            }
        }
        RmwOp::SMin => {
            if signed(old) <= signed(v) {
                old
            } else {
                v
            }
        }
        RmwOp::UMax => {
            if unsigned(old) >= unsigned(v) {
                old
            } else {
                v
            }
        }
        RmwOp::UMin => {
            if unsigned(old) <= unsigned(v) {
                old
            } else {
                v
            }
        }
        RmwOp::Swap => v,
    }
}

/// Instruction fetch for the translator.
pub(crate) struct Code(pub Arc<AddressSpace>);

impl Fetch for Code {
    fn word(&self, pc: u64) -> Result<u32, Fault> {
        self.0.word(pc)
    }

    fn words(&self, pc: u64, room: &mut [u32]) -> Result<usize, Fault> {
        self.0.words(pc, room)
    }

    fn shows(&self, pc: u64, code: &[u8]) -> bool {
        self.0.shows(pc, code)
    }
}

impl Images for Code {
    fn at(&self, pc: u64) -> Option<Image> {
        self.0.image_at(pc).map(|(identity, range)| Image { identity, start: range.start })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_minima_and_maxima_look_at_their_bits_alone() {
        let mut rt = UserRuntime::default();
        let mut word = 0x11ffu64;
        let at = &raw mut word as u64;
        assert_eq!(rt.rmw(RmwOp::SMax, Size::B1, at, 0xaa01).unwrap(), 0xff);
        assert_eq!(rt.load(Size::B8, at).unwrap(), 0x1101);
        assert_eq!(rt.rmw(RmwOp::UMin, Size::B2, at, 0x1100).unwrap(), 0x1101);
        assert_eq!(rt.rmw(RmwOp::Clr, Size::B2, at, 0x1000).unwrap(), 0x1100);
        assert_eq!(rt.load(Size::B8, at).unwrap(), 0x100);
        assert_eq!(rt.rmw(RmwOp::Swap, Size::B4, at, 7).unwrap(), 0x100);
    }
}
