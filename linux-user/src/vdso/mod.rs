//! The vDSO: clocks without a system call, and where signal handlers return to.
//!
//! The counter that guest code reads counts the nanoseconds of the host's monotonic clock, so that clock needs no
//! more. The real-time clock is it plus an offset, which changes when somebody sets the clock. The data page holds
//! the offset and until when it may be believed; then the function makes a system call, in which we look again.

mod image;

use std::sync::Mutex;

use jib_ir::ty::Size;

use crate::error::Error;
use crate::host::{self, Errno, try_call};
use crate::mem;
use crate::space::{AddressSpace, Mmap};
use crate::vma::Kind;
use image::PAGE;

/// How long the offset is believed, in nanoseconds: a clock that is set is noticed that much later.
const BELIEVED_NS: u64 = 1_000_000;
/// How often the offset is measured to find it exactly: each reading of two clocks takes some time.
const ATTEMPTS: usize = 4;

/// The mapped vDSO.
#[derive(Debug)]
pub(crate) struct Vdso {
    /// Address of its ELF image.
    pub base: u64,
    /// Address of the signal return.
    pub sigreturn: u64,
    /// Our own view of the data page: until when, and the offset.
    data: u64,
    offset: Mutex<Option<u64>>,
}

impl Vdso {
    /// Maps both pages into the guest's memory.
    pub(crate) fn map(space: &AddressSpace) -> Result<Vdso, Error> {
        let failed = |e: Errno| Error::Map { what: "the vDSO".into(), errno: e.0 };
        let image = image::build();
        let (rw, page) = (libc::PROT_READ | libc::PROT_WRITE, PAGE as u64);
        let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let both = Mmap { addr: 0, len: 2 * page, prot: rw, flags: private, fd: -1, offset: 0, kind: Kind::Vdso };
        let at = space.mmap(both).map_err(failed)?.value;
        let base = at + page;
        mem::write(base, &image.bytes).map_err(|_| failed(Errno(libc::ENOMEM)))?;
        space.mprotect(base, page, libc::PROT_READ | libc::PROT_EXEC).map_err(failed)?;
        // The data: a page that we write and the guest reads; after a fork both processes write the same truth.
        let fd =
            try_call(libc::SYS_memfd_create, &[c"vvar".as_ptr() as u64, libc::MFD_CLOEXEC as u64]).map_err(failed)?;
        let mapped = map_data(space, fd, at);
        _ = try_call(libc::SYS_close, &[fd]);
        let vdso =
            Vdso { base, sigreturn: base + image.sigreturn, data: mapped.map_err(failed)?, offset: Mutex::new(None) };
        vdso.refresh();
        Ok(vdso)
    }

    /// Measures the offset again and lets the guest believe it for a while.
    pub(crate) fn refresh(&self) {
        // Another thread that is at it does the same; after a fork nobody may be.
        let Ok(mut known) = self.offset.try_lock() else { return };
        let Some((low, high, now)) = (0..ATTEMPTS).filter_map(|_| measure()).min_by_key(|(low, high, _)| high - low)
        else {
            return;
        };
        // What was right before still is, unless the clock was set: then readings do not jitter.
        let offset = known.filter(|o| (low.saturating_sub(1)..=high + 1).contains(o)).unwrap_or(low);
        if *known != Some(offset) {
            self.put(0, 0);
            self.put(8, offset);
            *known = Some(offset);
        }
        self.put(0, now + BELIEVED_NS);
    }

    /// Somebody may have set the clock just now.
    pub(crate) fn distrust(&self) {
        self.put(0, 0);
    }

    fn put(&self, at: u64, value: u64) {
        // Our own mapping of the page is always there.
        _ = mem::swap(Size::B8, self.data + at, value);
    }
}

/// Maps the file over the first page for the guest, and somewhere for us.
fn map_data(space: &AddressSpace, fd: u64, at: u64) -> Result<u64, Errno> {
    let page = PAGE as u64;
    try_call(libc::SYS_ftruncate, &[fd, page])?;
    let flags = libc::MAP_SHARED | libc::MAP_FIXED;
    space.mmap(Mmap {
        addr: at,
        len: page,
        prot: libc::PROT_READ,
        flags,
        fd: fd as i32,
        offset: 0,
        kind: Kind::Vvar,
    })?;
    let prot = (libc::PROT_READ | libc::PROT_WRITE) as u64;
    try_call(libc::SYS_mmap, &[0, page, prot, libc::MAP_SHARED as u64, fd, 0])
}

/// Bounds of the real time at monotonic time 0, and the monotonic time, in nanoseconds.
fn measure() -> Option<(u64, u64, u64)> {
    let ns = |clock| host::clock(clock).ok().map(|(s, ns)| s as u64 * 1_000_000_000 + ns as u64);
    let (before, real, after) = (ns(libc::CLOCK_MONOTONIC)?, ns(libc::CLOCK_REALTIME)?, ns(libc::CLOCK_MONOTONIC)?);
    Some((real.wrapping_sub(after), real.wrapping_sub(before), after)).filter(|(low, high, _)| low <= high)
}
