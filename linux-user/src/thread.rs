//! Guest threads and processes: their state, how they are born and how they end.
//!
//! A guest thread is a host thread made by the C library, because Rust and that need valid
//! thread-local storage; its kernel thread id is the guest's. What the kernel would do for the guest
//! at a thread's end (robust futexes, clearing the id that `pthread_join` waits for) is done by us as
//! the last act. A child that shares memory (`vfork`, `posix_spawn`) is a real `CLONE_VM` process: it
//! borrows the host thread-local storage of the thread that waits for it.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::sync::mpsc::{self, Sender};

use jib_backend::Vcpu;
use jib_debug::engine::Engine;
use jib_frontend_aarch64::A64;
use jib_ir::state::{State, slot};
use jib_ir::ty::Size;

use crate::ExitStatus;
use crate::debug::{Debug, Inherited};
use crate::host::{self, Errno, call};
use crate::host_thread::{HostThread, STACK as HOST_STACK};
use crate::mem;
use crate::process::Process;
use crate::run::Ended;
use crate::runtime::UserRuntime;
use crate::seccomp::Mode;
use crate::signal::action::Actions;
use crate::signal::host::{Context, HandlerStack, block_all, die_of};
use crate::signal::{AltStack, SigInfo};
use crate::syscall::ExecCall;
use crate::syscall::ids::{Groups, Ids};

/// How a thread's end is the end of something on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The thread that called `run`: the process's end returns from there.
    Main,
    /// A thread of ours: its end returns to the C library.
    Worker,
    /// The only thread of a forked process, on whatever host thread forked: never returns.
    Child,
}

/// A guest thread.
pub(crate) struct Thread {
    /// The process.
    pub process: Arc<Process>,
    /// Signal dispositions.
    pub actions: Arc<Actions>,
    /// Registers, and the way into translated code.
    pub vcpu: Vcpu<A64>,
    /// Memory and counters for translated code.
    pub runtime: UserRuntime,
    /// What signal handlers see. Points into `vcpu.state`.
    pub context: Box<Context>,
    /// Alternate signal stack.
    pub alt: AltStack,
    /// Mask of a system call that was interrupted while it had its own.
    pub temporary_mask: Option<u64>,
    /// The last system call must be restarted, or fail with `EINTR` if a handler runs.
    pub restart: bool,
    /// See [`Role`].
    pub role: Role,
    /// Where a worker's end stores 0, if not null.
    clear_tid: u64,
    /// What system calls are allowed.
    pub seccomp: Mode,
    /// See [`seccomp::Shared::take`](crate::seccomp::Shared::take).
    pub filters_seen: u64,
    /// Who the thread pretends to be.
    pub ids: Option<Ids>,
    /// The supplementary groups that it pretends to have.
    pub groups: Groups,
    /// The signal that it dies of.
    pub death: Option<SigInfo>,
    /// `PR_SET_TAGGED_ADDR_CTRL`
    pub tagged_addresses: u64,
    /// Memory of an `execve`, kept here so that a `vfork` parent frees it.
    pub exec: Option<ExecCall>,
    /// The descriptor from which an ELF header was read last, until something is mapped for it. A guess, not a fact.
    pub header_read: Option<i32>,
    /// The debugger's side of it, if it is debugged or traced.
    pub debug: Option<Box<Debug>>,
    /// The executor of single steps for a tracer, once there was one.
    pub stepper: Option<Box<Engine>>,
}

// SAFETY: the raw pointer in the context leads into the thread's own state, on the heap.
unsafe impl Send for Thread {}

/// A request to make a thread or process, in the order of `struct clone_args`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clone {
    /// `CLONE_*`
    pub flags: u64,
    /// Where to store a pidfd.
    pub pidfd: u64,
    /// Thread id in the child's memory.
    pub child_tid: u64,
    /// Thread id in the parent's memory.
    pub parent_tid: u64,
    /// Signal at its end.
    pub exit_signal: u64,
    /// Its stack pointer, or 0 to keep it.
    pub stack: u64,
    /// Its thread pointer.
    pub tls: u64,
}

