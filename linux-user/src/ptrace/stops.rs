//! The tracer's side: what it knows of each thread that it traces, and which stops of the host the guest sees.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::door::{Door, INFO_WORDS, Kind, MAGIC, NO_CALL, SYSCALL, word};
use super::remote::{self, Location, Sent, reg};
use super::request::{OPTION_EXEC, OPTION_SYSGOOD, host_options};
use crate::host::Errno;
use crate::process::Process;
use crate::signal::SigInfo;

/// `PTRACE_EVENT_STOP`
pub(super) const EVENT_STOP: i32 = 128;
/// `PTRACE_EVENT_SECCOMP`
const EVENT_SECCOMP: i32 = 7;
/// AArch64's number of `restart_syscall`, and the host's.
const RESTART: (u64, u64) = (128, 219);

/// The threads that a process traces.
#[derive(Debug, Default)]
pub(crate) struct Tracees {
    map: Mutex<HashMap<i32, Tracee>>,
    /// Was there ever one?
    any: AtomicBool,
}

impl Tracees {
    /// Locks the table.
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<i32, Tracee>> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the process ever traced a thread?
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Remembers that it has.
    pub(super) fn begin(&self) {
        self.any.store(true, Ordering::Relaxed);
    }

    /// In a forked child, which traces nobody.
    pub(crate) fn forget(&self) {
        self.lock().clear();
        self.any.store(false, Ordering::Relaxed);
    }
}

/// What is to be reported when a thread has come to a boundary.
#[derive(Clone, Copy, Debug)]
pub(super) enum Due {
    /// This signal arrived.
    Signal(SigInfo),
    /// The tracer asked for a stop.
    Interrupt,
}

/// How much is known of a thread whose maker is traced, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Birth {
    /// It lives.
    Past,
    /// Its maker has told of it; it has not stopped yet. Is it a thread of the guest?
    Expected(bool),
    /// It has stopped for the first time; its maker has not told of it yet.
    Held,
}

/// Where a thread has stopped, as far as the guest sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// At its door.
    Door,
    /// In a system call that the kernel makes again.
    Call,
    /// In jib's code, with the guest's registers exact.
    Exact,
    /// Anywhere.
    Loose,
}

/// What a stop is to the guest.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// A signal is about to be delivered, by the thread (`true`) or by the kernel.
    Signal(SigInfo, bool),
    /// A system call begins (`false`) or has ended.
    Call(bool),
    /// A filter wants to know; this is its datum.
    Seccomp(u32),
    /// An event.
    Event,
    /// Job control.
    Group,
}

/// A stop that the guest sees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    /// As `wait4` tells it.
    pub status: i32,
    pub at: At,
    pub what: What,
    /// `PTRACE_GETEVENTMSG`
    pub message: u64,
    /// Number of the system call at hand, if it is not in X8.
    pub number: Option<u64>,
}

/// A traced thread.
#[derive(Debug)]
pub(super) struct Tracee {
    /// Its process.
    pub process: i32,
    /// Attached by `PTRACE_SEIZE`?
    pub seized: bool,
    /// `PTRACE_O_*`
    pub options: u64,
    /// How it was last told to go on.
    pub mode: u64,
    /// Address of its [`Door`], once known.
    pub door: Option<u64>,
    /// What is to be reported at its next boundaries.
    pub due: VecDeque<Due>,
    pub stop: Option<Stop>,
    /// It is about to make a thread or process, with these flags.
    cloning: Option<u64>,
    birth: Birth,
    /// The kernel has attached it as it was made, and its first stop is to be reported at its door.
    newborn: bool,
    /// It executes another program; it had this id before.
    executes: Option<u64>,
    /// Its program is not run by jib.
    pub foreign: bool,
    /// Its door, and what was last told there of mode and options.
    told: Option<(u64, u64, u64)>,
    /// It has told of its end.
    ends: bool,
    /// The kernel is to show the beginning of the call that it makes again.
    pub shows_entry: bool,
    /// The kernel knows which events we want.
    pub configured: bool,
    /// It is dead, and its process lives.
    pub lingers: bool,
    /// It has been given a signal that stops its process, or that was stopped before.
    pub stops: bool,
}

