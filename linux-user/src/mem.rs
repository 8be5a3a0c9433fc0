//! Guest memory access that turns a bad address into a [`Fault`] instead of a crash.
//!
//! Guest addresses are host addresses. Every access goes through a leaf function written in
//! assembly whose instructions lie in a known range; when one of them faults, the signal handler
//! asks [`recover`] where to go on, and the function returns the cause. Guest code may of course
//! read and write the translator's own memory: user mode is no sandbox.

use std::arch::global_asm;

use jib_ir::interp::CAUSE_ALIGNMENT;
use jib_ir::runtime::{Access, Fault};
use jib_ir::ty::Size;

/// What an access function returns (in RAX and RDX).
#[repr(C)]
struct Answer {
    /// The value read, or the faulting address.
    value: u64,
    /// Zero, or `signal << 16 | si_code`.
    cause: u64,
}

global_asm!(
    ".pushsection .text.jib_mem,\"ax\",@progbits",
    ".p2align 4",
    // The compiler may put this and its callers in different object files.
    ".irp name, begin, end, fixup, cas16_begin, cas16_end, cas16_fixup, copy, load1, load2, load4, load8, load16",
    ".globl jib_mem_\\name",
    ".hidden jib_mem_\\name",
    ".endr",
    ".irp width, 1, 2, 4, 8, 16",
    ".globl jib_mem_store\\width, jib_mem_cas\\width",
    ".hidden jib_mem_store\\width, jib_mem_cas\\width",
    ".endr",
    ".irp width, 1, 2, 4, 8",
    ".globl jib_mem_swap\\width, jib_mem_add\\width",
    ".hidden jib_mem_swap\\width, jib_mem_add\\width",
    ".endr",
    "jib_mem_begin:",
    "jib_mem_load1: movzx eax, byte ptr [rdi]",
    "xor edx, edx",
    "ret",
    "jib_mem_load2: movzx eax, word ptr [rdi]",
    "xor edx, edx",
    "ret",
    "jib_mem_load4: mov eax, dword ptr [rdi]",
    "xor edx, edx",
    "ret",
    "jib_mem_load8: mov rax, qword ptr [rdi]",
    "xor edx, edx",
    "ret",
    // 16 bytes to [rsi]; MOVDQA is single-copy atomic on every CPU with AVX, MOVDQU is not.
    "jib_mem_load16: test dil, 15",
    "jnz 2f",
    "movdqa xmm0, xmmword ptr [rdi]",
    "jmp 3f",
    "2: movdqu xmm0, xmmword ptr [rdi]",
    "3: movdqu xmmword ptr [rsi], xmm0",
    "xor edx, edx",
    "ret",
    "jib_mem_store1: mov byte ptr [rdi], sil",
    "xor edx, edx",
    "ret",
    "jib_mem_store2: mov word ptr [rdi], si",
    "xor edx, edx",
    "ret",
    "jib_mem_store4: mov dword ptr [rdi], esi",
    "xor edx, edx",
    "ret",
    "jib_mem_store8: mov qword ptr [rdi], rsi",
    "xor edx, edx",
    "ret",
    "jib_mem_store16: movdqu xmm0, xmmword ptr [rsi]",
    "test dil, 15",
    "jnz 2f",
    "movdqa xmmword ptr [rdi], xmm0",
    "xor edx, edx",
    "ret",
    "2: movdqu xmmword ptr [rdi], xmm0",
    "xor edx, edx",
    "ret",
    "jib_mem_swap1: mov eax, esi",
    "xchg byte ptr [rdi], al",
    "movzx eax, al",
    "xor edx, edx",
    "ret",
    "jib_mem_swap2: mov eax, esi",
    "xchg word ptr [rdi], ax",
    "movzx eax, ax",
    "xor edx, edx",
    "ret",
    "jib_mem_swap4: mov eax, esi",
    "xchg dword ptr [rdi], eax",
    "xor edx, edx",
    "ret",
    "jib_mem_swap8: mov rax, rsi",
    "xchg qword ptr [rdi], rax",
    "xor edx, edx",
    "ret",
    "jib_mem_add1: mov eax, esi",
    "lock xadd byte ptr [rdi], al",
    "movzx eax, al",
    "xor edx, edx",
    "ret",
    "jib_mem_add2: mov eax, esi",
    "lock xadd word ptr [rdi], ax",
    "movzx eax, ax",
    "xor edx, edx",
    "ret",
    "jib_mem_add4: mov eax, esi",
    "lock xadd dword ptr [rdi], eax",
    "xor edx, edx",
    "ret",
    "jib_mem_add8: mov rax, rsi",
    "lock xadd qword ptr [rdi], rax",
    "xor edx, edx",
    "ret",
    // Compare-and-swap: rsi is the expected value, rdx the new one.
    "jib_mem_cas1: mov eax, esi",
    "lock cmpxchg byte ptr [rdi], dl",
    "movzx eax, al",
    "xor edx, edx",
    "ret",
    "jib_mem_cas2: mov eax, esi",
    "lock cmpxchg word ptr [rdi], dx",
    "movzx eax, ax",
    "xor edx, edx",
    "ret",
    "jib_mem_cas4: mov eax, esi",
    "lock cmpxchg dword ptr [rdi], edx",
    "mov eax, eax",
    "xor edx, edx",
    "ret",
    "jib_mem_cas8: mov rax, rsi",
    "lock cmpxchg qword ptr [rdi], rdx",
    "xor edx, edx",
    "ret",
    // Copies rdx bytes from [rsi] to [rdi]; either side may be the guest's.
    "jib_mem_copy: mov rcx, rdx",
    "rep movsb",
    "xor edx, edx",
    "ret",
    "jib_mem_end:",
    "jib_mem_fixup: ret",
    // rsi points to the expected value and receives the old one, rdx points to the new one.
    "jib_mem_cas16: mov r11, rbx",
    "mov r8, rsi",
    "mov rbx, qword ptr [rdx]",
    "mov rcx, qword ptr [rdx + 8]",
    "mov rax, qword ptr [rsi]",
    "mov rdx, qword ptr [rsi + 8]",
    "jib_mem_cas16_begin: lock cmpxchg16b xmmword ptr [rdi]",
    "jib_mem_cas16_end: mov qword ptr [r8], rax",
    "mov qword ptr [r8 + 8], rdx",
    "xor edx, edx",
    "mov rbx, r11",
    "ret",
    "jib_mem_cas16_fixup: mov rbx, r11",
    "ret",
    ".popsection",
);