impl Clone {
    fn has(&self, flag: c_int) -> bool {
        self.flags & flag as u32 as u64 != 0
    }
}

/// `CLONE_CLEAR_SIGHAND`
pub(crate) const CLONE_CLEAR_SIGHAND: u64 = 1 << 32;
/// Flags of `fork` that we see to ourselves.
const SIMPLE_FORK: u64 = (libc::CLONE_CHILD_SETTID
    | libc::CLONE_CHILD_CLEARTID
    | libc::CLONE_PARENT_SETTID
    | libc::CLONE_SETTLS
    | libc::CLONE_VFORK) as u64
    | CLONE_CLEAR_SIGHAND;

impl Thread {
    /// A thread that runs on `state`.
    pub(crate) fn new(process: Arc<Process>, actions: Arc<Actions>, state: &State, mask: u64, role: Role) -> Thread {
        let mut vcpu = Vcpu::<A64>::new(&process.translator);
        copy_guest_part(&mut vcpu.state, state);
        let context = Context::new(&mut vcpu.state, mask);
        Thread {
            process,
            actions,
            vcpu,
            runtime: UserRuntime::default(),
            context,
            alt: AltStack::default(),
            temporary_mask: None,
            restart: false,
            role,
            clear_tid: 0,
            seccomp: Mode::Free,
            filters_seen: 0,
            ids: None,
            groups: None,
            death: None,
            tagged_addresses: 0,
            exec: None,
            header_read: None,
            debug: None,
            stepper: None,
        }
    }

    /// `clone` and `clone3`: the child's id, seen from the parent.
    pub(crate) fn clone_guest(&mut self, c: &Clone) -> Result<i32, Errno> {
        let (vm, thread, sighand) = (c.has(libc::CLONE_VM), c.has(libc::CLONE_THREAD), c.has(libc::CLONE_SIGHAND));
        let clear = c.flags & CLONE_CLEAR_SIGHAND != 0;
        if (thread && !sighand) || (sighand && (!vm || clear)) {
            return Err(Errno(libc::EINVAL));
        }
        block_all();
        if self.context.is_due() {
            // Let the signal in first, as if it had come before the call.
            self.context.set_mask(self.context.mask());
            return Err(Errno(-host::ERESTARTNOINTR as i32));
        }
        // From here to the child's birth this thread makes no other: the tracer takes the next one for it.
        self.traced_cloning(c.flags);
        let result = if thread {
            self.spawn(c)
        } else if vm && c.has(libc::CLONE_VFORK) {
            self.shared_child(c, None)
        } else if vm {
            self.detached_shared_child(c)
        } else {
            self.fork(c)
        };
        self.context.set_mask(self.context.mask());
        result
    }

    /// A child's thread, made from this one's state.
    fn child(&self, c: &Clone, actions: Arc<Actions>, role: Role) -> Thread {
        let mut t = Thread::new(self.process.clone(), actions, &self.vcpu.state, self.context.mask(), role);
        (t.ids, t.groups) = (self.ids, self.groups.clone());
        (t.seccomp, t.filters_seen) = (self.seccomp.clone(), self.filters_seen);
        t.context.door().inherit(self.context.door());
        let s = &mut t.vcpu.state;
        s.set_x(0, 0);
        s.set(slot::EXCL_ADDR, u64::MAX);
        if c.stack != 0 {
            s.set_x(31, c.stack);
        }
        if c.has(libc::CLONE_SETTLS) {
            s.set(slot::TPIDR, c.tls);
        }
        // A thread on a new stack loses the alternate one; `vfork` keeps it, as in Linux.
        if !c.has(libc::CLONE_VM) || c.has(libc::CLONE_VFORK) {
            t.alt = self.alt;
        }
        t
    }