impl Tracee {
    /// A thread that is being attached.
    pub(super) fn new(pid: i32, seized: bool, options: u64) -> Tracee {
        Tracee {
            process: remote::process_of(pid),
            seized,
            options,
            mode: 0,
            door: None,
            due: VecDeque::new(),
            stop: None,
            cloning: None,
            birth: Birth::Past,
            newborn: false,
            executes: None,
            foreign: false,
            told: None,
            ends: false,
            shows_entry: false,
            configured: true,
            lingers: false,
            stops: false,
        }
    }

    /// Is it a thread of jib's own?
    pub(super) fn is_ours(&self) -> bool {
        self.birth == Birth::Expected(false)
    }

    fn has(&self, option: i32) -> bool {
        self.options & option as u64 != 0
    }

    /// Where the thread is; a door that is known needs no second look.
    fn locate(&self, pid: i32, regs: &remote::Regs) -> Location {
        match self.door {
            Some(door) if regs[reg::RAX] == MAGIC && regs[reg::RDI] == door => Location::Door(door),
            _ => remote::locate(pid, regs),
        }
    }

    /// Writes a word of the door, if that is known.
    pub(super) fn tell(&self, pid: i32, word: usize, v: u64) {
        if let Some(door) = self.door {
            _ = remote::set_word(pid, door + 8 * word as u64, v);
        }
    }

    /// Reads all words of the door.
    pub(super) fn door_words(&self, pid: i32) -> Result<[u64; word::COUNT], Errno> {
        remote::words(pid, self.door.ok_or(Errno(libc::ESRCH))?)
    }

    /// Tells the thread how it goes on, if it does not know.
    pub(super) fn tell_mode(&mut self, pid: i32) {
        let news = self.door.map(|door| (door, self.mode, self.options));
        if self.told != news {
            self.tell(pid, word::TRACED, 1);
            self.tell(pid, word::MODE, self.mode);
            self.tell(pid, word::OPTIONS, self.options);
            self.told = news;
        }
    }

    /// The thread is in a system call; it was not traced yet when that began.
    fn tell_call(&self, pid: i32) {
        if let Ok(words) = self.door_words(pid)
            && words[word::CALL] == NO_CALL
        {
            let x8 = words[word::STATE] + 8 * 8;
            let number = remote::words::<1>(pid, x8).map_or(NO_CALL, |[nr]| nr as u32 as u64);
            self.tell(pid, word::CALL, number);
        }
    }

    /// Lets a thread leave its door.
    pub(super) fn leave_door(&self, pid: i32, how: u32, signal: i32) {
        if let Ok(mut regs) = remote::regs(pid) {
            regs[reg::RIP] += 1;
            regs[reg::RAX] = 1;
            remote::set_regs(pid, &regs);
        }
        remote::go(how, pid, signal);
    }

    fn visible(&mut self, status: i32, at: At, what: What, message: u64) -> Seen {
        self.stop = Some(Stop { status: stopped(status), at, what, message, number: None });
        Seen::Stopped(stopped(status))
    }

    /// Goes on from a stop that the guest does not see.
    fn hide(&mut self, pid: i32, signal: i32) -> Seen {
        // A handler would begin and end with calls of its own.
        self.shows_entry &= signal == 0;
        remote::go(if self.shows_entry { libc::PTRACE_SYSCALL } else { libc::PTRACE_CONT }, pid, signal);
        Seen::Nothing
    }
}

/// A `wait4` status of a stop.
fn stopped(code: i32) -> i32 {
    code << 8 | 0x7f
}

/// The code of an event's stop.
fn event_code(event: i32) -> i32 {
    event << 8 | libc::SIGTRAP
}

/// What the guest sees of a stop of the host.
pub(super) enum Seen {
    /// This status.
    Stopped(i32),
    /// Nothing; the thread goes on.
    Nothing,
    /// Nothing; it does not go on yet.
    Held,
}

/// Finds out what the guest sees of thread `pid`, which has stopped with `status`.
pub(super) fn seen(process: &Process, pid: i32, status: i32) -> Seen {
    let mut map = process.tracees.lock();
    let Ok(regs) = remote::regs(pid) else {
        // Nobody's tracee, or not ours: job control, or dead already.
        return Seen::Stopped(status);
    };
    process.tracees.begin();
    if !map.contains_key(&pid) {
        let made =
            matches!(regs[reg::ORIG_RAX] as i64, libc::SYS_clone | libc::SYS_clone3 | libc::SYS_fork | libc::SYS_vfork);
        let mut t = Tracee::new(pid, false, 0);
        if made && regs[reg::RAX] == 0 {
            // What it is its maker will tell.
            t.birth = Birth::Held;
            map.insert(pid, t);
            return Seen::Held;
        }
        // It has asked to be traced.
        t.configured = false;
        map.insert(pid, t);
    }
    let mut stop = Classifier { process, map: &mut map, pid, regs };
    stop.seen(status)
}

