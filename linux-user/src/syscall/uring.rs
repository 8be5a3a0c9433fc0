//! io_uring: the rings are the kernel's own, shared with the guest as they are. Requests are equal on both sides but
//! for the flags of opened files and epoll's event; those are rewritten while the kernel takes them, and put back
//! before the guest can look.
//!
//! What would let the kernel take requests behind our back is refused, and libraries do without: a polling thread
//! of the kernel's (`IORING_SETUP_SQPOLL`), rings by index, rings that move, and flags that are newer than this.

use std::collections::BTreeMap;

use jib_ir::ty::Size;

use super::file::{open_how_in, swap_open_flags};
use super::{Answer, Args, copy_in, copy_out, wait, word_in};
use crate::host::{self, Errno, try_call};
use crate::mem;
use crate::thread::Thread;

const SETUP: i64 = 425;
const ENTER: i64 = 426;
const REGISTER: i64 = 427;

// Flags of `io_uring_setup`.
const SQPOLL: u32 = 1 << 1;
const SQE128: u32 = 1 << 10;
const NO_MMAP: u32 = 1 << 14;
const NO_SQARRAY: u32 = 1 << 16;
/// Those under which requests lie as they are looked for here: up to `IORING_SETUP_CQE_MIXED`.
const SETUP_KNOWN: u32 = (1 << 19) - 1;
// Flags of `io_uring_enter`.
const GETEVENTS: u64 = 1;
const EXT_ARG: u64 = 1 << 3;
/// Those that are known: not a ring by its index, not a region of arguments; up to `IORING_ENTER_NO_IOWAIT`.
const ENTER_KNOWN: u64 = 0xff & !(1 << 4 | 1 << 6);
/// Where the requests are mapped, as an offset of the ring's file.
const OFF_SQES: u64 = 0x1000_0000;

/// What we must know of a ring, with addresses in mappings of ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ring {
    head: u64,
    tail: u64,
    mask: u32,
    /// Indices of requests; 0 if the ring has none.
    array: u64,
    requests: u64,
    request_size: u64,
    /// Both mappings: start and length.
    maps: [(u64, u64); 2],
}

/// The rings of a process by descriptor.
pub(crate) type Rings = BTreeMap<i32, Ring>;

impl Ring {
    /// Maps the ring behind `fd`, which the kernel described in `params` (`struct io_uring_params`).
    fn map(fd: u64, params: &[u8; 120]) -> Result<Ring, Errno> {
        let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| params[at + i])) as u64;
        let (entries, flags) = (word(0), word(8) as u32);
        let [head, tail, mask, _, _, _, array] = std::array::from_fn(|i| word(40 + 4 * i));
        let request_size = if flags & SQE128 != 0 { 128 } else { 64 };
        let indices = if flags & NO_SQARRAY != 0 { 0 } else { 4 * entries };
        let ring_size = [head, tail, mask].into_iter().max().unwrap_or(0).max(array) + 4 + indices;
        let map = |len: u64, offset: u64| {
            let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_POPULATE);
            let at = try_call(libc::SYS_mmap, &[0, len, prot as u64, flags as u64, fd, offset])?;
            Ok::<_, Errno>((at, len))
        };
        let ring = map(ring_size, 0)?;
        let requests = map(entries * request_size, OFF_SQES).inspect_err(|_| unmap(ring))?;
        let mask = mem::load(Size::B4, ring.0 + mask).map_err(|_| Errno(libc::EFAULT))? as u32;
        Ok(Ring {
            head: ring.0 + head,
            tail: ring.0 + tail,
            mask,
            array: if indices == 0 { 0 } else { ring.0 + array },
            requests: requests.0,
            request_size,
            maps: [ring, requests],
        })
    }

    /// Addresses of the requests that the kernel will take next, at most `max`.
    fn waiting(&self, max: u32) -> Vec<u64> {
        let word = |at: u64| mem::load(Size::B4, at).unwrap_or(0) as u32;
        let (head, tail) = (word(self.head), word(self.tail));
        let count = tail.wrapping_sub(head).min(max).min(self.mask.wrapping_add(1));
        let place = |i: u32| {
            let slot = (head.wrapping_add(i) & self.mask) as u64;
            let index = if self.array == 0 { slot as u32 } else { word(self.array + 4 * slot) };
            self.requests + (index & self.mask) as u64 * self.request_size
        };
        (0..count).map(place).collect()
    }
}

fn unmap((at, len): (u64, u64)) {
    _ = try_call(libc::SYS_munmap, &[at, len]);
}

/// A descriptor is closed or replaced.
pub(crate) fn forget(rings: &mut Rings, fds: std::ops::RangeInclusive<i32>) {
    let gone: Vec<i32> = rings.range(fds).map(|(fd, _)| *fd).collect();
    for ring in gone.iter().filter_map(|fd| rings.remove(fd)) {
        ring.maps.into_iter().for_each(unmap);
    }
}

