//! What compiled code and the rest agree on: the backend's words of the guest state, exit codes, and the functions
//! that compiled code calls.
#![allow(unsafe_code, reason = "compiled code passes raw pointers")]

use std::sync::atomic::AtomicU64;

use jib_ir::eval::{self, FpEnv};
use jib_ir::op::{Op, Trap};
use jib_ir::region::Key;
use jib_ir::runtime::{Access, Exit, Helper, Runtime, Wait};
use jib_ir::state::{FIRST_ABOVE, FlagsKind, SECOND_INSIDE, Slot, State, flag_words, slot};
use jib_ir::ty::Size;

/// Byte offset of backend word `n`.
const fn word(n: u16) -> i32 {
    Slot(slot::BACKEND.0 + n).offset()
}
/// Index of backend word `n`.
const fn index(n: u16) -> usize {
    (slot::BACKEND.0 + n) as usize
}

/// Address of the thread's indirect table.
pub(crate) const TABLE: i32 = word(0);
/// Address of the link cell through which code left with [`EXIT_LINK`].
pub(crate) const LINK: i32 = word(1);
/// Host stack pointer inside `enter`, for leaving after a fault.
pub(crate) const HOST_RSP: i32 = word(2);
/// Guest address of an [`EXIT_INVALIDATE`].
pub(crate) const INVALIDATE_ADDR: i32 = word(3);
/// Its length.
pub(crate) const INVALIDATE_LEN: i32 = word(4);
/// Address of the table of [`crate::tlb`].
pub(crate) const TLB: i32 = word(10);
/// The one with the rights of the least privileged level.
pub(crate) const TLB_UNPRIVILEGED: i32 = word(11);
/// What [`tlb_miss`] found: a host address, or 0.
pub(crate) const TLB_FOUND: i32 = word(12);
const TLB_INDEX: usize = index(10);
const TLB_FOUND_INDEX: usize = index(12);
const TABLE_INDEX: usize = index(0);
const LINK_INDEX: usize = index(1);
const INVALIDATE_INDEX: usize = index(3);
/// `&mut dyn Runtime`, two words, while code runs.
const RUNTIME_INDEX: usize = index(6);
/// `*mut Option<Exit>`: where a failed helper leaves its exit.
const EXIT_INDEX: usize = index(8);
/// Index of the word with the host stack pointer.
pub(crate) const HOST_RSP_INDEX: usize = index(2);

/// Continue at `State::pc`.
pub(crate) const EXIT_NEXT: u64 = 0;
/// The same, through the unlinked cell in [`LINK`].
pub(crate) const EXIT_LINK: u64 = 1;
/// `EXIT_REQUEST` was seen.
pub(crate) const EXIT_INTERRUPT: u64 = 2;
/// A helper failed; its exit is in the thread's exit place.
pub(crate) const EXIT_HELPER: u64 = 3;
/// Code was changed, see [`INVALIDATE_ADDR`].
pub(crate) const EXIT_INVALIDATE: u64 = 4;
/// A guest access failed: interpret from `State::pc`, the last checkpoint.
pub(crate) const EXIT_FAULT: u64 = 5;
/// A trap, see [`encode_trap`].
const EXIT_TRAP: u64 = 6;
/// Continue at `State::pc`; the count-down next to the cell in [`LINK`] ran out.
pub(crate) const EXIT_HOT: u64 = 7;

/// Number of the cause of exit `code` among [`crate::EXITS`].
pub(crate) const fn cause(code: u64) -> usize {
    let cause = (code & 0xff) as usize;
    if cause < crate::EXITS.len() { cause } else { EXIT_TRAP as usize }
}

/// Entries of an indirect table: one for all guest code, or, with translated addresses (`paged`), one of several.
pub(crate) const fn table_entries(paged: bool) -> usize {
    if paged { 1 << 14 } else { 1 << 18 }
}

/// The bits of a guest pc that tell its entry among so many.
pub(crate) const fn table_mask(entries: usize) -> u64 {
    ((entries - 1) << 2) as u64
}

/// Bytes of a link cell.
pub(crate) const CELL_BYTES: usize = 8;

/// What the indirect table is searched for: the guest pc, with the mode in bits that no pc of another mode has.
pub(crate) struct Tag;