unsafe extern "C" {
    static jib_mem_begin: u8;
    static jib_mem_end: u8;
    static jib_mem_fixup: u8;
    static jib_mem_cas16_begin: u8;
    static jib_mem_cas16_end: u8;
    static jib_mem_cas16_fixup: u8;
    fn jib_mem_load1(addr: u64) -> Answer;
    fn jib_mem_load2(addr: u64) -> Answer;
    fn jib_mem_load4(addr: u64) -> Answer;
    fn jib_mem_load8(addr: u64) -> Answer;
    fn jib_mem_load16(addr: u64, out: *mut u128) -> Answer;
    fn jib_mem_store1(addr: u64, v: u64) -> Answer;
    fn jib_mem_store2(addr: u64, v: u64) -> Answer;
    fn jib_mem_store4(addr: u64, v: u64) -> Answer;
    fn jib_mem_store8(addr: u64, v: u64) -> Answer;
    fn jib_mem_store16(addr: u64, v: *const u128) -> Answer;
    fn jib_mem_swap1(addr: u64, v: u64) -> Answer;
    fn jib_mem_swap2(addr: u64, v: u64) -> Answer;
    fn jib_mem_swap4(addr: u64, v: u64) -> Answer;
    fn jib_mem_swap8(addr: u64, v: u64) -> Answer;
    fn jib_mem_add1(addr: u64, v: u64) -> Answer;
    fn jib_mem_add2(addr: u64, v: u64) -> Answer;
    fn jib_mem_add4(addr: u64, v: u64) -> Answer;
    fn jib_mem_add8(addr: u64, v: u64) -> Answer;
    fn jib_mem_cas1(addr: u64, expected: u64, new: u64) -> Answer;
    fn jib_mem_cas2(addr: u64, expected: u64, new: u64) -> Answer;
    fn jib_mem_cas4(addr: u64, expected: u64, new: u64) -> Answer;
    fn jib_mem_cas8(addr: u64, expected: u64, new: u64) -> Answer;
    fn jib_mem_cas16(addr: u64, expected: *mut u128, new: *const u128) -> Answer;
    fn jib_mem_copy(to: u64, from: u64, len: u64) -> Answer;
}

