//! The guest as `gdbstub` sees it.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gdbstub::common::{Pid, Signal, Tid};
use gdbstub::stub::MultiThreadStopReason;
use gdbstub::target::ext::auxv::{Auxv, AuxvOps};
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::multithread::{
    MultiThreadBase, MultiThreadRangeStepping, MultiThreadRangeSteppingOps, MultiThreadResume, MultiThreadResumeOps,
    MultiThreadSchedulerLocking, MultiThreadSchedulerLockingOps, MultiThreadSingleStep, MultiThreadSingleStepOps,
};
use gdbstub::target::ext::base::single_register_access::{SingleRegisterAccess, SingleRegisterAccessOps};
use gdbstub::target::ext::breakpoints::{
    Breakpoints, BreakpointsOps, HwBreakpoint, HwBreakpointOps, HwWatchpoint, HwWatchpointOps, SwBreakpoint,
    SwBreakpointOps, WatchKind,
};
use gdbstub::target::ext::exec_file::{ExecFile, ExecFileOps};
use gdbstub::target::ext::host_io::HostIoOps;
use gdbstub::target::ext::monitor_cmd::MonitorCmdOps;
use gdbstub::target::ext::target_description_xml_override::{
    TargetDescriptionXmlOverride, TargetDescriptionXmlOverrideOps,
};
use gdbstub::target::ext::thread_extra_info::{ThreadExtraInfo, ThreadExtraInfoOps};
use gdbstub::target::{Target, TargetError, TargetResult};
use gdbstub_arch::aarch64::reg::id::AArch64RegId;
use jib_ir::state::State;

use super::files::Files;
use crate::points::{Break, Watch};
use crate::registers::{self, AArch64, Core};
use crate::session::{Action, Session};
use crate::{Debuggee, signals};

/// One debugger's view of a guest.
pub(super) struct Stub {
    session: Arc<Session>,
    debuggee: Arc<dyn Debuggee>,
    actions: BTreeMap<Tid, (Action, Option<i32>)>,
    locked: bool,
    /// Memory addresses are physical.
    pub(super) physical: bool,
    pub(super) files: Files,
    /// Made when it is asked for: the threads are there then.
    description: OnceCell<String>,
    /// The debugger has asked for the guest's death.
    pub(super) killed: bool,
    /// The thread whose memory or registers were asked for last.
    current: Option<Tid>,
}

impl Stub {
    pub(super) fn new(session: Arc<Session>, debuggee: Arc<dyn Debuggee>) -> Stub {
        Stub {
            session,
            debuggee,
            actions: BTreeMap::new(),
            locked: false,
            physical: false,
            files: Files::default(),
            description: OnceCell::new(),
            killed: false,
            current: None,
        }
    }

    pub(super) fn is_system(&self) -> bool {
        self.debuggee.is_system()
    }

    fn signs_pointers(&self) -> bool {
        let thread = self.session.threads().first().copied();
        thread.and_then(|id| self.session.state(id)).is_some_and(|s| registers::signs_pointers(&s))
    }

    pub(super) fn file(&self, path: &Path) -> Option<PathBuf> {
        self.debuggee.file(path)
    }

    /// Stops everything.
    pub(super) fn stop(&mut self) {
        self.session.stop();
        self.debuggee.held(true);
    }

    /// What Ctrl-C is told as: SIGINT of a thread that runs guest code, if there is one.
    pub(super) fn interrupted(&self) -> MultiThreadStopReason<u64> {
        let threads = self.session.threads();
        let busy = threads.iter().find(|&&id| !self.session.is_away(id));
        match busy.or(threads.first()) {
            Some(&tid) => MultiThreadStopReason::SignalWithThread { tid, signal: Signal::SIGINT },
            None => MultiThreadStopReason::Signal(Signal::SIGINT),
        }
    }

    fn state(&self, tid: Tid) -> TargetResult<Box<State>, Self> {
        self.session.state(tid).ok_or(TargetError::NonFatal)
    }

    /// Where `va` is in physical memory, as the current thread sees it.
    pub(super) fn translate(&self, va: u64) -> Option<u64> {
        let thread = self.current.or_else(|| self.session.threads().first().copied())?;
        self.debuggee.translate(&*self.session.state(thread)?, va)
    }
}

/// Copies the part of `all` that a read of an object at `offset` asks for.
fn part(all: &[u8], offset: u64, length: usize, buf: &mut [u8]) -> usize {
    let rest = usize::try_from(offset).ok().and_then(|o| all.get(o..)).unwrap_or_default();
    let len = rest.len().min(length).min(buf.len());
    buf[..len].copy_from_slice(&rest[..len]);
    len
}