    fn spawn(&mut self, c: &Clone) -> Result<i32, Errno> {
        let mut t = self.child(c, self.actions.clone(), Role::Worker);
        t.clear_tid = if c.has(libc::CLONE_CHILD_CLEARTID) { c.child_tid } else { 0 };
        let c = *c;
        let debug = self.debug.as_ref().map(|d| d.for_thread());
        // Debuggers and tracers hear of it before the parent goes on.
        let (begun, begins) = if debug.is_some() || self.is_traced() { Some(mpsc::channel()) } else { None }.unzip();
        let birth = Arc::new(Birth::default());
        let of_child = birth.clone();
        let body = move || worker_main(t, &c, debug.as_ref(), &of_child, begun.as_ref());
        let stack = self.process.lock().stacks.take();
        let thread = HostThread::spawn(stack, Box::new(body));
        let tid = thread.as_ref().map(|thread| birth.announce(thread.id(), &c));
        if let Some(stack) = stack {
            self.process.lock().stacks.given(stack, thread.as_ref().ok());
        }
        let tid = tid.map_err(|_| Errno(libc::EAGAIN))?;
        match begins {
            Some(begins) => begins.recv().map_err(|_| Errno(libc::EAGAIN)).map(|()| tid),
            None => Ok(tid),
        }
    }

    /// `fork`, by the C library if it can do what is asked, else by the raw system call.
    fn fork(&mut self, c: &Clone) -> Result<i32, Errno> {
        let process = self.process.clone();
        let actions = self.actions.clone();
        process.translator.before_fork();
        let guards = (process.space.lock(), actions.lock(), process.lock());
        let simple = c.flags & !SIMPLE_FORK == 0 && c.exit_signal == libc::SIGCHLD as u64;
        let pid = if simple { c_fork() } else { raw_fork(c) };
        drop(guards);
        match pid {
            Ok(0) => process.translator.after_fork_child(),
            _ => process.translator.after_fork_parent(),
        }
        match pid? {
            0 => {
                self.become_child(c, simple);
                Ok(0)
            }
            pid => {
                if (simple || c.has(libc::CLONE_PIDFD)) && c.has(libc::CLONE_PARENT_SETTID) {
                    store_tid(c.parent_tid, pid);
                }
                Ok(pid)
            }
        }
    }

    fn become_child(&mut self, c: &Clone, simple: bool) {
        self.role = Role::Child;
        self.debug_forked();
        self.process.space.lock().vmas.forked();
        self.process.lock().threads.clear();
        self.register();
        self.process.tracees.forget();
        // Those of the threads that are not here do not count.
        self.actions = Arc::new((*self.actions).clone());
        self.clear_tid = 0;
        if simple && c.has(libc::CLONE_CHILD_SETTID) {
            store_tid(c.child_tid, host::gettid());
        }
        if simple && c.has(libc::CLONE_CHILD_CLEARTID) {
            call(libc::SYS_set_tid_address, &[c.child_tid]);
        }
        if c.flags & CLONE_CLEAR_SIGHAND != 0 {
            self.actions.clear_handlers();
        }
        let s = &mut self.vcpu.state;
        s.set(slot::EXCL_ADDR, u64::MAX);
        if c.stack != 0 {
            s.set_x(31, c.stack);
        }
        if c.has(libc::CLONE_SETTLS) {
            s.set(slot::TPIDR, c.tls);
        }
        s.set_x(0, 0);
        self.traced_born();
    }

    /// A child process in our own memory, which we wait for until it executes or ends.
    ///
    /// A thread that is lent for it has a name of its own, which is not to be the child's.
    fn shared_child(&mut self, c: &Clone, lent: Option<(Sender<i32>, [u8; 16])>) -> Result<i32, Errno> {
        let (born, name) = lent.unzip();
        let actions = if c.has(libc::CLONE_SIGHAND) { self.actions.clone() } else { Arc::new((*self.actions).clone()) };
        let mut child = SharedChild {
            thread: self.child(c, actions, Role::Child),
            clear_handlers: c.flags & CLONE_CLEAR_SIGHAND != 0,
            born,
            name,
        };
        let flags = (c.flags & !CLONE_CLEAR_SIGHAND) as c_int & !libc::CLONE_SETTLS | libc::CLONE_VFORK;
        let pid = clone_sharing(flags | c.exit_signal as c_int, c, &mut child);
        self.context.enter();
        if let Ok(pid) = pid
            && c.has(libc::CLONE_PIDFD)
            && c.has(libc::CLONE_PARENT_SETTID)
        {
            store_tid(c.parent_tid, pid);
        }
        pid
    }