/// Tells the kernel which of its events we want.
pub(super) fn set_host_options(pid: i32, options: u64) {
    _ = remote::request(libc::PTRACE_SETOPTIONS, pid, 0, host_options(options));
}

struct Classifier<'a> {
    process: &'a Process,
    map: &'a mut HashMap<i32, Tracee>,
    pid: i32,
    regs: remote::Regs,
}

impl Classifier<'_> {
    fn tracee(&mut self) -> &mut Tracee {
        let pid = self.pid;
        self.map.entry(pid).or_insert_with(|| Tracee::new(pid, false, 0))
    }

    fn seen(&mut self, status: i32) -> Seen {
        let (signal, event, pid) = (status >> 8 & 0xff, status >> 16 & 0xff, self.pid);
        let t = self.tracee();
        if !t.configured {
            t.configured = true;
            set_host_options(pid, t.options);
        }
        if t.foreign {
            return t.visible(status >> 8, At::Loose, foreign(pid, signal, event), remote::message(pid));
        }
        if let Some(stop) = &t.stop
            && (event != libc::PTRACE_EVENT_EXIT || stop.status >> 16 == event)
        {
            // Looked at once more.
            return Seen::Stopped(stop.status);
        }
        match event {
            0 => self.signal(signal),
            libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => self.made(event),
            libc::PTRACE_EVENT_VFORK_DONE if t.has(libc::PTRACE_O_TRACEVFORKDONE) => {
                t.visible(event_code(event), At::Exact, What::Event, remote::message(pid))
            }
            libc::PTRACE_EVENT_EXEC => self.executes(remote::message(pid)),
            libc::PTRACE_EVENT_EXIT if t.ends => t.hide(pid, 0),
            libc::PTRACE_EVENT_EXIT => t.visible(event_code(event), At::Loose, What::Event, remote::message(pid)),
            EVENT_STOP if signal == libc::SIGTRAP => self.interrupted(),
            EVENT_STOP => self.group(signal, EVENT_STOP << 8 | signal),
            _ => t.hide(pid, 0),
        }
    }

    /// The process has been stopped by `signal`.
    ///
    /// If the tracer has not given that to any of its threads, the translator's thread has taken it, which is none of the
    /// guest's: then the signal itself is reported first.
    fn group(&mut self, signal: i32, code: i32) -> Seen {
        let process = self.tracee().process;
        let known = self.map.values().any(|t| t.process == process && t.stops);
        if !known && remote::has_translator(process) {
            return self.bring(Due::Signal(SigInfo::user(signal)));
        }
        self.notice_door();
        self.tracee().visible(code, At::Loose, What::Group, 0)
    }

    /// Learns where the door is, if the thread is where it can be learnt.
    fn notice_door(&mut self) -> Location {
        let (pid, location) = (self.pid, remote::locate(self.pid, &self.regs));
        if let Location::Door(door) | Location::Call { door, .. } = location {
            let t = self.tracee();
            t.door = Some(door);
            t.tell(pid, word::TRACED, 1);
            if let Location::Call { .. } = location {
                t.tell_call(pid);
            }
        }
        location
    }

    /// The thread has made a thread or process.
    fn made(&mut self, event: i32) -> Seen {
        const UNTRACED: u64 = libc::CLONE_UNTRACED as u64;
        let pid = self.pid;
        let child = remote::message(pid);
        let t = self.tracee();
        // What it did not announce is none of the guest's: a thread of the translator.
        let flags = t.cloning.take();
        let (ours, lent) = (flags.is_some_and(|f| f & UNTRACED == 0), flags.is_some_and(is_lent));
        let ours = ours && !lent;
        let (seized, options) = (t.seized, t.options);
        let known = self.map.remove(&(child as i32));
        let held = known.is_some_and(|c| c.birth == Birth::Held);
        let mut newborn = Tracee::new(child as i32, seized, options);
        newborn.birth = Birth::Expected(ours);
        self.map.insert(child as i32, newborn);
        if held {
            self.born(child as i32);
        }
        let t = self.tracee();
        if ours { t.visible(event_code(event), At::Exact, What::Event, child) } else { t.hide(pid, 0) }
    }

    /// A thread or process has stopped for the first time, and its maker has told of it.
    fn born(&mut self, child: i32) {
        let Some(t) = self.map.get_mut(&child) else { return };
        if t.birth == Birth::Expected(true) {
            t.birth = Birth::Past;
            t.newborn = true;
            t.hide(child, 0);
        } else {
            self.map.remove(&child);
            _ = remote::request(libc::PTRACE_DETACH, child, 0, 0);
        }
    }

    /// The host's part of an `execve` is done; the guest's program has not begun.
    fn executes(&mut self, former: u64) -> Seen {
        let (pid, exe) = (self.pid, self.process.own.exe);
        let t = self.tracee();
        t.door = None;
        t.told = None;
        t.cloning = None;
        t.stop = None;
        t.foreign = !remote::is_jib(pid, exe);
        if t.foreign {
            return t.executed(pid, former, At::Loose);
        }
        t.executes = Some(former);
        t.hide(pid, 0)
    }

    /// `PTRACE_INTERRUPT`, the first stop of a seized child, or news of job control.
    fn interrupted(&mut self) -> Seen {
        let pid = self.pid;
        match self.tracee().birth {
            Birth::Past => self.bring(Due::Interrupt),
            Birth::Held => Seen::Held,
            Birth::Expected(_) => {
                self.born(pid);
                Seen::Nothing
            }
        }
    }

    /// Reports `due` at once if the thread is in a system call that is made again, else at its next boundary.
    fn bring(&mut self, due: Due) -> Seen {
        let (pid, location) = (self.pid, self.notice_door());
        let t = self.tracee();
        if let Location::Call { restarts: true, .. } = location
            && t.due.is_empty()
        {
            return t.report(due, At::Call);
        }
        t.due.push_back(due);
        // A program that begins comes to its door by itself.
        if t.executes.is_none() {
            remote::kick(t.process, pid);
        }
        t.hide(pid, 0)
    }

    fn signal(&mut self, signal: i32) -> Seen {
        let pid = self.pid;
        let regs = self.regs;
        let t = self.tracee();
        if signal == libc::SIGTRAP | 0x80 {
            // The kernel makes a call again that was interrupted, and the tracer wants to see it begin.
            t.shows_entry = false;
            let restart = regs[reg::ORIG_RAX] == RESTART.1;
            let code = t.call_code();
            let seen = t.visible(code, At::Call, What::Call(false), 0);
            if let Some(stop) = &mut t.stop {
                stop.number = restart.then_some(RESTART.0);
            }
            return seen;
        }
        let Ok(info) = remote::info(pid) else { return self.group(signal, signal) };
        if signal == libc::SIGSTOP && t.birth != Birth::Past {
            // The first stop of a child that is not seized.
            if t.birth == Birth::Held {
                return Seen::Held;
            }
            self.born(pid);
            return Seen::Nothing;
        }
        let executed = matches!(regs[reg::ORIG_RAX] as i64, libc::SYS_execve | libc::SYS_execveat);
        if signal == libc::SIGTRAP && executed && regs[reg::RAX] == 0 && info.code() == 0 {
            return self.executes(pid as u64);
        }
        match remote::sent(&info) {
            Sent::Heard => t.hide(pid, signal),
            Sent::Kick => self.kicked(),
            Sent::Other if matches!(signal, libc::SIGSEGV | libc::SIGBUS) => match t.locate(pid, &regs) {
                Location::Door(door) if info.code() > 0 => self.at_door(door),
                // Its own handler finds out what it is.
                _ => t.hide(pid, signal),
            },
            // The thread reports it itself when it is about to deliver it.
            Sent::Other if remote::handles(pid, signal) => {
                self.notice_door();
                self.tracee().hide(pid, signal)
            }
            Sent::Other => self.bring(Due::Signal(info)),
        }
    }

    /// Our own signal has arrived. In a system call all is known without disturbing that.
    fn kicked(&mut self) -> Seen {
        let (pid, location) = (self.pid, self.notice_door());
        let t = self.tracee();
        match location {
            Location::Call { restarts: true, .. } => match t.due.pop_front() {
                Some(due) => t.report(due, At::Call),
                None => {
                    t.tell_mode(pid);
                    t.hide(pid, 0)
                }
            },
            // A program that begins would die of it.
            _ if remote::handles(pid, libc::SIGSEGV) => t.hide(pid, libc::SIGSEGV),
            _ => t.hide(pid, 0),
        }
    }

    fn at_door(&mut self, door: u64) -> Seen {
        let pid = self.pid;
        let t = self.tracee();
        t.door = Some(door);
        let Ok(words) = t.door_words(pid) else { return Seen::Nothing };
        let message = words[word::MESSAGE];
        match Kind::from_word(words[word::KIND]) {
            Some(Kind::Called) => match t.due.pop_front() {
                Some(due) => t.report(due, At::Door),
                None => t.go_on(pid),
            },
            Some(Kind::Signal) => {
                let info = SigInfo::from_words(&std::array::from_fn::<u64, INFO_WORDS, _>(|i| words[word::INFO + i]));
                t.visible(info.signal(), At::Door, What::Signal(info, true), 0)
            }
            Some(kind @ (Kind::Entry | Kind::Exit)) if t.mode == SYSCALL => {
                let code = t.call_code();
                t.visible(code, At::Door, What::Call(kind == Kind::Exit), 0)
            }
            Some(Kind::Exec) => {
                let former = t.executes.take().unwrap_or(pid as u64);
                t.executed(pid, former, At::Door)
            }
            // One that was attached since, which has its own stop.
            Some(Kind::Born) if !std::mem::take(&mut t.newborn) => t.go_on(pid),
            Some(Kind::Born) if t.seized => t.visible(EVENT_STOP << 8 | libc::SIGTRAP, At::Door, What::Event, 0),
            Some(Kind::Born) => {
                let info = SigInfo::user(libc::SIGSTOP);
                t.visible(libc::SIGSTOP, At::Door, What::Signal(info, false), 0)
            }
            Some(Kind::Cloning) => {
                t.cloning = Some(message);
                t.go_on(pid)
            }
            Some(Kind::Seccomp) => {
                t.visible(event_code(EVENT_SECCOMP), At::Door, What::Seccomp(message as u32), message)
            }
            Some(Kind::End) => {
                t.ends = true;
                t.visible(event_code(libc::PTRACE_EVENT_EXIT), At::Door, What::Event, message)
            }
            _ => t.go_on(pid),
        }
    }
}