impl Target for Stub {
    type Arch = AArch64;
    type Error = String;

    fn base_ops(&mut self) -> BaseOps<'_, Self::Arch, Self::Error> {
        BaseOps::MultiThread(self)
    }
    fn use_fork_stop_reason(&self) -> bool {
        false
    }
    fn use_vfork_stop_reason(&self) -> bool {
        false
    }
    fn use_vforkdone_stop_reason(&self) -> bool {
        false
    }
    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }
    fn support_monitor_cmd(&mut self) -> Option<MonitorCmdOps<'_, Self>> {
        Some(self)
    }
    fn support_target_description_xml_override(&mut self) -> Option<TargetDescriptionXmlOverrideOps<'_, Self>> {
        Some(self)
    }
    fn support_host_io(&mut self) -> Option<HostIoOps<'_, Self>> {
        if self.is_system() { None } else { Some(self) }
    }
    fn support_exec_file(&mut self) -> Option<ExecFileOps<'_, Self>> {
        if self.debuggee.program().is_some() { Some(self) } else { None }
    }
    fn support_auxv(&mut self) -> Option<AuxvOps<'_, Self>> {
        if self.debuggee.auxv().is_some() { Some(self) } else { None }
    }
}

impl MultiThreadBase for Stub {
    fn read_registers(&mut self, regs: &mut Core, tid: Tid) -> TargetResult<(), Self> {
        self.current = Some(tid);
        *regs = Core::of(&*self.state(tid)?, self.debuggee.is_system());
        Ok(())
    }

    fn write_registers(&mut self, regs: &Core, tid: Tid) -> TargetResult<(), Self> {
        let system = self.debuggee.is_system();
        if self.session.change(tid, |s| regs.store(s, system)) { Ok(()) } else { Err(TargetError::NonFatal) }
    }

    fn support_single_register_access(&mut self) -> Option<SingleRegisterAccessOps<'_, Tid, Self>> {
        Some(self)
    }

    fn read_addrs(&mut self, addr: u64, data: &mut [u8], tid: Tid) -> TargetResult<usize, Self> {
        self.current = Some(tid);
        match self.debuggee.read(&*self.state(tid)?, addr, data, self.physical) {
            0 if !data.is_empty() => Err(TargetError::NonFatal),
            n => Ok(n),
        }
    }

    fn write_addrs(&mut self, addr: u64, data: &[u8], tid: Tid) -> TargetResult<(), Self> {
        let done = self.debuggee.write(&*self.state(tid)?, addr, data, self.physical);
        if done { Ok(()) } else { Err(TargetError::NonFatal) }
    }

    fn list_active_threads(&mut self, thread_is_active: &mut dyn FnMut(Tid)) -> Result<(), String> {
        self.session.threads().into_iter().for_each(thread_is_active);
        Ok(())
    }

    fn support_resume(&mut self) -> Option<MultiThreadResumeOps<'_, Self>> {
        Some(self)
    }
    fn support_thread_extra_info(&mut self) -> Option<ThreadExtraInfoOps<'_, Self>> {
        Some(self)
    }
}

impl SingleRegisterAccess<Tid> for Stub {
    fn read_register(&mut self, tid: Tid, id: AArch64RegId, buf: &mut [u8]) -> TargetResult<usize, Self> {
        let value = registers::read(&*self.state(tid)?, id, self.debuggee.is_system());
        let value = value.ok_or(TargetError::NonFatal)?;
        buf.get_mut(..value.len()).ok_or(TargetError::NonFatal)?.copy_from_slice(&value);
        Ok(value.len())
    }

    fn write_register(&mut self, tid: Tid, id: AArch64RegId, val: &[u8]) -> TargetResult<(), Self> {
        let system = self.debuggee.is_system();
        let mut done = false;
        self.session.change(tid, |s| done = registers::write(s, id, val, system));
        if done { Ok(()) } else { Err(TargetError::NonFatal) }
    }
}

impl MultiThreadResume for Stub {
    fn resume(&mut self) -> Result<(), String> {
        self.debuggee.held(false);
        self.session.resume(&self.actions, self.locked);
        Ok(())
    }

    fn clear_resume_actions(&mut self) -> Result<(), String> {
        self.actions.clear();
        self.locked = false;
        Ok(())
    }

    fn set_resume_action_continue(&mut self, tid: Tid, signal: Option<Signal>) -> Result<(), String> {
        self.actions.insert(tid, (Action::Continue, signal.and_then(|s| signals::from_gdb(s.0))));
        Ok(())
    }