    /// A child process in our own memory that nobody waits for: a thread made for it does.
    fn detached_shared_child(&mut self, c: &Clone) -> Result<i32, Errno> {
        let (born, started) = mpsc::channel();
        let mut lender = self.child(c, self.actions.clone(), Role::Worker);
        lender.vcpu.state.set_x(31, self.vcpu.state.x(31));
        let c = Clone { flags: c.flags, ..*c };
        let mut name = [0u8; 16];
        call(libc::SYS_prctl, &[libc::PR_GET_NAME as u64, name.as_mut_ptr() as u64]);
        let body = move || {
            let _stack = HandlerStack::install();
            block_all();
            let result = lender.shared_child(&c, Some((born, name)));
            Context::leave();
            _ = result;
        };
        match std::thread::Builder::new().name("jib-lender".into()).stack_size(HOST_STACK).spawn(body) {
            Ok(_) => started.recv().map_err(|_| Errno(libc::EAGAIN)),
            Err(_) => Err(Errno(libc::EAGAIN)),
        }
    }

    /// `set_tid_address`: the kernel's business, but for workers, whose kernel word is the C library's.
    pub(crate) fn set_tid_address(&mut self, addr: u64) -> i64 {
        if self.role == Role::Worker {
            self.clear_tid = addr;
            host::gettid() as i64
        } else {
            call(libc::SYS_set_tid_address, &[addr])
        }
    }

    /// What the guest has set by `set_tid_address`; `kernel` is what the kernel knows.
    pub(crate) fn tid_address(&self, kernel: u64) -> u64 {
        if self.role == Role::Worker { self.clear_tid } else { kernel }
    }

    /// Ends what `end` says; returns only for the end of the process in its main thread, and for
    /// the end of a worker.
    pub(crate) fn finish(&mut self, end: Ended) -> ExitStatus {
        block_all();
        self.vcpu.report();
        // A tracer may have changed the code.
        if matches!(end, Ended::Process(_)) && !self.is_traced() {
            self.process.translator.keep();
        }
        self.traced_end(end);
        if matches!(end, Ended::Process(_))
            && host::getpid() == self.process.pid
            && let Some(at_exit) = &self.process.at_exit
        {
            at_exit(&self.process.translator);
        }
        self.debug_end(end);
        if let Ended::Process(ExitStatus::Signaled(signal)) = end {
            self.leave_core(signal);
        }
        match (end, self.role) {
            (Ended::Process(status), Role::Main) => status,
            (Ended::Process(status), _) => match status {
                ExitStatus::Exited(code) => host::exit_group(code),
                ExitStatus::Signaled(signal) => die_of(signal),
            },
            (Ended::Thread(code), Role::Worker) => ExitStatus::Exited(code),
            (Ended::Thread(code), _) => host::exit_thread(code),
        }
    }
}

/// Copies everything but the backend's words and the exit request.
fn copy_guest_part(to: &mut State, from: &State) {
    const BACKEND: std::ops::Range<usize> = slot::SCRATCH.0 as usize..slot::GUEST.0 as usize;
    for (i, (to, from)) in to.0.iter_mut().zip(&from.0).enumerate() {
        if !BACKEND.contains(&i) && i != slot::EXIT_REQUEST.0 as usize {
            *to = *from;
        }
    }
}

fn store_tid(addr: u64, tid: i32) {
    // As in the kernel, a bad address is ignored.
    _ = mem::store(Size::B4, addr, tid as u32 as u128);
}

