//! Calls that wait with a signal mask of their own, and epoll, whose event structure x86-64 packs.

use super::{Answer, Args, copy_in, copy_out, word_in};
use crate::host::Errno;
use crate::thread::Thread;

/// Makes a call during which the mask at `mask` (if not null) applies. If a signal interrupts it,
/// that is the mask under which the handler begins.
pub(super) fn masked(t: &mut Thread, nr: i64, args: Args, mask: u64) -> Answer {
    let set = if mask == 0 { None } else { Some(word_in(mask)?) };
    let usual = t.context.mask();
    t.context.adopt_mask(set.unwrap_or(usual));
    let result = t.pass(nr, args);
    t.context.adopt_mask(usual);
    if result == Errno(libc::EINTR).raw() {
        t.temporary_mask = set;
    }
    Ok(result)
}

pub(crate) fn rt_sigsuspend(t: &mut Thread, a: &Args) -> Answer {
    masked(t, libc::SYS_rt_sigsuspend, *a, a[0])
}

pub(crate) fn ppoll(t: &mut Thread, a: &Args) -> Answer {
    masked(t, libc::SYS_ppoll, *a, a[3])
}

/// The sixth argument is a pointer to the mask's address and size.
fn indirect_mask(addr: u64) -> Result<u64, Errno> {
    if addr == 0 { Ok(0) } else { word_in(addr) }
}

pub(crate) fn pselect6(t: &mut Thread, a: &Args) -> Answer {
    let mask = indirect_mask(a[5])?;
    masked(t, libc::SYS_pselect6, *a, mask)
}

pub(crate) fn io_pgetevents(t: &mut Thread, a: &Args) -> Answer {
    const SYS_IO_PGETEVENTS: i64 = 333;
    let mask = indirect_mask(a[5])?;
    masked(t, SYS_IO_PGETEVENTS, *a, mask)
}

/// Bytes of an event: AArch64 aligns the data word, x86-64 does not.
const GUEST_EVENT: usize = 16;
const HOST_EVENT: usize = 12;
/// Most events that one call fetches; a call may always return fewer than asked for.
const MAX_EVENTS: usize = 4096;

pub(crate) fn epoll_ctl(t: &mut Thread, a: &Args) -> Answer {
    if a[1] as i32 == libc::EPOLL_CTL_DEL {
        return Ok(t.pass(libc::SYS_epoll_ctl, [a[0], a[1], a[2], 0, 0, 0]));
    }
    let guest: [u8; GUEST_EVENT] = copy_in(a[3])?;
    let host = packed(&guest);
    Ok(t.pass(libc::SYS_epoll_ctl, [a[0], a[1], a[2], host.as_ptr() as u64, 0, 0]))
}

/// An aligned event to a packed one.
pub(super) fn packed(guest: &[u8; GUEST_EVENT]) -> [u8; HOST_EVENT] {
    std::array::from_fn(|i| guest[if i < 4 { i } else { i + 4 }])
}

/// Packed events to aligned ones.
fn unpack_events(host: &[u8]) -> Vec<u8> {
    let unpack = |e: &[u8]| -> [u8; GUEST_EVENT] {
        std::array::from_fn(|i| match i {
            0..4 => e[i],
            4..8 => 0,
            _ => e[i - 4],
        })
    };
    host.chunks_exact(HOST_EVENT).flat_map(unpack).collect()
}

fn epoll_wait(t: &mut Thread, nr: i64, a: &Args) -> Answer {
    let max = a[2] as i32;
    if max <= 0 {
        return Err(Errno(libc::EINVAL));
    }
    let max = (max as usize).min(MAX_EVENTS);
    let mut host = vec![0; max * HOST_EVENT];
    let args = [a[0], host.as_mut_ptr() as u64, max as u64, a[3], a[4], a[5]];
    let result = masked(t, nr, args, a[4])?;
    if result > 0 {
        copy_out(a[1], &unpack_events(&host[..result as usize * HOST_EVENT]))?;
    }
    Ok(result)
}

pub(crate) fn epoll_pwait(t: &mut Thread, a: &Args) -> Answer {
    epoll_wait(t, libc::SYS_epoll_pwait, a)
}

pub(crate) fn epoll_pwait2(t: &mut Thread, a: &Args) -> Answer {
    const SYS_EPOLL_PWAIT2: i64 = 441;
    epoll_wait(t, SYS_EPOLL_PWAIT2, a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_unpacked() {
        let host: Vec<u8> = (1..=24).collect();
        let guest = unpack_events(&host);
        assert_eq!(guest.len(), 32);
        assert_eq!(guest[..16], [1, 2, 3, 4, 0, 0, 0, 0, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!(guest[16..20], [13, 14, 15, 16]);
    }
}
