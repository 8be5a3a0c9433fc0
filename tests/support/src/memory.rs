//! A [`Runtime`](jib_ir::runtime::Runtime) for tests, made of bytes that can be read and written.

use jib_ir::eval::int;
use jib_ir::interp::size_mask;
use jib_ir::runtime::{Access, Fault, RmwOp};
use jib_ir::ty::Size;

/// A test's memory.
pub trait Bytes {
    /// The byte at `addr`, if it may be accessed so.
    fn byte(&mut self, addr: u64, access: Access) -> Result<u8, Fault>;
    /// Replaces the byte at `addr`.
    fn set_byte(&mut self, addr: u64, v: u8) -> Result<(), Fault>;
    /// The counter.
    fn tick(&mut self) -> u64 {
        0
    }
}

/// `size` bytes at `addr`, all of which may be accessed so.
pub fn load(m: &mut impl Bytes, size: Size, addr: u64, access: Access) -> Result<u128, Fault> {
    (0..size.bytes()).try_fold(0, |v, i| Ok(v | u128::from(m.byte(addr.wrapping_add(i), access)?) << (8 * i)))
}

/// Writes `size` bytes, or none.
pub fn store(m: &mut impl Bytes, size: Size, addr: u64, v: u128) -> Result<(), Fault> {
    load(m, size, addr, Access::Write)?;
    (0..size.bytes()).try_for_each(|i| m.set_byte(addr.wrapping_add(i), (v >> (8 * i)) as u8))
}

/// Read-modify-write; the old value.
pub fn rmw(m: &mut impl Bytes, op: RmwOp, size: Size, addr: u64, v: u64) -> Result<u64, Fault> {
    let old = load(m, size, addr, Access::Write)? as u64;
    store(m, size, addr, u128::from(int::rmw(op, size, old, v)))?;
    Ok(old)
}

/// Compare-and-swap; the old value.
pub fn cas(m: &mut impl Bytes, size: Size, addr: u64, expected: u128, new: u128) -> Result<u128, Fault> {
    let old = load(m, size, addr, Access::Write)?;
    if old == expected & size_mask(size) {
        store(m, size, addr, new)?;
    }
    Ok(old)
}

/// Implements `Runtime` for a type that is [`Bytes`]: one thread, a counter that counts, the random number 4.
#[macro_export]
macro_rules! runtime_of_bytes {
    ($t:ty) => {
        impl jib_ir::runtime::Runtime for $t {
            fn load(&mut self, size: jib_ir::ty::Size, addr: u64) -> Result<u128, jib_ir::runtime::Fault> {
                $crate::memory::load(self, size, addr, jib_ir::runtime::Access::Read)
            }
            fn store(&mut self, size: jib_ir::ty::Size, addr: u64, v: u128) -> Result<(), jib_ir::runtime::Fault> {
                $crate::memory::store(self, size, addr, v)
            }
            fn store_release(
                &mut self,
                size: jib_ir::ty::Size,
                addr: u64,
                v: u128,
            ) -> Result<(), jib_ir::runtime::Fault> {
                $crate::memory::store(self, size, addr, v)
            }
            fn rmw(
                &mut self,
                op: jib_ir::runtime::RmwOp,
                size: jib_ir::ty::Size,
                addr: u64,
                v: u64,
            ) -> Result<u64, jib_ir::runtime::Fault> {
                $crate::memory::rmw(self, op, size, addr, v)
            }
            fn cas(
                &mut self,
                size: jib_ir::ty::Size,
                addr: u64,
                expected: u128,
                new: u128,
            ) -> Result<u128, jib_ir::runtime::Fault> {
                $crate::memory::cas(self, size, addr, expected, new)
            }
            fn fence(&mut self) {}
            fn counter(&mut self) -> u64 {
                $crate::memory::Bytes::tick(self)
            }
            fn counter_hz(&self) -> u64 {
                1_000_000_000
            }
            fn random(&mut self) -> Option<u64> {
                Some(4)
            }
        }
    };
}
