//! The words through which a traced thread and its tracer's jib talk.
//!
//! The thread is stopped, or inside of a system call, whenever the tracer writes.

use std::sync::atomic::{AtomicU64, Ordering};

/// Marks a stop, and the code and data of a jib that speaks this protocol: change it with [`word`] or [`Kind`].
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"jibstop1");
/// `si_value` of a SIGSEGV by which the tracer asks a thread to come to its next boundary.
pub(crate) const KICK: u64 = u64::from_le_bytes(*b"jibkick1");
/// `si_value` of a signal that a thread sends to itself to die or stop of it: its tracer has heard of it already.
pub(crate) const HEARD: u64 = u64::from_le_bytes(*b"jibheard");

/// Breakpoint registers of a thread.
pub(crate) const BREAKS: usize = 6;
/// Watchpoint registers of a thread.
pub(crate) const WATCHES: usize = 4;
/// Words of a `siginfo_t`.
pub(crate) const INFO_WORDS: usize = 16;

/// Indices of the words.
pub(crate) mod word {
    use super::{BREAKS, INFO_WORDS, WATCHES};
    /// [`super::MAGIC`]
    pub(crate) const MAGIC: usize = 0;
    /// Address of the guest's [`State`](jib_ir::state::State).
    pub(crate) const STATE: usize = 1;
    /// Address of the process's [`Ledger`](crate::ptrace::Ledger) of changed code.
    pub(crate) const LEDGER: usize = 2;
    /// Why the thread has stopped: a [`Kind`](super::Kind).
    pub(crate) const KIND: usize = 3;
    /// What belongs to it.
    pub(crate) const MESSAGE: usize = 4;
    /// The number of the system call that is being made, or [`super::NO_CALL`]. The tracer may change it.
    pub(crate) const CALL: usize = 5;
    /// The signal that is about to be delivered; the tracer may change it, also to 0.
    pub(crate) const SIGNAL: usize = 6;
    /// Is there a tracer, as far as is known?
    pub(crate) const TRACED: usize = 7;
    /// The tracer wants a stop at the next boundary.
    pub(crate) const CALLED: usize = 8;
    /// How the thread goes on: [`super::RUN`], [`super::SYSCALL`], [`super::STEP`].
    pub(crate) const MODE: usize = 9;
    /// `PTRACE_O_*`
    pub(crate) const OPTIONS: usize = 10;
    /// A signal that the tracer has heard of and that is about to come.
    pub(crate) const SKIP: usize = 11;
    /// Is any breakpoint or watchpoint register in use?
    pub(crate) const ARMED: usize = 12;
    /// The tracer has changed the guest's signal mask.
    pub(crate) const REMASK: usize = 13;
    /// `siginfo_t` of the signal.
    pub(crate) const INFO: usize = 14;
    /// Address and control of each breakpoint register.
    pub(crate) const BREAK: usize = INFO + INFO_WORDS;
    /// The same for watchpoints.
    pub(crate) const WATCH: usize = BREAK + 2 * BREAKS;
    /// Number of words.
    pub(crate) const COUNT: usize = WATCH + 2 * WATCHES;
}

/// [`word::CALL`] of a thread that is not in a system call.
pub(crate) const NO_CALL: u64 = u64::MAX;

/// [`word::MODE`]: goes on until something happens.
pub(crate) const RUN: u64 = 0;
/// [`word::MODE`]: goes on to the next beginning or end of a system call.
pub(crate) const SYSCALL: u64 = 1;
/// [`word::MODE`]: executes one instruction.
pub(crate) const STEP: u64 = 2;

/// Why a thread stops at its door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Kind {
    /// The tracer asked for it.
    Called = 0,
    /// A signal is about to be delivered.
    Signal = 1,
    /// A system call begins.
    Entry = 2,
    /// A system call has ended.
    Exit = 3,
    /// The first instruction after `execve`.
    Exec = 4,
    /// The first instruction of a new thread or process.
    Born = 5,
    /// A thread or process is about to be made; the message is `clone`'s flags.
    Cloning = 6,
    /// A filter wants the tracer asked; the message is the filter's datum.
    Seccomp = 7,
    /// The thread is about to end; the message is the status.
    End = 8,
}

impl Kind {
    const ALL: [Kind; 9] = [
        Kind::Called,
        Kind::Signal,
        Kind::Entry,
        Kind::Exit,
        Kind::Exec,
        Kind::Born,
        Kind::Cloning,
        Kind::Seccomp,
        Kind::End,
    ];

    /// The kind of this number.
    pub(crate) fn from_word(v: u64) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| *k as u64 == v)
    }
}

/// See the module.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Door([AtomicU64; word::COUNT]);

impl Door {
    /// The door of a thread with its registers at `state`, untraced.
    pub(crate) fn new(state: u64) -> Door {
        let door = Door(std::array::from_fn(|_| AtomicU64::new(0)));
        door.set(word::MAGIC, MAGIC);
        door.set(word::STATE, state);
        door.set(word::CALL, NO_CALL);
        door
    }

    /// Reads a word.
    #[inline]
    pub(crate) fn get(&self, word: usize) -> u64 {
        self.0[word].load(Ordering::Relaxed)
    }

    /// Writes a word.
    #[inline]
    pub(crate) fn set(&self, word: usize, v: u64) {
        self.0[word].store(v, Ordering::Relaxed);
    }

    /// Is there a tracer, as far as is known?
    #[inline]
    pub(crate) fn is_traced(&self) -> bool {
        self.get(word::TRACED) != 0
    }

    /// Must each instruction be looked at?
    #[inline]
    pub(crate) fn is_watched(&self) -> bool {
        self.get(word::ARMED) != 0 || self.get(word::MODE) == STEP
    }

    /// As a new thread takes it over from the one that makes it.
    pub(crate) fn inherit(&self, maker: &Door) {
        self.set(word::TRACED, maker.get(word::TRACED));
        self.set(word::OPTIONS, maker.get(word::OPTIONS));
    }

    /// Nobody traces the thread.
    pub(crate) fn forget_tracer(&self) {
        for w in [word::TRACED, word::CALLED, word::MODE, word::OPTIONS, word::SKIP, word::ARMED] {
            self.set(w, 0);
        }
    }
}
