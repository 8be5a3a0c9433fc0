//! Supervisors of filtered calls (seccomp_unotify(2)), with the host's own listeners.
//!
//! A call for which the guest's filters want the supervisor asked becomes a host call of a number that does not
//! exist, with the guest's arguments, and a filter for the host's kernel notifies of those numbers alone. What a
//! supervisor reads and answers is converted on its way; so it may be any other guest process.

use super::ARCH;
use crate::host::{Errno, try_call};

/// Guest number 0 as the host's kernel sees it.
const BASE: u32 = 0x2a69_0000;
/// `AUDIT_ARCH_X86_64`
const HOST_ARCH: u32 = 0xc000_003e;
/// The answer that lets the call be made: no error of Linux.
const CONTINUE: i32 = -5000;
/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`
const FLAG_CONTINUE: u32 = 1;

/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`
pub(crate) const NEW_LISTENER: u64 = 8;
/// Bytes of `struct seccomp_notif`.
pub(crate) const NOTIFICATION: usize = 80;
/// Bytes of `struct seccomp_notif_resp`.
pub(crate) const RESPONSE: usize = 24;
/// `SECCOMP_IOCTL_NOTIF_RECV`
pub(crate) const RECEIVE: u32 = 0xc050_2100;
/// `SECCOMP_IOCTL_NOTIF_SEND`
pub(crate) const SEND: u32 = 0xc018_2101;

/// Installs the filter for the host's kernel with `flags`; gives the listener.
pub(crate) fn listen(flags: u64) -> Result<u64, Errno> {
    const SET_MODE_FILTER: u64 = 1;
    /// Load a word of `struct seccomp_data`, compare, return.
    const LOAD: u16 = 0x20;
    const EQUAL: u16 = 0x15;
    const AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    let insn =
        |code: u16, yes: u8, no: u8, k: u32| code as u64 | (yes as u64) << 16 | (no as u64) << 24 | (k as u64) << 32;
    let program = [
        insn(LOAD, 0, 0, 4),
        insn(EQUAL, 0, 3, HOST_ARCH),
        insn(LOAD, 0, 0, 0),
        insn(AT_LEAST, 0, 1, BASE),
        insn(RETURN, 0, 0, 0x7fc0_0000),
        insn(RETURN, 0, 0, 0x7fff_0000),
    ];
    let head = [program.len() as u64, program.as_ptr() as u64];
    try_call(libc::SYS_seccomp, &[SET_MODE_FILTER, flags, head.as_ptr() as u64])
}

/// The host's number for a call of the guest that its supervisor is to be asked about.
pub(crate) fn host_number(nr: u32) -> i64 {
    (BASE | nr & 0xffff) as i64
}

/// Does this result of such a host call let the guest's call be made?
pub(crate) fn lets_pass(result: i64) -> bool {
    result == CONTINUE as i64
}

fn put(bytes: &mut [u8], at: usize, v: u32) {
    bytes[at..at + 4].copy_from_slice(&v.to_le_bytes());
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

/// Makes a notification of the host's kernel one for the guest: number and architecture are AArch64's. Where in the
/// program the call is made the host's kernel does not know: the instruction pointer is 0.
pub(crate) fn received(bytes: &mut [u8; NOTIFICATION]) {
    const NUMBER: usize = 16;
    const ARCHITECTURE: usize = 20;
    const POINTER: usize = 24;
    let number = word(bytes, NUMBER);
    if word(bytes, ARCHITECTURE) == HOST_ARCH && number & 0xffff_0000 == BASE {
        put(bytes, NUMBER, number & 0xffff);
        put(bytes, ARCHITECTURE, ARCH);
        bytes[POINTER..POINTER + 8].fill(0);
    }
}

/// Makes a guest's response one for the host's kernel: it could let only its own call pass.
pub(crate) fn sent(bytes: &mut [u8; RESPONSE]) -> Result<(), Errno> {
    const ERROR: usize = 16;
    const FLAGS: usize = 20;
    if word(bytes, FLAGS) == FLAG_CONTINUE {
        if bytes[8..ERROR + 4].iter().any(|b| *b != 0) {
            return Err(Errno(libc::EINVAL));
        }
        put(bytes, ERROR, CONTINUE as u32);
        put(bytes, FLAGS, 0);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notifications_speak_of_aarch64() {
        let mut n = [0xff; NOTIFICATION];
        put(&mut n, 16, host_number(93) as u32);
        put(&mut n, 20, HOST_ARCH);
        received(&mut n);
        assert_eq!((word(&n, 16), word(&n, 20), word(&n, 24), word(&n, 32)), (93, ARCH, 0, u32::MAX));
    }

    #[test]
    fn only_a_plain_response_lets_pass() {
        let mut r = [0; RESPONSE];
        put(&mut r, 20, FLAG_CONTINUE);
        sent(&mut r).unwrap();
        assert!(lets_pass(word(&r, 16) as i32 as i64) && word(&r, 20) == 0);
        put(&mut r, 20, FLAG_CONTINUE);
        assert_eq!(sent(&mut r), Err(Errno(libc::EINVAL)));
    }
}