/// Where the handler of a fault at host address `pc` must resume, with the faulting address in
/// RAX and `signal << 16 | si_code` in RDX; `None` if the instruction is not one of ours.
pub(crate) fn recover(pc: u64) -> Option<u64> {
    let within = |begin: *const u8, end: *const u8| (begin as u64..end as u64).contains(&pc);
    if within(&raw const jib_mem_begin, &raw const jib_mem_end) {
        return Some(&raw const jib_mem_fixup as u64);
    }
    within(&raw const jib_mem_cas16_begin, &raw const jib_mem_cas16_end)
        .then_some(&raw const jib_mem_cas16_fixup as u64)
}

/// `si_code` of the general-protection fault that a non-canonical address raises.
const SI_KERNEL: u64 = 0x80;
/// The address bits that count: the top byte is a tag that AArch64 Linux lets programs use.
const UNTAGGED: u64 = (1 << 56) - 1;

/// Makes an access at `addr`; once more without its tag byte if the address is not canonical.
fn access(kind: Access, addr: u64, f: impl Fn(u64) -> Answer) -> Result<u64, Fault> {
    let mut at = addr;
    loop {
        let a = f(at);
        if a.cause == 0 {
            return Ok(a.value);
        }
        if a.cause & 0xffff != SI_KERNEL {
            return Err(Fault { addr: a.value, access: kind, cause: a.cause as u32 });
        }
        if at == at & UNTAGGED {
            let cause = (libc::SIGSEGV as u32) << 16 | SEGV_MAPERR;
            return Err(Fault { addr, access: kind, cause });
        }
        at &= UNTAGGED;
    }
}

/// `si_code` of SIGSEGV for an address where nothing is mapped.
pub(crate) const SEGV_MAPERR: u32 = 1;
/// `si_code` of SIGSEGV for an access that the mapping forbids.
pub(crate) const SEGV_ACCERR: u32 = 2;

/// Loads `size` bytes, zero-extended; atomic when aligned.
pub(crate) fn load(size: Size, addr: u64) -> Result<u128, Fault> {
    let mut wide = 0u128;
    let out = &raw mut wide;
    // SAFETY: faults at `a` are recovered; `out` is a live local.
    let value = access(Access::Read, addr, |a| unsafe {
        match size {
            Size::B1 => jib_mem_load1(a),
            Size::B2 => jib_mem_load2(a),
            Size::B4 => jib_mem_load4(a),
            Size::B8 => jib_mem_load8(a),
            Size::B16 => jib_mem_load16(a, out),
        }
    })?;
    Ok(if size == Size::B16 { wide } else { value as u128 })
}

/// Stores the low `size` bytes of `v`; atomic when aligned.
pub(crate) fn store(size: Size, addr: u64, v: u128) -> Result<(), Fault> {
    let low = v as u64;
    // SAFETY: faults at `a` are recovered; `v` outlives the call.
    access(Access::Write, addr, |a| unsafe {
        match size {
            Size::B1 => jib_mem_store1(a, low),
            Size::B2 => jib_mem_store2(a, low),
            Size::B4 => jib_mem_store4(a, low),
            Size::B8 => jib_mem_store8(a, low),
            Size::B16 => jib_mem_store16(a, &raw const v),
        }
    })
    .map(drop)
}

/// Atomically replaces `*addr` by `v`; returns the old value. 16 bytes are not exchanged so.
pub(crate) fn swap(size: Size, addr: u64, v: u64) -> Result<u64, Fault> {
    // SAFETY: faults at `a` are recovered.
    access(Access::Write, addr, |a| unsafe {
        match size {
            Size::B1 => jib_mem_swap1(a, v),
            Size::B2 => jib_mem_swap2(a, v),
            Size::B4 => jib_mem_swap4(a, v),
            Size::B8 | Size::B16 => jib_mem_swap8(a, v),
        }
    })
}

