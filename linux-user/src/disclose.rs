//! Tells the kernel where the guest's arguments, environment and auxiliary vector are, so that
//! `/proc/PID/cmdline` and its like speak of the guest program to everybody, also after the guest
//! has written over its arguments to name itself anew.

use std::ops::Range;

use crate::host::{self, try_call};

/// Where things are in guest memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// Code of the program.
    pub code: Range<u64>,
    /// Initial stack pointer.
    pub stack: u64,
    /// Strings of the arguments.
    pub args: Range<u64>,
    /// Strings of the environment.
    pub env: Range<u64>,
}

/// `PR_SET_MM_MAP`
const PR_SET_MM_MAP: u64 = 14;

/// Hands the places on; tells whether the kernel took them. It need not: old kernels and those
/// without checkpointing do not.
pub(crate) fn disclose(places: &Places, auxv: &[u8]) -> bool {
    // Our own break must stay what it is, or the C library's allocator would lose it.
    let brk = host::call(libc::SYS_brk, &[0]) as u64;
    let p = places;
    // `struct prctl_mm_map`: two words of data segment, the break, no other program file.
    let map: [u64; 13] = [
        p.code.start,
        p.code.end,
        p.code.start,
        p.code.end,
        brk,
        brk,
        p.stack,
        p.args.start,
        p.args.end,
        p.env.start,
        p.env.end,
        auxv.as_ptr() as u64,
        auxv.len() as u64 | (u32::MAX as u64) << 32,
    ];
    let args = [libc::PR_SET_MM as u64, PR_SET_MM_MAP, map.as_ptr() as u64, size_of_val(&map) as u64, 0];
    try_call(libc::SYS_prctl, &args).is_ok()
}