pub(crate) fn setup(t: &mut Thread, a: &Args) -> Answer {
    let mut params: [u8; 120] = copy_in(a[1])?;
    let flags = u32::from_le_bytes(std::array::from_fn(|i| params[8 + i]));
    if flags & (SQPOLL | NO_MMAP | !SETUP_KNOWN) != 0 {
        return Err(Errno(libc::EINVAL));
    }
    let result = t.pass(SETUP, [a[0], params.as_mut_ptr() as u64, 0, 0, 0, 0]);
    if result < 0 {
        return Ok(result);
    }
    let fd = result as u64;
    match Ring::map(fd, &params).and_then(|ring| copy_out(a[1], &params).map(|()| ring)) {
        Ok(ring) => {
            let mut shared = t.process.lock();
            forget(&mut shared.rings, fd as i32..=fd as i32);
            shared.rings.insert(fd as i32, ring);
            Ok(result)
        }
        Err(e) => {
            _ = try_call(libc::SYS_close, &[fd]);
            Err(e)
        }
    }
}

/// A field of a request as it was: its address, and the old value.
struct Old(Size, u64, u64);

/// Requests made fit for the host's kernel; the memory that they lead to must live until they are taken.
#[derive(Default)]
struct Rewritten {
    old: Vec<Old>,
    memory: Vec<Vec<u8>>,
}

// Opcodes, and fields of a request.
const OPENAT: u8 = 18;
const OPENAT2: u8 = 28;
const EPOLL_CTL: u8 = 29;
const EPOLL_WAIT: u8 = 59;
const NO_OPCODE: u64 = 255;
const ADDR2: u64 = 8;
const ADDR: u64 = 16;
const LEN: u64 = 24;
const FLAGS: u64 = 28;

impl Rewritten {
    fn change(&mut self, size: Size, at: u64, change: impl FnOnce(u64) -> u64) {
        let Ok(old) = mem::load(size, at) else { return };
        let new = change(old as u64);
        if new != old as u64 && mem::store(size, at, new as u128).is_ok() {
            self.old.push(Old(size, at, old as u64));
        }
    }

    /// Leads the pointer at `at` to `bytes`.
    fn lead(&mut self, at: u64, bytes: [u8; 24]) {
        let bytes = bytes.to_vec();
        let to = bytes.as_ptr() as u64;
        self.memory.push(bytes);
        self.change(Size::B8, at, |_| to);
    }

    fn rewrite(&mut self, request: u64) {
        let Ok(opcode) = mem::load(Size::B1, request) else { return };
        match opcode as u8 {
            OPENAT => self.change(Size::B4, request + FLAGS, swap_open_flags),
            OPENAT2 => {
                let len = mem::load(Size::B4, request + LEN).unwrap_or(0) as u64;
                match word_in(request + ADDR2).and_then(|how| open_how_in(how, len)) {
                    Ok(how) => self.lead(request + ADDR2, how),
                    // What is newer than this is unknown here.
                    Err(Errno(libc::E2BIG)) => self.change(Size::B1, request, |_| NO_OPCODE),
                    // A bad address is for the kernel to find.
                    Err(_) => {}
                }
            }
            EPOLL_CTL => {
                let event = word_in(request + ADDR).and_then(copy_in::<16>);
                if let Ok(event) = event {
                    let mut host = [0; 24];
                    host[..12].copy_from_slice(&wait::packed(&event));
                    self.lead(request + ADDR, host);
                }
            }
            // Its answer would come in the host's layout, when nobody is there to convert it: unknown here.
            EPOLL_WAIT => self.change(Size::B1, request, |_| NO_OPCODE),
            _ => {}
        }
    }

    fn restore(self) {
        for Old(size, at, value) in self.old {
            _ = mem::store(size, at, value as u128);
        }
    }
}

pub(crate) fn enter(t: &mut Thread, a: &Args) -> Answer {
    if a[3] as u32 as u64 & !ENTER_KNOWN != 0 {
        return Err(Errno(libc::EINVAL));
    }
    let ring = t.process.lock().rings.get(&(a[0] as i32)).copied();
    let mut rewritten = Rewritten::default();
    if let Some(ring) = ring {
        ring.waiting(a[1] as u32).into_iter().for_each(|request| rewritten.rewrite(request));
    }
    let mut args = *a;
    let mut submitted = 0;
    if !rewritten.old.is_empty() {
        // Without waiting: what the kernel has taken must be put back at once, as the guest may fill it again.
        submitted = host::call(ENTER, &[a[0], a[1], 0, a[3] & !(GETEVENTS | EXT_ARG), 0, 8]);
        rewritten.restore();
        // As in the kernel: who could not submit everything does not wait for what was left.
        if submitted != a[1] as u32 as i64 || a[3] & GETEVENTS == 0 {
            return Ok(submitted);
        }
        args[1] = 0;
    }
    let mask = match a[3] & EXT_ARG {
        0 => a[4],
        _ if a[4] == 0 => 0,
        _ => word_in(a[4])?,
    };
    let waited = wait::masked(t, ENTER, args, mask)?;
    Ok(if submitted > 0 { submitted } else { waited })
}

pub(crate) fn register(t: &mut Thread, a: &Args) -> Answer {
    const RING_FDS: u32 = 20;
    const UNREGISTER_RING_FDS: u32 = 21;
    const RESIZE_RINGS: u32 = 33;
    const MEM_REGION: u32 = 34;
    const USE_REGISTERED_RING: u32 = 1 << 31;
    let opcode = a[1] as u32;
    let refused = matches!(opcode, RING_FDS | UNREGISTER_RING_FDS | RESIZE_RINGS | MEM_REGION);
    if refused || opcode & USE_REGISTERED_RING != 0 {
        return Err(Errno(libc::EINVAL));
    }
    Ok(t.pass(REGISTER, *a))
}