/// Atomically adds `v` to `*addr`; returns the old value.
pub(crate) fn add(size: Size, addr: u64, v: u64) -> Result<u64, Fault> {
    // SAFETY: faults at `a` are recovered.
    access(Access::Write, addr, |a| unsafe {
        match size {
            Size::B1 => jib_mem_add1(a, v),
            Size::B2 => jib_mem_add2(a, v),
            Size::B4 => jib_mem_add4(a, v),
            Size::B8 | Size::B16 => jib_mem_add8(a, v),
        }
    })
}

/// Atomically stores `new` if `*addr == expected`; returns the old value.
pub(crate) fn cas(size: Size, addr: u64, expected: u128, new: u128) -> Result<u128, Fault> {
    if size == Size::B16 {
        return cas16(addr, expected, new);
    }
    let (e, n) = (expected as u64, new as u64);
    // SAFETY: faults at `a` are recovered.
    let old = access(Access::Write, addr, |a| unsafe {
        match size {
            Size::B1 => jib_mem_cas1(a, e, n),
            Size::B2 => jib_mem_cas2(a, e, n),
            Size::B4 => jib_mem_cas4(a, e, n),
            Size::B8 | Size::B16 => jib_mem_cas8(a, e, n),
        }
    })?;
    Ok(old as u128)
}

fn cas16(addr: u64, expected: u128, new: u128) -> Result<u128, Fault> {
    if addr & 15 != 0 {
        return Err(Fault { addr, access: Access::Write, cause: CAUSE_ALIGNMENT });
    }
    let mut old = expected;
    let seen = &raw mut old;
    // SAFETY: faults at `a` are recovered; both pointers are to live locals.
    access(Access::Write, addr, |a| unsafe { jib_mem_cas16(a, seen, &raw const new) })?;
    Ok(old)
}

/// Copies guest memory at `addr` into `out`.
pub(crate) fn read(addr: u64, out: &mut [u8]) -> Result<(), Fault> {
    let (to, len) = (out.as_mut_ptr() as u64, out.len() as u64);
    // SAFETY: faults at `a` are recovered; `to` has room for `len` bytes.
    access(Access::Read, addr, |a| unsafe { jib_mem_copy(to, a, len) }).map(drop)
}

/// Copies `bytes` to guest memory at `addr`.
pub(crate) fn write(addr: u64, bytes: &[u8]) -> Result<(), Fault> {
    let (from, len) = (bytes.as_ptr() as u64, bytes.len() as u64);
    // SAFETY: faults at `a` are recovered; `from` holds `len` bytes.
    access(Access::Write, addr, |a| unsafe { jib_mem_copy(a, from, len) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_round_trips_and_faults_are_reported() {
        crate::signal::host::install_fault_handlers();
        let mut buf = [0u128; 2];
        let at = buf.as_mut_ptr() as u64;
        for size in Size::ALL {
            let v = 0x1122_3344_5566_7788_99aa_bbcc_ddee_ff00u128;
            let mask = u128::MAX >> (128 - 8 * size.bytes());
            store(size, at, v).unwrap();
            assert_eq!(load(size, at).unwrap(), v & mask);
            assert_eq!(cas(size, at, v & mask, 5).unwrap(), v & mask);
            assert_eq!(cas(size, at, 6, 7).unwrap(), 5);
            assert_eq!(load(size, at).unwrap(), 5);
            let f = load(size, 0x10).unwrap_err();
            assert_eq!((f.addr, f.cause), (0x10, 11 << 16 | SEGV_MAPERR));
            assert!(store(size, 0x10, 0).is_err() && cas(size, 0x10, 0, 0).is_err());
        }
        assert_eq!(swap(Size::B4, at, 9).unwrap(), 5);
        assert_eq!(add(Size::B2, at, 3).unwrap(), 9);
        assert_eq!(load(Size::B8, at).unwrap(), 12);
    }

    #[test]
    fn tagged_and_non_canonical_addresses() {
        crate::signal::host::install_fault_handlers();
        let word = 77u64;
        let at = &raw const word as u64;
        assert_eq!(load(Size::B8, at | 0xab << 56).unwrap(), 77);
        let f = load(Size::B8, 0x00ff_0000_0000_0000).unwrap_err();
        assert_eq!((f.addr, f.cause), (0x00ff_0000_0000_0000, 11 << 16 | SEGV_MAPERR));
        assert!(read(u64::MAX - 3, &mut [0; 8]).is_err());
    }
}
