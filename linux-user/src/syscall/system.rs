//! Calls about the system and about limits.

use std::os::unix::ffi::OsStrExt;

use jib_frontend_aarch64::cpu::{Feature, Profile};
use jib_frontend_aarch64::pauth;
use jib_frontend_aarch64::system::state;

use super::{Answer, Args, copy_in, copy_out, seccomp};
use crate::host::{self, Errno, try_call};
use crate::thread::Thread;

/// Bytes of one field of `struct utsname`, and where release and machine are.
const UTS_FIELD: usize = 65;
const UTS_RELEASE: usize = 2 * UTS_FIELD;
const UTS_MACHINE: usize = 4 * UTS_FIELD;

pub(crate) fn uname(t: &mut Thread, a: &Args) -> Answer {
    let mut names = [0u8; 6 * UTS_FIELD];
    try_call(libc::SYS_uname, &[names.as_mut_ptr() as u64])?;
    let machine = &mut names[UTS_MACHINE..UTS_MACHINE + UTS_FIELD];
    machine.fill(0);
    machine[..7].copy_from_slice(b"aarch64");
    if let Some(release) = &t.process.release {
        let field = &mut names[UTS_RELEASE..UTS_RELEASE + UTS_FIELD];
        field.fill(0);
        // The last byte stays null.
        field.iter_mut().zip(release.as_bytes()).take(UTS_FIELD - 1).for_each(|(to, from)| *to = *from);
    }
    copy_out(a[0], &names)?;
    Ok(0)
}

/// The host's vDSO answers this one without entering the kernel. The guest's asks for real time when it no longer
/// knows how the clocks differ.
pub(crate) fn clock_gettime(t: &mut Thread, a: &Args) -> Answer {
    if a[0] as i32 == libc::CLOCK_REALTIME {
        t.process.vdso.refresh();
    }
    let (seconds, nanoseconds) = host::clock(a[0] as i32)?;
    let mut b = [0; 16];
    b[..8].copy_from_slice(&seconds.to_le_bytes());
    b[8..].copy_from_slice(&nanoseconds.to_le_bytes());
    copy_out(a[1], &b)?;
    Ok(0)
}

pub(crate) fn gettimeofday(t: &mut Thread, a: &Args) -> Answer {
    t.process.vdso.refresh();
    Ok(t.pass(libc::SYS_gettimeofday, *a))
}

/// Makes a call that may set the real-time clock.
fn set_clock(t: &mut Thread, nr: i64, a: &Args) -> Answer {
    let result = t.pass(nr, *a);
    t.process.vdso.distrust();
    Ok(result)
}

pub(crate) fn clock_settime(t: &mut Thread, a: &Args) -> Answer {
    set_clock(t, libc::SYS_clock_settime, a)
}

pub(crate) fn settimeofday(t: &mut Thread, a: &Args) -> Answer {
    set_clock(t, libc::SYS_settimeofday, a)
}

pub(crate) fn adjtimex(t: &mut Thread, a: &Args) -> Answer {
    set_clock(t, libc::SYS_adjtimex, a)
}

pub(crate) fn clock_adjtime(t: &mut Thread, a: &Args) -> Answer {
    set_clock(t, libc::SYS_clock_adjtime, a)
}

/// Limits that would restrict the translator's own memory: remembered only.
fn is_ours(resource: u64) -> bool {
    matches!(resource as u32, libc::RLIMIT_AS | libc::RLIMIT_DATA | libc::RLIMIT_STACK)
}

fn host_limit(resource: u64) -> Result<[u64; 2], Errno> {
    let mut limit = [0u64; 2];
    try_call(libc::SYS_prlimit64, &[0, resource, 0, limit.as_mut_ptr() as u64])?;
    Ok(limit)
}

fn limit_of(t: &Thread, resource: u64) -> Result<[u64; 2], Errno> {
    let kept = t.process.lock().limits.get(resource as usize).copied().flatten();
    kept.map_or_else(|| host_limit(resource), Ok)
}

fn remember_limit(t: &Thread, resource: u64, addr: u64) -> Result<(), Errno> {
    let new = limit_in(addr)?;
    if new[0] > new[1] {
        return Err(Errno(libc::EINVAL));
    }
    if let Some(slot) = t.process.lock().limits.get_mut(resource as usize) {
        *slot = Some(new);
    }
    Ok(())
}

fn limit_in(addr: u64) -> Result<[u64; 2], Errno> {
    let b: [u8; 16] = copy_in(addr)?;
    Ok(std::array::from_fn(|w| u64::from_le_bytes(std::array::from_fn(|i| b[8 * w + i]))))
}

fn limit_out(addr: u64, limit: [u64; 2]) -> Result<(), Errno> {
    let b: [u8; 16] = std::array::from_fn(|i| limit[i / 8].to_le_bytes()[i % 8]);
    copy_out(addr, &b)
}

pub(crate) fn getrlimit(t: &mut Thread, a: &Args) -> Answer {
    limit_out(a[1], limit_of(t, a[0])?)?;
    Ok(0)
}

pub(crate) fn setrlimit(t: &mut Thread, a: &Args) -> Answer {
    if is_ours(a[0]) {
        return remember_limit(t, a[0], a[1]).map(|()| 0);
    }
    let result = t.pass(libc::SYS_setrlimit, *a);
    core_limit_changed(t, a[0]);
    Ok(result)
}

fn core_limit_changed(t: &mut Thread, resource: u64) {
    if resource as u32 == libc::RLIMIT_CORE {
        t.begin_cores();
    }
}