impl Tag {
    /// What an entry without code holds. Only entry 0 could be that of tag 0, so that fresh memory serves.
    pub(crate) const fn empty(entry: usize) -> u64 {
        if entry == 0 { 1 } else { 0 }
    }
    /// What the mode changes in a tag. Guest addresses are sign-extended from bit 48 or below, so two addresses
    /// differ in all of bits 63:49 or in none; a mode of up to 14 bits differs in some.
    pub(crate) const fn mode_bits(mode: u32) -> u64 {
        (mode as u64) << 49
    }
    /// The tag of `key`.
    pub(crate) const fn of(key: Key) -> u64 {
        key.pc ^ Tag::mode_bits(key.mode)
    }
    /// The entry where `key` would be, of so many.
    pub(crate) const fn entry(key: Key, entries: usize) -> usize {
        (key.pc & table_mask(entries)) as usize >> 2
    }
}

/// The exit code of a trap: kind and operand.
pub(crate) const fn encode_trap(trap: Trap) -> u64 {
    let (kind, operand) = match trap {
        Trap::Svc(n) => (0, n as u64),
        Trap::Hvc(n) => (1, n as u64),
        Trap::Smc(n) => (2, n as u64),
        Trap::Brk(n) => (3, n as u64),
        Trap::Hlt(n) => (4, n as u64),
        Trap::Undefined(w) => (5, w as u64),
        Trap::Syndrome(esr) => (7, esr as u64),
        Trap::Wait(Wait::Interrupt) => (6, 0),
        Trap::Wait(Wait::Event) => (6, 1),
        Trap::Wait(Wait::Yield) => (6, 2),
    };
    EXIT_TRAP | kind << 8 | operand << 32
}

/// The exit behind a code from [`encode_trap`].
pub(crate) const fn decode_trap(code: u64) -> Exit {
    let operand = (code >> 32) as u32;
    match code >> 8 & 0xff {
        0 => Exit::Svc(operand),
        1 => Exit::Hvc(operand),
        2 => Exit::Smc(operand),
        3 => Exit::Brk(operand),
        4 => Exit::Hlt(operand),
        5 => Exit::Undefined(operand),
        7 => Exit::Syndrome(operand),
        _ => Exit::Wait(match operand {
            0 => Wait::Interrupt,
            1 => Wait::Event,
            _ => Wait::Yield,
        }),
    }
}

/// Points the state at the thread's indirect table.
pub(crate) fn set_table(state: &mut State, table: &[AtomicU64]) {
    state.0[TABLE_INDEX] = table.as_ptr() as u64;
}
/// Address of the table of [`crate::tlb`] that the state points at, if there is one.
pub(crate) fn tlb(state: &State) -> Option<u64> {
    Some(state.0[TLB_INDEX]).filter(|table| *table != 0)
}

/// Points the state at the tables of [`crate::tlb`].
pub(crate) fn set_tlb(state: &mut State, tlb: u64, unprivileged: u64) {
    state.0[TLB_INDEX] = tlb;
    state.0[TLB_INDEX + 1] = unprivileged;
}
/// The cell of an [`EXIT_LINK`].
pub(crate) fn link_cell(state: &State) -> u64 {
    state.0[LINK_INDEX]
}
/// Address and length of an [`EXIT_INVALIDATE`].
pub(crate) fn invalidated(state: &State) -> (u64, u64) {
    (state.0[INVALIDATE_INDEX], state.0[INVALIDATE_INDEX + 1])
}

