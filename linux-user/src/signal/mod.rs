//! Guest signals: dispositions ([`action`]), host handlers ([`host`]), the frame on the guest's
//! stack ([`frame`]) and delivery between blocks ([`deliver`]).
//!
//! The kernel keeps the queues, the masks and the default actions: the guest's mask is the host
//! thread's mask (but for SIGSEGV and SIGBUS, which we need ourselves), and a signal without a
//! guest handler has no host handler. A host handler only notes one signal and blocks all others
//! until the run loop has built the guest's frame.

pub(crate) mod action;
pub(crate) mod deliver;
pub(crate) mod frame;
#[allow(unsafe_code, reason = "host signal handlers")]
pub(crate) mod host;

/// Number of signals; they are numbered from 1.
pub(crate) const NSIG: usize = 64;
/// The signals that the host must always be able to raise in us.
pub(crate) const SYNCHRONOUS: u64 = bit(libc::SIGSEGV) | bit(libc::SIGBUS);
/// The signals that cannot be blocked or caught.
pub(crate) const UNBLOCKABLE: u64 = bit(libc::SIGKILL) | bit(libc::SIGSTOP);

/// A signal's bit in a mask.
pub(crate) const fn bit(signal: i32) -> u64 {
    1 << ((signal - 1) & 63)
}

/// `si_code` of SIGTRAP for a breakpoint instruction.
pub(crate) const TRAP_BRKPT: i32 = 1;
/// `si_code` of SIGTRAP for a single step.
pub(crate) const TRAP_TRACE: i32 = 2;
/// `si_code` of SIGTRAP for a breakpoint or watchpoint register.
pub(crate) const TRAP_HWBKPT: i32 = 4;

/// `siginfo_t`, laid out the same on both sides.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub(crate) struct SigInfo(pub [u8; 128]);

impl SigInfo {
    /// One without a sender, as `kill` from our own process makes it.
    pub(crate) fn user(signal: i32) -> SigInfo {
        let mut info = SigInfo([0; 128]);
        info.put(0, signal);
        info.put(16, crate::host::getpid());
        info
    }

    /// One of a fault at `addr`.
    pub(crate) fn fault(signal: i32, code: i32, addr: u64) -> SigInfo {
        let mut info = SigInfo([0; 128]);
        info.put(0, signal);
        info.put(8, code);
        info.0[16..24].copy_from_slice(&addr.to_le_bytes());
        info
    }

    /// One of a system call that a filter trapped.
    pub(crate) fn filtered(pc: u64, nr: u32, arch: u32, datum: u16) -> SigInfo {
        const SYS_SECCOMP: i32 = 1;
        let mut info = SigInfo::fault(libc::SIGSYS, SYS_SECCOMP, pc);
        info.put(4, datum as i32);
        info.put(24, nr as i32);
        info.put(28, arch as i32);
        info
    }

    /// One that a process sends with a value (`SI_QUEUE`).
    pub(crate) fn queued(signal: i32, value: u64) -> SigInfo {
        let mut info = SigInfo::user(signal);
        info.put(8, libc::SI_QUEUE);
        info.0[24..32].copy_from_slice(&value.to_le_bytes());
        info
    }

    /// `si_value` of one that was sent with a value.
    pub(crate) fn queued_value(&self) -> Option<u64> {
        (self.code() == libc::SI_QUEUE).then(|| self.words()[3])
    }

    /// As 64-bit words.
    pub(crate) fn words(&self) -> [u64; 16] {
        std::array::from_fn(|w| u64::from_le_bytes(std::array::from_fn(|i| self.0[8 * w + i])))
    }

    /// From 64-bit words.
    pub(crate) fn from_words(words: &[u64; 16]) -> SigInfo {
        SigInfo(std::array::from_fn(|i| words[i / 8].to_le_bytes()[i % 8]))
    }

    fn put(&mut self, at: usize, v: i32) {
        self.0[at..at + 4].copy_from_slice(&v.to_le_bytes());
    }

    fn word(&self, at: usize) -> i32 {
        i32::from_le_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }

    /// `si_signo`
    pub(crate) fn signal(&self) -> i32 {
        self.word(0)
    }

