//! The machine as a debugger sees it: memory by virtual and physical address, CPUs as threads.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jib_debug::{Debuggee, ThreadId};
use jib_frontend_aarch64::system::mmu::{Kind, PhysMem, walk};
use jib_frontend_aarch64::system::state;
use jib_ir::state::State;

use crate::clock::Clock;
use crate::device::Size;
use crate::space::{AddressSpace, Target};

/// The thread that stands for CPU `cpu`.
pub(crate) fn cpu_thread(cpu: usize) -> ThreadId {
    NonZeroUsize::MIN.saturating_add(cpu)
}

/// What the debugger may do to a machine.
pub(crate) struct Guest {
    pub(crate) space: Arc<AddressSpace>,
    pub(crate) clock: Clock,
    /// Stops the machine for good.
    pub(crate) stop: Box<dyn Fn() + Send + Sync>,
}

/// Page tables, to be read without a trace: no access flag is set, nothing is marked dirty.
struct Tables<'a>(&'a AddressSpace);

impl PhysMem for Tables<'_> {
    fn read64(&mut self, pa: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.0.peek(pa, &mut bytes).ok()?;
        Some(u64::from_le_bytes(bytes))
    }
    fn cas64(&mut self, _: u64, _: u64, _: u64) -> Option<bool> {
        Some(true)
    }
}

/// Bytes from `addr` to the end of its smallest page, `len` at most.
fn in_page(addr: u64, len: usize) -> usize {
    len.min((0x1000 - (addr & 0xfff)) as usize)
}

/// The largest access that fits at `addr`.
fn device_size(addr: u64, len: usize) -> Size {
    let fits = |s: &&Size| addr.is_multiple_of(s.bytes()) && s.bytes() as usize <= len;
    Size::ALL.iter().rev().find(fits).copied().unwrap_or(Size::B1)
}

impl Guest {
    fn physical(&self, s: &State, addr: u64, physical: bool) -> Option<u64> {
        if physical { Some(addr) } else { self.translate(s, addr) }
    }

    /// Reads within a page; gives the number of bytes.
    fn read_physical(&self, pa: u64, out: &mut [u8]) -> usize {
        match self.space.target(pa, 1) {
            Target::Ram(_) | Target::Rom => self.space.peek(pa, out).map_or(0, |()| out.len()),
            Target::Device => {
                let size = device_size(pa, out.len());
                let Ok(v) = self.space.read(0, pa, size) else { return 0 };
                let len = size.bytes() as usize;
                out[..len].copy_from_slice(&v.to_le_bytes()[..len]);
                len
            }
            Target::Nothing => 0,
        }
    }

    fn write_physical(&self, pa: u64, bytes: &[u8]) -> usize {
        match self.space.target(pa, 1) {
            Target::Ram(_) => self.space.poke(pa, bytes).map_or(0, |()| bytes.len()),
            Target::Device => {
                let size = device_size(pa, bytes.len());
                let mut wide = [0; 8];
                let len = size.bytes() as usize;
                wide[..len].copy_from_slice(&bytes[..len]);
                self.space.write(0, pa, size, u64::from_le_bytes(wide)).map_or(0, |()| len)
            }
            Target::Rom | Target::Nothing => 0,
        }
    }
}

impl Debuggee for Guest {
    fn is_system(&self) -> bool {
        true
    }

    fn read(&self, s: &State, addr: u64, out: &mut [u8], physical: bool) -> usize {
        let mut done = 0;
        while done < out.len() {
            let at = addr.wrapping_add(done as u64);
            let Some(pa) = self.physical(s, at, physical) else { break };
            let end = done + in_page(at, out.len() - done);
            match self.read_physical(pa, &mut out[done..end]) {
                0 => break,
                n => done += n,
            }
        }
        done
    }

    fn write(&self, s: &State, addr: u64, bytes: &[u8], physical: bool) -> bool {
        let mut done = 0;
        while done < bytes.len() {
            let at = addr.wrapping_add(done as u64);
            let Some(pa) = self.physical(s, at, physical) else { return false };
            let end = done + in_page(at, bytes.len() - done);
            match self.write_physical(pa, &bytes[done..end]) {
                0 => return false,
                n => done += n,
            }
        }
        true
    }

    fn translate(&self, s: &State, va: u64) -> Option<u64> {
        let regime = state::regime(s);
        let va = regime.canonical(va);
        // As EL1 reads: E0PD does not hide anything from a debugger.
        let entry = walk(&regime, &mut Tables(&self.space), va, Kind::Read, false).ok()?;
        Some(entry.translate(va))
    }

    fn describe(&self, thread: ThreadId, s: &State) -> String {
        format!("CPU#{} EL{}", thread.get() - 1, state::el(s))
    }

    fn auxv(&self) -> Option<&[u8]> {
        None
    }

    fn program(&self) -> Option<&Path> {
        None
    }

    fn file(&self, _: &Path) -> Option<PathBuf> {
        None
    }

    fn kill(&self) {
        (self.stop)();
    }

    fn held(&self, held: bool) {
        self.clock.hold(held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Bus;
    use crate::ram::Ram;

    const RAM: u64 = 0x4000_0000;

    fn guest() -> Guest {
        let bus = Bus::builder().build().expect("no overlap");
        let space = Arc::new(AddressSpace::new(Arc::new(Ram::new(RAM, 0x10000).expect("memory")), bus));
        Guest { space, clock: Clock::start(), stop: Box::new(|| {}) }
    }

    #[test]
    fn virtual_addresses_go_through_the_cpus_tables_and_leave_them_alone() {
        let (guest, mut s) = (guest(), State::default());
        state::reset(&mut s, 0, true);
        // 4K pages, 39 bits: one entry of each level, the last without its access flag.
        let put = |at: u64, v: u64| guest.space.poke(at, &v.to_le_bytes()).expect("RAM");
        put(RAM, RAM + 0x1000 + 3);
        put(RAM + 0x1000, RAM + 0x2000 + 3);
        put(RAM + 0x2000, (RAM + 0x8000) | 3 | 1 << 10);
        put(RAM + 0x2008, (RAM + 0x5000) | 3 | 1 << 10);
        s.set(state::TTBR0, RAM);
        s.set(state::TCR, 25 | 25 << 16 | 1 << 39);
        assert!(guest.write(&s, RAM + 0x8ffc, b"abcd", false), "MMU off");
        assert!(guest.write(&s, RAM + 0x5000, b"efgh", true));
        s.set(state::SCTLR, 1);
        let mut out = [0; 8];
        assert_eq!(guest.read(&s, 0xffc, &mut out, false), 8, "over a page's end");
        assert_eq!(&out, b"abcdefgh");
        assert_eq!(guest.read(&s, 0x1ffc, &mut out, false), 4, "the next page is not mapped");
        assert_eq!(guest.translate(&s, 0x1234), Some(RAM + 0x5234));
        assert_eq!(guest.translate(&s, 1 << 50), None);
        assert!(guest.write(&s, 0x10, b"x", false) && !guest.write(&s, 0x2000, b"x", false));
        let mut entry = [0; 8];
        guest.space.peek(RAM + 0x2000, &mut entry).expect("RAM");
        assert_eq!(u64::from_le_bytes(entry), (RAM + 0x8000) | 3 | 1 << 10, "the table is as it was");
    }

    #[test]
    fn device_accesses_are_aligned() {
        assert_eq!(device_size(0x1000, 8), Size::B8);
        assert_eq!(device_size(0x1004, 8), Size::B4);
        assert_eq!(device_size(0x1002, 3), Size::B2);
        assert_eq!(device_size(0x1001, 8), Size::B1);
    }
}