pub(crate) fn prlimit64(t: &mut Thread, a: &Args) -> Answer {
    let own = a[0] as i32 == 0 || a[0] as i32 == host::getpid();
    if !own || !is_ours(a[1]) {
        let result = t.pass(libc::SYS_prlimit64, *a);
        if own {
            core_limit_changed(t, a[1]);
        }
        return Ok(result);
    }
    let old = limit_of(t, a[1])?;
    if a[2] != 0 {
        remember_limit(t, a[1], a[2])?;
    }
    if a[3] != 0 {
        limit_out(a[3], old)?;
    }
    Ok(0)
}

/// Tagged addresses work always; only turning them on and off is recorded.
const PR_SET_TAGGED_ADDR_CTRL: i32 = 55;
const PR_GET_TAGGED_ADDR_CTRL: i32 = 56;
const PR_TAGGED_ADDR_ENABLE: u64 = 1;

const PR_PAC_RESET_KEYS: i32 = 54;
const PR_PAC_SET_ENABLED_KEYS: i32 = 60;
const PR_PAC_GET_ENABLED_KEYS: i32 = 61;
/// `PR_PAC_APIAKEY` and so on: all keys, and those that can be disabled.
const PAC_KEYS: u64 = 0x1f;
const PAC_SWITCHES: u64 = 0xf;

/// The keys of pointer authentication, which are the thread's own.
fn pointer_keys(t: &mut Thread, a: &Args) -> Answer {
    let s = &mut t.vcpu.state;
    let (mask, on) = (a[1], a[2]);
    let valid = match a[0] as i32 {
        PR_PAC_RESET_KEYS => mask & !PAC_KEYS == 0 && a[2..5] == [0; 3],
        PR_PAC_SET_ENABLED_KEYS => (mask | on) & !PAC_SWITCHES == 0 && on & !mask == 0 && a[3..5] == [0; 2],
        _ => a[1..5] == [0; 4],
    };
    if !valid || !Profile::of(s).has(Feature::Pauth) {
        return Err(Errno(libc::EINVAL));
    }
    match a[0] as i32 {
        PR_PAC_RESET_KEYS => {
            let all = if mask == 0 { PAC_KEYS } else { mask };
            let fresh: [u64; 10] = host::random_words();
            for key in (0..5u16).filter(|k| all >> k & 1 == 1) {
                for half in 0..2 {
                    s.set(state::key(key, half), fresh[usize::from(2 * key + half)]);
                }
            }
        }
        PR_PAC_SET_ENABLED_KEYS => pauth::enable(s, mask, on),
        _ => return Ok(pauth::enabled(s) as i64),
    }
    Ok(0)
}

pub(crate) fn prctl(t: &mut Thread, a: &Args) -> Answer {
    match a[0] as i32 {
        PR_SET_TAGGED_ADDR_CTRL if a[1] & !PR_TAGGED_ADDR_ENABLE == 0 && a[2..5] == [0; 3] => {
            t.tagged_addresses = a[1];
            Ok(0)
        }
        PR_GET_TAGGED_ADDR_CTRL if a[1..5] == [0; 4] => Ok(t.tagged_addresses as i64),
        PR_SET_TAGGED_ADDR_CTRL | PR_GET_TAGGED_ADDR_CTRL => Err(Errno(libc::EINVAL)),
        libc::PR_SET_SECCOMP => seccomp::set_by_prctl(t, a[1], a[2]),
        libc::PR_GET_SECCOMP => Ok(t.seccomp.number()),
        PR_PAC_RESET_KEYS | PR_PAC_SET_ENABLED_KEYS | PR_PAC_GET_ENABLED_KEYS => pointer_keys(t, a),
        libc::PR_GET_TID_ADDRESS => {
            let mut addr = 0u64;
            // What the host says of a thread that the C library made is that library's.
            let result = t.pass(libc::SYS_prctl, [a[0], &raw mut addr as u64, a[2], a[3], a[4], 0]);
            if result == 0 {
                copy_out(a[1], &t.tid_address(addr).to_le_bytes())?;
            }
            Ok(result)
        }
        // Would move the translator's own heap and stack marks.
        libc::PR_SET_MM => Err(Errno(libc::EPERM)),
        // Exists on x86 only.
        libc::PR_GET_TSC | libc::PR_SET_TSC => Err(Errno(libc::EINVAL)),
        _ => Ok(t.pass(libc::SYS_prctl, *a)),
    }
}

/// Words of `struct semid64_ds` that x86-64 has and the generic one has not.
const SEM_HOST_WORDS: usize = 13;
const SEM_GUEST_WORDS: usize = 11;
const SEM_PADDING: [usize; 2] = [7, 9];

pub(crate) fn semctl(t: &mut Thread, a: &Args) -> Answer {
    const SEM_STAT_ANY: i32 = 20;
    let mut host = [0u64; SEM_HOST_WORDS];
    let real = (0..SEM_HOST_WORDS).filter(|i| !SEM_PADDING.contains(i));
    let args = [a[0], a[1], a[2], host.as_mut_ptr() as u64, 0, 0];
    match a[2] as i32 {
        libc::IPC_STAT | libc::SEM_STAT | SEM_STAT_ANY => {
            let result = t.pass(libc::SYS_semctl, args);
            if result >= 0 {
                let bytes: Vec<u8> = real.flat_map(|i| host[i].to_le_bytes()).collect();
                copy_out(a[3], &bytes)?;
            }
            Ok(result)
        }
        libc::IPC_SET => {
            let b: [u8; 8 * SEM_GUEST_WORDS] = copy_in(a[3])?;
            for (from, i) in real.enumerate() {
                host[i] = u64::from_le_bytes(std::array::from_fn(|k| b[8 * from + k]));
            }
            Ok(t.pass(libc::SYS_semctl, args))
        }
        _ => Ok(t.pass(libc::SYS_semctl, *a)),
    }
}
