//! What memory accesses, barriers and ends of blocks ask for.

use crate::runtime::Wait;

/// What a load or store asks for beyond what the host's TSO gives for free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Order {
    /// Plain.
    Plain,
    /// Acquire on a load (LDAR), release on a store (STLR): a store is then sequentially
    /// consistent with later acquire loads.
    AcqRel,
    /// Plain, with the rights of the least privileged level (LDTR, STTR).
    Unprivileged,
}

/// What a memory barrier orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Fence {
    /// Everything (DMB ISH and stronger).
    Full,
    /// Only what the host's TSO already keeps (DMB ISHLD, ISHST): a compiler barrier.
    Compiler,
}

/// Alignment that an access demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Align {
    /// Natural: a multiple of the size.
    Natural,
    /// The access must not cross a 16-byte boundary (FEAT_LSE2).
    Within16,
}

/// How control leaves a region: a hint for prediction, but for `Sync`; the meaning is always "go to the pc".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum ExitKind {
    /// Jump or fall-through.
    Jump,
    /// Call; the return address is in `ret`.
    Call {
        /// Guest address of the instruction after the call.
        ret: u64,
    },
    /// Return.
    Ret,
    /// To the runtime, by no short way: what was done may have changed the mode, the mapping of memory, or what
    /// interrupts are let in.
    Sync,
}

/// An exit to the runtime, which acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Trap {
    /// Supervisor call.
    Svc(u16),
    /// Hypervisor call.
    Hvc(u16),
    /// Secure monitor call.
    Smc(u16),
    /// BRK
    Brk(u16),
    /// HLT
    Hlt(u16),
    /// Unallocated or unimplemented word.
    Undefined(u32),
    /// WFI, WFE, YIELD.
    Wait(Wait),
    /// A synchronous exception with this syndrome (ESR_ELx).
    Syndrome(u32),
}