/// A new thread's id is written where the guest wants it before either the thread or its parent goes on there: by
/// whichever of the two comes first, so that the parent need not wait until the thread runs.
#[derive(Default)]
struct Birth {
    /// 0: nobody has begun; 1: somebody writes; 2: written.
    stage: AtomicU32,
    tid: AtomicI32,
}

impl Birth {
    /// Has the id written, and tells it; `tid` is what the caller knows.
    fn announce(&self, tid: Option<i32>, c: &Clone) -> i32 {
        let first = || self.stage.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if let Some(tid) = tid.filter(|_| first()) {
            for (flag, addr) in [(libc::CLONE_PARENT_SETTID, c.parent_tid), (libc::CLONE_CHILD_SETTID, c.child_tid)] {
                if c.has(flag) {
                    store_tid(addr, tid);
                }
            }
            self.tid.store(tid, Ordering::Relaxed);
            self.stage.store(2, Ordering::Release);
        }
        // The other one is at it, or, for a parent that knows no id, has been.
        while self.stage.load(Ordering::Acquire) != 2 {
            std::thread::yield_now();
        }
        self.tid.load(Ordering::Relaxed)
    }
}

/// Body of a worker's host thread. All signals are blocked here, inherited from the parent.
fn worker_main(mut t: Thread, c: &Clone, debug: Option<&Inherited>, birth: &Birth, begun: Option<&Sender<()>>) {
    let stack = HandlerStack::install();
    let tid = birth.announce(Some(host::gettid()), c);
    let apart = (libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SYSVSEM) as u64 & !c.flags;
    if apart != 0 {
        call(libc::SYS_unshare, &[apart]);
    }
    // The robust list that the C library set is of no use, and the guest sets its own.
    call(libc::SYS_set_robust_list, &[0, 24]);
    t.context.enter();
    t.context.set_mask(t.context.mask());
    t.register();
    t.debug = debug.map(|d| d.begin(&t.vcpu.state));
    if let Some(begun) = begun {
        // The parent waits for it; if it has died, so shall we.
        _ = begun.send(());
    }
    t.traced_born();
    let end = t.run();
    t.finish(end);
    let clear_tid = t.clear_tid;
    Context::leave();
    drop(t);
    drop(stack);
    release_robust_futexes(tid);
    if clear_tid != 0 {
        store_tid(clear_tid, 0);
        call(libc::SYS_futex, &[clear_tid, libc::FUTEX_WAKE as u64, 1]);
    }
}

/// Most entries of a robust list that are looked at, as in the kernel.
const ROBUST_LIMIT: usize = 2048;

/// Does what the kernel does for the robust list of an ending thread, before the thread's memory
/// may be reused; then the kernel finds nothing to do.
fn release_robust_futexes(tid: i32) {
    let (mut head, mut len) = (0u64, 0u64);
    call(libc::SYS_get_robust_list, &[0, &raw mut head as u64, &raw mut len as u64]);
    call(libc::SYS_set_robust_list, &[0, 24]);
    if head == 0 {
        return;
    }
    let word = |addr: u64| mem::load(Size::B8, addr).ok().map(|v| v as u64);
    let (Some(first), Some(offset), Some(in_progress)) = (word(head), word(head + 8), word(head + 16)) else { return };
    let mut entry = first;
    for _ in 0..ROBUST_LIMIT {
        if entry & !1 == head {
            break;
        }
        let next = word(entry & !1);
        if entry != in_progress {
            owner_died((entry & !1).wrapping_add(offset), tid);
        }
        let Some(next) = next else { return };
        entry = next;
    }
    if in_progress & !1 != 0 {
        owner_died((in_progress & !1).wrapping_add(offset), tid);
    }
}

