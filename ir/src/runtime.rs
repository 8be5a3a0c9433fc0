//! What running code may ask of its surroundings, and how it comes to a stop.

use crate::state::State;
use crate::ty::Size;

/// A memory access that could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Guest virtual address of the first byte that failed.
    pub addr: u64,
    /// What the access was.
    pub access: Access,
    /// Why it failed; the runtime that raised it knows the code (in user mode `SEGV_*`/`BUS_*`
    /// as `signal << 16 | si_code`).
    pub cause: u32,
}

/// The kind of a memory access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Data read.
    Read,
    /// Data write.
    Write,
    /// Instruction fetch.
    Fetch,
}

/// Why execution of translated code stopped. `State::pc` is exact in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Continue at `State::pc`.
    Next,
    /// Supervisor call; `State::pc` is the instruction after it.
    Svc(u32),
    /// Hypervisor call; `State::pc` is the instruction after it.
    Hvc(u32),
    /// Secure monitor call; `State::pc` is the instruction after it.
    Smc(u32),
    /// Breakpoint instruction at `State::pc`.
    Brk(u32),
    /// Halting breakpoint (semihosting) at `State::pc`.
    Hlt(u32),
    /// A synchronous exception with this syndrome (ESR_ELx); `State::pc` is the return address.
    Syndrome(u32),
    /// The word at `State::pc` is not an instruction we (or Arm) define.
    Undefined(u32),
    /// A memory access of the instruction at `State::pc` failed.
    Fault(Fault),
    /// Wait for interrupt or event; `State::pc` is the instruction after it.
    Wait(Wait),
    /// Someone set `EXIT_REQUEST`.
    Interrupt,
    /// The code at this address range changed; translations must go. Then continue at `State::pc`.
    InvalidateCode {
        /// First byte.
        addr: u64,
        /// Number of bytes.
        len: u64,
    },
}

/// The hint that ends a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Wait {
    /// WFI
    Interrupt,
    /// WFE
    Event,
    /// YIELD
    Yield,
}

/// How the code at `State::pc` is found and reaches memory, see [`Runtime::locate`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// Physical address of the page that holds the code; 0 where addresses are not translated.
    pub page: u64,
    /// Bits that belong into [`crate::region::Key::mode`] besides those that the guest state tells.
    pub mode: u32,
    /// Number of the address space: code addresses that were found under one number may mean other code under
    /// another one.
    pub space: u64,
    /// Host address of the table through which compiled code reaches memory now; 0 where it uses guest addresses.
    pub tlb: u64,
    /// The same with the rights of the least privileged level.
    pub tlb_unprivileged: u64,
}

/// Read-modify-write operation on memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum RmwOp {
    /// old + v
    Add,
    /// old & !v
    Clr,
    /// old ^ v
    Xor,
    /// old | v
    Or,
    /// signed maximum
    SMax,
    /// signed minimum
    SMin,
    /// unsigned maximum
    UMax,
    /// unsigned minimum
    UMin,
    /// v
    Swap,
}

/// Memory and the outside world, as code running on one thread sees them.
///
/// All accesses are little-endian, may be unaligned unless said otherwise, and are single-copy
/// atomic when aligned.
pub trait Runtime {
    /// Loads `size` bytes, zero-extended.
    fn load(&mut self, size: Size, addr: u64) -> Result<u128, Fault>;
    /// Stores the low `size` bytes of `v`.
    fn store(&mut self, size: Size, addr: u64, v: u128) -> Result<(), Fault>;
    /// Stores with sequential consistency towards later acquire loads (STLR).
    fn store_release(&mut self, size: Size, addr: u64, v: u128) -> Result<(), Fault>;
    /// Atomically replaces `*addr` by `op(*addr, v)` and returns the old value.
    fn rmw(&mut self, op: RmwOp, size: Size, addr: u64, v: u64) -> Result<u64, Fault>;
    /// Atomically stores `new` if `*addr == expected`; returns the old value.
    fn cas(&mut self, size: Size, addr: u64, expected: u128, new: u128) -> Result<u128, Fault>;
    /// A full memory barrier.
    fn fence(&mut self);
    /// Guest counter (CNTVCT_EL0) in ticks of [`Runtime::counter_hz`].
    fn counter(&mut self) -> u64;
    /// Frequency of the counter in Hz.
    fn counter_hz(&self) -> u64;
    /// 64 random bits, or `None` if the host has none to give now.
    fn random(&mut self) -> Option<u64>;

    /// Loads with the rights of the least privileged level.
    fn load_unprivileged(&mut self, size: Size, addr: u64) -> Result<u128, Fault> {
        self.load(size, addr)
    }
    /// Stores with the rights of the least privileged level.
    fn store_unprivileged(&mut self, size: Size, addr: u64, v: u128) -> Result<(), Fault> {
        self.store(size, addr, v)
    }
    /// Completes what was asked of other processors (translation maintenance), as a barrier does that waits for it.
    fn synchronize(&mut self) {
        self.fence();
    }
    /// Sets the event register of every other processor.
    fn send_event(&mut self) {}
    /// Called before each translation that is looked for: what lies at `State::pc`. An error is what to do instead
    /// of running code there: an interrupt to take, a fault of the fetch.
    #[inline]
    fn locate(&mut self, state: &State) -> Result<Location, Exit> {
        let _ = state;
        Ok(Location::default())
    }
    /// The host address at which compiled code may access what lies at `addr`, up to the end of the page of 4 KiB,
    /// with the rights that the last [`Runtime::locate`] found or (`unprivileged`) those of the least privileged level.
    /// `None`: the access is the interpreter's business (it faults, or reaches a device or code).
    fn host_address(&mut self, access: Access, addr: u64, unprivileged: bool) -> Option<u64> {
        let _ = (access, addr, unprivileged);
        None
    }
    /// The guest says that code at virtual `[addr, addr + len)` changed. True if that has been seen to; false if
    /// translations are known by these addresses.
    fn code_changed(&mut self, addr: u64, len: u64) -> bool {
        let _ = (addr, len);
        false
    }
    /// Compiled code has faulted, and its last instructions are now interpreted again, until this is called with `false`:
    /// who knows of the host's fault need not provoke it once more.
    fn replay(&mut self, _begins: bool) {}

    /// A system register or instruction that is not the processor's own state: interrupt controller,
    /// timers, translation maintenance. `op` is the frontend's number for it, `v` the value to write
    /// or `None` to read. Undefined where there is no system around.
    fn system(&mut self, state: &mut State, op: u32, v: Option<u64>) -> Result<u64, Exit> {
        let _ = (op, v);
        let _ = state;
        Err(Exit::Undefined(0))
    }
}

/// A helper: out-of-line semantics, called by every executor through the same table.
///
/// Arguments and result are zero-extended; unused arguments are zero. A helper reads and writes
/// guest state freely. An `Err` leaves with the guest pc set to the calling instruction.
pub type HelperFn = fn(&mut State, &mut dyn Runtime, [u64; 4]) -> Result<u64, Exit>;

/// One entry of a frontend's helper table.
#[derive(Clone, Copy)]
pub struct Helper {
    /// Name, for listings.
    pub name: &'static str,
    /// The code.
    pub run: HelperFn,
}