/// Lends `rt` and the exit place to compiled code for the run that follows.
pub(crate) fn lend(state: &mut State, rt: &mut dyn Runtime, exit: &mut Option<Exit>) {
    let fat: *mut (dyn Runtime + '_) = rt;
    // SAFETY: a fat pointer to a trait object is two words, which come back as the same pointer in `runtime`.
    let words: [u64; 2] = unsafe { std::mem::transmute(fat) };
    state.0[RUNTIME_INDEX] = words[0];
    state.0[RUNTIME_INDEX + 1] = words[1];
    state.0[EXIT_INDEX] = std::ptr::from_mut(exit) as u64;
}

/// The runtime lent by [`lend`].
///
/// # Safety
/// Only while compiled code runs on `state` inside the call that lent it.
unsafe fn runtime<'a>(state: *const State) -> &'a mut dyn Runtime {
    // SAFETY: `state` is the running thread's; only this thread touches it now.
    let words = unsafe { [(&(*state).0)[RUNTIME_INDEX], (&(*state).0)[RUNTIME_INDEX + 1]] };
    // SAFETY: the words are the fat pointer stored by `lend`, whose borrow lasts as long as the run.
    unsafe {
        let fat: *mut (dyn Runtime + 'a) = std::mem::transmute(words);
        &mut *fat
    }
}

/// The result of a thunk that may leave: a value, and whether to leave.
#[repr(C)]
pub(crate) struct Outcome {
    value: u64,
    failed: u64,
}

/// Keeps `exit` for the run loop.
///
/// # Safety
/// As [`runtime`].
unsafe fn fail(state: *mut State, exit: Exit) -> Outcome {
    // SAFETY: `lend` stored a pointer to the place that the run loop owns during the run.
    unsafe {
        let place = (&(*state).0)[EXIT_INDEX] as *mut Option<Exit>;
        *place = Some(exit);
    }
    Outcome { value: 0, failed: 1 }
}

/// Calls a frontend's helper.
pub(crate) unsafe extern "sysv64" fn call_helper(
    state: *mut State,
    helper: *const Helper,
    a: u64,
    b: u64,
    c: u64,
    d: u64,
) -> Outcome {
    // SAFETY: compiled code passes its own thread's state, and a row of the frontend's static table.
    let result = unsafe {
        crate::entry::merge_fpsr(&mut *state);
        ((*helper).run)(&mut *state, runtime(state), [a, b, c, d])
    };
    crate::entry::clear_fp_flags();
    match result {
        Ok(value) => Outcome { value, failed: 0 },
        // SAFETY: as above.
        Err(exit) => unsafe { fail(state, exit) },
    }
}

/// 16-byte compare-and-swap: expected and new value in the scratch words, old value back in the first.
pub(crate) unsafe extern "sysv64" fn cas16(state: *mut State, addr: u64) -> Outcome {
    // SAFETY: compiled code passes its own thread's state.
    let (s, rt) = unsafe { (&mut *state, runtime(state)) };
    let expected = s.get128(slot::SCRATCH);
    let new = s.get128(Slot(slot::SCRATCH.0 + 2));
    match rt.cas(Size::B16, addr, expected, new) {
        Ok(old) => {
            s.set128(slot::SCRATCH, old);
            Outcome { value: 0, failed: 0 }
        }
        // SAFETY: as above.
        Err(fault) => unsafe { fail(state, Exit::Fault(fault)) },
    }
}

/// NZCV of stored flag words.
pub(crate) extern "sysv64" fn nzcv(kind: u64, a: u64, b: u64) -> Outcome {
    Outcome { value: u64::from(resolve_flags([kind, a, b])), failed: 0 }
}

/// As [`State::nzcv`], of words that are not in a state.
fn resolve_flags(words: [u64; 3]) -> u32 {
    use eval::flags;
    let [kind, a, b] = flag_words(words);
    match kind {
        k if k == FlagsKind::Add32 as u64 => flags::add32(a as u32, b as u32),
        k if k == FlagsKind::Add64 as u64 => flags::add64(a, b),
        k if k == FlagsKind::Sub32 as u64 => flags::sub32(a as u32, b as u32),
        k if k == FlagsKind::Sub64 as u64 => flags::sub64(a, b),
        k if k == FlagsKind::Logic32 as u64 => flags::logic32(a as u32),
        k if k == FlagsKind::Logic64 as u64 => flags::logic64(a),
        _ => a as u32 & 0xf000_0000,
    }
}

/// Moves the FP flags that the host's FPU holds to FPSR.
pub(crate) unsafe extern "sysv64" fn sync_fpsr(state: *mut State) {
    // SAFETY: compiled code passes its own thread's state.
    crate::entry::merge_fpsr(unsafe { &mut *state });
}

/// Evaluates `op` on operands in the scratch words (two words each); the result replaces the first.
unsafe extern "sysv64" fn evaluate(state: *mut State, op: *const Op) {
    // SAFETY: compiled code passes its own thread's state and an op that its region owns.
    let (s, op) = unsafe { (&mut *state, &*op) };
    let mut env = FpEnv { fpcr: s.fpcr(), fpsr: 0 };
    let base = slot::SCRATCH.0;
    let word = crate::entry::fp_word();
    let value = eval::value(op, |v| s.get128(Slot(base + 2 * v.0 as u16)), &mut env).unwrap_or(0);
    crate::entry::put_back(word);
    s.set128(slot::SCRATCH, value);
    s.0[slot::FPSR.0 as usize] |= u64::from(env.fpsr);
}

/// What [`tlb_miss`] is asked, packed into a word.
pub(crate) const fn encode_access(write: bool, bytes: i32, unprivileged: bool) -> u64 {
    write as u64 | (unprivileged as u64) << 1 | (bytes as u64) << 8
}

/// Asks the runtime for the host address of an access that missed the table; leaves it in [`TLB_FOUND`].
unsafe extern "sysv64" fn tlb_miss(state: *mut State, address: u64, info: u64) {
    // SAFETY: compiled code passes its own thread's state.
    let rt = unsafe { runtime(state) };
    let access = if info & 1 != 0 { Access::Write } else { Access::Read };
    // One page is asked for; what reaches further is not for compiled code.
    let inside = (address & 0xfff) + (info >> 8) <= 0x1000;
    let host = if inside { rt.host_address(access, address, info & 2 != 0) } else { None };
    // SAFETY: as above; the runtime does not reach the state.
    unsafe { (&mut (*state).0)[TLB_FOUND_INDEX] = host.unwrap_or(0) };
}

/// Address of [`tlb_miss`] behind a stub that preserves every register.
pub(crate) fn tlb_miss_preserving() -> usize {
    jib_tlb_miss_preserving as *const () as usize
}

/// Address of code that takes the address of three flag words in RAX and returns NZCV in bits 31:28 of EAX, changing
/// only RCX and RDX besides (see [`State::nzcv`]).
pub(crate) fn flags_stub() -> usize {
    jib_flags as *const () as usize
}

/// Address of [`evaluate`] behind a stub that preserves every register.
pub(crate) fn evaluate_preserving() -> usize {
    jib_evaluate_preserving as *const () as usize
}

unsafe extern "sysv64" {
    /// Takes what [`evaluate`] takes.
    fn jib_evaluate_preserving();
    /// Takes and gives what [`flags_stub`] says.
    fn jib_flags();
    /// Takes what [`tlb_miss`] takes.
    fn jib_tlb_miss_preserving();
}

// SF, ZF, CF and OF become N, Z, C and V as in the quick tier's `pack_host_flags`.
std::arch::global_asm!(
    ".text",
    ".p2align 4",
    ".globl jib_flags",
    ".hidden jib_flags",
    ".type jib_flags,@function",
    "jib_flags:",
    "mov rcx, [rax + 8]",
    "mov rdx, [rax + 16]",
    "mov rax, [rax]",
    "test eax, {above} + {inside}",
    "jne 22f",
    "7:",
    "cmp eax, {sub64}",
    "je 4f",
    "cmp eax, {sub32}",
    "je 3f",
    "cmp eax, {logic32}",
    "je 5f",
    "cmp eax, {logic64}",
    "je 6f",
    "cmp eax, {add32}",
    "je 1f",
    "cmp eax, {add64}",
    "je 2f",
    "mov eax, ecx",
    "and eax, 0xf0000000",
    "ret",
    "1:",
    "add ecx, edx",
    "jmp 8f",
    "2:",
    "add rcx, rdx",
    "jmp 8f",
    "3:",
    "cmp ecx, edx",
    "cmc",
    "jmp 8f",
    "4:",
    "cmp rcx, rdx",
    "cmc",
    "jmp 8f",
    "5:",
    "test ecx, ecx",
    "jmp 8f",
    "6:",
    "test rcx, rcx",
    "8:",
    "lahf",
    "seto al",
    "and eax, 0xc101",
    "imul eax, eax, 0x10210000",
    "and eax, 0xf0000000",
    "ret",
    // As `flag_words`.
    "22:",
    "test eax, {above}",
    "je 23f",
    "mov rdx, rcx",
    "mov rcx, rax",
    "shr rcx, 32",
    "23:",
    "test eax, {inside}",
    "je 24f",
    "mov edx, eax",
    "shr edx, 10",
    "and edx, 0xfffff",
    "24:",
    "and eax, 7",
    "jmp 7b",
    ".size jib_flags, . - jib_flags",
    above = const FIRST_ABOVE,
    inside = const SECOND_INSIDE,
    add32 = const FlagsKind::Add32 as u32,
    add64 = const FlagsKind::Add64 as u32,
    sub32 = const FlagsKind::Sub32 as u32,
    sub64 = const FlagsKind::Sub64 as u32,
    logic32 = const FlagsKind::Logic32 as u32,
    logic64 = const FlagsKind::Logic64 as u32,
);

// The whole caller-saved set; the stack is aligned by hand, for it is called from any depth.
macro_rules! preserving {
    ($name:literal, $function:path) => {
        std::arch::global_asm!(
    ".text",
    ".p2align 4",
    concat!(".globl ", $name),
    concat!(".hidden ", $name),
    concat!(".type ", $name, ",@function"),
    concat!($name, ":"),
    "push rbp",
    "mov rbp, rsp",
    "push rax",
    "push rcx",
    "push rdx",
    "push rsi",
    "push rdi",
    "push r8",
    "push r9",
    "push r10",
    "push r11",
    "sub rsp, 264",
    "and rsp, -16",
    "movups [rsp], xmm0",
    "movups [rsp + 16], xmm1",
    "movups [rsp + 32], xmm2",
    "movups [rsp + 48], xmm3",
    "movups [rsp + 64], xmm4",
    "movups [rsp + 80], xmm5",
    "movups [rsp + 96], xmm6",
    "movups [rsp + 112], xmm7",
    "movups [rsp + 128], xmm8",
    "movups [rsp + 144], xmm9",
    "movups [rsp + 160], xmm10",
    "movups [rsp + 176], xmm11",
    "movups [rsp + 192], xmm12",
    "movups [rsp + 208], xmm13",
    "movups [rsp + 224], xmm14",
    "movups [rsp + 240], xmm15",
    "call {function}",
    "movups xmm0, [rsp]",
    "movups xmm1, [rsp + 16]",
    "movups xmm2, [rsp + 32]",
    "movups xmm3, [rsp + 48]",
    "movups xmm4, [rsp + 64]",
    "movups xmm5, [rsp + 80]",
    "movups xmm6, [rsp + 96]",
    "movups xmm7, [rsp + 112]",
    "movups xmm8, [rsp + 128]",
    "movups xmm9, [rsp + 144]",
    "movups xmm10, [rsp + 160]",
    "movups xmm11, [rsp + 176]",
    "movups xmm12, [rsp + 192]",
    "movups xmm13, [rsp + 208]",
    "movups xmm14, [rsp + 224]",
    "movups xmm15, [rsp + 240]",
    "lea rsp, [rbp - 72]",
    "pop r11",
    "pop r10",
    "pop r9",
    "pop r8",
    "pop rdi",
    "pop rsi",
    "pop rdx",
    "pop rcx",
    "pop rax",
    "pop rbp",
    "ret",
    concat!(".size ", $name, ", . - ", $name),
    function = sym $function,
        );
    };
}

preserving!("jib_evaluate_preserving", evaluate);
preserving!("jib_tlb_miss_preserving", tlb_miss);

/// What the host's processor can do beyond the x86-64 baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostFeatures {
    /// SSE4.2, which includes the CRC32 instruction.
    pub(crate) sse42: bool,
    /// SSE4.1
    pub(crate) sse41: bool,
    /// SSSE3
    pub(crate) ssse3: bool,
    /// AVX
    pub(crate) avx: bool,
    /// AVX2
    pub(crate) avx2: bool,
    /// FMA
    pub(crate) fma: bool,
    /// BMI1
    pub(crate) bmi1: bool,
    /// BMI2
    pub(crate) bmi2: bool,
    /// LZCNT
    pub(crate) lzcnt: bool,
    /// POPCNT
    pub(crate) popcnt: bool,
    /// AES
    pub(crate) aes: bool,
    /// SHA-1 and SHA-256
    pub(crate) sha: bool,
    /// PCLMULQDQ
    pub(crate) pclmul: bool,
    /// F16C
    pub(crate) f16c: bool,
}

impl HostFeatures {
    /// Everything that functions compiled for AVX2 use.
    pub(crate) fn avx2_level(&self) -> bool {
        self.avx2 && self.bmi1 && self.bmi2 && self.lzcnt && self.popcnt
    }

    /// Asks the processor. What `JIB_HOST_WITHOUT` lists (names of the fields, separated by commas) counts as absent, so
    /// that translation for lesser hosts can be tested.
    pub(crate) fn detect() -> HostFeatures {
        let without = std::env::var("JIB_HOST_WITHOUT").unwrap_or_default();
        HostFeatures::detect_without(&without.split(',').collect::<Vec<_>>())
    }

    fn detect_without(without: &[&str]) -> HostFeatures {
        macro_rules! has {
            ($($field:ident: $name:tt),* $(,)?) => {
                HostFeatures {
                    $($field: is_x86_feature_detected!($name) && !without.contains(&stringify!($field))),*
                }
            };
        }
        has! {
            sse42: "sse4.2",
            sse41: "sse4.1",
            ssse3: "ssse3",
            avx: "avx",
            avx2: "avx2",
            fma: "fma",
            bmi1: "bmi1",
            bmi2: "bmi2",
            lzcnt: "lzcnt",
            popcnt: "popcnt",
            aes: "aes",
            sha: "sha",
            pclmul: "pclmulqdq",
            f16c: "f16c",
        }
    }
}

#[cfg(test)]
mod tests;