/// Marks a futex word that `tid` owns, and wakes a waiter.
fn owner_died(addr: u64, tid: i32) {
    const TID_MASK: u32 = 0x3fff_ffff;
    const OWNER_DIED: u32 = 0x4000_0000;
    const WAITERS: u32 = 0x8000_0000;
    let Ok(mut old) = mem::load(Size::B4, addr) else { return };
    loop {
        if old as u32 & TID_MASK != tid as u32 {
            return;
        }
        let new = old as u32 & WAITERS | OWNER_DIED;
        match mem::cas(Size::B4, addr, old, new as u128) {
            Ok(seen) if seen == old => break,
            Ok(seen) => old = seen,
            Err(_) => return,
        }
    }
    if old as u32 & WAITERS != 0 {
        call(libc::SYS_futex, &[addr, libc::FUTEX_WAKE as u64, 1]);
    }
}

/// `fork` of the C library, which keeps its own locks consistent.
fn c_fork() -> Result<i32, Errno> {
    // SAFETY: the caller holds our locks; the child goes on with this thread alone.
    match unsafe { libc::fork() } {
        -1 => Err(Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EAGAIN))),
        pid => Ok(pid),
    }
}

/// `fork` with flags that the C library has no way to pass on.
fn raw_fork(c: &Clone) -> Result<i32, Errno> {
    let flags = c.flags & !(libc::CLONE_SETTLS as u64 | CLONE_CLEAR_SIGHAND) | c.exit_signal;
    // CLONE_PIDFD and CLONE_PARENT_SETTID share an argument.
    let parent = if c.has(libc::CLONE_PIDFD) { c.pidfd } else { c.parent_tid };
    match call(libc::SYS_clone, &[flags, 0, parent, c.child_tid, 0]) {
        e @ -4095..=-1 => Err(Errno(-e as i32)),
        pid => Ok(pid as i32),
    }
}

/// What the new process of [`clone_sharing`] gets.
struct SharedChild {
    thread: Thread,
    clear_handlers: bool,
    born: Option<Sender<i32>>,
    /// What it is called, if not as the thread that makes it.
    name: Option<[u8; 16]>,
}

/// Makes a process that shares our memory and runs `child`; returns when it has executed or ended.
fn clone_sharing(flags: c_int, c: &Clone, child: &mut SharedChild) -> Result<i32, Errno> {
    let map = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new anonymous mapping, unmapped below when the child no longer runs on it; the
    // thread-local storage that the child borrows is not used by us meanwhile, as we are suspended.
    unsafe {
        let stack = libc::mmap(ptr::null_mut(), HOST_STACK, prot, map, -1, 0);
        if stack == libc::MAP_FAILED {
            return Err(Errno(libc::ENOMEM));
        }
        let arg: *mut SharedChild = child;
        let parent = if c.has(libc::CLONE_PIDFD) { c.pidfd } else { c.parent_tid };
        let top = stack.byte_add(HOST_STACK);
        let pid = libc::clone(
            shared_child_main,
            top,
            flags,
            arg.cast::<c_void>(),
            parent,
            ptr::null_mut::<c_void>(),
            c.child_tid,
        );
        let error = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EAGAIN);
        libc::munmap(stack, HOST_STACK);
        if pid == -1 { Err(Errno(error)) } else { Ok(pid) }
    }
}

extern "C" fn shared_child_main(arg: *mut c_void) -> c_int {
    // SAFETY: `clone_sharing` passes its `child`, which lives until we have executed or ended.
    let child = unsafe { &mut *arg.cast::<SharedChild>() };
    let t = &mut child.thread;
    t.context.enter();
    if child.clear_handlers {
        t.actions.clear_handlers();
    }
    if let Some(name) = &child.name {
        call(libc::SYS_prctl, &[libc::PR_SET_NAME as u64, name.as_ptr() as u64]);
    }
    if let Some(born) = child.born.take() {
        // The receiver is alive: it waits for this.
        _ = born.send(host::getpid());
    }
    t.context.set_mask(t.context.mask());
    t.traced_born();
    let end = t.run();
    match t.finish(end) {
        ExitStatus::Exited(code) => host::exit_group(code),
        ExitStatus::Signaled(signal) => die_of(signal),
    }
}