/// Is a process with these flags made by a host thread that is lent for it?
fn is_lent(flags: u64) -> bool {
    let has = |flag: i32| flags & flag as u64 != 0;
    has(libc::CLONE_VM) && !has(libc::CLONE_VFORK) && !has(libc::CLONE_THREAD)
}

/// What a stop of a program is that jib does not run.
fn foreign(pid: i32, signal: i32, event: i32) -> What {
    match remote::info(pid) {
        Ok(info) if event == 0 && signal != libc::SIGTRAP | 0x80 => What::Signal(info, false),
        Ok(_) if event == 0 => What::Call(false),
        Ok(_) => What::Event,
        Err(_) => What::Group,
    }
}

impl Tracee {
    /// Leaves a door that the guest does not hear of.
    fn go_on(&mut self, pid: i32) -> Seen {
        self.tell_mode(pid);
        self.leave_door(pid, libc::PTRACE_CONT, 0);
        Seen::Nothing
    }

    fn call_code(&self) -> i32 {
        if self.options & OPTION_SYSGOOD != 0 { libc::SIGTRAP | 0x80 } else { libc::SIGTRAP }
    }

    fn report(&mut self, due: Due, at: At) -> Seen {
        match due {
            Due::Signal(info) => self.visible(info.signal(), at, What::Signal(info, false), 0),
            Due::Interrupt => self.visible(EVENT_STOP << 8 | libc::SIGTRAP, at, What::Event, 0),
        }
    }

    /// A program begins: an event if that is wanted, else SIGTRAP for those that were not seized.
    fn executed(&mut self, pid: i32, former: u64, at: At) -> Seen {
        if self.options & OPTION_EXEC != 0 {
            return self.visible(event_code(libc::PTRACE_EVENT_EXEC), at, What::Event, former);
        }
        if !self.seized {
            // A signal, not a part of `execve`, whose end the tracer does not get to see then.
            self.tell(pid, word::CALL, NO_CALL);
            let info = SigInfo::user(libc::SIGTRAP);
            return self.visible(libc::SIGTRAP, at, What::Signal(info, false), 0);
        }
        if at == At::Door { self.go_on(pid) } else { self.hide(pid, 0) }
    }
}

const _: () = assert!(size_of::<Door>() == 8 * word::COUNT);
const _: () = assert!(NO_CALL as u32 == u32::MAX);
