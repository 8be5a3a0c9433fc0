//! `ptrace`: guest programs that trace guest programs.
//!
//! The host's `ptrace` is used for real: waits, parents, permissions, deaths, job control and the inheritance of
//! tracing are the kernel's. But the host's stops happen anywhere in jib's code, where the guest's registers are not
//! exact. So a traced thread brings itself to a guest boundary and stops there by an instruction that faults
//! ([`crate::host::stop`]), and the tracer's jib hides all stops of the host but these, and those inside of a system
//! call that the guest made, where the registers are exact, too. Both sides meet at a [`Door`]: words in the traced
//! thread's memory. [`tracee`] is the traced thread's side, [`stops`] tells the tracer which stops the guest sees,
//! [`request`] is the system call, [`waits`] are those by which the tracer hears of it.

pub(crate) mod door;
mod regsets;
mod remote;
mod request;
mod resume;
mod stops;
mod tracee;
mod waits;
mod writes;

pub(crate) use door::Door;
pub(crate) use request::ptrace;
pub(crate) use stops::Tracees;
pub(crate) use tracee::{Ledger, is_whole};
pub(crate) use waits::{wait4, waitid};
pub(crate) use writes::{process_vm_writev, pwrite64, pwritev, pwritev2, write, writev};