    fn support_single_step(&mut self) -> Option<MultiThreadSingleStepOps<'_, Self>> {
        Some(self)
    }
    fn support_range_step(&mut self) -> Option<MultiThreadRangeSteppingOps<'_, Self>> {
        Some(self)
    }
    fn support_scheduler_locking(&mut self) -> Option<MultiThreadSchedulerLockingOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadSingleStep for Stub {
    fn set_resume_action_step(&mut self, tid: Tid, signal: Option<Signal>) -> Result<(), String> {
        self.actions.insert(tid, (Action::Step, signal.and_then(|s| signals::from_gdb(s.0))));
        Ok(())
    }
}

impl MultiThreadRangeStepping for Stub {
    fn set_resume_action_range_step(&mut self, tid: Tid, start: u64, end: u64) -> Result<(), String> {
        self.actions.insert(tid, (Action::StepWithin(start, end), None));
        Ok(())
    }
}

impl MultiThreadSchedulerLocking for Stub {
    fn set_resume_action_scheduler_lock(&mut self) -> Result<(), String> {
        self.locked = true;
        Ok(())
    }
}

impl ThreadExtraInfo for Stub {
    fn thread_extra_info(&self, tid: Tid, buf: &mut [u8]) -> Result<usize, String> {
        let Some(state) = self.session.state(tid) else { return Ok(0) };
        let mut text = self.debuggee.describe(tid, &state);
        if self.session.is_away(tid) {
            text += if self.debuggee.is_system() { " [halted]" } else { " [in a system call]" };
        }
        Ok(part(text.as_bytes(), 0, buf.len(), buf))
    }
}

impl Breakpoints for Stub {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }
    fn support_hw_breakpoint(&mut self) -> Option<HwBreakpointOps<'_, Self>> {
        Some(self)
    }
    fn support_hw_watchpoint(&mut self) -> Option<HwWatchpointOps<'_, Self>> {
        Some(self)
    }
}

impl SwBreakpoint for Stub {
    fn add_sw_breakpoint(&mut self, addr: u64, _: usize) -> TargetResult<bool, Self> {
        self.session.change_points(|p| p.add_break(addr, Break::Software));
        Ok(true)
    }
    fn remove_sw_breakpoint(&mut self, addr: u64, _: usize) -> TargetResult<bool, Self> {
        Ok(self.session.change_points(|p| p.remove_break(addr, Break::Software)))
    }
}

impl HwBreakpoint for Stub {
    fn add_hw_breakpoint(&mut self, addr: u64, _: usize) -> TargetResult<bool, Self> {
        self.session.change_points(|p| p.add_break(addr, Break::Hardware));
        Ok(true)
    }
    fn remove_hw_breakpoint(&mut self, addr: u64, _: usize) -> TargetResult<bool, Self> {
        Ok(self.session.change_points(|p| p.remove_break(addr, Break::Hardware)))
    }
}

fn watch(addr: u64, len: u64, kind: WatchKind) -> Watch {
    let (read, write) = (kind != WatchKind::Write, kind != WatchKind::Read);
    Watch { addr, len, read, write, el0: true, el1: true }
}

impl HwWatchpoint for Stub {
    fn add_hw_watchpoint(&mut self, addr: u64, len: u64, kind: WatchKind) -> TargetResult<bool, Self> {
        self.session.change_points(|p| p.add_watch(watch(addr, len, kind)));
        Ok(true)
    }
    fn remove_hw_watchpoint(&mut self, addr: u64, len: u64, kind: WatchKind) -> TargetResult<bool, Self> {
        Ok(self.session.change_points(|p| p.remove_watch(&watch(addr, len, kind))))
    }
}

impl TargetDescriptionXmlOverride for Stub {
    fn target_description_xml(
        &self,
        annex: &[u8],
        offset: u64,
        length: usize,
        buf: &mut [u8],
    ) -> TargetResult<usize, Self> {
        match annex {
            b"target.xml" => {
                let make = || registers::description(self.is_system(), self.signs_pointers());
                Ok(part(self.description.get_or_init(make).as_bytes(), offset, length, buf))
            }
            _ => Err(TargetError::NonFatal),
        }
    }
}

impl ExecFile for Stub {
    fn get_exec_file(&self, _: Option<Pid>, offset: u64, length: usize, buf: &mut [u8]) -> TargetResult<usize, Self> {
        let path = self.debuggee.program().ok_or(TargetError::NonFatal)?;
        Ok(part(path.as_os_str().as_bytes(), offset, length, buf))
    }
}

impl Auxv for Stub {
    fn get_auxv(&self, offset: u64, length: usize, buf: &mut [u8]) -> TargetResult<usize, Self> {
        Ok(part(self.debuggee.auxv().ok_or(TargetError::NonFatal)?, offset, length, buf))
    }
}