    /// `si_code`
    pub(crate) fn code(&self) -> i32 {
        self.word(8)
    }

    /// Sets `si_code`.
    pub(crate) fn set_code(&mut self, code: i32) {
        self.put(8, code);
    }

    /// `si_addr` of a fault
    pub(crate) fn address(&self) -> u64 {
        self.words()[2]
    }

    /// `si_pid`
    pub(crate) fn sender(&self) -> i32 {
        self.word(16)
    }

    /// Sets `si_pid`.
    pub(crate) fn set_sender(&mut self, pid: i32) {
        self.put(16, pid);
    }

    /// `si_status` of SIGCHLD and of `waitid`.
    pub(crate) fn child_status(&self) -> i32 {
        self.word(24)
    }

    /// Sets `si_status`.
    pub(crate) fn set_child_status(&mut self, status: i32) {
        self.put(24, status);
    }
}

/// The alternate signal stack of one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AltStack {
    /// Lowest address.
    pub sp: u64,
    /// `SS_DISABLE` and `SS_AUTODISARM`.
    pub flags: i32,
    /// Bytes.
    pub size: u64,
}

/// `SS_AUTODISARM`
pub(crate) const SS_AUTODISARM: i32 = 1 << 31;

impl Default for AltStack {
    fn default() -> AltStack {
        AltStack { sp: 0, flags: libc::SS_DISABLE, size: 0 }
    }
}

impl AltStack {
    /// Is a thread with stack pointer `sp` running on it?
    pub(crate) fn holds(&self, sp: u64) -> bool {
        self.flags & SS_AUTODISARM == 0 && sp > self.sp && sp - self.sp <= self.size
    }

    /// Can it be switched to?
    pub(crate) fn enabled(&self) -> bool {
        self.size != 0
    }

    /// The 24 bytes of `stack_t`, with its state as seen from `sp`.
    pub(crate) fn to_bytes(self, sp: u64) -> [u8; 24] {
        let on = if self.holds(sp) { libc::SS_ONSTACK } else { 0 };
        let state = if self.enabled() { on } else { libc::SS_DISABLE };
        let mut b = [0; 24];
        b[..8].copy_from_slice(&self.sp.to_le_bytes());
        b[8..12].copy_from_slice(&(state | self.flags & SS_AUTODISARM).to_le_bytes());
        b[16..].copy_from_slice(&self.size.to_le_bytes());
        b
    }

    /// From the bytes of `stack_t`; the error is a Linux error number.
    pub(crate) fn from_bytes(b: &[u8; 24]) -> Result<AltStack, i32> {
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| b[at + i]));
        let (sp, flags, size) = (word(0), word(8) as i32, word(16));
        match flags & !SS_AUTODISARM {
            libc::SS_DISABLE => Ok(AltStack { sp: 0, flags, size: 0 }),
            0 | libc::SS_ONSTACK if size < crate::stack::MINSIGSTKSZ => Err(libc::ENOMEM),
            0 | libc::SS_ONSTACK => Ok(AltStack { sp, flags: flags & SS_AUTODISARM, size }),
            _ => Err(libc::EINVAL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternate_stacks_are_checked() {
        let make = |sp: u64, flags: i32, size: u64| {
            let mut b = [0; 24];
            b[..8].copy_from_slice(&sp.to_le_bytes());
            b[8..12].copy_from_slice(&flags.to_le_bytes());
            b[16..].copy_from_slice(&size.to_le_bytes());
            AltStack::from_bytes(&b)
        };
        assert_eq!(make(0x1000, 0, 100), Err(libc::ENOMEM));
        assert_eq!(make(0x1000, 16, 0x4000), Err(libc::EINVAL));
        let s = make(0x1000, 0, 0x4000).unwrap();
        assert!(s.holds(0x5000) && s.holds(0x1001) && !s.holds(0x1000) && !s.holds(0x5001));
        assert!(!make(0, libc::SS_DISABLE, 0).unwrap().enabled());
        assert_eq!(s.to_bytes(0x3000)[8], libc::SS_ONSTACK as u8);
    }
}
